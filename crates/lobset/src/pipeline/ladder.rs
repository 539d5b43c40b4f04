//! Ladders of depth tensors: how much of the book is on them, and the step that puts most of it there.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::streams::Stream;
use crate::cast::to_usize;
use crate::config::{Config, MicroPipSize};
use crate::depth::{DepthSpec, MISSING, floor_of_mean};
use crate::error::{Error, Result};
use crate::output::Ladder;
use crate::tape::{BOOK_WORDS, Book, RowCursor, SymbolTape, each_bit, is_price};

/// Maximum number of windows of a symbol that are examined.
const MOST_WINDOWS: u64 = 8;

/// With [`MicroPipSize::Auto`], the share of cells that must be on the ladder, in tenths.
const ENOUGH_TENTHS: u64 = 9;

/// With [`MicroPipSize::Auto`], the number of steps to choose from: 1, 2, 5, 10, … ticks, up to 5e11. A single price
/// that is not a multiple of the true tick may make the tick as small as 1e-9, but the largest step is 500 price units
/// even then.
const STEPS: u32 = 36;

/// Windows of a symbol, and the ladders to try on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LadderTask {
    /// Its place among the streams.
    pub stream: usize,
    /// The rows of a window: whole time bins.
    pub rows: Range<u64>,
    /// Rows of a time bin.
    pub ticks_per_bin: u64,
    /// Steps in price units, ascending.
    pub steps: Vec<f64>,
}

impl LadderTask {
    /// Number of rows.
    pub fn count(&self) -> u64 {
        self.rows.end - self.rows.start
    }
}

/// The cells of windows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderCounts {
    /// Those with a price.
    pub cells: u64,
    /// Those on the ladder, by step.
    pub on_ladder: Vec<u64>,
}

/// The windows of a symbol: at most [`MOST_WINDOWS`], spread evenly over its rows before the boundary time, or over all
/// rows if none are before it. The rows are divided into equal parts, and a window ends with the last row of each. It
/// is shorter than `samples` rows if there are fewer or the stream breaks.
pub fn ladder_tasks(config: &Config, place: usize, stream: &Stream) -> Vec<LadderTask> {
    let rows = if stream.boundary_row == 0 { stream.tape.rows() } else { stream.boundary_row };
    let windows = (rows / config.samples).clamp(1, MOST_WINDOWS);
    let steps = steps(config.micro_pip_size, stream.tick());
    let window = |number: u64| {
        let end = u64::try_from(u128::from(rows) * u128::from(number + 1) / u128::from(windows)).unwrap_or(rows);
        let before = stream.breaks.partition_point(|row| *row < end);
        let unbroken = before.checked_sub(1).map_or(0, |before| stream.breaks[before]);
        let count = end.saturating_sub(unbroken).min(config.samples) / config.ticks_per_bin * config.ticks_per_bin;
        (count > 0).then(|| LadderTask {
            stream: place,
            rows: end - count..end,
            ticks_per_bin: config.ticks_per_bin,
            steps: steps.clone(),
        })
    };
    (0..windows).filter_map(window).collect()
}

/// The steps to choose from, in price units.
fn steps(size: MicroPipSize, tick: u64) -> Vec<f64> {
    let step = |number: u32| {
        let times = [1, 2, 5][number as usize % 3] * 10_u64.pow(number / 3);
        in_price_units(tick.max(1).saturating_mul(times))
    };
    size.fixed().map_or_else(|| (0..STEPS).map(step).collect(), |size| vec![size])
}

/// A price given in 1e-9.
fn in_price_units(price: u64) -> f64 {
    price as f64 / 1e9
}

/// The ladder of a symbol, given the counts of all its windows.
pub fn ladder(config: &Config, stream: &Stream, counts: &LadderCounts) -> Ladder {
    let steps = steps(config.micro_pip_size, stream.tick());
    let enough = |on_ladder: &u64| u128::from(*on_ladder) * 10 >= u128::from(counts.cells) * u128::from(ENOUGH_TENTHS);
    let chosen = match counts.cells {
        // There is no evidence that a wider ladder is needed.
        0 => 0,
        _ => counts.on_ladder.iter().position(enough).unwrap_or(steps.len() - 1),
    };
    let on_ladder = counts.on_ladder.get(chosen).copied().unwrap_or_default();
    Ladder {
        tick: in_price_units(stream.tick()),
        micro_pip_size: steps[chosen],
        coverage: (counts.cells > 0).then(|| on_ladder as f64 / counts.cells as f64),
    }
}

