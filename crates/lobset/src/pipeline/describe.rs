//! Builds the manifest of a run.

use std::collections::BTreeMap;

use super::halves::{Halves, MOST_SINGLE_WARNINGS, Origin, empty_halves};
use super::planned::Planned;
use super::scanned::Scanned;
use super::streams::{Stream, TargetRows, item};
use super::write::split_entries;
use crate::cast::to_usize;
use crate::config::{CLASSIC, Classes, Config, MicroPipSize, Target, ThresholdScope};
use crate::input::{Delivery, Impossible, InputEntry};
use crate::label::Quota;
use crate::output::{
    DatasetEntry, FileEntry, Ladder, Manifest, SplitEntry, SymbolEntry, TargetEntry, ThresholdsEntry, Timings,
};
use crate::printable::{grouped, printable};

/// Builds the manifest, except for validation, card, report and timings.
pub fn describe(
    config: &Config,
    scanned: &Scanned,
    planned: &Planned,
    mut datasets: BTreeMap<usize, DatasetEntry>,
    thresholds: ThresholdsEntry,
) -> Manifest {
    let Planned { targets, plans, .. } = planned;
    let describe_symbol = |(place, stream): (usize, &Stream)| {
        let dataset = datasets.remove(&place);
        let plan = plans.iter().find(|plan| plan.symbol == place).filter(|_| dataset.is_some());
        let describe_target = |(number, target): (usize, &Target)| {
            let plan = plan.and_then(|plan| plan.target(number));
            let item = item(number, &scanned.streams, place);
            let labelled_rows = planned.labelled[item];
            let TargetRows { candidates, splits } = &stream.targets[number];
            TargetEntry {
                target: target.name.clone(),
                labelled_rows,
                undefined_rows: candidates.count() - labelled_rows,
                fit_end: splits.fit_end,
                known_share: plan.map(|_| planned.known_shares[item]),
                splits: plan.map(|plan| split_entries(config, plan)),
                reason: plan.is_none().then(|| no_labels(config, planned, stream, number, labelled_rows)),
            }
        };
        let targets: Vec<TargetEntry> = targets.iter().enumerate().map(describe_target).collect();
        // The reason of the first target, whose settings are the plainest.
        let reason = targets.first().filter(|_| dataset.is_none()).and_then(|target| target.reason.clone());
        SymbolEntry {
            symbol: stream.symbol.clone(),
            publisher_id: stream.publisher_id,
            rows: stream.tape.rows(),
            steps_back: stream.steps_back,
            gaps: stream.gaps.longest().to_vec(),
            breaks: stream.breaks.clone(),
            in_session: stream
                .in_session
                .as_ref()
                .map(|ranges| ranges.iter().map(|range| [range.start, range.end]).collect()),
            out_of_session: stream.out_of_session(),
            boundary_row: stream.boundary_row,
            fitted_rows: planned.fitted_rows[place].clone(),
            targets,
            dataset,
            reason,
        }
    };
    let symbols: Vec<SymbolEntry> = scanned.streams.iter().enumerate().map(describe_symbol).collect();
    let halves: Vec<Halves<'_>> = symbols.iter().flat_map(Halves::of_dataset).collect();
    Manifest {
        sha256: String::new(),
        version: crate::VERSION.to_owned(),
        config: config.without_run_settings(),
        inputs: scanned.inputs.clone(),
        delivery: scanned.delivery.clone(),
        warnings: input_warnings(&scanned.inputs, &scanned.delivery)
            .into_iter()
            .chain(steps_back(symbols.iter().map(|s| (s.symbol.as_str(), s.steps_back, s.rows))))
            .chain(scanned.warnings.iter().cloned())
            .chain(empty_halves(&halves, scanned.fit_until, Origin::new(config, thresholds.fitted), &scanned.inputs))
            .chain(warnings(&symbols, config, thresholds.fitted))
            .collect(),
        thresholds,
        symbols,
        validation: None,
        card: FileEntry::default(),
        report: FileEntry::default(),
        plan: None,
        timings: Timings::default(),
    }
}

