//! Shared by the tests: files of plain rows, the slow reference, datasets read back.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::panic, reason = "a test fails by panicking")]

pub mod changed;
pub mod markets;
pub mod reference;
pub mod up_to_date;

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, UInt64Type};
use dbn::encode::{DbnEncoder, DbnMetadataEncoder, DbnRecordEncoder, EncodeRecord};
use dbn::{
    BidAskPair, FlagSet, MappingInterval, Mbp10Msg, Metadata, RecordHeader, SType, Schema, SymbolMapping, UNDEF_PRICE,
    rtype, v4,
};
use lobset::error::InputError;
use lobset::{Config, Error, Manifest, Monitor, Options};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use time::Date;

/// The files of a folder and their bytes; the manifest without the values that differ from run to run.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let mut bytes = std::fs::read(&path).unwrap();
            if name == "manifest.json" {
                let mut json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                // The report contains the time too, so its hash and the manifest's differ as well.
                for key in ["timings", "plan", "report", "sha256"] {
                    json[key].take();
                }
                bytes = json.to_string().into_bytes();
            }
            (name, bytes)
        })
        .filter(|(name, _)| name != "report.html")
        .collect()
}

/// Midnight of 3 April 2024 in nanoseconds.
pub const START: u64 = 1_712_102_400_000_000_000;
pub const DAY: u64 = 86_400_000_000_000;

/// A record of a test, with everything that affects a label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    pub instrument: u32,
    pub ts: u64,
    pub bid: i64,
    pub ask: i64,
}

impl Tick {
    /// The sum of the best prices of a usable quote.
    pub fn mid2(&self) -> Option<i64> {
        (self.bid != UNDEF_PRICE && self.ask != UNDEF_PRICE && self.bid <= self.ask).then(|| self.bid + self.ask)
    }

    /// The usable row that it is, in a file.
    pub fn row(&self, file: usize) -> reference::PlainRow {
        let Self { instrument, ts, bid, ask } = *self;
        reference::PlainRow { instrument, ts, bid, ask, file }
    }

    pub fn message(&self, sequence: u32) -> Mbp10Msg {
        let level = |i: i64| BidAskPair {
            bid_px: if self.bid == UNDEF_PRICE { UNDEF_PRICE } else { self.bid - i * 50_000 },
            ask_px: if self.ask == UNDEF_PRICE { UNDEF_PRICE } else { self.ask + i * 50_000 },
            bid_sz: sequence % 7 + i as u32,
            ask_sz: sequence / 5 % 11,
            bid_ct: 1 + sequence % 3,
            ask_ct: 2,
        };
        Mbp10Msg {
            hd: RecordHeader::new::<Mbp10Msg>(rtype::MBP_10, 1, self.instrument, self.ts.saturating_sub(30_000)),
            price: if sequence.is_multiple_of(13) { UNDEF_PRICE } else { self.bid },
            size: sequence % 9,
            action: b"ACMT"[sequence as usize % 4] as c_char,
            side: b"ABN"[sequence as usize % 3] as c_char,
            flags: FlagSet::new((sequence % 2 * 128) as u8),
            depth: (sequence % 10) as u8,
            ts_recv: self.ts,
            ts_in_delta: 12_000 - (sequence % 50) as i32,
            sequence,
            levels: std::array::from_fn(|i| level(i as i64)),
        }
    }
}

/// The same record in DBN version 4.
pub fn v4_message(m: &Mbp10Msg) -> v4::Mbp10Msg {
    v4::Mbp10Msg {
        hd: v4::RecordHeader::new::<v4::Mbp10Msg>(
            v4::rtype::MBP_10,
            m.hd.publisher_id,
            m.hd.instrument_id.into(),
            m.hd.ts_event,
        ),
        price: m.price,
        size: m.size,
        action: m.action,
        side: m.side,
        flags: m.flags,
        depth: m.depth,
        ts_recv: m.ts_recv,
        ts_in_delta: m.ts_in_delta,
        sequence: m.sequence,
        levels: m.levels.clone(),
    }
}

pub fn date(ts: u64) -> Date {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ts)).unwrap().date()
}

pub fn metadata(mappings: &[(&str, u32)]) -> Metadata {
    Metadata::builder()
        .dataset("GLBX.MDP3")
        .schema(Some(Schema::Mbp10))
        .start(START)
        .stype_in(Some(SType::RawSymbol))
        .stype_out(SType::InstrumentId)
        .symbols(mappings.iter().map(|(symbol, _)| (*symbol).to_owned()).collect())
        .mappings(
            mappings
                .iter()
                .map(|(symbol, id)| SymbolMapping {
                    raw_symbol: (*symbol).to_owned(),
                    intervals: vec![MappingInterval {
                        start_date: date(START),
                        end_date: date(START + 300 * DAY),
                        symbol: id.to_string(),
                    }],
                })
                .collect(),
        )
        .build()
}

/// The bytes of a DBN file without compression.
pub fn dbn_bytes(metadata: &Metadata, ticks: &[Tick]) -> Vec<u8> {
    let mut encoder = DbnEncoder::new(Vec::new(), metadata).unwrap();
    for (i, tick) in ticks.iter().enumerate() {
        encoder.encode_record(&tick.message(i as u32)).unwrap();
    }
    std::mem::take(encoder.get_mut())
}

