//! Reads a DBN file up to its records. The metadata length that it declares is only trusted if the file has enough
//! bytes to make it plausible.

use std::path::Path;

use dbn::decode::dbn::fsm::{DbnFsm, DbnFsmBuilder, DecodeHeader, ProcessResult};
use dbn::encode::DbnMetadataEncoder;
use dbn::{Metadata, VersionUpgradePolicy, v3, v4};

use super::source::Source;
use crate::error::{InputError, Result};

/// Maximum length of the metadata, in bytes. The metadata of a year of every option on a US exchange is shorter.
pub const MAX_METADATA_BYTES: u32 = 256 << 20;

/// Metadata up to this length, in bytes, is read regardless of the size of the file.
const FREE_METADATA_BYTES: usize = 1 << 20;

/// Longer metadata may be at most this many times as long as the bytes that it was decompressed from. Real metadata
/// compresses at most tenfold, because every symbol and every interval differs from the others.
const MAX_METADATA_RATIO: u64 = 256;

/// Maximum number of consecutive zeros in metadata: padding of symbols, reserved bytes, empty lists, a little padding
/// at the end.
const MAX_ZEROS: usize = 4096;

/// Size of the buffer from which records are decoded, in bytes. It fits into a core's own cache.
const BUFFER: usize = 128 << 10;

/// The decoder of a file's records.
pub(super) enum Fsm {
    /// Versions 1 to 3, whose MBP-10 records are the same.
    V3(Box<DbnFsm<v3::RecordHeader>>),
    V4(Box<DbnFsm<v4::RecordHeader>>),
}

/// Calls the same method on either state machine.
macro_rules! on_fsm {
    ($fsm:expr, $name:ident => $call:expr) => {
        match $fsm {
            Fsm::V3($name) => $call,
            Fsm::V4($name) => $call,
        }
    };
}
pub(super) use on_fsm;

/// A file whose metadata has been read.
pub(super) struct Opened {
    pub source: Source,
    pub fsm: Fsm,
    pub metadata: Metadata,
    /// Offset of the first record in the decompressed stream.
    pub byte: u64,
}

impl Opened {
    pub fn new(path: &Path) -> Result<Self> {
        let mut source = Source::open(path)?;
        let mut prelude = [0; 8];
        let got = fill_whole(&mut source, &mut prelude)?;
        if got < prelude.len() || &prelude[..3] != b"DBN" {
            let what = if got == 0 { "is empty: it has no DBN header" } else { "does not start with a DBN header" };
            return Err(InputError::new(path, what)
                .at(None, 0)
                .with_help("lobset reads .dbn and .dbn.zst files")
                .into());
        }
        let version = prelude[3];
        let length = u32::from_le_bytes([prelude[4], prelude[5], prelude[6], prelude[7]]);
        if !(1..=4).contains(&version) {
            return Err(InputError::new(
                path,
                format!("DBN version {version} is not supported: lobset reads versions 1 to 4"),
            )
            .at(None, 3)
            .into());
        }
        if length > MAX_METADATA_BYTES {
            let message =
                format!("declares {length} bytes of metadata, more than {MAX_METADATA_BYTES}: the header is damaged");
            return Err(InputError::new(path, message).at(None, 4).into());
        }
        let header = gather_metadata(path, &mut source, length as usize)?;
        let mut fsm = if version == 4 {
            Fsm::V4(Box::new(state_machine(path)?))
        } else {
            Fsm::V3(Box::new(state_machine(path)?))
        };
        let bad = |e: dbn::Error| {
            let cause = match e {
                dbn::Error::Utf8 { context, .. } => format!("{context} is not valid UTF-8"),
                other => other.to_string(),
            };
            InputError::new(path, format!("metadata cannot be decoded: {cause}")).at(None, 8)
        };
        let metadata = on_fsm!(&mut fsm, fsm => {
            fsm.write_all(&prelude);
            fsm.write_all(&header);
            match fsm.process() {
                ProcessResult::Metadata(metadata) => metadata,
                ProcessResult::Err(e) => return Err(bad(e).into()),
                ProcessResult::ReadMore(_) | ProcessResult::Record(()) => {
                    return Err(bad(dbn::Error::decode("its parts do not add up to its length")).into());
                }
            }
        });
        // If a wrong length turned records into metadata, no later check would notice.
        let used = DbnMetadataEncoder::<Vec<u8>>::encoded_len(&metadata).saturating_sub(prelude.len());
        if header.iter().skip(used).any(|byte| *byte != 0) {
            let message =
                format!("declares {length} bytes of metadata, but its metadata takes {used}: the header is damaged");
            return Err(InputError::new(path, message).at(None, 4).into());
        }
        Ok(Self { source, fsm, metadata, byte: 8 + u64::from(length) })
    }
}

/// Reads `length` bytes of metadata. The state machine allocates whatever length the header declares. To keep a wrong
/// length from taking memory, the bytes are read first, and refused if there are more than a file can need.
fn gather_metadata(path: &Path, source: &mut Source, length: usize) -> Result<Vec<u8>> {
    let mut header: Vec<u8> = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while header.len() < length {
        let want = piece.len().min(length - header.len());
        let n = source.fill(&mut piece[..want])?;
        let byte = 8 + header.len() as u64;
        let refuse = |what: &str| {
            let message = format!("declares {length} bytes of metadata, {what}: the header is damaged");
            Err(InputError::new(path, message).at(None, byte).into())
        };
        if n == 0 {
            let message = "the file ends within its metadata: it is truncated";
            return Err(InputError::new(path, message).at(None, byte).into());
        }
        header.extend_from_slice(&piece[..n]);
        let used = header.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if header.len() - used > MAX_ZEROS {
            return refuse("of which thousands are zeros");
        }
        if header.len() > FREE_METADATA_BYTES && header.len() as u64 / MAX_METADATA_RATIO > source.bytes_read() {
            return refuse("more than a file of its size can need");
        }
    }
    Ok(header)
}

/// Reads the metadata of a file of any schema.
pub(crate) fn read_metadata(path: &Path) -> Result<Metadata> {
    Opened::new(path).map(|opened| opened.metadata)
}

fn state_machine<H: DecodeHeader>(path: &Path) -> Result<DbnFsm<H>> {
    DbnFsmBuilder::new()
        .header::<H>()
        .buffer_size(BUFFER)
        .upgrade_policy(VersionUpgradePolicy::AsIs)
        .build()
        .map_err(|e| InputError::new(path, format!("cannot be decoded: {e}")).into())
}

/// Fills `buffer`, unless the stream ends first; returns the number of bytes read.
fn fill_whole(source: &mut Source, buffer: &mut [u8]) -> Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match source.fill(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}