/// Why a stream's dataset has no labels of a target, or why there is no dataset.
fn no_labels(config: &Config, planned: &Planned, stream: &Stream, number: usize, labelled_rows: u64) -> String {
    let least = config.min_symbol_samples;
    let (target, TargetRows { candidates, .. }) = (&planned.targets[number], &stream.targets[number]);
    if labelled_rows >= least {
        return if planned.thresholds.boundaries(&target.name, &stream.symbol).is_none() {
            "no boundaries: no row of the fit half has its windows whole within it".to_owned()
        } else {
            "no row is marked as balanced, and drop_unbalanced drops all others".to_owned()
        };
    }
    let mut few = format!("{labelled_rows} labelled rows, fewer than min_symbol_samples = {least}");
    let unbroken = target.movement.rule().candidates(&stream.tape, &[]).map_or(0, |all| match &stream.in_session {
        Some(in_session) => all.within(in_session).count(),
        None => all.count(),
    });
    if unbroken >= least && candidates.count() < least {
        few += &format!("; without the {} breaks in its stream there would be enough", stream.breaks.len());
    }
    match candidates.count() - labelled_rows {
        0 => few,
        undefined => {
            format!("{few}; {undefined} more have no movement, because of {}", target.movement.undefined())
        }
    }
}

/// Warnings about the input.
pub fn input_warnings(inputs: &[InputEntry], delivery: &Delivery) -> Vec<String> {
    let mut warnings = delivery.warnings();
    for input in inputs.iter().filter(|input| input.records > 0 && input.drops.unmapped == input.records) {
        warnings.push(format!(
            "{}: none of its records has a symbol, so all were dropped; if it has no mappings, it needs a symbology.json",
            printable(&input.name)
        ));
    }
    warnings.extend(impossible(inputs));
    warnings
}

/// Warns of impossible values: one warning for all files.
fn impossible(inputs: &[InputEntry]) -> Option<String> {
    let with: Vec<&InputEntry> = inputs.iter().filter(|input| input.impossible.total() > 0).collect();
    let mut all = Impossible::default();
    with.iter().for_each(|input| all += input.impossible);
    let kinds = all.named().into_iter().filter(|(_, count)| *count > 0);
    let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{kind} {count}")).collect();
    with.first().map(|first| {
        format!(
            "impossible values in {} of {} files, such as {} ({}): the data may be damaged; strict = true refuses them and names the record",
            with.len(),
            inputs.len(),
            printable(&first.name),
            kinds.join(", ")
        )
    })
}

/// A symbol with up to this many steps back gets no warning: Databento corrects its clocks now and then.
const FEW_STEPS_BACK: u64 = 9;

/// Warns of streams whose `ts_recv` often steps back. `streams` gives the name, steps back and rows of each.
pub fn steps_back<'a>(streams: impl Iterator<Item = (&'a str, u64, u64)>) -> Option<String> {
    let often: Vec<_> = streams.filter(|(_, steps, _)| *steps > FEW_STEPS_BACK).collect();
    let (name, steps, rows) = often.iter().max_by_key(|(_, steps, _)| steps)?;
    let most =
        format!("ts_recv steps back in {} of the {} rows of {}", grouped(*steps), grouped(*rows), printable(name));
    let others = match often.len() - 1 {
        0 => String::new(),
        1 => ", and in one other symbol".to_owned(),
        n => format!(", and in {n} other symbols"),
    };
    Some(format!(
        "{most}{others}: comparisons use the largest ts_recv so far instead; one wrong timestamp may be the cause"
    ))
}

/// A symbol whose own fit half is further from uniform than this gets a warning: a quarter of its rows would have to
/// change class (total variation distance). Measured: spot and perpetuals of two cryptocurrencies that share boundaries
/// are 1 to 16 percent away with windows of 500 rows. By arithmetic: a class with 66 percent of the rows puts a symbol
/// at least 33 percent away with three classes, and further with more.
const FAR_FROM_UNIFORM: f64 = 0.25;

