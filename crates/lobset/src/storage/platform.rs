//! Differences between operating systems and between file systems: each call that some of them lack, with a portable
//! fallback.
//!
//! | what | Linux | macOS | portable |
//! |---|---|---|---|
//! | swap two folders | `renameat2(RENAME_EXCHANGE)` | `renameatx_np(RENAME_SWAP)` | none: the caller renames twice |
//! | rename, but replace nothing | `renameat2(RENAME_NOREPLACE)` | `renameatx_np(RENAME_EXCL)` | `rename` for a folder, `link` for a file |
//! | make many files durable | `syncfs` | file by file | file by file |
//! | identify the current boot | `/proc/sys/kernel/random/boot_id` | `sysctl kern.bootsessionuuid` | unknown |
//! | peak memory | `VmHWM` in `/proc/self/status` | `getrusage` | `getrusage` |
//!
//! Even if the system has a call, the file system may refuse it (NFS, SMB, FUSE, old ZFS): the fallback is then used
//! automatically.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use nix::sys::resource::{UsageWho, getrusage};
use rustix::io::Errno;

use super::calls::uninterrupted;

/// Environment variable that makes a debug build use the portable fallback of every call. It is for tests: a release
/// build ignores it. (Names that begin with `LOBSET_` are settings.)
pub const TEST_PORTABLE: &str = "TEST_LOBSET_PORTABLE";

/// At this number of files or more, the whole file system is synced at once, because each call for a single file waits
/// for the journal.
const SYNCED_TOGETHER: usize = 65;

/// The system that this process runs on.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    /// Use only the portable fallbacks.
    portable: bool,
    #[cfg(test)]
    trouble: Option<std::sync::Arc<tests::Trouble>>,
}

impl Platform {
    /// The current system.
    pub fn here() -> Self {
        let portable = cfg!(debug_assertions) && std::env::var_os(TEST_PORTABLE).is_some();
        Self {
            portable,
            #[cfg(test)]
            trouble: None,
        }
    }

    /// Only the portable fallbacks.
    #[cfg(test)]
    pub fn portable() -> Self {
        Self { portable: true, ..Self::default() }
    }

    /// Renames a file or folder. A file at `to` is replaced, and a folder also replaces an empty folder.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before_rename()?;
        uninterrupted(|| fs::rename(from, to))
    }

    /// Swaps two folders in one step. Returns false, and changes nothing, if the system or the file system does not
    /// support it.
    ///
    /// # Errors
    /// When the system refuses for another reason.
    pub fn exchange(&self, a: &Path, b: &Path) -> io::Result<bool> {
        if self.portable {
            return Ok(false);
        }
        self.before_rename()?;
        uninterrupted(|| flagged_rename(a, b, Flag::Exchange))
    }

    /// Renames a file or folder to an unused name.
    ///
    /// If the system or the file system cannot do that in one step, a folder replaces an empty folder that is created
    /// at the same moment; nothing else is ever replaced.
    ///
    /// # Errors
    /// Of kind `AlreadyExists` when the name is taken; else when the system refuses.
    pub fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before_rename()?;
        if !self.portable && uninterrupted(|| flagged_rename(from, to, Flag::New))? {
            return Ok(());
        }
        uninterrupted(|| rename_new_portably(from, to))
    }

    /// Makes a folder and the files in it durable; the contents of its subfolders are not synced.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn sync_all_in(&self, folder: &Path) -> io::Result<()> {
        let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        if entries.len() >= SYNCED_TOGETHER && !self.portable && sync_file_system(folder)? {
            return Ok(());
        }
        for entry in entries {
            sync(&File::open(entry.path())?)?;
        }
        sync_folder(folder)
    }

    /// Identifier of the machine's current boot; `None` if the system does not provide one.
    pub fn boot(&self) -> Option<String> {
        static BOOT: OnceLock<Option<String>> = OnceLock::new();
        if self.portable {
            return None;
        }
        let name = BOOT.get_or_init(|| {
            let found = if cfg!(target_vendor = "apple") {
                // The underlying call is not safe Rust, and this runs once per process.
                let ran = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "kern.bootsessionuuid"]).output();
                ran.ok().filter(|ran| ran.status.success()).and_then(|ran| String::from_utf8(ran.stdout).ok())
            } else {
                fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()
            };
            found.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
        });
        name.clone()
    }

    /// Free space of the file system at a path, in bytes.
    ///
    /// # Errors
    /// When the path does not exist, or the system refuses.
    pub fn free_bytes(path: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Peak resident memory of this process, in bytes; `None` if the system does not report it.
    pub fn peak_memory(&self) -> Option<u64> {
        // Linux lets a process inherit `ru_maxrss` from the one that started it, such as a large Python process.
        let own = if self.portable { None } else { high_water_mark() };
        own.or_else(largest_resident_set)
    }

    /// Hook that makes renames fail in tests.
    #[cfg(not(test))]
    #[inline]
    fn before_rename(&self) -> io::Result<()> {
        Ok(())
    }
}

