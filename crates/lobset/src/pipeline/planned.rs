//! The result of planning: the boundaries of every target, and a plan of every row group.

use std::collections::BTreeMap;

use super::counts::{BlockCounts, Labelled};
use super::engine::Engine;
use super::fit::{FitInput, fit_boundaries, sampled_files};
use super::ladder::{LadderCounts, LadderTask, ladder, ladder_tasks};
use super::movements::MovementSummary;
use super::plan::{Classify, SymbolPlan, plan_symbol};
use super::qualify::qualified;
use super::scanned::Scanned;
use super::streams::Stream;
use crate::config::{CLASSIC, Config, LabelSettings, Target};
use crate::error::{Error, Result};
use crate::label::{Candidates, Comoments, FileUsed, Thresholds};
use crate::output::Ladder;
use crate::run::Run;

/// The result of planning.
pub struct Planned {
    pub targets: Vec<Target>,
    pub thresholds: Thresholds,
    /// Number of labelled rows, by [`item`].
    pub labelled: Vec<u64>,
    /// The squared correlation of movements and known parts, by [`item`].
    pub known_shares: Vec<f64>,
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
    let targets = run.config.all_targets();
    let MovementSummary { labelled, known } = engine.movements(streams)?;
    let qualified = qualified(run.config, streams, &labelled)?;
    let (thresholds, fitted_rows) = match given {
        Some(thresholds) => (thresholds.clone(), vec![Vec::new(); streams.len()]),
        None => fit_all(engine, run, scanned, &qualified)?,
    };
    let symbols = to_classify(&targets, streams, &thresholds, &qualified);
    if symbols.is_empty() {
        return Err(Error::data(
            "the thresholds file has boundaries for none of the symbols that qualify",
            "fit thresholds with threshold_scope = \"global\", or on these symbols",
        ));
    }
    let blocks = engine.classes(streams, &thresholds, &symbols)?;
    let ladders = ladders(engine, run.config, streams, symbols.iter().map(|symbol| symbol.stream))?;
    let plan = |((symbol, blocks), ladder): ((&Classify<'_>, Vec<BlockCounts>), Ladder)| {
        plan_symbol(symbol, &blocks, ladder, run.config.drop_unbalanced)
    };
    let plans = symbols.iter().zip(blocks).zip(ladders).map(plan).collect();
    let known_shares = known.iter().map(Comoments::squared_correlation).collect();
    Ok(Planned { targets, thresholds, labelled, known_shares, fitted_rows, plans })
}

/// The ladders of symbols, in order; `places` are the places of the symbols among the streams.
fn ladders(
    engine: &impl Engine,
    config: &Config,
    streams: &[Stream],
    places: impl Iterator<Item = usize> + Clone,
) -> Result<Vec<Ladder>> {
    let windows: Vec<LadderTask> =
        places.clone().flat_map(|place| ladder_tasks(config, place, &streams[place])).collect();
    let counted = engine.ladders(streams, &windows)?;
    let of_symbol = |place: usize| {
        let mut counts = LadderCounts::default();
        let mine = windows.iter().zip(&counted).filter(|(window, _)| window.stream == place);
        mine.for_each(|(_, of_window)| counts.add(of_window));
        ladder(config, &streams[place], &counts)
    };
    Ok(places.map(of_symbol).collect())
}

type Fitting = (Thresholds, Vec<Vec<[u64; 2]>>);

/// Fits the boundaries of every target that has symbols to fit on; `qualified` has the places of these symbols, by
/// target.
pub fn fit_all(engine: &impl Engine, run: Run<'_>, scanned: &Scanned, qualified: &[Vec<usize>]) -> Result<Fitting> {
    let streams = &scanned.streams;
    let sampled = sampled_files(run.config.sample_fraction, scanned.fit_files.len());
    let used: Vec<usize> = sampled.into_iter().map(|i| scanned.fit_files[i]).collect();
    let fitted_rows: Vec<_> = streams.iter().map(|s| s.rows_in_files(|file| used.contains(&file))).collect();
    let mut fitted = BTreeMap::new();
    for (place, target) in run.config.all_targets().iter().enumerate() {
        let input = FitInput { streams, place, target, qualified: &qualified[place], fitted_rows: &fitted_rows };
        fitted.insert(target.name.clone(), fit_boundaries(engine, &input)?);
    }
    let file_used = |i: &usize| {
        let input = &scanned.inputs[*i];
        FileUsed { name: input.name.clone(), sha256: input.sha256.clone() }
    };
    let thresholds = Thresholds {
        version: crate::VERSION.to_owned(),
        fit_until: scanned.fit_until,
        settings: LabelSettings::new(run.config),
        sample_fraction: run.config.sample_fraction,
        min_symbol_samples: run.config.min_symbol_samples,
        files: used.iter().map(file_used).collect(),
        classic: fitted.remove(CLASSIC).unwrap_or_default(),
        targets: fitted,
    };
    Ok((thresholds, fitted_rows))
}

/// The symbols that qualify for a target that has boundaries for them, in order, with these targets.
pub fn to_classify<'a>(
    targets: &[Target],
    streams: &'a [Stream],
    thresholds: &'a Thresholds,
    qualified: &[Vec<usize>],
) -> Vec<Classify<'a>> {
    let classify = |(stream, of): (usize, &'a Stream)| {
        let of_target = |(place, target): (usize, &Target)| {
            let boundaries = thresholds.boundaries(&target.name, &of.symbol)?;
            let qualifies = qualified[place].binary_search(&stream).is_ok();
            qualifies.then(|| (place, Labelled::new(target, &of.targets[place], boundaries)))
        };
        let targets: Vec<_> = targets.iter().enumerate().filter_map(of_target).collect();
        let candidates = match targets.as_slice() {
            [] => return None,
            [(_, only)] => only.rows.candidates.clone(),
            _ => Candidates::union(targets.iter().map(|(_, target)| &target.rows.candidates)),
        };
        Some(Classify { stream, candidates, targets })
    };
    streams.iter().enumerate().filter_map(classify).collect()
}
