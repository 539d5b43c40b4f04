//! A cache file: a header that says what the file was built from, followed by slots of bytes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cast::to_usize;
use crate::error::{Cause, Error, Result};
use crate::input::hex;
use crate::output::symbol_in_name;
use crate::run::Monitor;
use crate::storage::{self, checksum};

/// The extension of cache files.
pub(super) const SUFFIX: &str = ".lobset-cache";

/// Appended to the name while the file is being built.
pub(super) const UNFINISHED: &str = ".unfinished";

/// The first bytes of a cache file: its kind, and the version of this layout.
const MAGIC: &[u8; 16] = b"lobset cache 1\n\0";

/// The slots start at a multiple of this many bytes: the header is padded.
const ALIGNMENT: u64 = 4096;

/// The maximum size of a header, in bytes. Keys name a dataset and a few settings.
const LONGEST_HEADER: u64 = 1 << 20;

/// How often to check on a file that another process is building.
const PAUSE: Duration = Duration::from_millis(100);

/// Describes what a cache file contains.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub(crate) struct Subject {
    /// The path of the dataset, for the user to read.
    pub dataset: PathBuf,
    /// Its symbol.
    pub symbol: String,
    /// The hash of its footer, and its size in bytes: a file that was rewritten is a different dataset.
    pub footer: String,
    pub size: u64,
    /// The kind of values, in one word.
    pub holds: String,
    /// Everything that the values and their places depend on, besides the dataset.
    pub layout: serde_json::Value,
}

impl Subject {
    /// Whether two files contain the same bytes. The paths may differ, since a dataset may have been moved.
    fn matches(&self, other: &Self) -> bool {
        Self { dataset: other.dataset.clone(), ..self.clone() } == *other
    }

    /// The name of the cache file: symbol and contents in readable form, then a hash of the subject without the path of
    /// the dataset.
    fn file_name(&self) -> Result<String, serde_json::Error> {
        let key = serde_json::to_vec(&Self { dataset: PathBuf::new(), ..self.clone() })?;
        let hash = hex(&Sha256::digest(key)[..12]);
        Ok(format!("{}-{}-{hash}{SUFFIX}", symbol_in_name(&self.symbol), self.holds))
    }
}

/// The header of a cache file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    subject: Subject,
    /// Bytes of all slots.
    bytes: u64,
    /// What the builder determined about the slots, such as the width of each number.
    found: serde_json::Value,
}

impl Header {
    pub fn dataset(&self) -> &Path {
        &self.subject.dataset
    }

    pub fn holds(&self) -> &str {
        &self.subject.holds
    }

    /// The bytes of the header in the file.
    fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let sealed = checksum::seal_json(self)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend((sealed.len() as u64).to_le_bytes());
        bytes.extend(sealed.as_bytes());
        bytes.resize(to_usize((bytes.len() as u64).next_multiple_of(ALIGNMENT)), 0);
        Ok(bytes)
    }

    /// Reads the header of a file.
    ///
    /// # Errors
    /// When the file cannot be read, or does not begin with a header.
    pub fn read(file: &File) -> io::Result<Self> {
        Self::and_start(file).map(|(header, _)| header)
    }

    /// The header, and the offset of the first slot.
    fn and_start(file: &File) -> io::Result<(Self, u64)> {
        let mut before = [0; MAGIC.len() + 8];
        file.read_exact_at(&mut before, 0)?;
        let (magic, length) = before.split_at(MAGIC.len());
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        if magic != MAGIC || length > LONGEST_HEADER {
            return Err(checksum::damaged());
        }
        let mut sealed = vec![0; to_usize(length)];
        file.read_exact_at(&mut sealed, before.len() as u64)?;
        let start = (before.len() as u64 + length).next_multiple_of(ALIGNMENT);
        Ok((checksum::unseal_json(&sealed)?, start))
    }
}

/// A file to be built.
pub(crate) struct Blank<'a> {
    file: &'a File,
    path: &'a Path,
    subject: &'a Subject,
}

