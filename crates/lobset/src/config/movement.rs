//! Movements: the kinds of targets, their settings, and their text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::values::SettingValue;
use crate::error::ParseError;
use crate::time_text::Duration;

/// The longest window, in rows. It keeps every exact sum and product of a label within 128 bits.
pub const MAX_WINDOW_ROWS: u64 = 1 << 30;

/// The longest length of time in a target: 30 days. It keeps every exact sum within 128 bits.
pub const LONGEST_SPAN: Duration = Duration(30 * 86_400_000_000_000);

/// The largest number of rows that a barrier's horizon and its volatility may span. The rows of a horizon are kept in
/// memory, and the sums of a volatility must fit in 128 bits.
pub const MAX_BARRIER_ROWS: u64 = 1 << 22;

/// How a movement is computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Movement {
    /// The mean mid price of rows ahead over the mean mid price of rows behind, minus 1.
    Means(Means),
    /// The same for windows in time, with means weighted by time.
    Time(Time),
    /// The return where the mid price first touches one of two barriers, or at a horizon.
    Barrier(Barrier),
}

/// Windows in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Means {
    /// L, rows of the past window.
    pub lookback_rows: u64,
    /// Whether the past window ends with the row, not with the row before it.
    pub include_row: bool,
    /// O, rows skipped between the row and the future window.
    pub lookforward_offset: u64,
    /// F, rows of the future window.
    pub lookforward_input: u64,
}

/// Windows in time, on the running maximum of `ts_recv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// Length of the past window, which ends with the row; zero for the mid price as of the row's time.
    #[serde(with = "text")]
    pub lookback: Duration,
    /// Time between the row and the future window.
    #[serde(with = "text")]
    pub offset: Duration,
    /// Length of the future window; zero for the mid price as of its beginning.
    #[serde(with = "text")]
    pub ahead: Duration,
}

/// Two barriers around the mid price of a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    /// Distance of the upper barrier.
    #[serde(with = "text")]
    pub up: Width,
    /// Distance of the lower barrier.
    #[serde(with = "text")]
    pub down: Width,
    /// How far ahead a label looks.
    #[serde(with = "text")]
    pub horizon: Horizon,
    /// Number of rows that a volatility is computed over, up to and including the row itself.
    pub lookback_rows: u64,
}

/// The distance of a barrier, as a share of the mid price. As text: `0.0005`, `2spread` or `1.5sigma`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Width {
    /// A fixed share.
    Fraction(f64),
    /// A multiple of the spread at the row, over the mid price at the row.
    Spread(f64),
    /// A multiple of the sample standard deviation of relative changes of the mid price from row to row.
    Sigma(f64),
}

impl Width {
    /// The number before the unit.
    fn number(self) -> f64 {
        match self {
            Self::Fraction(number) | Self::Spread(number) | Self::Sigma(number) => number,
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fraction(number) => write!(f, "{number}"),
            Self::Spread(number) => write!(f, "{number}spread"),
            Self::Sigma(number) => write!(f, "{number}sigma"),
        }
    }
}

impl FromStr for Width {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_text(text).map_err(ParseError)
    }
}

impl Width {
    fn from_text(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a distance such as 0.0005, 2spread or 1.5sigma");
        let number = |digits: &str| digits.replace('_', "").parse::<f64>().map_err(|_| wrong());
        match (text.strip_suffix("spread"), text.strip_suffix("sigma")) {
            (Some(digits), _) => number(digits).map(Self::Spread),
            (_, Some(digits)) => number(digits).map(Self::Sigma),
            (None, None) => number(text).map(Self::Fraction),
        }
    }
}

/// How far ahead a label looks: a number of rows, or a length of time. As text: `500` or `10s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Horizon {
    /// Rows.
    Rows(u64),
    /// Time.
    Time(Duration),
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows}"),
            Self::Time(time) => write!(f, "{time}"),
        }
    }
}

impl FromStr for Horizon {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_text(text).map_err(ParseError)
    }
}

impl Horizon {
    fn from_text(text: &str) -> Result<Self, String> {
        match text.replace('_', "").parse() {
            Ok(rows) => Ok(Self::Rows(rows)),
            Err(_) => Ok(Self::Time(text.parse()?)),
        }
    }
}

/// Values that files store as text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::error::ParseError;

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err = ParseError>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Barrier {
    /// Number of rows that its volatility spans; 0 if no barrier depends on volatility.
    pub(crate) fn sigma_rows(&self) -> u64 {
        match (self.up, self.down) {
            (Width::Sigma(_), _) | (_, Width::Sigma(_)) => self.lookback_rows,
            _ => 0,
        }
    }
}

