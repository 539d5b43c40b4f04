//! Proves datasets, local or in an object store: their sizes and footers, their hashes, their row groups in parallel,
//! and the checks that need the row groups in order.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;
use sha2::{Digest, Sha256};

use super::facts::{Extent, GroupFacts};
use super::fit_counts::TargetFitCounts;
use super::footer::FooterCheck;
use super::group::{CheckedColumns, Expect, check_group, read_group};
use super::reading::{caught, cause, check_sha256, parse_footer, read_footer, unread_bytes};
use super::sequence::Sequence;
use super::sums::{SumsCheck, SumsTerms};
use crate::config::Config;
use crate::dataset::Moments;
use crate::error::{Error, InputError, Result};
use crate::input::{file_sha256, hex};
use crate::label::Thresholds;
use crate::output::{DatasetEntry, DatasetSchema, SymbolEntry, THRESHOLDS};
use crate::run::{Monitor, map_batched};
use crate::storage;

/// Inputs of a proof of datasets, and its extent.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// The version of lobset that wrote the datasets.
    pub version: &'a str,
    /// The settings of the run.
    pub config: &'a Config,
    /// Whether any input has gateway timestamps (`ts_out`).
    pub ts_out: bool,
    /// The names of all input files, in order.
    pub inputs: &'a [String],
    /// The thresholds, with the boundaries of the datasets' symbols.
    pub thresholds: &'a Thresholds,
    /// The extent of the proof.
    pub extent: Extent,
    /// Whether a transient read error fails the proof instead of counting as a violation.
    pub retry: bool,
}

/// A dataset: its location and its entries in the manifest.
pub(crate) struct Dataset<'a> {
    pub path: PathBuf,
    /// The file with the sums of its columns.
    pub moments: PathBuf,
    pub symbol: &'a SymbolEntry,
    pub entry: &'a DatasetEntry,
}

/// The result of a proof of datasets.
#[derive(Default)]
pub(crate) struct Proved {
    /// One line each: the file, the row and the reason.
    pub violations: Vec<String>,
    /// Whether every row group was read, so that no row is missing from the counts.
    pub complete: bool,
    /// Number of rows whose movement was recomputed.
    pub recomputed: u64,
    /// Counts of the movements that the boundaries were fitted on, by target.
    pub fit_counts: Vec<TargetFitCounts>,
}

