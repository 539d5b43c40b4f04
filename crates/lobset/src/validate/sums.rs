//! Recomputes the sums of a dataset the plain way: value by value, in the order of the rows.

use std::collections::BTreeSet;
use std::path::Path;

use super::facts::{GroupFacts, TargetFacts};
use super::fields::{Want, divisor, is_float};
use super::reading::unreadable;
use super::violations::Violations;
use crate::config::{Config, PriceType};
use crate::dataset::{Moments, StoredSums};
use crate::error::Result;
use crate::output::{DatasetEntry, MomentsEntry, names};

/// The largest number that a decimal of 38 digits holds.
const MOST: u128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

/// What the sums of a dataset must match before any row is read.
pub(super) struct SumsTerms<'a> {
    pub config: &'a Config,
    pub version: &'a str,
    /// The names of all input files, in order.
    pub inputs: &'a [String],
    /// The numeric columns of the datasets.
    pub columns: Vec<&'a str>,
}

impl SumsTerms<'_> {
    /// Reads the sums of a dataset of `symbol`.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when they cannot be read, or are not those of such a dataset.
    pub(super) fn read(&self, path: &Path, symbol: &str, entry: &DatasetEntry) -> Result<Moments> {
        let moments = Moments::read(path)?;
        self.check(&moments, symbol, entry).map_err(|reason| unreadable(path, reason))?;
        Ok(moments)
    }

    fn check(&self, moments: &Moments, symbol: &str, entry: &DatasetEntry) -> Result<(), String> {
        if moments.symbol() != symbol || moments.version() != self.version {
            return Err(format!("its metadata does not name the symbol {symbol:?} and the version {}", self.version));
        }
        let suffixes: Vec<String> = self.config.all_targets().iter().map(|target| target.column("")).collect();
        if moments.suffixes() != suffixes {
            return Err("its targets are not those of the settings".to_owned());
        }
        if !moments.columns().iter().eq(&self.columns) {
            return Err("its columns are not the numeric columns of the dataset".to_owned());
        }
        let fixed = self.config.price_type == PriceType::Fixed;
        for (name, found) in moments.columns().iter().zip(moments.divisors()) {
            let want = divisor(name, fixed);
            if *found != want {
                return Err(format!("{name}: its divisor is {found}, not {want}"));
            }
        }
        let mut inputs = self.inputs.iter();
        for (place, file) in moments.files().iter().enumerate() {
            if !inputs.any(|input| input == file) {
                return Err(format!("{file:?} is not one of the inputs, or not in their order"));
            }
            if moments.rows_of(place) == 0 {
                return Err(format!("{file}: has no rows"));
            }
        }
        let rows = (0..moments.files().len()).try_fold(0_u64, |all, file| all.checked_add(moments.rows_of(file)));
        if rows != Some(entry.rows) {
            return Err(format!("its rows of all inputs are not the {} of the dataset", entry.rows));
        }
        Ok(())
    }
}

/// A sum of floats without rounding (Shewchuk, 1997), as numbers that do not overlap, the smallest first.
#[derive(Clone, Default)]
struct ExactFloats(Vec<f64>);

impl ExactFloats {
    fn add(&mut self, mut value: f64) {
        let mut kept = 0;
        for place in 0..self.0.len() {
            let other = self.0[place];
            let (large, small) = if value.abs() < other.abs() { (other, value) } else { (value, other) };
            let sum = large + small;
            let lost = small - (sum - large);
            if lost != 0.0 {
                self.0[kept] = lost;
                kept += 1;
            }
            value = sum;
        }
        self.0.truncate(kept);
        self.0.push(value);
    }

    /// The sum, rounded once to the nearest float, ties to even.
    fn nearest(&self) -> f64 {
        let mut parts = self.0.iter().rev().copied();
        let Some(mut sum) = parts.next() else { return 0.0 };
        while let Some(next) = parts.next() {
            let before = sum;
            sum = before + next;
            let lost = next - (sum - before);
            if lost != 0.0 {
                // If it is half a step, the remaining parts decide.
                if let Some(more) = parts.next()
                    && (lost < 0.0) == (more < 0.0)
                {
                    let away = sum + 2.0 * lost;
                    if away - sum == 2.0 * lost {
                        sum = away;
                    }
                }
                break;
            }
        }
        sum
    }
}

