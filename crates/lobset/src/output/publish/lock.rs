//! The lock of a work folder: one run at a time works on an output.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::ours::kind_of;
use crate::error::{Cause, Error, Result};
use crate::printable::Shown;
use crate::storage;

/// Name of the lock file in a work folder. The file is empty.
pub const NAME: &str = "lock";

/// How often locking is tried while other runs keep removing the lock file.
const TRIES: usize = 100;

/// A lock that is held until it is dropped or its process ends.
pub struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Creates a work folder if it does not exist, and locks it for the run that writes `out`.
    ///
    /// # Errors
    /// [`Error::Output`] when another run holds the lock, or the folder or the lock file is something else.
    pub fn take(folder: &Path, out: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        for _ in 0..TRIES {
            let before = kind_of(folder)?;
            if let Some(kind) = before.filter(|kind| !kind.is_dir()) {
                let what = if kind.is_symlink() { "a symbolic link" } else { "not a folder" };
                return Err(Error::Output {
                    path: folder.to_owned(),
                    message: format!("stands in the way of the work folder: it is {what}"),
                    help: Some("move it elsewhere, or choose another name for the output".to_owned()),
                });
            }
            fs::create_dir_all(folder).map_err(|e| Error::failed(folder, "cannot be created", &e))?;
            // Links are not followed, and an existing file keeps its contents.
            let opened = storage::unfollowed().read(true).write(true).create(true).truncate(false).open(&path);
            let file = match opened {
                // The previous run has just removed the folder.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) if kind_of(&path)?.is_some_and(|kind| !kind.is_file()) => return Err(no_lock(&path, &e)),
                file => file.map_err(|e| Error::failed(&path, "cannot be opened", &e))?,
            };
            let found = file.metadata().map_err(|e| Error::output(&path, e))?;
            if !found.is_file() {
                return Err(no_lock(&path, &"it is not a regular file"));
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(busy(folder, out)),
                Err(TryLockError::Error(e)) => {
                    if before.is_none() {
                        // The locking error is more useful than an error from this cleanup.
                        let _ = fs::remove_file(&path).and_then(|()| fs::remove_dir(folder));
                    }
                    return Err(not_locked(&path, &e));
                }
            }
            // A run removes its lock file at its end, while holding the lock: a lock on a removed file does not keep
            // out other runs.
            let lock = Self { path: path.clone(), file };
            if lock.is_named() {
                return Ok(lock);
            }
        }
        Err(busy(folder, out))
    }

    /// True while the locked file is the one that other runs would try to lock.
    fn is_named(&self) -> bool {
        let held = self.file.metadata().map(|found| identity_of(&found));
        held.is_ok_and(|held| identity(&self.path).is_ok_and(|named| named == held))
    }

    /// Checks that the lock file has not been removed or replaced.
    ///
    /// # Errors
    /// [`Error::Output`] when it has: another run may be working by now.
    pub fn check(&self) -> Result<()> {
        if self.is_named() {
            return Ok(());
        }
        Err(Error::Output {
            path: self.path.clone(),
            message: "was removed during the run, so nothing was published or cleaned up".to_owned(),
            help: Some("run again, and leave work folders alone during a run".to_owned()),
        })
    }
}

fn busy(folder: &Path, out: &Path) -> Error {
    Error::Output {
        path: out.to_owned(),
        message: "another run is using it".to_owned(),
        help: Some(format!("wait for it to end; its work folder is {}", Shown(folder))),
    }
}

fn no_lock(path: &Path, cause: &dyn std::fmt::Display) -> Error {
    Error::Output {
        path: path.to_owned(),
        message: format!("is not a lobset lock file: {cause}"),
        help: Some("move it elsewhere, or choose another name for the output".to_owned()),
    }
}

fn not_locked(path: &Path, cause: &io::Error) -> Error {
    Error::Output {
        path: path.to_owned(),
        message: format!("cannot be locked: {}", cause.text()),
        help: Some("write to a file system with file locks: on some network drives they are turned off".to_owned()),
    }
}

/// Identifies a file or folder independently of its name, by device and inode; links are not followed.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| identity_of(&found))
}

pub(super) fn identity_of(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The folder of a test, and the work folder in it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        (folder, work)
    }

    fn take(work: &Path) -> Result<Lock> {
        Lock::take(work, Path::new("out"))
    }

    #[test]
    fn a_lock_keeps_others_out_until_its_run_ends() {
        let (_folder, work) = place();
        let first = take(&work).unwrap();
        assert!(take(&work).err().unwrap().to_string().contains("another run is using it"));
        first.check().unwrap();
        // A process that opened the lock file before the folder was removed locks a file that no longer has a name.
        let stale = File::open(work.join(NAME)).unwrap();
        fs::remove_dir_all(&work).unwrap();
        first.check().unwrap_err();
        drop(first);
        stale.try_lock().unwrap();
        let second = take(&work).unwrap();
        second.check().unwrap();
        assert!(take(&work).is_err());
    }

    #[test]
    fn only_a_regular_file_is_locked_and_it_keeps_what_it_holds() {
        let (folder, work) = place();
        fs::create_dir(&work).unwrap();
        let path = work.join(NAME);
        fs::write(&path, "precious").unwrap();
        take(&work).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        fs::rename(&path, folder.path().join("kept")).unwrap();

        // Opening the pipe would block until another process opens it for writing.
        let pipe = || assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let link = || std::os::unix::fs::symlink("../kept", &path).unwrap();
        let dangling = || std::os::unix::fs::symlink("../absent", &path).unwrap();
        for put in [&pipe as &dyn Fn(), &link, &dangling] {
            put();
            let error = take(&work).err().unwrap();
            assert!(error.to_string().contains("is not a lobset lock file"), "{error}");
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read(folder.path().join("kept")).unwrap(), b"precious");
        assert!(!folder.path().join("absent").exists());
    }
}
