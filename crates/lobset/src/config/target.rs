//! Targets: what a label says about the future of a row. Each is a movement, a number for every row, and classes of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choices::ThresholdScope;
use super::values::{RawValue, SettingValue, ValueKind};
use crate::time_text::Duration;

/// The name of the target that the flat settings describe. Its columns carry no name.
pub const CLASSIC: &str = "classic";

/// The longest window, in rows. It keeps every exact sum and product of a label within 128 bits.
pub const MAX_WINDOW_ROWS: u64 = 1 << 30;

/// The largest number of targets besides the classic one.
const MOST_TARGETS: usize = 64;

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
    fn problems(&self) -> Vec<String> {
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
fn check_name(name: &str) -> Result<(), String> {
    let fits = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match (fits, name) {
        (false, _) => Err(format!("{name:?} is not a name of 1 to 32 letters, digits and underscores")),
        (true, CLASSIC) => Err(format!("{CLASSIC:?} is the target of the flat settings; choose another name")),
        (true, _) => Ok(()),
    }
}

/// The value of a number in a target.
fn number<T: FromStr>(key: &str, text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{key}: {text:?} is not a number that fits"))
}

/// The keys and values of a target's text, which are taken one by one. Those that are left over are unknown.
struct Keys<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Keys<'a> {
    fn take(&mut self, key: &str) -> Option<&'a str> {
        let place = self.0.iter().position(|(found, _)| *found == key)?;
        Some(self.0.remove(place).1)
    }

    fn text<T: FromStr<Err = String>>(&mut self, key: &str, default: &str) -> Result<T, String> {
        self.take(key).unwrap_or(default).parse().map_err(|message| format!("{key}: {message}"))
    }

    fn number<T: FromStr>(&mut self, key: &str, default: T) -> Result<T, String> {
        self.take(key).map_or(Ok(default), |text| number(key, text))
    }
}

/// Cuts a text at the commas outside of parentheses.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The windows of a preset such as `deeplob(50)`; `None` for a name that is no preset.
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

    fn parse(kind: &str, keys: &mut Keys<'_>) -> Result<Self, String> {
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

    fn parse(keys: &mut Keys<'_>) -> Result<Self, String> {
        match keys.take("classes").unwrap_or("quantiles") {
            "quantiles" => Ok(Self::Quantiles { nbins: keys.number("nbins", Self::NBINS)? }),
            "share" => Ok(Self::Share { stationary: keys.number("stationary", Self::STATIONARY)? }),
            "spread" => Ok(Self::Spread { multiple: keys.number("multiple", Self::MULTIPLE)? }),
            "fixed" => {
                let text = keys.take("boundaries").unwrap_or_default().trim_matches(['[', ']']);
                let numbers = text.split(BETWEEN_NUMBERS).map(str::trim).filter(|item| !item.is_empty());
                Ok(Self::Fixed {
                    boundaries: numbers.map(|item| number("boundaries", item)).collect::<Result<_, _>>()?,
                })
            }
            other => Err(format!("classes: {other:?} is not one of quantiles, share, spread, fixed")),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    /// Parses `NAME=KIND,key=value,…`.
    fn from_str(text: &str) -> Result<Self, String> {
        let example = "such as h10=means,lookback_rows=1,include_row=true,lookforward_offset=0,lookforward_input=10";
        let (name, rest) = text.split_once('=').ok_or_else(|| format!("{text:?} is not a target {example}"))?;
        let name = name.trim();
        let of_target = |message: String| format!("{name}: {message}");
        check_name(name)?;
        let mut parts = parts(rest).into_iter().map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let pairs = parts.map(|part| {
            let pair = part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
            pair.ok_or_else(|| of_target(format!("{part:?} is not key=value")))
        });
        let mut keys = Keys(pairs.collect::<Result<_, _>>()?);
        let movement = Movement::parse(kind, &mut keys).map_err(of_target)?;
        let classes = match movement {
            Movement::Barrier(_) => Classes::Touch,
            _ => Classes::parse(&mut keys).map_err(of_target)?,
        };
        let scope = keys.take("threshold_scope").map_or(Ok(ThresholdScope::Global), ThresholdScope::parse);
        let target = Self { name: name.to_owned(), movement, classes, threshold_scope: scope.map_err(of_target)? };
        match keys.0.first() {
            Some((key, _)) => {
                Err(of_target(format!("{key:?} is not a key of {kind} with these classes, or is given twice")))
            }
            None => Ok(target),
        }
    }
}

/// The text that [`Target::from_str`] reads back.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, movement, classes, threshold_scope } = self;
        match movement {
            Movement::Means(Means { lookback_rows, include_row, lookforward_offset, lookforward_input }) => write!(
                f,
                "{name}=means,lookback_rows={lookback_rows},include_row={include_row},lookforward_offset={lookforward_offset},lookforward_input={lookforward_input}"
            )?,
            Movement::Time(Time { lookback, offset, ahead }) => {
                write!(f, "{name}=time,lookback={lookback},offset={offset},ahead={ahead}")?;
            }
            Movement::Barrier(Barrier { up, down, horizon, lookback_rows }) => {
                write!(f, "{name}=barrier,up={up},down={down},horizon={horizon},lookback_rows={lookback_rows}")?
            }
        }
        match classes {
            Classes::Touch => {}
            Classes::Quantiles { nbins } => write!(f, ",nbins={nbins}")?,
            Classes::Share { stationary } => write!(f, ",classes=share,stationary={stationary}")?,
            Classes::Spread { multiple } => write!(f, ",classes=spread,multiple={multiple}")?,
            Classes::Fixed { boundaries } => {
                let boundaries: Vec<String> = boundaries.iter().map(f64::to_string).collect();
                write!(f, ",classes=fixed,boundaries={}", boundaries.join(BETWEEN_NUMBERS))?;
            }
        }
        write!(f, ",threshold_scope={}", threshold_scope.name())
    }
}

