//! The currency of a run: either the one in the settings, or the one that follows from the metadata of the input.

use std::collections::BTreeSet;

use super::produce::check_thresholds;
use super::scan::set_aside;
use super::wanted::check_symbols;
use crate::config::presets::of_root;
use crate::config::{Config, check_tag};
use crate::error::{Error, InputError, Result};
use crate::input::{Found, FoundFile, Symbols, open_all, read_metadata};
use crate::label::Thresholds;
use crate::run::map_ordered;

/// The dataset whose symbols have the roots of CME.
const CME: &str = "GLBX.MDP3";

/// Completes the settings of a run once its input has been found: with the currency known, its preset fills in what the
/// user has left open.
///
/// # Errors
/// [`ConfigError`](crate::error::ConfigError) with every setting that differs from those of `given` thresholds,
/// [`InputError`] when no file can be read, [`Error::Data`] when no tag follows from the input, or it does not have one of
/// `symbols`.
pub fn resolved(config: &Config, given: Option<&Thresholds>, found: &Found, threads: usize) -> Result<Config> {
    let config = if config.currency.is_some() && config.symbols.is_none() {
        config.with_currency("")
    } else {
        let markets = markets(config, found, threads)?;
        match config.currency {
            Some(_) => config.with_currency(""),
            None => config.with_currency(&tag_of_markets(&markets)?),
        }
    };
    config.check()?;
    check_thresholds(&config, given)?;
    Ok(config)
}

/// What the metadata of a file says about its market.
struct Market {
    /// Databento's code of the dataset.
    dataset: String,
    /// The preset of all its symbols that take part, if they share one.
    preset: Option<&'static str>,
    /// Whether it has symbols that take part.
    takes_part: bool,
}

/// The markets of the files that have symbols that take part.
///
/// # Errors
/// [`InputError`] when no file can be read, [`Error::Data`] when the input does not have one of `symbols`.
fn markets(config: &Config, found: &Found, threads: usize) -> Result<Vec<Market>> {
    let mut markets: Vec<Market> = Vec::new();
    let mut mapped: BTreeSet<String> = BTreeSet::new();
    // The scan reports the files that cannot be read, with everything that is wrong with them.
    let mut unread = Vec::new();
    map_ordered(
        threads,
        0,
        &found.files,
        |file| set_aside(market(config, file)),
        |outcome| {
            match outcome {
                Ok((market, names)) => {
                    markets.push(market);
                    mapped.extend(names);
                }
                Err(error) => unread.push(error),
            }
            Ok(())
        },
    )?;
    if markets.is_empty() {
        InputError::check(open_all(found)?.1)?;
        InputError::check(unread)?;
    } else if unread.is_empty() {
        check_symbols(config, &mapped)?;
    }
    if markets.iter().any(|market| market.takes_part) {
        markets.retain(|market| market.takes_part);
    }
    Ok(markets)
}

/// Whether a symbol takes part.
fn wants(config: &Config, symbol: &String) -> bool {
    config.symbols.as_ref().is_none_or(|wanted| wanted.contains(symbol))
}

/// The market of a file, and its symbols if they are to be compared with `symbols`.
fn market(config: &Config, FoundFile { path, beside, .. }: &FoundFile) -> Result<(Market, Vec<String>)> {
    let metadata = read_metadata(path)?;
    let symbols = Symbols::of_file(path, &metadata, beside.symbology.as_ref())?;
    let mut taking_part = symbols.names().iter().filter(|name| wants(config, name)).map(String::as_str).peekable();
    let takes_part = taking_part.peek().is_some();
    let preset = if metadata.dataset == CME { preset_of(taking_part) } else { None };
    let names = if config.symbols.is_some() { symbols.names().to_vec() } else { Vec::new() };
    Ok((Market { dataset: metadata.dataset, preset, takes_part }, names))
}