impl Means {
    /// The windows of the classic target by default.
    pub const DEFAULT: Self =
        Self { lookback_rows: 5_000, include_row: false, lookforward_offset: 500, lookforward_input: 5_000 };
}

impl Movement {
    /// What it is, for the description of its column.
    pub(crate) fn meaning(&self) -> &'static str {
        match self {
            Self::Means(_) => "mean mid price ahead / mean mid price behind - 1",
            Self::Time(_) => "mean mid price ahead / mean mid price behind - 1, windows in time",
            Self::Barrier(_) => "relative change of the mid price to the first touch of a barrier, or to the horizon",
        }
    }

    /// Number of consecutive rows that a label needs, including its own; `None` if a length is in time.
    pub(crate) fn rows(&self) -> Option<u64> {
        match self {
            Self::Means(Means { lookback_rows, include_row, lookforward_offset, lookforward_input }) => {
                Some(lookback_rows + u64::from(!include_row) + lookforward_offset + lookforward_input)
            }
            Self::Time(_) => None,
            Self::Barrier(barrier) => match barrier.horizon {
                Horizon::Rows(horizon) => Some(barrier.sigma_rows().max(1) + horizon),
                Horizon::Time(_) => None,
            },
        }
    }

    /// What a label needs without a break, and which settings shorten it.
    pub(crate) fn needs(&self) -> (String, &'static str) {
        let need = match (self.rows(), self) {
            (Some(rows), _) => format!("{rows} rows"),
            (None, Self::Time(Time { lookback, offset, ahead })) => {
                Duration(lookback.0 + offset.0 + ahead.0).to_string()
            }
            (None, Self::Barrier(barrier)) => {
                format!("{} rows and {} after them", barrier.sigma_rows().max(1), barrier.horizon)
            }
            (None, Self::Means(_)) => String::new(),
        };
        let shorten = match self {
            Self::Means(_) => "shorten lookback_rows, lookforward_input and lookforward_offset",
            Self::Time(_) => "shorten lookback, offset and ahead",
            Self::Barrier(_) => "shorten horizon and lookback_rows",
        };
        (need, shorten)
    }

    /// Why a row whose windows are complete may have no movement.
    pub(crate) fn undefined(&self) -> &'static str {
        match self {
            Self::Means(_) | Self::Time(_) => "a past mean price of 0 or below",
            Self::Barrier(_) => "a mid price, or a distance of a barrier, of 0 or below",
        }
    }

    /// Whether it depends on the time or the spread of rows, and not only on their mid prices.
    pub(crate) fn needs_moments(&self) -> bool {
        match self {
            Self::Means(_) => false,
            Self::Time(_) | Self::Barrier(_) => true,
        }
    }

    /// What is wrong with its values, one text for each problem.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, message: String| {
            if !holds {
                problems.push(message);
            }
        };
        match self {
            Self::Means(Means { lookback_rows, lookforward_offset, lookforward_input, .. }) => {
                for (key, rows, least) in [
                    ("lookback_rows", lookback_rows, 1),
                    ("lookforward_offset", lookforward_offset, 0),
                    ("lookforward_input", lookforward_input, 1),
                ] {
                    let holds = (least..=MAX_WINDOW_ROWS).contains(rows);
                    require(holds, format!("{key}: {rows} is outside {least} to {MAX_WINDOW_ROWS}"));
                }
            }
            Self::Time(Time { lookback, offset, ahead }) => {
                for (key, length) in [("lookback", lookback), ("offset", offset), ("ahead", ahead)] {
                    require(*length <= LONGEST_SPAN, format!("{key}: {length} is longer than {LONGEST_SPAN}"));
                }
                require(
                    offset.0 > 0 || ahead.0 > 0,
                    "offset and ahead: one of them must be longer than zero".to_owned(),
                );
            }
            Self::Barrier(Barrier { up, down, horizon, lookback_rows }) => {
                for (key, width) in [("up", up), ("down", down)] {
                    let number = width.number();
                    require(number.is_finite() && number > 0.0, format!("{key}: {width} is not above 0"));
                }
                match horizon {
                    Horizon::Rows(rows) => require(
                        (1..=MAX_BARRIER_ROWS).contains(rows),
                        format!("horizon: {rows} rows are outside 1 to {MAX_BARRIER_ROWS}"),
                    ),
                    Horizon::Time(time) => require(
                        time.0 > 0 && *time <= LONGEST_SPAN,
                        format!("horizon: {time} is not longer than zero and at most {LONGEST_SPAN}"),
                    ),
                }
                require(
                    (3..=MAX_BARRIER_ROWS).contains(lookback_rows),
                    format!("lookback_rows: {lookback_rows} is outside 3 to {MAX_BARRIER_ROWS}"),
                );
            }
        }
        problems
    }

    /// Parses a kind, a preset or `means`, `time` and `barrier`, whose settings are keys.
    pub(super) fn parse(kind: &str, keys: &mut Keys<'_>) -> Result<Self, String> {
        if let Some(windows) = preset(kind) {
            return windows.map(Self::Means);
        }
        match kind {
            "means" => {
                let plain = Means::DEFAULT;
                Ok(Self::Means(Means {
                    lookback_rows: keys.number("lookback_rows", plain.lookback_rows)?,
                    include_row: keys.take("include_row").map_or(Ok(plain.include_row), bool::parse)?,
                    lookforward_offset: keys.number("lookforward_offset", plain.lookforward_offset)?,
                    lookforward_input: keys.number("lookforward_input", plain.lookforward_input)?,
                }))
            }
            "time" => Ok(Self::Time(Time {
                lookback: keys.text("lookback", "10s")?,
                offset: keys.text("offset", "0s")?,
                ahead: keys.text("ahead", "10s")?,
            })),
            "barrier" => Ok(Self::Barrier(Barrier {
                up: keys.text("up", "2spread")?,
                down: keys.text("down", "2spread")?,
                horizon: keys.text("horizon", "5000")?,
                lookback_rows: keys.number("lookback_rows", Means::DEFAULT.lookback_rows)?,
            })),
            _ => {
                Err(format!("{kind:?} is not one of means, time, barrier, fi2010(k), deeplob(k), tlob(h,w), return(h)"))
            }
        }
    }

    /// The text that [`Movement::parse`] reads back, the kind and its keys.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Means(Means { lookback_rows, include_row, lookforward_offset, lookforward_input }) => format!(
                "means,lookback_rows={lookback_rows},include_row={include_row},lookforward_offset={lookforward_offset},lookforward_input={lookforward_input}"
            ),
            Self::Time(Time { lookback, offset, ahead }) => {
                format!("time,lookback={lookback},offset={offset},ahead={ahead}")
            }
            Self::Barrier(Barrier { up, down, horizon, lookback_rows }) => {
                format!("barrier,up={up},down={down},horizon={horizon},lookback_rows={lookback_rows}")
            }
        }
    }
}

