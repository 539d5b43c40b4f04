//! Selects the records that become rows: those with a usable best quote and the flags that the settings require. The rules
//! are written twice: as the scan applies them, and as the documentation defines them, for proofs.

use std::fmt;
use std::ops::AddAssign;

use dbn::{UNDEF_PRICE, flags};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::cast::whole;
use crate::config::{BadBook, Config, Rows, ScanSettings};

/// True for a price in 1e-9 that survives the conversion to a float in price units and back. All prices below 2^22
/// units (about four million) do, because floats of that size are less than 1e-9 apart. Above that, about half do not.
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
    /// The symbol of the record is not among `symbols`.
    #[serde(default)]
    pub other_symbol: u64,
    /// The record has the flag `F_MAYBE_BAD_BOOK`.
    #[serde(default)]
    pub bad_book: u64,
    /// The record does not end an event of the venue, with `rows = "events"`.
    #[serde(default)]
    pub mid_event: u64,
}

/// Why a record of a stream is not a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// As in [`Drops::bad_book`].
    BadBook,
    /// As in [`Drops::mid_event`].
    MidEvent,
    /// As in [`Drops::one_sided`].
    OneSided,
    /// As in [`Drops::crossed`].
    Crossed,
    /// As in [`Drops::out_of_range`].
    OutOfRange,
    /// The sum of the prices does not fit in 64 bits: such prices are invalid, and an error.
    TooLarge {
        /// The best bid, in 1e-9.
        bid: i64,
        /// The best ask, in 1e-9.
        ask: i64,
    },
}

impl Unusable {
    /// The name of the reason, as in the manifest.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadBook => "bad_book",
            Self::MidEvent => "mid_event",
            Self::OneSided => "one_sided",
            Self::Crossed => "crossed",
            Self::OutOfRange => "out_of_range",
            Self::TooLarge { .. } => "too_large",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadBook => f.write_str("its record is not usable: bad book"),
            Self::MidEvent => f.write_str("its record is not usable: mid-event"),
            Self::OneSided => f.write_str("its quote is not usable: one-sided"),
            Self::Crossed => f.write_str("its quote is not usable: crossed"),
            Self::OutOfRange => f.write_str("its quote is not usable: out of range"),
            Self::TooLarge { bid, ask } => {
                write!(f, "best bid {bid} and best ask {ask} (1e-9) are too large to add")
            }
        }
    }
}

impl Drops {
    /// The sum of all reasons.
    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }

    /// Every reason with its count. Tables are made from this list.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        // Destructured, so that this does not compile until a new reason is listed here.
        let Self { one_sided, crossed, out_of_range, unmapped, other_publisher, other_symbol, bad_book, mid_event } =
            *self;
        [
            ("one-sided", one_sided),
            ("crossed", crossed),
            ("out of range", out_of_range),
            ("unmapped", unmapped),
            ("other publisher", other_publisher),
            ("other symbol", other_symbol),
            ("bad book", bad_book),
            ("mid-event", mid_event),
        ]
    }

    /// The count of a reason; `None` for one that is an error.
    pub(crate) fn of(&mut self, reason: Unusable) -> Option<&mut u64> {
        match reason {
            Unusable::BadBook => Some(&mut self.bad_book),
            Unusable::MidEvent => Some(&mut self.mid_event),
            Unusable::OneSided => Some(&mut self.one_sided),
            Unusable::Crossed => Some(&mut self.crossed),
            Unusable::OutOfRange => Some(&mut self.out_of_range),
            Unusable::TooLarge { .. } => None,
        }
    }
}

impl AddAssign for Drops {
    fn add_assign(&mut self, counts: Self) {
        // Destructured, so that this does not compile until a new count is added here.
        let Self { one_sided, crossed, out_of_range, unmapped, other_publisher, other_symbol, bad_book, mid_event } =
            counts;
        self.one_sided += one_sided;
        self.crossed += crossed;
        self.out_of_range += out_of_range;
        self.unmapped += unmapped;
        self.other_publisher += other_publisher;
        self.other_symbol += other_symbol;
        self.bad_book += bad_book;
        self.mid_event += mid_event;
    }
}

/// The rules that decide whether a record is a row.
#[derive(Debug, Clone, Copy)]
pub struct RowRules {
    /// A record with any of these flags has a bad book.
    bad_book: u8,
    /// A row has all of these flags.
    wanted: u8,
    keep_crossed: bool,
    /// Lowest and highest price, in 1e-9 price units.
    range: Option<(i64, i64)>,
}

impl RowRules {
    /// Creates the rules from the settings of the same names.
    pub fn new(settings: &ScanSettings) -> Self {
        let fixed = |price: f64| whole((price * 1e9).round());
        Self {
            bad_book: match settings.bad_book {
                BadBook::Drop => flags::MAYBE_BAD_BOOK,
                BadBook::Keep => 0,
            },
            wanted: match settings.rows {
                Rows::Records => 0,
                Rows::Events => flags::LAST,
            },
            keep_crossed: settings.keep_crossed,
            range: settings.price_range.map(|[low, high]| (fixed(low), fixed(high))),
        }
    }

