//! What can go wrong, by whose hands it can be mended.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::printable::{Shown, printable};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure. The variants are the classes a caller acts on: the command line turns each into an exit code. As JSON it
/// comes back from wherever a task ran.
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
    /// A place that cannot be written to.
    #[error("{}: {}", Shown(path), printable(message))]
    Output {
        /// The file or folder.
        path: PathBuf,
        /// What happened.
        message: String,
        /// What to change, where that is known.
        help: Option<String>,
    },
    /// A dataset that breaks a promise.
    #[error(transparent)]
    Validation(#[from] ValidationError),
    /// Tasks that could not be run, whoever was to run them.
    #[error("{}", printable(_0))]
    Executor(String),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// What the user can do about it, where that is known.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Data { help, .. } => Some(help),
            Self::Input(e) => e.help.as_deref(),
            Self::Output { help, .. } => help.as_deref(),
            Self::Config(_) | Self::Validation(_) | Self::Executor(_) | Self::Interrupted => None,
        }
    }

    /// True where the same work may succeed another time, or on another machine.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Input(e) => e.transient,
            Self::Output { .. } => true,
            Self::Config(_) | Self::Data { .. } | Self::Validation(_) | Self::Executor(_) | Self::Interrupted => false,
        }
    }

    /// An output failure at `path`.
    pub(crate) fn output(path: &Path, cause: impl fmt::Display) -> Self {
        Self::Output { path: path.to_owned(), message: cause.to_string(), help: None }
    }

    /// A work file that cannot be read back, or not as it was written.
    pub(crate) fn read_back(path: &Path, cause: &std::io::Error) -> Self {
        let damaged = cause.kind() == std::io::ErrorKind::InvalidData;
        let help = "delete the work folder and run again; if it happens again, check the disk and the memory";
        Self::Output {
            path: path.to_owned(),
            message: format!("cannot read back the work file: {cause}"),
            help: damaged.then(|| help.to_owned()),
        }
    }

    /// A shortage of data with its cure.
    pub(crate) fn data(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Data { message: message.into(), help: help.into() }
    }
}

/// Every problem found in the settings, all at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigError {
    /// One line a problem: where the setting came from, its key and what is wrong with it.
    pub problems: Vec<String>,
}

impl ConfigError {
    /// A single problem.
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

/// A refused input: the file, the place in it, and the cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputError {
    /// The file.
    pub path: PathBuf,
    /// The record, counted from 0, where the trouble lies in one.
    pub record: Option<u64>,
    /// The byte of the (decompressed) DBN stream, or of the file for trouble in the compression.
    pub byte: Option<u64>,
    /// What is wrong.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
    /// The file itself may be fine: reading it again may succeed.
    pub transient: bool,
}

impl InputError {
    /// Trouble with a file as a whole.
    pub fn new(path: &Path, message: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            record: None,
            byte: None,
            message: message.to_string(),
            help: None,
            transient: false,
        }
    }

    /// A file that the system or a decoder does not let us read.
    pub(crate) fn unreadable(path: &Path, cause: impl fmt::Display) -> Self {
        Self::new(path, format!("cannot be read: {cause}"))
    }

    /// A read that failed: for good, where the file is not there or not ours to read.
    pub(crate) fn unread(path: &Path, cause: std::io::Error) -> Self {
        use std::io::ErrorKind::{InvalidInput, IsADirectory, NotFound, PermissionDenied, Unsupported};
        let last = [InvalidInput, IsADirectory, NotFound, PermissionDenied, Unsupported].contains(&cause.kind());
        Self { transient: !last, ..Self::unreadable(path, cause) }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, record: Option<u64>, byte: u64) -> Self {
        self.record = record;
        self.byte = Some(byte);
        self
    }

    /// Adds the cure.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

impl std::error::Error for InputError {}

/// Every broken promise found in an output folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationError {
    /// The folder.
    pub path: PathBuf,
    /// One line a violation: the file, the row and the reason.
    pub violations: Vec<String>,
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: validation failed", Shown(&self.path))?;
        self.violations.iter().try_for_each(|v| write!(f, "\n  {}", printable(v)))
    }
}

impl std::error::Error for ValidationError {}
