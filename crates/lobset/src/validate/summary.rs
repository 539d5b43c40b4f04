//! The summary of a proof without violations: what was checked, and what was not.

use super::definition::Lengths;
use super::movement::{MOST_ROWS, fits_memory};
use crate::config::{Columns, Config};
use crate::output::{CARD, Manifest, ValidationEntry};
use crate::printable::grouped;

/// Facts of a validation that are not in the manifest.
pub(super) struct Whole {
    pub recomputed: u64,
    pub card_as_written: bool,
    /// Whether the folder is local, not in an object store.
    pub local: bool,
    /// Whether the raw files were given.
    pub compared: bool,
    /// Whether every row was compared with the raw files.
    pub all: bool,
}

/// The summary of what a run has proved about the files it has just written.
pub(crate) fn proved_after_writing(manifest: &Manifest) -> ValidationEntry {
    summary(manifest, None)
}

/// The summary of a proof without violations: after a run, or with `whole` after a validation.
pub(super) fn summary(manifest: &Manifest, whole: Option<Whole>) -> ValidationEntry {
    let config = &manifest.config;
    let (datasets, rows) =
        manifest.datasets().fold((0, 0), |(datasets, rows), (_, entry)| (datasets + 1, rows + entry.rows));
    let mut checks = vec![
        "schema, row counts and row groups are those of the manifest".to_owned(),
        "every dataset carries the version and settings of the manifest, its symbol and its thresholds".to_owned(),
        "row is strictly increasing".to_owned(),
        "classification_label is the number of boundaries not above price_movement".to_owned(),
        "split follows from row and the boundary time".to_owned(),
        "counts by class and split are those of the manifest".to_owned(),
        match &whole {
            Some(Whole { card_as_written: false, .. }) => format!("every file but {CARD} has the manifest's SHA-256"),
            _ => "every file has the manifest's SHA-256".to_owned(),
        },
    ];
    let mut not_checked = Vec::new();
    if config.columns == Columns::All {
        checks.push("ts_recv steps back no more often than the manifest says, and agrees with split".to_owned());
    } else {
        not_checked.push("the order of ts_recv: columns = \"book\" leaves it out".to_owned());
    }
    if config.force_uniform {
        checks.push("balanced marks are those of the definition".to_owned());
    }
    match (manifest.thresholds.fitted, config.drop_unbalanced) {
        (true, false) => checks.push(
            "nothing leaked: the exact quantiles of the fit rows are the boundaries, bit for bit; so are minimum, maximum and median"
                .to_owned(),
        ),
        (true, true) => not_checked
            .push("the boundaries: drop_unbalanced left most of the rows they were fitted on out of the files".to_owned()),
        (false, _) => {
            not_checked.push("the boundaries: they come from a thresholds file, fitted elsewhere".to_owned());
        }
    }
    match whole {
        Some(whole) => whole.tell(config, rows, &mut checks, &mut not_checked),
        None => not_checked
            .push("mid_price and price_movement, computed again from the quotes: lobset validate does that".to_owned()),
    }
    ValidationEntry { datasets, rows, checks, not_checked }
}

impl Whole {
    fn tell(&self, config: &Config, rows: u64, checks: &mut Vec<String>, not_checked: &mut Vec<String>) {
        checks.push("the manifest has the hash that it carries, and does not contradict itself".to_owned());
        if self.local {
            checks.push("the folder holds the files that the manifest names, and nothing else".to_owned());
        } else {
            not_checked
                .push("that nothing else lies in the folder: other runs may be at work in an object store".to_owned());
        }
        if !self.card_as_written {
            not_checked.push(format!("{CARD}: changed since the run, which is allowed"));
        }
        checks.push("symbol is that of the dataset, every quote is usable, and mid_price is its midpoint".to_owned());
        checks.push(format!(
            "price_movement follows from mid_price, bit for bit, in {} of {} rows",
            grouped(self.recomputed),
            grouped(rows)
        ));
        if !self.compared {
            not_checked.push("the inputs: --against INPUT compares their sizes and hashes".to_owned());
        }
        if self.all {
            return;
        }
        let left = rows - self.recomputed.min(rows);
        if !fits_memory(Lengths::new(config)) {
            not_checked.push(format!(
                "price_movement: its windows are longer than {} rows; --against INPUT computes it from the raw files",
                grouped(MOST_ROWS)
            ));
        } else if left > 0 {
            not_checked.push(format!(
                "price_movement of {} rows whose windows extend beyond the files: use --against INPUT --all",
                grouped(left)
            ));
        }
        let derived = if config.derived.is_empty() { "" } else { ", and the columns of derived" };
        not_checked.push(format!(
            "the event, and the book behind its best prices{derived}: --against INPUT --all compares them"
        ));
    }
}
