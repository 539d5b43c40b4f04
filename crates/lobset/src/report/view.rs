//! The contents of the page in the form that its template needs: texts, numbers as text, and charts.

use minijinja::Value;
use serde::Serialize;

use super::charts::{self, Bar};
use super::sample::{Block, Sample, SampledLabels};
use super::tensor::Picture;
use super::time::{Scale, minute};
use crate::config::{Config, SETTINGS, Scope, Setting};
use crate::input::{Drops, InputEntry};
use crate::label::{Fitted, Thresholds};
use crate::output::{Manifest, SplitEntry, SymbolEntry, TargetEntry};
use crate::printable::{counted, grouped, printable};
use crate::time_text::{DAY, HOUR};

/// Number of lines of a table that are not folded away.
const UNFOLDED: usize = 20;

/// Maximum number of bars of the timeline; more files share bars.
const MOST_BARS: usize = 400;

const STYLE: &str = include_str!("page.css");

/// What the charts of a dataset are drawn from.
pub struct Drawn<'a> {
    pub symbol: &'a SymbolEntry,
    pub sample: Sample,
    /// When its embargo begins; `None` if no row is under embargo.
    pub embargo: Option<u64>,
    /// Of the largest dataset.
    pub picture: Option<Picture>,
}

/// Everything on the page.
#[derive(Serialize)]
pub struct View {
    style: Value,
    title: String,
    version: String,
    validated: bool,
    verdict: Vec<[String; 2]>,
    checks: Vec<String>,
    not_checked: Vec<String>,
    warnings: Vec<String>,
    origin: String,
    delivery: Vec<String>,
    timeline: Timeline,
    datasets: Vec<DatasetCharts>,
    more_datasets: usize,
    targets: Table,
    skipped: Table,
    inputs: Table,
    changed: Vec<[String; 2]>,
    defaults: Vec<[String; 2]>,
    thresholds: Table,
    timings: Vec<[String; 2]>,
}

/// A table whose last lines may be folded away.
#[derive(Serialize)]
struct Table {
    head: Vec<String>,
    lines: Vec<Vec<String>>,
    folded: Vec<Vec<String>>,
}

impl Table {
    fn new<const N: usize>(head: [&str; N], mut lines: Vec<[String; N]>) -> Self {
        let folded = lines.split_off(lines.len().min(UNFOLDED));
        let cells = |lines: Vec<[String; N]>| lines.into_iter().map(Vec::from).collect();
        Self { head: head.iter().map(|cell| (*cell).to_owned()).collect(), lines: cells(lines), folded: cells(folded) }
    }
}

#[derive(Serialize)]
struct Timeline {
    chart: Value,
    from: String,
    to: String,
    until: String,
    drops: Vec<[String; 2]>,
    gaps: Vec<String>,
    days: Vec<String>,
}

/// The charts of a dataset.
#[derive(Serialize)]
struct DatasetCharts {
    symbol: String,
    file: String,
    sampled: String,
    prices: Value,
    spreads: Value,
    price_range: [String; 2],
    spread_range: [String; 2],
    from: String,
    to: String,
    ladder: String,
    targets: Vec<TargetCharts>,
    picture: Option<Image>,
}

#[derive(Serialize)]
struct TargetCharts {
    name: String,
    known: String,
    drift: String,
    classes: Value,
    last_class: usize,
    movements: Option<MovementChart>,
    heatmap: Value,
    period: &'static str,
}

/// The distribution of the movements of fit rows.
#[derive(Serialize)]
struct MovementChart {
    chart: Value,
    range: [String; 2],
    /// How many movements are drawn.
    count: String,
}

#[derive(Serialize)]
struct Image {
    source: String,
    text: String,
}

fn safe(chart: String) -> Value {
    Value::from_safe_string(chart)
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

fn percent_or_none(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), percent)
}

