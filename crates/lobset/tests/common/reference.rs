//! Slow, plain labels, splits, boundaries and marks, written from the definitions only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use lobset::Config;
use lobset::config::{ClassRule, ThresholdScope};

use super::{DAY, Labelled};

/// A usable row.
#[derive(Debug, Clone, Copy)]
pub struct PlainRow {
    pub instrument: u32,
    /// `ts_recv`.
    pub ts: u64,
    pub bid: i64,
    pub ask: i64,
    /// The number of its file.
    pub file: usize,
}

impl PlainRow {
    fn mid2(&self) -> i128 {
        i128::from(self.bid) + i128::from(self.ask)
    }
}

/// A symbol's usable rows in order.
pub type Rows = Vec<PlainRow>;

/// The windows of a target, as in section 3 of DESIGN.md.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Windows {
    Means { lookback: i64, include_row: bool, offset: i64, ahead: i64 },
    Fi2010 { k: i64 },
    DeepLob { k: i64 },
    Tlob { h: i64, w: i64 },
    Return { h: i64 },
}

impl Windows {
    /// The first and the last row behind row `t`, and ahead of it.
    fn of(self, t: i64) -> [[i64; 2]; 2] {
        match self {
            Self::Means { lookback, include_row: false, offset, ahead } => {
                [[t - lookback, t - 1], [t + 1 + offset, t + offset + ahead]]
            }
            Self::Means { lookback, include_row: true, offset, ahead } => {
                [[t - lookback + 1, t], [t + 1 + offset, t + offset + ahead]]
            }
            Self::Fi2010 { k } => [[t, t], [t + 1, t + k]],
            Self::DeepLob { k } => [[t - k + 1, t], [t + 1, t + k]],
            Self::Tlob { h, w } => [[t - w, t], [t + h - w, t + h]],
            Self::Return { h } => [[t, t], [t + h, t + h]],
        }
    }

    /// Whether a window of row `t` holds a row.
    pub fn hold(self, t: u64, row: u64) -> bool {
        self.of(t as i64).into_iter().any(|[first, last]| (first..=last).contains(&(row as i64)))
    }

    /// As a user writes it.
    pub fn text(self) -> String {
        match self {
            Self::Means { lookback, include_row, offset, ahead } => format!(
                "means,lookback_rows={lookback},include_row={include_row},lookforward_offset={offset},lookforward_input={ahead}"
            ),
            Self::Fi2010 { k } => format!("fi2010({k})"),
            Self::DeepLob { k } => format!("deeplob({k})"),
            Self::Tlob { h, w } => format!("tlob({h},{w})"),
            Self::Return { h } => format!("return({h})"),
        }
    }
}

/// The rule of a target's classes.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    Quantiles(u16),
    Share(f64),
    Spread(f64),
    Fixed(Vec<f64>),
}

impl Rule {
    pub fn classes(&self) -> usize {
        match self {
            Self::Quantiles(nbins) => usize::from(*nbins),
            Self::Share(_) | Self::Spread(_) => 3,
            Self::Fixed(boundaries) => boundaries.len() + 1,
        }
    }
}

/// A target.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    pub windows: Windows,
    pub rule: Rule,
    pub scope: ThresholdScope,
}

impl Wanted {
    /// The target of the flat settings.
    pub fn classic(config: &Config) -> Self {
        let rows = |rows: u64| i64::try_from(rows).unwrap();
        Self {
            windows: Windows::Means {
                lookback: rows(config.lookback_rows),
                include_row: config.include_row,
                offset: rows(config.lookforward_offset),
                ahead: rows(config.lookforward_input),
            },
            rule: match config.classes {
                ClassRule::Quantiles => Rule::Quantiles(config.nbins),
                ClassRule::Share => Rule::Share(config.stationary),
                ClassRule::Spread => Rule::Spread(config.multiple),
                ClassRule::Fixed => Rule::Fixed(config.boundaries.clone().unwrap()),
            },
            scope: config.threshold_scope,
        }
    }

