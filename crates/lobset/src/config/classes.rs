//! Classes: the rules that turn movements into classes, and their text.

use serde::{Deserialize, Serialize};

use super::keys::{BETWEEN_NUMBERS, Keys, number};

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

impl Classes {
    /// Number of classes by quantiles, by default.
    pub const NBINS: u16 = 21;
    /// Share of stationary rows, by default.
    pub const STATIONARY: f64 = 0.3333;
    /// Multiple of the spread, by default.
    pub const MULTIPLE: f64 = 1.0;

    /// The value for files written by versions without the setting, which did not use it.
    pub(super) fn stationary_before() -> f64 {
        Self::STATIONARY
    }

    /// The value for files written by versions without the setting, which did not use it.
    pub(super) fn multiple_before() -> f64 {
        Self::MULTIPLE
    }

    /// Number of classes.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Quantiles { nbins } => usize::from(*nbins),
            Self::Share { .. } | Self::Spread { .. } | Self::Touch => 3,
            Self::Fixed { boundaries } => boundaries.len() + 1,
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
            Self::Touch => {}
            Self::Quantiles { nbins } => {
                require((2..=255).contains(nbins), format!("nbins: {nbins} is outside 2 to 255"));
            }
            Self::Share { stationary } => {
                require(
                    *stationary > 0.0 && *stationary < 1.0,
                    format!("stationary: {stationary} is not above 0 and below 1"),
                );
            }
            Self::Spread { multiple } => {
                require(multiple.is_finite() && *multiple > 0.0, format!("multiple: {multiple} is not above 0"));
            }
            Self::Fixed { boundaries } => {
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

    /// Parses the classes of a movement without barriers.
    pub(super) fn parse(keys: &mut Keys<'_>) -> Result<Self, String> {
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

    /// Parses the classes of a movement to a barrier.
    pub(super) fn parse_touch(keys: &mut Keys<'_>) -> Result<Self, String> {
        match keys.take("classes") {
            None | Some("touch") => Ok(Self::Touch),
            Some(other) => Err(format!("classes: {other:?} is not touch, the rule of every barrier")),
        }
    }

    /// The text that [`Classes::parse`] reads back, with a comma before each key.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Touch => String::new(),
            Self::Quantiles { nbins } => format!(",nbins={nbins}"),
            Self::Share { stationary } => format!(",classes=share,stationary={stationary}"),
            Self::Spread { multiple } => format!(",classes=spread,multiple={multiple}"),
            Self::Fixed { boundaries } => {
                let boundaries: Vec<String> = boundaries.iter().map(f64::to_string).collect();
                format!(",classes=fixed,boundaries={}", boundaries.join(BETWEEN_NUMBERS))
            }
        }
    }
}
