//! Write: encodes rows and their labels as row groups, and creates the manifest entries of datasets.

use std::ops::Range;
use std::path::Path;

use super::counts::{ClassCounts, Labelled};
use super::movements::is_kept;
use super::plan::{Quotas, RowGroup, SymbolPlan, TargetPlan};
use crate::cast::{to_usize, whole_unsigned};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::label::{Candidates, Marking, Quota, Rule, Split, Thresholds};
use crate::output::{
    Bits, CONFIG_KEY, DatasetEntry, ENCODER_BLOCK_ROWS, LADDER_KEY, LabelBlock, LabelField, Ladder, MomentsEntry,
    NO_LABEL, RowGroupEncoder, SYMBOL_KEY, SplitEntry, Splits3, THRESHOLDS_KEY, VERSION_KEY, WrittenFile,
};
use crate::run::Monitor;
use crate::tape::{RowCursor, SymbolTape};

/// The key-value metadata of a symbol's dataset.
pub fn metadata(
    config: &Config,
    symbol: &str,
    thresholds: &Thresholds,
    ladder: &Ladder,
) -> [(&'static str, String); 5] {
    [
        (VERSION_KEY, crate::VERSION.to_owned()),
        (SYMBOL_KEY, symbol.to_owned()),
        (CONFIG_KEY, serde_json::to_string(config).unwrap_or_default()),
        (THRESHOLDS_KEY, thresholds.only([symbol]).to_json()),
        (LADDER_KEY, ladder.to_json()),
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
        ladder: plan.ladder,
        moments: MomentsEntry { file: moments, bytes: sums.bytes, sha256: sums.sha256 },
    }
}

/// The manifest entry of the splits of a target.
pub fn split_entries(config: &Config, plan: &TargetPlan) -> Splits3<SplitEntry> {
    // The class with the most fit rows; the lowest of several.
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
    /// Number of all targets, including those that the symbol does not qualify for.
    pub all: usize,
    /// The targets that the symbol qualifies for.
    pub targets: Vec<WriteTarget<'a>>,
}

/// The values of candidates, by target and track.
pub type Tracks = Vec<Vec<Vec<f64>>>;

/// Reads the tracks of a row group into `tracks`, for each target of `labelling`. `read` reads a track for a range of the
/// target's own candidates. Tracks that no column needs are left empty.
///
/// # Errors
/// Any error of `read`.
pub fn read_tracks(
    config: &Config,
    labelling: &Labelling<'_>,
    group: &RowGroup,
    tracks: &mut Tracks,
    read: impl Fn((usize, usize), Range<u64>, &mut Vec<f64>) -> Result<()>,
) -> Result<()> {
    let span = labelling.candidates.span(group.candidates.clone());
    tracks.resize_with(labelling.targets.len(), Vec::new);
    for (target, tracks) in labelling.targets.iter().zip(tracks) {
        tracks.resize_with(target.rule.tracks(), Vec::new);
        for (track, values) in tracks.iter_mut().enumerate() {
            if target.rule.known_track() != Some(track) && is_kept(target.rule, track, config.label_end) {
                read((target.place, track), target.labelled.within(&span), values)?;
            } else {
                values.clear();
            }
        }
    }
    Ok(())
}

/// Walks through the labels of a target in step with the rows of a symbol.
struct LabelCursor<'a> {
    place: usize,
    labelled: Labelled<'a>,
    /// The marks of each split; `None` if no row of the split is marked.
    marking: [Option<Marking>; 3],
    /// The remaining ranges of candidates, and the current one.
    ranges: Box<dyn Iterator<Item = Range<u64>> + 'a>,
    current: Range<u64>,
    movements: &'a [f64],
    /// The second and the last track; empty if they are not needed.
    touches: &'a [f64],
    ends: &'a [f64],
    /// The rule, if the columns of ends are written.
    ending: Option<&'a dyn Rule>,
}

impl<'a> LabelCursor<'a> {
    fn new(
        config: &Config,
        target: &WriteTarget<'a>,
        tracks: &'a [Vec<f64>],
        before: &ClassCounts,
        span: &Range<u64>,
    ) -> Self {
        let WriteTarget { place, rule, labelled, quotas } = *target;
        let track = |track: Option<usize>| track.and_then(|track| tracks.get(track)).map_or(&[][..], Vec::as_slice);
        let marking = |split: Split| {
            let quota = quotas.of(split).filter(|_| config.force_uniform)?;
            Some(quota.marking(before.of(split)))
        };
        Self {
            place,
            labelled,
            marking: Split::ALL.map(marking),
            ranges: Box::new(labelled.rows.candidates.rows(labelled.within(span))),
            current: 0..0,
            movements: track(Some(0)),
            touches: track(labelled.touches.then_some(1)),
            ends: track(rule.end_track()),
            ending: config.label_end.then_some(rule),
        }
    }

    /// Appends the labels of the next rows, which are consecutive, to `block`; rows ascend. Returns whether all of them have
    /// a label.
    fn label(&mut self, rows: Range<u64>, block: &mut LabelBlock) -> bool {
        let (mut at, mut all) = (rows.start, true);
        while at < rows.end {
            while self.current.end <= at {
                // After the last candidate, no row has a label.
                self.current = self.ranges.next().unwrap_or(u64::MAX..u64::MAX);
            }
            let from = self.current.start.clamp(at, rows.end);
            let to = self.current.end.clamp(from, rows.end);
            block.extend(to_usize(from - at));
            all &= self.label_candidates(from..to, block) && from == at;
            at = to;
        }
        all
    }

