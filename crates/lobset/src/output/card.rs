//! `README.md`: the dataset card. Its front matter lists the files for Hugging Face `datasets`; the rest is for people.

use std::fmt::Write;

use arrow_schema::{DataType, TimeUnit};

use super::column::Column;
use super::columns::{columns, names};
use super::manifest::{Manifest, SplitEntry, Splits3, SymbolEntry};
use crate::config::{CLASSIC, PriceType};
use crate::label::Thresholds;
use crate::printable::grouped;

/// Hugging Face's names for sizes, by the power of ten that they begin at.
const SIZES: [&str; 11] = [
    "n<1K",
    "1K<n<10K",
    "10K<n<100K",
    "100K<n<1M",
    "1M<n<10M",
    "10M<n<100M",
    "100M<n<1B",
    "1B<n<10B",
    "10B<n<100B",
    "100B<n<1T",
    "n>1T",
];

/// Quotes text for both YAML and Python. Escapes everything except letters, digits and printable ASCII.
fn quoted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 2);
    safe.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => safe.extend(['\\', c]),
            ' '..='~' => safe.push(c),
            c if c.is_alphanumeric() => safe.push(c),
            c => {
                let _ = write!(safe, "\\U{:08X}", u32::from(c));
            }
        }
    }
    safe.push('"');
    safe
}

/// Escapes text so that Markdown shows it literally, also in tables. Replaces characters that are not letters, digits
/// or printable ASCII with their code points.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' | '-' => safe.push(c),
            c if c.is_ascii_punctuation() => safe.extend(['\\', c]),
            c if c.is_alphanumeric() => safe.push(c),
            c => {
                let _ = write!(safe, "\\\\u\\{{{:x}\\}}", u32::from(c));
            }
        }
    }
    safe
}

/// The config name of a symbol in `datasets`: the symbol, with characters that `datasets` forbids in names
/// percent-encoded.
fn config_name(symbol: &str) -> String {
    let mut name = String::with_capacity(symbol.len());
    for c in symbol.chars() {
        if r"<>:/\|?*%".contains(c) || c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(name, "%{byte:02X}");
            }
        } else {
            name.push(c);
        }
    }
    name
}

/// PyArrow's name of a type.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)) => format!("timestamp[ns, {zone}]"),
        DataType::Dictionary(_, of) => format!("dictionary of {}", type_name(of)),
        DataType::Utf8 => "string".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// Rows of each split that are in the file.
fn written(manifest: &Manifest, splits: &Splits3<SplitEntry>) -> [u64; 3] {
    splits.named().map(|(_, split)| match manifest.config.drop_unbalanced {
        true => split.balanced.iter().sum(),
        false => split.rows,
    })
}

/// The card of a run's datasets. Its bytes depend only on the input, the settings and the names of the files, which are
/// different in an object store.
pub fn card(manifest: &Manifest, thresholds: &Thresholds) -> String {
    let mut page = String::new();
    front_matter(&mut page, manifest);
    introduction(&mut page, manifest, thresholds);
    targets(&mut page, manifest);
    splits(&mut page, manifest);
    loading(&mut page, manifest);
    datasets(&mut page, manifest);
    page.push_str("\n## Columns\n\n");
    page.push_str(&column_table(&columns(&manifest.config, manifest.has_ts_out())));
    page.push_str(match manifest.config.price_type {
        PriceType::Float => "\nAll prices are in price units.\n",
        PriceType::Fixed => {
            "\nPrices are integers in 1e-9 of a price unit, except columns computed from them, which are in price units.\n"
        }
    });
    page.push_str(
        "\n## License\n\n\
         lobset does not license market data. Your agreements with Databento and the exchange say what you may do with\n\
         these files, and whether you may share them. If you publish them, state the license in the front matter\n\
         (`license:`).\n",
    );
    page
}

fn front_matter(page: &mut String, manifest: &Manifest) {
    let rows: u64 = manifest.datasets().map(|(_, dataset)| dataset.rows).sum();
    let power = rows.checked_ilog10().unwrap_or(0) as usize;
    let size = SIZES[power.saturating_sub(2).min(SIZES.len() - 1)];
    let name = format!("{}: limit order book rows with labels", manifest.config.tag());
    let _ = write!(
        page,
        "---\n\
         pretty_name: {}\n\
         # license: add yours; see the end of this page\n\
         task_categories:\n- tabular-classification\n\
         tags:\n- finance\n- limit-order-book\n- lobset\n\
         size_categories:\n- {size}\n\
         configs:\n",
        quoted(&name)
    );
    for (symbol, dataset) in manifest.datasets() {
        let (name, file) = (quoted(&config_name(&symbol.symbol)), quoted(&dataset.file));
        let _ = write!(page, "- config_name: {name}\n  data_files: {file}\n");
    }
    page.push_str("---\n");
}

