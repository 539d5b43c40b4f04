//! The ladders of depth tensors: the tick, the step that `auto` chooses and how much of the book is on them, against a
//! slow reference; and a manifest with other values.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{START, Tick, run, small, write_files};
use dbn::{BidAskPair, UNDEF_PRICE};
use lobset::config::{Feature, MicroPipSize};
use lobset::dataset::{DatasetReader, Period, SampleFilter};
use lobset::depth::{DepthSpec, WindowCache};
use lobset::label::Split;
use lobset::output::Ladder;
use lobset::{Config, Duration, Error, Manifest, Monitor, Options};
use proptest::prelude::*;

fn config(samples: u64, ticks_per_bin: u64, micro_pip_size: MicroPipSize) -> Config {
    let max_gap = Some(Duration(1_000_000_000));
    let base = Config { lookback_rows: 4, lookforward_input: 4, lookforward_offset: 1, nbins: 2, ..small() };
    Config { samples, ticks_per_bin, micro_pip_size, max_gap, min_symbol_samples: 1, ..base }
}

/// The dataset's ladder in the manifest of a run over two files.
fn ladder(folder: &Path, files: &[Vec<Tick>], config: &Config) -> (Manifest, Ladder) {
    let inputs = write_files(&folder.join("in"), &[("M6AM4", 7)], files);
    let manifest = run(&inputs, &folder.join("out"), config).unwrap();
    let ladder = manifest.datasets().next().unwrap().1.ladder;
    (manifest, ladder)
}

