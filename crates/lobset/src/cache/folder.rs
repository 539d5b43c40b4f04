//! Locates, lists and removes cache files.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::file::{Header, SUFFIX, UNFINISHED};
use crate::error::{Error, Result};
use crate::storage::absent_is_fine;

/// The environment variable that names the user's folder.
pub const VARIABLE: &str = "LOBSET_CACHE";

/// A folder of cache files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// A file in a [`Cache`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CachedFile {
    /// Its path.
    pub path: PathBuf,
    /// The dataset that it was built from.
    pub dataset: PathBuf,
    /// What it contains: `bins` of depth tensors, or `rows`.
    pub holds: String,
    /// The space that it takes on disk, in bytes.
    pub bytes: u64,
    /// Days since it was last modified; 0 for less than a day.
    pub days: u64,
    /// False if the file is still being built, or if its build never finished.
    pub finished: bool,
}

impl Cache {
    /// The user's folder: `$LOBSET_CACHE` if set, otherwise `lobset` in `$XDG_CACHE_HOME` or else in `~/.cache`.
    ///
    /// # Errors
    /// [`Error::Output`] when none of `LOBSET_CACHE`, `XDG_CACHE_HOME` and `HOME` is set.
    pub fn of_user() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || set("HOME").map(|home| home.join(".cache"));
        let folder = set(VARIABLE).or_else(|| set("XDG_CACHE_HOME").or_else(home).map(|folder| folder.join("lobset")));
        folder.map(Self::at).ok_or_else(|| Error::Output {
            path: PathBuf::from("lobset"),
            message: "there is no folder for cache files: HOME is not set".to_owned(),
            help: Some(format!("set {VARIABLE} to a folder")),
        })
    }

    /// A folder of the caller's choice. It is created when it is first used.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The cache files of the folder, by name. Other files are not listed.
    ///
    /// # Errors
    /// [`Error::Output`] when the folder cannot be read. A folder that does not exist has no files.
    pub fn files(&self) -> Result<Vec<CachedFile>> {
        let failed = |e: &io::Error| Error::failed(&self.folder, "cannot be read", e);
        let entries = match fs::read_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|e| failed(&e))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|e| failed(&e))?.path();
            files.extend(cached_file(path));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Removes the cache files of the folder that `chosen` accepts, and returns them. Processes that have a removed
    /// file open can still read it.
    ///
    /// # Errors
    /// [`Error::Output`] when the folder cannot be read, or a file cannot be removed.
    pub fn remove(&self, chosen: impl Fn(&CachedFile) -> bool) -> Result<Vec<CachedFile>> {
        let mut files = self.files()?;
        files.retain(chosen);
        for file in &files {
            absent_is_fine(fs::remove_file(&file.path))
                .map_err(|e| Error::failed(&file.path, "cannot be removed", &e))?;
        }
        Ok(files)
    }
}

/// The cache file at a path; `None` if it is not a cache file.
fn cached_file(path: PathBuf) -> Option<CachedFile> {
    let name = path.file_name()?.to_str()?;
    let finished = name.ends_with(SUFFIX);
    if !finished && !name.strip_suffix(UNFINISHED)?.ends_with(SUFFIX) {
        return None;
    }
    // Links are not followed.
    let found = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?;
    // Even an unfinished file has a header, unless it is empty.
    let header = Header::read(&fs::File::open(&path).ok()?).ok()?;
    let age = found.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    Some(CachedFile {
        bytes: disk_bytes(&found),
        days: age.map_or(0, |age| age.as_secs() / 86_400),
        dataset: header.dataset().to_owned(),
        holds: header.holds().to_owned(),
        path,
        finished,
    })
}

/// The space that a file takes on disk, in bytes. It can be less than its length: an unfinished file has holes.
fn disk_bytes(found: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    found.blocks() * 512
}
