//! Compares rows drawn at random from the datasets with the raw files while these are read.

use std::collections::BTreeMap;
use std::path::Path;

use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::definition::{Lengths, movement};
use super::raw::{Label, RawColumns};
use super::raw_row::RawRow;
use super::reading::{caught, open_rows, unreadable};
use super::violations::Violations;
use crate::error::Result;
use crate::label::{Boundaries, Thresholds};
use crate::output::Manifest;

/// Number of rows that [`Compare::Random`](super::Compare::Random) compares, if the datasets have that many.
pub const AGAINST_ROWS: u64 = 1_000;

/// The drawn rows of a dataset, in order.
pub(super) struct Drawn<'a> {
    file: &'a str,
    lengths: Lengths,
    boundaries: &'a Boundaries,
    until: u64,
    rows: Vec<DrawnRow>,
    /// The first row whose windows may still be open.
    first_open: usize,
}

/// A drawn row, and what has been read about it from the raw files so far.
struct DrawnRow {
    columns: RawColumns,
    label: Label,
    /// Sums of mid2 over the two windows, and the number of rows in each so far.
    behind: i128,
    behind_rows: u64,
    ahead: i128,
    ahead_rows: u64,
    /// Running maximum of `ts_recv` at the row and at the last row of its future window.
    own_ts: u64,
    last_ts: u64,
    /// Whether a break is within its windows.
    broken: bool,
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
        let (false, Some(boundaries)) = (mine.is_empty(), thresholds.for_symbol(&symbol.symbol)) else { continue };
        let path = folder.join(&dataset.file);
        let rows = caught(&path, || read(&path, &mine, &symbol.symbol))?;
        let lengths = Lengths::new(&manifest.config);
        let until = thresholds.fit_until.0;
        let of_symbol = Drawn { file: &dataset.file, lengths, boundaries, until, rows, first_open: 0 };
        drawn.insert(symbol.symbol.as_str(), of_symbol);
    }
    Ok(drawn)
}

/// Reads rows of a dataset by position.
fn read(path: &Path, places: &[u64], symbol: &str) -> Result<Vec<DrawnRow>> {
    let mut selectors = Vec::new();
    let mut at = 0;
    for place in places {
        selectors.push(RowSelector::skip((place - at) as usize));
        selectors.push(RowSelector::select(1));
        at = place + 1;
    }
    let reader =
        open_rows(path)?.with_row_selection(RowSelection::from(selectors)).build().map_err(|e| unreadable(path, e))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|e| unreadable(path, e))?;
        for i in 0..batch.num_rows() {
            let row = batch.slice(i, 1);
            let columns = RawColumns::new(&row, symbol).map_err(|e| unreadable(path, e))?;
            rows.push(DrawnRow {
                label: columns.label(0),
                columns,
                behind: 0,
                behind_rows: 0,
                ahead: 0,
                ahead_rows: 0,
                own_ts: 0,
                last_ts: 0,
                broken: false,
            });
        }
    }
    Ok(rows)
}

impl Drawn<'_> {
    /// Takes the next row of the raw stream.
    pub(super) fn take(&mut self, raw: &RawRow<'_>, violations: &mut Violations) {
        let row = raw.row;
        let Lengths { lookback, offset, ahead } = self.lengths;
        while self.rows.get(self.first_open).is_some_and(|t| t.label.row + offset + ahead < row) {
            self.first_open += 1;
        }
        for target in &mut self.rows[self.first_open..] {
            let t = target.label.row;
            if t > row + lookback {
                break;
            }
            if (t - lookback.min(t)..t).contains(&row) {
                target.behind += i128::from(raw.mid2);
                target.behind_rows += 1;
            }
            if (t + 1 + offset..t + 1 + offset + ahead).contains(&row) {
                target.ahead += i128::from(raw.mid2);
                target.ahead_rows += 1;
                target.last_ts = raw.max_ts;
            }
            // A break before the first row of the past window does not matter.
            target.broken |= raw.breaks && row + lookback > t && row <= t + offset + ahead;
            if t == row {
                target.own_ts = raw.max_ts;
                if let Err(reason) = target.columns.compare(0, raw.record, raw.before) {
                    violations.add(|| format!("{}: row {row}: {reason}", self.file));
                }
            }
        }
    }

    /// Compares the labels once all windows have been read; returns the number of rows.
    pub(super) fn finish(self, violations: &mut Violations) -> u64 {
        for target in &self.rows {
            if let Err(reason) = self.check_label(target) {
                violations.add(|| format!("{}: row {}: {reason}", self.file, target.label.row));
            }
        }
        self.rows.len() as u64
    }

    fn check_label(&self, row: &DrawnRow) -> Result<(), String> {
        let Lengths { lookback, ahead, .. } = self.lengths;
        if row.behind_rows != lookback || row.ahead_rows != ahead {
            return Err(format!(
                "the raw files hold {} and {} rows of its windows, not {lookback} and {ahead}",
                row.behind_rows, row.ahead_rows
            ));
        }
        if row.broken {
            return Err("a break of the raw stream lies within its windows".to_owned());
        }
        let want = movement(self.lengths, row.behind, row.ahead);
        row.label.compare(want, &self.boundaries.values, [row.own_ts, row.last_ts], self.until)
    }
}
