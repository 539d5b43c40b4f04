//! Selection of the rows of a dataset that are samples.

use std::ops::Range;

use crate::label::{Quota, Split};
use crate::printable::grouped;

/// The conditions under which a row is a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFilter {
    /// The side of the boundary time. Rows under embargo belong to neither side and cannot be selected.
    pub split: Split,
    /// As many samples of every class, spread evenly over time, by the rule of the column `balanced`. Where a window, a
    /// stride or `first` leave rows out, the rule applies to the rows that are left.
    pub balanced: bool,
    /// Length in rows of the window that ends at the sample, all within one unbroken stretch; at least 1.
    pub window: u64,
    /// Distance in rows between neighbouring samples of a stretch, counted from its first complete window; at least 1.
    pub stride: u64,
    /// The first row that may be a sample, as a position in the file.
    pub first: u64,
}

/// Number of words in a block; the sample count before each block is precomputed.
const COUNTED_WORDS: usize = 8;

/// The samples of a dataset, in order: one bit for each row, and the class of each sample.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleIndex {
    words: Vec<u64>,
    /// Number of samples before each block.
    before: Vec<u64>,
    /// By sample.
    classes: Vec<u8>,
    /// The first row of each unbroken stretch, as a position in the file.
    stretches: Vec<u64>,
    /// Number of rows of the file.
    rows: u64,
}

impl SampleIndex {
    /// Builds an index from a bitmap of rows, 64 to a word, lowest bit first. There is a class for each bit that is set.
    fn new(words: Vec<u64>, classes: Vec<u8>, stretches: Vec<u64>, rows: u64) -> Self {
        let mut samples = 0;
        let count = |block: &[u64]| {
            let before = samples;
            samples += ones(block);
            before
        };
        let before = words.chunks(COUNTED_WORDS).map(count).collect();
        Self { words, before, classes, stretches, rows }
    }

    /// The index as bytes, for another process: about a bit for each row and a byte for each sample.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lists = [&self.stretches, &self.words];
        let numbers = [self.rows, self.stretches.len() as u64].into_iter().chain(lists.into_iter().flatten().copied());
        let mut bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
        bytes.extend_from_slice(&self.classes);
        bytes
    }

    /// The index of a dataset of `rows` rows that [`to_bytes`](Self::to_bytes) has written; `None` if it is of another
    /// dataset.
    pub fn from_bytes(bytes: &[u8], rows: u64) -> Option<Self> {
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let (head, rest) = bytes.split_at_checked(16)?;
        let (count, own) = (number(&head[8..])?, number(&head[..8])?);
        let (stretches, rest) = rest.split_at_checked(usize::try_from(count).ok()?.checked_mul(8)?)?;
        let (words, classes) = rest.split_at_checked(usize::try_from(rows.div_ceil(64)).ok()?.checked_mul(8)?)?;
        let numbers =
            |bytes: &[u8]| bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>();
        let (words, stretches) = (numbers(words), numbers(stretches));
        let whole = own == rows
            && ones(&words) == classes.len() as u64
            && stretches.is_sorted()
            && stretches.last().is_none_or(|last| *last < rows);
        whole.then(|| Self::new(words, classes.to_vec(), stretches, rows))
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.classes.len() as u64
    }

    /// Whether the index contains no sample.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class of each sample, in order.
    pub fn classes(&self) -> &[u8] {
        &self.classes
    }

    /// The unbroken stretches of the file, as ranges of positions, in order.
    pub fn stretches(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let ends = self.stretches.iter().skip(1).copied().chain([self.rows]);
        self.stretches.iter().copied().zip(ends).map(|(start, end)| start..end)
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
}

fn ones(words: &[u64]) -> u64 {
    words.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Builds an index from a dataset's rows, in order.
pub(super) struct IndexBuilder {
    filter: SampleFilter,
    words: Vec<u64>,
    classes: Vec<u8>,
    stretches: Vec<u64>,
    rows: u64,
    /// The last `row` pushed.
    last_row: Option<u64>,
    /// Rows of the longest stretch, and labelled rows of the split.
    longest: u64,
    of_split: u64,
}

/// A row of a dataset, as far as it decides about samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexedRow {
    /// Its number in its symbol's stream.
    pub row: u64,
    /// Its split and class, if it has a label.
    pub label: Option<(Split, u8)>,
}

impl IndexBuilder {
    pub(super) fn new(filter: SampleFilter) -> Self {
        Self {
            filter,
            words: Vec::new(),
            classes: Vec::new(),
            stretches: Vec::new(),
            rows: 0,
            last_row: None,
            longest: 0,
            of_split: 0,
        }
    }

