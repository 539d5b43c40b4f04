//! The support files that Databento delivers with the data of a batch job.
//!
//! A job is a folder (<https://databento.com/docs/portal/download-center>, "Support files"):
//!
//! - `manifest.json`: `{"job_id": "GLBX-20240719-5DEFXVTMSM", "files": [{"filename":
//!   "glbx-mdp3-20240403.mbp-10.dbn.zst", "size": 21832, "hash": "sha256:1218930af1…", "urls": {"https": "…", "ftp":
//!   "…"}}, …]}`. The entries are those of
//!   [`batch.list_files`](https://databento.com/docs/api-historical/batch/batch-list-files); they name the data and the
//!   other files below, but not `manifest.json` itself.
//! - `condition.json`: `[{"date": "2024-04-03", "condition": "available", "last_modified_date": "2024-04-04"}, …]`, as
//!   [`metadata.get_dataset_condition`](https://databento.com/docs/api-historical/metadata/metadata-get-dataset-condition)
//!   returns it: `available`, `degraded`, `pending`, `missing`, or `intraday` for a day in progress.
//! - `metadata.json`: the query.
//! - `symbology.json`: see [`symbology`](super::symbology).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Display;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex;
use super::small::{brief, elsewhere, read_if_there};
use super::source::file_sha256;
use super::symbology::{MAX_SYMBOLOGY_BYTES, SymbologyFile};
use crate::error::{Error, InputError, Result};
use crate::storage;
use crate::time_text::Timestamp;

/// The file that lists the files of a job. Output folders of lobset also contain a file of this name.
pub const MANIFEST: &str = "manifest.json";
const CONDITION: &str = "condition.json";
const METADATA: &str = "metadata.json";
const SYMBOLOGY: &str = "symbology.json";

/// The names of all support files.
pub(super) const SUPPORT_FILES: [&str; 4] = [MANIFEST, CONDITION, METADATA, SYMBOLOGY];

/// Maximum size of a `manifest.json`, in bytes: enough for half a million files.
pub const MAX_MANIFEST_BYTES: u64 = 256 << 20;

/// Maximum size of a `condition.json` or `metadata.json`, in bytes.
pub const MAX_SUPPORT_BYTES: u64 = 16 << 20;

const AGAIN: &str = "download it again";

/// The entry of a file in `manifest.json`.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Listed {
    pub size: u64,
    pub sha256: String,
}

/// The `manifest.json` of a Databento batch job.
#[derive(Debug, Clone, Serialize)]
pub(super) struct JobManifest {
    pub job_id: String,
    /// The entries, by file name.
    pub files: BTreeMap<String, Listed>,
}

/// A day and the condition of its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCondition {
    /// The day, such as `2024-04-03`.
    pub date: String,
    /// `degraded`, `missing`, `pending` or similar; days that are `available` are omitted.
    pub condition: String,
}

/// The support files of a folder with data files.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Support {
    pub job: Option<JobManifest>,
    /// The days that are not `available`.
    pub conditions: Vec<DayCondition>,
    pub symbology: Option<SymbologyFile>,
}

impl Support {
    /// Reads the support files in a folder, each up to a size limit, and checks them against `manifest.json`.
    ///
    /// # Errors
    /// [`InputError`] for a file that is too large, damaged, or differs from its entry in `manifest.json`.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let job = match read_if_there(&folder.join(MANIFEST), MAX_MANIFEST_BYTES)? {
            Some(bytes) => parse_manifest(&folder.join(MANIFEST), &bytes)?,
            None => None,
        };
        let read = |name: &str, limit: u64| -> Result<Option<Vec<u8>>> {
            let path = folder.join(name);
            let bytes = read_if_there(&path, limit)?;
            if let (Some(bytes), Some(listed)) = (&bytes, job.as_ref().and_then(|job| job.files.get(name))) {
                check_size(&path, bytes.len() as u64, listed)?;
                check_sha256(&path, &hex(&Sha256::digest(bytes)), &listed.sha256)?;
            }
            Ok(bytes)
        };
        // The query is not used. It is only read to check that it is the file that the manifest lists.
        if job.is_some() {
            read(METADATA, MAX_SUPPORT_BYTES)?;
        }
        let conditions = match read(CONDITION, MAX_SUPPORT_BYTES)? {
            Some(bytes) => parse_conditions(&folder.join(CONDITION), &bytes)?,
            None => Vec::new(),
        };
        let symbology = read(SYMBOLOGY, MAX_SYMBOLOGY_BYTES)?;
        let symbology = symbology.map(|bytes| SymbologyFile::new(&folder.join(SYMBOLOGY), &bytes));
        Ok(Self { job, conditions, symbology })
    }
}

