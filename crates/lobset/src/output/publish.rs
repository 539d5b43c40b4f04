//! Where work happens, and how its result appears all at once.
//!
//! A result is put together in the work folder beside OUT and takes OUT's place when it is complete. Where OUT exists, the
//! two folders are swapped in one step. Where the system or the file system cannot do that, OUT is renamed to `replaced` in
//! the work folder, and the result to OUT: for a moment there is no OUT. If that fails, `replaced` goes back at once, and if
//! the process is killed in between, the next run on the same OUT puts it back.
//!
//! | in the work folder | is |
//! |---|---|
//! | `lock` | locked while a run is at work |
//! | `scans` | what the next run can go on from |
//! | `staged` | a result that is being put together; removed without a look |
//! | `replaced` | what OUT was, or a result about to become it; removed only when it is a dataset and nothing else, or empty |
//! | `discarded` | a dataset that is being removed, file by file and the manifest last |

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::storage;
use crate::storage::platform::{Platform, sync, sync_folder};

mod ours;
#[cfg(test)]
mod tests;

pub use ours::is_manifest;
use ours::{check_file, check_folder, kind_of, remove_dataset};

/// The file without which a folder is no dataset.
pub const MANIFEST: &str = "manifest.json";

/// How often a lock is tried for whose file has gone in the meantime.
const LOCK_TRIES: usize = 100;

/// The work folder beside OUT, locked against a second run. It outlives a run that dies, for the next one to go on from.
pub struct Workspace {
    out: PathBuf,
    overwrite: bool,
    folder: PathBuf,
    platform: Platform,
    /// Holds the lock.
    _lock: File,
}

impl Workspace {
    /// Opens the work folder of `out`, puts back what a run that was killed had moved out of its place, and clears away a
    /// result that was never published.
    ///
    /// # Errors
    /// [`Error::Output`] when OUT exists and may not be replaced, or another run works on it.
    pub fn open(out: &Path, overwrite: bool) -> Result<Self> {
        Self::beside(out, overwrite, Platform::here(), check_folder)
    }

