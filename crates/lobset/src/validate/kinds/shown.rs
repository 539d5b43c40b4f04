//! What a label is computed from, as data and as text: the parts that all kinds share.

use std::fmt;

use serde::Serialize;

use super::verdict::RowAt;
use crate::printable::{counted, grouped, grouped_digits, printable};
use crate::time_text::{Duration, Timestamp};

/// A row at an end of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowTime {
    /// Its number in the stream.
    pub row: u64,
    /// The running maximum of `ts_recv` there.
    pub time: Timestamp,
}

impl RowTime {
    pub(in crate::validate) fn new(row: RowAt) -> Self {
        Self { row: row.row, time: Timestamp(row.ts) }
    }
}

/// A window of a label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Window {
    /// Its first row; in time, the row whose price applies at the first moment.
    pub first: RowTime,
    /// Its last row.
    pub last: RowTime,
    /// In time: starts after the first moment and ends with the second. The two are equal for a length of zero.
    pub times: Option<[Timestamp; 2]>,
    /// Number of rows, or length in nanoseconds (1 for a length of zero).
    pub weight: u64,
    /// The sum of `mid2` over the rows, or its integral over the time in nanoseconds; in 1e-9.
    pub sum: String,
    /// The mean mid price in price units.
    pub mean: f64,
}

/// The row whose label is explained.
pub(in crate::validate) struct ExplainedRow {
    pub row: u64,
    pub mid2: i64,
}

/// The formula of movements between two means.
pub(in crate::validate) const QUOTIENT_OF_MEANS: &str = "(A*L - B*F) / (B*F) = mean ahead / mean behind - 1";

/// The text of what a movement is computed from. The defaults are those of windows.
pub(in crate::validate) trait Shown {
    /// Writes the windows, or what the kind has instead.
    fn write(&self, f: &mut fmt::Formatter<'_>, from: &ExplainedRow) -> fmt::Result;

    /// The formula of the movement.
    fn formula(&self) -> &'static str {
        QUOTIENT_OF_MEANS
    }

    /// The end of the label.
    fn end(&self, end: RowTime) -> String {
        at(end)
    }

    /// Why the row has this class; `None` if the class follows from boundaries.
    fn class(&self, _: usize) -> Option<&'static str> {
        None
    }
}

/// Twice a mid price in 1e-9 as a mid price in price units.
pub(in crate::validate) fn mid(mid2: i64) -> f64 {
    mid2 as f64 / 2e9
}

/// The mean mid price in price units, from a sum of `mid2` and its weight.
pub(super) fn mean(sum: i128, weight: u64) -> f64 {
    sum as f64 / weight as f64 / 2e9
}

/// Why the movement is undefined where the sum behind is not above zero.
pub(super) fn not_above_zero(behind: i128) -> String {
    let behind = grouped_digits(&behind.to_string());
    format!("its movement is undefined: the sum behind, B = {behind}, is not above 0")
}

/// Width of the text in columns. Only longer words, such as file names, exceed it.
const WIDTH: usize = 80;

/// Column at which texts begin; the labels come before it.
const INDENT: usize = 14;

/// Writes a labelled paragraph: `  label       text`, broken between words. Lines after the first have no label.
pub(in crate::validate) fn paragraph(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
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
pub(in crate::validate) fn price(price: i64) -> String {
    decimal(price.into(), 9)
}

/// A mid price from twice its value in 1e-9.
pub(in crate::validate) fn mid_price(mid2: i64) -> String {
    decimal(i128::from(mid2) * 5, 10)
}

/// A mean price or a barrier, which are rounded.
pub(in crate::validate) fn rounded(price: f64) -> String {
    format!("{price:.12}")
}

/// A movement, a boundary or a distance, in digits that a parser reads back to the same float.
pub(in crate::validate) fn float(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:e}") }
}

pub(in crate::validate) fn at(row: RowTime) -> String {
    format!("row {} at {}", grouped(row.row), row.time)
}

fn sums(f: &mut fmt::Formatter<'_>, text: String, mean: f64) -> fmt::Result {
    paragraph(f, "", &text)?;
    paragraph(f, "", &format!("mean mid price {}", rounded(mean)))
}

pub(super) fn rows_window(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    window: &Window,
    [sum, weight]: [&str; 2],
) -> fmt::Result {
    let Window { first, last, .. } = window;
    if first == last {
        paragraph(f, name, &at(*first))?;
    } else {
        paragraph(f, name, &format!("rows {} to {}", grouped(first.row), grouped(last.row)))?;
        paragraph(f, "", &format!("{} to {}", first.time, last.time))?;
    }
    let digits = grouped_digits(&window.sum);
    let rows = counted(window.weight, "row");
    sums(f, format!("sum of mid2 {sum} = {digits}, over {weight} = {rows}"), window.mean)
}

pub(super) fn time_window(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    window: &Window,
    [sum, weight]: [&str; 2],
) -> fmt::Result {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        assert_eq!([price(651_230_000), price(-1), price(7_000_000_000)], ["0.65123", "-0.000000001", "7"]);
        assert_eq!([mid_price(1_302_470_001), mid_price(-3), mid_price(0)], ["0.6512350005", "-0.0000000015", "0"]);
    }
}
