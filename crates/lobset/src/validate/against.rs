//! Random rows of the datasets against the raw files, by the plain definition and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use dbn::{UNDEF_PRICE, UNDEF_TIMESTAMP};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use serde::{Deserialize, Serialize};

use super::{DatasetFile, unreadable};
use crate::config::{Config, PriceType};
use crate::error::{Error, Result, ValidationError};
use crate::input::{Record, catalog, find, total_bytes, verified, with_publisher};
use crate::label::Thresholds;
use crate::output::Manifest;
use crate::pipeline::{Monitor, Options, RowReader, ScanRules, Stage};

/// Rows compared, where the datasets have as many.
pub const AGAINST_ROWS: u64 = 1_000;

/// What was compared with the raw files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// Rows compared, in all their columns.
    pub rows: u64,
    /// The seed they were drawn with.
    pub seed: u64,
}

/// A drawn row: what the dataset says of it, and what the raw files have told so far.
struct Drawn {
    file: String,
    row: u64,
    stored: RecordBatch,
    /// Sums of mid2 over the two windows, and how many rows they have met.
    behind: i128,
    behind_rows: u64,
    ahead: i128,
    ahead_rows: u64,
    /// Running maximum of `ts_recv` at the row and at the last row of its future window.
    own_ts: u64,
    last_ts: u64,
    /// A break lies within its windows.
    broken: bool,
}

/// The splitmix64 generator (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

pub(super) fn compare<P: AsRef<Path>>(
    folder: &Path,
    manifest: &Manifest,
    inputs: &[P],
    seed: u64,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Against> {
    let config = &manifest.config;
    let thresholds = Thresholds::read(&folder.join(&manifest.thresholds.file))?;
    let mut drawn = draw(folder, manifest, seed)?;
    let rows = drawn.values().map(|d| d.len() as u64).sum();
    let files = catalog(&find(inputs, options.symbology.as_deref())?)?;
    let rules = ScanRules::new(config);
    let mut violations = Vec::new();
    let mut walks: BTreeMap<String, Walk> = BTreeMap::new();
    let known: BTreeSet<(&str, u16)> = manifest.symbols.iter().map(|s| (s.symbol.as_str(), s.publisher_id)).collect();
    let total = total_bytes(&files);
    monitor.stage(Stage::Scan, total, || {
        for file in &files {
            let mut reader = RowReader::open(&file.path, &rules.with_symbology(file.beside.symbology.as_ref()))?;
            // The manifest's names of the file's streams, by number.
            let mut names: Vec<String> = Vec::new();
            while reader.advance(monitor)? {
                let Some((number, mid2)) = reader.current()?.1 else { continue };
                if number == names.len() {
                    names.extend(reader.streams().skip(number).map(|id| {
                        let alone = known.contains(&(id.symbol.as_str(), id.publisher_id));
                        if alone { id.symbol } else { with_publisher(&id.symbol, id.publisher_id) }
                    }));
                    walks.entry(names[number].clone()).or_default();
                }
                let name = &names[number];
                let (Some(targets), Some(walk)) = (drawn.get_mut(name), walks.get_mut(name)) else { continue };
                walk.take(config, &reader.reader.record()?, mid2, targets, &mut violations);
            }
            file.check_unchanged()?;
            verified(&file.path, file.beside.sha256.as_deref(), Ok(reader), |rows| rows.reader.sha256())?;
        }
        Ok(())
    })?;
    for (symbol, targets) in &drawn {
        let Some(fit) = thresholds.for_symbol(symbol) else { continue };
        for target in targets {
            if let Err(reason) = target.check_label(config, fit, thresholds.fit_until.0) {
                violations.push(format!("{}: row {}: {reason}", target.file, target.row));
            }
        }
    }
    if violations.is_empty() {
        return Ok(Against { rows, seed });
    }
    violations.truncate(super::MOST_VIOLATIONS);
    Err(Error::from(ValidationError { path: folder.to_owned(), violations }))
}

/// Draws rows evenly over all datasets and reads them whole.
fn draw(folder: &Path, manifest: &Manifest, seed: u64) -> Result<BTreeMap<String, Vec<Drawn>>> {
    let datasets: Vec<_> = manifest.datasets().collect();
    let total: u64 = datasets.iter().map(|(_, d)| d.rows).sum();
    let mut random = Random(seed);
    let mut places: Vec<u64> = Vec::new();
    while (places.len() as u64) < AGAINST_ROWS.min(total) {
        places.extend((places.len() as u64..AGAINST_ROWS.min(total)).map(|_| random.below(total)));
        places.sort_unstable();
        places.dedup();
    }
    let mut drawn = BTreeMap::new();
    let mut start = 0;
    for (symbol, dataset) in datasets {
        let mine: Vec<u64> =
            places.iter().filter(|p| (start..start + dataset.rows).contains(*p)).map(|p| p - start).collect();
        start += dataset.rows;
        if mine.is_empty() {
            continue;
        }
        let path = folder.join(&dataset.file);
        let file = DatasetFile::open(&path)?;
        let footer = file.footer().map(Arc::new)?;
        let footer =
            ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new()).map_err(|e| unreadable(&path, e))?;
        let mut selectors = Vec::new();
        let mut at = 0;
        for place in &mine {
            selectors.push(RowSelector::skip((place - at) as usize));
            selectors.push(RowSelector::select(1));
            at = place + 1;
        }
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.whole(), footer)
            .with_row_selection(RowSelection::from(selectors))
            .build()
            .map_err(|e| unreadable(&path, e))?;
        let mut rows = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|e| unreadable(&path, e))?;
            for i in 0..batch.num_rows() {
                let stored = batch.slice(i, 1);
                let row =
                    stored.column_by_name("row").map(|c| c.as_primitive::<UInt64Type>().value(0)).unwrap_or_default();
                rows.push(Drawn {
                    file: dataset.file.clone(),
                    row,
                    stored,
                    behind: 0,
                    behind_rows: 0,
                    ahead: 0,
                    ahead_rows: 0,
                    own_ts: 0,
                    last_ts: 0,
                    broken: false,
                });
            }
        }
        drawn.insert(symbol.symbol.clone(), rows);
    }
    Ok(drawn)
}

