//! The leak check: the boundaries follow from the datasets' own fit rows, bit for bit.

use super::definition::quantile;
use super::fit_counts::{FitCounts, Intervals, TargetFitCounts};
use crate::config::{CLASSIC, Classes, Target};
use crate::label::{Boundaries, Thresholds};
use crate::output::Manifest;

/// Whether the datasets contain all rows that the boundaries were fitted on.
fn applies(manifest: &Manifest) -> bool {
    manifest.thresholds.fitted && !manifest.config.drop_unbalanced
}

/// Compares the boundaries of every target with the counts of the datasets' fit movements. Returns the violations; none
/// if the datasets do not contain all rows that the boundaries were fitted on.
pub(super) fn check(manifest: &Manifest, thresholds: &Thresholds, counts: &[TargetFitCounts]) -> Vec<String> {
    let mut violations = Vec::new();
    if !applies(manifest) {
        return violations;
    }
    for (target, counted) in manifest.config.all_targets().iter().zip(counts) {
        let Some(fitted) = thresholds.of(&target.name) else { continue };
        let of_target = match target.name.as_str() {
            CLASSIC => String::new(),
            name => format!("target {name:?}, "),
        };
        let mut compare = |whose: &str, boundaries: &Boundaries, counts: Option<&FitCounts>| {
            violations.extend(compare(&format!("{of_target}{whose}"), target, boundaries, counts));
        };
        if let Some(boundaries) = &fitted.global {
            compare("all symbols", boundaries, counted.global.as_ref());
        }
        for (symbol, _) in manifest.datasets() {
            if let Some(boundaries) = fitted.symbols.get(&symbol.symbol) {
                compare(&format!("symbol {:?}", symbol.symbol), boundaries, counted.symbols.get(&symbol.symbol));
            }
        }
    }
    violations
}

/// Tolerance for the mean and the standard deviation, as a share of the largest absolute movement. Both sides add up parts
/// of at most 2^15 numbers, then the parts; each addition is off by at most 2^-53 of its result.
const ROUNDING: f64 = 1e-11;

/// Compares boundaries and what `thresholds.json` says of the fit movements with their counts.
fn compare(whose: &str, target: &Target, boundaries: &Boundaries, counts: Option<&FitCounts>) -> Vec<String> {
    let found = counts.map_or(0, |counts| counts.movements.count());
    let Some(FitCounts { movements, absolute, sum, squares, spreads, .. }) =
        counts.filter(|_| found == boundaries.fit_rows)
    else {
        return vec![format!(
            "thresholds.json: {whose}: fitted on {} rows, but the datasets contain {found} such fit rows",
            boundaries.fit_rows
        )];
    };
    let mut violations = Vec::new();
    let mut check = |name: &str, want: f64, given: Result<f64, String>, slack: Option<f64>| {
        let text = match given {
            Ok(given) if given.to_bits() == want.to_bits() => return,
            Ok(given) if slack.is_some_and(|slack| (want - given).abs() <= slack) => return,
            Ok(given) => format!("the fit rows give {given:e}"),
            Err(text) => text,
        };
        violations.push(format!(
            "thresholds.json: {whose}: {name} is {want:e}, but {text}: the boundaries were fitted on other data"
        ));
    };
    // A value that is not a quantile may leave the quantile unknown.
    let quantile_of = |values: &Intervals, want: f64, q: f64, what: &str| {
        let unknown = || format!("{} of {found} fit rows are below it, so it is not their {what}", values.below(want));
        quantile(found, q, |rank| values.at(rank)).ok_or_else(unknown)
    };
    let largest = match &target.classes {
        Classes::Quantiles { nbins } => {
            for (k, want) in (1..*nbins).zip(&boundaries.values) {
                let q = f64::from(k) / f64::from(*nbins);
                let given = quantile_of(movements, *want, q, &format!("quantile {k}/{nbins}"));
                check(&format!("boundary {k}"), *want, given, None);
            }
            None
        }
        Classes::Share { stationary } => {
            let want = boundaries.values.first().map_or(0.0, |least| -least);
            let what = format!("quantile {stationary} by absolute value");
            absolute.as_ref().map(|values| quantile_of(values, want, *stationary, &what))
        }
        // A mid is half of mid2.
        Classes::Spread { multiple } => {
            spreads.map(|[spreads, mids]| Ok(multiple * ((2 * spreads) as f64 / mids as f64)))
        }
        Classes::Fixed { .. } | Classes::Touch => None,
    };
    if let (Some(largest), [first, second]) = (largest, boundaries.values.as_slice()) {
        check("boundary 1", *first, largest.clone().map(|largest| -largest), None);
        check("boundary 2", *second, largest.map(f64::next_up), None);
    }
    check("the median", boundaries.median, quantile_of(movements, boundaries.median, 0.5, "median"), None);
    let [min, max] = movements.ends();
    check("the minimum", boundaries.min, Ok(min), None);
    check("the maximum", boundaries.max, Ok(max), None);
    let slack = Some(ROUNDING * min.abs().max(max.abs()));
    check("the mean", boundaries.mean, Ok(sum / found as f64), slack);
    check("the standard deviation", boundaries.std, Ok((squares / found as f64).sqrt()), slack);
    violations
}