/// Proves datasets with `threads` threads. Sizes and footers are checked first: if any of them is wrong, no row is read.
///
/// # Errors
/// [`Error::Interrupted`]; with [`Terms::retry`], a transient [`InputError`].
pub(crate) fn prove_datasets(
    terms: &Terms<'_>,
    datasets: &[Dataset<'_>],
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<Proved> {
    let early = |violations| Ok(Proved { violations, ..Proved::default() });
    let schema = DatasetSchema::new(terms.config, terms.ts_out)
        .and_then(|schema| Ok((CheckedColumns::new(&schema, terms.extent)?, schema)));
    let (columns, schema) = match schema {
        Ok(both) => both,
        Err(e) => return early(vec![e.to_string()]),
    };
    let mut violations = Vec::new();
    let sizes = |place: &usize| {
        let Dataset { path, moments, entry, .. } = &datasets[*place];
        let of_rows = check_size(terms, path, (&entry.file, entry.bytes))?;
        let of_sums = check_size(terms, moments, (&entry.moments.file, entry.moments.bytes))?;
        Ok(of_rows.into_iter().chain(of_sums))
    };
    let places: Vec<usize> = (0..datasets.len()).collect();
    let mut expects = Vec::with_capacity(datasets.len());
    map_batched(
        threads,
        &places,
        |_| FILE_WEIGHT,
        sizes,
        |found| {
            violations.extend(found);
            let symbol = datasets[expects.len()].symbol;
            let expect = Expect::new(terms.config, &columns, symbol, terms.thresholds, terms.extent);
            expects.push(expect.map_err(|target| {
                violations
                    .push(format!("{THRESHOLDS}: no boundaries of {target:?} for the symbol {:?}", symbol.symbol));
            }));
            Ok(())
        },
    )?;
    if !violations.is_empty() {
        return early(violations);
    }
    let prover = DatasetProver {
        terms,
        datasets,
        sums: SumsTerms {
            config: terms.config,
            version: terms.version,
            inputs: terms.inputs,
            columns: schema.columns().iter().filter(|column| column.is_feature()).map(|c| c.name.as_str()).collect(),
        },
        footers: FooterCheck::new(&schema, (terms.version, terms.config), terms.thresholds),
        expects: expects.into_iter().flatten().collect(),
        held: Mutex::new(None),
    };
    let units = match prover.units(threads)? {
        Ok(units) => units,
        Err(violations) => return early(violations),
    };
    let fit_counts = terms.config.all_targets().iter().map(|_| TargetFitCounts::default()).collect();
    let proved = Proved { fit_counts, ..Proved::default() };
    let mut progress = Progress { terms, datasets, monitor, open: None, unreadable: None, proved };
    map_batched(threads, &units, |unit| prover.weight(unit), |unit| prover.read(unit), |done| progress.take(done))?;
    Ok(progress.finish())
}

/// Cost of opening a file, in rows read.
const FILE_WEIGHT: u64 = 512;

/// Maximum size in bytes of a dataset of one row group that is read in one go, then hashed, parsed and checked.
const WHOLE: u64 = 64 << 20;

/// Compares the size of a file with the manifest; returns the violation, if any.
fn check_size(terms: &Terms<'_>, path: &Path, (file, want): (&str, u64)) -> Result<Option<String>> {
    match storage::stat(path).map(|found| found.bytes) {
        Ok(bytes) if bytes == want => Ok(None),
        Ok(bytes) => Ok(Some(format!("{file}: has {bytes} bytes, not {want} as the manifest says"))),
        Err(e) => {
            let reason = terms.reason(InputError::unread(path, e).into())?;
            Ok(Some(format!("{file}: {reason}")))
        }
    }
}

impl Terms<'_> {
    /// The reason of the violation for a dataset that cannot be read.
    ///
    /// # Errors
    /// Any error that is not the fault of the dataset.
    fn reason(&self, error: Error) -> Result<String> {
        match error {
            Error::Input(_) if !(self.retry && error.is_transient()) => Ok(cause(&error)),
            other => Err(other),
        }
    }
}

/// A unit of work: a whole dataset to check, a file to hash, or one row group to check.
enum Unit {
    Whole(usize),
    Hash(usize),
    Group(usize, usize),
}

impl Unit {
    /// The index of the dataset.
    fn dataset(&self) -> usize {
        match *self {
            Self::Whole(place) | Self::Hash(place) | Self::Group(place, _) => place,
        }
    }
}

/// The result of a unit.
enum Done {
    /// The hash of a dataset, its sums or why they cannot be read, and its facts if it was read in one go.
    Begun(usize, String, Result<Box<Moments>, String>, Option<Box<GroupFacts>>),
    Group(Box<GroupFacts>),
    /// A dataset of which a part cannot be read, and why.
    Failed(usize, String),
}

/// State shared by all threads.
struct DatasetProver<'a> {
    terms: &'a Terms<'a>,
    datasets: &'a [Dataset<'a>],
    footers: FooterCheck<'a>,
    sums: SumsTerms<'a>,
    /// The expected values of the rows of each dataset.
    expects: Vec<Expect<'a>>,
    /// The footer of the dataset whose row groups are being read, parsed once for all of them.
    held: Mutex<Option<(usize, Arc<ParquetMetaData>)>>,
}

