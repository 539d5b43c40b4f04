//! Scan: decodes one input file to its tapes, once.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::instruments::{InstrumentSpan, InstrumentSpans};
use super::order::Order;
use crate::error::{Error, InputError, Result};
use crate::input::{
    CatalogFile, Gaps, Head, InputEntry, Record, RowReader, ScanRules, StreamEnd, StreamId, StreamRow, check_unchanged,
    file_sha256, hex, inexact_price, is_break, verified,
};
use crate::output::write_whole;
use crate::run::Monitor;
use crate::storage::checksum::{seal_json, unseal_json};
use crate::storage::{self, Stat, platform::Platform};
use crate::tape::{Chunk, SymbolTapes, TapeWriter, check_chunks};

/// Version of the format of tapes and receipts; changes whenever the format does.
const FORMAT: u32 = 7;

/// Maximum size of a receipt, in bytes: each stream of a file takes about a kilobyte, and some hundred bytes more for
/// every 8,192 rows.
const LARGEST_RECEIPT: u64 = 256 << 20;

/// The result of a scan: the receipt of a file's tapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileScan {
    /// The manifest entry of the file.
    pub input: InputEntry,
    /// The stamps of its first records.
    pub head: Head,
    /// The first row with a price that is not an exact float: its record, and the price in 1e-9.
    pub inexact: Option<(u64, i64)>,
    /// The work file with the tapes.
    pub tape: PathBuf,
    /// Its streams that have rows.
    pub streams: Vec<StreamScan>,
    /// How its streams end, if their rows do not show it.
    pub ends: Vec<StreamEnd>,
}

/// The scan of one stream in one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamScan {
    /// The stream that the rows belong to.
    pub id: StreamId,
    /// Number of rows.
    pub rows: u64,
    /// `ts_recv` of the first row.
    pub first_ts: u64,
    /// The largest `ts_recv`.
    pub max_ts: u64,
    /// The instrument of the first row.
    pub first_instrument: u32,
    /// The instrument of the last row.
    pub last_instrument: u32,
    /// Rows that start a new unbroken stretch, counted from the first row in this file.
    pub breaks: Vec<u64>,
    /// The breaks that follow a record dropped for its bad book. The first row in this file may be one of them.
    pub bad_books: Vec<u64>,
    /// How often `ts_recv` steps back.
    pub steps_back: u64,
    /// Its longest pauses within unbroken stretches.
    pub gaps: Gaps,
    /// Time spans of its rows by instrument.
    pub instruments: Vec<InstrumentSpan>,
    /// The greatest common divisor of the prices of its book, in 1e-9; 0 without prices.
    pub tick: u64,
    /// The chunks of its tapes.
    pub chunks: Vec<Chunk>,
}

impl StreamScan {
    /// The least `ts_recv`.
    pub fn least_ts(&self) -> u64 {
        self.instruments.iter().map(|span| span.first_ts).min().unwrap_or(self.first_ts)
    }
}

/// A stream while its file is read. The name, instruments, tick and chunks of its scan are filled in last.
struct Scanning {
    scan: StreamScan,
    instruments: InstrumentSpans,
    order: Order,
}

impl Scanning {
    fn begin(record: &Record<'_>) -> Self {
        let scan = StreamScan {
            id: StreamId { symbol: String::new(), publisher_id: record.event.publisher_id },
            rows: 0,
            first_ts: record.event.ts_recv,
            max_ts: record.event.ts_recv,
            first_instrument: record.event.instrument_id,
            last_instrument: record.event.instrument_id,
            breaks: Vec::new(),
            bad_books: Vec::new(),
            steps_back: 0,
            gaps: Gaps::default(),
            instruments: Vec::new(),
            tick: 0,
            chunks: Vec::new(),
        };
        Self { scan, instruments: InstrumentSpans::new(record), order: Order::new() }
    }

    #[inline]
    fn push(&mut self, record: &Record<'_>, number: u64, after_bad_book: bool, max_gap: u64) {
        let Self { scan, instruments, order } = self;
        order.push(record.event.ts_recv, number);
        let same_instrument = record.event.instrument_id == scan.last_instrument;
        if after_bad_book || is_break(scan.max_ts, record.event.ts_recv, max_gap, same_instrument) {
            scan.breaks.push(scan.rows);
            if after_bad_book {
                scan.bad_books.push(scan.rows);
            }
            scan.last_instrument = record.event.instrument_id;
        } else {
            scan.gaps.note(scan.max_ts, record.event.ts_recv);
        }
        scan.steps_back += u64::from(record.event.ts_recv < scan.max_ts);
        instruments.push(record);
        scan.max_ts = scan.max_ts.max(record.event.ts_recv);
        scan.rows += 1;
    }