/// The sums of a column over some rows.
#[derive(Clone, Default)]
struct PlainSums {
    count: u64,
    /// The sum, which fits for any number of rows, and the sum of squares.
    sum: i128,
    squares: Option<u128>,
    floats: [ExactFloats; 2],
}

impl PlainSums {
    fn new() -> Self {
        Self { squares: Some(0), ..Self::default() }
    }

    fn add_integer(&mut self, value: i128) {
        self.count += 1;
        self.sum += value;
        let square = value.unsigned_abs().checked_mul(value.unsigned_abs());
        self.squares = self.squares.zip(square).and_then(|(sum, square)| sum.checked_add(square));
    }

    fn add(&mut self, want: Want) {
        match want {
            Want::Price(value) | Want::Integer(value) => self.add_integer(value.into()),
            Want::Mid2(value) => self.add_integer(value),
            Want::Float(value) => {
                self.count += 1;
                let square = value * value;
                self.floats[0].add(value);
                self.floats[1].add(square);
                self.floats[1].add(value.mul_add(value, -square));
            }
            Want::Null | Want::Time(_) | Want::Letter(_) | Want::Symbol => {}
        }
    }

    /// These sums as they must be stored.
    fn stored(&self, name: &str) -> StoredSums {
        let float = is_float(name);
        let decimal = |value: i128| Some(value).filter(|value| !float && value.unsigned_abs() <= MOST);
        let squares = self.squares.filter(|squares| *squares <= MOST).and_then(|squares| i128::try_from(squares).ok());
        StoredSums {
            count: self.count,
            integers: [decimal(self.sum), squares.and_then(decimal)],
            floats: [0, 1].map(|place| float.then(|| self.floats[place].nearest())),
        }
    }
}

/// What differs between two sums, compared to the last bit.
fn difference(found: &StoredSums, want: &StoredSums, counts_only: bool) -> Option<String> {
    fn text<T: std::fmt::Display>(value: Option<T>) -> String {
        value.map_or_else(|| "null".to_owned(), |value| value.to_string())
    }
    if found.count != want.count {
        return Some(format!("count is {}, but the rows have {}", found.count, want.count));
    }
    if counts_only {
        return None;
    }
    for (place, name) in ["sum", "sum of squares"].into_iter().enumerate() {
        let (integer, integers) = (found.integers[place], want.integers[place]);
        if integer != integers {
            return Some(format!("{name} is {}, but the rows give {}", text(integer), text(integers)));
        }
        let (float, floats) = (found.floats[place], want.floats[place]);
        if float.map(f64::to_bits) != floats.map(f64::to_bits) {
            return Some(format!("{name} is {}, but the rows give {}", text(float), text(floats)));
        }
    }
    None
}

/// Sums of some columns of a dataset, file by file in step with its rows.
pub(super) struct SumsCheck<'a> {
    entry: &'a MomentsEntry,
    moments: Moments,
    /// The columns that are added up, by their place in the file of sums.
    columns: Vec<usize>,
    /// Whether values are unknown, so that only the rows are counted.
    counts_only: bool,
    /// The current input file, and how many of its rows are still to come.
    file: usize,
    left: u64,
    /// By set and column.
    sums: Vec<Vec<PlainSums>>,
    violations: Violations,
}

impl<'a> SumsCheck<'a> {
    /// Adds up all columns.
    pub(super) fn all(entry: &'a MomentsEntry, moments: Moments) -> Self {
        Self::new(entry, moments, |_| true, false)
    }

    /// Adds up what [`take_facts`](Self::take_facts) knows: the quotes, or only the number of rows if they are not
    /// read.
    pub(super) fn of_facts(entry: &'a MomentsEntry, moments: Moments, quotes: bool) -> Self {
        Self::new(entry, moments, |name| name == names::MID_PRICE || quotes && is_best(name), !quotes)
    }

    fn new(entry: &'a MomentsEntry, moments: Moments, wanted: impl Fn(&str) -> bool, counts_only: bool) -> Self {
        let columns = (0..moments.columns().len()).filter(|place| wanted(&moments.columns()[*place])).collect();
        let (left, violations) = (moments.rows_of(0), Violations::default());
        let mut check = Self { entry, moments, columns, counts_only, file: 0, left, sums: Vec::new(), violations };
        check.clear();
        check
    }

