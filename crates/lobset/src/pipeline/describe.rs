//! What the manifest says of a run.

use std::collections::BTreeMap;

use super::streams::Stream;
use super::{Planned, Scanned};
use crate::config::Config;
use crate::output::{DatasetEntry, Manifest, SymbolEntry, ThresholdsEntry, Timings};

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
            rows: stream.tape.rows(),
            labelled_rows,
            undefined_rows: stream.candidates.count() - labelled_rows,
            steps_back: stream.steps_back,
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
        thresholds,
        inputs: scanned.inputs.clone(),
        warnings: warnings(&symbols, config),
        symbols,
        validation: None,
        card: String::new(),
        report: String::new(),
        plan: None,
        timings: Timings::default(),
    }
}

fn warnings(symbols: &[SymbolEntry], config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for symbol in symbols {
        let Some(dataset) = &symbol.dataset else { continue };
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

/// The process's peak resident memory, where the system tells.
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