/// The windows of a preset such as `deeplob(50)`; `None` for any other name.
///
/// Sources: `fi2010`: Ntakaris, Magris, Kanniainen, Gabbouj, Iosifidis 2018; `deeplob`: Zhang, Zohren, Roberts 2019,
/// equations 3 and 4; `tlob`: Berti, Kasneci 2025.
fn preset(text: &str) -> Option<Result<Means, String>> {
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let wanted: &[&str] = match name {
        "fi2010" | "deeplob" => &["k"],
        "tlob" => &["h", "w"],
        "return" => &["h"],
        _ => return None,
    };
    let usage = || format!("write it as {name}({}), in rows", wanted.join(","));
    let given = || -> Result<Vec<u64>, String> {
        let inside = rest.strip_suffix(')').ok_or_else(usage)?;
        let rows = inside.split(',').map(|part| part.trim().replace('_', "").parse::<u64>().map_err(|_| usage()));
        rows.collect()
    };
    let windows = || {
        let through = |lookback_rows, lookforward_offset, lookforward_input| Means {
            lookback_rows,
            include_row: true,
            lookforward_offset,
            lookforward_input,
        };
        let in_range = |rows: u64| (1..MAX_WINDOW_ROWS).contains(&rows);
        match (name, given()?.as_slice()) {
            ("fi2010", [k]) => Ok(through(1, 0, *k)),
            ("deeplob", [k]) => Ok(through(*k, 0, *k)),
            ("return", [h]) if in_range(*h) => Ok(through(1, h - 1, 1)),
            ("tlob", [h, w]) if in_range(*h) && w < h => Ok(through(w + 1, h - w - 1, w + 1)),
            ("tlob", [_, _]) => Err("tlob(h,w): w is the smaller of the two".to_owned()),
            _ => Err(usage()),
        }
    };
    Some(windows())
}
