//! Where work happens, and how its result appears all at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::error::{Error, Result};
use crate::storage;

/// The file without which a folder is no dataset.
pub const MANIFEST: &str = "manifest.json";

/// Above this number of files the whole file system is synced.
const MOST_SYNCED_SINGLY: usize = 64;

/// The work folder beside OUT, locked against a second run. It outlives a run that dies, for the next one to go on from.
pub struct Workspace {
    out: PathBuf,
    folder: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Workspace {
    /// Opens the work folder of `out`, and clears away a result that was never published.
    ///
    /// # Errors
    /// [`Error::Output`] when OUT exists and may not be replaced, or another run works on it.
    pub fn open(out: &Path, overwrite: bool) -> Result<Self> {
        check_folder(out, overwrite)?;
        Self::beside(out)
    }

    /// Opens the work folder of an `out` that is a file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_file(out: &Path, overwrite: bool) -> Result<Self> {
        if out.is_dir() || (out.exists() && !overwrite) {
            return Err(Error::Output {
                path: out.to_owned(),
                message: if out.is_dir() { "is a folder" } else { "exists" }.to_owned(),
                help: Some("choose another name for the file, or replace it with --overwrite".to_owned()),
            });
        }
        Self::beside(out)
    }

    fn beside(out: &Path) -> Result<Self> {
        let name = out.file_name().ok_or_else(|| Error::output(out, "is no name for a folder"))?;
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let folder = parent.join(format!(".{}.lobset-work", name.to_string_lossy()));
        fs::create_dir_all(&folder).map_err(|e| Error::output(&folder, e))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(|e| Error::output(&lock_path, e))?;
        lock.try_lock().map_err(|_| Error::Output {
            path: out.to_owned(),
            message: "another run is working on it".to_owned(),
            help: Some(format!("wait for it to end; its work folder is {}", folder.display())),
        })?;
        let workspace = Self { out: out.to_owned(), folder, _lock: lock };
        workspace.clear_staged()?;
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

    /// Removes what a run that failed or died had put together.
    ///
    /// # Errors
    /// [`Error::Output`] when it cannot be removed.
    pub fn clear_staged(&self) -> Result<()> {
        remove(&self.staged())?;
        remove(&self.folder.join("replaced"))
    }

    /// Makes the staged folder durable and puts it in OUT's place in one step.
    ///
    /// # Errors
    /// [`Error::Output`] when a step fails; OUT is then what it was.
    pub fn publish(&self) -> Result<()> {
        let staged = self.staged();
        sync_files(&staged)?;
        let fail = |e: rustix::io::Errno| Error::output(&self.out, format!("cannot be put in place: {e}"));
        if self.out.exists() {
            // The two folders trade places: at no moment is OUT missing or mixed.
            renameat_with(CWD, &staged, CWD, &self.out, RenameFlags::EXCHANGE).map_err(fail)?;
        } else {
            renameat_with(CWD, &staged, CWD, &self.out, RenameFlags::NOREPLACE).map_err(fail)?;
        }
        if let Some(parent) = self.folder.parent() {
            sync_folder(parent)?;
        }
        // What was replaced, if anything, stands in the staged place now.
        self.clear_staged()
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
        remove(&self.folder)
    }
}

fn check_folder(out: &Path, overwrite: bool) -> Result<()> {
    let Ok(found) = fs::symlink_metadata(out) else { return Ok(()) };
    let refuse = |message: &str, help: &str| {
        Err(Error::Output { path: out.to_owned(), message: message.to_owned(), help: Some(help.to_owned()) })
    };
    if !found.is_dir() {
        return refuse("exists and is no folder", "choose another name for the output folder");
    }
    if !overwrite {
        return refuse("exists", "choose another name, or replace it with --overwrite");
    }
    let empty = fs::read_dir(out).map_err(|e| Error::output(out, e))?.next().is_none();
    if !empty && !out.join(MANIFEST).is_file() {
        return refuse(
            "exists and is no dataset of lobset (it has no manifest.json), so --overwrite leaves it alone",
            "choose another name for the output folder",
        );
    }
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_file() { storage::remove(path) } else { storage::remove_all(path) };
    removed.map_err(|e| Error::output(path, format!("cannot be removed: {e}")))
}

/// Makes a folder and its files durable: a few files one by one, many with the rest of their file system at once, because
/// each call waits for the journal.
fn sync_files(folder: &Path) -> Result<()> {
    let fail = |e: &dyn std::fmt::Display| Error::output(folder, format!("cannot be synced: {e}"));
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>).map_err(|e| fail(&e))?;
    if entries.len() > MOST_SYNCED_SINGLY {
        let folder = File::open(folder).map_err(|e| fail(&e))?;
        return rustix::fs::syncfs(&folder).map_err(|e| fail(&e));
    }
    for entry in entries {
        File::open(entry.path()).and_then(|f| f.sync_all()).map_err(|e| fail(&e))?;
    }
    sync_folder(folder)
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| Error::output(path, e))
}

/// Writes a small file and makes it durable.
///
/// # Errors
/// [`Error::Output`] when it cannot be written.
pub fn write_durably(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| Error::output(path, e))
}

/// Writes a small file under another name first, so that it is there whole or not at all.
///
/// # Errors
/// [`Error::Output`] when it cannot be written.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).map_err(|e| Error::output(path, e))
}