fn introduction(page: &mut String, manifest: &Manifest, thresholds: &Thresholds) {
    let Manifest { version, config, inputs, .. } = manifest;
    let mut sources: Vec<&str> = inputs.iter().map(|input| input.dataset.as_str()).collect();
    sources.sort_unstable();
    sources.dedup();
    let sources: Vec<String> = sources.into_iter().map(escape).collect();
    let first = inputs.iter().filter_map(|input| input.first_ts).min();
    let last = inputs.iter().filter_map(|input| input.last_ts).max();
    let span = first.zip(last).map_or_else(String::new, |(first, last)| format!(", received from {first}\nto {last}"));
    let until = thresholds.fit_until;
    let origin = match manifest.thresholds.fitted {
        true => format!("They were fitted on the first part of this data; no data at or after {until} was used."),
        false => format!("They come from another run; no data at or after {until} was used."),
    };
    let settings = serde_json::to_string_pretty(&thresholds.settings).unwrap_or_default();
    let _ = write!(
        page,
        "\n# {}: limit order book rows with labels\n\n\
         Written by lobset {version} from {} of Databento's MBP-10 records ({}){span}: one Parquet file per instrument.\n\n\
         A row is the state of the order book, ten levels per side, after one event. Its label compares the mean mid price\n\
         of the near future with that of the near past: `price_movement` is the relative change, and\n\
         `classification_label` its class, 0 to {}. The class boundaries are in `{}`.\n{origin}\n\n\
         These settings define the label; `manifest.json` has all settings, inputs, counts and hashes.\n\n\
         ```json\n{settings}\n```\n",
        escape(config.tag()),
        match inputs.len() {
            1 => "1 file".to_owned(),
            n => format!("{} files", grouped(n as u64)),
        },
        sources.join(", "),
        config.nbins - 1,
        manifest.thresholds.file,
    );
}

/// Rows of a dataset by split of the classic target.
fn classic(manifest: &Manifest, symbol: &SymbolEntry) -> [u64; 3] {
    let splits = symbol.splits().find(|(target, _)| *target == CLASSIC);
    splits.map_or([0; 3], |(_, splits)| written(manifest, splits))
}

/// Lists the targets besides the classic one.
fn targets(page: &mut String, manifest: &Manifest) {
    let targets = &manifest.config.targets.0;
    if targets.is_empty() {
        return;
    }
    page.push_str(
        "\n## Targets\n\nBesides `price_movement` and its columns, these targets have columns with their name behind. A row has null\n\
         where a target has no label. `lobset validate` proves each.\n\n| target | column | definition |\n|---|---|---|\n",
    );
    for target in targets {
        let (name, column) = (&target.name, target.column(names::PRICE_MOVEMENT));
        let text = target.to_string();
        let definition = text.split_once('=').map_or(text.as_str(), |(_, definition)| definition);
        let _ = writeln!(page, "| `{name}` | `{column}` | `{definition}` |");
    }
}

fn splits(page: &mut String, manifest: &Manifest) {
    let mut rows = [0; 3];
    for (symbol, _) in manifest.datasets() {
        let found = classic(manifest, symbol);
        rows.iter_mut().zip(found).for_each(|(sum, found)| *sum += found);
    }
    let [fit, embargo, holdout] = rows.map(grouped);
    let _ = write!(
        page,
        "\n## Splits\n\n\
         The splits are values of the column `split`. For `datasets`, each file is a config with a single split, `train`,\n\
         that contains all rows: filter by the column.\n\n\
         | `split` | rows | what it is for |\n|---|---:|---|\n\
         | `fit` | {fit} | training: the future window of the label ends before the boundary time |\n\
         | `embargo` | {embargo} | none: the row is before the boundary time, but its future window reaches it |\n\
         | `holdout` | {holdout} | testing: rows at the boundary time and later |\n"
    );
    if manifest.config.force_uniform {
        page.push_str(
            "\n`balanced` marks, within each symbol and split, the same number of rows of every class; classes too rare for it\n\
             are marked completely.\n",
        );
    }
}

fn loading(page: &mut String, manifest: &Manifest) {
    let Some((symbol, dataset)) = manifest.datasets().next() else { return };
    let (name, file) = (quoted(&config_name(&symbol.symbol)), quoted(&dataset.file));
    let _ = write!(
        page,
        "\n## Loading\n\n\
         From this folder, with Polars, pandas, DuckDB, Hugging Face `datasets`, or as tensors for PyTorch:\n\n\
         ```python\nimport polars as pl\n\nfit = pl.scan_parquet({file}).filter(pl.col(\"split\") == \"fit\").collect()\n```\n\n\
         ```python\nimport pandas as pd\n\nrows = pd.read_parquet({file})\n```\n\n\
         ```python\nimport duckdb\n\nclasses = duckdb.read_parquet({file}).aggregate(\"split, classification_label, count(*)\").fetchall()\n```\n\n\
         ```python\nimport os\nfrom datasets import load_dataset\n\n\
         fit = load_dataset(os.getcwd(), {name}, split=\"train\", filters=[(\"split\", \"==\", \"fit\")])\n```\n"
    );
    // A depth tensor needs a whole window of rows.
    if symbol.splits().any(|(_, splits)| splits.fit.rows > manifest.config.samples) {
        let _ = write!(
            page,
            "\n```python\nimport lobset.torch\nfrom torch.utils.data import DataLoader\n\n\
             loader = DataLoader(lobset.torch.DepthDataset({file}), batch_size=32, shuffle=True)\n```\n"
        );
    }
}

