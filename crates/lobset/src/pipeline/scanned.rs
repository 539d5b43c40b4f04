//! The result of scanning all files: streams, the boundary time, and the manifest entries of the input files.

use std::path::Path;

use super::engine::{Engine, Scans};
use super::events::check_ends;
use super::halves::check_fit_half;
use super::scan::{FileScan, set_aside};
use super::sessions::SessionRows;
use super::streams::{Joined, Stream, join};
use super::wanted::without_rows;
use crate::config::{Config, LabelSettings, PriceType};
use crate::error::{Error, InputError, Result};
use crate::input::{CatalogFile, Delivery, Drops, InputEntry, ScanRules};
use crate::label::{Sessions, Thresholds};
use crate::run::{Run, map_batched};
use crate::time_text::Timestamp;

/// The result of scanning all files.
pub struct Scanned {
    /// The files, in order of time.
    pub files: Vec<CatalogFile>,
    /// The manifest entries of the files.
    pub inputs: Vec<InputEntry>,
    /// For each file, the record and the price of the first row with a price that is not an exact float.
    pub inexact: Vec<Option<(u64, i64)>>,
    /// The manifest entry of their delivery.
    pub delivery: Delivery,
    pub streams: Vec<Stream>,
    /// Warnings about the input.
    pub warnings: Vec<String>,
    /// The boundary time T.
    pub fit_until: Timestamp,
    /// Places of the files of the fit half.
    pub fit_files: Vec<usize>,
    /// Number of files whose scan an earlier run had finished.
    pub reused: u64,
}

impl Scanned {
    /// Refuses prices that the datasets cannot represent.
    pub fn check_prices(&self, config: &Config) -> Result<()> {
        let inexact = self.files.iter().zip(&self.inexact).filter_map(|(file, inexact)| Some((file, (*inexact)?)));
        let refuse = |(file, (record, price)): (&CatalogFile, (u64, i64))| {
            let message = format!("the price {price} (1e-9) has no exact float value");
            let refused = InputError { record: Some(record), ..InputError::new(&file.path, message) };
            refused.with_help("write prices as integers with price_type = \"fixed\"")
        };
        match config.price_type {
            PriceType::Float => InputError::check(inexact.map(refuse).collect()),
            PriceType::Fixed => Ok(()),
        }
    }

    /// Refuses input that has changed since it was read: the hashes in the manifest would match no file.
    pub fn check_unchanged(&self) -> Result<()> {
        let changed = self.files.iter().map(|file| set_aside(file.check_unchanged())).collect::<Result<Vec<_>>>()?;
        InputError::check(changed.into_iter().filter_map(Result::err).collect())
    }
}

pub fn scan_all(engine: &mut impl Engine, run: Run<'_>, given: Option<&Thresholds>) -> Result<Scanned> {
    let rules = ScanRules::new(run.config);
    let found = engine.scan(&rules)?;
    let with_rows = found.scans.iter().flat_map(|scan| &scan.streams).map(|stream| &stream.id);
    check_ends(run.config, with_rows, found.scans.iter().flat_map(|scan| &scan.ends))?;
    let (fit_until, fit_files) = boundary_time(engine, run.config, given, &found, &rules)?;
    let Scans { files, scans, reused, delivery } = found;
    let with_paths: Vec<(&Path, &FileScan)> = files.iter().map(|f| f.path.as_path()).zip(&scans).collect();
    let Joined { mut streams, mut warnings } = join(&with_paths, run.config)?;
    warnings.extend(without_rows(run.config, scans.iter().flat_map(|scan| &scan.streams)));
    let sessions = Sessions::new(&LabelSettings::new(run.config));
    let mut places = Vec::with_capacity(streams.len());
    map_batched(
        run.threads,
        &streams,
        |_| 1,
        |stream| {
            let in_sessions = sessions.as_ref().map(|sessions| SessionRows::new(&stream.tape, sessions));
            Ok((stream.tape.first_row_at(fit_until.0)?, in_sessions.transpose()?))
        },
        |place| {
            places.push(place);
            Ok(())
        },
    )?;
    for (stream, (row, in_sessions)) in streams.iter_mut().zip(places) {
        stream.boundary_row = row;
        if let (Some(found), Some(sessions)) = (in_sessions, &sessions) {
            stream.restrict(found, run.config, sessions);
        }
    }
    let targets = run.config.all_targets();
    let mut located = Vec::with_capacity(streams.len());
    map_batched(
        run.threads,
        &streams,
        |_| 1,
        |stream| stream.locate(&targets, fit_until.0),
        |targets| {
            located.push(targets);
            Ok(())
        },
    )?;
    for (stream, targets) in streams.iter_mut().zip(located) {
        stream.targets = targets;
    }
    let inexact = scans.iter().map(|scan| scan.inexact).collect();
    let inputs: Vec<InputEntry> = scans.into_iter().map(|scan| scan.input).collect();
    check_fit_half(&streams, fit_until, (run.config, given), &inputs)?;
    Ok(Scanned { files, inputs, inexact, delivery, streams, warnings, fit_until, fit_files, reused })
}

