//! Checks the files of an output folder other than the datasets, and that it contains no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::reading::cause;
use super::violations::MOST_VIOLATIONS;
use crate::error::Cause;
use crate::input::{file_sha256, hex};
use crate::label::{LARGEST_THRESHOLDS, Thresholds};
use crate::output::{MANIFEST, Manifest, THRESHOLDS};
use crate::printable;
use crate::storage;

/// Checks that a local folder contains the files that the manifest names, all of them regular files, and nothing else.
/// Links are not followed.
pub(super) fn check_names(folder: &Path, manifest: &Manifest) -> Vec<String> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) => return vec![format!("the folder cannot be listed: {}", e.text())],
    };
    let mut missing: BTreeSet<&str> = named(manifest).collect();
    let mut violations = Vec::new();
    let mut others = 0_usize;
    for entry in entries {
        let (name, kind) = match entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))) {
            Ok(found) => found,
            Err(e) => return vec![format!("the folder cannot be listed: {}", e.text())],
        };
        let known = name.to_str().is_some_and(|name| missing.remove(name));
        let name = name.to_string_lossy();
        if !known {
            others += 1;
            if others <= MOST_VIOLATIONS {
                violations.push(format!("{}: is in the folder, but not in the manifest", printable(&name)));
            }
        } else if !kind.is_file() {
            violations.push(format!("{}: is not a regular file", printable(&name)));
        }
    }
    violations.sort_unstable();
    if others > MOST_VIOLATIONS {
        violations.push(format!("{} more files that are not in the manifest", others - MOST_VIOLATIONS));
    }
    violations.extend(missing.into_iter().map(|name| format!("{}: is missing", printable(name))));
    violations
}

/// The names of all files of an output folder.
pub(super) fn named(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let small = [MANIFEST, &manifest.thresholds.file, &manifest.card.file, &manifest.report.file];
    small.into_iter().chain(manifest.datasets().flat_map(|(_, entry)| entry.files()))
}

/// Reads the thresholds of a folder and compares them with its manifest.
pub(super) fn check_thresholds(folder: &Path, manifest: &Manifest) -> Result<Thresholds, String> {
    let path = folder.join(&manifest.thresholds.file);
    let read = storage::read_at_most(&path, LARGEST_THRESHOLDS);
    let text = read.map_err(|e| format!("{THRESHOLDS}: cannot be read: {}", e.text()))?;
    let sha256 = hex(&Sha256::digest(&text));
    if sha256 != manifest.thresholds.sha256 {
        return Err(format!(
            "{THRESHOLDS}: its SHA-256 is {sha256}, not {} as the manifest says",
            manifest.thresholds.sha256
        ));
    }
    let thresholds = Thresholds::parse(&text).map_err(|e| format!("{THRESHOLDS}: {e}"))?;
    thresholds.check_settings(&manifest.config).map_err(|e| format!("{THRESHOLDS}: {e}"))?;
    if thresholds.fit_until != manifest.thresholds.fit_until {
        return Err(format!(
            "{THRESHOLDS}: its boundary time is {}, not {} as in the manifest",
            thresholds.fit_until, manifest.thresholds.fit_until
        ));
    }
    Ok(thresholds)
}

/// Checks that the report is the one that was written.
pub(super) fn check_report(folder: &Path, manifest: &Manifest) -> Result<(), String> {
    let entry = &manifest.report;
    let sha256 = file_sha256(&folder.join(&entry.file)).map_err(|e| format!("{}: {}", entry.file, cause(&e)))?;
    if sha256 != entry.sha256 {
        return Err(format!("{}: its SHA-256 is {sha256}, not {} as the manifest says", entry.file, entry.sha256));
    }
    Ok(())
}

/// Reads the dataset card; returns its SHA-256, which may differ from that in the manifest: the owner may edit the
/// card, for example to add a licence.
pub(super) fn check_card(folder: &Path, manifest: &Manifest) -> Result<String, String> {
    let entry = &manifest.card;
    file_sha256(&folder.join(&entry.file)).map_err(|e| format!("{}: {}", entry.file, cause(&e)))
}
