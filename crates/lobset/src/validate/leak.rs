//! The leak check: the quantiles of the datasets' own fit rows are the boundaries, bit for bit.

use std::ops::Range;

use crate::error::Result;
use crate::label::{Boundaries, Histogram, Selection, Sums, Thresholds, inner_quantiles, interpolate, ranks};
use crate::output::Manifest;

/// Whether the datasets contain all rows that the boundaries were fitted on.
pub(super) fn applies(manifest: &Manifest) -> bool {
    manifest.thresholds.fitted && !manifest.config.drop_unbalanced
}

/// Compares the boundaries with the fit movements of the datasets; `fitted` is the number of them in each dataset.
/// Returns the violations, or nothing if the check does not apply ([`applies`]).
///
/// # Errors
/// Any error of `count`.
pub(super) fn check(
    manifest: &Manifest,
    thresholds: &Thresholds,
    fitted: &[u64],
    count: impl Fn(Range<usize>, &Selection, f64) -> Result<(Histogram, Vec<Sums>)>,
) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    if !applies(manifest) {
        return Ok(violations);
    }
    let mut compare = |whose: &str, boundaries: &Boundaries, datasets: Range<usize>| -> Result<()> {
        let found = fitted[datasets.clone()].iter().sum();
        let count = |selection: &Selection| count(datasets.clone(), selection, boundaries.mean);
        violations.extend(compare(whose, manifest.config.nbins, boundaries, found, count)?);
        Ok(())
    };
    if let Some(boundaries) = &thresholds.global {
        compare("all symbols", boundaries, 0..fitted.len())?;
        return Ok(violations);
    }
    for (place, (symbol, _)) in manifest.datasets().enumerate() {
        if let Some(boundaries) = thresholds.symbols.get(&symbol.symbol) {
            compare(&format!("symbol {:?}", symbol.symbol), boundaries, place..place + 1)?;
        }
    }
    Ok(violations)
}

/// Tolerance for the mean and the standard deviation, as a share of the largest absolute movement: sums of at most 2^15
/// numbers, each off by 2^-53, and the sums of those sums.
const ROUNDING: f64 = 1e-11;

/// Selects the quantiles of the datasets' fit movements and compares them with the boundaries; each pass is counted by
/// `count`, with the sums around the mean in the file.
fn compare(
    whose: &str,
    nbins: u16,
    boundaries: &Boundaries,
    found: u64,
    count: impl Fn(&Selection) -> Result<(Histogram, Vec<Sums>)>,
) -> Result<Vec<String>> {
    if found != boundaries.fit_rows {
        return Ok(vec![format!(
            "thresholds.json: {whose}: fitted on {} rows, but the datasets contain {found} such fit rows",
            boundaries.fit_rows
        )]);
    }
    let mut qs = inner_quantiles(nbins);
    qs.push(0.5);
    let mut selection = Selection::new();
    let (at_ranks, sums) = loop {
        let (histogram, sums) = count(&selection)?;
        if let Some(values) = selection.refine(&histogram, |n| ranks(n, &qs)) {
            break (values, sums);
        }
    };
    let mut violations = Vec::new();
    let mut differs = |name: &str, want: f64, found: f64, slack: Option<f64>| {
        if want.to_bits() != found.to_bits() && slack.is_none_or(|slack| (want - found).abs() > slack) {
            violations.push(format!(
                "thresholds.json: {whose}: {name} is {want:e}, but the fit rows give {found:e}: the boundaries were fitted on other data"
            ));
        }
    };
    let found_values = interpolate(found, &qs, &at_ranks);
    for (k, (found, want)) in found_values.iter().zip(&boundaries.values).enumerate() {
        differs(&format!("boundary {}", k + 1), *want, *found, None);
    }
    if let Some(median) = found_values.last() {
        differs("the median", boundaries.median, *median, None);
    }
    let (min, max) = sums.iter().fold((f64::MAX, f64::MIN), |(min, max), s| (min.min(s.min), max.max(s.max)));
    differs("the minimum", boundaries.min, min, None);
    differs("the maximum", boundaries.max, max, None);
    let slack = Some(ROUNDING * min.abs().max(max.abs()));
    let n = found as f64;
    differs("the mean", boundaries.mean, sums.iter().map(|s| s.sum).sum::<f64>() / n, slack);
    let std = (sums.iter().map(|s| s.squares).sum::<f64>() / n).sqrt();
    differs("the standard deviation", boundaries.std, std, slack);
    Ok(violations)
}
