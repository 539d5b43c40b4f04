//! Warnings of a manifest: about the input, and about labels that a model may not learn from. A few of a kind are
//! listed one by one; many are combined into one sentence that counts them and names the worst.

use super::halves::MOST_SINGLE_WARNINGS;
use crate::cast::to_usize;
use crate::config::{CLASSIC, Classes, Config, MicroPipSize, ThresholdScope};
use crate::input::{Delivery, Impossible, InputEntry};
use crate::label::{Quota, Split};
use crate::output::{Ladder, SplitEntry, SymbolEntry, TargetEntry};
use crate::printable::{counted, grouped, printable};

/// Warnings about the input.
pub fn input_warnings(inputs: &[InputEntry], delivery: &Delivery) -> Vec<String> {
    let mut warnings = delivery.warnings();
    let is_unmapped = |input: &&InputEntry| input.records > 0 && input.drops.unmapped == input.records;
    let unmapped: Vec<&InputEntry> = inputs.iter().filter(is_unmapped).collect();
    let describe = |input: &&InputEntry| {
        format!("{}: none of its records has a symbol, so all were dropped", printable(&input.name))
    };
    let many = format!("of {} files have no record with a symbol, such as", grouped(inputs.len() as u64));
    let cure = "; if it has no mappings, it needs a symbology.json";
    warnings.extend(each_or_worst(&unmapped, |input| -(input.records as f64), describe, &many, cure));
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

/// A symbol with at most this many steps back gets no warning: Databento corrects its clocks now and then.
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

/// Warns of each of `found` if they are few. If they are many, gives one warning that begins with `many` and describes
/// the worst, which has the least `rank`. Each warning ends with `cure`.
fn each_or_worst<T>(
    found: &[T],
    rank: impl Fn(&T) -> f64,
    describe: impl Fn(&T) -> String,
    many: &str,
    cure: &str,
) -> Vec<String> {
    if found.len() <= MOST_SINGLE_WARNINGS {
        return found.iter().map(|one| describe(one) + cure).collect();
    }
    let worst = found.iter().min_by(|a, b| rank(a).total_cmp(&rank(b))).map(describe).unwrap_or_default();
    vec![format!("{} {many} {worst}{cure}", grouped(found.len() as u64))]
}

/// A split of a dataset's labels of a target.
struct NamedSplit<'a> {
    symbol: &'a str,
    target: &'a str,
    split: &'static str,
    entry: &'a SplitEntry,
}

impl NamedSplit<'_> {
    /// Its symbol and target, in the words of warnings.
    fn name(&self) -> String {
        of_target(self.symbol, self.target)
    }
}

/// A symbol whose own fit half is further from uniform than this gets a warning: a quarter of its rows would have to
/// change class (total variation distance). Measured: spot and perpetuals of two cryptocurrencies that share boundaries
/// are 1 to 16 percent away with windows of 500 rows. By arithmetic: a class with 66 percent of the rows puts a symbol
/// at least 33 percent away with three classes, and further with more.
const FAR_FROM_UNIFORM: f64 = 0.25;

/// A symbol and a target, in the words of warnings.
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
    let what = if targets.len() > 1 { "targets of symbols" } else { "symbols" };
    let many =
        format!("of {} {what} have a fit half far from uniform; the farthest is", grouped(with_dataset.len() as u64));
    each_or_worst(&far, |(_, fit)| -fit.from_uniform(), describe, &many, &format!(": {cure}"))
}

/// Warns of splits that have few marks because most of their classes are small. Unmarked splits get no such warning.
fn few_marked(splits: &[NamedSplit<'_>]) -> Vec<String> {
    let marked = |split: &NamedSplit<'_>| split.entry.balanced.iter().sum::<u64>();
    let share = |split: &NamedSplit<'_>| marked(split) as f64 / split.entry.rows as f64;
    let lopsided = |split: &&NamedSplit<'_>| {
        Quota::new(split.entry.classes.clone()).is_lopsided() && (1..split.entry.rows).contains(&marked(split))
    };
    let few: Vec<&NamedSplit<'_>> = splits.iter().filter(lopsided).collect();
    let describe = |split: &&NamedSplit<'_>| {
        format!(
            "{}: most classes are small in {}, so the smallest, with {}, sets how many of each are marked as balanced: {} of {} ({:.1}%)",
            split.name(),
            split.split,
            counted(Quota::new(split.entry.classes.clone()).k(), "row"),
            grouped(marked(split)),
            counted(split.entry.rows, "row"),
            100.0 * share(split)
        )
    };
    let many = format!("of {} splits have few marked rows; the fewest has", grouped(splits.len() as u64));
    each_or_worst(&few, |split| share(split), describe, &many, "")
}

