//! Tells a file apart from another that has replaced it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde::{Deserialize, Serialize};

/// Size and identity of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Its size.
    pub bytes: u64,
    /// Changes with the contents: an entity tag, or the modification time, status-change time and inode number of the
    /// file.
    pub version: String,
}

impl From<fs::Metadata> for Stat {
    fn from(found: fs::Metadata) -> Self {
        // The status-change time cannot be set back, and another file has another inode number.
        let times = [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())];
        let [changed, touched] = times.map(|(seconds, nanos)| format!("{seconds}.{nanos:09}"));
        Self { bytes: found.len(), version: format!("{changed} {touched} {}", found.ino()) }
    }
}

/// Refuses what is not a regular file: opening a named pipe waits for a writer, and a device has no end.
pub(super) fn regular(found: fs::Metadata) -> io::Result<Stat> {
    match special(found.file_type()) {
        None => Ok(found.into()),
        Some(what) => {
            let kind = if found.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
            Err(io::Error::new(kind, format!("is {what}, not a regular file")))
        }
    }
}

/// Describes what is there instead of a regular file; `None` for a regular file.
fn special(kind: fs::FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}
