//! The best bid and ask of each row, and what follows from them: whether the row may be there, and its mid price.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, PrimitiveArray, RecordBatch};
use dbn::{BidAskPair, UNDEF_PRICE};

use super::group::GroupFacts;
use crate::input::{Drops, QuoteRules};
use crate::output::names;

/// The columns that this reads.
pub(super) fn quote_columns() -> [String; 4] {
    let [bid, ask] = best();
    [bid, ask, names::MID_PRICE.to_owned(), names::SYMBOL.to_owned()]
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

    /// The price of a row in 1e-9; [`UNDEF_PRICE`] for a null; `None` for a float that is no multiple of 1e-9.
    fn raw(&self, row: usize) -> Option<i64> {
        match self {
            Self::Float(column) if column.is_null(row) => Some(UNDEF_PRICE),
            Self::Fixed(column) if column.is_null(row) => Some(UNDEF_PRICE),
            Self::Fixed(column) => Some(column.value(row)),
            Self::Float(column) => {
                let price = column.value(row);
                let raw = (price * 1e9).round();
                let exact = raw.abs() < (1_i64 << 53) as f64 && (raw as i64 as f64 / 1e9).to_bits() == price.to_bits();
                exact.then_some(raw as i64)
            }
        }
    }

    /// True where a row has the bits of the row before.
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

/// What the quotes of a dataset have to agree with.
pub(super) struct Quotes<'a> {
    pub symbol: &'a str,
    pub rules: QuoteRules,
}

impl Quotes<'_> {
    /// Checks the rows of a batch, and notes their mid2.
    pub(super) fn check(&self, batch: &RecordBatch, rows: &PrimitiveArray<UInt64Type>, facts: &mut GroupFacts) {
        let [bid, ask] = best().map(|name| batch.column_by_name(&name).and_then(Prices::new));
        let mids = batch.column_by_name(names::MID_PRICE).and_then(|c| c.as_primitive_opt::<Float64Type>());
        let symbols = batch.column_by_name(names::SYMBOL).and_then(|c| c.as_dictionary_opt::<Int32Type>());
        let (Some(bid), Some(ask), Some(mids), Some(symbols)) = (bid, ask, mids, symbols) else {
            facts.violation(0, || "a column has another type than its name promises".to_owned());
            return;
        };
        let texts = symbols.values().as_string_opt::<i32>();
        let named: Option<Vec<bool>> = texts.map(|texts| texts.iter().map(|text| text == Some(self.symbol)).collect());
        let named = named.unwrap_or_default();
        let mut mid2 = None;
        for i in 0..batch.num_rows() {
            if i == 0 || !bid.repeats(i) || !ask.repeats(i) {
                mid2 = self.mid2(bid.raw(i), ask.raw(i));
            }
            match &mid2 {
                Some(Ok(mid2)) => {
                    let want = *mid2 as f64 / 2e9;
                    let found = mids.value(i);
                    if found.to_bits() != want.to_bits() {
                        facts.violation(rows.value(i), || {
                            format!("mid_price is {found}, but by its best bid and ask it is {want}")
                        });
                    }
                    facts.mids.push(*mid2);
                }
                Some(Err(reason)) => {
                    facts.violation(rows.value(i), || reason.clone());
                    facts.mids.push(0);
                }
                None => {
                    facts.violation(rows.value(i), || "its best bid or ask is no multiple of 1e-9".to_owned());
                    facts.mids.push(0);
                }
            }
            let key = usize::try_from(symbols.keys().value(i)).ok();
            if key.and_then(|key| named.get(key)) != Some(&true) {
                facts.violation(rows.value(i), || format!("its symbol is not {:?}", self.symbol));
            }
        }
    }

    /// The sum of best bid and best ask, where the settings let such a quote pass.
    fn mid2(&self, bid: Option<i64>, ask: Option<i64>) -> Option<Result<i64, String>> {
        let quote = BidAskPair { bid_px: bid?, ask_px: ask?, ..BidAskPair::default() };
        let mut drops = Drops::default();
        Some(self.rules.mid2(&quote, &mut drops).and_then(|mid2| {
            mid2.ok_or_else(|| {
                let reasons = drops.named().into_iter().filter(|(_, count)| *count > 0).map(|(reason, _)| reason);
                format!("its quote is not usable: {}", reasons.collect::<Vec<_>>().join(", "))
            })
        }))
    }
}
