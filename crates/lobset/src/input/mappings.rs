//! Maps instruments to symbols by day.

use rustc_hash::FxHashMap;

use super::small::brief;
use crate::cast::to_u32;
use crate::time_text::{DAY, Timestamp};

/// A symbol's number within its file.
pub type Slot = u32;

/// Symbols by instrument and day.
#[derive(Debug, Default)]
pub struct Mappings {
    names: Vec<String>,
    /// By instrument: the first day (inclusive) and the last (exclusive) in nanoseconds, and the symbol.
    intervals: FxHashMap<u32, Vec<(u64, u64, Slot)>>,
}

impl Mappings {
    /// The symbols, by slot.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The symbol of an instrument at a time; `None` if there is no mapping.
    ///
    /// # Errors
    /// A message when two symbols claim the instrument on that day.
    pub(super) fn search(&self, ts_recv: u64, instrument_id: u32) -> Result<Option<Slot>, String> {
        let Self { names, intervals } = self;
        let mut found = None;
        for &(start, end, slot) in intervals.get(&instrument_id).into_iter().flatten() {
            if !(start..end).contains(&ts_recv) {
                continue;
            }
            match found {
                Some(other) if other != slot => {
                    let (a, b) = (&names[other as usize], &names[slot as usize]);
                    let day = Timestamp(ts_recv - ts_recv % DAY).to_string();
                    return Err(format!("instrument {instrument_id} is both {a:?} and {b:?} on {}", &day[..10]));
                }
                _ => found = Some(slot),
            }
        }
        Ok(found)
    }
}

/// Builds [`Mappings`].
#[derive(Default)]
pub(super) struct MappingsBuilder {
    mappings: Mappings,
    slots: FxHashMap<String, Slot>,
}

impl MappingsBuilder {
    /// Maps an instrument to a symbol from midnight `start` until midnight `end`, exclusive.
    pub(super) fn add(&mut self, id: u32, name: &str, start: u64, end: u64) {
        let Mappings { names, intervals } = &mut self.mappings;
        let slot = match self.slots.get(name) {
            Some(slot) => *slot,
            None => {
                // The size of the metadata is bounded, so a file has fewer than 2^32 symbols.
                let slot = to_u32(names.len());
                names.push(name.to_owned());
                self.slots.insert(name.to_owned(), slot);
                slot
            }
        };
        intervals.entry(id).or_default().push((start, end, slot));
    }

    pub(super) fn finish(self) -> Mappings {
        self.mappings
    }
}

/// Maximum length of a symbol, in bytes. DBN itself allows 70.
const MAX_SYMBOL_BYTES: usize = 255;

/// Refuses a symbol that is empty or too long.
pub(super) fn check_symbol(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("maps an instrument to an empty symbol".to_owned()),
        1..=MAX_SYMBOL_BYTES => Ok(()),
        bytes => Err(format!("has a symbol of {bytes} bytes, above the limit of {MAX_SYMBOL_BYTES}")),
    }
}

/// Parses the instrument id of a mapping.
pub(super) fn instrument_id(id: &str, name: &str) -> Result<u32, String> {
    let bad =
        |_| format!("the mapping of {name:?} gives the instrument {:?}, which is not a 32-bit number", brief(&id));
    id.parse().map_err(bad)
}