    /// Returns `mid2`, the sum of best bid and best ask in 1e-9 price units (twice the mid price), if the record is a
    /// row; otherwise the first reason why it is not.
    #[inline]
    pub fn mid2(&self, record: &Record<'_>) -> Result<i64, Unusable> {
        let (flags, bid, ask) = (record.event.flags, record.levels[0].bid_px, record.levels[0].ask_px);
        if flags & self.bad_book != 0 {
            return Err(Unusable::BadBook);
        }
        if flags & self.wanted != self.wanted {
            return Err(Unusable::MidEvent);
        }
        if bid == UNDEF_PRICE || ask == UNDEF_PRICE {
            return Err(Unusable::OneSided);
        }
        if bid > ask && !self.keep_crossed {
            return Err(Unusable::Crossed);
        }
        if let Some((low, high)) = self.range
            && (bid.min(ask) < low || bid.max(ask) > high)
        {
            return Err(Unusable::OutOfRange);
        }
        bid.checked_add(ask).ok_or(Unusable::TooLarge { bid, ask })
    }
}

/// The same rules by their definition, for proofs. [`RowRules`] and this do not call each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usable {
    rows: Rows,
    bad_book: BadBook,
    keep_crossed: bool,
    /// The lowest and the highest price, in 1e-9.
    range: Option<[i64; 2]>,
}

impl Usable {
    pub(crate) fn new(config: &Config) -> Self {
        let range = config.price_range.map(|range| range.map(|price| whole((price * 1e9).round())));
        Self { rows: config.rows, bad_book: config.bad_book, keep_crossed: config.keep_crossed, range }
    }

    /// Whether the flags of a record let it be a row. `F_MAYBE_BAD_BOOK` is bit 2, `F_LAST` is bit 7.
    pub(crate) fn flags(self, flags: u8) -> Result<(), Unusable> {
        let [bad_book, ends_event] = [2, 7].map(|bit| flags >> bit & 1 == 1);
        match () {
            () if bad_book && self.bad_book == BadBook::Drop => Err(Unusable::BadBook),
            () if !ends_event && self.rows == Rows::Events => Err(Unusable::MidEvent),
            () => Ok(()),
        }
    }

    /// `mid2` of a usable quote: best bid plus best ask, in 1e-9.
    pub(crate) fn mid2(self, bid: Option<i64>, ask: Option<i64>) -> Result<i64, Unusable> {
        let (Some(bid), Some(ask)) = (bid, ask) else { return Err(Unusable::OneSided) };
        if bid > ask && !self.keep_crossed {
            return Err(Unusable::Crossed);
        }
        if self.range.is_some_and(|[low, high]| [bid, ask].iter().any(|price| *price < low || *price > high)) {
            return Err(Unusable::OutOfRange);
        }
        bid.checked_add(ask).ok_or(Unusable::TooLarge { bid, ask })
    }
}

#[cfg(test)]
mod tests {
    use dbn::BidAskPair;
    use proptest::prelude::*;

    use super::*;
    use crate::input::Event;

    /// The outcome for a record with these flags and prices under these settings.
    fn outcome(config: &Config, flags: u8, bid_px: i64, ask_px: i64) -> Result<i64, Unusable> {
        let mut levels: [BidAskPair; 10] = Default::default();
        levels[0] = BidAskPair { bid_px, ask_px, ..Default::default() };
        RowRules::new(&ScanSettings::new(config))
            .mid2(&Record { event: Event { flags, ..Event::default() }, levels: &levels })
    }

    #[test]
    fn unusable_quotes_are_told_by_reason() {
        let config = Config { price_range: Some([0.5, 0.8]), ..Config::default() };
        let mid2 = |bid, ask| outcome(&config, 0, bid, ask);
        assert_eq!(mid2(650_000_000, 650_100_000), Ok(1_300_100_000));
        assert_eq!(mid2(650_000_000, 650_000_000), Ok(1_300_000_000));
        assert_eq!(mid2(500_000_000, 800_000_000), Ok(1_300_000_000));
        assert_eq!(mid2(UNDEF_PRICE, 650_000_000), Err(Unusable::OneSided));
        assert_eq!(mid2(650_000_000, UNDEF_PRICE), Err(Unusable::OneSided));
        assert_eq!(mid2(650_100_000, 650_000_000), Err(Unusable::Crossed));
        assert_eq!(mid2(499_999_999, 650_000_000), Err(Unusable::OutOfRange));
        assert_eq!(mid2(650_000_000, 800_000_001), Err(Unusable::OutOfRange));
    }

