//! Checks the best bid and ask of each row, and what follows from them: whether the quote is usable, and the mid price.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt8Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, PrimitiveArray, RecordBatch};
use dbn::UNDEF_PRICE;

use super::facts::GroupFacts;
use crate::cast::whole;
use crate::input::Usable;
use crate::output::names;

/// The columns that the check of quotes reads. Datasets with only the book have no flags.
pub(super) fn quote_columns() -> [String; 5] {
    let [bid, ask] = best();
    [bid, ask, names::MID_PRICE.to_owned(), names::SYMBOL.to_owned(), names::FLAGS.to_owned()]
}

/// The columns of the best bid and the best ask.
fn best() -> [String; 2] {
    [0, 1].map(|side| names::of_level("px", side, 0))
}

/// A column of prices.
enum Prices<'a> {
    /// In price units.
    Float(&'a Float64Array),
    /// In 1e-9.
    Fixed(&'a Int64Array),
}

impl<'a> Prices<'a> {
    fn new(column: &'a ArrayRef) -> Option<Self> {
        let float = column.as_primitive_opt::<Float64Type>().map(Self::Float);
        float.or_else(|| column.as_primitive_opt::<Int64Type>().map(Self::Fixed))
    }

    /// The price of a row in 1e-9; `None` if it is missing.
    ///
    /// # Errors
    /// A text for a float that is not a multiple of 1e-9.
    fn raw(&self, row: usize) -> Result<Option<i64>, String> {
        let raw = match self {
            Self::Fixed(column) => column.is_valid(row).then(|| column.value(row)),
            Self::Float(column) if column.is_null(row) => None,
            Self::Float(column) => {
                let price = column.value(row);
                let raw = whole((price * 1e9).round());
                if (raw as f64 / 1e9).to_bits() != price.to_bits() {
                    return Err("its best bid or ask is not a multiple of 1e-9".to_owned());
                }
                Some(raw)
            }
        };
        Ok(raw.filter(|raw| *raw != UNDEF_PRICE))
    }

    /// Whether the value of a row has the same bits as that of the row before.
    fn repeats(&self, row: usize) -> bool {
        match self {
            Self::Float(column) => {
                !column.is_null(row)
                    && !column.is_null(row - 1)
                    && column.value(row).to_bits() == column.value(row - 1).to_bits()
            }
            Self::Fixed(column) => {
                !column.is_null(row) && !column.is_null(row - 1) && column.value(row) == column.value(row - 1)
            }
        }
    }
}

/// The expected values of the quotes of a dataset.
pub(super) struct Quotes<'a> {
    pub symbol: &'a str,
    pub usable: Usable,
}

impl Quotes<'_> {
    /// Checks the rows of a batch, and stores their mid2 and spreads in `facts`.
    pub(super) fn check(&self, batch: &RecordBatch, rows: &PrimitiveArray<UInt64Type>, facts: &mut GroupFacts) {
        let [bid, ask] = best().map(|name| batch.column_by_name(&name).and_then(Prices::new));
        let mids = batch.column_by_name(names::MID_PRICE).and_then(|c| c.as_primitive_opt::<Float64Type>());
        let symbols = batch.column_by_name(names::SYMBOL).and_then(|c| c.as_dictionary_opt::<Int32Type>());
        let (Some(bid), Some(ask), Some(mids), Some(symbols)) = (bid, ask, mids, symbols) else {
            facts.violation(0, || "a column has the wrong type".to_owned());
            return;
        };
        let flags = batch.column_by_name(names::FLAGS).and_then(|c| c.as_primitive_opt::<UInt8Type>());
        let texts = symbols.values().as_string_opt::<i32>();
        let named: Option<Vec<bool>> = texts.map(|texts| texts.iter().map(|text| text == Some(self.symbol)).collect());
        let named = named.unwrap_or_default();
        let mut quote = Ok((0, 0));
        for i in 0..batch.num_rows() {
            if i == 0 || !bid.repeats(i) || !ask.repeats(i) {
                quote = self.quote(bid.raw(i), ask.raw(i));
            }
            match &quote {
                Ok((mid2, spread)) => {
                    let want = *mid2 as f64 / 2e9;
                    let found = mids.value(i);
                    if found.to_bits() != want.to_bits() {
                        facts.violation(rows.value(i), || {
                            format!("mid_price is {found}, but its best bid and ask give {want}")
                        });
                    }
                    facts.mids.push(*mid2);
                    facts.spreads.push(*spread);
                }
                Err(reason) => {
                    facts.violation(rows.value(i), || reason.clone());
                    facts.mids.push(0);
                    facts.spreads.push(0);
                }
            }
            if let Some(Err(reason)) = flags.map(|flags| self.usable.flags(flags.value(i))) {
                facts.violation(rows.value(i), || reason.to_string());
            }
            let key = usize::try_from(symbols.keys().value(i)).ok();
            if key.and_then(|key| named.get(key)) != Some(&true) {
                facts.violation(rows.value(i), || format!("its symbol is not {:?}", self.symbol));
            }
        }
    }

    /// The sum of best bid and best ask, and the ask minus the bid, if the quote is usable by the settings.
    fn quote(&self, bid: Result<Option<i64>, String>, ask: Result<Option<i64>, String>) -> Result<(i64, i128), String> {
        let (bid, ask) = (bid?, ask?);
        let mid2 = self.usable.mid2(bid, ask).map_err(|reason| reason.to_string())?;
        let [bid, ask] = [bid, ask].map(|price| i128::from(price.unwrap_or(0)));
        Ok((mid2, ask - bid))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn float_prices_are_read_back_to_the_last_digit() {
        // In 1e-9, the third price is above 2^53, as prices in won or rupiah are.
        let (exact, high) = ([0.0, 0.65, 140_000_000.0, -3.5], 12_345_678.9);
        let column: ArrayRef = Arc::new(Float64Array::from(exact.to_vec()));
        let found: Vec<_> = (0..4).map(|row| Prices::new(&column).unwrap().raw(row)).collect();
        let want = [0, 650_000_000, 140_000_000_000_000_000, -3_500_000_000];
        assert_eq!(found, want.map(|raw| Ok(Some(raw))));
        let column: ArrayRef = Arc::new(Float64Array::from(vec![Some(high), None, Some(9e12), Some(f64::NAN)]));
        let prices = Prices::new(&column).unwrap();
        assert_eq!(prices.raw(0), Ok(Some(12_345_678_900_000_000)));
        assert_eq!(prices.raw(1), Ok(None));
        assert!(prices.raw(2).is_err() && prices.raw(3).is_err());
        let column: ArrayRef = Arc::new(Float64Array::from(vec![f64::from_bits(0.65_f64.to_bits() + 1)]));
        assert!(Prices::new(&column).unwrap().raw(0).is_err());
        let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(UNDEF_PRICE), None]));
        let prices = Prices::new(&column).unwrap();
        assert_eq!([0, 1, 2].map(|row| prices.raw(row)), [Ok(Some(i64::MIN)), Ok(None), Ok(None)]);
    }
}
