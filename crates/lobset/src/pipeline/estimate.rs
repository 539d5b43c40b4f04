//! Estimates what a run would read and write, from a sample of the records. Writes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::engine::delivery;
use super::prepare::{Prepared, prepare};
use super::scanned::{fit_file_count, given_boundary_time};
use super::wanted::maps_wanted;
use crate::cast::whole_unsigned;
use crate::config::{Config, Target};
use crate::error::{Error, Result};
use crate::input::{CatalogFile, RowReader, ScanRules, StreamId, StreamNames, catalog, total_bytes};
use crate::label::Thresholds;
use crate::output::check_out;
use crate::run::{Monitor, Options};
use crate::storage::platform::Platform;
use crate::storage::{self, plain, plain_all};
use crate::time_text::Timestamp;

/// Number of files that are sampled, spread evenly.
const SAMPLED_FILES: usize = 8;

/// Number of records that are read from each.
const SAMPLED_RECORDS: u64 = 100_000;

/// Bytes of a dataset's row with the default settings: 27 to 35, measured on ES futures, Binance and the simulator.
const ROW_BYTES: f64 = 32.0;

/// Bytes that each further target, and each setting in `derived`, adds to a row (measured on Binance).
const TARGET_BYTES: f64 = 10.0;
const DERIVED_BYTES: f64 = 5.0;

/// Bytes of the work files per row: mid prices, rows as changes, movements of one target.
const WORK_BYTES: f64 = 60.0;

/// Time of a whole run on one thread, as a multiple of the time to read its input: 4 to 6 on the same data.
const RUN_PER_READING: f64 = 5.0;

/// What a run would read and write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The tag of the file names.
    pub currency: String,
    /// Every file, in order of time.
    pub files: Vec<FileEstimate>,
    /// Size of all files in bytes.
    pub bytes: u64,
    /// Sentences about whether they are complete, and what was skipped.
    pub delivery: Vec<String>,
    /// The boundary time T; `None` if it is that of the middle row of a single file, which only a run finds.
    pub fit_until: Option<Timestamp>,
    /// Number of records in all files, estimated.
    pub records: u64,
    /// Number of rows, estimated.
    pub rows: u64,
    /// The symbols of the sample, the largest first. Symbols without a record in the sample are missing.
    pub symbols: Vec<SymbolEstimate>,
    /// Labelled rows that a symbol needs to get a dataset (`min_symbol_samples`).
    pub min_symbol_samples: u64,
    /// Number of symbols that get a dataset, estimated.
    pub datasets: u64,
    /// Size of all datasets in bytes, estimated.
    pub dataset_bytes: u64,
    /// Size of the work files in bytes, estimated. They are next to OUT until the run ends.
    pub work_bytes: u64,
    /// Free space at OUT in bytes; `None` for an object store.
    pub free_bytes: Option<u64>,
    /// Number of threads.
    pub threads: usize,
    /// Seconds that the run takes, estimated from the time that the sample took.
    pub seconds: f64,
    /// Number of records in the sample.
    pub sampled_records: u64,
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEstimate {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its first `ts_recv`; `None` without records.
    pub first_ts: Option<Timestamp>,
}

/// A symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolEstimate {
    /// Its name.
    pub symbol: String,
    /// Number of its rows, estimated.
    pub rows: u64,
    /// Number of its rows that have a label of the target with the shortest windows, estimated as if no window spanned
    /// a break.
    pub labelled_rows: u64,
}

