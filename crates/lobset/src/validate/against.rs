//! Compares rows of the datasets with the raw files, by the plain definition only.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::drawn::{Drawn, draw};
use super::every_row::{EveryRow, passes};
use super::raw_file::RawFiles;
use super::raw_row::RawRows;
use super::reading::cause;
use super::violations::Violations;
use crate::config::Config;
use crate::error::{Error, Result, ValidationError};
use crate::input::{CatalogFile, InputEntry, Record, catalog, find, total_bytes};
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
    rows: RawRows<'a>,
    breaks: usize,
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
            let read = read_inputs(&files, manifest, &mut streams, &mut violations, monitor)?;
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
    streams: &mut BTreeMap<&str, RawStream<'_>>,
    violations: &mut Violations,
    monitor: &Monitor<'_>,
) -> Result<Vec<InputEntry>> {
    let raw_files = RawFiles::new(manifest);
    let mut streams: Vec<&mut RawStream<'_>> = streams.values_mut().collect();
    let mut read = Vec::new();
    for (place, file) in files.iter().enumerate() {
        // If the files are not those of the manifest, report that first.
        let input = manifest.inputs.get(place).map_or("", |input| input.name.as_str());
        let mut raw = raw_files.open(file)?;
        // The index in `streams` of each stream of the file, by its place there; `None` for streams that this pass
        // leaves out. Also whether the stream is missing from the manifest and has yet to be reported.
        let mut places: Vec<(Option<usize>, bool)> = Vec::new();
        while let Some(found) = raw.next(monitor)? {
            if found.place == places.len() {
                let place = streams.binary_search_by(|stream| stream.symbol.symbol.as_str().cmp(found.stream)).ok();
                places.push((place, !raw_files.lists(found.stream)));
            }
            let (stream, unknown) = &mut places[found.place];
            if found.mid2.is_ok() && std::mem::take(unknown) {
                let (file, name) = (storage::file_name(&file.path), found.stream);
                violations.add(|| format!("{}: contains {name:?}, which the manifest does not list", printable(&file)));
            }
            let Some(stream) = stream.map(|stream| &mut *streams[stream]) else { continue };
            match found.mid2 {
                Ok(mid2) => stream.take((input, &found.record), mid2, violations),
                Err(reason) => stream.rows.dropped(reason),
            }
        }
        read.push(raw.finish()?);
    }
    Ok(read)
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
            // Old manifests do not count them.
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
        Self { symbol, rows: RawRows::new(config), breaks: 0, out_of_session: 0, stored }
    }

    fn take(&mut self, (input, record): (&str, &Record<'_>), mid2: i64, violations: &mut Violations) {
        let raw = self.rows.next(record, mid2);
        let row = raw.row;
        self.out_of_session += u64::from(!raw.in_session);
        if raw.breaks.is_some() {
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
        match &mut self.stored {
            StoredRows::Nothing => {}
            StoredRows::Drawn(drawn) => drawn.take(&raw, violations),
            StoredRows::Every(every) => every.take(input, &raw, violations),
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
        let found = (self.rows.rows, self.breaks, self.rows.steps_back);
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
