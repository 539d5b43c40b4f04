//! Trading sessions: hours of the day in a time zone, on some days of the week.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values::{SettingValue, ValueKind};
use crate::error::ParseError;

/// A trading session. As text: `08:30-15:00 America/Chicago mon-fri`.
///
/// Hours are clock times in the time zone, with seconds if needed. The session includes the first time and ends before
/// the second. If the second is not after the first, the session ends on the next day: `17:00-16:00` lasts 23 hours,
/// and `00:00-00:00` the whole day. Days are the days on which it begins: one (`sat`) or a range (`sun-thu`), by
/// default all seven.
///
/// The time zone is a name from the IANA database. lobset has its own copy, so that results do not depend on the
/// machine. If clocks show an hour twice, the first is meant; a time that clocks skip is moved later by the length of
/// the skip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    open: Time,
    close: Time,
    zone: TimeZone,
    first: Weekday,
    last: Weekday,
}

/// An example for messages.
const EXAMPLE: &str = "08:30-15:00 America/Chicago mon-fri";

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Session {
    /// When it begins, by the clocks of its time zone.
    pub(crate) fn open(&self) -> Time {
        self.open
    }

    /// When it ends, by the clocks of its time zone.
    pub(crate) fn close(&self) -> Time {
        self.close
    }

    /// Its time zone.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether it begins on this day.
    pub(crate) fn begins_on(&self, date: Date) -> bool {
        let from_first = |day: Weekday| (i16::from(day as i8) - i16::from(self.first as i8)).rem_euclid(7);
        from_first(date.weekday()) <= from_first(self.last)
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Time| match time.second() {
            0 => format!("{:02}:{:02}", time.hour(), time.minute()),
            second => format!("{:02}:{:02}:{second:02}", time.hour(), time.minute()),
        };
        let name = |day: Weekday| WEEKDAYS.iter().find(|(_, of)| *of == day).map_or("", |(name, _)| name);
        let zone = self.zone.iana_name().unwrap_or_default();
        write!(f, "{}-{} {zone} {}", time(self.open), time(self.close), name(self.first))?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", name(self.last)) }
    }
}

impl FromStr for Session {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_text(text).map_err(ParseError)
    }
}

impl Session {
    fn from_text(text: &str) -> Result<Self, String> {
        parse(text).map_err(|reason| format!("{text:?} is not a session such as {EXAMPLE:?}: {reason}"))
    }
}

fn parse(text: &str) -> Result<Session, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (hours, zone, days) = match parts[..] {
        [hours, zone] => (hours, zone, "mon-sun"),
        [hours, zone, days] => (hours, zone, days),
        _ => return Err("it is not hours, a time zone and days".to_owned()),
    };
    let (open, close) = hours.split_once('-').ok_or_else(|| format!("{hours:?} is not two times of the day"))?;
    let found = TimeZoneDatabase::bundled().get(zone).ok().filter(|zone| zone.iana_name() != Some("Etc/Unknown"));
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    Ok(Session {
        open: time(open)?,
        // The day ends where the next one begins.
        close: if close == "24:00" { Time::midnight() } else { time(close)? },
        zone: found
            .filter(|zone| zone.iana_name().is_some())
            .ok_or_else(|| format!("{zone:?} is not a time zone of the IANA database"))?,
        first: weekday(first)?,
        last: weekday(last)?,
    })
}

fn time(text: &str) -> Result<Time, String> {
    let wrong = || format!("{text:?} is not a time of the day such as 08:30");
    let digits = |part: &str| match part.as_bytes() {
        [a, b] if a.is_ascii_digit() && b.is_ascii_digit() => part.parse::<i8>().ok(),
        _ => None,
    };
    let parts: Option<Vec<i8>> = text.split(':').map(digits).collect();
    let (hour, minute, second) = match parts.as_deref() {
        Some([hour, minute]) => (*hour, *minute, 0),
        Some([hour, minute, second]) => (*hour, *minute, *second),
        _ => return Err(wrong()),
    };
    Time::new(hour, minute, second, 0).map_err(|_| wrong())
}

fn weekday(text: &str) -> Result<Weekday, String> {
    let found = WEEKDAYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, day)| *day);
    found.ok_or_else(|| format!("{text:?} is not one of {}", WEEKDAYS.map(|(name, _)| name).join(", ")))
}

impl Serialize for Session {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Session {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl SettingValue for Session {
    const KIND: ValueKind = ValueKind::Session;

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn toml(&self) -> String {
        format!("{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written() {
        for (text, written) in [
            ("08:30-15:00 America/Chicago mon-fri", "08:30-15:00 America/Chicago mon-fri"),
            ("17:00-16:00 america/chicago SUN-thu", "17:00-16:00 America/Chicago sun-thu"),
            ("00:00-24:00  UTC", "00:00-00:00 UTC mon-sun"),
            ("09:00:30-09:00:31 Europe/Berlin sat", "09:00:30-09:00:31 Europe/Berlin sat"),
        ] {
            let session: Session = text.parse().unwrap();
            assert_eq!(session.to_string(), written);
            assert_eq!(written.parse(), Ok(session));
        }
    }

    #[test]
    fn what_is_no_session_is_refused_with_an_example() {
        for (text, reason) in [
            ("", "it is not hours, a time zone and days"),
            ("08:30-15:00", "it is not hours, a time zone and days"),
            ("08:30-15:00 UTC mon fri", "it is not hours, a time zone and days"),
            ("08:30 UTC", "\"08:30\" is not two times of the day"),
            ("8:30-15:00 UTC", "\"8:30\" is not a time of the day"),
            ("08:30-25:00 UTC", "\"25:00\" is not a time of the day"),
            ("24:00-08:00 UTC", "\"24:00\" is not a time of the day"),
            ("08:30-+1:00 UTC", "\"+1:00\" is not a time of the day"),
            ("08:30-15:00 Chicago", "\"Chicago\" is not a time zone"),
            ("08:30-15:00 Etc/Unknown", "\"Etc/Unknown\" is not a time zone"),
            ("08:30-15:00 ../../etc/passwd", "is not a time zone"),
            ("08:30-15:00 UTC mon-", "\"\" is not one of mon, tue"),
            ("08:30-15:00 UTC weekdays", "\"weekdays\" is not one of mon, tue"),
        ] {
            let error = text.parse::<Session>().unwrap_err();
            assert!(error.0.contains(reason) && error.0.contains(EXAMPLE), "{text}: {error}");
        }
    }

    #[test]
    fn days_are_those_from_the_first_to_the_last() {
        let days = |text: &str| {
            let session: Session = format!("08:00-09:00 UTC {text}").parse().unwrap();
            // 1 April 2024 is a Monday.
            (1..=7).filter(|day| session.begins_on(Date::constant(2024, 4, *day))).collect::<Vec<i8>>()
        };
        assert_eq!(days("mon-fri"), [1, 2, 3, 4, 5]);
        assert_eq!(days("sun-thu"), [1, 2, 3, 4, 7]);
        assert_eq!(days("sat"), [6]);
        assert_eq!(days("fri-mon"), [1, 5, 6, 7]);
        assert_eq!(days("tue-mon"), [1, 2, 3, 4, 5, 6, 7]);
    }
}
