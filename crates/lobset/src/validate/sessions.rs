//! Sessions by the plain definition: a moment is within them if a session that began on this day or an earlier one has
//! not ended. The writer looks ahead for the next edge; this code looks back for the last.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use crate::config::Session;

/// What the sessions say about a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Whether the moment is within a session.
    pub inside: bool,
    /// The last beginning or end of a session no later than the moment, in seconds since the UNIX epoch.
    pub last_edge: Option<i64>,
}

/// The sessions of a run. Their edges are whole seconds, so all moments of a second are alike.
pub(super) struct Sessions<'a> {
    sessions: &'a [Session],
    /// The second of the last query, and the answer.
    last: Option<(i64, Moment)>,
}

/// Days to look back. A change of clocks may skip a session that takes place once a week.
const DAYS: usize = 16;

impl<'a> Sessions<'a> {
    pub(super) fn new(sessions: &'a [Session]) -> Self {
        Self { sessions, last: None }
    }

    /// What the sessions say about a moment, in nanoseconds since the UNIX epoch.
    pub(super) fn at(&mut self, ts: u64) -> Moment {
        let second = (ts / 1_000_000_000).cast_signed();
        match self.last {
            Some((last, moment)) if last == second => moment,
            _ => {
                let moment = self.of_second(second);
                self.last = Some((second, moment));
                moment
            }
        }
    }

    fn of_second(&self, now: i64) -> Moment {
        let mut moment = Moment { inside: false, last_edge: None };
        for session in self.sessions {
            let Ok(clock) = Timestamp::from_second(now) else { continue };
            let today = session.zone().to_datetime(clock).date();
            // A change of clocks may move the beginning of tomorrow's session, by the date, into today.
            let dates = today.tomorrow().into_iter().chain(today.series(jiff::Span::new().days(-1)).take(DAYS));
            for date in dates.filter(|date| session.begins_on(*date)) {
                let opened = second_of(session.zone(), date.to_datetime(session.open()));
                let ends = if session.close() <= session.open() { date.tomorrow() } else { Ok(date) };
                let ends = ends.ok().and_then(|date| second_of(session.zone(), date.to_datetime(session.close())));
                let (Some(opened), Some(closed)) = (opened, ends) else { continue };
                if closed <= opened {
                    continue;
                }
                moment.inside |= (opened..closed).contains(&now);
                moment.last_edge = moment.last_edge.max([opened, closed].into_iter().filter(|edge| *edge <= now).max());
            }
        }
        moment
    }
}

/// The second at which clocks show a time. If they show it twice, the first one; if they skip it, later by as much as
/// they skip.
fn second_of(zone: &TimeZone, shown: DateTime) -> Option<i64> {
    let before = shown.date().yesterday().ok()?.to_datetime(Time::midnight());
    let zero = |second: i64| Timestamp::from_second(second).ok();
    // Seconds since 1970 if the zone were UTC, the offset at least a day earlier, and the offset at that time.
    let plain = TimeZone::UTC.to_timestamp(shown).ok()?.as_second();
    let old = i64::from(zone.to_offset(TimeZone::UTC.to_timestamp(before).ok()?).seconds());
    let by_old = plain - old;
    let new = i64::from(zone.to_offset(zero(by_old)?).seconds());
    // The earlier offset applies to the first of two, and to times that are skipped.
    let by_new = plain - new;
    let shows = |second: i64| zero(second).map(|ts| zone.to_datetime(ts)) == Some(shown);
    match () {
        () if shows(by_old) => Some(by_old),
        () if shows(by_new) => Some(by_new),
        () => Some(by_old),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Config, LabelSettings};
    use crate::label;

    const ZONES: &[&str] =
        &["America/Chicago", "Europe/London", "Asia/Tokyo", "UTC", "Australia/Lord_Howe", "Asia/Kolkata"];
    const DAYS_OF_WEEK: &[&str] = &["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

    fn session() -> impl Strategy<Value = Session> {
        // Often near the hours at which clocks change.
        let minute = || prop_oneof![0..1_440_u32, 0..240_u32];
        (
            minute(),
            minute(),
            prop::sample::select(ZONES),
            prop::sample::select(DAYS_OF_WEEK),
            prop::sample::select(DAYS_OF_WEEK),
        )
            .prop_map(|(open, close, zone, first, last)| {
                let time = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
                format!("{}-{} {zone} {first}-{last}", time(open), time(close)).parse().unwrap()
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn moments_are_those_of_the_writer(
            list in prop::collection::vec(session(), 1..4),
            day in prop_oneof![0..400_i64, Just(68), Just(69), Just(70), Just(306), Just(307), Just(300), Just(97), Just(279)],
            second in 0..86_400_i64, off in 0..2_u64,
        ) {
            // From 1 January 2024 on.
            let ts = ((1_704_067_200 + day * 86_400 + second).cast_unsigned() * 1_000_000_000).saturating_sub(off);
            let config = Config { sessions: Some(list.clone()), ..Config::default() };
            let writer = label::Sessions::new(&LabelSettings::new(&config)).unwrap();
            let segment = writer.segment(ts);
            let mut plain = Sessions::new(&list);
            prop_assert_eq!(plain.at(ts).inside, segment.inside);
            // The writer's next edge is the last edge at its own moment, and there is no other in between.
            let edge = (segment.until / 1_000_000_000).cast_signed();
            prop_assert_eq!(plain.at(segment.until).last_edge, Some(edge));
            prop_assert_eq!(plain.at(segment.until - 1).last_edge, plain.at(ts).last_edge);
            prop_assert!(plain.at(ts).last_edge < Some(edge));
        }
    }
}
