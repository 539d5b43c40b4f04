//! An explanation as text of at most 80 columns.

use std::fmt::{self, Display};

use serde_json::Value;

use super::explanation::{
    BarrierSteps, ClassStep, Explanation, MarkStep, MovementStep, RowTime, SplitStep, Steps, TargetExplanation, Window,
};
use super::stretch::break_text;
use crate::printable::{grouped, grouped_digits, printable};
use crate::time_text::{Duration, Timestamp};

/// Width of the text in columns. Only a word that is longer, such as the name of a file, reaches beyond it.
const WIDTH: usize = 80;

/// Column at which texts begin; their labels come before.
const INDENT: usize = 14;

/// Writes a labelled paragraph: `  label       text`, broken between words. Lines after the first have no label.
fn paragraph(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    let text = printable(text);
    let mut line = format!("{:<INDENT$}", format!("  {label}"));
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(INDENT);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}

/// A number of units of 10^-`digits`, without trailing zeros.
fn decimal(value: i128, digits: u32) -> String {
    let scale = 10_u128.pow(digits);
    let (whole, rest) = (value.unsigned_abs() / scale, value.unsigned_abs() % scale);
    let sign = if value < 0 { "-" } else { "" };
    let rest = format!("{rest:0width$}", width = digits as usize);
    match rest.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest}"),
    }
}

/// A price in 1e-9.
fn price(price: i64) -> String {
    decimal(price.into(), 9)
}

/// A mid price from twice its value in 1e-9.
fn mid_price(mid2: i64) -> String {
    decimal(i128::from(mid2) * 5, 10)
}

/// A mean price or a barrier, which is rounded.
fn rounded(price: f64) -> String {
    format!("{price:.12}")
}

/// A movement, a boundary or a distance, in digits that a parser reads back to the same float.
fn float(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:e}") }
}

fn at(row: RowTime) -> String {
    format!("row {} at {}", grouped(row.row), row.time)
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(number)) }
}

impl Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, row, rows, record, stretch, .. } = self;
        writeln!(f, "row {} of {} ({} rows)", grouped(*row), printable(symbol), grouped(*rows))?;
        paragraph(f, "file", &record.file)?;
        paragraph(f, "record", &format!("{}, counted from 0", grouped(record.record)))?;
        paragraph(f, "ts_recv", &record.ts_recv.to_string())?;
        if record.time != record.ts_recv {
            paragraph(f, "", &format!("{} is the running maximum, which counts: ts_recv steps back", record.time))?;
        }
        paragraph(f, "best quote", &format!("bid {}, ask {}", price(record.bid_px), price(record.ask_px)))?;
        let mid2 = grouped_digits(&record.mid2.to_string());
        paragraph(f, "mid price", &format!("{} (mid2 = bid + ask = {mid2} in 1e-9)", mid_price(record.mid2)))?;
        if let Some(first) = self.dropped_before.first() {
            let reasons: Vec<String> =
                self.dropped_before.iter().map(|record| format!("{} {}", record.record, record.reason)).collect();
            let (dropped, file) = (count(self.dropped_count, "record"), &first.file);
            let more = if self.dropped_count > reasons.len() as u64 { ", …" } else { "" };
            paragraph(f, "dropped", &format!("{dropped} just before it, in {file}: {}{more}", reasons.join(", ")))?;
        }
        let begins = stretch.begins.map_or("the first of the stream", break_text);
        paragraph(f, "stretch", &format!("unbroken from row {}, {begins}", grouped(stretch.first.row)))?;
        if let Some(last) = stretch.last {
            let ends = match stretch.ends {
                None => "the last of the stream".to_owned(),
                Some(reason) => format!("before row {}, {}", grouped(last.row + 1), break_text(reason)),
            };
            paragraph(f, "", &format!("through row {}, {ends}", grouped(last.row)))?;
        }
        if let Some(inside) = self.in_session {
            paragraph(f, "sessions", if inside { "the row lies within one" } else { "the row lies outside" })?;
        }
        paragraph(f, "T", &format!("{}, the boundary time", self.fit_until))?;
        for target in &self.targets {
            writeln!(f)?;
            self.target(f, target)?;
        }
        writeln!(f)?;
        self.stored(f)
    }
}

