//! Compares rows of the datasets with the raw files, by the plain definition only.

use std::collections::BTreeMap;
use std::path::Path;

use dbn::UNDEF_PRICE;
use serde::{Deserialize, Serialize};

use super::definition::{Unusable, Usable, starts_stretch};
use super::drawn::{Drawn, draw};
use super::every_row::{EveryRow, passes};
use super::fields::Levels;
use super::raw_row::RawRow;
use super::reading::cause;
use super::sessions::Sessions;
use super::violations::Violations;
use crate::config::Config;
use crate::error::{Error, Result, ValidationError};
use crate::input::{
    CatalogFile, InputEntry, Record, RowReader, ScanRules, catalog, find, total_bytes, verified, with_publisher,
};
use crate::label::Thresholds;
use crate::output::{Manifest, SymbolEntry};
use crate::printable::printable;
use crate::run::{Monitor, Options, Stage};
use crate::storage;

/// The rows to compare with the raw files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// [`AGAINST_ROWS`](super::AGAINST_ROWS) rows, drawn with this seed.
    Random(u64),
    /// All rows.
    All,
}

/// The extent of the comparison with the raw files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// Number of rows compared, in all their columns.
    pub rows: u64,
    /// The seed the rows were drawn with; `None` for all rows.
    pub seed: Option<u64>,
    /// Whether all rows were compared.
    pub all: bool,
}

/// State of a symbol's raw stream while it is read.
struct RawStream<'a> {
    symbol: &'a SymbolEntry,
    rows: u64,
    max_ts: u64,
    /// The instrument and the levels of the previous row; `None` before the first.
    before: Option<(u32, Levels)>,
    /// Whether a record with a bad book came since the previous row.
    bad_book: bool,
    breaks: usize,
    steps_back: u64,
    sessions: Option<Sessions<'a>>,
    out_of_session: u64,
    stored: StoredRows<'a>,
}

