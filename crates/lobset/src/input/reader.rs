//! A strict reader of DBN: records in, or an error that says where; never a clean end that is none.

use std::path::{Path, PathBuf};

use dbn::decode::dbn::fsm::{DbnFsm, DbnFsmBuilder, DecodeHeader, ProcessResult};
use dbn::{BidAskPair, Metadata, Record as _, Schema, VersionUpgradePolicy, v3, v4};

use super::source::Source;
use crate::error::{InputError, Result};

/// The longest metadata header that is read. A year of every option on a US exchange stays below it.
pub const MAX_METADATA_BYTES: u32 = 256 << 20;

/// Records are decoded from a buffer of this size: it stays within a core's own cache.
const BUFFER: usize = 128 << 10;

/// One MBP-10 record, as every DBN version holds it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When Databento received it, in nanoseconds since the UNIX epoch.
    pub ts_recv: u64,
    /// When the venue's matching engine made it, in nanoseconds since the UNIX epoch.
    pub ts_event: u64,
    /// The order's price in 1e-9.
    pub price: i64,
    /// Nanoseconds from the venue's sending to `ts_recv`.
    pub ts_in_delta: i32,
    /// The venue's sequence number.
    pub sequence: u32,
    /// The order's quantity.
    pub size: u32,
    /// The instrument, within its day.
    pub instrument_id: u32,
    /// Dataset and venue.
    pub publisher_id: u16,
    /// Event action, an ASCII letter.
    pub action: u8,
    /// Side of the event, an ASCII letter.
    pub side: u8,
    /// Bit flags.
    pub flags: u8,
    /// Book level of the event.
    pub depth: u8,
    /// The book after the event.
    pub levels: &'a [BidAskPair; 10],
}

/// The fields of a record struct, which versions 1 to 3 and version 4 name alike.
macro_rules! view {
    ($msg:expr, $instrument_id:expr) => {
        Record {
            ts_recv: $msg.ts_recv,
            ts_event: $msg.hd.ts_event,
            price: $msg.price,
            ts_in_delta: $msg.ts_in_delta,
            sequence: $msg.sequence,
            size: $msg.size,
            instrument_id: $instrument_id,
            publisher_id: $msg.hd.publisher_id,
            action: $msg.action.cast_unsigned(),
            side: $msg.side.cast_unsigned(),
            flags: $msg.flags.raw(),
            depth: $msg.depth,
            levels: &$msg.levels,
        }
    };
}

