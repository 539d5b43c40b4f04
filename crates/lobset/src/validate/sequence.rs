//! Checks that need the row groups of a dataset in order.

use super::definition::{Lengths, Marks};
use super::facts::{Extent, GroupFacts};
use super::movement::{Recompute, fits_memory};
use super::violations::MOST_VIOLATIONS;
use crate::config::Config;
use crate::label::Split;
use crate::output::{DatasetEntry, SymbolEntry};

/// Checks the row groups of a dataset, one after the other.
pub(super) struct Sequence<'a> {
    entry: &'a DatasetEntry,
    steps_allowed: u64,
    unbalanced_kept: bool,
    /// The marks in `fit` and in `holdout`.
    marks: Option<[Marks<'a>; 2]>,
    last_row: Option<u64>,
    max_ts: u64,
    steps: u64,
    late: u64,
    counts: Vec<u64>,
    nbins: usize,
    recompute: Option<Recompute>,
    violations: Vec<String>,
}

impl<'a> Sequence<'a> {
    pub(super) fn new(config: &Config, symbol: &SymbolEntry, entry: &'a DatasetEntry, extent: Extent) -> Self {
        let lengths = Lengths::new(config);
        let recompute = (extent == Extent::Whole && fits_memory(lengths)).then(|| Recompute::new(lengths, symbol));
        let marks = || [&entry.splits.fit, &entry.splits.holdout].map(|split| Marks::new(&split.classes));
        let nbins = usize::from(config.nbins);
        Self {
            entry,
            steps_allowed: symbol.steps_back,
            unbalanced_kept: !config.drop_unbalanced,
            marks: config.force_uniform.then(marks),
            last_row: None,
            max_ts: 0,
            steps: 0,
            late: 0,
            counts: vec![0; 3 * nbins],
            nbins,
            recompute,
            violations: Vec::new(),
        }
    }

    /// Takes the facts of the next row group.
    pub(super) fn take(&mut self, facts: GroupFacts) {
        if facts.violations.is_empty()
            && let Some(recompute) = &mut self.recompute
        {
            recompute.take(&facts.row_numbers, &facts.mids, &facts.movements);
        }
        self.violations.extend(facts.violations);
        if let (Some(last), Some(first)) = (self.last_row, facts.first_row)
            && first <= last
        {
            self.violations.push(format!("row {first}: comes after row {last}"));
        }
        self.last_row = facts.last_row.or(self.last_row);
        self.late += facts.late;
        for ts in &facts.ts_recv {
            self.steps += u64::from(*ts < self.max_ts);
            self.max_ts = self.max_ts.max(*ts);
        }
        for (place, ((class, split), balanced)) in
            facts.classes.iter().zip(&facts.splits).zip(&facts.balanced).enumerate()
        {
            let (class, split) = (usize::from(*class), *split);
            if class >= self.nbins {
                continue; // Reported where the label was compared.
            }
            let count = &mut self.counts[split as usize * self.nbins + class];
            *count += 1;
            let Some([fit, holdout]) = &self.marks else { continue };
            // If only marked rows were written, a row's number within its class is unknown.
            let want = match split {
                Split::Fit if self.unbalanced_kept => fit.is_marked(class, *count),
                Split::Holdout if self.unbalanced_kept => holdout.is_marked(class, *count),
                Split::Embargo => false,
                _ => true,
            };
            if *balanced != want && self.violations.len() < MOST_VIOLATIONS {
                let row = facts.row_numbers[place];
                self.violations.push(format!("row {row}: balanced is {balanced}, but row {count} of class {class} in {split} is {want} by definition"));
            }
        }
    }

    /// Ends the dataset; returns the number of rows whose movement was recomputed, and the violations found.
    pub(super) fn finish(mut self) -> (u64, Vec<String>) {
        let mut recomputed = 0;
        // A damaged row also damages the windows that contain it.
        if self.violations.is_empty()
            && let Some(mut recompute) = self.recompute.take()
        {
            recompute.finish();
            recomputed = recompute.checked;
            self.violations.extend(recompute.violations);
        }
        // Violations of the whole dataset explain those of single rows, so they come first.
        let rows = std::mem::take(&mut self.violations);
        if self.steps > self.steps_allowed {
            self.violations.push(format!(
                "ts_recv steps back {} times, but the manifest counts {}",
                self.steps, self.steps_allowed
            ));
        }
        if self.late > self.steps_allowed {
            self.violations.push(format!(
                "{} holdout rows are before the boundary time, but the manifest counts only {} steps back",
                self.late, self.steps_allowed
            ));
        }
        for (place, (name, split)) in self.entry.splits.named().into_iter().enumerate() {
            let found = &self.counts[place * self.nbins..][..self.nbins];
            let want = if self.unbalanced_kept { &split.classes } else { &split.balanced };
            if found != want.as_slice() {
                self.violations.push(format!("{name}: rows by class are {found:?}, not {want:?} as the manifest says"));
            }
            if let Some(marks) = &self.marks
                && name != "embargo"
            {
                let marked = marks[usize::from(name == "holdout")].counts();
                if marked != split.balanced {
                    self.violations.push(format!(
                        "{name}: the manifest counts {:?} marked rows by class, but the definition gives {marked:?}",
                        split.balanced
                    ));
                }
            }
        }
        let file = self.entry.file.clone();
        self.violations.extend(rows);
        if self.violations.len() >= MOST_VIOLATIONS {
            self.violations.truncate(MOST_VIOLATIONS);
            self.violations.push("the list ends here; there may be more".to_owned());
        }
        (recomputed, self.violations.into_iter().map(|v| format!("{file}: {v}")).collect())
    }
}
