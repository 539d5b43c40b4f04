//! Selection of the rows of a dataset that are samples.

use std::ops::Range;

use super::period::Period;
use crate::label::{Quota, Split};
use crate::printable::grouped;

/// The conditions under which a row is a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFilter {
    /// The side of the boundary time, for every target that is read. Rows under embargo belong to neither side and cannot
    /// be selected.
    pub split: Split,
    /// The part of that side.
    pub period: Period,
    /// Length in rows of the window that ends at the sample, all within one unbroken stretch; at least 1.
    pub window: u64,
    /// Distance in rows between neighbouring samples of a stretch, counted from its first complete window; at least 1.
    pub stride: u64,
    /// The first row that may be a sample, as a position in the file.
    pub first: u64,
}

/// Number of words in a block; the sample count before each block is precomputed.
const COUNTED_WORDS: usize = 8;

/// The samples of a dataset, in order: one bit for each row, and the classes of each sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleIndex {
    words: Vec<u64>,
    /// Number of samples before each block.
    before: Vec<u64>,
    /// By target, then by sample.
    classes: Vec<Vec<u8>>,
    stretches: Vec<Stretch>,
    /// Number of rows of the file.
    rows: u64,
}

/// The beginning of an unbroken stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// Its first row, as a position in the file.
    place: u64,
    /// The number of that row in its symbol's stream.
    row: u64,
}

impl SampleIndex {
    /// Builds an index from a bitmap of rows, 64 to a word, lowest bit first. Each target has a class for each bit that is
    /// set.
    fn new(words: Vec<u64>, classes: Vec<Vec<u8>>, stretches: Vec<Stretch>, rows: u64) -> Self {
        let mut samples = 0;
        let count = |block: &[u64]| {
            let before = samples;
            samples += ones(block);
            before
        };
        let before = words.chunks(COUNTED_WORDS).map(count).collect();
        Self { words, before, classes, stretches, rows }
    }

