//! Scan: one input file to its tapes, decoded once.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::monitor::Monitor;
use crate::config::{Config, Unmapped};
use crate::error::{Error, Result};
use crate::input::{
    CatalogFile, DbnReader, Drops, QuoteRules, Record, SymbologyFile, Symbols, file_name, file_sha256, hex, verified,
};
use crate::output::{InputEntry, write_whole};
use crate::storage;
use crate::tape::{Chunk, TapeWriter};
use crate::time_text::Timestamp;

/// Changes whenever the form of tapes or receipts does.
const FORMAT: u32 = 1;

/// Records between two looks at the monitor.
const BREATH: u64 = 8192;

/// The settings that decide what a scan finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRules {
    keep_crossed: bool,
    price_range: Option<[f64; 2]>,
    unmapped: Unmapped,
    max_gap: Option<u64>,
    /// The mappings for a file without any. It differs from folder to folder.
    symbology: Option<SymbologyFile>,
}

impl ScanRules {
    /// Those of a run's settings.
    pub fn new(config: &Config) -> Self {
        Self {
            keep_crossed: config.keep_crossed,
            price_range: config.price_range,
            unmapped: config.unmapped,
            max_gap: config.max_gap,
            symbology: None,
        }
    }

    /// The most memory that the mappings take, in bytes.
    pub fn memory(&self) -> u64 {
        self.symbology.as_ref().map_or(0, SymbologyFile::memory)
    }

    /// The same for a file with this `symbology.json`.
    #[must_use]
    pub fn with_symbology(&self, symbology: Option<&SymbologyFile>) -> Self {
        Self { symbology: symbology.cloned(), ..self.clone() }
    }
}

/// What a scan leaves behind: the receipt of a file's tapes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileScan {
    /// What the manifest will say of the file.
    pub input: InputEntry,
    /// The work file with the tapes.
    pub tape: PathBuf,
    /// Its symbols that have rows.
    pub symbols: Vec<SymbolScan>,
}

/// What one file holds of one symbol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SymbolScan {
    /// Its name.
    pub symbol: String,
    /// Its rows.
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
    /// How often `ts_recv` steps back.
    pub steps_back: u64,
    /// Its tapes.
    pub chunks: Vec<Chunk>,
}

impl SymbolScan {
    fn begin(record: &Record<'_>) -> Self {
        Self {
            symbol: String::new(),
            rows: 0,
            first_ts: record.ts_recv,
            max_ts: record.ts_recv,
            first_instrument: record.instrument_id,
            last_instrument: record.instrument_id,
            breaks: Vec::new(),
            steps_back: 0,
            chunks: Vec::new(),
        }
    }

    #[inline]
    fn push(&mut self, record: &Record<'_>, max_gap: u64) {
        let paused = record.ts_recv.saturating_sub(self.max_ts) > max_gap;
        if record.instrument_id != self.last_instrument || paused {
            self.breaks.push(self.rows);
            self.last_instrument = record.instrument_id;
        }
        self.steps_back += u64::from(record.ts_recv < self.max_ts);
        self.max_ts = self.max_ts.max(record.ts_recv);
        self.rows += 1;
    }
}

/// A receipt, and what it holds for.
#[derive(Serialize, Deserialize)]
struct Receipt {
    format: u32,
    /// Tapes are not forced to disk, so they are trusted only until the machine restarts.
    boot: String,
    rules: ScanRules,
    tape_bytes: u64,
    scan: FileScan,
}

