//! The summary of `inspect`.

use lobset::input::{Drops, InputEntry};
use lobset::{Inspection, SymbolInspection, Timestamp, grouped};

use super::{LEAST_GAP, checksums, counted, span};
use crate::args::{to_minute, to_second};
use crate::page::{Column, Page, Style, Table, shortened};

/// The largest number of files, and of symbols, that are listed without `verbose`.
const MOST_LISTED: usize = 12;

/// The summary of `inspect`. With `verbose`, it lists all files and symbols, with everything known about each.
pub fn inspection(found: &Inspection, verbose: bool) -> Page {
    let mut page = Page::default();
    verdict(found, &mut page);
    page.line("");
    if verbose {
        page.table(&all_of_files(&found.files)).line("").table(&all_of_symbols(&found.symbols));
    } else {
        page.table(&files(&found.files)).line("").table(&symbols(&found.symbols));
        if found.files.len() > MOST_LISTED || found.symbols.len() > MOST_LISTED {
            page.note("-v lists all files and symbols");
        }
    }
    page.line("");
    let longest = found.symbols.iter().filter_map(|s| s.gaps.longest().first()).map(|gap| gap.length()).max();
    if longest.is_some_and(|longest| longest >= LEAST_GAP) {
        page.line("windows span these gaps unless max_gap is set (--max-gap 15m)");
    }
    let listed = |counts: &[(&str, u64)]| {
        let some = counts.iter().filter(|(_, count)| *count > 0);
        let some: Vec<String> = some.map(|(name, count)| format!("{name} {}", grouped(*count))).collect();
        if some.is_empty() { "none".to_owned() } else { some.join(", ") }
    };
    page.sentence(&format!("dropped records: {}", listed(&found.drops.named())));
    let impossible = found.files.iter().map(|file| file.impossible.total()).sum();
    page.sentence(&format!("records with impossible values: {}", listed(&[("", impossible)]).trim_start()));
    page.sentence(&format!("records by flag: {}", listed(&found.flags.named())));
    if !found.currency.is_empty() {
        page.line(format!("process would name the datasets {}_…", found.currency));
    }
    for sentence in checksums(&found.files).into_iter().chain(found.delivery.sentences()) {
        page.sentence(&sentence);
    }
    page
}

/// Whether `process` would accept the input.
fn verdict(found: &Inspection, page: &mut Page) {
    let versions: std::collections::BTreeSet<String> =
        found.files.iter().map(|file| file.dbn_version.to_string()).collect();
    let what = format!(
        "{} with {} records (mbp-10, DBN {}), {}",
        counted(found.files.len(), "file"),
        grouped(found.files.iter().map(|file| file.records).sum()),
        Vec::from_iter(versions).join(" and "),
        counted(found.symbols.len(), "symbol"),
    );
    if found.refusals.is_empty() {
        page.push(Style::Good, "readable").line(format!(": {what}"));
        return;
    }
    page.push(Style::Bad, "process would refuse this input").line(format!(": {what}"));
    for refusal in &found.refusals {
        page.sentence(&format!("process would refuse this input: {refusal}"));
    }
}

/// The indexes to list out of `count`: the first and the last ones, or all.
fn listed(count: usize) -> impl Iterator<Item = Option<usize>> {
    let half = MOST_LISTED / 2;
    let (first, last) = if count > MOST_LISTED { (half, count - half) } else { (count, count) };
    let gap = (count > MOST_LISTED).then_some(None);
    (0..first).map(Some).chain(gap).chain((last..count).map(Some))
}

fn files(files: &[InputEntry]) -> Table {
    let mut table =
        Table::new([Column::Left("file"), Column::Right("records"), Column::Right("rows"), Column::Left("first")]);
    for place in listed(files.len()) {
        let Some(file) = place.map(|place| &files[place]) else {
            table.row([format!("… {} more", files.len() - MOST_LISTED), String::new(), String::new(), String::new()]);
            continue;
        };
        let first = file.first_ts.map_or_else(|| "-".to_owned(), to_minute);
        table.row([shortened(&file.name, 38), grouped(file.records), grouped(file.rows), first]);
    }
    table
}

/// The symbols with the most rows.
fn symbols(symbols: &[SymbolInspection]) -> Table {
    let mut table = Table::new([
        Column::Left("symbol"),
        Column::Right("rows"),
        Column::Left("first"),
        Column::Left("last"),
        Column::Right("longest gap"),
    ]);
    let mut largest: Vec<&SymbolInspection> = symbols.iter().collect();
    if symbols.len() > MOST_LISTED {
        largest.sort_by(|a, b| (b.rows, &a.symbol).cmp(&(a.rows, &b.symbol)));
    }
    for symbol in largest.iter().take(MOST_LISTED) {
        let gap = symbol.gaps.longest().first();
        table.row([
            shortened(&symbol.symbol, 18),
            grouped(symbol.rows),
            to_minute(symbol.first_ts),
            to_minute(symbol.last_ts),
            gap.map_or_else(|| "-".to_owned(), |gap| span(gap.length())),
        ]);
    }
    if let Some(rest @ [_, ..]) = largest.get(MOST_LISTED..) {
        let rows = rest.iter().map(|symbol| symbol.rows).sum();
        let name = format!("… {} more", grouped(rest.len() as u64));
        table.row([name, grouped(rows), String::new(), String::new(), String::new()]);
    }
    table
}

fn all_of_files(files: &[InputEntry]) -> Table {
    let time = |t: Option<Timestamp>| t.map_or_else(|| "-".to_owned(), to_second);
    let mut head = vec![Column::Left("file"), Column::Right("dbn"), Column::Right("records"), Column::Right("rows")];
    head.extend(Drops::default().named().map(|(reason, _)| Column::Right(reason)));
    head.extend([Column::Right("impossible"), Column::Right("checksums"), Column::Left("first"), Column::Left("last")]);
    let mut table = Table::new(head);
    for file in files {
        let mut cells =
            vec![file.name.clone(), file.dbn_version.to_string(), grouped(file.records), grouped(file.rows)];
        cells.extend(file.drops.named().map(|(_, count)| grouped(count)));
        let checksums = file.checksummed.map_or("-", |all| if all { "yes" } else { "no" });
        cells.extend([grouped(file.impossible.total()), checksums.to_owned()]);
        cells.extend([time(file.first_ts), time(file.last_ts)]);
        table.row(cells);
    }
    table
}

fn all_of_symbols(symbols: &[SymbolInspection]) -> Table {
    let mut table = Table::new([
        Column::Left("symbol"),
        Column::Right("publisher"),
        Column::Right("rows"),
        Column::Right("files"),
        Column::Left("first"),
        Column::Left("last"),
        Column::Right("longest gap"),
        Column::Left("from"),
    ]);
    for symbol in symbols {
        let gap = symbol.gaps.longest().first();
        table.row([
            symbol.symbol.clone(),
            symbol.publisher_id.to_string(),
            grouped(symbol.rows),
            grouped(symbol.files),
            to_second(symbol.first_ts),
            to_second(symbol.last_ts),
            gap.map_or_else(|| "-".to_owned(), |gap| span(gap.length())),
            gap.map_or_else(|| "-".to_owned(), |gap| to_second(gap.from)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_the_first_and_the_last_are_listed() {
        assert_eq!(listed(12).flatten().collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
        let some: Vec<Option<usize>> = listed(260).collect();
        assert_eq!((some.len(), some[5], some[6], some[7], some[12]), (13, Some(5), None, Some(254), Some(259)));
    }
}
