//! Sums of floats without rounding. The order of the values does not matter, nor how they are divided among threads.

use num_bigint::BigInt;
use num_traits::ToPrimitive;
use serde::{Deserialize, Serialize};

use crate::cast::low64;

/// Bits of a digit.
const DIGIT: u32 = 64;

/// Bits after the point, and number of digits. Values of derived columns are below 2^35 and multiples of 2^-115 (the
/// weighted mid of one unit of 1e-9, divided by 32-bit sizes). With 2^48 rows, their sum is below 2^83.
const FRACTION: u32 = 128;
const DIGITS: usize = 5;

/// The same for their squares, which are multiples of 2^-230 with sums below 2^118.
const SQUARE_FRACTION: u32 = 256;
const SQUARE_DIGITS: usize = 8;

/// A sum of numbers, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Exact {
    /// Bits after the point.
    fraction: u32,
    /// Digits of 64 bits, the lowest first. Carries are propagated only at the end: each digit has room for a sum of up
    /// to 2^62 terms.
    digits: Vec<i128>,
    /// Whether a term did not fit, so that the sum is unknown.
    lost: bool,
}

impl Exact {
    fn new(fraction: u32, digits: usize) -> Self {
        Self { fraction, digits: vec![0; digits], lost: false }
    }

    /// Adds `magnitude` times 2^`exponent`, with a sign.
    fn add(&mut self, magnitude: u128, exponent: i32, negative: bool) {
        let zeros = magnitude.trailing_zeros();
        if magnitude == 0 {
            return;
        }
        // Only the bits from the lowest set bit up need a place in the digits.
        let place = i64::from(exponent) + i64::from(zeros) + i64::from(self.fraction);
        let magnitude = magnitude >> zeros;
        let Ok(place) = u32::try_from(place) else {
            self.lost = true;
            return;
        };
        let (first, shift) = ((place / DIGIT) as usize, place % DIGIT);
        let low = u128::from(low64(magnitude)) << shift;
        let high = (magnitude >> DIGIT << shift) + (low >> DIGIT);
        for (number, digit) in [low64(low), low64(high), low64(high >> DIGIT)].into_iter().enumerate() {
            match self.digits.get_mut(first + number) {
                Some(sum) if negative => *sum -= i128::from(digit),
                Some(sum) => *sum += i128::from(digit),
                None => self.lost |= digit != 0,
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.digits.iter_mut().zip(&other.digits).for_each(|(sum, more)| *sum += more);
        self.lost |= other.lost;
    }

    /// The sum, rounded once to the nearest float, ties to even; `None` if a term did not fit.
    fn nearest(&self) -> Option<f64> {
        let number = self.digits.iter().rev().fold(BigInt::ZERO, |sum, digit| (sum << DIGIT) + BigInt::from(*digit));
        let scale = 2_f64.powi(-self.fraction.cast_signed());
        number.to_f64().filter(|_| !self.lost).map(|sum| sum * scale)
    }
}

/// The sum of floats and the sum of their squares, exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloatSums {
    sum: Exact,
    squares: Exact,
}

impl FloatSums {
    /// The sums of no values.
    pub fn new() -> Self {
        Self { sum: Exact::new(FRACTION, DIGITS), squares: Exact::new(SQUARE_FRACTION, SQUARE_DIGITS) }
    }

    /// Adds a value `times` times.
    pub fn add(&mut self, value: f64, times: u32) {
        let bits = value.abs().to_bits();
        // The exponent of the lowest bit of a normal number. Derived columns contain only normal numbers and zero.
        let exponent = i32::try_from(bits >> 52).unwrap_or_default() - 1075;
        let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52);
        if value == 0.0 {
            return;
        }
        if !value.is_normal() {
            (self.sum.lost, self.squares.lost) = (true, true);
            return;
        }
        let times = u128::from(times);
        // At most 53 + 32 and 106 bits; a row group has fewer than 2^22 rows, so the square takes fewer than 128 bits.
        self.sum.add(mantissa * times, exponent, value < 0.0);
        match (mantissa * mantissa).checked_mul(times) {
            Some(squares) => self.squares.add(squares, 2 * exponent, false),
            None => self.squares.lost = true,
        }
    }

    /// Adds the sums of other values.
    pub fn merge(&mut self, other: &Self) {
        self.sum.merge(&other.sum);
        self.squares.merge(&other.squares);
    }

    /// The sum and the sum of squares, each rounded once; `None` if a value was outside the range of derived columns.
    pub fn nearest(&self) -> [Option<f64>; 2] {
        [self.sum.nearest(), self.squares.nearest()]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[(f64, u32)]) -> [Option<f64>; 2] {
        let mut sums = FloatSums::new();
        values.iter().for_each(|(value, times)| sums.add(*value, *times));
        sums.nearest()
    }

    #[test]
    fn nothing_is_lost_in_between() {
        assert_eq!(of(&[]), [Some(0.0), Some(0.0)]);
        assert_eq!(of(&[(0.1, 10)]), [Some(1.0), Some(0.1)]);
        assert_eq!(of(&[(1e10, 1), (1e-16, 3), (-1e10, 1)])[0], Some(3e-16));
        assert_eq!(of(&[(-0.5, 3), (0.0, 9), (-0.0, 1)]), [Some(-1.5), Some(0.75)]);
        // The ends of the range of a weighted mid.
        let [low, high] = [1.0 / 2_f64.powi(63), 2_f64.powi(34)];
        assert_eq!(of(&[(low, 1), (high, 1 << 20), (-high, 1 << 20)])[0], Some(low));
        for odd in [f64::NAN, f64::INFINITY, 1e-300, f64::MIN_POSITIVE / 2.0, 1e200] {
            assert_eq!(of(&[(1.0, 1), (odd, 1)]), [None, None], "{odd}");
        }
    }

    proptest! {
        #[test]
        fn sums_of_whole_numbers_are_those_of_integers(values in prop::collection::vec((-1_000_000_000i64..1_000_000_000, 1u32..200_000), 0..50)) {
            let floats: Vec<(f64, u32)> = values.iter().map(|(value, times)| (*value as f64, *times)).collect();
            let sum: i128 = values.iter().map(|(value, times)| i128::from(*value) * i128::from(*times)).sum();
            let squares: i128 = values.iter().map(|(value, times)| i128::from(*value).pow(2) * i128::from(*times)).sum();
            prop_assert_eq!(of(&floats), [Some(sum as f64), Some(squares as f64)]);
            // Divided into two parts, and scaled down by a power of two.
            let [mut all, mut rest] = [FloatSums::new(), FloatSums::new()];
            for (number, (value, times)) in floats.iter().enumerate() {
                (if number % 3 == 0 { &mut all } else { &mut rest }).add(value / 2_f64.powi(61), *times);
            }
            all.merge(&rest);
            let scale = 2_f64.powi(61);
            prop_assert_eq!(all.nearest(), [Some(sum as f64 / scale), Some(squares as f64 / scale / scale)]);
        }
    }
}
