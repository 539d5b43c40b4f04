//! Finds the symbol of a record by day and instrument, using the file's own mappings or its `symbology.json`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dbn::Metadata;
use rustc_hash::FxHashMap;

use super::mappings::{Mappings, MappingsBuilder, Slot, check_symbol, instrument_id};
use super::symbology::SymbologyFile;
use crate::error::{InputError, Result};
use crate::time_text::{DAY, Timestamp, midnight};

/// Where a file's symbols come from.
#[derive(Debug)]
enum MappingSource {
    /// The metadata of the file.
    Metadata,
    /// A `symbology.json`: path and SHA-256.
    Symbology(PathBuf, String),
    /// Neither: the file has no mappings, and there is no `symbology.json`.
    Nowhere,
}

/// The mappings of one file.
#[derive(Debug)]
pub struct Symbols {
    mappings: Arc<Mappings>,
    source: MappingSource,
    /// The results of look-ups for `day`, by instrument.
    today: FxHashMap<u32, Option<Slot>>,
    day: u64,
    last: Option<(u32, Option<Slot>)>,
}

impl Symbols {
    /// Reads the mappings of a file. Both directions are supported: symbols to instrument ids, and the inverse.
    ///
    /// # Errors
    /// A message when the mappings do not involve instrument ids, an id is not a number, or a symbol has no name.
    pub fn new(metadata: &Metadata) -> Result<Self, String> {
        if metadata.mappings.is_empty() {
            return Ok(Self::from(Arc::default(), MappingSource::Nowhere));
        }
        let inverse = metadata.is_inverse().map_err(|_| no_instrument_ids(metadata))?;
        let mut builder = MappingsBuilder::default();
        for mapping in &metadata.mappings {
            for interval in &mapping.intervals {
                // Old files mark days without a match with an empty symbol.
                if interval.symbol.is_empty() {
                    continue;
                }
                let (id, name) = if inverse {
                    (&mapping.raw_symbol, &interval.symbol)
                } else {
                    (&interval.symbol, &mapping.raw_symbol)
                };
                check_symbol(name)?;
                let id = instrument_id(id, name)?;
                let (Some(start), Some(end)) = (midnight(interval.start_date), midnight(interval.end_date)) else {
                    return Err(format!("the mapping of {name:?} starts before 1970"));
                };
                builder.add(id, name, start, end);
            }
        }
        Ok(Self::from(Arc::new(builder.finish()), MappingSource::Metadata))
    }

    /// Returns the symbols of the file at `path`: from its own mappings, or from `symbology` if it has none, or none
    /// with instrument ids.
    ///
    /// # Errors
    /// [`InputError`] for mappings that cannot be used, or a `symbology.json` that cannot be read.
    pub fn of_file(path: &Path, metadata: &Metadata, symbology: Option<&SymbologyFile>) -> Result<Self> {
        match symbology {
            Some(file) if metadata.mappings.is_empty() || metadata.is_inverse().is_err() => {
                let source = MappingSource::Symbology(file.path().to_owned(), file.sha256().to_owned());
                Ok(Self::from(file.mappings()?, source))
            }
            _ => Self::new(metadata).map_err(|message| {
                let help = match metadata.is_inverse() {
                    Ok(_) => "download the file again",
                    Err(_) => NAME_SYMBOLOGY,
                };
                InputError::new(path, message).with_help(help).into()
            }),
        }
    }

    fn from(mappings: Arc<Mappings>, source: MappingSource) -> Self {
        Self { mappings, source, today: FxHashMap::default(), day: u64::MAX, last: None }
    }

    /// The symbols that the file maps, by slot.
    pub fn names(&self) -> &[String] {
        self.mappings.names()
    }

    /// The SHA-256 of the `symbology.json` that the symbols come from; `None` if they are the file's own.
    pub fn symbology(&self) -> Option<&str> {
        match &self.source {
            MappingSource::Symbology(_, sha256) => Some(sha256),
            MappingSource::Metadata | MappingSource::Nowhere => None,
        }
    }

    /// The message and the help for a record whose instrument has no symbol.
    pub fn unmapped(&self, ts_recv: u64, instrument_id: u32) -> (String, &'static str) {
        let time = Timestamp(ts_recv).to_string();
        let day = &time[..10];
        let drop = "drop and count such records with unmapped = \"drop\" (--unmapped drop)";
        match &self.source {
            MappingSource::Metadata => {
                (format!("instrument {instrument_id} has no symbol on {day} in the file's mappings"), drop)
            }
            MappingSource::Symbology(path, _) => {
                (format!("instrument {instrument_id} has no symbol on {day} in {}", path.display()), drop)
            }
            MappingSource::Nowhere => (
                format!(
                    "instrument {instrument_id} has no symbol: the file has no mappings, and there is no symbology.json next to it"
                ),
                NAME_SYMBOLOGY,
            ),
        }
    }

