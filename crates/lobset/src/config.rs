//! The table of settings, and everything that follows from it: [`Config`], its checks, the structs of single scopes, and
//! [`SETTINGS`], from which the command line, the environment, TOML files, Python and the README have theirs.

mod choices;
mod setting;
mod table;
mod values;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

pub use choices::{Aliases, Columns, Compression, Derived, Feature, PriceType, ThresholdScope, Unmapped};
pub use setting::{Scope, Setting};
use table::{by_scope, optional, scope, scoped, settings};
pub use values::{Choice, Kind, SettingValue};

use crate::error::ConfigError;
use crate::time_text::{Duration, Timestamp};

/// The longest window, in rows. It keeps every exact sum and product of a label within 128 bits.
pub const MAX_WINDOW_ROWS: u64 = 1 << 30;

settings! {
    /// Tag in the file names, and the preset that fills the other defaults.
    output currency: String = "AUDUSD".to_owned(), "TAG", check tag;
    /// Channels of the depth tensors made from the dataset.
    tensor features: Vec<Feature> = vec![Feature::Volume, Feature::Variance], "LIST", check distinct;
    /// L, rows of the past window.
    label lookback_rows: u64 = 5_000, "ROWS", in 1..=MAX_WINDOW_ROWS;
    /// F, rows of the future window.
    label lookforward_input: u64 = 5_000, "ROWS", in 1..=MAX_WINDOW_ROWS;
    /// O, rows skipped between the row and the future window.
    label lookforward_offset: u64 = 500, "ROWS", in 0..=MAX_WINDOW_ROWS;
    /// Rows in one depth tensor's window, a multiple of `ticks_per_bin`.
    tensor samples: u64 = 50_000, "ROWS";
    /// Rows per time bin of a depth tensor.
    tensor ticks_per_bin: u64 = 100, "ROWS";
    /// Price step of a depth tensor's ladder, in price units.
    tensor micro_pip_size: f64 = 0.00001, "PRICE", check positive_step;
    /// Classes.
    label nbins: u16 = 21, "N", in 2..=255;
    /// Share of the fit half's files that the boundaries are fitted on; above 0, at most 1.
    selection sample_fraction: f64 = 1.0, "SHARE", check share;
    /// Whose movements a set of boundaries is fitted on.
    label threshold_scope: ThresholdScope = ThresholdScope::Global, "SCOPE";
    /// Mark an exactly uniform subset in the column `balanced`.
    output force_uniform: bool = true, "BOOL";
    /// Write the marked rows alone.
    output drop_unbalanced: bool = false, "BOOL";
    /// Labelled rows that a symbol needs to get a dataset; at least 1.
    selection min_symbol_samples: u64 = 50_000, "ROWS", check at_least_one;
    /// Keep the work folder.
    run keep_intermediate: bool = false, "BOOL";
    /// The boundary time T, a date (2024-10-01) or an RFC 3339 time; by default the start of the file in the middle.
    selection fit_until: Option<Timestamp> = None, "TIME";
    /// Keep quotes whose best bid is above the best ask.
    rows keep_crossed: bool = false, "BOOL";
    /// Drop quotes outside these two prices.
    rows price_range: Option<[f64; 2]> = None, "LOW,HIGH", check ascending_prices;
    /// What happens to an instrument that the file's mappings do not name.
    input unmapped: Unmapped = Unmapped::Error, "WHAT";
    /// Keep the records of these publishers alone, by their ids (39,40); by default of all.
    input publishers: Option<Vec<u16>> = None, "LIST", check not_empty;
    /// What happens when one instrument stands under two symbols at the same time.
    selection aliases: Aliases = Aliases::Error, "WHAT";
    /// A pause in `ts_recv` longer than this (15m, 2h) breaks a symbol's stream: no window reaches across.
    rows max_gap: Option<Duration> = None, "TIME", check longer_than_zero;
    /// Refuse files with impossible values (unknown actions and sides, levels out of order), which are counted and warned about otherwise.
    input strict: bool = false, "BOOL";
    /// How prices are written.
    output price_type: PriceType = PriceType::Float, "TYPE";
    /// Which of a record's fields are written.
    output columns: Columns = Columns::All, "SET";
    /// Columns computed from the book of a row and of the row before, by their names; none by default.
    output derived: Vec<Derived> = Vec::new(), "LIST", check no_repeats;
    /// The codec of the Parquet pages.
    output compression: Compression = Compression::Zstd, "CODEC";
}

