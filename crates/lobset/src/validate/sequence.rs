//! Checks that need the row groups of a dataset in order.

use super::definition::{Marks, MarksInOrder, MarksOfClass};
use super::facts::{Extent, GroupFacts, TargetFacts};
use super::fit_counts::FitCounts;
use super::movement::Recompute;
use super::sums::SumsCheck;
use super::violations::MOST_VIOLATIONS;
use crate::config::{Classes, Config, Target};
use crate::label::{Split, Thresholds};
use crate::output::{DatasetEntry, SplitEntry, Splits3, SymbolEntry, TargetEntry, names};

/// Checks the row groups of a dataset, one after the other.
pub(super) struct Sequence<'a> {
    entry: &'a DatasetEntry,
    steps_allowed: u64,
    last_row: Option<u64>,
    max_ts: u64,
    steps: u64,
    late: u64,
    targets: Vec<TargetSequence<'a>>,
    /// `None` if its sums cannot be read.
    sums: Option<SumsCheck<'a>>,
    violations: Vec<String>,
}

/// The labels of one target of a dataset, in order.
struct TargetSequence<'a> {
    target: Target,
    /// `None` if no row has a label of the target.
    splits: Option<&'a Splits3<SplitEntry>>,
    unbalanced_kept: bool,
    /// The marks in `fit` and in `holdout`.
    marks: Option<[MarksInOrder<'a>; 2]>,
    /// Rows by split and class.
    counts: Vec<u64>,
    recompute: Option<Recompute>,
    /// Counts of the movements that the boundaries were fitted on.
    fit_counts: Option<FitCounts>,
    /// The rows whose spreads determine its boundaries, if spreads do and the quotes are read.
    spreads: Option<FitSpreads<'a>>,
}

/// Sums of spreads and of mid2 over the fit rows in the files that the thresholds were fitted on.
struct FitSpreads<'a> {
    /// Ranges of rows in these files.
    fitted_rows: &'a [[u64; 2]],
    sums: [i128; 2],
}

impl FitSpreads<'_> {
    /// Takes the next rows.
    fn take(&mut self, facts: &GroupFacts, target: &TargetFacts) {
        let rows = facts.row_numbers.iter().zip(&target.labels).zip(facts.spreads.iter().zip(&facts.mids));
        for ((row, label), (spread, mid2)) in rows {
            if label.is_fit() && self.fitted_rows.iter().any(|[from, to]| (from..to).contains(&row)) {
                self.sums[0] += spread;
                self.sums[1] += i128::from(*mid2);
            }
        }
    }
}

impl<'a> Sequence<'a> {
    pub(super) fn new(
        config: &Config,
        (symbol, entry): (&'a SymbolEntry, &'a DatasetEntry),
        sums: Option<SumsCheck<'a>>,
        thresholds: &Thresholds,
        extent: Extent,
    ) -> Self {
        let of_target = |(target, of): (Target, &'a TargetEntry)| {
            let splits = of.splits.as_ref();
            let marks = |splits: &'a Splits3<SplitEntry>| {
                [&splits.fit, &splits.holdout].map(|split| Marks::new(&split.classes).in_order())
            };
            let boundaries = thresholds.boundaries(&target.name, &symbol.symbol).map(|b| b.values.as_slice());
            let recompute = || Recompute::new(&target, symbol, of, boundaries.unwrap_or_default());
            TargetSequence {
                splits,
                unbalanced_kept: !config.drop_unbalanced,
                marks: splits.filter(|_| config.force_uniform).map(marks),
                counts: vec![0; 3 * target.class_count()],
                recompute: (extent == Extent::Whole).then(recompute).flatten(),
                fit_counts: None,
                spreads: (extent == Extent::Whole && matches!(target.classes, Classes::Spread { .. }))
                    .then_some(FitSpreads { fitted_rows: &symbol.fitted_rows, sums: [0; 2] }),
                target,
            }
        };
        Self {
            entry,
            steps_allowed: symbol.steps_back,
            last_row: None,
            max_ts: 0,
            steps: 0,
            late: 0,
            targets: config.all_targets().into_iter().zip(&symbol.targets).map(of_target).collect(),
            sums,
            violations: Vec::new(),
        }
    }

    /// Takes the facts of the next row group.
    pub(super) fn take(&mut self, facts: GroupFacts) {
        let sound = facts.violations.is_empty();
        self.violations.extend_from_slice(&facts.violations);
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
        if sound && let Some(sums) = &mut self.sums {
            sums.take_facts(&facts);
        }
        for (target, of) in self.targets.iter_mut().zip(&facts.targets) {
            if sound && let Some(recompute) = &mut target.recompute {
                recompute.take(&facts.row_numbers, &facts.mids, &of.movements);
            }
            match (&mut target.fit_counts, &of.fit_counts) {
                (Some(all), Some(counts)) => all.merge(counts),
                (all, counts) => *all = all.take().or_else(|| counts.clone()),
            }
            if let Some(spreads) = &mut target.spreads {
                spreads.take(&facts, of);
            }
            target.take(&facts.row_numbers, of, &mut self.violations);
        }
    }

    /// Counts of the movements that the boundaries of each target were fitted on.
    pub(super) fn take_fit_counts(&mut self) -> Vec<Option<FitCounts>> {
        let of_target = |target: &mut TargetSequence<'_>| {
            let mut counts = target.fit_counts.take()?;
            counts.spreads = target.spreads.as_ref().map(|spreads| spreads.sums);
            Some(counts)
        };
        self.targets.iter_mut().map(of_target).collect()
    }

    /// Ends the dataset; returns the number of movements that were recomputed, and the violations found.
    pub(super) fn finish(mut self) -> (u64, Vec<String>) {
        let mut recomputed = 0;
        // Sums over damaged rows would only repeat the violations.
        let sums = self.sums.take().filter(|_| self.violations.is_empty()).map(SumsCheck::finish);
        // A damaged row also damages the windows that contain it.
        if self.violations.is_empty() {
            for recompute in self.targets.iter_mut().filter_map(|target| target.recompute.take()) {
                let (checked, found) = recompute.finish();
                recomputed += checked;
                self.violations.extend(found);
            }
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
        self.targets.iter().for_each(|target| target.finish(&mut self.violations));
        let file = self.entry.file.clone();
        self.violations.extend(rows);
        if self.violations.len() >= MOST_VIOLATIONS {
            self.violations.truncate(MOST_VIOLATIONS);
            self.violations.push("the list ends here; there may be more".to_owned());
        }
        let of_rows = self.violations.into_iter().map(|v| format!("{file}: {v}"));
        (recomputed, of_rows.chain(sums.into_iter().flatten()).collect())
    }
}

