//! What `--overwrite` may replace: a folder with a lobset dataset and nothing else, an empty folder, a thresholds file.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileType};
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::names::MANIFEST;
use crate::error::{Error, Result};
use crate::label::Thresholds;
use crate::output::LARGEST_MANIFEST;

/// The files of a dataset, as listed by the manifest of any lobset version. Other programs also name files
/// `manifest.json`: Databento's batch jobs, for one.
#[derive(Deserialize)]
struct Names {
    #[serde(rename = "version")]
    _version: String,
    #[serde(rename = "config")]
    _config: IgnoredAny,
    thresholds: Named,
    symbols: Vec<Symbol>,
    card: Option<Small>,
    report: Option<Small>,
}

#[derive(Deserialize)]
struct Symbol {
    dataset: Option<Dataset>,
}

/// A dataset. Manifests of versions that did not write sums have no entry for them.
#[derive(Deserialize)]
struct Dataset {
    #[serde(flatten)]
    rows: Named,
    moments: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    file: String,
    bytes: Option<u64>,
}

/// A small file. Manifests without a hash of their own record only its name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Small {
    Name(String),
    Named(Named),
}

impl Small {
    fn name(&self) -> &str {
        match self {
            Self::Name(file) | Self::Named(Named { file, .. }) => file,
        }
    }
}

impl Names {
    /// The names of all files except the manifest, with their sizes where the manifest records them.
    fn sizes(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        let datasets = self.symbols.iter().filter_map(|symbol| symbol.dataset.as_ref());
        let datasets = datasets.flat_map(|dataset| [Some(&dataset.rows), dataset.moments.as_ref()]).flatten();
        let files = datasets.chain([&self.thresholds]).map(|named| (named.file.as_str(), named.bytes));
        files.chain([&self.card, &self.report].into_iter().flatten().map(|small| (small.name(), None)))
    }

    /// The names of all files except the manifest; `None` if one of them points outside the folder.
    fn plain(&self) -> Option<BTreeSet<String>> {
        let plain = |name: &str| Path::new(name).file_name() == Some(OsStr::new(name));
        self.sizes().map(|(name, _)| plain(name).then(|| name.to_owned())).collect()
    }
}

/// True for the text of a manifest of any lobset version.
pub fn is_manifest(text: &[u8]) -> bool {
    serde_json::from_slice::<Names>(text).is_ok_and(|names| names.plain().is_some())
}

/// The files named by the manifest in a folder, except the manifest itself; `None` without a lobset manifest.
fn named_files(folder: &Path) -> Option<BTreeSet<String>> {
    read_names(folder)?.plain()
}

fn read_names(folder: &Path) -> Option<Names> {
    let path = folder.join(MANIFEST);
    // Links are not followed, and opening a pipe would block.
    if !fs::symlink_metadata(&path).ok()?.is_file() {
        return None;
    }
    let bytes = BufReader::new(File::open(path).ok()?.take(LARGEST_MANIFEST));
    serde_json::from_reader(bytes).ok()
}

fn is_empty(folder: &Path) -> Result<bool> {
    Ok(fs::read_dir(folder).map_err(|e| Error::output(folder, e))?.next().is_none())
}

/// Refuses a folder that may not be replaced.
///
/// # Errors
/// [`Error::Output`] for anything that exists except, with `overwrite`, an empty folder, or a folder that contains a
/// lobset manifest and only the files that it names.
pub fn check_folder(out: &Path, overwrite: bool) -> Result<()> {
    let Some(kind) = kind_of(out)? else { return Ok(()) };
    if kind.is_symlink() {
        return refuse(out, "is a symbolic link", "pass the folder itself, or choose another name");
    }
    if !kind.is_dir() {
        return refuse(out, "exists but is not a folder", "choose another name for the output folder");
    }
    if !overwrite {
        return refuse(out, "already exists", "choose another name, or pass --overwrite to replace it");
    }
    if is_empty(out)? {
        return Ok(());
    }
    let Some(names) = named_files(out) else {
        return refuse(
            out,
            "exists but is not a lobset dataset (it has no lobset manifest.json), so --overwrite does not replace it",
            "choose another name for the output folder",
        );
    };
    let Some((first, count)) = others(out, &names)? else { return Ok(()) };
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    // Quoted, so that a name cannot pass for part of the message.
    refuse(
        out,
        &format!(
            "contains files that are not part of the dataset, so --overwrite does not replace it: {first:?}{more}"
        ),
        "move them elsewhere, or choose another name for the output folder",
    )
}

