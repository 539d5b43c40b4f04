//! The steps from the raw rows to the label of one target.

use serde_json::{Value, json};

use super::super::definition::Marks;
use super::super::kinds::{Evaluator, RowAt, RowTime, Verdict, spans};
use super::super::raw::{Defined, Label};
use super::explanation::{ClassStep, MarkStep, MovementStep, SplitStep, StoredValue, TargetExplanation};
use super::stretch::Why;
use super::trail::Trail;
use crate::config::{Classes, Config, Target};
use crate::label::{Split, Thresholds};
use crate::output::{SymbolEntry, TargetEntry, names};
use crate::time_text::Timestamp;

/// What the explanation of a target depends on.
pub(super) struct Context<'a> {
    pub config: &'a Config,
    pub symbol: &'a SymbolEntry,
    pub thresholds: &'a Thresholds,
    pub trail: &'a Trail<'a>,
    /// The row.
    pub at: RowAt,
}

/// The label of a target, and its explanation.
pub(super) struct Explained {
    pub text: TargetExplanation,
    /// The label by the definition, if the row has one and the dataset labels of the target.
    pub defined: Option<Defined>,
}

impl Context<'_> {
    /// Explains the label of a target; `before` gives the number of rows before this one with a label of a split and
    /// class.
    pub(super) fn explain(
        &self,
        target: &Target,
        entry: &TargetEntry,
        verdict: Option<(&Verdict, &Evaluator)>,
        before: impl FnOnce(Split, usize) -> Option<u64>,
    ) -> Explained {
        let definition = target.to_string();
        let definition = definition.split_once('=').map_or("", |(_, text)| text).to_owned();
        let mut text = TargetExplanation {
            name: target.name.clone(),
            definition,
            steps: None,
            movement: None,
            class: None,
            end: None,
            split: None,
            mark: None,
            no_label: None,
        };
        let Some((verdict, evaluator)) = verdict else {
            let [behind, ahead] = spans(&target.movement);
            text.no_label = Some(Why { trail: self.trail, at: self.at, behind, ahead }.text());
            return Explained { text, defined: None };
        };
        text.steps = evaluator.steps(&|row| self.trail.row_time(row));
        text.movement = Some(movement(evaluator, verdict));
        text.end = Some(RowTime { row: verdict.end, time: Timestamp(verdict.end_ts) });
        let until = self.thresholds.fit_until.0;
        let boundaries = self.thresholds.boundaries(&target.name, &self.symbol.symbol);
        let boundaries = boundaries.map_or(&[][..], |b| b.values.as_slice());
        let Some(defined) = Defined::new(target, verdict, boundaries, self.at.ts, until) else {
            text.no_label = evaluator.kind().undefined();
            return Explained { text, defined: None };
        };
        text.split = Some(SplitStep {
            split: defined.split.name(),
            time: Timestamp(self.at.ts),
            end: Timestamp(verdict.end_ts),
        });
        if target.classes == Classes::Touch || !boundaries.is_empty() {
            let touch = target.classes == Classes::Touch;
            let boundary = |place: Option<usize>| place.and_then(|at| boundaries.get(at)).copied().filter(|_| !touch);
            text.class = Some(ClassStep {
                class: defined.class,
                classes: target.class_count(),
                at_least: boundary(defined.class.checked_sub(1)),
                below: boundary(Some(defined.class)),
            });
        }
        let Some(splits) = &entry.splits else {
            let reason = entry.reason.as_deref().or(self.symbol.reason.as_deref());
            text.no_label = Some(format!("the dataset has no labels of it: {}", reason.unwrap_or("unknown")));
            return Explained { text, defined: None };
        };
        if self.config.force_uniform {
            let counts = splits.of(defined.split).classes.as_slice();
            text.mark = Some(self.mark(&defined, counts, before));
        }
        Explained { text, defined: Some(defined) }
    }

    fn mark(&self, label: &Defined, counts: &[u64], before: impl FnOnce(Split, usize) -> Option<u64>) -> MarkStep {
        let marks = Marks::new(counts);
        let (c, k) = (counts.get(label.class).copied().unwrap_or(0), marks.k());
        let number = before(label.split, label.class).filter(|_| !self.config.drop_unbalanced).map(|rows| rows + 1);
        let mut step = MarkStep { balanced: None, class_rows: c, marked_rows: k, number, floors: None };
        if label.split == Split::Embargo {
            return MarkStep { balanced: Some(false), ..step };
        }
        if c <= k {
            return MarkStep { balanced: Some(true), ..step };
        }
        step.balanced = number.map(|j| marks.is_marked(label.class, j));
        step.floors = number.map(|j| [marks.floor(c, j - 1), marks.floor(c, j)]);
        step
    }
}

/// The fraction of a movement.
fn movement(evaluator: &Evaluator, verdict: &Verdict) -> MovementStep {
    let [numerator, denominator] = evaluator.kind().fraction().unwrap_or_default();
    let known = verdict.movement.map(|_| verdict.known);
    MovementStep { numerator, denominator, value: verdict.movement, known }
}

/// Compares the stored label of a target with the definition, value by value. `marked` is the mark by the definition,
/// if it is known.
pub(super) fn values(
    target: &Target,
    stored: Option<&Label>,
    defined: Option<&Defined>,
    marked: Option<bool>,
    has_marks: bool,
) -> Vec<StoredValue> {
    let value = |column: &str, found: Value, want: Value, agrees: bool| StoredValue {
        column: target.column(column),
        stored: found,
        computed: want,
        agrees,
    };
    let float = |label: Option<f64>| json!(label);
    let bits = |movement: Option<f64>| movement.map(f64::to_bits);
    let (found, want) = (stored.map(|label| label.movement), defined.map(|label| label.movement));
    let mut values = vec![value(names::PRICE_MOVEMENT, float(found), float(want), bits(found) == bits(want))];
    let mut same = |column: &str, found: Value, want: Value| {
        let agrees = found == want;
        values.push(value(column, found, want, agrees));
    };
    let class = stored.map(|label| i64::from(label.class));
    same(names::CLASSIFICATION_LABEL, json!(class), json!(defined.map(|label| label.class)));
    let split = stored.map(|label| label.split.map_or("unknown", Split::name));
    same(names::SPLIT, json!(split), json!(defined.map(|label| label.split.name())));
    if has_marks {
        let found = stored.and_then(|label| label.balanced);
        // An unknown mark agrees with any stored one.
        let want = defined.and(marked.or(found));
        same(names::BALANCED, json!(found), json!(want));
    }
    if let Some(label) = stored {
        if label.end.is_some() {
            same(names::LABEL_END, json!(label.end), json!(defined.map(|label| label.end)));
        }
        if let Some(touch) = label.touch {
            same(names::LABEL_TOUCH, json!(touch), json!(defined.and_then(|label| label.touch)));
        }
    }
    values
}
