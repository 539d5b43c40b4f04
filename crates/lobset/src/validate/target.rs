//! Checks the labels of one target in a batch of a dataset.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, UInt64Type};
use arrow_array::{Array, BooleanArray, Float64Array, Int32Array, RecordBatch, UInt64Array};
use pulp::{Arch, NullaryFnOnce};

use super::definition::split_by_row;
use super::facts::{GroupFacts, LabelFacts, TargetFacts};
use super::fit_counts::FitCounts;
use super::kinds::rows_needed;
use crate::cast::low8;
use crate::config::{Classes, Target};
use crate::label::{Boundaries, Split};
use crate::output::{SymbolEntry, TargetEntry, names};

/// The expected labels of one target of a symbol.
pub(super) struct ExpectTarget<'a> {
    movement: String,
    class: String,
    split: String,
    balanced: String,
    end: String,
    touched: String,
    symbol: &'a SymbolEntry,
    /// `None` if no row has a label of the target.
    boundaries: Option<&'a [f64]>,
    /// Counts of no movements; `None` if movements are not counted.
    no_counts: Option<FitCounts>,
    /// The first row that is not `fit`.
    fit_end: u64,
    /// Whether the class follows from the touch of a barrier.
    touch: bool,
    /// Number of rows after a row at which its label ends, if labels end after a number of rows.
    reach: Option<u64>,
}

/// The label columns of a target in a batch.
struct Columns<'a> {
    movements: &'a Float64Array,
    classes: &'a Int32Array,
    keys: &'a Int32Array,
    /// The splits that the keys stand for.
    by_key: Vec<Option<Split>>,
    balanced: Option<&'a BooleanArray>,
    ends: Option<&'a UInt64Array>,
    touches: Option<&'a UInt64Array>,
    has_nulls: bool,
}

impl<'a> Columns<'a> {
    /// The columns; `None` if one has the wrong type.
    fn new(batch: &'a RecordBatch, target: &ExpectTarget<'_>) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name);
        let movements = column(&target.movement)?.as_primitive_opt::<Float64Type>()?;
        let classes = column(&target.class)?.as_primitive_opt::<Int32Type>()?;
        let splits = column(&target.split)?.as_dictionary_opt::<Int32Type>()?;
        let texts = splits.values().as_string_opt::<i32>()?;
        let balanced = column(&target.balanced).and_then(|c| c.as_boolean_opt());
        let numbers = |name: &str| column(name).and_then(|c| c.as_primitive_opt::<UInt64Type>());
        let ends = numbers(&target.end);
        let nulls = [Some(movements.null_count()), Some(classes.null_count()), Some(splits.null_count())];
        let nulls = nulls.into_iter().chain([balanced.map(Array::null_count), ends.map(Array::null_count)]);
        Some(Self {
            movements,
            classes,
            keys: splits.keys(),
            by_key: texts.iter().map(|name| name.and_then(Split::from_name)).collect(),
            balanced,
            ends,
            touches: numbers(&target.touched),
            has_nulls: nulls.flatten().any(|count| count > 0),
        })
    }

    fn is_null(&self, at: usize) -> bool {
        self.has_nulls && self.movements.is_null(at)
    }

    /// Whether any other column is null where the movement is not, or the other way round.
    fn contradict(&self, at: usize) -> bool {
        let others = || {
            let optional = [self.balanced.map(|c| c.is_null(at)), self.ends.map(|c| c.is_null(at))];
            [self.classes.is_null(at), self.keys.is_null(at)].into_iter().chain(optional.into_iter().flatten())
        };
        self.has_nulls && others().any(|null| null != self.movements.is_null(at))
    }

    fn split(&self, at: usize) -> Option<Split> {
        let key = usize::try_from(self.keys.value(at)).ok()?;
        self.by_key.get(key).copied().flatten()
    }

    /// Whether some rows are all in this split.
    fn are_in(&self, rows: Range<usize>, split: Split) -> bool {
        let key = self.by_key.iter().position(|of_key| *of_key == Some(split)).and_then(|key| i32::try_from(key).ok());
        rows.is_empty() || key.is_some_and(|key| self.keys.values()[rows].iter().fold(true, |all, k| all & (*k == key)))
    }
}

/// Number of rows that are classified at a time.
const PIECE: usize = 1024;

/// Sets the class of each movement: the number of boundaries that are not above it. It goes through the movements
/// boundary by boundary, which is several times as fast as one by one. Returns whether these are the stored classes, and
/// all movements are finite. Compiled for the instructions of this machine.
struct Classify<'a> {
    boundaries: &'a [f64],
    movements: &'a [f64],
    stored: &'a [i32],
    classes: &'a mut [i64],
}

