//! A strict reader of DBN: returns records, or an error with the position of the defect. Reaching the end without an
//! error means that the file is complete.

use std::ffi::c_char;
use std::path::{Path, PathBuf};

use dbn::decode::dbn::fsm::ProcessResult;
use dbn::{BidAskPair, Metadata, Schema, UNDEF_TIMESTAMP, v3, v4};

use super::Event;
use super::opened::{Fsm, Opened, on_fsm};
use super::source::Source;
use crate::error::{InputError, Result};
use crate::storage;

/// One MBP-10 record, the same for every DBN version.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The event.
    pub event: Event,
    /// The book after the event.
    pub levels: &'a [BidAskPair; 10],
}

/// A letter of a record. `c_char` is signed on some systems and unsigned on others.
#[inline(always)]
fn letter(letter: c_char) -> u8 {
    u8::from_ne_bytes(letter.to_ne_bytes())
}

/// Builds a [`Record`] from a record struct, whose fields have the same names in versions 1 to 3 and version 4.
macro_rules! view {
    ($msg:expr, $instrument_id:expr, $ts_out:expr) => {
        Record {
            event: Event {
                ts_recv: $msg.ts_recv,
                ts_event: $msg.hd.ts_event,
                ts_out: $ts_out,
                price: $msg.price,
                ts_in_delta: $msg.ts_in_delta,
                sequence: $msg.sequence,
                size: $msg.size,
                instrument_id: $instrument_id,
                publisher_id: $msg.hd.publisher_id,
                action: letter($msg.action),
                side: letter($msg.side),
                flags: $msg.flags.raw(),
                depth: $msg.depth,
            },
            levels: &$msg.levels,
        }
    };
}

/// The layout that all records of a file share.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Size of a record in bytes.
    size: usize,
    /// The first bytes of a record: length and type. DBN 1 to 3 use two of them, DBN 4 all four.
    header: [u8; 4],
    header_bytes: usize,
    /// Offset of the gateway stamp within a record, in files that carry one.
    ts_out: Option<usize>,
}

impl Shape {
    /// # Errors
    /// A message when a DBN 4 layout describes MBP-10 records that differ from those that this build reads.
    fn of(metadata: &Metadata) -> Result<Self, String> {
        if metadata.version < 4 {
            let base = size_of::<v3::Mbp10Msg>();
            let ts_out = metadata.ts_out.then_some(base);
            let size = ts_out.map_or(base, |at| at + size_of::<u64>());
            // A length is a single byte, in units of four bytes.
            let [length, ..] = (size / 4).to_le_bytes();
            let header = [length, dbn::rtype::MBP_10, 0, 0];
            return Ok(Self { size, header, header_bytes: 2, ts_out });
        }
        let unknown =
            || "its DBN 4 layout of mbp-10 records is not the one that this version of lobset reads".to_owned();
        let index = metadata.layout_index().ok_or_else(unknown)?;
        let layout = metadata.layout.as_ref().and_then(|layout| layout.record_layout(v4::rtype::MBP_10));
        let size = usize::from(layout.ok_or_else(unknown)?.record_size());
        let ts_out = index.offset_of(v4::rtype::MBP_10, v4::fields::TS_OUT).map(|field| usize::from(field.offset()));
        // Only the gateway stamp may follow the record: any other field would be lost.
        let base = size_of::<v4::Mbp10Msg>();
        let known = match ts_out {
            Some(at) => at == base && size == base + size_of::<u64>(),
            None => size == base,
        };
        if index.verdict(v4::rtype::MBP_10) != Some(dbn::layout::Verdict::Compiled) || !known {
            return Err(unknown());
        }
        let [low, high, ..] = (size - size_of::<v4::RecordHeader>()).to_le_bytes();
        let rtype = v4::rtype::MBP_10.to_le_bytes();
        Ok(Self { size, header: [low, high, rtype[0], rtype[1]], header_bytes: 4, ts_out })
    }

    fn header(&self) -> &[u8] {
        &self.header[..self.header_bytes]
    }

    /// The gateway stamp of a record, given its bytes.
    #[inline(always)]
    fn ts_out(&self, record: &[u8]) -> u64 {
        let stamp = self.ts_out.and_then(|at| record.get(at..)?.first_chunk());
        stamp.map_or(UNDEF_TIMESTAMP, |bytes| u64::from_le_bytes(*bytes))
    }
}

