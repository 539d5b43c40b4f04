//! Impossible values in records: signs of damage, or of a program that writes DBN incorrectly.

use std::ops::AddAssign;

use dbn::{BidAskPair, UNDEF_PRICE};
use serde::{Deserialize, Serialize};

use super::Record;

/// Number of records with impossible values, by kind. A record may count for several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impossible {
    /// `action` is not one of Databento's letters: A, C, F, M, N, R, T.
    pub action: u64,
    /// `side` is not one of Databento's letters: A, B, N.
    pub side: u64,
    /// `depth` is above 9, the last of ten levels.
    pub depth: u64,
    /// Bids that do not fall or asks that do not rise from level to level, or a level after a missing one.
    pub levels: u64,
    /// A price is the smallest 64-bit integer.
    pub price: u64,
}

impl Impossible {
    /// The sum of all kinds. A record with several kinds counts for each.
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// Every kind with its count. Tables are made from this list.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        // Destructured, so that this does not compile until a new kind is listed here.
        let Self { action, side, depth, levels, price } = *self;
        [
            ("unknown action", action),
            ("unknown side", side),
            ("depth above 9", depth),
            ("levels out of order", levels),
            ("impossible price", price),
        ]
    }

    /// Looks for impossible values in a record and counts them.
    ///
    /// # Errors
    /// A message that names the first impossible value.
    #[inline(always)]
    pub(crate) fn note(&mut self, record: &Record<'_>) -> Result<(), String> {
        if is_letter(ACTIONS, record.event.action)
            & is_letter(SIDES, record.event.side)
            & (record.event.depth <= 9)
            & (record.event.price != i64::MIN)
            & is_ladder(record.levels)
        {
            return Ok(());
        }
        self.count(record)
    }

    #[cold]
    fn count(&mut self, record: &Record<'_>) -> Result<(), String> {
        let letter = |byte: u8| char::from(byte).escape_default();
        let levels = record.levels.iter();
        let least = record.event.price == i64::MIN
            || levels.clone().any(|level| level.bid_px == i64::MIN || level.ask_px == i64::MIN);
        let mut first = None;
        let mut tell = |count: &mut u64, wrong: bool, what: &dyn Fn() -> String| {
            if wrong {
                *count += 1;
                first.get_or_insert_with(what);
            }
        };
        tell(&mut self.action, !is_letter(ACTIONS, record.event.action), &|| {
            format!("action is '{}', which is not one of A, C, F, M, N, R, T", letter(record.event.action))
        });
        tell(&mut self.side, !is_letter(SIDES, record.event.side), &|| {
            format!("side is '{}', which is not one of A, B, N", letter(record.event.side))
        });
        tell(&mut self.depth, record.event.depth > 9, &|| format!("depth is {}, above 9", record.event.depth));
        tell(&mut self.price, least, &|| format!("a price is {}", i64::MIN));
        let level = out_of_order(record.levels);
        tell(&mut self.levels, level.is_some(), &|| {
            let level = level.unwrap_or_default();
            format!("levels {level} and {} are out of order", level + 1)
        });
        first.map_or(Ok(()), Err)
    }
}

impl AddAssign for Impossible {
    fn add_assign(&mut self, counts: Self) {
        // Destructured, so that this does not compile until a new count is added here.
        let Self { action, side, depth, levels, price } = counts;
        self.action += action;
        self.side += side;
        self.depth += depth;
        self.levels += levels;
        self.price += price;
    }
}

/// The letters of [`dbn::Action`] and of [`dbn::Side`], as a bit set in which `A` is the lowest bit.
const ACTIONS: u32 = bits(b"ACFMNRT");
const SIDES: u32 = bits(b"ABN");

const fn bits(letters: &[u8]) -> u32 {
    let (mut bits, mut at) = (0, 0);
    while at < letters.len() {
        bits |= 1 << (letters[at] - b'A');
        at += 1;
    }
    bits
}

#[inline(always)]
fn is_letter(letters: u32, byte: u8) -> bool {
    let place = u32::from(byte.wrapping_sub(b'A'));
    (place < 32) & (letters.wrapping_shr(place) & 1 == 1)
}

/// True if `next` may follow `level`: on each side, it is missing, or both are present and the price moves away from
/// the mid price.
fn follows(level: &BidAskPair, next: &BidAskPair) -> bool {
    let is_bid = |price: i64| price != UNDEF_PRICE && price != i64::MIN;
    let bid = next.bid_px == UNDEF_PRICE || (is_bid(level.bid_px) && is_bid(next.bid_px) && next.bid_px < level.bid_px);
    // A missing ask is the largest integer, so no ask can follow it.
    bid && (next.ask_px == UNDEF_PRICE || level.ask_px < next.ask_px)
}

/// True if every level follows the one before and no price is the smallest integer.
#[inline(always)]
fn is_ladder(levels: &[BidAskPair; 10]) -> bool {
    is_full_ladder(levels) || is_any_ladder(levels)
}

