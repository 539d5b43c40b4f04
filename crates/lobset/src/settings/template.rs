//! A settings file to start from: every setting with its meaning and its default.

use crate::config::{Config, SETTINGS};

/// The name of the schema that the file refers to.
pub const SCHEMA_FILE: &str = "lobset.schema.json";

/// Width of a line of the file.
const WIDTH: usize = 100;

/// A `lobset.toml` with every setting, its meaning, and its default for a currency. All settings but the currency are
/// commented out, so the file as it is means the same as `currency` alone.
pub fn template(currency: Option<&str>) -> String {
    let config = currency.map_or_else(Config::default, Config::preset);
    let mut text = format!("#:schema ./{SCHEMA_FILE}\n\n");
    text += &comment(
        "The settings of lobset. Lines that begin with # and a key are defaults: remove the # to change one. Use the file with: lobset process INPUT -o OUT --config lobset.toml",
    );
    for setting in SETTINGS {
        let off = if setting.key == "currency" && currency.is_some() { "" } else { "#" };
        text += &format!("\n{}{off}{} = {}\n", comment(&setting.meaning()), setting.key, setting.toml(&config));
    }
    text
}

/// A comment in lines of at most [`WIDTH`] characters, where words permit.
fn comment(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Layer, resolve};

    fn resolved(text: &str) -> Config {
        resolve(&[Layer::from_toml("lobset.toml", text).unwrap()]).unwrap()
    }

    #[test]
    fn the_file_means_what_it_says() {
        assert_eq!(resolved(&template(None)), Config::default());
        for currency in ["AUDUSD", "gbpusd", "USDJPY", "ES"] {
            let text = template(Some(currency));
            assert_eq!(resolved(&text), Config::preset(currency));
            // Every line that can be switched on is a valid one, and says the default.
            let all: String = text
                .lines()
                .map(|line| line.strip_prefix('#').filter(|line| !line.starts_with([' ', ':'])).unwrap_or(line))
                .map(|line| format!("{line}\n"))
                .collect();
            assert_eq!(resolved(&all), Config::preset(currency));
            assert_eq!(
                all.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(),
                SETTINGS.len()
            );
        }
    }

    #[test]
    fn comments_are_wrapped() {
        let text = comment(&"word ".repeat(60));
        assert!(text.lines().count() > 2 && text.lines().all(|line| line.starts_with("# ") && line.len() <= WIDTH));
    }
}
