//! Depth tensors of a dataset's windows, row group by row group, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Bin, DepthSpec, Levels};
use crate::cast::to_usize;
use crate::dataset::{DatasetReader, Recent};
use crate::error::{InputError, Result};

/// A row group's levels in micro-pips, and its classes.
struct Group {
    levels: Levels<'static>,
    classes: Vec<Option<u8>>,
}

/// Consecutive time bins on one grid.
#[derive(Default)]
struct BinRun {
    /// The first row of the grid.
    phase: u64,
    /// Number of the first cached bin on the grid.
    first: u64,
    bins: VecDeque<Arc<Bin>>,
}

/// Computes depth tensors of a dataset. Caches the most recently used row groups and the time bins that neighbouring
/// windows share. Threads may share one cache.
pub struct WindowCache {
    reader: DatasetReader,
    spec: DepthSpec,
    state: Mutex<State>,
}

struct State {
    groups: Recent<Group>,
    run: BinRun,
}

impl WindowCache {
    /// Creates a cache for the tensors of `spec`. It keeps `row_groups` decoded row groups (by default, and at least,
    /// one more than a window spans; about 42 MB each with all features) and the bins of a few windows in memory.
    ///
    /// # Errors
    /// [`InputError`] when the dataset was written with `drop_unbalanced`: the rows between its samples are missing.
    pub fn new(reader: DatasetReader, spec: DepthSpec, row_groups: Option<usize>) -> Result<Self> {
        if reader.config().drop_unbalanced {
            return Err(InputError::new(
                reader.path(),
                "was written with drop_unbalanced = true: without the rows between its samples, no window is complete",
            )
            .with_help(
                "write it again with drop_unbalanced = false, and select the marked rows when loading: balanced=True",
            )
            .into());
        }
        let spanned = to_usize((spec.samples() as u64).div_ceil(reader.smallest_group())) + 1;
        let kept = row_groups.unwrap_or(0).max(spanned + 1);
        let state = State { groups: Recent::new(kept), run: BinRun::default() };
        Ok(Self { reader, spec, state: Mutex::new(state) })
    }

    /// Settings of the tensors.
    pub fn spec(&self) -> &DepthSpec {
        &self.spec
    }

    /// The dataset.
    pub fn reader(&self) -> &DatasetReader {
        &self.reader
    }

    /// Writes the tensor of the window that ends at row `place` into `out` ([`DepthSpec::cells`] long) and returns the
    /// class of that row.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, the window would begin before the file does, or the row has no label
    /// of the target.
    pub fn tensor(&self, place: u64, out: &mut [f32]) -> Result<u8> {
        let refuse = |message: String| Err(InputError::new(self.reader.path(), message).into());
        let samples = self.spec.samples() as u64;
        if place >= self.reader.rows() || place + 1 < samples {
            return refuse(format!("row {place} of {} has no window of {samples} rows", self.reader.rows()));
        }
        let (bins, base, class) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let (group, row) = self.reader.locate(place);
            let last = self.group(&mut state, group)?;
            let best = |side| last.levels.micro_pips(&self.spec, side, 0, row);
            let Some(base) = self.spec.base(best(0), best(1)) else {
                return refuse(format!("row {place} has no best bid or no best ask"));
            };
            let class = self.reader.class(&last.classes, row, place)?;
            (self.bins(&mut state, place + 1 - samples)?, base, class)
        };
        self.spec.paint(&bins, base, out);
        Ok(class)
    }

    fn group(&self, state: &mut State, group: usize) -> Result<Arc<Group>> {
        state.groups.get(group, || decode(&self.reader, &self.spec, group))
    }

    /// The bins of the window that starts at row `from`. Reuses those of the previous window.
    fn bins(&self, state: &mut State, from: u64) -> Result<Vec<Arc<Bin>>> {
        let (rows, count) = (self.spec.ticks_per_bin() as u64, self.spec.time_bins() as u64);
        let (phase, first) = (from % rows, from / rows);
        let held = state.run.first..state.run.first + state.run.bins.len() as u64;
        if state.run.phase != phase || first > held.end || first + count < held.start {
            state.run = BinRun { phase, first, bins: VecDeque::new() };
        }
        if first < state.run.first {
            let missing = to_usize(state.run.first - first);
            let bins = self.make(state, from, missing)?;
            bins.into_iter().rev().for_each(|bin| state.run.bins.push_front(bin));
            state.run.first = first;
        }
        let end = state.run.first + state.run.bins.len() as u64;
        if end < first + count {
            let bins = self.make(state, phase + end * rows, to_usize(first + count - end))?;
            state.run.bins.extend(bins);
        }
        let offset = to_usize(first - state.run.first);
        let found = state.run.bins.range(offset..offset + to_usize(count)).cloned().collect();
        // Enough for windows that move back and forth by a few window lengths.
        let most = 8 * to_usize(count);
        if state.run.bins.len() > most {
            if offset > most / 2 {
                let extra = state.run.bins.len() - most;
                state.run.bins.drain(..extra.min(offset));
                state.run.first += extra.min(offset) as u64;
            } else {
                state.run.bins.truncate(most);
            }
        }
        Ok(found)
    }

    /// Computes `count` bins, the first of which starts at row `from`.
    fn make(&self, state: &mut State, mut from: u64, count: usize) -> Result<Vec<Arc<Bin>>> {
        let rows = self.spec.ticks_per_bin();
        let mut bins = Vec::with_capacity(count);
        while bins.len() < count {
            let (group, start) = self.reader.locate(from);
            let held = self.group(state, group)?;
            let whole = ((held.levels.rows() - start) / rows).min(count - bins.len());
            let made = if whole > 0 {
                Bin::of_rows(&self.spec, &held.levels, start..start + whole * rows)
            } else {
                Bin::of_rows(&self.spec, &self.join(state, group, start)?, 0..rows)
            };
            from += (made.len() * rows) as u64;
            bins.extend(made.into_iter().map(Arc::new));
        }
        Ok(bins)
    }

    /// Joins the rows of one bin that spans several row groups.
    fn join(&self, state: &mut State, mut group: usize, mut start: usize) -> Result<Levels<'static>> {
        let rows = self.spec.ticks_per_bin();
        let mut joined = Levels::empty();
        while joined.rows() < rows {
            let held = self.group(state, group)?;
            let end = held.levels.rows().min(start + rows - joined.rows());
            joined.append(&held.levels, start..end);
            (group, start) = (group + 1, 0);
        }
        Ok(joined)
    }
}

/// Reads a row group: prices, the columns that the features need, and classes.
fn decode(reader: &DatasetReader, spec: &DepthSpec, group: usize) -> Result<Group> {
    let (columns, label) = (spec.columns(), reader.label_column());
    let columns: Vec<&str> = columns.iter().chain([&label]).map(String::as_str).collect();
    let batch = reader.read(group, &columns)?;
    let levels = Levels::from_batch(&batch, spec).map_err(|e| InputError::unreadable(reader.path(), e))?;
    Ok(Group { levels: levels.into_micro_pips(spec), classes: reader.classes(&batch)? })
}
