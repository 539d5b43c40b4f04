//! Error types, classified by what the caller can do about them.

mod cause;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use cause::Cause;
#[cfg(feature = "object-store")]
pub(crate) use cause::Explained;
pub(crate) use cause::unread;

use serde::{Deserialize, Serialize};

use crate::printable::{Shown, printable};

/// Says why a text cannot be parsed as a value, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(pub(crate) String);

impl From<ParseError> for String {
    fn from(error: ParseError) -> Self {
        error.0
    }
}

/// The result type of every fallible function in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error. Callers act on its variant: the command line maps each one to an exit code. Tasks that run elsewhere
/// return it as JSON.
#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// Settings that are unknown, impossible or in conflict; raised before any file is opened.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An input file that cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The data is readable, but no dataset can be made from it with these settings.
    #[error("{}", printable(message))]
    Data {
        /// What is missing.
        message: String,
        /// What to change.
        help: String,
    },
    /// An output or work file that cannot be written or read back.
    #[error("{}: {}", Shown(path), printable(message))]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        message: String,
        /// What to change, if known.
        help: Option<String>,
    },
    /// A dataset that fails validation.
    #[error(transparent)]
    Validation(#[from] ValidationError),
    /// An executor could not run the tasks.
    #[error("{}", printable(_0))]
    Executor(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What the user can do about it, if known.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Data { help, .. } => Some(help),
            Self::Input(e) => e.shared_help(),
            Self::Output { help, .. } => help.as_deref(),
            Self::Config(_) | Self::Validation(_) | Self::Executor(_) | Self::Interrupted => None,
        }
    }

    /// True if the same work may succeed at another time or on another machine.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Input(e) => e.may_pass(),
            Self::Output { .. } => true,
            Self::Config(_) | Self::Data { .. } | Self::Validation(_) | Self::Executor(_) | Self::Interrupted => false,
        }
    }

    /// An output error at `path`, with a remedy if the kind of the cause implies one.
    pub fn output(path: &Path, cause: impl Cause) -> Self {
        Self::Output { path: path.to_owned(), message: cause.text(), help: cause.remedy().map(str::to_owned) }
    }

    /// Like [`output`](Self::output); says what cannot be done with `path`.
    pub(crate) fn failed(path: &Path, what: &str, cause: &io::Error) -> Self {
        let message = format!("{what}: {}", cause.text());
        Self::Output { path: path.to_owned(), message, help: cause.remedy().map(str::to_owned) }
    }

    /// The error for a work file that cannot be read back or is damaged.
    pub(crate) fn read_back(path: &Path, cause: &io::Error) -> Self {
        let damaged = cause.kind() == io::ErrorKind::InvalidData;
        let help = "delete the work folder and run again; if it happens again, check the disk and the memory";
        Self::Output {
            path: path.to_owned(),
            message: format!("cannot read back the work file: {}", cause.text()),
            help: damaged.then(|| help.to_owned()),
        }
    }

    /// A data error with its remedy.
    pub(crate) fn data(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Data { message: message.into(), help: help.into() }
    }
}

/// All problems found in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// One line per problem: the origin of the setting, its key and what is wrong with it.
    pub problems: Vec<String>,
}

impl ConfigError {
    /// An error with a single problem.
    pub fn one(problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "configuration: {}", printable(one)),
            many => {
                write!(f, "configuration: {} problems", many.len())?;
                many.iter().try_for_each(|p| write!(f, "\n  {}", printable(p)))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Maximum number of refused files that a message lists; the rest are only counted.
pub const MOST_REFUSED_SHOWN: usize = 20;

/// A refused input file: its path, the position in it and the cause, plus the other files that the same step refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// The record at fault, counted from 0, if there is one.
    pub record: Option<u64>,
    /// The byte offset in the (decompressed) DBN stream, or in the file if its compression is at fault.
    pub byte: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What to do, if known.
    pub help: Option<Box<str>>,
    /// The file itself may be fine: reading it again may succeed.
    pub transient: bool,
    /// The other refused files, in order; their own `others` are empty.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub others: Box<[InputError]>,
}

impl InputError {
    /// Merges the errors of all refused files, so that the user can fix them in one go; `None` if there are none.
    pub fn all(refused: impl IntoIterator<Item = Self>) -> Option<Self> {
        let flat = |mut error: Self| {
            let others = std::mem::take(&mut error.others);
            std::iter::once(error).chain(others)
        };
        let mut refused: Vec<Self> = refused.into_iter().flat_map(flat).collect();
        // Several files may be refused because of the same file next to them.
        refused.dedup();
        let mut refused = refused.into_iter();
        let first = refused.next()?;
        Some(Self { others: refused.collect(), ..first })
    }

    /// Fails with all refused files, if there are any.
    pub(crate) fn check(refused: Vec<Self>) -> Result<()> {
        Self::all(refused).map_or(Ok(()), |error| Err(error.into()))
    }

