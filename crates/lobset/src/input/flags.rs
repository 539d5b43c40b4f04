//! Counts of the flags of records.

use std::ops::AddAssign;

use dbn::flags;
use serde::{Deserialize, Serialize};

/// Number of records with each of Databento's flags. A record may count for several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flags {
    /// The last record of an event of the venue for its instrument.
    #[serde(rename = "F_LAST")]
    pub last: u64,
    /// A top-of-book record.
    #[serde(rename = "F_TOB")]
    pub tob: u64,
    /// From a replay, such as that of a snapshot server.
    #[serde(rename = "F_SNAPSHOT")]
    pub snapshot: u64,
    /// An aggregated price level.
    #[serde(rename = "F_MBP")]
    pub mbp: u64,
    /// `ts_recv` is inaccurate.
    #[serde(rename = "F_BAD_TS_RECV")]
    pub bad_ts_recv: u64,
    /// A gap in the channel that was not recovered: the book may be wrong.
    #[serde(rename = "F_MAYBE_BAD_BOOK")]
    pub maybe_bad_book: u64,
    /// Either of the remaining two bits: one is specific to the publisher, the other is reserved.
    pub other: u64,
}

impl Flags {
    /// Every flag with its count. Texts are made from this list.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        // Destructured, so that this does not compile until a new flag is listed here.
        let Self { last, tob, snapshot, mbp, bad_ts_recv, maybe_bad_book, other } = *self;
        [
            ("F_LAST", last),
            ("F_TOB", tob),
            ("F_SNAPSHOT", snapshot),
            ("F_MBP", mbp),
            ("F_BAD_TS_RECV", bad_ts_recv),
            ("F_MAYBE_BAD_BOOK", maybe_bad_book),
            ("other", other),
        ]
    }
}

impl AddAssign for Flags {
    fn add_assign(&mut self, counts: Self) {
        // Destructured, so that this does not compile until a new count is added here.
        let Self { last, tob, snapshot, mbp, bad_ts_recv, maybe_bad_book, other } = counts;
        self.last += last;
        self.tob += tob;
        self.snapshot += snapshot;
        self.mbp += mbp;
        self.bad_ts_recv += bad_ts_recv;
        self.maybe_bad_book += maybe_bad_book;
        self.other += other;
    }
}

/// Number of records with each value of the flags. Counting a record takes one addition.
#[derive(Debug)]
pub(super) struct FlagCounter([u64; 256]);

impl FlagCounter {
    pub(super) fn new() -> Self {
        Self([0; 256])
    }

    #[inline(always)]
    pub(super) fn note(&mut self, flags: u8) {
        self.0[usize::from(flags)] += 1;
    }

    pub(super) fn flags(&self) -> Flags {
        let under = |any: u8| (0..=u8::MAX).zip(self.0).filter(|(value, _)| value & any != 0).map(|(_, n)| n).sum();
        let named =
            flags::LAST | flags::TOB | flags::SNAPSHOT | flags::MBP | flags::BAD_TS_RECV | flags::MAYBE_BAD_BOOK;
        Flags {
            last: under(flags::LAST),
            tob: under(flags::TOB),
            snapshot: under(flags::SNAPSHOT),
            mbp: under(flags::MBP),
            bad_ts_recv: under(flags::BAD_TS_RECV),
            maybe_bad_book: under(flags::MAYBE_BAD_BOOK),
            other: under(!named),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_for_each_of_their_flags() {
        let mut counter = FlagCounter::new();
        for flags in [0, 128, 128, 128 | 32, 8, 4, 64 | 16, 2, 1, 3] {
            counter.note(flags);
        }
        let mut found = counter.flags();
        assert_eq!(found.named().map(|(_, count)| count), [3, 1, 1, 1, 1, 1, 3]);
        found += found;
        assert_eq!(found.named().map(|(_, count)| count), [6, 2, 2, 2, 2, 2, 6]);
        let json = serde_json::to_value(found).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut names = found.named().map(|(name, _)| name);
        names.sort_unstable();
        assert_eq!(keys, names);
    }
}