/// `VmHWM` of Linux in bytes.
fn high_water_mark() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// `ru_maxrss` in bytes.
fn largest_resident_set() -> Option<u64> {
    // Apple counts bytes, all others KiB.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    u64::try_from(usage.max_rss()).ok().map(|n| n * unit)
}

/// True for the errors that mean that the system or the file system does not support a call, or one of its flags.
fn is_unknown_call(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&error)
}

#[derive(Clone, Copy)]
enum Flag {
    Exchange,
    New,
}

/// False if the system or the file system does not support the flag.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn flagged_rename(from: &Path, to: &Path, flag: Flag) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let flags = match flag {
        Flag::Exchange => RenameFlags::EXCHANGE,
        Flag::New => RenameFlags::NOREPLACE,
    };
    match renameat_with(CWD, from, CWD, to, flags) {
        Ok(()) => Ok(true),
        Err(e) if is_unknown_call(e) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn flagged_rename(_: &Path, _: &Path, _: Flag) -> io::Result<bool> {
    Ok(false)
}

fn rename_new_portably(from: &Path, to: &Path) -> io::Result<()> {
    let taken = || Err(io::ErrorKind::AlreadyExists.into());
    match fs::symlink_metadata(to) {
        Ok(_) => return taken(),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Err(_) => {}
    }
    if fs::symlink_metadata(from)?.is_dir() {
        // If something appears at `to` at this moment, POSIX refuses to replace it with a folder, unless it is an empty
        // folder.
        return match fs::rename(from, to) {
            Err(e) if [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::NotADirectory].contains(&e.kind()) => taken(),
            renamed => renamed,
        };
    }
    // `rename` would replace a file, `link` does not.
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(e),
        // No hard links either (exFAT): an empty file reserves the name.
        Err(_) => File::create_new(to).and_then(|_| fs::rename(from, to)),
    }
}

/// Makes everything on a folder's file system durable; false if the system cannot.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_file_system(folder: &Path) -> io::Result<bool> {
    match rustix::fs::syncfs(&File::open(folder)?) {
        Ok(()) => Ok(true),
        Err(e) if is_unknown_call(e) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_file_system(_: &Path) -> io::Result<bool> {
    Ok(false)
}

/// Makes a file durable.
///
/// # Errors
/// When the system refuses.
pub fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // On Apple's systems this flushes the drive's cache too, which network file systems do not support.
        Err(e) if Errno::from_io_error(&e).is_some_and(is_unknown_call) => Ok(rustix::fs::fsync(file)?),
        synced => synced,
    }
}

