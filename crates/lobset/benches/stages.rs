//! The cost per row of each stage: `cargo bench -p lobset --bench stages`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use divan::Bencher;
use divan::counter::ItemsCount;
use lobset::config::{Feature, ScanSettings};
use lobset::depth::{DepthSpec, Levels};
use lobset::input::DbnReader;
use lobset::internals::{
    Candidates, CatalogFile, DatasetSchema, DatasetWriter, ROW_GROUP_ROWS, RowCursor, RowGroupEncoder, RowRules,
    Selection, SymbolTape, Symbols, TapeWriter, TargetLabel, catalog, find, inner_quantiles, ranks,
};
use lobset::label::Split;
use lobset::{Config, Monitor, Options, process, validate};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() {
    divan::main();
}

/// A simulated market of two days, its front month's tape and movements, and its dataset.
struct Market {
    folder: tempfile::TempDir,
    file: PathBuf,
    records: u64,
    tape: SymbolTape,
    candidates: Candidates,
    movements: Vec<f64>,
}

impl Market {
    fn new() -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        lobset_sim::Market { days: 2, rows: 290_000, ..Default::default() }.write(&at("market"), |_| ())?;
        let files = catalog(&find(&[at("market")], None)?)?;
        let (records, tape) = write_tape(&files[0], &at("tape"))?;
        let movement = &Config::default().all_targets()[0].movement;
        let candidates = movement.candidates(&tape, &[])?;
        let mut values = Vec::new();
        movement.compute(&tape, &[], &candidates, 0..candidates.count(), &mut |tracks| {
            values.extend_from_slice(&tracks[0]);
            Ok(())
        })?;
        process(&[at("market")], &at("out"), &Config::default(), None, &Options::default(), &Monitor::silent())?;
        Ok(Self { file: files[0].path.clone(), records, tape, candidates, movements: values, folder })
    }

    /// The market shared by all benchmarks.
    fn shared() -> &'static Self {
        static MARKET: OnceLock<Market> = OnceLock::new();
        MARKET.get_or_init(|| or_exit(Self::new()))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Exits on an error, because a benchmark that fails has no result.
fn or_exit<T>(outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(1)
    })
}

/// Scans a file into one tape file; returns its records and the tape of the symbol with the most rows.
fn write_tape(file: &CatalogFile, path: &Path) -> Outcome<(u64, SymbolTape)> {
    let mut reader = DbnReader::open(&file.path)?;
    let mut symbols = Symbols::new(reader.metadata())?;
    let rules = RowRules::new(&ScanSettings::new(&Config::default()));
    let mut writer = TapeWriter::create(path)?;
    while reader.advance()? {
        let record = reader.record()?;
        let slot = symbols.resolve(record.event.ts_recv, record.event.instrument_id)?;
        if let (Some(slot), Ok(mid2)) = (slot, rules.mid2(&record)) {
            writer.push(slot as usize, &record, mid2, record.event.ts_recv)?;
        }
    }
    let (_, found) = writer.finish()?;
    let path = Arc::new(path.to_owned());
    let tapes = found.iter().map(|found| {
        let mut tape = SymbolTape::default();
        tape.extend(&path, &found.chunks);
        tape
    });
    let longest = tapes.max_by_key(SymbolTape::rows).ok_or("a market without a row")?;
    Ok((reader.records(), longest))
}

fn encode(market: &Market, encoder: &mut RowGroupEncoder) -> Outcome<()> {
    let mut cursor = RowCursor::new(&market.tape, 0)?;
    encoder.leap();
    let (mut row, mut labels) = (0, Vec::new());
    while let Some(changed) = cursor.advance()? {
        let movement = market.movements[row as usize % market.movements.len()];
        let class = (row / 700 % 21) as u8;
        encoder.push(cursor.row(), changed, row);
        let (balanced, split) = (row % 5 == 0, Split::Fit);
        labels.push(Some(TargetLabel { movement, class, split, balanced, end: 0, touch: None }));
        row += 1;
        if row.is_multiple_of(256) {
            encoder.label(&[labels.drain(..).collect()]);
        }
        if row == ROW_GROUP_ROWS {
            break;
        }
    }
    encoder.label(&[labels.drain(..).collect()]);
    Ok(encoder.finish("M6AM4")?)
}

/// Decoding the records of a compressed file.
#[divan::bench(sample_count = 20)]
fn decode(bencher: Bencher<'_, '_>) {
    let market = Market::shared();
    bencher.counter(ItemsCount::new(market.records)).bench(|| {
        or_exit((|| {
            let mut reader = DbnReader::open(&market.file)?;
            while reader.advance()? {
                divan::black_box(reader.record()?);
            }
            Ok(())
        })())
    });
}