    /// As a user writes it, after the name and the equals sign.
    pub fn text(&self) -> String {
        let rule = match &self.rule {
            Rule::Quantiles(nbins) => format!("nbins={nbins}"),
            Rule::Share(share) => format!("classes=share,stationary={share}"),
            Rule::Spread(multiple) => format!("classes=spread,multiple={multiple}"),
            Rule::Fixed(boundaries) => {
                let boundaries: Vec<String> = boundaries.iter().map(f64::to_string).collect();
                format!("classes=fixed,boundaries={}", boundaries.join("/"))
            }
        };
        format!("{},{rule},threshold_scope={}", self.windows.text(), self.scope.name())
    }

    /// The flat settings that describe it.
    pub fn alone(&self, config: &Config) -> Config {
        let [[first, last], [from, to]] = self.windows.of(0);
        let rows = |rows: i64| u64::try_from(rows).unwrap();
        let mut config = Config {
            lookback_rows: rows(last - first + 1),
            include_row: last == 0,
            lookforward_offset: rows(from - 1),
            lookforward_input: rows(to - from + 1),
            threshold_scope: self.scope,
            targets: lobset::config::Targets::default(),
            classes: ClassRule::Quantiles,
            boundaries: None,
            ..config.clone()
        };
        match &self.rule {
            Rule::Quantiles(nbins) => config.nbins = *nbins,
            Rule::Share(share) => (config.classes, config.stationary) = (ClassRule::Share, *share),
            Rule::Spread(multiple) => (config.classes, config.multiple) = (ClassRule::Spread, *multiple),
            Rule::Fixed(list) => (config.classes, config.boundaries) = (ClassRule::Fixed, Some(list.clone())),
        }
        config
    }
}

/// The boundaries of some symbols together, or of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    pub values: Vec<f64>,
    pub fit_rows: usize,
    pub embargo_rows: usize,
}

/// What a run says about one target.
pub struct TargetReference {
    /// By symbol, or under an empty name if all symbols share them.
    pub bounds: BTreeMap<String, Bounds>,
    /// The labelled rows of each symbol that has labels of the target.
    pub labels: BTreeMap<String, Vec<Labelled>>,
}

pub struct Reference {
    pub boundaries: Vec<f64>,
    pub datasets: BTreeMap<String, Vec<Labelled>>,
    pub fit_rows: usize,
    pub embargo_rows: usize,
}

struct Candidate {
    row: usize,
    movement: f64,
    split: &'static str,
    file: usize,
}

/// Beginning and end of every session in UTC on the days around a time, from texts such as `13:30-20:00 UTC mon-fri`.
fn spans(config: &Config, ts: u64) -> impl Iterator<Item = [u64; 2]> {
    let mut spans = Vec::new();
    for session in config.sessions.iter().flatten() {
        let text = session.to_string();
        let (hours, days) = text.split_once(" UTC ").unwrap();
        let nanos = |time: &str| {
            let parts = time.split(':').zip([3_600, 60, 1]).map(|(part, unit)| part.parse::<u64>().unwrap() * unit);
            parts.sum::<u64>() * 1_000_000_000
        };
        let (open, close) = hours.split_once('-').map(|(open, close)| (nanos(open), nanos(close))).unwrap();
        let names = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
        let number = |name: &str| names.iter().position(|known| *known == name).unwrap();
        let (first, last) = days.split_once('-').map_or((days, days), |days| days);
        let (first, last) = (number(first), number(last));
        let today = ts / DAY;
        // 1 January 1970 was a Thursday.
        let begins = |day: &u64| (*day as usize % 7 + 7 - first) % 7 <= (last + 7 - first) % 7;
        let length = if close > open { close - open } else { close + DAY - open };
        spans.extend((today - 20..today + 2).filter(begins).map(|day| [day * DAY + open, day * DAY + open + length]));
    }
    spans.into_iter()
}

/// The last edge of a session no later than a time.
fn edges(config: &Config, ts: u64) -> Option<u64> {
    spans(config, ts).flatten().filter(|edge| *edge <= ts).max()
}

