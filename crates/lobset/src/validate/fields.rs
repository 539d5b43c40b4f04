//! Which value of a raw record each column of a dataset has to hold, told here by hand: the writer's table of columns proves
//! nothing about itself.

use dbn::{BidAskPair, UNDEF_PRICE, UNDEF_TIMESTAMP};

use crate::input::Record;

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
    /// A letter.
    Letter(u8),
    /// The symbol of the stream.
    Symbol,
}

/// Takes a column's value out of a record.
pub(super) type Field = Box<dyn Fn(&Record<'_>) -> Want + Send>;

/// The value that the column `name` has to hold; `None` for a column that no record determines.
pub(super) fn field(name: &str) -> Option<Field> {
    Some(match name {
        "ts_recv" => Box::new(|r| time(r.event.ts_recv)),
        "ts_event" => Box::new(|r| time(r.event.ts_event)),
        "ts_out" => Box::new(|r| time(r.event.ts_out)),
        "publisher_id" => Box::new(|r| Want::Integer(r.event.publisher_id.into())),
        "instrument_id" => Box::new(|r| Want::Integer(r.event.instrument_id.into())),
        "action" => Box::new(|r| Want::Letter(r.event.action)),
        "side" => Box::new(|r| Want::Letter(r.event.side)),
        "depth" => Box::new(|r| Want::Integer(r.event.depth.into())),
        "price" => Box::new(|r| price(r.event.price)),
        "size" => Box::new(|r| Want::Integer(r.event.size.into())),
        "flags" => Box::new(|r| Want::Integer(r.event.flags.into())),
        "ts_in_delta" => Box::new(|r| Want::Integer(r.event.ts_in_delta.into())),
        "sequence" => Box::new(|r| Want::Integer(r.event.sequence.into())),
        "symbol" => Box::new(|_| Want::Symbol),
        "mid_price" => Box::new(|r| Want::Mid2(i128::from(r.levels[0].bid_px) + i128::from(r.levels[0].ask_px))),
        _ => return of_level(name),
    })
}

/// The same for the columns of the ten levels: `bid_px_00` to `ask_ct_09`.
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
        _ => return None,
    };
    Some(Box::new(move |record| value(&record.levels[level])))
}

fn time(ts: u64) -> Want {
    if ts == UNDEF_TIMESTAMP { Want::Null } else { Want::Time(ts) }
}

fn price(price: i64) -> Want {
    if price == UNDEF_PRICE { Want::Null } else { Want::Price(price) }
}
