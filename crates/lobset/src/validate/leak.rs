//! The leak check: the boundaries follow from the datasets' own fit rows, bit for bit.

use super::definition::quantile;
use super::fit_counts::{FitCounts, Sorted, TargetFitCounts};
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

/// Tolerance for the mean and the standard deviation, as a share of the largest absolute movement: sums of at most 2^15
/// numbers, each off by 2^-53, and the sums of those sums.
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
    let other_data = "the boundaries were fitted on other data";
    let mut differs = |name: &str, want: f64, found: f64, slack: Option<f64>| {
        if want.to_bits() != found.to_bits() && slack.is_none_or(|slack| (want - found).abs() > slack) {
            violations.push(format!(
                "thresholds.json: {whose}: {name} is {want:e}, but the fit rows give {found:e}: {other_data}"
            ));
        }
    };
    let mut unknown = Vec::new();
    let mut quantile_of = |sorted: &Sorted, name: &str, want: f64, q: f64| {
        let value = quantile(found, q, |rank| sorted.at(rank));
        if value.is_none() {
            unknown.push(format!(
                "thresholds.json: {whose}: {name} is {want:e}, but of {found} fit rows {} are below it, which is not a share of {q}: {other_data}",
                sorted.below(want)
            ));
        }
        value
    };
    let largest = match &target.classes {
        Classes::Quantiles { nbins } => {
            for (k, want) in (1..*nbins).zip(&boundaries.values) {
                let name = format!("boundary {k}");
                let value = quantile_of(movements, &name, *want, f64::from(k) / f64::from(*nbins));
                value.into_iter().for_each(|value| differs(&name, *want, value, None));
            }
            None
        }
        Classes::Share { stationary } => {
            let want = boundaries.values.first().map_or(0.0, |least| -least);
            absolute
                .as_ref()
                .and_then(|sorted| quantile_of(sorted, "the largest stationary movement", want, *stationary))
        }
        // A mid is half of mid2.
        Classes::Spread { multiple } => spreads.map(|[spreads, mids]| multiple * ((2 * spreads) as f64 / mids as f64)),
        Classes::Fixed { .. } | Classes::Touch => None,
    };
    if let Some(largest) = largest {
        for (k, (want, value)) in boundaries.values.iter().zip([-largest, largest.next_up()]).enumerate() {
            differs(&format!("boundary {}", k + 1), *want, value, None);
        }
    }
    if let Some(median) = quantile_of(movements, "the median", boundaries.median, 0.5) {
        differs("the median", boundaries.median, median, None);
    }
    let [min, max] = movements.ends();
    differs("the minimum", boundaries.min, min, None);
    differs("the maximum", boundaries.max, max, None);
    let slack = Some(ROUNDING * min.abs().max(max.abs()));
    differs("the mean", boundaries.mean, sum / found as f64, slack);
    differs("the standard deviation", boundaries.std, (squares / found as f64).sqrt(), slack);
    violations.extend(unknown);
    violations
}