enum Fsm {
    /// Versions 1 to 3: the record has not changed between them.
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

/// Reads the records of one `.dbn` or `.dbn.zst` file in order.
///
/// ```no_run
/// # fn main() -> lobset::Result<()> {
/// let mut reader = lobset::input::DbnReader::open("glbx-mdp3-20240403.mbp-10.dbn.zst".as_ref())?;
/// while reader.advance()? {
///     let record = reader.record()?;
///     println!("{} {}", record.ts_recv, record.levels[0].bid_px);
/// }
/// # Ok(()) }
/// ```
pub struct DbnReader {
    path: PathBuf,
    source: Source,
    fsm: Fsm,
    metadata: Metadata,
    /// Records advanced over.
    records: u64,
    /// Offset of the next record in the decompressed stream.
    byte: u64,
}

impl DbnReader {
    /// Opens a file and reads its metadata.
    ///
    /// # Errors
    /// [`InputError`] when the file is no DBN, is cut within its metadata, has another schema than mbp-10, or
    /// declares metadata longer than [`MAX_METADATA_BYTES`].
    pub fn open(path: &Path) -> Result<Self> {
        let mut source = Source::open(path)?;
        let mut prelude = [0; 8];
        let got = fill_whole(&mut source, &mut prelude)?;
        if got < prelude.len() || &prelude[..3] != b"DBN" {
            let what = if got == 0 { "is empty: not even a DBN header" } else { "does not start with a DBN header" };
            return Err(InputError::new(path, what).at(None, 0).with_help("lobset reads .dbn and .dbn.zst files").into());
        }
        let version = prelude[3];
        let length = u32::from_le_bytes([prelude[4], prelude[5], prelude[6], prelude[7]]);
        if !(1..=4).contains(&version) {
            return Err(InputError::new(path, format!("DBN version {version} is not one of 1 to 4")).at(None, 3).into());
        }
        if length > MAX_METADATA_BYTES {
            let message = format!("declares {length} bytes of metadata, more than {MAX_METADATA_BYTES}: the header is damaged");
            return Err(InputError::new(path, message).at(None, 4).into());
        }
        let mut metadata = Vec::new();
        // The state machine allocates what the header declares, so the bytes are gathered first: a false length costs
        // no more memory than the file has bytes.
        let mut piece = vec![0; 64 << 10];
        while metadata.len() < length as usize {
            let want = piece.len().min(length as usize - metadata.len());
            let n = source.fill(&mut piece[..want])?;
            if n == 0 {
                let byte = 8 + metadata.len() as u64;
                return Err(InputError::new(path, "the file ends within its metadata: it is truncated").at(None, byte).into());
            }
            metadata.extend_from_slice(&piece[..n]);
        }
        let mut fsm = if version == 4 {
            Fsm::V4(Box::new(state_machine(path)?))
        } else {
            Fsm::V3(Box::new(state_machine(path)?))
        };
        let bad = |e: dbn::Error| InputError::new(path, format!("metadata cannot be decoded: {e}")).at(None, 8);
        let metadata = on_fsm!(&mut fsm, fsm => {
            fsm.write_all(&prelude);
            fsm.write_all(&metadata);
            match fsm.process() {
                ProcessResult::Metadata(metadata) => metadata,
                ProcessResult::Err(e) => return Err(bad(e).into()),
                ProcessResult::ReadMore(_) | ProcessResult::Record(()) => {
                    return Err(bad(dbn::Error::decode("its parts do not add up to its length")).into());
                }
            }
        });
        check_schema(path, &metadata)?;
        let byte = 8 + u64::from(length);
        Ok(Self { path: path.to_owned(), source, fsm, metadata, records: 0, byte })
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Records advanced over so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of the file read so far, compressed as they are.
    pub fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// The SHA-256 of the whole file; meaningful once [`advance`](Self::advance) has returned false.
    pub fn sha256(&self) -> String {
        self.source.sha256()
    }

    /// Moves to the next record; false at the end of the file.
    ///
    /// # Errors
    /// [`InputError`] with the record and the byte where the file is cut or broken.
    #[inline]
    pub fn advance(&mut self) -> Result<bool> {
        loop {
            let more = on_fsm!(&mut self.fsm, fsm => {
                if fsm.next_buffered_record().is_some() {
                    None
                } else {
                    match fsm.process_batch() {
                        ProcessResult::Record(_) => continue,
                        ProcessResult::ReadMore(_) => Some(Ok(())),
                        ProcessResult::Metadata(_) => Some(Err("metadata in the middle of the records".to_owned())),
                        ProcessResult::Err(e) => Some(Err(format!("cannot be decoded: {e}"))),
                    }
                }
            });
            match more {
                None => {
                    self.records += 1;
                    return Ok(true);
                }
                Some(Err(message)) => return Err(self.error(message).into()),
                Some(Ok(())) => {
                    if !self.read_more()? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Reads on; false at the clean end of the file.
    fn read_more(&mut self) -> Result<bool> {
        let (read, left) = on_fsm!(&mut self.fsm, fsm => {
            let read = self.source.fill(fsm.space())?;
            fsm.fill(read);
            (read, fsm.data().len())
        });
        if read == 0 && left > 0 {
            let message = format!("the file ends within a record, {left} bytes after its start: it is truncated or has trailing bytes");
            self.records += 1;
            return Err(self.error(message).with_help("download the file again").into());
        }
        Ok(read > 0)
    }

    /// The record that [`advance`](Self::advance) moved to.
    ///
    /// # Errors
    /// [`InputError`] when it is not an MBP-10 record of the right size, or its instrument id needs more than 32 bits.
    #[inline]
    pub fn record(&self) -> Result<Record<'_>> {
        match &self.fsm {
            Fsm::V3(fsm) => {
                if let Some(rec) = fsm.last_record()
                    && rec.record_size() == size_of::<v3::Mbp10Msg>()
                    && let Ok(msg) = rec.try_get::<v3::Mbp10Msg>()
                {
                    let hd = &msg.hd;
                    return Ok(view!(msg, hd.instrument_id));
                }
            }
            Fsm::V4(fsm) => {
                if let Some(rec) = fsm.last_record()
                    && rec.record_size() == size_of::<v4::Mbp10Msg>()
                    && let Ok(msg) = rec.try_get::<v4::Mbp10Msg>()
                {
                    let Ok(id) = u32::try_from(msg.hd.instrument_id) else {
                        return Err(self.error(format!("instrument id {} needs more than 32 bits", msg.hd.instrument_id)).into());
                    };
                    return Ok(view!(msg, id));
                }
            }
        }
        Err(self.foreign_record())
    }

    #[cold]
    fn foreign_record(&self) -> crate::Error {
        let (rtype, size) = match &self.fsm {
            Fsm::V3(fsm) => fsm.last_record().map(|r| (u16::from(r.header().rtype), r.record_size())),
            Fsm::V4(fsm) => fsm.last_record().map(|r| (r.header().rtype, r.record_size())),
        }
        .unwrap_or_default();
        let (want, length) = match &self.fsm {
            Fsm::V3(_) => (u16::from(dbn::rtype::MBP_10), size_of::<v3::Mbp10Msg>()),
            Fsm::V4(_) => (v4::rtype::MBP_10, size_of::<v4::Mbp10Msg>()),
        };
        self.error(format!("a record of type {rtype:#04x} and {size} bytes, where MBP-10 has type {want:#04x} and {length} bytes")).into()
    }

    /// An error at the current record.
    pub fn error(&self, message: impl std::fmt::Display) -> InputError {
        let record = self.records.saturating_sub(1);
        let size = match self.fsm {
            Fsm::V3(_) => size_of::<v3::Mbp10Msg>(),
            Fsm::V4(_) => size_of::<v4::Mbp10Msg>(),
        };
        InputError::new(&self.path, message).at(Some(record), self.byte + record * size as u64)
    }
}

fn state_machine<H: DecodeHeader>(path: &Path) -> Result<DbnFsm<H>> {
    DbnFsmBuilder::new()
        .header::<H>()
        .buffer_size(BUFFER)
        .upgrade_policy(VersionUpgradePolicy::AsIs)
        .build()
        .map_err(|e| InputError::new(path, format!("cannot be decoded: {e}")).into())
}

fn check_schema(path: &Path, metadata: &Metadata) -> Result<()> {
    let refuse = |message: String, help: &str| Err(InputError::new(path, message).with_help(help).into());
    match metadata.schema {
        Some(Schema::Mbp10) => {}
        Some(other) => {
            return refuse(
                format!("holds the schema {other}, not mbp-10"),
                "download the same symbols and days again with schema=\"mbp-10\", encoding=\"dbn\"",
            );
        }
        None => {
            return refuse(
                "holds a mix of schemas, as live captures do".to_owned(),
                "download history with schema=\"mbp-10\", encoding=\"dbn\"",
            );
        }
    }
    if metadata.ts_out {
        return refuse(
            "each record carries a gateway timestamp (ts_out), which the datasets have no column for".to_owned(),
            "download history, whose records come without it",
        );
    }
    if let Some(index) = metadata.layout_index() {
        match index.verdict(v4::rtype::MBP_10) {
            Some(dbn::layout::Verdict::Compiled) => {}
            _ => {
                return refuse(
                    "its DBN 4 layout of mbp-10 records is not the one this build knows".to_owned(),
                    "use a newer lobset, or download as DBN 3",
                );
            }
        }
    }
    Ok(())
}

/// Fills `buffer` as far as the stream goes.
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
