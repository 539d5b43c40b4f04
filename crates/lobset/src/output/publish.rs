//! The work folder of a run, and the atomic publication of its result.
//!
//! A result is assembled in the work folder next to OUT, and takes OUT's place when it is complete. If OUT exists, the
//! two folders are swapped in one step. Where the operating system or the file system cannot swap, OUT is renamed to
//! `replaced` in the work folder, and the result is then renamed to OUT. In between, OUT does not exist. If the second
//! rename fails, `replaced` is moved back at once; if the process is killed in between, the next run on the same OUT
//! moves it back.
//!
//! | in the work folder | contents |
//! |---|---|
//! | `lock` | nothing; locked during a run |
//! | `scans` | scans that the next run can reuse |
//! | `movements.f64` | the movements of the current run |
//! | `staged` | a result being assembled; removed without a check |
//! | `replaced` | the old OUT, or the next one; removed only if it is a dataset and nothing else, or empty |
//! | `discarded` | a dataset being removed, file by file and the manifest last |
//!
//! A run over tasks keeps its work files in folders next to these. Links in the work folder are never followed, and
//! entries that no run creates are not removed.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Cause, Error, Result};
use crate::printable::Shown;
use crate::storage;
use crate::storage::platform::{Platform, sync, sync_folder};

mod lock;
mod names;
mod ours;
#[cfg(test)]
mod tests;

use lock::{Lock, identity};
pub use names::{
    CARD, DATASETS, MANIFEST, MARKER, MOVEMENT_TAPE, MOVEMENTS, RECEIPTS, REPORT, SEGMENTS, TAPES, THRESHOLDS,
};
use names::{DISCARDED, REPLACED, SCANS, STAGED};
pub use ours::is_manifest;
use ours::{check_around, check_file, check_folder, check_staged, kind_of, remove_dataset};

/// Refuses an OUT that exists and may not be replaced, or that is inside a dataset. Changes nothing.
///
/// # Errors
/// [`Error::Output`] with the reason.
pub fn check_out(out: &Path, overwrite: bool) -> Result<()> {
    check_folder(out, overwrite)?;
    check_around(parent(out))
}

/// The entries that runs create in a work folder, and whether each is a folder.
const ENTRIES: [(&str, bool); 12] = [
    (lock::NAME, false),
    (SCANS, true),
    (STAGED, true),
    (REPLACED, true),
    (DISCARDED, true),
    (MOVEMENT_TAPE, false),
    (MARKER, false),
    (RECEIPTS, true),
    (TAPES, true),
    (MOVEMENTS, true),
    (SEGMENTS, true),
    (DATASETS, true),
];

/// The work folder next to OUT, locked against a second run. If a run dies, the folder remains, so that the next run
/// can resume.
pub struct Workspace {
    out: PathBuf,
    overwrite: bool,
    folder: PathBuf,
    platform: Platform,
    lock: Lock,
    /// Whether an earlier run left finished scans.
    inherits: bool,
}

