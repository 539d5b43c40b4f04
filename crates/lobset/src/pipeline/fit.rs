//! Fits the class boundaries: exact quantiles of the movements whose windows are within the fit half.

use std::collections::BTreeMap;

use super::counts::Slice;
use super::engine::Engine;
use super::streams::Stream;
use crate::config::{LabelSettings, ThresholdScope};
use crate::error::{Error, Result};
use crate::label::{Boundaries, Selection, check_classes, inner_quantiles, interpolate, ranks};

/// Inputs of the fit: the symbols, and the ranges of their rows in the files to fit on.
pub struct FitInput<'a> {
    /// All streams.
    pub streams: &'a [Stream],
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
pub fn fit_boundaries(
    engine: &impl Engine,
    settings: &LabelSettings,
    input: &FitInput<'_>,
) -> Result<(Option<Boundaries>, BTreeMap<String, Boundaries>)> {
    match settings.threshold_scope {
        ThresholdScope::Global => {
            let fitted = fit_group(engine, settings, input, input.qualified, "all symbols together")?;
            let global = fitted
                .ok_or_else(|| nothing_to_fit("no row of the fit half has both of its windows whole within it"))?;
            Ok((Some(global), BTreeMap::new()))
        }
        ThresholdScope::Symbol => {
            let mut fits = BTreeMap::new();
            for &symbol in input.qualified {
                let name = &input.streams[symbol].symbol;
                if let Some(fitted) = fit_group(engine, settings, input, &[symbol], &format!("symbol {name:?}"))? {
                    fits.insert(name.clone(), fitted);
                }
            }
            if fits.is_empty() {
                return Err(nothing_to_fit(
                    "no symbol has a row in the fit half with both of its windows whole within it",
                ));
            }
            Ok((None, fits))
        }
    }
}

fn nothing_to_fit(message: &str) -> Error {
    Error::data(message, "set fit_until to a later time, raise sample_fraction, or shorten the windows")
}

/// Fits the boundaries of some symbols together; `None` if they have no row to fit on.
fn fit_group(
    engine: &impl Engine,
    settings: &LabelSettings,
    input: &FitInput<'_>,
    symbols: &[usize],
    whose: &str,
) -> Result<Option<Boundaries>> {
    let mut fitted = Vec::new();
    let mut embargo = Vec::new();
    for &symbol in symbols {
        let Stream { candidates, splits, .. } = &input.streams[symbol];
        let places = |from: u64, to: u64| candidates.before(from)..candidates.before(to.max(from));
        for [from, to] in &input.fitted_rows[symbol] {
            fitted.push(Slice { place: symbol, range: places(*from, (*to).min(splits.fit_end())) });
        }
        embargo.push(Slice { place: symbol, range: places(splits.fit_end(), splits.boundary_row) });
    }

    let mut qs = inner_quantiles(settings.nbins);
    qs.push(0.5);
    let mut selection = Selection::new();
    let (mut n, mut mean, mut squares, mut min, mut max) = (0, 0.0, 0.0, f64::MAX, f64::MIN);
    let mut first = true;
    let at_ranks = loop {
        let (histogram, sums) = engine.count(&fitted, &selection, mean)?;
        // The first pass gives the mean, later ones the squared distances from it.
        if first {
            n = sums.iter().map(|s| s.count).sum();
            if n == 0 {
                return Ok(None);
            }
            mean = sums.iter().map(|s| s.sum).sum::<f64>() / n as f64;
            min = sums.iter().map(|s| s.min).fold(min, f64::min);
            max = sums.iter().map(|s| s.max).fold(max, f64::max);
            first = false;
        } else {
            squares = sums.iter().map(|s| s.squares).sum();
        }
        if let Some(values) = selection.refine(&histogram, |n| ranks(n, &qs)) {
            break values;
        }
    };
    let mut boundaries = interpolate(n, &qs, &at_ranks);
    let median = boundaries.pop().unwrap_or(mean);
    check_classes(&boundaries, at_ranks.as_chunks().0, n, min, selection.equal_to(0.0), whose)?;
    let embargo_rows = engine.count(&embargo, &Selection::new(), 0.0)?.1.iter().map(|s| s.count).sum();
    Ok(Some(Boundaries {
        values: boundaries,
        fit_rows: n,
        embargo_rows,
        mean,
        std: (squares / n as f64).sqrt(),
        min,
        max,
        median,
    }))
}

/// The places of the m = ceil(fraction * h) of h files to fit on: floor(i * h / m), i = 0..m.
pub fn sampled_files(fraction: f64, h: usize) -> Vec<usize> {
    let m = ((fraction * h as f64).ceil() as usize).min(h);
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
