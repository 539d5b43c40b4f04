//! Counts, sums and sums of squares: of a column, of the columns of an input file, of the files of a symbol.

use serde::{Deserialize, Serialize};

use super::exact::FloatSums;
use crate::output::kind::Kind;

/// The count, the sum and the sum of squares of values that are not null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSums {
    /// Number of values.
    pub count: u64,
    /// Their sums.
    pub of: Totals,
}

/// The sums of values of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Totals {
    /// Whole numbers. A sum beyond 128 bits is `None`.
    Integers {
        /// The sum.
        sum: Option<i128>,
        /// The sum of squares.
        squares: Option<u128>,
    },
    /// Floats.
    Floats(FloatSums),
}

/// Adds two numbers with `add`, which returns `None` on overflow.
fn both<T>(a: Option<T>, b: Option<T>, add: impl FnOnce(T, T) -> Option<T>) -> Option<T> {
    a.zip(b).and_then(|(a, b)| add(a, b))
}

impl ColumnSums {
    /// The sums of no values of a kind.
    pub fn new(kind: Kind) -> Self {
        let of = match kind {
            Kind::Float => Totals::Floats(FloatSums::new()),
            _ => Totals::Integers { sum: Some(0), squares: Some(0) },
        };
        Self { count: 0, of }
    }

    /// Adds a value of a column of runs `times` times; `bits` are not those of null.
    #[inline]
    pub fn add(&mut self, bits: u64, times: u32) {
        self.count += u64::from(times);
        match &mut self.of {
            Totals::Integers { sum, squares } => {
                // Prices are signed 64-bit integers; all other values are unsigned.
                let value = bits.cast_signed();
                let square = u128::from(value.unsigned_abs()).pow(2).checked_mul(times.into());
                *sum = both(*sum, i128::from(value).checked_mul(times.into()), i128::checked_add);
                *squares = both(*squares, square, u128::checked_add);
            }
            Totals::Floats(sums) => sums.add(f64::from_bits(bits), times),
        }
    }

    /// Adds the sums of other values of the same kind.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        match (&mut self.of, &other.of) {
            (Totals::Integers { sum, squares }, Totals::Integers { sum: more, squares: more_squares }) => {
                *sum = both(*sum, *more, i128::checked_add);
                *squares = both(*squares, *more_squares, u128::checked_add);
            }
            (Totals::Floats(sums), Totals::Floats(more)) => sums.merge(more),
            // Sums of a column are of one kind.
            (Totals::Integers { .. }, Totals::Floats(_)) | (Totals::Floats(_), Totals::Integers { .. }) => {
                debug_assert!(false, "sums of two kinds");
            }
        }
    }
}

/// The sums of the rows of one input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSums {
    /// The place of the file among the inputs.
    pub file: usize,
    /// The sums of each numeric column: over all rows, then over the fit rows of each target.
    pub sets: Vec<Vec<ColumnSums>>,
}

/// The sums of consecutive rows of a symbol, by input file, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolSums(pub Vec<FileSums>);

impl SymbolSums {
    /// Adds the sums of the rows that follow.
    pub fn append(&mut self, next: Self) {
        for file in next.0 {
            match self.0.last_mut().filter(|last| last.file == file.file) {
                Some(last) => {
                    let pairs = last.sets.iter_mut().flatten().zip(file.sets.iter().flatten());
                    pairs.for_each(|(sums, more)| sums.merge(more));
                }
                None => self.0.push(file),
            }
        }
    }
}
