//! From what the user named (files, folders, globs) to DBN files in order of time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::DbnReader;
use crate::error::{InputError, Result};

/// An input file and where it stands in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFile {
    /// Where it is.
    pub path: PathBuf,
    /// `ts_recv` of its first record; `None` for a file without records.
    pub first_ts: Option<u64>,
}

impl CatalogFile {
    /// The name without folders.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }
}

/// Opens every file that `inputs` name and puts them in order of their first `ts_recv`; files without records come last.
///
/// A folder stands for the `.dbn` and `.dbn.zst` files in it and below; a path that does not exist but holds `*`, `?`
/// or `[` is a glob.
///
/// # Errors
/// [`InputError`] for a path that matches nothing, a file named twice, or one that [`DbnReader`] refuses.
pub fn catalog<P: AsRef<Path>>(inputs: &[P]) -> Result<Vec<CatalogFile>> {
    let mut seen: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for input in inputs {
        for path in expand(input.as_ref())? {
            let real = fs::canonicalize(&path).map_err(|e| InputError::unreadable(&path, e))?;
            if let Some(other) = seen.insert(real, path.clone()) {
                return Err(
                    InputError::new(&path, format!("is given twice, the other time as {}", other.display())).into()
                );
            }
        }
    }
    let mut files = Vec::with_capacity(seen.len());
    for path in seen.into_values() {
        let mut reader = DbnReader::open(&path)?;
        let first_ts = if reader.advance()? { Some(reader.record()?.ts_recv) } else { None };
        files.push(CatalogFile { path, first_ts });
    }
    files.sort_by_cached_key(|f| (f.first_ts.is_none(), f.first_ts, f.name(), f.path.clone()));
    Ok(files)
}

/// The size of files together, for progress: one that cannot be asked counts for nothing.
pub fn total_bytes(files: &[CatalogFile]) -> u64 {
    files.iter().filter_map(|f| Some(fs::metadata(&f.path).ok()?.len())).sum()
}

fn expand(input: &Path) -> Result<Vec<PathBuf>> {
    let help = "name .dbn or .dbn.zst files, folders that hold them, or a quoted glob such as 'data/*.dbn.zst'";
    if input.is_dir() {
        let mut files = Vec::new();
        walk(input, &mut files)?;
        if files.is_empty() {
            return Err(InputError::new(input, "no .dbn or .dbn.zst file in this folder or below")
                .with_help(help)
                .into());
        }
        return Ok(files);
    }
    let pattern = input.to_string_lossy();
    if input.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![input.to_owned()]);
    }
    let bad = |e: &dyn std::fmt::Display| InputError::new(input, format!("cannot be used as a glob: {e}"));
    let mut files = Vec::new();
    for entry in glob::glob(&pattern).map_err(|e| bad(&e))? {
        let path = entry.map_err(|e| bad(&e))?;
        if path.is_dir() {
            walk(&path, &mut files)?;
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(InputError::new(input, "matches no file").with_help(help).into());
    }
    Ok(files)
}

/// Gathers DBN files below `folder`. Links to folders are not followed: they could lead in circles.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let refuse = |e: std::io::Error| InputError::new(folder, format!("cannot be listed: {e}"));
    for entry in fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let path = entry.path();
        if entry.file_type().map_err(refuse)?.is_dir() {
            walk(&path, files)?;
        } else if is_dbn(&path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn is_dbn(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    name.ends_with(".dbn") || name.ends_with(".dbn.zst")
}
