//! The table of columns. Schemas, the encoder, Arrow batches, the dataset card and the loaders use it: a column that is
//! not in it cannot be written. `validate/fields.rs` says independently which field of a record each column contains.

use super::column::{Column, Role, Source, WordPart};
use super::derived::{derived, mid2};
use super::kind::{Bits, Kind};
use super::labels::LabelField;
use crate::config::{Classes, Columns, Config, Derived, PriceType};
use crate::input::Event;
use crate::label::Split;
use crate::tape::BOOK_WORDS;

/// Names of columns that other code uses.
pub(crate) mod names {
    /// When Databento received the record.
    pub const TS_RECV: &str = "ts_recv";
    /// The time at the exchange.
    pub const TS_EVENT: &str = "ts_event";
    /// Databento's bit flags.
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
            ("px", 0, price, first, WordPart::Whole, "bid price of the level, best first"),
            ("px", 1, price, first + 1, WordPart::Whole, "ask price of the level, best first"),
            ("sz", 0, Kind::U32, first + 2, WordPart::Low, "size of the bids at that price"),
            ("sz", 1, Kind::U32, first + 2, WordPart::High, "size of the asks at that price"),
            ("ct", 0, Kind::U32, first + 3, WordPart::Low, "number of the bids at that price"),
            ("ct", 1, Kind::U32, first + 3, WordPart::High, "number of the asks at that price"),
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
        // A row is written if any target has a label for it.
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