impl View {
    pub fn new(manifest: &Manifest, thresholds: &Thresholds, drawn: &[Drawn<'_>], scale: Scale) -> Self {
        let datasets: Vec<_> = manifest.datasets().collect();
        let proved = manifest.validation.as_ref();
        let texts = |texts: &[String]| texts.iter().map(|text| printable(text).into_owned()).collect::<Vec<_>>();
        let (changed, defaults) = settings(&manifest.config);
        let fitted = match manifest.thresholds.fitted {
            true => "The class boundaries were fitted on the first part of this input",
            false => "The class boundaries come from a thresholds file",
        };
        Self {
            style: safe(STYLE.to_owned()),
            title: printable(manifest.config.tag()).into_owned(),
            version: printable(&manifest.version).into_owned(),
            validated: proved.is_some(),
            verdict: verdict(manifest),
            checks: proved.map(|proved| texts(&proved.checks)).unwrap_or_default(),
            not_checked: proved.map(|proved| texts(&proved.not_checked)).unwrap_or_default(),
            warnings: texts(&manifest.warnings),
            origin: format!(
                "{fitted}; nothing at or after T = {} was used for them. All times are UTC.",
                manifest.thresholds.fit_until
            ),
            delivery: texts(&manifest.delivery.sentences()),
            timeline: Timeline::new(manifest, scale, drawn.iter().filter_map(|drawn| drawn.embargo).min()),
            datasets: drawn.iter().map(|drawn| DatasetCharts::new(drawn, thresholds, scale)).collect(),
            more_datasets: datasets.len() - drawn.len(),
            targets: targets(manifest),
            skipped: skipped(manifest),
            inputs: inputs(&manifest.inputs),
            changed,
            defaults,
            thresholds: boundaries(thresholds),
            timings: timings(manifest),
        }
    }
}

/// The facts that show whether the datasets are good, each with a text that explains it.
fn verdict(manifest: &Manifest) -> Vec<[String; 2]> {
    let datasets = manifest.datasets().count() as u64;
    let rows: u64 = manifest.datasets().map(|(_, dataset)| dataset.rows).sum();
    let splits = || manifest.datasets().flat_map(|(symbol, _)| symbol.targets.iter().filter(|t| t.splits.is_some()));
    let known = range(splits().filter_map(|target| target.known_share));
    let baselines = range(splits().filter_map(baseline));
    let drift = splits().filter_map(|target| target.splits.as_ref()?.drift()).max_by(|a, b| a.0.total_cmp(&b.0));
    let mut facts = vec![
        [counted(datasets, "dataset"), format!("of {}", counted(manifest.symbols.len() as u64, "symbol"))],
        [grouped(rows), "labelled rows".to_owned()],
        [
            match &manifest.validation {
                Some(proved) => counted(proved.checks.len() as u64, "check"),
                None => "no check".to_owned(),
            },
            "passed on every row".to_owned(),
        ],
        [counted(manifest.warnings.len() as u64, "warning"), "before you train".to_owned()],
    ];
    facts.extend(
        known.map(|known| {
            [known, "of the movement's variance is known at the row; the rest is left to learn".to_owned()]
        }),
    );
    facts.extend(
        baselines.map(|best| [best, "holdout accuracy without a forecast: what a model has to beat".to_owned()]),
    );
    facts.extend(drift.map(|drift| [format!("{:.3}", drift.0), format!("largest drift of classes: {}", drift.name())]));
    facts
}

/// The better of the two baselines in the holdout.
fn baseline(target: &TargetEntry) -> Option<f64> {
    let holdout = &target.splits.as_ref()?.holdout;
    holdout.majority_accuracy.into_iter().chain(holdout.known_accuracy).reduce(f64::max)
}

/// The range of shares.
fn range(shares: impl Iterator<Item = f64>) -> Option<String> {
    let (low, high) = charts::extremes(shares.map(|share| [share, share]));
    let whole = |share: f64| format!("{:.0}%", 100.0 * share);
    match (low.is_finite(), whole(low) == whole(high)) {
        (false, _) => None,
        (true, true) => Some(whole(low)),
        (true, false) => Some(format!("{:.0} to {}", 100.0 * low, whole(high))),
    }
}

impl Timeline {
    fn new(manifest: &Manifest, scale: Scale, embargo: Option<u64>) -> Self {
        let with_time: Vec<&InputEntry> = manifest.inputs.iter().filter(|input| input.first_ts.is_some()).collect();
        let degraded = |input: &InputEntry| {
            let [from, to] = [input.first_ts, input.last_ts].map(|ts| ts.map(|ts| ts.to_string()[..10].to_owned()));
            manifest.delivery.days.iter().any(|day| from.as_ref() <= Some(&day.date) && Some(&day.date) <= to.as_ref())
        };
        let bar = |files: &[&InputEntry]| {
            let first = files.iter().filter_map(|input| input.first_ts).min().map_or(0, |ts| ts.0);
            let last = files.iter().filter_map(|input| input.last_ts).max().map_or(0, |ts| ts.0);
            let rows = files.iter().map(|input| input.rows).sum();
            let dropped = files.iter().map(|input| input.records - input.rows).sum();
            let name = match files {
                [only] => printable(&only.name).into_owned(),
                several => counted(several.len() as u64, "file"),
            };
            let degraded = files.iter().any(|input| degraded(input));
            let title = format!(
                "{name}: {} rows, {} records dropped, from {}{}",
                grouped(rows),
                grouped(dropped),
                minute(first),
                if degraded { "; not complete according to condition.json" } else { "" }
            );
            Bar { times: [first, last], rows, dropped, degraded, title }
        };
        let bars: Vec<Bar> = with_time.chunks(with_time.len().div_ceil(MOST_BARS).max(1)).map(bar).collect();
        let sum = |reason: usize| manifest.inputs.iter().map(|input| input.drops.named()[reason].1).sum::<u64>();
        let drops = Drops::default()
            .named()
            .into_iter()
            .enumerate()
            .map(|(place, (reason, _))| (reason.to_owned(), sum(place)));
        let gap = |symbol: &SymbolEntry| {
            let gap = symbol.gaps.first()?;
            let minutes = gap.length() / (DAY / 1440);
            let length = match minutes {
                0..180 => counted(minutes, "minute"),
                _ => format!("{:.1} hours", minutes as f64 / 60.0),
            };
            // A quiet minute does not mean a gap in the data.
            let text = || format!("{}: {length} from {}", printable(&symbol.symbol), minute(gap.from.0));
            (minutes > 0).then(|| (gap.length(), text()))
        };
        let mut gaps: Vec<(u64, String)> = manifest.datasets().filter_map(|(symbol, _)| gap(symbol)).collect();
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.0));
        gaps.truncate(5);
        let day =
            |day: &crate::input::DayCondition| printable(&format!("{}: {}", day.date, day.condition)).into_owned();
        let until = manifest.thresholds.fit_until.0;
        Self {
            chart: safe(charts::timeline(&bars, &scale, embargo.unwrap_or(until)..until)),
            from: minute(scale.from),
            to: minute(scale.to),
            until: minute(until),
            drops: drops.filter(|(_, count)| *count > 0).map(|(reason, count)| [reason, grouped(count)]).collect(),
            gaps: gaps.into_iter().map(|(_, text)| text).collect(),
            days: manifest.delivery.days.iter().map(day).collect(),
        }
    }
}

