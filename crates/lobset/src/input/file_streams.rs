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

/// How a stream ends in a file, for streams whose rows in that file do not show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// The stream.
    pub id: StreamId,
    /// Whether one of its records ends an event of the venue.
    pub ends_event: bool,
    /// Whether a record was dropped for its bad book after the stream's last row in the file, or in a file where the
    /// stream has no row. If so, the next row, in another file, breaks the stream.
    pub bad_book: bool,
}

/// A stream in the file being read.
#[derive(Debug)]
pub(crate) struct FileStream {
    pub symbol: Slot,
    pub publisher: u16,
    /// Its number among the streams with rows, in the order of their first rows.
    pub number: Option<usize>,
    /// As in [`StreamEnd`].
    pub ends_event: bool,
    pub bad_book: bool,
}

/// The streams of one file, in the order of their first records.
#[derive(Debug, Default)]
pub(crate) struct FileStreams {
    streams: Vec<FileStream>,
    places: FxHashMap<(Slot, u16), usize>,
    last: Option<((Slot, u16), usize)>,
    /// The places of the streams with rows, by number.
    with_rows: Vec<usize>,
}

impl FileStreams {
    /// Returns the place of the stream of a symbol and a publisher; assigns one to a new stream.
    #[inline]
    pub fn place(&mut self, symbol: Slot, publisher: u16) -> usize {
        let stream = (symbol, publisher);
        match self.last {
            Some((last, place)) if last == stream => place,
            _ => self.look_up(stream),
        }
    }

    fn look_up(&mut self, stream: (Slot, u16)) -> usize {
        let place = *self.places.entry(stream).or_insert_with(|| {
            let (symbol, publisher) = stream;
            self.streams.push(FileStream { symbol, publisher, number: None, ends_event: false, bad_book: false });
            self.streams.len() - 1
        });
        self.last = Some((stream, place));
        place
    }

    /// The stream at a place.
    #[inline]
    pub fn at(&mut self, place: usize) -> &mut FileStream {
        &mut self.streams[place]
    }

    /// Returns the number of the stream at a place, assigning one on the first call. The stream must have a row.
    #[inline]
    pub fn number(&mut self, place: usize) -> usize {
        *self.streams[place].number.get_or_insert_with(|| {
            self.with_rows.push(place);
            self.with_rows.len() - 1
        })
    }

    /// Every stream with records, by place.
    pub fn all(&self) -> &[FileStream] {
        &self.streams
    }

    /// The streams with rows, by number.
    pub fn with_rows(&self) -> impl Iterator<Item = &FileStream> {
        self.with_rows.iter().map(|place| &self.streams[*place])
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
        let places = [(0, 39), (0, 39), (0, 40), (1, 39), (0, 39)].map(|(symbol, p)| streams.place(symbol, p));
        assert_eq!(places, [0, 0, 1, 2, 0]);
        let ids = |streams: &mut dyn Iterator<Item = &FileStream>| -> Vec<(Slot, u16)> {
            streams.map(|stream| (stream.symbol, stream.publisher)).collect()
        };
        assert_eq!(ids(&mut streams.all().iter()), [(0, 39), (0, 40), (1, 39)]);
        assert_eq!([2, 0, 2].map(|place| streams.number(place)), [0, 1, 0]);
        assert_eq!(ids(&mut streams.with_rows()), [(1, 39), (0, 39)]);
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