impl LadderCounts {
    /// Counts the cells of a window.
    ///
    /// # Errors
    /// [`Error::Output`] when the tape cannot be read.
    pub fn of(tape: &SymbolTape, task: &LadderTask) -> Result<Self> {
        let specs: Vec<DepthSpec> = task
            .steps
            .iter()
            .map(|step| DepthSpec::new(&Config::default().features, task.ticks_per_bin, task.ticks_per_bin, *step))
            .collect::<Result<_, _>>()
            .map_err(Error::from)?;
        // One for each word of a book; words that are not prices leave theirs empty.
        let mut cells: Vec<Cell> = (0..BOOK_WORDS).map(|_| Cell::new(specs.len())).collect();
        let mut bins = Vec::new();
        let mut cursor = RowCursor::new(tape, task.rows.start)?;
        let cut = || Error::Executor("a work file is shorter than its index".to_owned());
        for row in 0..task.count() {
            let changed = cursor.advance()?.ok_or_else(cut)?;
            let in_bin = row % task.ticks_per_bin;
            let book = &cursor.row().book;
            each_bit(if row == 0 { ALL_WORDS } else { changed }, |word| {
                if is_price(word) {
                    cells[word].change(&specs, book[word].cast_signed(), in_bin);
                }
            });
            if in_bin + 1 == task.ticks_per_bin {
                bins.extend(cells.iter_mut().flat_map(|cell| cell.take(task.ticks_per_bin)));
            }
        }
        let mut counts = Self { cells: 0, on_ladder: vec![0; specs.len()] };
        for (number, spec) in specs.iter().enumerate() {
            let Some(base) = base(spec, &cursor.row().book) else { continue };
            for step in bins.iter().skip(number).step_by(specs.len()).filter(|step| **step != MISSING) {
                counts.cells += u64::from(number == 0);
                counts.on_ladder[number] += u64::from(DepthSpec::ladder_row(*step, base).is_some());
            }
        }
        Ok(counts)
    }

    /// Adds the cells of another window, for the same steps.
    pub fn add(&mut self, other: &Self) {
        self.cells += other.cells;
        self.on_ladder.resize(other.on_ladder.len(), 0);
        self.on_ladder.iter_mut().zip(&other.on_ladder).for_each(|(sum, more)| *sum += more);
    }
}

/// A mask of all words of a book.
const ALL_WORDS: u64 = (1 << BOOK_WORDS) - 1;

/// A price in micro-pips, if it is one.
fn micro_pips(spec: &DepthSpec, price: i64) -> Option<i64> {
    (price != dbn::UNDEF_PRICE).then(|| spec.micro_pips(price as f64 / 1e9))
}

/// The base of the ladder around a row.
fn base(spec: &DepthSpec, book: &Book) -> Option<i64> {
    let [bid, ask] = [book[0], book[1]].map(|price| micro_pips(spec, price.cast_signed()));
    DepthSpec::base(bid, ask)
}

/// A level of a side in a time bin, for each step. Few rows change the price, so each price is converted to micro-pips
/// once for all rows that keep it.
struct Cell {
    /// The price in micro-pips, by step; empty if it is missing.
    price: Vec<i64>,
    /// The row of the bin in which the price last changed.
    since: u64,
    /// Sums of the prices of earlier rows, by step, and the number of earlier rows that have a price.
    sums: Vec<i128>,
    rows: u64,
}

impl Cell {
    fn new(steps: usize) -> Self {
        Self { price: Vec::new(), since: 0, sums: vec![0; steps], rows: 0 }
    }

    /// Adds the rows of the bin up to `row`.
    fn add(&mut self, row: u64) {
        let rows = row - self.since;
        self.since = row;
        if !self.price.is_empty() {
            self.rows += rows;
            self.sums
                .iter_mut()
                .zip(&self.price)
                .for_each(|(sum, price)| *sum += i128::from(*price) * i128::from(rows));
        }
    }

    /// Sets the price for the rows of the bin from `row`.
    fn change(&mut self, specs: &[DepthSpec], price: i64, row: u64) {
        self.add(row);
        self.price.clear();
        self.price.extend(specs.iter().filter_map(|spec| micro_pips(spec, price)));
    }

    /// Ends the bin of `rows` rows: returns the floor of its mean price, by step.
    fn take(&mut self, rows: u64) -> impl Iterator<Item = i64> {
        self.add(rows);
        self.since = 0;
        let with_price = std::mem::take(&mut self.rows);
        let mean = move |sum: &mut i128| match with_price {
            0 => MISSING,
            _ => floor_of_mean(std::mem::take(sum), to_usize(with_price)),
        };
        self.sums.iter_mut().map(mean)
    }
}
