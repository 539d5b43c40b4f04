//! Marks the same number of rows of every class, spread evenly over time.

use crate::cast::low64;

/// The number of rows of each class, and of those marked, within one symbol and split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    counts: Vec<u64>,
    k: u64,
}

impl Quota {
    /// Computes k: the smallest count among the classes with at least a tenth of their fair share of the rows.
    pub fn new(counts: Vec<u64>) -> Self {
        // Counts from a manifest can be arbitrary, so their sum may exceed 64 bits.
        let rows: u128 = counts.iter().map(|c| u128::from(*c)).sum();
        let nbins = counts.len() as u128;
        let enough = |c: &&u64| u128::from(**c) * nbins * 10 >= rows;
        let k = if rows == 0 { 0 } else { counts.iter().filter(enough).min().copied().unwrap_or(0) };
        Self { counts, k }
    }

    /// Number of marked rows of every class that is not short.
    #[cfg(test)]
    pub fn k(&self) -> u64 {
        self.k
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

    /// Whether the `j`-th row of a class, from 1, is marked.
    #[inline]
    pub fn is_marked(&self, class: usize, j: u64) -> bool {
        let c = self.counts[class];
        if c <= self.k {
            return true;
        }
        // floor(j*k/c) exceeds floor((j-1)*k/c) exactly when j*k mod c is less than k.
        match j.checked_mul(self.k) {
            Some(product) => product % c < self.k,
            None => self.marked_among(class, j) > self.marked_among(class, j - 1),
        }
    }

    /// Number of marked rows of a class.
    pub fn marked(&self, class: usize) -> u64 {
        self.marked_among(class, self.counts[class])
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
    fn counts_of_any_size_have_a_quota() {
        let quota = Quota::new(vec![u64::MAX, u64::MAX, 3]);
        assert_eq!((quota.k(), quota.short().collect::<Vec<_>>()), (u64::MAX, vec![2]));
        assert_eq!(quota.marked(0), u64::MAX);
    }

    proptest! {
        #[test]
        fn marks_are_as_many_as_promised_and_evenly_spread(counts in prop::collection::vec(0u64..300, 2..8)) {
            let quota = Quota::new(counts.clone());
            for (class, &c) in counts.iter().enumerate() {
                let marked: Vec<u64> = (1..=c).filter(|&j| quota.is_marked(class, j)).collect();
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
