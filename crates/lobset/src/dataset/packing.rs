//! Rows as records of bytes: every column in the narrowest numbers that hold all of its values.

use std::ops::Range;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use super::reader::DatasetReader;
use crate::cast::{low32, single, whole};
use crate::output::columns;
use crate::output::kind::Kind;
use crate::tape::common_divisor;

/// The whole numbers of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub lowest: i64,
    pub highest: i64,
    /// The greatest common divisor of their differences; 0 if all are equal.
    pub step: u64,
}

impl Span {
    /// The span of one number.
    fn of(number: i64) -> Self {
        Self { lowest: number, highest: number, step: 0 }
    }

    /// The span of both.
    pub fn with(self, other: Self) -> Self {
        let apart = self.lowest.abs_diff(other.lowest);
        Self {
            lowest: self.lowest.min(other.lowest),
            highest: self.highest.max(other.highest),
            step: common_divisor(common_divisor(self.step, other.step), apart),
        }
    }

    /// Number of steps from the lowest to the highest.
    fn steps(self) -> u64 {
        self.lowest.abs_diff(self.highest) / self.step.max(1)
    }
}

/// How the values of a column are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Coding {
    /// Multiples of 1 / `unit`, as steps above the lowest one, plus 1; 0 is null.
    Steps { unit: u32, lowest: i64, step: u64, bytes: u8 },
    /// The nearest f32; NaN is null.
    Single,
    /// An f64; NaN is null.
    Double,
}

/// The unit of prices in f64 columns: every price is a multiple of 1e-9.
const PRICE_UNIT: u32 = 1_000_000_000;

impl Coding {
    /// Steps in as few bytes as `span` allows.
    fn steps(unit: u32, span: Span) -> Self {
        let bytes = match span.steps() {
            0..=0xfe => 1,
            0xff..=0xfffe => 2,
            0xffff..=0xffff_fffe => 4,
            _ => 8,
        };
        Self::Steps { unit, lowest: span.lowest, step: span.step.max(1), bytes }
    }

    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Self::Steps { bytes, .. } => bytes.into(),
            Self::Single => size_of::<f32>(),
            Self::Double => size_of::<f64>(),
        }
    }

    /// The code of a whole number; `None` if the column cannot contain it.
    fn code(self, number: i64) -> Option<u64> {
        let Self::Steps { lowest, step, bytes, .. } = self else { return None };
        let above = (number >= lowest).then(|| number.abs_diff(lowest))?;
        let code = above.is_multiple_of(step).then_some(above / step)?.checked_add(1)?;
        let fits = bytes == 8 || code >> (8 * bytes) == 0;
        fits.then_some(code)
    }

    /// The value with a code, NaN for null.
    pub fn value(self, code: u64) -> f64 {
        match self {
            Self::Steps { .. } => match self.number(code) {
                None => f64::NAN,
                Some((number, 1)) => number as f64,
                Some((number, unit)) => number as f64 / f64::from(unit),
            },
            Self::Single => f32::from_bits(low32(code)).into(),
            Self::Double => f64::from_bits(code),
        }
    }

    /// The nearest f32 of the value with a code, NaN for null.
    pub fn nearest(self, code: u64) -> f32 {
        match self.number(code) {
            // Not via f64, which would round twice.
            Some((number, 1)) => number as f32,
            _ => single(self.value(code)),
        }
    }

    fn number(self, code: u64) -> Option<(i64, u32)> {
        let Self::Steps { unit, lowest, step, .. } = self else { return None };
        let steps = code.checked_sub(1)?;
        Some((lowest.wrapping_add_unsigned(steps.wrapping_mul(step)), unit))
    }
}

/// A column in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packed {
    pub name: String,
    pub coding: Coding,
}

/// How rows are written as records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RowPacking {
    /// In the order of the record.
    columns: Vec<Packed>,
}

/// What a column of a dataset holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Multiples of 1 / `unit`, whose extremes and steps are known only once the rows are read.
    Prices { unit: u32 },
    /// Small whole numbers. These bounds follow from their type; the footer may have narrower ones.
    Numbers { lowest: i64, highest: i64 },
    /// Anything else.
    Floats,
}

