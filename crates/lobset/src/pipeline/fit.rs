//! Fits the class boundaries of a target on the movements whose windows are within the fit half.

use std::collections::BTreeMap;

use super::counts::Slice;
use super::engine::Engine;
use super::streams::{Stream, TargetRows, item};
use crate::cast::{to_usize, whole_unsigned};
use crate::config::{CLASSIC, Classes, Target, ThresholdScope};
use crate::error::{Error, Result};
use crate::label::{Boundaries, Fitted, Histogram, Selection, check_classes, inner_quantiles, interpolate, ranks};

/// Inputs of the fit of one target: the symbols, and the ranges of their rows in the files to fit on.
pub struct FitInput<'a> {
    /// All streams.
    pub streams: &'a [Stream],
    /// The target, and its place among all.
    pub target: &'a Target,
    pub place: usize,
    /// The places of the symbols that take part.
    pub qualified: &'a [usize],
    /// Ranges of rows in the files used, by place of the symbol.
    pub fitted_rows: &'a [Vec<[u64; 2]>],
}

/// Fits the boundaries, of all symbols together or of each.
///
/// # Errors
/// [`Error::Data`] when there is nothing to fit on or a class would be empty, [`Error::Output`] when a work file cannot
/// be read.
pub fn fit_boundaries(engine: &impl Engine, input: &FitInput<'_>) -> Result<Fitted> {
    let of_target = match input.target.name.as_str() {
        CLASSIC => String::new(),
        name => format!("target {name:?}: "),
    };
    match input.target.threshold_scope {
        ThresholdScope::Global => {
            let global = fit_group(engine, input, input.qualified, &format!("{of_target}all symbols together"))?;
            let nothing = || nothing_to_fit(&of_target, "no row of the fit half has its windows whole within it");
            Ok(Fitted { global: Some(global.ok_or_else(nothing)?), symbols: BTreeMap::new() })
        }
        ThresholdScope::Symbol => {
            let mut symbols = BTreeMap::new();
            for &symbol in input.qualified {
                let name = &input.streams[symbol].symbol;
                if let Some(fitted) = fit_group(engine, input, &[symbol], &format!("{of_target}symbol {name:?}"))? {
                    symbols.insert(name.clone(), fitted);
                }
            }
            if symbols.is_empty() {
                let message = "no symbol has a row in the fit half with its windows whole within it";
                return Err(nothing_to_fit(&of_target, message));
            }
            Ok(Fitted { global: None, symbols })
        }
    }
}

fn nothing_to_fit(of_target: &str, message: &str) -> Error {
    let help = "set fit_until to a later time, raise sample_fraction, or shorten the windows";
    Error::data(format!("{of_target}{message}"), help)
}

/// Counts of movements, and the values at the ranks that quantiles need.
struct Counted {
    rows: u64,
    mean: f64,
    std: f64,
    min: f64,
    max: f64,
    at_ranks: Vec<f64>,
    /// Number of values that are exactly zero, if a quantile is.
    zeros: u64,
    /// The absolute values at the ranks of their quantiles.
    absolute_at_ranks: Vec<f64>,
}

/// Selects the values that the quantiles `qs` need, and the absolute values that the quantiles `absolute` need; `None`
/// if there are no values.
fn select(engine: &impl Engine, ranges: &[Slice], qs: &[f64], absolute: &[f64]) -> Result<Option<Counted>> {
    // If no quantiles of absolute values are wanted, absolute values are not counted.
    let mut selections = vec![Selection::new()];
    selections.extend((!absolute.is_empty()).then(Selection::of_absolute_values));
    let (mut n, mut mean, mut squares, mut min, mut max) = (0, 0.0, 0.0, f64::MAX, f64::MIN);
    let mut pass = 0;
    let mut at_ranks = loop {
        let (histograms, sums) = engine.count(ranges, &selections, (pass < 2).then_some(mean))?;
        // The first pass gives the mean, the second one the squared distances from it.
        if pass == 0 {
            n = sums.iter().map(|s| s.count).sum();
            if n == 0 {
                return Ok(None);
            }
            mean = sums.iter().map(|s| s.sum).sum::<f64>() / n as f64;
            min = sums.iter().map(|s| s.min).fold(min, f64::min);
            max = sums.iter().map(|s| s.max).fold(max, f64::max);
        } else if pass == 1 {
            squares = sums.iter().map(|s| s.squares).sum();
        }
        pass += 1;
        let refine = |((selection, histogram), qs): ((&mut Selection, Histogram), &[f64])| {
            selection.refine(histogram, |n| ranks(n, qs))
        };
        let found: Vec<_> = selections.iter_mut().zip(histograms).zip([qs, absolute]).map(refine).collect();
        if found.iter().all(Option::is_some) {
            break found.into_iter().flatten();
        }
    };
    Ok(Some(Counted {
        rows: n,
        mean,
        std: (squares / n as f64).sqrt(),
        min,
        max,
        at_ranks: at_ranks.next().unwrap_or_default(),
        zeros: selections.first().map_or(0, |selection| selection.equal_to(0.0)),
        absolute_at_ranks: at_ranks.next().unwrap_or_default(),
    }))
}

