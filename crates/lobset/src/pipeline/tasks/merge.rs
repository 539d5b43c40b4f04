//! Task: splices the segments of a symbol into its dataset. Row groups are copied unchanged, and sums are added up.

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::datasets::Written;
use super::job::Job;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::file_sha256;
use crate::label::Thresholds;
use crate::output::{DatasetSchema, DatasetWriter, Ladder, SymbolSums, dataset_stem, moments_stem, write_moments};
use crate::pipeline::write::metadata;
use crate::storage;
use crate::storage::checksum::{damaged, unseal_json};

/// Splices segments, in order.
#[derive(Serialize, Deserialize)]
pub struct Merge {
    pub config: Config,
    /// Contains the boundaries of this symbol.
    pub thresholds: Thresholds,
    /// True if some of the input has gateway stamps.
    pub ts_out: bool,
    pub symbol: String,
    /// The price ladder of its depth tensors.
    pub ladder: Ladder,
    /// The names of all input files.
    pub inputs: Vec<String>,
    pub segments: Vec<Written>,
    pub rows: u64,
}

impl Job for Merge {
    type Receipt = Written;
    const KIND: &'static str = "merge";

    fn run(self, attempt: &Attempt<'_>) -> Result<Written> {
        let file = attempt.dataset(&dataset_stem(self.config.tag(), &self.symbol));
        let schema = DatasetSchema::new(&self.config, self.ts_out).map_err(|e| Error::output(&file, e))?;
        let metadata = metadata(&self.config, &self.symbol, &self.thresholds, &self.ladder);
        let mut writer = DatasetWriter::create(&file, &schema, &metadata)?;
        let mut sums = SymbolSums::default();
        for Written { file: segment, written, sums: of_segment, .. } in &self.segments {
            let sha256 = file_sha256(segment)?;
            if sha256 != written.sha256 {
                return Err(Error::read_back(segment, &damaged()));
            }
            writer.splice(segment, |_| attempt.monitor.advance(0))?;
            let more = storage::read(of_segment).and_then(|sealed| unseal_json(&sealed));
            sums.append(more.map_err(|e| Error::read_back(of_segment, &e))?);
        }
        let written = writer.finish()?;
        let of_sums = attempt.dataset(&moments_stem(self.config.tag(), &self.symbol));
        let moments = write_moments(&of_sums, &self.config, &schema, &self.symbol, (&self.inputs, &sums))?;
        Ok(Written { file, written, sums: of_sums, moments: Some(moments) })
    }

    fn amount(&self) -> u64 {
        self.rows
    }

    fn memory(&self) -> u64 {
        // One row group, the parts of an upload, and the footer.
        (128 << 20) + self.rows / 4
    }
}
