//! From the scans of files to the streams of symbols: each symbol's rows across all files, in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::scan::FileScan;
use crate::error::{InputError, Result};
use crate::label::{Candidates, Splits, Windows};
use crate::tape::SymbolTape;

/// One symbol's rows, across all files.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name.
    pub symbol: String,
    /// Its rows, to be read from the work files.
    pub tape: SymbolTape,
    /// The rows that start a new unbroken stretch.
    pub breaks: Vec<u64>,
    /// How often `ts_recv` steps back.
    pub steps_back: u64,
    /// For each file with rows of it: the file's place in the order, and its first row.
    pub files: Vec<(usize, u64)>,
    /// The rows that can have a label.
    pub candidates: Candidates,
    /// Which side of the boundary time its rows are on.
    pub splits: Splits,
}

impl Stream {
    /// The ranges of rows that lie in the files for which `wanted` holds.
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

struct Growing<'a> {
    tape: SymbolTape,
    breaks: Vec<u64>,
    steps_back: u64,
    files: Vec<(usize, u64)>,
    max_ts: u64,
    instrument: u32,
    last_path: &'a Path,
}

/// Joins the scans of all files, which stand in order of time with their paths.
///
/// # Errors
/// [`InputError`] when two files hold the same bytes, or overlap in time for a symbol.
pub fn join(scans: &[(&Path, &FileScan)], windows: Windows, max_gap: Option<u64>) -> Result<Vec<Stream>> {
    refuse_duplicates(scans)?;
    let max_gap = max_gap.unwrap_or(u64::MAX);
    let mut growing: BTreeMap<&str, Growing<'_>> = BTreeMap::new();
    for (number, (path, scan)) in scans.iter().enumerate() {
        let tape_file = Arc::new(scan.tape.clone());
        for found in &scan.symbols {
            let stream = growing.entry(&found.symbol).or_insert_with(|| Growing {
                tape: SymbolTape::default(),
                breaks: Vec::new(),
                steps_back: 0,
                files: Vec::new(),
                max_ts: found.first_ts,
                instrument: found.first_instrument,
                last_path: path,
            });
            if found.first_ts < stream.max_ts {
                let message =
                    format!("overlaps in time with {} for the symbol {:?}", stream.last_path.display(), found.symbol);
                return Err(InputError::new(path, message)
                    .with_help("give each symbol's rows once: remove the file that repeats them")
                    .into());
            }
            let first_row = stream.tape.rows();
            let paused = found.first_ts - stream.max_ts > max_gap;
            if first_row > 0 && (paused || found.first_instrument != stream.instrument) {
                stream.breaks.push(first_row);
            }
            stream.breaks.extend(found.breaks.iter().map(|b| first_row + b));
            stream.steps_back += found.steps_back;
            stream.files.push((number, first_row));
            stream.tape.extend(&tape_file, &found.chunks);
            stream.max_ts = found.max_ts;
            stream.instrument = found.last_instrument;
            stream.last_path = path;
        }
    }
    let finish = |(symbol, mut grown): (&str, Growing<'_>)| {
        grown.tape.shrink_to_fit();
        Stream {
            symbol: symbol.to_owned(),
            candidates: Candidates::new(windows, grown.tape.rows(), &grown.breaks),
            splits: Splits { boundary_row: grown.tape.rows(), reach: windows.reach() },
            tape: grown.tape,
            breaks: grown.breaks,
            steps_back: grown.steps_back,
            files: grown.files,
        }
    };
    Ok(growing.into_iter().map(finish).collect())
}

fn refuse_duplicates(scans: &[(&Path, &FileScan)]) -> Result<()> {
    let mut seen: BTreeMap<&str, &Path> = BTreeMap::new();
    for (path, scan) in scans.iter().filter(|(_, scan)| scan.input.records > 0) {
        if let Some(other) = seen.insert(&scan.input.sha256, path) {
            let message = format!("holds the same bytes as {}", other.display());
            return Err(InputError::new(path, message).with_help("remove one of the two").into());
        }
    }
    Ok(())
}
