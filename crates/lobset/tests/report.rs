//! The report: one page that fetches nothing, in which all outside text stays text, and which can be regenerated.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampNanosecondType};
use common::{START, Tick, market, run, small, ticks, write_files};
use lobset::config::{ClassRule, Columns, PriceType};
use lobset::{Config, Error, Monitor, Options};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn report(out: &Path) -> lobset::Result<bool> {
    lobset::report(out, &Options::default(), &Monitor::silent())
}

fn validate(out: &Path) -> lobset::Result<lobset::validate::Validation> {
    lobset::validate::<&Path>(out, None, &Options::default(), &Monitor::silent())
}

/// The texts between the tags of a page.
fn texts(page: &str) -> String {
    let mut texts = String::new();
    for part in page.split('<').skip(1) {
        texts += part.split_once('>').map_or("", |(_, text)| text);
        texts.push('\n');
    }
    texts
}

/// The first time of a row under embargo, to the minute, read row by row.
fn embargo(paths: &[PathBuf]) -> Option<String> {
    let mut first: Option<i64> = None;
    for path in paths {
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
        for batch in reader {
            let batch = batch.unwrap();
            let times = batch.column_by_name("ts_recv").or_else(|| batch.column_by_name("ts_event")).unwrap();
            let times = times.as_primitive::<TimestampNanosecondType>();
            let schema = batch.schema();
            for name in schema.fields().iter().map(|field| field.name()).filter(|name| name.starts_with("split")) {
                let splits = batch.column_by_name(name).unwrap().as_dictionary::<Int32Type>();
                let names = splits.values().as_string::<i32>();
                let of_embargo = (0..batch.num_rows()).filter(|row| {
                    splits.is_valid(*row) && names.value(splits.keys().value(*row) as usize) == "embargo"
                });
                first = of_embargo.map(|row| times.value(row)).chain(first).min();
            }
        }
    }
    first.map(|time| lobset::Timestamp(time.try_into().unwrap()).to_string()[..16].replace('T', " "))
}

#[test]
fn the_page_says_what_the_manifest_says_and_fetches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let inputs = market(&folder.path().join("market"), 4, 8_000);
    let configs = [
        Config {
            samples: 1_000,
            targets: lobset::config::Targets(vec!["far=return(200),classes=share".parse().unwrap()]),
            ..small()
        },
        Config { price_type: PriceType::Fixed, columns: Columns::Book, ..small() },
        Config { drop_unbalanced: true, ..small() },
        Config { classes: ClassRule::Fixed, boundaries: Some(vec![-1e-6, 1e-6]), force_uniform: false, ..small() },
    ];
    for config in configs {
        let manifest = run(&inputs, &out, &config).unwrap();
        let page = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
        for outside in ["<script", "http:", "https:", "src=\"/", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        let texts = texts(&page);
        let rows: u64 = manifest.datasets().map(|(_, dataset)| dataset.rows).sum();
        assert!(texts.contains(&lobset::grouped(rows)) && texts.contains("Validated"), "{texts}");
        for (symbol, dataset) in manifest.datasets() {
            assert!(texts.contains(&symbol.symbol) && texts.contains(&dataset.file));
            for target in &symbol.targets {
                let share = format!("{:.1}%", 100.0 * target.known_share.unwrap());
                assert!(texts.contains(&share), "{} {}: {share}", symbol.symbol, target.target);
            }
        }
        let escape = |text: &str| minijinja::HtmlEscape(text).to_string();
        assert!(manifest.warnings.iter().all(|warning| texts.contains(&escape(warning))), "{:?}", manifest.warnings);
        assert!(manifest.inputs.iter().all(|input| texts.contains(&input.sha256)));
        // The embargo is a band in the timeline, with a key.
        let paths: Vec<PathBuf> = manifest.datasets().map(|(_, dataset)| out.join(&dataset.file)).collect();
        let begin = embargo(&paths);
        assert_eq!(begin.is_none(), config.drop_unbalanced, "only balanced rows of fit and holdout are left");
        assert_eq!(page.matches("class=\"embargo\"").count(), usize::from(begin.is_some()));
        assert!(begin.is_none_or(|begin| page.contains(&format!("embargo from {begin}"))));
        let charts = page.matches("<svg").count();
        let targets: usize = manifest.datasets().map(|(symbol, _)| symbol.splits().count()).sum();
        // The timeline; prices and spreads of each dataset; classes and their shares over time of each target, and movements
        // where they differ.
        assert!(charts > 2 * manifest.datasets().count() + 2 * targets, "{charts} charts");
        assert_eq!(page.matches("<img").count(), usize::from(!config.drop_unbalanced), "a depth tensor");
    }
}

#[test]
fn names_from_outside_stay_text() {
    let folder = tempfile::tempdir().unwrap();
    let name = "<img src=x onerror='alert(1)'>&\"\u{1b}[2J";
    let files: Vec<Vec<Tick>> = [START, START + common::DAY].map(|from| ticks(400, from)).to_vec();
    let inputs = write_files(&folder.path().join("<b>in</b>"), &[(name, 7)], &files);
    let out = folder.path().join("out");
    let manifest = run(&inputs, &out, &small()).unwrap();
    assert_eq!(manifest.symbols[0].symbol, name);
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(!page.contains("<img src=x") && !page.contains('\u{1b}') && page.contains("&lt;img src=x onerror="));
    // Charts name the symbol in their own labels, whose text is an attribute.
    assert_eq!(page.matches("aria-label=\"mid price of &lt;img").count(), 1);
    assert!(!page.contains("mid price of <"));
}

#[test]
fn a_report_is_made_anew_with_its_manifest_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let inputs = market(&folder.path().join("market"), 2, 6_000);
    run(&inputs, &out, &small()).unwrap();
    let (page, manifest) = (out.join("report.html"), out.join("manifest.json"));
    let before = [&page, &manifest].map(|path| fs::read(path).unwrap());
    assert!(!report(&out).unwrap(), "the same version draws the same page");
    assert_eq!([&page, &manifest].map(|path| fs::read(path).unwrap()), before);

    // A page that another version has drawn, or that was changed or removed.
    fs::write(&page, "<p>mine</p>").unwrap();
    assert!(matches!(validate(&out), Err(Error::Validation(_))));
    assert!(report(&out).unwrap());
    assert_eq!([&page, &manifest].map(|path| fs::read(path).unwrap()), before);
    validate(&out).unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    // Scans that a run has kept are not removed.
    run(&inputs, &out, &Config { keep_intermediate: true, ..small() }).unwrap();
    let work = folder.path().join(".out.lobset-work");
    let scans = || lobset::storage::list(&work.join("scans")).unwrap().len();
    let kept = scans();
    fs::write(&page, "<p>mine</p>").unwrap();
    assert!(report(&out).unwrap() && kept > 0 && scans() == kept, "{kept} scans");
    validate(&out).unwrap();

    // Other files in the folder are kept, and so is the page.
    fs::write(&page, "<p>mine</p>").unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = report(&out).unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert_eq!(fs::read_to_string(&page).unwrap(), "<p>mine</p>");
    assert_eq!(fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");

    // A manifest that was changed is refused.
    fs::remove_file(out.join("notes.txt")).unwrap();
    let changed = String::from_utf8(before[1].clone()).unwrap().replacen("\"rows\": ", "\"rows\": 1", 1);
    fs::write(&manifest, changed).unwrap();
    assert!(matches!(report(&out), Err(Error::Validation(_))));
}
