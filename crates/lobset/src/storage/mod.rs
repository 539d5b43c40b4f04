//! Files by path or URL: on this machine's file systems, or in an object store.
//!
//! A path that starts with `s3://`, `gs://` or `az://` names an object, and needs the Cargo feature `object-store`; its
//! credentials come from the usual environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`). `file://` names a local file.

#[cfg(not(feature = "object-store"))]
mod absent;
mod calls;
pub(crate) mod checksum;
#[cfg(feature = "object-store")]
mod credentials;
#[cfg(feature = "object-store")]
mod object;
mod paths;
pub(crate) mod platform;
mod search;
mod stat;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::OFlags;

#[cfg(not(feature = "object-store"))]
use absent as object;
pub(crate) use calls::{absent_is_fine, uninterrupted};
pub use paths::plain;
pub(crate) use paths::unique;
pub(crate) use paths::{file_name, is_url, plain_all};
use platform::Platform;
pub(crate) use search::{Entry, Searched, search};
pub use stat::Stat;
use stat::regular;

use crate::cast::to_usize;

/// Size of a write buffer, in bytes. Column chunks and tapes are written in many small pieces, which then share a call.
const BUFFER: usize = 1 << 20;

/// Returns the size and identity of a file.
///
/// # Errors
/// Of kind `NotFound` when the file does not exist, of kind `IsADirectory` or `InvalidInput` when it is not a regular
/// file.
pub fn stat(path: &Path) -> io::Result<Stat> {
    if is_url(path) { object::stat(path) } else { regular(fs::metadata(path)?) }
}

/// Lists all files below a folder, by path.
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

/// Opens a file for reading from its start.
///
/// # Errors
/// When it cannot be opened, or is not a regular file.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if is_url(path) { Ok(Box::new(object::Download::open(path)?)) } else { Ok(Box::new(open_regular(path)?)) }
}

/// Opens a regular file, and nothing else.
fn open_regular(path: &Path) -> io::Result<File> {
    stat(path)?;
    // This call must not block if a pipe replaces the file meanwhile.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    regular(file.metadata()?)?;
    Ok(file)
}

/// Reads a file that fits in memory.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, u64::MAX)
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// When it cannot be read, or is larger.
pub(crate) fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("has more than {most} bytes"));
    if !is_url(path) && stat(path)?.bytes > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // The file may have grown in the meantime.
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
}

/// A file for reads at any offset.
pub(crate) enum Ranges {
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

    /// Fills `into` with the bytes starting at `offset`.
    ///
    /// # Errors
    /// When the file ends too early, or cannot be read.
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

    /// Reads a range of bytes.
    ///
    /// # Errors
    /// As [`read_exact_at`](Self::read_exact_at).
    pub fn range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut bytes = vec![0; to_usize(range.end - range.start)];
        self.read_exact_at(&mut bytes, range.start)?;
        Ok(bytes.into())
    }

    /// Reads ranges of bytes; ranges close to each other share a request.
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

/// Options that do not follow a symbolic link, and do not wait for the other end of a pipe. The caller must check what
/// was opened.
pub(crate) fn unfollowed() -> fs::OpenOptions {
    let mut options = File::options();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
    options
}

/// Creates a work file, or truncates an existing one. Does not follow a link in its place.
///
/// # Errors
/// When it cannot be created, or something other than a regular file is there.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let file = unfollowed().read(true).write(true).create(true).truncate(false).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file.set_len(0)?;
    Ok(file)
}

/// A file being written. It is complete once it is [finished](Self::finish); if dropped earlier, it leaves nothing
/// behind.
pub(crate) struct Writer {
    path: PathBuf,
    to: Option<Sink>,
}

enum Sink {
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
            Sink::Object(Box::new(object::Upload::begin(path)?))
        } else {
            Sink::File(BufWriter::with_capacity(BUFFER, create(path)?))
        };
        Ok(Self { path: path.to_owned(), to: Some(to) })
    }

    /// Flushes the buffer and closes the file.
    ///
    /// # Errors
    /// When that fails; nothing is left behind.
    pub fn finish(mut self) -> io::Result<()> {
        match self.to.take() {
            Some(Sink::File(mut file)) => file.flush().inspect_err(|_| {
                // The error from the flush is more useful than one from the cleanup.
                let _ = fs::remove_file(&self.path);
            }),
            Some(Sink::Object(upload)) => upload.finish(),
            None => Ok(()),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Some(Sink::File(file)) => file.write(bytes),
            Some(Sink::Object(upload)) => upload.write(bytes).map(|()| bytes.len()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Some(Sink::File(file)) => file.flush(),
            _ => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        match self.to.take() {
            Some(Sink::File(file)) => {
                // Discards the buffer without writing it.
                let _ = file.into_parts();
                let _ = fs::remove_file(&self.path);
            }
            Some(Sink::Object(upload)) => upload.abort(),
            None => {}
        }
    }
}

/// Creates a temporary file, to be renamed, with the user's permissions for new files.
///
/// # Errors
/// When it cannot be created.
pub(crate) fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let permissions = fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(".lobset-").permissions(permissions).tempfile_in(folder)
}

/// Creates a small file in one step; false if it already exists.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn put_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    if is_url(path) {
        return object::put(path, bytes, None);
    }
    let mut partial = temporary_in(path.parent().unwrap_or(Path::new(".")))?;
    partial.write_all(bytes)?;
    let partial = partial.into_temp_path();
    match Platform::here().rename_new(&partial, path) {
        Ok(()) => {
            // The temporary name is gone: there is nothing left to remove.
            partial.keep().map(drop).map_err(|e| e.error)?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// Replaces a small object in one step if it is still the version `seen`; false if it is not. Without `seen`, the
/// object must not exist.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn put_over(path: &Path, bytes: &[u8], seen: Option<&Stat>) -> io::Result<bool> {
    object::put(path, bytes, seen)
}

/// Removes a file, if it exists.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = if is_url(path) { object::remove(path) } else { fs::remove_file(path) };
    absent_is_fine(removed)
}

/// Removes a folder and everything in it, if it exists.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn remove_all(folder: &Path) -> io::Result<()> {
    if is_url(folder) {
        return object::remove_all(folder);
    }
    absent_is_fine(fs::remove_dir_all(folder))
}
