//! Empty halves: a fit half or a holdout without rows, in the whole input or for a symbol, by target.

use super::streams::{Stream, TargetRows};
use crate::config::{CLASSIC, Config};
use crate::error::{Error, Result};
use crate::input::InputEntry;
use crate::label::Thresholds;
use crate::output::SymbolEntry;
use crate::printable::grouped;
use crate::time_text::Timestamp;

/// Up to this many symbols get one warning each; more of them share one.
pub const MOST_SINGLE_WARNINGS: usize = 5;

/// Where the boundary time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The setting `fit_until`.
    Setting,
    /// A thresholds file.
    ThresholdsFile,
    /// The data: the start of the file in the middle, or the middle of the only file.
    Middle,
}

impl Origin {
    /// The origin in a run with these settings, whose thresholds are fitted or come from a file.
    pub fn new(config: &Config, fitted: bool) -> Self {
        match (fitted, config.fit_until) {
            (false, _) => Self::ThresholdsFile,
            (true, Some(_)) => Self::Setting,
            (true, None) => Self::Middle,
        }
    }
}

/// The rows of a symbol on both sides of the boundary time, as one target sees them.
#[derive(Debug, Clone, Copy)]
pub struct Halves<'a> {
    /// The symbol.
    symbol: &'a str,
    /// The target.
    target: &'a str,
    /// Number of its rows.
    rows: u64,
    /// Its first row at the boundary time or later.
    boundary_row: u64,
    /// Number of its `fit` rows.
    fit: u64,
    /// Number of its `holdout` rows.
    holdout: u64,
}

impl<'a> Halves<'a> {
    /// The halves of a dataset, by the targets that it has labels of.
    pub fn of_dataset(symbol: &'a SymbolEntry) -> impl Iterator<Item = Self> {
        let SymbolEntry { rows, boundary_row, .. } = *symbol;
        symbol.splits().map(move |(target, splits)| {
            let (fit, holdout) = (splits.fit.rows, splits.holdout.rows);
            Self { symbol: &symbol.symbol, target, rows, boundary_row, fit, holdout }
        })
    }

    /// The halves of a stream before its labels are known: its rows with complete windows of a target.
    pub fn of_stream(stream: &'a Stream, target: &'a str, TargetRows { candidates, splits }: &TargetRows) -> Self {
        let Stream { symbol, tape, boundary_row, .. } = stream;
        let fit = candidates.before(splits.fit_end);
        let holdout = candidates.count() - candidates.before(*boundary_row);
        Self { symbol, target, rows: tape.rows(), boundary_row: *boundary_row, fit, holdout }
    }

    /// Why it has no `fit` rows; `None` if it has some.
    fn no_fit(&self, until: Timestamp) -> Option<String> {
        (self.fit == 0).then(|| match self.boundary_row {
            0 => format!("all of its {} rows come at or after {until}", grouped(self.rows)),
            before => {
                let label = label(self.target);
                format!("none of its {} rows before {until} has {label} that ends before it", grouped(before))
            }
        })
    }

    /// Why it has no `holdout` rows; `None` if it has some.
    fn no_holdout(&self, until: Timestamp) -> Option<String> {
        (self.holdout == 0).then(|| match self.rows - self.boundary_row.min(self.rows) {
            0 => format!("all of its {} rows come before {until}", grouped(self.rows)),
            after => format!("none of its {} rows at or after {until} has {}", grouped(after), label(self.target)),
        })
    }
}

/// A label of this target, in the words of warnings.
fn label(target: &str) -> String {
    if target == CLASSIC { "a label".to_owned() } else { format!("a label of {target}") }
}

/// The first and the last time of the data; `None` without records.
fn span(inputs: &[InputEntry]) -> Option<[Timestamp; 2]> {
    let first = inputs.iter().filter_map(|input| input.first_ts).min()?;
    Some([first, inputs.iter().filter_map(|input| input.last_ts).max()?])
}

/// Refuses to fit on an input whose rows are all at or after the boundary time.
///
/// # Errors
/// [`Error::Data`] with the times of the data and what to change.
pub fn check_fit_half(
    streams: &[Stream],
    until: Timestamp,
    (config, given): (&Config, Option<&Thresholds>),
    inputs: &[InputEntry],
) -> Result<()> {
    let origin = Origin::new(config, given.is_none());
    if origin == Origin::ThresholdsFile || streams.iter().any(|stream| stream.boundary_row > 0) {
        return Ok(());
    }
    let Some([first, last]) = span(inputs) else { return Ok(()) };
    let within = format!("set fit_until to a time within the data, which is from {first} to {last}");
    Err(match origin {
        Origin::Setting => Error::data(
            format!("the fit half is empty: no row comes before fit_until = {until}"),
            format!("{within}, or leave it out to fit on the first half of the files"),
        ),
        _ => Error::data(
            format!("the fit half is empty: no row comes before {until}, where the second half of the input begins"),
            format!("files that start at the same time, such as files split by symbol, have no first half: {within}"),
        ),
    })
}

