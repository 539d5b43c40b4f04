//! Compares rows of the datasets with the raw files, by the plain definition only.

use std::collections::BTreeMap;
use std::path::Path;

use dbn::{BidAskPair, UNDEF_PRICE};
use serde::{Deserialize, Serialize};

use super::definition::{Unusable, Usable, starts_stretch};
use super::drawn::{Drawn, draw};
use super::every_row::{EveryRow, passes};
use super::fields::Levels;
use super::raw_row::RawRow;
use super::reading::cause;
use super::violations::Violations;
use crate::config::Config;
use crate::error::{Error, Result, ValidationError};
use crate::input::{
    CatalogFile, Drops, InputEntry, Record, RowReader, ScanRules, catalog, find, total_bytes, verified, with_publisher,
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
struct Stream<'a> {
    symbol: &'a SymbolEntry,
    rows: u64,
    max_ts: u64,
    /// The instrument and the levels of the previous row; `None` before the first.
    before: Option<(u32, Levels)>,
    breaks: usize,
    steps_back: u64,
    target: Target<'a>,
}

/// The rows that a stream is compared with.
enum Target<'a> {
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
                let target = match (&symbol.dataset, thresholds.for_symbol(&symbol.symbol)) {
                    (Some(_), _) if seed.is_some() => {
                        drawn.remove(symbol.symbol.as_str()).map_or(Target::Nothing, Target::Drawn)
                    }
                    (Some(entry), Some(fit)) => {
                        let every = EveryRow::open(folder, config, (symbol, entry), (fit, thresholds.fit_until.0));
                        // A damaged file of the folder is a violation here too.
                        Target::Every(Box::new(
                            every.map_err(|e| failed(vec![format!("{}: {}", entry.file, cause(&e))]))?,
                        ))
                    }
                    _ => Target::Nothing,
                };
                streams.insert(symbol.symbol.as_str(), Stream::new(symbol, target));
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
    streams: &mut BTreeMap<&str, Stream<'_>>,
    violations: &mut Violations,
    monitor: &Monitor<'_>,
) -> Result<Vec<InputEntry>> {
    let (rules, usable) = (ScanRules::new(config), Usable::new(config));
    let known: BTreeMap<&str, u16> = manifest.symbols.iter().map(|s| (s.symbol.as_str(), s.publisher_id)).collect();
    let mut streams: Vec<&mut Stream<'_>> = streams.values_mut().collect();
    let mut read = Vec::new();
    for file in files {
        let mut reader = RowReader::open(&file.path, &rules.with_symbology(file.beside.symbology.as_ref()))?;
        let mut rows = 0;
        // Index in `streams` of each stream of the file, by number; `None` for streams that this pass leaves out.
        let mut places: Vec<Option<usize>> = Vec::new();
        while reader.advance(monitor)? {
            let mid2 = |best: &BidAskPair, drops: &mut Drops| mid2(usable, best, drops);
            let Some((number, mid2)) = reader.current_by(mid2)?.1 else { continue };
            rows += 1;
            if number == places.len() {
                for id in reader.streams().skip(number) {
                    let alone = known.get(id.symbol.as_str()) == Some(&id.publisher_id);
                    let name = if alone { id.symbol } else { with_publisher(&id.symbol, id.publisher_id) };
                    if !known.contains_key(name.as_str()) {
                        let file = storage::file_name(&file.path);
                        violations
                            .add(|| format!("{}: holds {name:?}, which the manifest does not name", printable(&file)));
                    }
                    places.push(streams.binary_search_by(|stream| stream.symbol.symbol.as_str().cmp(&name)).ok());
                }
            }
            if let Some(place) = places[number] {
                streams[place].take(config, &reader.reader.record()?, mid2, violations);
            }
        }
        file.check_unchanged()?;
        let reader = verified(&file.path, file.beside.sha256.as_deref(), Ok(reader), |rows| rows.reader.sha256())?;
        read.push(reader.entry(&file.path, rows, None, None));
    }
    Ok(read)
}

/// `mid2` of a usable quote by the definition; others are counted by reason, for the comparison with the manifest.
fn mid2(usable: Usable, best: &BidAskPair, drops: &mut Drops) -> Result<Option<i64>, String> {
    let present = |price: i64| (price != UNDEF_PRICE).then_some(price);
    match usable.mid2(present(best.bid_px), present(best.ask_px)) {
        Ok(mid2) => return Ok(Some(mid2)),
        Err(Unusable::OneSided) => drops.one_sided += 1,
        Err(Unusable::Crossed) => drops.crossed += 1,
        Err(Unusable::OutOfRange) => drops.out_of_range += 1,
        Err(reason @ Unusable::TooLarge { .. }) => return Err(reason.to_string()),
    }
    Ok(None)
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
        let same = InputEntry { name: file.name.clone(), first_ts: None, last_ts: None, ..input.clone() };
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

impl<'a> Stream<'a> {
    fn new(symbol: &'a SymbolEntry, target: Target<'a>) -> Self {
        Self { symbol, rows: 0, max_ts: 0, before: None, breaks: 0, steps_back: 0, target }
    }

    fn take(&mut self, config: &Config, record: &Record<'_>, mid2: i64, violations: &mut Violations) {
        let row = self.rows;
        self.rows += 1;
        let before = self.before.take();
        let last = before.as_ref().map(|(instrument, _)| (*instrument, self.max_ts));
        let breaks =
            starts_stretch(last, (record.event.instrument_id, record.event.ts_recv), config.max_gap.map(|gap| gap.0));
        if breaks {
            if self.symbol.breaks.get(self.breaks) != Some(&row) {
                violations
                    .add(|| format!("{:?}: row {row} starts a stretch, by the raw files alone", self.symbol.symbol));
            }
            self.breaks += 1;
        }
        self.steps_back += u64::from(record.event.ts_recv < self.max_ts);
        self.max_ts = self.max_ts.max(record.event.ts_recv);
        self.before = Some((record.event.instrument_id, record.levels.clone()));
        let before = before.as_ref().filter(|_| !breaks).map(|(_, levels)| levels);
        let raw = RawRow { row, record, before, mid2, breaks, max_ts: self.max_ts };
        match &mut self.target {
            Target::Nothing => {}
            Target::Drawn(drawn) => drawn.take(&raw, violations),
            Target::Every(every) => every.take(&raw, violations),
        }
    }

    /// Ends the stream; returns the number of rows compared.
    fn finish(self, violations: &mut Violations) -> u64 {
        let SymbolEntry { symbol, rows, breaks, steps_back, .. } = self.symbol;
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
        match self.target {
            Target::Nothing => 0,
            Target::Drawn(drawn) => drawn.finish(violations),
            Target::Every(every) => every.finish(violations),
        }
    }
}