impl Explanation {
    fn target(&self, f: &mut fmt::Formatter<'_>, target: &TargetExplanation) -> fmt::Result {
        writeln!(f, "target {}", target.name)?;
        paragraph(f, "definition", &target.definition.replace(',', ", "))?;
        match &target.steps {
            None => {}
            Some(Steps::Means { behind, ahead }) => {
                rows_window(f, "behind", behind, ["B", "L"])?;
                rows_window(f, "ahead", ahead, ["A", "F"])?;
            }
            Some(Steps::Time { behind, ahead }) => {
                time_window(f, "behind", behind, ["B", "L"])?;
                time_window(f, "ahead", ahead, ["A", "F"])?;
            }
            Some(Steps::Barrier(steps)) => self.barrier(f, steps)?,
        }
        if let Some(found) = &target.movement {
            movement(f, found, matches!(target.steps, Some(Steps::Barrier(_))))?;
        }
        if let Some(found) = &target.class {
            class(f, found, target.steps.as_ref())?;
        }
        if let Some(end) = target.end {
            let text = match &target.steps {
                Some(Steps::Time { .. }) => format!("{}, the last row by then: row {}", end.time, grouped(end.row)),
                _ => at(end),
            };
            paragraph(f, "end", &text)?;
        }
        if let Some(found) = &target.split {
            self.split(f, found)?;
        }
        if let (Some(found), Some(split), Some(class)) = (&target.mark, &target.split, &target.class) {
            mark(f, found, split.split, class.class)?;
        }
        match &target.no_label {
            Some(reason) => paragraph(f, "no label", reason),
            None => Ok(()),
        }
    }

    fn barrier(&self, f: &mut fmt::Formatter<'_>, steps: &BarrierSteps) -> fmt::Result {
        let from = format!("row {}, mid price {}", grouped(self.row), mid_price(self.record.mid2));
        paragraph(f, "from", &format!("{from}, spread {}", price(steps.spread)))?;
        if let Some(sigma) = steps.sigma {
            paragraph(
                f,
                "sigma",
                &format!("{sigma:e}, the deviation of one-row changes over lookback_rows through the row"),
            )?;
        }
        let [upper, lower] = match steps.barriers {
            Some([upper, lower]) => {
                for (name, barrier, sign) in [("upper", upper, '+'), ("lower", lower, '-')] {
                    let text = format!("{} = mid price * (1 {sign} {:e})", rounded(barrier.price), barrier.distance);
                    paragraph(f, name, &text)?;
                }
                ["touches the upper barrier first", "touches the lower barrier first"]
            }
            None => return Ok(()),
        };
        match steps.touch {
            Some(touch) => {
                let which = if steps.price > self.record.mid_price { upper } else { lower };
                paragraph(f, "touch", &format!("{}: mid price {} {which}", at(touch), rounded(steps.price)))
            }
            None => {
                let last = format!("{}: mid price {}", at(steps.last), rounded(steps.price));
                paragraph(f, "no touch", &format!("neither barrier within the horizon, which ends with {last}"))
            }
        }
    }

    fn split(&self, f: &mut fmt::Formatter<'_>, found: &SplitStep) -> fmt::Result {
        let t = self.fit_until;
        let why = match found.split {
            "holdout" => format!("the row, at {}, is not before T = {t}", found.time),
            "embargo" => format!("the row is before T, but the end of its label, {}, is not: T = {t}", found.end),
            _ => format!("the end of its label, {}, is before T = {t}", found.end),
        };
        paragraph(f, "split", &format!("{}: {why}", found.split))
    }

    fn stored(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = &self.stored;
        match (&stored.file, stored.present) {
            (Some(file), true) => writeln!(f, "stored in {}", printable(file))?,
            (Some(file), false) => writeln!(f, "not in {}", printable(file))?,
            (None, _) => writeln!(f, "not in a dataset")?,
        }
        if let Some(agrees) = stored.record_agrees {
            let text = if agrees { "event and book are those of the record" } else { "event or book differ" };
            paragraph(f, "record", text)?;
        }
        let width = stored.values.iter().map(|value| value.column.len()).max().unwrap_or(0);
        for value in &stored.values {
            let shown = |value: &Value| match value {
                Value::String(text) => printable(text).into_owned(),
                Value::Number(number) if number.is_f64() => number.as_f64().map(float).unwrap_or_default(),
                other => other.to_string(),
            };
            let found = shown(&value.stored);
            let same =
                if value.agrees { "as above".to_owned() } else { format!("by definition {}", shown(&value.computed)) };
            writeln!(f, "  {:<width$}  {found:<24}  {same}", value.column)?;
        }
        if let Some(reason) = stored.absent_because.as_ref().filter(|_| !stored.present) {
            paragraph(f, "because", reason)?;
        }
        if self.agrees && stored.file.is_none() {
            return Ok(());
        }
        if self.agrees {
            return writeln!(f, "the dataset agrees with the raw files about this row");
        }
        writeln!(f, "the dataset does NOT agree with the raw files about this row:")?;
        self.differences.iter().try_for_each(|difference| writeln!(f, "  {}", printable(difference)))
    }
}

fn sums(f: &mut fmt::Formatter<'_>, text: String, mean: f64) -> fmt::Result {
    paragraph(f, "", &text)?;
    paragraph(f, "", &format!("mean mid price {}", rounded(mean)))
}

fn rows_window(f: &mut fmt::Formatter<'_>, name: &str, window: &Window, [sum, weight]: [&str; 2]) -> fmt::Result {
    let Window { first, last, .. } = window;
    if first == last {
        paragraph(f, name, &at(*first))?;
    } else {
        paragraph(f, name, &format!("rows {} to {}", grouped(first.row), grouped(last.row)))?;
        paragraph(f, "", &format!("{} to {}", first.time, last.time))?;
    }
    let digits = grouped_digits(&window.sum);
    let rows = count(window.weight, "row");
    sums(f, format!("sum of mid2 {sum} = {digits}, over {weight} = {rows}"), window.mean)
}

