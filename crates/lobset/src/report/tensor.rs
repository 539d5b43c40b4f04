//! A depth tensor as a picture.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::cast::{to_u8, to_u32, to_usize, whole_unsigned};
use crate::dataset::DatasetReader;
use crate::depth::{DepthSpec, LADDER, Levels};
use crate::error::{Error, InputError, Result};

/// The largest number of columns of the picture; more time bins are thinned.
const WIDEST: usize = 800;

/// A depth tensor of a dataset.
pub struct Picture {
    /// The image, as a `data:` URL.
    pub image: String,
    /// Rows of its window, and its number of time bins.
    pub rows: u64,
    pub time_bins: usize,
    /// The feature that it shows: the first one of the settings.
    pub feature: &'static str,
}

/// Draws the first feature of a window in the middle of a dataset. The window has fewer rows than the settings say if
/// the dataset or its unbroken stretches are short. `None` if not even one time bin fits there.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when the file cannot be read.
pub fn picture(reader: &DatasetReader, breaks: &[u64]) -> Result<Option<Picture>> {
    let config = reader.config().clone();
    if config.drop_unbalanced {
        return Ok(None);
    }
    let Some(end) = window_end(reader, breaks, config.samples)? else { return Ok(None) };
    let (place, unbroken) = end;
    let rows = unbroken.min(config.samples) / config.ticks_per_bin * config.ticks_per_bin;
    let Some(feature) = config.features.iter().min().copied().filter(|_| rows > 0) else { return Ok(None) };
    let spec = DepthSpec::new(&[feature], rows, config.ticks_per_bin, reader.micro_pip_size())?;
    let mut cells = vec![0.0_f32; spec.cells()];
    let levels = Levels::read(reader, &spec, place + 1 - rows..place + 1)?;
    spec.process(&levels, &mut cells).map_err(|e| InputError::unreadable(reader.path(), e))?;
    let time_bins = spec.time_bins();
    Ok(Some(Picture { image: image(&cells, time_bins)?, rows, time_bins, feature: feature.name() }))
}

/// The place of a row near the middle of the file, and the number of unbroken rows that end there: as many as a window
/// needs, if there is such a row in a row group of the middle.
fn window_end(reader: &DatasetReader, breaks: &[u64], samples: u64) -> Result<Option<(u64, u64)>> {
    if reader.rows() == 0 {
        return Ok(None);
    }
    let middle = (reader.rows() / 2).max(samples.min(reader.rows()) - 1);
    let from = (middle + 1).saturating_sub(samples);
    let numbers = reader.row_numbers(from..middle + 1)?;
    // Rows without a label of any target are not in the file, but a window needs consecutive ones.
    let starts = |pair: &[u64]| pair[1] != pair[0] + 1 || breaks.binary_search(&pair[1]).is_ok();
    let mut longest = (0, 0);
    let mut start = 0;
    for place in 1..=numbers.len() {
        if place == numbers.len() || starts(&numbers[place - 1..=place]) {
            if place - start > longest.1 {
                longest = (place - 1, place - start);
            }
            start = place;
        }
    }
    Ok((longest.1 > 0).then(|| (from + longest.0 as u64, longest.1 as u64)))
}

/// A PNG: asks red, bids blue, nothing transparent.
fn image(cells: &[f32], time_bins: usize) -> Result<String> {
    let step = time_bins.div_ceil(WIDEST).max(1);
    let width = time_bins.div_ceil(step);
    // Index 0 is an empty cell; indices up to 100 are asks, higher ones bids.
    let index = |value: f32| {
        let strength = to_usize(whole_unsigned(f64::from(value.abs()).sqrt() * 100.0)).min(100);
        to_u8(if value < 0.0 && strength > 0 { 100 + strength } else { strength })
    };
    let mut pixels = Vec::with_capacity(LADDER * width);
    for row in cells.chunks_exact(time_bins) {
        pixels.extend(row.iter().step_by(step).map(|value| index(*value)));
    }
    let colours = |[r, g, b]: [u8; 3]| (1..=100).flat_map(move |_| [r, g, b]);
    let palette: Vec<u8> = [0, 0, 0].into_iter().chain(colours([205, 55, 45])).chain(colours([31, 105, 190])).collect();
    let strengths = || (1..=100_u8).map(|strength| 30 + strength * 2);
    let alpha: Vec<u8> = std::iter::once(0).chain(strengths()).chain(strengths()).collect();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, to_u32(width), to_u32(LADDER));
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_trns(alpha);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels));
    written.map_err(|e| Error::Executor(format!("a picture of the report cannot be encoded: {e}")))?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(&bytes)))
}
