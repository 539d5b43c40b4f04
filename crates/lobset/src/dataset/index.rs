//! Selection of the rows of a dataset that are samples.

use crate::label::Split;

/// The conditions under which a row is a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFilter {
    /// The side of the boundary time. Rows under embargo belong to neither side and cannot be selected.
    pub split: Split,
    /// Only rows of the uniform subset.
    pub balanced: bool,
    /// Length in rows of the window that ends at the sample, all within one unbroken stretch; at least 1.
    pub window: u64,
    /// Distance in rows between neighbouring samples of a stretch, counted from its first complete window; at least 1.
    pub stride: u64,
}

/// Number of words in a block; the sample count before each block is precomputed.
const COUNTED_WORDS: usize = 8;

/// The samples of a dataset, in order, as one bit for each row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SampleIndex {
    words: Vec<u64>,
    /// Number of samples before each block.
    before: Vec<u64>,
    len: u64,
}

impl SampleIndex {
    /// Builds an index from a bitmap of rows, 64 to a word, lowest bit first.
    pub fn from_words(words: Vec<u64>) -> Self {
        let mut len = 0;
        let count = |block: &[u64]| {
            let before = len;
            len += block.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
            before
        };
        let before = words.chunks(COUNTED_WORDS).map(count).collect();
        Self { words, before, len }
    }

    /// The bitmap of rows, 64 to a word, lowest bit first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Number of samples.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the index contains no sample.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Position in the file, from 0, of the sample with this number.
    pub fn position(&self, sample: u64) -> Option<u64> {
        if sample >= self.len {
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

    /// The positions of all samples within `rows`.
    pub(super) fn within(&self, rows: std::ops::Range<u64>) -> impl Iterator<Item = u64> + '_ {
        rows.filter(|row| self.words.get((row / 64) as usize).is_some_and(|word| word >> (row % 64) & 1 == 1))
    }
}

/// Builds an index from a dataset's rows, in order.
pub(super) struct IndexBuilder {
    filter: SampleFilter,
    words: Vec<u64>,
    rows: u64,
    /// The position at which the current stretch began, and the last `row` pushed.
    stretch: u64,
    last_row: Option<u64>,
}

impl IndexBuilder {
    pub(super) fn new(filter: SampleFilter) -> Self {
        Self { filter, words: Vec::new(), rows: 0, stretch: 0, last_row: None }
    }

    /// Adds a row: its number in its symbol's stream, and its split, if it has a label.
    pub(super) fn push(&mut self, row: u64, split: Option<Split>, balanced: bool) {
        // Rows around a break have no labels, so there is never a break between two consecutive `row` numbers.
        if self.last_row.is_none_or(|last| row != last + 1) {
            self.stretch = self.rows;
        }
        self.last_row = Some(row);
        let length = self.rows - self.stretch + 1;
        let SampleFilter { split: wanted, balanced: marked, window, stride } = self.filter;
        let whole = length >= window && (length - window).is_multiple_of(stride);
        if self.rows.is_multiple_of(64) {
            self.words.push(0);
        }
        if whole
            && split == Some(wanted)
            && (balanced || !marked)
            && let Some(word) = self.words.last_mut()
        {
            *word |= 1 << (self.rows % 64);
        }
        self.rows += 1;
    }

    pub(super) fn finish(self) -> SampleIndex {
        SampleIndex::from_words(self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_stay_within_a_stretch_and_samples_on_the_grid() {
        // Stretches of 10 and 7 rows; the second is the holdout. Row 8 has no label, but windows span it.
        let filter = SampleFilter { split: Split::Fit, balanced: false, window: 4, stride: 3 };
        let places = |filter| {
            let mut builder = IndexBuilder::new(filter);
            (5..15).for_each(|row| builder.push(row, (row != 8).then_some(Split::Fit), row % 2 == 0));
            (20..27).for_each(|row| builder.push(row, Some(Split::Holdout), true));
            let index = builder.finish();
            (0..index.len()).filter_map(|i| index.position(i)).collect::<Vec<_>>()
        };
        assert_eq!(places(filter), [6, 9]);
        assert_eq!(places(SampleFilter { balanced: true, ..filter }), [9]);
        assert_eq!(places(SampleFilter { split: Split::Holdout, ..filter }), [13, 16]);
        assert_eq!(places(SampleFilter { window: 11, ..filter }), [0_u64; 0]);
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
        let index = SampleIndex::from_words(words);
        let all: Vec<u64> = index.within(0..6400).collect();
        assert_eq!(index.len(), all.len() as u64);
        assert!(all.iter().enumerate().all(|(i, place)| index.position(i as u64) == Some(*place)));
        assert_eq!(index.position(index.len()), None);
        assert!(SampleIndex::default().is_empty());
    }
}
