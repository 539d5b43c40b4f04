//! What input files hold, without making anything of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Options;
use super::describe::input_warnings;
use super::monitor::{Monitor, Stage};
use super::parallel::map_ordered;
use super::scan::{RowReader, ScanRules};
use super::streams::StreamId;
use crate::config::{Config, Unmapped};
use crate::error::{Error, Result};
use crate::input::{CatalogFile, Delivery, Drops, Gaps, StreamNames, catalog, find, total_bytes, verified};
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

/// What the files hold of a stream: one symbol of one publisher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SymbolInspection {
    /// Its name: the symbol, with `.publisher` behind it where several publishers have it.
    pub symbol: String,
    /// Its publisher.
    pub publisher_id: u16,
    /// Its rows.
    pub rows: u64,
    /// Files with rows of it.
    pub files: u64,
    /// Its first `ts_recv`.
    pub first_ts: Timestamp,
    /// Its last `ts_recv`.
    pub last_ts: Timestamp,
    /// Its longest pauses in `ts_recv`, longest first, three at most.
    pub gaps: Gaps,
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
    let mut symbols: BTreeMap<StreamId, SymbolInspection> = BTreeMap::new();
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
                for (id, symbol) in seen {
                    symbols
                        .entry(id)
                        .and_modify(|all| {
                            all.gaps.note(all.last_ts.0, symbol.first_ts.0);
                            all.gaps.extend(&symbol.gaps, all.last_ts.0);
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
    let names = StreamNames::new(symbols.keys().map(|id| (id.symbol.as_str(), id.publisher_id)))
        .map_err(|message| Error::data(message, "pick one publisher with publishers = [ID]"))?;
    let name = |(id, symbol): (&StreamId, &SymbolInspection)| SymbolInspection {
        symbol: names.name(&id.symbol, id.publisher_id),
        ..symbol.clone()
    };
    found.symbols = symbols.iter().map(name).collect();
    let spans = files.iter().zip(&found.files).map(|(file, entry)| {
        (file.path.as_path(), entry.first_ts.zip(entry.last_ts).map(|(first, last)| [first, last]))
    });
    found.delivery = on_disk.delivery(spans);
    found.warnings = input_warnings(&found.files, &found.delivery);
    Ok(found)
}

type Look = (InputEntry, Vec<(StreamId, SymbolInspection)>);

fn look(file: &CatalogFile, rules: &ScanRules, monitor: &Monitor<'_>) -> Result<Look> {
    let rules = rules.with_symbology(file.beside.symbology.as_ref());
    let mut rows = RowReader::open(&file.path, &rules)?;
    let mut seen: Vec<SymbolInspection> = Vec::new();
    let mut last_ts = None;
    while rows.advance(monitor)? {
        let (record, row) = rows.current()?;
        let ts = Timestamp(record.ts_recv);
        last_ts = last_ts.max(Some(record.ts_recv));
        let Some((number, _)) = row else { continue };
        // Streams are numbered as their first rows come.
        if number == seen.len() {
            seen.push(SymbolInspection {
                symbol: String::new(),
                publisher_id: record.publisher_id,
                rows: 0,
                files: 1,
                first_ts: ts,
                last_ts: ts,
                gaps: Gaps::default(),
            });
        }
        let stream = &mut seen[number];
        stream.rows += 1;
        stream.gaps.note(stream.last_ts.0, ts.0);
        stream.first_ts = stream.first_ts.min(ts);
        stream.last_ts = stream.last_ts.max(ts);
    }
    let total = seen.iter().map(|stream| stream.rows).sum();
    let streams = rows.streams().zip(seen).collect();
    Ok((rows.entry(&file.path, total, file.first_ts, last_ts), streams))
}