fn tag_of_markets(markets: &[Market]) -> Result<String> {
    let presets: BTreeSet<_> = markets.iter().map(|market| market.preset).collect();
    if let [Some(preset)] = Vec::from_iter(presets)[..] {
        return Ok(preset.to_owned());
    }
    let datasets: BTreeSet<&str> = markets.iter().map(|market| market.dataset.as_str()).collect();
    let tag = Vec::from_iter(datasets).join("-");
    check_tag(&tag).map_err(|problem| {
        Error::data(
            format!("no tag for the names of the datasets follows from the input: its dataset code {problem}"),
            "name a tag: currency = \"…\" (--currency TAG)",
        )
    })?;
    Ok(tag)
}

/// The tag of the preset that all these symbols belong to.
fn preset_of<'a>(symbols: impl Iterator<Item = &'a str>) -> Option<&'static str> {
    let mut preset = None;
    for leg in symbols.flat_map(legs) {
        let found = of_root(root(leg)?)?;
        if *preset.get_or_insert(found) != found {
            return None;
        }
    }
    preset
}

/// The futures that a CME symbol names: both legs of a spread (`6AM4-6AU4`), or the underlying of an option (`6AM4
/// C6500`).
fn legs(symbol: &str) -> impl Iterator<Item = &str> {
    symbol.split(' ').next().unwrap_or_default().split('-')
}

/// The root of a future. The symbol is that of a contract, which ends in the letter of a month and one or two digits of
/// the year (`6AM4`), or a continuous or parent symbol (`6A.c.0`, `6A.FUT`).
fn root(future: &str) -> Option<&str> {
    if let Some((root, _)) = future.split_once('.') {
        return Some(root);
    }
    let contract = future.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = future.len() - contract.len();
    let root = contract.strip_suffix(|month| "FGHJKMNQUVXZ".contains(month))?;
    (1..=2).contains(&digits).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preset(symbols: &[&str]) -> Option<&'static str> {
        preset_of(symbols.iter().copied())
    }

    #[test]
    fn the_roots_of_all_symbols_name_the_preset() {
        assert_eq!(preset(&["M6AM4", "M6AU4", "M6AM4-M6AU4", "6AM24"]), Some("AUDUSD"));
        assert_eq!(preset(&["6E.c.0", "6E.v.1", "M6E.FUT", "6EM4 C10800", "E7M4"]), Some("EURUSD"));
        assert_eq!(preset(&["6BZ5"]), Some("GBPUSD"));
        // JPY/USD is not USD/JPY.
        assert_eq!(preset(&["6JM4"]), None);
        assert_eq!(preset(&["MJYM4"]), None);
        // Several markets, other symbols, and no futures.
        for mixed in
            [&["6AM4", "6EM4"][..], &["6AM4-6EM4"], &["6AM4", "ESM4"], &["6A"], &["6AM"], &["6AM124"], &["-"], &[]]
        {
            assert_eq!(preset(mixed), None, "{mixed:?}");
        }
    }

    #[test]
    fn input_of_other_or_several_markets_has_the_code_of_its_dataset() {
        let tag = |markets: &[(&str, Option<&'static str>)]| {
            let market = |(dataset, preset): &(&str, _)| Market {
                dataset: (*dataset).to_owned(),
                preset: *preset,
                takes_part: true,
            };
            tag_of_markets(&markets.iter().map(market).collect::<Vec<_>>())
        };
        let aud = (CME, Some("AUDUSD"));
        assert_eq!(tag(&[aud, aud]).unwrap(), "AUDUSD");
        assert_eq!(tag(&[aud, (CME, Some("EURUSD"))]).unwrap(), CME);
        assert_eq!(tag(&[aud, (CME, None)]).unwrap(), CME);
        assert_eq!(tag(&[("XBIN.DEPTH", None)]).unwrap(), "XBIN.DEPTH");
        assert_eq!(tag(&[("XNAS.ITCH", None), aud, ("XNAS.ITCH", None)]).unwrap(), "GLBX.MDP3-XNAS.ITCH");
        for bad in ["", "../up", "two words", "\u{1b}[2J", "A123456789012345678901234567890123"] {
            let error = tag(&[(bad, None)]).unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
            assert!(error.help().unwrap().contains("--currency TAG"));
        }
    }
}
