//! The symbols that `symbols` names, and whether the input has them.

use std::collections::BTreeSet;

use super::scan::StreamScan;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::{CatalogFile, Symbols, read_metadata};
use crate::near::did_you_mean;
use crate::printable::grouped;

/// Maximum number of symbols that a message lists.
const MOST_LISTED: usize = 20;

/// Refuses symbols that no file maps to an instrument. `mapped` are the symbols that the files map; if there are none,
/// nothing is checked.
///
/// # Errors
/// [`Error::Data`] with the symbols that are missing, and those that the input has.
pub fn check_symbols(config: &Config, mapped: &BTreeSet<String>) -> Result<()> {
    let wanted = config.symbols.iter().flatten().map(String::as_str);
    let missing: Vec<String> = wanted
        .filter(|symbol| !mapped.is_empty() && !mapped.contains(*symbol))
        .map(|symbol| match did_you_mean(symbol, mapped.iter().map(String::as_str)).trim_start_matches("; ") {
            "" => format!("{symbol:?}"),
            near => format!("{symbol:?} ({near})"),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let listed: Vec<&str> = mapped.iter().map(String::as_str).take(MOST_LISTED).collect();
    let help = match mapped.len() - listed.len() {
        0 => format!("the input has {}", listed.join(", ")),
        more => {
            let more = grouped(more as u64);
            format!("the input has {} and {more} more, which lobset inspect lists", listed.join(", "))
        }
    };
    Err(Error::data(format!("symbols: the input does not have {}", missing.join(", nor ")), help))
}

/// Whether a file maps an instrument to a symbol that takes part.
///
/// # Errors
/// [`InputError`](crate::error::InputError) when its metadata cannot be read.
pub fn maps_wanted(config: &Config, file: &CatalogFile) -> Result<bool> {
    let Some(wanted) = &config.symbols else { return Ok(true) };
    let metadata = read_metadata(&file.path)?;
    let symbols = Symbols::of_file(&file.path, &metadata, file.beside.symbology.as_ref())?;
    Ok(symbols.names().iter().any(|name| wanted.contains(name)))
}

/// Warns of the symbols in `symbols` that have no row in any file.
pub fn without_rows<'a>(config: &Config, streams: impl Iterator<Item = &'a StreamScan>) -> Vec<String> {
    let with_rows: BTreeSet<&str> = streams.map(|stream| stream.id.symbol.as_str()).collect();
    let wanted = config.symbols.iter().flatten().filter(|symbol| !with_rows.contains(symbol.as_str()));
    wanted.map(|symbol| format!("{symbol} has no rows in the input")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(symbols: &[&str], mapped: &[&str]) -> Option<[String; 2]> {
        let symbols = Some(symbols.iter().map(|symbol| (*symbol).to_owned()).collect());
        let config = Config { symbols, ..Config::default() };
        let error = check_symbols(&config, &mapped.iter().map(|symbol| (*symbol).to_owned()).collect()).err()?;
        Some([error.to_string(), error.help().unwrap_or_default().to_owned()])
    }

    #[test]
    fn unknown_symbols_are_refused_with_those_there_are() {
        let mapped = ["M6AM4", "M6AU4", "M6AM4-M6AU4"];
        assert_eq!(refusal(&["M6AM4", "M6AU4"], &mapped), None);
        assert_eq!(refusal(&["M6AM4"], &[]), None);
        let [message, help] = refusal(&["m6am4", "M6AM4", "ES.c.0"], &mapped).unwrap();
        assert_eq!(message, "symbols: the input does not have \"m6am4\" (did you mean M6AM4?), nor \"ES.c.0\"");
        assert_eq!(help, "the input has M6AM4, M6AM4-M6AU4, M6AU4");
    }

    #[test]
    fn of_many_symbols_some_are_listed() {
        let names: Vec<String> = (0..5_000).map(|number| format!("S{number:04}")).collect();
        let [_, help] = refusal(&["none of these"], &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert!(
            help.starts_with("the input has S0000, S0001, ")
                && help.ends_with("S0019 and 4,980 more, which lobset inspect lists"),
            "{help}"
        );
    }
}
