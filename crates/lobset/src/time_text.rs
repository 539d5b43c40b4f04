//! Points in time and durations, as text and as nanoseconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::error::ParseError;

/// Nanoseconds in an hour, and in a day.
pub(crate) const HOUR: u64 = 3_600_000_000_000;
pub(crate) const DAY: u64 = 24 * HOUR;

/// Nanoseconds since the UNIX epoch, UTC. As text: RFC 3339 with nine decimals; a bare date means its midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0))
            .map_err(|_| fmt::Error)?
            .format(&full)
            .map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_text(text).map_err(ParseError)
    }
}

impl Timestamp {
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let moment = match Date::parse(text, format_description!("[year]-[month]-[day]")) {
            Ok(date) => date.midnight().assume_utc(),
            Err(_) => OffsetDateTime::parse(text, &Rfc3339)
                .map_err(|_| format!("{text:?} is neither a date (2024-10-01) nor an RFC 3339 time"))?,
        };
        u64::try_from(moment.unix_timestamp_nanos())
            .map(Self)
            .map_err(|_| format!("{text:?} is before 1970 or after 2554"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Midnight (UTC) of a calendar date, in nanoseconds since the UNIX epoch; `None` before 1970.
pub(crate) fn midnight(date: Date) -> Option<u64> {
    u64::try_from(date.midnight().assume_utc().unix_timestamp_nanos()).ok()
}

/// The units of a duration, longest first, in nanoseconds.
pub(crate) const UNITS: [(&str, u64); 7] =
    [("d", DAY), ("h", HOUR), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];

/// A length of time in nanoseconds. As text: a whole number of the longest unit that divides it (`15m`, `1500ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Duration(pub u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, length): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*length);
        let (unit, length) = UNITS.iter().find(fits).unwrap_or(&("ns", 1));
        write!(f, "{}{unit}", self.0 / length)
    }
}

impl FromStr for Duration {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_text(text).map_err(ParseError)
    }
}

impl Duration {
    pub(crate) fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if digits.len() == text.len() && digits.parse::<u64>().is_ok() {
            return Err(format!("{text:?} has no unit: write {text}s, {text}m or {text}h"));
        }
        let unit = &text[digits.len()..];
        let length = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, length)| length);
        length
            .and_then(|length| digits.parse::<u64>().ok()?.checked_mul(*length))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a duration such as 500ms, 30s, 15m, 2h or 1d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_keep_every_nanosecond_through_text() {
        let t = Timestamp(1_712_102_400_123_456_789);
        assert_eq!(t.to_string(), "2024-04-03T00:00:00.123456789Z");
        assert_eq!(t.to_string().parse(), Ok(t));
        assert_eq!("2024-04-03".parse(), Ok(Timestamp(1_712_102_400_000_000_000)));
        assert!("yesterday".parse::<Timestamp>().is_err());
        assert!("1969-12-31".parse::<Timestamp>().is_err());
    }

    #[test]
    fn durations_have_units() {
        assert_eq!("15m".parse(), Ok(Duration(900_000_000_000)));
        assert_eq!("90".parse::<Duration>(), Err(ParseError("\"90\" has no unit: write 90s, 90m or 90h".to_owned())));
        for wrong in ["", "m", "-1m", "1.5h", "5 parsecs", "1y", "99999999999999999999d", "18446744073709551615us"] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_keep_every_nanosecond_through_text() {
        let texts =
            ["0ns", "1ns", "1001ns", "1500ms", "90s", "15m", "1h", "36h", "1d", "365d", "18446744073709551615ns"];
        for text in texts {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!(serde_json::to_string(&Duration(900_000_000_000)).unwrap(), "900000000000");
    }
}
