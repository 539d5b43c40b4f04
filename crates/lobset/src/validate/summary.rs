//! The summary of a proof without violations: what was checked, and what was not.

use super::movement::{MOST_ROWS, recomputed};
use crate::config::{Classes, Columns, Config};
use crate::output::{CARD, Manifest, SplitEntry, ValidationEntry, names};
use crate::printable::grouped;

/// Facts of a validation that are not in the manifest.
pub(super) struct Whole {
    pub recomputed: u64,
    pub card_as_written: bool,
    /// Whether the folder is local rather than in an object store.
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
        "schema, row counts and row groups match the manifest".to_owned(),
        "the metadata of every dataset matches the manifest, its symbol and its thresholds".to_owned(),
        "row is strictly increasing".to_owned(),
        "classification_label is the number of boundaries at or below price_movement".to_owned(),
        "split follows from row and the boundary time".to_owned(),
        "counts by class and split match the manifest".to_owned(),
        "the sums beside every dataset are of its columns and count its rows and their fit rows".to_owned(),
        match &whole {
            Some(Whole { card_as_written: false, .. }) => format!("every file but {CARD} has the manifest's SHA-256"),
            _ => "every file has the manifest's SHA-256".to_owned(),
        },
    ];
    let mut not_checked = Vec::new();
    if config.columns == Columns::All {
        checks.push("ts_recv steps back no more often than the manifest says, and agrees with split".to_owned());
    } else {
        not_checked.push("the order of ts_recv: columns = \"book\" omits it".to_owned());
    }
    if config.force_uniform {
        checks.push("balanced marks match the definition".to_owned());
    }
    match (manifest.thresholds.fitted, config.drop_unbalanced) {
        (true, false) => checks.push(
            "nothing leaked: the exact quantiles of the fit rows are the boundaries, bit for bit; so are minimum, maximum and median"
                .to_owned(),
        ),
        (true, true) => not_checked
            .push("the boundaries: drop_unbalanced omitted most of the rows that they were fitted on".to_owned()),
        (false, _) => {
            not_checked.push("the boundaries: they come from a thresholds file, fitted elsewhere".to_owned());
        }
    }
    let by_spread = config.all_targets().into_iter().filter(|target| matches!(target.classes, Classes::Spread { .. }));
    let by_spread: Vec<String> = by_spread.map(|target| target.name).collect();
    if !by_spread.is_empty() && whole.is_none() && manifest.thresholds.fitted && !config.drop_unbalanced {
        not_checked.push(format!(
            "the boundaries of {}, computed again from the spreads of the fit rows: lobset validate does that",
            by_spread.join(", ")
        ));
    }
    match whole {
        Some(whole) => whole.tell(config, movements(manifest), &mut checks, &mut not_checked),
        None => not_checked.extend([
            "mid_price and price_movement, computed again from the quotes: lobset validate does that".to_owned(),
            "known_share and known_accuracy: lobset validate --against INPUT --all computes them again".to_owned(),
            "sums: lobset validate forms those of the best prices again, and with --against INPUT --all those of all columns".to_owned(),
        ]),
    }
    ValidationEntry { datasets, rows, checks, not_checked }
}

/// Number of movements in the datasets.
fn movements(manifest: &Manifest) -> u64 {
    let written = |split: &SplitEntry| match manifest.config.drop_unbalanced {
        true => split.balanced.iter().sum(),
        false => split.rows,
    };
    let targets = manifest.datasets().flat_map(|(symbol, _)| symbol.splits());
    targets.flat_map(|(_, splits)| splits.named()).map(|(_, split)| written(split)).sum()
}

impl Whole {
    fn tell(&self, config: &Config, movements: u64, checks: &mut Vec<String>, not_checked: &mut Vec<String>) {
        checks.push("the manifest matches its own hash and does not contradict itself".to_owned());
        if self.local {
            checks.push("the folder contains the files that the manifest lists, and nothing else".to_owned());
        } else {
            not_checked.push(
                "that the folder contains nothing else: other runs may be writing to the object store".to_owned(),
            );
        }
        if !self.card_as_written {
            not_checked.push(format!("{CARD}: changed since the run, which is allowed"));
        }
        checks.push("symbol is that of the dataset, every quote is usable, and mid_price is its midpoint".to_owned());
        checks.push(format!(
            "price_movement follows from mid_price, bit for bit, in {} of {} labels",
            grouped(self.recomputed),
            grouped(movements)
        ));
        if !self.compared {
            not_checked.push("the inputs: --against INPUT compares their sizes and hashes".to_owned());
        }
        if self.all {
            checks.push("known_share and known_accuracy follow from the raw files".to_owned());
            checks.push("the sums of all columns, by input file, are those of the rows in the raw files".to_owned());
            return;
        }
        checks.push("the sums of the best prices and of mid_price are those of the rows".to_owned());
        not_checked.push(
            "the sums of other columns, and which rows come from which input: use --against INPUT --all".to_owned(),
        );
        let left = movements - self.recomputed.min(movements);
        if left > 0 {
            not_checked.push(format!(
                "known_share, and the part of {} labels in known_accuracy: use --against INPUT --all",
                grouped(left)
            ));
        }
        let long: Vec<String> = config
            .all_targets()
            .iter()
            .filter(|target| recomputed(target).is_none())
            .map(|target| target.column(names::PRICE_MOVEMENT))
            .collect();
        if !long.is_empty() {
            not_checked.push(format!(
                "{}: they depend on time or spread, or on more than {} rows; --against INPUT computes them from the raw files",
                long.join(", "),
                grouped(MOST_ROWS)
            ));
        } else if left > 0 {
            not_checked.push(format!(
                "price_movement of {} labels whose windows extend beyond the files: use --against INPUT --all",
                grouped(left)
            ));
        }
        let derived = if config.derived.is_empty() { "" } else { ", and the columns of derived" };
        not_checked.push(format!(
            "the event, and the book behind its best prices{derived}: --against INPUT --all compares them"
        ));
    }
}
