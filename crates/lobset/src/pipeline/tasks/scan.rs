//! Tasks: a file to its tapes; the time of one of its rows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Job;
use super::attempt::Attempt;
use super::work::TAPES;
use crate::error::Result;
use crate::pipeline::scan::{self, FileScan, ScanRules};

/// Scans an input file.
#[derive(Serialize, Deserialize)]
pub struct Scan {
    pub file: PathBuf,
    pub bytes: u64,
    /// The state of the file that is meant.
    pub version: String,
    /// The SHA-256 that `manifest.json` gives for it.
    pub listed: Option<String>,
    pub rules: ScanRules,
}

impl Job for Scan {
    type Receipt = FileScan;
    const KIND: &'static str = "scan";

    fn run(self, attempt: &Attempt<'_>) -> Result<FileScan> {
        let tape = attempt.file(TAPES, "tape");
        let (scan, _) = scan::read(&self.file, self.listed.as_deref(), &self.rules, &tape, attempt.monitor)?;
        Ok(scan)
    }

    fn amount(&self) -> u64 {
        self.bytes
    }

    fn memory(&self) -> u64 {
        // Tapes wait for at most 64 MiB, and a file of few records has no more than ten times its size to wait.
        (96 << 20).min((32 << 20) + self.bytes.saturating_mul(10)) + self.rules.memory()
    }
}

/// Finds `ts_recv` of the usable record with a number.
#[derive(Serialize, Deserialize)]
pub struct RowTime {
    pub file: PathBuf,
    pub version: String,
    pub rules: ScanRules,
    pub number: u64,
}

impl Job for RowTime {
    type Receipt = Option<u64>;
    const KIND: &'static str = "row_time";

    fn run(self, _: &Attempt<'_>) -> Result<Option<u64>> {
        scan::ts_of_row(&self.file, &self.rules, self.number)
    }

    fn amount(&self) -> u64 {
        0
    }

    fn memory(&self) -> u64 {
        (32 << 20) + self.rules.memory()
    }
}
