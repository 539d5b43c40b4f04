//! Tables from Arrow streams, through the PyCapsule interface:
//! <https://arrow.apache.org/docs/format/CStreamInterface.html>.
//!
//! Plain columns are read in place, because setting up arrays for sixty columns would take a tenth of a depth tensor's
//! time.

use std::borrow::Cow;
use std::ffi::{CStr, c_int};
use std::fmt::Display;
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, StructArray};
use arrow_schema::{DataType, Schema};
use arrow_select::concat::concat_batches;
use lobset::depth::{DepthError, DepthSpec, Levels, Prices};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};

/// The name that the interface gives to its capsules.
pub const STREAM: &CStr = c"arrow_array_stream";

/// The interface's name for the type of a table.
const STRUCT: &str = "+s";

/// Callback of a stream that fills in a schema or an array.
type Fill<T> = unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut T) -> c_int;

/// A table from anything with `__arrow_c_stream__`: Polars, PyArrow, DuckDB, pandas.
pub struct Table {
    schema: FFI_ArrowSchema,
    pieces: Vec<FFI_ArrowArray>,
}

fn unreadable(cause: impl Display) -> PyErr {
    PyValueError::new_err(format!("rows cannot be read as Arrow: {cause}"))
}

impl Table {
    /// Reads all of a stream.
    pub fn read(rows: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = rows.call_method0("__arrow_c_stream__").map_err(|_| {
            PyTypeError::new_err("rows must be a table with __arrow_c_stream__, such as one of Polars or PyArrow")
        })?;
        let capsule = capsule.cast::<PyCapsule>()?;
        let pointer = capsule.pointer_checked(Some(STREAM))?.cast::<FFI_ArrowArrayStream>();
        // SAFETY: the capsule has the interface's name, so it points to a valid stream, which `from_raw` moves out,
        // leaving a released one for the capsule's destructor.
        #[expect(unsafe_code, reason = "the Arrow C stream interface hands over a pointer")]
        let mut stream = unsafe { FFI_ArrowArrayStream::from_raw(pointer.as_ptr()) };
        let (get_schema, get_next) = (stream.get_schema(), stream.get_next());
        let schema = fill(&mut stream, get_schema, FFI_ArrowSchema::empty())?;
        let mut pieces = Vec::new();
        loop {
            let piece = fill(&mut stream, get_next, FFI_ArrowArray::empty())?;
            if piece.is_released() {
                return Ok(Self { schema, pieces });
            }
            pieces.push(piece);
        }
    }

    /// Calls `work` with the levels, without the GIL. Borrows them if the table is a single piece of plain columns;
    /// otherwise joins or converts them.
    pub fn with_levels<R: Send>(
        self,
        py: Python<'_>,
        spec: &DepthSpec,
        work: impl FnOnce(&Levels<'_>) -> Result<R, DepthError> + Send,
    ) -> PyResult<R> {
        let done = if let Some(levels) = self.plain_levels(spec) {
            py.detach(|| work(&levels))
        } else {
            let batch = self.into_batch()?;
            py.detach(|| work(&Levels::from_batch(&batch, spec)?))
        };
        done.map_err(|e| PyValueError::new_err(e.to_string()))
    }

    /// Borrows the levels in place, if their columns are plain.
    fn plain_levels(&self, spec: &DepthSpec) -> Option<Levels<'_>> {
        let [rows] = self.pieces.as_slice() else { return None };
        let names: Vec<&str> = self.schema.children().map(|field| field.name().unwrap_or_default()).collect();
        if self.schema.format() != STRUCT || rows.null_count_opt() != Some(0) || rows.num_children() != names.len() {
            return None;
        }
        let floats = |place| cells(rows, &self.schema, place).map(|cells| Prices::Float(Cow::Borrowed(cells)));
        let integers = |place| cells(rows, &self.schema, place).map(Cow::Borrowed);
        Levels::from_columns(spec, &names, floats, integers).ok()
    }

    /// Joins all pieces into one batch.
    fn into_batch(self) -> PyResult<RecordBatch> {
        if self.schema.format() != STRUCT {
            return Err(unreadable("it is not a table"));
        }
        let schema = Arc::new(Schema::try_from(&self.schema).map_err(unreadable)?);
        let mut batches = Vec::with_capacity(self.pieces.len());
        for piece in self.pieces {
            // SAFETY: the stream returned the piece, and this schema describes it.
            #[expect(unsafe_code, reason = "the Arrow C data interface hands over pointers")]
            let data = unsafe { from_ffi_and_data_type(piece, DataType::Struct(schema.fields().clone())) };
            let (_, columns, nulls) = StructArray::from(data.map_err(unreadable)?).into_parts();
            if nulls.is_some_and(|nulls| nulls.null_count() > 0) {
                return Err(unreadable("rows are null"));
            }
            batches.push(RecordBatch::try_new(Arc::clone(&schema), columns).map_err(unreadable)?);
        }
        match batches.as_slice() {
            [one] => Ok(one.clone()),
            many => concat_batches(&schema, many).map_err(unreadable),
        }
    }
}

/// Calls one of a stream's callbacks and returns what it fills in.
fn fill<T>(stream: &mut FFI_ArrowArrayStream, callback: Option<Fill<T>>, mut empty: T) -> PyResult<T> {
    let callback = callback.ok_or_else(|| unreadable("the stream has been read"))?;
    // SAFETY: the callback belongs to this stream and overwrites an empty value.
    #[expect(unsafe_code, reason = "the Arrow C stream interface has callbacks")]
    let code = unsafe { callback(stream, &raw mut empty) };
    if code == 0 {
        return Ok(empty);
    }
    let cause = match stream.get_last_error() {
        // SAFETY: the callback belongs to this stream, whose last operation failed.
        #[expect(unsafe_code, reason = "the Arrow C stream interface has callbacks")]
        Some(last_error) => unsafe { last_error(stream) },
        None => std::ptr::null(),
    };
    if cause.is_null() {
        return Err(unreadable(format!("error {code}")));
    }
    // SAFETY: a pointer that is not null is a string that is valid until the stream is used again.
    #[expect(unsafe_code, reason = "the Arrow C stream interface hands over a pointer")]
    let cause = unsafe { CStr::from_ptr(cause) };
    Err(unreadable(cause.to_string_lossy()))
}

/// A type of numbers in columns.
trait Number {
    /// The interface's name for it.
    const FORMAT: &str;
}

impl Number for f64 {
    const FORMAT: &str = "g";
}

impl Number for u32 {
    const FORMAT: &str = "I";
}

/// Borrows the numbers of a column of `rows`, if they are plain: of this type, without nulls, and aligned.
fn cells<'a, T: Number>(rows: &'a FFI_ArrowArray, schema: &FFI_ArrowSchema, place: usize) -> Option<&'a [T]> {
    let (field, column) = (schema.child(place), rows.child(place));
    let plain = field.format() == T::FORMAT && field.dictionary().is_none() && column.null_count_opt() == Some(0);
    if !plain || column.num_buffers() != 2 || column.len() < rows.offset() + rows.len() {
        return None;
    }
    let numbers = column.buffer(1).cast::<T>();
    if numbers.is_null() || !numbers.is_aligned() {
        return None;
    }
    // SAFETY: the second buffer of a column of this type has as many numbers as the column's offset and length add up
    // to, which covers the rows, and it lives as long as the rows.
    #[expect(unsafe_code, reason = "the Arrow C data interface hands over pointers")]
    Some(unsafe { std::slice::from_raw_parts(numbers.add(column.offset() + rows.offset()), rows.len()) })
}