/// A symbol and a target, as warnings name them.
fn of_target(symbol: &str, target: &str) -> String {
    if target == CLASSIC { symbol.to_owned() } else { format!("{symbol}, {target}") }
}

/// Warns of symbols whose own fit half is far from uniform, for targets whose classes are made uniform.
fn far_from_uniform(symbols: &[SymbolEntry], config: &Config, fitted: bool) -> Vec<String> {
    let targets = config.all_targets();
    let uniform = |name: &str| {
        let target = targets.iter().find(|target| target.name == name);
        target.is_some_and(|target| matches!(target.classes, Classes::Quantiles { .. }))
    };
    let with_dataset: Vec<(String, &SplitEntry)> = symbols
        .iter()
        .filter(|symbol| symbol.dataset.is_some())
        .flat_map(|symbol| symbol.splits().map(move |(target, splits)| (symbol, target, splits)))
        .filter(|(_, target, _)| uniform(target))
        .map(|(symbol, target, splits)| (of_target(&symbol.symbol, target), &splits.fit))
        .collect();
    let cure = if !fitted {
        "boundaries from a thresholds file may not suit this data; fit new ones on it"
    } else if targets.iter().any(|t| t.threshold_scope == ThresholdScope::Global)
        && symbols.iter().filter(|symbol| symbol.dataset.is_some()).count() > 1
    {
        "the symbols share boundaries but move differently; give each its own with threshold_scope = \"symbol\""
    } else if config.sample_fraction < 1.0 {
        "the files that the boundaries were fitted on differ from the others; raise sample_fraction"
    } else {
        "there are few movements, or many equal ones; lower nbins or lengthen the windows"
    };
    let describe = |(symbol, fit): &(String, &SplitEntry)| {
        let share = |rows: Option<&u64>| 100.0 * rows.map_or(0.0, |n| *n as f64) / fit.rows as f64;
        let (least, most) = (share(fit.classes.iter().min()), share(fit.classes.iter().max()));
        format!(
            "{symbol}: its fit half is {:.0}% from uniform ({least:.1}% to {most:.1}% of its rows in a class)",
            100.0 * fit.from_uniform()
        )
    };
    let mut far = with_dataset.clone();
    far.retain(|(_, fit)| fit.from_uniform() > FAR_FROM_UNIFORM);
    if far.len() <= MOST_SINGLE_WARNINGS {
        return far.iter().map(|symbol| format!("{}: {cure}", describe(symbol))).collect();
    }
    let farthest = far.iter().max_by(|a, b| a.1.from_uniform().total_cmp(&b.1.from_uniform()));
    let farthest = farthest.map(describe).unwrap_or_default();
    let (far, all) = (far.len(), with_dataset.len());
    let what = if targets.len() > 1 { "targets of symbols" } else { "symbols" };
    vec![format!("{far} of {all} {what} have a fit half far from uniform; the farthest is {farthest}: {cure}")]
}

/// Warns of a split whose marks are few because most of its classes are small. Unmarked splits have no such warning.
fn few_marked(symbol: &str, split: &str, entry: &SplitEntry) -> Option<String> {
    let quota = Quota::new(entry.classes.clone());
    let marked: u64 = entry.balanced.iter().sum();
    (quota.is_lopsided() && marked > 0).then(|| {
        format!(
            "{symbol}: most classes are small in {split}, so the smallest, with {} rows, sets how many of each are marked as balanced: {} of {} rows ({:.1}%)",
            grouped(quota.k()),
            grouped(marked),
            grouped(entry.rows),
            100.0 * marked as f64 / entry.rows as f64
        )
    })
}

/// A symbol with less of its book on the ladder of depth tensors than this gets a warning.
const LITTLE_OF_THE_BOOK: f64 = 0.5;