/// What the columns of a dataset hold.
fn holds(reader: &DatasetReader, name: &str) -> Holds {
    let numbers = |lowest: i64, highest: i64| Holds::Numbers { lowest, highest };
    match reader.data_type(name) {
        Some(DataType::Float64) => {
            let known = columns(reader.config(), true).into_iter().find(|column| column.name == name);
            match known.map(|column| column.kind) {
                Some(Kind::FloatPrice) => Holds::Prices { unit: PRICE_UNIT },
                Some(Kind::Mid) => Holds::Prices { unit: 2 * PRICE_UNIT },
                _ => Holds::Floats,
            }
        }
        Some(DataType::Int64) => Holds::Prices { unit: 1 },
        Some(DataType::Int32) => numbers(i32::MIN.into(), i32::MAX.into()),
        Some(DataType::Int16) => numbers(i16::MIN.into(), i16::MAX.into()),
        Some(DataType::Int8) => numbers(i8::MIN.into(), i8::MAX.into()),
        Some(DataType::UInt32) => numbers(0, u32::MAX.into()),
        Some(DataType::UInt16) => numbers(0, u16::MAX.into()),
        Some(DataType::UInt8) => numbers(0, u8::MAX.into()),
        _ => Holds::Floats,
    }
}

impl RowPacking {
    /// The packing of columns that needs no pass over the rows: prices take eight bytes.
    pub fn plain(reader: &DatasetReader, names: &[String]) -> Self {
        let coding = |name: &String| match holds(reader, name) {
            Holds::Prices { unit: 1 } => Coding::steps(1, Span { lowest: i64::MIN, highest: i64::MAX, step: 1 }),
            Holds::Prices { .. } => Coding::Double,
            of => of_footer(reader, name, of),
        };
        Self { columns: names.iter().map(|name| Packed { name: name.clone(), coding: coding(name) }).collect() }
    }

    /// The columns among `names` whose rows [`narrow`](Self::narrow) needs to know.
    pub fn unknown<'a>(reader: &DatasetReader, names: &'a [String]) -> Vec<(&'a str, u32)> {
        let unit = |name: &'a String| match holds(reader, name) {
            Holds::Prices { unit } => Some((name.as_str(), unit)),
            Holds::Numbers { .. } | Holds::Floats => None,
        };
        names.iter().filter_map(unit).collect()
    }

    /// The narrowest packing of columns, given the spans of those that are [`unknown`](Self::unknown), in order.
    pub fn narrow(reader: &DatasetReader, names: &[String], spans: &[Spanned]) -> Self {
        let mut spans = spans.iter();
        let (mut columns, mut prices) = (Vec::with_capacity(names.len()), Vec::new());
        for (place, name) in names.iter().enumerate() {
            let coding = match holds(reader, name) {
                Holds::Prices { unit } => match spans.next() {
                    Some(Spanned::Whole(span)) => {
                        prices.push((place, unit, *span));
                        Coding::steps(unit, *span)
                    }
                    Some(Spanned::Empty) => Coding::steps(unit, Span::of(0)),
                    Some(Spanned::Fractions) | None => Coding::Double,
                },
                of => of_footer(reader, name, of),
            };
            columns.push(Packed { name: name.clone(), coding });
        }
        share(&mut columns, &prices);
        Self { columns }
    }

    /// The columns, in the order of the record.
    pub fn columns(&self) -> &[Packed] {
        &self.columns
    }

    /// Bytes of a record.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.coding.bytes()).sum()
    }

    /// Where each column is in a record.
    pub fn offsets(&self) -> Vec<usize> {
        let mut end = 0;
        let offset = |column: &Packed| {
            end += column.coding.bytes();
            end - column.coding.bytes()
        };
        self.columns.iter().map(offset).collect()
    }

    /// Writes a column, which has this place, of consecutive rows into their records; `None` if the packing was not
    /// made for one of the values.
    pub fn write(&self, place: usize, column: &dyn Array, rows: Range<usize>, records: &mut [u8]) -> Option<()> {
        let offset: usize = self.columns[..place].iter().map(|column| column.coding.bytes()).sum();
        let (coding, bytes) = (self.columns[place].coding, self.bytes());
        let slots = records.chunks_exact_mut(bytes).map(|record| &mut record[offset..]);
        let column = column.slice(rows.start, rows.len());
        match coding {
            Coding::Steps { unit, bytes: 1, .. } => write_codes::<1>(coding, unit, &column, slots),
            Coding::Steps { unit, bytes: 2, .. } => write_codes::<2>(coding, unit, &column, slots),
            Coding::Steps { unit, bytes: 4, .. } => write_codes::<4>(coding, unit, &column, slots),
            Coding::Steps { unit, .. } => write_codes::<8>(coding, unit, &column, slots),
            Coding::Single => {
                let put = |(slot, value): (&mut [u8], f32)| slot[..4].copy_from_slice(&value.to_le_bytes());
                floats(&column, |values| slots.zip(values).for_each(put))
            }
            Coding::Double => {
                let values = column.as_primitive_opt::<Float64Type>()?.iter();
                let put = |(slot, value): (&mut [u8], Option<f64>)| {
                    slot[..8].copy_from_slice(&value.unwrap_or(f64::NAN).to_le_bytes());
                };
                slots.zip(values).for_each(put);
                Some(())
            }
        }
    }
}

