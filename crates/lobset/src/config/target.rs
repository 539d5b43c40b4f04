//! Targets: what a label says about the future of a row. Each is a movement, a number for every row, and classes of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choices::ThresholdScope;
use super::values::{SettingValue, ValueKind};
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
/// memory, and the sums of the volatility within 128 bits.
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
}

impl Target {
    /// Number of classes.
    pub fn class_count(&self) -> usize {
        match &self.classes {
            Classes::Quantiles { nbins } => usize::from(*nbins),
            Classes::Share { .. } | Classes::Spread { .. } => 3,
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
        }
        match &self.classes {
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
            _ => Err(format!("{kind:?} is not one of means, fi2010(k), deeplob(k), tlob(h,w), return(h)")),
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
                let numbers = text.split('/').map(str::trim).filter(|item| !item.is_empty());
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
        let classes = Classes::parse(&mut keys).map_err(of_target)?;
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
        }
        match classes {
            Classes::Quantiles { nbins } => write!(f, ",nbins={nbins}")?,
            Classes::Share { stationary } => write!(f, ",classes=share,stationary={stationary}")?,
            Classes::Spread { multiple } => write!(f, ",classes=spread,multiple={multiple}")?,
            Classes::Fixed { boundaries } => {
                let boundaries: Vec<String> = boundaries.iter().map(f64::to_string).collect();
                write!(f, ",classes=fixed,boundaries={}", boundaries.join("/"))?;
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

/// The text of targets given by their keys and values, as TOML and Python have them, or as texts.
///
/// # Errors
/// What is missing.
pub(crate) fn target_text(targets: &[Vec<(String, String)>]) -> Result<String, String> {
    let text = |pairs: &Vec<(String, String)>| {
        let of = |wanted: &str| pairs.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
        let (Some(name), Some(kind)) = (of("name"), of("kind")) else {
            return Err("a target needs a name and a kind".to_owned());
        };
        // A value with a separator would bring keys or targets of its own.
        let separates = |text: &str| text.contains([';', '=']) || parts(text).len() > 1;
        if let Some((key, value)) = pairs.iter().find(|(key, value)| separates(key) || separates(value)) {
            return Err(format!("{key:?} = {value:?}: neither may contain \",\", \";\" or \"=\""));
        }
        let others = pairs.iter().filter(|(key, _)| key != "name" && key != "kind");
        Ok(others.fold(format!("{name}={kind}"), |text, (key, value)| text + &format!(",{key}={value}")))
    };
    Ok(targets.iter().map(text).collect::<Result<Vec<_>, _>>()?.join(BETWEEN_TARGETS))
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
