//! Marks the same number of rows of every class, spread evenly over time.

use crate::cast::{low64, to_usize};

/// How many rows each class has, and how many of them are marked, within one symbol and split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    counts: Vec<u64>,
    k: u64,
    lopsided: bool,
}

impl Quota {
    /// Computes k: the smallest count among the classes with at least a tenth of their fair share of the rows. If fewer
    /// than half of the classes have that many, k is the smallest nonzero count of all classes.
    pub fn new(counts: Vec<u64>) -> Self {
        // Counts from a manifest can be arbitrary, so their sum may exceed 64 bits.
        let rows: u128 = counts.iter().map(|c| u128::from(*c)).sum();
        let nbins = counts.len() as u128;
        let full = || counts.iter().filter(|c| u128::from(**c) * nbins * 10 >= rows);
        // If only the few large classes set k, every row of the small ones would be marked, and the result would not be
        // uniform.
        let lopsided = 2 * full().count() < counts.len();
        let least = if lopsided { counts.iter().filter(|c| **c > 0).min() } else { full().min() };
        Self { k: least.copied().unwrap_or(0), lopsided, counts }
    }

    /// Number of marked rows of every class that is not short.
    pub fn k(&self) -> u64 {
        self.k
    }

    /// True if fewer than half of the classes have a tenth of their fair share of the rows. The smallest class that has
    /// rows then sets k.
    pub fn is_lopsided(&self) -> bool {
        self.lopsided
    }

    /// Classes with fewer than k rows.
    pub fn short(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.counts.len()).filter(|class| self.counts[*class] < self.k)
    }

    /// Number of marked rows among the first `j` rows of a class.
    #[inline]
    pub fn marked_among(&self, class: usize, j: u64) -> u64 {
        let c = self.counts[class];
        if c <= self.k { j } else { low64(u128::from(j) * u128::from(self.k) / u128::from(c)) }
    }

    /// Marks the rows that follow the first `before` of each class.
    pub fn marking(&self, before: &[u64]) -> Marking {
        let step = |(c, j): (&u64, &u64)| match *c <= self.k {
            true => Step { rest: 0, k: 1, c: 1 },
            false => Step { rest: low64(u128::from(*j) * u128::from(self.k) % u128::from(*c)), k: self.k, c: *c },
        };
        Marking(self.counts.iter().zip(before).map(step).collect())
    }

    /// Number of marked rows of a class.
    pub fn marked(&self, class: usize) -> u64 {
        self.marked_among(class, self.counts[class])
    }
}

/// Marks the rows of a split, in order.
#[derive(Debug, Clone)]
pub struct Marking(Vec<Step>);

/// The rows of a class so far.
#[derive(Debug, Clone)]
struct Step {
    /// j*k mod c, for the j rows so far.
    rest: u64,
    k: u64,
    c: u64,
}

impl Step {
    /// Whether the next row is marked.
    #[inline]
    fn next(&mut self) -> bool {
        let Self { rest, k, c } = self;
        // floor(j*k/c) exceeds floor((j-1)*k/c) exactly when j*k mod c wraps around.
        let marked = *rest >= *c - *k;
        *rest = if marked { *rest - (*c - *k) } else { *rest + *k };
        marked
    }
}

impl Marking {
    /// Whether the next row of a class is marked.
    #[inline]
    pub fn next(&mut self, class: usize) -> bool {
        self.0[class].next()
    }

