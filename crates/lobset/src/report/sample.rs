//! The rows that charts are drawn from: blocks spread evenly over a dataset.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampNanosecondType};
use arrow_array::{Array, Int32Array, RecordBatch};

use crate::cast::to_usize;
use crate::config::Target;
use crate::dataset::{DatasetReader, first_at};
use crate::error::Result;
use crate::label::Split;
use crate::output::names;
use crate::run::map_ordered;
use crate::storage;
use crate::time_text::HOUR;

/// Number of blocks in a local file, and in an object store, where each takes a request.
const BLOCKS: u64 = 256;
const REMOTE_BLOCKS: u64 = 32;

/// Rows of a block.
const SAMPLED_ROWS: u64 = 512;

/// Number of blocks of fit rows that movements are read from. Movements hardly compress, so they take longest to read, and
/// a histogram needs fewer rows than a line over time.
const MOVEMENT_BLOCKS: u64 = 32;

/// Rows of a dataset.
pub struct Sample {
    /// Number of rows read, and number of all rows.
    pub rows: [u64; 2],
    /// The times, mid prices and spreads of the blocks, in order of time.
    pub blocks: Vec<Block>,
    /// The labels of each target, in the order of the settings.
    pub targets: Vec<SampledLabels>,
}

/// A block of neighbouring rows.
pub struct Block {
    /// Times of its first and last row.
    pub times: [u64; 2],
    /// The lowest and the highest mid price.
    pub mids: [f64; 2],
    /// The mean spread.
    pub spread: f64,
}

/// The labels of a target.
#[derive(Default)]
pub struct SampledLabels {
    /// The movements of `fit` rows, from fewer blocks.
    pub fit: Vec<f64>,
    /// Each hour that has rows with a label, in order, and their number by class.
    pub hours: Vec<(u64, Vec<u64>)>,
}

impl SampledLabels {
    /// Counts the next rows; `nbins` is the number of classes.
    fn count(&mut self, times: &[i64], classes: &Int32Array, nbins: usize) {
        // The place of the last hour: nearly all rows belong to the hour of the row before.
        let mut at = 0;
        for (time, class) in times.iter().zip(classes).filter_map(|(time, class)| Some((*time, class?))) {
            let hour = u64::try_from(time).unwrap_or(0) / HOUR;
            if self.hours.get(at).is_none_or(|(last, _)| *last != hour) {
                at = self.hours.binary_search_by_key(&hour, |(hour, _)| *hour).unwrap_or_else(|new| {
                    self.hours.insert(new, (hour, vec![0; nbins]));
                    new
                });
            }
            let count = usize::try_from(class).ok().and_then(|class| self.hours[at].1.get_mut(class));
            count.into_iter().for_each(|count| *count += 1);
        }
    }
}

/// The columns of a block that charts need.
struct Columns<'a> {
    times: &'a [i64],
    mids: &'a [f64],
    bids: Vec<f64>,
    asks: Vec<f64>,
}

impl Sample {
    /// Reads a sample of a dataset on `threads` threads. Blocks do not span pauses longer than `pause`. The first `fit_rows`
    /// rows of the file contain all fit rows.
    ///
    /// # Errors
    /// [`InputError`](crate::error::InputError) when the file cannot be read.
    pub fn read(reader: &DatasetReader, pause: u64, fit_rows: u64, threads: usize) -> Result<Self> {
        let targets = reader.config().all_targets();
        let most = if storage::is_url(reader.path()) { REMOTE_BLOCKS } else { BLOCKS };
        let time = time_column(reader);
        let [bid, ask] = [0, 1].map(|side| names::of_level("px", side, 0));
        let class = |target: &Target| (target.column(names::CLASSIFICATION_LABEL), target.class_count());
        let classes: Vec<(String, usize)> = targets.iter().map(class).collect();
        let mut wanted = vec![time, names::MID_PRICE, &bid, &ask];
        wanted.extend(classes.iter().map(|(class, _)| class.as_str()));

        let mut sample = Self { rows: [0, reader.rows()], blocks: Vec::new(), targets: Vec::new() };
        sample.targets.resize_with(targets.len(), SampledLabels::default);
        let blocks = blocks(reader.rows(), most);
        read_groups(reader, &blocks, &wanted, threads, |ranges, batch| {
            let mut start = 0;
            ranges.iter().try_for_each(|range| {
                let block = batch.slice(start, range.len());
                start += range.len();
                sample.take(reader, &block, (time, &bid, &ask), &classes, pause)
            })
        })?;
        let fit = self::blocks(fit_rows, MOVEMENT_BLOCKS);
        let columns = [names::PRICE_MOVEMENT, names::SPLIT];
        let columns: Vec<[String; 2]> = targets.iter().map(|target| columns.map(|name| target.column(name))).collect();
        let wanted: Vec<&str> = columns.iter().flatten().map(String::as_str).collect();
        read_groups(reader, &fit, &wanted, threads, |_, batch| sample.take_movements(reader, batch, &columns))?;
        Ok(sample)
    }

