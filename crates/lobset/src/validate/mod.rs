//! Phase 3: reads back what was written, and proves it.

mod against;
mod certificate;
mod contents;
mod drawn;
mod every_row;
mod folder;
mod footer;
mod group;
mod leak;
mod movement;
mod one;
mod quotes;
mod raw;
mod walk;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use against::{AGAINST_ROWS, Against, Compare};
pub use certificate::{Certificate, CertifiedInput};
pub(crate) use folder::{check_card, check_thresholds};
use footer::FooterCheck;
use group::{Expect, GroupFacts, LabelColumns, check_group, parse_footer, read_footer, read_group};
use leak::LeakCheck;
pub(crate) use leak::compare;
pub(crate) use one::prove_dataset;
use walk::Walk;

use crate::config::{Columns, Config};
use crate::error::{Error, InputError, Result, ValidationError};
use crate::input::{file_sha256, hex};
use crate::label::Windows;
use crate::output::{CARD, DatasetEntry, DatasetSchema, MANIFEST, Manifest, SymbolEntry, THRESHOLDS, ValidationEntry};
use crate::printable::{grouped, printable};
use crate::run::{Monitor, Options, Stage, map_batched};
use crate::storage;

/// After this many violations a dataset is not searched for more.
const MOST_VIOLATIONS: usize = 20;

/// What [`validate`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The manifest of the folder.
    pub manifest: Manifest,
    /// What holds.
    pub proved: ValidationEntry,
    /// Rows whose `price_movement` was computed again from the mid prices in the files.
    pub recomputed: u64,
    /// The rows compared with the raw files, when asked for.
    pub against: Option<Against>,
    /// SHA-256 of the dataset card as it was found.
    pub card_sha256: String,
    /// Seconds it took.
    pub seconds: f64,
}

/// How much is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What a run proves of the files that it has just written: that they say what was computed.
    Written,
    /// Everything that the files allow: quotes and movements too.
    Whole,
}

