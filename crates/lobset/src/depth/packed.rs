//! Time bins as bytes: every number in the narrowest integers that hold those of a whole dataset.

use serde::Serialize;

use super::{Bin, DepthSpec, LEVELS, MISSING};
use crate::cast::whole;
use crate::config::{Feature, PriceType};
use crate::dataset::DatasetReader;
use crate::output::names;

/// Levels of both sides.
const CELLS: usize = 2 * LEVELS;

/// Steps by which a price may lie beyond the extremes of its column, which may be rounded.
const SLACK: u64 = 8;

/// How bins are written as bytes: first the base of the ladder around the bin's last row, then the steps of all levels, and
/// then their values, feature by feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct BinPacking {
    /// Steps are written as their excess over this one, plus 1; 0 is a missing level.
    lowest: i64,
    /// Bytes of a step: 2, 4 or 8.
    step_bytes: usize,
    /// How the values of each feature are written, in order; features that are not wanted are left out.
    values: Vec<(Feature, Number)>,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Number {
    /// Twice the value, as u16. A median may be half a number.
    Doubled,
    /// The value as u16.
    Short,
    Float,
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Self::Doubled | Self::Short => size_of::<u16>(),
            Self::Float => size_of::<f32>(),
        }
    }
}

impl BinPacking {
    /// The packing that the extremes of a dataset's columns allow.
    pub fn new(reader: &DatasetReader, spec: &DepthSpec) -> Self {
        let of_levels = |field: &'static str| {
            let columns =
                (0..2).flat_map(move |side| (0..LEVELS).map(move |level| names::of_level(field, side, level)));
            let all: Option<Vec<[f64; 2]>> = columns.map(|column| reader.extremes(&column)).collect();
            let all = all.filter(|all| !all.is_empty())?;
            Some(all.into_iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[a, b], [c, d]| [a.min(c), b.max(d)]))
        };
        // The extremes are floats even where prices are whole numbers of 1e-9.
        let units = if reader.config().price_type == PriceType::Fixed { 1e-9 } else { 1.0 };
        let steps = of_levels("px").map(|prices| prices.map(|price| spec.micro_pips(price * units)));
        let (lowest, step_bytes) = match steps {
            Some([low, high]) if low <= high => {
                // One for the missing level, and some for the rounding of the extremes and of the mid.
                let range = high.abs_diff(low).saturating_add(2 * SLACK + 1);
                let fits = |bits: u32| range < 1 << bits;
                (
                    low.saturating_sub_unsigned(SLACK),
                    if fits(16) {
                        2
                    } else if fits(32) {
                        4
                    } else {
                        8
                    },
                )
            }
            _ => (0, 8),
        };
        let short = |field, times: f64| of_levels(field).is_some_and(|[_, most]| most * times <= f64::from(u16::MAX));
        let number = |feature| match feature {
            Feature::Volume if short("sz", 2.0) => Number::Doubled,
            Feature::TradeCounts if short("ct", spec.ticks_per_bin() as f64) => Number::Short,
            Feature::Volume | Feature::Variance | Feature::TradeCounts => Number::Float,
        };
        let values = spec.features().iter().map(|feature| (*feature, number(*feature))).collect();
        Self { lowest, step_bytes, values }
    }

    /// Bytes of a bin.
    pub fn bytes(&self) -> usize {
        let values: usize = self.values.iter().map(|(_, number)| number.bytes()).sum();
        (1 + CELLS) * self.step_bytes + CELLS * values
    }

    /// Appends a bin, and the base of the ladder around its last row; `None` if a number is beyond the extremes that the
    /// packing was made for.
    pub fn write(&self, bin: &Bin, base: i64, out: &mut Vec<u8>) -> Option<()> {
        let cells = || bin.levels.iter().flatten();
        let steps = std::iter::once(base).chain(cells().map(|cell| cell.step));
        for step in steps {
            let above =
                if step == MISSING { 0 } else { step.wrapping_sub(self.lowest).cast_unsigned().checked_add(1)? };
            let bytes = above.to_le_bytes();
            let (low, rest) = bytes.split_at(self.step_bytes);
            if rest.iter().any(|byte| *byte != 0) {
                return None;
            }
            out.extend_from_slice(low);
        }
        for (feature, number) in &self.values {
            let values = cells().map(|cell| cell.values[*feature as usize]);
            match number {
                Number::Float => values.for_each(|value| out.extend(value.to_le_bytes())),
                Number::Doubled | Number::Short => {
                    let times = if *number == Number::Doubled { 2.0 } else { 1.0 };
                    for value in values {
                        let value = u16::try_from(whole(f64::from(value * times))).ok()?;
                        out.extend(value.to_le_bytes());
                    }
                }
            }
        }
        Some(())
    }

    /// Reads bins, and the base of the ladder around the last row of the last of them. `bytes` are a whole number of bins.
    pub fn read(&self, bytes: &[u8], bins: &mut Vec<Bin>) -> Option<i64> {
        match self.step_bytes {
            2 => self.read_as(bytes, bins, |step: [u8; 2]| u16::from_le_bytes(step).into()),
            4 => self.read_as(bytes, bins, |step: [u8; 4]| u32::from_le_bytes(step).into()),
            _ => self.read_as(bytes, bins, u64::from_le_bytes),
        }
    }

    fn read_as<const N: usize>(
        &self,
        bytes: &[u8],
        bins: &mut Vec<Bin>,
        number: impl Fn([u8; N]) -> u64,
    ) -> Option<i64> {
        bins.clear();
        let step = |bytes: [u8; N]| match number(bytes) {
            0 => MISSING,
            above => self.lowest.wrapping_add((above - 1).cast_signed()),
        };
        let mut base = None;
        for bytes in bytes.chunks_exact(self.bytes()) {
            let (steps, mut rest) = bytes.split_at((1 + CELLS) * N);
            let (steps, _) = steps.as_chunks::<N>();
            base = steps.first().map(|base| step(*base));
            let mut bin = Bin::EMPTY;
            let mut cells = bin.levels.iter_mut().flatten();
            cells.by_ref().zip(&steps[1..]).for_each(|(cell, bytes)| cell.step = step(*bytes));
            for (feature, number) in &self.values {
                let values;
                (values, rest) = rest.split_at(CELLS * number.bytes());
                let cells = bin.levels.iter_mut().flatten().map(|cell| &mut cell.values[*feature as usize]);
                match number {
                    Number::Float => {
                        cells.zip(values.as_chunks().0).for_each(|(cell, bytes)| *cell = f32::from_le_bytes(*bytes));
                    }
                    Number::Doubled | Number::Short => {
                        let scale = if *number == Number::Doubled { 0.5 } else { 1.0 };
                        let value = |bytes: &[u8; 2]| f32::from(u16::from_le_bytes(*bytes)) * scale;
                        cells.zip(values.as_chunks().0).for_each(|(cell, bytes)| *cell = value(bytes));
                    }
                }
            }
            bins.push(bin);
        }
        base
    }
}