/// A symbol's raw stream as it goes by.
#[derive(Default)]
struct Walk {
    rows: u64,
    max_ts: u64,
    instrument: u32,
    /// The first drawn row whose windows may still be open.
    first_open: usize,
}

impl Walk {
    fn take(
        &mut self,
        config: &Config,
        record: &Record<'_>,
        mid2: i64,
        targets: &mut [Drawn],
        violations: &mut Vec<String>,
    ) {
        let row = self.rows;
        self.rows += 1;
        let paused = config.max_gap.is_some_and(|gap| record.ts_recv.saturating_sub(self.max_ts) > gap);
        let breaks = row > 0 && (paused || record.instrument_id != self.instrument);
        self.max_ts = self.max_ts.max(record.ts_recv);
        self.instrument = record.instrument_id;

        let (lookback, offset, ahead) = (config.lookback_rows, config.lookforward_offset, config.lookforward_input);
        while targets.get(self.first_open).is_some_and(|t| t.row + offset + ahead < row) {
            self.first_open += 1;
        }
        for target in &mut targets[self.first_open..] {
            let t = target.row;
            if t > row + lookback {
                break;
            }
            if (t - lookback.min(t)..t).contains(&row) {
                target.behind += i128::from(mid2);
                target.behind_rows += 1;
            }
            if (t + 1 + offset..t + 1 + offset + ahead).contains(&row) {
                target.ahead += i128::from(mid2);
                target.ahead_rows += 1;
                target.last_ts = self.max_ts;
            }
            // A break before the first row of the past window does not matter.
            target.broken |= breaks && row + lookback > t && row <= t + offset + ahead;
            if t == row {
                target.own_ts = self.max_ts;
                if let Err(reason) = check_record(config, record, mid2, &target.stored) {
                    violations.push(format!("{}: row {row}: {reason}", target.file));
                }
            }
        }
    }
}