/// Refuses a file whose size differs from the one in `manifest.json`.
pub(super) fn check_size(path: &Path, size: u64, listed: &Listed) -> Result<(), InputError> {
    if size == listed.size {
        return Ok(());
    }
    let message = format!("has {size} bytes, but manifest.json says {}", listed.size);
    Err(InputError::new(path, message).with_help(AGAIN))
}

/// Refuses a file whose SHA-256 differs from the one in `manifest.json`.
fn check_sha256(path: &Path, found: &str, listed: &str) -> Result<(), InputError> {
    if found == listed {
        return Ok(());
    }
    let message = format!("has the SHA-256 {found}, but manifest.json says {listed}");
    Err(InputError::new(path, message).with_help(AGAIN))
}

/// Checks a file that was read against its SHA-256 in `manifest.json`, if it is listed there. A file that could not be
/// read or was refused is hashed in a separate pass: a wrong hash tells the user more than a decoding error.
///
/// # Errors
/// [`InputError`] when the hash differs; otherwise the error of `outcome`.
pub(crate) fn verified<T>(
    path: &Path,
    listed: Option<&str>,
    outcome: Result<T>,
    sha256: impl FnOnce(&T) -> String,
) -> Result<T> {
    let Some(listed) = listed else { return outcome };
    match outcome {
        Ok(read) => {
            check_sha256(path, &sha256(&read), listed)?;
            Ok(read)
        }
        Err(Error::Input(refused)) if !refused.transient && refused.path == path => {
            check_sha256(path, &file_sha256(path)?, listed).map_err(|mut differs| {
                differs.message = format!("{}; decoding it fails too: {}", differs.message, refused.message);
                differs
            })?;
            Err(refused.into())
        }
        failed => failed,
    }
}

fn damaged(path: &Path, why: &impl Display) -> InputError {
    let message = format!("cannot be read as Databento's {}: {}", storage::file_name(path), brief(why));
    InputError::new(path, message).with_help(elsewhere(path))
}

/// Parses a `manifest.json`. Returns `None` if it is not Databento's: a manifest of lobset, or JSON without Databento's
/// keys.
fn parse_manifest(path: &Path, bytes: &[u8]) -> Result<Option<JobManifest>> {
    #[derive(Deserialize)]
    struct Keys {
        job_id: Option<IgnoredAny>,
        files: Option<IgnoredAny>,
        // Keys of the manifest of an output folder.
        config: Option<IgnoredAny>,
        thresholds: Option<IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Whole<'a> {
        #[serde(borrow)]
        job_id: Cow<'a, str>,
        #[serde(borrow)]
        files: Vec<File<'a>>,
    }
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        filename: Cow<'a, str>,
        size: u64,
        #[serde(borrow)]
        hash: Cow<'a, str>,
    }
    let refuse = |why: &dyn Display| damaged(path, &why);
    // serde would accept an array as a struct.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        serde_json::from_slice::<IgnoredAny>(bytes).map_err(|e| refuse(&e))?;
        return Ok(None);
    }
    let keys: Keys = serde_json::from_slice(bytes).map_err(|e| refuse(&e))?;
    let ours = keys.config.is_some() && keys.thresholds.is_some();
    if ours || (keys.job_id.is_none() && keys.files.is_none()) {
        return Ok(None);
    }
    let Whole { job_id, files: entries } = serde_json::from_slice(bytes).map_err(|e| refuse(&e))?;
    if job_id.is_empty() || job_id.len() > 100 || !job_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(refuse(&format!("{:?} is not a job_id", brief(&job_id))).into());
    }
    let mut files = BTreeMap::new();
    for File { filename, size, hash } in entries {
        if !is_plain(&filename) {
            return Err(refuse(&format!("{:?} is not a file name", brief(&filename))).into());
        }
        let sha256 = hash.strip_prefix("sha256:").filter(|hex| hex.len() == 64);
        let Some(sha256) = sha256.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) else {
            return Err(refuse(&format!("the hash of {filename:?} is not a SHA-256: {:?}", brief(&hash))).into());
        };
        let listed = Listed { size, sha256: sha256.to_ascii_lowercase() };
        match files.entry(filename.into_owned()) {
            Entry::Vacant(place) => drop(place.insert(listed)),
            Entry::Occupied(place) => return Err(refuse(&format!("it lists {:?} twice", place.key())).into()),
        }
    }
    Ok(Some(JobManifest { job_id: job_id.into_owned(), files }))
}

/// True for a name that stays within its folder and has no control characters.
fn is_plain(name: &str) -> bool {
    !["", ".", ".."].contains(&name)
        && name.len() <= 255
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control())
}