/// Maximum number of records that the state machine decodes at once.
const BATCH: usize = 16;

/// Returns how many of the next records begin with `want`, and whether these include every record that the state
/// machine might decode at once.
#[inline]
fn headers(data: &[u8], size: usize, want: &[u8]) -> (usize, bool) {
    for i in 0..BATCH {
        match data.get(i * size..i * size + want.len()) {
            Some(header) if header != want => return (i, false),
            Some(_) => {}
            // The rest has not been read yet, so the state machine cannot decode it.
            None => return (i, true),
        }
    }
    (BATCH, true)
}

/// Reads the records of one `.dbn` or `.dbn.zst` file in order.
///
/// ```no_run
/// # fn main() -> lobset::Result<()> {
/// let mut reader = lobset::input::DbnReader::open("glbx-mdp3-20240403.mbp-10.dbn.zst".as_ref())?;
/// while reader.advance()? {
///     let record = reader.record()?;
///     println!("{} {}", record.event.ts_recv, record.levels[0].bid_px);
/// }
/// # Ok(()) }
/// ```
pub struct DbnReader {
    path: PathBuf,
    source: Source,
    fsm: Fsm,
    shape: Shape,
    metadata: Metadata,
    /// Number of records advanced over.
    records: u64,
    /// Offset of the next record in the decompressed stream.
    byte: u64,
}

impl DbnReader {
    /// Opens a file and reads its metadata.
    ///
    /// # Errors
    /// [`InputError`] when the file is not DBN, is truncated within its metadata, has a schema other than mbp-10, or
    /// declares metadata longer than [`MAX_METADATA_BYTES`](crate::input::MAX_METADATA_BYTES) or than its contents
    /// need.
    pub fn open(path: &Path) -> Result<Self> {
        let path = &storage::plain(path);
        let Opened { source, fsm, metadata, byte } = Opened::new(path)?;
        check_schema(path, &metadata)?;
        let shape = Shape::of(&metadata).map_err(|message| {
            InputError::new(path, message).with_help("use a newer version of lobset, or download the data as DBN 3")
        })?;
        Ok(Self { path: path.to_owned(), source, fsm, shape, metadata, records: 0, byte })
    }

    /// The metadata of the file.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// True when each record carries the time at which Databento's live gateway sent it.
    pub fn has_ts_out(&self) -> bool {
        self.shape.ts_out.is_some()
    }

