//! A row as the tapes store it: encoded as its changes from the row before.

use dbn::{BidAskPair, UNDEF_TIMESTAMP};

use super::tick::Tick;
use super::varint::{get, put, unzigzag, zigzag};
use crate::cast::{low16, low32};
use crate::input::{Event, Record};

/// Number of words in a book: four for each of ten levels (bid price, ask price, both sizes, both counts).
pub const BOOK_WORDS: usize = 40;

/// An upper bound on the bytes of a row: the header, nine fields and two varints for each word of the book.
pub(super) const MAX_ROW_BYTES: usize = 8 + 9 * 9 + BOOK_WORDS * 10 + 16;

/// Ten levels, packed so that comparing two books takes forty word comparisons.
pub type Book = [u64; BOOK_WORDS];

/// The words of a level: bid price, ask price, both sizes, both counts.
pub(crate) type Level = [u64; 4];

/// A level of a book, 0 to 9.
#[inline(always)]
pub(crate) fn level(book: &Book, level: usize) -> &Level {
    let (levels, _) = book.as_chunks();
    &levels[level]
}

/// One MBP-10 record that became a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    /// The event.
    pub event: Event,
    /// The book after the event.
    pub book: Book,
}

impl Default for Row {
    fn default() -> Self {
        Self { event: Event::default(), book: [0; BOOK_WORDS] }
    }
}

impl From<&Record<'_>> for Row {
    fn from(record: &Record<'_>) -> Self {
        Self { event: record.event, book: book(record.levels) }
    }
}

/// Packs ten levels into a [`Book`].
pub(crate) fn book(levels: &[BidAskPair; 10]) -> Book {
    let mut book = [0; BOOK_WORDS];
    let (quads, _) = book.as_chunks_mut::<4>();
    quads.iter_mut().zip(levels).for_each(|(quad, level)| *quad = words(level));
    book
}

/// Bits of a row's header above the forty of the book: which fields differ from the row before, and whether the row has
/// a gateway stamp.
const PRICE: u64 = 1 << 40;
const SIZE: u64 = 1 << 41;
const MARKS: u64 = 1 << 42;
const SOURCE: u64 = 1 << 43;
const TS_OUT: u64 = 1 << 44;

/// The forty low bits of the header: which words of the book differ from the row before.
const BOOK: u64 = PRICE - 1;

/// The four words of a level.
#[inline(always)]
fn words(level: &BidAskPair) -> Level {
    [
        level.bid_px.cast_unsigned(),
        level.ask_px.cast_unsigned(),
        u64::from(level.bid_sz) | u64::from(level.ask_sz) << 32,
        u64::from(level.bid_ct) | u64::from(level.ask_ct) << 32,
    ]
}

/// Calls `f` with the position of every set bit, lowest first.
#[inline(always)]
pub fn each_bit(mut mask: u64, mut f: impl FnMut(usize)) {
    while mask != 0 {
        f(mask.trailing_zeros() as usize);
        mask &= mask - 1;
    }
}

/// The two 32-bit halves of a word of sizes or counts.
#[inline(always)]
pub fn halves(word: u64) -> (u32, u32) {
    (low32(word), low32(word >> 32))
}

/// True for a word that contains a price, false for one that contains two sizes or counts.
#[inline(always)]
pub fn is_price(word: usize) -> bool {
    word & 2 == 0
}

/// The fields that change rarely, and usually at the same time.
#[inline(always)]
fn marks(event: &Event) -> [u8; 4] {
    [event.action, event.side, event.flags, event.depth]
}

/// The change of a half, zigzag-encoded: small for small changes in either direction.
#[inline(always)]
fn step(old: u32, new: u32) -> u64 {
    zigzag(i64::from(new.wrapping_sub(old).cast_signed()))
}

/// The half after a change: the inverse of [`step`].
#[inline(always)]
fn after_step(old: u32, change: u64) -> u32 {
    old.wrapping_add(low32(unzigzag(change).cast_unsigned()))
}

impl Row {
    /// Advances to `record` and writes the changes to `out` at `at`; returns the position after them. The prices of the book
    /// that changed go into `tick`. `out` must extend at least [`MAX_ROW_BYTES`] beyond `at`.
    #[inline]
    pub(super) fn put_next(&mut self, record: &Record<'_>, tick: &mut Tick, out: &mut [u8], mut at: usize) -> usize {
        let header_at = at;
        at += 6;
        let (new, old) = (&record.event, &self.event);
        let signed = |a: u64, b: u64| zigzag(a.wrapping_sub(b).cast_signed());
        at = put(out, at, signed(new.ts_recv, old.ts_recv));
        at = put(out, at, signed(new.ts_recv, new.ts_event));
        at = put(out, at, zigzag(i64::from(new.ts_in_delta)));
        at = put(out, at, step(old.sequence, new.sequence));
        let mut header = 0;
        if new.price != old.price {
            header |= PRICE;
            at = put(out, at, zigzag(new.price.wrapping_sub(old.price)));
        }
        if new.size != old.size {
            header |= SIZE;
            at = put(out, at, u64::from(new.size));
        }
        let marks = marks(new);
        if marks != self::marks(old) {
            header |= MARKS;
            out[at..at + 4].copy_from_slice(&marks);
            at += 4;
        }
        if new.instrument_id != old.instrument_id || new.publisher_id != old.publisher_id {
            header |= SOURCE;
            at = put(out, at, u64::from(new.instrument_id) << 16 | u64::from(new.publisher_id));
        }
        if new.ts_out != UNDEF_TIMESTAMP {
            header |= TS_OUT;
            at = put(out, at, signed(new.ts_out, new.ts_recv));
        }
        self.event = *new;

        let (quads, _) = self.book.as_chunks_mut::<4>();
        for (i, (old, level)) in quads.iter_mut().zip(record.levels).enumerate() {
            let new = words(level);
            // Most levels are unchanged: one test skips four words.
            if (new[0] ^ old[0]) | (new[1] ^ old[1]) | (new[2] ^ old[2]) | (new[3] ^ old[3]) == 0 {
                continue;
            }
            for (j, (old, new)) in old.iter_mut().zip(new).enumerate() {
                if *old == new {
                    continue;
                }
                header |= 1 << (4 * i + j);
                if is_price(j) {
                    tick.push(new.cast_signed());
                    at = put(out, at, signed(new, *old));
                } else {
                    let ((a, b), (c, d)) = (halves(*old), halves(new));
                    at = put(out, at, step(a, c));
                    at = put(out, at, step(b, d));
                }
                *old = new;
            }
        }
        out[header_at..header_at + 6].copy_from_slice(&header.to_le_bytes()[..6]);
        at
    }

