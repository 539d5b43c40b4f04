//! Targets: what a label says about the future of a row. Each is a movement, a number for every row, and classes of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choices::ThresholdScope;
use crate::time_text::Duration;

/// The name of the target that the flat settings describe. Its columns carry no name.
pub const CLASSIC: &str = "classic";

/// The longest window, in rows. It keeps every exact sum and product of a label within 128 bits.
pub const MAX_WINDOW_ROWS: u64 = 1 << 30;

/// The longest length of time in a target: 30 days. It keeps every exact sum within 128 bits.
pub const LONGEST_SPAN: Duration = Duration(30 * 86_400_000_000_000);

/// The largest number of rows that a barrier's horizon and its volatility may span. The rows of a horizon are kept in
/// memory, and the sums of a volatility fit 128 bits.
pub const MAX_BARRIER_ROWS: u64 = 1 << 22;

/// A target: a movement and its classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, part of the names of its columns: 1 to 32 letters, digits and underscores.
    pub name: String,
    /// How the movement is computed.
    #[serde(flatten)]
    pub movement: Movement,
    /// How movements become classes.
    #[serde(flatten)]
    pub classes: Classes,
    /// The symbols that share a set of boundaries.
    pub threshold_scope: ThresholdScope,
}

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
    /// Rows that a volatility is computed over, through the row itself.
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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
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
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.replace('_', "").parse() {
            Ok(rows) => Ok(Self::Rows(rows)),
            Err(_) => text.parse().map(Self::Time),
        }
    }
}

/// Values that files hold as text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T: FromStr<Err = String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Barrier {
    /// Rows that its volatility spans; 0 if no barrier depends on one.
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

/// How movements become classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "classes", rename_all = "snake_case")]
pub enum Classes {
    /// Equally many fit rows in each class.
    Quantiles {
        /// Number of classes.
        nbins: u16,
    },
    /// Down, stationary, up: a share of the fit rows is stationary.
    Share {
        /// This share; above 0 and below 1.
        stationary: f64,
    },
    /// Down, stationary, up: movements of at most a multiple of the mean relative spread are stationary.
    Spread {
        /// The multiple; above 0.
        multiple: f64,
    },
    /// Classes between given boundaries.
    Fixed {
        /// The boundaries, ascending; 1 to 254 of them.
        boundaries: Vec<f64>,
    },
    /// Down, neither, up: the barrier that is touched first.
    Touch,
}

impl Target {
    /// Number of classes.
    pub fn class_count(&self) -> usize {
        match &self.classes {
            Classes::Quantiles { nbins } => usize::from(*nbins),
            Classes::Share { .. } | Classes::Spread { .. } | Classes::Touch => 3,
            Classes::Fixed { boundaries } => boundaries.len() + 1,
        }
    }