    fn clear(&mut self) {
        self.sums = vec![vec![PlainSums::new(); self.columns.len()]; self.moments.sets()];
    }

    /// The names of the columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|place| self.moments.columns()[*place].as_str())
    }

    /// The name of the input file that the next row comes from.
    pub(super) fn input(&self) -> Option<&str> {
        self.moments.files().get(self.file).map(String::as_str)
    }

    /// Takes the values of the next row, and whether it is a fit row of each target.
    pub(super) fn take(&mut self, fit: impl Iterator<Item = bool>, values: impl Iterator<Item = Want> + Clone) {
        for (set, within) in std::iter::once(true).chain(fit).enumerate() {
            let Some(sums) = self.sums.get_mut(set).filter(|_| within) else { continue };
            sums.iter_mut().zip(values.clone()).for_each(|(sums, value)| sums.add(value));
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.close();
        }
    }

    /// Compares the sums of a file, and moves on to the next.
    fn close(&mut self) {
        let Some(input) = self.moments.files().get(self.file) else { return };
        let mut different = BTreeSet::new();
        for (set, sums) in self.sums.iter().enumerate() {
            for (sums, place) in sums.iter().zip(&self.columns) {
                let name = &self.moments.columns()[*place];
                let found = &self.moments.stored(self.file, set)[*place];
                // A column that differs over all rows differs over fit rows too.
                if let Some(reason) = difference(found, &sums.stored(name), self.counts_only)
                    && different.insert(place)
                {
                    let rows = match set.checked_sub(1).map(|target| self.moments.suffixes()[target].as_str()) {
                        None => String::new(),
                        Some(suffix) => format!(", fit rows{}", suffix.replacen('_', " of ", 1)),
                    };
                    self.violations.add(|| format!("{}: {input}: {name}{rows}: {reason}", self.entry.file));
                }
            }
        }
        self.file += 1;
        self.left = self.moments.rows_of(self.file);
        self.clear();
    }

    /// Records that the next row comes from another input file than the sums say.
    pub(super) fn misplaced(&mut self, row: u64, input: &str) {
        let counted = self.input().unwrap_or("no input").to_owned();
        self.violations.add(|| format!("{}: row {row} comes from {input}, but counts for {counted}", self.entry.file));
    }

    /// Takes the facts of the next row group.
    pub(super) fn take_facts(&mut self, facts: &GroupFacts) {
        if self.counts_only {
            return self.count_facts(facts);
        }
        let quotes = facts.mids.iter().zip(&facts.spreads);
        let mut quotes = quotes.map(|(mid2, spread)| [i128::from(*mid2), *spread]);
        for row in 0..facts.row_numbers.len() {
            let fit = facts.targets.iter().map(|target| target.labels[row].is_fit());
            let [mid2, spread] = quotes.next().unwrap_or_default();
            // In the order of their columns.
            let quotes = [(mid2 - spread) / 2, (mid2 + spread) / 2, mid2];
            self.take(fit, quotes.into_iter().map(Want::Mid2));
        }
    }

    /// Counts the rows of the next row group.
    fn count_facts(&mut self, facts: &GroupFacts) {
        let mut from = 0;
        while from < facts.row_numbers.len() {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX).max(1);
            let rows = from..facts.row_numbers.len().min(from.saturating_add(left));
            let of_target = |target: &TargetFacts| target.labels[rows.clone()].iter().filter(|l| l.is_fit()).count();
            let fit = facts.targets.iter().map(of_target);
            for (sums, count) in self.sums.iter_mut().zip(std::iter::once(rows.len()).chain(fit)) {
                sums.iter_mut().for_each(|sums| sums.count += count as u64);
            }
            self.left = self.left.saturating_sub(rows.len() as u64);
            if self.left == 0 {
                self.close();
            }
            from = rows.end;
        }
    }

    /// The violations found, one line each.
    pub(super) fn finish(self) -> Vec<String> {
        self.violations.lines()
    }
}

/// Whether a column is one of the best prices.
fn is_best(name: &str) -> bool {
    [0, 1].iter().any(|side| name == names::of_level("px", *side, 0))
}
