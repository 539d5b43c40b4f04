//! Which symbol a record belongs to: by day and instrument, as the file's own mappings say.

use dbn::Metadata;
use rustc_hash::FxHashMap;

use crate::time_text::{DAY, Timestamp, midnight};

/// A symbol's number within its file.
pub type Slot = u32;

/// The mappings of one file.
pub struct Symbols {
    names: Vec<String>,
    /// By instrument: first day (inclusive) and last (exclusive) as nanoseconds, and the symbol.
    intervals: FxHashMap<u32, Vec<(u64, u64, Slot)>>,
    /// What has been looked up on `day`.
    today: FxHashMap<u32, Option<Slot>>,
    day: u64,
    last: Option<(u32, Option<Slot>)>,
}

impl Symbols {
    /// Reads a file's mappings. Both directions are understood: symbols to instrument ids, and the inverse.
    ///
    /// # Errors
    /// A text when the mappings do not speak of instrument ids, or an id is no number.
    pub fn new(metadata: &Metadata) -> Result<Self, String> {
        let inverse =
            metadata.is_inverse().map_err(|_| "its mappings have no instrument ids on either side".to_owned())?;
        let mut slots = FxHashMap::default();
        let mut symbols = Self {
            names: Vec::new(),
            intervals: FxHashMap::default(),
            today: FxHashMap::default(),
            day: u64::MAX,
            last: None,
        };
        for mapping in &metadata.mappings {
            for interval in &mapping.intervals {
                // Old files mark days without a match by an empty symbol.
                if interval.symbol.is_empty() {
                    continue;
                }
                let (id, name) = if inverse {
                    (&mapping.raw_symbol, &interval.symbol)
                } else {
                    (&interval.symbol, &mapping.raw_symbol)
                };
                let id = id.parse().map_err(|_| {
                    format!("the mapping of {name:?} names the instrument {id:?}, which is no 32-bit number")
                })?;
                let (Some(start), Some(end)) = (midnight(interval.start_date), midnight(interval.end_date)) else {
                    return Err(format!("the mapping of {name:?} starts before 1970"));
                };
                let slot = *slots.entry(name.clone()).or_insert_with(|| {
                    symbols.names.push(name.clone());
                    (symbols.names.len() - 1) as Slot
                });
                symbols.intervals.entry(id).or_default().push((start, end, slot));
            }
        }
        Ok(symbols)
    }

    /// The symbols that the file maps, by slot.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The symbol of `instrument_id` on the UTC day of `ts_recv`; `None` without a mapping.
    ///
    /// # Errors
    /// A text when two symbols claim the instrument on that day.
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
                let slot = self.search(ts_recv, instrument_id)?;
                self.today.insert(instrument_id, slot);
                slot
            }
        };
        self.last = Some((instrument_id, slot));
        Ok(slot)
    }

    fn search(&self, ts_recv: u64, instrument_id: u32) -> Result<Option<Slot>, String> {
        let mut found = None;
        for &(start, end, slot) in self.intervals.get(&instrument_id).into_iter().flatten() {
            if !(start..end).contains(&ts_recv) {
                continue;
            }
            match found {
                Some(other) if other != slot => {
                    let (a, b) = (&self.names[other as usize], &self.names[slot as usize]);
                    let day = Timestamp(ts_recv - ts_recv % DAY).to_string();
                    return Err(format!("instrument {instrument_id} is both {a:?} and {b:?} on {}", &day[..10]));
                }
                _ => found = Some(slot),
            }
        }
        Ok(found)
    }
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
