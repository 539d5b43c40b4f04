//! Joins the scans of files into the streams of symbols: each symbol's rows across all files, in order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::instruments::{Alias, AliasSearch};
use super::order::too_many;
use super::overlap::overlaps;
use super::scan::{FileScan, StreamScan, set_aside};
use super::sessions::SessionRows;
use crate::config::{Aliases, Config, Target};
use crate::error::{InputError, Result};
use crate::input::{Gaps, LARGEST_STEP_BACK, ScanRules, StreamId, StreamNames, is_break};
use crate::label::{Candidates, Sessions, Splits};
use crate::printable::{Shown, grouped};
use crate::tape::{RowCursor, SymbolTape, common_divisor};
use crate::time_text::Timestamp;

/// One stream's rows, across all files.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name: the symbol, followed by the publisher if the symbol has several.
    pub symbol: String,
    /// Its publisher.
    pub publisher_id: u16,
    /// Its rows, to be read from the work files.
    pub tape: SymbolTape,
    /// The rows that start a new unbroken stretch.
    pub breaks: Vec<u64>,
    /// The greatest common divisor of the prices of its book in each of `files`, in 1e-9; 0 without prices.
    pub ticks: Vec<u64>,
    /// How often `ts_recv` steps back.
    pub steps_back: u64,
    /// Its longest pauses within unbroken stretches.
    pub gaps: Gaps,
    /// For each file with rows of the stream: the file's place in the order, and the number of its first row in the
    /// stream.
    pub files: Vec<(usize, u64)>,
    /// The ranges of its rows within the sessions, if there are any.
    pub in_session: Option<Vec<Range<u64>>>,
    /// The first row at the boundary time or later.
    pub boundary_row: u64,
    /// Its rows as each target sees them.
    pub targets: Vec<TargetRows>,
}

/// The rows of a stream as one target sees them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetRows {
    /// The rows that can have a label and will be written.
    pub candidates: Candidates,
    /// The side of the boundary time that each of them is on.
    pub splits: Splits,
}

impl TargetRows {
    /// The part needed for a range of its candidates.
    #[must_use]
    pub fn part(&self, range: Range<u64>) -> Self {
        Self { candidates: self.candidates.part(range), splits: self.splits }
    }
}

/// The place of a target's part of a stream among those of all targets and streams.
pub fn item(target: usize, streams: &[Stream], stream: usize) -> usize {
    target * streams.len() + stream
}

/// The target, stream and rows of an [`item`].
pub fn of_item(streams: &[Stream], item: usize) -> (usize, &Stream, &TargetRows) {
    let (target, stream) = (item / streams.len(), &streams[item % streams.len()]);
    (target, stream, &stream.targets[target])
}

/// The targets, streams and rows of all items, in order.
pub fn items(streams: &[Stream]) -> impl Iterator<Item = (usize, &Stream, &TargetRows)> {
    let targets = streams.first().map_or(0, |stream| stream.targets.len());
    (0..targets * streams.len()).map(|item| of_item(streams, item))
}

/// The streams of a run, and warnings about them.
#[derive(Debug)]
pub struct Joined {
    /// The streams, in order of symbol and publisher.
    pub streams: Vec<Stream>,
    /// The warnings, one line each.
    pub warnings: Vec<String>,
}

impl Stream {
    /// Finds its rows as each target sees them. Its boundary row and breaks must be known; `until` is the boundary
    /// time.
    ///
    /// # Errors
    /// [`Error::Output`](crate::Error::Output) when a work file cannot be read.
    pub fn locate(&self, targets: &[Target], until: u64) -> Result<Vec<TargetRows>> {
        let boundary_row = self.boundary_row;
        let rows = |target: &Target| {
            let rule = target.movement.rule();
            let mut candidates = rule.candidates(&self.tape, &self.breaks)?;
            if let Some(in_session) = &self.in_session {
                candidates = candidates.within(in_session);
            }
            let fit_end = rule.fit_end(&self.tape, until, boundary_row)?;
            Ok(TargetRows { candidates, splits: Splits { fit_end, boundary_row } })
        };
        targets.iter().map(rows).collect()
    }

