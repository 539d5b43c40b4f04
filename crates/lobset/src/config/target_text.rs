//! Targets as text: `NAME=KIND,key=value,…`.

use std::fmt;
use std::str::FromStr;

use super::choices::ThresholdScope;
use super::target::{Barrier, Classes, MAX_WINDOW_ROWS, Means, Movement, Target, Time, check_name};
use super::values::SettingValue;

/// Separates numbers in the text of a target, whose keys are separated by commas.
pub(super) const BETWEEN_NUMBERS: &str = "/";

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
pub(super) fn parts(text: &str) -> Vec<&str> {
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

fn movement(kind: &str, keys: &mut Keys<'_>) -> Result<Movement, String> {
    if let Some(windows) = preset(kind) {
        return windows.map(Movement::Means);
    }
    match kind {
        "means" => {
            let plain = Means::DEFAULT;
            Ok(Movement::Means(Means {
                lookback_rows: keys.number("lookback_rows", plain.lookback_rows)?,
                include_row: keys.take("include_row").map_or(Ok(plain.include_row), bool::parse)?,
                lookforward_offset: keys.number("lookforward_offset", plain.lookforward_offset)?,
                lookforward_input: keys.number("lookforward_input", plain.lookforward_input)?,
            }))
        }
        "time" => Ok(Movement::Time(Time {
            lookback: keys.text("lookback", "10s")?,
            offset: keys.text("offset", "0s")?,
            ahead: keys.text("ahead", "10s")?,
        })),
        "barrier" => Ok(Movement::Barrier(Barrier {
            up: keys.text("up", "2spread")?,
            down: keys.text("down", "2spread")?,
            horizon: keys.text("horizon", "5000")?,
            lookback_rows: keys.number("lookback_rows", Means::DEFAULT.lookback_rows)?,
        })),
        _ => Err(format!("{kind:?} is not one of means, time, barrier, fi2010(k), deeplob(k), tlob(h,w), return(h)")),
    }
}

fn classes(movement: &Movement, keys: &mut Keys<'_>) -> Result<Classes, String> {
    let given = keys.take("classes");
    if let Movement::Barrier(_) = movement {
        return match given {
            None | Some("touch") => Ok(Classes::Touch),
            Some(other) => Err(format!("classes: {other:?} is not touch, the rule of every barrier")),
        };
    }
    match given.unwrap_or("quantiles") {
        "quantiles" => Ok(Classes::Quantiles { nbins: keys.number("nbins", Classes::NBINS)? }),
        "share" => Ok(Classes::Share { stationary: keys.number("stationary", Classes::STATIONARY)? }),
        "spread" => Ok(Classes::Spread { multiple: keys.number("multiple", Classes::MULTIPLE)? }),
        "fixed" => {
            let text = keys.take("boundaries").unwrap_or_default().trim_matches(['[', ']']);
            let numbers = text.split(BETWEEN_NUMBERS).map(str::trim).filter(|item| !item.is_empty());
            Ok(Classes::Fixed { boundaries: numbers.map(|item| number("boundaries", item)).collect::<Result<_, _>>()? })
        }
        other => Err(format!("classes: {other:?} is not one of quantiles, share, spread, fixed")),
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
        let movement = movement(kind, &mut keys).map_err(of_target)?;
        let classes = classes(&movement, &mut keys).map_err(of_target)?;
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