/// Warns of an empty holdout, and of symbols without rows in a half in which others have rows. Data to which thresholds
/// from a file are applied may lack a fit half. A warning that applies to several targets is given once.
pub fn empty_halves(halves: &[Halves<'_>], until: Timestamp, origin: Origin, inputs: &[InputEntry]) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    let mut targets: Vec<&str> = Vec::new();
    for half in halves {
        if !targets.contains(&half.target) {
            targets.push(half.target);
        }
    }
    for target in targets {
        let of_target: Vec<Halves<'_>> = halves.iter().filter(|half| half.target == target).copied().collect();
        for warning in empty_halves_of(target, &of_target, until, origin, inputs) {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    warnings
}

fn empty_halves_of(
    target: &str,
    halves: &[Halves<'_>],
    until: Timestamp,
    origin: Origin,
    inputs: &[InputEntry],
) -> Vec<String> {
    let mut warnings = Vec::new();
    if halves.iter().any(|half| half.fit > 0) {
        warnings.extend(without("fit", halves, |half| half.no_fit(until)));
    }
    if halves.iter().any(|half| half.holdout > 0) {
        warnings.extend(without("holdout", halves, |half| half.no_holdout(until)));
    } else if let Some([_, last]) = span(inputs) {
        let after = halves.iter().any(|half| half.boundary_row < half.rows);
        let what = match origin {
            Origin::Setting => format!("fit_until = {until}"),
            Origin::ThresholdsFile => format!("the boundary time of the thresholds file, {until}"),
            Origin::Middle => format!("the boundary time, {until}"),
        };
        let why = match after {
            true => format!("no row at or after {what} has {}, and the data ends at {last}", label(target)),
            false => format!("no row comes at or after {what}, and the data ends at {last}"),
        };
        let cure = match origin {
            Origin::ThresholdsFile => "give later files",
            _ => "to have rows to test on, give later files or set fit_until to an earlier time",
        };
        warnings.push(format!("the holdout is empty: {why}; {cure}"));
    }
    warnings
}

/// Warns of the symbols that have no rows of a split; `reason` says why.
fn without(split: &str, halves: &[Halves<'_>], reason: impl Fn(&Halves<'_>) -> Option<String>) -> Vec<String> {
    let empty: Vec<(&str, String)> = halves.iter().filter_map(|half| Some((half.symbol, reason(half)?))).collect();
    match empty.as_slice() {
        [(symbol, reason), ..] if empty.len() > MOST_SINGLE_WARNINGS => vec![format!(
            "{} of {} symbols have no {split} rows, such as {symbol}: {reason}",
            grouped(empty.len() as u64),
            grouped(halves.len() as u64)
        )],
        few => few.iter().map(|(symbol, reason)| format!("{symbol}: has no {split} rows: {reason}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: Timestamp = Timestamp(1_712_102_400_000_000_000);

    fn half(symbol: &str, boundary_row: u64, [fit, holdout]: [u64; 2]) -> Halves<'_> {
        Halves { symbol, target: CLASSIC, rows: 1_000, boundary_row, fit, holdout }
    }

    #[test]
    fn targets_without_a_half_are_named_where_it_depends_on_them() {
        let of = |target, half| Halves { target, ..half };
        let halves = [
            half("late", 0, [0, 900]),
            of("long", half("late", 0, [0, 100])),
            half("both", 500, [400, 400]),
            of("long", half("both", 500, [100, 0])),
        ];
        let until = "2024-04-03T00:00:00.000000000Z";
        assert_eq!(
            empty_halves(&halves, UNTIL, Origin::Middle, &[]),
            [
                format!("late: has no fit rows: all of its 1,000 rows come at or after {until}"),
                format!("both: has no holdout rows: none of its 500 rows at or after {until} has a label of long"),
            ]
        );
    }

    #[test]
    fn symbols_without_a_half_that_others_have_are_named_with_the_reason() {
        let halves = [
            half("both", 500, [400, 400]),
            half("late", 0, [0, 900]),
            half("early", 1_000, [900, 0]),
            half("brief", 30, [0, 870]),
            half("ending", 970, [870, 0]),
        ];
        let until = "2024-04-03T00:00:00.000000000Z";
        assert_eq!(
            empty_halves(&halves, UNTIL, Origin::Middle, &[]),
            [
                format!("late: has no fit rows: all of its 1,000 rows come at or after {until}"),
                format!("brief: has no fit rows: none of its 30 rows before {until} has a label that ends before it"),
                format!("early: has no holdout rows: all of its 1,000 rows come before {until}"),
                format!("ending: has no holdout rows: none of its 30 rows at or after {until} has a label"),
            ]
        );
        let mut many = vec![half("both", 500, [400, 400])];
        many.extend([half("late", 0, [0, 900]); 6]);
        assert_eq!(
            empty_halves(&many, UNTIL, Origin::Middle, &[]),
            [format!("6 of 7 symbols have no fit rows, such as late: all of its 1,000 rows come at or after {until}")]
        );
        // New data for old thresholds has only a holdout.
        assert!(empty_halves(&[half("late", 0, [0, 900])], UNTIL, Origin::ThresholdsFile, &[]).is_empty());
    }
}
