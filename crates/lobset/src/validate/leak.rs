//! The leak check: the boundaries follow from the datasets' own fit rows, bit for bit.

use std::ops::Range;

use crate::config::{CLASSIC, Classes, Target};
use crate::error::Result;
use crate::label::{Boundaries, Histogram, MovementSums, Selection, Thresholds, inner_quantiles, interpolate, ranks};
use crate::output::Manifest;

/// Whether the datasets contain all rows that the boundaries were fitted on.
pub(super) fn applies(manifest: &Manifest) -> bool {
    manifest.thresholds.fitted && !manifest.config.drop_unbalanced
}

/// Compares the boundaries of every target with the fit movements of the datasets. `fitted` is the number of these in
/// each dataset, by target. `spreads` has the sums of spreads and of mid2 over their rows, by dataset; it is empty if
/// they were not read. Returns the violations; none if the check does not apply ([`applies`]).
///
/// # Errors
/// Any error of `count`.
pub(super) fn check(
    manifest: &Manifest,
    thresholds: &Thresholds,
    (fitted, spreads): (&[Vec<u64>], &[Vec<[i128; 2]>]),
    count: impl Fn(usize, Range<usize>, &[Selection], Option<f64>) -> Result<(Vec<Histogram>, Vec<MovementSums>)>,
) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    if !applies(manifest) {
        return Ok(violations);
    }
    for ((place, target), fitted) in manifest.config.all_targets().iter().enumerate().zip(fitted) {
        let of_target = match target.name.as_str() {
            CLASSIC => String::new(),
            name => format!("target {name:?}, "),
        };
        let mut compare = |whose: &str, boundaries: &Boundaries, datasets: Range<usize>| -> Result<()> {
            let found = fitted[datasets.clone()].iter().sum();
            let count = |selections: &[Selection], mean| count(place, datasets.clone(), selections, mean);
            let add = |[s, m]: [i128; 2], [spread, mid2]: [i128; 2]| [s + spread, m + mid2];
            let of_target_rows = |spreads: &[Vec<[i128; 2]>]| spreads.iter().map(|of| of[place]).fold([0; 2], add);
            let sums = spreads.get(datasets.clone()).map(of_target_rows);
            violations.extend(compare(&format!("{of_target}{whose}"), target, boundaries, (found, sums), count)?);
            Ok(())
        };
        let Some(of) = thresholds.of(&target.name) else { continue };
        if let Some(boundaries) = &of.global {
            compare("all symbols", boundaries, 0..fitted.len())?;
        }
        for (place, (symbol, _)) in manifest.datasets().enumerate() {
            if let Some(boundaries) = of.symbols.get(&symbol.symbol) {
                compare(&format!("symbol {:?}", symbol.symbol), boundaries, place..place + 1)?;
            }
        }
    }
    Ok(violations)
}

/// Tolerance for the mean and the standard deviation, as a share of the largest absolute movement: sums of at most 2^15
/// numbers, each off by 2^-53, and the sums of those sums.
const ROUNDING: f64 = 1e-11;

/// Selects the quantiles of the datasets' fit movements and compares them with the boundaries; each pass is counted by
/// `count`, the first one with the sums around the mean in the file.
fn compare(
    whose: &str,
    target: &Target,
    boundaries: &Boundaries,
    (found, spreads): (u64, Option<[i128; 2]>),
    count: impl Fn(&[Selection], Option<f64>) -> Result<(Vec<Histogram>, Vec<MovementSums>)>,
) -> Result<Vec<String>> {
    if found != boundaries.fit_rows {
        return Ok(vec![format!(
            "thresholds.json: {whose}: fitted on {} rows, but the datasets contain {found} such fit rows",
            boundaries.fit_rows
        )]);
    }
    let mut qs = match target.classes {
        Classes::Quantiles { nbins } => inner_quantiles(nbins),
        _ => Vec::new(),
    };
    qs.push(0.5);
    let (mut selections, mut qs) = (vec![Selection::new()], vec![qs]);
    if let Classes::Share { stationary } = target.classes {
        selections.push(Selection::of_absolute_values());
        qs.push(vec![stationary]);
    }
    let (mut histograms, sums) = count(&selections, Some(boundaries.mean))?;
    let mut selected = loop {
        let refine = |((selection, histogram), qs): ((&mut Selection, &Histogram), &Vec<f64>)| {
            let values = selection.refine(histogram, |n| ranks(n, qs))?;
            Some(interpolate(found, qs, &values))
        };
        // All of them end with the same pass.
        let values: Vec<_> = selections.iter_mut().zip(&histograms).zip(&qs).filter_map(refine).collect();
        if !values.is_empty() {
            break values.into_iter();
        }
        histograms = count(&selections, None)?.0;
    };
    let mut found_values = selected.next().unwrap_or_default();
    let median = found_values.pop();
    found_values.extend(selected.flatten().flat_map(|largest| [-largest, largest.next_up()]));
    if let (Classes::Spread { multiple }, Some([spreads, mids])) = (&target.classes, spreads) {
        // A mid is half of mid2.
        let largest = multiple * ((2 * spreads) as f64 / mids as f64);
        found_values.extend([-largest, largest.next_up()]);
    }
    let mut violations = Vec::new();
    let mut differs = |name: &str, want: f64, found: f64, slack: Option<f64>| {
        if want.to_bits() != found.to_bits() && slack.is_none_or(|slack| (want - found).abs() > slack) {
            violations.push(format!(
                "thresholds.json: {whose}: {name} is {want:e}, but the fit rows give {found:e}: the boundaries were fitted on other data"
            ));
        }
    };
    for (k, (found, want)) in found_values.iter().zip(&boundaries.values).enumerate() {
        differs(&format!("boundary {}", k + 1), *want, *found, None);
    }
    if let Some(median) = median {
        differs("the median", boundaries.median, median, None);
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
