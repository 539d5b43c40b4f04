//! Task: splices the segments of a symbol into its dataset. Row groups are copied unchanged.

use serde::{Deserialize, Serialize};

use super::Job;
use super::attempt::Attempt;
use super::datasets::Written;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::file_sha256;
use crate::label::Thresholds;
use crate::output::{DatasetSchema, DatasetWriter, dataset_stem};
use crate::pipeline::write::metadata;
use crate::storage::checksum::damaged;

/// Splices segments, in order.
#[derive(Serialize, Deserialize)]
pub struct Merge {
    pub config: Config,
    /// Contains the boundaries of this symbol.
    pub thresholds: Thresholds,
    /// True if some of the input has gateway stamps.
    pub ts_out: bool,
    pub symbol: String,
    pub segments: Vec<Written>,
    pub rows: u64,
}

impl Job for Merge {
    type Receipt = Written;
    const KIND: &'static str = "merge";

    fn run(self, attempt: &Attempt<'_>) -> Result<Written> {
        let file = attempt.dataset(&dataset_stem(self.config.tag(), &self.symbol));
        let schema = DatasetSchema::new(&self.config, self.ts_out).map_err(|e| Error::output(&file, e))?;
        let metadata = metadata(&self.config, &self.symbol, &self.thresholds);
        let mut writer = DatasetWriter::create(&file, &schema, &metadata)?;
        for Written { file: segment, written } in &self.segments {
            let sha256 = file_sha256(segment)?;
            if sha256 != written.sha256 {
                return Err(Error::read_back(segment, &damaged()));
            }
            writer.splice(segment, |_| attempt.monitor.advance(0))?;
        }
        Ok(Written { file, written: writer.finish()? })
    }

    fn amount(&self) -> u64 {
        self.rows
    }

    fn memory(&self) -> u64 {
        // One row group, parts of an upload, and the footer to come.
        (128 << 20) + self.rows / 4
    }
}