/// Decoding, and writing both tapes of every symbol.
#[divan::bench(sample_count = 20)]
fn decode_and_tape(bencher: Bencher<'_, '_>) {
    let market = Market::shared();
    let files = or_exit(find(&[&market.file], None).and_then(|found| catalog(&found)).map_err(Into::into));
    bencher.counter(ItemsCount::new(market.records)).bench(|| or_exit(write_tape(&files[0], &market.at("bench.tape"))));
}

/// Movements from the mid2 tape, windows of 5,000 rows.
#[divan::bench(sample_count = 50)]
fn movement(bencher: Bencher<'_, '_>) {
    let market = Market::shared();
    let target = &Config::default().all_targets()[0].movement;
    bencher.counter(ItemsCount::new(market.candidates.count())).bench(|| {
        let mut sum = 0.0;
        let all = 0..market.candidates.count();
        or_exit(
            target
                .compute(&market.tape, &[], &market.candidates, all, &mut |tracks| {
                    sum += tracks[0].iter().sum::<f64>();
                    Ok(())
                })
                .map_err(Into::into),
        );
        sum
    });
}

/// The exact quantiles k/21, all five passes.
#[divan::bench(sample_count = 50)]
fn quantile(bencher: Bencher<'_, '_>) {
    let values = &Market::shared().movements;
    bencher.counter(ItemsCount::new(values.len())).bench(|| {
        let mut selection = Selection::new();
        loop {
            let mut histogram = selection.empty();
            selection.count(values, &mut histogram);
            if let Some(found) = selection.refine(histogram, |n| ranks(n, &inner_quantiles(21))) {
                return found;
            }
        }
    });
}

/// Encoding a row group of 131,072 rows, from the tape to compressed pages.
#[divan::bench(sample_count = 30)]
fn encode_row_group(bencher: Bencher<'_, '_>) {
    let market = Market::shared();
    let config = Config::default();
    let schema = Arc::new(or_exit(DatasetSchema::new(&config, false).map_err(Into::into)));
    let mut encoder = RowGroupEncoder::new(schema, &config);
    let rows = market.tape.rows().min(ROW_GROUP_ROWS);
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        or_exit((|| {
            encode(market, &mut encoder)?;
            encoder.take_groups(|_, _| Ok(()))
        })());
    });
}

/// Appending an encoded row group to a dataset: copying, hashing, writing the footer.
#[divan::bench(sample_count = 30)]
fn merge(bencher: Bencher<'_, '_>) {
    let market = Market::shared();
    let config = Config::default();
    let schema = or_exit(DatasetSchema::new(&config, false).map_err(Into::into));
    let shared = Arc::new(schema.clone());
    let encoded = || {
        let mut encoder = RowGroupEncoder::new(Arc::clone(&shared), &config);
        or_exit(encode(market, &mut encoder));
        encoder
    };
    let rows = market.tape.rows().min(ROW_GROUP_ROWS);
    bencher.counter(ItemsCount::new(rows)).with_inputs(encoded).bench_local_refs(|encoder| {
        or_exit((|| {
            let mut writer = DatasetWriter::create(&market.at("merged.parquet"), &schema, &[])?;
            encoder.take_groups(|group, _| writer.append(group))?;
            Ok(writer.finish()?)
        })())
    });
}

/// A depth tensor of 50,000 rows with three channels, from an Arrow table.
#[divan::bench(sample_count = 200)]
fn depth_tensor(bencher: Bencher<'_, '_>) {
    let (batch, spec) = or_exit(depth_rows());
    let mut out = vec![0.0; spec.cells()];
    bencher.bench_local(|| {
        or_exit((|| Ok(spec.process(&Levels::from_batch(&batch, &spec)?, &mut out)?))());
        out[0]
    });
}

/// The lower bound of `depth_tensor`: writing its cells.
#[divan::bench(sample_count = 200)]
fn depth_tensor_limit(bencher: Bencher<'_, '_>) {
    let (_, spec) = or_exit(depth_rows());
    let mut out = vec![0.0_f32; spec.cells()];
    let mut shade = 0.0;
    bencher.bench_local(|| {
        shade += 1.0;
        out.fill(shade);
        divan::black_box(&out);
    });
}

fn depth_rows() -> Outcome<(RecordBatch, DepthSpec)> {
    let features = [Feature::Volume, Feature::Variance, Feature::TradeCounts];
    let spec = DepthSpec::new(&features, 50_000, 100, 0.00001)?;
    let path = Market::shared().at("out").join("AUDUSD_M6AM4_dataset.parquet");
    let mut reader =
        ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path)?)?.with_batch_size(50_000).build()?;
    Ok((reader.next().ok_or("a dataset without a row")??, spec))
}

/// The whole third phase, on one thread.
#[divan::bench(sample_count = 20)]
fn validation(bencher: Bencher<'_, '_>) {
    let market = Market::shared();
    let out = market.at("out");
    let options = Options { threads: 1, ..Options::default() };
    let check = || or_exit(validate::<&Path>(&out, None, &options, &Monitor::silent()).map_err(Into::into));
    bencher.counter(ItemsCount::new(check().proved.rows)).bench(check);
}
