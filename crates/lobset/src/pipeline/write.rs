//! Write: encodes rows and their labels as row groups, and creates the manifest entries of datasets.

use std::ops::Range;
use std::path::Path;

use super::counts::{ClassCounts, Labelled};
use super::plan::{Quotas, RowGroup, SymbolPlan, TargetPlan};
use crate::cast::{to_u8, whole_unsigned};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::{Candidates, Quota, Rule, Split, Thresholds};
use crate::output::{
    CONFIG_KEY, DatasetEntry, MomentsEntry, RowGroupEncoder, SYMBOL_KEY, SplitEntry, Splits3, THRESHOLDS_KEY,
    TargetLabel, VERSION_KEY, WrittenFile,
};
use crate::run::Monitor;
use crate::tape::{RowCursor, SymbolTape};

/// Rows between two checks of the monitor.
const BREATH: usize = 16_384;

/// The key-value metadata of a symbol's dataset.
pub fn metadata(config: &Config, symbol: &str, thresholds: &Thresholds) -> [(&'static str, String); 4] {
    [
        (VERSION_KEY, crate::VERSION.to_owned()),
        (SYMBOL_KEY, symbol.to_owned()),
        (CONFIG_KEY, serde_json::to_string(config).unwrap_or_default()),
        (THRESHOLDS_KEY, thresholds.only([symbol]).to_json()),
    ]
}

/// The manifest entry of a dataset.
pub fn dataset_entry(
    plan: &SymbolPlan,
    (file, written): (String, WrittenFile),
    (moments, sums): (String, WrittenFile),
) -> DatasetEntry {
    DatasetEntry {
        file,
        bytes: written.bytes,
        sha256: written.sha256,
        rows: plan.rows(),
        row_groups: written.row_groups,
        moments: MomentsEntry { file: moments, bytes: sums.bytes, sha256: sums.sha256 },
    }
}

/// The manifest entry of the splits of a target.
pub fn split_entries(config: &Config, plan: &TargetPlan) -> Splits3<SplitEntry> {
    // The class of most fit rows, the lowest of several.
    let fit = plan.counts.of(Split::Fit);
    let most = fit.iter().copied().max().filter(|most| *most > 0);
    let majority = most.and_then(|most| fit.iter().position(|rows| *rows == most));
    let entry = |split: Split| {
        let classes = plan.counts.of(split).to_vec();
        let rows = classes.iter().sum();
        let accuracy = |right: u64| (rows > 0).then(|| right as f64 / rows as f64);
        let quota = plan.quotas.of(split).filter(|_| config.force_uniform);
        let marked = |q: &Quota| (0..classes.len()).map(|c| q.marked(c)).collect();
        SplitEntry {
            rows,
            majority_accuracy: majority.and_then(|class| accuracy(classes[class])),
            known_accuracy: accuracy(plan.known[split as usize]),
            balanced: quota.map_or_else(|| vec![0; classes.len()], marked),
            short: quota.map_or_else(Vec::new, |q| q.short().map(|c| c as u64).collect()),
            classes,
        }
    };
    Splits3 { fit: entry(Split::Fit), embargo: entry(Split::Embargo), holdout: entry(Split::Holdout) }
}

/// A target of a symbol, and the inputs of its labels.
pub struct WriteTarget<'a> {
    /// Its place among all targets.
    pub place: usize,
    /// How its movements are computed.
    pub rule: &'a dyn Rule,
    /// What classifies its rows.
    pub labelled: Labelled<'a>,
    /// The quotas of marked rows.
    pub quotas: &'a Quotas,
}

/// A symbol's rows, and the inputs of their labels.
pub struct Labelling<'a> {
    /// Its name.
    pub symbol: &'a str,
    /// Its rows.
    pub tape: &'a SymbolTape,
    /// The rows that start a new unbroken stretch.
    pub breaks: &'a [u64],
    /// The input files of its rows, in order: the place of each among the inputs, and its first row.
    pub files: &'a [(usize, u64)],
    /// The rows that can have a label of any target.
    pub candidates: &'a Candidates,
    /// Number of all targets, also of those that the symbol does not qualify for.
    pub all: usize,
    /// The targets that the symbol qualifies for.
    pub targets: Vec<WriteTarget<'a>>,
}

/// Reads the tracks of a row group for each target of `labelling`, with `read` for a track of a range of the target's own
/// candidates. The track of known parts stays empty.
///
/// # Errors
/// Any error of `read`.
pub fn read_tracks(
    labelling: &Labelling<'_>,
    group: &RowGroup,
    read: impl Fn((usize, usize), Range<u64>, &mut Vec<f64>) -> Result<()>,
) -> Result<Vec<Vec<Vec<f64>>>> {
    let span = labelling.candidates.span(group.candidates.clone());
    let of_target = |target: &WriteTarget<'_>| {
        let range = target.labelled.within(&span);
        let track = |track| {
            let mut values = Vec::new();
            // No column is made of known parts.
            if target.rule.known_track() == Some(track) {
                return Ok(values);
            }
            read((target.place, track), range.clone(), &mut values)?;
            Ok(values)
        };
        (0..target.rule.tracks()).map(track).collect()
    };
    labelling.targets.iter().map(of_target).collect()
}