    /// Number of records advanced over so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Number of bytes of the (possibly compressed) file read so far.
    pub fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }

    /// True if every zstd frame has a checksum of its contents, which is verified during reading; `None` for a file
    /// that is not compressed. Meaningful once [`advance`](Self::advance) has returned false.
    pub fn checksummed(&self) -> Option<bool> {
        self.source.checksummed()
    }

    /// The SHA-256 of the whole file; meaningful once [`advance`](Self::advance) has returned false.
    pub fn sha256(&self) -> String {
        self.source.sha256()
    }

    /// Moves to the next record; false at the end of the file.
    ///
    /// # Errors
    /// [`InputError`] with the record and the byte at which the file is truncated or damaged.
    #[inline]
    pub fn advance(&mut self) -> Result<bool> {
        let buffered = on_fsm!(&mut self.fsm, fsm => fsm.next_buffered_record().is_some());
        if buffered {
            self.records += 1;
            return Ok(true);
        }
        self.decode_more()
    }

    /// Decodes the next records in the buffer, reading more of the file if there are none, and moves to the first of
    /// them.
    fn decode_more(&mut self) -> Result<bool> {
        loop {
            // The state machine accepts any record, and a record of an odd length would misalign those after it. So
            // every header is compared with the only valid one before the state machine decodes its record.
            let data = on_fsm!(&self.fsm, fsm => fsm.data());
            let (good, all) = headers(data, self.shape.size, self.shape.header());
            let outcome = on_fsm!(&mut self.fsm, fsm => match (good, all) {
                (0, false) => return Err(self.foreign_record()),
                (_, true) => fsm.process_batch(),
                (_, false) => match fsm.process() {
                    ProcessResult::Record(()) => {
                        self.records += 1;
                        return Ok(true);
                    }
                    ProcessResult::ReadMore(n) => ProcessResult::ReadMore(n),
                    ProcessResult::Metadata(m) => ProcessResult::Metadata(m),
                    ProcessResult::Err(e) => ProcessResult::Err(e),
                },
            });
            match outcome {
                ProcessResult::Record(_) => {
                    on_fsm!(&mut self.fsm, fsm => fsm.next_buffered_record().is_some());
                    self.records += 1;
                    return Ok(true);
                }
                ProcessResult::ReadMore(_) => {
                    if !self.read_more()? {
                        return Ok(false);
                    }
                }
                ProcessResult::Metadata(_) => {
                    return Err(self.error_ahead("metadata in the middle of the records").into());
                }
                ProcessResult::Err(e) => return Err(self.error_ahead(format!("cannot be decoded: {e}")).into()),
            }
        }
    }

    /// Reads more of the file; false at the end of a complete file.
    fn read_more(&mut self) -> Result<bool> {
        let (read, left) = on_fsm!(&mut self.fsm, fsm => {
            let read = self.source.fill(fsm.space())?;
            fsm.fill(read);
            (read, fsm.data().len())
        });
        if read == 0 && left > 0 {
            let message = format!(
                "the file ends within a record, {left} bytes after its start: it is truncated or has trailing bytes"
            );
            return Err(self.error_ahead(message).with_help("download the file again").into());
        }
        Ok(read > 0)
    }

    /// The record that [`advance`](Self::advance) moved to.
    ///
    /// # Errors
    /// [`InputError`] when its instrument id needs more than 32 bits, or there is no current record.
    #[inline]
    pub fn record(&self) -> Result<Record<'_>> {
        match &self.fsm {
            Fsm::V3(fsm) => {
                if let Some((rec, msg)) = fsm.last_record().and_then(|rec| Some((rec, rec.get::<v3::Mbp10Msg>()?))) {
                    return Ok(view!(msg, msg.hd.instrument_id, self.shape.ts_out(rec.as_ref())));
                }
            }
            Fsm::V4(fsm) => {
                if let Some((rec, msg)) = fsm.last_record().and_then(|rec| Some((rec, rec.get::<v4::Mbp10Msg>()?))) {
                    let Ok(id) = u32::try_from(msg.hd.instrument_id) else {
                        return Err(self
                            .error(format!("instrument id {} needs more than 32 bits", msg.hd.instrument_id))
                            .into());
                    };
                    return Ok(view!(msg, id, self.shape.ts_out(rec.as_ref())));
                }
            }
        }
        Err(self.error("there is no current record: advance first").into())
    }

    /// The error for the next record, whose header is not that of MBP-10.
    #[cold]
    fn foreign_record(&self) -> crate::Error {
        let (rtype, size, want) = match &self.fsm {
            Fsm::V3(fsm) => {
                let header = fsm.data();
                (u16::from(header[1]), usize::from(header[0]) * 4, u16::from(dbn::rtype::MBP_10))
            }
            Fsm::V4(fsm) => {
                let header = fsm.data();
                let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
                (short(2), usize::from(short(0)) + size_of::<v4::RecordHeader>(), v4::rtype::MBP_10)
            }
        };
        let message = format!(
            "a record of type {rtype:#04x} and {size} bytes, where MBP-10 has type {want:#04x} and {} bytes",
            self.shape.size
        );
        self.error_ahead(message).into()
    }

    /// An error at the record after the current one.
    fn error_ahead(&self, message: impl std::fmt::Display) -> InputError {
        self.error_at(self.records, message)
    }

    /// An error at the current record.
    pub fn error(&self, message: impl std::fmt::Display) -> InputError {
        self.error_at(self.records.saturating_sub(1), message)
    }

    /// An error at a record that has been advanced over.
    pub(crate) fn error_at(&self, record: u64, message: impl std::fmt::Display) -> InputError {
        InputError::new(&self.path, message).at(Some(record), self.byte + record * self.shape.size as u64)
    }
}

fn check_schema(path: &Path, metadata: &Metadata) -> Result<()> {
    let refuse = |message: String, help: &str| Err(InputError::new(path, message).with_help(help).into());
    match metadata.schema {
        Some(Schema::Mbp10) => {}
        Some(other) => {
            return refuse(
                format!("has the schema {other}, not mbp-10"),
                "download the same symbols and days again with schema=\"mbp-10\", encoding=\"dbn\"",
            );
        }
        None => {
            return refuse(
                "has a mix of schemas, as live captures do".to_owned(),
                "download historical data with schema=\"mbp-10\", encoding=\"dbn\"",
            );
        }
    }
    Ok(())
}
