//! Signed 192-bit integers, for products that do not fit in 128 bits, and the conversion of 128-bit integers to floats.

use crate::cast::low64;

/// The nearest f64, ties to even. The result equals `as f64`, which calls a function that is several times slower.
#[inline(always)]
pub(super) fn nearest(value: i128) -> f64 {
    // Up to 2^106, both parts are exact as floats, so only their sum is rounded.
    const LOW: u32 = 53;
    let (high, low) = (value >> LOW, low64(value.cast_unsigned()) & ((1 << LOW) - 1));
    if (-(1 << LOW)..=1 << LOW).contains(&high) {
        return low64(high.cast_unsigned()).cast_signed() as f64 * (1_u64 << LOW) as f64 + low.cast_signed() as f64;
    }
    nearest_of_wide(value)
}

/// The nearest f64 of a number of at least 64 bits.
fn nearest_of_wide(value: i128) -> f64 {
    // The highest 63 bits, and whether any bit below them is set, determine the result.
    let magnitude = value.unsigned_abs();
    let zeros = magnitude.leading_zeros();
    let (high, low) = (low64(magnitude << zeros >> 64), low64(magnitude << zeros));
    let top = high >> 1 | high & 1 | u64::from(low != 0);
    let scale = f64::from_bits((1023 + 65 - u64::from(zeros)) << 52);
    let nearest = top.cast_signed() as f64 * scale;
    if value < 0 { -nearest } else { nearest }
}

/// A signed integer: `high` times 2^64, plus `low`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    high: i128,
    low: u64,
}

impl Wide {
    /// The product of two numbers, the first of which is between -2^126 and 2^126.
    pub(super) fn product(a: i128, b: u64) -> Self {
        let (high, low) = (a >> 64, low64(a.cast_unsigned()));
        let below = u128::from(low) * u128::from(b);
        let carried = (below >> 64).cast_signed();
        Self { high: high * i128::from(b) + carried, low: low64(below) }
    }

    /// The difference.
    pub(super) fn minus(self, other: Self) -> Self {
        let (low, borrowed) = self.low.overflowing_sub(other.low);
        Self { high: self.high - other.high - i128::from(borrowed), low }
    }

    /// The nearest f64, ties to even.
    pub(super) fn nearest(self) -> f64 {
        let negative = self.high < 0;
        let Self { high, low } = if negative { Self { high: 0, low: 0 }.minus(self) } else { self };
        let high = high.cast_unsigned();
        // The highest 128 bits, and whether any bit below them is set, determine the result.
        let zeros = high.leading_zeros();
        let magnitude = if zeros >= 64 {
            (high << 64 | u128::from(low)) as f64
        } else {
            let top = if zeros == 0 { high } else { high << zeros | u128::from(low >> (64 - zeros)) };
            let rest = low.checked_shl(zeros).unwrap_or(0) != 0;
            (top | u128::from(rest)) as f64 * 2_f64.powi((64 - zeros).cast_signed())
        };
        if negative { -magnitude } else { magnitude }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decimal digits of a product, by long multiplication.
    fn decimal(a: i128, b: u64) -> String {
        let mut digits: Vec<u32> = a.unsigned_abs().to_string().bytes().rev().map(|b| u32::from(b - b'0')).collect();
        let mut carry = 0_u128;
        for digit in &mut digits {
            carry += u128::from(*digit) * u128::from(b);
            *digit = (carry % 10) as u32;
            carry /= 10;
        }
        let rest = if carry > 0 { carry.to_string() } else { String::new() };
        let digits: String = digits.iter().rev().map(u32::to_string).collect();
        format!("{}{rest}{digits}", if a < 0 { "-" } else { "" })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn products_round_as_their_digits_do(a in any::<i128>(), shift in 1u32..127, b in any::<u64>(), small in 0u32..64) {
            let (a, b) = (a >> shift, b >> small);
            prop_assert_eq!(Wide::product(a, b).nearest(), decimal(a, b).parse::<f64>().unwrap());
        }

        #[test]
        fn integers_round_as_casts_do(value in any::<i128>(), shift in 0u32..127, near in -3i128..4) {
            for value in [value >> shift, (value >> shift & !0 << 64) + near, (1 << shift) + near, (-1 << shift) + near] {
                prop_assert_eq!(nearest(value), value as f64, "{}", value);
            }
        }

        #[test]
        fn differences_are_those_of_128_bits(a: i64, b: u32, c: i64, d: u32) {
            let narrow = i128::from(a) * i128::from(b) - i128::from(c) * i128::from(d);
            let wide = Wide::product(a.into(), b.into()).minus(Wide::product(c.into(), d.into()));
            prop_assert_eq!(wide.nearest(), narrow as f64);
        }

        #[test]
        fn numbers_halfway_round_to_even(bits in 1u64..1 << 53, shift in 54u32..66, above in any::<bool>()) {
            // 2^shift more than an odd multiple of half a step, or exactly half.
            let a = (i128::from(bits) << 1 | 1) << shift >> 1;
            let a = a + i128::from(above);
            prop_assert_eq!(Wide::product(a, 1 << 40).nearest(), decimal(a, 1 << 40).parse::<f64>().unwrap());
        }
    }
}
