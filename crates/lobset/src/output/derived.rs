//! The columns that are computed from the book. Each has its formula twice: as the encoder computes it from the words of
//! a tape, and as the documentation defines it on the levels of a raw record, for proofs. Neither calls the other.
//!
//! Prices and sizes are exact integers; a quotient is one division of two integers, each rounded to the nearest f64 once.

use std::cmp::Ordering;

use dbn::{BidAskPair, UNDEF_PRICE};

use super::column::{Column, Role, Source};
use super::kind::{Kind, NO_FLOAT, NO_PRICE};
use crate::config::Derived;
use crate::tape::{BOOK_WORDS, Level, halves};

/// Units of 1e-9 in a price unit.
const UNITS: i128 = 1_000_000_000;

/// A formula by its definition: the value from a level of a record and the same level of the row before, if its stretch
/// has one.
pub(crate) type Definition = fn(&BidAskPair, Option<&BidAskPair>) -> Option<f64>;

/// The columns of an entry of the setting `derived`.
pub(super) fn derived(of: Derived) -> Vec<Column> {
    entry(of).0
}

/// The definition of the columns of an entry of the setting `derived`, given by its name, if the entry has one column
/// for each level (`of_levels`) or only one.
pub(crate) fn definition(name: &str, of_levels: bool) -> Option<Definition> {
    let (columns, definition) = entry(*Derived::ALL.iter().find(|of| of.name() == name)?);
    columns.iter().all(|column| column.level.is_some() == of_levels).then_some(definition)
}

/// The columns of an entry, and their definition.
fn entry(of: Derived) -> (Vec<Column>, Definition) {
    let best = |formula: fn(&Level) -> u64, meaning, definition: Definition| {
        let source = Source::Level(0, formula);
        (vec![Column::new(of.name(), Role::Derived, Kind::Float, source, meaning)], definition)
    };
    let each = |source: &dyn Fn(usize) -> Source, meaning, definition: Definition| {
        let column = |level: usize| {
            let column = Column::new(of.name(), Role::Derived, Kind::Float, source(level), meaning);
            Column { name: format!("{}_{level:02}", of.name()), level: Some(level), ..column }
        };
        ((0..BOOK_WORDS / 4).map(column).collect(), definition)
    };
    match of {
        Derived::Spread => {
            let definition: Definition = |level, _| {
                let [bid, ask] = quoted(level)?;
                divided(ask - bid, UNITS)
            };
            best(spread, "best ask - best bid, in price units", definition)
        }
        Derived::WeightedMid => {
            let meaning = "the best prices, each weighted by the size on the other side, in price units";
            // (ask_px * bid_sz + bid_px * ask_sz) / (bid_sz + ask_sz)
            let definition: Definition = |level, _| {
                let ([bid, ask], [bids, asks]) = (quoted(level)?, [level.bid_sz, level.ask_sz].map(i128::from));
                divided(ask * bids + bid * asks, (bids + asks) * UNITS)
            };
            best(weighted_mid, meaning, definition)
        }
        Derived::Imbalance => {
            let meaning = "(bid size - ask size) / (bid size + ask size) of the level";
            let definition: Definition = |level, _| {
                let [bids, asks] = [level.bid_sz, level.ask_sz].map(i128::from);
                divided(bids - asks, bids + asks)
            };
            each(&|level| Source::Level(level, imbalance), meaning, definition)
        }
        Derived::Ofi => {
            let definition: Definition = |level, before| {
                let before = before?;
                let ([bid, ask], [old_bid, old_ask]) = (quoted(level)?, quoted(before)?);
                let part = |better: Ordering, size: u32, old_size: u32| match better {
                    Ordering::Greater => i64::from(size),
                    Ordering::Equal => i64::from(size) - i64::from(old_size),
                    Ordering::Less => -i64::from(old_size),
                };
                let bids = part(bid.cmp(&old_bid), level.bid_sz, before.bid_sz);
                // A lower ask is the better one.
                let asks = part(old_ask.cmp(&ask), level.ask_sz, before.ask_sz);
                Some((bids - asks) as f64)
            };
            let meaning = "order flow imbalance of the level since the row before";
            each(&|level| Source::Change(level, order_flow), meaning, definition)
        }
    }
}

/// The prices of a record's level; `None` if one is missing.
fn quoted(level: &BidAskPair) -> Option<[i128; 2]> {
    let prices = [level.bid_px, level.ask_px];
    (!prices.contains(&UNDEF_PRICE)).then(|| prices.map(i128::from))
}

/// The quotient of two whole numbers, each rounded to the nearest float first.
fn divided(above: i128, below: i128) -> Option<f64> {
    if below == 0 { None } else { Some(above as f64 / below as f64) }
}

/// The best prices; `None` if one is missing.
fn prices(level: &Level) -> Option<[i128; 2]> {
    let [bid, ask, ..] = *level;
    (bid != NO_PRICE && ask != NO_PRICE).then(|| [bid, ask].map(|price| price.cast_signed().into()))
}

fn sizes(level: &Level) -> [i64; 2] {
    let (bid, ask) = halves(level[2]);
    [bid.into(), ask.into()]
}