impl DatasetProver<'_> {
    /// Divides the datasets into units, or returns the violations in their footers.
    fn units(&self, threads: usize) -> Result<Result<Vec<Unit>, Vec<String>>> {
        let whole = |place: &usize| {
            let entry = self.datasets[*place].entry;
            entry.row_groups == 1 && entry.bytes <= WHOLE
        };
        let (whole, large): (Vec<usize>, Vec<usize>) = (0..self.datasets.len()).partition(whole);
        let mut units: Vec<Unit> = whole.into_iter().map(Unit::Whole).collect();
        let mut violations = Vec::new();
        let look = |place: &usize| {
            let path = &self.datasets[*place].path;
            match caught(path, || self.look(*place)) {
                Ok(groups) => Ok((*place, Ok(groups))),
                Err(e) => Ok((*place, Err(self.terms.reason(e)?))),
            }
        };
        map_batched(
            threads,
            &large,
            |_| FILE_WEIGHT,
            look,
            |(place, groups)| {
                match groups {
                    Ok(groups) => {
                        units.push(Unit::Hash(place));
                        units.extend((0..groups).map(|group| Unit::Group(place, group)));
                    }
                    Err(reason) => violations.push(format!("{}: {reason}", self.datasets[place].entry.file)),
                }
                Ok(())
            },
        )?;
        if !violations.is_empty() {
            return Ok(Err(violations));
        }
        units.sort_by_key(Unit::dataset);
        Ok(Ok(units))
    }

    /// Checks the footer of a large dataset; returns its number of row groups.
    fn look(&self, place: usize) -> Result<usize> {
        let Dataset { path, symbol, entry, .. } = &self.datasets[place];
        if self.terms.extent == Extent::Whole {
            // Never decode a file whose hash is not that of the manifest.
            check_sha256(&file_sha256(path)?, &entry.sha256).map_err(|reason| InputError::new(path, reason))?;
        }
        let footer = read_footer(path)?;
        let groups = self.footers.check(&footer, entry.bytes, symbol, entry);
        Ok(groups.map_err(|reason| InputError::new(path, reason))?)
    }

    fn weight(&self, unit: &Unit) -> u64 {
        let entry = self.datasets[unit.dataset()].entry;
        match unit {
            Unit::Hash(_) => FILE_WEIGHT,
            Unit::Whole(_) => FILE_WEIGHT + entry.rows,
            Unit::Group(..) => entry.rows.div_ceil(entry.row_groups),
        }
    }

    fn read(&self, unit: &Unit) -> Result<Done> {
        let place = unit.dataset();
        match caught(&self.datasets[place].path, || self.check(unit)) {
            Ok(done) => Ok(done),
            Err(e) => Ok(Done::Failed(place, self.terms.reason(e)?)),
        }
    }

    fn check(&self, unit: &Unit) -> Result<Done> {
        let place = unit.dataset();
        let Dataset { path, symbol, entry, .. } = &self.datasets[place];
        match *unit {
            Unit::Whole(_) => {
                let bytes = storage::read_at_most(path, entry.bytes).map_err(|e| unread_bytes(path, &e))?;
                let (sha256, bytes) = (hex(&Sha256::digest(&bytes)), Bytes::from(bytes));
                check_sha256(&sha256, &entry.sha256).map_err(|reason| InputError::new(path, reason))?;
                let footer = parse_footer(path, &bytes)?;
                let checked = self.footers.check(&footer, entry.bytes, symbol, entry);
                checked.map_err(|reason| InputError::new(path, reason))?;
                let facts = check_group(path, bytes, &footer, 0, &self.expects[place])?;
                Ok(Done::Begun(place, sha256, self.sums(place)?, Some(Box::new(facts))))
            }
            // Already hashed when its footer was checked.
            Unit::Hash(_) if self.terms.extent == Extent::Whole => {
                Ok(Done::Begun(place, entry.sha256.clone(), self.sums(place)?, None))
            }
            Unit::Hash(_) => Ok(Done::Begun(place, file_sha256(path)?, self.sums(place)?, None)),
            Unit::Group(_, group) => {
                let footer = self.footer(place)?;
                Ok(Done::Group(Box::new(read_group(path, &footer, group, &self.expects[place])?)))
            }
        }
    }

    /// The sums of a dataset, or why they cannot be read.
    fn sums(&self, place: usize) -> Result<Result<Box<Moments>, String>> {
        let Dataset { moments: path, symbol, entry, .. } = &self.datasets[place];
        let read = || {
            let hash = check_sha256(&file_sha256(path)?, &entry.moments.sha256);
            hash.map_err(|reason| InputError::new(path, reason))?;
            self.sums.read(path, &symbol.symbol, entry)
        };
        match caught(path, read) {
            Ok(moments) => Ok(Ok(Box::new(moments))),
            Err(e) => Ok(Err(self.terms.reason(e)?)),
        }
    }

    fn footer(&self, place: usize) -> Result<Arc<ParquetMetaData>> {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, footer)) = held().as_ref()
            && *of == place
        {
            return Ok(Arc::clone(footer));
        }
        let footer = Arc::new(read_footer(&self.datasets[place].path)?);
        *held() = Some((place, Arc::clone(&footer)));
        Ok(footer)
    }
}