/// Finds what a folder contains besides the manifest and the regular files it names: the first by name, and the count.
fn others(folder: &Path, names: &BTreeSet<String>) -> Result<Option<(OsString, u64)>> {
    let mut others: Option<(OsString, u64)> = None;
    for entry in fs::read_dir(folder).map_err(|e| Error::output(folder, e))? {
        let entry = entry.map_err(|e| Error::output(folder, e))?;
        let name = entry.file_name();
        let named = name.to_str().is_some_and(|name| name == MANIFEST || names.contains(name));
        if named && entry.file_type().map_err(|e| Error::output(folder, e))?.is_file() {
            continue;
        }
        others = Some(match others {
            Some((first, count)) => (first.min(name), count + 1),
            None => (name, 1),
        });
    }
    Ok(others)
}

/// Refuses a place inside a dataset: a new file there would not be part of the dataset, but a replaced file would be.
///
/// # Errors
/// [`Error::Output`] when the folder or one of its ancestors contains a lobset manifest.
pub fn check_around(folder: &Path) -> Result<()> {
    let Ok(real) = fs::canonicalize(folder) else { return Ok(()) };
    match real.ancestors().find(|around| named_files(around).is_some()) {
        Some(dataset) => {
            refuse(dataset, "is a lobset dataset, which must not contain anything else", "choose an output outside it")
        }
        None => Ok(()),
    }
}

/// Checks that a folder about to be published contains all files that its manifest names, in full size, and no others.
///
/// # Errors
/// [`Error::Output`] when it does not: another process has changed it.
pub fn check_staged(staged: &Path) -> Result<()> {
    let changed = |what: String| Error::Output {
        path: staged.to_owned(),
        message: format!("changed during the run, so nothing was published: {what}"),
        help: Some("run again, and leave work folders alone during a run".to_owned()),
    };
    if !kind_of(staged)?.is_some_and(|kind| kind.is_dir()) {
        return Err(changed("it is not a folder".to_owned()));
    }
    let names = read_names(staged).ok_or_else(|| changed("it has no manifest".to_owned()))?;
    for (name, bytes) in names.sizes() {
        let found = fs::symlink_metadata(staged.join(name)).ok().filter(fs::Metadata::is_file).map(|found| found.len());
        if found.is_none() || bytes.is_some_and(|bytes| found != Some(bytes)) {
            return Err(changed(format!("{name:?} is not the file that was written")));
        }
    }
    let plain = names.plain().ok_or_else(|| changed("a file name in its manifest points outside it".to_owned()))?;
    match others(staged, &plain)? {
        None => Ok(()),
        Some(_) => Err(changed("it contains files that its manifest does not list".to_owned())),
    }
}

/// Removes a folder that may be replaced, file by file and the manifest last. If the process dies midway, the rest is
/// still recognized as a dataset. Files that others add meanwhile are kept.
///
/// # Errors
/// [`Error::Output`] when the folder may not be replaced or not be removed.
pub fn remove_dataset(folder: &Path) -> Result<()> {
    check_folder(folder, true)?;
    if kind_of(folder)?.is_none() {
        return Ok(());
    }
    let failed = |e: io::Error| Error::failed(folder, "cannot be removed", &e);
    let names = match named_files(folder) {
        Some(names) => names,
        None if is_empty(folder)? => BTreeSet::new(),
        // Without the manifest the other files cannot be identified.
        None => return Err(failed(io::Error::other("its manifest.json cannot be read"))),
    };
    for name in names.iter().map(String::as_str).chain([MANIFEST]) {
        crate::storage::remove(&folder.join(name)).map_err(failed)?;
    }
    fs::remove_dir(folder).map_err(failed)
}

/// Refuses a file that may not be replaced.
///
/// # Errors
/// [`Error::Output`] for anything that exists except, with `overwrite`, a thresholds file.
pub fn check_file(out: &Path, overwrite: bool) -> Result<()> {
    let Some(kind) = kind_of(out)? else { return Ok(()) };
    let help = "choose another name for the file";
    if kind.is_dir() {
        return refuse(out, "is a folder", help);
    }
    if !overwrite {
        return refuse(out, "already exists", "choose another name for the file, or pass --overwrite to replace it");
    }
    if !kind.is_file() {
        return refuse(out, "exists but is not a regular file, so --overwrite does not replace it", help);
    }
    if Thresholds::read(out).is_err() {
        return refuse(out, "exists but is not a lobset thresholds file, so --overwrite does not replace it", help);
    }
    Ok(())
}

fn refuse(out: &Path, message: &str, help: &str) -> Result<()> {
    Err(Error::Output { path: out.to_owned(), message: message.to_owned(), help: Some(help.to_owned()) })
}

/// The type of the file at a path, without following links; `None` when nothing is there.
pub fn kind_of(path: &Path) -> Result<Option<FileType>> {
    // With a trailing slash, a link would be followed.
    match fs::symlink_metadata(path.components().as_path()) {
        Ok(found) => Ok(Some(found.file_type())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::output(path, e)),
    }
}
