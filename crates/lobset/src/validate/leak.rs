//! The leak check: the quantiles of the datasets' own fit rows are the boundaries, bit for bit.

use std::fs::File;
use std::io::Write;

use crate::error::{Error, Result};
use crate::label::{Fit, Histogram, Selection, Sums, Thresholds, inner_quantiles, interpolate, ranks};
use crate::output::Manifest;
use crate::run::{Pool, map_ordered};
use crate::tape::{read_movements, to_bytes};

/// Movements that one task counts.
const TASK: u64 = 1 << 15;

/// Gathers fit movements in a file without a name, so that memory stays bounded, and selects from it.
pub(super) struct LeakCheck<'a> {
    thresholds: &'a Thresholds,
    nbins: u16,
    threads: usize,
    wanted: bool,
    /// Movements that share a set of boundaries: of all symbols, or of the one named.
    spill: Option<(String, Spill)>,
    violations: Vec<String>,
}

struct Spill {
    file: File,
    count: u64,
}

fn fail(e: std::io::Error) -> Error {
    Error::Output {
        path: std::env::temp_dir(),
        message: format!("cannot keep movements for the leak check: {e}"),
        help: Some("set TMPDIR to a folder with room for 8 bytes for each fit row".to_owned()),
    }
}

impl<'a> LeakCheck<'a> {
    pub(super) fn new(manifest: &Manifest, thresholds: &'a Thresholds, threads: usize) -> Self {
        let wanted = manifest.thresholds.fitted && !manifest.config.drop_unbalanced;
        Self { thresholds, nbins: manifest.config.nbins, threads, wanted, spill: None, violations: Vec::new() }
    }

    /// The movements that follow belong to this symbol.
    pub(super) fn begin(&mut self, symbol: &str) -> Result<()> {
        if self.thresholds.global.is_none() {
            self.conclude()?;
        }
        if self.wanted && self.spill.is_none() {
            let file = tempfile::tempfile().map_err(fail)?;
            self.spill = Some((symbol.to_owned(), Spill { file, count: 0 }));
        }
        Ok(())
    }

    pub(super) fn take(&mut self, movements: &[f64]) -> Result<()> {
        let Some((_, spill)) = &mut self.spill else { return Ok(()) };
        spill.file.write_all(&to_bytes(movements)).map_err(fail)?;
        spill.count += movements.len() as u64;
        Ok(())
    }

    /// Returns the violations found.
    pub(super) fn finish(mut self) -> Result<Vec<String>> {
        self.conclude()?;
        Ok(self.violations)
    }

    /// Selects the quantiles of what has been gathered, and compares.
    fn conclude(&mut self) -> Result<()> {
        let Some((symbol, spill)) = self.spill.take() else { return Ok(()) };
        let (whose, fit) = match &self.thresholds.global {
            Some(fit) => ("all symbols".to_owned(), fit),
            None => match self.thresholds.symbols.get(&symbol) {
                Some(fit) => (format!("symbol {symbol:?}"), fit),
                None => return Ok(()),
            },
        };
        let tasks: Vec<u64> = (0..spill.count).step_by(TASK as usize).collect();
        let count = |selection: &Selection| {
            let counters = Pool::new();
            let mut sums = Vec::with_capacity(tasks.len());
            let work = |from: &u64| {
                let mut values = Vec::new();
                let range = *from..(from + TASK).min(spill.count);
                read_movements(&spill.file, range, &mut values).map_err(fail)?;
                counters.lend(
                    || selection.empty(),
                    |histogram| {
                        selection.count(&values, histogram);
                        Ok(Sums::of(&values, fit.mean))
                    },
                )
            };
            map_ordered(self.threads, tasks.len(), &tasks, work, |found| {
                sums.push(found);
                Ok(())
            })?;
            Ok((selection.merge(&counters.into_all()), sums))
        };
        self.violations.extend(compare(&whose, self.nbins, fit, spill.count, count)?);
        Ok(())
    }
}

/// How far a mean and a deviation may lie from those in the file, as a share of the largest movement: sums of 2^15 numbers at
/// most, each off by 2^-53, and the sums of those sums.
const ROUNDING: f64 = 1e-11;

/// Selects the quantiles of the fit movements that the datasets hold, each pass counted by `count` with the sums around the
/// file's mean, and compares.
pub(crate) fn compare(
    whose: &str,
    nbins: u16,
    fit: &Fit,
    found: u64,
    count: impl Fn(&Selection) -> Result<(Histogram, Vec<Sums>)>,
) -> Result<Vec<String>> {
    if found != fit.fit_rows {
        return Ok(vec![format!(
            "thresholds.json: {whose}: fitted on {} rows, but the datasets hold {found} such fit rows",
            fit.fit_rows
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
                "thresholds.json: {whose}: {name} is {want:e}, but the fit rows give {found:e}: something else was fitted on"
            ));
        }
    };
    let found_values = interpolate(found, &qs, &at_ranks);
    for (k, (found, want)) in found_values.iter().zip(&fit.boundaries).enumerate() {
        differs(&format!("boundary {}", k + 1), *want, *found, None);
    }
    if let Some(median) = found_values.last() {
        differs("the median", fit.median, *median, None);
    }
    let (min, max) = sums.iter().fold((f64::MAX, f64::MIN), |(min, max), s| (min.min(s.min), max.max(s.max)));
    differs("the minimum", fit.min, min, None);
    differs("the maximum", fit.max, max, None);
    let slack = Some(ROUNDING * min.abs().max(max.abs()));
    let n = found as f64;
    differs("the mean", fit.mean, sums.iter().map(|s| s.sum).sum::<f64>() / n, slack);
    let std = (sums.iter().map(|s| s.squares).sum::<f64>() / n).sqrt();
    differs("the standard deviation", fit.std, std, slack);
    Ok(violations)
}
