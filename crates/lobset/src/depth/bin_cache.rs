//! The time bins that end at each row of a dataset, in a cache file.
//!
//! A window is then read at once, whichever row it ends at: bins whose first rows are a whole number of bins apart are
//! adjacent in the file.

use std::ops::Range;

use super::packed::BinPacking;
use super::sliding::slide;
use super::{Bin, DepthSpec, Levels};
use crate::cache::{Blank, Cache, CacheFile, Slots};
use crate::cast::to_usize;
use crate::dataset::{DatasetReader, SampleIndex};
use crate::error::{InputError, Result};
use crate::run::{Monitor, Stage, map_ordered};
use crate::tape::common_divisor;

/// With at least this many bins per row, sliding along the rows is cheaper than reading every row of each bin.
const DENSE: u64 = 8;

/// Places of the bins of a dataset.
#[derive(Debug, Clone, PartialEq)]
struct Places {
    /// Rows of a bin.
    length: u64,
    /// Bins begin at rows whose distance from the start of the stretch is a multiple of this divisor of `length`.
    step: u64,
    /// The stretches that hold at least one bin, as positions of rows, and the number of bins before each.
    stretches: Vec<(Range<u64>, u64)>,
    /// Number of all bins.
    count: u64,
}

impl Places {
    fn new(length: u64, step: u64, stretches: impl Iterator<Item = Range<u64>>) -> Self {
        let mut places = Self { length, step, stretches: Vec::new(), count: 0 };
        for stretch in stretches.filter(|stretch| stretch.end - stretch.start >= length) {
            let bins = places.before(&stretch, length / step);
            places.stretches.push((stretch, places.count));
            places.count += bins;
        }
        places
    }

    /// Number of whole bins of a stretch that begin `phase` rows after its start, or a multiple of their length later.
    fn of_phase(&self, stretch: &Range<u64>, phase: u64) -> u64 {
        (stretch.end - stretch.start).saturating_sub(phase) / self.length
    }

    /// Number of bins of a stretch in the first `phases` phases. The stretch holds at least one bin.
    fn before(&self, stretch: &Range<u64>, phases: u64) -> u64 {
        let (whole, rest) = ((stretch.end - stretch.start) / self.length, (stretch.end - stretch.start) % self.length);
        // Phases beyond the rest have one bin fewer.
        phases * whole - phases.saturating_sub(rest / self.step + 1)
    }

    /// The place in the file of the bin that begins at row `from`, and the number of bins of its phase from there on.
    fn find(&self, from: u64) -> Option<(u64, u64)> {
        let after = self.stretches.partition_point(|(stretch, _)| stretch.start <= from);
        let (stretch, before) = self.stretches.get(after.checked_sub(1)?)?;
        let (phase, number) = ((from - stretch.start) % self.length, (from - stretch.start) / self.length);
        let left = self.of_phase(stretch, phase).checked_sub(number)?;
        phase.is_multiple_of(self.step).then(|| (before + self.before(stretch, phase / self.step) + number, left))
    }
}

/// The time bins of a dataset.
#[derive(Debug)]
pub(super) struct BinCache {
    file: CacheFile,
    packing: BinPacking,
    places: Places,
    /// Time bins of a window.
    window: usize,
}

impl BinCache {
    /// Opens the cache file of a dataset for windows of `spec` whose distance is a multiple of `stride`, or builds it.
    ///
    /// # Errors
    /// [`InputError`] when the dataset cannot be read; [`Error::Output`](crate::Error::Output) when the cache file cannot be
    /// written or read.
    pub fn open(
        reader: &DatasetReader,
        spec: &DepthSpec,
        (index, stride): (&SampleIndex, u64),
        cache: &Cache,
        (threads, monitor): (usize, &Monitor<'_>),
    ) -> Result<Self> {
        let length = spec.ticks_per_bin() as u64;
        let places = Places::new(length, common_divisor(stride, length), index.stretches());
        let packing = BinPacking::new(reader, spec);
        let layout = serde_json::json!({
            "ticks_per_bin": length,
            "step": places.step,
            "micro_pip_size": spec.micro_pip_size(),
            "packing": packing,
        });
        let subject = reader.subject("bins", layout)?;
        let bytes = places.count * packing.bytes() as u64;
        let build = |blank: Blank<'_>| {
            let slots = blank.slots(bytes, serde_json::Value::Null)?;
            let groups: Vec<Range<u64>> = reader.groups().collect();
            let group = |rows: &Range<u64>| build_group(reader, spec, (&places, &packing), rows, &slots);
            monitor
                .stage(Stage::Cache, bytes, || map_ordered(threads, 0, &groups, group, |bytes| monitor.advance(bytes)))
        };
        let file = CacheFile::open_or_build(cache.folder(), &subject, monitor, build)?;
        Ok(Self { file, packing, places, window: spec.time_bins() })
    }

    /// Reads the bins of the window that begins at row `from` into `bins`, and returns the base of the ladder around its
    /// last row; `None` if there is no such window.
    pub fn window(&self, from: u64, bytes: &mut Vec<u8>, bins: &mut Vec<Bin>) -> Result<Option<i64>> {
        let Some((number, left)) = self.places.find(from) else { return Ok(None) };
        if left < self.window as u64 {
            return Ok(None);
        }
        let size = self.packing.bytes();
        bytes.resize(self.window * size, 0);
        self.file.read(number * size as u64, bytes)?;
        Ok(self.packing.read(bytes, bins))
    }
}

