//! Summaries for people at the end of each command.

use std::fmt::Write;
use std::path::Path;

use lobset::cache::{Cache, CachedFile};
use lobset::grouped;
use lobset::input::Drops;
use lobset::input::InputEntry;
use lobset::output::{DatasetEntry, SplitEntry, SymbolEntry};
use lobset::validate::Validation;
use lobset::{Inspection, Manifest, REPORT, Thresholds, printable};

use crate::args::to_second;

/// A path with line breaks and control characters escaped.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Shortest gap to report, in nanoseconds: a quiet minute is not a hole in the data.
const LEAST_GAP: u64 = 60_000_000_000;

/// Formats nanoseconds with their two largest units: `2d 3h`, `15m 2s`, `1.5s`.
fn span(nanos: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = nanos / 1_000_000_000;
    let Some(first) = UNITS.iter().position(|(length, _)| seconds >= *length).filter(|place| *place < 3) else {
        return format!("{:.1}s", nanos as f64 / 1e9);
    };
    let ((large, name), (small, below)) = (UNITS[first], UNITS[first + 1]);
    match seconds % large / small {
        0 => format!("{}{name}", seconds / large),
        rest => format!("{}{name} {rest}{below}", seconds / large),
    }
}

/// Describes the longest gap of all datasets and whether windows cross it.
fn longest_gap(manifest: &Manifest) -> Option<String> {
    let longest = |symbol: &'_ SymbolEntry| symbol.gaps.first().copied();
    let found = manifest.datasets().filter_map(|(symbol, _)| Some((longest(symbol)?, symbol)));
    let (gap, symbol) = found.max_by_key(|(gap, _)| gap.length()).filter(|(gap, _)| gap.length() >= LEAST_GAP)?;
    let line =
        format!("longest gap: {} in {} from {}", span(gap.length()), printable(&symbol.symbol), to_second(gap.from));
    Some(match manifest.config.max_gap {
        Some(most) if gap.length() > most.0 => format!("{line}, where its stream breaks (max_gap)"),
        Some(_) => line,
        None => format!("{line}; windows span gaps unless max_gap is set"),
    })
}

