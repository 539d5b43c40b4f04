//! The table of settings, and everything that follows from it: [`Config`], its checks, the structs of single scopes, and
//! [`SETTINGS`], from which the command line, the environment, TOML files, Python and the page of settings follow.

mod choices;
mod classes;
mod keys;
mod micro_pip_size;
mod movement;
pub(crate) mod presets;
mod session;
mod setting;
mod table;
mod target;
mod targets;
mod values;

use std::collections::BTreeSet;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

pub use choices::{
    Aliases, BadBook, ClassRule, Columns, Compression, Derived, Feature, PriceType, Rows, ThresholdScope, Unmapped,
};
pub use classes::Classes;
pub use micro_pip_size::MicroPipSize;
pub use movement::{Barrier, Horizon, LONGEST_SPAN, MAX_BARRIER_ROWS, MAX_WINDOW_ROWS, Means, Movement, Time, Width};
pub use session::Session;
pub use setting::{Scope, Setting};
use table::{by_scope, optional, scope, scoped, settings};
pub use target::{CLASSIC, Target};
pub use targets::Targets;
use targets::check_targets;
pub(crate) use targets::target_text;
pub use values::{Choice, RawValue, ValueKind};
pub(crate) use values::{NONE, SettingValue};

use crate::error::ConfigError;
use crate::time_text::{Duration, Timestamp};

settings! {
    /// Tag used in file names; also selects the preset that provides the other defaults. Inferred from the data if not set.
    output currency: Option<String> = None, "TAG", check tag_if_set;
    /// Channels of depth tensors made from the dataset.
    tensor features: Vec<Feature> = vec![Feature::Volume, Feature::Variance], "LIST", check distinct;
    /// Length L of the past window, in rows.
    label lookback_rows: u64 = Means::DEFAULT.lookback_rows, "ROWS", in 1..=MAX_WINDOW_ROWS;
    /// Length F of the future window, in rows.
    label lookforward_input: u64 = Means::DEFAULT.lookforward_input, "ROWS", in 1..=MAX_WINDOW_ROWS;
    /// Rows O skipped between a row and its future window.
    label lookforward_offset: u64 = Means::DEFAULT.lookforward_offset, "ROWS", in 0..=MAX_WINDOW_ROWS;
    /// End the past window with the row itself, not with the row before it.
    label include_row: bool = Means::DEFAULT.include_row, "BOOL", before "bool::default";
    /// Rows in the window of a depth tensor; a multiple of `ticks_per_bin`.
    tensor samples: u64 = 50_000, "ROWS";
    /// Rows per time bin of a depth tensor.
    tensor ticks_per_bin: u64 = 100, "ROWS";
    /// Price step of a depth tensor's ladder, in price units; auto chooses one for each symbol, from its tick and its book.
    tensor micro_pip_size: MicroPipSize = MicroPipSize::Auto, "PRICE", check positive_step;
    /// Classes.
    label nbins: u16 = Classes::NBINS, "N", in 2..=255;
    /// How movements become classes.
    label classes: ClassRule = ClassRule::Quantiles, "RULE", before "ClassRule::before";
    /// Share of stationary fit rows, with `classes = "share"`; above 0 and below 1.
    label stationary: f64 = Classes::STATIONARY, "FRACTION", check part, before "Classes::stationary_before";
    /// Largest stationary movement in mean relative spreads, with `classes = "spread"`; above 0.
    label multiple: f64 = Classes::MULTIPLE, "NUMBER", check positive, before "Classes::multiple_before";
    /// Boundaries of the classes, ascending, with `classes = "fixed"`.
    label boundaries: Option<Vec<f64>> = None, "LIST", check ascending_boundaries;
    /// Fraction of the fit half's files used to fit the boundaries; above 0, at most 1.
    selection sample_fraction: f64 = 1.0, "SHARE", check share;
    /// Whether symbols share one set of boundaries.
    label threshold_scope: ThresholdScope = ThresholdScope::Global, "SCOPE";
    /// Add a target, with its own columns: NAME=KIND,key=value,… (see docs/how-to/targets.md).
    label targets: Targets = Targets::default(), "NAME=KIND,…", check check_targets, before "Targets::default";
    /// Write the last row that each label depends on, in the column `label_end`.
    output label_end: bool = false, "BOOL";
    /// Mark an exactly uniform subset in the column `balanced`.
    output force_uniform: bool = true, "BOOL";
    /// Write only the marked rows.
    output drop_unbalanced: bool = false, "BOOL";
    /// Labelled rows that a symbol must have to get a dataset; at least 1.
    selection min_symbol_samples: u64 = 50_000, "ROWS", check at_least_one;
    /// Keep the work folder after the run.
    run keep_intermediate: bool = false, "BOOL";
    /// Boundary time T: a date (2024-10-01) or an RFC 3339 time; by default, the start of the middle file.
    selection fit_until: Option<Timestamp> = None, "TIME";
    /// Which of a stream's records are its rows.
    rows rows: Rows = Rows::Records, "WHICH", before "Rows::before";
    /// What happens to a record under `F_MAYBE_BAD_BOOK`.
    rows bad_book: BadBook = BadBook::Drop, "WHAT", before "BadBook::before";
    /// Keep quotes whose best bid is above the best ask.
    rows keep_crossed: bool = false, "BOOL";
    /// Drop quotes with a price outside this range.
    rows price_range: Option<[f64; 2]> = None, "LOW,HIGH", check ascending_prices;
    /// What to do with an instrument that has no symbol in the file's mappings.
    input unmapped: Unmapped = Unmapped::Error, "WHAT";
    /// Keep only records of these publisher IDs (39,40); by default, of all publishers.
    input publishers: Option<Vec<u16>> = None, "LIST", check not_empty;
    /// Process only these symbols; by default, all.
    input symbols: Option<Vec<String>> = None, "SYMBOL", check not_empty;
    /// What to do when an instrument has two symbols at the same time.
    selection aliases: Aliases = Aliases::Error, "WHAT";
    /// Break a symbol's stream at every pause in `ts_recv` longer than this (15m, 2h); no window spans a break.
    rows max_gap: Option<Duration> = None, "TIME", check longer_than_zero;
    /// Write only rows within these hours, in a time zone (08:30-15:00 America/Chicago mon-fri, …); windows still span all rows.
    label sessions: Option<Vec<Session>> = None, "LIST", check not_empty;
    /// Break a symbol's stream where a session begins or ends: no window reaches across.
    label session_breaks: bool = false, "BOOL", before "bool::default";
    /// Refuse files with impossible values (unknown actions or sides, levels out of order); by default, count them and warn.
    input strict: bool = false, "BOOL";
    /// How prices are written.
    output price_type: PriceType = PriceType::Float, "TYPE";
    /// Which columns to write.
    output columns: Columns = Columns::All, "SET";
    /// Columns computed from the book of a row and of the row before, by their names; none by default.
    output derived: Vec<Derived> = Vec::new(), "LIST", check no_repeats;
    /// The codec of the Parquet pages.
    output compression: Compression = Compression::Zstd, "CODEC";
}