impl<'a> Blank<'a> {
    /// Empties the file. It has a header from the start, so that an unfinished file is still recognised as a cache file.
    fn new(file: &'a File, path: &'a Path, subject: &'a Subject) -> Result<Self> {
        let blank = Self { file, path, subject };
        blank.begin(0, serde_json::Value::Null)?;
        Ok(blank)
    }

    /// Makes room for `bytes` bytes of slots, which `found` describes to readers.
    ///
    /// # Errors
    /// [`Error::Output`] when there is not enough disk space, or the file cannot be written.
    pub fn slots(self, bytes: u64, found: serde_json::Value) -> Result<Slots<'a>> {
        let start = self.begin(bytes, found)?;
        Ok(Slots { file: self.file, path: self.path, start })
    }

    /// Writes the header, and returns where slots begin.
    fn begin(&self, bytes: u64, found: serde_json::Value) -> Result<u64> {
        let failed = |e: &io::Error| Error::failed(self.path, "cannot be written", e);
        let header = Header { subject: self.subject.clone(), bytes, found }.to_bytes().map_err(|e| failed(&e))?;
        let start = header.len() as u64;
        check_room(self.path.parent().unwrap_or(self.path), bytes.saturating_add(start))?;
        // Discards whatever a killed build has left behind.
        let written = self.file.set_len(0).and_then(|()| self.file.write_all_at(&header, 0));
        written.and_then(|()| self.file.set_len(start + bytes)).map_err(|e| failed(&e))?;
        Ok(start)
    }
}

/// A file that is being built; several threads may write to it at once.
pub(crate) struct Slots<'a> {
    file: &'a File,
    path: &'a Path,
    start: u64,
}

impl Slots<'_> {
    /// Writes bytes at an offset from the first slot.
    ///
    /// # Errors
    /// [`Error::Output`] when they cannot be written.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all_at(bytes, self.start + offset);
        written.map_err(|e| Error::failed(self.path, "cannot be written", &e))
    }
}

/// A finished cache file, open for reading.
#[derive(Debug)]
pub(crate) struct CacheFile {
    file: File,
    path: PathBuf,
    start: u64,
    bytes: u64,
    found: serde_json::Value,
}

impl CacheFile {
    /// Opens the file for `subject` in `folder`, or builds it: `build` asks for slots, fills them, and reports that to the
    /// monitor. Of several processes that need it at the same time, one builds and the others wait.
    ///
    /// # Errors
    /// [`Error::Output`] when there is not enough disk space, or the file cannot be written or read; any error of
    /// `build`.
    pub fn open_or_build(
        folder: &Path,
        subject: &Subject,
        monitor: &Monitor<'_>,
        build: impl FnOnce(Blank<'_>) -> Result<()>,
    ) -> Result<Self> {
        let name = subject.file_name().map_err(|e| Error::output(folder, io::Error::from(e)))?;
        let path = folder.join(&name);
        let unfinished = folder.join(format!("{name}{UNFINISHED}"));
        if let Some(found) = Self::open(&path, subject)? {
            return Ok(found);
        }
        fs::create_dir_all(folder).map_err(|e| Error::failed(folder, "cannot be created", &e))?;
        let Some(file) = claim(&unfinished, &path, monitor)? else {
            // Another process has built it in the meantime.
            return Self::open(&path, subject)?.ok_or_else(|| unlike(&path));
        };
        let failed = |e: &io::Error| Error::failed(&unfinished, "cannot be written", e);
        let outcome = Blank::new(&file, &unfinished, subject).and_then(|blank| {
            build(blank)?;
            storage::platform::sync(&file).map_err(|e| failed(&e))?;
            fs::rename(&unfinished, &path).map_err(|e| failed(&e))?;
            storage::platform::sync_folder(folder).map_err(|e| failed(&e))
        });
        if let Err(error) = outcome {
            // The error of the build is more useful than an error from this cleanup.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        Self::open(&path, subject)?.ok_or_else(|| unlike(&path))
    }

    /// Opens a finished file; `None` if there is none for `subject`.
    fn open(path: &Path, subject: &Subject) -> Result<Option<Self>> {
        let file = match storage::unfollowed().read(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|e| Error::failed(path, "cannot be opened", &e))?,
        };
        let length = file.metadata().map_err(|e| Error::output(path, e))?;
        match Header::and_start(&file) {
            Ok((header, start))
                if length.is_file()
                    && header.subject.matches(subject)
                    && start.checked_add(header.bytes) == Some(length.len()) =>
            {
                Ok(Some(Self { file, path: path.to_owned(), start, bytes: header.bytes, found: header.found }))
            }
            _ => Err(unlike(path)),
        }
    }

    /// What the builder determined about the slots, if `T` describes slots that take up the whole file.
    ///
    /// # Errors
    /// [`Error::Output`] when it does not.
    pub fn found<T: DeserializeOwned>(&self, bytes: impl Fn(&T) -> Option<u64>) -> Result<T> {
        let found = serde_json::from_value(self.found.clone()).ok();
        found.filter(|found| bytes(found) == Some(self.bytes)).ok_or_else(|| unlike(&self.path))
    }

    /// Reads the bytes at an offset from the first slot.
    ///
    /// # Errors
    /// [`Error::Output`] when they cannot be read, or the file is too short.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        debug_assert!(offset + into.len() as u64 <= self.bytes);
        let read = self.file.read_exact_at(into, self.start + offset);
        read.map_err(|e| Error::Output {
            path: self.path.clone(),
            message: format!("cannot be read: {}", e.text()),
            help: Some("delete this cache file: it is built again when it is needed".to_owned()),
        })
    }
}

