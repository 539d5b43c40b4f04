//! `report.html`: one page without scripts that opens offline and shows at a glance whether the datasets are good, and
//! if not, why.
//!
//! [`page`] makes it from a manifest, thresholds and a sample of the datasets' rows. The same three give the same bytes.

mod charts;
mod sample;
mod tensor;
mod time;
mod view;

use std::path::PathBuf;

use minijinja::Environment;

use crate::dataset::DatasetReader;
use crate::error::{Error, Result};
use crate::label::Thresholds;
use crate::output::{DatasetEntry, Manifest, SymbolEntry};
use crate::run::Monitor;
use sample::Sample;
use time::Scale;
use view::{Drawn, View};

/// Number of datasets with charts: those with the most rows.
const MOST_CHARTS: usize = 8;

const PAGE: &str = include_str!("page.html");
const TABLE: &str = include_str!("table.html");

/// Makes the page. `path` returns the place of the dataset with a name.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when a dataset cannot be read.
pub fn page(
    manifest: &Manifest,
    thresholds: &Thresholds,
    path: impl Fn(&str) -> PathBuf,
    threads: usize,
    monitor: &Monitor<'_>,
) -> Result<String> {
    let scale = Scale::of(&manifest.inputs);
    let mut datasets: Vec<(&SymbolEntry, &DatasetEntry)> = manifest.datasets().collect();
    datasets.sort_by(|a, b| b.1.rows.cmp(&a.1.rows).then_with(|| a.0.symbol.cmp(&b.0.symbol)));
    datasets.truncate(MOST_CHARTS);
    let mut drawn = Vec::with_capacity(datasets.len());
    for (symbol, dataset) in datasets {
        let reader = DatasetReader::open(&path(&dataset.file))?;
        let rows_before = sample::rows_before(&reader, manifest.thresholds.fit_until.0)?;
        let sample = Sample::read(&reader, scale.pause(), rows_before, threads)?;
        let embargo = sample::embargo(&reader, rows_before)?;
        let picture = if drawn.is_empty() { tensor::picture(&reader, &symbol.breaks)? } else { None };
        drawn.push(Drawn { symbol, sample, embargo, picture });
        monitor.advance(0)?;
    }
    render(&View::new(manifest, thresholds, &drawn, scale))
}

/// Fills the template, which escapes all text except charts and style.
fn render(view: &View) -> Result<String> {
    let mut templates = Environment::new();
    let fail = |e: minijinja::Error| Error::Executor(format!("the report cannot be made: {e:#}"));
    templates.add_template("table.html", TABLE).map_err(fail)?;
    templates.add_template("page.html", PAGE).map_err(fail)?;
    let template = templates.get_template("page.html").map_err(fail)?;
    template.render(minijinja::value::Serde(view)).map_err(fail)
}