impl Drawn {
    fn check_label(&self, config: &Config, fit: &crate::label::Fit, until: u64) -> Result<(), String> {
        let (lookback, ahead) = (config.lookback_rows, config.lookforward_input);
        if self.behind_rows != lookback || self.ahead_rows != ahead {
            return Err(format!(
                "the raw files hold {} and {} rows of its windows, not {lookback} and {ahead}",
                self.behind_rows, self.ahead_rows
            ));
        }
        if self.broken {
            return Err("a break of the raw stream lies within its windows".to_owned());
        }
        let below = self.behind * i128::from(ahead);
        let want = (self.ahead * i128::from(lookback) - below) as f64 / below as f64;
        let stored = &self.stored;
        let movement =
            stored.column_by_name("price_movement").map_or(f64::NAN, |c| c.as_primitive::<Float64Type>().value(0));
        if movement.to_bits() != want.to_bits() {
            return Err(format!("price_movement is {movement:e}, and {want:e} by definition"));
        }
        let label =
            stored.column_by_name("classification_label").map_or(-1, |c| c.as_primitive::<Int32Type>().value(0));
        let class = fit.boundaries.iter().filter(|b| **b <= want).count();
        if i64::from(label) != class as i64 {
            return Err(format!("classification_label is {label}, and {class} by definition"));
        }
        let split = stored.column_by_name("split").map(text).unwrap_or_default();
        let want = match () {
            () if self.own_ts >= until => "holdout",
            () if self.last_ts >= until => "embargo",
            () => "fit",
        };
        if split != want { Err(format!("split is {split}, and {want} by definition")) } else { Ok(()) }
    }
}

/// The first value of a column of texts.
fn text(column: &ArrayRef) -> String {
    match column.as_dictionary_opt::<Int32Type>() {
        Some(dictionary) => {
            dictionary.values().as_string::<i32>().value(dictionary.keys().value(0) as usize).to_owned()
        }
        None => column.as_string::<i32>().value(0).to_owned(),
    }
}

/// Compares every stored column that comes from the record.
fn check_record(config: &Config, record: &Record<'_>, mid2: i64, stored: &RecordBatch) -> Result<(), String> {
    let schema = stored.schema();
    for (field, column) in schema.fields().iter().zip(stored.columns()) {
        let name = field.name().as_str();
        let null = column.is_null(0);
        let unsigned = |want: u32| {
            let found = match column.data_type() {
                arrow_schema::DataType::UInt8 => column.as_primitive::<UInt8Type>().value(0).into(),
                arrow_schema::DataType::UInt16 => column.as_primitive::<UInt16Type>().value(0).into(),
                _ => column.as_primitive::<UInt32Type>().value(0),
            };
            !null && found == want
        };
        let price = |want: i64| match (want == UNDEF_PRICE, config.price_type) {
            (true, _) => null,
            (false, PriceType::Float) => !null && column.as_primitive::<Float64Type>().value(0) == want as f64 / 1e9,
            (false, PriceType::Fixed) => !null && column.as_primitive::<Int64Type>().value(0) == want,
        };
        let time = |want: u64| match want == UNDEF_TIMESTAMP {
            true => null,
            false => !null && column.as_primitive::<TimestampNanosecondType>().value(0).cast_unsigned() == want,
        };
        let letter = |want: u8| text(column) == char::from(want).to_string();
        let level = |name: &str| name[name.len() - 2..].parse::<usize>().ok().and_then(|i| record.levels.get(i));
        let same = match name {
            "ts_recv" => time(record.ts_recv),
            "ts_event" => time(record.ts_event),
            "ts_out" => time(record.ts_out),
            "publisher_id" => unsigned(record.publisher_id.into()),
            "instrument_id" => unsigned(record.instrument_id),
            "action" => letter(record.action),
            "side" => letter(record.side),
            "depth" => unsigned(record.depth.into()),
            "price" => price(record.price),
            "size" => unsigned(record.size),
            "flags" => unsigned(record.flags.into()),
            "ts_in_delta" => column.as_primitive::<Int32Type>().value(0) == record.ts_in_delta,
            "sequence" => unsigned(record.sequence),
            "mid_price" => column.as_primitive::<Float64Type>().value(0) == mid2 as f64 / 2e9,
            _ => match (name.get(..7), level(name)) {
                (Some("bid_px_"), Some(level)) => price(level.bid_px),
                (Some("ask_px_"), Some(level)) => price(level.ask_px),
                (Some("bid_sz_"), Some(level)) => unsigned(level.bid_sz),
                (Some("ask_sz_"), Some(level)) => unsigned(level.ask_sz),
                (Some("bid_ct_"), Some(level)) => unsigned(level.bid_ct),
                (Some("ask_ct_"), Some(level)) => unsigned(level.ask_ct),
                // Labels are checked once their windows have gone by.
                _ => true,
            },
        };
        if !same {
            return Err(format!("{name} is not what the raw record holds"));
        }
    }
    Ok(())
}
