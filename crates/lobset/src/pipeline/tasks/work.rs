//! The work folder of a run as tasks, and the publication of its result.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Cause, Error, Result};
use crate::output::{
    DATASETS, DatasetEntry, LARGEST_MANIFEST, MANIFEST, MARKER, MOMENTS_ENDING, MOVEMENTS, Manifest, RECEIPTS,
    SEGMENTS, TAPES, Workspace, is_manifest,
};
use crate::pipeline::close::WorkFolder;
use crate::printable::Shown;
use crate::storage::{self, Stat, platform::Platform, unique};

/// Marks a work folder that the user has named as owned by lobset, from before the first work file to after the last.
const OWNED: &str = "lobset-work.txt";
const OWNED_TEXT: &str = "This folder contains work files of lobset. They are removed when the run ends.\n";
/// The work folder and the output of a run.
pub struct Work {
    /// Work files.
    pub folder: PathBuf,
    /// Finished datasets.
    pub data: PathBuf,
    /// The output folder.
    out: PathBuf,
    /// Part of the names of the files that this run publishes.
    name: String,
    /// True if the user has named the folder.
    named: bool,
    /// True if earlier runs have left finished tasks behind.
    inherits: bool,
    place: Place,
}

enum Place {
    /// A folder on a file system, which is staged next to OUT and appears at once.
    Folder(Workspace),
    /// An object store: files appear one by one; the manifest, which alone defines which of them count, appears in one
    /// request. Contains the state of the manifest there when the run began.
    Store(Option<Stat>),
}

/// Contents of the marker.
#[derive(PartialEq, Serialize, Deserialize)]
struct Marker {
    version: String,
    /// The machine's current boot, for work files on a file system: they are not forced to disk, so they are valid only
    /// until a restart.
    boot: Option<String>,
}

/// The manifest in an output folder, and its state. The manifest itself is `None` if lobset wrote it but it is damaged,
/// or of another version.
///
/// # Errors
/// When lobset did not write it, or it cannot be read.
pub fn published(out: &Path) -> Result<Option<(Option<Manifest>, Stat)>> {
    let path = out.join(MANIFEST);
    match storage::stat(&path) {
        Ok(stat) => match Manifest::read(out) {
            Ok(manifest) => Ok(Some((Some(manifest), stat))),
            Err(Error::Validation(_))
                if storage::read_at_most(&path, LARGEST_MANIFEST).is_ok_and(|t| is_manifest(&t)) =>
            {
                Ok(Some((None, stat)))
            }
            Err(e) => Err(e),
        },
        Err(e) if [std::io::ErrorKind::NotFound, std::io::ErrorKind::NotADirectory].contains(&e.kind()) => Ok(None),
        Err(e) => Err(Error::output(out, e)),
    }
}

/// The files that a manifest names besides the datasets.
fn small_files(manifest: &Manifest) -> [&str; 3] {
    [&manifest.thresholds.file, &manifest.card.file, &manifest.report.file]
}

/// True if every file that a manifest names exists, and every dataset has its full size.
pub fn is_whole(out: &Path, manifest: &Manifest) -> bool {
    let bytes = |file: &str| storage::stat(&out.join(file)).ok().map(|stat| stat.bytes);
    let is_there = |entry: &DatasetEntry| {
        bytes(&entry.file) == Some(entry.bytes) && bytes(&entry.moments.file) == Some(entry.moments.bytes)
    };
    manifest.datasets().all(|(_, entry)| is_there(entry))
        && small_files(manifest).iter().all(|file| bytes(file).is_some())
}

impl Work {
    /// Opens the work folder `folder`, or by default the one next to `out`, and removes work files that cannot be
    /// reused.
    ///
    /// # Errors
    /// [`Error::Output`] when `out` exists and may not be replaced, or cannot be written.
    pub fn open(out: &Path, folder: Option<&Path>, overwrite: bool, seen: Option<Stat>) -> Result<Self> {
        let name = unique();
        let mut work = if storage::is_url(out) {
            if seen.is_some() && !overwrite {
                return Err(Error::Output {
                    path: out.to_owned(),
                    message: "already exists".to_owned(),
                    help: Some("choose another name, or pass --overwrite to replace it".to_owned()),
                });
            }
            let beside = || PathBuf::from(format!("{}.lobset-work", out.display()));
            let named = folder.is_some();
            let folder = folder.map_or_else(beside, Path::to_owned);
            Self {
                folder,
                data: out.to_owned(),
                out: out.to_owned(),
                name,
                named,
                inherits: false,
                place: Place::Store(seen),
            }
        } else {
            // Tasks run in processes with their own working folders, so they need absolute paths.
            let whole = std::path::absolute(out).map_err(|e| Error::output(out, e))?;
            let workspace = Workspace::open(&whole, overwrite)?;
            let beside = workspace.folder().to_owned();
            let data = beside.join(DATASETS);
            let named = folder.is_some();
            let folder = folder.map_or(Ok(beside), |folder| {
                if storage::is_url(folder) { Ok(folder.to_owned()) } else { std::path::absolute(folder) }
            });
            let folder = folder.map_err(|e| Error::output(out, e))?;
            Self { folder, data, out: whole, name, named, inherits: false, place: Place::Folder(workspace) }
        };
        work.own()?;
        work.prepare().map_err(|e| Error::output(&work.folder, e))?;
        work.inherits = finished_tasks(&work.folder) > 0;
        Ok(work)
    }

