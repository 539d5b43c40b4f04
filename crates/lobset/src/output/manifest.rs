//! `manifest.json`: the inputs and outputs of a run, and what was validated.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Ladder;
use crate::config::Config;
use crate::error::{Error, InputError, Result, ValidationError};
use crate::input::{Delivery, Gap, InputEntry, has_ts_out, hex};
use crate::label::{Drift, Split};
use crate::storage;
use crate::time_text::Timestamp;

/// Maximum size of a manifest in bytes. A symbol takes two kilobytes with the default settings and thirty with the most
/// classes.
pub const LARGEST_MANIFEST: u64 = 1 << 30;

/// The start of every manifest; the 64 digits of its own hash follow.
const HEAD: &str = "{\n  \"sha256\": \"";

/// Replaces these digits while the hash is computed.
const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The contents of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// SHA-256 of the manifest file itself, computed with 64 zeros in place of these digits. It is the first key of the
    /// file.
    pub sha256: String,
    /// The version of lobset that wrote it.
    pub version: String,
    /// The settings.
    pub config: Config,
    /// Where the boundaries come from.
    pub thresholds: ThresholdsEntry,
    /// Every input file, in order of time.
    pub inputs: Vec<InputEntry>,
    /// Whether the inputs are what Databento delivered, and what was left out.
    pub delivery: Delivery,
    /// Every symbol, by name.
    pub symbols: Vec<SymbolEntry>,
    /// What a reader should know before training: short classes, unbalanced data and the like.
    pub warnings: Vec<String>,
    /// What phase 3 proved; `null` when it did not run.
    pub validation: Option<ValidationEntry>,
    /// The dataset card.
    pub card: FileEntry,
    /// The HTML report.
    pub report: FileEntry,
    /// Identifies the inputs, as found, and the settings of a run over tasks, so that the run is not repeated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<String>,
    /// How long the run took. The manifests of two runs over the same input differ only in this section, in the hash of
    /// the report, which contains it, and in the hash of the manifest.
    pub timings: Timings,
}

/// Where the boundaries come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdsEntry {
    /// The name of the file with the boundaries.
    pub file: String,
    /// True when they were fitted on this input, false when they came from a file.
    pub fitted: bool,
    /// The boundary time T.
    pub fit_until: Timestamp,
    /// SHA-256 of `thresholds.json`.
    pub sha256: String,
}

/// A small file of the output folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

/// A stream: one symbol of one publisher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymbolEntry {
    /// Its name: the symbol from the mappings of the input, followed by `.publisher` if several publishers have it.
    pub symbol: String,
    /// Its publisher: a dataset and a venue.
    pub publisher_id: u16,
    /// Number of rows.
    pub rows: u64,
    /// How often `ts_recv` decreases.
    pub steps_back: u64,
    /// Its longest gaps in `ts_recv` that windows may span, longest first, three at most. Gaps at breaks of the stream
    /// are excluded.
    pub gaps: Vec<Gap>,
    /// The rows that start a new unbroken part of the stream.
    pub breaks: Vec<u64>,
    /// Ranges of rows (from, to) within the sessions; `null` without sessions.
    #[serde(default)]
    pub in_session: Option<Vec<[u64; 2]>>,
    /// Number of rows outside of the sessions, which are not written.
    #[serde(default)]
    pub out_of_session: u64,
    /// The first row at the boundary time or later.
    pub boundary_row: u64,
    /// Ranges of rows (from, to) in the files that the thresholds were fitted on.
    pub fitted_rows: Vec<[u64; 2]>,
    /// The labels of each target, the classic one first.
    pub targets: Vec<TargetEntry>,
    /// The dataset, when the symbol has one.
    pub dataset: Option<DatasetEntry>,
    /// Why it has no dataset.
    pub reason: Option<String>,
}

/// The labels of one target in a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetEntry {
    /// The target's name; `classic` for that of the flat settings.
    pub target: String,
    /// Number of rows with a label.
    pub labelled_rows: u64,
    /// Number of rows whose windows are complete but whose movement is undefined, so that they have no label.
    pub undefined_rows: u64,
    /// The first row that is not `fit`.
    pub fit_end: u64,
    /// The share of the movement's variance that is known at the row, 0 to 1: the squared correlation between the
    /// movement and its known part over the `fit` rows. The known part is the movement if the price stayed the same
    /// from the row on. 0 if either does not vary; `None` if the dataset has no labels for the target.
    pub known_share: Option<f64>,
    /// Rows by split and class, before `drop_unbalanced` removes any; `None` if the dataset has no labels for the
    /// target.
    pub splits: Option<Splits3<SplitEntry>>,
    /// Why the dataset has no labels for the target.
    pub reason: Option<String>,
}