    /// Marks the next rows, given their classes. A class that does not exist stands for a row without a label, whose mark
    /// is left alone.
    pub fn mark(&mut self, classes: &[u64], mut marks: &mut [u64]) {
        for same in classes.chunk_by(|a, b| a == b) {
            let marks = marks.split_off_mut(..same.len()).unwrap_or_default();
            let Some(step) = self.0.get_mut(to_usize(same[0])) else { continue };
            // A copy can stay in a register.
            let mut now = step.clone();
            marks.iter_mut().for_each(|mark| *mark = now.next().into());
            *step = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_below_a_tenth_of_their_share_do_not_set_the_quota() {
        // 1000 rows, fair share 250, a tenth of it 25.
        let quota = Quota::new(vec![400, 24, 26, 550]);
        assert_eq!(quota.k(), 26);
        assert_eq!(quota.short().collect::<Vec<_>>(), [1]);
        assert_eq!((0..4).map(|c| quota.marked(c)).collect::<Vec<_>>(), [26, 24, 26, 26]);
        assert_eq!(Quota::new(vec![0, 0]).k(), 0);
        assert_eq!(Quota::new(vec![0, 7]).k(), 7);
    }

    #[test]
    fn where_most_classes_are_small_the_smallest_sets_the_quota() {
        // From real perpetual futures, ten rows ahead: two of three classes have less than a tenth of their fair share
        // (1,275 rows).
        let quota = Quota::new(vec![1_194, 35_964, 1_099]);
        assert_eq!((quota.k(), quota.is_lopsided()), (1_099, true));
        assert_eq!((0..3).map(|c| quota.marked(c)).collect::<Vec<_>>(), [1_099; 3]);
        // Classes without rows are always short.
        let quota = Quota::new(vec![0, 2, 9_000, 0, 5]);
        assert_eq!((quota.k(), quota.short().collect::<Vec<_>>()), (2, vec![0, 3]));
        // Exactly half of the classes does not count as fewer than half.
        let quota = Quota::new(vec![1, 500, 2, 500]);
        assert_eq!((quota.k(), quota.is_lopsided()), (500, false));
    }

    #[test]
    fn counts_of_any_size_have_a_quota() {
        let quota = Quota::new(vec![u64::MAX, u64::MAX, 3]);
        assert_eq!((quota.k(), quota.short().collect::<Vec<_>>()), (u64::MAX, vec![2]));
        assert_eq!(quota.marked(0), u64::MAX);
    }

    /// Class counts, each of which may be very large or very small.
    fn uneven() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![Just(0), 0..5u64, 0..300u64, 5_000..9_000u64], 2..8)
    }

    proptest! {
        #[test]
        fn the_quota_is_that_of_the_plain_rule(counts in uneven()) {
            let mut sorted = counts.clone();
            sorted.sort_unstable();
            let tenth = |c: &u64| *c as f64 / counts.iter().sum::<u64>().max(1) as f64 >= 0.1 / counts.len() as f64 - 1e-12;
            let large: Vec<u64> = sorted.iter().copied().filter(tenth).collect();
            let quota = Quota::new(counts.clone());
            let many = large.len() as f64 >= counts.len() as f64 / 2.0;
            prop_assert_eq!(quota.is_lopsided(), !many && counts.iter().any(|c| *c > 0));
            let want = if many { large[0] } else { sorted.into_iter().find(|c| *c > 0).unwrap_or(0) };
            prop_assert_eq!(quota.k(), want);
        }

        #[test]
        fn marks_are_as_many_as_promised_and_evenly_spread(counts in prop_oneof![prop::collection::vec(0u64..300, 2..8), uneven()]) {
            let quota = Quota::new(counts.clone());
            for (class, &c) in counts.iter().enumerate() {
                let mut marking = quota.marking(&vec![0; counts.len()]);
                let marked: Vec<u64> = (1..=c).filter(|_| marking.next(class)).collect();
                prop_assert_eq!(marked.len() as u64, c.min(quota.k()));
                for j in 0..=c {
                    let among = marked.iter().filter(|m| **m <= j).count() as u64;
                    prop_assert_eq!(among, quota.marked_among(class, j));
                    // Never more than one row away from the straight line.
                    prop_assert!((among as f64 - j as f64 * c.min(quota.k()) as f64 / c.max(1) as f64).abs() < 1.0 + 1e-9);
                }
            }
        }
    }
}
