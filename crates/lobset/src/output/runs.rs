//! Runs of a column, in two bytes each where possible.

use super::blocks::{BLOCK_WORDS, Block, Blocks};
use super::encoding::Run;
use crate::cast::{low16, to_u32};

/// Bits of a word for the length of a run; the others are for its number.
const LENGTH_BITS: u32 = 6;
const NUMBER_BITS: u32 = u16::BITS - LENGTH_BITS;
const LENGTHS: u32 = 1 << LENGTH_BITS;
const NUMBERS: u32 = 1 << NUMBER_BITS;

/// Words of the longest run. No run crosses the end of a block.
const LONGEST: usize = 5;

/// Runs as 16-bit words, with ten bits for the number and six for the length. A number of up to 20 bits has its upper
/// ten bits in a preceding word with length zero. Any other run is a zero word, then number and length in 32 bits each.
pub(super) struct RunList {
    blocks: Blocks,
    /// Full blocks, and the words used in each.
    full: Vec<(Block, usize)>,
    open: Block,
    used: usize,
}

impl RunList {
    pub(super) fn new(blocks: Blocks) -> Self {
        let open = blocks.take();
        Self { blocks, full: Vec::new(), open, used: 0 }
    }

    /// Appends a run of at least one row.
    #[inline]
    pub(super) fn push(&mut self, (number, length): Run) {
        let (high, low) = (number >> NUMBER_BITS, number % NUMBERS);
        let word = |number: u32, length: u32| low16(number << LENGTH_BITS | length);
        if high == 0 && length < LENGTHS {
            self.put([word(low, length)]);
        } else if high < NUMBERS && high > 0 && length < LENGTHS {
            self.put([word(high, 0), word(low, length)]);
        } else {
            self.put([0, low16(number), low16(number >> 16), low16(length), low16(length >> 16)]);
        }
    }

    #[inline]
    fn put<const WORDS: usize>(&mut self, words: [u16; WORDS]) {
        let at = if self.used > BLOCK_WORDS - LONGEST { self.open_block() } else { self.used };
        self.open[at..at + WORDS].copy_from_slice(&words.map(u16::to_ne_bytes));
        self.used = at + WORDS;
    }

    /// Opens another block and returns the position of its first word.
    #[cold]
    fn open_block(&mut self) -> usize {
        let full = std::mem::replace(&mut self.open, self.blocks.take());
        self.full.push((full, self.used));
        0
    }

    /// All runs in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        let open = std::iter::once((&self.open, self.used));
        let mut blocks = self.full.iter().map(|(block, used)| (block, *used)).chain(open);
        let mut left: &[[u8; 2]] = &[];
        let word = |bytes: [u8; 2]| u32::from(u16::from_ne_bytes(bytes));
        let split = move |bytes: [u8; 2]| (word(bytes) >> LENGTH_BITS, word(bytes) % LENGTHS);
        std::iter::from_fn(move || {
            if left.is_empty() {
                let (block, used) = blocks.next()?;
                left = &block[..used];
            }
            let (run, after) = match *left {
                [[0, 0], number, number_upper, length, length_upper, ref after @ ..] => {
                    let join = |lower, upper| word(upper) << 16 | word(lower);
                    ((join(number, number_upper), join(length, length_upper)), after)
                }
                [first, second, ref after @ ..] if split(first).1 == 0 => {
                    let ((high, _), (low, length)) = (split(first), split(second));
                    ((high << NUMBER_BITS | low, length), after)
                }
                [only, ref after @ ..] => (split(only), after),
                [] => return None,
            };
            left = after;
            Some(run)
        })
    }

    /// Removes all runs and returns the full blocks to the pool.
    pub(super) fn clear(&mut self) {
        self.blocks.put(self.full.drain(..).map(|(block, _)| block));
        self.used = 0;
    }
}

/// Splits runs at the ends of pages.
pub(super) struct PageRuns<I> {
    runs: I,
    /// The rest of the previous page's last run.
    rest: Run,
}

impl<I: Iterator<Item = Run>> PageRuns<I> {
    pub(super) fn new(runs: I) -> Self {
        Self { runs, rest: (0, 0) }
    }

    /// Fills `page` with the runs of the next `rows` rows, fewer at the end. Returns the number of rows.
    pub(super) fn next_page(&mut self, rows: usize, page: &mut Vec<Run>) -> usize {
        page.clear();
        let mut wanted = to_u32(rows);
        while wanted > 0 {
            if self.rest.1 == 0 {
                let Some(run) = self.runs.next() else { break };
                self.rest = run;
            }
            let (number, length) = (self.rest.0, self.rest.1.min(wanted));
            page.push((number, length));
            self.rest.1 -= length;
            wanted -= length;
        }
        rows - wanted as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_all_sizes_are_kept() {
        let edges = |bits: u32| [(1_u32 << bits) - 1, 1 << bits, (1 << bits) + 1];
        let large = [10, 16, 20].into_iter().flat_map(edges);
        let numbers: Vec<u32> = [0, 1].into_iter().chain(large).chain([u32::MAX - 1, u32::MAX]).collect();
        let lengths: Vec<u32> = [1].into_iter().chain([6, 10, 16, 20].into_iter().flat_map(edges)).collect();
        let mut list = RunList::new(Blocks::default());
        for times in [1, 50] {
            let all = numbers.iter().flat_map(|number| lengths.iter().map(|length| (*number, *length)));
            let runs: Vec<Run> = all.flat_map(|run| std::iter::repeat_n(run, times)).collect();
            runs.iter().for_each(|run| list.push(*run));
            assert_eq!(list.iter().collect::<Vec<_>>(), runs);
            list.clear();
            assert_eq!(list.iter().next(), None);
        }
    }

    #[test]
    fn runs_are_cut_at_the_ends_of_pages() {
        let mut page = Vec::new();
        let mut pages = PageRuns::new([(1, 3), (2, 9), (3, 1), (4, 2)].into_iter());
        let mut next = |rows| (pages.next_page(rows, &mut page), page.clone());
        assert_eq!(next(4), (4, vec![(1, 3), (2, 1)]));
        assert_eq!(next(4), (4, vec![(2, 4)]));
        assert_eq!(next(4), (4, vec![(2, 4)]));
        assert_eq!(next(4), (3, vec![(3, 1), (4, 2)]));
        assert_eq!(next(4), (0, vec![]));
    }
}
