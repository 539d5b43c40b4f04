//! Builds the manifest of a run.

use std::collections::BTreeMap;

use super::halves::{Halves, Origin, empty_halves};
use super::planned::Planned;
use super::scanned::Scanned;
use super::streams::{Stream, TargetRows, item};
use super::warnings::{input_warnings, steps_back, warnings};
use super::write::split_entries;
use crate::config::{Config, Target};
use crate::output::{DatasetEntry, FileEntry, Manifest, SymbolEntry, TargetEntry, ThresholdsEntry, Timings};

/// Builds the manifest, except for validation, card, report and timings.
pub fn describe(
    config: &Config,
    scanned: &Scanned,
    planned: &Planned,
    mut datasets: BTreeMap<usize, DatasetEntry>,
    thresholds: ThresholdsEntry,
) -> Manifest {
    let Planned { targets, plans, .. } = planned;
    let describe_symbol = |(place, stream): (usize, &Stream)| {
        let dataset = datasets.remove(&place);
        let plan = plans.iter().find(|plan| plan.symbol == place).filter(|_| dataset.is_some());
        let describe_target = |(number, target): (usize, &Target)| {
            let plan = plan.and_then(|plan| plan.target(number));
            let item = item(number, &scanned.streams, place);
            let labelled_rows = planned.labelled[item];
            let TargetRows { candidates, splits } = &stream.targets[number];
            TargetEntry {
                target: target.name.clone(),
                labelled_rows,
                undefined_rows: candidates.count() - labelled_rows,
                fit_end: splits.fit_end,
                known_share: plan.map(|_| planned.known_shares[item]),
                splits: plan.map(|plan| split_entries(config, plan)),
                reason: plan.is_none().then(|| no_labels(config, planned, stream, number, labelled_rows)),
            }
        };
        let targets: Vec<TargetEntry> = targets.iter().enumerate().map(describe_target).collect();
        // The reason for the first target, which has the simplest settings.
        let reason = targets.first().filter(|_| dataset.is_none()).and_then(|target| target.reason.clone());
        SymbolEntry {
            symbol: stream.symbol.clone(),
            publisher_id: stream.publisher_id,
            rows: stream.tape.rows(),
            steps_back: stream.steps_back,
            gaps: stream.gaps.longest().to_vec(),
            breaks: stream.breaks.clone(),
            in_session: stream
                .in_session
                .as_ref()
                .map(|ranges| ranges.iter().map(|range| [range.start, range.end]).collect()),
            out_of_session: stream.out_of_session(),
            boundary_row: stream.boundary_row,
            fitted_rows: planned.fitted_rows[place].clone(),
            targets,
            dataset,
            reason,
        }
    };
    let symbols: Vec<SymbolEntry> = scanned.streams.iter().enumerate().map(describe_symbol).collect();
    let halves: Vec<Halves<'_>> = symbols.iter().flat_map(Halves::of_dataset).collect();
    Manifest {
        sha256: String::new(),
        version: crate::VERSION.to_owned(),
        config: config.without_run_settings(),
        inputs: scanned.inputs.clone(),
        delivery: scanned.delivery.clone(),
        warnings: input_warnings(&scanned.inputs, &scanned.delivery)
            .into_iter()
            .chain(steps_back(symbols.iter().map(|s| (s.symbol.as_str(), s.steps_back, s.rows))))
            .chain(scanned.warnings.iter().cloned())
            .chain(empty_halves(&halves, scanned.fit_until, Origin::new(config, thresholds.fitted), &scanned.inputs))
            .chain(warnings(&symbols, config, thresholds.fitted))
            .collect(),
        thresholds,
        symbols,
        validation: None,
        card: FileEntry::default(),
        report: FileEntry::default(),
        plan: None,
        timings: Timings::default(),
    }
}

/// Why a stream's dataset has no labels of a target, or why there is no dataset.
fn no_labels(config: &Config, planned: &Planned, stream: &Stream, number: usize, labelled_rows: u64) -> String {
    let least = config.min_symbol_samples;
    let (target, TargetRows { candidates, .. }) = (&planned.targets[number], &stream.targets[number]);
    if labelled_rows >= least {
        return if planned.thresholds.boundaries(&target.name, &stream.symbol).is_none() {
            "no boundaries: no row of the fit half has its windows whole within it".to_owned()
        } else {
            "no row is marked as balanced, and drop_unbalanced drops all others".to_owned()
        };
    }
    let mut few = format!("{labelled_rows} labelled rows, fewer than min_symbol_samples = {least}");
    let unbroken = target.movement.rule().candidates(&stream.tape, &[]).map_or(0, |all| match &stream.in_session {
        Some(in_session) => all.within(in_session).count(),
        None => all.count(),
    });
    if unbroken >= least && candidates.count() < least {
        few += &format!("; without the {} breaks in its stream there would be enough", stream.breaks.len());
    }
    match candidates.count() - labelled_rows {
        0 => few,
        undefined => {
            format!("{few}; {undefined} more have no movement, because of {}", target.movement.undefined())
        }
    }
}
