//! Describes the cause of a failure: its text, and a remedy if its kind implies one.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind};

use parquet::errors::ParquetError;

/// A cause of a failed read or write.
pub trait Cause: Display {
    /// The underlying I/O error, if there is one.
    fn io(&self) -> Option<&io::Error> {
        None
    }

    /// The text of a message.
    fn text(&self) -> String {
        match self.io() {
            Some(cause) if cause.kind() == ErrorKind::AlreadyExists => "already exists".to_owned(),
            Some(cause) => plain(cause),
            None => self.to_string(),
        }
    }

    /// What the user can do about it, if that is known.
    fn remedy(&self) -> Option<&'static str> {
        let cause = self.io()?;
        explained(cause).map(|cause| cause.help).or_else(|| remedy(cause.kind()))
    }
}

/// The cause of an I/O error, with its own remedy.
#[derive(Debug, Clone)]
pub(crate) struct Explained {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

impl Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Explained {}

fn explained(cause: &io::Error) -> Option<&Explained> {
    cause.get_ref().and_then(|inner| inner.downcast_ref())
}

/// The text of an I/O error, without the error number that the standard library appends to system errors.
fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match cause.raw_os_error() {
        Some(number) => text.strip_suffix(&format!(" (os error {number})")).unwrap_or(&text).to_owned(),
        None => text,
    }
}

impl Cause for str {}
impl Cause for String {}
impl Cause for serde_json::Error {}

impl Cause for io::Error {
    fn io(&self) -> Option<&io::Error> {
        Some(self)
    }
}

impl Cause for ParquetError {
    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::External(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

impl<T: Cause + ?Sized> Cause for &T {
    fn io(&self) -> Option<&io::Error> {
        T::io(self)
    }
}

/// What the user can do about a failed write of this kind, if that is known.
fn remedy(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::PermissionDenied => Some("check the permissions, or choose another place"),
        ErrorKind::ReadOnlyFilesystem => Some("choose a place that is not read-only"),
        ErrorKind::NotADirectory => Some("a part of this path is a file: choose another path"),
        ErrorKind::AlreadyExists => Some("choose another place, or remove what is there"),
        ErrorKind::NotFound => Some("check that the folder exists"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("free some space, or choose another place"),
        ErrorKind::FileTooLarge => Some("raise the limit on the size of files (ulimit -f)"),
        ErrorKind::InvalidFilename => Some("choose a shorter name"),
        _ => None,
    }
}

/// Text and remedy for an input that cannot be read.
pub(crate) fn unread(cause: &io::Error) -> (String, Option<&'static str>) {
    if let Some(Explained { message, help }) = explained(cause) {
        return (message.clone(), Some(help));
    }
    let text = plain(cause);
    match cause.kind() {
        // An error with its own text says more, for example for a dangling link.
        ErrorKind::NotFound if cause.get_ref().is_none() => ("does not exist".to_owned(), Some("check the path")),
        ErrorKind::PermissionDenied => (format!("cannot be read: {text}"), Some("check its permissions")),
        _ => (format!("cannot be read: {text}"), None),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::{Error, InputError};

    #[test]
    fn failed_writes_come_with_a_remedy() {
        let path = Path::new("out");
        let kinds = [
            (ErrorKind::PermissionDenied, "permissions"),
            (ErrorKind::ReadOnlyFilesystem, "not read-only"),
            (ErrorKind::NotADirectory, "is a file"),
            (ErrorKind::AlreadyExists, "remove what is there"),
            (ErrorKind::NotFound, "folder exists"),
            (ErrorKind::StorageFull, "free some space"),
            (ErrorKind::QuotaExceeded, "free some space"),
            (ErrorKind::FileTooLarge, "ulimit -f"),
            (ErrorKind::InvalidFilename, "shorter name"),
        ];
        for (kind, help) in kinds {
            let wrapped = ParquetError::External(Box::new(io::Error::from(kind)));
            for error in [
                Error::output(path, io::Error::from(kind)),
                Error::output(path, &wrapped),
                Error::failed(path, "cannot be created", &io::Error::from(kind)),
            ] {
                assert!(error.help().is_some_and(|found| found.contains(help)), "{kind}: {:?}", error.help());
            }
        }
        assert_eq!(Error::output(path, "is damaged").help(), None);
        assert_eq!(Error::output(path, io::Error::from(ErrorKind::Interrupted)).help(), None);
    }

    #[test]
    fn a_cause_that_knows_its_remedy_keeps_it() {
        let cause = || {
            let explained = Explained { message: "there are no credentials".to_owned(), help: "set them" };
            io::Error::new(ErrorKind::PermissionDenied, explained)
        };
        let path = Path::new("s3://bucket");
        let error = InputError::unread(path, cause());
        assert_eq!(
            (error.to_string().as_str(), error.help.as_deref()),
            ("s3://bucket: there are no credentials", Some("set them"))
        );
        assert!(!error.transient);
        let error = Error::output(path, cause());
        assert_eq!(
            (error.to_string().as_str(), error.help()),
            ("s3://bucket: there are no credentials", Some("set them"))
        );
    }

    #[test]
    fn errors_of_the_system_have_no_number() {
        let system = || io::Error::from_raw_os_error(rustix::io::Errno::NOTDIR.raw_os_error());
        assert!(system().to_string().contains("os error"), "what this test is about");
        let path = Path::new("a/out");
        let written = Error::output(path, system());
        assert_eq!(written.to_string(), "a/out: Not a directory");
        assert_eq!(written.help(), Some("a part of this path is a file: choose another path"));
        assert_eq!(
            Error::failed(path, "cannot be synced", &system()).to_string(),
            "a/out: cannot be synced: Not a directory"
        );
        assert_eq!(InputError::unread(path, system()).to_string(), "a/out: cannot be read: Not a directory");
        let own = io::Error::other("a text of ours (os error 5)");
        assert_eq!(Error::output(path, own).to_string(), "a/out: a text of ours (os error 5)");
    }

    #[test]
    fn a_missing_input_is_named_in_plain_words() {
        let error = InputError::unread(Path::new("data"), ErrorKind::NotFound.into());
        assert_eq!(
            (error.to_string().as_str(), error.help.as_deref()),
            ("data: does not exist", Some("check the path"))
        );
        let link = io::Error::new(ErrorKind::NotFound, "is a dangling symbolic link");
        let error = InputError::unread(Path::new("data"), link);
        assert_eq!(error.to_string(), "data: cannot be read: is a dangling symbolic link");
    }
}
