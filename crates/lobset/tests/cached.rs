//! Samples from cache files equal those computed from the dataset itself, whatever the layout of the file.

use std::fs;
use std::path::Path;

use lobset::cache::Cache;
use lobset::config::{Feature, PriceType};
use lobset::dataset::{DatasetReader, SampleFilter, SampleIndex};
use lobset::depth::{DepthSpec, WindowCache};
use lobset::label::Split;
use lobset::{Config, Duration, Monitor, Options, process};

fn simulate(folder: &Path, days: u32, rows: u32) {
    lobset_sim::Market { days, rows, ..Default::default() }.write(folder, |_| ()).unwrap();
}

/// A dataset with breaks, whose stretches end anywhere in row groups.
fn dataset(folder: &Path, config: &Config) -> DatasetReader {
    let manifest =
        process(&[folder.join("market")], &folder.join("out"), config, None, &Options::default(), &Monitor::silent());
    let manifest = manifest.unwrap();
    let (_, entry) = manifest.datasets().max_by_key(|(_, entry)| entry.rows).unwrap();
    DatasetReader::open(&folder.join("out").join(&entry.file)).unwrap()
}

fn config() -> Config {
    Config {
        lookback_rows: 50,
        lookforward_input: 50,
        lookforward_offset: 5,
        nbins: 3,
        min_symbol_samples: 1_000,
        max_gap: Some(Duration(40_000_000_000)),
        ..Config::default()
    }
}

fn index(reader: &DatasetReader, window: u64, stride: u64) -> SampleIndex {
    reader.index(SampleFilter { split: Split::Fit, balanced: false, window, stride, first: 0 }).unwrap()
}

/// All tensors of some samples, and their bins.
fn samples(windows: &WindowCache, index: &SampleIndex, every: usize) -> Vec<(Vec<f32>, Vec<i16>, Vec<f32>)> {
    let spec = windows.spec();
    let one = |sample| {
        let place = index.position(sample).unwrap();
        let mut found =
            (vec![2.0; spec.cells()], vec![-2; spec.bin_cells()], vec![-2.0; spec.features().len() * spec.bin_cells()]);
        windows.tensor(place, &mut found.0).unwrap();
        windows.bins(place, &mut found.1, &mut found.2).unwrap();
        let mut painted = vec![2.0_f32; spec.cells()];
        spec.paint_bins(&found.1, &found.2, &mut painted).unwrap();
        assert!(painted == found.0, "painting bins gives the tensor");
        found
    };
    (0..index.len()).step_by(every).chain([index.len() - 1]).map(one).collect()
}

#[test]
fn tensors_from_a_file_are_those_of_the_dataset() {
    let folder = tempfile::tempdir().unwrap();
    simulate(&folder.path().join("market"), 2, 30_000);
    let cache = Cache::at(folder.path().join("cache"));
    let all = Feature::ALL;
    // The price step decides how wide steps are in the file; the features, what stands beside them.
    for (price_type, features, pip, samples_of, length, stride) in [
        (PriceType::Float, &all[..], 0.00001, 1_000, 100, 1),
        (PriceType::Float, &all[..1], 0.00001, 600, 60, 45),
        (PriceType::Fixed, &all[1..], 0.000_000_02, 40, 1, 7),
        (PriceType::Float, &all[..2], 1e-15, 90, 9, 3),
        (PriceType::Float, &all[2..], 0.00005, 2_000, 50, 100),
    ] {
        let config = Config { price_type, ..config() };
        let _ = fs::remove_dir_all(folder.path().join("out"));
        let reader = || dataset_again(folder.path());
        let spec = DepthSpec::new(features, samples_of, length, pip).unwrap();
        let first = dataset(folder.path(), &config);
        let index = index(&first, samples_of, stride);
        assert!(index.stretches().count() > 2 && index.len() > 20, "{} samples", index.len());
        let every = (index.len() / 60).max(1) as usize;
        let plain = WindowCache::new(first, spec.clone(), None).unwrap();
        let want = samples(&plain, &index, every);
        for threads in [3, 1] {
            let on = (threads, &Monitor::silent());
            let cached = WindowCache::with_file(reader(), spec.clone(), (&index, stride), &cache, on).unwrap();
            assert!(samples(&cached, &index, every) == want, "{features:?} {pip} {stride}");
        }
        // A window that is not whole, or on no grid, is refused, not made up.
        let on = (1, &Monitor::silent());
        let cached = WindowCache::with_file(reader(), spec.clone(), (&index, stride), &cache, on).unwrap();
        let mut out = vec![0.0_f32; spec.cells()];
        for stretch in index.stretches() {
            let short = stretch.start + samples_of - 2;
            assert!(cached.tensor(short.min(stretch.end - 1), &mut out).is_err());
        }
        assert!(cached.tensor(u64::MAX, &mut out).is_err());
        assert_eq!(cache.remove(|_| true).unwrap().len(), 1, "both openings share a file");
    }
}

/// The dataset that [`dataset`] has written.
fn dataset_again(folder: &Path) -> DatasetReader {
    let files = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let largest = files.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    DatasetReader::open(&largest).unwrap()
}

#[test]
fn a_dataset_written_anew_gets_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    simulate(&folder.path().join("market"), 2, 10_000);
    let cache = Cache::at(folder.path().join("cache"));
    for (number, nbins) in (1..).zip([3, 5]) {
        let _ = fs::remove_dir_all(folder.path().join("out"));
        let reader = dataset(folder.path(), &Config { nbins, ..config() });
        let index = index(&reader, 200, 1);
        let spec = DepthSpec::new(&[Feature::Volume], 200, 20, 0.00001).unwrap();
        WindowCache::with_file(reader, spec, (&index, 1), &cache, (2, &Monitor::silent())).unwrap();
        assert_eq!(cache.files().unwrap().len(), number);
    }
}
