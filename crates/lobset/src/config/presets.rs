//! Markets with their own defaults.

use super::{Config, MicroPipSize, SETTINGS, Setting};

/// The defaults of a market.
struct Preset {
    /// The tag, in file names.
    name: &'static str,
    /// The roots of its futures at CME, but only of those quoted as the name says: 6J, in dollars per yen, is not
    /// USDJPY.
    roots: &'static [&'static str],
    /// Changes the plain defaults.
    apply: fn(&mut Config),
}

/// Quoted in dollars.
const fn in_dollars(name: &'static str, roots: &'static [&'static str]) -> Preset {
    let apply = |config: &mut Config| config.micro_pip_size = MicroPipSize::Fixed(0.00001);
    Preset { name, roots, apply }
}

/// Quoted in yen: prices a hundred times those of the others.
const fn in_yen(name: &'static str, roots: &'static [&'static str]) -> Preset {
    let apply = |config: &mut Config| {
        config.micro_pip_size = MicroPipSize::Fixed(0.001);
        config.nbins = 9;
    };
    Preset { name, roots, apply }
}

const PRESETS: &[Preset] = &[
    in_dollars("AUDUSD", &["6A", "M6A"]),
    in_dollars("EURUSD", &["6E", "M6E", "E7"]),
    Preset {
        apply: |config| {
            config.micro_pip_size = MicroPipSize::Fixed(0.00001);
            config.lookforward_input = 3_000;
        },
        ..in_dollars("GBPUSD", &["6B", "M6B"])
    },
    in_yen("USDJPY", &[]),
    in_yen("EURJPY", &["RY"]),
    in_yen("GBPJPY", &["PJY"]),
];

fn find(tag: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name.eq_ignore_ascii_case(tag))
}

/// The tag as its preset spells it, so that a market has one name regardless of case. A tag without a preset is
/// returned unchanged.
pub(crate) fn spelled(tag: &str) -> &str {
    find(tag).map_or(tag, |preset| preset.name)
}

/// The tag of the preset that a root of CME futures belongs to.
pub(crate) fn of_root(root: &str) -> Option<&'static str> {
    PRESETS.iter().find(|preset| preset.roots.contains(&root)).map(|preset| preset.name)
}

impl Config {
    /// The tags that have a preset, each with the roots of its futures at CME.
    pub fn presets() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        PRESETS.iter().map(|preset| (preset.name, preset.roots))
    }

    /// The defaults of a currency: its preset, looked up regardless of case, or the plain defaults for a tag without
    /// one.
    pub fn preset(currency: &str) -> Self {
        let mut config = Self { currency: Some(spelled(currency).to_owned()), ..Self::default() };
        if let Some(preset) = find(currency) {
            (preset.apply)(&mut config);
        }
        config
    }

    /// True if a setting will take its value from the preset of the currency found in the data: no currency is named,
    /// some preset changes the setting, and the user has not set it.
    pub(crate) fn is_open(&self, setting: &Setting) -> bool {
        self.currency.is_none()
            && is_preset(setting)
            && !self.held.contains(setting.key)
            && setting.json(self) == setting.json(&Self::default())
    }

    /// The settings with a currency: the one that they name, spelled as in its preset, or else `tag`, whose preset then
    /// fills the open settings.
    #[must_use]
    pub(crate) fn with_currency(&self, tag: &str) -> Self {
        let mut config = self.clone();
        let preset = Self::preset(self.currency.as_deref().unwrap_or(tag));
        SETTINGS.iter().filter(|setting| self.is_open(setting)).for_each(|setting| setting.copy(&mut config, &preset));
        config.currency = preset.currency;
        config.held.clear();
        config
    }

    /// Notes which of the settings that a user has set would otherwise take their values from a preset.
    pub(crate) fn hold<'a>(&mut self, set: impl Iterator<Item = &'a str>) {
        let set: Vec<&str> = set.collect();
        let open = SETTINGS.iter().filter(|setting| set.contains(&setting.key) && self.is_open(setting));
        self.held = open.map(|setting| setting.key.to_owned()).collect();
    }
}

/// True if some preset changes the default of a setting.
fn is_preset(setting: &Setting) -> bool {
    let default = setting.json(&Config::default());
    setting.key != "currency" && PRESETS.iter().any(|preset| setting.json(&Config::preset(preset.name)) != default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_fill_the_defaults() {
        let plain = |tag: &str| Config { currency: Some(tag.to_owned()), ..Config::default() };
        assert_eq!(Config::preset("ES"), plain("ES"));
        let in_dollars = Config { micro_pip_size: MicroPipSize::Fixed(0.00001), ..plain("AUDUSD") };
        assert_eq!(Config::preset("AUDUSD"), in_dollars);
        assert_eq!(Config::preset("GBPUSD").lookforward_input, 3_000);
        assert_eq!(Config::preset("EURJPY").nbins, 9);
    }

    #[test]
    fn the_case_of_letters_makes_no_other_market() {
        for tag in ["usdjpy", "UsdJpy", "USDJPY"] {
            assert_eq!(Config::preset(tag), Config::preset("USDJPY"));
        }
        assert_eq!(Config::preset("es").currency.as_deref(), Some("es"));
        assert_eq!(Config::preset("eurusd").currency.as_deref(), Some("EURUSD"));
    }

    #[test]
    fn a_preset_from_the_data_fills_what_the_user_has_not_set() {
        let open = Config { lookback_rows: 7, ..Config::default() };
        let filled = open.with_currency("GBPJPY");
        assert_eq!(filled, Config { lookback_rows: 7, ..Config::preset("GBPJPY") });
        // A value other than the default was set; one that equals the default is held.
        let set =
            Config { micro_pip_size: MicroPipSize::Fixed(0.5), held: ["nbins".to_owned()].into(), ..Config::default() };
        let filled = set.with_currency("GBPJPY");
        assert_eq!((filled.micro_pip_size, filled.nbins, filled.held.len()), (MicroPipSize::Fixed(0.5), 21, 0));
        // A named currency has already filled its settings.
        let named = Config { currency: Some("gbpusd".to_owned()), ..Config::default() };
        let spelled = named.with_currency("GBPJPY");
        assert_eq!(spelled, Config { currency: Some("GBPUSD".to_owned()), ..Config::default() });
    }

    #[test]
    fn roots_belong_to_the_market_that_they_are_quoted_as() {
        let found = ["6A", "M6A", "6B", "M6E", "RY", "6J", "MJY", "6a", "ES", ""].map(of_root);
        assert_eq!(
            found,
            [
                Some("AUDUSD"),
                Some("AUDUSD"),
                Some("GBPUSD"),
                Some("EURUSD"),
                Some("EURJPY"),
                None,
                None,
                None,
                None,
                None
            ]
        );
    }
}