impl DatasetCharts {
    fn new(drawn: &Drawn<'_>, thresholds: &Thresholds, scale: Scale) -> Self {
        let Drawn { symbol, sample, picture, .. } = drawn;
        let dataset = symbol.dataset.as_ref();
        let (blocks, name) = (&sample.blocks, printable(&symbol.symbol));
        let number = |value: f64| format!("{}", (value * 1e9).round() / 1e9);
        let ends =
            |(low, high): (f64, f64)| [low, high].map(|v| if v.is_finite() { number(v) } else { "–".to_owned() });
        let spread = |block: &Block| [0.0, block.spread];
        let target = |(entry, labels): (&TargetEntry, &SampledLabels)| {
            let boundaries = thresholds.boundaries(&entry.target, &symbol.symbol);
            entry
                .splits
                .as_ref()
                .map(|_| TargetCharts::new(entry, labels, boundaries.map_or(&[], |b| &b.values), scale))
        };
        let ladder = dataset.map(|dataset| dataset.ladder).unwrap_or_default();
        Self {
            symbol: name.to_string(),
            file: dataset.map(|dataset| printable(&dataset.file).into_owned()).unwrap_or_default(),
            sampled: match sample.rows {
                [read, all] if read == all => format!("all {} rows", grouped(all)),
                [read, all] => format!("{} of {} rows, in {} blocks spread evenly", grouped(read), grouped(all), blocks.len()),
            },
            prices: safe(charts::series(blocks, &scale, |block| block.mids, "price", &format!("mid price of {name} over time"))),
            spreads: safe(charts::series(blocks, &scale, spread, "spread", &format!("spread of {name} over time"))),
            price_range: ends(charts::extremes(blocks.iter().map(|block| block.mids))),
            spread_range: ends(charts::extremes(blocks.iter().map(|block| [block.spread; 2]))),
            from: minute(scale.from),
            to: minute(scale.to),
            ladder: format!(
                "{} the ladder of depth tensors (step {}, tick {})",
                ladder.coverage.map_or_else(
                    || "too few rows to say how much of its book is on".to_owned(),
                    |share| format!("{} of its book is on", percent(share))
                ),
                ladder.micro_pip_size,
                ladder.tick
            ),
            targets: symbol.targets.iter().zip(&sample.targets).filter_map(target).collect(),
            picture: picture.as_ref().map(|picture| Image {
                source: picture.image.clone(),
                text: format!(
                    "{} of {} rows in {} time bins, from the middle of {name}: asks red, bids blue, the highest price on top",
                    picture.feature,
                    grouped(picture.rows),
                    grouped(picture.time_bins as u64)
                ),
            }),
        }
    }
}

