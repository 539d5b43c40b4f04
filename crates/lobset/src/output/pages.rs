//! The data pages of a column chunk, and their statistics and indexes.

use parquet::basic::{BoundaryOrder, Type};
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::ColumnIndexBuilder;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use crate::cast::to_i64;

/// Rows per page, the same in all columns; the last page of a row group may be shorter.
pub const PAGE_ROWS: usize = 16_384;

/// The least or the greatest value of a page.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    /// A sort key: compares as the column's values do.
    pub order: u64,
    /// The value in PLAIN encoding; for text, without its length.
    pub bytes: Vec<u8>,
}

impl Bound {
    pub(super) fn new<const N: usize>(order: u64, bytes: [u8; N]) -> Self {
        Self { order, bytes: bytes.to_vec() }
    }
}

/// Maps signed integers to unsigned ones in the same order.
pub(super) fn signed_order(value: i64) -> u64 {
    value.cast_unsigned() ^ 1 << 63
}

/// Maps floats to integers in the order of [`f64::total_cmp`].
pub(super) fn float_order(value: f64) -> u64 {
    let bits = value.to_bits();
    if value.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

/// Bounds as TYPE_ORDER requires them: it treats -0.0 and +0.0 as equal, so a bound of zero has the sign that covers
/// both.
pub(super) fn float_bounds(min: f64, max: f64) -> [Bound; 2] {
    let bound = |value: f64, zero: f64| {
        let value = if value == 0.0 { zero } else { value };
        Bound::new(float_order(value), value.to_le_bytes())
    };
    [bound(min, -0.0), bound(max, 0.0)]
}

/// An encoded data page.
pub(super) struct DataPage {
    /// Its end in the bytes of the chunk.
    pub end: usize,
    pub rows: usize,
    pub nulls: usize,
    /// The least and the greatest value; `None` if all values are null or NaN.
    pub bounds: Option<[Bound; 2]>,
}

/// The statistics of a chunk with these pages.
pub(super) fn statistics(kind: Type, pages: &[DataPage]) -> Statistics {
    let nulls = Some(pages.iter().map(|page| page.nulls as u64).sum());
    let bounds = || pages.iter().filter_map(|page| page.bounds.as_ref());
    let min = bounds().map(|[min, _]| min).min_by_key(|bound| bound.order);
    let max = bounds().map(|[_, max]| max).max_by_key(|bound| bound.order);
    let bytes = [min, max].map(|bound| bound.map(|bound| &bound.bytes[..]));
    fn number<T, const N: usize>(bytes: Option<&[u8]>, read: impl Fn([u8; N]) -> T) -> Option<T> {
        bytes?.try_into().ok().map(read)
    }
    match kind {
        Type::BOOLEAN => {
            let [min, max] = bytes.map(|bytes| number(bytes, |[byte]| byte != 0));
            Statistics::boolean(min, max, None, nulls, false)
        }
        Type::INT32 => {
            let [min, max] = bytes.map(|bytes| number(bytes, i32::from_le_bytes));
            Statistics::int32(min, max, None, nulls, false)
        }
        Type::INT64 => {
            let [min, max] = bytes.map(|bytes| number(bytes, i64::from_le_bytes));
            Statistics::int64(min, max, None, nulls, false)
        }
        Type::DOUBLE => {
            let [min, max] = bytes.map(|bytes| number(bytes, f64::from_le_bytes));
            Statistics::double(min, max, None, nulls, false)
        }
        _ => {
            let [min, max] = bytes.map(|bytes| bytes.map(|bytes| ByteArray::from(bytes.to_vec())));
            Statistics::byte_array(min, max, None, nulls, false)
        }
    }
}

/// The column index of a chunk with these pages; `None` if a page has values but no bounds.
pub(super) fn column_index(kind: Type, pages: &[DataPage]) -> Result<Option<ColumnIndexMetaData>> {
    let mut index = ColumnIndexBuilder::new(kind);
    for page in pages {
        let null_page = page.nulls == page.rows;
        let [min, max] = match &page.bounds {
            Some(bounds) => bounds.each_ref().map(|bound| bound.bytes.clone()),
            None if null_page => [const { Vec::new() }; 2],
            None => return Ok(None),
        };
        index.append(null_page, min, max, to_i64(page.nulls), None);
    }
    index.set_boundary_order(boundary_order(pages));
    index.build().map(Some)
}

/// Whether both bounds of the pages ascend or descend. Pages of nulls are ignored.
fn boundary_order(pages: &[DataPage]) -> BoundaryOrder {
    let bounds = pages.iter().filter_map(|page| page.bounds.as_ref()).map(|bounds| bounds.each_ref().map(|b| b.order));
    let steps = || bounds.clone().zip(bounds.clone().skip(1));
    if steps().all(|(before, after)| before[0] <= after[0] && before[1] <= after[1]) {
        BoundaryOrder::ASCENDING
    } else if steps().all(|(before, after)| before[0] >= after[0] && before[1] >= after[1]) {
        BoundaryOrder::DESCENDING
    } else {
        BoundaryOrder::UNORDERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(nulls: usize, bounds: Option<[i64; 2]>) -> DataPage {
        let bounds = bounds.map(|b| b.map(|v| Bound::new(signed_order(v), v.to_le_bytes())));
        DataPage { end: 0, rows: 3, nulls, bounds }
    }

    #[test]
    fn boundaries_have_an_order_where_both_bounds_do() {
        let order = |bounds: &[Option<[i64; 2]>]| {
            let pages: Vec<DataPage> = bounds.iter().map(|b| page(if b.is_none() { 3 } else { 0 }, *b)).collect();
            boundary_order(&pages)
        };
        use BoundaryOrder::{ASCENDING, DESCENDING, UNORDERED};
        assert_eq!(order(&[]), ASCENDING);
        assert_eq!(order(&[None, None]), ASCENDING);
        assert_eq!(order(&[Some([-5, 2]), None, Some([-5, 2]), Some([1, 3])]), ASCENDING);
        assert_eq!(order(&[Some([4, 9]), Some([4, 8]), None, Some([-4, 8])]), DESCENDING);
        assert_eq!(order(&[Some([1, 9]), Some([2, 8])]), UNORDERED);
        assert_eq!(order(&[Some([1, 2]), Some([3, 4]), Some([2, 5])]), UNORDERED);
    }

    #[test]
    fn indexes_and_statistics_count_nulls_and_leave_out_what_has_no_bounds() {
        let pages = [page(1, Some([-7, 2])), page(3, None), page(0, Some([-9, 1]))];
        assert_eq!(statistics(Type::INT64, &pages), Statistics::int64(Some(-9), Some(2), None, Some(4), false));
        assert_eq!(statistics(Type::INT64, &pages[1..2]), Statistics::int64(None, None, None, Some(3), false));
        let Some(ColumnIndexMetaData::INT64(index)) = column_index(Type::INT64, &pages).unwrap() else { panic!() };
        assert_eq!(index.min_values_iter().collect::<Vec<_>>(), [Some(&-7), None, Some(&-9)]);
        assert_eq!(index.max_values_iter().collect::<Vec<_>>(), [Some(&2), None, Some(&1)]);
        assert_eq!(
            [0, 1, 2].map(|i| (index.is_null_page(i), index.null_count(i).unwrap())),
            [(false, 1), (true, 3), (false, 0)]
        );
        // Values without bounds are NaN.
        assert_eq!(column_index(Type::INT64, &[page(0, Some([1, 1])), page(1, None)]).unwrap(), None);
    }

    #[test]
    fn bounds_of_floats_compare_as_floats_do() {
        let values = [f64::NEG_INFINITY, -2.5, -1e-300, -0.0, 1e-300, 1.0, 7.0, f64::INFINITY];
        let orders = values.map(|v| float_bounds(v, v)[0].order);
        assert!(orders.is_sorted_by(|a, b| a < b), "{orders:?}");
    }
}
