//! Finds the data files that the user named (files, folders, globs), and reads Databento's support files next to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::batch::{JobManifest, MANIFEST, SUPPORT_FILES, Support, check_size};
use super::delivery::Delivery;
use super::symbology::SymbologyFile;
use crate::error::{Error, InputError, Result};
use crate::printable::Shown;
use crate::storage::{self, Entry, Searched, Stat};
use crate::time_text::Timestamp;

/// What the support files next to a data file say about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The SHA-256 of the file in `manifest.json`.
    pub sha256: Option<String>,
    /// The mappings to use if the file has none.
    pub symbology: Option<SymbologyFile>,
}

/// A data file that was found.
#[derive(Debug, Clone)]
pub struct FoundFile {
    /// Path or URL of the file.
    pub path: PathBuf,
    /// Size and identity of the file.
    pub stat: Stat,
    /// What the support files next to the file say about it.
    pub beside: Beside,
}

/// The result of [`find`].
#[derive(Debug, Default)]
pub struct Found {
    /// All data files, sorted by path.
    pub files: Vec<FoundFile>,
    folders: Vec<Folder>,
    delivery: Delivery,
    /// The real paths of the local data files and of the local folders that were searched.
    real: Real,
}

/// Real paths, with all links resolved.
#[derive(Debug, Default)]
pub struct Real {
    /// Paths of files.
    pub files: Vec<PathBuf>,
    /// Paths of folders.
    pub folders: Vec<PathBuf>,
}

/// A folder with data files.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The whole folder was searched, and checked for missing files against its `manifest.json`.
    whole: bool,
    support: Support,
}

impl Found {
    /// Describes the input for the manifest. `times` contains the time span of each file.
    pub fn delivery<'a>(&self, times: impl Iterator<Item = (&'a Path, Option<[Timestamp; 2]>)>) -> Delivery {
        let mut spans: BTreeMap<&Path, [String; 2]> = BTreeMap::new();
        for (path, span) in times {
            let (Some(folder), Some(span)) = (path.parent(), span) else { continue };
            let [first, last] = span.map(|time| time.to_string()[..10].to_owned());
            spans
                .entry(folder)
                .and_modify(|[start, end]| {
                    // Dates in this form sort as text.
                    *start = first.clone().min(std::mem::take(start));
                    *end = last.clone().max(std::mem::take(end));
                })
                .or_insert([first, last]);
        }
        let mut delivery = self.delivery.clone();
        for folder in &self.folders {
            let span = spans.get(folder.path.as_path());
            let covered =
                |date: &String| folder.whole || span.is_some_and(|[first, last]| first <= date && date <= last);
            delivery.days.extend(folder.support.conditions.iter().filter(|day| covered(&day.date)).cloned());
        }
        delivery.days.sort_by(|a, b| (&a.date, &a.condition).cmp(&(&b.date, &b.condition)));
        delivery.days.dedup();
        delivery
    }

    /// The real paths of the local data files and of the local folders that were searched.
    pub fn real(&self) -> &Real {
        &self.real
    }

    /// Makes all paths absolute: tasks run in processes with other working directories.
    pub(crate) fn absolute(mut self) -> Self {
        for file in &mut self.files {
            file.path = whole(&file.path);
            let symbology = file.beside.symbology.take();
            file.beside.symbology = symbology.map(|file| {
                let path = whole(file.path());
                file.at(path)
            });
        }
        for folder in &mut self.folders {
            folder.path = whole(&folder.path);
        }
        self
    }

    /// All facts about the input that a run depends on, from which the name of the run is derived.
    pub(crate) fn facts(&self) -> impl serde::Serialize + '_ {
        let files: Vec<_> =
            self.files.iter().map(|f| (&f.path, f.stat.bytes, &f.stat.version, &f.beside.sha256)).collect();
        let symbologies: Vec<_> =
            self.files.iter().map(|f| f.beside.symbology.as_ref().map(SymbologyFile::sha256)).collect();
        let folders: Vec<_> = self.folders.iter().map(|f| (&f.path, &f.support)).collect();
        (files, symbologies, folders, &self.delivery)
    }
}

