//! The bytes of a DBN stream: a plain file, or zstd frames, decompressed strictly.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zstd_safe::{DCtx, InBuffer, OutBuffer};

use crate::error::{InputError, Result};
use crate::storage::{self, uninterrupted};

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// True for the first bytes of a zstd frame, or of a skippable frame (magic 0x184D2A50 to 5F).
fn is_zstd(head: &[u8]) -> bool {
    head.starts_with(&ZSTD_MAGIC) || (head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18])
}

/// True for the first bytes of a DBZ file: a skippable frame that contains its metadata.
fn is_dbz(head: &[u8]) -> bool {
    is_zstd(head) && head.get(8..11) == Some(b"DBZ")
}

/// The error for a DBZ file.
pub(super) fn dbz(path: &Path) -> InputError {
    let name = storage::file_name(path);
    let stem = name.strip_suffix(".dbz").unwrap_or(&name);
    // Databento's own command reads both DBZ and DBN: https://crates.io/crates/dbn-cli.
    let help = format!(
        "convert it with Databento's command (cargo install dbn-cli): dbn {} -o {}.dbn.zst",
        name.escape_debug(),
        stem.escape_debug()
    );
    InputError::new(path, "is DBZ, the format that Databento used before DBN").with_help(help)
}

/// SHA-256 of a file's bytes.
///
/// # Errors
/// [`InputError`] when the file cannot be read.
pub(crate) fn file_sha256(path: &Path) -> Result<String> {
    let fail = |e| InputError::unread(path, e);
    let mut file = storage::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match uninterrupted(|| file.read(&mut buffer)).map_err(fail)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// The (decompressed) bytes of a file, which is hashed as it is read. Takes 128 KiB of memory, plus the zstd window.
pub(super) struct Source {
    path: PathBuf,
    file: Box<dyn Read + Send>,
    hash: Sha256,
    /// Number of bytes of the file read so far.
    read: u64,
    buffer: Vec<u8>,
    /// The unread part of `buffer`.
    start: usize,
    end: usize,
    zstd: Option<Zstd>,
}

struct Zstd {
    context: DCtx<'static>,
    checksums: Checksums,
    /// True within a frame: a file that ends here is truncated.
    open: bool,
    /// The last call filled its output, so the context may contain more.
    full: bool,
}

/// Records whether zstd frames end with a checksum of their contents, which the decoder then verifies.
#[derive(Default)]
struct Checksums {
    /// The first bytes of the current frame: its magic number, and the descriptor of its header.
    head: [u8; 5],
    known: usize,
    /// A frame without a checksum has been seen.
    lacking: bool,
}

impl Checksums {
    /// Takes the next bytes of a frame; `ended` is true if they are its last.
    fn take(&mut self, bytes: &[u8], ended: bool) {
        if self.known < self.head.len() {
            let n = bytes.len().min(self.head.len() - self.known);
            self.head[self.known..][..n].copy_from_slice(&bytes[..n]);
            self.known += n;
            // Bit 2 of the descriptor (RFC 8878, section 3.1.1.1.1). Skippable frames have no contents.
            if self.known == self.head.len() && self.head[..4] == ZSTD_MAGIC {
                self.lacking |= self.head[4] & 0b100 == 0;
            }
        }
        if ended {
            self.known = 0;
        }
    }
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = storage::open(path).map_err(|e| InputError::unread(path, e))?;
        let mut source = Self {
            path: path.to_owned(),
            file,
            hash: Sha256::new(),
            read: 0,
            buffer: vec![0; 128 << 10],
            start: 0,
            end: 0,
            zstd: None,
        };
        source.refill()?;
        if is_dbz(source.pending()) {
            return Err(dbz(path).into());
        }
        if is_zstd(source.pending()) {
            source.zstd =
                Some(Zstd { context: DCtx::create(), checksums: Checksums::default(), open: false, full: false });
        }
        Ok(source)
    }

    /// Number of bytes of the (possibly compressed) file read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// The SHA-256 of the file's bytes, in hexadecimal; meaningful once `fill` has returned 0.
    pub(super) fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// True if every zstd frame read so far has a checksum; `None` for a file that is not compressed.
    pub(super) fn checksummed(&self) -> Option<bool> {
        self.zstd.as_ref().map(|zstd| !zstd.checksums.lacking)
    }

    fn pending(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Refills the buffer once it is used up; false at the end of the file.
    fn refill(&mut self) -> Result<bool> {
        // Fills the whole buffer: the format is detected from its first bytes, and a pipe may deliver them one by one.
        (self.start, self.end) = (0, 0);
        while self.end < self.buffer.len() {
            let read = uninterrupted(|| self.file.read(&mut self.buffer[self.end..]));
            match read.map_err(|e| InputError::unread(&self.path, e).at(None, self.read))? {
                0 => break,
                n => self.end += n,
            }
        }
        self.hash.update(&self.buffer[..self.end]);
        self.read += self.end as u64;
        Ok(self.end > 0)
    }

    /// Writes the decompressed bytes that are available to the front of `out`; returns their number, 0 at the end of
    /// the stream.
    ///
    /// # Errors
    /// [`InputError`] when a read fails, the bytes are not valid zstd, or the file ends within a frame.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize> {
        let Some(mut zstd) = self.zstd.take() else {
            if self.start == self.end && !self.refill()? {
                return Ok(0);
            }
            let n = out.len().min(self.end - self.start);
            out[..n].copy_from_slice(&self.buffer[self.start..self.start + n]);
            self.start += n;
            return Ok(n);
        };
        let filled = self.fill_zstd(&mut zstd, out);
        self.zstd = Some(zstd);
        filled
    }

    fn fill_zstd(&mut self, zstd: &mut Zstd, out: &mut [u8]) -> Result<usize> {
        loop {
            // A context that filled its output may produce more without any input.
            if self.start == self.end && !zstd.full && !self.refill()? {
                if zstd.open {
                    return Err(InputError::new(&self.path, "the file ends within a zstd frame: it is truncated")
                        .at(None, self.read)
                        .with_help("download the file again")
                        .into());
                }
                return Ok(0);
            }
            let mut input = InBuffer::around(&self.buffer[self.start..self.end]);
            let mut output = OutBuffer::around(&mut *out);
            let left = zstd.context.decompress_stream(&mut output, &mut input).map_err(|code| {
                let byte = self.read - (self.end - self.start) as u64;
                InputError::new(&self.path, format!("broken zstd data: {}", zstd_safe::get_error_name(code)))
                    .at(None, byte)
            })?;
            let (used, made) = (input.pos(), output.pos());
            zstd.checksums.take(&self.buffer[self.start..][..used], left == 0);
            self.start += used;
            zstd.full = made == out.len();
            if used > 0 || made > 0 {
                // `left` is 0 exactly when a frame is complete and flushed.
                zstd.open = left != 0;
            }
            if made > 0 {
                return Ok(made);
            }
        }
    }
}

/// Formats bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}
