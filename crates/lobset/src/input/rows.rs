//! Selects the records of a file that become rows, and assigns them to streams.

use std::path::Path;

use dbn::flags::LAST;
use serde::{Deserialize, Serialize};

use super::entry::InputEntry;
use super::file_streams::{FileStream, FileStreams, StreamEnd, StreamId};
use super::flags::FlagCounter;
use super::impossible::Impossible;
use super::quote::{Drops, RowRules, Unusable};
use super::reader::{DbnReader, Record};
use super::stamps::Times;
use super::symbology::SymbologyFile;
use super::symbols::Symbols;
use crate::config::{Config, Rows, ScanSettings, Unmapped};
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
    /// Whether the tapes have moments.
    moments: bool,
    /// The mappings for a file without any. They differ from folder to folder.
    symbology: Option<SymbologyFile>,
}

impl ScanRules {
    /// Creates the rules from the settings of a run.
    pub fn new(config: &Config) -> Self {
        let moments = config.all_targets().iter().any(|target| target.movement.needs_moments());
        Self { settings: ScanSettings::new(config), moments, symbology: None }
    }

    /// Whether the tapes have moments: the time and the spread of each row.
    pub fn moments(&self) -> bool {
        self.moments
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

/// A record that is a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamRow {
    /// The number of its stream among those with rows in the file.
    pub stream: usize,
    pub mid2: i64,
    /// Whether a record of the stream was dropped for its bad book since the row before, or since the file began.
    pub after_bad_book: bool,
}

/// Reads the records of a file, and determines which of them are rows and to which stream they belong.
pub(crate) struct RowReader {
    pub reader: DbnReader,
    pub drops: Drops,
    records: StreamReader,
    rules: RowRules,
    rows: Rows,
    /// Number of bytes of the file reported to the monitor.
    reported: u64,
}

/// Checks records, and determines to which stream each belongs.
struct StreamReader {
    symbols: Symbols,
    flags: FlagCounter,
    impossible: Impossible,
    strict: bool,
    unmapped: Unmapped,
    publishers: Option<Vec<u16>>,
    /// By slot, whether a symbol is among `symbols`; `None` if all are.
    wanted: Option<Vec<bool>>,
    times: Times,
    streams: FileStreams,
}

impl RowReader {
    pub fn open(path: &Path, rules: &ScanRules) -> Result<Self> {
        let reader = DbnReader::open(path)?;
        let settings = &rules.settings;
        let symbols = Symbols::of_file(path, reader.metadata(), rules.symbology.as_ref())?;
        let wanted = settings.symbols.as_ref();
        let wanted = wanted.map(|wanted| symbols.names().iter().map(|name| wanted.contains(name)).collect());
        let records = StreamReader {
            symbols,
            wanted,
            flags: FlagCounter::new(),
            impossible: Impossible::default(),
            strict: settings.strict,
            unmapped: settings.unmapped,
            publishers: settings.publishers.clone(),
            times: Times::of(reader.metadata()),
            streams: FileStreams::default(),
        };
        Ok(Self {
            reader,
            drops: Drops::default(),
            records,
            rules: RowRules::new(settings),
            rows: settings.rows,
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

    /// The current record and, if it is a row, its stream and `mid2`. Drops are counted.
    #[inline]
    pub fn current(&mut self) -> Result<(Record<'_>, Option<StreamRow>)> {
        let record = self.reader.record()?;
        let Some(place) = self.records.place(&self.reader, &record, &mut self.drops)? else {
            return Ok((record, None));
        };
        let outcome = self.rules.mid2(&record);
        let streams = &mut self.records.streams;
        let stream = streams.at(place);
        stream.ends_event |= record.event.flags & LAST != 0;
        match outcome {
            Ok(mid2) => {
                let after_bad_book = std::mem::take(&mut stream.bad_book);
                Ok((record, Some(StreamRow { stream: streams.number(place), mid2, after_bad_book })))
            }
            Err(reason) => {
                stream.bad_book |= reason == Unusable::BadBook;
                let count = self.drops.of(reason);
                *count.ok_or_else(|| self.reader.error(reason.to_string()))? += 1;
                Ok((record, None))
            }
        }
    }

    /// The current record and the place of its stream in the file, if it belongs to one, whether or not it is a row.
    /// Only the records that belong to no stream are counted as dropped.
    #[inline]
    pub fn of_stream(&mut self) -> Result<(Record<'_>, Option<usize>)> {
        let record = self.reader.record()?;
        let place = self.records.place(&self.reader, &record, &mut self.drops)?;
        Ok((record, place))
    }

    /// The stream at a place.
    pub fn id_at(&self, place: usize) -> StreamId {
        self.id(&self.records.streams.all()[place])
    }

    /// The streams that have rows so far, by number.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.records.streams.with_rows().map(|stream| self.id(stream))
    }

    /// How the streams end in the file. Leaves out streams whose rows already show it.
    pub fn ends(&self) -> Vec<StreamEnd> {
        let untold = |stream: &&FileStream| stream.bad_book || (self.rows == Rows::Events && stream.number.is_none());
        let end = |stream: &FileStream| StreamEnd {
            id: self.id(stream),
            ends_event: stream.ends_event,
            bad_book: stream.bad_book,
        };
        self.records.streams.all().iter().filter(untold).map(end).collect()
    }

    fn id(&self, stream: &FileStream) -> StreamId {
        let symbol = self.records.symbols.names()[stream.symbol as usize].clone();
        StreamId { symbol, publisher_id: stream.publisher }
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
            flags: Some(self.records.flags.flags()),
            impossible: self.records.impossible,
            checksummed: self.reader.checksummed(),
            symbology: self.records.symbols.symbology().map(str::to_owned),
        }
    }
}

impl StreamReader {
    /// Checks a record, and returns the place of its stream. Counts it in `drops` if it belongs to none.
    #[inline]
    fn place(&mut self, reader: &DbnReader, record: &Record<'_>, drops: &mut Drops) -> Result<Option<usize>> {
        self.flags.note(record.event.flags);
        self.times.check(record).map_err(|message| reader.error(message))?;
        if let Err(message) = self.impossible.note(record)
            && self.strict
        {
            return Err(reader.error(message).with_help("without strict such records are counted and kept").into());
        }
        if self.publishers.as_ref().is_some_and(|wanted| !wanted.contains(&record.event.publisher_id)) {
            drops.other_publisher += 1;
            return Ok(None);
        }
        match self.symbols.resolve(record.event.ts_recv, record.event.instrument_id) {
            Ok(Some(slot)) if self.wanted.as_ref().is_some_and(|wanted| !wanted[slot as usize]) => {
                drops.other_symbol += 1;
                Ok(None)
            }
            Ok(Some(slot)) => Ok(Some(self.streams.place(slot, record.event.publisher_id))),
            Ok(None) if self.unmapped == Unmapped::Drop => {
                drops.unmapped += 1;
                Ok(None)
            }
            Ok(None) => Err(self.no_mapping(reader, record)),
            Err(message) => Err(reader
                .error(message)
                .with_help("download one of the two symbols alone: a file holds each instrument once")
                .into()),
        }
    }

    #[cold]
    fn no_mapping(&self, reader: &DbnReader, record: &Record<'_>) -> Error {
        let (message, help) = self.symbols.unmapped(record.event.ts_recv, record.event.instrument_id);
        reader.error(message).with_help(help).into()
    }
}
