//! From what the user named (files, folders, globs) to DBN files in order of time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::DbnReader;
use crate::error::{InputError, Result};
use crate::storage::{self, Stat};

/// An input file and where it stands in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// `ts_recv` of its first record; `None` for a file without records.
    pub first_ts: Option<u64>,
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

/// Finds every file that `inputs` name, without opening any.
///
/// A folder stands for the `.dbn` and `.dbn.zst` files in it and below, and so does the URL of one; a path that does not
/// exist but holds `*`, `?` or `[` is a glob.
///
/// # Errors
/// [`InputError`] for a path that matches nothing, or a file named twice.
pub fn find<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<(PathBuf, Stat)>> {
    let mut seen: BTreeMap<PathBuf, (PathBuf, Stat)> = BTreeMap::new();
    for input in inputs {
        for (path, stat) in expand(&storage::plain(input.as_ref()))? {
            let real = if storage::is_url(&path) {
                path.clone()
            } else {
                fs::canonicalize(&path).map_err(|e| InputError::unread(&path, e))?
            };
            if let Some((other, _)) = seen.insert(real, (path.clone(), stat)) {
                return Err(
                    InputError::new(&path, format!("is given twice, the other time as {}", other.display())).into()
                );
            }
        }
    }
    Ok(seen.into_values().collect())
}

/// Opens every file that `inputs` name and puts them in order of their first `ts_recv`; files without records come last.
///
/// # Errors
/// As [`find`], and [`InputError`] for a file that [`DbnReader`] refuses.
pub fn catalog<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<CatalogFile>> {
    let mut files = Vec::new();
    for (path, stat) in find(inputs)? {
        let mut reader = DbnReader::open(&path)?;
        let first_ts = if reader.advance()? { Some(reader.record()?.ts_recv) } else { None };
        files.push(CatalogFile { path, bytes: stat.bytes, first_ts });
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

fn expand(input: &Path) -> Result<Vec<(PathBuf, Stat)>> {
    let help = "name .dbn or .dbn.zst files, folders that hold them, or a quoted glob such as 'data/*.dbn.zst'";
    if storage::is_url(input) && is_dbn(input) {
        return stat(input).map(|found| vec![found]);
    }
    if storage::is_url(input) || input.is_dir() {
        let files = walk(input)?;
        if files.is_empty() {
            return Err(InputError::new(input, "no .dbn or .dbn.zst file in this folder or below")
                .with_help(help)
                .into());
        }
        return Ok(files);
    }
    let pattern = input.to_string_lossy();
    if input.exists() || !pattern.contains(['*', '?', '[']) {
        return stat(input).map(|found| vec![found]);
    }
    let bad = |e: &dyn std::fmt::Display| InputError::new(input, format!("cannot be used as a glob: {e}"));
    let mut files = Vec::new();
    for entry in glob::glob(&pattern).map_err(|e| bad(&e))? {
        let path = entry.map_err(|e| bad(&e))?;
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(stat(&path)?);
        }
    }
    if files.is_empty() {
        return Err(InputError::new(input, "matches no file").with_help(help).into());
    }
    Ok(files)
}

fn stat(path: &Path) -> Result<(PathBuf, Stat)> {
    let stat = storage::stat(path).map_err(|e| InputError::unread(path, e))?;
    Ok((path.to_owned(), stat))
}

/// The DBN files below `folder`.
fn walk(folder: &Path) -> Result<Vec<(PathBuf, Stat)>> {
    let mut files = storage::list(folder).map_err(|e| InputError::unread(folder, e))?;
    files.retain(|(path, _)| is_dbn(path));
    Ok(files)
}

fn is_dbn(path: &Path) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    name.ends_with(".dbn") || name.ends_with(".dbn.zst")
}