/// Writes the bins that begin in a row group, and returns how many bytes they take.
fn build_group(
    reader: &DatasetReader,
    spec: &DepthSpec,
    (places, packing): (&Places, &BinPacking),
    rows: &Range<u64>,
    slots: &Slots<'_>,
) -> Result<u64> {
    let first = places.stretches.partition_point(|(stretch, _)| stretch.end <= rows.start);
    let stretches = places.stretches[first..].iter().map(|(stretch, _)| stretch);
    let stretches: Vec<&Range<u64>> = stretches.take_while(|stretch| stretch.start < rows.end).collect();
    let Some(last) = stretches.last() else { return Ok(0) };
    // The last bins end in the next row groups.
    let end = last.end.min(rows.end + places.length - 1).max(rows.end);
    let levels = Levels::read(reader, spec, rows.start..end)?;
    let length = spec.ticks_per_bin();
    let mut written = 0;
    for stretch in stretches {
        let inside = stretch.start.max(rows.start)..stretch.end.min(rows.end);
        // The bins of each phase that begin in this row group.
        let phases = (0..places.length).step_by(to_usize(places.step)).map(|phase| {
            let start = stretch.start + phase;
            let begun = inside.start.saturating_sub(start).div_ceil(places.length);
            let bins = places.of_phase(stretch, phase).min(inside.end.saturating_sub(start).div_ceil(places.length));
            (start, begun..bins)
        });
        let mut phases: Vec<(u64, Range<u64>, Vec<u8>)> =
            phases.map(|(start, bins)| (start, bins, Vec::new())).collect();
        let pack =
            |from: usize, bin: &Bin, bytes: &mut Vec<u8>| write(reader, spec, packing, &levels, (from, bin), bytes);
        if places.step * DENSE <= places.length {
            let end = inside.end.min((stretch.end + 1).saturating_sub(places.length)).max(inside.start);
            let starts = to_usize(inside.start - rows.start)..to_usize(end - rows.start);
            slide(spec, &levels, starts, |from, bin| {
                let offset = from as u64 + rows.start - stretch.start;
                if !offset.is_multiple_of(places.step) {
                    return Ok(());
                }
                pack(from, bin, &mut phases[to_usize(offset % places.length / places.step)].2)
            })?;
        } else {
            for (start, bins, bytes) in phases.iter_mut().filter(|(_, bins, _)| !bins.is_empty()) {
                let from = to_usize(*start + bins.start * places.length - rows.start);
                let until = from + to_usize(bins.end - bins.start) * length;
                let found = Bin::of_rows(spec, &levels, from..until);
                (from..).step_by(length).zip(&found).try_for_each(|(from, bin)| pack(from, bin, bytes))?;
            }
        }
        for (start, bins, bytes) in phases.iter().filter(|(_, bins, _)| !bins.is_empty()) {
            let Some((number, _)) = places.find(start + bins.start * places.length) else { continue };
            slots.write(number * packing.bytes() as u64, bytes)?;
            written += bytes.len() as u64;
        }
    }
    Ok(written)
}

/// Appends the bin that begins at row `from` to `bytes`.
fn write(
    reader: &DatasetReader,
    spec: &DepthSpec,
    packing: &BinPacking,
    levels: &Levels<'_>,
    (from, bin): (usize, &Bin),
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let base = levels.base(spec, from + spec.ticks_per_bin() - 1);
    let base = base.ok_or_else(|| InputError::new(reader.path(), "has a row without best bid or best ask"))?;
    packing.write(bin, base, bytes).ok_or_else(|| {
        InputError::new(reader.path(), "has values beyond the extremes that its footer states")
            .with_help("write the dataset again: this file is damaged")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_bin_has_a_place_of_its_own_beside_the_next_of_its_phase(
            length in 1..9u64, divide in 1..9u64, stretches in prop::collection::vec(1..40u64, 1..6),
        ) {
            let step = common_divisor(divide, length);
            let mut end = 0;
            let stretches: Vec<Range<u64>> = stretches.iter().map(|rows| {
                end += rows;
                end - rows..end
            }).collect();
            let places = Places::new(length, step, stretches.iter().cloned());
            let mut taken = vec![false; to_usize(places.count)];
            for stretch in &stretches {
                for from in stretch.clone() {
                    let whole = from + length <= stretch.end;
                    let on_grid = (from - stretch.start).is_multiple_of(step);
                    let found = places.find(from).filter(|(_, left)| *left > 0);
                    prop_assert_eq!(found.is_some(), whole && on_grid, "row {} of {:?}", from, stretch);
                    if let Some((number, left)) = found {
                        prop_assert!(!std::mem::replace(&mut taken[to_usize(number)], true));
                        prop_assert_eq!(left, (stretch.end - from) / length);
                        if left > 1 {
                            prop_assert_eq!(places.find(from + length).unwrap().0, number + 1);
                        }
                    }
                }
            }
            prop_assert!(taken.iter().all(|taken| *taken));
        }
    }
}