/// Scans a file, or finds that an earlier run has done so; the flag tells which.
///
/// # Errors
/// [`InputError`](crate::error::InputError) for a file that is refused, [`Error::Output`] for a work file that cannot be written.
pub fn scan(file: &CatalogFile, rules: &ScanRules, folder: &Path, monitor: &Monitor<'_>) -> Result<(FileScan, bool)> {
    let real = fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    let stem = hex(&Sha256::digest(real.as_os_str().as_encoded_bytes())[..12]);
    let receipt = folder.join(&stem).with_extension("json");
    let tape = folder.join(&stem).with_extension("tape");
    let rules = rules.with_symbology(file.beside.symbology.as_ref());
    let listed = file.beside.sha256.as_deref();
    if let Some(scan) = finished_before(file, &rules, &receipt, &tape, monitor)? {
        let scan = verified(&file.path, listed, Ok(scan), |scan| scan.input.sha256.clone())?;
        return Ok((scan, true));
    }
    let (scan, tape_bytes) = read(&file.path, listed, &rules, &tape, monitor)?;
    let done = Receipt { format: FORMAT, boot: boot(), rules, tape_bytes, scan };
    let text = serde_json::to_string(&done).map_err(|e| Error::output(&receipt, e))?;
    write_whole(&receipt, &text)?;
    Ok((done.scan, false))
}

/// Names the time since the machine started, where the system tells.
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The receipt of an earlier run, if it still holds: same file to the byte, same rules, tapes in place.
fn finished_before(
    file: &CatalogFile,
    rules: &ScanRules,
    receipt: &Path,
    tape: &Path,
    monitor: &Monitor<'_>,
) -> Result<Option<FileScan>> {
    let Ok(text) = fs::read_to_string(receipt) else { return Ok(None) };
    let Ok(done) = serde_json::from_str::<Receipt>(&text) else { return Ok(None) };
    let boot = boot();
    let size = |path: &Path| storage::stat(path).map_or(u64::MAX, |found| found.bytes);
    let holds = done.format == FORMAT
        && !boot.is_empty()
        && done.boot == boot
        && done.rules == *rules
        && done.tape_bytes == size(tape)
        && done.scan.tape == tape
        && done.scan.input.bytes == size(&file.path)
        && done.scan.input.sha256 == file_sha256(&file.path)?;
    if !holds {
        return Ok(None);
    }
    monitor.advance(done.scan.input.bytes)?;
    Ok(Some(done.scan))
}

/// Decodes a file once, into the work file `tape`; returns the scan and the size of the work file. `listed` is the SHA-256
/// that `manifest.json` gives for the file.
///
/// # Errors
/// As [`scan`].
pub fn read(
    path: &Path,
    listed: Option<&str>,
    rules: &ScanRules,
    tape: &Path,
    monitor: &Monitor<'_>,
) -> Result<(FileScan, u64)> {
    verified(path, listed, decode(path, rules, tape, monitor), |(scan, _)| scan.input.sha256.clone())
}

fn decode(path: &Path, rules: &ScanRules, tape: &Path, monitor: &Monitor<'_>) -> Result<(FileScan, u64)> {
    let mut rows = RowReader::open(path, rules)?;
    let mut writer = TapeWriter::create(tape)?;
    let mut symbols: Vec<Option<SymbolScan>> = Vec::new();
    let (mut first_ts, mut last_ts) = (None, None);
    let max_gap = rules.max_gap.unwrap_or(u64::MAX);
    while rows.advance(monitor)? {
        let (record, row) = rows.current()?;
        first_ts.get_or_insert(record.ts_recv);
        last_ts = last_ts.max(Some(record.ts_recv));
        let Some((slot, mid2)) = row else { continue };
        if slot >= symbols.len() {
            symbols.resize_with(slot + 1, || None);
        }
        let symbol = symbols[slot].get_or_insert_with(|| SymbolScan::begin(&record));
        symbol.push(&record, max_gap);
        writer.push(slot, &record, mid2, symbol.max_ts)?;
    }

    let (tape_bytes, chunks) = writer.finish()?;
    let names = rows.symbols.names();
    let symbols: Vec<SymbolScan> = symbols
        .into_iter()
        .zip(chunks)
        .zip(names)
        .filter_map(|((symbol, chunks), name)| Some(SymbolScan { symbol: name.clone(), chunks, ..symbol? }))
        .collect();
    let input = rows.entry(path, symbols.iter().map(|s| s.rows).sum(), first_ts, last_ts);
    Ok((FileScan { input, tape: tape.to_owned(), symbols }, tape_bytes))
}