    /// Marks a folder that the user has named as owned by lobset, if it is empty.
    ///
    /// # Errors
    /// [`Error::Output`] when it contains other files, which must not be removed with the work files.
    fn own(&self) -> Result<()> {
        if !self.named {
            return Ok(());
        }
        let fail = |e| Error::output(&self.folder, e);
        let mark = self.folder.join(OWNED);
        if storage::read(&mark).is_ok_and(|text| text == OWNED_TEXT.as_bytes()) {
            return Ok(());
        }
        let first = match storage::is_url(&self.folder) {
            true => storage::list(&self.folder).map_err(fail)?.into_iter().next().map(|(path, _)| path),
            false => {
                std::fs::create_dir_all(&self.folder).map_err(fail)?;
                std::fs::read_dir(&self.folder).map_err(fail)?.next().transpose().map_err(fail)?.map(|e| e.path())
            }
        };
        match first {
            None => storage::put_new(&mark, OWNED_TEXT.as_bytes()).map(drop).map_err(fail),
            Some(first) => Err(Error::Output {
                path: self.folder.clone(),
                message: format!(
                    "contains {:?}, which is not a work file of lobset",
                    first.file_name().unwrap_or_default()
                ),
                help: Some("choose an empty folder for --work, or one that does not exist".to_owned()),
            }),
        }
    }

