//! Charts as inline SVG without text, so that they stretch to any width. HTML next to them says what they show.

use std::fmt::Write;
use std::ops::Range;

use super::sample::Block;
use super::time::{Scale, minute};

/// Width of every chart, in units that the page stretches.
const WIDTH: f64 = 1000.0;

/// An SVG that stretches to the width of the page; `label` describes it to those who cannot see it.
struct Svg {
    text: String,
}

impl Svg {
    fn new(class: &str, height: f64, label: &str) -> Self {
        Self {
            text: format!(
                "<svg class=\"{class}\" viewBox=\"0 0 {WIDTH} {height}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
                escaped(label)
            ),
        }
    }

    /// A rectangle; `title` is its tooltip.
    fn rect(&mut self, class: &str, [x, y, width, height]: [f64; 4], title: &str) {
        let _ = write!(
            self.text,
            "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y:.2}\" width=\"{width:.2}\" height=\"{height:.2}\"><title>{}</title></rect>",
            escaped(title)
        );
    }

    fn line(&mut self, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
        let _ =
            write!(self.text, "<line class=\"{class}\" x1=\"{x1:.2}\" y1=\"{y1:.2}\" x2=\"{x2:.2}\" y2=\"{y2:.2}\"/>");
    }

    fn path(&mut self, class: &str, points: &str) {
        let _ = write!(self.text, "<path class=\"{class}\" d=\"{points}\"/>");
    }

    fn finish(mut self) -> String {
        self.text.push_str("</svg>");
        self.text
    }
}

/// Escapes text for HTML. The template escapes its own text; this is for text within charts.
fn escaped(text: &str) -> String {
    minijinja::HtmlEscape(text).to_string()
}

/// A bar of the timeline: consecutive input files.
pub struct Bar {
    /// Their first and last time.
    pub times: [u64; 2],
    /// Their rows, and the records dropped.
    pub rows: u64,
    pub dropped: u64,
    /// True if their data is reported as incomplete.
    pub degraded: bool,
    /// What they are, in words.
    pub title: String,
}

/// Input files over time, with the embargo, which ends at T: bars before that are of the fit half.
pub fn timeline(bars: &[Bar], scale: &Scale, embargo: Range<u64>) -> String {
    let height = 120.0;
    let most = bars.iter().map(|bar| bar.rows + bar.dropped).max().unwrap_or(0).max(1) as f64;
    let mut svg = Svg::new("timeline", height, "rows of the input files over time");
    for bar in bars {
        let [from, to] = bar.times.map(|time| scale.place(time) * WIDTH);
        // Bars stay separate, and visible however short.
        let width = (0.94 * (to - from)).max(1.5);
        let part = |count: u64| count as f64 / most * (height - 12.0);
        let (rows, dropped) = (part(bar.rows), part(bar.dropped));
        // T may be in the middle of a file.
        let middle = (scale.place(embargo.end) * WIDTH).clamp(from, from + width);
        for (half, [start, end]) in [("fit", [from, middle]), ("holdout", [middle, from + width])] {
            if end > start {
                svg.rect(half, [start, height - rows, end - start, rows], &bar.title);
            }
        }
        if dropped > 0.0 {
            svg.rect("dropped", [from, height - rows - dropped, width, dropped], &bar.title);
        }
        if bar.degraded {
            svg.rect("degraded", [from, 0.0, width, 8.0], &bar.title);
        }
    }
    let at = scale.place(embargo.end) * WIDTH;
    if !embargo.is_empty() {
        // Visible however short.
        let width = (at - scale.place(embargo.start) * WIDTH).max(2.0);
        svg.rect("embargo", [at - width, 0.0, width, height], &format!("embargo from {}", minute(embargo.start)));
    }
    svg.line("until", [at, 0.0, at, height]);
    svg.finish()
}

/// Values in equal bins from `low` to `high`, with lines at `boundaries`.
pub fn histogram(values: &[f64], [low, high]: [f64; 2], boundaries: &[f64], label: &str) -> String {
    const BINS: usize = 100;
    let height = 140.0;
    let place = |value: f64| (value - low) / (high - low);
    let mut bins = [0_u32; BINS];
    for value in values.iter().filter(|value| (low..=high).contains(*value)) {
        let bin = crate::cast::to_usize(crate::cast::whole_unsigned(place(*value) * BINS as f64));
        bins[bin.min(BINS - 1)] += 1;
    }
    let most = f64::from(bins.iter().copied().max().unwrap_or(0).max(1));
    let mut svg = Svg::new("histogram", height, label);
    let width = WIDTH / BINS as f64;
    for (number, count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
        let tall = f64::from(*count) / most * height;
        let middle = low + (number as f64 + 0.5) / BINS as f64 * (high - low);
        let title = format!("{count} movements near {middle:.3e}");
        svg.rect("fit", [number as f64 * width, height - tall, width, tall], &title);
    }
    for boundary in boundaries.iter().filter(|boundary| (low..=high).contains(*boundary)) {
        let at = place(*boundary) * WIDTH;
        svg.line("boundary", [at, 0.0, at, height]);
    }
    svg.finish()
}

