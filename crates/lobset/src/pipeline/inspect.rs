//! Reports the contents of input files without processing them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::engine::delivery;
use super::events::without_an_end;
use super::instruments::{AliasSearch, InstrumentSpan};
use super::market::resolved;
use super::scan::{Contents, StreamScan, read_streams, set_aside};
use super::warnings::{input_warnings, steps_back};
use crate::config::{Aliases, Config, SETTINGS, Scope, Setting, Unmapped};
use crate::error::{Error, InputError, Result};
use crate::input::{
    CatalogFile, Delivery, Drops, Flags, Gaps, InputEntry, RowReader, ScanRules, StreamId, StreamNames, find, is_break,
    open_all, total_bytes, verified,
};
use crate::printable::printable;
use crate::run::{Monitor, Options, Stage, map_ordered};
use crate::time_text::Timestamp;

/// The result of [`inspect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The tag of the file names that `process` would write: that of the settings, or the one that follows from the
    /// files.
    #[serde(default)]
    pub currency: String,
    /// Every file, in order of time.
    pub files: Vec<InputEntry>,
    /// Every symbol with rows, by name.
    pub symbols: Vec<SymbolInspection>,
    /// Dropped records of all files.
    pub drops: Drops,
    /// Records of all files, by flag.
    #[serde(default)]
    pub flags: Flags,
    /// Whether the files are complete as Databento delivered them, and what was left out.
    pub delivery: Delivery,
    /// Warnings about the files.
    pub warnings: Vec<String>,
    /// Reasons why `process` would refuse the files with these settings, as far as reading them shows. Empty if it
    /// would not.
    #[serde(default)]
    pub refusals: Vec<String>,
}

/// Summary of a stream, which is one symbol of one publisher, across the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolInspection {
    /// Its name: the symbol, followed by `.publisher` if several publishers have it.
    pub symbol: String,
    /// Its publisher.
    pub publisher_id: u16,
    /// Number of rows.
    pub rows: u64,
    /// Number of files with rows of the stream.
    pub files: u64,
    /// Its first `ts_recv`.
    pub first_ts: Timestamp,
    /// Its last `ts_recv`.
    pub last_ts: Timestamp,
    /// How often `ts_recv` steps back within a file.
    #[serde(default)]
    pub steps_back: u64,
    /// Its longest pauses in `ts_recv` that windows may span, longest first, at most three. Pauses at breaks of the
    /// stream are excluded.
    pub gaps: Gaps,
}

impl Inspection {
    /// The settings that [`inspect`] uses: those of scans, and `aliases`, which affects what `process` would refuse.
    pub fn settings() -> impl Iterator<Item = &'static Setting> {
        let used = |setting: &&Setting| matches!(setting.scope, Scope::Rows | Scope::Input) || setting.key == "aliases";
        SETTINGS.iter().filter(used)
    }
}

/// Reads all files and counts their contents. [`Inspection::refusals`] lists readable input that `process` would
/// refuse: instruments without a mapping or with two symbols, and repeated files.
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
    let (currency, refusal) = match resolved(config, None, &on_disk, options.threads()) {
        Ok(config) => (config.tag().to_owned(), None),
        Err(error @ Error::Data { .. }) => (String::new(), Some(error.to_string())),
        Err(error) => return Err(error),
    };
    let (files, mut refused) = open_all(&on_disk)?;
    let rules = ScanRules::new(&Config { unmapped: Unmapped::Drop, ..config.clone() });
    let total = total_bytes(&files);
    let mut found = Inspection {
        currency,
        files: Vec::new(),
        symbols: Vec::new(),
        drops: Drops::default(),
        flags: Flags::default(),
        delivery: Delivery::default(),
        warnings: Vec::new(),
        refusals: Vec::new(),
    };
    let mut streams: BTreeMap<StreamId, Seen> = BTreeMap::new();
    let (mut spans, mut all_ends) = (Vec::new(), Vec::new());
    monitor.stage(Stage::Scan, total, || {
        map_ordered(
            options.threads(),
            files.len(),
            &files,
            |file| set_aside(look(file, &rules, monitor)),
            |outcome| {
                let Contents { input: entry, streams: seen, ends, .. } = match outcome {
                    Ok(contents) => contents,
                    Err(error) => {
                        refused.push(error);
                        return Ok(());
                    }
                };
                let file = found.files.len();
                found.drops += entry.drops;
                found.flags += entry.flags.unwrap_or_default();
                found.files.push(entry);
                for scan in seen {
                    spans.push((file, scan.id.clone(), scan.instruments.clone()));
                    match streams.get_mut(&scan.id) {
                        Some(stream) => stream.append(&scan, rules.max_gap()),
                        None => drop(streams.insert(scan.id.clone(), Seen::new(scan))),
                    }
                }
                for end in ends.iter().filter(|end| end.bad_book) {
                    streams.get_mut(&end.id).into_iter().for_each(|stream| stream.bad_book = true);
                }
                all_ends.extend(ends);
                Ok(())
            },
        )
    })?;
    refused.sort_by(|a, b| a.path.cmp(&b.path));
    InputError::check(refused)?;
    let names = StreamNames::new(streams.keys().map(|id| (id.symbol.as_str(), id.publisher_id)))?;
    let symbol = |(id, stream): (&StreamId, &Seen)| SymbolInspection {
        symbol: names.name(&id.symbol, id.publisher_id),
        publisher_id: id.publisher_id,
        rows: stream.rows,
        files: stream.files,
        first_ts: Timestamp(stream.first_ts),
        last_ts: Timestamp(stream.max_ts),
        steps_back: stream.steps_back,
        gaps: stream.gaps.clone(),
    };
    found.symbols = streams.iter().map(symbol).collect();
    found.delivery = delivery(&on_disk, &files, &found.files);
    found.warnings = input_warnings(&found.files, &found.delivery);
    found.warnings.extend(steps_back(found.symbols.iter().map(|s| (s.symbol.as_str(), s.steps_back, s.rows))));
    found.refusals = refusal.into_iter().chain(refusals(config, &found.files, &spans)).collect();
    found.refusals.extend(without_an_end(config, streams.keys(), all_ends.iter()));
    Ok(found)
}