/// Makes the names in a folder durable, if its file system supports that: some network file systems do not.
///
/// # Errors
/// When the folder cannot be opened, or the system refuses.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    match sync(&File::open(folder)?) {
        Err(e) if Errno::from_io_error(&e).is_some_and(is_unknown_call) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Which renames fail.
    #[derive(Debug)]
    pub struct Trouble {
        /// Renames so far.
        done: AtomicUsize,
        /// Renames that succeed before the first failure.
        after: usize,
        /// True if one rename fails, and the ones that follow do not.
        once: bool,
    }

    impl Platform {
        /// The same platform, but all renames after this many fail, as in a process that is killed.
        pub fn killed_after(&self, renames: usize) -> Self {
            self.with(Trouble { done: 0.into(), after: renames, once: false })
        }

        /// The same platform, but one rename fails after this many.
        pub fn failing_once_after(&self, renames: usize) -> Self {
            self.with(Trouble { done: 0.into(), after: renames, once: true })
        }

        fn with(&self, trouble: Trouble) -> Self {
            Self { trouble: Some(Arc::new(trouble)), ..self.clone() }
        }

        pub(super) fn before_rename(&self) -> io::Result<()> {
            let Some(Trouble { done, after, once }) = self.trouble.as_deref() else { return Ok(()) };
            let number = done.fetch_add(1, Ordering::SeqCst);
            if number < *after || (*once && number > *after) { Ok(()) } else { Err(io::Error::other("killed")) }
        }
    }

    #[test]
    fn a_new_name_is_never_one_that_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for platform in [Platform::default(), Platform::portable()] {
            fs::write(at("file"), "new").unwrap();
            fs::create_dir_all(at("folder/inside")).unwrap();
            fs::write(at("taken"), "old").unwrap();
            fs::create_dir_all(at("full/inside")).unwrap();
            fs::create_dir_all(at("empty")).unwrap();
            std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
            for from in ["file", "folder"] {
                for to in ["taken", "full", "empty", "link"] {
                    let error = platform.rename_new(&at(from), &at(to)).unwrap_err();
                    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{from} to {to}: {error}");
                }
                platform.rename_new(&at(from), &at("to")).unwrap();
                assert!(!at(from).exists());
                fs::rename(at("to"), at(from)).unwrap();
            }
            assert_eq!(fs::read(at("taken")).unwrap(), b"old");
            assert_eq!(fs::read(at("file")).unwrap(), b"new");
            assert!(at("full/inside").is_dir() && at("folder/inside").is_dir());
            fs::remove_file(at("link")).unwrap();
        }
    }

    /// The portable fallback for a folder relies on this when something appears after its check.
    #[test]
    fn a_folder_replaces_nothing_but_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("new/inside")).unwrap();
        fs::write(at("file"), "old").unwrap();
        fs::create_dir_all(at("full/inside")).unwrap();
        std::os::unix::fs::symlink("full", at("link")).unwrap();
        for taken in ["file", "full", "link"] {
            fs::rename(at("new"), at(taken)).unwrap_err();
        }
        assert!(at("new/inside").is_dir() && at("full/inside").is_dir() && at("file").is_file());
    }

    #[test]
    fn folders_trade_places_or_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("a/first")).unwrap();
        fs::create_dir_all(at("b/second")).unwrap();
        assert!(!Platform::portable().exchange(&at("a"), &at("b")).unwrap());
        assert!(at("a/first").is_dir() && at("b/second").is_dir());
        if Platform::default().exchange(&at("a"), &at("b")).unwrap() {
            assert!(at("a/second").is_dir() && at("b/first").is_dir());
        }
        assert!(Platform::default().exchange(&at("a"), &at("absent")).is_err());
    }

    #[test]
    fn many_files_and_few_are_synced_in_both_ways() {
        for files in [3, SYNCED_TOGETHER] {
            let folder = tempfile::tempdir().unwrap();
            (0..files).for_each(|i| fs::write(folder.path().join(i.to_string()), "x").unwrap());
            for platform in [Platform::default(), Platform::portable()] {
                platform.sync_all_in(folder.path()).unwrap();
            }
        }
    }

    #[test]
    fn both_ways_see_the_memory_of_this_process() {
        let block = vec![1_u8; 96 << 20];
        assert!(block.iter().step_by(4096).all(|b| *b == 1));
        let found = [Platform::default(), Platform::portable()].map(|p| p.peak_memory().unwrap());
        // Wrong page sizes or units would give a value far outside this range.
        assert!(found.iter().all(|bytes| (96 << 20..64 << 30).contains(bytes)), "{found:?}");
    }

    #[test]
    fn a_boot_has_one_name_or_none() {
        assert_eq!(Platform::default().boot(), Platform::default().boot());
        assert_eq!(Platform::portable().boot(), None);
        if cfg!(target_os = "linux") {
            assert!(Platform::default().boot().is_some());
        }
    }
}
