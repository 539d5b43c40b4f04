//! Compares rows drawn at random from the datasets with the raw files as these are read.

use std::collections::BTreeMap;
use std::path::Path;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::labels::Labels;
use super::raw::RawColumns;
use super::raw_row::RawRow;
use super::reading::{caught, open_rows, unreadable};
use super::violations::Violations;
use crate::cast::to_usize;
use crate::config::Target;
use crate::error::Result;
use crate::label::Thresholds;
use crate::output::Manifest;

/// Number of rows that [`Compare::Random`](super::Compare::Random) compares, if the datasets have that many.
pub const AGAINST_ROWS: u64 = 1_000;

/// The drawn rows of a dataset, in order.
pub(super) struct Drawn<'a> {
    file: &'a str,
    rows: Vec<RawColumns>,
    /// Number of rows that the raw stream has reached.
    reached: usize,
    labels: Labels<'a>,
}

/// The splitmix64 generator (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

/// Draws rows uniformly over all datasets and reads all their columns; by symbol.
pub(super) fn draw<'a>(
    folder: &Path,
    manifest: &'a Manifest,
    thresholds: &'a Thresholds,
    seed: u64,
) -> Result<BTreeMap<&'a str, Drawn<'a>>> {
    let datasets: Vec<_> = manifest.datasets().collect();
    let total: u64 = datasets.iter().map(|(_, d)| d.rows).sum();
    let mut random = Random(seed);
    let mut places: Vec<u64> = Vec::new();
    while (places.len() as u64) < AGAINST_ROWS.min(total) {
        places.extend((places.len() as u64..AGAINST_ROWS.min(total)).map(|_| random.below(total)));
        places.sort_unstable();
        places.dedup();
    }
    let mut drawn = BTreeMap::new();
    let mut start = 0;
    for (symbol, dataset) in datasets {
        let mine: Vec<u64> =
            places.iter().filter(|p| (start..start + dataset.rows).contains(*p)).map(|p| p - start).collect();
        start += dataset.rows;
        if mine.is_empty() {
            continue;
        }
        let path = folder.join(&dataset.file);
        let targets = manifest.config.all_targets();
        let rows = caught(&path, || read_rows(&path, &mine, &symbol.symbol, &targets))?;
        let labels = Labels::new(&dataset.file, &targets, symbol, thresholds, (false, false));
        drawn.insert(symbol.symbol.as_str(), Drawn { file: &dataset.file, rows, reached: 0, labels });
    }
    Ok(drawn)
}

/// Reads rows of a dataset by position.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when it cannot be read.
pub(super) fn read_rows(path: &Path, places: &[u64], symbol: &str, targets: &[Target]) -> Result<Vec<RawColumns>> {
    let mut selectors = Vec::new();
    let mut at = 0;
    for place in places {
        selectors.push(RowSelector::skip(to_usize(place - at)));
        selectors.push(RowSelector::select(1));
        at = place + 1;
    }
    let reader =
        open_rows(path)?.with_row_selection(RowSelection::from(selectors)).build().map_err(|e| unreadable(path, e))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| unreadable(path, e))?;
        for i in 0..batch.num_rows() {
            rows.push(RawColumns::new(&batch.slice(i, 1), symbol, targets).map_err(|e| unreadable(path, e))?);
        }
    }
    Ok(rows)
}

impl Drawn<'_> {
    /// Takes the next row of the raw stream.
    pub(super) fn take(&mut self, raw: &RawRow<'_>, violations: &mut Violations) {
        let next = self.rows.get(self.reached).filter(|drawn| drawn.row(0) == raw.row);
        if let Some(drawn) = next {
            if !raw.in_session {
                violations.add(|| format!("{}: row {}: is outside the sessions", self.file, raw.row));
            }
            if let Err(reason) = drawn.compare(0, raw.record, raw.before) {
                violations.add(|| format!("{}: row {}: {reason}", self.file, raw.row));
            }
            self.reached += 1;
        }
        self.labels.take(raw, next.into_iter().flat_map(|drawn| drawn.labels(0)), violations);
    }

    /// Ends the comparison; returns the number of rows.
    pub(super) fn finish(self, violations: &mut Violations) -> u64 {
        self.labels.finish(violations);
        if let Some(drawn) = self.rows.get(self.reached) {
            violations.add(|| format!("{}: row {}: the raw files have no such row", self.file, drawn.row(0)));
        }
        self.rows.len() as u64
    }
}