/// The error for a file whose contents do not match its name.
fn unlike(path: &Path) -> Error {
    Error::Output {
        path: path.to_owned(),
        message: "is not the cache file that its name says, or is damaged".to_owned(),
        help: Some("delete it: it is built again when it is needed".to_owned()),
    }
}

/// Creates the file `unfinished` and locks it; `None` if `finished` exists by then. Waits while another process holds the
/// lock. The lock ends with the process that holds it.
fn claim(unfinished: &Path, finished: &Path, monitor: &Monitor<'_>) -> Result<Option<File>> {
    loop {
        let opened = storage::unfollowed().read(true).write(true).create(true).truncate(false).open(unfinished);
        let file = opened.map_err(|e| Error::failed(unfinished, "cannot be opened", &e))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if monitor.stopped() => return Err(Error::Interrupted),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(e)) => return Err(Error::failed(unfinished, "cannot be locked", &e)),
            }
        }
        // By now, its builder may have renamed the finished file, or failed and removed it.
        let ours = file.metadata().is_ok_and(|held| {
            fs::symlink_metadata(unfinished)
                .is_ok_and(|named| held.is_file() && (named.dev(), named.ino()) == (held.dev(), held.ino()))
        });
        match (finished.exists(), ours) {
            (true, true) => {
                let _ = fs::remove_file(unfinished);
                return Ok(None);
            }
            (true, false) => return Ok(None),
            (false, true) => return Ok(Some(file)),
            (false, false) => {}
        }
    }
}