    fn take(
        &mut self,
        reader: &DatasetReader,
        block: &RecordBatch,
        (time, bid, ask): (&str, &str, &str),
        classes: &[(String, usize)],
        pause: u64,
    ) -> Result<()> {
        let times = reader.column(block, time)?;
        let times = times.as_primitive_opt::<TimestampNanosecondType>();
        let mids = reader.column(block, names::MID_PRICE)?.as_primitive_opt::<Float64Type>();
        let foreign = || reader.foreign(names::MID_PRICE);
        let prices = |name: &str| -> Result<Vec<f64>> {
            let column = reader.column(block, name)?;
            if let Some(floats) = column.as_primitive_opt::<Float64Type>() {
                return Ok(floats.iter().map(|price| price.unwrap_or(f64::NAN)).collect());
            }
            let fixed = column.as_primitive_opt::<Int64Type>().ok_or_else(|| reader.foreign(name))?;
            Ok(fixed.iter().map(|price| price.map_or(f64::NAN, |price| price as f64 / 1e9)).collect())
        };
        let columns = Columns {
            times: times.ok_or_else(|| reader.foreign(time))?.values(),
            mids: mids.ok_or_else(foreign)?.values(),
            bids: prices(bid)?,
            asks: prices(ask)?,
        };
        self.rows[0] += block.num_rows() as u64;
        self.blocks.extend(columns.blocks(pause));
        for ((class, nbins), labels) in classes.iter().zip(&mut self.targets) {
            let of_rows = reader.column(block, class)?.as_primitive_opt::<Int32Type>();
            labels.count(columns.times, of_rows.ok_or_else(|| reader.foreign(class))?, *nbins);
        }
        Ok(())
    }

    /// Takes the movements of fit rows; `columns` has the movement and the split of each target.
    fn take_movements(&mut self, reader: &DatasetReader, batch: &RecordBatch, columns: &[[String; 2]]) -> Result<()> {
        for ([movement, split], labels) in columns.iter().zip(&mut self.targets) {
            let movements = reader.column(batch, movement)?.as_primitive_opt::<Float64Type>();
            let movements = movements.ok_or_else(|| reader.foreign(movement))?;
            let (splits, by_key) = reader.splits(batch, split)?;
            let is_fit = |key: i32| usize::try_from(key).is_ok_and(|key| by_key.get(key) == Some(&Some(Split::Fit)));
            let of_rows = splits.iter().zip(movements);
            labels.fit.extend(of_rows.filter(|(key, _)| key.is_some_and(is_fit)).filter_map(|(_, movement)| movement));
        }
        Ok(())
    }
}

/// Reads columns of blocks of rows, and passes the rows of each row group to `take`, in order, with their ranges in it.
fn read_groups(
    reader: &DatasetReader,
    blocks: &[Range<u64>],
    wanted: &[&str],
    threads: usize,
    mut take: impl FnMut(&[Range<usize>], &RecordBatch) -> Result<()> + Send,
) -> Result<()> {
    let groups = by_group(reader, blocks);
    let read = |(group, ranges): &(usize, Vec<Range<usize>>)| {
        Ok((ranges.clone(), reader.read_ranges(*group, ranges, wanted)?))
    };
    map_ordered(threads, 1, &groups, read, |(ranges, batch)| take(&ranges, &batch))
}

impl Columns<'_> {
    /// The rows as blocks: one block, unless there are pauses.
    fn blocks(&self, pause: u64) -> impl Iterator<Item = Block> {
        let mut start = 0;
        self.times.chunk_by(move |a, b| b.saturating_sub(*a) <= i64::try_from(pause).unwrap_or(i64::MAX)).map(
            move |times| {
                let rows = start..start + times.len();
                start = rows.end;
                self.block(rows)
            },
        )
    }

    fn block(&self, rows: Range<usize>) -> Block {
        let times = [rows.start, rows.end - 1].map(|row| u64::try_from(self.times[row]).unwrap_or_default());
        let mids = &self.mids[rows.clone()];
        let low = mids.iter().copied().fold(f64::INFINITY, f64::min);
        let high = mids.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let spreads = rows.map(|row| self.asks[row] - self.bids[row]).filter(|spread| !spread.is_nan());
        let (sum, count) = spreads.fold((0.0, 0_u32), |(sum, count), spread| (sum + spread, count + 1));
        Block { times, mids: [low, high], spread: sum / f64::from(count.max(1)) }
    }
}