/// A stream in the files read so far.
struct Seen {
    rows: u64,
    files: u64,
    first_ts: u64,
    max_ts: u64,
    steps_back: u64,
    instrument: u32,
    /// Whether a record was dropped for its bad book since the last row.
    bad_book: bool,
    gaps: Gaps,
}

impl Seen {
    fn new(scan: StreamScan) -> Self {
        Self {
            rows: scan.rows,
            files: 1,
            first_ts: scan.first_ts,
            max_ts: scan.max_ts,
            steps_back: scan.steps_back,
            instrument: scan.last_instrument,
            bad_book: false,
            gaps: scan.gaps,
        }
    }

    fn append(&mut self, scan: &StreamScan, max_gap: u64) {
        let after_bad_book = self.bad_book || scan.bad_books.first() == Some(&0);
        let same_instrument = scan.first_instrument == self.instrument;
        if !after_bad_book && !is_break(self.max_ts, scan.first_ts, max_gap, same_instrument) {
            self.gaps.note(self.max_ts, scan.first_ts);
        }
        self.gaps.extend(&scan.gaps, self.max_ts);
        self.rows += scan.rows;
        self.files += 1;
        self.steps_back += scan.steps_back;
        self.max_ts = self.max_ts.max(scan.max_ts);
        self.instrument = scan.last_instrument;
        self.bad_book = false;
    }
}

/// Reasons why `process` would refuse readable files. `spans` are the instruments of each file's streams.
fn refusals(config: &Config, files: &[InputEntry], spans: &[(usize, StreamId, Vec<InstrumentSpan>)]) -> Vec<String> {
    let mut refusals = Vec::new();
    let unmapped: Vec<&InputEntry> = files.iter().filter(|file| file.drops.unmapped > 0).collect();
    if let (Unmapped::Error, [first, ..]) = (config.unmapped, unmapped.as_slice()) {
        refusals.push(format!(
            "{} records in {} of {} files have no symbol, such as in {}: unmapped = \"drop\" drops and counts them",
            unmapped.iter().map(|file| file.drops.unmapped).sum::<u64>(),
            unmapped.len(),
            files.len(),
            printable(&first.name)
        ));
    }
    let mut by_hash: BTreeMap<&str, &str> = BTreeMap::new();
    for file in files.iter().filter(|file| file.records > 0) {
        if let Some(other) = by_hash.insert(&file.sha256, &file.name) {
            refusals.push(format!("{} holds the same bytes as {}", printable(&file.name), printable(other)));
        }
    }
    if config.aliases == Aliases::Error {
        let numbers: BTreeMap<&StreamId, usize> = spans.iter().map(|(_, id, _)| id).zip(0..).collect();
        let ids: BTreeMap<usize, &StreamId> = numbers.iter().map(|(id, number)| (*number, *id)).collect();
        let mut search = AliasSearch::default();
        spans.iter().for_each(|(file, id, spans)| search.take(id, spans, numbers[id], *file, 0));
        for alias in search.finish() {
            let [a, b] = alias.streams.map(|(stream, _)| &ids[&stream].symbol);
            refusals.push(format!(
                "instrument {} is both {a:?} and {b:?} from {} on: aliases = \"keep\" writes a dataset for each symbol",
                alias.instrument_id, alias.since
            ));
        }
    }
    refusals
}

fn look(file: &CatalogFile, rules: &ScanRules, monitor: &Monitor<'_>) -> Result<Contents> {
    let rules = rules.with_symbology(file.beside.symbology.as_ref());
    let outcome = RowReader::open(&file.path, &rules)
        .and_then(|rows| read_streams(&file.path, rows, rules.max_gap(), monitor, |_, _, _, _| Ok(())));
    file.check_unchanged()?;
    verified(&file.path, file.beside.sha256.as_deref(), outcome, |contents| contents.input.sha256.clone())
}
