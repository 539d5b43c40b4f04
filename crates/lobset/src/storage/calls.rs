//! System calls whose errors may not be failures.

use std::io;

/// Repeats a call while signals interrupt it.
///
/// # Errors
/// All except `Interrupted`.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Treats the removal of something absent as success.
///
/// # Errors
/// All except `NotFound`.
pub(crate) fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
