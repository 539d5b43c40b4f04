//! The interface between the steps of a run and what executes them: threads on this machine, or tasks on many machines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::counts::{BlockCounts, Slice};
use super::ladder::{LadderCounts, LadderTask};
use super::movements::MovementSummary;
use super::plan::{Classify, SymbolPlan};
use super::scan::FileScan;
use super::spread::SpreadSums;
use super::streams::Stream;
use crate::config::Target;
use crate::error::Result;
use crate::input::{CatalogFile, Delivery, Found, InputEntry, ScanRules};
use crate::label::{Histogram, MovementSums, Selection, Thresholds};
use crate::output::{DatasetEntry, Manifest, ValidationEntry};

/// The result of scanning.
pub struct Scans {
    /// Every file, in order of time.
    pub files: Vec<CatalogFile>,
    /// The scan of each file.
    pub scans: Vec<FileScan>,
    /// Number of files whose scan an earlier run had finished.
    pub reused: u64,
    /// The delivery, as described by Databento's own files next to the data.
    pub delivery: Delivery,
}

/// The delivery that `found` describes, with the time that each file covers taken from its entry.
pub fn delivery<'a>(
    found: &Found,
    files: &'a [CatalogFile],
    inputs: impl IntoIterator<Item = &'a InputEntry>,
) -> Delivery {
    let span = |input: &InputEntry| Some([input.first_ts?, input.last_ts?]);
    found.delivery(files.iter().zip(inputs).map(|(file, input)| (file.path.as_path(), span(input))))
}

/// Inputs of the datasets.
#[derive(Clone, Copy)]
pub struct WriteInput<'a> {
    /// All targets.
    pub targets: &'a [Target],
    /// All streams.
    pub streams: &'a [Stream],
    /// The boundaries.
    pub thresholds: &'a Thresholds,
    /// The symbols that get a dataset.
    pub plans: &'a [SymbolPlan],
    /// The names of the input files, in order.
    pub inputs: &'a [String],
    /// True if some of the input has gateway stamps.
    pub ts_out: bool,
}

/// The steps of a run. All engines give the same results, bit for bit.
pub trait Engine {
    /// Finds the input files and scans each to its tapes.
    fn scan(&self, rules: &ScanRules) -> Result<Scans>;

    /// `ts_recv` of the usable record with this number in a file.
    fn row_time(&self, file: &CatalogFile, rules: &ScanRules, number: u64) -> Result<Option<u64>>;

    /// Computes all movements, which the engine keeps.
    fn movements(&mut self, streams: &[Stream]) -> Result<MovementSummary>;

    /// Runs one pass of selections over ranges of candidates of items. With a `mean`, it also returns the sums of each
    /// [`SLICE`](crate::label::SLICE) of them, with squared distances from it.
    fn count(
        &self,
        ranges: &[Slice],
        selections: &[Selection],
        mean: Option<f64>,
    ) -> Result<(Vec<Histogram>, Vec<MovementSums>)>;

    /// Adds up the spreads of the rows of ranges of items that have a movement.
    fn spreads(&self, streams: &[Stream], ranges: &[Slice]) -> Result<SpreadSums>;

    /// Returns the counts of all blocks of whole symbols, in order.
    fn classes(
        &self,
        streams: &[Stream],
        thresholds: &Thresholds,
        symbols: &[Classify<'_>],
    ) -> Result<Vec<Vec<BlockCounts>>>;

    /// Counts the cells of windows that are on ladders, in order.
    fn ladders(&self, streams: &[Stream], windows: &[LadderTask]) -> Result<Vec<LadderCounts>>;

    /// Writes the datasets and returns the manifest entry of each, by the symbol's place.
    fn datasets(&mut self, input: &WriteInput<'_>) -> Result<BTreeMap<usize, DatasetEntry>>;

    /// The place of a finished dataset, given its name in the output folder.
    fn dataset(&self, file: &str) -> PathBuf;

    /// Writes a small file next to the datasets and returns its name in the output folder.
    fn put(&mut self, file: &str, text: &str) -> Result<String>;

    /// Reads back what was written and proves it.
    fn prove(&mut self, manifest: &Manifest) -> Result<ValidationEntry>;

    /// Writes the manifest and publishes the whole result at once.
    fn publish(&mut self, manifest: &Manifest) -> Result<()>;
}
