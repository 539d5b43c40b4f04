//! The output of `process --dry-run`.

use std::path::Path;

use lobset::{Estimate, FileEstimate, grouped};

use super::{counted, shown, size};
use crate::args::{to_minute, to_second};
use crate::page::{Column, Page, Style, Table, shortened};

/// The largest number of symbols and of files that are listed.
const MOST_LISTED: usize = 6;

/// The summary of `process --dry-run`.
pub fn estimate(out: &Path, found: &Estimate) -> Page {
    let mut page = Page::default();
    let about = |count: u64| format!("about {}", grouped(count));
    page.push(Style::Strong, "dry run").line(format!(": nothing is written to {}", shown(out)));
    page.line("");
    page.sentence(&format!(
        "reads {}, {}, {} records",
        counted(found.files.len(), "file"),
        size(found.bytes),
        about(found.records)
    ));
    page.table(&files(found));
    found.delivery.iter().for_each(|sentence| {
        page.note(sentence);
    });
    page.line("");
    match found.fit_until {
        Some(until) => page.sentence(&format!("boundary time T: {}", to_second(until))),
        None => page.sentence("boundary time T: that of the middle row of the file, which only a run finds"),
    };
    page.line("");
    page.sentence(&format!(
        "writes about {} as {}_…, about {} in all; work files take about {} next to it until the run ends{}",
        counted(usize::try_from(found.datasets).unwrap_or(usize::MAX), "dataset"),
        found.currency,
        size(found.dataset_bytes),
        size(found.work_bytes),
        found.free_bytes.map_or_else(String::new, |free| format!(", and {} are free", size(free)))
    ));
    let mut table =
        Table::new([Column::Left("symbol"), Column::Right("rows"), Column::Right("with a label"), Column::Left("")]);
    for symbol in found.symbols.iter().take(MOST_LISTED) {
        let few = symbol.labelled_rows < found.min_symbol_samples;
        let least = grouped(found.min_symbol_samples);
        let why = if few { format!("fewer than min_symbol_samples = {least}") } else { String::new() };
        table.row([shortened(&symbol.symbol, 20), grouped(symbol.rows), grouped(symbol.labelled_rows), why]);
    }
    page.table(&table);
    if let Some(rest @ [_, ..]) = found.symbols.get(MOST_LISTED..) {
        let rows = rest.iter().map(|symbol| symbol.rows).sum();
        page.line(format!("and {} with {} rows", counted(rest.len(), "other symbol"), about(rows)));
    }
    if found.datasets == 0 {
        page.line(
            "no symbol would qualify for a dataset, so the run would fail: add files, or lower min_symbol_samples",
        );
    }
    page.line("");
    let time =
        if found.seconds < 1.0 { "less than a second".to_owned() } else { format!("about {:.0} s", found.seconds) };
    page.sentence(&format!("takes {time} on {}", counted(found.threads, "thread")));
    page.note(&format!("estimated from {} records", grouped(found.sampled_records)));
    page
}

/// The first and the last files.
fn files(found: &Estimate) -> Table {
    let mut table = Table::new([Column::Left("file"), Column::Right("size"), Column::Left("from")]);
    let count = found.files.len();
    for (place, FileEstimate { name, bytes, first_ts }) in found.files.iter().enumerate() {
        if count > MOST_LISTED && place == MOST_LISTED / 2 {
            table.row([format!("… {} more", count - MOST_LISTED), String::new(), String::new()]);
        }
        if count <= MOST_LISTED || place < MOST_LISTED / 2 || place >= count - MOST_LISTED / 2 {
            let from = first_ts.map_or_else(|| "no records".to_owned(), to_minute);
            table.row([shortened(name, 40), size(*bytes), from]);
        }
    }
    table
}
