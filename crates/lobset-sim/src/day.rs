//! One day of the market, and its file.

use std::ffi::c_char;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use dbn::encode::{DbnEncoder, EncodeRecord};
use dbn::{
    BidAskPair, FlagSet, MappingInterval, Mbp10Msg, Metadata, RecordHeader, SType, Schema, SymbolMapping, rtype,
};
use oorandom::Rand64;
use time::Date;

use crate::book::{Event, OrderBook, empty_side, whole};
use crate::calendar::{expiries, weekdays};
use crate::market::{Error, Market};

const SECOND: u64 = 1_000_000_000;
/// The daily pause, in seconds of the day.
const PAUSE: (u64, u64) = (21 * 3600, 22 * 3600);
/// The share of the hidden demand that remains one record later.
const STAYS: f64 = 0.999;
/// Records per session of each instrument in which the book is still one-sided or crossed now and then.
const OPENING: u32 = 30;

/// How a currency trades: root of its symbols, price and tick in 1e-9, daily volatility in ticks.
fn contract(currency: &str) -> (String, i64, i64, f64) {
    let known = match currency {
        "AUDUSD" => ("M6A", 652_000_000, 50_000, 70.0),
        "EURUSD" => ("M6E", 1_080_000_000, 50_000, 100.0),
        "GBPUSD" => ("M6B", 1_260_000_000, 100_000, 70.0),
        "USDJPY" | "EURJPY" | "GBPJPY" => (currency, 152_000_000_000, 5_000_000, 150.0),
        "ES" => ("ES", 5_250_000_000_000, 250_000_000, 160.0),
        _ => (currency, 100_000_000_000, 10_000_000, 90.0),
    };
    (known.0.to_owned(), known.1, known.2, known.3)
}

struct Instrument {
    symbol: String,
    id: u32,
    /// Fair value, in the instrument's own ticks, when the front month is at its first opening.
    anchor: f64,
    /// Ticks that the instrument moves per tick of the front month.
    beta: f64,
    tick_size: i64,
    /// Typical number of orders in a queue.
    crowd: f64,
    /// Share of the day's records.
    share: f64,
}

impl Instrument {
    fn fair(&self, front: f64) -> f64 {
        self.anchor + self.beta * front
    }
}

/// Everything that determines a day's file.
pub(crate) struct DayPlan {
    date: Date,
    seed: u64,
    rows: u32,
    /// Fair value of the front month at the start and at the end, in ticks from the first opening.
    open: f64,
    close: f64,
    /// Standard deviation of a day's move, in ticks.
    volatility: f64,
    mid_event_every: u32,
    bad_book_every: u32,
    signal: f64,
    instruments: Vec<Instrument>,
}

impl DayPlan {
    pub(crate) fn file_name(&self) -> String {
        let (year, month, day) = self.date.to_calendar_date();
        format!("glbx-mdp3-{year:04}{:02}{day:02}.mbp-10.dbn.zst", u8::from(month))
    }
}