impl Workspace {
    /// Opens the work folder of `out`, moves back what a killed run had moved away from OUT, and removes a result that
    /// was never published.
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
        let folder = work_folder(out).ok_or_else(|| Error::output(out, "is not a valid name for a folder"))?;
        check(out, overwrite)?;
        check_around(parent(out))?;
        let lock = Lock::take(&folder, out)?;
        let mut workspace = Self { out: out.to_owned(), overwrite, folder, platform, lock, inherits: false };
        workspace.check_entries()?;
        workspace.clear_staged()?;
        // `clear_staged` may have moved back what a killed run had moved away.
        check(out, overwrite)?;
        fs::create_dir_all(workspace.scans()).map_err(|e| Error::output(&workspace.scans(), e))?;
        workspace.inherits = workspace.finished_scans() > 0;
        Ok(workspace)
    }

    /// Refuses a work folder with an entry of a type that no run creates.
    fn check_entries(&self) -> Result<()> {
        for (name, is_folder) in ENTRIES {
            let path = self.folder.join(name);
            let message = match kind_of(&path)? {
                Some(kind) if kind.is_symlink() => "is a symbolic link, which no run creates",
                Some(kind) if is_folder && !kind.is_dir() => "is not a folder",
                Some(kind) if !is_folder && !kind.is_file() => "is not a regular file",
                _ => continue,
            };
            let help = Some("move it elsewhere: work files go there".to_owned());
            return Err(Error::Output { path, message: message.to_owned(), help });
        }
        Ok(())
    }

    /// The folder in which the result is assembled.
    pub fn staged(&self) -> PathBuf {
        self.folder.join(STAGED)
    }

    /// The folder of the tapes and their descriptions.
    pub fn scans(&self) -> PathBuf {
        self.folder.join(SCANS)
    }

    /// The work folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn replaced(&self) -> PathBuf {
        self.folder.join(REPLACED)
    }

    fn discarded(&self) -> PathBuf {
        self.folder.join(DISCARDED)
    }

    /// Removes the result of a run that failed or died. Moves OUT back first, if that run had moved it away.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed or put back.
    pub fn clear_staged(&self) -> Result<()> {
        // If the lock file is gone, another run may be working here by now.
        self.lock.check()?;
        remove_dataset(&self.discarded())?;
        if exists(&self.replaced())? {
            match (exists(&self.out)?, exists(&self.staged())?) {
                (false, _) => self.put_back()?,
                // The result has already taken OUT's place.
                (true, false) => self.discard_replaced()?,
                (true, true) => {
                    return Err(Error::Output {
                        path: self.replaced(),
                        message: format!(
                            "was moved aside by a run that was killed, and there is now something else at {}",
                            Shown(&self.out)
                        ),
                        help: Some("move one of the two elsewhere, and run again".to_owned()),
                    });
                }
            }
        }
        remove(&self.staged())
    }

    /// Checks that a result may take OUT's place, as far as this can be checked in advance.
    ///
    /// # Errors
    /// [`Error::Output`] when it may not.
    pub fn check_place(&self) -> Result<()> {
        // OUT may have appeared or changed since the run began.
        check_folder(&self.out, self.overwrite)?;
        self.lock.check()
    }

    /// Syncs the staged folder to disk and moves it to OUT's place. Returns a message for the user if something goes
    /// wrong after that.
    ///
    /// # Errors
    /// [`Error::Output`] when a step fails. OUT is then unchanged, unless the error names the work folder, which then
    /// contains what could not be moved back.
    pub fn publish(&self) -> Result<Option<String>> {
        let staged = self.staged();
        self.platform.sync_all_in(&staged).map_err(|e| Error::failed(&staged, "cannot be synced", &e))?;
        check_staged(&staged)?;
        self.check_place()?;
        let ours = identity(&staged).map_err(|e| Error::output(&staged, e))?;
        let replaces = exists(&self.out)?;
        if replaces {
            self.replace()?;
        } else {
            self.platform.rename_new(&staged, &self.out).map_err(|e| self.not_placed(&e))?;
        }
        self.placed(ours, || if replaces { self.discard_replaced() } else { Ok(()) })
    }

    /// Checks that OUT is what was staged, and finishes the publication. Returns a message if finishing fails.
    fn placed(&self, ours: (u64, u64), clear: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
        if identity(&self.out).ok() != Some(ours) {
            return Err(Error::output(
                &self.out,
                "is not the folder that this run has put there: something else replaced it",
            ));
        }
        // From here on OUT is complete.
        let finished = self.sync_names().and_then(|()| clear());
        Ok(finished.err().map(|error| format!("{} is complete, but {error}", Shown(&self.out))))
    }

    /// Moves the staged folder to OUT's place, and OUT to `replaced`.
    fn replace(&self) -> Result<()> {
        // `exchange` must not leave the old OUT under the name `staged`, which is removed without a check.
        let (staged, replaced) = (self.staged(), self.replaced());
        self.platform.rename(&staged, &replaced).map_err(|e| self.not_placed(&e))?;
        if !self.platform.exchange(&replaced, &self.out).map_err(|e| self.not_placed(&e))? {
            self.platform.rename(&replaced, &staged).map_err(|e| self.not_placed(&e))?;
            return self.replace_in_two_steps();
        }
        if let Err(error) = check_folder(&replaced, true) {
            self.platform.exchange(&replaced, &self.out).map_err(|e| self.not_put_back(&e))?;
            return Err(at(error, &self.out));
        }
        Ok(())
    }

    /// Writes OUT as one file, durably and atomically. With `overwrite`, it may replace a thresholds file; without it,
    /// it replaces nothing. Returns a message for the user if something goes wrong after that.
    ///
    /// # Errors
    /// [`Error::Output`] when a step fails; OUT is then unchanged.
    pub fn publish_file(&self, text: &str) -> Result<Option<String>> {
        // The file is staged in a folder: the next run refuses a `staged` that is not one.
        let staged = self.staged().join("file");
        let write = || {
            fs::create_dir_all(self.staged())?;
            let mut file = storage::create(&staged)?;
            file.write_all(text.as_bytes())?;
            sync(&file)?;
            identity(&staged)
        };
        let ours = write().map_err(|e| Error::output(&staged, e))?;
        self.lock.check()?;
        // OUT may have appeared or changed since the run began.
        let renamed = if self.overwrite && exists(&self.out)? {
            check_file(&self.out, true)?;
            self.platform.rename(&staged, &self.out)
        } else {
            self.platform.rename_new(&staged, &self.out)
        };
        renamed.map_err(|e| self.not_placed(&e))?;
        self.placed(ours, || Ok(()))
    }

    /// Renames OUT to `replaced`, then the result to OUT.
    fn replace_in_two_steps(&self) -> Result<()> {
        self.platform.rename(&self.out, &self.replaced()).map_err(|e| self.not_placed(&e))?;
        let placed = check_folder(&self.replaced(), true)
            .map_err(|e| at(e, &self.out))
            // The rename to `replaced` must be on disk before the rename to OUT.
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

    /// Removes what the result has replaced, if `--overwrite` may replace it.
    fn discard_replaced(&self) -> Result<()> {
        let replaced = self.replaced();
        check_folder(&replaced, true)?;
        // A partly removed folder must not be moved back to OUT.
        self.platform.rename(&replaced, &self.discarded()).map_err(|e| Error::output(&replaced, e))?;
        remove_dataset(&self.discarded())
    }

    /// Syncs the work folder and the parent of OUT, so that their renames are durable.
    fn sync_names(&self) -> Result<()> {
        for folder in [&self.folder, parent(&self.out)] {
            sync_folder(folder).map_err(|e| Error::failed(folder, "cannot be synced", &e))?;
        }
        Ok(())
    }

    #[cold]
    fn not_placed(&self, cause: &io::Error) -> Error {
        if cause.kind() == io::ErrorKind::AlreadyExists {
            return Error::Output {
                path: self.out.clone(),
                message: "appeared during the run".to_owned(),
                help: Some("choose another name, or pass --overwrite to replace it".to_owned()),
            };
        }
        Error::failed(&self.out, "cannot be moved into place", cause)
    }

    #[cold]
    fn not_put_back(&self, cause: &io::Error) -> Error {
        Error::Output {
            path: self.out.clone(),
            message: format!(
                "cannot be restored: {}; its previous contents are in {}",
                cause.text(),
                Shown(&self.replaced())
            ),
            help: Some("move it back by hand, or run again".to_owned()),
        }
    }

    /// Removes the scans, which are no longer needed, so that the system does not have to write out what is not on disk
    /// yet.
    ///
    /// # Errors
    /// [`Error::Output`] when they cannot be removed.
    pub fn clear_scans(&self) -> Result<()> {
        self.lock.check()?;
        remove(&self.scans())
    }

    /// Number of finished scans that the next run can reuse.
    pub fn finished_scans(&self) -> usize {
        let entries = fs::read_dir(self.scans()).into_iter().flatten().flatten();
        entries.filter(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "json")).count()
    }

    /// True when an earlier run had left finished scans before this one began.
    pub fn inherits_scans(&self) -> bool {
        self.inherits
    }

    /// Removes everything except finished scans.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed.
    pub fn clear_unfinished(&self) -> Result<()> {
        self.clear_staged()?;
        remove(&self.folder.join(MOVEMENT_TAPE))
    }

    /// Removes everything that runs have created in the work folder, and the folder if it is then empty.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed.
    pub fn remove(self) -> Result<()> {
        self.clear_staged()?;
        // The lock file is removed last: until then no other run works here.
        for (name, _) in ENTRIES.iter().rev().filter(|(name, _)| ![REPLACED, DISCARDED].contains(name)) {
            remove(&self.folder.join(name))?;
        }
        match fs::remove_dir(&self.folder) {
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => Err(Error::Output {
                path: self.folder.clone(),
                message: "contains files that no run of lobset has created, so it is kept".to_owned(),
                help: None,
            }),
            removed => {
                storage::absent_is_fine(removed).map_err(|e| Error::failed(&self.folder, "cannot be removed", &e))
            }
        }
    }
}

/// The work folder of an OUT; `None` for a path without a name, such as `..`.
pub fn work_folder(out: &Path) -> Option<PathBuf> {
    let mut work = OsString::from(".");
    work.push(out.file_name()?);
    work.push(".lobset-work");
    Some(parent(out).join(work))
}

/// The parent folder of a path; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn exists(path: &Path) -> Result<bool> {
    Ok(kind_of(path)?.is_some())
}

/// The same error with another path.
fn at(error: Error, path: &Path) -> Error {
    match error {
        Error::Output { message, help, .. } => Error::Output { path: path.to_owned(), message, help },
        other => other,
    }
}

fn remove(path: &Path) -> Result<()> {
    let removed = match kind_of(path)? {
        Some(kind) if kind.is_dir() => storage::remove_all(path),
        _ => storage::remove(path),
    };
    removed.map_err(|e| Error::failed(path, "cannot be removed", &e))
}

/// Writes a small file atomically: under another name, then renamed.
///
/// # Errors
/// [`Error::Output`] when it cannot be written.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let write = || {
        storage::create(&partial)?.write_all(text.as_bytes())?;
        fs::rename(&partial, path)
    };
    write().map_err(|e| Error::output(path, e))
}