/// Number of rows of a dataset before the boundary time; all rows if the file does not say.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when the file cannot be read.
pub fn rows_before(reader: &DatasetReader, until: u64) -> Result<u64> {
    // Without `ts_recv` nothing says where T is.
    if time_column(reader) == names::TS_RECV { first_at(reader, until) } else { Ok(reader.rows()) }
}

/// When the embargo of a dataset begins: the time of its first row under embargo for any target. These are the last rows
/// before T. `None` if the file has no such row.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when the file cannot be read.
pub fn embargo(reader: &DatasetReader, rows_before: u64) -> Result<Option<u64>> {
    let time = time_column(reader);
    let Some(last) = rows_before.checked_sub(1) else { return Ok(None) };
    let targets = reader.config().all_targets();
    let splits: Vec<String> = targets.iter().map(|target| target.column(names::SPLIT)).collect();
    let wanted: Vec<&str> = splits.iter().map(String::as_str).chain([time]).collect();
    let mut begin = None;
    for group in (0..=reader.locate(last).0).rev() {
        let batch = reader.read(group, &wanted)?;
        let first = splits.iter().map(|split| first_of(reader, &batch, split, Split::Embargo));
        match first.collect::<Result<Vec<_>>>()?.into_iter().flatten().min() {
            Some(row) => {
                let times = reader.column(&batch, time)?.as_primitive_opt::<TimestampNanosecondType>();
                begin = u64::try_from(times.ok_or_else(|| reader.foreign(time))?.value(row)).ok();
            }
            None if begin.is_some() => break,
            None => {}
        }
    }
    Ok(begin)
}

/// The column of times that charts are drawn over.
fn time_column(reader: &DatasetReader) -> &'static str {
    if reader.data_type(names::TS_RECV).is_some() { names::TS_RECV } else { names::TS_EVENT }
}

/// The first row of a split.
fn first_of(reader: &DatasetReader, batch: &RecordBatch, column: &str, split: Split) -> Result<Option<usize>> {
    let (splits, by_key) = reader.splits(batch, column)?;
    let wanted = by_key.iter().position(|of_key| *of_key == Some(split));
    let is_wanted = |row: &usize| splits.is_valid(*row) && usize::try_from(splits.value(*row)).ok() == wanted;
    Ok(wanted.and_then(|_| (0..batch.num_rows()).find(is_wanted)))
}

/// Ranges of rows: all of them in pieces if there are few, else one from each of equal parts.
fn blocks(rows: u64, most: u64) -> Vec<Range<u64>> {
    let count = rows.div_ceil(SAMPLED_ROWS).min(most);
    let part = |number: u64| u64::try_from(u128::from(rows) * u128::from(number) / u128::from(count)).unwrap_or(rows);
    (0..count).map(|number| part(number)..part(number + 1).min(part(number) + SAMPLED_ROWS)).collect()
}

/// The parts of ranges in each row group, as positions within it.
fn by_group(reader: &DatasetReader, blocks: &[Range<u64>]) -> Vec<(usize, Vec<Range<usize>>)> {
    let of_group = |(number, group): (usize, Range<u64>)| {
        let within = |block: &Range<u64>| block.start.max(group.start)..block.end.min(group.end);
        let place = |rows: Range<u64>| to_usize(rows.start - group.start)..to_usize(rows.end - group.start);
        let ranges: Vec<_> = blocks.iter().map(within).filter(|rows| !rows.is_empty()).map(place).collect();
        (!ranges.is_empty()).then_some((number, ranges))
    };
    reader.groups().enumerate().filter_map(of_group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_all_rows_or_spread_evenly() {
        let all = |rows: u64, most: u64| blocks(rows, most);
        assert_eq!(all(0, 4), []);
        assert_eq!(all(5, 4).iter().cloned().flatten().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let whole = all(4 * SAMPLED_ROWS - 1, 4);
        assert_eq!(whole.iter().map(|b| b.end - b.start).sum::<u64>(), 4 * SAMPLED_ROWS - 1);
        let many = all(1_000_000, 4);
        assert_eq!(many.iter().map(|b| b.start).collect::<Vec<_>>(), [0, 250_000, 500_000, 750_000]);
        assert!(many.iter().all(|b| b.end - b.start == SAMPLED_ROWS));
    }
}
