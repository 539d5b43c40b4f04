//! Points in time and durations, as text and as nanoseconds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// Nanoseconds in a day.
pub(crate) const DAY: u64 = 86_400_000_000_000;

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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
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

/// Days since the UNIX epoch of a calendar date, as nanoseconds at its midnight; `None` before 1970.
pub(crate) fn midnight(date: Date) -> Option<u64> {
    u64::try_from(date.midnight().assume_utc().unix_timestamp_nanos()).ok()
}

/// Parses `"500ms"`, `"30s"`, `"15m"`, `"2h"`, `"1d"` or a plain number of seconds into nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration such as 500ms, 30s, 15m, 2h or 1d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => DAY,
        _ => return Err(wrong()),
    };
    let nanos = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)?;
    if nanos == 0 { Err("must be longer than zero".to_owned()) } else { Ok(nanos) }
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
        assert_eq!(parse_duration("15m"), Ok(900_000_000_000));
        assert_eq!(parse_duration("90"), Ok(90_000_000_000));
        assert!(parse_duration("0s").is_err());
        assert!(parse_duration("5 parsecs").is_err());
        assert!(parse_duration("99999999999999999999d").is_err());
    }
}
