//! Certificates: what a validation has proved about which bytes, as a file to keep with a model.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::against::{Against, Compare};
use super::validation::{Validation, validate};
use crate::error::{Error, InputError, Result};
use crate::input::{InputEntry, hex};
use crate::output::{FileEntry, MANIFEST, parent};
use crate::run::{Monitor, Options};
use crate::storage;
use crate::time_text::Timestamp;

/// Maximum size of a certificate, in bytes; each file listed takes about two hundred.
const LARGEST: u64 = 64 << 20;

/// The `kind` of every certificate.
const KIND: &str = "lobset validation certificate";

/// What a validation has proved, and about which bytes. A certificate is not signed: sign its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// `lobset validation certificate`.
    pub kind: String,
    /// The version of lobset that made the checks.
    pub version: String,
    /// When the checks were made.
    pub time: Timestamp,
    /// The output folder, as the user named it.
    pub folder: String,
    /// `manifest.json`, with the SHA-256 of its bytes.
    pub manifest: FileEntry,
    /// The version of lobset that wrote the folder.
    pub written_by: String,
    /// The other files of the folder, with the SHA-256 of their bytes.
    pub files: Vec<FileEntry>,
    /// The raw files, as the manifest names them; they were compared where `against` is not `null`.
    pub inputs: Vec<CertifiedInput>,
    /// Number of datasets read back.
    pub datasets: u64,
    /// Number of rows read back.
    pub rows: u64,
    /// Number of rows whose `price_movement` was recomputed from the mid prices in the files.
    pub recomputed: u64,
    /// The comparison with the raw files; `null` when they were not given.
    pub against: Option<Against>,
    /// The checks that every dataset passed.
    pub checks: Vec<String>,
    /// What was not checked, and why.
    pub not_checked: Vec<String>,
}

/// A raw file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedInput {
    /// The name of the file, without folders.
    pub name: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Certificate {
    /// Creates a certificate of the validation of `folder`, dated now.
    pub fn new(folder: &Path, found: &Validation) -> Self {
        let Validation { manifest, proved, recomputed, against, .. } = found;
        let file = |file: &str, sha256: &str| FileEntry { file: file.to_owned(), sha256: sha256.to_owned() };
        let thresholds = file(&manifest.thresholds.file, &manifest.thresholds.sha256);
        let card = file(&manifest.card.file, &found.card_sha256);
        let small = [thresholds, card, manifest.report.clone()];
        let datasets = manifest.datasets().map(|(_, entry)| file(&entry.file, &entry.sha256));
        let input = |input: &InputEntry| CertifiedInput {
            name: input.name.clone(),
            bytes: input.bytes,
            sha256: input.sha256.clone(),
        };
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            kind: KIND.to_owned(),
            version: crate::VERSION.to_owned(),
            time: Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
            folder: folder.to_string_lossy().into_owned(),
            manifest: file(MANIFEST, &hex(&Sha256::digest(manifest.to_json()))),
            written_by: manifest.version.clone(),
            files: small.into_iter().chain(datasets).collect(),
            inputs: manifest.inputs.iter().map(input).collect(),
            datasets: proved.datasets,
            rows: proved.rows,
            recomputed: *recomputed,
            against: *against,
            checks: proved.checks.clone(),
            not_checked: proved.not_checked.clone(),
        }
    }

    /// The text of the file.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a certificate from its file.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read or is not a certificate.
    pub fn read(path: &Path) -> Result<Self> {
        let path = &storage::plain(path);
        let text = storage::read_at_most(path, LARGEST).map_err(|e| InputError::unread(path, e))?;
        let refuse = |e: &dyn std::fmt::Display| InputError::new(path, format!("is not a lobset certificate: {e}"));
        let certificate: Self = serde_json::from_slice(&text).map_err(|e| refuse(&e))?;
        if certificate.kind != KIND {
            return Err(refuse(&format!("its kind is {:?}", certificate.kind)).into());
        }
        Ok(certificate)
    }

    /// Checks that a certificate of `folder` may be written to `path`; called before the folder is read.
    ///
    /// # Errors
    /// [`Error::Output`] when `path` is a URL, has no parent folder on disk, is inside `folder`, or exists and is not a
    /// certificate.
    pub fn check_place(path: &Path, folder: &Path) -> Result<()> {
        let path = &storage::plain(path);
        if storage::is_url(path) {
            return Err(refuse(path, "is not a local file, which a certificate must be", "choose a local file"));
        }
        let beside = parent(path);
        let place = fs::canonicalize(beside).map_err(|e| Error::output(beside, e))?;
        let inside = fs::canonicalize(storage::plain(folder)).is_ok_and(|folder| place.starts_with(folder));
        if inside {
            return Err(refuse(
                path,
                "is inside the folder being validated, which may contain only the dataset",
                "write it next to the folder",
            ));
        }
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::output(path, e)),
            Ok(found) if found.is_file() && Self::read(path).is_ok() => Ok(()),
            Ok(found) if found.is_symlink() => {
                Err(refuse(path, "is a symbolic link, so it is not replaced", "pass the file itself"))
            }
            Ok(_) => Err(refuse(
                path,
                "exists but is not a lobset certificate, so it is not replaced",
                "choose another name for the certificate",
            )),
        }
    }

    /// Writes the certificate to `path` atomically; replaces only another certificate.
    ///
    /// # Errors
    /// As [`check_place`](Self::check_place), and when the file cannot be written.
    pub fn write(&self, path: &Path, folder: &Path) -> Result<()> {
        let path = &storage::plain(path);
        Self::check_place(path, folder)?;
        let failed = |e: std::io::Error| Error::output(path, e);
        let mut file = storage::temporary_in(parent(path)).map_err(failed)?;
        file.write_all(self.to_json().as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        let replaced = fs::symlink_metadata(path).is_ok();
        // A file may have appeared since the check.
        let placed = if replaced { file.persist(path) } else { file.persist_noclobber(path) };
        placed.map(drop).map_err(|e| failed(e.error))
    }
}

/// As [`validate`], and writes what was proved to `certificate`, if that is given.
///
/// # Errors
/// As [`validate`]; as [`Certificate::check_place`], before anything is read.
pub fn certify<P: AsRef<Path>>(
    folder: &Path,
    against: Option<(&[P], Compare)>,
    certificate: Option<&Path>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Validation> {
    if let Some(path) = certificate {
        Certificate::check_place(path, folder)?;
    }
    let found = validate(folder, against, options, monitor)?;
    if let Some(path) = certificate {
        Certificate::new(folder, &found).write(path, folder)?;
    }
    Ok(found)
}

fn refuse(path: &Path, message: &str, help: &str) -> Error {
    Error::Output { path: path.to_owned(), message: message.to_owned(), help: Some(help.to_owned()) }
}