/// Warns of symbols whose books hardly lie on the ladders of their depth tensors: these are nearly blank.
fn off_the_ladder(symbols: &[SymbolEntry], size: MicroPipSize) -> Vec<String> {
    let with_dataset: Vec<(&str, Ladder)> =
        symbols.iter().filter_map(|symbol| Some((symbol.symbol.as_str(), symbol.dataset.as_ref()?.ladder))).collect();
    let share = |ladder: &Ladder| ladder.coverage.unwrap_or(1.0);
    let mut off = with_dataset.clone();
    off.retain(|(_, ladder)| share(ladder) < LITTLE_OF_THE_BOOK);
    let describe = |(symbol, ladder): &(&str, Ladder)| {
        let Ladder { tick, micro_pip_size, .. } = ladder;
        format!(
            "{}: {:.0}% of the book lies on the ladder of depth tensors, whose step is micro_pip_size = {micro_pip_size}; its tick is {tick}",
            printable(symbol),
            100.0 * share(ladder)
        )
    };
    let cure = match size {
        MicroPipSize::Auto => "no step holds more of it; pass a larger one to DepthDataset",
        MicroPipSize::Fixed(_) => "micro_pip_size = \"auto\" chooses a step that fits, or pass one to DepthDataset",
    };
    if off.len() <= MOST_SINGLE_WARNINGS {
        return off.iter().map(|symbol| format!("{}: {cure}", describe(symbol))).collect();
    }
    let least = off.iter().min_by(|a, b| share(&a.1).total_cmp(&share(&b.1))).map(describe).unwrap_or_default();
    let (off, all) = (off.len(), with_dataset.len());
    vec![format!(
        "{off} of {all} symbols have less than half of their book on the ladder of depth tensors; the least has {least}: {cure}"
    )]
}

