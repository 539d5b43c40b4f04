//! Reads Databento's small support files with a size limit, and shortens their contents for messages.

use std::fmt::Display;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::{InputError, Result};
use crate::storage;

/// Reads a file that must be no larger than `limit` bytes.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = storage::open(path).map_err(|e| InputError::unread(path, e))?;
    read_at_most(path, file, limit)
}

/// Like [`read_small`], for a file that need not exist.
pub(super) fn read_if_there(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    use ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    match storage::open(path) {
        Ok(file) => read_at_most(path, file, limit).map(Some),
        // Without permission to list, an object store may answer this for an object that does not exist.
        Err(e) if e.kind() == PermissionDenied && storage::is_url(path) => Ok(None),
        Err(e) if [IsADirectory, NotADirectory, NotFound].contains(&e.kind()) => Ok(None),
        Err(e) => Err(InputError::unread(path, e).into()),
    }
}

fn read_at_most(path: &Path, file: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The size of a local file costs nothing to query; in any case, no more than the limit is read.
    let large = !storage::is_url(path) && storage::stat(path).is_ok_and(|stat| stat.bytes > limit);
    if !large {
        file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| InputError::unread(path, e))?;
    }
    if large || bytes.len() as u64 > limit {
        let message =
            format!("is larger than {} MiB, which no {} from Databento is", limit >> 20, storage::file_name(path));
        return Err(InputError::new(path, message).with_help(elsewhere(path)).into());
    }
    Ok(bytes)
}

/// The help for a file whose contents do not match its name.
pub(super) fn elsewhere(path: &Path) -> String {
    format!("download {} again; if it is not from Databento, move it elsewhere", storage::file_name(path))
}

/// Formats an error or a value for a message, shortened and without control characters, since it may contain any part
/// of a file.
pub(super) fn brief(text: &impl Display) -> String {
    const MOST: usize = 200;
    let text = text.to_string();
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}