/// Walks through the labels of a target in step with the rows of a symbol.
struct Labels<'a> {
    place: usize,
    labelled: Labelled<'a>,
    quotas: Option<&'a Quotas>,
    /// The ranges of candidates to come, and the current one.
    ranges: Box<dyn Iterator<Item = Range<u64>> + 'a>,
    current: Range<u64>,
    movements: std::slice::Iter<'a, f64>,
    /// The second and the last track; empty if there is only one.
    touches: &'a [f64],
    ends: &'a [f64],
    /// Number of candidates so far.
    at: usize,
    rule: &'a dyn Rule,
    /// Counts of the rows so far: rows are numbered within their class and split.
    counts: ClassCounts,
}

impl Labels<'_> {
    /// The label of the next row; rows ascend. `None` if it has none.
    #[inline]
    fn next(&mut self, row: u64) -> Option<TargetLabel> {
        while row >= self.current.end {
            self.current = self.ranges.next()?;
        }
        if row < self.current.start {
            return None;
        }
        let movement = *self.movements.next()?;
        let track = |values: &[f64]| values.get(self.at).copied().unwrap_or(f64::NAN);
        let (touch, last) = (track(self.touches), track(self.ends));
        self.at += 1;
        if movement.is_nan() {
            return None;
        }
        let split = self.labelled.rows.splits.of(row);
        let class = self.labelled.class(movement, touch);
        let number = self.counts.count(split, class);
        let quota = self.quotas.and_then(|quotas| quotas.of(split));
        let balanced = quota.is_some_and(|quota| quota.is_marked(class, number));
        let end = self.rule.end(row, [movement, last]);
        let touch = (self.labelled.touches && !touch.is_nan()).then(|| whole_unsigned(touch));
        Some(TargetLabel { movement, class: to_u8(class), split, balanced, end, touch })
    }
}

/// The input file of a row, and the first row of the next one. `files` are those of consecutive rows, in order.
fn file_of(files: &[(usize, u64)], row: u64) -> (usize, u64) {
    let next = files.partition_point(|(_, first)| *first <= row);
    let file = next.checked_sub(1).and_then(|place| files.get(place));
    (file.map_or(0, |(file, _)| *file), files.get(next).map_or(u64::MAX, |(_, first)| *first))
}

/// The rows that encoding a range of candidates reads: those from the first to the last of them, and the row before, with
/// which derived columns compare the first.
pub fn rows_read(candidates: &Candidates, range: Range<u64>) -> Range<u64> {
    let rows = candidates.span(range);
    rows.start.saturating_sub(1)..rows.end
}

impl Labelling<'_> {
    /// Reads a row group's rows from the tape, labels them and encodes their columns. `movements` has the tracks of its
    /// candidates, as [`read_tracks`] reads them.
    ///
    /// # Errors
    /// [`Error::Output`] when a work file cannot be read.
    pub fn encode(
        &self,
        config: &Config,
        encoder: &mut RowGroupEncoder,
        group: &RowGroup,
        movements: &[Vec<Vec<f64>>],
        monitor: &Monitor<'_>,
    ) -> Result<()> {
        let fail = |message: &str| Error::output(Path::new(self.symbol), message);
        let span = self.candidates.span(group.candidates.clone());
        let mut targets: Vec<Labels<'_>> = Vec::with_capacity(self.targets.len());
        for ((target, tracks), before) in self.targets.iter().zip(movements).zip(&group.before) {
            let labelled = target.labelled;
            let Some((movements, more)) = tracks.split_first() else { continue };
            targets.push(Labels {
                place: target.place,
                labelled,
                quotas: config.force_uniform.then_some(target.quotas),
                ranges: Box::new(labelled.rows.candidates.rows(labelled.within(&span))),
                current: 0..0,
                movements: movements.iter(),
                touches: if target.labelled.touches { more.first().map_or(&[][..], Vec::as_slice) } else { &[] },
                ends: more.last().map_or(&[][..], Vec::as_slice),
                at: 0,
                rule: target.rule,
                counts: before.clone(),
            });
        }
        let mut labels: Vec<Option<TargetLabel>> = vec![None; self.all];
        let mut breath = 0;
        // The first row of the next input file.
        let mut next_file = 0;
        let cut = || fail("a work file is shorter than its index");
        for rows in self.candidates.rows(group.candidates.clone()) {
            // The row before, if it is in the same stretch.
            let before = encoder.compares_rows() && rows.start > 0 && self.breaks.binary_search(&rows.start).is_err();
            let mut cursor = RowCursor::new(self.tape, rows.start - u64::from(before))?;
            encoder.leap();
            if before {
                let changed = cursor.advance()?.ok_or_else(cut)?;
                encoder.skip(cursor.row(), changed);
            }
            for row in rows {
                breath += 1;
                if breath == BREATH {
                    monitor.advance(BREATH as u64)?;
                    breath = 0;
                }
                let changed = cursor.advance()?.ok_or_else(cut)?;
                if row >= next_file {
                    let file;
                    (file, next_file) = file_of(self.files, row);
                    encoder.set_file(file);
                }
                let mut wanted = false;
                for target in &mut targets {
                    let label = target.next(row);
                    wanted |= label.is_some_and(|label| label.balanced || !config.drop_unbalanced);
                    labels[target.place] = label;
                }
                if wanted {
                    encoder.push(cursor.row(), changed, row, &labels);
                } else {
                    encoder.skip(cursor.row(), changed);
                }
            }
        }
        monitor.advance(breath as u64)?;
        encoder.finish(self.symbol).map_err(|e| fail(&format!("cannot be encoded: {e}")))
    }
}