impl TargetCharts {
    fn new(entry: &TargetEntry, labels: &SampledLabels, boundaries: &[f64], scale: Scale) -> Self {
        let splits = entry.splits.clone().unwrap_or_default();
        let drift = splits.drift().map_or_else(
            || "Drift is undefined: a split has no rows.".to_owned(),
            |drift| format!("Drift from fit to holdout {:.3}: {}.", drift.0, drift.name()),
        );
        let holdout = &splits.holdout;
        let known = format!(
            "{} of the movement's variance is known at the row. In the holdout, always predicting the commonest class is right for {} of the rows, and predicting from what is known for {}.",
            percent_or_none(entry.known_share),
            percent_or_none(holdout.majority_accuracy),
            percent_or_none(holdout.known_accuracy)
        );
        let period = scale.period();
        let mut periods: Vec<(String, Vec<u64>)> = Vec::new();
        // No period begins within an hour.
        for (hour, of_hour) in &labels.hours {
            let name = period.of(hour * HOUR);
            match periods.last_mut() {
                Some((last, counts)) if *last == name => counts.iter_mut().zip(of_hour).for_each(|(all, n)| *all += n),
                _ => periods.push((name, of_hour.clone())),
            }
        }
        Self {
            name: printable(&entry.target).into_owned(),
            known,
            drift,
            last_class: splits.fit.classes.len().saturating_sub(1),
            classes: safe(charts::classes(&splits.fit.classes, &splits.holdout.classes)),
            movements: MovementChart::new(&labels.fit, boundaries),
            heatmap: safe(charts::heatmap(&periods)),
            period: period.name(),
        }
    }
}

impl MovementChart {
    /// The middle of the distribution: all but half a percent at each end.
    fn new(movements: &[f64], boundaries: &[f64]) -> Option<Self> {
        let mut sorted = movements.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |share: usize| sorted.get(sorted.len().saturating_sub(1) * share / 200).copied();
        let (low, high) = (at(1)?, at(199)?);
        // The outermost boundaries are shown in any case.
        let (low, high) = boundaries.iter().fold((low, high), |(low, high), b| (low.min(*b), high.max(*b)));
        let label = "movements of fit rows, with the boundaries of the classes";
        let chart = safe(charts::histogram(movements, [low, high], boundaries, label));
        let range = [low, high].map(|value| format!("{value:.3e}"));
        (low < high).then_some(Self { chart, range, count: grouped(movements.len() as u64) })
    }
}

/// A line for each target of each dataset.
fn targets(manifest: &Manifest) -> Table {
    let line = |symbol: &SymbolEntry, target: &TargetEntry| {
        let splits = target.splits.clone().unwrap_or_default();
        let marked = |split: &SplitEntry| split.balanced.iter().sum::<u64>();
        let drift = splits.drift();
        let drift = drift.map_or_else(|| "–".to_owned(), |drift| format!("{:.3} {}", drift.0, drift.name()));
        [
            printable(&symbol.symbol).into_owned(),
            printable(&target.target).into_owned(),
            grouped(splits.fit.rows),
            grouped(splits.embargo.rows),
            grouped(splits.holdout.rows),
            grouped(marked(&splits.fit) + marked(&splits.holdout)),
            percent(splits.fit.from_uniform()),
            drift,
            percent_or_none(target.known_share),
            percent_or_none(splits.holdout.majority_accuracy),
            percent_or_none(splits.holdout.known_accuracy),
            target.reason.as_deref().map(printable).unwrap_or_default().into_owned(),
        ]
    };
    let mut lines: Vec<(f64, [String; 12])> = Vec::new();
    for (symbol, _) in manifest.datasets() {
        for target in &symbol.targets {
            let drift = target.splits.as_ref().and_then(|splits| splits.drift());
            lines.push((drift.map_or(f64::NEG_INFINITY, |drift| drift.0), line(symbol, target)));
        }
    }
    // If lines are folded away, those with the largest difference between fit and holdout stay in sight.
    if lines.len() > UNFOLDED {
        lines.sort_by(|a, b| b.0.total_cmp(&a.0));
    }
    let head = [
        "symbol",
        "target",
        "fit rows",
        "embargo",
        "holdout",
        "balanced",
        "from uniform",
        "drift",
        "known share",
        "majority",
        "known class",
        "no labels because",
    ];
    Table::new(head, lines.into_iter().map(|(_, line)| line).collect())
}