    /// Appends the labels of consecutive candidates. Returns whether all of them have a label.
    fn label_candidates(&mut self, rows: Range<u64>, block: &mut LabelBlock) -> bool {
        let [movements, classes, splits, balanced, ends, touched] = block.extend(to_usize(rows.end - rows.start));
        let next = |values: &mut &'a [f64]| values.split_off(..movements.len().min(values.len())).unwrap_or_default();
        let [values, touches, last] = [&mut self.movements, &mut self.touches, &mut self.ends].map(next);
        self.labelled.classes(values, touches, classes);
        // Without a way out, the loop can look at several values at a time.
        let undefined = values.iter().fold(false, |any, value| any | value.is_nan());
        if undefined {
            // A row without a label counts for no class.
            let rows = classes.iter_mut().zip(values).filter(|(_, value)| value.is_nan());
            rows.for_each(|(class, _)| *class = NO_LABEL);
        }
        for (split, part) in self.labelled.rows.splits.cut(rows.clone()) {
            let part = to_usize(part.start - rows.start)..to_usize(part.end - rows.start);
            splits[part.clone()].fill(split.bits());
            let (classes, balanced) = (&classes[part.clone()], &mut balanced[part]);
            match &mut self.marking[split as usize] {
                None => balanced.fill(false.bits()),
                Some(marking) => marking.mark(classes, balanced),
            }
        }
        if let Some(rule) = self.ending {
            for (i, (row, value)) in rows.zip(values).enumerate() {
                ends[i] = rule.end(row, [*value, last.get(i).copied().unwrap_or(f64::NAN)]).bits();
                let touch = touches.get(i).filter(|touch| !touch.is_nan());
                touched[i] = touch.map(|touch| whole_unsigned(*touch)).bits();
            }
        }
        movements.iter_mut().zip(values).for_each(|(bits, value)| *bits = value.bits());
        for (i, _) in values.iter().enumerate().filter(|(_, value)| undefined && value.is_nan()) {
            for field in [&mut *movements, classes, splits, balanced, ends, touched] {
                field.get_mut(i).into_iter().for_each(|bits| *bits = NO_LABEL);
            }
        }
        !undefined
    }
}

/// The input file of a row, and the first row of the next file. `files` are the files of consecutive rows, in order.
fn file_of(files: &[(usize, u64)], row: u64) -> (usize, u64) {
    let next = files.partition_point(|(_, first)| *first <= row);
    let file = next.checked_sub(1).and_then(|place| files.get(place));
    (file.map_or(0, |(file, _)| *file), files.get(next).map_or(u64::MAX, |(_, first)| *first))
}

/// The rows that encoding a range of candidates reads: those from the first candidate to the last, and the row before,
/// which derived columns compare with the first.
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
        movements: &Tracks,
        monitor: &Monitor<'_>,
    ) -> Result<()> {
        let fail = |message: &str| Error::output(Path::new(self.symbol), message);
        let span = self.candidates.span(group.candidates.clone());
        let mut targets: Vec<LabelCursor<'_>> = Vec::with_capacity(self.targets.len());
        for ((target, tracks), before) in self.targets.iter().zip(movements).zip(&group.before) {
            targets.push(LabelCursor::new(config, target, tracks, before, &span));
        }
        // No row has a label of a target that the symbol does not qualify for.
        let mut blocks = vec![LabelBlock::new(config.label_end); self.all];
        let mut wanted = [false; ENCODER_BLOCK_ROWS];
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
            let mut start = rows.start;
            while start < rows.end {
                if start >= next_file {
                    let file;
                    (file, next_file) = file_of(self.files, start);
                    encoder.set_file(file);
                }
                let piece = start..rows.end.min(next_file).min(start + ENCODER_BLOCK_ROWS as u64);
                start = piece.end;
                let count = to_usize(piece.end - piece.start);
                let wanted = &mut wanted[..count];
                wanted.fill(false);
                for block in &mut blocks {
                    block.clear();
                }
                for target in &mut targets {
                    let block = &mut blocks[target.place];
                    let all = target.label(piece.clone(), block);
                    match config.drop_unbalanced {
                        true => wanted.iter_mut().zip(block.of(LabelField::Balanced)).for_each(|(w, v)| *w |= *v == 1),
                        false if all => wanted.fill(true),
                        false => {
                            wanted.iter_mut().zip(block.of(LabelField::Class)).for_each(|(w, v)| *w |= *v != NO_LABEL);
                        }
                    }
                }
                for (number, wanted) in piece.zip(&*wanted) {
                    let changed = cursor.advance()?.ok_or_else(cut)?;
                    match wanted {
                        true => encoder.push(cursor.row(), changed, number),
                        false => encoder.skip(cursor.row(), changed),
                    }
                }
                for block in &mut blocks {
                    // The block is empty if no row has a label.
                    let missing = count - block.of(LabelField::Class).len();
                    block.extend(missing);
                    if wanted.contains(&false) {
                        block.retain(wanted);
                    }
                }
                encoder.label(&blocks);
                monitor.advance(count as u64)?;
            }
        }
        encoder.finish(self.symbol).map_err(|e| fail(&format!("cannot be encoded: {e}")))
    }
}