/// Finds every data file that `inputs` name, without opening any, and checks it against the `manifest.json` next to it,
/// if that is Databento's: the size immediately, the hash when the file is read.
///
/// A folder, or the URL of one, stands for the `.dbn` and `.dbn.zst` files in it and below; a path that does not exist
/// but contains `*`, `?` or `[` is a glob. Links to files and folders are followed, and a folder reachable by several
/// paths is searched once. Hidden files are skipped and counted, unless named explicitly. The mappings of `symbology`
/// replace the `symbology.json` of each folder.
///
/// # Errors
/// [`InputError`] with everything that is refused: a path that matches nothing, a file named twice, an entry or a
/// folder that cannot be read, a broken link, a named pipe or device in place of a data file, a `.dbz` file in a
/// folder, a file that is missing or differs in size from its entry in `manifest.json`, a damaged support file.
pub fn find<P: AsRef<Path>>(inputs: &[P], symbology: Option<&Path>) -> Result<Found> {
    let symbology = symbology.map(|path| SymbologyFile::open(&storage::plain(path))).transpose()?;
    let mut search = Search::default();
    for input in inputs {
        search.expand(&storage::plain(input.as_ref()));
    }
    let Search { files, job_folders, wanted, delivery, folders, mut refused } = search;
    let is_local = |path: &&PathBuf| !storage::is_url(path);
    let real = Real { files: files.keys().filter(is_local).cloned().collect(), folders: folders.into_iter().collect() };
    let mut found = Found { delivery, real, ..Found::default() };
    let mut by_folder: BTreeMap<PathBuf, Vec<(PathBuf, Stat)>> =
        job_folders.into_iter().map(|folder| (folder, Vec::new())).collect();
    for (path, stat) in files.into_values() {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        by_folder.entry(folder).or_default().push((path, stat));
    }
    for (path, files) in by_folder {
        let support = match Support::read(&path) {
            Ok(support) => support,
            Err(Error::Input(error)) => {
                refused.push(error);
                continue;
            }
            Err(other) => return Err(other),
        };
        let whole = support.job.is_some() && wanted.iter().any(|wanted| wanted.is_walk_over(&path));
        if let Some(job) = &support.job {
            refused.extend(compare(&path, job, &files, &wanted));
            found.delivery.jobs.push(job.job_id.clone());
        }
        for (path, stat) in files {
            let name = storage::file_name(&path);
            let listed = support.job.as_ref().and_then(|job| job.files.get(&name));
            match listed {
                Some(_) => found.delivery.checked += 1,
                None => found.delivery.unchecked += 1,
            }
            if support.job.is_some() && listed.is_none() {
                found.delivery.unlisted.push(name);
            }
            let beside = Beside {
                sha256: listed.map(|listed| listed.sha256.clone()),
                symbology: symbology.clone().or_else(|| support.symbology.clone()),
            };
            found.files.push(FoundFile { path, stat, beside });
        }
        found.folders.push(Folder { path, whole, support });
    }
    InputError::check(refused)?;
    if found.files.is_empty() {
        let folder = found.folders.iter().find_map(|folder| Some((&folder.path, folder.support.job.as_ref()?)));
        return Err(match folder {
            Some((path, job)) => {
                InputError::new(path, format!("the batch job {} has no .dbn or .dbn.zst file", job.job_id))
                    .with_help("download it again with encoding=\"dbn\"")
            }
            None => {
                let input = inputs.first().map_or(Path::new(""), AsRef::as_ref);
                InputError::new(input, "contains no .dbn or .dbn.zst file").with_help(HELP)
            }
        }
        .into());
    }
    found.delivery.jobs.sort();
    found.delivery.jobs.dedup();
    found.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

const HELP: &str = "pass .dbn or .dbn.zst files, folders that contain them, or a quoted glob such as 'data/*.dbn.zst'";

/// An input that stands for several files.
enum Wanted {
    /// Everything in a folder and below.
    Walk(PathBuf),
    /// Every file that matches.
    Glob(Pattern),
}

impl Wanted {
    fn is_walk_over(&self, path: &Path) -> bool {
        matches!(self, Self::Walk(folder) if path.starts_with(folder))
    }

    /// True for a file that the input would include if the file existed.
    fn holds(&self, path: &Path) -> bool {
        match self {
            Self::Walk(_) => self.is_walk_over(path),
            Self::Glob(pattern) => {
                let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
                pattern.matches_path_with(&normal(path), options)
            }
        }
    }
}

#[derive(Default)]
struct Search {
    /// Data files by their real path, so that no file counts twice.
    files: BTreeMap<PathBuf, (PathBuf, Stat)>,
    /// Folders with a `manifest.json`, possibly without data.
    job_folders: BTreeSet<PathBuf>,
    wanted: Vec<Wanted>,
    delivery: Delivery,
    /// The real paths of the local folders that were searched.
    folders: BTreeSet<PathBuf>,
    /// Everything that cannot be used. The search continues, so that all errors are reported at once.
    refused: Vec<InputError>,
}

impl Search {
    fn expand(&mut self, input: &Path) {
        if storage::is_url(input) && is_data(input) {
            return self.add_named(input);
        }
        if storage::is_url(input) || input.is_dir() {
            let before = (self.files.len(), self.job_folders.len(), self.refused.len());
            self.walk(input, false);
            if before == (self.files.len(), self.job_folders.len(), self.refused.len()) {
                let message = match self.delivery.hidden {
                    0 => "this folder and its subfolders contain no .dbn or .dbn.zst file".to_owned(),
                    n => format!("this folder and its subfolders contain no .dbn or .dbn.zst file, except {n} hidden"),
                };
                self.refused.push(InputError::new(input, message).with_help(HELP));
            }
            return;
        }
        let text = input.to_string_lossy();
        if input.exists() || !text.contains(['*', '?', '[']) {
            return self.add_named(input);
        }
        if let Err(error) = self.expand_glob(input, &text) {
            self.refused.push(error);
        }
    }

    fn expand_glob(&mut self, input: &Path, text: &str) -> Result<(), InputError> {
        let bad = |e: &dyn std::fmt::Display| InputError::new(input, format!("is not a valid glob: {e}"));
        // Parts of the pattern that start with a dot ask for hidden files.
        let asked: Vec<Pattern> =
            text.split('/').filter(|name| is_hidden_name(name)).filter_map(|name| Pattern::new(name).ok()).collect();
        let mut matched = 0;
        for entry in glob::glob(text).map_err(|e| bad(&e))? {
            matched += 1;
            let path = match entry {
                Ok(path) => path,
                Err(e) => {
                    self.refused.push(InputError::unreadable(e.path(), e.error()));
                    continue;
                }
            };
            let hidden = is_hidden_but(&path, &asked);
            if path.is_dir() {
                self.walk(&path, hidden);
            } else if hidden {
                self.delivery.keep_hidden(storage::file_name(&path));
            } else if !SUPPORT_FILES.contains(&storage::file_name(&path).as_str()) {
                // Support files are read if there are data files next to them.
                self.add_named(&path);
            }
        }
        if matched == 0 {
            return Err(InputError::new(input, "matches no file").with_help(HELP));
        }
        self.wanted.push(Wanted::Glob(Pattern::new(&normal(input).to_string_lossy()).map_err(|e| bad(&e))?));
        Ok(())
    }

    /// Adds the data files below `folder`, or none if the folder itself is `hidden`.
    fn walk(&mut self, folder: &Path, hidden: bool) {
        let Searched { entries, folders } = match storage::search(folder) {
            Ok(found) => found,
            Err(e) => return self.refused.push(InputError::unread(folder, e)),
        };
        for (path, entry) in entries {
            let hidden = hidden || is_hidden(path.strip_prefix(folder).unwrap_or(&path));
            let name = storage::file_name(&path);
            if hidden && (is_data(&path) || is_dbz(&path)) {
                self.delivery.keep_hidden(name);
                continue;
            } else if hidden {
                // Hidden folders belong to other programs and may contain anything.
                continue;
            }
            match entry {
                Entry::File(stat) if is_data(&path) => self.add(path, stat),
                Entry::File(_) if is_dbz(&path) => {
                    let dbz = super::source::dbz(&path);
                    let rest = Pattern::escape(&folder.to_string_lossy());
                    let help = format!(
                        "{}; or leave it out: '{}/**/*.dbn*'",
                        dbz.help.clone().unwrap_or_default(),
                        rest.trim_end_matches('/')
                    );
                    self.refused.push(dbz.with_help(help));
                }
                Entry::File(_) => {
                    if name == MANIFEST
                        && let Some(parent) = path.parent()
                    {
                        self.job_folders.insert(parent.to_owned());
                    }
                }
                Entry::Special(e) if is_data(&path) => self.refused.push(InputError::unread(&path, e)),
                Entry::Special(_) => {}
                Entry::Unreadable(e) => {
                    let help = "make it readable, remove it, or list the files to read one by one";
                    self.refused.push(InputError::unread(&path, e).with_help(help));
                }
            }
        }
        if !hidden {
            self.folders.extend(folders);
            self.wanted.push(Wanted::Walk(folder.to_owned()));
        }
    }

    fn add_named(&mut self, path: &Path) {
        match storage::stat(path) {
            Ok(stat) => self.add(path.to_owned(), stat),
            Err(e) => self.refused.push(InputError::unread(path, e)),
        }
    }

    fn add(&mut self, path: PathBuf, stat: Stat) {
        let real = if storage::is_url(&path) { Ok(path.clone()) } else { fs::canonicalize(&path) };
        match real.map(|real| self.files.insert(real, (path.clone(), stat))) {
            Ok(None) => {}
            Ok(Some((other, _))) => {
                let message = format!("is given twice, also as {}", Shown(&other));
                self.refused.push(InputError::new(&path, message));
            }
            Err(e) => self.refused.push(InputError::unread(&path, e)),
        }
    }
}

/// Lists the differences from a `manifest.json`: missing files and different sizes.
fn compare(folder: &Path, job: &JobManifest, files: &[(PathBuf, Stat)], wanted: &[Wanted]) -> Vec<InputError> {
    let sizes: BTreeMap<String, &Stat> = files.iter().map(|(path, stat)| (storage::file_name(path), stat)).collect();
    let mut problems: Vec<InputError> = Vec::new();
    for (name, listed) in &job.files {
        let path = folder.join(name);
        let size = match sizes.get(name) {
            Some(stat) => Ok(stat.bytes),
            // Files that no input includes may be missing or have any size.
            None if !wanted.iter().any(|wanted| wanted.holds(&path)) => continue,
            None => storage::stat(&path).map(|stat| stat.bytes),
        };
        match size {
            Ok(size) => problems.extend(check_size(&path, size, listed).err()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let help = "download it again, or list the files to read one by one";
                problems.push(InputError::new(&path, "is listed in manifest.json but is missing").with_help(help));
            }
            Err(e) => problems.push(InputError::unread(&path, e)),
        }
    }
    problems
}

/// Makes the path of a local file absolute; leaves URLs unchanged.
fn whole(path: &Path) -> PathBuf {
    if storage::is_url(path) {
        return path.to_owned();
    }
    // The parent of a bare file name is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn is_hidden_name(name: &str) -> bool {
    name.starts_with('.') && name != "." && name != ".."
}

/// True if a file, or a folder on the way to it, is hidden: macOS leaves files such as `._x.dbn.zst` on the disks of
/// other systems.
fn is_hidden(path: &Path) -> bool {
    is_hidden_but(path, &[])
}

fn is_hidden_but(path: &Path, asked: &[Pattern]) -> bool {
    path.components().any(|part| match part {
        Component::Normal(name) => {
            let name = name.to_string_lossy();
            is_hidden_name(&name) && !asked.iter().any(|pattern| pattern.matches(&name))
        }
        _ => false,
    })
}

/// A path without its `.` parts: `./data/x` and `data/x` are the same.
fn normal(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn is_data(path: &Path) -> bool {
    let name = storage::file_name(path).to_ascii_lowercase();
    name.ends_with(".dbn") || name.ends_with(".dbn.zst")
}

fn is_dbz(path: &Path) -> bool {
    storage::file_name(path).to_ascii_lowercase().ends_with(".dbz")
}
