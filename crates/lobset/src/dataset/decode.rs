//! Records of bytes as vectors of floats, normalised or not.

use std::collections::HashMap;
use std::sync::Arc;

use super::packing::{Coding, RowPacking};
use super::scale::{Scale, Scales};

/// Number of codes of one byte and of two.
const BYTE: usize = 1 << 8;
const SHORT: usize = 1 << 16;

/// The value of every code of a column. Columns with the same codes and the same scale share it.
#[derive(Debug, Clone)]
enum Table {
    /// The finished values.
    Floats(Arc<[f32]>),
    /// The values before they are normalised, as the scale depends on the row.
    Doubles(Arc<[f64]>),
}

/// A column of a vector.
#[derive(Debug)]
struct Reading {
    coding: Coding,
    /// Where its code is in a record.
    offset: usize,
    /// For codes of one or two bytes.
    table: Option<Table>,
}

/// Turns records into vectors.
#[derive(Debug)]
pub(super) struct Decoder {
    /// Bytes of a record.
    record: usize,
    /// In the order of the vector.
    readings: Vec<Reading>,
    scales: Scales,
}

impl Decoder {
    /// Reads the columns at `places` of the records, in this order, with the scales of those columns.
    pub fn new(packing: &RowPacking, places: &[usize], scales: Scales) -> Self {
        let offsets = packing.offsets();
        let mut tables: HashMap<(Coding, Option<[u64; 2]>), Table> = HashMap::new();
        let reading = |(column, place): (usize, &usize)| {
            let coding = packing.columns()[*place].coding;
            let codes = match coding.bytes() {
                1 => BYTE,
                2 => SHORT,
                _ => return Reading { coding, offset: offsets[*place], table: None },
            };
            let scale = match &scales {
                Scales::Same(scales) => scales[column],
                Scales::ByFile { .. } => None,
            };
            let table = tables.entry((coding, scale.map(Scale::bits))).or_insert_with(|| match &scales {
                Scales::Same(_) => Table::Floats((0..codes as u64).map(|code| finished(coding, code, scale)).collect()),
                Scales::ByFile { .. } => Table::Doubles((0..codes as u64).map(|code| coding.value(code)).collect()),
            });
            Reading { coding, offset: offsets[*place], table: Some(table.clone()) }
        };
        let readings = places.iter().enumerate().map(reading).collect();
        Self { record: packing.bytes(), readings, scales }
    }

    /// The scales, for a decoder of other records.
    pub fn into_scales(self) -> Scales {
        self.scales
    }

    /// Number of columns of a vector.
    pub fn width(&self) -> usize {
        self.readings.len()
    }

    /// The first row that may end a window, as a position in the dataset.
    pub fn first(&self) -> u64 {
        self.scales.first()
    }

    /// Writes the vectors of records into `out`. The last record is that of the row at `place`.
    pub fn read(&self, records: &[u8], place: u64, out: &mut [f32]) {
        let of_row = self.scales.of_row(place);
        for (column, reading) in self.readings.iter().enumerate() {
            let scale = match &self.scales {
                Scales::Same(scales) => scales[column],
                Scales::ByFile { .. } => of_row.map(|scales| scales[column]),
            };
            let cells = Cells { records, record: self.record, offset: reading.offset, width: self.width(), column };
            cells.fill(reading, scale, out);
        }
    }
}

/// The normalised value of a code, computed in the same way everywhere.
fn finished(coding: Coding, code: u64, scale: Option<Scale>) -> f32 {
    match scale {
        Some(scale) => scale.apply(coding.value(code)),
        None => coding.nearest(code),
    }
}

/// The codes of a column, and the places of its values.
struct Cells<'a> {
    records: &'a [u8],
    record: usize,
    offset: usize,
    width: usize,
    column: usize,
}

impl Cells<'_> {
    fn fill(&self, reading: &Reading, scale: Option<Scale>, out: &mut [f32]) {
        let (coding, table) = (reading.coding, reading.table.as_ref());
        match (coding.bytes(), table, scale) {
            (1, Some(Table::Floats(table)), _) => self.each(out, |code: [u8; 1]| table[usize::from(code[0])]),
            (2, Some(Table::Floats(table)), _) => {
                self.each(out, |code| table[usize::from(u16::from_le_bytes(code))]);
            }
            (1, Some(Table::Doubles(table)), Some(scale)) => {
                self.each(out, |code: [u8; 1]| scale.apply(table[usize::from(code[0])]));
            }
            (2, Some(Table::Doubles(table)), Some(scale)) => {
                self.each(out, |code| scale.apply(table[usize::from(u16::from_le_bytes(code))]));
            }
            (4, ..) => self.each(out, |code| finished(coding, u32::from_le_bytes(code).into(), scale)),
            (8, ..) => self.each(out, |code| finished(coding, u64::from_le_bytes(code), scale)),
            // A row without scales is never a sample.
            _ => self.each(out, |_: [u8; 1]| f32::NAN),
        }
    }

    /// Calls `value` with each code of `N` bytes.
    #[inline(always)]
    fn each<const N: usize>(&self, out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        for (record, row) in self.records.chunks_exact(self.record).zip(out.chunks_exact_mut(self.width)) {
            if let Some((_, rest)) = record.split_at_checked(self.offset)
                && let Some(code) = rest.first_chunk()
                && let Some(slot) = row.get_mut(self.column)
            {
                *slot = value(*code);
            }
        }
    }
}