fn candidates(rows: &Rows, until: u64, config: &Config, windows: Windows) -> Vec<Candidate> {
    let running: Vec<u64> = rows
        .iter()
        .scan(0, |max, r| {
            *max = r.ts.max(*max);
            Some(*max)
        })
        .collect();
    let breaks = |i: usize| {
        i > 0
            && (rows[i].instrument != rows[i - 1].instrument
                || config.max_gap.is_some_and(|gap| rows[i].ts.saturating_sub(running[i - 1]) > gap.0)
                || (config.session_breaks && edges(config, running[i]) != edges(config, running[i - 1])))
    };
    let in_session =
        |ts: u64| config.sessions.is_none() || spans(config, ts).any(|[open, close]| open <= ts && ts < close);
    let last = rows.len() as i64 - 1;
    let mut found = Vec::new();
    for t in 0..rows.len() {
        let [[first, before], [from, to]] = windows.of(t as i64);
        if first < 0 || to > last || (first as usize + 1..=to as usize).any(breaks) {
            continue;
        }
        let window = |from: i64, to: i64| -> Range<usize> { from as usize..to as usize + 1 };
        let sum = |range: Range<usize>| rows[range].iter().map(PlainRow::mid2).sum::<i128>();
        let (behind, ahead) = (sum(window(first, before)), sum(window(from, to)));
        if behind <= 0 || !in_session(running[t]) {
            continue;
        }
        let (l, f) = (i128::from(before - first + 1), i128::from(to - from + 1));
        let movement = (ahead * l - behind * f) as f64 / (behind * f) as f64;
        let split = if running[to as usize] < until {
            "fit"
        } else if running[t] < until {
            "embargo"
        } else {
            "holdout"
        };
        found.push(Candidate { row: t, movement, split, file: rows[t].file });
    }
    found
}

/// numpy's `linear` quantiles of all values at once.
fn quantiles_at(mut values: Vec<f64>, qs: impl IntoIterator<Item = f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    qs.into_iter()
        .map(|q| {
            let at = (values.len() - 1) as f64 * q;
            let (i, t) = (at.floor() as usize, at - at.floor());
            let (a, b) = (values[i], values[(i + 1).min(values.len() - 1)]);
            if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t }
        })
        .collect()
}

/// numpy's `linear` quantiles k / nbins.
pub fn quantiles(values: Vec<f64>, nbins: u16) -> Vec<f64> {
    quantiles_at(values, (1..nbins).map(|k| f64::from(k) / f64::from(nbins)))
}

fn marks(labels: &[usize], nbins: usize) -> Vec<bool> {
    let counts: Vec<usize> = (0..nbins).map(|c| labels.iter().filter(|l| **l == c).count()).collect();
    let large: Vec<usize> = counts.iter().copied().filter(|c| c * nbins * 10 >= labels.len()).collect();
    let k = match labels.len() {
        0 => 0,
        _ if 2 * large.len() < nbins => counts.iter().copied().filter(|c| *c > 0).min().unwrap(),
        _ => large.into_iter().min().unwrap(),
    };
    let mut seen = vec![0; nbins];
    labels
        .iter()
        .map(|&class| {
            seen[class] += 1;
            let (j, c) = (seen[class], counts[class]);
            c <= k || j * k / c > (j - 1) * k / c
        })
        .collect()
}

fn class(boundaries: &[f64], movement: f64) -> usize {
    boundaries.iter().filter(|b| **b <= movement).count()
}

/// The boundaries that follow from movements and from the sums of spreads and of mids (times two) of their rows; `None`
/// if a run refuses them.
fn boundaries(rule: &Rule, fit: &[f64], [spreads, mids2]: [i128; 2]) -> Option<Vec<f64>> {
    let around_zero = |a: f64| vec![-a, a.next_up()];
    match rule {
        Rule::Quantiles(nbins) => {
            let boundaries = quantiles(fit.to_vec(), *nbins);
            if boundaries.windows(2).any(|w| w[0] >= w[1]) {
                return None;
            }
            // Equal movements may leave a class empty although the boundaries are distinct. That is allowed if there are no
            // more rows than classes, unless the first class is the empty one.
            let classes: BTreeSet<usize> = fit.iter().map(|movement| class(&boundaries, *movement)).collect();
            let few = fit.len() <= usize::from(*nbins) && classes.contains(&0);
            (classes.len() == usize::from(*nbins) || few).then_some(boundaries)
        }
        Rule::Share(share) => {
            let a = quantiles_at(fit.iter().map(|movement| movement.abs()).collect(), [*share])[0];
            // Each class contains a movement.
            (fit.iter().any(|m| *m < -a) && fit.iter().any(|m| *m > a)).then(|| around_zero(a))
        }
        // The sum of mids is half of that of mid2. Doubling the spreads instead is exact up to the division.
        Rule::Spread(multiple) if spreads >= 0 && mids2 > 0 => {
            Some(around_zero(multiple * ((2 * spreads) as f64 / mids2 as f64)))
        }
        Rule::Spread(_) => None,
        Rule::Fixed(boundaries) => Some(boundaries.clone()),
    }
}