/// A standard normal variable, by Box and Muller (1958).
fn normal(random: &mut Rand64) -> f64 {
    let (u, v) = (1.0 - random.rand_float(), random.rand_float());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Draws the days' openings and volatilities, after which the days are independent.
pub(crate) fn plan(market: &Market) -> Vec<DayPlan> {
    let (root, price, tick_size, volatility) = contract(&market.currency);
    let mut random = Rand64::new(u128::from(market.seed) << 32 | 0x10b5e7);
    let base = price as f64 / tick_size as f64;
    let mut fair = 0.0;
    let mut regime = 0.0;
    (0..market.days)
        .zip(weekdays(market.start))
        .map(|(number, date)| {
            // A slow wave and a rising trend: the second half is more volatile than the first.
            regime = 0.9 * regime + 0.12 * normal(&mut random);
            let progress = f64::from(number) / f64::from(market.days.max(2) - 1);
            let volatility = volatility * (0.8 + 0.6 * progress) * regime.exp();
            let open = fair;
            fair += volatility * 0.7 * normal(&mut random);
            DayPlan {
                date,
                seed: market.seed ^ (u64::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                rows: market.rows,
                open,
                close: fair,
                volatility,
                mid_event_every: market.mid_event_every,
                bad_book_every: market.bad_book_every,
                signal: market.signal,
                instruments: instruments(market, date, &root, base, tick_size),
            }
        })
        .collect()
}

fn instruments(market: &Market, date: Date, root: &str, base: f64, tick_size: i64) -> Vec<Instrument> {
    let [front, next, third] = expiries(date);
    let symbol = |code: String| format!("{root}{code}");
    // New contracts reuse the ids of expired ones.
    let id = |number: u32| 40_000 + number % 3;
    let futures = |expiry: crate::calendar::Expiry, carry, crowd, share| Instrument {
        symbol: symbol(expiry.code()),
        id: id(expiry.number()),
        anchor: base + carry,
        beta: 1.0,
        tick_size,
        crowd,
        share,
    };
    let spread_symbol = format!("{}-{}", symbol(front.code()), symbol(next.code()));
    let mut instruments = vec![
        futures(front, 0.0, 12.0, 0.74),
        futures(next, 23.0, 7.0, 0.18),
        futures(third, 41.0, 4.0, 0.04),
        // Front minus next, on a finer grid: negative all day.
        Instrument {
            symbol: spread_symbol,
            id: 50_000,
            anchor: -240.0,
            beta: 0.02,
            tick_size: tick_size / 10,
            crowd: 15.0,
            share: 0.04,
        },
    ];
    if market.options > 0 {
        instruments.iter_mut().for_each(|i| i.share *= 0.1);
        instruments.extend((0..market.options).map(|n| Instrument {
            symbol: format!("{} {}{:04}", symbol(front.code()), if n % 2 == 0 { 'C' } else { 'P' }, n / 2),
            id: 100_000 + n,
            anchor: 900.0 + f64::from(n % 97),
            beta: 0.3,
            tick_size,
            crowd: 2.0,
            share: 0.9 / f64::from(market.options),
        }));
    }
    instruments
}

/// State of an instrument while a day is simulated.
struct Trading {
    book: OrderBook,
    records: u32,
}

/// Simulates a day and writes its file; leaves no partial file on an error.
pub(crate) fn write(plan: &DayPlan, folder: &Path) -> Result<(), Error> {
    let path = folder.join(plan.file_name());
    let fail = |cause| Error::Output { path: path.clone(), cause };
    let file = File::create_new(&path).map_err(fail)?;
    write_into(file, plan).map_err(|cause| {
        // The original error matters more than a failure to clean up.
        let _ = std::fs::remove_file(&path);
        fail(cause)
    })
}

fn write_into(file: File, plan: &DayPlan) -> io::Result<()> {
    let mut zstd = zstd::Encoder::new(BufWriter::new(file), 0)?;
    zstd.include_checksum(true)?;
    let mut encoder = DbnEncoder::new(zstd, &metadata(plan)).map_err(io_error)?;
    let mut day = Day::new(plan);
    for _ in 0..plan.rows {
        encoder.encode_record(&day.next()).map_err(io_error)?;
    }
    // The encoder cannot return its writer, so the frame is finished through a reference.
    let zstd = encoder.get_mut();
    let file = zstd.do_finish().and_then(|()| zstd.get_mut().flush());
    file.and_then(|()| zstd.get_mut().get_mut().sync_all())
}

/// The I/O error behind a failed encoding.
fn io_error(error: dbn::Error) -> io::Error {
    match error {
        dbn::Error::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

fn metadata(plan: &DayPlan) -> Metadata {
    let end = plan.date.next_day().unwrap_or(plan.date);
    Metadata::builder()
        .dataset("GLBX.MDP3")
        .schema(Some(Schema::Mbp10))
        .start(midnight(plan.date))
        .end(std::num::NonZeroU64::new(midnight(end)))
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .symbols(plan.instruments.iter().map(|i| i.symbol.clone()).collect())
        .mappings(
            plan.instruments
                .iter()
                .map(|i| SymbolMapping {
                    raw_symbol: i.symbol.clone(),
                    intervals: vec![MappingInterval { start_date: plan.date, end_date: end, symbol: i.id.to_string() }],
                })
                .collect(),
        )
        .build()
}

fn midnight(date: Date) -> u64 {
    u64::try_from(date.midnight().assume_utc().unix_timestamp()).unwrap_or(0) * SECOND
}

/// Generates the records of a day, one after another.
struct Day<'a> {
    plan: &'a DayPlan,
    random: Rand64,
    trading: Vec<Trading>,
    /// Running totals of the instruments' shares.
    shares: Vec<f64>,
    fair: f64,
    trend: f64,
    /// The hidden demand, with a mean of 0 and a variance of 1. It has its own random numbers, so that all others are
    /// the same without it.
    demand: f64,
    demands: Rand64,
    left: u32,
    /// Trading time since the start of the day, in nanoseconds, without the pause.
    clock: f64,
    last_ts: u64,
    sequence: u32,
}

impl<'a> Day<'a> {
    fn new(plan: &'a DayPlan) -> Self {
        let mut random = Rand64::new(u128::from(plan.seed));
        let trading = plan
            .instruments
            .iter()
            .map(|i| Trading { book: OrderBook::new(i.fair(plan.open), i.crowd, &mut random), records: 0 })
            .collect();
        let mut total = 0.0;
        let shares = plan
            .instruments
            .iter()
            .map(|i| {
                total += i.share;
                total
            })
            .collect();
        Self {
            plan,
            random,
            trading,
            shares,
            fair: plan.open,
            trend: 0.0,
            demand: 0.0,
            demands: Rand64::new(u128::from(plan.seed) << 64 | 0xde),
            left: plan.rows,
            clock: 0.0,
            last_ts: 0,
            sequence: 1,
        }
    }

    fn next(&mut self) -> Mbp10Msg {
        self.move_fair_value();
        let ts_event = self.tick_clock();
        let drawn = self.random.rand_float() * self.shares.last().copied().unwrap_or(1.0);
        let chosen = self.shares.partition_point(|s| *s < drawn).min(self.trading.len() - 1);
        let (instrument, trading) = (&self.plan.instruments[chosen], &mut self.trading[chosen]);
        let event = trading.book.step(instrument.fair(self.fair), self.plan.signal * self.demand, &mut self.random);
        let mut levels = trading.book.levels(instrument.tick_size);
        if trading.records < OPENING {
            opening(&mut levels, instrument.tick_size, &mut self.random);
        }
        trading.records += 1;
        self.left -= 1;
        self.sequence += 1 + u32::from(self.random.rand_float() < 0.2);
        self.message(instrument, event, levels, ts_event)
    }

    /// Moves the fair value by a random walk with trends that ends the day near its close (a bridge), where the next
    /// day continues. With a signal, hidden demand adds a drift.
    fn move_fair_value(&mut self) {
        let rows = f64::from(self.plan.rows);
        let noise = self.plan.volatility / rows.sqrt();
        self.trend = 0.9995 * self.trend + 0.002 * noise * normal(&mut self.random);
        self.demand = STAYS * self.demand + (1.0 - STAYS * STAYS).sqrt() * normal(&mut self.demands);
        let drift = 0.2 * self.plan.signal * noise * self.demand;
        self.fair += noise * normal(&mut self.random)
            + self.trend
            + drift
            + (self.plan.close - self.fair) / f64::from(self.left.max(1));
    }

    /// Advances the clock: bursts of events within microseconds, separated by waits that are shorter in busy hours.
    fn tick_clock(&mut self) -> u64 {
        let day = ((86_400 - (PAUSE.1 - PAUSE.0)) * SECOND) as f64;
        let mean = (day - self.clock) / f64::from(self.left + 1);
        let hour = self.clock / day * 24.0;
        let quiet = 1.45 - 0.9 * (-((hour - 13.5) / 4.5).powi(2)).exp();
        let wait = if self.random.rand_float() < 0.45 {
            1_000.0 + 150_000.0 * self.random.rand_float().powi(3)
        } else {
            -(1.0 - self.random.rand_float()).ln() * mean / 0.55 * quiet
        };
        // Leave room for the last event before midnight.
        self.clock = (self.clock + wait).min(day - 2e9);
        let open = (PAUSE.0 * SECOND) as f64;
        let pause = if self.clock >= open { (PAUSE.1 - PAUSE.0) * SECOND } else { 0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "nanoseconds of a day")]
        let clock = self.clock as u64;
        midnight(self.plan.date) + clock + pause
    }

    /// Trades do not end an event; the orders that they fill follow.
    fn flags(&self, action: u8) -> FlagSet {
        let number = self.plan.rows - self.left;
        let is_every = |every: u32| every > 0 && number.is_multiple_of(every);
        let mut flags = FlagSet::empty();
        if action != b'T' && !is_every(self.plan.mid_event_every) {
            flags.set_last();
        }
        if is_every(self.plan.bad_book_every) {
            flags.set_maybe_bad_book();
        }
        flags
    }

    fn message(&mut self, instrument: &Instrument, event: Event, levels: [BidAskPair; 10], ts_event: u64) -> Mbp10Msg {
        // From the matching engine to its gateway, and on to the recorder.
        let sending = 12_000 + whole(20_000.0 * self.random.rand_float().powi(4));
        let wire = 8_000 + whole(6_000.0 * self.random.rand_float().powi(2));
        let ts_recv = (ts_event + u64::from(sending + wire)).max(self.last_ts + 1);
        self.last_ts = ts_recv;
        Mbp10Msg {
            hd: RecordHeader::new::<Mbp10Msg>(rtype::MBP_10, 1, instrument.id, ts_event),
            price: event.tick * instrument.tick_size,
            size: event.size,
            action: letter(event.action),
            side: letter(event.side),
            flags: self.flags(event.action),
            depth: event.depth,
            ts_recv,
            ts_in_delta: wire.cast_signed(),
            sequence: self.sequence,
            levels,
        }
    }
}

/// A letter of a record. `c_char` is signed on some systems and unsigned on others.
fn letter(letter: u8) -> c_char {
    c_char::from_ne_bytes([letter])
}

/// Makes some quotes one-sided or crossed, as they are before an opening has settled.
fn opening(levels: &mut [BidAskPair; 10], tick_size: i64, random: &mut Rand64) {
    let kind = random.rand_float();
    if kind < 0.25 {
        empty_side(levels, kind < 0.12);
    } else if kind < 0.35 {
        levels[0].bid_px = levels[0].ask_px + tick_size;
    }
}