/// The shares of classes in `fit` and in the holdout side by side, with a line at the uniform share.
pub fn classes(fit: &[u64], holdout: &[u64]) -> String {
    let height = 90.0;
    let shares = |counts: &[u64]| -> Vec<f64> {
        let rows = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|count| *count as f64 / rows).collect()
    };
    let halves = [("fit", fit, shares(fit)), ("holdout", holdout, shares(holdout))];
    let most = halves.iter().flat_map(|(_, _, shares)| shares).copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let uniform = 1.0 / fit.len().max(1) as f64;
    let width = WIDTH / fit.len().max(1) as f64;
    let mut svg = Svg::new("classes", height, "shares of the classes in fit and holdout");
    for (half, (name, counts, shares)) in halves.iter().enumerate() {
        for (class, (share, count)) in shares.iter().zip(*counts).enumerate() {
            let tall = share / most * (height - 4.0);
            let x = width * (class as f64 + 0.08 + 0.42 * half as f64);
            let title = format!("class {class}, {name}: {:.2}% ({count} rows)", 100.0 * share);
            svg.rect(name, [x, height - tall, 0.4 * width, tall], &title);
        }
    }
    let fair = height - uniform / most * (height - 4.0);
    svg.line("uniform", [0.0, fair, WIDTH, fair]);
    svg.finish()
}

/// The share of each class, from the highest down, in each period, as colours: `counts[period][class]`.
pub fn heatmap(counts: &[(String, Vec<u64>)]) -> String {
    let classes = counts.iter().map(|(_, counts)| counts.len()).max().unwrap_or(0).max(1);
    let (cell, height) = (WIDTH / counts.len().max(1) as f64, 140.0);
    let tall = height / classes as f64;
    let mut svg = Svg::new("heatmap", height, "share of each class over time");
    for (period, (name, counts)) in counts.iter().enumerate() {
        let rows = counts.iter().sum::<u64>();
        for (class, count) in counts.iter().enumerate().filter(|_| rows > 0) {
            let share = *count as f64 / rows as f64;
            // Log2 of the share over the uniform one, in steps of a third, from a quarter to four times.
            let ratio = (share * classes as f64).max(1e-9).log2().clamp(-2.0, 2.0);
            let level = crate::cast::whole((3.0 * ratio).round());
            let side = if level < 0 { "less" } else { "more" };
            let class_of = format!("{side} l{}", level.unsigned_abs());
            let title = format!("{name}, class {class}: {:.1}%", 100.0 * share);
            svg.rect(&class_of, [period as f64 * cell, (classes - 1 - class) as f64 * tall, cell, tall], &title);
        }
    }
    svg.finish()
}

/// Mid prices over time, as a band from the lowest to the highest of each block, or their spreads as a line. Nothing is
/// drawn across pauses.
pub fn series(blocks: &[Block], scale: &Scale, of: impl Fn(&Block) -> [f64; 2], class: &str, label: &str) -> String {
    let height = if class == "spread" { 60.0 } else { 160.0 };
    let (low, high) = extremes(blocks.iter().map(&of));
    let y = |value: f64| height - 3.0 - (value - low) / (high - low).max(f64::MIN_POSITIVE) * (height - 6.0);
    let mut svg = Svg::new(class, height, label);
    let pause = longest_step(blocks).max(scale.pause());
    for stretch in blocks.chunk_by(|a, b| b.times[0].saturating_sub(a.times[1]) <= pause) {
        let (mut above, mut below) = (String::new(), Vec::new());
        for block in stretch {
            let [from, to] = block.times.map(|time| scale.place(time) * WIDTH);
            let [least, most] = of(block).map(y);
            for x in [from, to.max(from + 0.5)] {
                let _ = write!(above, "{}{x:.2},{most:.2}", if above.is_empty() { "M" } else { "L" });
                below.push(format!("L{x:.2},{least:.2}"));
            }
        }
        below.iter().rev().for_each(|point| above.push_str(point));
        above.push('Z');
        svg.path("band", &above);
    }
    svg.finish()
}

/// The least and the greatest of ranges.
pub fn extremes(ranges: impl Iterator<Item = [f64; 2]>) -> (f64, f64) {
    ranges
        .filter(|[low, high]| low.is_finite() && high.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), [low, high]| (least.min(low), most.max(high)))
}

/// The longest time between two blocks that does not count as a pause: five times the usual one.
fn longest_step(blocks: &[Block]) -> u64 {
    let mut steps: Vec<u64> = blocks.windows(2).map(|pair| pair[1].times[0].saturating_sub(pair[0].times[1])).collect();
    steps.sort_unstable();
    let usual = steps.get(steps.len() / 2).copied().unwrap_or_default();
    usual.saturating_mul(5)
}
