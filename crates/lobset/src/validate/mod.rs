//! Phase 3: reads back what was written, and proves it.

mod against;
mod group;
mod leak;
mod one;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::arrow::{ARROW_SCHEMA_META_KEY, parquet_to_arrow_schema};
use parquet::file::metadata::ParquetMetaData;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use against::{AGAINST_ROWS, Against};
use group::{DatasetFile, Expect, GroupFacts, LabelColumns, check_group, read_footer};
use leak::LeakCheck;
pub(crate) use leak::compare;
pub(crate) use one::prove_dataset;

use crate::config::{Columns, Config};
use crate::error::{Error, InputError, Result, ValidationError};
use crate::input::hex;
use crate::label::{Quota, Split, Thresholds};
use crate::output::{DatasetEntry, DatasetSchema, Manifest, SYMBOL_KEY, SplitEntry, SymbolEntry, ValidationEntry};
use crate::pipeline::{CARD, Monitor, Options, Stage, THRESHOLDS, file_sha256, map_batched};
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
    /// The rows compared with the raw files, when asked for.
    pub against: Option<Against>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Proves an output folder: schema, counts, order, labels, splits, marks, hashes and that nothing leaked. With `against`,
/// also compares [`AGAINST_ROWS`] random rows with the raw files, from which it computes their labels by the plain definition.
///
/// # Errors
/// [`ValidationError`] with every violation found; [`InputError`] when the folder or the raw files cannot be read.
pub fn validate<P: AsRef<Path>>(
    folder: &Path,
    against: Option<(&[P], u64)>,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Validation> {
    let started = std::time::Instant::now();
    let folder = &storage::plain(folder);
    let manifest = Manifest::read(folder)?;
    let proved = prove(folder, &manifest, options.threads(), monitor)?;
    let against =
        against.map(|(inputs, seed)| against::compare(folder, &manifest, inputs, seed, monitor)).transpose()?;
    Ok(Validation { manifest, proved, against, seconds: started.elapsed().as_secs_f64() })
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
    Whole(usize, Result<(String, Box<GroupFacts>), String>),
    Hash(usize, String),
    Group(Box<GroupFacts>),
}

impl Task {
    /// The place of the dataset.
    fn dataset(&self) -> usize {
        match *self {
            Self::Whole(number) | Self::Hash(number) | Self::Group(number, _) => number,
        }
    }
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
) -> Result<ValidationEntry> {
    let failed = |violations| Error::from(ValidationError { path: folder.to_owned(), violations });
    let config = &manifest.config;
    let thresholds = check_thresholds(folder, manifest).map_err(|v| failed(vec![v]))?;
    check_card(folder, manifest).map_err(|v| failed(vec![v]))?;
    let schema = DatasetSchema::new(config).map_err(|e| failed(vec![e.to_string()]))?;
    let columns = LabelColumns::new(&schema).map_err(|e| failed(vec![e.to_string()]))?;
    let datasets: Vec<(&SymbolEntry, &DatasetEntry)> = manifest.datasets().collect();

    let mut tasks = Vec::new();
    let mut expects = Vec::new();
    let mut large = Vec::new();
    let mut violations = Vec::new();
    for (number, (symbol, entry)) in datasets.iter().enumerate() {
        match storage::stat(&folder.join(&entry.file)).map(|found| found.bytes) {
            Ok(bytes) if bytes == entry.bytes => (),
            Ok(bytes) => {
                violations.push(format!("{}: has {bytes} bytes, not {} as the manifest says", entry.file, entry.bytes))
            }
            Err(e) => violations.push(format!("{}: cannot be read: {e}", entry.file)),
        }
        match Expect::new(config, &columns, symbol, &thresholds) {
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
        let checked = DatasetFile::open(&folder.join(&entry.file)).and_then(|file| file.footer());
        let checked = checked.map_err(|e| e.to_string());
        Ok((*number, checked.and_then(|footer| check_footer(&footer, symbol, entry, &schema))))
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
                Err(violation) => violations.push(format!("{}: {violation}", datasets[number].1.file)),
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
    let work = |task: &Task| {
        let number = task.dataset();
        let (symbol, entry) = datasets[number];
        let path = folder.join(&entry.file);
        match *task {
            Task::Whole(_) => {
                let bytes = Bytes::from(storage::read(&path).map_err(|e| unreadable(&path, e))?);
                let checked = read_footer(&path, &bytes).map_err(|e| e.to_string()).and_then(|footer| {
                    check_footer(&footer, symbol, entry, &schema)?;
                    Ok(footer)
                });
                let footer = match checked {
                    Ok(footer) => footer,
                    Err(violation) => return Ok(Done::Whole(number, Err(violation))),
                };
                let sha256 = hex(&Sha256::digest(&bytes));
                let facts = check_group(&path, bytes, &footer, 0, &expects[number])?;
                Ok(Done::Whole(number, Ok((sha256, Box::new(facts)))))
            }
            Task::Hash(_) => Ok(Done::Hash(number, file_sha256(&path)?)),
            Task::Group(_, group) => {
                let file = DatasetFile::open(&path)?;
                let held = || footer.lock().unwrap_or_else(PoisonError::into_inner);
                let cached =
                    held().as_ref().filter(|(cached, _)| *cached == number).map(|(_, footer)| Arc::clone(footer));
                let footer = match cached {
                    Some(footer) => footer,
                    None => {
                        let footer = Arc::new(file.footer()?);
                        *held() = Some((number, Arc::clone(&footer)));
                        footer
                    }
                };
                Ok(Done::Group(Box::new(file.check_group(&footer, group, &expects[number])?)))
            }
        }
    };

    let mut leak = LeakCheck::new(manifest, &thresholds, threads);
    let mut progress: Option<Walk<'_>> = None;
    let mut take = |done: Done| {
        let (begun, facts) = match done {
            Done::Whole(number, Ok((sha256, facts))) => (Some((number, sha256)), Some(facts)),
            Done::Whole(number, Err(violation)) => {
                violations.push(format!("{}: {violation}", datasets[number].1.file));
                (None, None)
            }
            Done::Hash(number, sha256) => (Some((number, sha256)), None),
            Done::Group(facts) => (None, Some(facts)),
        };
        if let Some((number, sha256)) = begun {
            if let Some(walk) = progress.take() {
                violations.extend(walk.finish());
            }
            let (symbol, entry) = datasets[number];
            progress = Some(Walk::new(config, symbol, entry));
            leak.begin(&symbol.symbol)?;
            if sha256 != entry.sha256 {
                violations.push(format!(
                    "{}: its SHA-256 is {sha256}, not {} as the manifest says",
                    entry.file, entry.sha256
                ));
            }
        }
        if let Some(facts) = facts {
            leak.take(&facts.fit_movements)?;
            let read = facts.rows;
            if let Some(walk) = &mut progress {
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
    violations.extend(progress.into_iter().flat_map(Walk::finish));
    violations.extend(leak.finish()?);
    if !violations.is_empty() {
        return Err(failed(violations));
    }
    Ok(summary(manifest))
}

/// What holds once nothing was found.
pub(crate) fn summary(manifest: &Manifest) -> ValidationEntry {
    let config = &manifest.config;
    let (mut datasets, mut rows) = (0, 0);
    for (_, entry) in manifest.datasets() {
        datasets += 1;
        rows += entry.rows;
    }
    let mut checks = vec![
        "schema, row counts and row groups are those of the manifest",
        "row is strictly increasing",
        "classification_label is the number of boundaries not above price_movement",
        "split follows from row and the boundary time",
        "counts by class and split are those of the manifest",
        "every file has the manifest's SHA-256",
    ];
    let mut not_checked = Vec::new();
    if config.columns == Columns::All {
        checks.push("ts_recv never steps back but as often as the manifest counts, and agrees with split");
    } else {
        not_checked.push("the order of ts_recv: columns = \"book\" leaves it out");
    }
    if config.force_uniform {
        checks.push("balanced marks are those of the definition");
    }
    match (manifest.thresholds.fitted, config.drop_unbalanced) {
        (true, false) => {
            checks.push("nothing leaked: the exact quantiles of the fit rows are the boundaries, bit for bit")
        }
        (true, true) => not_checked
            .push("the boundaries: drop_unbalanced left most of the rows they were fitted on out of the files"),
        (false, _) => not_checked.push("the boundaries: they come from a thresholds file, fitted elsewhere"),
    }
    let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
    ValidationEntry { datasets, rows, checks: owned(checks), not_checked: owned(not_checked) }
}

/// Reads back the thresholds of a folder and compares them with its manifest.
pub(crate) fn check_thresholds(folder: &Path, manifest: &Manifest) -> Result<Thresholds, String> {
    let path = folder.join(&manifest.thresholds.file);
    let text = storage::read(&path).map_err(|e| format!("{THRESHOLDS}: cannot be read: {e}"))?;
    let sha256 = hex(&Sha256::digest(&text));
    if sha256 != manifest.thresholds.sha256 {
        return Err(format!(
            "{THRESHOLDS}: its SHA-256 is {sha256}, not {} as the manifest says",
            manifest.thresholds.sha256
        ));
    }
    let thresholds = Thresholds::read(&path).map_err(|e| e.to_string())?;
    thresholds.check_settings(&manifest.config).map_err(|e| format!("{THRESHOLDS}: {e}"))?;
    if thresholds.fit_until != manifest.thresholds.fit_until {
        return Err(format!(
            "{THRESHOLDS}: its boundary time is {}, not {} as in the manifest",
            thresholds.fit_until, manifest.thresholds.fit_until
        ));
    }
    Ok(thresholds)
}

/// Checks that the dataset card is there. What it says is for its owner to add to.
pub(crate) fn check_card(folder: &Path, manifest: &Manifest) -> Result<(), String> {
    let found = storage::stat(&folder.join(&manifest.card));
    found.map(drop).map_err(|e| format!("{CARD}: cannot be read: {e}"))
}

/// Schema, rows and row groups of a dataset, as its footer tells them; returns the number of groups.
fn check_footer(
    footer: &ParquetMetaData,
    symbol: &SymbolEntry,
    entry: &DatasetEntry,
    schema: &DatasetSchema,
) -> Result<usize, String> {
    let file = footer.file_metadata();
    let value = |key: &str| {
        let pair = file.key_value_metadata().into_iter().flatten().find(|pair| pair.key == key);
        pair.and_then(|pair| pair.value.as_deref())
    };
    // Where the text is another one, its meaning may still be the same.
    if *file.schema_descr() != *schema.parquet || value(ARROW_SCHEMA_META_KEY) != Some(&schema.encoded) {
        let found = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata());
        if found.map_err(|e| e.to_string())?.fields() != schema.arrow.fields() {
            return Err("its columns are not those of the settings".to_owned());
        }
    }
    if file.num_rows().cast_unsigned() != entry.rows {
        return Err(format!("has {} rows, not {} as the manifest says", file.num_rows(), entry.rows));
    }
    let groups = footer.num_row_groups();
    if groups as u64 != entry.row_groups {
        return Err(format!("has {groups} row groups, not {} as the manifest says", entry.row_groups));
    }
    if value(SYMBOL_KEY) != Some(symbol.symbol.as_str()) {
        return Err(format!("its metadata does not name the symbol {:?}", symbol.symbol));
    }
    Ok(groups)
}

/// Checks that need the groups of a dataset in order.
struct Walk<'a> {
    entry: &'a DatasetEntry,
    steps_allowed: u64,
    unbalanced_kept: bool,
    marks: Option<[Quota; 2]>,
    last_row: Option<u64>,
    max_ts: u64,
    steps: u64,
    late: u64,
    counts: Vec<u64>,
    nbins: usize,
    violations: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(config: &Config, symbol: &SymbolEntry, entry: &'a DatasetEntry) -> Self {
        let quota = |split: &SplitEntry| Quota::new(split.classes.clone());
        let nbins = usize::from(config.nbins);
        Self {
            entry,
            steps_allowed: symbol.steps_back,
            unbalanced_kept: !config.drop_unbalanced,
            marks: config.force_uniform.then(|| [quota(&entry.splits.fit), quota(&entry.splits.holdout)]),
            last_row: None,
            max_ts: 0,
            steps: 0,
            late: 0,
            counts: vec![0; 3 * nbins],
            nbins,
            violations: Vec::new(),
        }
    }

    fn take(&mut self, facts: GroupFacts) {
        self.violations.extend(facts.violations);
        if let (Some(last), Some(first)) = (self.last_row, facts.first_row)
            && first <= last
        {
            self.violations.push(format!("row {first}: comes after row {last}"));
        }
        self.last_row = facts.last_row.or(self.last_row);
        self.late += facts.late;
        for ts in &facts.ts_recv {
            self.steps += u64::from(*ts < self.max_ts);
            self.max_ts = self.max_ts.max(*ts);
        }
        for (place, ((class, split), balanced)) in
            facts.classes.iter().zip(&facts.splits).zip(&facts.balanced).enumerate()
        {
            let (class, split) = (usize::from(*class), *split);
            if class >= self.nbins {
                continue; // Reported where the label was compared.
            }
            let count = &mut self.counts[split as usize * self.nbins + class];
            *count += 1;
            let Some([fit, holdout]) = &self.marks else { continue };
            // Of the marked rows alone no row's number in its class is known.
            let want = match split {
                Split::Fit if self.unbalanced_kept => fit.is_marked(class, *count),
                Split::Holdout if self.unbalanced_kept => holdout.is_marked(class, *count),
                Split::Embargo => false,
                _ => true,
            };
            if *balanced != want && self.violations.len() < MOST_VIOLATIONS {
                let row = facts.row_numbers[place];
                self.violations.push(format!("row {row}: balanced is {balanced}, but row {count} of class {class} in {split} is {want} by definition"));
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        // What concerns the whole dataset says more than single rows do, and comes first.
        let rows = std::mem::take(&mut self.violations);
        if self.steps > self.steps_allowed {
            self.violations.push(format!(
                "ts_recv steps back {} times, and the manifest counts {}",
                self.steps, self.steps_allowed
            ));
        }
        if self.late > self.steps_allowed {
            self.violations.push(format!(
                "{} holdout rows lie before the boundary time, and the manifest counts {} steps back",
                self.late, self.steps_allowed
            ));
        }
        for (place, (name, split)) in self.entry.splits.named().into_iter().enumerate() {
            let found = &self.counts[place * self.nbins..][..self.nbins];
            let want = if self.unbalanced_kept { &split.classes } else { &split.balanced };
            if found != want.as_slice() {
                self.violations.push(format!("{name}: rows by class are {found:?}, not {want:?} as the manifest says"));
            }
            if let Some(quotas) = &self.marks
                && name != "embargo"
            {
                let quota = &quotas[usize::from(name == "holdout")];
                let marked: Vec<u64> = (0..self.nbins).map(|class| quota.marked(class)).collect();
                if marked != split.balanced {
                    self.violations.push(format!(
                        "{name}: the manifest counts {:?} marked rows by class, and the definition {marked:?}",
                        split.balanced
                    ));
                }
            }
        }
        let file = self.entry.file.clone();
        self.violations.extend(rows);
        self.violations.truncate(MOST_VIOLATIONS);
        self.violations.into_iter().map(|v| format!("{file}: {v}")).collect()
    }
}

/// A dataset that cannot be opened or decoded.
fn unreadable(path: &Path, cause: impl std::fmt::Display) -> Error {
    InputError::new(path, format!("cannot be read back: {cause}")).into()
}
