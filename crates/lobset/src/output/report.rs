//! `report.html`: the manifest in readable form, on one page without scripts.

use std::fmt::Write;

use super::manifest::{Manifest, SplitEntry};
use crate::input::Drops;
use crate::printable::printable;

/// Escapes text for HTML.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.25rem .6rem;border-bottom:1px solid #ddd}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
svg{display:block}rect{fill:#4a7fb5}line{stroke:#c0392b;vector-effect:non-scaling-stroke}.ok{color:#176d2c}.warn{color:#8a4b00}code{background:#f4f4f4;padding:0 .2rem}\
@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}code{background:#272a30}th,td{border-color:#3a3d44}.ok{color:#7ccf8f}.warn{color:#e0a458}}";

/// Draws a bar chart of the rows of each class; the line marks an equal share.
fn bars(split: &SplitEntry) -> String {
    let classes = split.classes.len();
    let width = 12 * classes;
    let most = split.classes.iter().copied().max().unwrap_or(0).max(1);
    let mut svg = format!(
        "<svg width=\"{width}\" height=\"60\" viewBox=\"0 0 {width} {most}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"rows by class\">"
    );
    for (class, count) in split.classes.iter().enumerate() {
        let _ = write!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"{count}\"><title>class {class}: {count}</title></rect>",
            12 * class,
            most - count
        );
    }
    let fair = most.saturating_sub(split.rows / classes.max(1) as u64);
    let _ = write!(svg, "<line x2=\"{width}\" y1=\"{fair}\" y2=\"{fair}\"/></svg>");
    svg
}

/// Renders the page.
pub fn report(manifest: &Manifest) -> String {
    let mut page = String::new();
    let currency = escape(manifest.config.tag());
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>lobset: {currency}</title><style>{STYLE}</style></head><body><h1>{currency}: {} datasets from {} files</h1>",
        manifest.datasets().count(),
        manifest.inputs.len()
    );
    let _ = match &manifest.validation {
        Some(proved) => write!(
            page,
            "<p class=\"ok\">Validated: {} rows read back. Every check below held for every row.</p><ul>{}{}</ul>",
            proved.rows,
            proved.checks.iter().map(|c| format!("<li>{}</li>", escape(c))).collect::<String>(),
            proved
                .not_checked
                .iter()
                .map(|c| format!("<li class=\"warn\">not checked: {}</li>", escape(c)))
                .collect::<String>()
        ),
        None => write!(page, "<p class=\"warn\">Not validated: run <code>lobset validate</code> on this folder.</p>"),
    };
    let _ = write!(
        page,
        "<p>The thresholds were {}; no data at or after {} was used for them. Read {} records in {:.1} s, {:.0} a second.</p>",
        if manifest.thresholds.fitted { "fitted on the first part of this input" } else { "read from a file" },
        manifest.thresholds.fit_until,
        manifest.records(),
        manifest.timings.total_seconds,
        manifest.timings.records_per_second
    );
    let delivered: String = manifest.delivery.sentences().iter().map(|s| format!("<li>{}</li>", escape(s))).collect();
    let _ = write!(page, "<ul>{delivered}</ul>");
    if !manifest.warnings.is_empty() {
        let items: String =
            manifest.warnings.iter().map(|w| format!("<li class=\"warn\">{}</li>", escape(w))).collect();
        let _ = write!(page, "<h2>Before you train</h2><ul>{items}</ul>");
    }
    page.push_str("<h2>Datasets</h2><table><tr><th>symbol</th><th>target</th><th>split</th><th class=\"n\">rows</th><th class=\"n\">balanced</th><th class=\"n\">distance from uniform</th><th class=\"n\">known share</th><th class=\"n\">majority accuracy</th><th class=\"n\">known accuracy</th><th>classes</th></tr>");
    let percent = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{:.1}%", 100.0 * share));
    let of_datasets = manifest
        .datasets()
        .flat_map(|(symbol, dataset)| symbol.targets.iter().map(move |target| (symbol, dataset, target)));
    for (symbol, dataset, target) in of_datasets {
        let mut known_share = target.known_share;
        for (name, split) in target.splits.iter().flat_map(|splits| splits.named()) {
            let _ = write!(
                page,
                "<tr><td title=\"{}\">{}</td><td>{}</td><td>{name}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1}%</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
                escape(&dataset.file),
                escape(&symbol.symbol),
                escape(&target.target),
                split.rows,
                split.balanced.iter().sum::<u64>(),
                100.0 * split.from_uniform(),
                percent(known_share.take()),
                percent(split.majority_accuracy),
                percent(split.known_accuracy),
                bars(split)
            );
        }
    }
    page.push_str(
        "</table><p>Known share: how much of the movement's variance over the fit rows is known at the row, from the past and \
         the price there. Majority accuracy: always predicting the class of most fit rows. Known accuracy: predicting the \
         class of the known part. None of them needs a forecast: compare models with them, not with chance.</p>\
         <h2>Without a dataset</h2><table><tr><th>symbol</th><th class=\"n\">rows</th><th>why</th></tr>",
    );
    for symbol in manifest.symbols.iter().filter(|s| s.dataset.is_none()) {
        let why = escape(symbol.reason.as_deref().unwrap_or_default());
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td>{why}</td></tr>",
            escape(&symbol.symbol),
            symbol.rows
        );
    }
    page.push_str(
        "</table><h2>Input</h2><table><tr><th>file</th><th class=\"n\">records</th><th class=\"n\">rows</th>",
    );
    for (reason, _) in Drops::default().named() {
        let _ = write!(page, "<th class=\"n\">{reason}</th>");
    }
    page.push_str("</tr>");
    for input in &manifest.inputs {
        let cells: String = [input.records, input.rows]
            .into_iter()
            .chain(input.drops.named().map(|(_, count)| count))
            .map(|n| format!("<td class=\"n\">{n}</td>"))
            .collect();
        let _ = write!(page, "<tr><td>{}</td>{cells}</tr>", escape(&input.name));
    }
    let settings = serde_json::to_string_pretty(&manifest.config).unwrap_or_default();
    let _ = writeln!(
        page,
        "</table><h2>Settings</h2><pre>{}</pre><p>lobset {}</p></body></html>",
        escape(&settings),
        escape(&manifest.version)
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_stay_text() {
        assert_eq!(escape("<b a='x'>&\""), "&lt;b a=&#39;x&#39;&gt;&amp;&quot;");
    }
}
