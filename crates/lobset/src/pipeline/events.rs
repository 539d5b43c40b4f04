//! Streams without a record that ends an event of the venue: with `rows = "events"` they have no rows.

use std::collections::BTreeSet;

use crate::config::{Config, Rows};
use crate::error::{Error, Result};
use crate::input::{StreamEnd, StreamId};

/// What to do about such a stream.
const HELP: &str = "rows = \"records\" takes every record with a usable quote; or leave these symbols out of the input";

/// Names the streams that have no rows because none of their records, in any file, ends an event; `None` if there are
/// none. `with_rows` are the streams that have rows, `ends` the ends of streams in all files.
pub fn without_an_end<'a>(
    config: &Config,
    with_rows: impl Iterator<Item = &'a StreamId>,
    ends: impl Iterator<Item = &'a StreamEnd> + Clone,
) -> Option<String> {
    if config.rows != Rows::Events {
        return None;
    }
    let ended: BTreeSet<&StreamId> =
        with_rows.chain(ends.clone().filter(|end| end.ends_event).map(|end| &end.id)).collect();
    let without: BTreeSet<&StreamId> = ends.map(|end| &end.id).filter(|id| !ended.contains(id)).collect();
    let first = without.first()?;
    let more = match without.len() - 1 {
        0 => String::new(),
        1 => ", nor of one other symbol".to_owned(),
        n => format!(", nor of {n} other symbols"),
    };
    Some(format!(
        "rows = \"events\", but none of the records of {:?} (publisher {}){more} ends an event of the venue (F_LAST)",
        first.symbol, first.publisher_id
    ))
}

/// Refuses such streams.
///
/// # Errors
/// [`Error::Data`] that names one of them.
pub fn check_ends<'a>(
    config: &Config,
    with_rows: impl Iterator<Item = &'a StreamId>,
    ends: impl Iterator<Item = &'a StreamEnd> + Clone,
) -> Result<()> {
    without_an_end(config, with_rows, ends).map_or(Ok(()), |message| Err(Error::data(message, HELP)))
}
