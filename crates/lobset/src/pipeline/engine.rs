//! The seam between what a run does and how its steps are carried out: on the threads of this machine, or as tasks on many.

use std::collections::BTreeMap;

use super::counts::{ClassCounts, Slice};
use super::plan::SymbolPlan;
use super::scan::FileScan;
use super::streams::Stream;
use crate::error::Result;
use crate::input::{CatalogFile, Delivery, Found, ScanRules};
use crate::label::{Boundaries, Histogram, Selection, Sums, Thresholds};
use crate::output::{DatasetEntry, Manifest, ValidationEntry};

/// What scanning gives.
pub struct Scans {
    /// Every file, in order of time.
    pub files: Vec<CatalogFile>,
    /// Its scan.
    pub scans: Vec<FileScan>,
    /// Files whose scan an earlier run had finished.
    pub reused: u64,
    /// What Databento's own files beside the data say of them.
    pub delivery: Delivery,
}

/// What `found` says of the files, now that their scans tell which time each covers.
pub fn delivery(found: &Found, files: &[CatalogFile], scans: &[FileScan]) -> Delivery {
    let span = |scan: &FileScan| Some([scan.input.first_ts?, scan.input.last_ts?]);
    found.delivery(files.iter().zip(scans).map(|(file, scan)| (file.path.as_path(), span(scan))))
}

/// What the datasets are made from.
#[derive(Clone, Copy)]
pub struct WriteInput<'a> {
    /// All streams.
    pub streams: &'a [Stream],
    /// The boundaries.
    pub thresholds: &'a Thresholds,
    /// The symbols that get a dataset.
    pub plans: &'a [SymbolPlan],
    /// Some of the input has gateway stamps.
    pub ts_out: bool,
}

/// The steps. All of them give the same results, to the bit, whatever carries them out.
pub trait Engine {
    /// Finds the input files and scans each to its tapes.
    fn scan(&self, rules: &ScanRules) -> Result<Scans>;

    /// `ts_recv` of the usable record with this number in a file.
    fn row_time(&self, file: &CatalogFile, rules: &ScanRules, number: u64) -> Result<Option<u64>>;

    /// Computes all movements, which the engine keeps, and returns each symbol's labelled rows.
    fn movements(&mut self, streams: &[Stream]) -> Result<Vec<u64>>;

    /// One pass of a selection over ranges of candidates, and the sums of each [`SLICE`](crate::label::SLICE) of them.
    fn count(&self, ranges: &[Slice], selection: &Selection, mean: f64) -> Result<(Histogram, Vec<Sums>)>;

    /// The class counts of the blocks of whole symbols, in order.
    fn classes(
        &self,
        streams: &[Stream],
        thresholds: &Thresholds,
        symbols: &[(Slice, &Boundaries)],
    ) -> Result<Vec<Vec<ClassCounts>>>;

    /// Writes the datasets and returns what the manifest will say of each, by the symbol's place.
    fn datasets(&mut self, input: &WriteInput<'_>) -> Result<BTreeMap<usize, DatasetEntry>>;

    /// Writes a small file beside them and returns the name that it will have in the output folder.
    fn put(&mut self, file: &str, text: &str) -> Result<String>;

    /// Reads back what was written, and proves it.
    fn prove(&mut self, manifest: &Manifest) -> Result<ValidationEntry>;

    /// Writes the manifest, and makes all of it appear at once.
    fn publish(&mut self, manifest: &Manifest) -> Result<()>;
}
