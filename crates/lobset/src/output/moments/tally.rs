//! Adds up the numeric columns of a row group while they are encoded. A single pass over a column's runs counts how
//! often each distinct value occurs in a segment of rows, so that each distinct value is multiplied once.

use std::collections::VecDeque;

use super::sums::{ColumnSums, FileSums, SymbolSums, Totals};
use crate::cast::to_u32;
use crate::config::Config;
use crate::label::Split;
use crate::output::column::Column;
use crate::output::encoding::Run;
use crate::output::kind::{Bits, Kind};
use crate::output::labels::{LabelBlock, LabelField};

/// What all rows of a segment have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    /// The index of their input file.
    file: usize,
    /// A bit for each target whose fit rows they are among. There are at most 65 targets.
    fit: u128,
}

/// Consecutive rows with the same key.
struct Segment {
    rows: u32,
    /// The place of the key in the list of keys.
    key: usize,
}

/// The sums of a row group.
pub struct Tally {
    targets: usize,
    file: usize,
    /// The keys of the row group, in order of their first row.
    keys: Vec<Key>,
    segments: Vec<Segment>,
    /// The sums of the columns so far, by key.
    columns: Vec<Vec<ColumnSums>>,
    kinds: Vec<Kind>,
    /// How often each value of the current column occurs in the current segment, and the values that occur in it.
    counts: Vec<u32>,
    occurring: Vec<u32>,
    /// The sums of finished row groups that have not been taken.
    done: VecDeque<SymbolSums>,
}

impl Tally {
    /// Creates a tally without rows.
    pub fn new(config: &Config) -> Self {
        Self {
            targets: config.all_targets().len(),
            file: 0,
            keys: Vec::new(),
            segments: Vec::new(),
            columns: Vec::new(),
            kinds: Vec::new(),
            counts: Vec::new(),
            occurring: Vec::new(),
            done: VecDeque::new(),
        }
    }

    /// Sets the index of the input file that the following rows come from.
    pub fn set_file(&mut self, file: usize) {
        self.file = file;
    }

    /// Counts rows with their labels, by target.
    pub fn rows(&mut self, labels: &[LabelBlock]) {
        let rows = labels.first().map_or(0, |block| block.of(LabelField::Split).len());
        // Nearly all blocks lie within a split.
        let alike = |block: &LabelBlock| {
            let splits = block.of(LabelField::Split);
            splits.iter().fold(true, |alike, split| alike & (*split == splits[0]))
        };
        let step = if labels.iter().all(alike) { rows.max(1) } else { 1 };
        for row in (0..rows).step_by(step) {
            let is_fit = |block: &LabelBlock| block.of(LabelField::Split)[row] == Split::Fit.bits();
            let fit = labels.iter().enumerate().fold(0, |fit, (place, block)| fit | u128::from(is_fit(block)) << place);
            let key = Key { file: self.file, fit };
            match self.segments.last_mut() {
                Some(last) if self.keys[last.key] == key => last.rows += to_u32(step),
                _ => self.open(key, to_u32(step)),
            }
        }
    }

    #[cold]
    fn open(&mut self, key: Key, rows: u32) {
        // A key that comes back was usually used recently.
        let key = self.keys.iter().rposition(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        self.segments.push(Segment { rows, key });
    }

    /// Begins a column: the sums of no values, by key.
    fn begin(&mut self, kind: Kind) -> Vec<ColumnSums> {
        self.kinds.push(kind);
        vec![ColumnSums::new(kind); self.keys.len()]
    }

    /// Adds up a column that consists of runs of `values`. Null has a number that is not an index into `values`.
    pub fn runs(&mut self, column: &Column, runs: impl Iterator<Item = Run>, values: &[u64]) {
        let mut sums = self.begin(column.kind);
        let Self { segments, counts, occurring, columns, .. } = self;
        counts.resize(values.len().max(counts.len()), 0);
        let mut segments = segments.iter();
        let (mut key, mut left) = (0, 0);
        let mut add = |key: usize, counts: &mut [u32], occurring: &mut Vec<u32>| {
            for number in occurring.drain(..) {
                let count = std::mem::take(&mut counts[number as usize]);
                sums[key].add(values[number as usize], count);
            }
        };
        for (number, mut length) in runs {
            while length > 0 {
                if left == 0 {
                    add(key, counts, occurring);
                    let Some(next) = segments.next() else { break };
                    (key, left) = (next.key, next.rows);
                }
                let rows = length.min(left);
                if (number as usize) < values.len() {
                    let count = &mut counts[number as usize];
                    if *count == 0 {
                        occurring.push(number);
                    }
                    *count += rows;
                }
                length -= rows;
                left -= rows;
            }
        }
        add(key, counts, occurring);
        columns.push(sums);
    }

    /// Adds up a column of integers of at most 32 bits, with one value for each row and without nulls.
    pub fn series(&mut self, column: &Column, mut values: impl Iterator<Item = i64>) {
        let mut sums = self.begin(column.kind);
        for segment in &self.segments {
            let (mut sum, mut squares) = (0_i64, 0_u128);
            for value in values.by_ref().take(segment.rows as usize) {
                sum += value;
                squares += u128::from(value.unsigned_abs().pow(2));
            }
            sums[segment.key].merge(&ColumnSums {
                count: segment.rows.into(),
                of: Totals::Integers { sum: Some(sum.into()), squares: Some(squares) },
            });
        }
        self.columns.push(sums);
    }

    /// Ends the row group, whose numeric columns have been added up in their order.
    pub fn finish(&mut self) {
        let mut group = SymbolSums::default();
        let none: Vec<ColumnSums> = self.kinds.iter().map(|kind| ColumnSums::new(*kind)).collect();
        for (place, Key { file, fit }) in self.keys.iter().enumerate() {
            // The rows of a file are consecutive.
            if group.0.last().is_none_or(|last| last.file != *file) {
                group.0.push(FileSums { file: *file, sets: vec![none.clone(); 1 + self.targets] });
            }
            let sets = group.0.last_mut().into_iter().flat_map(|file| file.sets.iter_mut()).enumerate();
            for (_, set) in sets.filter(|(set, _)| *set == 0 || fit >> (set - 1) & 1 == 1) {
                set.iter_mut().zip(&self.columns).for_each(|(sum, column)| sum.merge(&column[place]));
            }
        }
        self.done.push_back(group);
        self.keys.clear();
        self.segments.clear();
        self.columns.clear();
        self.kinds.clear();
    }

    /// The sums of the first finished row group that has not been taken.
    pub fn take(&mut self) -> SymbolSums {
        self.done.pop_front().unwrap_or_default()
    }
}
