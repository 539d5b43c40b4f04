//! Slow, plain labels, splits, boundaries and marks, written from the definitions only.

use std::collections::{BTreeMap, BTreeSet};

use lobset::Config;

use super::{DAY, Labelled};

/// A symbol's usable rows in order: instrument, `ts_recv`, mid2, and the number of the file.
pub type Rows = Vec<(u32, u64, i64, usize)>;

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

/// Beginning and end of every session in UTC on the days around a time, by their texts: `13:30-20:00 UTC mon-fri`.
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

fn candidates(rows: &Rows, until: u64, config: &Config) -> Vec<Candidate> {
    let (l, o, f) =
        (config.lookback_rows as usize, config.lookforward_offset as usize, config.lookforward_input as usize);
    let running: Vec<u64> = rows
        .iter()
        .scan(0, |max, r| {
            *max = r.1.max(*max);
            Some(*max)
        })
        .collect();
    let breaks = |i: usize| {
        i > 0
            && (rows[i].0 != rows[i - 1].0
                || config.max_gap.is_some_and(|gap| rows[i].1.saturating_sub(running[i - 1]) > gap.0)
                || (config.session_breaks && edges(config, running[i]) != edges(config, running[i - 1])))
    };
    let in_session =
        |ts: u64| config.sessions.is_none() || spans(config, ts).any(|[open, close]| open <= ts && ts < close);
    let mut found = Vec::new();
    for t in 0..rows.len() {
        if t < l || t + o + f >= rows.len() || (t - l + 1..=t + o + f).any(breaks) {
            continue;
        }
        let behind: i128 = rows[t - l..t].iter().map(|r| i128::from(r.2)).sum();
        let ahead: i128 = rows[t + 1 + o..t + 1 + o + f].iter().map(|r| i128::from(r.2)).sum();
        if behind <= 0 || !in_session(running[t]) {
            continue;
        }
        let numerator = ahead * l as i128 - behind * f as i128;
        let movement = numerator as f64 / (behind * f as i128) as f64;
        let split = if running[t + o + f] < until {
            "fit"
        } else if running[t] < until {
            "embargo"
        } else {
            "holdout"
        };
        found.push(Candidate { row: t, movement, split, file: rows[t].3 });
    }
    found
}

/// numpy's `linear` quantiles of all values at once.
pub fn quantiles(mut values: Vec<f64>, nbins: u16) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    (1..nbins)
        .map(|k| {
            let at = (values.len() - 1) as f64 * (f64::from(k) / f64::from(nbins));
            let (i, t) = (at.floor() as usize, at - at.floor());
            let (a, b) = (values[i], values[(i + 1).min(values.len() - 1)]);
            if t >= 0.5 { b - (b - a) * (1.0 - t) } else { a + (b - a) * t }
        })
        .collect()
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

/// The expected result of a run with `threshold_scope = "global"`; `None` if the run must fail.
pub fn reference(
    symbols: &BTreeMap<String, Rows>,
    until: u64,
    fit_files: &[usize],
    config: &Config,
) -> Option<Reference> {
    let all: BTreeMap<&String, Vec<Candidate>> = symbols
        .iter()
        .map(|(name, rows)| (name, candidates(rows, until, config)))
        .filter(|(_, c)| c.len() as u64 >= config.min_symbol_samples)
        .collect();
    let used = |c: &&Candidate| c.split == "fit" && fit_files.contains(&c.file);
    let fit: Vec<f64> = all.values().flatten().filter(used).map(|c| c.movement).collect();
    if fit.is_empty() {
        return None;
    }
    let fit_rows = fit.len();
    let boundaries = quantiles(fit.clone(), config.nbins);
    if boundaries.windows(2).any(|w| w[0] >= w[1]) {
        return None;
    }
    // Equal movements may leave a class empty although the boundaries are distinct. That is allowed if there are no
    // more rows than classes, unless the first class is the empty one.
    let class = |movement: &f64| boundaries.iter().filter(|b| *b <= movement).count();
    let classes: BTreeSet<usize> = fit.iter().map(class).collect();
    let few = fit_rows <= usize::from(config.nbins) && classes.contains(&0);
    if classes.len() < usize::from(config.nbins) && !few {
        return None;
    }
    let embargo_rows = all.values().flatten().filter(|c| c.split == "embargo").count();
    let nbins = usize::from(config.nbins);
    let datasets = all
        .into_iter()
        .map(|(name, candidates)| {
            let class = |c: &Candidate| boundaries.iter().filter(|b| **b <= c.movement).count();
            let mut balanced = vec![false; candidates.len()];
            for split in ["fit", "holdout"] {
                let places: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].split == split).collect();
                let labels: Vec<usize> = places.iter().map(|i| class(&candidates[*i])).collect();
                for (place, mark) in places.into_iter().zip(marks(&labels, nbins)) {
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
            (name.clone(), rows.collect())
        })
        .collect();
    Some(Reference { boundaries, datasets, fit_rows, embargo_rows })
}
