//! The records of a raw file with their streams, and which of them are rows, by the plain definition.

use std::collections::BTreeMap;

use dbn::UNDEF_PRICE;

use crate::error::Result;
use crate::input::{CatalogFile, InputEntry, Record, RowReader, ScanRules, Unusable, Usable, verified, with_publisher};
use crate::output::Manifest;
use crate::run::Monitor;

/// What is needed to read the raw files of a dataset.
pub(super) struct RawFiles<'a> {
    rules: ScanRules,
    usable: Usable,
    /// The publisher of each stream that the manifest lists, by its name.
    known: BTreeMap<&'a str, u16>,
}

impl<'a> RawFiles<'a> {
    pub(super) fn new(manifest: &'a Manifest) -> Self {
        Self {
            rules: ScanRules::new(&manifest.config),
            usable: Usable::new(&manifest.config),
            known: manifest.symbols.iter().map(|s| (s.symbol.as_str(), s.publisher_id)).collect(),
        }
    }

    /// Whether the manifest lists a stream of this name.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Opens a raw file.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when it cannot be read.
    pub(super) fn open<'r>(&'r self, file: &'r CatalogFile) -> Result<RawFile<'r>> {
        let reader = RowReader::open(&file.path, &self.rules.with_symbology(file.beside.symbology.as_ref()))?;
        Ok(RawFile { files: self, file, reader, rows: 0, names: Vec::new() })
    }
}

/// A raw file that is read record by record.
pub(super) struct RawFile<'a> {
    files: &'a RawFiles<'a>,
    file: &'a CatalogFile,
    reader: RowReader,
    rows: u64,
    /// The names of the streams of the file, by place.
    names: Vec<String>,
}

/// A record that belongs to a stream.
pub(super) struct RawRecord<'a> {
    /// Its number in the file, from 0.
    pub number: u64,
    /// The place of its stream among those of the file, from 0 in order of appearance, and the name of the stream.
    pub place: usize,
    pub stream: &'a str,
    pub record: Record<'a>,
    /// `mid2` if it is a row, or why it is not one.
    pub mid2: Result<i64, Unusable>,
}

impl RawFile<'_> {
    /// Moves to the next record of a stream; `None` at the end of the file.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when the file is damaged, or best prices are too large to add;
    /// [`Error::Interrupted`](crate::Error::Interrupted) when the run has been asked to stop.
    pub(super) fn next(&mut self, monitor: &Monitor<'_>) -> Result<Option<RawRecord<'_>>> {
        while self.reader.advance(monitor)? {
            let (record, Some(place)) = self.reader.of_stream()? else { continue };
            let mid2 = mid2(self.files.usable, &record);
            if place == self.names.len() {
                let id = self.reader.id_at(place);
                let alone = self.files.known.get(id.symbol.as_str()) == Some(&id.publisher_id);
                self.names.push(if alone { id.symbol } else { with_publisher(&id.symbol, id.publisher_id) });
            }
            match mid2 {
                Ok(_) => self.rows += 1,
                Err(reason) => {
                    let count = self.reader.drops.of(reason);
                    *count.ok_or_else(|| self.reader.reader.error(reason.to_string()))? += 1;
                }
            }
            let number = self.reader.reader.records() - 1;
            let (stream, record) = (self.names[place].as_str(), self.reader.reader.record()?);
            return Ok(Some(RawRecord { number, place, stream, record, mid2 }));
        }
        Ok(None)
    }

    /// The manifest entry of the file, once it has been read to its end.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when the file has changed since the run began, or its hash is not that
    /// in the `manifest.json` of its batch job.
    pub(super) fn finish(self) -> Result<InputEntry> {
        let Self { file, reader, rows, .. } = self;
        file.check_unchanged()?;
        let reader = verified(&file.path, file.beside.sha256.as_deref(), Ok(reader), |rows| rows.reader.sha256())?;
        Ok(reader.entry(&file.path, rows, None, None))
    }
}

/// `mid2` of a usable record by the definition, or why it is not usable.
fn mid2(usable: Usable, record: &Record<'_>) -> Result<i64, Unusable> {
    usable.flags(record.event.flags)?;
    let present = |price: i64| (price != UNDEF_PRICE).then_some(price);
    let best = &record.levels[0];
    usable.mid2(present(best.bid_px), present(best.ask_px))
}
