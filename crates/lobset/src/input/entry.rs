//! What a manifest says of an input file.

use serde::{Deserialize, Serialize};

use super::impossible::Impossible;
use super::quote::Drops;
use crate::time_text::Timestamp;

/// An input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEntry {
    /// Its name, without folders.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// DBN version.
    pub dbn_version: u8,
    /// Databento's dataset code.
    pub dataset: String,
    /// True when its records carry gateway stamps (`ts_out`).
    pub ts_out: bool,
    /// Records in it.
    pub records: u64,
    /// Records that became rows.
    pub rows: u64,
    /// `ts_recv` of its first record.
    pub first_ts: Option<Timestamp>,
    /// The largest `ts_recv` in it.
    pub last_ts: Option<Timestamp>,
    /// Records that did not become rows, by reason.
    pub drops: Drops,
    /// Records with impossible values, by kind.
    #[serde(default)]
    pub impossible: Impossible,
    /// True where every zstd frame of it carries a checksum, which was compared; `null` for a file that is not compressed.
    #[serde(default)]
    pub checksummed: Option<bool>,
    /// SHA-256 of the `symbology.json` that its symbols come from; `null` where they come from the file itself.
    #[serde(default)]
    pub symbology: Option<String>,
}

/// True when some of the input carries gateway stamps. A file without records counts for nothing.
pub fn has_ts_out(inputs: &[InputEntry]) -> bool {
    inputs.iter().any(|input| input.ts_out && input.records > 0)
}