/// Proves an output folder: manifest, names, hashes, schema, counts, order, quotes, movements, labels, splits, marks and that
/// nothing leaked. With `against`, also compares rows with the raw files, from which it computes their labels by the plain
/// definition.
///
/// # Errors
/// [`ValidationError`] with every violation found, damaged files of the folder among them; [`InputError`] when the folder
/// holds no manifest, or the raw files cannot be read.
pub fn validate<P: AsRef<Path>>(
    folder: &Path,
    against: Option<(&[P], Compare)>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Validation> {
    let started = std::time::Instant::now();
    let folder = &storage::plain(folder);
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let local = !storage::is_url(folder);
    // A pipe in its place would keep a reader waiting.
    let found = std::fs::symlink_metadata(folder.join(MANIFEST));
    if local && found.is_ok_and(|found| !found.is_file()) {
        return Err(failed(vec![format!("{MANIFEST}: is not a regular file")]));
    }
    let manifest = Manifest::read(folder)?;
    let contradictions = contents::contradictions(&manifest);
    if !contradictions.is_empty() {
        return Err(failed(contradictions));
    }
    let mut violations = if local { folder::check_names(folder, &manifest) } else { Vec::new() };
    violations.extend(folder::check_report(folder, &manifest).err());
    let Proof { recomputed, card_sha256 } = match prove(folder, &manifest, options.threads(), monitor, Extent::Whole) {
        Ok(proof) if violations.is_empty() => proof,
        Ok(_) => return Err(failed(violations)),
        Err(Error::Validation(found)) => {
            // A missing file is told once.
            let told = |line: &String| violations.iter().any(|v| v.split(": ").next() == line.split(": ").next());
            let more: Vec<String> = found.violations.into_iter().filter(|line| !told(line)).collect();
            violations.extend(more);
            return Err(failed(violations));
        }
        Err(other) => return Err(other),
    };
    let against = against
        .map(|(inputs, rows)| against::compare(folder, &manifest, inputs, rows, options, monitor))
        .transpose()?;
    let all = against.is_some_and(|against| against.all);
    let card_as_written = card_sha256 == manifest.card.sha256;
    let whole = Whole { recomputed, card_as_written, local, compared: against.is_some(), all };
    let proved = summary(&manifest, Some(whole));
    Ok(Validation { manifest, proved, recomputed, against, card_sha256, seconds: started.elapsed().as_secs_f64() })
}

/// What opening a file weighs against reading a row.
const FILE_WEIGHT: u64 = 512;

/// A dataset of one row group is read whole up to this size: its bytes are hashed, parsed and checked in one go.
const WHOLE: u64 = 64 << 20;

/// A dataset to check whole, its file to hash, or one of its row groups to check.
enum Task {
    Whole(usize),
    Hash(usize),
    Group(usize, usize),
}

enum Done {
    /// A dataset's hash, and its facts where it was read whole.
    Begun(usize, String, Option<Box<GroupFacts>>),
    Group(Box<GroupFacts>),
    /// What cannot be read of a dataset, and why.
    Failed(usize, String),
}

impl Task {
    /// The place of the dataset.
    fn dataset(&self) -> usize {
        match *self {
            Self::Whole(number) | Self::Hash(number) | Self::Group(number, _) => number,
        }
    }
}

/// What [`prove`] found beside violations.
pub(crate) struct Proof {
    /// Rows whose movement was computed again.
    recomputed: u64,
    /// SHA-256 of the dataset card.
    card_sha256: String,
}

/// Proves the datasets in `folder` against what `manifest` says of them.
///
/// # Errors
/// As [`validate`].
pub(crate) fn prove(
    folder: &Path,
    manifest: &Manifest,
    threads: usize,
    monitor: &Monitor<'_>,
    extent: Extent,
) -> Result<Proof> {
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let config = &manifest.config;
    let thresholds = check_thresholds(folder, manifest).map_err(|v| failed(vec![v]))?;
    let card_sha256 = check_card(folder, manifest).map_err(|v| failed(vec![v]))?;
    let mut violations = contents::check_origin(manifest, &thresholds);
    let schema = DatasetSchema::new(config, manifest.has_ts_out()).map_err(|e| failed(vec![e.to_string()]))?;
    let columns = LabelColumns::new(&schema, extent).map_err(|e| failed(vec![e.to_string()]))?;
    let footers = FooterCheck::new(&schema, (&manifest.version, config), &thresholds);
    let datasets: Vec<(&SymbolEntry, &DatasetEntry)> = manifest.datasets().collect();

    let mut tasks = Vec::new();
    let mut expects = Vec::new();
    let mut large = Vec::new();
    for (number, (symbol, entry)) in datasets.iter().enumerate() {
        match storage::stat(&folder.join(&entry.file)).map(|found| found.bytes) {
            Ok(bytes) if bytes == entry.bytes => (),
            Ok(bytes) => {
                violations.push(format!("{}: has {bytes} bytes, not {} as the manifest says", entry.file, entry.bytes))
            }
            Err(e) => violations.push(format!("{}: cannot be read: {e}", entry.file)),
        }
        match Expect::new(config, &columns, symbol, &thresholds, extent) {
            Some(expect) => expects.push(expect),
            None => violations.push(format!("{THRESHOLDS}: no boundaries for the symbol {:?}", symbol.symbol)),
        }
        if entry.row_groups == 1 && entry.bytes <= WHOLE {
            tasks.push(Task::Whole(number));
        } else {
            large.push(number);
        }
    }
    if !violations.is_empty() {
        return Err(failed(violations));
    }
    let look = |number: &usize| {
        let (symbol, entry) = datasets[*number];
        let path = folder.join(&entry.file);
        let checked = caught(&path, || {
            if extent == Extent::Whole {
                // Nothing is decoded of a file that is not what the manifest says.
                check_sha256(&file_sha256(&path)?, entry).map_err(|reason| InputError::new(&path, reason))?;
            }
            let footer = read_footer(&path)?;
            Ok(footers.check(&footer, entry.bytes, symbol, entry).map_err(|reason| InputError::new(&path, reason))?)
        });
        Ok((*number, checked))
    };
    map_batched(
        threads,
        &large,
        |_| FILE_WEIGHT,
        look,
        |(number, checked)| {
            match checked {
                Ok(groups) => {
                    tasks.push(Task::Hash(number));
                    tasks.extend((0..groups).map(|g| Task::Group(number, g)));
                }
                Err(e) => violations.push(format!("{}: {}", datasets[number].1.file, cause(&e))),
            }
            Ok(())
        },
    )?;
    if !violations.is_empty() {
        return Err(failed(violations));
    }
    tasks.sort_by_key(|task| task.dataset());

    // Footers are parsed once for all groups of a file, and only one file's is kept.
    let footer: Mutex<Option<(usize, Arc<ParquetMetaData>)>> = Mutex::new(None);
    let read = |task: &Task, path: &Path| {
        let number = task.dataset();
        let (symbol, entry) = datasets[number];
        match *task {
            Task::Whole(_) => {
                let bytes = storage::read_at_most(path, entry.bytes).map_err(|e| unreadable(path, e))?;
                let (sha256, bytes) = (hex(&Sha256::digest(&bytes)), Bytes::from(bytes));
                check_sha256(&sha256, entry).map_err(|reason| InputError::new(path, reason))?;
                let footer = parse_footer(path, &bytes)?;
                let checked = footers.check(&footer, entry.bytes, symbol, entry);
                checked.map_err(|reason| InputError::new(path, reason))?;
                let facts = check_group(path, bytes, &footer, 0, &expects[number])?;
                Ok(Done::Begun(number, sha256, Some(Box::new(facts))))
            }
            // Hashed when its footer was looked at.
            Task::Hash(_) if extent == Extent::Whole => Ok(Done::Begun(number, entry.sha256.clone(), None)),
            Task::Hash(_) => Ok(Done::Begun(number, file_sha256(path)?, None)),
            Task::Group(_, group) => {
                let held = || footer.lock().unwrap_or_else(PoisonError::into_inner);
                let cached =
                    held().as_ref().filter(|(cached, _)| *cached == number).map(|(_, footer)| Arc::clone(footer));
                let footer = match cached {
                    Some(footer) => footer,
                    None => {
                        let footer = Arc::new(read_footer(path)?);
                        *held() = Some((number, Arc::clone(&footer)));
                        footer
                    }
                };
                Ok(Done::Group(Box::new(read_group(path, &footer, group, &expects[number])?)))
            }
        }
    };
    let work = |task: &Task| {
        let path = folder.join(&datasets[task.dataset()].1.file);
        match caught(&path, || read(task, &path)) {
            Err(e @ Error::Input(_)) => Ok(Done::Failed(task.dataset(), cause(&e))),
            done => done,
        }
    };

    let mut leak = LeakCheck::new(manifest, &thresholds, threads);
    let mut progress: Option<(usize, Walk<'_>)> = None;
    let (mut recomputed, mut unreadable) = (0, None);
    let mut finish = |walk: Option<(usize, Walk<'_>)>, violations: &mut Vec<String>| {
        let Some((_, walk)) = walk else { return };
        let (rows, found) = walk.finish();
        recomputed += rows;
        violations.extend(found);
    };
    let mut take = |done: Done| {
        let facts = match done {
            Done::Begun(number, sha256, facts) => {
                finish(progress.take(), &mut violations);
                let (symbol, entry) = datasets[number];
                progress = Some((number, Walk::new(config, symbol, entry, extent)));
                leak.begin(&symbol.symbol)?;
                violations.extend(check_sha256(&sha256, entry).err().map(|reason| format!("{}: {reason}", entry.file)));
                facts
            }
            Done::Group(facts) => Some(facts),
            // Its other row groups may be unreadable too.
            Done::Failed(number, _) if unreadable == Some(number) => None,
            Done::Failed(number, reason) => {
                // Counts of a dataset that is read in part say nothing.
                finish(progress.take().filter(|(walked, _)| *walked != number), &mut violations);
                violations.push(format!("{}: {reason}", datasets[number].1.file));
                unreadable = Some(number);
                None
            }
        };
        if let Some(facts) = facts {
            leak.take(&facts.fit_movements)?;
            let read = facts.rows;
            if let Some((_, walk)) = &mut progress {
                walk.take(*facts);
            }
            monitor.advance(read)?;
        }
        Ok(())
    };
    let weight = |task: &Task| match *task {
        Task::Hash(_) => FILE_WEIGHT,
        Task::Whole(number) => FILE_WEIGHT + datasets[number].1.rows,
        Task::Group(number, _) => datasets[number].1.rows.div_ceil(datasets[number].1.row_groups),
    };
    let total = datasets.iter().map(|(_, e)| e.rows).sum();
    monitor.stage(Stage::Validate, total, || map_batched(threads, &tasks, weight, work, &mut take))?;
    finish(progress.take(), &mut violations);
    if unreadable.is_none() {
        violations.extend(leak.finish()?);
    }
    if violations.is_empty() { Ok(Proof { recomputed, card_sha256 }) } else { Err(failed(violations)) }
}

/// What [`validate`] knows beside the manifest.
struct Whole {
    recomputed: u64,
    card_as_written: bool,
    /// The folder is no object store.
    local: bool,
    /// The raw files were given.
    compared: bool,
    /// Every row was compared with the raw files.
    all: bool,
}

/// What a run has proved of the files that it has just written.
pub(crate) fn proved_after_writing(manifest: &Manifest) -> ValidationEntry {
    summary(manifest, None)
}

/// What holds once nothing was found: after a run, or where `whole` says how the rest went.
fn summary(manifest: &Manifest, whole: Option<Whole>) -> ValidationEntry {
    let config = &manifest.config;
    let (datasets, rows) =
        manifest.datasets().fold((0, 0), |(datasets, rows), (_, entry)| (datasets + 1, rows + entry.rows));
    let mut checks = vec![
        "schema, row counts and row groups are those of the manifest".to_owned(),
        "every dataset carries the version and settings of the manifest, its symbol and its thresholds".to_owned(),
        "row is strictly increasing".to_owned(),
        "classification_label is the number of boundaries not above price_movement".to_owned(),
        "split follows from row and the boundary time".to_owned(),
        "counts by class and split are those of the manifest".to_owned(),
        match &whole {
            Some(Whole { card_as_written: false, .. }) => format!("every file but {CARD} has the manifest's SHA-256"),
            _ => "every file has the manifest's SHA-256".to_owned(),
        },
    ];
    let mut not_checked = Vec::new();
    if config.columns == Columns::All {
        checks.push("ts_recv steps back no more often than the manifest says, and agrees with split".to_owned());
    } else {
        not_checked.push("the order of ts_recv: columns = \"book\" leaves it out".to_owned());
    }
    if config.force_uniform {
        checks.push("balanced marks are those of the definition".to_owned());
    }
    match (manifest.thresholds.fitted, config.drop_unbalanced) {
        (true, false) => checks.push(
            "nothing leaked: the exact quantiles of the fit rows are the boundaries, bit for bit; so are minimum, maximum and median"
                .to_owned(),
        ),
        (true, true) => not_checked
            .push("the boundaries: drop_unbalanced left most of the rows they were fitted on out of the files".to_owned()),
        (false, _) => {
            not_checked.push("the boundaries: they come from a thresholds file, fitted elsewhere".to_owned());
        }
    }
    match whole {
        Some(whole) => whole.tell(config, rows, &mut checks, &mut not_checked),
        None => not_checked
            .push("mid_price and price_movement, computed again from the quotes: lobset validate does that".to_owned()),
    }
    ValidationEntry { datasets, rows, checks, not_checked }
}

impl Whole {
    fn tell(&self, config: &Config, rows: u64, checks: &mut Vec<String>, not_checked: &mut Vec<String>) {
        checks.push("the manifest has the hash that it carries, and does not contradict itself".to_owned());
        if self.local {
            checks.push("the folder holds the files that the manifest names, and nothing else".to_owned());
        } else {
            not_checked
                .push("that nothing else lies in the folder: other runs may be at work in an object store".to_owned());
        }
        if !self.card_as_written {
            not_checked.push(format!("{CARD}: changed since the run, which is allowed"));
        }
        checks.push("symbol is that of the dataset, every quote is usable, and mid_price is its midpoint".to_owned());
        checks.push(format!(
            "price_movement follows from mid_price, bit for bit, in {} of {} rows",
            grouped(self.recomputed),
            grouped(rows)
        ));
        if !self.compared {
            not_checked.push("the inputs: --against INPUT compares their sizes and hashes".to_owned());
        }
        if self.all {
            return;
        }
        let left = rows - self.recomputed.min(rows);
        if !movement::fits_memory(Windows::new(config)) {
            not_checked.push(format!(
                "price_movement: its windows are longer than {} rows; --against INPUT computes it from the raw files",
                grouped(movement::MOST_ROWS)
            ));
        } else if left > 0 {
            not_checked.push(format!(
                "price_movement of {} rows whose windows extend beyond the files: use --against INPUT --all",
                grouped(left)
            ));
        }
        not_checked
            .push("the event, and the book behind its best prices: --against INPUT --all compares them".to_owned());
    }
}

fn check_sha256(found: &str, entry: &DatasetEntry) -> Result<(), String> {
    if found == entry.sha256 {
        return Ok(());
    }
    Err(format!("its SHA-256 is {found}, not {} as the manifest says", entry.sha256))
}

/// Runs what decodes a file. The Parquet reader may panic at what nobody wrote on purpose: that is a damaged file too.
fn caught<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(unreadable(path, "the Parquet reader panicked, as it does at some damaged files")))
}

/// A dataset that cannot be opened or decoded.
fn unreadable(path: &Path, cause: impl std::fmt::Display) -> Error {
    InputError::new(path, format!("cannot be read back: {cause}")).into()
}

/// What went wrong with a file, for a line that begins with its name.
fn cause(error: &Error) -> String {
    match error {
        Error::Input(e) => printable(&e.message).into_owned(),
        other => other.to_string(),
    }
}