    fn finish(self, id: StreamId) -> StreamScan {
        StreamScan { id, instruments: self.instruments.finish(), ..self.scan }
    }
}

/// The file that records a finished scan: the receipt, and the conditions under which it is valid.
#[derive(Serialize, Deserialize)]
struct FinishedScan {
    format: u32,
    /// Tapes are not forced to disk, so they are trusted only until the machine restarts. This identifies the boot.
    boot: Option<String>,
    rules: ScanRules,
    tape_bytes: u64,
    scan: FileScan,
}

/// Scans a file, or reuses the scan of an earlier run; the flag is true if it was reused.
///
/// # Errors
/// [`InputError`] for a file that is refused, or that changes meanwhile; [`Error::Output`] for a work file that cannot
/// be written.
pub fn scan(file: &CatalogFile, rules: &ScanRules, folder: &Path, monitor: &Monitor<'_>) -> Result<(FileScan, bool)> {
    let real = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let stem = hex(&Sha256::digest(real.as_os_str().as_encoded_bytes())[..12]);
    let receipt = folder.join(&stem).with_extension("json");
    let tape = folder.join(&stem).with_extension("tape");
    let rules = rules.with_symbology(file.beside.symbology.as_ref());
    let listed = file.beside.sha256.as_deref();
    if let Some(scan) = finished_before(file, &rules, &receipt, &tape, monitor)? {
        file.check_unchanged()?;
        let scan = verified(&file.path, listed, Ok(scan), |scan| scan.input.sha256.clone())?;
        return Ok((scan, true));
    }
    let (scan, tape_bytes) = read(&file.path, &file.stat, listed, &rules, &tape, monitor)?;
    let done = FinishedScan { format: FORMAT, boot: Platform::here().boot(), rules, tape_bytes, scan };
    write_whole(&receipt, &seal_json(&done).map_err(|e| Error::output(&receipt, e))?)?;
    Ok((done.scan, false))
}

/// The receipt of an earlier run if it is still valid: the file is the same to the byte, the rules are the same, and
/// the tapes are in place and undamaged.
fn finished_before(
    file: &CatalogFile,
    rules: &ScanRules,
    receipt: &Path,
    tape: &Path,
    monitor: &Monitor<'_>,
) -> Result<Option<FileScan>> {
    // A run writes only regular files: a link, a pipe or a device in their place comes from something else.
    let ours = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_file());
    if !ours(receipt) || !ours(tape) {
        return Ok(None);
    }
    let Ok(sealed) = storage::read_at_most(receipt, LARGEST_RECEIPT) else { return Ok(None) };
    let Ok(done) = unseal_json::<FinishedScan>(&sealed) else { return Ok(None) };
    let boot = Platform::here().boot();
    let holds = done.format == FORMAT
        && boot.is_some()
        && done.boot == boot
        && done.rules == *rules
        && storage::stat(tape).is_ok_and(|found| found.bytes == done.tape_bytes)
        && done.scan.tape == tape
        && done.scan.input.bytes == file.stat.bytes
        && check_chunks(tape, done.scan.streams.iter().flat_map(|stream| &stream.chunks)).is_ok()
        && done.scan.input.sha256 == file_sha256(&file.path)?;
    if !holds {
        return Ok(None);
    }
    monitor.advance(done.scan.input.bytes)?;
    Ok(Some(done.scan))
}

/// Decodes a file once, into the work file `tape`; returns the scan and the size of the work file. `found` is the state
/// of the file when the run began, and `listed` the SHA-256 that `manifest.json` gives for it.
///
/// # Errors
/// As [`scan`].
pub fn read(
    path: &Path,
    found: &Stat,
    listed: Option<&str>,
    rules: &ScanRules,
    tape: &Path,
    monitor: &Monitor<'_>,
) -> Result<(FileScan, u64)> {
    let outcome = decode(path, rules, tape, monitor);
    // A file that is still being written may look damaged. That it has changed is the more useful error.
    check_unchanged(path, found)?;
    verified(path, listed, outcome, |(scan, _)| scan.input.sha256.clone())
}

