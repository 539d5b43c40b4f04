//! Depth tensors of a dataset's windows: row group by row group in bounded memory, or from a cache file.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::bin_cache::BinCache;
use super::{Bin, Colour, DepthSpec, Levels, MISSING};
use crate::cache::Cache;
use crate::cast::to_usize;
use crate::dataset::{DatasetReader, Recent, SampleIndex};
use crate::error::{InputError, Result};
use crate::run::Monitor;

/// Consecutive time bins on one grid.
#[derive(Default)]
struct BinRun {
    /// The first row of the grid.
    phase: u64,
    /// Number of the first cached bin on the grid.
    first: u64,
    bins: VecDeque<Arc<Bin>>,
}

/// Computes depth tensors of a dataset. Threads may share it.
pub struct WindowCache {
    reader: DatasetReader,
    spec: DepthSpec,
    source: Bins,
}

/// Where the time bins of a window come from.
enum Bins {
    /// From the most recently used row groups. The bins that neighbouring windows share are kept.
    RowGroups(Box<Mutex<State>>),
    /// From a cache file.
    File(BinCache),
}

struct State {
    groups: Recent<Levels<'static>>,
    run: BinRun,
}

thread_local! {
    /// The bins of the last window from a cache file, as bytes and decoded. The buffers are reused: new ones for each
    /// window would cost more than the bins.
    static SCRATCH: RefCell<(Vec<u8>, Vec<Bin>)> = RefCell::default();
}

impl WindowCache {
    /// Computes the tensors of `spec` from the dataset alone. Keeps `row_groups` decoded row groups (by default, and at
    /// least, one more than a window spans; about 42 MB each with all features) and the bins of a few windows in memory.
    ///
    /// # Errors
    /// [`InputError`] when the dataset was written with `drop_unbalanced`: the rows between its samples are missing.
    pub fn new(reader: DatasetReader, spec: DepthSpec, row_groups: Option<usize>) -> Result<Self> {
        reader.check_complete()?;
        let spanned = to_usize((spec.samples() as u64).div_ceil(reader.smallest_group())) + 1;
        let kept = row_groups.unwrap_or(0).max(spanned + 1);
        let state = State { groups: Recent::new(kept), run: BinRun::default() };
        Ok(Self { reader, spec, source: Bins::RowGroups(Box::new(Mutex::new(state))) })
    }

    /// Computes the tensors of `spec` from a file in `cache`, for samples whose windows are `stride` rows apart, or multiples
    /// of it. Builds the file, on `threads` threads, if it does not exist.
    ///
    /// # Errors
    /// [`InputError`] as [`new`](Self::new), and when the dataset cannot be read; [`Error::Output`](crate::Error::Output)
    /// when there is no room for the file, or it cannot be written or read.
    pub fn with_file(
        reader: DatasetReader,
        spec: DepthSpec,
        samples: (&SampleIndex, u64),
        cache: &Cache,
        on: (usize, &Monitor<'_>),
    ) -> Result<Self> {
        reader.check_complete()?;
        let bins = BinCache::open(&reader, &spec, samples, cache, on)?;
        Ok(Self { reader, spec, source: Bins::File(bins) })
    }

    /// Settings of the tensors.
    pub fn spec(&self) -> &DepthSpec {
        &self.spec
    }

    /// The dataset.
    pub fn reader(&self) -> &DatasetReader {
        &self.reader
    }

    /// Writes the tensor of the window that ends at row `place` into `out` ([`DepthSpec::cells`] long).
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or has no such window.
    pub fn tensor<C: Colour>(&self, place: u64, out: &mut [C]) -> Result<()> {
        self.with_bins(place, |bins, base| self.spec.paint(bins, base, out))
    }

    /// Writes the bins of the window that ends at row `place`, before they are painted: the row of the ladder of each level,
    /// -1 where it is missing or off the ladder, in the order side (bids, asks), level, time bin, and the value of each
    /// feature in the order feature, side, level, time bin.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn bins(&self, place: u64, ladder_rows: &mut [i16], values: &mut [f32]) -> Result<()> {
        self.with_bins(place, |bins, base| self.spec.spread_out(bins, base, ladder_rows, values))
    }

    /// The share of cells that are on the ladder, in the windows that end at rows `places`. A cell is a level of a side
    /// in a time bin that has a price. `None` if there are no cells.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor).
    pub fn coverage(&self, places: &[u64]) -> Result<Option<f64>> {
        let (mut on_ladder, mut cells) = (0_u64, 0_u64);
        for place in places {
            self.with_bins(*place, |bins, base| {
                for level in
                    bins.iter().flat_map(|bin| bin.levels.iter().flatten()).filter(|level| level.step != MISSING)
                {
                    on_ladder += u64::from(DepthSpec::ladder_row(level.step, base).is_some());
                    cells += 1;
                }
            })?;
        }
        Ok((cells > 0).then(|| on_ladder as f64 / cells as f64))
    }

    /// Passes on the bins of the window that ends at row `place`, and the base of its ladder.
    fn with_bins<T>(&self, place: u64, work: impl FnOnce(&[&Bin], i64) -> T) -> Result<T> {
        let refuse = |message: String| Err(InputError::new(self.reader.path(), message).into());
        let samples = self.spec.samples() as u64;
        let none = || refuse(format!("row {place} of {} has no window of {samples} rows", self.reader.rows()));
        if place >= self.reader.rows() || place + 1 < samples {
            return none();
        }
        let from = place + 1 - samples;
        match &self.source {
            Bins::File(file) => SCRATCH.with_borrow_mut(|(bytes, bins)| match file.window(from, bytes, bins)? {
                Some(base) => Ok(work(&bins.iter().collect::<Vec<_>>(), base)),
                None => none(),
            }),
            Bins::RowGroups(state) => {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let (group, row) = self.reader.locate(place);
                let Some(base) = self.group(&mut state, group)?.base(&self.spec, row) else {
                    return refuse(format!("row {place} has no best bid or no best ask"));
                };
                let bins = self.shared_bins(&mut state, from)?;
                drop(state);
                Ok(work(&bins.iter().map(AsRef::as_ref).collect::<Vec<_>>(), base))
            }
        }
    }

    fn group(&self, state: &mut State, group: usize) -> Result<Arc<Levels<'static>>> {
        state
            .groups
            .get(group, || Levels::read(&self.reader, &self.spec, self.reader.groups().nth(group).unwrap_or_default()))
    }

    /// The bins of the window that starts at row `from`. Reuses those of the previous window.
    fn shared_bins(&self, state: &mut State, from: u64) -> Result<Vec<Arc<Bin>>> {
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
            let whole = ((held.rows() - start) / rows).min(count - bins.len());
            let made = if whole > 0 {
                Bin::of_rows(&self.spec, &held, start..start + whole * rows)
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
            let end = held.rows().min(start + rows - joined.rows());
            joined.append(&held, start..end);
            (group, start) = (group + 1, 0);
        }
        Ok(joined)
    }
}
