//! The tick of an instrument: the greatest common divisor of its prices.

use dbn::UNDEF_PRICE;

/// The greatest common divisor of the prices seen so far, 0 before the first.
///
/// Nearly every price is a multiple of the current divisor, and one multiplication is enough to check that: a multiple
/// of an odd number, times the inverse of that number modulo 2⁶⁴, is the quotient, which is small (Granlund and
/// Montgomery 1994, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    divisor: u64,
    /// Inverse of the odd part of the divisor, modulo 2⁶⁴.
    inverse: u64,
    /// Exponent of 2 in the divisor.
    twos: u32,
    /// The largest quotient of a price by the divisor.
    largest: u64,
}

impl Default for Tick {
    fn default() -> Self {
        // Only 0 is a multiple of 0.
        Self { divisor: 0, inverse: 1, twos: 0, largest: 0 }
    }
}

impl Tick {
    /// Takes into account a price in 1e-9 of a price unit; ignores `UNDEF_PRICE`.
    #[inline(always)]
    pub fn push(&mut self, price: i64) {
        let quotient = price.unsigned_abs().wrapping_mul(self.inverse).rotate_right(self.twos);
        if quotient > self.largest {
            self.refine(price);
        }
    }

    #[cold]
    fn refine(&mut self, price: i64) {
        if price != UNDEF_PRICE {
            *self = Self::of(common_divisor(self.divisor, price.unsigned_abs()));
        }
    }

    fn of(divisor: u64) -> Self {
        if divisor == 0 {
            return Self::default();
        }
        let twos = divisor.trailing_zeros();
        let odd = divisor >> twos;
        // Newton's method: each step doubles the number of correct bits, which are five at first.
        let mut inverse = 3_u64.wrapping_mul(odd) ^ 2;
        for _ in 0..4 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        }
        Self { divisor, inverse, twos, largest: u64::MAX / divisor }
    }

    /// The tick in 1e-9 of a price unit; 0 if there was no price other than 0.
    pub fn get(self) -> u64 {
        self.divisor
    }
}

/// The greatest common divisor of two numbers; for a number and 0, it is the number.
pub fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tick_divides_all_prices_and_nothing_larger_does(
            unit in prop_oneof![1_i64..1000, Just(1_000_000_000), Just(1 << 40)],
            prices in prop::collection::vec(prop_oneof![-1000_i64..1000, Just(0), Just(i64::MIN), Just(UNDEF_PRICE)], 0..30),
        ) {
            let mut tick = Tick::default();
            let mut divisor = 0;
            for price in prices {
                let price = if price == i64::MIN || price == UNDEF_PRICE { price } else { price * unit };
                tick.push(price);
                if price != UNDEF_PRICE {
                    divisor = common_divisor(price.unsigned_abs(), divisor);
                }
                prop_assert_eq!(tick.get(), divisor);
            }
        }
    }
}