impl NullaryFnOnce for Classify<'_> {
    type Output = bool;

    #[inline(always)]
    fn call(self) -> bool {
        let Self { boundaries, movements, stored, classes } = self;
        classes.fill(0);
        for boundary in boundaries {
            for (class, movement) in classes.iter_mut().zip(movements) {
                *class += i64::from(boundary <= movement);
            }
        }
        // Without a way out, the loop can compare several rows at a time.
        let rows = movements.iter().zip(stored).zip(classes);
        rows.fold(true, |right, ((movement, stored), class)| {
            right & movement.is_finite() & (i64::from(*stored) == *class)
        })
    }
}

impl<'a> ExpectTarget<'a> {
    /// The expected labels; without boundaries, no row has a label. `counts` says whether fit movements are counted.
    pub(super) fn new(
        target: &Target,
        symbol: &'a SymbolEntry,
        entry: &TargetEntry,
        boundaries: Option<&'a Boundaries>,
        counts: bool,
    ) -> Self {
        Self {
            movement: target.column(names::PRICE_MOVEMENT),
            class: target.column(names::CLASSIFICATION_LABEL),
            split: target.column(names::SPLIT),
            balanced: target.column(names::BALANCED),
            end: target.column(names::LABEL_END),
            touched: target.column(names::LABEL_TOUCH),
            symbol,
            boundaries: boundaries.map(|boundaries| boundaries.values.as_slice()),
            no_counts: boundaries.filter(|_| counts).map(|boundaries| FitCounts::new(target, boundaries)),
            fit_end: entry.fit_end,
            touch: target.classes == Classes::Touch,
            reach: rows_needed(&target.movement).map(|[_, after]| after),
        }
    }

    /// The facts of no rows.
    pub(super) fn no_facts(&self) -> TargetFacts {
        TargetFacts { fit_counts: self.no_counts.clone(), ..TargetFacts::default() }
    }

    /// Checks the labels of a batch with these row numbers, adds them to `mine`, and marks the rows that have one. Keeps
    /// the movements too, if they are wanted.
    pub(super) fn check(
        &self,
        (batch, rows): (&RecordBatch, &[u64]),
        mine: &mut TargetFacts,
        wants_movements: bool,
        labelled: &mut [bool],
        facts: &mut GroupFacts,
    ) {
        let Some(columns) = Columns::new(batch, self) else {
            facts.violation(0, || "a column has the wrong type".to_owned());
            return;
        };
        let first = mine.labels.len();
        mine.labels.reserve(rows.len());
        let mut classes = [0; PIECE];
        for (number, of_piece) in rows.chunks(PIECE).enumerate() {
            let piece = number * PIECE..number * PIECE + of_piece.len();
            let classes = &mut classes[..of_piece.len()];
            let boundaries = self.boundaries.unwrap_or_default();
            let (movements, stored) =
                (&columns.movements.values()[piece.clone()], &columns.classes.values()[piece.clone()]);
            let are_right = Arch::new().dispatch(Classify { boundaries, movements, stored, classes: &mut *classes });
            if are_right && self.take_if_right(&columns, rows, piece.clone(), classes, mine) {
                labelled[piece].fill(true);
                continue;
            }
            for (at, class) in piece.zip(&*classes) {
                let label = self.check_row(&columns, at, rows[at], *class, facts);
                labelled[at] |= label.is_some();
                mine.labels.push(label.unwrap_or(LabelFacts::NONE));
            }
        }
        let values = columns.movements.values();
        if wants_movements {
            let labels = values.iter().zip(&mine.labels[first..]);
            let movement = |(movement, label): (&f64, &LabelFacts)| match *label {
                LabelFacts::NONE => f64::NAN,
                _ => *movement,
            };
            mine.movements.extend(labels.map(movement));
        }
        let Some(counts) = &mut mine.fit_counts else { return };
        let fit_end = self.fit_end.min(self.symbol.boundary_row);
        let [first, last] = [rows.first(), rows.last()].map(|row| row.copied().unwrap_or_default());
        let ranges = &self.symbol.fitted_rows;
        let ranges = &ranges[ranges.partition_point(|[_, to]| *to <= first)..];
        for [from, to] in ranges.iter().take_while(|[from, _]| *from <= last) {
            let fitted = between(rows, *from, fit_end.min(*to));
            match columns.has_nulls {
                false => counts.extend(values[fitted].iter().copied()),
                true => counts.extend(fitted.filter(|at| !columns.is_null(*at)).map(|at| values[at])),
            }
        }
    }