    fn prepare(&self) -> std::io::Result<()> {
        let path = self.folder.join(MARKER);
        let (lasts, boot) = match storage::is_url(&self.folder) {
            true => (true, None),
            false => (Platform::here().boot().is_some(), Platform::here().boot()),
        };
        let marker = serde_json::to_vec(&Marker { version: crate::VERSION.to_owned(), boot })?;
        let before = match storage::read(&path) {
            Ok(text) => Some(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        if !lasts || before.as_ref() != Some(&marker) {
            self.clear()?;
        }
        let folders = [RECEIPTS, TAPES, MOVEMENTS, SEGMENTS].map(|folder| self.folder.join(folder));
        for folder in folders.iter().chain([&self.data]) {
            if !storage::is_url(folder) {
                std::fs::create_dir_all(folder)?;
            }
        }
        storage::put_new(&path, &marker).map(drop)
    }

    /// Removes all work files. The marker is removed first, so that tasks still running detect that the run has ended.
    fn clear(&self) -> std::io::Result<()> {
        storage::remove(&self.folder.join(MARKER))?;
        for folder in [RECEIPTS, TAPES, MOVEMENTS, SEGMENTS] {
            storage::remove_all(&self.folder.join(folder))?;
        }
        match &self.place {
            Place::Folder(_) => storage::remove_all(&self.data),
            Place::Store(_) => Ok(()),
        }
    }

    /// Where the small files of the result go until they are published.
    pub fn staged(&self) -> PathBuf {
        match &self.place {
            Place::Folder(workspace) => workspace.staged(),
            Place::Store(_) => self.out.clone(),
        }
    }

    /// The name of a result file in the output folder; in a store, one that no other run uses.
    pub fn published_name(&self, file: &str) -> String {
        match (&self.place, file.rsplit_once('.')) {
            (Place::Store(_), Some((stem, extension))) => format!("{stem}.{}.{extension}", self.name),
            _ => file.to_owned(),
        }
    }

    /// The name of a finished dataset in the output folder.
    pub fn dataset_name(&self, dataset: &Path, file: String) -> String {
        match &self.place {
            Place::Folder(_) => file,
            Place::Store(_) => dataset.file_name().map_or(file, |name| name.to_string_lossy().into_owned()),
        }
    }

    /// Writes a small file of the result.
    pub fn put(&self, name: &str, text: &str) -> Result<()> {
        let path = self.staged().join(name);
        if let Place::Folder(workspace) = &self.place {
            let staged = workspace.staged();
            std::fs::create_dir_all(&staged).map_err(|e| Error::output(&staged, e))?;
        }
        match storage::put_new(&path, text.as_bytes()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::output(&path, "already exists")),
            Err(e) => Err(Error::output(&path, e)),
        }
    }

    /// Publishes the result. `datasets` are the finished datasets with their names in the output folder. Unless `keep`
    /// is set, the work files may be removed. Returns a note for the user if something went wrong after publication.
    ///
    /// # Errors
    /// [`Error::Output`] when a step fails, or another run has published meanwhile.
    pub fn publish(&self, datasets: &[(PathBuf, String)], manifest: &Manifest, keep: bool) -> Result<Option<String>> {
        match &self.place {
            Place::Folder(workspace) => {
                // Checked before the datasets are moved: they are still needed if publication fails.
                workspace.check_place()?;
                for (dataset, name) in datasets {
                    let to = workspace.staged().join(name);
                    std::fs::rename(dataset, &to).map_err(|e| Error::output(dataset, e))?;
                }
                self.put(MANIFEST, &manifest.to_json())?;
                if !keep {
                    // Removed before the result is synced, so that data not yet on disk need not be written.
                    self.clear().map_err(|e| Error::output(&self.folder, e))?;
                }
                workspace.publish()
            }
            Place::Store(seen) => {
                let path = self.out.join(MANIFEST);
                let put = storage::put_over(&path, manifest.to_json().as_bytes(), seen.as_ref());
                if !put.map_err(|e| Error::output(&path, e))? {
                    return Err(Error::Output {
                        path,
                        message: "another run has published here in the meantime".to_owned(),
                        help: Some("write to a folder from only one run at a time".to_owned()),
                    });
                }
                let swept = self.sweep(manifest);
                Ok(swept.err().map(|e| {
                    format!("{} is complete, but older files in it cannot be removed: {}", Shown(&self.out), e.text())
                }))
            }
        }
    }

    /// Removes files of a store that have names given by lobset and that the manifest does not name: those that it
    /// replaced, and those that killed attempts left.
    fn sweep(&self, manifest: &Manifest) -> std::io::Result<()> {
        let mut named: Vec<&str> = manifest.datasets().flat_map(|(_, entry)| entry.files()).collect();
        named.extend(small_files(manifest));
        named.sort_unstable();
        for (path, _) in storage::list(&self.out)? {
            let inside = path.strip_prefix(&self.out).unwrap_or(&path).to_string_lossy();
            if is_ours(&inside) && named.binary_search(&&*inside).is_err() {
                storage::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes all work files, and lobset's mark from a folder that the user has named.
    fn give_back(&self) -> std::io::Result<()> {
        self.clear()?;
        if self.named { storage::remove(&self.folder.join(OWNED)) } else { Ok(()) }
    }
}

impl WorkFolder for Work {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn finished(&self) -> Option<String> {
        match finished_tasks(&self.folder) {
            0 => None,
            1 => Some("one finished task is".to_owned()),
            tasks => Some(format!("{tasks} finished tasks are")),
        }
    }

    fn inherits(&self) -> bool {
        self.inherits
    }

    fn keep_all(self) -> Result<()> {
        match self.place {
            Place::Folder(workspace) => workspace.clear_staged(),
            Place::Store(_) => Ok(()),
        }
    }

    fn keep_finished(self) -> Result<()> {
        // Attempts that did not finish have removed their own files.
        self.keep_all()
    }

    fn remove(self) -> Result<()> {
        let cleared = self.give_back().map_err(|e| Error::output(&self.folder, e));
        let removed = match self.place {
            Place::Folder(workspace) => workspace.remove(),
            Place::Store(_) => Ok(()),
        };
        cleared.and(removed)
    }
}

/// Number of receipts in a work folder.
fn finished_tasks(folder: &Path) -> usize {
    storage::list(&folder.join(RECEIPTS)).map_or(0, |found| found.len())
}

/// True for the names that [`Work::published_name`] and attempts give: a stem, sixteen hexadecimal digits, an
/// extension.
fn is_ours(file: &str) -> bool {
    let Some((stem, "parquet" | "json" | "md" | "html")) = file.rsplit_once('.') else { return false };
    let known = |stem: &str| {
        stem.ends_with("_dataset")
            || stem.ends_with(MOMENTS_ENDING)
            || ["thresholds", "README", "report"].contains(&stem)
    };
    stem.rsplit_once('.')
        .is_some_and(|(stem, name)| known(stem) && name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_are_swept() {
        assert!(is_ours(&format!("ES_ESM5_dataset.{}.parquet", unique())));
        assert!(is_ours(&format!("ES_ESM5_moments.{}.parquet", unique())));
        assert!(is_ours("thresholds.0123456789abcdef.json") && is_ours("report.0123456789abcdef.html"));
        assert!(is_ours("README.0123456789abcdef.md") && !is_ours("README.md"));
        assert!(!is_ours("manifest.json") && !is_ours("ES_ESM5_dataset.parquet") && !is_ours("notes.txt"));
        assert!(!is_ours("model.0123456789abcdef.json") && !is_ours("thresholds.final.json"));
    }
}