/// T if it does not depend on the files: that of given boundaries, or that of the settings.
pub fn given_boundary_time(config: &Config, given: Option<&Thresholds>) -> Option<Timestamp> {
    given.map(|thresholds| thresholds.fit_until).or(config.fit_until)
}

/// Number of files of the fit half. T is the first `ts_recv` of the file after them.
pub fn fit_file_count(files: usize) -> usize {
    files / 2
}

/// T and the places of the fit half's files.
fn boundary_time(
    engine: &impl Engine,
    config: &Config,
    given: Option<&Thresholds>,
    found: &Scans,
    rules: &ScanRules,
) -> Result<(Timestamp, Vec<usize>)> {
    // The first `ts_recv` of the files that count, by their places. With `symbols`, files without rows of them do not
    // count: they may belong to other symbols, as in a batch job that is split by symbol.
    let (mut firsts, mut reached) = (Vec::new(), 0);
    for (place, (file, scan)) in found.files.iter().zip(&found.scans).enumerate() {
        let first = file.head.first(reached);
        reached = reached.max(scan.input.last_ts.map_or(0, |last| last.0));
        if let Some(first) = first
            && (config.symbols.is_none() || scan.input.rows > 0)
        {
            firsts.push((place, first));
        }
    }
    let no_rows = || {
        let drops = |of: fn(&Drops) -> u64| found.scans.iter().any(|scan| of(&scan.input.drops) > 0);
        match (&config.publishers, &config.symbols) {
            (Some(wanted), _) if drops(|drops| drops.other_publisher) => Error::data(
                format!("none of the usable records comes from publishers = {wanted:?}"),
                "lobset inspect lists the publisher of each symbol",
            ),
            (_, Some(wanted)) if drops(|drops| drops.other_symbol) => Error::data(
                format!("none of the usable records is of symbols = {wanted:?}"),
                "lobset inspect lists the rows of each symbol",
            ),
            _ => {
                Error::data("none of the files contains a usable row", "lobset inspect shows why records were dropped")
            }
        }
    };
    let rows: u64 = found.scans.iter().map(|s| s.input.rows).sum();
    if rows == 0 {
        return Err(no_rows());
    }
    if let Some(until) = given_boundary_time(config, given) {
        let before = firsts.iter().filter(|(_, first)| *first < until.0).map(|(place, _)| *place);
        return Ok((until, before.collect()));
    }
    if let [(place, _)] = firsts[..] {
        let middle = engine.row_time(&found.files[place], rules, rows / 2)?.ok_or_else(no_rows)?;
        return Ok((Timestamp(middle), vec![place]));
    }
    let (fit, holdout) = firsts.split_at(fit_file_count(firsts.len()));
    let (_, first) = holdout.first().ok_or_else(no_rows)?;
    Ok((Timestamp(*first), fit.iter().map(|(place, _)| *place).collect()))
}
