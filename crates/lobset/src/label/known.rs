//! How much of the movements is known at their rows: their correlation with the known parts.

use serde::{Deserialize, Serialize};

use crate::cast::to_usize;
use crate::tape::MOVEMENT_BLOCK;

/// Moments of pairs, each a movement and its known part. Blocks are added in order, so the block size affects the last
/// bits of a correlation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Comoments {
    /// Number of pairs.
    count: u64,
    means: [f64; 2],
    /// Sums of the squared distances from the means.
    squares: [f64; 2],
    /// Sum of the products of both distances.
    product: f64,
}

impl Comoments {
    /// Adds the moments of other pairs (Chan, Golub, LeVeque 1983).
    pub fn add(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let mine = self.count as f64;
        self.count += other.count;
        let share = other.count as f64 / self.count as f64;
        let [x, y] = [0, 1].map(|i| other.means[i] - self.means[i]);
        self.means = [self.means[0] + x * share, self.means[1] + y * share];
        let weight = mine * share;
        self.squares =
            [self.squares[0] + other.squares[0] + x * x * weight, self.squares[1] + other.squares[1] + y * y * weight];
        self.product += other.product + x * y * weight;
    }

    /// The squared Pearson correlation, 0 to 1; 0 if all movements or all known parts are equal.
    pub fn squared_correlation(&self) -> f64 {
        let [x, y] = self.squares;
        if x > 0.0 && y > 0.0 { (self.product / x * (self.product / y)).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Sums over the pairs of a block. Values are measured as distances from the first one, so that large means cost no
/// precision and equal values have a variance of exactly 0.
#[derive(Default)]
struct Block {
    /// Number of candidates, with and without a movement.
    candidates: usize,
    count: u64,
    first: [f64; 2],
    sums: [f64; 2],
    squares: [f64; 2],
    product: f64,
}

impl Block {
    #[inline]
    fn push(&mut self, movement: f64, known: f64) {
        if self.count == 0 {
            self.first = [movement, known];
        }
        let [x, y] = [movement - self.first[0], known - self.first[1]];
        self.count += 1;
        self.sums = [self.sums[0] + x, self.sums[1] + y];
        self.squares = [self.squares[0] + x * x, self.squares[1] + y * y];
        self.product += x * y;
    }

    fn comoments(&self) -> Comoments {
        let (n, [x, y]) = (self.count as f64, self.sums);
        Comoments {
            count: self.count,
            means: [self.first[0] + x / n, self.first[1] + y / n],
            squares: [(self.squares[0] - x * x / n).max(0.0), (self.squares[1] - y * y / n).max(0.0)],
            product: self.product - x * y / n,
        }
    }
}

/// Adds up the moments of the fit rows of a range of candidates, which starts where a block does.
pub struct KnownSums {
    /// Number of fit candidates to come.
    left: u64,
    block: Block,
    done: Vec<Comoments>,
}

impl KnownSums {
    /// Sums of a range of candidates, the first `fit` of which are in the split `fit`.
    pub fn new(fit: u64) -> Self {
        Self { left: fit, block: Block::default(), done: Vec::new() }
    }

    /// Takes the movements of the next candidates, NaN where undefined, and their known parts.
    pub fn push(&mut self, movements: &[f64], known: &[f64]) {
        const BLOCK_CANDIDATES: usize = to_usize(MOVEMENT_BLOCK);
        let fit = usize::try_from(self.left).map_or(movements.len(), |left| left.min(movements.len()));
        self.left -= fit as u64;
        let mut pairs = movements[..fit].iter().zip(known);
        while pairs.len() > 0 {
            let now = pairs.len().min(BLOCK_CANDIDATES - self.block.candidates);
            for (movement, known) in pairs.by_ref().take(now) {
                if !movement.is_nan() {
                    self.block.push(*movement, *known);
                }
            }
            self.block.candidates += now;
            if self.block.candidates == BLOCK_CANDIDATES {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block.count > 0 {
            self.done.push(block.comoments());
        }
    }

    /// The moments of each block that has fit rows with a movement, in order.
    pub fn finish(mut self) -> Vec<Comoments> {
        self.end_block();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn correlation(fit: u64, movements: &[f64], known: &[f64], chunk: usize) -> f64 {
        let mut sums = KnownSums::new(fit);
        movements.chunks(chunk).zip(known.chunks(chunk)).for_each(|(movements, known)| sums.push(movements, known));
        let mut all = Comoments::default();
        sums.finish().iter().for_each(|block| all.add(block));
        all.squared_correlation()
    }

    /// The definition, in two passes over all pairs.
    fn plain(pairs: &[(f64, f64)]) -> f64 {
        let n = pairs.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / n;
        let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let sum = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        let (x, y) = (sum(&|pair| (pair.0 - a).powi(2)), sum(&|pair| (pair.1 - b).powi(2)));
        sum(&|pair| (pair.0 - a) * (pair.1 - b)).powi(2) / (x * y)
    }

    #[test]
    fn equal_values_have_no_correlation() {
        let n = 3 * to_usize(MOVEMENT_BLOCK);
        let wave: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
        // Sums of 0.1 are rounded.
        let flat = vec![0.1; n];
        assert_eq!(correlation(n as u64, &wave, &flat, 1_000), 0.0);
        assert_eq!(correlation(n as u64, &flat, &wave, 1_000), 0.0);
        assert_eq!(correlation(0, &wave, &wave, 1_000), 0.0);
        assert!(correlation(n as u64, &wave, &wave, 1_000) > 1.0 - 1e-12);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_correlation_is_that_of_the_fit_rows(
            seed: u64, n in 2usize..40_000, fit in 0.1..1.2f64, mean in -1e-3..1e-3f64, noise in 0.0..3.0f64,
            chunks in (1usize..9_000, 1usize..9_000),
        ) {
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
            };
            let known: Vec<f64> = (0..n).map(|_| mean + 1e-4 * random()).collect();
            let movements: Vec<f64> = known
                .iter()
                .enumerate()
                .map(|(i, known)| if i % 7 == 3 { f64::NAN } else { 0.5 * known + noise * 1e-4 * random() })
                .collect();
            let fit = (n as f64 * fit) as usize;
            let pairs = movements.iter().copied().zip(known.iter().copied()).take(fit);
            let pairs: Vec<_> = pairs.filter(|(movement, _)| !movement.is_nan()).collect();
            let got = correlation(fit as u64, &movements, &known, chunks.0);
            if pairs.len() > 1 {
                let want = plain(&pairs);
                prop_assert!((got - want).abs() < 1e-9, "{got} {want}");
            } else {
                prop_assert_eq!(got, 0.0);
            }
            // How the candidates are divided into chunks does not matter.
            prop_assert_eq!(got.to_bits(), correlation(fit as u64, &movements, &known, chunks.1).to_bits());
        }
    }
}