/// Refuses to fill up the disk.
fn check_room(folder: &Path, bytes: u64) -> Result<()> {
    let found = rustix::fs::statvfs(folder).map_err(|e| Error::failed(folder, "cannot be examined", &e.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if bytes < free {
        return Ok(());
    }
    let size = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    Err(Error::Output {
        path: folder.to_owned(),
        message: format!("has no room for a cache file of {}: {} are free", size(bytes), size(free)),
        help: Some(
            "choose a folder on another disk, remove what `lobset cache` lists, use a larger stride, or do without: cache=None"
                .to_owned(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cache::Cache;

    fn subject(layout: u64) -> Subject {
        Subject {
            dataset: "somewhere/ES_dataset.parquet".into(),
            symbol: "ES/..".to_owned(),
            footer: "00ff".to_owned(),
            size: 12,
            holds: "bins".to_owned(),
            layout: layout.into(),
        }
    }

    fn open(cache: &Cache, layout: u64, build: impl FnOnce(&Slots<'_>) -> Result<()>) -> Result<CacheFile> {
        let build = |blank: Blank<'_>| build(&blank.slots(8, layout.into())?);
        CacheFile::open_or_build(cache.folder(), &subject(layout), &Monitor::silent(), build)
    }

    fn refuse(_: &Slots<'_>) -> Result<()> {
        Err(Error::Executor("no build was expected".to_owned()))
    }

    #[test]
    fn a_file_is_built_once_and_for_its_subject_only() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("new"));
        assert_eq!(cache.files().unwrap(), []);
        for layout in [1, 2] {
            open(&cache, layout, |slots| slots.write(0, b"abcdefg").and_then(|()| slots.write(7, &[0]))).unwrap();
        }
        let mut found = [0; 3];
        open(&cache, 1, refuse).unwrap().read(2, &mut found).unwrap();
        assert_eq!(&found, b"cde");
        assert!(open(&cache, 3, refuse).is_err());
        let files = cache.files().unwrap();
        assert_eq!(files.len(), 2, "a failed build leaves nothing");
        assert!(files.iter().all(|file| file.finished && file.holds == "bins" && file.days == 0));
        // The same dataset in another place has the same values.
        let moved = Subject { dataset: "elsewhere".into(), ..subject(1) };
        let refuse = |_: Blank<'_>| Err(Error::Executor("no build was expected".to_owned()));
        let found = CacheFile::open_or_build(cache.folder(), &moved, &Monitor::silent(), refuse).unwrap();
        assert_eq!(found.found(|_| Some(8)).ok(), Some(1));
        assert!(found.found::<u64>(|_| Some(9)).is_err());
    }

    #[test]
    fn only_cache_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        open(&cache, 1, |_| Ok(())).unwrap();
        for name in [format!("mine{SUFFIX}"), "notes.txt".to_owned()] {
            fs::write(folder.path().join(name), "text of the user that is longer than a header").unwrap();
        }
        let removed = cache.remove(|file| file.finished).unwrap();
        assert_eq!(removed.len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_left_of_a_build_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let path = folder.path().join(subject(1).file_name().unwrap());
        let unfinished = PathBuf::from(format!("{}{UNFINISHED}", path.display()));
        // What a process leaves behind if it is killed between its last write and the rename.
        open(&cache, 1, |slots| slots.write(0, b"complete")).unwrap();
        fs::rename(&path, &unfinished).unwrap();
        assert!(!cache.files().unwrap()[0].finished);
        open(&cache, 1, |slots| slots.write(0, b"replaced")).unwrap();
        let mut found = [0; 8];
        open(&cache, 1, refuse).unwrap().read(0, &mut found).unwrap();
        assert_eq!(&found, b"replaced");
        assert!(!unfinished.exists());
        // A file of the right name and the wrong content is an error, at any length.
        let whole = fs::read(&path).unwrap();
        for cut in [0, 7, 24, 40, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(open(&cache, 1, refuse).unwrap_err().to_string().contains("damaged"), "{cut}");
        }
        let mut other = whole.clone();
        other[30] ^= 1;
        fs::write(&path, other).unwrap();
        assert!(open(&cache, 1, refuse).is_err());
    }

    #[test]
    fn one_of_many_builds_and_the_others_wait() {
        let folder = tempfile::tempdir().unwrap();
        let (cache, builds) = (Cache::at(folder.path()), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let file = open(&cache, 1, |slots| {
                        builds.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(20));
                        slots.write(0, b"abcdefgh")
                    });
                    let mut found = [0; 8];
                    file.unwrap().read(0, &mut found).unwrap();
                    assert_eq!(&found, b"abcdefgh");
                });
            }
        });
        assert_eq!(builds.load(Ordering::Relaxed), 1);
    }
}
