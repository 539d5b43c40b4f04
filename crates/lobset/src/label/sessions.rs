//! Determines which moments are within a session.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use crate::config::{LabelSettings, Session};

/// The time between two consecutive edges. An edge is the beginning or the end of any session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Whether it is within a session.
    pub inside: bool,
    /// The edge that ends it, in nanoseconds since the UNIX epoch; the largest number if there is none.
    pub until: u64,
}

/// The sessions of a run.
#[derive(Debug, Clone)]
pub(crate) struct Sessions(Vec<Session>);

/// How many days before a moment to look for sessions that are still in progress.
const BEFORE: i64 = 2;

/// How many days after a moment to look for the next session: a weekly one may be skipped because of a clock change.
const AFTER: i64 = 15;

impl Sessions {
    /// The sessions of the settings, if they are set.
    pub fn new(settings: &LabelSettings) -> Option<Self> {
        settings.sessions.clone().map(Self)
    }

    /// The segment that contains a moment.
    pub fn segment(&self, ts: u64) -> Segment {
        let ts = i128::from(ts);
        let mut inside = false;
        let mut until = i128::from(u64::MAX);
        for session in &self.0 {
            for [open, close] in around(session, ts) {
                inside |= open <= ts && ts < close;
                for edge in [open, close].into_iter().filter(|edge| *edge > ts) {
                    until = until.min(edge);
                }
            }
        }
        Segment { inside, until: u64::try_from(until).unwrap_or(u64::MAX) }
    }
}

/// Beginning and end of a session on the days around a moment.
fn around(session: &Session, ts: i128) -> impl Iterator<Item = [i128; 2]> + '_ {
    let today = Timestamp::from_nanosecond(ts).ok().map(|ts| session.zone().to_datetime(ts).date());
    let dates = today
        .into_iter()
        .flat_map(|today| (-BEFORE..=AFTER).filter_map(move |days| today.checked_add(days.days()).ok()));
    dates.filter(|date| session.begins_on(*date)).filter_map(|date| span(session, date))
}

/// Beginning and end of the session that begins on a day. `None` if a clock change reduces its length to zero or less.
fn span(session: &Session, date: Date) -> Option<[i128; 2]> {
    let (open, close) = (session.open(), session.close());
    let last = if close > open { date } else { date.tomorrow().ok()? };
    let moment = |date: Date, time| {
        session.zone().to_ambiguous_timestamp(date.to_datetime(time)).compatible().ok().map(Timestamp::as_nanosecond)
    };
    let (open, close) = (moment(date, open)?, moment(last, close)?);
    (open < close).then_some([open, close])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn sessions(texts: &[&str]) -> Sessions {
        let sessions = texts.iter().map(|text| text.parse().unwrap()).collect();
        Sessions::new(&LabelSettings::new(&Config { sessions: Some(sessions), ..Config::default() })).unwrap()
    }

    /// The segment at a time, with its end as text.
    fn at(sessions: &Sessions, time: &str) -> (bool, String) {
        let ts: crate::Timestamp = time.parse().unwrap();
        let Segment { inside, until } = sessions.segment(ts.0);
        (inside, crate::Timestamp(until).to_string().replace(":00.000000000Z", "Z"))
    }

    #[test]
    fn hours_follow_the_clocks_of_the_zone() {
        let cash = sessions(&["08:30-15:00 America/Chicago mon-fri"]);
        let segment = |time: &str| at(&cash, time);
        // Six hours behind UTC in winter, five in summer. Clocks change on 10 March and 3 November 2024, both Sundays.
        assert_eq!(segment("2024-03-08T14:29:59.999999999Z"), (false, "2024-03-08T14:30Z".to_owned()));
        assert_eq!(segment("2024-03-08T14:30:00Z"), (true, "2024-03-08T21:00Z".to_owned()));
        assert_eq!(segment("2024-03-08T21:00:00Z"), (false, "2024-03-11T13:30Z".to_owned()));
        assert_eq!(segment("2024-03-11T13:30:00Z"), (true, "2024-03-11T20:00Z".to_owned()));
        assert_eq!(segment("2024-11-01T20:00:00Z"), (false, "2024-11-04T14:30Z".to_owned()));
    }

    #[test]
    fn a_session_across_midnight_is_named_by_the_day_on_which_it_begins() {
        let globex = sessions(&["17:00-16:00 America/Chicago sun-thu"]);
        let segment = |time: &str| at(&globex, time);
        assert_eq!(segment("2024-07-06T12:00:00Z"), (false, "2024-07-07T22:00Z".to_owned()));
        assert_eq!(segment("2024-07-08T03:00:00Z"), (true, "2024-07-08T21:00Z".to_owned()));
        assert_eq!(segment("2024-07-08T21:00:00Z"), (false, "2024-07-08T22:00Z".to_owned()));
        assert_eq!(segment("2024-07-12T20:59:59Z"), (true, "2024-07-12T21:00Z".to_owned()));
        assert_eq!(segment("2024-07-12T22:30:00Z"), (false, "2024-07-14T22:00Z".to_owned()));
    }

    #[test]
    fn skipped_hours_move_on_and_of_repeated_ones_the_first_counts() {
        // On 10 March 2024, 02:00 to 03:00 is skipped in Chicago; on 3 November, 01:00 to 02:00 comes twice.
        let night = sessions(&["01:30-02:30 America/Chicago sun"]);
        assert_eq!(at(&night, "2024-03-10T07:30:00Z"), (true, "2024-03-10T08:30Z".to_owned()));
        assert_eq!(at(&night, "2024-11-03T06:30:00Z"), (true, "2024-11-03T08:30Z".to_owned()));
        // 02:30 is moved to 03:30, which is after the end, so there is no session on that day.
        let none = sessions(&["02:30-03:00 America/Chicago sun"]);
        assert_eq!(at(&none, "2024-03-09T00:00:00Z"), (false, "2024-03-17T07:30Z".to_owned()));
    }

    #[test]
    fn sessions_add_up_and_each_of_their_edges_counts() {
        let both = sessions(&["08:00-12:00 UTC", "10:00-14:00 UTC", "14:00-15:00 UTC"]);
        let segment = |time: &str| at(&both, time);
        assert_eq!(segment("2024-04-03T09:00:00Z"), (true, "2024-04-03T10:00Z".to_owned()));
        assert_eq!(segment("2024-04-03T11:00:00Z"), (true, "2024-04-03T12:00Z".to_owned()));
        assert_eq!(segment("2024-04-03T13:00:00Z"), (true, "2024-04-03T14:00Z".to_owned()));
        assert_eq!(segment("2024-04-03T14:00:00Z"), (true, "2024-04-03T15:00Z".to_owned()));
        assert_eq!(segment("2024-04-03T15:00:00Z"), (false, "2024-04-04T08:00Z".to_owned()));
    }

    #[test]
    fn the_ends_of_time_are_no_special_case() {
        let all = sessions(&["00:00-00:00 Asia/Tokyo"]);
        assert!(all.segment(0).inside && all.segment(u64::MAX).inside);
        assert_eq!(all.segment(u64::MAX).until, u64::MAX);
    }
}