impl TargetSequence<'_> {
    /// Takes the labels of the next rows.
    fn take(&mut self, mut rows: &[u64], facts: &TargetFacts, violations: &mut Vec<String>) {
        let nbins = self.target.class_count();
        for labels in facts.labels.chunk_by(|a, b| a.counts_like(*b)) {
            let rows = rows.split_off(..labels.len().min(rows.len())).unwrap_or_default();
            let Some((class, split)) = labels[0].class_and_split() else { continue };
            let class = usize::from(class);
            if class >= nbins {
                continue; // Reported where the label was compared.
            }
            let count = &mut self.counts[split as usize * nbins + class];
            let before = *count;
            *count += labels.len() as u64;
            let Some([fit, holdout]) = &mut self.marks else { continue };
            // If only marked rows were written, the number of a row within its class is unknown.
            let mut in_order = match split {
                Split::Fit if self.unbalanced_kept => Some(&mut fit.classes[class]),
                Split::Holdout if self.unbalanced_kept => Some(&mut holdout.classes[class]),
                _ => None,
            };
            // A copy can stay in registers.
            let mut marks = in_order.as_deref().cloned();
            for ((row, label), number) in rows.iter().zip(labels).zip(before + 1..) {
                let want = marks.as_mut().map_or(split != Split::Embargo, MarksOfClass::next);
                if label.is_balanced() != want && violations.len() < MOST_VIOLATIONS {
                    let column = self.target.column(names::BALANCED);
                    violations.push(format!(
                        "row {row}: {column} is {}, but row {number} of class {class} in {split} is {want} by definition",
                        !want
                    ));
                }
            }
            if let (Some(in_order), Some(marks)) = (&mut in_order, marks) {
                **in_order = marks;
            }
        }
    }

    /// Compares the counts with the manifest.
    fn finish(&self, violations: &mut Vec<String>) {
        let Some(splits) = self.splits else { return };
        let nbins = self.target.class_count();
        for of in Split::ALL {
            let (name, split) = (of.name(), splits.of(of));
            let found = &self.counts[of as usize * nbins..][..nbins];
            let want = if self.unbalanced_kept { &split.classes } else { &split.balanced };
            if found != want.as_slice() {
                let column = self.target.column(names::CLASSIFICATION_LABEL);
                violations.push(format!("{name}: rows by {column} are {found:?}, not {want:?} as the manifest says"));
            }
            if let Some(marks) = &self.marks
                && of != Split::Embargo
            {
                let marked = marks[usize::from(of == Split::Holdout)].marks.counts();
                if marked != split.balanced {
                    violations.push(format!(
                        "{name}: the manifest counts {:?} rows marked in {} by class, and the definition {marked:?}",
                        split.balanced,
                        self.target.column(names::BALANCED)
                    ));
                }
            }
        }
    }
}
