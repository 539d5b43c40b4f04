//! Selects the records of a file that are rows, and assigns them to streams.

use std::path::Path;

use dbn::BidAskPair;
use serde::{Deserialize, Serialize};

use super::entry::InputEntry;
use super::file_streams::{FileStreams, StreamId};
use super::impossible::Impossible;
use super::quote::{Drops, QuoteRules};
use super::reader::{DbnReader, Record};
use super::stamps::Times;
use super::symbology::SymbologyFile;
use super::symbols::Symbols;
use crate::config::{Config, ScanSettings, Unmapped};
use crate::error::{Error, Result};
use crate::run::Monitor;
use crate::storage;
use crate::time_text::Timestamp;

/// Number of records between two progress reports.
const BREATH: u64 = 8192;

/// Everything that determines the result of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRules {
    settings: ScanSettings,
    /// The mappings for a file without any. They differ from folder to folder.
    symbology: Option<SymbologyFile>,
}

impl ScanRules {
    /// Creates the rules from the settings of a run.
    pub fn new(config: &Config) -> Self {
        Self { settings: ScanSettings::new(config), symbology: None }
    }

    /// The longest pause, in nanoseconds, that does not break a stream.
    pub fn max_gap(&self) -> u64 {
        self.settings.max_gap.map_or(u64::MAX, |gap| gap.0)
    }

    /// The maximum memory that the mappings take, in bytes.
    pub fn memory(&self) -> u64 {
        self.symbology.as_ref().map_or(0, SymbologyFile::memory)
    }

    /// The same rules for a file with this `symbology.json`.
    #[must_use]
    pub fn with_symbology(&self, symbology: Option<&SymbologyFile>) -> Self {
        Self { symbology: symbology.cloned(), ..self.clone() }
    }
}

/// True if a row starts a new unbroken stretch: it belongs to another instrument, or follows a pause longer than
/// `max_gap`, measured from the running maximum of `ts_recv` of the stream, `reached`.
#[inline(always)]
pub fn is_break(reached: u64, ts: u64, max_gap: u64, same_instrument: bool) -> bool {
    !same_instrument || ts.saturating_sub(reached) > max_gap
}

/// Reads the records of a file, and determines which of them are rows and to which stream they belong.
pub(crate) struct RowReader {
    pub reader: DbnReader,
    pub symbols: Symbols,
    pub drops: Drops,
    impossible: Impossible,
    strict: bool,
    quotes: QuoteRules,
    unmapped: Unmapped,
    publishers: Option<Vec<u16>>,
    times: Times,
    streams: FileStreams,
    /// Number of bytes of the file reported to the monitor.
    reported: u64,
}

impl RowReader {
    pub fn open(path: &Path, rules: &ScanRules) -> Result<Self> {
        let reader = DbnReader::open(path)?;
        let symbols = Symbols::of_file(path, reader.metadata(), rules.symbology.as_ref())?;
        let settings = &rules.settings;
        let quotes = QuoteRules::new(settings.keep_crossed, settings.price_range);
        let times = Times::of(reader.metadata());
        Ok(Self {
            reader,
            symbols,
            drops: Drops::default(),
            impossible: Impossible::default(),
            strict: settings.strict,
            quotes,
            unmapped: settings.unmapped,
            publishers: settings.publishers.clone(),
            times,
            streams: FileStreams::default(),
            reported: 0,
        })
    }

    /// Moves to the next record; false at the end of the file. Regularly reports the bytes read to the monitor.
    #[inline]
    pub fn advance(&mut self, monitor: &Monitor<'_>) -> Result<bool> {
        let more = self.reader.advance()?;
        if !more || self.reader.records().is_multiple_of(BREATH) {
            let read = self.reader.bytes_read();
            monitor.advance(read - self.reported)?;
            self.reported = read;
        }
        Ok(more)
    }

    /// The current record and, if it is a row, the number of its stream and `mid2`. Drops are counted.
    #[inline]
    pub fn current(&mut self) -> Result<(Record<'_>, Option<(usize, i64)>)> {
        let quotes = self.quotes;
        self.current_by(|best, drops| quotes.mid2(best, drops))
    }

    /// Like [`current`](Self::current), but `mid2` decides which quotes are usable, and counts the others.
    #[inline]
    pub fn current_by(
        &mut self,
        mid2: impl FnOnce(&BidAskPair, &mut Drops) -> Result<Option<i64>, String>,
    ) -> Result<(Record<'_>, Option<(usize, i64)>)> {
        let record = self.reader.record()?;
        self.times.check(&record).map_err(|message| self.reader.error(message))?;
        if let Err(message) = self.impossible.note(&record)
            && self.strict
        {
            return Err(self
                .reader
                .error(message)
                .with_help("without strict, such records are kept and counted")
                .into());
        }
        if self.publishers.as_ref().is_some_and(|wanted| !wanted.contains(&record.event.publisher_id)) {
            self.drops.other_publisher += 1;
            return Ok((record, None));
        }
        let slot = match self.symbols.resolve(record.event.ts_recv, record.event.instrument_id) {
            Ok(Some(slot)) => slot,
            Ok(None) if self.unmapped == Unmapped::Drop => {
                self.drops.unmapped += 1;
                return Ok((record, None));
            }
            Ok(None) => return Err(self.no_mapping(&record)),
            Err(message) => {
                return Err(self
                    .reader
                    .error(message)
                    .with_help("download only one of the two symbols: a file contains each instrument once")
                    .into());
            }
        };
        match mid2(&record.levels[0], &mut self.drops) {
            Ok(Some(mid2)) => Ok((record, Some((self.streams.number(slot, record.event.publisher_id), mid2)))),
            Ok(None) => Ok((record, None)),
            Err(message) => Err(self.reader.error(message).into()),
        }
    }

    /// The streams that have rows so far, by number.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        let names = self.symbols.names();
        self.streams
            .all()
            .iter()
            .map(|(symbol, publisher)| StreamId { symbol: names[*symbol as usize].clone(), publisher_id: *publisher })
    }

    /// The entry of the file in the manifest; meaningful once the file has been read to its end.
    pub fn entry(&self, path: &Path, rows: u64, first_ts: Option<u64>, last_ts: Option<u64>) -> InputEntry {
        InputEntry {
            name: storage::file_name(path),
            bytes: self.reader.bytes_read(),
            sha256: self.reader.sha256(),
            dbn_version: self.reader.metadata().version,
            dataset: self.reader.metadata().dataset.clone(),
            ts_out: self.reader.has_ts_out(),
            records: self.reader.records(),
            rows,
            first_ts: first_ts.map(Timestamp),
            last_ts: last_ts.map(Timestamp),
            drops: self.drops,
            impossible: self.impossible,
            checksummed: self.reader.checksummed(),
            symbology: self.symbols.symbology().map(str::to_owned),
        }
    }

    #[cold]
    fn no_mapping(&self, record: &Record<'_>) -> Error {
        let (message, help) = self.symbols.unmapped(record.event.ts_recv, record.event.instrument_id);
        self.reader.error(message).with_help(help).into()
    }
}