    /// Takes the labels of rows, whose classes are right, if all of them are present and right; returns whether they are.
    fn take_if_right(
        &self,
        columns: &Columns<'_>,
        rows: &[u64],
        piece: Range<usize>,
        classes: &[i64],
        mine: &mut TargetFacts,
    ) -> bool {
        let plain = !columns.has_nulls && columns.ends.is_none() && !self.touch && self.boundaries.is_some();
        if !plain {
            return false;
        }
        let of_piece = &rows[piece.clone()];
        let boundary_row = self.symbol.boundary_row;
        let fit_end = self.fit_end.min(boundary_row);
        let [embargo, holdout] =
            [fit_end, boundary_row].map(|at| piece.start + of_piece.partition_point(|row| *row < at));
        let splits = [
            (Split::Fit, piece.start..embargo),
            (Split::Embargo, embargo..holdout),
            (Split::Holdout, holdout..piece.end),
        ];
        if !of_piece.is_sorted() || !splits.iter().all(|(split, rows)| columns.are_in(rows.clone(), *split)) {
            return false;
        }
        let first = mine.labels.len();
        for (split, rows) in splits {
            let classes = &classes[rows.start - piece.start..rows.end - piece.start];
            mine.labels.extend(classes.iter().map(|c| LabelFacts::new(low8(c.cast_unsigned()), split, false)));
        }
        if let Some(balanced) = columns.balanced {
            LabelFacts::mark(&mut mine.labels[first..], &balanced.values().slice(piece.start, piece.len()));
        }
        true
    }

    /// Checks the label of a row; `class` is the class of its movement.
    fn check_row(
        &self,
        columns: &Columns<'_>,
        at: usize,
        row: u64,
        class: i64,
        facts: &mut GroupFacts,
    ) -> Option<LabelFacts> {
        if columns.contradict(at) {
            facts.violation(row, || format!("only some of the columns of {} are null", self.movement));
        }
        if columns.is_null(at) {
            return None;
        }
        if self.boundaries.is_none() {
            facts.violation(row, || format!("has a {}, of which the manifest counts none", self.movement));
            return None;
        }
        let (movement, label) = (columns.movements.value(at), columns.classes.value(at));
        let class = match (self.touch, label) {
            (false, _) => class,
            // The sign shows which barrier was touched; only the raw files show whether one was.
            (true, 1) => 1,
            (true, _) => 2 * i64::from(movement > 0.0),
        };
        if !movement.is_finite() || i64::from(label) != class {
            facts.violation(row, || {
                format!("{} is {label}, but a movement of {movement:e} is class {class}", self.class)
            });
        }
        let want = split_by_row(row, self.fit_end, self.symbol.boundary_row);
        let split = columns.split(at);
        if split != Some(want) {
            let found = split.map_or("unknown", Split::name);
            facts.violation(row, || format!("{} is {found}, but it is {want} by its place", self.split));
        }
        if let Some(ends) = columns.ends {
            let touch = columns.touches.map(|touches| touches.is_valid(at).then(|| touches.value(at)));
            self.check_end((row, ends.value(at)), (label, touch), facts);
        }
        let balanced = columns.balanced.is_some_and(|balanced| balanced.value(at));
        Some(LabelFacts::new(u8::try_from(label).unwrap_or(u8::MAX), split.unwrap_or(want), balanced))
    }

    /// Checks where the label of a row ends, and the row of the touch if the target has touches.
    fn check_end(&self, (row, end): (u64, u64), (label, touch): (i32, Option<Option<u64>>), facts: &mut GroupFacts) {
        if self.reach.map_or(end < row, |reach| end != row + reach) || end >= self.symbol.rows {
            facts.violation(row, || format!("{} is {end}, which is not where its label ends", self.end));
        }
        let Some(touch) = touch else { return };
        if touch.is_some_and(|touch| touch <= row || touch > end) {
            facts.violation(row, || format!("{} is outside of its label", self.touched));
        }
        if (label == 1) != touch.is_none() {
            facts.violation(row, || format!("{} and {} contradict each other", self.class, self.touched));
        }
    }
}

/// The places of the rows from `from` up to `to`, provided that rows ascend.
fn between(rows: &[u64], from: u64, to: u64) -> Range<usize> {
    let [first, end] = [from, to].map(|at| rows.partition_point(|row| *row < at));
    first..end.max(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::validate::definition::class;

    proptest! {
        #[test]
        fn classes_are_those_of_the_definition(
            mut boundaries in prop::collection::vec((-9..9i32).prop_map(f64::from), 0..40),
            movements in prop::collection::vec(prop_oneof![(-9..9i32).prop_map(f64::from), Just(f64::NAN), any::<f64>()], 0..40),
            wrong: usize,
        ) {
            boundaries.sort_by(f64::total_cmp);
            let mut classes = vec![7; movements.len()];
            let want: Vec<i64> = movements.iter().map(|movement| class(&boundaries, *movement) as i64).collect();
            let mut stored: Vec<i32> = want.iter().map(|class| i32::try_from(*class).unwrap()).collect();
            let mut classify = |stored: &[i32]| {
                Classify { boundaries: &boundaries, movements: &movements, stored, classes: &mut classes }.call()
            };
            prop_assert_eq!(classify(&stored), movements.iter().all(|movement| movement.is_finite()));
            if let Some(stored) = stored.get_mut(wrong % movements.len().max(1)) {
                *stored += 1;
            }
            prop_assert!(!classify(&stored) || stored.is_empty());
            prop_assert_eq!(classes, want);
        }
    }
}
