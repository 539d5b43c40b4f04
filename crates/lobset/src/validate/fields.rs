//! Which value of a raw record each column of a dataset must hold. The list is written by hand, because the writer's
//! table of columns proves nothing about itself; the definitions of derived columns stand beside their formulas.

use dbn::{BidAskPair, UNDEF_PRICE, UNDEF_TIMESTAMP};

use crate::input::Record;
use crate::output::derived_definition as definition;

/// A column's value in a raw record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Want {
    /// Nothing: the record does not define it.
    Null,
    /// A time in nanoseconds since the UNIX epoch.
    Time(u64),
    /// A price in 1e-9.
    Price(i64),
    /// Twice a mid price, in 1e-9.
    Mid2(i128),
    /// A whole number.
    Integer(i64),
    /// A float, to the last bit.
    Float(f64),
    /// A letter.
    Letter(u8),
    /// The symbol of the stream.
    Symbol,
}

/// The ten levels of a record.
pub(super) type Levels = [BidAskPair; 10];

/// Takes a column's value out of a record, given the levels of the row before it, if its stretch has one.
pub(super) type Field = Box<dyn Fn(&Record<'_>, Option<&Levels>) -> Want + Send>;

/// The value that the column `name` must hold; `None` for a column that does not follow from a record.
pub(super) fn field(name: &str) -> Option<Field> {
    let of_record: fn(&Record<'_>) -> Want = match name {
        "ts_recv" => |r| time(r.event.ts_recv),
        "ts_event" => |r| time(r.event.ts_event),
        "ts_out" => |r| time(r.event.ts_out),
        "publisher_id" => |r| Want::Integer(r.event.publisher_id.into()),
        "instrument_id" => |r| Want::Integer(r.event.instrument_id.into()),
        "action" => |r| Want::Letter(r.event.action),
        "side" => |r| Want::Letter(r.event.side),
        "depth" => |r| Want::Integer(r.event.depth.into()),
        "price" => |r| price(r.event.price),
        "size" => |r| Want::Integer(r.event.size.into()),
        "flags" => |r| Want::Integer(r.event.flags.into()),
        "ts_in_delta" => |r| Want::Integer(r.event.ts_in_delta.into()),
        "sequence" => |r| Want::Integer(r.event.sequence.into()),
        "symbol" => |_| Want::Symbol,
        "mid_price" => |r| Want::Mid2(i128::from(r.levels[0].bid_px) + i128::from(r.levels[0].ask_px)),
        _ => return derived(name, None).or_else(|| of_level(name)),
    };
    Some(Box::new(move |record, _| of_record(record)))
}

/// The same for the columns of the ten levels: `bid_px_00` to `ask_ct_09`, `imbalance_00` to `ofi_09`.
fn of_level(name: &str) -> Option<Field> {
    let (stem, level) = name.rsplit_once('_')?;
    let level = level.parse::<usize>().ok().filter(|level| *level < 10 && name == format!("{stem}_{level:02}"))?;
    let value: fn(&BidAskPair) -> Want = match stem {
        "bid_px" => |level| price(level.bid_px),
        "ask_px" => |level| price(level.ask_px),
        "bid_sz" => |level| Want::Integer(level.bid_sz.into()),
        "ask_sz" => |level| Want::Integer(level.ask_sz.into()),
        "bid_ct" => |level| Want::Integer(level.bid_ct.into()),
        "ask_ct" => |level| Want::Integer(level.ask_ct.into()),
        _ => return derived(stem, Some(level)),
    };
    Some(Box::new(move |record, _| value(&record.levels[level])))
}

/// The same for the column that an entry of the setting `derived` defines, or that it defines for a level.
fn derived(entry: &str, level: Option<usize>) -> Option<Field> {
    let definition = definition(entry, level.is_some())?;
    let level = level.unwrap_or(0);
    let value = move |record: &Record<'_>, before: Option<&Levels>| {
        definition(&record.levels[level], before.map(|before| &before[level])).map_or(Want::Null, Want::Float)
    };
    Some(Box::new(value))
}

/// Whether the sums of a column are sums of floats. All other sums are whole numbers.
pub(super) fn is_float(name: &str) -> bool {
    definition(name, false).or_else(|| definition(name.rsplit_once('_')?.0, true)).is_some()
}

/// How many units of a column's sums make one unit in the dataset, with prices as integers (`fixed`) or as floats.
pub(super) fn divisor(name: &str, fixed: bool) -> i64 {
    let price = name == "price" || name.starts_with("bid_px_") || name.starts_with("ask_px_");
    match name {
        "mid_price" => 2_000_000_000,
        _ if price && !fixed => 1_000_000_000,
        _ => 1,
    }
}

fn time(ts: u64) -> Want {
    if ts == UNDEF_TIMESTAMP { Want::Null } else { Want::Time(ts) }
}

fn price(price: i64) -> Want {
    if price == UNDEF_PRICE { Want::Null } else { Want::Price(price) }
}
