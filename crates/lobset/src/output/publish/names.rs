//! Names of files and folders in OUT and in the work folder next to it.

/// The manifest; a folder without it is not a dataset.
pub const MANIFEST: &str = "manifest.json";
/// The file with the boundaries, in an output folder.
pub const THRESHOLDS: &str = "thresholds.json";
/// The dataset card, in an output folder.
pub const CARD: &str = "README.md";
/// The HTML report, in an output folder.
pub const REPORT: &str = "report.html";

/// The movements of the current run, in the work folder.
pub const MOVEMENT_TAPE: &str = "movements.f64";
pub(super) const SCANS: &str = "scans";
pub(super) const STAGED: &str = "staged";
pub(super) const REPLACED: &str = "replaced";
pub(super) const DISCARDED: &str = "discarded";

/// Run over tasks: exists while the run lasts; tasks that find it missing clean up after themselves.
pub const MARKER: &str = "run.json";
/// Run over tasks: receipts of finished tasks.
pub const RECEIPTS: &str = "receipts";
/// Run over tasks: tapes of input files.
pub const TAPES: &str = "tapes";
/// Run over tasks: movements of symbols.
pub const MOVEMENTS: &str = "movements";
/// Run over tasks: row groups of large symbols.
pub const SEGMENTS: &str = "segments";
/// Run over tasks: finished datasets, if the output is a local folder.
pub const DATASETS: &str = "datasets";
