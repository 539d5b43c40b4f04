//! Files by path or URL: on this machine's file systems, or in an object store.
//!
//! A path that starts with `s3://`, `gs://` or `az://` names an object, and needs the Cargo feature `object-store`; its
//! credentials come from the usual environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`). `file://` names a local file.

#[cfg(not(feature = "object-store"))]
mod absent;
pub(crate) mod checksum;
#[cfg(feature = "object-store")]
mod object;
pub(crate) mod platform;
mod search;

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

#[cfg(not(feature = "object-store"))]
use absent as object;
use platform::Platform;
pub use search::{Entry, Searched, search};

/// Column chunks and tapes are written in many small pieces: they share a call.
const BUFFER: usize = 1 << 20;

/// True for a path that names an object in a store.
pub fn is_url(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    [&b"s3://"[..], b"gs://", b"az://"].iter().any(|scheme| text.starts_with(scheme))
}

/// The path of a `file://` URL; other paths as they are, without slashes at the end of a URL.
pub fn plain(path: &Path) -> PathBuf {
    let Some(text) = path.to_str() else { return path.to_owned() };
    match text.strip_prefix("file://") {
        Some(local) => PathBuf::from(local),
        None if is_url(path) => PathBuf::from(text.trim_end_matches('/')),
        None => path.to_owned(),
    }
}

/// Size and identity of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Its size.
    pub bytes: u64,
    /// Differs when the contents do: an entity tag, or the times of the last change and the number of the file.
    pub version: String,
}

impl From<fs::Metadata> for Stat {
    fn from(found: fs::Metadata) -> Self {
        // The time of the last change to the file's own entry cannot be set back, and another file has another number.
        let times = [(found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec())];
        let [changed, touched] = times.map(|(seconds, nanos)| format!("{seconds}.{nanos:09}"));
        Self { bytes: found.len(), version: format!("{changed} {touched} {}", found.ino()) }
    }
}

/// What is known of a file.
///
/// # Errors
/// Of kind `NotFound` when there is none, of kind `IsADirectory` or `InvalidInput` when it is not a regular file.
pub fn stat(path: &Path) -> io::Result<Stat> {
    if is_url(path) { object::stat(path) } else { regular(fs::metadata(path)?) }
}

/// Refuses what is not a regular file: opening a named pipe waits for a writer, and a device has no end.
fn regular(found: fs::Metadata) -> io::Result<Stat> {
    match special(found.file_type()) {
        None => Ok(found.into()),
        Some(what) => {
            let kind = if found.is_dir() { io::ErrorKind::IsADirectory } else { io::ErrorKind::InvalidInput };
            Err(io::Error::new(kind, format!("is {what}, not a regular file")))
        }
    }
}

/// What stands in the place of a regular file.
fn special(kind: fs::FileType) -> Option<&'static str> {
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a folder"),
        kind if kind.is_fifo() => Some("a named pipe"),
        kind if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

/// All files below a folder, by path.
///
/// # Errors
/// When it cannot be listed. A folder that does not exist is empty.
pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, Stat)>> {
    let mut found = if is_url(folder) { object::list(folder)? } else { Vec::new() };
    if !is_url(folder) {
        walk(folder, &mut found)?;
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, Stat)>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Links to folders are not followed: they could lead in circles.
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), found)?;
        } else if let Ok(metadata) = fs::metadata(entry.path())
            && metadata.is_file()
        {
            found.push((entry.path(), metadata.into()));
        }
    }
    Ok(())
}

/// [`plain`] paths.
pub fn plain_all<P: AsRef<Path>>(paths: &[P]) -> Vec<PathBuf> {
    paths.iter().map(|path| plain(path.as_ref())).collect()
}

/// The bytes of a file from its start on.
///
/// # Errors
/// When it cannot be opened, or is not a regular file.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if is_url(path) { Ok(Box::new(object::Stream::open(path)?)) } else { Ok(Box::new(open_regular(path)?)) }
}

/// Opens a regular file, and nothing else.
fn open_regular(path: &Path) -> io::Result<File> {
    stat(path)?;
    // Whatever takes the file's place meanwhile must not make this call wait.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    regular(file.metadata()?)?;
    Ok(file)
}

/// The bytes of a file that fits in memory.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, u64::MAX)
}

/// The bytes of a file that has no reason to be larger than `most`.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {most} bytes"));
    if !is_url(path) && stat(path)?.bytes > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // It may have grown since.
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// A file that is read here and there.
pub enum Ranges {
    /// On a file system.
    File(File),
    /// In an object store.
    Object(object::Object),
}