    /// The symbol of `instrument_id` on the UTC day of `ts_recv`; `None` if there is no mapping.
    ///
    /// # Errors
    /// A message when two symbols claim the instrument on that day.
    #[inline]
    pub fn resolve(&mut self, ts_recv: u64, instrument_id: u32) -> Result<Option<Slot>, String> {
        if ts_recv.wrapping_sub(self.day) >= DAY {
            self.day = ts_recv - ts_recv % DAY;
            self.today.clear();
            self.last = None;
        }
        match self.last {
            Some((id, slot)) if id == instrument_id => Ok(slot),
            _ => self.look_up(ts_recv, instrument_id),
        }
    }

    fn look_up(&mut self, ts_recv: u64, instrument_id: u32) -> Result<Option<Slot>, String> {
        let slot = match self.today.get(&instrument_id) {
            Some(slot) => *slot,
            None => {
                let slot = self.mappings.search(ts_recv, instrument_id)?;
                self.today.insert(instrument_id, slot);
                slot
            }
        };
        self.last = Some((instrument_id, slot));
        Ok(slot)
    }
}

/// The help for a file whose own mappings are unusable.
const NAME_SYMBOLOGY: &str =
    "put the batch job's symbology.json next to the file, or pass it with --symbology FILE (symbology=... in Python)";

fn no_instrument_ids(metadata: &Metadata) -> String {
    let from = metadata.stype_in.map_or("symbols of several types", |stype| stype.as_str());
    format!("its mappings lead from {from} to {}, and neither is instrument_id", metadata.stype_out)
}

#[cfg(test)]
mod tests {
    use dbn::{MappingInterval, SType, Schema, SymbolMapping};
    use time::macros::date;

    use super::*;

    fn metadata(stype_in: SType, stype_out: SType, mappings: &[(&str, time::Date, time::Date, &str)]) -> Metadata {
        Metadata::builder()
            .dataset("GLBX.MDP3")
            .schema(Some(Schema::Mbp10))
            .start(0)
            .stype_in(Some(stype_in))
            .stype_out(stype_out)
            .mappings(
                mappings
                    .iter()
                    .map(|(raw, start, end, symbol)| SymbolMapping {
                        raw_symbol: (*raw).to_owned(),
                        intervals: vec![MappingInterval {
                            start_date: *start,
                            end_date: *end,
                            symbol: (*symbol).to_owned(),
                        }],
                    })
                    .collect(),
            )
            .build()
    }

    const APRIL_3: u64 = 1_712_102_400_000_000_000;

    #[test]
    fn an_instrument_means_something_only_within_its_days() {
        let metadata = metadata(
            SType::RawSymbol,
            SType::InstrumentId,
            &[
                ("M6AM4", date!(2024 - 04 - 03), date!(2024 - 04 - 04), "7"),
                ("M6AU4", date!(2024 - 04 - 04), date!(2024 - 04 - 05), "7"),
            ],
        );
        let mut symbols = Symbols::new(&metadata).unwrap();
        let mut name = |ts, id| symbols.resolve(ts, id).unwrap().map(|slot| symbols.names()[slot as usize].clone());
        assert_eq!(name(APRIL_3, 7).as_deref(), Some("M6AM4"));
        assert_eq!(name(APRIL_3 + DAY - 1, 7).as_deref(), Some("M6AM4"));
        assert_eq!(name(APRIL_3 + DAY, 7).as_deref(), Some("M6AU4"));
        assert_eq!(name(APRIL_3 - 1, 7), None);
        assert_eq!(name(APRIL_3, 8), None);
    }

    #[test]
    fn the_inverse_direction_is_understood() {
        let metadata = metadata(
            SType::InstrumentId,
            SType::RawSymbol,
            &[("7", date!(2024 - 04 - 03), date!(2024 - 04 - 04), "M6AM4")],
        );
        let mut symbols = Symbols::new(&metadata).unwrap();
        assert_eq!(symbols.resolve(APRIL_3, 7), Ok(Some(0)));
        assert_eq!(symbols.names(), ["M6AM4"]);
    }

    #[test]
    fn a_symbol_without_a_name_is_refused() {
        let of = |name: &str| {
            Symbols::new(&metadata(
                SType::RawSymbol,
                SType::InstrumentId,
                &[
                    ("M6AM4", date!(2024 - 04 - 03), date!(2024 - 04 - 04), "7"),
                    (name, date!(2024 - 04 - 03), date!(2024 - 04 - 04), "8"),
                ],
            ))
        };
        assert_eq!(of("").unwrap_err(), "maps an instrument to an empty symbol");
        assert!(of(&"x".repeat(256)).unwrap_err().contains("a symbol of 256 bytes"));
        assert!(of(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn two_symbols_for_one_instrument_are_refused() {
        let metadata = metadata(
            SType::RawSymbol,
            SType::InstrumentId,
            &[
                ("M6AM4", date!(2024 - 04 - 03), date!(2024 - 04 - 04), "7"),
                ("M6A.c.0", date!(2024 - 04 - 03), date!(2024 - 04 - 04), "7"),
            ],
        );
        let error = Symbols::new(&metadata).unwrap().resolve(APRIL_3, 7).unwrap_err();
        assert_eq!(error, "instrument 7 is both \"M6AM4\" and \"M6A.c.0\" on 2024-04-03");
    }
}