/// Writes the codes of a column, of `N` bytes each.
fn write_codes<'a, const N: usize>(
    coding: Coding,
    unit: u32,
    column: &dyn Array,
    mut slots: impl Iterator<Item = &'a mut [u8]>,
) -> Option<()> {
    // Values often repeat from row to row.
    let mut last = (None, 0_u64);
    each_whole(column, unit, |number| {
        if number != last.0 {
            last = (number, number.map_or(Some(0), |number| coding.code(number))?);
        }
        *slots.next()?.first_chunk_mut::<N>()? = *last.1.to_le_bytes().first_chunk()?;
        Some(())
    })
}

/// The coding of a column, from its extremes in the footer or else from its type.
fn of_footer(reader: &DatasetReader, name: &str, holds: Holds) -> Coding {
    let Holds::Numbers { lowest, highest } = holds else { return Coding::Single };
    let [lowest, highest] = reader.whole_extremes(name).unwrap_or([lowest, highest]);
    Coding::steps(1, Span { lowest, highest, step: 1 })
}

/// Gives columns of prices the same codes if that makes none of them wider: a table by code then serves all of them.
fn share(columns: &mut [Packed], prices: &[(usize, u32, Span)]) {
    for unit in [1, PRICE_UNIT, 2 * PRICE_UNIT] {
        let short = |(_, own, span): &&(usize, u32, Span)| *own == unit && Coding::steps(unit, *span).bytes() == 2;
        let alike = prices.iter().filter(short);
        let together = alike.clone().map(|(_, _, span)| *span).reduce(Span::with);
        if let Some(coding) = together.map(|span| Coding::steps(unit, span))
            && coding.bytes() == 2
        {
            alike.for_each(|(place, ..)| columns[*place].coding = coding);
        }
    }
}

/// What is known about a column of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spanned {
    /// All values are null.
    Empty,
    Whole(Span),
    /// A value is not a multiple of the unit.
    Fractions,
}

impl Spanned {
    /// The span of a column in units of 1 / `unit`; `None` if it is of a type that lobset does not write.
    pub fn of(column: &dyn Array, unit: u32) -> Self {
        let mut found: Option<Span> = None;
        let mut last = None;
        let taken = each_whole(column, unit, |number| {
            if let Some(number) = number
                && last != Some(number)
            {
                last = Some(number);
                found = Some(match found {
                    // The difference is nearly always a multiple of the step.
                    Some(Span { lowest, highest, step })
                        if step > 0 && number.abs_diff(lowest).is_multiple_of(step) =>
                    {
                        Span { lowest: lowest.min(number), highest: highest.max(number), step }
                    }
                    Some(span) => span.with(Span::of(number)),
                    None => Span::of(number),
                });
            }
            Some(())
        });
        match (taken, found) {
            (None, _) => Self::Fractions,
            (Some(()), None) => Self::Empty,
            (Some(()), Some(span)) => Self::Whole(span),
        }
    }

    /// What is known about the values of both.
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fractions, _) | (_, Self::Fractions) => Self::Fractions,
            (Self::Empty, known) | (known, Self::Empty) => known,
            (Self::Whole(a), Self::Whole(b)) => Self::Whole(a.with(b)),
        }
    }
}

/// Passes on each value as a whole number of 1 / `unit`. Returns `None` if `take` does, if a value is not a multiple of
/// 1 / `unit`, or if the column is not numeric.
fn each_whole(column: &dyn Array, unit: u32, mut take: impl FnMut(Option<i64>) -> Option<()>) -> Option<()> {
    if let Some(column) = column.as_primitive_opt::<Float64Type>() {
        let unit = f64::from(unit);
        // Values often repeat from row to row.
        let (mut bits, mut number) = (f64::NAN.to_bits(), None);
        for value in column {
            let Some(value) = value else {
                take(None)?;
                continue;
            };
            if value.to_bits() != bits {
                let nearest = whole((value * unit).round());
                (nearest as f64 / unit).to_bits().eq(&value.to_bits()).then_some(())?;
                (bits, number) = (value.to_bits(), Some(nearest));
            }
            take(number)?;
        }
        return Some(());
    }
    macro_rules! pass_on {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                return column.iter().try_for_each(|value| take(value.map(i64::from)));
            })*
        };
    }
    pass_on!(Int64Type, UInt32Type, Int32Type, UInt16Type, UInt8Type, Int16Type, Int8Type);
    None
}