/// The ladder by its definition. `boundary` is the number of rows before T.
fn reference(ticks: &[Tick], boundary: usize, config: &Config) -> Ladder {
    let books: Vec<[BidAskPair; 10]> = ticks.iter().enumerate().map(|(i, t)| t.message(i as u32).levels).collect();
    let prices =
        |book: &[BidAskPair; 10]| book.iter().flat_map(|level| [level.bid_px, level.ask_px]).collect::<Vec<_>>();
    let all = books[..boundary].iter().flat_map(prices).filter(|price| *price != UNDEF_PRICE);
    let tick = all.fold(0, |a, b| {
        let (mut a, mut b) = (a, b.unsigned_abs());
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    let (samples, length) = (config.samples as usize, config.ticks_per_bin as usize);
    let windows = (boundary / samples).clamp(1, 8);
    let coverage = |step: f64| {
        let pips = |price: i64| (price != UNDEF_PRICE).then(|| (price as f64 / 1e9 / step).round_ties_even() as i128);
        let (mut on, mut cells) = (0, 0);
        for number in 1..=windows {
            let end = boundary * number / windows;
            let starts = (1..end).rev().find(|row| ticks[*row].ts - ticks[row - 1].ts > 1_000_000_000);
            let count = (end - starts.unwrap_or(0)).min(samples) / length * length;
            let rows = &books[end - count..end];
            let Some(last) = rows.last() else { continue };
            let base = (pips(last[0].bid_px).unwrap() + pips(last[0].ask_px).unwrap() + 1).div_euclid(2);
            for bin in rows.chunks(length) {
                for cell in 0..20 {
                    let of_cell: Vec<i128> = bin.iter().filter_map(|book| pips(prices(book)[cell])).collect();
                    if !of_cell.is_empty() {
                        let mean = of_cell.iter().sum::<i128>().div_euclid(of_cell.len() as i128);
                        cells += 1;
                        on += u64::from((base - 201..=base + 200).contains(&mean));
                    }
                }
            }
        }
        (on, cells)
    };
    let mut steps = match config.micro_pip_size {
        MicroPipSize::Fixed(size) => vec![size],
        MicroPipSize::Auto => {
            (0..12).flat_map(|n| [1, 2, 5].map(|m| (m * 10_u64.pow(n) * tick) as f64 / 1e9)).collect()
        }
    }
    .into_iter()
    .peekable();
    loop {
        let micro_pip_size = steps.next().unwrap();
        let (on, cells) = coverage(micro_pip_size);
        if cells == 0 || 10 * on >= 9 * cells || steps.peek().is_none() {
            let coverage = (cells > 0).then(|| on as f64 / cells as f64);
            return Ladder { tick: tick as f64 / 1e9, micro_pip_size, coverage };
        }
    }
}

/// A quote that moves by up to `most` of `unit` a row, with a pause before every row in `pauses`.
fn wandering(rows: usize, unit: i64, most: i64, pauses: &[usize]) -> Vec<Tick> {
    let (mut state, mut mid, mut ts) = (88_172_645_463_325_252_u64, 20_000_i64, START);
    let tick = |row: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        mid = (mid + (state % (2 * most as u64 + 1)) as i64 - most).max(100);
        ts += if pauses.contains(&row) { 5_000_000_000 } else { 1_000_000 };
        Tick { instrument: 7, ts, bid: mid * unit, ask: (mid + 1 + (state >> 40) as i64 % 2) * unit }
    };
    (0..rows).map(tick).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_ladder_is_that_of_the_definition(
        rows in 40_usize..400,
        unit in prop_oneof![Just(50_000_i64), Just(100_000), Just(1_250_000), Just(100_000_000)],
        most in 1_i64..300,
        pauses in prop::collection::vec(1_usize..400, 0..4),
        (bins, length) in (1_u64..6, 1_u64..30),
        size in prop_oneof![
            2 => Just(MicroPipSize::Auto),
            1 => Just(MicroPipSize::Fixed(0.00005)),
            1 => Just(MicroPipSize::Fixed(0.003)),
        ],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let ticks = wandering(rows, unit, most, &pauses);
        let (first, second) = ticks.split_at(rows / 2);
        let config = config(bins * length, length, size);
        let files = [first.to_vec(), second.to_vec()];
        let inputs = write_files(&folder.path().join("in"), &[("M6AM4", 7)], &files);
        // Pauses may leave no row to label.
        let Ok(manifest) = run(&inputs, &folder.path().join("out"), &config) else { return Ok(()) };
        let (symbol, dataset) = manifest.datasets().next().unwrap();
        prop_assert_eq!(symbol.boundary_row, first.len() as u64);
        prop_assert_eq!(dataset.ladder, reference(&ticks, first.len(), &config));
        let reader = DatasetReader::open(&folder.path().join("out").join(&dataset.file)).unwrap();
        prop_assert_eq!(reader.micro_pip_size(), dataset.ladder.micro_pip_size);
    }
}

#[test]
fn auto_fits_a_market_that_the_plain_default_would_leave_blank() {
    let folder = tempfile::tempdir().unwrap();
    // Prices of about 2,000 with a tick of 0.1, as of a perpetual future.
    let ticks = wandering(4_000, 100_000_000, 4, &[]);
    let files: Vec<Vec<Tick>> = ticks.chunks(2_000).map(<[Tick]>::to_vec).collect();
    let (manifest, blank) = ladder(folder.path(), &files, &config(1_000, 100, MicroPipSize::Fixed(0.00001)));
    assert!(blank.coverage.unwrap() < 0.1, "{blank:?}");
    let warning = manifest.warnings.iter().find(|warning| warning.contains("ladder")).unwrap();
    assert!(warning.starts_with("M6AM4: ") && warning.contains("micro_pip_size = \"auto\""), "{warning}");
    let (manifest, fitting) = ladder(folder.path(), &files, &config(1_000, 100, MicroPipSize::Auto));
    assert!(fitting.coverage.unwrap() >= 0.9 && fitting.micro_pip_size > fitting.tick, "{fitting:?}");
    assert!(!manifest.warnings.iter().any(|warning| warning.contains("ladder")));

    // The windows of the dataset give the same result, except for the rows without a label.
    let file = &manifest.datasets().next().unwrap().1.file;
    let reader = DatasetReader::open(&folder.path().join("out").join(file)).unwrap();
    let filter = SampleFilter { split: Split::Fit, period: Period::default(), window: 1_000, stride: 250, first: 0 };
    let index = reader.index(filter).unwrap().unwrap();
    let places: Vec<u64> = (0..index.len()).map(|sample| index.position(sample).unwrap()).collect();
    let spec = DepthSpec::new(&[Feature::Volume], 1_000, 100, reader.micro_pip_size()).unwrap();
    let windows = WindowCache::new(reader, spec.clone(), None).unwrap();
    let coverage = windows.coverage(&places).unwrap().unwrap();
    assert!((coverage - fitting.coverage.unwrap()).abs() < 0.1, "{coverage} {fitting:?}");
    let (mut rows, mut values) = (vec![0; spec.bin_cells()], vec![0.0; spec.bin_cells()]);
    let mut on_ladder = 0;
    for place in &places {
        windows.bins(*place, &mut rows, &mut values).unwrap();
        on_ladder += rows.iter().filter(|row| **row >= 0).count();
    }
    assert_eq!(coverage, on_ladder as f64 / (places.len() * spec.bin_cells()) as f64, "no level is missing here");
}

#[test]
fn no_price_after_t_changes_a_ladder() {
    let ticks = wandering(4_000, 100_000_000, 4, &[]);
    let mut files: Vec<Vec<Tick>> = ticks.chunks(1_000).map(<[Tick]>::to_vec).collect();
    let config = config(500, 50, MicroPipSize::Auto);
    let found = |files: &[Vec<Tick>]| ladder(tempfile::tempdir().unwrap().path(), files, &config).1;
    let before = found(&files);
    // The lists are written in order, and T is the start of the third one.
    files[3][17].bid -= 1;
    files[2][5].ask += 123_456_789;
    assert_eq!(found(&files), before);
    // One price before T makes a tick of 1e-9, but no other step that holds enough of the book.
    files[0][3].bid -= 1;
    let odd = found(&files);
    assert!(odd.tick == 1e-9 && odd.coverage.unwrap() >= 0.9, "{odd:?}");
    assert!((0.4..2.5).contains(&(odd.micro_pip_size / before.micro_pip_size)), "{odd:?} {before:?}");
}

#[test]
fn a_manifest_with_another_ladder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ticks = wandering(600, 50_000, 9, &[]);
    for size in [MicroPipSize::Auto, MicroPipSize::Fixed(0.0001)] {
        let (manifest, ladder) =
            ladder(folder.path(), &[ticks[..300].to_vec(), ticks[300..].to_vec()], &config(60, 20, size));
        for wrong in [
            Ladder { micro_pip_size: ladder.micro_pip_size * 3.0, ..ladder },
            Ladder { coverage: Some(1.5), ..ladder },
            Ladder { coverage: Some(0.25), ..ladder },
            Ladder { tick: f64::from_bits(ladder.tick.to_bits() + 1), ..ladder },
            Ladder { tick: -ladder.tick, ..ladder },
        ] {
            let mut changed = manifest.clone();
            changed.symbols[0].dataset.as_mut().unwrap().ladder = wrong;
            changed.seal();
            std::fs::write(folder.path().join("out/manifest.json"), changed.to_json()).unwrap();
            let found =
                lobset::validate::<&Path>(&folder.path().join("out"), None, &Options::default(), &Monitor::silent());
            assert!(matches!(found, Err(Error::Validation(_))), "{wrong:?}");
        }
    }
}