/// Like [`is_ladder`], but only true for a book with ten bids, the usual case. Branch-free: it runs for every record,
/// nearly always with the same result.
#[inline(always)]
fn is_full_ladder(levels: &[BidAskPair; 10]) -> bool {
    let ends = (levels[0].bid_px != UNDEF_PRICE) & (levels[9].bid_px != i64::MIN) & (levels[0].ask_px != i64::MIN);
    let apart = |pair: &[BidAskPair]| (pair[1].bid_px < pair[0].bid_px) & (pair[0].ask_px < pair[1].ask_px);
    levels.windows(2).fold(ends, |holds, pair| holds & apart(pair))
}

#[inline(never)]
fn is_any_ladder(levels: &[BidAskPair; 10]) -> bool {
    let best = (levels[0].bid_px != i64::MIN) & (levels[0].ask_px != i64::MIN);
    levels.windows(2).all(|pair| follows(&pair[0], &pair[1])) && best
}

/// The index of the first level that the next one does not follow.
fn out_of_order(levels: &[BidAskPair; 10]) -> Option<usize> {
    levels.windows(2).position(|pair| {
        let whole = |level: &BidAskPair| level.bid_px != i64::MIN && level.ask_px != i64::MIN;
        whole(&pair[0]) && whole(&pair[1]) && !follows(&pair[0], &pair[1])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Event;

    fn ladder() -> [BidAskPair; 10] {
        std::array::from_fn(|i| BidAskPair { bid_px: 100 - i as i64, ask_px: 101 + i as i64, ..Default::default() })
    }

    fn event() -> Event {
        Event { price: 1, action: b'A', side: b'B', ..Event::default() }
    }

    fn record(levels: &[BidAskPair; 10]) -> Record<'_> {
        Record { event: event(), levels }
    }

    fn counts(record: &Record<'_>) -> ([u64; 5], String) {
        let mut found = Impossible::default();
        let outcome = found.note(record);
        (found.named().map(|(_, count)| count), outcome.err().unwrap_or_default())
    }

    #[test]
    fn what_databento_writes_is_possible() {
        let book = ladder();
        for action in *b"ACFMNRT" {
            for side in *b"ABN" {
                assert_eq!(counts(&Record { event: Event { action, side, ..event() }, levels: &book }).0, [0; 5]);
            }
        }
        let undefined: [BidAskPair; 10] =
            std::array::from_fn(|_| BidAskPair { bid_px: UNDEF_PRICE, ask_px: UNDEF_PRICE, ..Default::default() });
        assert_eq!(
            counts(&Record { event: Event { price: UNDEF_PRICE, depth: 9, ..event() }, levels: &undefined }).0,
            [0; 5]
        );
        // A thin book, prices below zero, and a crossed quote.
        let mut thin = ladder();
        thin[4..].iter_mut().for_each(|level| level.bid_px = UNDEF_PRICE);
        thin[1..].iter_mut().for_each(|level| level.ask_px = UNDEF_PRICE);
        assert_eq!(counts(&record(&thin)).0, [0; 5]);
        let below: [BidAskPair; 10] =
            std::array::from_fn(|i| BidAskPair { bid_px: -5 - i as i64, ask_px: -7 + i as i64, ..Default::default() });
        assert_eq!(counts(&record(&below)).0, [0; 5]);
    }

    #[test]
    fn every_byte_that_is_no_letter_is_counted() {
        let book = ladder();
        let counted = |action: u8| counts(&Record { event: Event { action, ..event() }, levels: &book }).0[0];
        assert_eq!((0..=255u8).map(counted).sum::<u64>(), 256 - 7);
        let counted = |side: u8| counts(&Record { event: Event { side, ..event() }, levels: &book }).0[1];
        assert_eq!((0..=255u8).map(counted).sum::<u64>(), 256 - 3);
        let (found, text) = counts(&Record {
            event: Event { action: 0x1b, side: b'Z', depth: 10, price: i64::MIN, ..event() },
            levels: &book,
        });
        assert_eq!(found, [1, 1, 1, 0, 1]);
        assert_eq!(text, "action is '\\u{1b}', which is not one of A, C, F, M, N, R, T");
    }

    #[test]
    fn levels_out_of_order_are_counted_wherever_they_are() {
        type Change = fn(&mut [BidAskPair; 10], usize);
        let changes: [Change; 6] = [
            |book, i| book[i].bid_px = book[i + 1].bid_px,
            |book, i| book[i].ask_px = book[i + 1].ask_px,
            |book, i| book[i + 1].bid_px = book[i].bid_px + 1,
            |book, i| book[i + 1].ask_px = book[i].ask_px - 1,
            |book, i| book[i].bid_px = UNDEF_PRICE,
            |book, i| book[i].ask_px = UNDEF_PRICE,
        ];
        for change in changes {
            for i in 0..9 {
                let mut book = ladder();
                change(&mut book, i);
                assert_eq!(counts(&record(&book)).0, [0, 0, 0, 1, 0], "level {i}: {book:?}");
            }
        }
    }

    #[test]
    fn the_least_price_is_counted_wherever_it_is() {
        for i in 0..10 {
            let mut book = ladder();
            book[i].bid_px = i64::MIN;
            assert_eq!(counts(&record(&book)).0, [0, 0, 0, 0, 1], "bid {i}");
            let mut book = ladder();
            book[i].ask_px = i64::MIN;
            assert_eq!(counts(&record(&book)).0, [0, 0, 0, 0, 1], "ask {i}");
        }
    }
}
