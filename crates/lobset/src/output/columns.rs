//! The table of columns. Schemas, the encoder, Arrow batches, the dataset card and the loaders use it: a column that is
//! not in it cannot be written. `validate/fields.rs` says independently which field of a record each column contains.

use std::fmt;

use arrow_schema::Field;

use super::derived::{imbalance, mid2, order_flow, spread, weighted_mid};
use super::kind::{Bits, Kind, NO_FLOAT, NO_LABEL};
use super::labels::{LabelField, TargetLabel};
use crate::config::{Classes, Columns, Config, Derived, PriceType};
use crate::input::Event;
use crate::label::Split;
use crate::tape::{BOOK_WORDS, Book, Level, Row, halves, level};

/// Names of columns that other code uses.
pub(crate) mod names {
    /// When Databento received the record.
    pub const TS_RECV: &str = "ts_recv";
    /// The time at the exchange.
    pub const TS_EVENT: &str = "ts_event";
    /// Databento's bits.
    pub const FLAGS: &str = "flags";
    /// The instrument's name.
    pub const SYMBOL: &str = "symbol";
    /// The row's number in its symbol's stream.
    pub const ROW: &str = "row";
    /// The mean of the best bid and the best ask.
    pub const MID_PRICE: &str = "mid_price";
    /// The movement that determines the class.
    pub const PRICE_MOVEMENT: &str = "price_movement";
    /// The class.
    pub const CLASSIFICATION_LABEL: &str = "classification_label";
    /// The side of the boundary time.
    pub const SPLIT: &str = "split";
    /// Whether the row belongs to the uniform subset.
    pub const BALANCED: &str = "balanced";
    /// The last row that a label may look at.
    pub const LABEL_END: &str = "label_end";
    /// The row of the first touch of a barrier.
    pub const LABEL_TOUCH: &str = "label_touch";

    /// The column of a level: `field` is `px`, `sz` or `ct`, `side` is 0 for bids and 1 for asks.
    pub fn of_level(field: &str, side: usize, level: usize) -> String {
        format!("{}_{field}_{level:02}", ["bid", "ask"][side])
    }
}

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

    /// Replaces `values` with those from many. Compiled for each column, so that there is one dynamic call per block.
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
pub(crate) enum Part {
    Whole,
    Low,
    High,
}

impl Part {
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
    Book(usize, Part),
    /// A function of a level of the book.
    Level(usize, fn(&Level) -> u64),
    /// A function of a level of the book in the row before and in the row itself. A row that follows no row of its
    /// unbroken stretch has [`NO_FLOAT`].
    Change(usize, fn(&Level, &Level) -> u64),
    /// The symbol, the same for all rows.
    Symbol,
    /// The row's number in its symbol's stream.
    Row,
    /// A field of the label of the target with this place.
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
    fn new(name: &str, role: Role, kind: Kind, source: Source, meaning: &'static str) -> Self {
        let nullable = kind.null().is_some();
        Self { name: name.to_owned(), level: None, role, kind, nullable, meaning, source, repeats: true }
    }

    /// Makes the column non-nullable.
    fn required(self) -> Self {
        Self { nullable: false, ..self }
    }

