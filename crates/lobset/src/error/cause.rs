//! What is said about the cause of a failure: its text, and a remedy where its kind implies one.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use parquet::errors::ParquetError;

/// A cause of a failed read or write.
pub trait Cause: Display {
    /// The kind of the underlying I/O error, if there is one.
    fn kind(&self) -> Option<ErrorKind> {
        None
    }

    /// The text of a message.
    fn text(&self) -> String {
        match self.kind() {
            Some(ErrorKind::AlreadyExists) => "already exists".to_owned(),
            _ => self.to_string(),
        }
    }
}

impl Cause for str {}
impl Cause for String {}
impl Cause for serde_json::Error {}

impl Cause for io::Error {
    fn kind(&self) -> Option<ErrorKind> {
        Some(Self::kind(self))
    }
}

impl Cause for ParquetError {
    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::External(cause) => cause.downcast_ref::<io::Error>().map(io::Error::kind),
            _ => None,
        }
    }
}

impl<T: Cause + ?Sized> Cause for &T {
    fn kind(&self) -> Option<ErrorKind> {
        T::kind(self)
    }
}

/// What the user can do about a failed write of this kind, if that is known.
pub(super) fn remedy(kind: ErrorKind) -> Option<&'static str> {
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
    match cause.kind() {
        // An error with a text of its own says more, as for a dangling link.
        ErrorKind::NotFound if cause.get_ref().is_none() => ("does not exist".to_owned(), Some("check the path")),
        ErrorKind::PermissionDenied => (format!("cannot be read: {cause}"), Some("check its permissions")),
        _ => (format!("cannot be read: {cause}"), None),
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