    /// True if reading all of the files again may succeed.
    fn may_pass(&self) -> bool {
        self.transient && self.others.iter().all(|other| other.transient)
    }

    /// The help, if it is the same for all refused files.
    fn shared_help(&self) -> Option<&str> {
        let help = self.help.as_deref();
        help.filter(|_| self.others.iter().all(|other| other.help.as_deref() == help))
    }

    /// An error about a file as a whole.
    pub fn new(path: &Path, message: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            record: None,
            byte: None,
            message: message.to_string(),
            help: None,
            transient: false,
            others: Box::default(),
        }
    }

    /// A file that the system or a decoder cannot read.
    pub(crate) fn unreadable(path: &Path, cause: impl fmt::Display) -> Self {
        Self::new(path, format!("cannot be read: {cause}"))
    }

    /// A failed read; transient, unless the kind of error rules out a retry, as for a missing file or denied
    /// permission.
    pub(crate) fn unread(path: &Path, cause: io::Error) -> Self {
        use io::ErrorKind::{InvalidInput, IsADirectory, NotFound, PermissionDenied, Unsupported};
        let last = [InvalidInput, IsADirectory, NotFound, PermissionDenied, Unsupported].contains(&cause.kind());
        let (message, help) = cause::unread(&cause);
        Self { transient: !last, help: help.map(Into::into), ..Self::new(path, message) }
    }

    /// Adds the position.
    #[must_use]
    pub fn at(mut self, record: Option<u64>, byte: u64) -> Self {
        self.record = record;
        self.byte = Some(byte);
        self
    }

    /// Adds the help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into().into_boxed_str());
        self
    }
}

impl InputError {
    /// Formats the error of this file only: the position and what is wrong.
    fn fmt_one(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Shown(&self.path))?;
        match (self.record, self.byte) {
            (Some(record), Some(byte)) => write!(f, "record {record}, byte {byte}: ")?,
            (Some(record), None) => write!(f, "record {record}: ")?,
            (None, Some(byte)) => write!(f, "byte {byte}: ")?,
            (None, None) => {}
        }
        f.write_str(&printable(&self.message))
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.others.is_empty() {
            return self.fmt_one(f);
        }
        let count = self.others.len() + 1;
        write!(f, "{count} problems with the input")?;
        for error in std::iter::once(self).chain(&self.others).take(MOST_REFUSED_SHOWN) {
            f.write_str("\n  ")?;
            error.fmt_one(f)?;
            if let (None, Some(help)) = (self.shared_help(), &error.help) {
                write!(f, " ({help})")?;
            }
        }
        match count.saturating_sub(MOST_REFUSED_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for InputError {}

/// All violations found in an output folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationError {
    /// The folder.
    pub path: PathBuf,
    /// One line per violation: the file, the row and the reason.
    pub violations: Vec<String>,
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: validation failed", Shown(&self.path))?;
        self.violations.iter().try_for_each(|v| write!(f, "\n  {}", printable(v)))
    }
}

impl std::error::Error for ValidationError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, help: &str) -> InputError {
        InputError::new(Path::new(name), "is cut").with_help(help)
    }

    #[test]
    fn all_refused_files_are_listed_up_to_a_limit() {
        assert_eq!(InputError::all([]), None);
        let one = InputError::all([refused("a", "again")]).unwrap();
        assert_eq!(one.to_string(), "a: is cut");
        let two = InputError::all([one.clone(), refused("b", "again")]).unwrap();
        assert_eq!(two.to_string(), "2 problems with the input\n  a: is cut\n  b: is cut");
        assert_eq!(Error::from(two.clone()).help(), Some("again"));
        let three = InputError::all([two, refused("c", "or not")]).unwrap();
        assert_eq!(three.others.len(), 2);
        assert_eq!(
            three.to_string(),
            "3 problems with the input\n  a: is cut (again)\n  b: is cut (again)\n  c: is cut (or not)"
        );
        assert_eq!(Error::from(three).help(), None);
        let many = InputError::all((0..25).map(|i| refused(&format!("f{i}"), "again"))).unwrap();
        let text = many.to_string();
        assert_eq!(text.lines().count(), 1 + MOST_REFUSED_SHOWN + 1);
        assert!(text.ends_with("\n  f19: is cut\n  and 5 more"), "{text}");
    }

    #[test]
    fn a_lasting_fault_among_passing_ones_is_not_tried_again() {
        let passing = InputError { transient: true, ..refused("a", "") };
        assert!(Error::from(InputError::all([passing.clone(), passing.clone()]).unwrap()).is_transient());
        assert!(!Error::from(InputError::all([passing, refused("b", "")]).unwrap()).is_transient());
    }

    #[test]
    fn errors_of_earlier_versions_are_read() {
        let text = serde_json::to_string(&refused("a", "again")).unwrap();
        assert!(!text.contains("others"));
        assert_eq!(serde_json::from_str::<InputError>(&text).unwrap(), refused("a", "again"));
    }
}