/// A quote that wanders, with a record every millisecond.
pub fn ticks(n: u64, from: u64) -> Vec<Tick> {
    (0..n)
        .map(|i| {
            let mid = 13_000 + (i * 7919 % 23) as i64 + (i / 40) as i64;
            Tick { instrument: 7, ts: from + i * 1_000_000, bid: mid * 50_000, ask: (mid + 1) * 50_000 }
        })
        .collect()
}

/// The records of ticks.
pub fn messages(ticks: &[Tick]) -> Vec<Mbp10Msg> {
    ticks.iter().enumerate().map(|(i, tick)| tick.message(i as u32)).collect()
}

/// Writes records to a file without compression.
pub fn write(folder: &Path, name: &str, metadata: &Metadata, messages: &[Mbp10Msg]) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(name);
    let mut encoder = DbnEncoder::new(File::create(&path).unwrap(), metadata).unwrap();
    messages.iter().for_each(|message| encoder.encode_record(message).unwrap());
    path
}

/// The bytes of a DBN file of version 1, 2 or 3, with the symbol M6AM4.
pub fn old_bytes(version: u8, messages: &[Mbp10Msg]) -> Vec<u8> {
    let mut metadata = metadata(&[("M6AM4", 7)]);
    metadata.version = version;
    metadata.symbol_cstr_len = if version == 1 { 22 } else { 71 };
    let mut bytes = Vec::new();
    DbnMetadataEncoder::new(&mut bytes).encode(&metadata).unwrap();
    let mut encoder = DbnRecordEncoder::new(&mut bytes);
    messages.iter().for_each(|m| encoder.encode_record(m).unwrap());
    bytes
}

/// Writes one file for each list of ticks; every second one is compressed.
pub fn write_files(folder: &Path, mappings: &[(&str, u32)], files: &[Vec<Tick>]) -> Vec<PathBuf> {
    std::fs::create_dir_all(folder).unwrap();
    let write = |(i, ticks): (usize, &Vec<Tick>)| {
        let bytes = dbn_bytes(&metadata(mappings), ticks);
        let (name, bytes) = match i % 2 {
            0 => (format!("part-{i}.dbn"), bytes),
            _ => (format!("part-{i}.dbn.zst"), zstd::encode_all(bytes.as_slice(), 1).unwrap()),
        };
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    files.iter().enumerate().map(write).collect()
}

/// A small market of the simulator.
pub fn market(folder: &Path, days: u32, rows: u32) -> Vec<PathBuf> {
    lobset_sim::Market { days, rows, ..Default::default() }.write(folder, |_| ()).unwrap()
}

/// Settings for small data.
pub fn small() -> Config {
    Config {
        lookback_rows: 50,
        lookforward_input: 40,
        lookforward_offset: 5,
        nbins: 5,
        min_symbol_samples: 100,
        ..Config::preset("AUDUSD")
    }
}

pub fn run(inputs: &[impl AsRef<Path>], out: &Path, config: &Config) -> lobset::Result<Manifest> {
    let options = Options { threads: 2, overwrite: true, ..Options::default() };
    lobset::process(inputs, out, config, None, &options, &Monitor::silent())
}

/// A row of a dataset, with the values that labelling determines.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    pub row: u64,
    pub movement: u64,
    pub label: i32,
    pub split: String,
    pub balanced: bool,
}

/// Reads a dataset's labels of the classic target, which every row has; movements as their bits.
pub fn read_labels(path: &Path) -> Vec<Labelled> {
    read_target(path, "").into_iter().map(|(_, label)| label.unwrap()).collect()
}

/// Reads the number of every row of a dataset, and its label of a target, whose columns end in `suffix`. The columns of
/// a label must be all null or none of them.
pub fn read_target(path: &Path, suffix: &str) -> Vec<(u64, Option<Labelled>)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(&format!("{name}{suffix}")).unwrap();
        let numbers = batch.column_by_name("row").unwrap().as_primitive::<UInt64Type>();
        let movements = column("price_movement").as_primitive::<Float64Type>();
        let labels = column("classification_label").as_primitive::<Int32Type>();
        let splits = column("split").as_dictionary::<Int32Type>();
        let names = splits.values().as_string::<i32>();
        let balanced = column("balanced").as_boolean();
        for i in 0..batch.num_rows() {
            let row = numbers.value(i);
            let null = movements.is_null(i);
            assert_eq!([labels.is_null(i), splits.is_null(i), balanced.is_null(i)], [null; 3], "row {row}");
            let label = || Labelled {
                row,
                movement: movements.value(i).to_bits(),
                label: labels.value(i),
                split: names.value(splits.keys().value(i) as usize).to_owned(),
                balanced: balanced.value(i),
            };
            rows.push((row, (!null).then(label)));
        }
    }
    rows
}

/// The [`InputError`] of an outcome that must be one.
pub fn refused(outcome: Result<impl std::fmt::Debug, Error>) -> InputError {
    match outcome {
        Err(Error::Input(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

/// The folder with real market data, if this machine has it.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    folder.is_dir().then_some(folder)
}
