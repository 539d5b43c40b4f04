//! Which contracts trade on a day.

use time::{Date, Month, Weekday};

/// A quarterly expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expiry {
    year: i32,
    /// 0 to 3: March, June, September, December.
    quarter: u8,
}

impl Expiry {
    /// The last trading day: two business days before the third Wednesday.
    fn last_day(self) -> Date {
        let months = [Month::March, Month::June, Month::September, Month::December];
        let first = Date::from_calendar_date(self.year, months[usize::from(self.quarter)], 1).unwrap_or(Date::MAX);
        let to_wednesday =
            (Weekday::Wednesday.number_days_from_monday() + 7 - first.weekday().number_days_from_monday()) % 7;
        // Two days before the third Wednesday is the Monday before it.
        first + time::Duration::days(i64::from(to_wednesday) + 14 - 2)
    }

    fn next(self) -> Self {
        if self.quarter == 3 {
            Self { year: self.year + 1, quarter: 0 }
        } else {
            Self { quarter: self.quarter + 1, ..self }
        }
    }

    /// Month letter and last digit of the year, as in `M4`.
    pub(crate) fn code(self) -> String {
        format!("{}{}", ['H', 'M', 'U', 'Z'][usize::from(self.quarter)], self.year.rem_euclid(10))
    }

    /// Consecutive number of the quarter.
    pub(crate) fn number(self) -> u32 {
        self.year.unsigned_abs() * 4 + u32::from(self.quarter)
    }
}

/// The next three expiries on a day. The market rolls to the next one a week before the last trading day.
pub(crate) fn expiries(day: Date) -> [Expiry; 3] {
    let mut front = Expiry { year: day.year(), quarter: 0 };
    while front.last_day() - time::Duration::days(7) <= day {
        front = front.next();
    }
    [front, front.next(), front.next().next()]
}

/// The weekdays starting from `start`.
pub(crate) fn weekdays(start: Date) -> impl Iterator<Item = Date> {
    std::iter::successors(Some(start), |day| day.next_day())
        .filter(|day| !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday))
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    #[test]
    fn the_front_month_rolls_a_week_before_it_expires() {
        let codes = |day| expiries(day).map(Expiry::code);
        assert_eq!(codes(date!(2024 - 04 - 01)), ["M4", "U4", "Z4"]);
        // The third Wednesday of June 2024 is the 19th, so M4 last trades on the 17th.
        assert_eq!(codes(date!(2024 - 06 - 09)), ["M4", "U4", "Z4"]);
        assert_eq!(codes(date!(2024 - 06 - 10)), ["U4", "Z4", "H5"]);
        assert_eq!(codes(date!(2024 - 12 - 31)), ["H5", "M5", "U5"]);
    }
}
