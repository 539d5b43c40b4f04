//! Ranges of candidates, and counts of their rows by class.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::streams::TargetRows;
use crate::cast::to_usize;
use crate::config::Target;
use crate::error::Result;
use crate::label::{Boundaries, Candidates, Split};
use crate::tape::MOVEMENT_BLOCK;

/// A range of candidates of one item in a list: a target's part of a stream, or a part among those of a task.
#[derive(Debug, Clone)]
pub struct Slice {
    /// The item's place in the list.
    pub place: usize,
    /// The candidates.
    pub range: Range<u64>,
}

impl Slice {
    /// Number of candidates.
    pub fn count(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Cuts a range of candidates into slices of at most `most`, at multiples of `most` from its start.
pub fn slices(place: usize, range: Range<u64>, most: u64) -> impl Iterator<Item = Slice> {
    let end = range.end;
    range
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(move |from| Slice { place, range: from..(from + most).min(end) })
}

/// Cuts the candidates of each item of a list into slices of at most `most`.
pub fn slices_of(ranges: impl IntoIterator<Item = Range<u64>>, most: u64) -> Vec<Slice> {
    ranges.into_iter().enumerate().flat_map(|(place, range)| slices(place, range, most)).collect()
}

/// Number of labelled rows by split and class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    nbins: usize,
    counts: Vec<u64>,
}

impl ClassCounts {
    /// Counts of zero.
    pub fn new(nbins: usize) -> Self {
        Self { nbins, counts: vec![0; 3 * nbins] }
    }

    /// The counts of a split, by class.
    pub fn of(&self, split: Split) -> &[u64] {
        &self.counts[split as usize * self.nbins..][..self.nbins]
    }

    /// Counts rows of a class.
    #[inline]
    fn count(&mut self, split: Split, class: u64, rows: u64) {
        self.counts[split as usize * self.nbins + to_usize(class)] += rows;
    }

    /// Number of all rows.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the counts of another range.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
    }
}

/// A target of a symbol whose rows are to be classified.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// Its rows.
    pub rows: &'a TargetRows,
    /// Its boundaries.
    pub boundaries: &'a Boundaries,
    /// Number of its classes.
    pub classes: usize,
    /// Whether the class follows from the touch of a barrier, which is in its second track.
    pub touches: bool,
    /// The track of known parts.
    pub known: Option<usize>,
}

impl<'a> Labelled<'a> {
    /// The rows of a target, with its boundaries for their symbol.
    pub fn new(target: &Target, rows: &'a TargetRows, boundaries: &'a Boundaries) -> Self {
        let rule = target.movement.rule();
        Self { rows, boundaries, classes: target.class_count(), touches: rule.touches(), known: rule.known_track() }
    }
}

impl Labelled<'_> {
    /// The class of a movement; `touch` is the value of the second track.
    #[inline]
    fn class(&self, movement: f64, touch: f64) -> usize {
        match self.touches {
            false => self.boundaries.class(movement),
            true if touch.is_nan() => 1,
            true => 2 * usize::from(movement > 0.0),
        }
    }

    /// Sets the classes of consecutive candidates; `touches` has their values of the second track, if the class depends
    /// on it.
    pub fn classes(&self, movements: &[f64], touches: &[f64], classes: &mut [u64]) {
        if !self.touches {
            return self.boundaries.classes(movements, classes);
        }
        for ((class, movement), touch) in classes.iter_mut().zip(movements).zip(touches) {
            *class = self.class(*movement, *touch) as u64;
        }
    }

    /// Its candidates among a range of rows.
    pub fn within(&self, rows: &Range<u64>) -> Range<u64> {
        let TargetRows { candidates, .. } = self.rows;
        candidates.before(rows.start)..candidates.before(rows.end)
    }
}

/// Counts of a block of candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCounts {
    /// Number of rows with a label of at least one target.
    pub rows: u64,
    /// The counts of each target.
    pub targets: Vec<ClassCounts>,
    /// Number of rows, by target and split, whose class is that of their known part.
    pub known: Vec<[u64; 3]>,
}