    /// Advances to the row written at `at`; returns a mask of the words of the book that changed, and the position
    /// after the row. `None` if the tape is truncated.
    #[inline]
    pub(super) fn get_next(&mut self, tape: &[u8], mut at: usize) -> Option<(u64, usize)> {
        let header = u64::from_le_bytes(tape.get(at..at + 8)?.try_into().ok()?) & 0xffff_ffff_ffff;
        at += 6;
        let mut next = || {
            let (value, after) = get(tape, at)?;
            at = after;
            Some(value)
        };
        let event = &mut self.event;
        event.ts_recv = event.ts_recv.wrapping_add(unzigzag(next()?).cast_unsigned());
        event.ts_event = event.ts_recv.wrapping_sub(unzigzag(next()?).cast_unsigned());
        event.ts_in_delta = low32(unzigzag(next()?).cast_unsigned()).cast_signed();
        event.sequence = after_step(event.sequence, next()?);
        if header & PRICE != 0 {
            event.price = event.price.wrapping_add(unzigzag(next()?));
        }
        if header & SIZE != 0 {
            event.size = low32(next()?);
        }
        if header & MARKS != 0 {
            [event.action, event.side, event.flags, event.depth] = tape.get(at..at + 4)?.try_into().ok()?;
            at += 4;
        }
        if header & SOURCE != 0 {
            let (value, after) = get(tape, at)?;
            at = after;
            event.instrument_id = low32(value >> 16);
            event.publisher_id = low16(value);
        }
        event.ts_out = UNDEF_TIMESTAMP;
        if header & TS_OUT != 0 {
            let (value, after) = get(tape, at)?;
            at = after;
            event.ts_out = event.ts_recv.wrapping_add(unzigzag(value).cast_unsigned());
        }
        let changed = header & BOOK;
        let mut left = changed;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            let old = self.book[i];
            let (value, after) = get(tape, at)?;
            at = after;
            self.book[i] = if is_price(i) {
                old.wrapping_add(unzigzag(value).cast_unsigned())
            } else {
                let (a, b) = halves(old);
                let (second, after) = get(tape, at)?;
                at = after;
                u64::from(after_step(a, value)) | u64::from(after_step(b, second)) << 32
            };
        }
        Some((changed, at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::varint::SLACK;
    use super::*;

    fn level() -> impl Strategy<Value = BidAskPair> {
        let price = prop_oneof![Just(i64::MAX), Just(i64::MIN), 0i64..4, any::<i64>()];
        (price.clone(), price, 0u32..3, any::<u32>(), 0u32..2, any::<u32>()).prop_map(
            |(bid_px, ask_px, bid_sz, ask_sz, bid_ct, ask_ct)| BidAskPair {
                bid_px,
                ask_px,
                bid_sz,
                ask_sz,
                bid_ct,
                ask_ct,
            },
        )
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            events in prop::collection::vec((any::<[u64; 4]>(), any::<[u32; 5]>(), prop::array::uniform10(level()), any::<bool>()), 1..20)
        ) {
            let mut out = vec![0; events.len() * (MAX_ROW_BYTES + SLACK)];
            let mut at = 0;
            let mut writer = Row::default();
            let mut want = Vec::new();
            let mut levels: [BidAskPair; 10] = Default::default();
            for (long, short, book, keep) in &events {
                if !keep {
                    levels = book.clone();
                }
                let [action, side, flags, depth] = short[4].to_le_bytes();
                let event = Event {
                    ts_recv: long[0], ts_event: long[1], ts_out: if *keep { UNDEF_TIMESTAMP } else { long[3] },
                    price: long[2].cast_signed(), ts_in_delta: short[0].cast_signed(), sequence: short[1],
                    size: short[2], instrument_id: short[3], publisher_id: short[4] as u16, action, side, flags, depth,
                };
                let record = Record { event, levels: &levels };
                let before = writer.book;
                at = writer.put_next(&record, &mut Tick::default(), &mut out, at);
                let mask = (0..BOOK_WORDS).filter(|&i| before[i] != writer.book[i]).fold(0, |m, i| m | 1u64 << i);
                want.push((mask, writer.clone()));
            }
            out.truncate(at + SLACK);
            let mut reader = Row::default();
            let mut from = 0;
            for (mask, row) in want {
                let (changed, after) = reader.get_next(&out, from).unwrap();
                prop_assert_eq!(&reader, &row);
                prop_assert_eq!(changed, mask);
                from = after;
            }
            prop_assert_eq!(from, at);
            prop_assert!(reader.get_next(&out[..at], from).is_none());
        }
    }
}