fn warnings(symbols: &[SymbolEntry], config: &Config, fitted: bool) -> Vec<String> {
    let mut warnings = far_from_uniform(symbols, config, fitted);
    warnings.extend(off_the_ladder(symbols, config.micro_pip_size));
    for symbol in symbols.iter().filter(|symbol| symbol.dataset.is_some()) {
        for (target, splits) in symbol.splits() {
            let name = of_target(&symbol.symbol, target);
            for (split, entry) in splits.named() {
                warnings.extend(few_marked(&name, split, entry));
                match entry.short.as_slice() {
                    [] => {}
                    [class] => {
                        let count = entry.classes.get(to_usize(*class)).copied().unwrap_or_default();
                        warnings.push(format!("{name}: class {class} is short in {split}: {} rows", grouped(count)));
                    }
                    classes => {
                        let counts = classes.iter().filter_map(|class| entry.classes.get(to_usize(*class)));
                        let most = counts.max().copied().unwrap_or_default();
                        let list: Vec<String> = classes.iter().map(u64::to_string).collect();
                        let rows = match most {
                            0 => "no rows".to_owned(),
                            most => format!("at most {} rows each", grouped(most)),
                        };
                        warnings.push(format!("{name}: classes {} are short in {split}: {rows}", list.join(", ")));
                    }
                }
            }
        }
        for target in symbol.targets.iter().filter(|target| target.splits.is_none()) {
            let reason = target.reason.as_deref().unwrap_or_default();
            warnings.push(format!("{}: no labels: {reason}", of_target(&symbol.symbol, &target.target)));
        }
    }
    let left_out: Vec<&SymbolEntry> = symbols.iter().filter(|s| s.dataset.is_none()).collect();
    if let [first, ..] = left_out.as_slice() {
        let rows: u64 = left_out.iter().map(|s| s.rows).sum();
        warnings.push(format!(
            "{} of {} symbols {} no dataset ({rows} rows), such as {}: {}; manifest.json lists all (min_symbol_samples = {})",
            left_out.len(),
            symbols.len(),
            if left_out.len() == 1 { "gets" } else { "get" },
            first.symbol,
            first.reason.as_deref().unwrap_or_default(),
            config.min_symbol_samples
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{MomentsEntry, Splits3};

    fn symbol(name: &str, classes: &[u64]) -> SymbolEntry {
        let fit = SplitEntry { rows: classes.iter().sum(), classes: classes.to_vec(), ..SplitEntry::default() };
        SymbolEntry {
            symbol: name.to_owned(),
            publisher_id: 1,
            rows: 0,
            steps_back: 0,
            gaps: Vec::new(),
            breaks: Vec::new(),
            in_session: None,
            out_of_session: 0,
            boundary_row: 0,
            fitted_rows: Vec::new(),
            targets: vec![TargetEntry {
                target: CLASSIC.to_owned(),
                splits: Some(Splits3 { fit, ..Splits3::default() }),
                ..TargetEntry::default()
            }],
            dataset: Some(DatasetEntry {
                file: String::new(),
                bytes: 0,
                sha256: String::new(),
                rows: 0,
                row_groups: 0,
                ladder: Ladder::default(),
                moments: MomentsEntry::default(),
            }),
            reason: None,
        }
    }

    #[test]
    fn the_share_of_rows_that_small_classes_leave_marked_is_told() {
        let mut symbols = vec![symbol("BTCUSDT", &[1_194, 35_964, 1_099])];
        let splits = symbols[0].targets[0].splits.as_mut().unwrap();
        splits.fit.balanced = vec![1_099; 3];
        splits.holdout = splits.fit.clone();
        splits.holdout.classes = vec![13_000; 3];
        let found = warnings(&symbols, &Config::default(), true);
        let about: Vec<_> = found.iter().filter(|text| text.contains("marked")).collect();
        assert_eq!(
            about,
            [
                "BTCUSDT: most classes are small in fit, so the smallest, with 1,099 rows, sets how many of each are marked as balanced: 3,297 of 38,257 rows (8.6%)"
            ]
        );
    }

    #[test]
    fn symbols_whose_book_is_off_the_ladder_are_named_or_counted() {
        let names: Vec<String> = (0..8).map(|i| format!("S{i}")).collect();
        let mut symbols: Vec<SymbolEntry> = names.iter().map(|name| symbol(name, &[10, 10])).collect();
        let mut set = |number: usize, coverage| {
            let ladder = Ladder { tick: 0.1, micro_pip_size: 0.00001, coverage };
            symbols[number].dataset.as_mut().unwrap().ladder = ladder;
            off_the_ladder(&symbols, MicroPipSize::Fixed(0.00001))
        };
        assert!(set(0, None).is_empty() && set(1, Some(0.5)).is_empty());
        assert_eq!(
            set(2, Some(0.021)),
            [
                "S2: 2% of the book lies on the ladder of depth tensors, whose step is micro_pip_size = 0.00001; its tick is 0.1: micro_pip_size = \"auto\" chooses a step that fits, or pass one to DepthDataset"
            ]
        );
        let many = (3..8).map(|number| set(number, Some(0.0))).last().unwrap();
        assert!(many[0].starts_with("6 of 8 symbols have less than half of their book"), "{many:?}");
        assert!(many.len() == 1 && many[0].contains("the least has S3: 0% of the book"), "{many:?}");
    }

    #[test]
    fn few_symbols_far_from_uniform_are_named_and_many_are_counted() {
        let config = Config::default();
        let names: Vec<String> = (0..8).map(|i| format!("S{i}")).collect();
        let mut symbols = vec![symbol("even", &[10, 10, 10])];
        symbols.extend(names[..5].iter().map(|name| symbol(name, &[90, 5, 5])));
        let few = far_from_uniform(&symbols, &config, true);
        assert_eq!(few.len(), 5);
        assert!(few[0].starts_with("S0: its fit half is 57% from uniform (5.0% to 90.0% of its rows in a class): "));
        assert!(few[0].ends_with("give each its own with threshold_scope = \"symbol\""), "{}", few[0]);
        symbols.extend(names[5..].iter().map(|name| symbol(name, &[100, 0, 0])));
        let many = far_from_uniform(&symbols, &config, false);
        assert_eq!(many.len(), 1);
        assert!(
            many[0].starts_with("8 of 9 symbols have a fit half far from uniform; the farthest is S"),
            "{}",
            many[0]
        );
        assert!(many[0].contains("67% from uniform (0.0% to 100.0%") && many[0].ends_with("fit new ones on it"));
    }
}