fn datasets(page: &mut String, manifest: &Manifest) {
    page.push_str(
        "\n## Datasets\n\n| symbol | config | file | rows | fit | embargo | holdout |\n|---|---|---|---:|---:|---:|---:|\n",
    );
    for (symbol, dataset) in manifest.datasets() {
        let (rows, [fit, embargo, holdout]) = (grouped(dataset.rows), classic(manifest, symbol).map(grouped));
        let (name, config, file) = (escape(&symbol.symbol), escape(&config_name(&symbol.symbol)), &dataset.file);
        let _ = writeln!(page, "| {name} | {config} | `{file}` | {rows} | {fit} | {embargo} | {holdout} |");
    }
    if let Some((_, dataset)) = manifest.datasets().next() {
        let _ = write!(
            page,
            "\nBeside each dataset, a file such as `{}` has count, sum and sum of squares of its numeric\n\
             columns by input file, over all rows and over the `fit` rows (`fit_sum` and so on): divide by `divisor` to get\n\
             means in the unit of the column.\n",
            dataset.moments.file
        );
    }
}

/// The table of columns in Markdown. The columns of all levels of a field share one line.
pub fn column_table(columns: &[Column]) -> String {
    let mut table = String::from("| column | type | null | what it is |\n|---|---|---|---|\n");
    let last = columns.iter().filter_map(|column| column.level).max().unwrap_or(0);
    for column in columns {
        let name = match column.level {
            None => format!("`{}`", column.name),
            Some(0) => format!("`{}` to `{}{last:02}`", column.name, column.name.trim_end_matches("00")),
            Some(_) => continue,
        };
        let null = if column.nullable { "if missing" } else { "never" };
        let kind = type_name(&column.kind.data_type());
        let _ = writeln!(table, "| {name} | {kind} | {null} | {} |", column.meaning);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Quotes, colons, line breaks of YAML 1.1 and of Python, a text direction override, and words that YAML does not
    /// read as strings.
    const HOSTILE: [&str; 10] = [
        "a\"b\\c",
        "- x: [y]\n---\n# z",
        "\u{85}\u{2028}\u{2029}\u{b}\u{c}\u{1c}",
        "\u{202e}4M6\u{feff}",
        "# no",
        "null",
        "1e5",
        "é東",
        "*|_`<b>[x](y)`",
        "\u{1f600}\t\u{7f}",
    ];

    #[test]
    fn quoted_text_is_one_line_that_says_the_same() {
        assert_eq!(quoted("M6AM4-M6AU4"), "\"M6AM4-M6AU4\"");
        assert_eq!(quoted("é \"x\\\n"), "\"é \\\"x\\\\\\U0000000A\"");
        for text in HOSTILE {
            let safe = quoted(text);
            assert!(safe.chars().all(|c| (' '..='~').contains(&c) || c.is_alphanumeric()), "{safe}");
            assert_eq!(toml::from_str::<toml::Table>(&format!("x = {safe}")).unwrap()["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn markdown_shows_text_and_nothing_else() {
        assert_eq!(escape("M6AM4-M6AU4"), "M6AM4-M6AU4");
        assert_eq!(escape("a|b`c`<i>"), "a\\|b\\`c\\`\\<i\\>");
        assert_eq!(escape("x\n\u{202e}y"), "x\\\\u\\{a\\}\\\\u\\{202e\\}y");
        for text in HOSTILE {
            let safe = escape(text);
            let mut chars = safe.chars();
            while let Some(c) = chars.next() {
                let escaped = c == '\\' && chars.next().is_some_and(|next| next.is_ascii_punctuation());
                assert!(escaped || c == ' ' || c == '-' || c.is_alphanumeric(), "{c:?} in {safe}");
            }
        }
    }

    #[test]
    fn configs_are_named_after_symbols_and_never_two_alike() {
        assert_eq!(config_name("M6AM4 C0650"), "M6AM4 C0650");
        assert_eq!(config_name("BTC/USD:é\n"), "BTC%2FUSD%3Aé%0A");
        assert_ne!(config_name("a:b"), config_name("a%3Ab"));
    }

    #[test]
    fn the_table_has_a_line_for_each_column_and_one_for_all_levels() {
        let table = column_table(&columns(&Config::default(), false));
        let lines: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(lines.len(), 12 + 6 + 7);
        assert!(
            columns(&Config::default(), true)
                .iter()
                .all(|c| !c.meaning.contains(['|', '*', '<', '`', '[', '\\', '\n']))
        );
        assert!(lines[0].starts_with("| `ts_recv` | timestamp[ns, UTC] | never | "), "{}", lines[0]);
        assert!(lines[12].starts_with("| `bid_px_00` to `bid_px_09` | float64 | if missing | "), "{}", lines[12]);
        assert!(lines[18].starts_with("| `symbol` | dictionary of string | "), "{}", lines[18]);
    }

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
