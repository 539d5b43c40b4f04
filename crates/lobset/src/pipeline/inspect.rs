//! What input files hold, without making anything of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Options;
use super::describe::input_warnings;
use super::monitor::{Monitor, Stage};
use super::parallel::map_ordered;
use super::scan::{RowReader, ScanRules, StreamScan, is_break, read_streams, set_aside};
use super::streams::StreamId;
use crate::config::{Config, Unmapped};
use crate::error::{InputError, Result};
use crate::input::{CatalogFile, Delivery, Drops, Gaps, StreamNames, catalog, find, total_bytes, verified};
use crate::output::InputEntry;
use crate::time_text::Timestamp;

/// What [`inspect`] finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Every file, in order of time.
    pub files: Vec<InputEntry>,
    /// Every symbol with rows, by name.
    pub symbols: Vec<SymbolInspection>,
    /// Drops of all files.
    pub drops: Drops,
    /// Whether the files are what Databento delivered, and what was left out.
    pub delivery: Delivery,
    /// What a reader should know of the files.
    pub warnings: Vec<String>,
}

/// What the files hold of a stream: one symbol of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolInspection {
    /// Its name: the symbol, with `.publisher` behind it where several publishers have it.
    pub symbol: String,
    /// Its publisher.
    pub publisher_id: u16,
    /// Its rows.
    pub rows: u64,
    /// Files with rows of it.
    pub files: u64,
    /// Its first `ts_recv`.
    pub first_ts: Timestamp,
    /// Its last `ts_recv`.
    pub last_ts: Timestamp,
    /// Its longest pauses in `ts_recv` that windows may reach across, longest first, three at most. Pauses at breaks of the
    /// stream are not among them.
    pub gaps: Gaps,
}

/// Reads all files and counts what is in them. Instruments without a mapping are counted, whatever the settings say.
///
/// # Errors
/// [`InputError`] with every file that is refused.
pub fn inspect<P: AsRef<Path>>(
    inputs: &[P],
    config: &Config,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Inspection> {
    config.check()?;
    let on_disk = find(inputs, options.symbology.as_deref())?;
    let files = catalog(&on_disk)?;
    let rules = ScanRules::new(&Config { unmapped: Unmapped::Drop, ..config.clone() });
    let total = total_bytes(&files);
    let mut found = Inspection {
        files: Vec::new(),
        symbols: Vec::new(),
        drops: Drops::default(),
        delivery: Delivery::default(),
        warnings: Vec::new(),
    };
    let mut streams: BTreeMap<StreamId, Seen> = BTreeMap::new();
    let mut refused = Vec::new();
    monitor.stage(Stage::Scan, total, || {
        map_ordered(
            options.threads(),
            files.len(),
            &files,
            |file| set_aside(look(file, &rules, monitor)),
            |outcome| {
                let (entry, seen) = match outcome {
                    Ok(seen) => seen,
                    Err(error) => {
                        refused.push(error);
                        return Ok(());
                    }
                };
                found.drops += entry.drops;
                found.files.push(entry);
                for scan in seen {
                    match streams.get_mut(&scan.id) {
                        Some(stream) => stream.append(&scan, rules.max_gap()),
                        None => drop(streams.insert(scan.id.clone(), Seen::new(scan))),
                    }
                }
                Ok(())
            },
        )
    })?;
    InputError::check(refused)?;
    let names = StreamNames::new(streams.keys().map(|id| (id.symbol.as_str(), id.publisher_id)))?;
    let symbol = |(id, stream): (&StreamId, &Seen)| SymbolInspection {
        symbol: names.name(&id.symbol, id.publisher_id),
        publisher_id: id.publisher_id,
        rows: stream.rows,
        files: stream.files,
        first_ts: Timestamp(stream.first_ts),
        last_ts: Timestamp(stream.max_ts),
        gaps: stream.gaps.clone(),
    };
    found.symbols = streams.iter().map(symbol).collect();
    let spans = files.iter().zip(&found.files).map(|(file, entry)| {
        (file.path.as_path(), entry.first_ts.zip(entry.last_ts).map(|(first, last)| [first, last]))
    });
    found.delivery = on_disk.delivery(spans);
    found.warnings = input_warnings(&found.files, &found.delivery);
    Ok(found)
}

/// A stream, in the files that have been read so far.
struct Seen {
    rows: u64,
    files: u64,
    first_ts: u64,
    max_ts: u64,
    instrument: u32,
    gaps: Gaps,
}

impl Seen {
    fn new(scan: StreamScan) -> Self {
        Self {
            rows: scan.rows,
            files: 1,
            first_ts: scan.first_ts,
            max_ts: scan.max_ts,
            instrument: scan.last_instrument,
            gaps: scan.gaps,
        }
    }

    fn append(&mut self, scan: &StreamScan, max_gap: u64) {
        if !is_break(self.max_ts, scan.first_ts, max_gap, scan.first_instrument == self.instrument) {
            self.gaps.note(self.max_ts, scan.first_ts);
        }
        self.gaps.extend(&scan.gaps, self.max_ts);
        self.rows += scan.rows;
        self.files += 1;
        self.max_ts = self.max_ts.max(scan.max_ts);
        self.instrument = scan.last_instrument;
    }
}

fn look(file: &CatalogFile, rules: &ScanRules, monitor: &Monitor<'_>) -> Result<(InputEntry, Vec<StreamScan>)> {
    let rules = rules.with_symbology(file.beside.symbology.as_ref());
    let outcome = RowReader::open(&file.path, &rules)
        .and_then(|rows| read_streams(&file.path, rows, rules.max_gap(), monitor, |_, _, _, _| Ok(())));
    file.check_unchanged()?;
    verified(&file.path, file.beside.sha256.as_deref(), outcome, |(entry, _)| entry.sha256.clone())
}
