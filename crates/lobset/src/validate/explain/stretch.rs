//! Why the windows of a row are not complete.

use super::super::definition::Break;
use super::super::kinds::{RowAt, Span};
use super::trail::{Trail, lacks};
use crate::printable::grouped;
use crate::time_text::{Duration, Timestamp};

/// A row whose windows are not complete: how far its label looks, and the stretch that is too short for it.
pub(super) struct Why<'a> {
    pub trail: &'a Trail<'a>,
    pub at: RowAt,
    pub behind: Span,
    pub ahead: Span,
}

/// Why a stretch begins, as part of a sentence about its first row.
pub(super) fn break_text(reason: Break) -> &'static str {
    match reason {
        Break::Instrument => "which belongs to another instrument than the row before",
        Break::Gap => "which comes after a gap longer than max_gap",
        Break::BadBook => "which comes after a record dropped for its bad book",
        Break::SessionEdge => "before which a session begins or ends (session_breaks)",
    }
}

/// A number of rows with its noun.
fn rows(number: u64) -> String {
    if number == 1 { "1 row".to_owned() } else { format!("{} rows", grouped(number)) }
}

impl Why<'_> {
    /// The reason, as one sentence.
    pub(super) fn text(&self) -> String {
        match self.trail.first {
            Some((first, reason)) if lacks(first, self.at, self.behind) => self.too_early(first, reason),
            _ => self.too_late(),
        }
    }

    /// The stretch begins too late for the window behind.
    fn too_early(&self, first: RowAt, reason: Option<Break>) -> String {
        let row = grouped(first.row);
        let begins = match reason {
            None => format!("the stream begins with row {row}"),
            Some(reason) => format!("its stretch begins with row {row}, {}", break_text(reason)),
        };
        match self.behind {
            Span::Rows(needed) => format!(
                "the window behind needs {} before the row in its stretch, which has {}: {begins}",
                rows(needed),
                grouped(self.at.row - first.row)
            ),
            Span::Time(time) => format!(
                "the window behind begins {} before the row, at {}, but {begins}, at {}",
                Duration(time),
                Timestamp(self.at.ts.saturating_sub(time)),
                Timestamp(first.ts)
            ),
        }
    }

    /// The stretch ends too early for what lies ahead.
    fn too_late(&self) -> String {
        let last = self.trail.last.unwrap_or(self.at);
        let ends = match self.trail.next {
            None => format!("the stream ends with row {}", grouped(last.row)),
            Some(reason) => format!(
                "its stretch ends with row {} before row {}, {}",
                grouped(last.row),
                grouped(last.row + 1),
                break_text(reason)
            ),
        };
        match self.ahead {
            Span::Rows(needed) => format!(
                "the label needs {} after the row in its stretch, which has {}: {ends}",
                rows(needed),
                grouped(last.row - self.at.row)
            ),
            Span::Time(time) => format!(
                "the label looks {} beyond the row, up to {}, but {ends}, at {}",
                Duration(time),
                Timestamp(self.at.ts.saturating_add(time)),
                Timestamp(last.ts)
            ),
        }
    }
}