/// Passes on the nearest f32 of each value, NaN for null; `None` if the column is not numeric.
#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32 on purpose")]
fn floats(column: &dyn Array, take: impl FnOnce(&mut dyn Iterator<Item = f32>)) -> Option<()> {
    macro_rules! pass_on {
        ($($kind:ty),*) => {
            $(if let Some(column) = column.as_primitive_opt::<$kind>() {
                take(&mut column.iter().map(|value| value.map_or(f32::NAN, |value| value as f32)));
                return Some(());
            })*
        };
    }
    pass_on!(Float64Type, UInt64Type, Float32Type);
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    use proptest::prelude::*;

    use super::*;

    /// The codes of whole numbers, and what they are read as.
    fn there_and_back(unit: u32, numbers: &[Option<i64>]) -> Result<(), TestCaseError> {
        let column: ArrayRef = if unit == 1 {
            Arc::new(Int64Array::from(numbers.to_vec()))
        } else {
            Arc::new(numbers.iter().map(|n| n.map(|n| n as f64 / f64::from(unit))).collect::<Float64Array>())
        };
        let coding = match Spanned::of(&column, unit) {
            Spanned::Whole(span) => Coding::steps(unit, span),
            Spanned::Empty => Coding::steps(unit, Span::of(0)),
            Spanned::Fractions => Coding::Double,
        };
        let packing = RowPacking { columns: vec![Packed { name: "a".to_owned(), coding }] };
        let mut records = vec![0; packing.bytes() * numbers.len()];
        packing.write(0, &column, 0..numbers.len(), &mut records).unwrap();
        for (number, record) in numbers.iter().zip(records.chunks(packing.bytes())) {
            let code = record.iter().rev().fold(0, |code, byte| code << 8 | u64::from(*byte));
            let value = number.map_or(f64::NAN, |number| number as f64 / f64::from(unit));
            prop_assert_eq!(coding.value(code).to_bits(), value.to_bits());
            let nearest = number.map_or(f32::NAN, |n| if unit == 1 { n as f32 } else { value as f32 });
            prop_assert_eq!(coding.nearest(code).to_bits(), nearest.to_bits());
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn numbers_survive_their_codes(
            unit in prop::sample::select(vec![1, PRICE_UNIT, 2 * PRICE_UNIT]), lowest in -3_000_000_000_i64..3_000_000_000,
            step in 1..100_000_i64, bits in 0..34_u32,
            steps in prop::collection::vec(prop::option::weighted(0.9, any::<i64>()), 1..40),
        ) {
            let numbers: Vec<Option<i64>> =
                steps.iter().map(|n| n.map(|n| lowest + step * (n & ((1 << bits) - 1)))).collect();
            there_and_back(unit, &numbers)?;
        }

        #[test]
        fn any_numbers_of_64_bits_survive(numbers in prop::collection::vec(prop::option::of(i64::MIN..i64::MAX), 1..20)) {
            there_and_back(1, &numbers)?;
        }
    }

    #[test]
    fn codes_are_as_narrow_as_their_number_allows() {
        let bytes = |highest: i64, step| Coding::steps(1, Span { lowest: -7, highest: highest - 7, step }).bytes();
        assert_eq!([bytes(0, 0), bytes(254, 1), bytes(255, 1), bytes(254 * 50, 50)], [1, 1, 2, 1]);
        assert_eq!([bytes(65_534, 1), bytes(65_535, 1), bytes(0xffff_fffe, 1), bytes(0xffff_ffff, 1)], [2, 4, 4, 8]);
        let coding = Coding::steps(1, Span { lowest: 10, highest: 40, step: 10 });
        assert_eq!([10, 40, 9, 15].map(|number| coding.code(number)), [Some(1), Some(4), None, None]);
        assert_eq!(coding.code(10 + 10 * 255), None);
    }

    #[test]
    fn prices_share_codes_if_none_gets_wider() {
        let span = |lowest, highest, step| Span { lowest, highest, step };
        let spans = [span(0, 10_000, 10), span(5_000, 40_000, 20), span(0, 100, 1), span(0, 1 << 40, 1)];
        let prices: Vec<_> = spans.iter().enumerate().map(|(place, span)| (place, 1, *span)).collect();
        let coding = |span: &Span| Packed { name: String::new(), coding: Coding::steps(1, *span) };
        let mut columns: Vec<Packed> = spans.iter().map(coding).collect();
        share(&mut columns, &prices);
        assert_eq!(columns[0].coding, Coding::steps(1, span(0, 40_000, 10)));
        assert_eq!(columns[1].coding, columns[0].coding);
        assert_eq!([columns[2].coding.bytes(), columns[3].coding.bytes()], [1, 8]);
    }
}
