//! What input files hold, without making anything of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Options;
use super::describe::input_warnings;
use super::monitor::{Monitor, Stage};
use super::parallel::map_ordered;
use super::scan::{RowReader, ScanRules};
use crate::config::{Config, Unmapped};
use crate::error::Result;
use crate::input::{CatalogFile, Delivery, Drops, catalog, find, total_bytes, verified};
use crate::output::InputEntry;
use crate::time_text::Timestamp;

/// What [`inspect`] finds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Every file, in order of time.
    pub files: Vec<InputEntry>,
    /// Every symbol with rows, by name.
    pub symbols: Vec<SymbolInspection>,
    /// Drops of all files.
    pub drops: Drops,
    /// Whether the files are what Databento delivered, and what was left out.
    pub delivery: Delivery,
    /// What a reader should know of the files.
    pub warnings: Vec<String>,
}

/// What the files hold of a symbol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolInspection {
    /// Its name.
    pub symbol: String,
    /// Its rows.
    pub rows: u64,
    /// Files with rows of it.
    pub files: u64,
    /// Its first `ts_recv`.
    pub first_ts: Timestamp,
    /// Its last `ts_recv`.
    pub last_ts: Timestamp,
}

/// Reads all files and counts what is in them. Instruments without a mapping are counted, whatever the settings say.
///
/// # Errors
/// [`InputError`](crate::error::InputError) for a file that is refused.
pub fn inspect<P: AsRef<Path>>(
    inputs: &[P],
    config: &Config,
    options: &Options,
    monitor: &Monitor<'_>,
) -> Result<Inspection> {
    config.check()?;
    let on_disk = find(inputs, options.symbology.as_deref())?;
    let files = catalog(&on_disk)?;
    let rules = ScanRules::new(&Config { unmapped: Unmapped::Drop, ..config.clone() });
    let total = total_bytes(&files);
    let mut found = Inspection {
        files: Vec::new(),
        symbols: Vec::new(),
        drops: Drops::default(),
        delivery: Delivery::default(),
        warnings: Vec::new(),
    };
    let mut symbols: BTreeMap<String, SymbolInspection> = BTreeMap::new();
    monitor.stage(Stage::Scan, total, || {
        map_ordered(
            options.threads(),
            files.len(),
            &files,
            |file| {
                verified(&file.path, file.beside.sha256.as_deref(), look(file, &rules, monitor), |(e, _)| {
                    e.sha256.clone()
                })
            },
            |(entry, seen)| {
                found.drops += entry.drops;
                found.files.push(entry);
                for symbol in seen {
                    symbols
                        .entry(symbol.symbol.clone())
                        .and_modify(|all| {
                            all.rows += symbol.rows;
                            all.files += 1;
                            all.first_ts = all.first_ts.min(symbol.first_ts);
                            all.last_ts = all.last_ts.max(symbol.last_ts);
                        })
                        .or_insert(symbol);
                }
                Ok(())
            },
        )
    })?;
    found.symbols = symbols.into_values().collect();
    let spans = files.iter().zip(&found.files).map(|(file, entry)| {
        (file.path.as_path(), entry.first_ts.zip(entry.last_ts).map(|(first, last)| [first, last]))
    });
    found.delivery = on_disk.delivery(spans);
    found.warnings = input_warnings(&found.files, &found.delivery);
    Ok(found)
}

fn look(file: &CatalogFile, rules: &ScanRules, monitor: &Monitor<'_>) -> Result<(InputEntry, Vec<SymbolInspection>)> {
    let rules = rules.with_symbology(file.beside.symbology.as_ref());
    let mut rows = RowReader::open(&file.path, &rules)?;
    let mut seen: Vec<Option<(u64, u64, u64)>> = Vec::new();
    let mut last_ts = None;
    while rows.advance(monitor)? {
        let (record, row) = rows.current()?;
        let ts = record.ts_recv;
        last_ts = last_ts.max(Some(ts));
        let Some((slot, _)) = row else { continue };
        if slot >= seen.len() {
            seen.resize(slot + 1, None);
        }
        let (count, first, last) = seen[slot].get_or_insert((0, ts, ts));
        *count += 1;
        *first = ts.min(*first);
        *last = ts.max(*last);
    }
    let of_symbol = |(name, counts): (&String, &Option<(u64, u64, u64)>)| {
        let (rows, first, last) = (*counts)?;
        Some(SymbolInspection {
            symbol: name.clone(),
            rows,
            files: 1,
            first_ts: Timestamp(first),
            last_ts: Timestamp(last),
        })
    };
    let symbols: Vec<_> = rows.symbols.names().iter().zip(&seen).filter_map(of_symbol).collect();
    Ok((rows.entry(&file.path, symbols.iter().map(|s| s.rows).sum(), file.first_ts, last_ts), symbols))
}