/// Formats columns padded to their widest cell. Those whose name ends in a space are left-aligned, the others
/// right-aligned.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    // Names of symbols and files may contain line breaks; a cell must stay on one line.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell).into_owned()).collect()).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|c| {
            rows.iter().map(|r| r[c].chars().count()).chain([header[c].trim_end().chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().enumerate().map(|(c, cell)| {
            let width = widths[c];
            if header[c].ends_with(' ') { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head: Vec<String> = header.iter().map(|h| h.trim_end().to_owned()).collect();
    line(&head) + &rows.iter().map(|r| line(r)).collect::<String>()
}

/// `known_share` is that of the target, for the first of its rows.
fn split_row(symbol: &str, name: &str, split: &SplitEntry, known_share: Option<f64>) -> Vec<String> {
    let accuracy = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", 100.0 * share));
    let share = |count: Option<&u64>| 100.0 * count.map_or(0.0, |c| *c as f64) / split.rows.max(1) as f64;
    let (least, most) = (share(split.classes.iter().min()), share(split.classes.iter().max()));
    vec![
        symbol.to_owned(),
        name.to_owned(),
        grouped(split.rows),
        grouped(split.balanced.iter().sum()),
        if split.rows == 0 { "-".to_owned() } else { format!("{least:.2}% to {most:.2}%") },
        if split.rows == 0 { "-".to_owned() } else { format!("{:.1}%", 100.0 * split.from_uniform()) },
        known_share.map_or_else(String::new, |share| format!("{:.0}%", 100.0 * share)),
        accuracy(split.majority_accuracy),
        accuracy(split.known_accuracy),
    ]
}

fn statistics<'a>(datasets: impl Iterator<Item = (&'a SymbolEntry, &'a DatasetEntry)>, verbose: bool) -> String {
    let mut rows = Vec::new();
    let mut shares = String::new();
    let several = |symbol: &SymbolEntry| symbol.targets.len() > 1;
    let of_datasets = datasets.flat_map(|(symbol, _)| symbol.targets.iter().map(move |target| (symbol, target)));
    for (symbol, target) in of_datasets {
        let mut known_share = target.known_share;
        for (split_name, split) in target.splits.iter().flat_map(|splits| splits.named()) {
            let name = &if several(symbol) { format!("{} {split_name}", target.target) } else { split_name.to_owned() };
            rows.push(split_row(&symbol.symbol, name, split, known_share.take()));
            if verbose && split.rows > 0 {
                let percent = split.classes.iter().map(|c| format!("{:.2}", 100.0 * *c as f64 / split.rows as f64));
                let _ = writeln!(
                    shares,
                    "  {} {name}: {}",
                    printable(&symbol.symbol),
                    percent.collect::<Vec<_>>().join(" ")
                );
            }
        }
    }
    let head =
        ["symbol ", "split ", "rows", "balanced", "class shares", "from uniform", "known", "majority", "known class"];
    let mut text = table(&head, &rows);
    text += "known, majority, known class: what needs no forecast; compare models with these, not with chance\n";
    if verbose {
        let _ = write!(text, "class shares in percent:\n{shares}");
    }
    text
}

/// The summary of `process` and `build`.
pub fn manifest(out: &Path, manifest: &Manifest, verbose: bool) -> String {
    let mut text = String::new();
    let timings = &manifest.timings;
    let _ = writeln!(text, "currency {}", manifest.config.tag());
    let origin = if manifest.thresholds.fitted { "fitted" } else { "from a file, fitted" };
    let _ = writeln!(text, "boundaries {origin} on data before {} only", to_second(manifest.thresholds.fit_until));
    text += &statistics(manifest.datasets(), verbose);
    let _ = writeln!(text);
    for (_, dataset) in manifest.datasets() {
        let _ = writeln!(
            text,
            "{}  {} rows, {}",
            shown(&out.join(&dataset.file)),
            grouped(dataset.rows),
            megabytes(dataset.bytes)
        );
    }
    if let Some(line) = longest_gap(manifest) {
        let _ = writeln!(text, "{line}");
    }
    if manifest.config.sessions.is_some() {
        let outside = manifest.symbols.iter().map(|symbol| symbol.out_of_session).sum();
        let _ = writeln!(text, "{} rows lie outside of the sessions and are not written", grouped(outside));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, shown without decimals")]
    let rate = timings.records_per_second as u64;
    let drops = manifest.inputs.iter().map(|i| i.drops.total()).sum();
    let _ = writeln!(
        text,
        "{} records of {} files ({} dropped) in {:.2} s: {} per second",
        grouped(manifest.records()),
        manifest.inputs.len(),
        grouped(drops),
        timings.total_seconds,
        grouped(rate)
    );
    for sentence in checksums(&manifest.inputs).into_iter().chain(manifest.delivery.sentences()) {
        let _ = writeln!(text, "{}", printable(&sentence));
    }
    if verbose {
        let _ = writeln!(
            text,
            "scan {:.2} s, plan {:.2} s, write {:.2} s, validate {:.2} s; {} threads; peak memory {}",
            timings.scan_seconds,
            timings.plan_seconds,
            timings.write_seconds,
            timings.validate_seconds,
            timings.threads,
            timings.peak_memory_bytes.map_or_else(|| "unknown".to_owned(), megabytes)
        );
    }
    let _ = match &manifest.validation {
        Some(proved) => {
            writeln!(text, "validation passed: read back {} rows of {} datasets", grouped(proved.rows), proved.datasets)
        }
        None => writeln!(text, "not validated: run lobset validate {}", shown(out)),
    };
    let _ = writeln!(text, "report: {}", shown(&out.join(REPORT)));
    text
}

/// The files that `cache` has found or removed.
pub fn cache(cache: &Cache, files: &[CachedFile], removed: bool) -> String {
    let mut text = String::new();
    for file in files {
        let age = match file.days {
            0 => "today".to_owned(),
            1 => "1 day ago".to_owned(),
            days => format!("{days} days ago"),
        };
        let state = if file.finished { "" } else { ", unfinished" };
        let _ =
            writeln!(text, "{:>10}  {} of {} ({age}{state})", megabytes(file.bytes), file.holds, shown(&file.dataset));
    }
    let bytes = megabytes(files.iter().map(|file| file.bytes).sum());
    let what = if removed { "removed" } else { "found" };
    let count = files.len();
    let _ = writeln!(text, "{what} {count} cache files ({bytes}) in {}", shown(cache.folder()));
    text
}

/// The summary of `validate`.
pub fn validation(folder: &Path, found: &Validation, verbose: bool) -> String {
    let mut text = statistics(found.manifest.datasets(), verbose);
    let bytes = found.manifest.datasets().map(|(_, d)| d.bytes).sum();
    let _ = writeln!(text);
    for check in &found.proved.checks {
        let _ = writeln!(text, "passed: {check}");
    }
    for check in &found.proved.not_checked {
        let _ = writeln!(text, "not checked: {check}");
    }
    if let Some(against) = &found.against {
        let rows = grouped(against.rows);
        let _ = match against.seed {
            Some(seed) => {
                writeln!(text, "passed: {rows} random rows (seed {seed}) match the raw files in all columns")
            }
            None => writeln!(text, "passed: all {rows} rows match the raw files in all columns, and none is missing"),
        };
    }
    let _ = writeln!(
        text,
        "validation passed: {} rows of {} datasets ({}) in {} in {:.2} s",
        grouped(found.proved.rows),
        found.proved.datasets,
        megabytes(bytes),
        shown(folder),
        found.seconds
    );
    text
}

/// The summary of `thresholds`.
pub fn thresholds(out: &Path, thresholds: &Thresholds) -> String {
    let mut text = String::new();
    let others = thresholds.targets.iter().map(|(name, fitted)| (Some(name.as_str()), fitted));
    let all = [(None, &thresholds.classic)].into_iter().chain(others).flat_map(|(target, fitted)| {
        let one = fitted.global.iter().map(|fit| ("all symbols", fit));
        let each = fitted.symbols.iter().map(|(name, boundaries)| (name.as_str(), boundaries));
        one.chain(each).map(move |(symbol, boundaries)| (target, symbol, boundaries))
    });
    for (target, name, boundaries) in all {
        let target = target.map_or_else(String::new, |target| format!("{target}, "));
        let _ = writeln!(
            text,
            "{target}{}: fitted on {} rows, {} in the embargo, mean {:.3e}, std {:.3e}, from {:.3e} to {:.3e}",
            printable(name),
            grouped(boundaries.fit_rows),
            grouped(boundaries.embargo_rows),
            boundaries.mean,
            boundaries.std,
            boundaries.min,
            boundaries.max
        );
        let values: Vec<String> = boundaries.values.iter().map(|b| format!("{b:.3e}")).collect();
        let _ = writeln!(text, "  {}", values.join(" "));
    }
    let _ = writeln!(text, "fitted on data before {} only", to_second(thresholds.fit_until));
    let _ = writeln!(text, "thresholds: {}", shown(out));
    text
}

/// The summary of `inspect`.
pub fn inspection(found: &Inspection) -> String {
    let time = |t: Option<lobset::Timestamp>| t.map_or_else(|| "-".to_owned(), to_second);
    let files: Vec<Vec<String>> = found
        .files
        .iter()
        .map(|f| {
            let mut cells = vec![
                printable(&f.name).into_owned(),
                "mbp-10".to_owned(),
                f.dbn_version.to_string(),
                grouped(f.records),
                grouped(f.rows),
            ];
            cells.extend(f.drops.named().map(|(_, count)| grouped(count)));
            let checksums = f.checksummed.map_or("-", |all| if all { "yes" } else { "no" });
            cells.extend([grouped(f.impossible.total()), checksums.to_owned()]);
            cells.extend([time(f.first_ts), time(f.last_ts)]);
            cells
        })
        .collect();
    let symbols: Vec<Vec<String>> = found
        .symbols
        .iter()
        .map(|s| {
            let gap = s.gaps.longest().first();
            vec![
                printable(&s.symbol).into_owned(),
                s.publisher_id.to_string(),
                grouped(s.rows),
                grouped(s.files),
                to_second(s.first_ts),
                to_second(s.last_ts),
                gap.map_or_else(|| "-".to_owned(), |gap| span(gap.length())),
                gap.map_or_else(|| "-".to_owned(), |gap| to_second(gap.from)),
            ]
        })
        .collect();
    let mut head = vec!["file ", "schema ", "dbn", "records", "rows"];
    head.extend(Drops::default().named().map(|(reason, _)| reason));
    head.extend(["impossible", "checksums", "first ", "last "]);
    let symbol_head = ["symbol ", "publisher", "rows", "files", "first ", "last ", "longest gap", "from "];
    let mut text = format!("{}\n{}\n", table(&head, &files), table(&symbol_head, &symbols));
    let longest = found.symbols.iter().filter_map(|s| s.gaps.longest().first()).map(|gap| gap.length()).max();
    if longest.is_some_and(|longest| longest >= LEAST_GAP) {
        let _ = writeln!(text, "windows span these gaps unless max_gap is set (--max-gap 15m)");
    }
    let flags = found.flags.named().into_iter().filter(|(_, count)| *count > 0);
    let flags: Vec<String> = flags.map(|(name, count)| format!("{name} {}", grouped(count))).collect();
    let _ = writeln!(text, "records by flag: {}", if flags.is_empty() { "none".to_owned() } else { flags.join(", ") });
    if !found.currency.is_empty() {
        let _ = writeln!(text, "process would name the datasets {}_…", found.currency);
    }
    for sentence in checksums(&found.files).into_iter().chain(found.delivery.sentences()) {
        let _ = writeln!(text, "{}", printable(&sentence));
    }
    for refusal in &found.refusals {
        let _ = writeln!(text, "process would refuse this input: {refusal}");
    }
    text
}

/// Says how many files have no checksums.
fn checksums(files: &[InputEntry]) -> Option<String> {
    match files.iter().filter(|file| file.checksummed != Some(true)).count() {
        0 => None,
        n => Some(format!(
            "{n} of {} files have no zstd checksums: damage in them is found only if it breaks the format or by the hashes in manifest.json",
            files.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let second = 1_000_000_000;
        let texts = [1_500_000_000, 60 * second, 902 * second, 21_600 * second, 183_600 * second].map(span);
        assert_eq!(texts, ["1.5s", "1m", "15m 2s", "6h", "2d 3h"]);
    }
}