/// Counts the classes in each block of a range of a symbol's candidates, which starts where a block does. `read` reads
/// a track of a target for a range of its own candidates.
///
/// # Errors
/// Any error of `read`.
pub fn class_blocks(
    candidates: &Candidates,
    range: Range<u64>,
    targets: &[Labelled<'_>],
    mut read: impl FnMut((usize, usize), Range<u64>, &mut Vec<f64>) -> Result<()>,
) -> Result<Vec<BlockCounts>> {
    let span = candidates.span(range.clone());
    let none = |target: &Labelled<'_>| ClassCounts::new(target.classes);
    let empty =
        BlockCounts { rows: 0, targets: targets.iter().map(none).collect(), known: vec![[0; 3]; targets.len()] };
    let mut blocks = vec![empty; to_usize((range.end - range.start).div_ceil(MOVEMENT_BLOCK))];
    // Rows with a label, needed only if targets can have labels of different rows.
    let mut labelled = vec![false; if targets.len() > 1 { to_usize(range.end - range.start) } else { 0 }];
    let (mut values, mut touches, mut known) = (Vec::new(), Vec::new(), Vec::new());
    for (number, target) in targets.iter().enumerate() {
        let mine = target.within(&span);
        let mut track = |track: Option<usize>, values: &mut Vec<f64>| {
            values.clear();
            track.map_or(Ok(()), |track| read((number, track), mine.clone(), values))
        };
        track(Some(0), &mut values)?;
        track(target.touches.then_some(1), &mut touches)?;
        track(target.known, &mut known)?;
        // Known parts that are 0 in every row are not stored in a track.
        let class_of_zero = target.class(0.0, f64::NAN);
        let (mut values, mut touches, mut known) = (values.as_slice(), touches.as_slice(), known.as_slice());
        for rows in target.rows.candidates.rows(mine) {
            // These rows are also consecutive among the candidates of the symbol.
            let mut at = to_usize(candidates.before(rows.start) - range.start);
            let mut row = rows.start;
            while row < rows.end {
                let in_piece = (BLOCK_CANDIDATES - at % BLOCK_CANDIDATES).min(PIECE).min(to_usize(rows.end - row));
                let now = values.split_off(..in_piece.min(values.len())).unwrap_or_default();
                let touches = touches.split_off(..now.len().min(touches.len())).unwrap_or_default();
                let known = known.split_off(..now.len().min(known.len())).unwrap_or_default();
                let block = &mut blocks[at / BLOCK_CANDIDATES];
                let (counts, hits) = (&mut block.targets[number], &mut block.known[number]);
                let (mut classes, mut of_known) = ([0; PIECE], [class_of_zero as u64; PIECE]);
                target.classes(now, touches, &mut classes);
                target.boundaries.classes(known, &mut of_known);
                for (class, value) in classes.iter_mut().zip(now) {
                    *class = if value.is_nan() { NO_CLASS } else { *class };
                }
                for (split, part) in target.rows.splits.cut(row..row + now.len() as u64) {
                    let part = to_usize(part.start - row)..to_usize(part.end - row);
                    let (classes, of_known) = (&classes[part.clone()], &of_known[part]);
                    hits[split as usize] += classes.iter().zip(of_known).filter(|(a, b)| a == b).count() as u64;
                    for same in classes.chunk_by(|a, b| a == b).filter(|same| same[0] != NO_CLASS) {
                        counts.count(split, same[0], same.len() as u64);
                    }
                }
                if let Some(labelled) = labelled.get_mut(at..at + now.len()) {
                    labelled.iter_mut().zip(now).for_each(|(labelled, value)| *labelled |= !value.is_nan());
                }
                if now.is_empty() {
                    break;
                }
                (at, row) = (at + now.len(), row + now.len() as u64);
            }
        }
    }
    for (number, block) in blocks.iter_mut().enumerate() {
        block.rows = match block.targets.as_slice() {
            [only] => only.total(),
            _ => {
                let rows = labelled.chunks(BLOCK_CANDIDATES).nth(number).unwrap_or_default();
                rows.iter().filter(|labelled| **labelled).count() as u64
            }
        };
    }
    Ok(blocks)
}

/// The class of a candidate whose movement is undefined.
const NO_CLASS: u64 = u64::MAX;

/// The number of candidates classified at a time.
const PIECE: usize = 1024;

/// The number of candidates in a block.
const BLOCK_CANDIDATES: usize = to_usize(MOVEMENT_BLOCK);