    /// Finds the rows within sessions; with `session_breaks`, also breaks the stream at the edges of sessions.
    pub fn restrict(&mut self, found: SessionRows, config: &Config, sessions: &Sessions) {
        if config.session_breaks {
            self.breaks.extend(&found.edges);
            self.breaks.sort_unstable();
            self.breaks.dedup();
            // Windows no longer span these.
            self.gaps.retain(|gap| sessions.segment(gap.from.0).until > gap.to.0);
        }
        self.in_session = Some(found.inside);
    }

    /// The greatest common divisor of the prices of its book, in 1e-9, over the files with rows before the boundary
    /// time, or over all files if there are none. 0 without prices.
    pub fn tick(&self) -> u64 {
        let fit = |first: u64| self.boundary_row == 0 || first < self.boundary_row;
        let ticks = self.files.iter().zip(&self.ticks).filter(|((_, first), _)| fit(*first));
        ticks.fold(0, |tick, (_, of_file)| common_divisor(tick, *of_file))
    }

    /// Number of its rows outside of sessions.
    pub fn out_of_session(&self) -> u64 {
        let inside = |ranges: &Vec<Range<u64>>| ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        self.in_session.as_ref().map_or(0, |ranges| self.tape.rows() - inside(ranges))
    }

    /// The files with some of its `rows`, as in [`files`](Self::files).
    pub fn files_of(&self, rows: &Range<u64>) -> Vec<(usize, u64)> {
        let from = self.files.partition_point(|(_, first)| *first <= rows.start).saturating_sub(1);
        let files = self.files.iter().skip(from).take_while(|(_, first)| *first < rows.end);
        files.copied().collect()
    }

    /// The ranges of rows from the files for which `wanted` is true.
    pub fn rows_in_files(&self, wanted: impl Fn(usize) -> bool) -> Vec<[u64; 2]> {
        let ends = self.files.iter().skip(1).map(|(_, first)| *first).chain([self.tape.rows()]);
        let mut ranges: Vec<[u64; 2]> = Vec::new();
        for ((file, first), end) in self.files.iter().zip(ends) {
            if !wanted(*file) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last[1] == *first => last[1] = end,
                _ => ranges.push([*first, end]),
            }
        }
        ranges
    }
}

/// A stream while its files are joined.
struct Growing<'a> {
    tape: SymbolTape,
    ticks: Vec<u64>,
    breaks: Vec<u64>,
    steps_back: u64,
    gaps: Gaps,
    files: Vec<(usize, u64)>,
    /// The largest `ts_recv` so far, and the last row's instrument.
    max_ts: u64,
    instrument: u32,
    /// Whether a record was dropped for its bad book since the last row.
    bad_book: bool,
    last_path: &'a Path,
}

impl<'a> Growing<'a> {
    fn new(found: &StreamScan, path: &'a Path) -> Self {
        Self {
            tape: SymbolTape::default(),
            ticks: Vec::new(),
            breaks: Vec::new(),
            steps_back: 0,
            gaps: Gaps::default(),
            files: Vec::new(),
            max_ts: found.first_ts,
            instrument: found.first_instrument,
            bad_book: false,
            last_path: path,
        }
    }

