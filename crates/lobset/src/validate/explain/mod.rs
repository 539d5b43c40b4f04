//! Explains one row of a dataset: how its labels follow from the raw files, by the plain definition, and whether the
//! dataset contains them.

mod explanation;
mod inputs;
mod near;
mod stored;
mod stretch;
mod target;
mod text;
mod trail;

use std::path::Path;

pub use explanation::{
    ClassStep, DroppedRecord, Explanation, MarkStep, MovementStep, RecordAt, SplitStep, StoredRow, StoredValue,
    Stretch, TargetExplanation,
};

use self::near::{no_such_row, no_such_symbol};
use self::stored::Found;
use self::target::{Context, Explained, values};
use self::trail::{Here, Place, Trail};
use super::folder::check_thresholds;
use super::kinds::RowTime;
use super::kinds::shown::mid;
use super::reading::cause;
use super::validation::read_manifest;
use crate::error::{Error, Result, ValidationError};
use crate::input::{catalog, find, total_bytes};
use crate::label::Split;
use crate::output::{Manifest, SymbolEntry};
use crate::printable::printable;
use crate::run::{Monitor, Options, Stage};
use crate::storage;
use crate::time_text::Timestamp;

/// Explains one row of a dataset, step by step from the raw records: windows, sums, movement, boundaries, class, split
/// and mark of every target. Then compares the result with what the dataset contains. `row` is the number of the row in
/// the symbol's stream, as in the column `row`. `against` must be all raw files that the dataset was made from; they
/// are read up to the end of the row's labels.
///
/// A row that has no label, or is not in the dataset, is explained too. [`Explanation::agrees`] says whether the
/// dataset agrees.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when the folder has no manifest, the symbol or the row does not exist, or the
/// raw files cannot be read or are not those that the manifest lists; [`ValidationError`] when the folder is damaged;
/// [`Error::Interrupted`] when the run has been asked to stop.
pub fn explain<P: AsRef<Path>>(
    folder: &Path,
    symbol: &str,
    row: u64,
    against: &[P],
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Explanation> {
    let folder = &storage::plain(folder);
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let manifest = read_manifest(folder)?;
    let thresholds = check_thresholds(folder, &manifest).map_err(|violation| failed(vec![violation]))?;
    let entry = manifest.symbols.iter().find(|entry| entry.symbol == symbol);
    let entry = entry.ok_or_else(|| no_such_symbol(folder, &manifest, symbol))?;
    if row >= entry.rows {
        return Err(no_such_row(folder, entry, row));
    }
    let files = catalog(&find(against, options.symbology.as_deref())?)?;
    inputs::check_sizes(&files, &manifest.inputs, folder)?;
    let targets = manifest.config.all_targets();
    let found = match &entry.dataset {
        Some(dataset) => {
            let read = Found::read(&folder.join(&dataset.file), &manifest.config, symbol, row, monitor);
            // A damaged file of the folder is a violation here too.
            read.map_err(|error| match error {
                Error::Interrupted => Error::Interrupted,
                error => failed(vec![format!("{}: {}", dataset.file, cause(&error))]),
            })?
        }
        None => Found::nothing(),
    };
    let mut trail = Trail::new(entry, row, &targets, found.columns.as_ref());
    monitor.stage(Stage::Scan, total_bytes(&files), || trail.read(&files, &manifest, monitor))?;
    let Some(here) = &trail.here else {
        return Err(failed(vec![format!(
            "{symbol:?}: the raw files have {} rows, but the manifest says {}",
            trail.rows, entry.rows
        )]));
    };
    let context =
        Context { config: &manifest.config, symbol: entry, thresholds: &thresholds, trail: &trail, at: here.at };
    let explained: Vec<Explained> = targets
        .iter()
        .zip(&entry.targets)
        .zip(trail.verdicts())
        .enumerate()
        .map(|(place, ((target, entry), verdict))| {
            let before = |split: Split, class: usize| found.labels_before(place, split, class);
            context.explain(target, entry, verdict, before)
        })
        .collect();
    let (stored, differences) = compare(&manifest, entry, here, &found, &explained, trail.unlisted_break);
    Ok(Explanation {
        symbol: symbol.to_owned(),
        row,
        rows: entry.rows,
        fit_until: thresholds.fit_until,
        record: record(&trail, here),
        dropped_count: here.dropped_count,
        dropped_before: here
            .dropped
            .iter()
            .map(|(Place { file, record }, reason)| DroppedRecord {
                file: trail.files[*file].clone(),
                record: *record,
                reason: reason.name().to_owned(),
            })
            .collect(),
        stretch: stretch(&trail, here),
        in_session: manifest.config.sessions.as_ref().map(|_| here.in_session),
        targets: explained.into_iter().map(|explained| explained.text).collect(),
        stored,
        agrees: differences.is_empty(),
        differences,
    })
}

fn record(trail: &Trail<'_>, here: &Here) -> RecordAt {
    RecordAt {
        file: trail.files[here.place.file].clone(),
        record: here.place.record,
        ts_recv: Timestamp(here.event.ts_recv),
        time: Timestamp(here.at.ts),
        instrument_id: here.event.instrument_id,
        bid_px: here.bid_px,
        ask_px: here.ask_px,
        mid2: here.at.mid2,
        mid_price: mid(here.at.mid2),
    }
}

fn stretch(trail: &Trail<'_>, here: &Here) -> Stretch {
    let (first, begins) = trail.first.unwrap_or((here.at, None));
    Stretch {
        first: RowTime::new(first),
        begins,
        last: trail.last.filter(|_| trail.ended).map(RowTime::new),
        ends: trail.next,
    }
}

/// Compares the row of the dataset with the definition. Returns what is stored, and the differences.
fn compare(
    manifest: &Manifest,
    symbol: &SymbolEntry,
    here: &Here,
    found: &Found,
    explained: &[Explained],
    unlisted_break: Option<u64>,
) -> (StoredRow, Vec<String>) {
    let file = symbol.dataset.as_ref().map(|dataset| dataset.file.clone());
    let row = here.at.row;
    let place = format!("{}: row {row}", file.as_deref().unwrap_or_default());
    let absent_because = absent_because(manifest, symbol, here, explained, found.columns.is_some());
    let mut differences = Vec::new();
    if let Some(row) = unlisted_break {
        let name = printable(&symbol.symbol);
        differences.push(format!("{name}: row {row} starts a stretch in the raw files, but not in the manifest"));
    }
    let mut all = Vec::new();
    if let Some(columns) = &found.columns {
        if let Some(Err(reason)) = &here.compared {
            differences.push(format!("{place}: {reason}"));
        }
        let targets = manifest.config.all_targets();
        for ((target, explained), label) in targets.iter().zip(explained).zip(columns.labels(0)) {
            let marked = explained.text.mark.and_then(|mark| mark.balanced);
            let values =
                values(target, label.as_ref(), explained.defined.as_ref(), marked, manifest.config.force_uniform);
            let differ = values.iter().filter(|value| !value.agrees);
            differences.extend(differ.map(|value| {
                format!("{place}: {} is {}, and {} by definition", value.column, value.stored, value.computed)
            }));
            all.extend(values);
        }
        if let Some(reason) = &absent_because {
            differences.push(format!("{place}: should not be in the dataset: {reason}"));
        }
    } else if absent_because.is_none() {
        differences.push(format!("{place}: is missing from the dataset, though the row has a label"));
    }
    let stored = StoredRow {
        file,
        present: found.columns.is_some(),
        absent_because,
        record_agrees: here.compared.as_ref().map(Result::is_ok),
        values: all,
    };
    (stored, differences)
}

/// Why a dataset should not contain a row; `None` if it should.
fn absent_because(
    manifest: &Manifest,
    symbol: &SymbolEntry,
    here: &Here,
    explained: &[Explained],
    present: bool,
) -> Option<String> {
    if symbol.dataset.is_none() {
        return Some(format!("the symbol has no dataset: {}", symbol.reason.as_deref().unwrap_or("unknown")));
    }
    if !here.in_session {
        return Some("the row lies outside the sessions, and such rows are not written".to_owned());
    }
    if explained.iter().all(|target| target.defined.is_none()) {
        return Some("no target has a label there".to_owned());
    }
    // Without the rows in between, the mark cannot be computed: use the one in the dataset.
    let marked = |target: &Explained| target.text.mark.and_then(|mark| mark.balanced).unwrap_or(present);
    let dropped = manifest.config.drop_unbalanced && !explained.iter().any(marked);
    dropped.then(|| "drop_unbalanced writes only marked rows, and this row is not marked".to_owned())
}