/// A dataset file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetEntry {
    /// Its name in the output folder.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Number of rows.
    pub rows: u64,
    /// Number of row groups.
    pub row_groups: u64,
    /// The price ladder of its depth tensors.
    pub ladder: Ladder,
    /// The sums of its columns.
    pub moments: MomentsEntry,
}

/// The file with the sums of a dataset's columns.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentsEntry {
    /// Its name in the output folder.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl DatasetEntry {
    /// The names of its files: the dataset, and the sums of its columns.
    pub fn files(&self) -> [&str; 2] {
        [&self.file, &self.moments.file]
    }
}

impl SymbolEntry {
    /// The targets that its dataset has labels for, with their splits.
    pub fn splits(&self) -> impl Iterator<Item = (&str, &Splits3<SplitEntry>)> {
        self.targets.iter().filter_map(|target| Some((target.target.as_str(), target.splits.as_ref()?)))
    }
}

/// One value for each split.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splits3<T> {
    /// Rows that the thresholds may depend on.
    pub fit: T,
    /// Rows between the other two splits.
    pub embargo: T,
    /// Rows at the boundary time or later.
    pub holdout: T,
}

impl<T> Splits3<T> {
    /// The splits with their names, in order of time.
    pub fn named(&self) -> [(&'static str, &T); 3] {
        Split::ALL.map(|split| (split.name(), self.of(split)))
    }

    /// A split.
    pub fn of(&self, split: Split) -> &T {
        match split {
            Split::Fit => &self.fit,
            Split::Embargo => &self.embargo,
            Split::Holdout => &self.holdout,
        }
    }
}

impl Splits3<SplitEntry> {
    /// How far the shares of classes in the holdout are from those in `fit`; `None` if either has no rows.
    pub fn drift(&self) -> Option<Drift> {
        Drift::between(&self.fit.classes, &self.holdout.classes)
    }
}

/// A split of a dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitEntry {
    /// Labelled rows.
    pub rows: u64,
    /// Labelled rows of each class.
    pub classes: Vec<u64>,
    /// Accuracy of always predicting the most common class of the `fit` rows (the lowest in a tie), 0 to 1. `None` if
    /// the split or `fit` has no rows.
    pub majority_accuracy: Option<f64>,
    /// Accuracy of predicting the class of the known part, 0 to 1; `None` if the split has no rows.
    pub known_accuracy: Option<f64>,
    /// Rows of each class that are marked as balanced.
    pub balanced: Vec<u64>,
    /// Classes with fewer rows than the number marked in the other classes.
    pub short: Vec<u64>,
}

impl SplitEntry {
    /// How far the classes are from uniform: half the sum of absolute differences between each class's share and the
    /// fair one (total variation distance), 0 to 1.
    pub fn from_uniform(&self) -> f64 {
        if self.rows == 0 {
            return 0.0;
        }
        let fair = 1.0 / self.classes.len() as f64;
        self.classes.iter().map(|c| (*c as f64 / self.rows as f64 - fair).abs()).sum::<f64>() / 2.0
    }
}

/// What phase 3 proved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationEntry {
    /// Datasets read back.
    pub datasets: u64,
    /// Rows read back.
    pub rows: u64,
    /// The checks that every one of them passed.
    pub checks: Vec<String>,
    /// What was not checked, and why.
    pub not_checked: Vec<String>,
}

/// How long a run took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timings {
    /// Threads used.
    pub threads: usize,
    /// Input files whose scan an earlier run had finished.
    pub scans_reused: u64,
    /// Seconds in phase 1: scanning.
    pub scan_seconds: f64,
    /// Seconds in phase 1: movements and boundaries.
    pub plan_seconds: f64,
    /// Seconds in phase 2.
    pub write_seconds: f64,
    /// Seconds in phase 3.
    pub validate_seconds: f64,
    /// Seconds from start to publication.
    pub total_seconds: f64,
    /// Input records per second of the whole run.
    pub records_per_second: f64,
    /// Peak resident memory of the process in bytes, where the system reports it.
    pub peak_memory_bytes: Option<u64>,
}

impl Manifest {
    /// The text of `manifest.json`.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Sets the manifest's hash of itself. All other fields must be complete.
    pub fn seal(&mut self) {
        NO_HASH.clone_into(&mut self.sha256);
        self.sha256 = hex(&Sha256::digest(self.to_json()));
    }