/// Estimates what [`process`](super::process) would do with the same arguments, from the metadata of all files and up
/// to 100,000 records from each of eight files. If the files around T overlap, all records of one more file are read.
/// Refuses everything that a run would refuse at the start. Writes nothing.
///
/// Sizes are usually within a quarter of the true value, the time within a factor of two.
///
/// # Errors
/// As [`process`](super::process), as far as settings, the names of files and the sample show.
pub fn estimate<P: AsRef<Path>>(
    inputs: &[P],
    out: &Path,
    config: &Config,
    thresholds: Option<&Thresholds>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Estimate> {
    let (inputs, out) = (plain_all(inputs), plain(out));
    let Prepared { found, config } = prepare(&inputs, &out, (config, thresholds), options, options.threads())?;
    let config = &config;
    let is_local = !storage::is_url(&out);
    if is_local {
        check_out(&out, options.overwrite)?;
    }
    let files = catalog(&found)?;
    let rules = ScanRules::new(config);
    let sample = Sampled::read(&files, &rules, monitor)?;
    let bytes = total_bytes(&files);
    let all = bytes as f64 / sample.bytes.max(1) as f64;
    let scaled = |count: u64| rounded(all * count as f64);
    let names = StreamNames::new(sample.streams.keys().map(|id| (id.symbol.as_str(), id.publisher_id)))?;
    // Of the target with the shortest windows: one target is enough for a symbol to get a dataset. Windows in time have
    // no length in rows.
    let lost = |target: &Target| target.movement.rows().map_or(0, |rows| rows - 1);
    let windows = config.all_targets().iter().map(lost).min().unwrap_or_default();
    let of_stream = |(id, rows): (&StreamId, &u64)| SymbolEstimate {
        symbol: names.name(&id.symbol, id.publisher_id),
        rows: scaled(*rows),
        labelled_rows: scaled(*rows).saturating_sub(windows),
    };
    let mut symbols: Vec<SymbolEstimate> = sample.streams.iter().map(of_stream).collect();
    symbols.sort_by(|a, b| (b.rows, &a.symbol).cmp(&(a.rows, &b.symbol)));
    let labelled = symbols.iter().map(|symbol| symbol.labelled_rows);
    let large: Vec<u64> = labelled.filter(|rows| *rows >= config.min_symbol_samples).collect();
    let rows: u64 = symbols.iter().map(|symbol| symbol.rows).sum();
    let row_bytes =
        ROW_BYTES + TARGET_BYTES * config.targets.0.len() as f64 + DERIVED_BYTES * config.derived.len() as f64;
    let times = files.iter().map(|file| file.head.first(0).map(Timestamp));
    let entry = |(file, first_ts): (&CatalogFile, Option<Timestamp>)| FileEstimate {
        name: file.name(),
        bytes: file.stat.bytes,
        first_ts,
    };
    let entries: Vec<FileEstimate> = files.iter().zip(times).map(entry).collect();
    Ok(Estimate {
        currency: config.tag().to_owned(),
        bytes,
        delivery: delivery(&found, &files, []).sentences(),
        fit_until: boundary_time((config, thresholds), &files, &rules, monitor)?,
        files: entries,
        records: scaled(sample.records),
        rows,
        symbols,
        min_symbol_samples: config.min_symbol_samples,
        datasets: large.len() as u64,
        dataset_bytes: rounded(row_bytes * large.iter().sum::<u64>() as f64),
        work_bytes: rounded(WORK_BYTES * rows as f64),
        free_bytes: if is_local { Some(free(&out)?) } else { None },
        threads: options.threads(),
        seconds: RUN_PER_READING * all * sample.seconds / options.threads() as f64,
        sampled_records: sample.records,
    })
}

fn rounded(number: f64) -> u64 {
    whole_unsigned(number.round())
}

/// T, as the run would choose it; `None` with a single file.
fn boundary_time(
    (config, thresholds): (&Config, Option<&Thresholds>),
    files: &[CatalogFile],
    rules: &ScanRules,
    monitor: &Monitor<'_>,
) -> Result<Option<Timestamp>> {
    if let Some(until) = given_boundary_time(config, thresholds) {
        return Ok(Some(until));
    }
    let mut counted = Vec::new();
    for (place, file) in files.iter().enumerate() {
        if file.head.middle().is_some() && maps_wanted(config, file)? {
            counted.push(place);
        }
    }
    if counted.len() < 2 {
        return Ok(None);
    }
    let place = counted[fit_file_count(counted.len())];
    let reached = reached(&files[..place], &files[place], rules, monitor)?;
    Ok(files[place].head.first(reached).map(Timestamp))
}

/// The last time in the files before another one, as far as the first `ts_recv` of that file depends on it. The ends of
/// files are unknown until they are read, but each file reaches at least the median of its first stamps. Only if the
/// next file starts before that, because of a wrong stamp or because the files overlap, does the actual end of the
/// previous file matter.
fn reached(before: &[CatalogFile], file: &CatalogFile, rules: &ScanRules, monitor: &Monitor<'_>) -> Result<u64> {
    let Some(last) = before.last() else { return Ok(0) };
    let bound = last.head.middle().unwrap_or(0);
    if file.head.first(bound) == file.head.first(0) {
        return Ok(bound);
    }
    let mut rows = RowReader::open(&last.path, &rules.with_symbology(last.beside.symbology.as_ref()))?;
    let mut reached = bound;
    while rows.advance(monitor)? {
        reached = reached.max(rows.reader.record()?.event.ts_recv);
    }
    Ok(reached)
}

/// Free space where `out` would be.
fn free(out: &Path) -> Result<u64> {
    let whole = std::path::absolute(out).map_err(|e| Error::output(out, e))?;
    let there = whole.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    Platform::free_bytes(there).map_err(|e| Error::output(there, e))
}

/// What was counted in some of the records.
#[derive(Default)]
struct Sampled {
    records: u64,
    /// Bytes of the files that hold these records.
    bytes: u64,
    /// Rows by stream.
    streams: BTreeMap<StreamId, u64>,
    seconds: f64,
}

impl Sampled {
    fn read(files: &[CatalogFile], rules: &ScanRules, monitor: &Monitor<'_>) -> Result<Self> {
        let count = files.len().min(SAMPLED_FILES);
        let mut sample = Self::default();
        let started = Instant::now();
        for i in 0..count {
            let file = &files[i * files.len() / count];
            let mut rows = RowReader::open(&file.path, &rules.with_symbology(file.beside.symbology.as_ref()))?;
            let (mut by_stream, mut ended) = (Vec::new(), false);
            while rows.reader.records() < SAMPLED_RECORDS && !ended {
                ended = !rows.advance(monitor)?;
                if !ended && let (_, Some(row)) = rows.current()? {
                    by_stream.resize(by_stream.len().max(row.stream + 1), 0);
                    by_stream[row.stream] += 1;
                }
            }
            sample.records += rows.reader.records();
            sample.bytes += if ended { file.stat.bytes } else { rows.reader.bytes_read() };
            rows.streams().zip(by_stream).for_each(|(id, rows)| *sample.streams.entry(id).or_default() += rows);
        }
        sample.seconds = started.elapsed().as_secs_f64();
        Ok(sample)
    }
}