impl Config {
    /// The tag in the file names; empty while it is to follow from the data.
    pub fn tag(&self) -> &str {
        self.currency.as_deref().unwrap_or_default()
    }

    /// The targets: the classic one, which the flat settings describe, then the others.
    pub fn all_targets(&self) -> Vec<Target> {
        let classes = match self.classes {
            ClassRule::Quantiles => Classes::Quantiles { nbins: self.nbins },
            ClassRule::Share => Classes::Share { stationary: self.stationary },
            ClassRule::Spread => Classes::Spread { multiple: self.multiple },
            ClassRule::Fixed => Classes::Fixed { boundaries: self.boundaries.clone().unwrap_or_default() },
        };
        let classic = Target {
            name: CLASSIC.to_owned(),
            movement: Movement::Means(Means {
                lookback_rows: self.lookback_rows,
                include_row: self.include_row,
                lookforward_offset: self.lookforward_offset,
                lookforward_input: self.lookforward_input,
            }),
            classes,
            threshold_scope: self.threshold_scope,
        };
        [classic].into_iter().chain(self.targets.0.iter().cloned()).collect()
    }

    /// Checks every range and every pair of settings that must agree.
    ///
    /// # Errors
    /// [`ConfigError`] with all problems at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = self.problems_of_each();
        if self.ticks_per_bin == 0 || self.samples == 0 || !self.samples.is_multiple_of(self.ticks_per_bin) {
            let Self { samples, ticks_per_bin, .. } = self;
            problems.push(format!("samples: {samples} is not a positive multiple of ticks_per_bin = {ticks_per_bin}"));
        }
        if self.classes == ClassRule::Fixed && self.boundaries.is_none() {
            problems.push("boundaries: classes = \"fixed\" needs them, such as [-0.0001, 0.0001]".to_owned());
        }
        if self.classes != ClassRule::Fixed && self.boundaries.is_some() {
            problems.push(format!("boundaries: classes = {:?} computes them", self.classes.name()));
        }
        if self.drop_unbalanced && !self.targets.0.is_empty() {
            problems.push(
                "drop_unbalanced: each target marks rows of its own, so it needs a single target; filter on the columns balanced instead"
                    .to_owned(),
            );
        }
        if self.drop_unbalanced && !self.force_uniform {
            problems.push("drop_unbalanced: needs force_uniform = true, which marks the rows to write".to_owned());
        }
        if self.session_breaks && self.sessions.is_none() {
            problems.push("session_breaks: needs sessions, at whose edges a stream breaks".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(value: T, least: T, most: T) -> Result<(), String> {
    let inside = least <= value && value <= most;
    require(inside, || format!("{value} is outside the range {least} to {most}"))
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

fn tag_if_set(currency: &Option<String>) -> Result<(), String> {
    currency.as_deref().map_or(Ok(()), check_tag)
}

pub(crate) fn check_tag(text: &str) -> Result<(), String> {
    let holds = (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !text.starts_with('.');
    require(holds, || {
        format!("{text:?} is not a valid tag; use 1 to 32 letters, digits, '.', '_' or '-', and no '.' at the start")
    })
}

fn repeats<T: Ord + Copy>(values: &[T]) -> bool {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn no_repeats(derived: &[Derived]) -> Result<(), String> {
    require(!repeats(derived), || {
        format!("name each of {} at most once", Derived::ALL.iter().map(|of| of.name()).collect::<Vec<_>>().join(", "))
    })
}

fn distinct(features: &[Feature]) -> Result<(), String> {
    require(!features.is_empty() && !repeats(features), || {
        let names: Vec<&str> = Feature::CHOICES.iter().map(|choice| choice.name).collect();
        format!("list at least one of {}, and none of them twice", names.join(", "))
    })
}

fn positive_step(size: &MicroPipSize) -> Result<(), String> {
    let Some(size) = size.fixed() else { return Ok(()) };
    require(size.is_finite() && size > 0.0, || format!("{size} is not a positive price step"))
}

fn share(share: &f64) -> Result<(), String> {
    require(*share > 0.0 && *share <= 1.0, || format!("must be above 0 and at most 1, not {share}"))
}

fn part(share: &f64) -> Result<(), String> {
    require(*share > 0.0 && *share < 1.0, || format!("{share} is not above 0 and below 1"))
}

fn positive(number: &f64) -> Result<(), String> {
    require(number.is_finite() && *number > 0.0, || format!("{number} is not above 0"))
}

fn ascending_boundaries(boundaries: &Option<Vec<f64>>) -> Result<(), String> {
    boundaries.as_deref().map_or(Ok(()), |list| {
        let ascending = list.windows(2).all(|pair| pair[0] < pair[1]) && list.iter().all(|b| b.is_finite());
        require(ascending && (1..=254).contains(&list.len()), || "give 1 to 254 ascending numbers".to_owned())
    })
}

fn at_least_one(count: &u64) -> Result<(), String> {
    require(*count > 0, || "must be at least 1".to_owned())
}

fn ascending_prices(range: &Option<[f64; 2]>) -> Result<(), String> {
    range.map_or(Ok(()), |[low, high]| {
        require(low < high && low.abs() <= 9.2e9 && high.abs() <= 9.2e9, || {
            format!("must be a low and a higher price, both within ±9.2e9, not [{low}, {high}]")
        })
    })
}

fn not_empty<T>(list: &Option<Vec<T>>) -> Result<(), String> {
    require(list.as_ref().is_none_or(|list| !list.is_empty()), || {
        "list at least one, or omit the setting to keep all".to_owned()
    })
}

fn longer_than_zero(length: &Option<Duration>) -> Result<(), String> {
    require(*length != Some(Duration(0)), || "must be longer than zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_come_at_once() {
        let config = Config {
            nbins: 1,
            lookback_rows: 0,
            force_uniform: false,
            drop_unbalanced: true,
            sample_fraction: f64::NAN,
            currency: Some("../x".to_owned()),
            price_range: Some([2.0, 1.0]),
            ..Config::default()
        };
        let problems = config.check().unwrap_err().problems;
        let keys: Vec<_> = problems.iter().map(|p| p.split(':').next().unwrap()).collect();
        assert_eq!(keys, ["currency", "lookback_rows", "nbins", "sample_fraction", "price_range", "drop_unbalanced"]);
    }

    /// Another value of a setting, as text.
    fn another(setting: &Setting, config: &Config) -> String {
        fn of(kind: &ValueKind) -> [&'static str; 2] {
            match kind {
                ValueKind::Switch => ["true", "false"],
                ValueKind::Integer => ["100", "200"],
                ValueKind::Number | ValueKind::NumberOrAuto => ["0.25", "0.5"],
                ValueKind::Text => ["A", "B"],
                ValueKind::Choice(choices) => [choices[0].name, choices[1].name],
                ValueKind::Time => ["2024-10-01", "2024-10-02"],
                ValueKind::Duration => ["15m", "1h"],
                ValueKind::Session => ["08:30-15:00 America/Chicago mon-fri", "17:00-16:00 UTC sun"],
                ValueKind::List(item) => [of(item)[0], "none"],
                ValueKind::Pair(_) => ["0.25,0.5", "none"],
                ValueKind::Targets => ["a=return(3)", "a=return(4)"],
            }
        }
        let [first, second] = of(&setting.kind);
        let mut changed = config.clone();
        setting.set(&mut changed, first).unwrap();
        (if changed == *config { second } else { first }).to_owned()
    }

    #[test]
    fn each_setting_is_written_where_its_scope_decides_and_nowhere_else() {
        let plain = Config::default();
        for setting in SETTINGS {
            let mut changed = plain.clone();
            setting.set(&mut changed, &another(setting, &plain)).unwrap();
            assert_ne!(changed, plain, "{}", setting.key);
            let json = |config: &Config| serde_json::to_string(config).unwrap();
            let differs = [
                ScanSettings::new(&changed) != ScanSettings::new(&plain),
                LabelSettings::new(&changed) != LabelSettings::new(&plain),
                json(&changed) != json(&plain),
                changed.without_run_settings() != plain,
            ];
            let wanted = match setting.scope {
                Scope::Rows => [true, true, true, true],
                Scope::Input => [true, false, true, true],
                Scope::Label => [false, true, true, true],
                Scope::Selection | Scope::Tensor | Scope::Output => [false, false, true, true],
                Scope::Run => [false, false, false, false],
            };
            assert_eq!(differs, wanted, "{}", setting.key);
        }
    }

    #[test]
    fn thresholds_files_and_work_folders_keep_their_keys() {
        let keys = |settings: &mut dyn Iterator<Item = &'static Setting>| settings.map(|s| s.key).collect::<Vec<_>>();
        assert_eq!(
            keys(&mut LabelSettings::settings()),
            [
                "lookback_rows",
                "lookforward_input",
                "lookforward_offset",
                "include_row",
                "nbins",
                "classes",
                "stationary",
                "multiple",
                "boundaries",
                "threshold_scope",
                "targets",
                "rows",
                "bad_book",
                "keep_crossed",
                "price_range",
                "max_gap",
                "sessions",
                "session_breaks"
            ]
        );
        assert_eq!(
            keys(&mut ScanSettings::settings()),
            [
                "rows",
                "bad_book",
                "keep_crossed",
                "price_range",
                "unmapped",
                "publishers",
                "symbols",
                "max_gap",
                "strict"
            ]
        );
        let config = Config { nbins: 7, max_gap: Some(Duration(5)), strict: true, samples: 3, ..Config::default() };
        let labels = LabelSettings::new(&config);
        assert_eq!(labels.to_config(), Config { nbins: 7, max_gap: Some(Duration(5)), ..Config::default() });
        assert!(
            serde_json::to_string(&labels)
                .unwrap()
                .ends_with("\"max_gap\":5,\"sessions\":null,\"session_breaks\":false}")
        );
    }

    #[test]
    fn every_value_comes_back_from_its_text_and_from_json() {
        let plain = Config::default();
        for setting in SETTINGS {
            let mut changed = plain.clone();
            setting.set(&mut changed, &another(setting, &plain)).unwrap();
            for config in [&plain, &changed] {
                let mut back = Config { currency: None, nbins: 99, ..changed.clone() };
                setting.set(&mut back, &setting.text(config)).unwrap();
                assert_eq!(setting.json(&back), setting.json(config), "{}", setting.key);
                let json = serde_json::json!({ setting.key: setting.json(config) });
                let read: Config = serde_json::from_value(json).unwrap();
                assert_eq!(setting.json(&read), setting.json(config), "{}", setting.key);
            }
        }
    }
}
