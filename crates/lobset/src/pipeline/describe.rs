//! What the manifest says of a run.

use std::collections::BTreeMap;

use super::streams::Stream;
use super::{Planned, Scanned};
use crate::config::{Config, ThresholdScope};
use crate::input::Delivery;
use crate::output::{DatasetEntry, InputEntry, Manifest, SymbolEntry, ThresholdsEntry, Timings};

/// Everything the manifest says, but for validation, card, report and timings.
pub fn describe(
    config: &Config,
    scanned: &Scanned,
    planned: &Planned,
    mut datasets: BTreeMap<usize, DatasetEntry>,
    thresholds: ThresholdsEntry,
) -> Manifest {
    let least = config.min_symbol_samples;
    let describe_symbol = |(place, stream): (usize, &Stream)| {
        let labelled_rows = planned.labelled[place];
        let dataset = datasets.remove(&place);
        let reason = dataset.is_none().then(|| {
            if labelled_rows < least {
                let few = format!("{labelled_rows} labelled rows, fewer than min_symbol_samples = {least}");
                match stream.candidates.count() - labelled_rows {
                    0 => few,
                    undefined => {
                        format!("{few}; {undefined} more have no movement, their past mean price being no more than 0")
                    }
                }
            } else if planned.thresholds.for_symbol(&stream.symbol).is_none() {
                "no boundaries: it has no row in the fit half with its whole future window".to_owned()
            } else {
                "no row is marked as balanced, and drop_unbalanced drops the others".to_owned()
            }
        });
        SymbolEntry {
            symbol: stream.symbol.clone(),
            publisher_id: stream.publisher_id,
            rows: stream.tape.rows(),
            labelled_rows,
            undefined_rows: stream.candidates.count() - labelled_rows,
            steps_back: stream.steps_back,
            gaps: stream.gaps.longest().to_vec(),
            breaks: stream.breaks.clone(),
            boundary_row: stream.splits.boundary_row,
            fitted_rows: planned.fitted_rows[place].clone(),
            dataset,
            reason,
        }
    };
    let symbols: Vec<SymbolEntry> = scanned.streams.iter().enumerate().map(describe_symbol).collect();
    Manifest {
        version: crate::VERSION.to_owned(),
        config: config.clone(),
        inputs: scanned.inputs.clone(),
        delivery: scanned.delivery.clone(),
        warnings: input_warnings(&scanned.inputs, &scanned.delivery)
            .into_iter()
            .chain(scanned.warnings.iter().cloned())
            .chain(warnings(&symbols, config, thresholds.fitted))
            .collect(),
        thresholds,
        symbols,
        validation: None,
        card: String::new(),
        report: String::new(),
        plan: None,
        timings: Timings::default(),
    }
}

/// What a reader should know of the input.
pub fn input_warnings(inputs: &[InputEntry], delivery: &Delivery) -> Vec<String> {
    let mut warnings = delivery.warnings();
    for input in inputs.iter().filter(|input| input.records > 0 && input.drops.unmapped == input.records) {
        warnings.push(format!(
            "{}: none of its records has a symbol, so all were dropped; if it has no mappings, it needs a symbology.json",
            input.name
        ));
    }
    warnings
}

/// A symbol whose own fit half is further from uniform than this gets a warning: a quarter of its rows would have to change
/// class (total variation distance). Measured: spot and perpetuals of two cryptocurrencies that share boundaries lie 1 to 16
/// percent away with windows of 500 rows. By arithmetic: a class with 66 percent of the rows puts a symbol at least 33
/// percent away with three classes, and further with more.
const FAR_FROM_UNIFORM: f64 = 0.25;

fn warnings(symbols: &[SymbolEntry], config: &Config, fitted: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let share_boundaries =
        config.threshold_scope == ThresholdScope::Global && symbols.iter().filter(|s| s.dataset.is_some()).count() > 1;
    let why_not_uniform = if !fitted {
        "the boundaries from the thresholds file do not suit it; fit them on this data"
    } else if share_boundaries {
        "the symbols that share boundaries do not move alike; give each its own with threshold_scope = \"symbol\""
    } else if config.sample_fraction < 1.0 {
        "the files that were fitted on are not like the rest of it; raise sample_fraction"
    } else {
        "too many of its movements are equal, or it has too few; lower nbins, or widen the windows"
    };
    for symbol in symbols {
        let Some(dataset) = &symbol.dataset else { continue };
        let fit = &dataset.splits.fit;
        if fit.drift() > FAR_FROM_UNIFORM {
            let share = |rows: Option<&u64>| 100.0 * rows.map_or(0.0, |n| *n as f64) / fit.rows as f64;
            warnings.push(format!(
                "{}: its fit half is {:.0}% from uniform ({:.1}% to {:.1}% of its rows in a class): {why_not_uniform}",
                symbol.symbol,
                100.0 * fit.drift(),
                share(fit.classes.iter().min()),
                share(fit.classes.iter().max()),
            ));
        }
        for (split, entry) in dataset.splits.named() {
            if entry.rows == 0 && split != "embargo" {
                warnings.push(format!("{}: no row is {split}", symbol.symbol));
            }
            for class in &entry.short {
                let count = entry.classes[*class as usize];
                warnings.push(format!("{}: class {class} is short in {split}: {count} rows", symbol.symbol));
            }
        }
    }
    let left_out: Vec<&SymbolEntry> = symbols.iter().filter(|s| s.dataset.is_none()).collect();
    if let [first, ..] = left_out.as_slice() {
        let rows: u64 = left_out.iter().map(|s| s.rows).sum();
        warnings.push(format!(
            "{} of {} symbols get no dataset ({rows} rows), such as {}: {}; manifest.json lists all (min_symbol_samples = {})",
            left_out.len(),
            symbols.len(),
            first.symbol,
            first.reason.as_deref().unwrap_or_default(),
            config.min_symbol_samples
        ));
    }
    warnings
}
