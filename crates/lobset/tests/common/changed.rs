//! Output folders that a test changes: copies whose sizes and hashes match the change.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use lobset::validate::{Compare, Validation};
use lobset::{Config, Error, Manifest, Monitor, Options, Thresholds};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};

use super::{market, run};

pub const DATASET: &str = "AUDUSD_M6AM4_dataset.parquet";
pub const MOMENTS: &str = "AUDUSD_M6AM4_moments.parquet";

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

pub fn check(out: &Path) -> lobset::Result<Validation> {
    lobset::validate(out, None::<(&[&Path], Compare)>, &Options::default(), &Monitor::silent())
}

/// An output folder, copied for each change.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub inputs: Vec<PathBuf>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Place {
    pub fn new(config: &Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inputs = market(&folder.path().join("market"), 2, 4_000);
        let made = folder.path().join("made");
        run(&inputs, &made, config).unwrap();
        check(&made).unwrap();
        let files = std::fs::read_dir(&made).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
        });
        let files = files.collect();
        Self { folder, inputs, files }
    }

    /// A fresh copy.
    pub fn out(&self) -> PathBuf {
        let out = self.folder.path().join("out");
        let _ = std::fs::remove_dir_all(&out);
        std::fs::create_dir(&out).unwrap();
        self.files.iter().for_each(|(name, bytes)| std::fs::write(out.join(name), bytes).unwrap());
        out
    }

    /// The error for a changed manifest whose own hash matches.
    pub fn changed(&self, change: impl FnOnce(&mut Manifest)) -> String {
        let out = self.out();
        let mut manifest = Manifest::read(&out).unwrap();
        change(&mut manifest);
        seal(&out, manifest);
        refused(&out)
    }

    /// A copy with a changed dataset, with sizes and hashes updated to match.
    pub fn encoded(&self, change: impl FnOnce(&mut Columns)) -> PathBuf {
        let out = self.out();
        let mut columns = Columns::read(&out.join(DATASET));
        change(&mut columns);
        columns.write(&out.join(DATASET));
        fit_hashes(&out);
        out
    }

    /// The error for changed thresholds, with everything else updated to match.
    pub fn fitted(&self, change: impl FnOnce(&mut Thresholds)) -> String {
        let out = self.out();
        let path = out.join("thresholds.json");
        let mut thresholds = Thresholds::read(&path).unwrap();
        change(&mut thresholds);
        std::fs::write(&path, thresholds.to_json()).unwrap();
        for (symbol, entry) in Manifest::read(&out).unwrap().datasets() {
            let mut columns = Columns::read(&out.join(&entry.file));
            let text = thresholds.only([symbol.symbol.as_str()]).to_json();
            columns.metadata.insert("lobset.thresholds".to_owned(), text);
            columns.write(&out.join(&entry.file));
        }
        fit_hashes(&out);
        refused(&out)
    }
}

pub fn seal(out: &Path, mut manifest: Manifest) {
    manifest.seal();
    std::fs::write(out.join("manifest.json"), manifest.to_json()).unwrap();
}

/// Updates the sizes and hashes in the manifest to those of the files.
pub fn fit_hashes(out: &Path) {
    let mut manifest = Manifest::read(out).unwrap();
    let hash = |file: &str| sha256(&std::fs::read(out.join(file)).unwrap());
    manifest.thresholds.sha256 = hash(&manifest.thresholds.file);
    manifest.report.sha256 = hash(&manifest.report.file);
    for entry in manifest.symbols.iter_mut().filter_map(|s| s.dataset.as_mut()) {
        entry.bytes = std::fs::metadata(out.join(&entry.file)).unwrap().len();
        entry.sha256 = hash(&entry.file);
        entry.moments.bytes = std::fs::metadata(out.join(&entry.moments.file)).unwrap().len();
        entry.moments.sha256 = hash(&entry.moments.file);
    }
    seal(out, manifest);
}

/// The violations; fails unless validation failed.
pub fn refused(out: &Path) -> String {
    match check(out) {
        Err(error @ Error::Validation(_)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// What a test does to a dataset.
pub type Edit<'a> = &'a dyn Fn(&mut Columns);

/// A dataset in memory.
pub struct Columns {
    pub batch: RecordBatch,
    pub metadata: BTreeMap<String, String>,
}

impl Columns {
    pub fn read(path: &Path) -> Self {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap().iter();
        let metadata = pairs.filter(|p| p.key != "ARROW:schema").map(|p| (p.key.clone(), p.value.clone().unwrap()));
        let metadata = metadata.collect();
        let rows = reader.metadata().file_metadata().num_rows() as usize;
        let batch = reader.with_batch_size(rows).build().unwrap().next().unwrap().unwrap();
        Self { batch, metadata }
    }

    pub fn write(&self, path: &Path) {
        let pairs = self.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
        let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs)).build();
        let file = File::create(path).unwrap();
        let mut writer = ArrowWriter::try_new(file, self.batch.schema(), Some(properties)).unwrap();
        writer.write(&self.batch).unwrap();
        writer.close().unwrap();
    }

    pub fn replace(&mut self, name: &str, change: impl FnOnce(&ArrayRef) -> ArrayRef) {
        let place = self.batch.schema().index_of(name).unwrap();
        let mut columns = self.batch.columns().to_vec();
        columns[place] = change(&columns[place]);
        self.batch = RecordBatch::try_new(self.batch.schema(), columns).unwrap();
    }

    pub fn float(&mut self, name: &str, row: usize, change: impl Fn(f64) -> f64) {
        self.replace(name, |column| {
            let values = column.as_primitive::<Float64Type>().iter().enumerate();
            Arc::new(values.map(|(i, v)| if i == row { v.map(&change) } else { v }).collect::<Float64Array>())
        });
    }

    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }
}