/// Collects the results of units, in order.
struct Progress<'a> {
    terms: &'a Terms<'a>,
    datasets: &'a [Dataset<'a>],
    monitor: &'a Monitor<'a>,
    /// The dataset whose row groups follow.
    open: Option<(usize, Sequence<'a>)>,
    /// The last dataset of which a part cannot be read.
    unreadable: Option<usize>,
    proved: Proved,
}

impl Progress<'_> {
    fn take(&mut self, done: Done) -> Result<()> {
        let facts = match done {
            Done::Begun(place, sha256, sums, facts) => {
                self.close();
                let (Dataset { symbol, entry, .. }, terms) = (&self.datasets[place], self.terms);
                let sums = sums.map_err(|reason| {
                    self.proved.violations.push(format!("{}: {reason}", entry.moments.file));
                });
                let whole = terms.extent == Extent::Whole;
                let sums = sums.ok().map(|sums| SumsCheck::of_facts(&entry.moments, *sums, whole));
                let sequence = Sequence::new(terms.config, (symbol, entry), sums, terms.thresholds, terms.extent);
                self.open = Some((place, sequence));
                let differs = check_sha256(&sha256, &entry.sha256).err();
                self.proved.violations.extend(differs.map(|reason| format!("{}: {reason}", entry.file)));
                facts
            }
            Done::Group(facts) => Some(facts),
            // Its other row groups may be unreadable too.
            Done::Failed(place, _) if self.unreadable == Some(place) => None,
            Done::Failed(place, reason) => {
                // Counts of a partly read dataset are meaningless.
                self.open.take_if(|(open, _)| *open == place);
                self.close();
                self.proved.violations.push(format!("{}: {reason}", self.datasets[place].entry.file));
                self.unreadable = Some(place);
                None
            }
        };
        let Some(facts) = facts else { return Ok(()) };
        let rows = facts.rows;
        if let Some((_, sequence)) = &mut self.open {
            sequence.take(*facts);
        }
        self.monitor.advance(rows)
    }

    /// Ends the current dataset.
    fn close(&mut self) {
        let Some((place, mut sequence)) = self.open.take() else { return };
        let symbol = &self.datasets[place].symbol.symbol;
        let targets = self.terms.config.all_targets();
        for ((target, all), counts) in targets.iter().zip(&mut self.proved.fit_counts).zip(sequence.take_fit_counts()) {
            if let (Some(fitted), Some(counts)) = (self.terms.thresholds.of(&target.name), counts) {
                all.add(fitted, symbol, counts);
            }
        }
        let (rows, found) = sequence.finish();
        self.proved.recomputed += rows;
        self.proved.violations.extend(found);
    }

    fn finish(mut self) -> Proved {
        self.close();
        Proved { complete: self.unreadable.is_none(), ..self.proved }
    }
}
