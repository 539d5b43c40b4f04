//! The entry of an input file in the manifest of a dataset.

use serde::{Deserialize, Serialize};

use super::flags::Flags;
use super::impossible::Impossible;
use super::quote::Drops;
use crate::time_text::Timestamp;

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEntry {
    /// Name, without folders.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// DBN version.
    pub dbn_version: u8,
    /// Databento's dataset code.
    pub dataset: String,
    /// True when the records carry gateway stamps (`ts_out`).
    pub ts_out: bool,
    /// Number of records.
    pub records: u64,
    /// Number of records that became rows.
    pub rows: u64,
    /// `ts_recv` of the first record.
    pub first_ts: Option<Timestamp>,
    /// The largest `ts_recv`.
    pub last_ts: Option<Timestamp>,
    /// Records that did not become rows, by reason.
    pub drops: Drops,
    /// Records with each flag; `null` in manifests of versions that did not count them.
    #[serde(default)]
    pub flags: Option<Flags>,
    /// Records with impossible values, by kind.
    #[serde(default)]
    pub impossible: Impossible,
    /// True when every zstd frame has a checksum, which was verified; `null` for a file that is not compressed.
    #[serde(default)]
    pub checksummed: Option<bool>,
    /// SHA-256 of the `symbology.json` that the symbols come from; `null` when they come from the file itself.
    #[serde(default)]
    pub symbology: Option<String>,
}

/// True when some of the input carries gateway stamps. Files without records are ignored.
pub fn has_ts_out(inputs: &[InputEntry]) -> bool {
    inputs.iter().any(|input| input.ts_out && input.records > 0)
}
