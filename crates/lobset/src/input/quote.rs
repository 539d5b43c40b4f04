//! Selects the records that are rows: those with a usable best quote.

use std::ops::AddAssign;

use dbn::{BidAskPair, UNDEF_PRICE};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::cast::whole;

/// True for a price in 1e-9 that survives the conversion to a float in price units and back. All below 2^22 units (some four
/// million) do, because floats there lie less than 1e-9 apart. Above, about half of them do not.
#[inline]
pub(crate) fn is_exact_float(price: i64) -> bool {
    is_small(price) || price == UNDEF_PRICE || whole((price as f64 / 1e9 * 1e9).round()) == price
}

/// 2^22 units in 1e-9.
const SMALL: i64 = (1 << 22) * 1_000_000_000;

#[inline(always)]
fn is_small(price: i64) -> bool {
    price.wrapping_add(SMALL).cast_unsigned() <= SMALL.cast_unsigned() * 2
}

/// The first price of a record that a float does not represent exactly.
#[inline(always)]
pub(crate) fn inexact_price(record: &Record<'_>) -> Option<i64> {
    let small = |price: i64| is_small(price) | (price == UNDEF_PRICE);
    let levels = record.levels.iter();
    if levels.fold(small(record.event.price), |all, level| all & small(level.bid_px) & small(level.ask_px)) {
        return None;
    }
    search_inexact(record)
}

#[cold]
fn search_inexact(record: &Record<'_>) -> Option<i64> {
    let book = record.levels.iter().flat_map(|level| [level.bid_px, level.ask_px]);
    [record.event.price].into_iter().chain(book).find(|price| !is_exact_float(*price))
}

/// Number of records that did not become rows, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drops {
    /// The best bid or the best ask is missing.
    pub one_sided: u64,
    /// The best bid is above the best ask.
    pub crossed: u64,
    /// The quote is outside `price_range`.
    pub out_of_range: u64,
    /// The file's mappings do not name the instrument.
    pub unmapped: u64,
    /// The publisher of the record is not among `publishers`.
    pub other_publisher: u64,
}

impl Drops {
    /// The sum of all reasons.
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// Every reason with its count. Tables are made from this list.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        // Destructured, so that a new reason does not compile until it is listed here.
        let Self { one_sided, crossed, out_of_range, unmapped, other_publisher } = *self;
        [
            ("one-sided", one_sided),
            ("crossed", crossed),
            ("out of range", out_of_range),
            ("unmapped", unmapped),
            ("other publisher", other_publisher),
        ]
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, other: Self) {
        self.one_sided += other.one_sided;
        self.crossed += other.crossed;
        self.out_of_range += other.out_of_range;
        self.unmapped += other.unmapped;
        self.other_publisher += other.other_publisher;
    }
}

/// The rules that decide whether a quote is usable.
#[derive(Debug, Clone, Copy)]
pub struct QuoteRules {
    keep_crossed: bool,
    /// Lowest and highest price, in 1e-9 price units.
    range: Option<(i64, i64)>,
}

impl QuoteRules {
    /// Creates the rules from the settings of the same names; prices are in price units.
    pub fn new(keep_crossed: bool, price_range: Option<[f64; 2]>) -> Self {
        let fixed = |price: f64| whole((price * 1e9).round());
        Self { keep_crossed, range: price_range.map(|[low, high]| (fixed(low), fixed(high))) }
    }

    /// `mid2`, the sum of best bid and best ask in 1e-9 price units (twice the mid price), of a usable quote. Counts
    /// any other quote in `drops` and returns `None`.
    ///
    /// # Errors
    /// A message when the sum does not fit 64 bits: such prices are invalid.
    #[inline]
    pub fn mid2(&self, best: &BidAskPair, drops: &mut Drops) -> Result<Option<i64>, String> {
        let (bid, ask) = (best.bid_px, best.ask_px);
        if bid == UNDEF_PRICE || ask == UNDEF_PRICE {
            drops.one_sided += 1;
            return Ok(None);
        }
        if bid > ask && !self.keep_crossed {
            drops.crossed += 1;
            return Ok(None);
        }
        if let Some((low, high)) = self.range
            && (bid.min(ask) < low || bid.max(ask) > high)
        {
            drops.out_of_range += 1;
            return Ok(None);
        }
        bid.checked_add(ask)
            .map(Some)
            .ok_or_else(|| format!("best bid {bid} and best ask {ask} (1e-9) are too large to add"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(bid_px: i64, ask_px: i64) -> BidAskPair {
        BidAskPair { bid_px, ask_px, ..Default::default() }
    }

    #[test]
    fn unusable_quotes_are_counted_by_reason() {
        let rules = QuoteRules::new(false, Some([0.5, 0.8]));
        let mut drops = Drops::default();
        let mut mid2 = |bid, ask| rules.mid2(&quote(bid, ask), &mut drops).unwrap();
        assert_eq!(mid2(650_000_000, 650_100_000), Some(1_300_100_000));
        assert_eq!(mid2(650_000_000, 650_000_000), Some(1_300_000_000));
        assert_eq!(mid2(500_000_000, 800_000_000), Some(1_300_000_000));
        assert_eq!(mid2(UNDEF_PRICE, 650_000_000), None);
        assert_eq!(mid2(650_000_000, UNDEF_PRICE), None);
        assert_eq!(mid2(650_100_000, 650_000_000), None);
        assert_eq!(mid2(499_999_999, 650_000_000), None);
        assert_eq!(mid2(650_000_000, 800_000_001), None);
        assert_eq!(drops, Drops { one_sided: 2, crossed: 1, out_of_range: 2, ..Drops::default() });
    }

    #[test]
    fn exact_floats_are_those_that_come_back() {
        let comes_back = |price: i64| (price as f64 / 1e9 * 1e9).round() as i64 == price;
        for price in [0, -1, SMALL, -SMALL, UNDEF_PRICE, 140_000_000_000_000_000] {
            assert!(is_exact_float(price), "{price}");
        }
        for step in 0..20_000 {
            // Below the bound all come back; above it, about half of them.
            assert!(comes_back(SMALL - step) && comes_back(step - SMALL), "{step}");
            for above in [SMALL + 1 + step * 7_919, (1 << 53) + step, i64::MAX - 1 - step] {
                assert_eq!(is_exact_float(above), comes_back(above), "{above}");
            }
        }
        // A price of a tick of 0.005 at some 8.4 million: as a float it is another one.
        assert!((0..1_000).any(|tick| !is_exact_float(8_400_065_000_000_000 + tick * 5_000_000)));
        assert!(!is_exact_float(9_007_199_254_740_993_007));
    }

    #[test]
    fn crossed_quotes_stay_when_asked_for() {
        let rules = QuoteRules::new(true, None);
        let mut drops = Drops::default();
        assert_eq!(rules.mid2(&quote(3, 2), &mut drops), Ok(Some(5)));
        assert_eq!(drops.total(), 0);
        assert!(rules.mid2(&quote(i64::MAX - 1, 2), &mut drops).is_err());
    }
}