    /// The index as bytes, for another process: about a bit for each row and a byte for each sample and target.
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = [self.rows, self.stretches.len() as u64, self.classes.len() as u64];
        let stretches = self.stretches.iter().flat_map(|stretch| [stretch.place, stretch.row]);
        let numbers = head.into_iter().chain(stretches).chain(self.words.iter().copied());
        let mut bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        self.classes.iter().for_each(|classes| bytes.extend_from_slice(classes));
        bytes
    }

    /// Reads an index that [`to_bytes`](Self::to_bytes) has written for a dataset of `rows` rows; `None` if it was
    /// written for another dataset.
    pub fn from_bytes(bytes: &[u8], rows: u64) -> Option<Self> {
        let numbers =
            |bytes: &[u8]| bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>();
        let length = |count: u64| usize::try_from(count).ok()?.checked_mul(size_of::<u64>());
        let (head, rest) = bytes.split_at_checked(24)?;
        let &[own, stretches, targets] = numbers(head).as_slice() else { return None };
        let (stretches, rest) = rest.split_at_checked(length(stretches.checked_mul(2)?)?)?;
        let (words, classes) = rest.split_at_checked(length(rows.div_ceil(64))?)?;
        let stretches = numbers(stretches);
        let stretches: Vec<Stretch> =
            stretches.as_chunks().0.iter().map(|&[place, row]| Stretch { place, row }).collect();
        let words = numbers(words);
        let samples = usize::try_from(ones(&words)).ok()?;
        let whole = own == rows
            && Some(classes.len()) == samples.checked_mul(usize::try_from(targets).ok()?)
            && targets > 0
            && stretches.is_sorted_by_key(|stretch| stretch.place)
            && stretches.last().is_none_or(|last| last.place < rows);
        let classes = match samples {
            0 => vec![Vec::new(); usize::try_from(targets).ok().filter(|_| whole)?],
            _ => classes.chunks(samples).map(<[u8]>::to_vec).collect(),
        };
        whole.then(|| Self::new(words, classes, stretches, rows))
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.first_classes().len() as u64
    }

    /// Whether the index contains no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes of each sample, in order, for each target that was read.
    pub fn classes(&self) -> &[Vec<u8>] {
        &self.classes
    }

    fn first_classes(&self) -> &[u8] {
        self.classes.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// The unbroken stretches of the file, as ranges of positions, in order.
    pub fn stretches(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let ends = self.stretches.iter().skip(1).map(|stretch| stretch.place).chain([self.rows]);
        self.stretches.iter().zip(ends).map(|(stretch, end)| stretch.place..end)
    }

    /// Position in the file, from 0, of the sample with this number.
    pub fn position(&self, sample: u64) -> Option<u64> {
        if sample >= self.len() {
            return None;
        }
        let block = self.before.partition_point(|before| *before <= sample) - 1;
        let mut left = sample - self.before[block];
        for (number, word) in self.words.iter().enumerate().skip(block * COUNTED_WORDS) {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let mut rest = *word;
                (0..left).for_each(|_| rest &= rest - 1);
                return Some(number as u64 * 64 + u64::from(rest.trailing_zeros()));
            }
            left -= ones;
        }
        None
    }

    /// The number, in its symbol's stream, of the row at a position in the file.
    pub fn row(&self, place: u64) -> Option<u64> {
        let after = self.stretches.partition_point(|stretch| stretch.place <= place);
        let stretch = self.stretches.get(after.checked_sub(1)?).filter(|_| place < self.rows)?;
        Some(stretch.row + (place - stretch.place))
    }

    /// Balances the samples of several datasets by the rule of the column `balanced`: keeps equally many samples of
    /// each of the `classes` classes of the first target, spread evenly over the samples in their order.
    pub fn keep_uniform(indexes: &mut [Self], classes: usize) {
        let largest = indexes.iter().flat_map(|index| index.first_classes()).max();
        let mut counts = vec![0; classes.max(largest.map_or(0, |class| usize::from(*class) + 1))];
        indexes.iter().flat_map(|index| index.first_classes()).for_each(|class| counts[usize::from(*class)] += 1);
        let none = vec![0; counts.len()];
        let mut marking = Quota::new(counts).marking(&none);
        for index in indexes {
            let kept: Vec<bool> = index.first_classes().iter().map(|class| marking.next(usize::from(*class))).collect();
            let mut sample = kept.iter();
            for word in &mut index.words {
                let mut bits = *word;
                while bits != 0 {
                    if sample.next() == Some(&false) {
                        *word &= !(1 << bits.trailing_zeros());
                    }
                    bits &= bits - 1;
                }
            }
            for classes in &mut index.classes {
                let mut sample = kept.iter();
                classes.retain(|_| sample.next() == Some(&true));
            }
            let Self { words, classes, stretches, rows, .. } = std::mem::take(index);
            *index = Self::new(words, classes, stretches, rows);
        }
    }
}

fn ones(words: &[u64]) -> u64 {
    words.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Builds an index from a dataset's rows, in order.
pub(super) struct IndexBuilder {
    filter: SampleFilter,
    words: Vec<u64>,
    /// By target.
    classes: Vec<Vec<u8>>,
    stretches: Vec<Stretch>,
    rows: u64,
    /// The last `row` pushed.
    last_row: Option<u64>,
    /// Rows of the longest stretch, labelled rows of the split, and those of them within the period.
    longest: u64,
    of_split: u64,
    of_period: u64,
}

/// What decides whether a row of a dataset is a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexedRow<'a> {
    /// Its number in its symbol's stream.
    pub row: u64,
    /// Its class for each target, if it has a label for all of them and is in the split for all of them.
    pub classes: Option<&'a [u8]>,
    /// Whether it is in the period.
    pub inside: bool,
}