    /// Reads the manifest of an output folder.
    ///
    /// # Errors
    /// [`InputError`] when there is none or it cannot be read; [`ValidationError`] when it is not what lobset wrote.
    pub fn read(folder: &Path) -> Result<Self> {
        let folder = &storage::plain(folder);
        let path = folder.join(super::MANIFEST);
        let text = storage::read_at_most(&path, LARGEST_MANIFEST).map_err(|e| {
            let error = InputError::unread(&path, e);
            error.with_help("pass a folder written by lobset process or build")
        })?;
        Self::parse(&text).map_err(|reason| {
            let violations = vec![format!("{}: {reason}", super::MANIFEST)];
            Error::from(ValidationError { path: folder.to_owned(), violations })
        })
    }

    /// Reads a manifest from the bytes of its file.
    ///
    /// # Errors
    /// A message when any byte differs from what lobset wrote.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let hash = text.strip_prefix(HEAD.as_bytes()).and_then(|rest| rest.split_at_checked(NO_HASH.len()));
        let Some((digits, rest)) = hash else {
            if text.is_empty() {
                return Err("it is empty".to_owned());
            }
            return Err("it has no hash of its own content: it was written by an older version of lobset, or changed"
                .to_owned());
        };
        let digest = Sha256::new().chain_update(HEAD).chain_update(NO_HASH).chain_update(rest).finalize();
        let found = hex(&digest);
        if digits != found.as_bytes() {
            let digits = String::from_utf8_lossy(digits);
            return Err(format!(
                "it states the SHA-256 {digits:?}, but its content has {found:?}: it was changed or damaged"
            ));
        }
        let manifest: Self = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        // A manifest has exactly one text, so that one hash identifies it.
        if manifest.to_json().as_bytes() != text {
            return Err(
                "it differs from what this version of lobset writes: it is from another version, or was changed"
                    .to_owned(),
            );
        }
        Ok(manifest)
    }

    /// The symbols that have a dataset.
    pub fn datasets(&self) -> impl Iterator<Item = (&SymbolEntry, &DatasetEntry)> {
        self.symbols.iter().filter_map(|s| Some((s, s.dataset.as_ref()?)))
    }

    /// True when any input has gateway stamps; `ts_out` is then a column of all datasets.
    pub fn has_ts_out(&self) -> bool {
        has_ts_out(&self.inputs)
    }

    /// Number of records in all inputs.
    pub fn records(&self) -> u64 {
        self.inputs.iter().map(|i| i.records).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time_text::Timestamp;

    fn manifest() -> Manifest {
        Manifest {
            sha256: String::new(),
            version: crate::VERSION.to_owned(),
            config: Config::default(),
            thresholds: ThresholdsEntry {
                file: "thresholds.json".to_owned(),
                fitted: true,
                fit_until: Timestamp(7),
                sha256: String::new(),
            },
            inputs: Vec::new(),
            delivery: Delivery::default(),
            symbols: Vec::new(),
            warnings: vec!["a \"sha256\": \"x\" in a text".to_owned()],
            validation: None,
            card: FileEntry::default(),
            report: FileEntry::default(),
            plan: None,
            timings: Timings { total_seconds: 0.1 + 0.2, ..Timings::default() },
        }
    }

    #[test]
    fn a_sealed_manifest_comes_back_and_no_byte_of_it_can_change() {
        let mut manifest = manifest();
        manifest.seal();
        let text = manifest.to_json();
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest.clone()));
        // The recipe of docs/explanation/publication.md, implemented separately.
        let zeroed = text.replacen(&manifest.sha256, NO_HASH, 1);
        assert_eq!(hex(&Sha256::digest(zeroed)), manifest.sha256);
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                Manifest::parse(&bytes).unwrap_err();
            }
            Manifest::parse(&text.as_bytes()[..at]).unwrap_err();
        }
    }

    #[test]
    fn keys_that_no_manifest_has_are_refused() {
        let mut manifest = manifest();
        manifest.seal();
        let extra = manifest.to_json().replacen("\"warnings\"", "\"warning\": [],\n  \"warnings\"", 1);
        let resealed = extra.replacen(&manifest.sha256, NO_HASH, 1);
        let sealed = resealed.replacen(NO_HASH, &hex(&Sha256::digest(&resealed)), 1);
        let error = Manifest::parse(sealed.as_bytes()).unwrap_err();
        assert!(error.contains("unknown field `warning`"), "{error}");
    }
}