    #[test]
    fn flags_are_looked_at_before_the_quote_and_the_bad_book_first() {
        let of = |rows, bad_book, flags, bid| {
            outcome(&Config { rows, bad_book, ..Config::default() }, flags, bid, UNDEF_PRICE - 1).err()
        };
        let (last, bad, snapshot) = (flags::LAST, flags::MAYBE_BAD_BOOK, flags::SNAPSHOT);
        for (flags, wanted) in [
            (bad | last, [Some(Unusable::BadBook), Some(Unusable::OneSided)]),
            (bad, [Some(Unusable::BadBook), Some(Unusable::MidEvent)]),
            (snapshot, [Some(Unusable::MidEvent); 2]),
            (last | snapshot, [Some(Unusable::OneSided); 2]),
        ] {
            let found = [BadBook::Drop, BadBook::Keep].map(|bad_book| of(Rows::Events, bad_book, flags, UNDEF_PRICE));
            assert_eq!(found, wanted, "{flags:#b}");
        }
        assert_eq!(of(Rows::Records, BadBook::Drop, snapshot, 0), None);
        assert_eq!(of(Rows::Records, BadBook::Keep, bad, 0), None);
        assert_eq!(of(Rows::Events, BadBook::Drop, last, 0), None);
    }

    #[test]
    fn each_reason_is_counted_under_its_name() {
        let reasons =
            [Unusable::BadBook, Unusable::MidEvent, Unusable::OneSided, Unusable::Crossed, Unusable::OutOfRange];
        let mut names = Vec::new();
        for reason in reasons {
            let mut drops = Drops::default();
            *drops.of(reason).unwrap() += 1;
            assert_eq!(drops.total(), 1);
            names.extend(drops.named().into_iter().filter(|(_, count)| *count == 1).map(|(name, _)| name));
        }
        assert_eq!(names, ["bad book", "mid-event", "one-sided", "crossed", "out of range"]);
    }

    #[test]
    fn exact_floats_are_those_that_come_back() {
        let comes_back = |price: i64| (price as f64 / 1e9 * 1e9).round() as i64 == price;
        for price in [0, -1, SMALL, -SMALL, UNDEF_PRICE, 140_000_000_000_000_000] {
            assert!(is_exact_float(price), "{price}");
        }
        for step in 0..20_000 {
            // Below the bound, every price survives the round trip; above it, about half do.
            assert!(comes_back(SMALL - step) && comes_back(step - SMALL), "{step}");
            for above in [SMALL + 1 + step * 7_919, (1 << 53) + step, i64::MAX - 1 - step] {
                assert_eq!(is_exact_float(above), comes_back(above), "{above}");
            }
        }
        // Prices near 8.4 million with a tick of 0.005: at least one of them changes when it becomes a float.
        assert!((0..1_000).any(|tick| !is_exact_float(8_400_065_000_000_000 + tick * 5_000_000)));
        assert!(!is_exact_float(9_007_199_254_740_993_007));
    }

    #[test]
    fn crossed_quotes_stay_when_asked_for() {
        let config = Config { keep_crossed: true, ..Config::default() };
        assert_eq!(outcome(&config, 0, 3, 2), Ok(5));
        let (bid, ask) = (i64::MAX - 1, 2);
        assert_eq!(outcome(&config, 0, bid, ask), Err(Unusable::TooLarge { bid, ask }));
        assert_eq!(Drops::default().of(Unusable::TooLarge { bid, ask }), None);
    }

    /// Any price, often near another, at an end of the range, or missing.
    fn price() -> impl Strategy<Value = i64> {
        let near = |at: i64| (-3..3i64).prop_map(move |n| at.saturating_add(n));
        prop_oneof![
            1 => any::<i64>(),
            6 => near(650_000_000),
            1 => near(i64::MAX),
            1 => near(i64::MIN),
            1 => near(i64::MAX / 2),
            1 => Just(UNDEF_PRICE)
        ]
    }

    proptest! {
        // The ends of ranges are rare.
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn usable_records_are_those_of_the_definition(
            flags: u8, bid in price(), ask in price(), keep_crossed: bool, events: bool, keep_bad_book: bool,
            range in prop::option::of(prop_oneof![[0.1..0.65, 0.65..9e9f64], Just([0.649_999_999, 0.650_000_001])]),
        ) {
            let rows = if events { Rows::Events } else { Rows::Records };
            let bad_book = if keep_bad_book { BadBook::Keep } else { BadBook::Drop };
            let config = Config { rows, bad_book, keep_crossed, price_range: range, ..Config::default() };
            let mut levels: [BidAskPair; 10] = Default::default();
            (levels[0].bid_px, levels[0].ask_px) = (bid, ask);
            let record = Record { event: Event { flags, ..Event::default() }, levels: &levels };
            let found = RowRules::new(&ScanSettings::new(&config)).mid2(&record);
            let some = |price: i64| (price != UNDEF_PRICE).then_some(price);
            let usable = Usable::new(&config);
            prop_assert_eq!(found, usable.flags(flags).and_then(|()| usable.mid2(some(bid), some(ask))));
        }
    }
}
