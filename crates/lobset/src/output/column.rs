//! A column: its name, its kind, and where its values come from. The table of all columns is in `columns.rs`.

use std::fmt;

use arrow_schema::Field;

use super::kind::{Kind, NO_FLOAT, NO_LABEL};
use super::labels::{LabelField, TargetLabel};
use crate::input::Event;
use crate::tape::{Book, Level, Row, halves, level};

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A field of the record's event.
    Event,
    /// A field of one of the record's levels.
    Book,
    /// Computed from the book.
    Derived,
    /// Identifies the row.
    Key,
    /// The label, or derived from it. It depends on the future, so it is never a feature.
    Target,
}

/// Extracts a column's value from a `T`.
pub(crate) trait Value<T>: Sync {
    /// The value from one `T`.
    fn of(&self, from: &T) -> u64;

    /// Replaces `values` with the values from many `T`. Compiled for each column, so that a block takes only one
    /// dynamic call.
    fn fill(&self, from: &[T], values: &mut Vec<u64>);
}

impl<T, F: Fn(&T) -> u64 + Sync> Value<T> for F {
    fn of(&self, from: &T) -> u64 {
        self(from)
    }

    fn fill(&self, from: &[T], values: &mut Vec<u64>) {
        values.clear();
        values.extend(from.iter().map(self));
    }
}

/// The part of a book word that contains a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordPart {
    Whole,
    Low,
    High,
}

impl WordPart {
    #[inline(always)]
    pub(crate) fn of(self, word: u64) -> u64 {
        match self {
            Self::Whole => word,
            Self::Low => halves(word).0.into(),
            Self::High => halves(word).1.into(),
        }
    }
}

/// Where the values of a column come from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// The event.
    Event(&'static dyn Value<Event>),
    /// A word of the book.
    Book(usize, WordPart),
    /// A function of a level of the book.
    Level(usize, fn(&Level) -> u64),
    /// A function of a level of the book in the row before and in the row itself. The first row of an unbroken stretch
    /// has [`NO_FLOAT`].
    Change(usize, fn(&Level, &Level) -> u64),
    /// The symbol, the same for all rows.
    Symbol,
    /// The row's number in its symbol's stream.
    Row,
    /// A field of the label, for the target with this index.
    Label(usize, LabelField),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(_) => f.write_str("Event"),
            Self::Book(word, part) => f.debug_tuple("Book").field(word).field(part).finish(),
            Self::Level(level, _) => f.debug_tuple("Level").field(level).finish(),
            Self::Change(level, _) => f.debug_tuple("Change").field(level).finish(),
            Self::Symbol => f.write_str("Symbol"),
            Self::Row => f.write_str("Row"),
            Self::Label(target, field) => f.debug_tuple("Label").field(target).field(field).finish(),
        }
    }
}

/// An entry of the table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its level of the book, if any. Names of the same field differ between levels only in the last three characters.
    pub level: Option<usize>,
    /// What it is for.
    pub role: Role,
    /// The kind of its values.
    pub kind: Kind,
    /// Whether it may be null.
    pub nullable: bool,
    /// Its description: plain text that needs no escaping in Markdown.
    pub meaning: &'static str,
    pub(crate) source: Source,
    /// Whether values often repeat from row to row. Integers that do not are stored as differences, not as runs.
    pub(super) repeats: bool,
}

impl Column {
    pub(super) fn new(name: &str, role: Role, kind: Kind, source: Source, meaning: &'static str) -> Self {
        let nullable = kind.null().is_some();
        Self { name: name.to_owned(), level: None, role, kind, nullable, meaning, source, repeats: true }
    }

    /// Makes the column non-nullable.
    pub(super) fn required(self) -> Self {
        Self { nullable: false, ..self }
    }

    /// Marks the values as different from row to row.
    pub(super) fn varying(self) -> Self {
        Self { repeats: false, ..self }
    }

    /// The Arrow field.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.kind.data_type(), self.nullable)
    }

    /// True for numbers that a model may use as input.
    pub(crate) fn is_feature(&self) -> bool {
        matches!(self.role, Role::Event | Role::Book | Role::Derived) && self.kind.is_number()
    }

    /// The value in the row with this number and these labels, encoded as in [`Kind`]; 0 for the symbol. `before` is
    /// the book of the row before, if that row is in the same unbroken stretch.
    pub fn value(&self, row: &Row, before: Option<&Book>, number: u64, labels: &[Option<TargetLabel>]) -> u64 {
        match self.source {
            Source::Event(value) => value.of(&row.event),
            Source::Book(word, part) => part.of(row.book[word]),
            Source::Level(place, value) => value(level(&row.book, place)),
            Source::Change(place, value) => {
                before.map_or(NO_FLOAT, |before| value(level(before, place), level(&row.book, place)))
            }
            Source::Symbol => 0,
            Source::Row => number,
            Source::Label(target, field) => labels[target].map_or(NO_LABEL, |label| label.bits(field)),
        }
    }
}