fn parse_conditions(path: &Path, bytes: &[u8]) -> Result<Vec<DayCondition>> {
    let mut days: Vec<DayCondition> = serde_json::from_slice(bytes).map_err(|e| damaged(path, &e))?;
    for DayCondition { date, condition } in &days {
        if date.len() != 10 || date.parse::<Timestamp>().is_err() {
            return Err(damaged(path, &format!("{:?} is not a date such as 2024-04-03", brief(date))).into());
        }
        let known = !condition.is_empty() && condition.len() <= 32;
        if !known || !condition.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'-') {
            return Err(damaged(path, &format!("{:?} is not a condition", brief(condition))).into());
        }
    }
    days.retain(|day| day.condition != "available");
    days.sort_by(|a, b| a.date.cmp(&b.date));
    Ok(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha256:0168d53e1705b69b1d6407f10bb3ab48aac492fa0f68f863cc9b092931cc67a7";

    fn manifest(json: &str) -> Result<Option<JobManifest>> {
        parse_manifest(Path::new("manifest.json"), json.as_bytes())
    }

    #[test]
    fn manifests_of_others_are_told_apart() {
        let file = format!(r#"{{"filename": "a.dbn.zst", "size": 7, "hash": "{HASH}", "urls": {{"https": "x"}}}}"#);
        let job = manifest(&format!(r#"{{"job_id": "GLBX-1", "files": [{file}]}}"#)).unwrap().unwrap();
        assert_eq!((job.job_id.as_str(), job.files["a.dbn.zst"].size), ("GLBX-1", 7));
        assert!(
            manifest(r#"{"version": "1", "config": {}, "thresholds": {}, "inputs": [], "files": []}"#)
                .unwrap()
                .is_none()
        );
        assert!(manifest(r#"{"name": "a web app", "icons": []}"#).unwrap().is_none());
        assert!(manifest(r#"["a list"]"#).unwrap().is_none());
    }

    #[test]
    fn damaged_manifests_are_refused() {
        let refusal = |json: &str| manifest(json).unwrap_err().to_string();
        let with = |name: &str, size: &str, hash: &str| {
            refusal(&format!(
                r#"{{"job_id": "G", "files": [{{"filename": {name:?}, "size": {size}, "hash": {hash:?}}}]}}"#
            ))
        };
        assert!(refusal("").contains("cannot be read as Databento's manifest.json: EOF"));
        assert!(refusal(r#"{"job_id": "G", "fi"#).contains("EOF"));
        assert!(refusal(r#"{"job_id": "G"}"#).contains("missing field `files`"));
        assert!(refusal(r#"{"job_id": "\u001b[2J", "files": []}"#).contains("is not a job_id"));
        assert!(refusal(&format!("{{\"files\": {}", "[".repeat(100_000))).contains("EOF while parsing a list"));
        for name in ["", "..", "../x.dbn", "/etc/passwd", "a\\b", "a\nb"] {
            assert!(with(name, "1", HASH).contains("is not a file name"), "{name:?}");
        }
        assert!(with("a.dbn", "-1", HASH).contains("invalid value"));
        assert!(with("a.dbn", "1", "md5:00").contains("is not a SHA-256"));
        assert!(with("a.dbn", "1", &HASH.replace('0', "g")).contains("is not a SHA-256"));
        let long = with("a.dbn", "1", &"x".repeat(100_000));
        assert!(long.len() < 400, "{}", long.len());
    }

    #[test]
    fn days_that_are_not_available_are_kept() {
        let days = |json: &str| parse_conditions(Path::new("condition.json"), json.as_bytes());
        let found = days(
            r#"[{"date": "2024-04-04", "condition": "missing", "last_modified_date": null},
                {"date": "2024-04-03", "condition": "degraded", "last_modified_date": "2024-04-05"},
                {"date": "2024-04-05", "condition": "available", "last_modified_date": "2024-04-06"}]"#,
        );
        let found: Vec<_> = found.unwrap().into_iter().map(|day| format!("{} {}", day.date, day.condition)).collect();
        assert_eq!(found, ["2024-04-03 degraded", "2024-04-04 missing"]);
        let refusal = |json: &str| days(json).unwrap_err().to_string();
        assert!(refusal("{}").contains("cannot be read as Databento's condition.json"));
        assert!(refusal(r#"[{"date": "2024-13-03", "condition": "missing"}]"#).contains("is not a date"));
        assert!(refusal(r#"[{"date": "2024-04-03", "condition": "<b>"}]"#).contains("is not a condition"));
    }
}