/// The targets besides the classic one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<serde_json::Value>")]
pub struct Targets(pub Vec<Target>);

/// Refuses unknown keys, which serde does not do where structs are flattened into another.
impl TryFrom<Vec<serde_json::Value>> for Targets {
    type Error = String;

    fn try_from(values: Vec<serde_json::Value>) -> Result<Self, String> {
        let target = |value: serde_json::Value| {
            let target: Target = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
            let known = serde_json::to_value(&target).map_err(|e| e.to_string())?;
            match value.as_object().into_iter().flatten().find(|(key, _)| known.get(key).is_none()) {
                Some((key, _)) => Err(format!("{key:?} is not a key of the target {:?}", target.name)),
                None => Ok(target),
            }
        };
        values.into_iter().map(target).collect::<Result<_, _>>().map(Self)
    }
}

/// Separates targets in a text.
const BETWEEN_TARGETS: &str = ";";

/// Separates numbers in the text of a target, whose keys are separated by commas.
const BETWEEN_NUMBERS: &str = "/";

/// The text of targets, each given as text or by its keys and values.
///
/// # Errors
/// What is missing, or not a value of a target.
pub(crate) fn target_text(targets: &[RawValue]) -> Result<String, String> {
    let text = |target: &RawValue| match target {
        RawValue::Text(text) => Ok(text.clone()),
        RawValue::Table(pairs) => text_of_pairs(pairs),
        RawValue::List(_) => Err("a target is a text or a table, not a list".to_owned()),
    };
    Ok(targets.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(BETWEEN_TARGETS))
}

fn text_of_pairs(pairs: &BTreeMap<String, RawValue>) -> Result<String, String> {
    let value = |key: &str, value: &RawValue| {
        let item = |item: &RawValue| match item {
            RawValue::Text(text) => Ok(text.clone()),
            _ => Err(format!("{key}: must be a number, a text or a list of those")),
        };
        match value {
            RawValue::List(items) => Ok(items.iter().map(item).collect::<Result<Vec<_>, _>>()?.join(BETWEEN_NUMBERS)),
            one => item(one),
        }
    };
    // A value with a separator would bring keys or targets of its own.
    let separates = |text: &str| text.contains([';', '=']) || parts(text).len() > 1;
    let value = |key: &str, given: &RawValue| match value(key, given)? {
        text if separates(key) || separates(&text) => {
            Err(format!("{key:?} = {text:?}: neither may contain \",\", \";\" or \"=\""))
        }
        text => Ok(text),
    };
    let required = |key: &str| pairs.get(key).ok_or_else(|| format!("a target needs a {key}"));
    let (name, kind) = (value("name", required("name")?)?, value("kind", required("kind")?)?);
    let others = pairs.iter().filter(|(key, _)| !matches!(key.as_str(), "name" | "kind"));
    let others = others.map(|(key, given)| Ok(format!(",{key}={}", value(key, given)?)));
    Ok(format!("{name}={kind}{}", others.collect::<Result<String, String>>()?))
}

impl SettingValue for Targets {
    const KIND: ValueKind = ValueKind::Targets;

    fn parse(text: &str) -> Result<Self, String> {
        let texts = text.split(BETWEEN_TARGETS).map(str::trim).filter(|text| !text.is_empty());
        texts.map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    fn text(&self) -> String {
        self.0.iter().map(Target::to_string).collect::<Vec<_>>().join(BETWEEN_TARGETS)
    }

    fn toml(&self) -> String {
        let quoted: Vec<String> = self.0.iter().map(|target| format!("{:?}", target.to_string())).collect();
        format!("[{}]", quoted.join(", "))
    }
}

/// Checks the targets besides the classic one.
pub(super) fn check_targets(targets: &Targets) -> Result<(), String> {
    let mut problems = Vec::new();
    if targets.0.len() > MOST_TARGETS {
        problems.push(format!("{} are more than {MOST_TARGETS}", targets.0.len()));
    }
    for (place, target) in targets.0.iter().enumerate() {
        let name = &target.name;
        problems.extend(check_name(name).err());
        // Some readers, such as DuckDB and Spark, take names of columns that differ only in case for the same.
        match targets.0[..place].iter().find(|other| other.name.eq_ignore_ascii_case(name)) {
            Some(other) if other.name == *name => problems.push(format!("the name {name:?} is given twice")),
            Some(other) => problems.push(format!("the names {:?} and {name:?} differ only in case", other.name)),
            None => {}
        }
        problems.extend(target.problems().into_iter().map(|problem| format!("{name}: {problem}")));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}
