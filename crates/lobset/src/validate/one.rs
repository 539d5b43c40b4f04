//! One dataset proved on its own, wherever it lies.

use std::path::Path;

use super::footer::FooterCheck;
use super::group::{Expect, GroupFacts, LabelColumns, read_footer, read_group};
use super::{Extent, Walk, cause, check_sha256};
use crate::config::Config;
use crate::error::Result;
use crate::input::file_sha256;
use crate::label::Thresholds;
use crate::output::{DatasetEntry, DatasetSchema, SymbolEntry, THRESHOLDS};
use crate::run::map_ordered;

/// Proves the dataset of a symbol, made with `config` of input with or without gateway stamps, of which `entry` is what the
/// manifest will say, and hands on the movements that the boundaries were fitted on. Returns the violations found.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when it cannot be read; what `fit_movements` fails of.
pub(crate) fn prove_dataset(
    path: &Path,
    (config, ts_out): (&Config, bool),
    thresholds: &Thresholds,
    (symbol, entry): (&SymbolEntry, &DatasetEntry),
    threads: usize,
    mut fit_movements: impl FnMut(&[f64]) -> Result<()> + Send,
) -> Result<Vec<String>> {
    let violation = |text: String| Ok(vec![format!("{}: {text}", entry.file)]);
    let schema = DatasetSchema::new(config, ts_out)
        .and_then(|schema| Ok((LabelColumns::new(&schema, Extent::Written)?, schema)));
    let (columns, schema) = match schema {
        Ok(both) => both,
        Err(e) => return violation(e.to_string()),
    };
    let Some(expect) = Expect::new(config, &columns, symbol, thresholds, Extent::Written) else {
        return violation(format!("{THRESHOLDS} has no boundaries for the symbol {:?}", symbol.symbol));
    };
    let footer = match read_footer(path) {
        Ok(footer) => footer,
        Err(e) if e.is_transient() => return Err(e),
        Err(e) => return violation(cause(&e)),
    };
    let footers = FooterCheck::new(&schema, (crate::VERSION, config), thresholds);
    let groups = match footers.check(&footer, entry.bytes, symbol, entry) {
        Ok(groups) => groups,
        Err(text) => return violation(text),
    };
    if let Err(text) = check_sha256(&file_sha256(path)?, entry) {
        return violation(text);
    }
    let mut walk = Walk::new(config, symbol, entry, Extent::Written);
    let groups: Vec<usize> = (0..groups).collect();
    let check = |group: &usize| read_group(path, &footer, *group, &expect);
    map_ordered(threads, 1, &groups, check, |facts: GroupFacts| {
        fit_movements(&facts.fit_movements)?;
        walk.take(facts);
        Ok(())
    })?;
    Ok(walk.finish().1)
}
