//! The rows of a raw stream, as read from the raw files: their numbers, and where the stream breaks.

use super::definition::{Break, starts_stretch};
use super::fields::Levels;
use super::kinds::RowAt;
use super::sessions::Sessions;
use crate::config::Config;
use crate::input::{Record, Unusable};

/// A row of a raw stream.
pub(super) struct RawRow<'a> {
    pub row: u64,
    pub record: &'a Record<'a>,
    /// The levels of the row before, if it is in the same unbroken stretch.
    pub before: Option<&'a Levels>,
    pub mid2: i64,
    /// Why the row starts a new unbroken stretch, if it does.
    pub breaks: Option<Break>,
    /// Whether it is within the sessions; true without sessions.
    pub in_session: bool,
    /// The running maximum of `ts_recv`.
    pub max_ts: u64,
}

impl RawRow<'_> {
    /// The part that labels depend on.
    pub(super) fn at(&self) -> RowAt {
        let best = &self.record.levels[0];
        RowAt { row: self.row, mid2: self.mid2, spread: best.ask_px.saturating_sub(best.bid_px), ts: self.max_ts }
    }
}

/// Numbers the rows of a raw stream that is read record by record, and finds where it breaks.
pub(super) struct RawRows<'a> {
    config: &'a Config,
    /// Number of rows so far.
    pub rows: u64,
    /// How often `ts_recv` was below its running maximum.
    pub steps_back: u64,
    max_ts: u64,
    /// The instrument and the levels of the last row, and those of the row before it.
    last: Option<(u32, Levels)>,
    before: Option<(u32, Levels)>,
    /// Whether a record with a bad book has come since the last row.
    bad_book: bool,
    sessions: Option<Sessions<'a>>,
}

impl<'a> RawRows<'a> {
    /// The start of a stream.
    pub(super) fn new(config: &'a Config) -> Self {
        Self {
            config,
            rows: 0,
            steps_back: 0,
            max_ts: 0,
            last: None,
            before: None,
            bad_book: false,
            sessions: config.sessions.as_deref().map(Sessions::new),
        }
    }

    /// Takes a record of the stream that is not a row.
    pub(super) fn dropped(&mut self, reason: Unusable) {
        self.bad_book |= reason == Unusable::BadBook;
    }

    /// Takes the record of the next row.
    pub(super) fn next<'r>(&'r mut self, record: &'r Record<'r>, mid2: i64) -> RawRow<'r> {
        let row = self.rows;
        self.rows += 1;
        let last = self.last.as_ref().map(|(instrument, _)| (*instrument, self.max_ts));
        let after_bad_book = std::mem::take(&mut self.bad_book) && row > 0;
        let here = (record.event.instrument_id, record.event.ts_recv);
        let max_ts = self.max_ts.max(record.event.ts_recv);
        let moment = self.sessions.as_mut().map(|sessions| sessions.at(max_ts));
        // The last edge is before the previous row.
        let reached = (self.max_ts / 1_000_000_000).cast_signed();
        let at_edge = self.config.session_breaks
            && row > 0
            && moment.is_some_and(|moment| moment.last_edge.is_some_and(|edge| edge > reached));
        let breaks = starts_stretch(last, here, self.config.max_gap.map(|gap| gap.0))
            .or(after_bad_book.then_some(Break::BadBook))
            .or(at_edge.then_some(Break::SessionEdge));
        self.steps_back += u64::from(record.event.ts_recv < self.max_ts);
        self.max_ts = max_ts;
        self.before = self.last.replace((record.event.instrument_id, record.levels.clone()));
        let before = self.before.as_ref().filter(|_| breaks.is_none()).map(|(_, levels)| levels);
        RawRow { row, record, before, mid2, breaks, in_session: moment.is_none_or(|moment| moment.inside), max_ts }
    }
}