/// Fits the boundaries of some symbols together; `None` if they have no row to fit on.
fn fit_group(engine: &impl Engine, input: &FitInput<'_>, symbols: &[usize], whose: &str) -> Result<Option<Boundaries>> {
    let mut fitted = Vec::new();
    let mut embargo = Vec::new();
    for &symbol in symbols {
        let TargetRows { candidates, splits } = &input.streams[symbol].targets[input.place];
        let place = item(input.place, input.streams, symbol);
        let places = |from: u64, to: u64| candidates.before(from)..candidates.before(to.max(from));
        for [from, to] in &input.fitted_rows[symbol] {
            fitted.push(Slice { place, range: places(*from, (*to).min(splits.fit_end)) });
        }
        embargo.push(Slice { place, range: places(splits.fit_end, splits.boundary_row) });
    }

    let mut qs = match input.target.classes {
        Classes::Quantiles { nbins } => inner_quantiles(nbins),
        _ => Vec::new(),
    };
    qs.push(0.5);
    let absolute = match input.target.classes {
        Classes::Share { stationary } => vec![stationary],
        _ => Vec::new(),
    };
    let Some(counted) = select(engine, &fitted, &qs, &absolute)? else { return Ok(None) };
    let Counted { rows: n, mean, std, min, max, at_ranks, zeros, absolute_at_ranks } = counted;
    let mut quantiles = interpolate(n, &qs, &at_ranks);
    let median = quantiles.pop().unwrap_or(mean);
    let values = match &input.target.classes {
        Classes::Quantiles { .. } => {
            check_classes(&quantiles, at_ranks.as_chunks().0, n, min, zeros, whose)?;
            quantiles
        }
        Classes::Share { .. } => {
            let largest = interpolate(n, &absolute, &absolute_at_ranks).first().copied().unwrap_or(0.0);
            if min >= -largest || max <= largest {
                return Err(Error::data(
                    format!(
                        "{whose}: the movements from {:e} to {largest:e} are stationary, and none is {} them",
                        -largest,
                        if max <= largest { "above" } else { "below" }
                    ),
                    "lower stationary, or widen the windows; a price that never moves has no classes",
                ));
            }
            around_zero(largest)
        }
        Classes::Spread { multiple } => {
            let spread = engine.spreads(input.streams, &fitted)?.mean_spread();
            let largest = multiple * spread;
            if !(largest >= 0.0 && largest.next_up().is_finite()) {
                return Err(Error::data(
                    format!(
                        "{whose}: the mean relative spread of the fit rows is {spread:e}, and {multiple:e} times that is no bound for movements"
                    ),
                    "leave out crossed quotes and instruments that trade at or below zero, such as calendar spreads; or set classes = \"share\"",
                ));
            }
            around_zero(largest)
        }
        Classes::Fixed { boundaries } => boundaries.clone(),
        Classes::Touch => Vec::new(),
    };
    let embargo_rows = engine.count(&embargo, &[], Some(0.0))?.1.iter().map(|s| s.count).sum();
    Ok(Some(Boundaries { values, fit_rows: n, embargo_rows, mean, std, min, max, median }))
}

/// The boundaries of three classes, where movements of at most `largest` in absolute value are in the middle.
fn around_zero(largest: f64) -> Vec<f64> {
    vec![-largest, largest.next_up()]
}

/// The places of the m = ceil(fraction * h) of h files to fit on: floor(i * h / m), i = 0..m.
pub fn sampled_files(fraction: f64, h: usize) -> Vec<usize> {
    let m = to_usize(whole_unsigned((fraction * h as f64).ceil())).min(h);
    (0..m).map(|i| i * h / m).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampled_files_are_spread_evenly() {
        assert_eq!(sampled_files(1.0, 4), [0, 1, 2, 3]);
        assert_eq!(sampled_files(0.3, 10), [0, 3, 6]);
        assert_eq!(sampled_files(0.01, 10), [0]);
        assert_eq!(sampled_files(0.5, 0), [0; 0]);
    }
}
