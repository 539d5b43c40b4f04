//! The part of a label that needs no forecast: the known parts of movements, by the plain definition.

use super::definition::{class, split_by_row};
use crate::cast::whole_unsigned;
use crate::config::{Classes, Target};
use crate::output::{SplitEntry, SymbolEntry, TargetEntry, names};

/// Tolerance of `known_share`: both sides round a sum for each row, in different orders.
const ROUNDING: f64 = 1e-9;

/// What the manifest says about a split.
struct Told {
    name: &'static str,
    rows: u64,
    accuracy: Option<f64>,
}

/// Counts of one split.
#[derive(Clone, Copy, Default)]
struct SplitCounts {
    rows: u64,
    /// Rows whose class is that of their known part.
    right: u64,
}

/// The known parts of a target's labelled rows, in any order.
pub(super) struct KnownParts {
    /// The column of the movements.
    column: String,
    boundaries: Vec<f64>,
    /// Whether classes follow from the touch of a barrier.
    touch: bool,
    fit_end: u64,
    boundary_row: u64,
    told: [Told; 3],
    told_share: Option<f64>,
    counted: [SplitCounts; 3],
    fit: Correlation,
}

impl KnownParts {
    /// No rows of a target of a symbol; `None` if the symbol's dataset has no labels of the target.
    pub(super) fn new(target: &Target, symbol: &SymbolEntry, entry: &TargetEntry, boundaries: &[f64]) -> Option<Self> {
        let told = |(name, split): (&'static str, &SplitEntry)| Told {
            name,
            rows: split.rows,
            accuracy: split.known_accuracy,
        };
        Some(Self {
            column: target.column(names::PRICE_MOVEMENT),
            boundaries: boundaries.to_vec(),
            touch: target.classes == Classes::Touch,
            fit_end: entry.fit_end,
            boundary_row: symbol.boundary_row,
            told: entry.splits.as_ref()?.named().map(told),
            told_share: entry.known_share,
            counted: [SplitCounts::default(); 3],
            fit: Correlation::default(),
        })
    }

    /// Counts a row with its movement, the known part of it and whether a barrier was touched.
    pub(super) fn add(&mut self, row: u64, movement: f64, known: f64, touched: bool) {
        let split = split_by_row(row, self.fit_end, self.boundary_row) as usize;
        let counted = &mut self.counted[split];
        counted.rows += 1;
        counted.right += u64::from(match self.touch {
            // Without a forecast no barrier is touched.
            true => !touched,
            false => class(&self.boundaries, movement) == class(&self.boundaries, known),
        });
        if split == 0 {
            self.fit.add(movement, known);
        }
    }

    /// Compares the rows counted with the manifest; returns the violations. Rows that were not counted may be right or
    /// wrong. The correlation is compared only if all fit rows were counted.
    pub(super) fn violations(&self) -> Vec<String> {
        let column = &self.column;
        let mut violations = Vec::new();
        for (Told { name, rows, accuracy }, counted) in self.told.iter().zip(self.counted) {
            let accuracy = accuracy.unwrap_or(0.0);
            let right = whole_unsigned((accuracy * *rows as f64).round());
            let most = counted.right.saturating_add(rows.saturating_sub(counted.rows));
            if !(counted.right..=most).contains(&right) {
                violations.push(format!(
                    "{name}: the known_accuracy of {column} is {accuracy}, that is {right} of {rows} rows, but by definition the known part has the class of {} of {} rows",
                    counted.right, counted.rows
                ));
            }
        }
        let want = self.fit.squared();
        if self.counted[0].rows == self.told[0].rows
            && let Some(share) = self.told_share
            && (share - want).abs() > ROUNDING
        {
            violations.push(format!("the known_share of {column} is {share}, but by definition {want}"));
        }
        violations
    }
}

/// The correlation of pairs that come one by one (Welford 1962).
#[derive(Default)]
struct Correlation {
    count: f64,
    mean: [f64; 2],
    squares: [f64; 2],
    product: f64,
}

impl Correlation {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        let (from_x, from_y) = (x - self.mean[0], y - self.mean[1]);
        self.mean[0] += from_x / self.count;
        self.mean[1] += from_y / self.count;
        self.squares[0] += from_x * (x - self.mean[0]);
        self.squares[1] += from_y * (y - self.mean[1]);
        self.product += from_x * (y - self.mean[1]);
    }

    /// The squared correlation; 0 if one side does not vary.
    fn squared(&self) -> f64 {
        match self.squares {
            [x, y] if x > 0.0 && y > 0.0 => self.product * self.product / (x * y),
            _ => 0.0,
        }
    }
}

/// The accuracy of always predicting the class of most fit rows, for each split, by the counts of rows by split and class.
pub(super) fn majority_accuracies(classes: [&[u64]; 3]) -> [Option<f64>; 3] {
    let [fit, ..] = classes;
    let best = (0..fit.len()).rev().max_by_key(|class| fit[*class]).filter(|class| fit[*class] > 0);
    classes.map(|of_split| {
        let rows: u64 = of_split.iter().sum();
        best.filter(|_| rows > 0).map(|class| of_split[class] as f64 / rows as f64)
    })
}

/// Whether a number is the share of some of these rows, or absent without rows.
pub(super) fn is_share(accuracy: Option<f64>, rows: u64) -> bool {
    let Some(accuracy) = accuracy else { return rows == 0 };
    let right = whole_unsigned((accuracy * rows as f64).round());
    rows > 0 && right <= rows && right as f64 / rows as f64 == accuracy
}