fn skipped(manifest: &Manifest) -> Table {
    let mut symbols: Vec<&SymbolEntry> = manifest.symbols.iter().filter(|symbol| symbol.dataset.is_none()).collect();
    symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.rows));
    let line = |symbol: &&SymbolEntry| {
        let why = symbol.reason.as_deref().unwrap_or_default();
        [printable(&symbol.symbol).into_owned(), grouped(symbol.rows), printable(why).into_owned()]
    };
    Table::new(["symbol", "rows", "why"], symbols.iter().map(line).collect())
}

fn inputs(inputs: &[InputEntry]) -> Table {
    let line = |input: &InputEntry| {
        let dropped = input.drops.named().into_iter().filter(|(_, count)| *count > 0);
        let dropped: Vec<String> = dropped.map(|(reason, count)| format!("{reason} {}", grouped(count))).collect();
        [
            printable(&input.name).into_owned(),
            input.first_ts.map_or_else(|| "–".to_owned(), |ts| minute(ts.0)),
            grouped(input.records),
            grouped(input.rows),
            dropped.join(", "),
            input.sha256.clone(),
        ]
    };
    Table::new(["file", "from", "records", "rows", "dropped", "SHA-256"], inputs.iter().map(line).collect())
}

/// The settings that differ from the defaults of their tag, and the others. Settings that only affect how a run
/// executes are left out: no file records them.
fn settings(config: &Config) -> (Vec<[String; 2]>, Vec<[String; 2]>) {
    let preset = Config::preset(config.tag());
    let line = |setting: &Setting| [setting.key.to_owned(), printable(&setting.text(config)).into_owned()];
    let (changed, defaults): (Vec<&Setting>, Vec<&Setting>) = SETTINGS
        .iter()
        .filter(|setting| setting.scope != Scope::Run)
        .partition(|setting| setting.key != "currency" && setting.json(config) != setting.json(&preset));
    (changed.into_iter().map(line).collect(), defaults.into_iter().map(line).collect())
}

fn boundaries(thresholds: &Thresholds) -> Table {
    let mut lines = Vec::new();
    let mut push = |target: &str, fitted: &Fitted| {
        let all = fitted.global.iter().map(|fit| ("all", fit));
        for (symbol, fit) in all.chain(fitted.symbols.iter().map(|(symbol, fit)| (symbol.as_str(), fit))) {
            let values: Vec<String> = fit.values.iter().map(|value| format!("{value:.4e}")).collect();
            lines.push([
                printable(target).into_owned(),
                printable(symbol).into_owned(),
                grouped(fit.fit_rows),
                format!("{:.4e}", fit.mean),
                format!("{:.4e}", fit.std),
                values.join(" "),
            ]);
        }
    };
    for target in thresholds.settings.to_config().all_targets() {
        if let Some(fitted) = thresholds.of(&target.name) {
            push(&target.name, fitted);
        }
    }
    Table::new(["target", "symbols", "fit rows", "mean", "deviation", "boundaries"], lines)
}

fn timings(manifest: &Manifest) -> Vec<[String; 2]> {
    let timings = &manifest.timings;
    let seconds = |name: &str, seconds: f64| [name.to_owned(), format!("{seconds:.2} s")];
    let mut lines = vec![
        seconds("scan", timings.scan_seconds),
        seconds("plan", timings.plan_seconds),
        seconds("write", timings.write_seconds),
        seconds("validate", timings.validate_seconds),
        seconds("in all", timings.total_seconds),
        ["records a second".to_owned(), grouped(crate::cast::whole_unsigned(timings.records_per_second))],
        ["threads".to_owned(), timings.threads.to_string()],
    ];
    if let Some(bytes) = timings.peak_memory_bytes {
        lines.push(["peak memory".to_owned(), format!("{} MiB", grouped(bytes >> 20))]);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tables_are_folded() {
        let lines = |count: usize| (0..count).map(|i| [i.to_string()]).collect::<Vec<_>>();
        let short = Table::new(["x"], lines(UNFOLDED));
        assert_eq!((short.lines.len(), short.folded.len()), (UNFOLDED, 0));
        let long = Table::new(["x"], lines(5_000));
        assert_eq!((long.lines.len(), long.folded.len()), (UNFOLDED, 5_000 - UNFOLDED));
        assert_eq!(long.folded[0], [UNFOLDED.to_string()]);
    }

    #[test]
    fn shares_are_ranges() {
        assert_eq!(range([].into_iter()), None);
        assert_eq!(range([0.471, 0.469].into_iter()).as_deref(), Some("47%"));
        assert_eq!(range([0.1, 0.52, 0.3].into_iter()).as_deref(), Some("10 to 52%"));
    }
}