    /// Opens the work folder of an `out` that is a file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_file(out: &Path, overwrite: bool) -> Result<Self> {
        Self::beside(out, overwrite, Platform::here(), check_file)
    }

    fn beside(
        out: &Path,
        overwrite: bool,
        platform: Platform,
        check: impl Fn(&Path, bool) -> Result<()>,
    ) -> Result<Self> {
        let folder = work_folder(out).ok_or_else(|| Error::output(out, "is no name for a folder"))?;
        check(out, overwrite)?;
        let lock = lock(&folder, out)?;
        let workspace = Self { out: out.to_owned(), overwrite, folder, platform, _lock: lock };
        workspace.clear_staged()?;
        // What a killed run had moved away may be back.
        check(out, overwrite)?;
        fs::create_dir_all(workspace.scans()).map_err(|e| Error::output(&workspace.scans(), e))?;
        Ok(workspace)
    }

    /// Where the result is put together.
    pub fn staged(&self) -> PathBuf {
        self.folder.join("staged")
    }

    /// Where tapes and what is known of them lie.
    pub fn scans(&self) -> PathBuf {
        self.folder.join("scans")
    }

    /// The work folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn replaced(&self) -> PathBuf {
        self.folder.join("replaced")
    }

    fn discarded(&self) -> PathBuf {
        self.folder.join("discarded")
    }

    /// Removes what a run that failed or died had put together. Puts OUT back first, if it was moved out of its place.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed or put back.
    pub fn clear_staged(&self) -> Result<()> {
        remove_dataset(&self.discarded())?;
        if exists(&self.replaced())? {
            match (exists(&self.out)?, exists(&self.staged())?) {
                (false, _) => self.put_back()?,
                // The result took the place of what stood there.
                (true, false) => self.discard_replaced()?,
                (true, true) => {
                    return Err(Error::Output {
                        path: self.replaced(),
                        message: format!(
                            "was moved out of the way by a run that was killed, and something else stands at {} now",
                            self.out.display()
                        ),
                        help: Some("move one of the two somewhere else, and run again".to_owned()),
                    });
                }
            }
        }
        remove(&self.staged())
    }

    /// Makes the staged folder durable and puts it in OUT's place.
    ///
    /// # Errors
    /// [`Error::Output`] when a step fails. OUT is then what it was, unless the error names the work folder: there lies
    /// what could not be put back or not be removed.
    pub fn publish(&self) -> Result<()> {
        let staged = self.staged();
        self.platform.sync_all_in(&staged).map_err(|e| Error::output(&staged, format!("cannot be synced: {e}")))?;
        // OUT may have appeared or changed since the run began.
        check_folder(&self.out, self.overwrite)?;
        if !exists(&self.out)? {
            self.platform.rename_new(&staged, &self.out).map_err(|e| self.not_placed(&e))?;
            return self.sync_names();
        }
        // What `exchange` leaves behind must not bear the name that is removed without a look.
        let replaced = self.replaced();
        self.platform.rename(&staged, &replaced).map_err(|e| self.not_placed(&e))?;
        if self.platform.exchange(&replaced, &self.out).map_err(|e| self.not_placed(&e))? {
            if let Err(error) = check_folder(&replaced, true) {
                self.platform.exchange(&replaced, &self.out).map_err(|e| self.not_put_back(&e))?;
                return Err(at(error, &self.out));
            }
        } else {
            self.platform.rename(&replaced, &staged).map_err(|e| self.not_placed(&e))?;
            self.replace_in_two_steps()?;
        }
        self.sync_names()?;
        self.discard_replaced()
    }

    /// Writes OUT as one file, durably, and whole or not at all; it replaces a thresholds file, with `overwrite`, or nothing.
    ///
    /// # Errors
    /// [`Error::Output`] when a step fails; OUT is then what it was.
    pub fn publish_file(&self, text: &str) -> Result<()> {
        let staged = self.staged();
        let write = || {
            let mut file = File::create(&staged)?;
            file.write_all(text.as_bytes())?;
            sync(&file)
        };
        write().map_err(|e| Error::output(&staged, e))?;
        // OUT may have appeared or changed since the run began.
        let renamed = if self.overwrite && exists(&self.out)? {
            check_file(&self.out, true)?;
            self.platform.rename(&staged, &self.out)
        } else {
            self.platform.rename_new(&staged, &self.out)
        };
        renamed.map_err(|e| self.not_placed(&e))?;
        self.sync_names()
    }

    /// OUT to `replaced`, the result to OUT.
    fn replace_in_two_steps(&self) -> Result<()> {
        self.platform.rename(&self.out, &self.replaced()).map_err(|e| self.not_placed(&e))?;
        let placed = check_folder(&self.replaced(), true)
            .map_err(|e| at(e, &self.out))
            // On disk, OUT must not be the result before `replaced` is what OUT was.
            .and_then(|()| self.sync_names())
            .and_then(|()| self.platform.rename_new(&self.staged(), &self.out).map_err(|e| self.not_placed(&e)));
        if placed.is_err() {
            self.put_back()?;
        }
        placed
    }

    fn put_back(&self) -> Result<()> {
        self.platform.rename_new(&self.replaced(), &self.out).map_err(|e| self.not_put_back(&e))?;
        self.sync_names()
    }

    /// Removes what the result has replaced, if it is what may be replaced.
    fn discard_replaced(&self) -> Result<()> {
        let replaced = self.replaced();
        check_folder(&replaced, true)?;
        // Half removed it must not go back to OUT.
        self.platform.rename(&replaced, &self.discarded()).map_err(|e| Error::output(&replaced, e))?;
        remove_dataset(&self.discarded())
    }

    /// Makes the names beside OUT and in the work folder durable.
    fn sync_names(&self) -> Result<()> {
        for folder in [&self.folder, parent(&self.out)] {
            sync_folder(folder).map_err(|e| Error::output(folder, format!("cannot be synced: {e}")))?;
        }
        Ok(())
    }

    #[cold]
    fn not_placed(&self, cause: &io::Error) -> Error {
        if cause.kind() == io::ErrorKind::AlreadyExists {
            return Error::Output {
                path: self.out.clone(),
                message: "appeared while the run was at work".to_owned(),
                help: Some("choose another name, or replace it with --overwrite".to_owned()),
            };
        }
        Error::output(&self.out, format!("cannot be put in place: {cause}"))
    }

    #[cold]
    fn not_put_back(&self, cause: &io::Error) -> Error {
        Error::Output {
            path: self.out.clone(),
            message: format!("cannot be put back: {cause}; what it was is {}", self.replaced().display()),
            help: Some("move it back by hand, or run again".to_owned()),
        }
    }

    /// Removes the scans, whose work is done: what is not on disk yet need not get there.
    ///
    /// # Errors
    /// [`Error::Output`] when they cannot be removed.
    pub fn clear_scans(&self) -> Result<()> {
        remove(&self.scans())
    }

    /// Removes the work folder.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be removed.
    pub fn remove(self) -> Result<()> {
        self.clear_staged()?;
        remove(&self.folder)
    }
}

/// The work folder of an OUT; `None` for a path without a name, such as `..`.
pub fn work_folder(out: &Path) -> Option<PathBuf> {
    let mut work = OsString::from(".");
    work.push(out.file_name()?);
    work.push(".lobset-work");
    Some(parent(out).join(work))
}

/// The folder that a path lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a work folder, if it is not there, and locks it.
fn lock(folder: &Path, out: &Path) -> Result<File> {
    let path = folder.join("lock");
    let busy = || Error::Output {
        path: out.to_owned(),
        message: "another run is working on it".to_owned(),
        help: Some(format!("wait for it to end; its work folder is {}", folder.display())),
    };
    for _ in 0..LOCK_TRIES {
        fs::create_dir_all(folder).map_err(|e| Error::output(folder, e))?;
        let file = match File::create(&path) {
            // The run before has just removed the folder.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(|e| Error::output(&path, e))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(busy()),
            Err(TryLockError::Error(e)) => return Err(Error::output(&path, format!("cannot be locked: {e}"))),
        }
        // A run that ends removes its lock file while it holds the lock: a lock on that keeps nobody out.
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let held = file.metadata().map(identity).map_err(|e| Error::output(&path, e))?;
        if fs::metadata(&path).map(identity).is_ok_and(|named| named == held) {
            return Ok(file);
        }
    }
    Err(busy())
}

fn exists(path: &Path) -> Result<bool> {
    Ok(kind_of(path)?.is_some())
}

/// The same error about another path.
fn at(error: Error, path: &Path) -> Error {
    match error {
        Error::Output { message, help, .. } => Error::Output { path: path.to_owned(), message, help },
        other => other,
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_file() { storage::remove(path) } else { storage::remove_all(path) };
    removed.map_err(|e| Error::output(path, format!("cannot be removed: {e}")))
}

/// Writes a small file under another name first, so that it is there whole or not at all.
///
/// # Errors
/// [`Error::Output`] when it cannot be written.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).map_err(|e| Error::output(path, e))
}
