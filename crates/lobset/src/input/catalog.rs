//! The data files in order of time.

use std::path::{Path, PathBuf};

use super::batch::verified;
use super::find::{Beside, Found, FoundFile};
use super::schemas::explain_schemas;
use super::{DbnReader, Head};
use crate::error::{Error, InputError, Result};
use crate::storage::{self, Stat};

/// An input file and the time at which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Path or URL of the file.
    pub path: PathBuf,
    /// Size and identity of the file when the run began.
    pub stat: Stat,
    /// The stamps of the first records.
    pub head: Head,
    /// What the support files next to the file say about it.
    pub beside: Beside,
}

impl CatalogFile {
    /// The name of the file without its folders.
    pub fn name(&self) -> String {
        storage::file_name(&self.path)
    }

    /// The sort key that orders files by time; files without records come last.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        let middle = self.head.middle();
        (middle.is_none(), middle, self.name(), self.path.clone())
    }
}

impl CatalogFile {
    /// Refuses a file that has changed since the run began.
    ///
    /// # Errors
    /// [`InputError`] when its size or its identity differs, or it no longer exists.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        check_unchanged(&self.path, &self.stat)
    }
}

/// Refuses a file that has changed since it was `found`: data read from it earlier may be out of date.
///
/// # Errors
/// [`InputError`] when its size or its identity differs, or it no longer exists.
pub(crate) fn check_unchanged(path: &Path, found: &Stat) -> Result<()> {
    let now = storage::stat(path).map_err(|e| InputError::unread(path, e))?;
    let what = match () {
        () if now == *found => return Ok(()),
        () if now.bytes == found.bytes => "it was modified".to_owned(),
        () => format!("it had {} bytes and has {}", found.bytes, now.bytes),
    };
    Err(InputError::new(path, format!("has changed since the run began: {what}"))
        .with_help("run again, and make sure that nothing modifies the input during a run")
        .into())
}

/// Opens every file that was found and sorts the files by the median of their first stamps. Files without records come
/// last.
///
/// # Errors
/// [`InputError`] with every file that [`DbnReader`] refuses, or whose bytes differ from those that `manifest.json`
/// lists.
pub fn catalog(found: &Found) -> Result<Vec<CatalogFile>> {
    let (files, refused) = open_all(found)?;
    InputError::check(refused)?;
    Ok(files)
}

/// Like [`catalog`], but returns the errors of refused files together with the files that were accepted.
///
/// # Errors
/// Errors that do not concern a single file.
pub(crate) fn open_all(found: &Found) -> Result<(Vec<CatalogFile>, Vec<InputError>)> {
    let mut files = Vec::new();
    let mut refused = Vec::new();
    for FoundFile { path, stat, beside } in &found.files {
        let peek = || -> Result<Head> {
            let mut reader = DbnReader::open(path)?;
            let mut head = Head::default();
            while reader.advance()? && head.push(reader.record()?.event.ts_recv) {}
            Ok(head)
        };
        let peeked = peek().or_else(|error| verified(path, beside.sha256.as_deref(), Err(error), |_| String::new()));
        match peeked {
            Ok(head) => {
                files.push(CatalogFile { path: path.clone(), stat: stat.clone(), head, beside: beside.clone() });
            }
            Err(Error::Input(error)) => refused.push(error),
            Err(other) => return Err(other),
        }
    }
    files.sort_by_cached_key(CatalogFile::order);
    Ok((files, explain_schemas(refused, found)))
}

/// The total size of files in bytes, for progress reports.
pub fn total_bytes(files: &[CatalogFile]) -> u64 {
    files.iter().map(|f| f.stat.bytes).sum()
}