impl Config {
    /// The defaults of a currency: its preset, or the plain defaults for a tag without one.
    pub fn preset(currency: &str) -> Self {
        let mut config = Self { currency: currency.to_owned(), ..Self::default() };
        match currency {
            "GBPUSD" => config.lookforward_input = 3_000,
            "USDJPY" | "EURJPY" | "GBPJPY" => {
                config.micro_pip_size = 0.001;
                config.nbins = 9;
            }
            _ => {}
        }
        config
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
        if self.drop_unbalanced && !self.force_uniform {
            problems.push("drop_unbalanced: needs force_uniform = true, which marks the rows to keep".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(value: T, least: T, most: T) -> Result<(), String> {
    let inside = least <= value && value <= most;
    require(inside, || format!("{value} is outside {least} to {most}"))
}

fn require(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

fn tag(text: &str) -> Result<(), String> {
    let holds = (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !text.starts_with('.');
    require(holds, || format!("{text:?} is not a tag of 1 to 32 letters, digits, '.', '_' or '-'"))
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
        format!("name each of {} at most once, and one at least", names.join(", "))
    })
}

fn positive_step(size: &f64) -> Result<(), String> {
    require(size.is_finite() && *size > 0.0, || format!("{size} is not a positive price step"))
}

fn share(share: &f64) -> Result<(), String> {
    require(*share > 0.0 && *share <= 1.0, || format!("{share} is not above 0 and at most 1"))
}

fn at_least_one(count: &u64) -> Result<(), String> {
    require(*count > 0, || "must be at least 1".to_owned())
}

fn ascending_prices(range: &Option<[f64; 2]>) -> Result<(), String> {
    range.map_or(Ok(()), |[low, high]| {
        require(low < high && low.abs() <= 9.2e9 && high.abs() <= 9.2e9, || {
            format!("[{low}, {high}] is not a low and a higher price within 9.2e9")
        })
    })
}

fn not_empty(publishers: &Option<Vec<u16>>) -> Result<(), String> {
    require(publishers.as_ref().is_none_or(|publishers| !publishers.is_empty()), || {
        "name one publisher at least, or leave the setting out to keep all".to_owned()
    })
}

fn longer_than_zero(length: &Option<Duration>) -> Result<(), String> {
    require(*length != Some(Duration(0)), || "must be longer than zero".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_fill_the_defaults() {
        assert_eq!(Config::preset("AUDUSD"), Config::default());
        assert_eq!(Config::preset("GBPUSD").lookforward_input, 3_000);
        assert_eq!(Config::preset("EURJPY").nbins, 9);
        assert_eq!(Config::preset("ES").nbins, Config::default().nbins);
    }

    #[test]
    fn all_problems_come_at_once() {
        let config = Config {
            nbins: 1,
            lookback_rows: 0,
            force_uniform: false,
            drop_unbalanced: true,
            sample_fraction: f64::NAN,
            currency: "../x".to_owned(),
            price_range: Some([2.0, 1.0]),
            ..Config::default()
        };
        let problems = config.check().unwrap_err().problems;
        let keys: Vec<_> = problems.iter().map(|p| p.split(':').next().unwrap()).collect();
        assert_eq!(keys, ["currency", "lookback_rows", "nbins", "sample_fraction", "price_range", "drop_unbalanced"]);
    }

    /// Another value of a setting, as text.
    fn another(setting: &Setting, config: &Config) -> String {
        fn of(kind: &Kind) -> [&'static str; 2] {
            match kind {
                Kind::Switch => ["true", "false"],
                Kind::Integer => ["100", "200"],
                Kind::Number => ["0.25", "0.5"],
                Kind::Text => ["A", "B"],
                Kind::Choice(choices) => [choices[0].name, choices[1].name],
                Kind::Time => ["2024-10-01", "2024-10-02"],
                Kind::Duration => ["15m", "1h"],
                Kind::List(item) => [of(item)[0], "none"],
                Kind::Pair(_) => ["0.25,0.5", "none"],
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
                "nbins",
                "threshold_scope",
                "keep_crossed",
                "price_range",
                "max_gap"
            ]
        );
        assert_eq!(
            keys(&mut ScanSettings::settings()),
            ["keep_crossed", "price_range", "unmapped", "publishers", "max_gap", "strict"]
        );
        let config = Config { nbins: 7, max_gap: Some(Duration(5)), strict: true, samples: 3, ..Config::default() };
        let labels = LabelSettings::new(&config);
        assert_eq!(labels.to_config(), Config { nbins: 7, max_gap: Some(Duration(5)), ..Config::default() });
        assert!(serde_json::to_string(&labels).unwrap().ends_with("\"price_range\":null,\"max_gap\":5}"));
    }

    #[test]
    fn every_value_comes_back_from_its_text_and_from_json() {
        let plain = Config::default();
        for setting in SETTINGS {
            let mut changed = plain.clone();
            setting.set(&mut changed, &another(setting, &plain)).unwrap();
            for config in [&plain, &changed] {
                let mut back = Config { currency: String::new(), nbins: 99, ..changed.clone() };
                setting.set(&mut back, &setting.text(config)).unwrap();
                assert_eq!(setting.json(&back), setting.json(config), "{}", setting.key);
                let json = serde_json::json!({ setting.key: setting.json(config) });
                let read: Config = serde_json::from_value(json).unwrap();
                assert_eq!(setting.json(&read), setting.json(config), "{}", setting.key);
            }
        }
    }
}