impl Ranges {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        if is_url(path) { Ok(Self::Object(object::Object::new(path)?)) } else { open_regular(path).map(Self::File) }
    }

    /// Fills `into` from an offset on.
    ///
    /// # Errors
    /// When the file ends before, or cannot be read.
    pub fn read_exact_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::File(file) => file.read_exact_at(into, offset),
            Self::Object(object) => {
                let bytes = object.range(offset..offset + into.len() as u64)?;
                if bytes.len() != into.len() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                into.copy_from_slice(&bytes);
                Ok(())
            }
        }
    }

    /// A range of bytes.
    ///
    /// # Errors
    /// As [`read_exact_at`](Self::read_exact_at).
    pub fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }

    /// Ranges of bytes, of which near ones share a request.
    ///
    /// # Errors
    /// As [`read_exact_at`](Self::read_exact_at).
    pub fn ranges(&self, ranges: &[Range<u64>]) -> io::Result<Vec<Bytes>> {
        match self {
            Self::File(_) => ranges.iter().map(|range| self.range(range.clone())).collect(),
            Self::Object(object) => object.ranges(ranges),
        }
    }
}

/// Options that open a file itself, where its name may be that of a link, and that do not wait for whoever is at the other
/// end of a pipe. What was opened is for the caller to look at.
pub(crate) fn unfollowed() -> fs::OpenOptions {
    let mut options = File::options();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Creates a work file, or empties the one that is there. A link in its place is not followed.
///
/// # Errors
/// When it cannot be created, or something else stands there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = unfollowed().read(true).write(true).create(true).truncate(false).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "something else than a file stands there"));
    }
    file.set_len(0)?;
    Ok(file)
}

/// A file being written. It is there once it is [finished](Self::finish); dropped before, it leaves nothing.
pub struct Writer {
    path: PathBuf,
    to: Option<Target>,
}

enum Target {
    File(BufWriter<File>),
    Object(Box<object::Upload>),
}

impl Writer {
    /// Creates the file, in a folder that exists.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        let to = if is_url(path) {
            Target::Object(Box::new(object::Upload::begin(path)?))
        } else {
            Target::File(BufWriter::with_capacity(BUFFER, create(path)?))
        };
        Ok(Self { path: path.to_owned(), to: Some(to) })
    }

    /// Hands on what is buffered and closes the file.
    ///
    /// # Errors
    /// When that fails; nothing is left then.
    pub fn finish(mut self) -> io::Result<()> {
        match self.to.take() {
            Some(Target::File(mut file)) => file.flush().inspect_err(|_| {
                // The error at hand says more than one about clearing up after it.
                let _ = fs::remove_file(&self.path);
            }),
            Some(Target::Object(upload)) => upload.finish(),
            None => Ok(()),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Some(Target::File(file)) => file.write(bytes),
            Some(Target::Object(upload)) => upload.write(bytes).map(|()| bytes.len()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Some(Target::File(file)) => file.flush(),
            _ => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        match self.to.take() {
            Some(Target::File(file)) => {
                // What is buffered need not be written first.
                let _ = file.into_parts();
                let _ = fs::remove_file(&self.path);
            }
            Some(Target::Object(upload)) => upload.abort(),
            None => {}
        }
    }
}

/// A file that is about to get its name, with the permissions that the user gives to new files.
///
/// # Errors
/// When it cannot be created.
pub(crate) fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let permissions = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".lobset-").permissions(permissions).tempfile_in(folder)
}

/// Puts a small file where none is, in one step; false when there is one already.
///
/// # Errors
/// When it cannot be written.
pub fn put_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if is_url(path) {
        return object::put(path, bytes, None);
    }
    let mut partial = temporary_in(path.parent().unwrap_or(Path::new(".")))?;
    partial.write_all(bytes)?;
    let partial = partial.into_temp_path();
    match Platform::here().rename_new(&partial, path) {
        Ok(()) => {
            // The name has gone: there is nothing left to remove.
            partial.keep().map(drop).map_err(|e| e.error)?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// Puts a small object in the place of the version that was last seen, in one step; false when it is another one by now.
/// Without `seen` there must be none.
///
/// # Errors
/// When it cannot be written.
pub fn put_over(path: &Path, bytes: &[u8], seen: Option<&Stat>) -> io::Result<bool> {
    object::put(path, bytes, seen)
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = if is_url(path) { object::remove(path) } else { fs::remove_file(path) };
    absent_is_fine(removed)
}

/// Removes a folder and all in it, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_all(folder: &Path) -> io::Result<()> {
    if is_url(folder) {
        return object::remove_all(folder);
    }
    absent_is_fine(fs::remove_dir_all(folder))
}

/// A name that nobody else has, on whatever machine.
pub(crate) fn unique() -> String {
    // Each RandomState has keys of its own, from the system's randomness and a counter.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// Makes a call again where a signal came in between.
///
/// # Errors
/// All others than `Interrupted`.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// Nothing needs to be removed that is not there.
///
/// # Errors
/// All others than `NotFound`.
pub(crate) fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
