//! Times as places on an axis, and as periods.

use time::{Date, OffsetDateTime};

use crate::input::InputEntry;
use crate::time_text::{DAY, HOUR, Timestamp};

/// An axis of time.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    pub from: u64,
    pub to: u64,
}

impl Scale {
    /// The axis from the first to the last time of the input.
    pub fn of(inputs: &[InputEntry]) -> Self {
        let from = inputs.iter().filter_map(|input| input.first_ts).min().map_or(0, |ts| ts.0);
        let to = inputs.iter().filter_map(|input| input.last_ts).max().map_or(0, |ts| ts.0);
        Self { from, to }
    }

    /// The shortest time that a chart of prices shows as a gap.
    pub fn pause(&self) -> u64 {
        self.to.saturating_sub(self.from) / 100
    }

    /// The place of a time, 0 at the start and 1 at the end.
    pub fn place(&self, time: u64) -> f64 {
        let whole = self.to.saturating_sub(self.from).max(1) as f64;
        (time.saturating_sub(self.from) as f64 / whole).clamp(0.0, 1.0)
    }

    /// The periods of a chart of classes: hours, days or weeks, few enough to tell apart.
    pub fn period(&self) -> Period {
        match self.to.saturating_sub(self.from) / DAY {
            0..2 => Period::Hour,
            2..29 => Period::Day,
            29..1_500 => Period::Week,
            _ => Period::Month,
        }
    }
}

/// A period of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
}

impl Period {
    /// Its name, in the singular.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period of a time, as text that sorts like time.
    pub fn of(self, time: u64) -> String {
        let Some(date) = date(time) else { return Timestamp(time).to_string() };
        match self {
            Self::Hour => format!("{date} {:02}:00", time / HOUR % 24),
            Self::Day => date.to_string(),
            Self::Week => {
                let (year, week, _) = date.to_iso_week_date();
                format!("{year}, week {week:02}")
            }
            Self::Month => format!("{}-{:02}", date.year(), u8::from(date.month())),
        }
    }
}

fn date(time: u64) -> Option<Date> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time)).ok().map(OffsetDateTime::date)
}

/// A time as people read it: to the minute, UTC.
pub fn minute(time: u64) -> String {
    Timestamp(time).to_string().get(..16).map(|text| text.replace('T', " ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_named_and_sort_like_time() {
        let start = 1_712_102_400_000_000_000;
        assert_eq!(Period::Hour.of(start + DAY / 2), "2024-04-03 12:00");
        assert_eq!(Period::Day.of(start), "2024-04-03");
        assert_eq!(Period::Week.of(start), "2024, week 14");
        assert_eq!(Period::Month.of(start), "2024-04");
        assert_eq!(minute(start + HOUR + 61_000_000_000), "2024-04-03 01:01");
        let scale = |days| Scale { from: start, to: start + days * DAY };
        let periods = [1, 6, 60, 2_000].map(|days| scale(days).period().name());
        assert_eq!(periods, ["hour", "day", "week", "month"]);
        assert_eq!([start - 1, start, start + DAY, start + 9 * DAY].map(|t| scale(2).place(t)), [0.0, 0.0, 0.5, 1.0]);
    }
}