/// Reads a file's records and tells which of them are rows of which symbol.
pub(crate) struct RowReader {
    pub reader: DbnReader,
    pub symbols: Symbols,
    pub drops: Drops,
    quotes: QuoteRules,
    unmapped: Unmapped,
    /// Bytes of the file that the monitor knows of.
    reported: u64,
}

impl RowReader {
    pub fn open(path: &Path, rules: &ScanRules) -> Result<Self> {
        let reader = DbnReader::open(path)?;
        let symbols = Symbols::of_file(path, reader.metadata(), rules.symbology.as_ref())?;
        let quotes = QuoteRules::new(rules.keep_crossed, rules.price_range);
        Ok(Self { reader, symbols, drops: Drops::default(), quotes, unmapped: rules.unmapped, reported: 0 })
    }

    /// Moves to the next record; false at the end of the file. Tells the monitor of the bytes read, now and then.
    #[inline]
    pub fn advance(&mut self, monitor: &Monitor<'_>) -> Result<bool> {
        let more = self.reader.advance()?;
        if !more || self.reader.records().is_multiple_of(BREATH) {
            let read = self.reader.bytes_read();
            monitor.advance(read - self.reported)?;
            self.reported = read;
        }
        Ok(more)
    }

    /// The current record and, when it is a row, its symbol's slot and `mid2`. Drops are counted.
    #[inline]
    pub fn current(&mut self) -> Result<(Record<'_>, Option<(usize, i64)>)> {
        let record = self.reader.record()?;
        let latest = record.ts_recv.max(if record.ts_event == dbn::UNDEF_TIMESTAMP { 0 } else { record.ts_event });
        if latest > i64::MAX as u64 {
            return Err(self.reader.error(format!("the timestamp {latest} lies after the year 2262")).into());
        }
        let slot = match self.symbols.resolve(record.ts_recv, record.instrument_id) {
            Ok(Some(slot)) => slot as usize,
            Ok(None) if self.unmapped == Unmapped::Drop => {
                self.drops.unmapped += 1;
                return Ok((record, None));
            }
            Ok(None) => return Err(self.no_mapping(&record)),
            Err(message) => {
                return Err(self
                    .reader
                    .error(message)
                    .with_help("download the two symbols into files of their own")
                    .into());
            }
        };
        match self.quotes.mid2(&record.levels[0], &mut self.drops) {
            Ok(mid2) => Ok((record, mid2.map(|mid2| (slot, mid2)))),
            Err(message) => Err(self.reader.error(message).into()),
        }
    }

    /// What the manifest will say of the file, now that it is read to its end.
    pub fn entry(&self, path: &Path, rows: u64, first_ts: Option<u64>, last_ts: Option<u64>) -> InputEntry {
        InputEntry {
            name: file_name(path),
            bytes: self.reader.bytes_read(),
            sha256: self.reader.sha256(),
            dbn_version: self.reader.metadata().version,
            dataset: self.reader.metadata().dataset.clone(),
            records: self.reader.records(),
            rows,
            first_ts: first_ts.map(Timestamp),
            last_ts: last_ts.map(Timestamp),
            drops: self.drops,
            symbology: self.symbols.symbology().map(str::to_owned),
        }
    }

    #[cold]
    fn no_mapping(&self, record: &Record<'_>) -> Error {
        let (message, help) = self.symbols.unmapped(record.ts_recv, record.instrument_id);
        self.reader.error(message).with_help(help).into()
    }
}

/// `ts_recv` of a file's usable record with this number, from 0.
///
/// # Errors
/// As [`scan`].
pub fn ts_of_row(path: &Path, rules: &ScanRules, number: u64) -> Result<Option<u64>> {
    let mut rows = RowReader::open(path, rules)?;
    let mut seen = 0;
    while rows.reader.advance()? {
        let (record, row) = rows.current()?;
        if row.is_some() {
            if seen == number {
                return Ok(Some(record.ts_recv));
            }
            seen += 1;
        }
    }
    Ok(None)
}
