//! Compares the labels of a dataset with those of its raw stream, which is read row by row.

use std::collections::VecDeque;

use super::kinds::{Evaluator, Verdict};
use super::known::KnownParts;
use super::raw::Label;
use super::raw_row::RawRow;
use super::violations::Violations;
use crate::config::Target;
use crate::label::Thresholds;
use crate::output::{SymbolEntry, names};

/// The labels of all targets of a dataset.
pub(super) struct Labels<'a> {
    file: &'a str,
    targets: Vec<TargetLabels<'a>>,
}

/// The labels of one target, and what computes them.
struct TargetLabels<'a> {
    check: Check<'a>,
    evaluator: Evaluator,
}

/// The stored labels of one target.
struct Check<'a> {
    target: Target,
    boundaries: &'a [f64],
    /// The boundary time T.
    until: u64,
    /// Whether every row that can have a label should have one.
    all: bool,
    /// The known parts of all rows that have a label, if the whole stream is compared.
    known: Option<KnownParts>,
    /// The rows from which on rows are within or outside the sessions, each with which of the two it is. Starts with
    /// the oldest row whose label is not known.
    sessions: VecDeque<(u64, bool)>,
    /// Stored labels whose windows are not complete, each with the running maximum of `ts_recv` at its row.
    open: VecDeque<(Label, u64)>,
}

impl<'a> Labels<'a> {
    /// Labels of a symbol. With `all`, the dataset holds every row that has a label, and all of them will be stored.
    /// With `count_known`, the known parts in the manifest are checked at the end.
    pub(super) fn new(
        file: &'a str,
        targets: &[Target],
        symbol: &SymbolEntry,
        thresholds: &'a Thresholds,
        (all, count_known): (bool, bool),
    ) -> Self {
        let of_target = |(target, entry): (&Target, &crate::output::TargetEntry)| {
            let boundaries = thresholds.boundaries(&target.name, &symbol.symbol);
            let boundaries = boundaries.map_or(&[][..], |b| b.values.as_slice());
            let check = Check {
                target: target.clone(),
                boundaries,
                until: thresholds.fit_until.0,
                all: all && entry.splits.is_some(),
                known: count_known.then(|| KnownParts::new(target, symbol, entry, boundaries)).flatten(),
                sessions: VecDeque::new(),
                open: VecDeque::new(),
            };
            TargetLabels { check, evaluator: Evaluator::new(&target.movement) }
        };
        Self { file, targets: targets.iter().zip(&symbol.targets).map(of_target).collect() }
    }

    /// Takes the next row of the raw stream, and the labels stored for it, if any, by target.
    pub(super) fn take(
        &mut self,
        raw: &RawRow<'_>,
        stored: impl Iterator<Item = Option<Label>>,
        violations: &mut Violations,
    ) {
        if raw.breaks.is_some() {
            self.end_stretch(raw.row, violations);
        }
        for (target, label) in self.targets.iter_mut().zip(stored) {
            target.check.open.extend(label.map(|label| (label, raw.max_ts)));
        }
        for target in &mut self.targets {
            let sessions = &mut target.check.sessions;
            if sessions.back().is_none_or(|(_, inside)| *inside != raw.in_session) {
                sessions.push_back((raw.row, raw.in_session));
            }
        }
        let row = raw.at();
        for target in &mut self.targets {
            let TargetLabels { check, evaluator } = target;
            evaluator.kind_mut().push(row, &mut |verdict| check.compare(self.file, &verdict, violations));
        }
    }

    /// Ends the stream.
    pub(super) fn finish(mut self, violations: &mut Violations) {
        self.end_stretch(0, violations);
        for known in self.targets.iter().filter_map(|target| target.check.known.as_ref()) {
            known.violations().into_iter().for_each(|text| violations.add(|| format!("{}: {text}", self.file)));
        }
    }

    /// Ends the stretch: rows with incomplete windows should have no label. `next` is the first row of the next one.
    fn end_stretch(&mut self, next: u64, violations: &mut Violations) {
        for target in &mut self.targets {
            let TargetLabels { check, evaluator } = target;
            evaluator.kind_mut().restart(next, &mut |verdict| check.compare(self.file, &verdict, violations));
            for (label, _) in check.open.drain(..) {
                violations
                    .add(|| format!("{}: row {}: its stretch ends within its future window", self.file, label.row));
            }
        }
    }
}

impl Check<'_> {
    /// Compares the label of a row, if it is stored, with the definition.
    fn compare(&mut self, file: &str, verdict: &Verdict, violations: &mut Violations) {
        let Self { target, boundaries, until, all, known, sessions, open } = self;
        while let Some((label, _)) = open.front().filter(|(label, _)| label.row < verdict.row) {
            let (row, column) = (label.row, target.column(names::PRICE_MOVEMENT));
            violations.add(|| format!("{file}: row {row}: has a {column}, but its windows are not complete"));
            open.pop_front();
        }
        while sessions.get(1).is_some_and(|(from, _)| *from <= verdict.row) {
            sessions.pop_front();
        }
        let in_session = sessions.front().is_none_or(|(_, inside)| *inside);
        if let (Some(known), Some(movement), true) = (known.as_mut(), verdict.movement, in_session) {
            known.add(verdict.row, movement, verdict.known, verdict.touch.is_some());
        }
        let stored = open.front().is_some_and(|(label, _)| label.row == verdict.row);
        match stored.then(|| open.pop_front()).flatten() {
            Some((label, own_ts)) => {
                if let Err(reason) = label.compare(target, verdict, boundaries, own_ts, *until) {
                    violations.add(|| format!("{file}: row {}: {reason}", label.row));
                }
            }
            None if *all && in_session && verdict.movement.is_some() => {
                let (row, column) = (verdict.row, target.column(names::PRICE_MOVEMENT));
                violations.add(|| format!("{file}: row {row}: can have a {column}, but has none"));
            }
            None => {}
        }
    }
}