    pub(super) fn push(&mut self, IndexedRow { row, label }: IndexedRow) {
        // Rows around a break have no labels, so there is never a break between two consecutive `row` numbers.
        if self.last_row.is_none_or(|last| Some(row) != last.checked_add(1)) {
            self.stretches.push(self.rows);
        }
        self.last_row = Some(row);
        let length = self.rows - self.stretches.last().copied().unwrap_or(0) + 1;
        self.longest = self.longest.max(length);
        let SampleFilter { split: wanted, window, stride, first, .. } = self.filter;
        if self.rows.is_multiple_of(64) {
            self.words.push(0);
        }
        if let Some((split, class)) = label
            && split == wanted
        {
            self.of_split += 1;
            let whole = self.rows >= first && length >= window && (length - window).is_multiple_of(stride);
            if whole && let Some(word) = self.words.last_mut() {
                *word |= 1 << (self.rows % 64);
                self.classes.push(class);
            }
        }
        self.rows += 1;
    }

    /// The index of a dataset with so many classes.
    ///
    /// # Errors
    /// Why there is no sample, as the rest of a sentence.
    pub(super) fn finish(mut self, classes: usize) -> Result<SampleIndex, String> {
        if self.classes.is_empty() {
            return Err(self.without_sample());
        }
        if self.filter.balanced {
            self.keep_uniform(classes);
        }
        Ok(SampleIndex::new(self.words, self.classes, self.stretches, self.rows))
    }

    /// Keeps the same number of samples of every class.
    fn keep_uniform(&mut self, classes: usize) {
        let largest = self.classes.iter().max().map_or(0, |class| usize::from(*class) + 1);
        let mut counts = vec![0; classes.max(largest)];
        self.classes.iter().for_each(|class| counts[usize::from(*class)] += 1);
        let none = vec![0; counts.len()];
        let mut marking = Quota::new(counts).marking(&none);
        let kept: Vec<bool> = self.classes.iter().map(|class| marking.next(usize::from(*class))).collect();
        let mut sample = kept.iter();
        for word in &mut self.words {
            let mut bits = *word;
            while bits != 0 {
                if sample.next() == Some(&false) {
                    *word &= !(1 << bits.trailing_zeros());
                }
                bits &= bits - 1;
            }
        }
        let mut sample = kept.iter();
        self.classes.retain(|_| sample.next() == Some(&true));
    }

    fn without_sample(&self) -> String {
        let SampleFilter { split, window, stride, .. } = self.filter;
        let split = Split::NAMES[split as usize];
        match () {
            () if self.of_split == 0 => format!("has no row of the split {split} with a label of the target"),
            () if self.longest < window => format!(
                "has no sample: a window takes {} rows, and the longest unbroken stretch of the dataset has {}",
                grouped(window),
                grouped(self.longest)
            ),
            () => format!(
                "has no sample: none of the {} rows of the split {split} ends a window of {} rows, {} apart",
                grouped(self.of_split),
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
        let filter = SampleFilter { split: Split::Fit, balanced: false, window: 4, stride: 3, first: 0 };
        let made = |filter| {
            let mut builder = IndexBuilder::new(filter);
            let mut push = |row: u64, label| builder.push(IndexedRow { row, label });
            (5..15).for_each(|row| push(row, (row != 8).then_some((Split::Fit, row as u8 % 2))));
            (20..27).for_each(|row| push(row, Some((Split::Holdout, row as u8 % 3))));
            builder.finish(3)
        };
        let index = |filter| made(filter).unwrap();
        let places = |filter| {
            let index = index(filter);
            (0..index.len()).filter_map(|i| index.position(i)).collect::<Vec<_>>()
        };
        assert_eq!(places(filter), [6, 9]);
        assert_eq!(index(filter).classes(), [1, 0]);
        assert_eq!(index(filter).stretches().collect::<Vec<_>>(), [0..10, 10..17]);
        assert_eq!(places(SampleFilter { split: Split::Holdout, ..filter }), [13, 16]);
        assert_eq!(places(SampleFilter { first: 7, ..filter }), [9]);
        // Rows 13 to 16 have the classes 2, 0, 1 and 2: of the two of class 2, the second is marked.
        let uniform = SampleFilter { split: Split::Holdout, balanced: true, stride: 1, ..filter };
        assert_eq!((places(uniform), index(uniform).classes()), (vec![14, 15, 16], &[0, 1, 2][..]));
        let why = |filter| made(filter).unwrap_err();
        assert!(
            why(SampleFilter { window: 11, ..filter }).ends_with("the longest unbroken stretch of the dataset has 10")
        );
        assert!(why(SampleFilter { split: Split::Embargo, ..filter }).contains("no row of the split embargo"));
        assert!(why(SampleFilter { first: 10, ..filter }).contains("none of the 9 rows of the split fit"));
        // Another process gets the same index, and refuses that of another dataset.
        let bytes = index(filter).to_bytes();
        assert_eq!(SampleIndex::from_bytes(&bytes, 17), Some(index(filter)));
        assert_eq!(SampleIndex::from_bytes(&bytes, 16), None);
        assert!((0..bytes.len()).all(|cut| SampleIndex::from_bytes(&bytes[..cut], 17).is_none()));
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
        let index = SampleIndex::new(words, vec![0; all.len()], vec![0], 6400);
        assert!(all.iter().enumerate().all(|(i, place)| index.position(i as u64) == Some(*place)));
        assert_eq!(index.position(index.len()), None);
        assert!(SampleIndex::default().is_empty());
    }
}
