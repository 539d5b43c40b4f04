//! The labels of consecutive rows, stored by field, as their columns need them.

use super::kind::{Bits, NO_LABEL};
use crate::label::Split;

/// The label of a row for one target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetLabel {
    /// Its movement.
    pub movement: f64,
    /// Its class.
    pub class: u8,
    /// Its side of the boundary time.
    pub split: Split,
    /// Whether it belongs to the uniform subset.
    pub balanced: bool,
    /// The last row that it may look at.
    pub end: u64,
    /// The row of the first touch of a barrier.
    pub touch: Option<u64>,
}

/// A field of a label. `End` and `Touch` come last: they are stored only with `label_end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LabelField {
    Movement,
    Class,
    Split,
    Balanced,
    End,
    Touch,
}

/// Number of fields of a label.
const FIELDS: usize = 6;

impl TargetLabel {
    /// The value of a field as the 64 bits of its column.
    pub(crate) fn bits(&self, field: LabelField) -> u64 {
        match field {
            LabelField::Movement => self.movement.bits(),
            LabelField::Class => self.class.bits(),
            LabelField::Split => self.split.bits(),
            LabelField::Balanced => self.balanced.bits(),
            LabelField::End => self.end.bits(),
            LabelField::Touch => self.touch.bits(),
        }
    }
}

/// The labels of consecutive rows for one target, each field as the bits of its column. If a row has no label, all its
/// fields have the bits of NaN.
#[derive(Debug, Clone)]
pub struct LabelBlock {
    /// By [`LabelField`].
    fields: [Vec<u64>; FIELDS],
    /// Number of fields that are stored; the others are empty.
    stored: usize,
}

impl LabelBlock {
    /// No labels. The fields `End` and `Touch` are stored only with `label_end`.
    pub(crate) fn new(label_end: bool) -> Self {
        Self { fields: Default::default(), stored: if label_end { FIELDS } else { LabelField::End as usize } }
    }

    /// Removes all rows.
    pub(crate) fn clear(&mut self) {
        self.fields.iter_mut().for_each(Vec::clear);
    }

    /// Appends rows without labels, and returns their fields.
    pub(crate) fn extend(&mut self, rows: usize) -> [&mut [u64]; FIELDS] {
        for field in &mut self.fields[..self.stored] {
            field.resize(field.len() + rows, NO_LABEL);
        }
        self.fields.each_mut().map(|field| {
            let before = field.len().saturating_sub(rows);
            &mut field[before..]
        })
    }

    /// The values of a field.
    pub(crate) fn of(&self, field: LabelField) -> &[u64] {
        &self.fields[field as usize]
    }

    /// Keeps the rows for which `wanted` is true.
    pub(crate) fn retain(&mut self, wanted: &[bool]) {
        for field in &mut self.fields {
            let mut wanted = wanted.iter();
            field.retain(|_| wanted.next().is_some_and(|wanted| *wanted));
        }
    }
}

impl FromIterator<Option<TargetLabel>> for LabelBlock {
    fn from_iter<T: IntoIterator<Item = Option<TargetLabel>>>(labels: T) -> Self {
        use LabelField::{Balanced, Class, End, Movement, Split, Touch};
        let mut block = Self::new(true);
        for label in labels {
            for field in [Movement, Class, Split, Balanced, End, Touch] {
                block.fields[field as usize].push(label.map_or(NO_LABEL, |label| label.bits(field)));
            }
        }
        block
    }
}
