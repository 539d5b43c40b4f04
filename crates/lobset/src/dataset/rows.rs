//! Rows of a dataset as vectors of floats.

use std::sync::{Mutex, PoisonError};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type};

use super::reader::DatasetReader;
use super::recent::Recent;
use crate::error::{InputError, Result};

/// Reads rows of a dataset as vectors of floats. Caches the most recently used row groups; threads can share it.
pub struct RowCache {
    reader: DatasetReader,
    columns: Vec<String>,
    /// The numbers of row groups in row-major order.
    groups: Mutex<Recent<Vec<f32>>>,
}

/// Number of decoded row groups in the cache.
const ROW_GROUPS_KEPT: usize = 2;

impl RowCache {
    /// Creates a cache that reads vectors of these columns, in this order.
    ///
    /// # Errors
    /// [`InputError`] when a column is missing or not numeric.
    pub fn new(reader: DatasetReader, columns: Vec<String>) -> Result<Self> {
        for name in &columns {
            if let Err(reason) = reader.check_feature(name) {
                let error = InputError::new(reader.path(), format!("the column {name:?} {reason}"));
                return Err(error.with_help("by default a vector has the ten levels and the mid price").into());
            }
        }
        Ok(Self { reader, columns, groups: Mutex::new(Recent::new(ROW_GROUPS_KEPT)) })
    }

    /// The columns of the vectors.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The underlying dataset.
    pub fn reader(&self) -> &DatasetReader {
        &self.reader
    }

    /// Writes the numbers of the row at `place` into `out`, NaN for null.
    ///
    /// # Errors
    /// [`InputError`] when the file cannot be read, or has no such row.
    pub fn row(&self, place: u64, out: &mut [f32]) -> Result<()> {
        if place >= self.reader.rows() {
            let message = format!("has {} rows, so there is no row {place}", self.reader.rows());
            return Err(InputError::new(self.reader.path(), message).into());
        }
        let (group, row) = self.reader.locate(place);
        let cells = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            groups.get(group, || self.decode(group))?
        };
        out.copy_from_slice(&cells[row * self.columns.len()..][..self.columns.len()]);
        Ok(())
    }

    fn decode(&self, group: usize) -> Result<Vec<f32>> {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let batch = self.reader.read(group, &columns)?;
        let width = self.columns.len();
        let mut cells = vec![0.0; width * batch.num_rows()];
        for (place, name) in self.columns.iter().enumerate() {
            let column = self.reader.column(&batch, name)?;
            let slots = cells.iter_mut().skip(place).step_by(width);
            floats(column, slots).ok_or_else(|| self.reader.foreign(name))?;
        }
        Ok(cells)
    }
}

/// Writes a column's numbers as f32 into `slots`, NaN for null.
#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32 on purpose")]
fn floats<'a>(column: &dyn Array, slots: impl Iterator<Item = &'a mut f32>) -> Option<()> {
    macro_rules! copy {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                slots.zip(column.iter()).for_each(|(slot, v)| *slot = v.map_or(f32::NAN, |v| v as f32));
                return Some(());
            })*
        };
    }
    copy!(Float64Type, Int64Type, UInt32Type, Int32Type, UInt16Type, UInt8Type, UInt64Type);
    None
}
