//! Tasks: scan a file to its tapes; find the time of one of its rows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::job::Job;
use crate::error::{Error, InputError, Result};
use crate::input::ScanRules;
use crate::output::TAPES;
use crate::pipeline::scan::{self, FileScan};
use crate::storage::Stat;

/// Scans an input file.
#[derive(Serialize, Deserialize)]
pub struct Scan {
    pub file: PathBuf,
    /// The state of the file when the run began.
    pub found: Stat,
    /// The SHA-256 that `manifest.json` gives for it.
    pub listed: Option<String>,
    pub rules: ScanRules,
}

impl Job for Scan {
    /// A file that is refused, as far as can be known for good, does not fail the task: the others are scanned too, and
    /// all refused files are reported together.
    type Receipt = std::result::Result<FileScan, InputError>;
    const KIND: &'static str = "scan";

    fn run(self, attempt: &Attempt<'_>) -> Result<Self::Receipt> {
        let tape = attempt.file(TAPES, "tape");
        let Self { file, found, listed, rules } = self;
        match scan::read(&file, &found, listed.as_deref(), &rules, &tape, attempt.monitor) {
            Ok((scan, _)) => Ok(Ok(scan)),
            Err(Error::Input(refused)) if !refused.transient => Ok(Err(refused)),
            Err(other) => Err(other),
        }
    }

    /// The cause of a refusal may be fixed without changing the file, so a refusal is not final.
    fn is_final(receipt: &Self::Receipt) -> bool {
        receipt.is_ok()
    }

    fn amount(&self) -> u64 {
        self.found.bytes
    }

    fn memory(&self) -> u64 {
        // Tapes buffer at most 64 MiB, and no more than ten times the size of the file if it has few records.
        (96 << 20).min((32 << 20) + self.found.bytes.saturating_mul(10)) + self.rules.memory()
    }
}

/// Finds `ts_recv` of the usable record with this number.
#[derive(Serialize, Deserialize)]
pub struct FindRowTime {
    pub file: PathBuf,
    /// The state of the file when the run began.
    pub found: Stat,
    pub rules: ScanRules,
    pub number: u64,
}

impl Job for FindRowTime {
    type Receipt = Option<u64>;
    const KIND: &'static str = "row_time";

    fn run(self, _: &Attempt<'_>) -> Result<Option<u64>> {
        scan::ts_of_row(&self.file, &self.found, &self.rules, self.number)
    }

    fn amount(&self) -> u64 {
        0
    }

    fn memory(&self) -> u64 {
        (32 << 20) + self.rules.memory()
    }
}