    /// Marks the values as different from row to row.
    fn varying(self) -> Self {
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

    /// The value in the row with this number and these labels, encoded as in [`Kind`]; 0 for the symbol. `before` is the book of the row before, if
    /// the row's unbroken stretch has one.
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

/// A column named after its field of [`Event`].
macro_rules! event {
    ($field:ident, $kind:expr, $meaning:expr) => {
        Column::new(
            stringify!($field),
            Role::Event,
            $kind,
            Source::Event(&|event: &Event| event.$field.bits()),
            $meaning,
        )
    };
}

impl Bits for Split {
    fn bits(self) -> u64 {
        self as u64
    }
}

/// The table for given settings, in the column order of the files. `ts_out` says whether the input has gateway stamps.
pub(crate) fn columns(config: &Config, ts_out: bool) -> Vec<Column> {
    let price = match config.price_type {
        PriceType::Float => Kind::FloatPrice,
        PriceType::Fixed => Kind::FixedPrice,
    };
    let ts_event = event!(ts_event, Kind::Time, "when the event happened at the exchange");
    let mut columns = match config.columns {
        Columns::Book => vec![ts_event],
        Columns::All => vec![event!(ts_recv, Kind::Time, "when Databento received the record").required(), ts_event],
    };
    if config.columns == Columns::All {
        let meaning = "when Databento's live gateway sent the record; null in rows of files without this stamp";
        columns.extend(ts_out.then(|| event!(ts_out, Kind::Time, meaning)));
        columns.extend([
            event!(publisher_id, Kind::U16, "the publisher: dataset and venue"),
            event!(instrument_id, Kind::U32, "the instrument, unique within its day"),
            event!(action, Kind::Letter, "A add, C cancel, M modify, R clear, T trade, F fill, N none"),
            event!(side, Kind::Letter, "the side that caused the event: A ask, B bid, N none"),
            event!(depth, Kind::U8, "the level that the event changed"),
            event!(price, price, "the event's price"),
            event!(size, Kind::U32, "the event's size"),
            event!(flags, Kind::U8, "Databento's bits: end of event, quality of the data"),
            event!(ts_in_delta, Kind::I32, "nanoseconds from the venue's send time to ts_recv").varying(),
            event!(sequence, Kind::U32, "the venue's message number").varying(),
        ]);
    }
    for level in 0..BOOK_WORDS / 4 {
        let first = 4 * level;
        let fields = [
            ("px", 0, price, first, Part::Whole, "bid price of the level, best first"),
            ("px", 1, price, first + 1, Part::Whole, "ask price of the level, best first"),
            ("sz", 0, Kind::U32, first + 2, Part::Low, "size of the bids at that price"),
            ("sz", 1, Kind::U32, first + 2, Part::High, "size of the asks at that price"),
            ("ct", 0, Kind::U32, first + 3, Part::Low, "number of the bids at that price"),
            ("ct", 1, Kind::U32, first + 3, Part::High, "number of the asks at that price"),
        ];
        columns.extend(fields.map(|(field, side, kind, word, part, meaning)| {
            let name = names::of_level(field, side, level);
            let source = Source::Book(word, part);
            Column { level: Some(level), ..Column::new(&name, Role::Book, kind, source, meaning) }
        }));
    }
    columns.push(Column::new(names::SYMBOL, Role::Key, Kind::Symbol, Source::Symbol, "the instrument's name"));
    columns.extend(Derived::ALL.iter().filter(|wanted| config.derived.contains(wanted)).flat_map(|of| derived(*of)));
    columns.extend([
        Column::new(
            names::ROW,
            Role::Key,
            Kind::U64,
            Source::Row,
            "the row's number in the symbol's whole stream, from 0",
        ),
        Column::new(
            names::MID_PRICE,
            Role::Derived,
            Kind::Mid,
            Source::Level(0, mid2),
            "(best bid + best ask) / 2, in price units",
        ),
    ]);
    let targets = config.all_targets();
    for (place, target) in targets.iter().enumerate() {
        let label = |name: &str, field: LabelField, kind: Kind, meaning: &'static str| {
            Column::new(&target.column(name), Role::Target, kind, Source::Label(place, field), meaning)
        };
        let meaning = target.movement.meaning();
        let class = match target.classes {
            Classes::Touch => "the class: 0 if the lower barrier is touched first, 1 neither, 2 the upper one",
            _ => "the class: the number of boundaries at or below the movement",
        };
        let mut of_target = vec![
            label(names::PRICE_MOVEMENT, LabelField::Movement, Kind::Float, meaning).varying(),
            label(names::CLASSIFICATION_LABEL, LabelField::Class, Kind::I32, class),
            label(names::SPLIT, LabelField::Split, Kind::Name(&Split::NAMES), "fit, embargo or holdout"),
        ];
        if config.force_uniform {
            let meaning = "whether the row is in the uniform subset of its split";
            of_target.push(label(names::BALANCED, LabelField::Balanced, Kind::Bool, meaning));
        }
        if config.label_end {
            let meaning = "the last row that the label may look at";
            of_target.push(label(names::LABEL_END, LabelField::End, Kind::U64, meaning));
        }
        // A row is written if any target has a label there.
        let nullable = targets.len() > 1;
        columns.extend(of_target.into_iter().map(|column| Column { nullable, ..column }));
        if config.label_end && target.movement.rule().touches() {
            let meaning = "the row of the first touch of a barrier";
            let touch = label(names::LABEL_TOUCH, LabelField::Touch, Kind::U64, meaning);
            columns.push(Column { nullable: true, ..touch });
        }
    }
    columns
}

/// The columns of an entry of the setting `derived`.
fn derived(of: Derived) -> Vec<Column> {
    let column =
        |source: Source, meaning: &'static str| Column::new(of.name(), Role::Derived, Kind::Float, source, meaning);
    let of_level = |source: Source, meaning: &'static str, level: usize| {
        let name = format!("{}_{level:02}", of.name());
        Column { name, level: Some(level), ..column(source, meaning) }
    };
    let levels = 0..BOOK_WORDS / 4;
    match of {
        Derived::Spread => vec![column(Source::Level(0, spread), "best ask - best bid, in price units")],
        Derived::WeightedMid => {
            let meaning = "the best prices, each weighted by the size on the other side, in price units";
            vec![column(Source::Level(0, weighted_mid), meaning)]
        }
        Derived::Imbalance => {
            let meaning = "(bid size - ask size) / (bid size + ask size) of the level";
            levels.map(|level| of_level(Source::Level(level, imbalance), meaning, level)).collect()
        }
        Derived::Ofi => {
            let meaning = "order flow imbalance of the level since the row before";
            levels.map(|level| of_level(Source::Change(level, order_flow), meaning, level)).collect()
        }
    }
}

/// The columns of a file's records: all fields of a record, whether or not it could be a row, and its symbol. Unlike
/// rows, records may lack `ts_recv`, and their instruments may lack a symbol.
pub(crate) fn record_columns(ts_out: bool) -> Vec<Column> {
    let config = Config { columns: Columns::All, price_type: PriceType::Float, ..Config::default() };
    let mut columns = columns(&config, ts_out);
    columns.retain(|column| matches!(column.source, Source::Event(_) | Source::Book(..) | Source::Symbol));
    for column in &mut columns {
        column.nullable |= matches!(column.kind, Kind::Time | Kind::Symbol);
    }
    columns
}