impl IndexBuilder {
    /// Begins an index of samples with classes of this number of targets.
    pub(super) fn new(filter: SampleFilter, targets: usize) -> Self {
        Self {
            filter,
            words: Vec::new(),
            classes: vec![Vec::new(); targets],
            stretches: Vec::new(),
            rows: 0,
            last_row: None,
            longest: 0,
            of_split: 0,
            of_period: 0,
        }
    }

    pub(super) fn push(&mut self, IndexedRow { row, classes, inside }: IndexedRow<'_>) {
        // Rows around a break have no labels, so there is never a break between two consecutive `row` numbers.
        if self.last_row.is_none_or(|last| Some(row) != last.checked_add(1)) {
            self.stretches.push(Stretch { place: self.rows, row });
        }
        self.last_row = Some(row);
        let length = self.rows - self.stretches.last().map_or(0, |stretch| stretch.place) + 1;
        self.longest = self.longest.max(length);
        let SampleFilter { window, stride, first, .. } = self.filter;
        if self.rows.is_multiple_of(64) {
            self.words.push(0);
        }
        if let Some(classes) = classes {
            self.of_split += 1;
            self.of_period += u64::from(inside);
            let whole = self.rows >= first && length >= window && (length - window).is_multiple_of(stride);
            if inside
                && whole
                && let Some(word) = self.words.last_mut()
            {
                *word |= 1 << (self.rows % 64);
                self.classes.iter_mut().zip(classes).for_each(|(all, class)| all.push(*class));
            }
        }
        self.rows += 1;
    }

    /// The index.
    ///
    /// # Errors
    /// Why there is no sample, as the rest of a sentence.
    pub(super) fn finish(self) -> Result<SampleIndex, String> {
        match self.classes.iter().any(|classes| classes.is_empty()) {
            true => Err(self.without_sample()),
            false => Ok(SampleIndex::new(self.words, self.classes, self.stretches, self.rows)),
        }
    }