/// The bits of a nullable float.
fn bits(value: Option<f64>) -> u64 {
    value.map_or(NO_FLOAT, f64::to_bits)
}

fn quotient(numerator: i128, denominator: i128) -> Option<f64> {
    (denominator != 0).then(|| numerator as f64 / denominator as f64)
}

/// The sum of best bid and best ask. In every row both are quoted and their sum fits; other records are not rows.
pub(super) fn mid2(level: &Level) -> u64 {
    level[0].wrapping_add(level[1])
}

/// The ask price minus the bid price.
fn spread(level: &Level) -> u64 {
    bits(prices(level).and_then(|[bid, ask]| quotient(ask - bid, UNITS)))
}

/// The mean of the two prices, each weighted by the size on the other side.
fn weighted_mid(level: &Level) -> u64 {
    let [bids, asks] = sizes(level).map(i128::from);
    let mean = |[bid, ask]: [i128; 2]| quotient(ask * bids + bid * asks, (bids + asks) * UNITS);
    bits(prices(level).and_then(mean))
}

/// The difference of the sizes divided by their sum.
fn imbalance(level: &Level) -> u64 {
    let [bids, asks] = sizes(level).map(i128::from);
    bits(quotient(bids - asks, bids + asks))
}

/// The order flow imbalance of a level between two rows (Cont, Kukanov and Stoikov, 2014): the size that joined its bids
/// minus the size that joined its asks.
fn order_flow(before: &Level, now: &Level) -> u64 {
    let ([bids, asks], [old_bids, old_asks]) = (sizes(now), sizes(before));
    let flow = |([old_bid, old_ask], [bid, ask]): ([i128; 2], [i128; 2])| {
        let bid_flow = if bid >= old_bid { bids } else { 0 } - if bid <= old_bid { old_bids } else { 0 };
        let ask_flow = if ask <= old_ask { asks } else { 0 } - if ask >= old_ask { old_asks } else { 0 };
        (bid_flow - ask_flow) as f64
    };
    bits(prices(before).zip(prices(now)).map(flow))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(bid: i64, ask: i64, bids: u32, asks: u32) -> Level {
        [bid.cast_unsigned(), ask.cast_unsigned(), u64::from(bids) | u64::from(asks) << 32, 0]
    }

    fn value(bits: u64) -> Option<f64> {
        (bits != NO_FLOAT).then(|| f64::from_bits(bits))
    }

    const NONE: i64 = NO_PRICE.cast_signed();

    #[test]
    fn a_level_has_the_values_of_the_textbook() {
        let level_of = |bid, ask, bids, asks| {
            let level = level(bid, ask, bids, asks);
            [spread, weighted_mid, imbalance].map(|formula| value(formula(&level)))
        };
        // Nine tenths of the size are bids, so the weighted mid is near the ask.
        assert_eq!(level_of(99_000_000_000, 100_000_000_000, 9, 1), [Some(1.0), Some(99.9), Some(0.8)]);
        assert_eq!(level_of(-2_000_000_000, -1_500_000_000, 1, 3), [Some(0.5), Some(-1.875), Some(-0.5)]);
        assert_eq!(level_of(5, 5, 0, 0), [Some(0.0), None, None]);
        assert_eq!(level_of(NONE, 5, 0, 7), [None, None, Some(-1.0)]);
        assert_eq!(level_of(5, NONE, 7, 0), [None, None, Some(1.0)]);
        // The most extreme prices and sizes that a record can have.
        let [wide, ..] = level_of(i64::MIN, i64::MAX - 1, u32::MAX, u32::MAX);
        assert_eq!(wide, Some(2f64.powi(64) / 1e9));
        let [_, weighted, equal] = level_of(i64::MAX - 1, i64::MAX - 1, u32::MAX, u32::MAX);
        assert_eq!((weighted, equal), (Some(2f64.powi(63) / 1e9), Some(0.0)));
    }

    #[test]
    fn order_flow_follows_the_three_cases_of_each_side() {
        let flow = |before, now| value(order_flow(&before, &now));
        let before = level(10, 12, 5, 7);
        assert_eq!(flow(before, before), Some(0.0));
        // Bids: a better price, the same one, a worse one.
        assert_eq!(flow(before, level(11, 12, 3, 7)), Some(3.0));
        assert_eq!(flow(before, level(10, 12, 3, 7)), Some(-2.0));
        assert_eq!(flow(before, level(9, 12, 3, 7)), Some(-5.0));
        // Asks, with the opposite sign.
        assert_eq!(flow(before, level(10, 11, 5, 2)), Some(-2.0));
        assert_eq!(flow(before, level(10, 12, 5, 2)), Some(5.0));
        assert_eq!(flow(before, level(10, 13, 5, 2)), Some(7.0));
        // Both sides at once, with the largest sizes.
        let most = u32::MAX;
        assert_eq!(flow(level(10, 12, most, 0), level(9, 11, 1, most)), Some(-2.0 * f64::from(most)));
        for missing in [level(NONE, 12, 0, 7), level(10, NONE, 5, 0)] {
            assert_eq!((flow(before, missing), flow(missing, before), flow(missing, missing)), (None, None, None));
        }
    }
}