    /// The name of one of its columns: `column` itself for the classic target, else with the target's name behind.
    pub fn column(&self, column: &str) -> String {
        if self.name == CLASSIC { column.to_owned() } else { format!("{column}_{}", self.name) }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// What is wrong, one text for each problem.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, message: String| {
            if !holds {
                problems.push(message);
            }
        };
        match &self.movement {
            Movement::Means(Means { lookback_rows, lookforward_offset, lookforward_input, .. }) => {
                for (key, rows, least) in [
                    ("lookback_rows", lookback_rows, 1),
                    ("lookforward_offset", lookforward_offset, 0),
                    ("lookforward_input", lookforward_input, 1),
                ] {
                    let holds = (least..=MAX_WINDOW_ROWS).contains(rows);
                    require(holds, format!("{key}: {rows} is outside {least} to {MAX_WINDOW_ROWS}"));
                }
            }
            Movement::Time(_) | Movement::Barrier(_) => {}
        }
        match &self.movement {
            Movement::Means(_) => {}
            Movement::Time(Time { lookback, offset, ahead }) => {
                for (key, length) in [("lookback", lookback), ("offset", offset), ("ahead", ahead)] {
                    require(*length <= LONGEST_SPAN, format!("{key}: {length} is longer than {LONGEST_SPAN}"));
                }
                require(
                    offset.0 > 0 || ahead.0 > 0,
                    "offset and ahead: one of them must be longer than zero".to_owned(),
                );
            }
            Movement::Barrier(Barrier { up, down, horizon, lookback_rows }) => {
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
        match &self.classes {
            Classes::Touch => {}
            Classes::Quantiles { nbins } => {
                require((2..=255).contains(nbins), format!("nbins: {nbins} is outside 2 to 255"));
            }
            Classes::Share { stationary } => {
                require(
                    *stationary > 0.0 && *stationary < 1.0,
                    format!("stationary: {stationary} is not above 0 and below 1"),
                );
            }
            Classes::Spread { multiple } => {
                require(multiple.is_finite() && *multiple > 0.0, format!("multiple: {multiple} is not above 0"));
            }
            Classes::Fixed { boundaries } => {
                let ascending = boundaries.windows(2).all(|pair| pair[0] < pair[1]);
                let finite = boundaries.iter().all(|boundary| boundary.is_finite());
                require(
                    ascending && finite && (1..=254).contains(&boundaries.len()),
                    "boundaries: give 1 to 254 ascending numbers, such as [-0.0001, 0.0001]".to_owned(),
                );
            }
        }
        problems
    }
}

/// A name that can be part of a column's name.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (fits, name) {
        (false, _) => Err(format!("{name:?} is not a name of 1 to 32 letters, digits and underscores")),
        (true, CLASSIC) => Err(format!("{CLASSIC:?} is the target of the flat settings; choose another name")),
        (true, _) => Ok(()),
    }
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

    /// What a label needs without a break, and which settings shorten it.
    pub(crate) fn needs(&self) -> (String, &'static str) {
        match self {
            Self::Means(Means { lookback_rows, include_row, lookforward_offset, lookforward_input }) => (
                format!("{} rows", lookback_rows + u64::from(!include_row) + lookforward_offset + lookforward_input),
                "shorten lookback_rows, lookforward_input and lookforward_offset",
            ),
            Self::Time(Time { lookback, offset, ahead }) => {
                (Duration(lookback.0 + offset.0 + ahead.0).to_string(), "shorten lookback, offset and ahead")
            }
            Self::Barrier(barrier) => {
                let rows = barrier.sigma_rows().max(1);
                let need = match barrier.horizon {
                    Horizon::Rows(horizon) => format!("{} rows", rows + horizon),
                    Horizon::Time(time) => format!("{rows} rows and {time} after them"),
                };
                (need, "shorten horizon and lookback_rows")
            }
        }
    }

    /// Why a row whose windows are whole may have no movement.
    pub(crate) fn undefined(&self) -> &'static str {
        match self {
            Self::Means(_) | Self::Time(_) => "a past mean price of 0 or below",
            Self::Barrier(_) => "a mid price, or a distance of a barrier, of 0 or below",
        }
    }

    /// Whether it depends on the time or the spread of rows, not on their mid prices alone.
    pub(crate) fn needs_moments(&self) -> bool {
        match self {
            Self::Means(_) => false,
            Self::Time(_) | Self::Barrier(_) => true,
        }
    }
}

impl Classes {
    /// Number of classes by quantiles, by default.
    pub const NBINS: u16 = 21;
    /// Share of stationary rows, by default.
    pub const STATIONARY: f64 = 0.3333;
    /// Multiple of the spread, by default.
    pub const MULTIPLE: f64 = 1.0;

    /// The share in files of versions without the setting, which did not use it.
    pub(super) fn stationary_before() -> f64 {
        Self::STATIONARY
    }

    /// The multiple in files of versions without the setting, which did not use it.
    pub(super) fn multiple_before() -> f64 {
        Self::MULTIPLE
    }
}