/// What a run with this target says about it; `None` if the run must fail.
pub fn reference_of(
    symbols: &BTreeMap<String, Rows>,
    until: u64,
    fit_files: &[usize],
    config: &Config,
    target: &Wanted,
) -> Option<TargetReference> {
    let all: BTreeMap<&String, Vec<Candidate>> = symbols
        .iter()
        .map(|(name, rows)| (name, candidates(rows, until, config, target.windows)))
        .filter(|(_, c)| c.len() as u64 >= config.min_symbol_samples)
        .collect();
    let groups: Vec<(String, Vec<&String>)> = match target.scope {
        ThresholdScope::Global => vec![(String::new(), all.keys().copied().collect())],
        ThresholdScope::Symbol => all.keys().map(|name| ((*name).clone(), vec![*name])).collect(),
    };
    let mut bounds = BTreeMap::new();
    for (name, members) in groups {
        let candidates = || members.iter().flat_map(|member| all[*member].iter().map(move |c| (*member, c)));
        let used = |c: &Candidate| c.split == "fit" && fit_files.contains(&c.file);
        let fit: Vec<(&String, &Candidate)> = candidates().filter(|(_, c)| used(c)).collect();
        if fit.is_empty() {
            continue;
        }
        let row = |(member, c): &(&String, &Candidate)| symbols[*member][c.row];
        let spreads = fit.iter().map(|of| i128::from(row(of).ask) - i128::from(row(of).bid)).sum();
        let mids2 = fit.iter().map(|of| row(of).mid2()).sum();
        let movements: Vec<f64> = fit.iter().map(|(_, c)| c.movement).collect();
        let values = boundaries(&target.rule, &movements, [spreads, mids2])?;
        let embargo_rows = candidates().filter(|(_, c)| c.split == "embargo").count();
        bounds.insert(name, Bounds { values, fit_rows: fit.len(), embargo_rows });
    }
    if bounds.is_empty() {
        return None;
    }
    let labels = all.into_iter().filter_map(|(name, candidates)| {
        let bounds = bounds.get("").or_else(|| bounds.get(name))?;
        let class = |c: &Candidate| class(&bounds.values, c.movement);
        let mut balanced = vec![false; candidates.len()];
        for split in ["fit", "holdout"] {
            let places: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].split == split).collect();
            let labels: Vec<usize> = places.iter().map(|i| class(&candidates[*i])).collect();
            for (place, mark) in places.into_iter().zip(marks(&labels, target.rule.classes())) {
                balanced[place] = mark;
            }
        }
        let rows = candidates.iter().zip(balanced).map(|(c, balanced)| Labelled {
            row: c.row as u64,
            movement: c.movement.to_bits(),
            label: class(c) as i32,
            split: c.split.to_owned(),
            balanced,
        });
        Some((name.clone(), rows.collect()))
    });
    Some(TargetReference { labels: labels.collect(), bounds })
}

/// The expected result of a run with only the classic target and `threshold_scope = "global"`; `None` if it must fail.
pub fn reference(
    symbols: &BTreeMap<String, Rows>,
    until: u64,
    fit_files: &[usize],
    config: &Config,
) -> Option<Reference> {
    let TargetReference { mut bounds, labels } =
        reference_of(symbols, until, fit_files, config, &Wanted::classic(config))?;
    let Bounds { values, fit_rows, embargo_rows } = bounds.remove("")?;
    Some(Reference { boundaries: values, datasets: labels, fit_rows, embargo_rows })
}
