//! An explanation as text of at most 80 columns.

use std::fmt::{self, Display};

use serde_json::Value;

use super::super::kinds::Steps;
use super::super::kinds::shown::{ExplainedRow, QUOTIENT_OF_MEANS, Shown, at, float, mid_price, paragraph, price};
use super::explanation::{ClassStep, Explanation, MarkStep, MovementStep, SplitStep, TargetExplanation};
use super::stretch::break_text;
use crate::label::Split;
use crate::printable::{counted, grouped, grouped_digits, printable};

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
            let (dropped, file) = (counted(self.dropped_count, "record"), &first.file);
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
        let shown = target.steps.as_ref().map(Steps::shown);
        if let Some(steps) = shown {
            steps.write(f, &ExplainedRow { row: self.row, mid2: self.record.mid2 })?;
        }
        if let Some(found) = &target.movement {
            movement(f, found, shown.map_or(QUOTIENT_OF_MEANS, Shown::formula))?;
        }
        if let Some(found) = &target.class {
            class(f, found, shown)?;
        }
        if let Some(end) = target.end {
            let text = shown.map_or_else(|| at(end), |steps| steps.end(end));
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

    fn split(&self, f: &mut fmt::Formatter<'_>, found: &SplitStep) -> fmt::Result {
        let t = self.fit_until;
        let why = match Split::from_name(found.split) {
            Some(Split::Holdout) => format!("the row, at {}, is not before T = {t}", found.time),
            Some(Split::Embargo) => {
                format!("the row is before T, but the end of its label, {}, is not: T = {t}", found.end)
            }
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

fn movement(f: &mut fmt::Formatter<'_>, found: &MovementStep, formula: &str) -> fmt::Result {
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

fn class(f: &mut fmt::Formatter<'_>, found: &ClassStep, steps: Option<&dyn Shown>) -> fmt::Result {
    let ClassStep { class, classes, at_least, below } = *found;
    let last = classes.saturating_sub(1);
    let why = match (steps.and_then(|steps| steps.class(class)), at_least, below) {
        (Some(why), ..) => why.to_owned(),
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
    if split == Split::Embargo.name() {
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