    /// Appends the rows of the stream in the next file. The result is the same as for a single file with all rows.
    fn append(
        &mut self,
        found: &StreamScan,
        (file, path): (usize, &'a Path),
        tape: SymbolTape,
        max_gap: u64,
    ) -> Result<()> {
        let first_row = self.tape.rows();
        self.ticks.push(found.tick);
        let least_ts = found.least_ts();
        if first_row > 0 && least_ts <= self.max_ts && overlaps(&self.tape, self.max_ts, &tape, least_ts)? {
            let message =
                format!("overlaps in time with {} for the symbol {:?}", Shown(self.last_path), found.id.symbol);
            return Err(InputError::new(path, message)
                .with_help("remove the file that repeats rows of the other")
                .into());
        }
        if first_row > 0 {
            let after_bad_book = self.bad_book || found.bad_books.first() == Some(&0);
            let same_instrument = found.first_instrument == self.instrument;
            if after_bad_book || is_break(self.max_ts, found.first_ts, max_gap, same_instrument) {
                self.breaks.push(first_row);
            } else {
                self.gaps.note(self.max_ts, found.first_ts);
            }
        }
        // That of the first row is known by now.
        let mut breaks: Vec<u64> = found.breaks.iter().copied().filter(|row| *row > 0).collect();
        if found.first_ts < self.max_ts {
            self.recount_head(found, path, &tape, &mut breaks, max_gap)?;
        }
        self.breaks.extend(breaks.iter().map(|b| first_row + b));
        self.steps_back += found.steps_back;
        self.gaps.extend(&found.gaps, self.max_ts);
        self.files.push((file, first_row));
        self.tape.append(tape, self.max_ts);
        self.max_ts = self.max_ts.max(found.max_ts);
        self.instrument = found.last_instrument;
        self.bad_book = false;
        self.last_path = path;
        Ok(())
    }

    /// Corrects the scan of the next file for the stream's clock, which that scan did not have: counts the steps back
    /// that it could not detect, and removes the breaks that are not pauses by that clock.
    ///
    /// # Errors
    /// [`InputError`] when too many of the file's rows are behind: an earlier stamp is wrong, or the files overlap.
    fn recount_head(
        &mut self,
        found: &StreamScan,
        path: &Path,
        tape: &SymbolTape,
        breaks: &mut Vec<u64>,
        max_gap: u64,
    ) -> Result<()> {
        let mut cursor = RowCursor::new(tape, 0)?;
        let (mut row, mut reached, mut instrument, mut behind) = (0, 0, None, 0);
        while reached < self.max_ts && cursor.advance()?.is_some() {
            let (ts, of) = (cursor.row().event.ts_recv, cursor.row().event.instrument_id);
            let before = self.max_ts.max(reached);
            if ts < before && ts >= reached {
                self.steps_back += 1;
            }
            behind += u64::from(ts < self.max_ts.saturating_sub(LARGEST_STEP_BACK));
            if !is_break(before, ts, max_gap, instrument == Some(of))
                && found.bad_books.binary_search(&row).is_err()
                && let Ok(place) = breaks.binary_search(&row)
            {
                breaks.remove(place);
                self.gaps.note(before, ts);
            }
            reached = reached.max(ts);
            instrument = Some(of);
            row += 1;
        }
        if too_many(behind, found.rows) {
            let message = format!(
                "{} of its {} rows of {:?} are earlier than {}, a ts_recv in {}: that timestamp is wrong, or the files overlap",
                grouped(behind),
                grouped(found.rows),
                found.id.symbol,
                Timestamp(self.max_ts),
                Shown(self.last_path)
            );
            return Err(InputError::new(path, message).with_help("omit one of the two, or download it again").into());
        }
        Ok(())
    }
}

/// Joins the scans of all files, given with their paths in order of time. Their boundary rows,
/// sessions and targets are not known yet.
///
/// # Errors
/// [`InputError`] when two files contain the same bytes or overlap in time for a stream, or when two symbols have the
/// same instrument at the same time; [`Error::Output`](crate::Error::Output) when a work file cannot be read.
pub fn join(scans: &[(&Path, &FileScan)], config: &Config) -> Result<Joined> {
    refuse_duplicates(scans)?;
    let max_gap = ScanRules::new(config).max_gap();
    let ids = || scans.iter().flat_map(|(_, scan)| &scan.streams).map(|found| &found.id);
    let mut numbers: BTreeMap<&StreamId, usize> = ids().map(|id| (id, 0)).collect();
    numbers.values_mut().enumerate().for_each(|(number, place)| *place = number);
    let names = StreamNames::new(numbers.keys().map(|id| (id.symbol.as_str(), id.publisher_id)))?;

    // The least stamp in each file and all files after it, as a wrong stamp may put files out of order.
    let mut least_later: Vec<u64> =
        scans.iter().map(|(_, scan)| scan.streams.iter().map(StreamScan::least_ts).min().unwrap_or(u64::MAX)).collect();
    for file in (1..least_later.len()).rev() {
        least_later[file - 1] = least_later[file - 1].min(least_later[file]);
    }
    let mut growing: Vec<Option<Growing<'_>>> = numbers.iter().map(|_| None).collect();
    let mut aliases = AliasSearch::default();
    let mut refused: Vec<InputError> = Vec::new();
    for (file, (path, scan)) in scans.iter().enumerate() {
        let tape_file = Arc::new(scan.tape.clone());
        for found in &scan.streams {
            let number = numbers[&found.id];
            aliases.take(&found.id, &found.instruments, number, file, least_later[file]);
            let mut tape = SymbolTape::default();
            tape.extend(&tape_file, &found.chunks);
            let grown = growing[number].get_or_insert_with(|| Growing::new(found, path));
            match set_aside(grown.append(found, (file, path), tape, max_gap))? {
                // A file that overlaps for one symbol usually does so for others too: report it once.
                Err(error) if refused.last().is_none_or(|last| last.path != error.path) => refused.push(error),
                Ok(()) | Err(_) => {}
            }
        }
        for end in scan.ends.iter().filter(|end| end.bad_book) {
            let grown = numbers.get(&end.id).and_then(|number| growing[*number].as_mut());
            grown.into_iter().for_each(|grown| grown.bad_book = true);
        }
    }
    InputError::check(refused)?;
    let ids: Vec<&StreamId> = numbers.into_keys().collect();
    let warnings = check_aliases(&aliases.finish(), &ids, scans, config)?;
    let finish = |(id, grown): (&StreamId, Option<Growing<'_>>)| {
        let mut grown = grown?;
        grown.tape.shrink_to_fit();
        Some(Stream {
            symbol: names.name(&id.symbol, id.publisher_id),
            publisher_id: id.publisher_id,
            in_session: None,
            boundary_row: grown.tape.rows(),
            targets: Vec::new(),
            tape: grown.tape,
            breaks: grown.breaks,
            ticks: grown.ticks,
            steps_back: grown.steps_back,
            gaps: grown.gaps,
            files: grown.files,
        })
    };
    let streams = ids.into_iter().zip(growing).filter_map(finish).collect();
    Ok(Joined { streams, warnings })
}

/// Refuses aliases, or returns warnings about them.
fn check_aliases(
    found: &[Alias],
    ids: &[&StreamId],
    scans: &[(&Path, &FileScan)],
    config: &Config,
) -> Result<Vec<String>> {
    let (Some(first), Aliases::Error) = (found.first(), config.aliases) else {
        let warning = |alias: &Alias| {
            let [a, b] = alias.streams.map(|(stream, _)| &ids[stream].symbol);
            format!("{a:?} and {b:?} are the same instrument ({}): each of its rows counts twice", alias.instrument_id)
        };
        return Ok(found.iter().map(warning).collect());
    };
    let Alias { instrument_id, streams: [(a, earlier), (b, later)], since } = *first;
    let (a, b) = (&ids[a].symbol, &ids[b].symbol);
    let message = if earlier == later {
        format!("instrument {instrument_id} is both {a:?} and {b:?} from {since} on")
    } else {
        format!("instrument {instrument_id} is {b:?} here and {a:?} in {} from {since} on", Shown(scans[earlier].0))
    };
    Err(InputError::new(scans[later].0, message)
        .with_help("keep one symbol for each instrument; aliases = \"keep\" writes a dataset for each symbol, so that the rows count twice")
        .into())
}

fn refuse_duplicates(scans: &[(&Path, &FileScan)]) -> Result<()> {
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    let mut refused = Vec::new();
    for (path, scan) in scans.iter().filter(|(_, scan)| scan.input.records > 0) {
        if let Some(other) = seen.insert(&scan.input.sha256, path) {
            let message = format!("holds the same bytes as {}", Shown(other));
            refused.push(InputError::new(path, message).with_help("remove one of the two"));
        }
    }
    InputError::check(refused)
}