fn time_window(f: &mut fmt::Formatter<'_>, name: &str, window: &Window, [sum, weight]: [&str; 2]) -> fmt::Result {
    let Window { first, last, .. } = window;
    let [from, to] = window.times.unwrap_or([first.time, last.time]);
    let digits = grouped_digits(&window.sum);
    if from == to {
        paragraph(f, name, &format!("the moment {to}"))?;
        paragraph(f, "", &format!("price of row {}, the last by then", grouped(last.row)))?;
        return sums(f, format!("mid2 {sum} = {digits}, with weight {weight} = 1"), window.mean);
    }
    paragraph(f, name, &format!("after {from}"))?;
    paragraph(f, "", &format!("through {to}, {}", length(from, to)))?;
    let rows = (grouped(first.row), grouped(last.row));
    paragraph(f, "", &format!("prices of rows {} (the last at its beginning) to {}", rows.0, rows.1))?;
    paragraph(f, "", &format!("integral of mid2 over nanoseconds {sum} = {digits}"))?;
    sums(f, format!("over {weight} = {} ns", grouped(window.weight)), window.mean)
}

fn length(from: Timestamp, to: Timestamp) -> Duration {
    Duration(to.0.saturating_sub(from.0))
}

fn movement(f: &mut fmt::Formatter<'_>, found: &MovementStep, of_barrier: bool) -> fmt::Result {
    let formula = if of_barrier {
        "(mid2 there - mid2 of the row) / mid2 of the row"
    } else {
        "(A*L - B*F) / (B*F) = mean ahead / mean behind - 1"
    };
    paragraph(f, "movement", formula)?;
    paragraph(f, "", &format!("numerator    {}", grouped_digits(&found.numerator)))?;
    paragraph(f, "", &format!("denominator  {}", grouped_digits(&found.denominator)))?;
    let value = found.value.map_or_else(|| "undefined".to_owned(), float);
    paragraph(f, "", &format!("result       {value}"))?;
    // Where it is 0, movements start from the price at the row, or that price is the mean behind.
    match found.known.filter(|known| *known != 0.0) {
        Some(known) => paragraph(f, "", &format!("known part   {}, if the price stayed as it is", float(known))),
        None => Ok(()),
    }
}

fn class(f: &mut fmt::Formatter<'_>, found: &ClassStep, steps: Option<&Steps>) -> fmt::Result {
    let ClassStep { class, classes, at_least, below } = *found;
    let last = classes.saturating_sub(1);
    let why = match (steps, at_least, below) {
        (Some(Steps::Barrier(_)), ..) => {
            ["the lower barrier", "neither barrier", "the upper barrier"].get(class).copied().unwrap_or("").to_owned()
        }
        (_, Some(at_least), Some(below)) => {
            format!("boundary {} <= movement < boundary {}", float(at_least), float(below))
        }
        (_, Some(at_least), None) => format!("movement >= {}, the highest boundary", float(at_least)),
        (_, None, Some(below)) => format!("movement < {}, the lowest boundary", float(below)),
        (_, None, None) => String::new(),
    };
    paragraph(f, "class", &format!("{class} of 0 to {last}: {why}"))
}

fn mark(f: &mut fmt::Formatter<'_>, found: &MarkStep, split: &str, class: usize) -> fmt::Result {
    let MarkStep { balanced, class_rows, marked_rows, number, floors } = *found;
    let balanced = balanced.map_or("unknown", |marked| if marked { "true" } else { "false" });
    if split == "embargo" {
        return paragraph(f, "balanced", &format!("{balanced}: rows under embargo are never marked"));
    }
    let (c, k) = (grouped(class_rows), grouped(marked_rows));
    let counts =
        format!("class {class} has c = {c} rows in {split}, and k = {k} rows of a class are marked (manifest)");
    paragraph(f, "balanced", &format!("{balanced}: {counts}"))?;
    match (number, floors) {
        (_, None) if class_rows <= marked_rows => paragraph(f, "", "c <= k: every row of the class is marked"),
        (Some(j), Some([before, here])) => {
            paragraph(f, "", &format!("the row is number j = {} of them (counted in the dataset)", grouped(j)))?;
            let sign = if here > before { ">" } else { "=" };
            let (before, here) = (grouped(before), grouped(here));
            paragraph(f, "", &format!("floor(j*k/c) = {here} {sign} floor((j-1)*k/c) = {before}"))
        }
        _ => paragraph(f, "", "j cannot be counted: drop_unbalanced has left out rows of the class"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        assert_eq!([price(651_230_000), price(-1), price(7_000_000_000)], ["0.65123", "-0.000000001", "7"]);
        assert_eq!([mid_price(1_302_470_001), mid_price(-3), mid_price(0)], ["0.6512350005", "-0.0000000015", "0"]);
    }
}
