//! The summaries of `thresholds`, `report` and `cache`.

use std::path::Path;

use lobset::cache::{Cache, CachedFile};
use lobset::{Thresholds, grouped};

use super::{shown, size};
use crate::args::to_second;
use crate::page::{Page, Style, wrapped};

/// The summary of `thresholds`.
pub fn thresholds(out: &Path, thresholds: &Thresholds) -> Page {
    let mut page = Page::default();
    let others = thresholds.targets.iter().map(|(name, fitted)| (Some(name.as_str()), fitted));
    let all = [(None, &thresholds.classic)].into_iter().chain(others).flat_map(|(target, fitted)| {
        let one = fitted.global.iter().map(|fit| ("all symbols", fit));
        let each = fitted.symbols.iter().map(|(name, boundaries)| (name.as_str(), boundaries));
        one.chain(each).map(move |(symbol, boundaries)| (target, symbol, boundaries))
    });
    for (target, name, boundaries) in all {
        let target = target.map_or_else(String::new, |target| format!("{target}, "));
        page.sentence(&format!(
            "{target}{name}: fitted on {} rows, {} in the embargo, mean {:.3e}, std {:.3e}, from {:.3e} to {:.3e}",
            grouped(boundaries.fit_rows),
            grouped(boundaries.embargo_rows),
            boundaries.mean,
            boundaries.std,
            boundaries.min,
            boundaries.max
        ));
        let values: Vec<String> = boundaries.values.iter().map(|b| format!("{b:.3e}")).collect();
        page.push(Style::Plain, format!("  {}\n", wrapped(&values.join(" "), 78, "  ")));
    }
    page.line(format!("fitted on data before {} only", to_second(thresholds.fit_until)));
    page.line(format!("thresholds: {}", shown(out)));
    page
}

/// The summary of `report`: whether the report has changed.
pub fn report(path: &Path, changed: bool) -> Page {
    let mut page = Page::default();
    page.line(format!("{} {}", if changed { "wrote" } else { "up to date:" }, shown(path)));
    page
}

/// The files that `cache` has found or removed.
pub fn cache(cache: &Cache, files: &[CachedFile], removed: bool) -> Page {
    let mut page = Page::default();
    for file in files {
        let age = match file.days {
            0 => "today".to_owned(),
            1 => "1 day ago".to_owned(),
            days => format!("{days} days ago"),
        };
        let state = if file.finished { "" } else { ", unfinished" };
        page.line(format!("{:>10}  {} of {} ({age}{state})", size(file.bytes), file.holds, shown(&file.dataset)));
    }
    let bytes = size(files.iter().map(|file| file.bytes).sum());
    let what = if removed { "removed" } else { "found" };
    page.line(format!("{what} {} cache files ({bytes}) in {}", files.len(), shown(cache.folder())));
    page
}
