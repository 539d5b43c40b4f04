//! Data files in order of time.

use std::path::{Path, PathBuf};

use super::DbnReader;
use super::batch::verified;
use super::find::{Beside, Found, FoundFile};
use super::schemas::explain_schemas;
use crate::error::Result;

/// An input file and where it stands in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// `ts_recv` of its first record; `None` for a file without records.
    pub first_ts: Option<u64>,
    /// What lies beside it.
    pub beside: Beside,
}

impl CatalogFile {
    /// The name without folders.
    pub fn name(&self) -> String {
        file_name(&self.path)
    }

    /// Sorts files by time; those without records come last.
    pub(crate) fn order(&self) -> impl Ord + use<> {
        (self.first_ts.is_none(), self.first_ts, self.name(), self.path.clone())
    }
}

/// Opens every file that was found and puts them in order of their first `ts_recv`; files without records come last.
///
/// # Errors
/// [`InputError`](crate::error::InputError) for a file that [`DbnReader`] refuses, or whose bytes are not those that `manifest.json` lists.
pub fn catalog(found: &Found) -> Result<Vec<CatalogFile>> {
    let mut files = Vec::new();
    for FoundFile { path, stat, beside } in &found.files {
        let peek = || -> Result<Option<u64>> {
            let mut reader = DbnReader::open(path)?;
            if reader.advance()? { Ok(Some(reader.record()?.ts_recv)) } else { Ok(None) }
        };
        let peeked =
            peek().or_else(|refused| verified(path, beside.sha256.as_deref(), Err(refused), |_| String::new()));
        let first_ts = peeked.map_err(|refused| explain_schemas(refused, found))?;
        files.push(CatalogFile { path: path.clone(), bytes: stat.bytes, first_ts, beside: beside.clone() });
    }
    files.sort_by_cached_key(CatalogFile::order);
    Ok(files)
}

/// The name of a file without its folders.
pub fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// The size of files together, for progress.
pub fn total_bytes(files: &[CatalogFile]) -> u64 {
    files.iter().map(|f| f.bytes).sum()
}