    fn without_sample(&self) -> String {
        let SampleFilter { split, period, window, stride, first } = self.filter;
        let split = Split::NAMES[split as usize];
        match () {
            () if self.of_split == 0 => format!("has no row of the split {split} with a label of the target"),
            () if self.of_period == 0 => {
                format!("has no sample: none of the {} rows of the split {split} {period}", grouped(self.of_split))
            }
            () if first >= self.rows => {
                "has no sample: no row has as many input files before its own as the normalisation needs".to_owned()
            }
            () if self.longest < window => format!(
                "has no sample: a window takes {} rows, and the longest unbroken stretch of the dataset has {}",
                grouped(window),
                grouped(self.longest)
            ),
            () => format!(
                "has no sample: none of the {} rows of the split {split} ends a window of {} rows, {} apart",
                grouped(self.of_period),
                grouped(window),
                grouped(stride)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_within_a_stretch_and_samples_on_the_grid() {
        // Stretches of 10 and 7 rows; the second is the holdout. Row 8 has no label, but windows span it.
        let filter = SampleFilter { split: Split::Fit, period: Period::default(), window: 4, stride: 3, first: 0 };
        let made = |filter: SampleFilter| {
            let mut builder = IndexBuilder::new(filter, 2);
            let mut push = |row: u64, of: Split, class: u8| {
                let classes = (row != 8 && of == filter.split).then_some([class, 7 - class]);
                let classes = classes.as_ref().map(<[u8; 2]>::as_slice);
                builder.push(IndexedRow { row, classes, inside: row != 14 });
            };
            (5..15).for_each(|row| push(row, Split::Fit, row as u8 % 2));
            (20..27).for_each(|row| push(row, Split::Holdout, row as u8 % 3));
            builder.finish()
        };
        let index = |filter| made(filter).unwrap();
        let places = |filter| {
            let index = index(filter);
            (0..index.len()).filter_map(|i| index.position(i)).collect::<Vec<_>>()
        };
        assert_eq!(places(filter), [6]);
        assert_eq!(places(SampleFilter { window: 3, ..filter }), [2, 5, 8]);
        assert_eq!(index(filter).classes(), [[1], [6]]);
        assert_eq!([0, 9, 10, 16].map(|place| index(filter).row(place)), [5, 14, 20, 26].map(Some));
        assert_eq!(index(filter).row(17), None);
        assert_eq!(index(filter).stretches().collect::<Vec<_>>(), [0..10, 10..17]);
        assert_eq!(places(SampleFilter { split: Split::Holdout, ..filter }), [13, 16]);
        assert_eq!(places(SampleFilter { first: 7, stride: 1, ..filter }), [7, 8]);
        let why = |filter| made(filter).unwrap_err();
        assert!(
            why(SampleFilter { window: 11, ..filter }).ends_with("the longest unbroken stretch of the dataset has 10")
        );
        assert!(why(SampleFilter { split: Split::Embargo, ..filter }).contains("no row of the split embargo"));
        assert!(why(SampleFilter { first: 10, ..filter }).contains("none of the 8 rows of the split fit"));
        assert!(why(SampleFilter { first: 17, ..filter }).contains("as many input files before its own"));
        // Another process gets the same index. An index of another dataset is refused.
        let bytes = index(filter).to_bytes();
        assert_eq!(SampleIndex::from_bytes(&bytes, 17), Some(index(filter)));
        assert_eq!(SampleIndex::from_bytes(&bytes, 16), None);
        assert!((0..bytes.len()).all(|cut| SampleIndex::from_bytes(&bytes[..cut], 17).is_none()));
    }

    #[test]
    fn classes_are_uniform_over_all_datasets() {
        let made = |classes: &[u8]| {
            let words = vec![(1 << classes.len()) - 1];
            let stretches = vec![Stretch { place: 0, row: 3 }];
            let other = classes.iter().map(|class| 9 - class).collect();
            SampleIndex::new(words, vec![classes.to_vec(), other], stretches, classes.len() as u64)
        };
        // Class 0 is rare in the first dataset and common in the second; class 1 is the other way round.
        let mut indexes = [made(&[1, 1, 0, 1, 1]), made(&[0, 0, 0, 1])];
        SampleIndex::keep_uniform(&mut indexes, 2);
        let kept = |index: &SampleIndex| (0..index.len()).filter_map(|i| index.position(i)).collect::<Vec<_>>();
        // Of the five samples of class 1, four are kept: all but the first.
        assert_eq!(indexes.each_ref().map(kept), [vec![1, 2, 3, 4], vec![0, 1, 2, 3]]);
        assert_eq!(indexes[0].classes(), [[1, 0, 1, 1], [8, 9, 8, 8]]);
        // A dataset may lose all of its samples.
        let mut indexes = [made(&[1]), made(&[0, 1])];
        SampleIndex::keep_uniform(&mut indexes, 2);
        assert_eq!(indexes.each_ref().map(SampleIndex::len), [0, 2]);
        let bytes = indexes[0].to_bytes();
        assert_eq!(SampleIndex::from_bytes(&bytes, 1).as_ref(), Some(&indexes[0]));
    }

    #[test]
    fn a_sample_is_found_by_its_number() {
        let mut word = 88172645463325252_u64;
        let words: Vec<u64> = (0..100)
            .map(|i| {
                word ^= word << 13;
                word ^= word >> 7;
                word ^= word << 17;
                if i % 9 == 3 { 0 } else { word & word.rotate_left(11) }
            })
            .collect();
        let all: Vec<u64> = (0..6400).filter(|row| words[(row / 64) as usize] >> (row % 64) & 1 == 1).collect();
        let index = SampleIndex::new(words, vec![vec![0; all.len()]], vec![Stretch { place: 0, row: 0 }], 6400);
        assert!(all.iter().enumerate().all(|(i, place)| index.position(i as u64) == Some(*place)));
        assert_eq!(index.position(index.len()), None);
        assert!(SampleIndex::default().is_empty());
    }
}
