//! Tracks which instruments a stream's rows come from, and when, to find two symbols that share one.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::input::{Record, StreamId};
use crate::time_text::{DAY, Timestamp};

/// Time span of a stream's rows of one instrument on one day: an `instrument_id` is meaningful only within its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentSpan {
    /// The instrument.
    pub instrument_id: u32,
    /// The least `ts_recv` of its rows.
    pub first_ts: u64,
    /// The largest `ts_recv` of its rows.
    pub last_ts: u64,
}

/// Collects the spans of a stream in one file.
#[derive(Debug, Clone)]
pub struct InstrumentSpans {
    /// All spans; `current` is the up-to-date version of the one at `place`.
    spans: Vec<InstrumentSpan>,
    current: InstrumentSpan,
    place: usize,
    /// The day of `current`, and its spans by instrument.
    day: u64,
    today: FxHashMap<u32, usize>,
}

impl InstrumentSpans {
    /// Starts with a stream's first row.
    pub fn new(record: &Record<'_>) -> Self {
        let current = span(record);
        let day = record.event.ts_recv / DAY;
        let today = FxHashMap::from_iter([(record.event.instrument_id, 0)]);
        Self { spans: vec![current], current, place: 0, day, today }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) {
        if record.event.instrument_id != self.current.instrument_id
            || record.event.ts_recv.wrapping_sub(self.day * DAY) >= DAY
        {
            self.change(record);
        }
        self.current.first_ts = self.current.first_ts.min(record.event.ts_recv);
        self.current.last_ts = self.current.last_ts.max(record.event.ts_recv);
    }

    #[cold]
    fn change(&mut self, record: &Record<'_>) {
        self.spans[self.place] = self.current;
        let day = record.event.ts_recv / DAY;
        if day != self.day {
            self.day = day;
            self.today.clear();
        }
        self.place = *self.today.entry(record.event.instrument_id).or_insert_with(|| {
            self.spans.push(span(record));
            self.spans.len() - 1
        });
        self.current = self.spans[self.place];
    }

    /// Returns all spans.
    pub fn finish(mut self) -> Vec<InstrumentSpan> {
        self.spans[self.place] = self.current;
        self.spans
    }
}

fn span(record: &Record<'_>) -> InstrumentSpan {
    InstrumentSpan {
        instrument_id: record.event.instrument_id,
        first_ts: record.event.ts_recv,
        last_ts: record.event.ts_recv,
    }
}

/// A span with its stream and file.
#[derive(Debug, Clone, Copy)]
struct Seen {
    span: InstrumentSpan,
    /// Places of the stream and of the file.
    stream: usize,
    file: usize,
}

/// One instrument with two symbols at the same time, whose rows would count twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The instrument.
    pub instrument_id: u32,
    /// The places of both streams, each with the place of its file. The second comes later in time.
    pub streams: [(usize, usize); 2],
    /// When the overlap begins.
    pub since: Timestamp,
}

/// Finds aliases in files that are added in the order of their first records.
#[derive(Debug, Default)]
pub struct AliasSearch {
    seen: FxHashMap<(u16, u32), Vec<Seen>>,
    found: FxHashMap<(usize, usize), Alias>,
}

impl AliasSearch {
    /// Adds the spans of a stream in a file. Neither this nor a later file has a row before `least_ts`.
    pub fn take(&mut self, id: &StreamId, spans: &[InstrumentSpan], stream: usize, file: usize, least_ts: u64) {
        for &span in spans {
            let seen = self.seen.entry((id.publisher_id, span.instrument_id)).or_default();
            seen.retain(|known| known.span.last_ts >= least_ts);
            for known in seen.iter().filter(|known| known.stream != stream) {
                if known.span.first_ts <= span.last_ts && span.first_ts <= known.span.last_ts {
                    let pair = (known.stream.min(stream), known.stream.max(stream));
                    self.found.entry(pair).or_insert(Alias {
                        instrument_id: span.instrument_id,
                        streams: [(known.stream, known.file), (stream, file)],
                        since: Timestamp(span.first_ts.max(known.span.first_ts)),
                    });
                }
            }
            seen.push(Seen { span, stream, file });
        }
    }

    /// Returns the aliases, one for each pair of streams, in order.
    pub fn finish(self) -> Vec<Alias> {
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_unstable_by_key(|(pair, _)| *pair);
        found.into_iter().map(|(_, alias)| alias).collect()
    }
}
