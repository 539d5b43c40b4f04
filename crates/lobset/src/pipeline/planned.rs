//! The result of planning: boundaries, and a plan of every row group.

use super::counts::{ClassCounts, Slice};
use super::engine::Engine;
use super::fit::{FitInput, fit_boundaries, sampled_files};
use super::plan::{SymbolPlan, plan_symbol};
use super::qualify::qualified;
use super::scanned::Scanned;
use super::streams::Stream;
use crate::config::{Config, LabelSettings};
use crate::error::{Error, Result};
use crate::label::{Boundaries, FileUsed, Thresholds};
use crate::run::Run;

/// The result of planning.
pub struct Planned {
    pub thresholds: Thresholds,
    /// Number of labelled rows by symbol.
    pub labelled: Vec<u64>,
    pub fitted_rows: Vec<Vec<[u64; 2]>>,
    pub plans: Vec<SymbolPlan>,
}

pub fn plan_all(
    engine: &mut impl Engine,
    run: Run<'_>,
    scanned: &Scanned,
    given: Option<&Thresholds>,
) -> Result<Planned> {
    let streams = &scanned.streams;
    let labelled = engine.movements(streams)?;
    let qualified = qualified(run.config, streams, &labelled)?;
    let (thresholds, fitted_rows) = match given {
        Some(thresholds) => (thresholds.clone(), vec![Vec::new(); streams.len()]),
        None => fit_all(engine, run, scanned, &qualified)?,
    };
    let plans = symbol_plans(engine, run.config, streams, &thresholds, &qualified)?;
    if plans.is_empty() {
        return Err(Error::data(
            "the thresholds file has boundaries for none of the symbols that qualify",
            "fit thresholds with threshold_scope = \"global\", or on these symbols",
        ));
    }
    Ok(Planned { thresholds, labelled, fitted_rows, plans })
}

type Fitted = (Thresholds, Vec<Vec<[u64; 2]>>);

pub fn fit_all(engine: &impl Engine, run: Run<'_>, scanned: &Scanned, qualified: &[usize]) -> Result<Fitted> {
    let streams = &scanned.streams;
    let sampled = sampled_files(run.config.sample_fraction, scanned.fit_files.len());
    let used: Vec<usize> = sampled.into_iter().map(|i| scanned.fit_files[i]).collect();
    let fitted_rows: Vec<_> = streams.iter().map(|s| s.rows_in_files(|file| used.contains(&file))).collect();
    let input = FitInput { streams, qualified, fitted_rows: &fitted_rows };
    let settings = LabelSettings::new(run.config);
    let (global, symbols) = fit_boundaries(engine, &settings, &input)?;
    let file_used = |i: &usize| {
        let input = &scanned.inputs[*i];
        FileUsed { name: input.name.clone(), sha256: input.sha256.clone() }
    };
    let thresholds = Thresholds {
        version: crate::VERSION.to_owned(),
        fit_until: scanned.fit_until,
        settings,
        sample_fraction: run.config.sample_fraction,
        min_symbol_samples: run.config.min_symbol_samples,
        files: used.iter().map(file_used).collect(),
        global,
        symbols,
    };
    Ok((thresholds, fitted_rows))
}

/// Counts the classes of the qualified symbols that have boundaries, and lays out their row groups.
///
/// # Errors
/// [`Error::Output`](crate::Error::Output) when a work file cannot be read.
pub fn symbol_plans(
    engine: &impl Engine,
    config: &Config,
    streams: &[Stream],
    thresholds: &Thresholds,
    qualified: &[usize],
) -> Result<Vec<SymbolPlan>> {
    let with_boundaries: Vec<(Slice, &Boundaries)> = qualified
        .iter()
        .filter_map(|&symbol| {
            let stream = &streams[symbol];
            let whole = Slice { place: symbol, range: 0..stream.candidates.count() };
            Some((whole, thresholds.for_symbol(&stream.symbol)?))
        })
        .collect();
    let blocks = engine.classes(streams, thresholds, &with_boundaries)?;
    let plan = |((slice, _), blocks): (&(Slice, &Boundaries), Vec<ClassCounts>)| {
        plan_symbol(slice.place, &blocks, slice.count(), usize::from(config.nbins), config.drop_unbalanced)
    };
    Ok(with_boundaries.iter().zip(blocks).map(plan).collect())
}