/// The stored rows that a stream is compared with.
enum StoredRows<'a> {
    Nothing,
    Drawn(Drawn<'a>),
    Every(Box<EveryRow<'a>>),
}

pub(super) fn compare<P: AsRef<Path>>(
    folder: &Path,
    (manifest, thresholds): (&Manifest, &Thresholds),
    inputs: &[P],
    rows: Compare,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Against> {
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let config = &manifest.config;
    let files = catalog(&find(inputs, options.symbology.as_deref())?)?;
    let (seed, passes) = match rows {
        Compare::Random(seed) => (Some(seed), vec![manifest.symbols.iter().collect()]),
        Compare::All => (None, passes(manifest)),
    };
    let mut drawn = match seed {
        Some(seed) => draw(folder, manifest, thresholds, seed).map_err(|e| failed(vec![cause(&e)]))?,
        None => BTreeMap::new(),
    };
    let (mut of_inputs, mut violations) = (Violations::default(), Violations::default());
    let mut compared = 0;
    let total = total_bytes(&files) * passes.len() as u64;
    monitor.stage(Stage::Scan, total, || {
        for (number, symbols) in passes.iter().enumerate() {
            let mut streams = BTreeMap::new();
            for symbol in symbols {
                let rows = match &symbol.dataset {
                    Some(_) if seed.is_some() => {
                        drawn.remove(symbol.symbol.as_str()).map_or(StoredRows::Nothing, StoredRows::Drawn)
                    }
                    Some(entry) => {
                        let every = EveryRow::open(folder, config, (symbol, entry), thresholds);
                        // A damaged file of the folder is a violation here too.
                        StoredRows::Every(Box::new(
                            every.map_err(|e| failed(vec![format!("{}: {}", entry.file, cause(&e))]))?,
                        ))
                    }
                    None => StoredRows::Nothing,
                };
                streams.insert(symbol.symbol.as_str(), RawStream::new(config, symbol, rows));
            }
            let read = read_inputs(&files, manifest, config, &mut streams, &mut violations, monitor)?;
            if number == 0 {
                check_inputs(&manifest.inputs, &read, &mut of_inputs);
            }
            for stream in streams.into_values() {
                compared += stream.finish(&mut violations);
            }
        }
        Ok(())
    })?;
    // Violations of the inputs explain those of the rows, so they come first.
    let violations: Vec<String> = of_inputs.lines().into_iter().chain(violations.lines()).collect();
    if violations.is_empty() {
        return Ok(Against { rows: compared, seed, all: seed.is_none() });
    }
    Err(failed(violations))
}

/// Reads the raw files once and passes each row to its stream. Returns the manifest entries of the files.
fn read_inputs(
    files: &[CatalogFile],
    manifest: &Manifest,
    config: &Config,
    streams: &mut BTreeMap<&str, RawStream<'_>>,
    violations: &mut Violations,
    monitor: &Monitor<'_>,
) -> Result<Vec<InputEntry>> {
    let (rules, usable) = (ScanRules::new(config), Usable::new(config));
    let known: BTreeMap<&str, u16> = manifest.symbols.iter().map(|s| (s.symbol.as_str(), s.publisher_id)).collect();
    let mut streams: Vec<&mut RawStream<'_>> = streams.values_mut().collect();
    let mut read = Vec::new();
    for (place, file) in files.iter().enumerate() {
        // If the files are not those of the manifest, that is told first.
        let input = manifest.inputs.get(place).map_or("", |input| input.name.as_str());
        let mut reader = RowReader::open(&file.path, &rules.with_symbology(file.beside.symbology.as_ref()))?;
        let mut rows = 0;
        // The index in `streams` of each stream of the file, by its place there; `None` for streams that this pass leaves
        // out, and the name of one that the manifest does not name.
        let mut places: Vec<(Option<usize>, Option<String>)> = Vec::new();
        while reader.advance(monitor)? {
            let (record, Some(place)) = reader.of_stream()? else { continue };
            let mid2 = mid2(usable, &record);
            if place == places.len() {
                let id = reader.id_at(place);
                let alone = known.get(id.symbol.as_str()) == Some(&id.publisher_id);
                let name = if alone { id.symbol } else { with_publisher(&id.symbol, id.publisher_id) };
                let found = streams.binary_search_by(|stream| stream.symbol.symbol.as_str().cmp(&name)).ok();
                places.push((found, (!known.contains_key(name.as_str())).then_some(name)));
            }
            let (stream, unknown) = &mut places[place];
            let stream = stream.map(|stream| &mut *streams[stream]);
            match mid2 {
                Ok(mid2) => {
                    rows += 1;
                    if let Some(name) = unknown.take() {
                        let file = storage::file_name(&file.path);
                        violations.add(|| {
                            format!("{}: contains {name:?}, which the manifest does not list", printable(&file))
                        });
                    }
                    if let Some(stream) = stream {
                        stream.take((config, input), &reader.reader.record()?, mid2, violations);
                    }
                }
                Err(reason) => {
                    if let Some(stream) = stream {
                        stream.bad_book |= reason == Unusable::BadBook;
                    }
                    let count =
                        reason.count(&mut reader.drops).ok_or_else(|| reader.reader.error(reason.to_string()))?;
                    *count += 1;
                }
            }
        }
        file.check_unchanged()?;
        let reader = verified(&file.path, file.beside.sha256.as_deref(), Ok(reader), |rows| rows.reader.sha256())?;
        read.push(reader.entry(&file.path, rows, None, None));
    }
    Ok(read)
}

/// `mid2` of a usable record by the definition, or why it is not usable.
fn mid2(usable: Usable, record: &Record<'_>) -> Result<i64, Unusable> {
    usable.flags(record.event.flags)?;
    let present = |price: i64| (price != UNDEF_PRICE).then_some(price);
    let best = &record.levels[0];
    usable.mid2(present(best.bid_px), present(best.ask_px))
}

/// Compares the files that were read with the inputs of the manifest.
fn check_inputs(inputs: &[InputEntry], read: &[InputEntry], violations: &mut Violations) {
    let mut left: Vec<&InputEntry> = inputs.iter().collect();
    let mut others = Vec::new();
    for file in read {
        let Some(place) = left.iter().position(|input| input.sha256 == file.sha256) else {
            others.push(file);
            continue;
        };
        let input = left.remove(place);
        // Names may differ, and times are not compared.
        let same = InputEntry {
            name: file.name.clone(),
            first_ts: None,
            last_ts: None,
            // An old manifest does not count them.
            flags: input.flags.or(file.flags),
            ..input.clone()
        };
        if same != *file {
            violations
                .add(|| format!("{}: its counts and properties are not those in the manifest", printable(&file.name)));
        }
    }
    for file in others {
        let place = left.iter().position(|input| input.name == file.name);
        let name = printable(&file.name);
        match place.map(|place| left.remove(place)) {
            Some(input) => violations.add(|| {
                format!("{name}: its SHA-256 is {}, but the input of this name had {}", file.sha256, input.sha256)
            }),
            None => {
                violations.add(|| format!("{name}: was not an input of this dataset; its SHA-256 is {}", file.sha256))
            }
        }
    }
    for input in left {
        violations.add(|| format!("{}: was an input but was not given", printable(&input.name)));
    }
}

impl<'a> RawStream<'a> {
    fn new(config: &'a Config, symbol: &'a SymbolEntry, stored: StoredRows<'a>) -> Self {
        Self {
            symbol,
            rows: 0,
            max_ts: 0,
            before: None,
            bad_book: false,
            breaks: 0,
            steps_back: 0,
            sessions: config.sessions.as_deref().map(Sessions::new),
            out_of_session: 0,
            stored,
        }
    }

    fn take(&mut self, (config, input): (&Config, &str), record: &Record<'_>, mid2: i64, violations: &mut Violations) {
        let row = self.rows;
        self.rows += 1;
        let before = self.before.take();
        let last = before.as_ref().map(|(instrument, _)| (*instrument, self.max_ts));
        let after_bad_book = std::mem::take(&mut self.bad_book) && row > 0;
        let here = (record.event.instrument_id, record.event.ts_recv);
        let max_ts = self.max_ts.max(record.event.ts_recv);
        let moment = self.sessions.as_mut().map(|sessions| sessions.at(max_ts));
        let in_session = moment.is_none_or(|moment| moment.inside);
        self.out_of_session += u64::from(!in_session);
        // The last edge lies behind the row before.
        let reached = (self.max_ts / 1_000_000_000).cast_signed();
        let at_edge = config.session_breaks
            && row > 0
            && moment.is_some_and(|moment| moment.last_edge.is_some_and(|edge| edge > reached));
        let breaks = after_bad_book || at_edge || starts_stretch(last, here, config.max_gap.map(|gap| gap.0));
        if breaks {
            if self.symbol.breaks.get(self.breaks) != Some(&row) {
                violations.add(|| {
                    format!(
                        "{:?}: row {row} starts a stretch in the raw files, but not in the manifest",
                        self.symbol.symbol
                    )
                });
            }
            self.breaks += 1;
        }
        self.steps_back += u64::from(record.event.ts_recv < self.max_ts);
        self.max_ts = max_ts;
        self.before = Some((record.event.instrument_id, record.levels.clone()));
        let before = before.as_ref().filter(|_| !breaks).map(|(_, levels)| levels);
        let raw = RawRow { row, input, record, before, mid2, breaks, in_session, max_ts };
        match &mut self.stored {
            StoredRows::Nothing => {}
            StoredRows::Drawn(drawn) => drawn.take(&raw, violations),
            StoredRows::Every(every) => every.take(&raw, violations),
        }
    }

    /// Ends the stream; returns the number of rows compared.
    fn finish(self, violations: &mut Violations) -> u64 {
        let SymbolEntry { symbol, rows, breaks, steps_back, out_of_session, .. } = self.symbol;
        if self.out_of_session != *out_of_session {
            violations.add(|| {
                format!(
                    "{symbol:?}: {} rows lie outside of the sessions, but {out_of_session} by the manifest",
                    self.out_of_session
                )
            });
        }
        let found = (self.rows, self.breaks, self.steps_back);
        let want = (*rows, breaks.len(), *steps_back);
        if found != want {
            violations.add(|| {
                let text = |(rows, breaks, steps): (u64, usize, u64)| {
                    format!("{rows} rows, {breaks} breaks and {steps} steps back")
                };
                format!("{symbol:?}: {} in the raw files, but {} in the manifest", text(found), text(want))
            });
        }
        match self.stored {
            StoredRows::Nothing => 0,
            StoredRows::Drawn(drawn) => drawn.finish(violations),
            StoredRows::Every(every) => every.finish(violations),
        }
    }
}
