//! Streams: one symbol of one publisher. Books of several venues under one symbol are never mixed into one stream.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::Slot;
use crate::error::{Error, Result};

/// A stream across files: one symbol of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamId {
    /// The symbol, as the mappings of the input name it.
    pub symbol: String,
    /// The publisher: a dataset and a venue.
    pub publisher_id: u16,
}

/// The streams of one file, numbered in the order of their first records.
#[derive(Debug, Default)]
pub(crate) struct FileStreams {
    streams: Vec<(Slot, u16)>,
    numbers: FxHashMap<(Slot, u16), usize>,
    last: Option<((Slot, u16), usize)>,
}

impl FileStreams {
    /// Returns the number of the stream of a symbol and a publisher; assigns one to a new stream.
    #[inline]
    pub fn number(&mut self, symbol: Slot, publisher: u16) -> usize {
        let stream = (symbol, publisher);
        match self.last {
            Some((last, number)) if last == stream => number,
            _ => self.look_up(stream),
        }
    }

    fn look_up(&mut self, stream: (Slot, u16)) -> usize {
        let number = *self.numbers.entry(stream).or_insert_with(|| {
            self.streams.push(stream);
            self.streams.len() - 1
        });
        self.last = Some((stream, number));
        number
    }

    /// The symbol and the publisher of every stream, by number.
    pub fn all(&self) -> &[(Slot, u16)] {
        &self.streams
    }
}

/// Names the streams of a run: the symbol if one publisher has it, `symbol.publisher` if several do.
#[derive(Debug)]
pub(crate) struct StreamNames<'a>(BTreeMap<&'a str, BTreeSet<u16>>);

impl<'a> StreamNames<'a> {
    /// Creates the names from the symbol and the publisher of every stream, which may repeat.
    ///
    /// # Errors
    /// [`Error::Data`] when the name of one stream is also the symbol of another.
    pub fn new(streams: impl IntoIterator<Item = (&'a str, u16)>) -> Result<Self> {
        let mut symbols: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
        for (symbol, publisher) in streams {
            symbols.entry(symbol).or_default().insert(publisher);
        }
        let names = Self(symbols);
        for (symbol, publishers) in names.0.iter().filter(|(_, publishers)| publishers.len() > 1) {
            for publisher in publishers {
                let name = names.name(symbol, *publisher);
                if names.0.contains_key(name.as_str()) {
                    return Err(Error::data(
                        format!(
                            "the stream of publisher {publisher} and symbol {symbol:?} has the same name as the symbol {name:?}"
                        ),
                        "select one publisher with publishers = [ID]",
                    ));
                }
            }
        }
        Ok(names)
    }

    /// The name of a stream.
    pub fn name(&self, symbol: &str, publisher: u16) -> String {
        match self.0.get(symbol) {
            Some(publishers) if publishers.len() > 1 => with_publisher(symbol, publisher),
            _ => symbol.to_owned(),
        }
    }
}

/// The name of a stream whose symbol has several publishers.
pub(crate) fn with_publisher(symbol: &str, publisher: u16) -> String {
    format!("{symbol}.{publisher}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_of_several_publishers_is_several_streams() {
        let mut streams = FileStreams::default();
        let numbers = [(0, 39), (0, 39), (0, 40), (1, 39), (0, 39)].map(|(symbol, p)| streams.number(symbol, p));
        assert_eq!(numbers, [0, 0, 1, 2, 0]);
        assert_eq!(streams.all(), [(0, 39), (0, 40), (1, 39)]);
    }

    #[test]
    fn names_carry_the_publisher_only_where_they_must() {
        let names = StreamNames::new([("NVDA", 39), ("AAPL", 39), ("NVDA", 41), ("NVDA", 39)]).unwrap();
        assert_eq!(names.name("NVDA", 39), "NVDA.39");
        assert_eq!(names.name("NVDA", 41), "NVDA.41");
        assert_eq!(names.name("AAPL", 39), "AAPL");
        let error = StreamNames::new([("NVDA", 39), ("NVDA", 41), ("NVDA.41", 39)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the stream of publisher 41 and symbol \"NVDA\" has the same name as the symbol \"NVDA.41\""
        );
    }
}