/// Sets the error of a refused file aside, so that the step continues with the other files and reports all refused
/// files at the end.
pub fn set_aside<T>(outcome: Result<T>) -> Result<Result<T, InputError>> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(Error::Input(refused)) => Ok(Err(refused)),
        Err(other) => Err(other),
    }
}

fn decode(path: &Path, rules: &ScanRules, tape: &Path, monitor: &Monitor<'_>) -> Result<(FileScan, u64)> {
    // A file that is refused leaves no tape.
    let rows = RowReader::open(path, rules)?;
    let mut writer = TapeWriter::create(tape)?.with_moments(rules.moments());
    let Contents { input, head, inexact, mut streams, ends } =
        read_streams(path, rows, rules.max_gap(), monitor, |number, record, mid2, max_ts| {
            writer.push(number, record, mid2, max_ts)
        })?;
    let (tape_bytes, tapes) = writer.finish()?;
    for (stream, SymbolTapes { chunks, tick }) in streams.iter_mut().zip(tapes) {
        (stream.chunks, stream.tick) = (chunks, tick);
    }
    Ok((FileScan { input, head, inexact, tape: tape.to_owned(), streams, ends }, tape_bytes))
}

/// The result of reading a file to its end.
pub struct Contents {
    /// The manifest entry of the file.
    pub input: InputEntry,
    /// The stamps of its first records.
    pub head: Head,
    /// As in [`FileScan`].
    pub inexact: Option<(u64, i64)>,
    /// Its streams, without tapes.
    pub streams: Vec<StreamScan>,
    /// As in [`FileScan`].
    pub ends: Vec<StreamEnd>,
}

/// Reads a file to its end. Calls `take` for each row with the number of its stream, its record, its `mid2` and the
/// largest `ts_recv` of the stream so far.
///
/// # Errors
/// As [`scan`], and errors of `take`.
pub fn read_streams(
    path: &Path,
    mut rows: RowReader,
    max_gap: u64,
    monitor: &Monitor<'_>,
    mut take: impl FnMut(usize, &Record<'_>, i64, u64) -> Result<()>,
) -> Result<Contents> {
    let mut streams: Vec<Scanning> = Vec::new();
    let (mut head, mut first_ts, mut last_ts, mut inexact) = (Head::default(), None, None, None);
    while rows.advance(monitor)? {
        let number_of_record = rows.reader.records() - 1;
        let (record, row) = rows.current()?;
        if head.push(record.event.ts_recv) {
            first_ts.get_or_insert(record.event.ts_recv);
        }
        last_ts = last_ts.max(Some(record.event.ts_recv));
        let Some(StreamRow { stream: number, mid2, after_bad_book }) = row else { continue };
        // Streams are numbered in the order of their first rows.
        if number == streams.len() {
            streams.push(Scanning::begin(&record));
        }
        let stream = &mut streams[number];
        stream.push(&record, number_of_record, after_bad_book, max_gap);
        if inexact.is_none() {
            inexact = inexact_price(&record).map(|price| (number_of_record, price));
        }
        take(number, &record, mid2, stream.scan.max_ts)?;
    }
    for (stream, id) in streams.iter().zip(rows.streams()) {
        stream.order.check(&rows.reader, &id.symbol)?;
    }
    let streams: Vec<StreamScan> = streams.into_iter().zip(rows.streams()).map(|(s, id)| s.finish(id)).collect();
    let input = rows.entry(path, streams.iter().map(|s| s.rows).sum(), first_ts, last_ts);
    Ok(Contents { input, head, inexact, streams, ends: rows.ends() })
}

/// `ts_recv` of a file's usable record with this number, from 0. `found` is the state of the file when the run began.
///
/// # Errors
/// As [`scan`].
pub fn ts_of_row(path: &Path, found: &Stat, rules: &ScanRules, number: u64) -> Result<Option<u64>> {
    let outcome = find_row(path, rules, number);
    check_unchanged(path, found)?;
    outcome
}

fn find_row(path: &Path, rules: &ScanRules, number: u64) -> Result<Option<u64>> {
    let mut rows = RowReader::open(path, rules)?;
    let mut seen = 0;
    while rows.reader.advance()? {
        let (record, row) = rows.current()?;
        if row.is_some() {
            if seen == number {
                return Ok(Some(record.event.ts_recv));
            }
            seen += 1;
        }
    }
    Ok(None)
}