/// Warns of classes that have fewer rows than are marked in the others.
fn short_classes(splits: &[NamedSplit<'_>]) -> Vec<String> {
    let counts = |split: &NamedSplit<'_>| {
        let of_class = |class: &u64| split.entry.classes.get(to_usize(*class)).copied().unwrap_or_default();
        split.entry.short.iter().map(of_class).collect::<Vec<u64>>()
    };
    let short: Vec<&NamedSplit<'_>> = splits.iter().filter(|split| !split.entry.short.is_empty()).collect();
    let describe = |split: &&NamedSplit<'_>| {
        let (name, split_name, counts) = (split.name(), split.split, counts(split));
        if let ([class], [count]) = (split.entry.short.as_slice(), counts.as_slice()) {
            return format!("{name}: class {class} is short in {split_name}: {}", counted(*count, "row"));
        }
        let list: Vec<String> = split.entry.short.iter().map(u64::to_string).collect();
        let least = match counts.iter().max().copied().unwrap_or_default() {
            0 => "no rows".to_owned(),
            most => format!("at most {} each", counted(most, "row")),
        };
        format!("{name}: classes {} are short in {split_name}: {least}", list.join(", "))
    };
    let many = format!("of {} splits have short classes, such as", grouped(splits.len() as u64));
    let rank = |split: &&NamedSplit<'_>| counts(split).iter().sum::<u64>() as f64 / split.entry.rows.max(1) as f64;
    each_or_worst(&short, rank, describe, &many, "")
}

/// Warns of targets without labels in datasets that have labels of another target.
fn no_labels(symbols: &[SymbolEntry]) -> Vec<String> {
    let with_dataset = symbols.iter().filter(|symbol| symbol.dataset.is_some());
    let targets = with_dataset.flat_map(|symbol| symbol.targets.iter().map(move |target| (symbol, target)));
    let without: Vec<_> = targets.clone().filter(|(_, target)| target.splits.is_none()).collect();
    let many = format!("of {} targets of symbols have no labels, such as", grouped(targets.count() as u64));
    let describe = |(symbol, target): &(&SymbolEntry, &TargetEntry)| {
        let reason = target.reason.as_deref().unwrap_or_default();
        format!("{}: no labels: {reason}", of_target(&symbol.symbol, &target.target))
    };
    each_or_worst(&without, |(symbol, _)| -(symbol.rows as f64), describe, &many, "")
}

/// A symbol with less of its book on the ladder of depth tensors than this gets a warning.
const LITTLE_OF_THE_BOOK: f64 = 0.5;

/// Warns of symbols whose books are mostly off the ladders of their depth tensors: these tensors are nearly blank.
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
    let many = format!(
        "of {} symbols have less than half of their book on the ladder of depth tensors; the least has",
        grouped(with_dataset.len() as u64)
    );
    each_or_worst(&off, |(_, ladder)| share(ladder), describe, &many, &format!(": {cure}"))
}

/// Warnings about the datasets, and about symbols without a dataset.
pub fn warnings(symbols: &[SymbolEntry], config: &Config, fitted: bool) -> Vec<String> {
    let mut warnings = far_from_uniform(symbols, config, fitted);
    warnings.extend(off_the_ladder(symbols, config.micro_pip_size));
    let with_dataset = symbols.iter().filter(|symbol| symbol.dataset.is_some());
    let splits: Vec<NamedSplit<'_>> = with_dataset
        .flat_map(|symbol| symbol.splits().map(|(target, splits)| (symbol.symbol.as_str(), target, splits)))
        .flat_map(|(symbol, target, splits)| {
            // Rows under embargo are never marked.
            let marked = splits.named().into_iter().filter(|(split, _)| *split != Split::Embargo.name());
            marked.map(move |(split, entry)| NamedSplit { symbol, target, split, entry })
        })
        .collect();
    warnings.extend(few_marked(&splits));
    warnings.extend(short_classes(&splits));
    warnings.extend(no_labels(symbols));
    let left_out: Vec<&SymbolEntry> = symbols.iter().filter(|s| s.dataset.is_none()).collect();
    if let [first, ..] = left_out.as_slice() {
        let count = left_out.iter().map(|s| s.rows).sum();
        warnings.push(format!(
            "{} of {} symbols {} no dataset ({}), such as {}: {}; manifest.json lists all (min_symbol_samples = {})",
            grouped(left_out.len() as u64),
            grouped(symbols.len() as u64),
            if left_out.len() == 1 { "gets" } else { "get" },
            counted(count, "row"),
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
    use crate::output::{DatasetEntry, MomentsEntry, Splits3};

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
    fn many_splits_with_small_classes_share_a_warning() {
        let names: Vec<String> = (0..8).map(|i| format!("S{i}")).collect();
        let mut symbols: Vec<SymbolEntry> = names.iter().map(|name| symbol(name, &[1, 900, 2])).collect();
        for symbol in &mut symbols {
            let splits = symbol.targets[0].splits.as_mut().unwrap();
            splits.fit.balanced = vec![1; 3];
            splits.fit.short = vec![0, 2];
            splits.holdout = splits.fit.clone();
        }
        symbols[3].targets[0].splits.as_mut().unwrap().holdout.classes = vec![0, 901, 0];
        let found = warnings(&symbols, &Config::default(), true);
        let about = |text: &str| found.iter().filter(|line| line.contains(text)).collect::<Vec<_>>();
        let [marked] = about("marked")[..] else { panic!("{found:?}") };
        assert_eq!(
            marked,
            "16 of 16 splits have few marked rows; the fewest has S0: most classes are small in fit, so the smallest, with 1 row, sets how many of each are marked as balanced: 3 of 903 rows (0.3%)"
        );
        let [short] = about("short")[..] else { panic!("{found:?}") };
        assert_eq!(short, "16 of 16 splits have short classes, such as S3: classes 0, 2 are short in holdout: no rows");
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
