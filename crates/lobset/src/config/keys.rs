//! The text of a target: a kind, then keys and values, separated by commas.

use std::str::FromStr;

use crate::error::ParseError;
use crate::near::did_you_mean;

/// Separates numbers in the text of a target, whose keys are separated by commas.
pub(super) const BETWEEN_NUMBERS: &str = "/";

/// The value of a number in a target.
pub(super) fn number<T: FromStr>(key: &str, text: &str) -> Result<T, String> {
    text.replace('_', "").parse().map_err(|_| format!("{key}: {text:?} is not a number that fits"))
}

/// The keys and values of a target's text, which are taken one by one. Any that are left over are unknown.
pub(super) struct Keys<'a> {
    given: Vec<(&'a str, &'a str)>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    pub fn new(given: Vec<(&'a str, &'a str)>) -> Self {
        Self { given, known: Vec::new() }
    }

    pub fn take(&mut self, key: &'static str) -> Option<&'a str> {
        self.known.push(key);
        let place = self.given.iter().position(|(found, _)| *found == key)?;
        Some(self.given.remove(place).1)
    }

    /// Refuses a key that was given but not taken. `what` is the thing that has the keys, for the message.
    pub fn finish(self, what: &str) -> Result<(), String> {
        match self.given.first() {
            None => Ok(()),
            Some((key, _)) if self.known.contains(key) => Err(format!("{key:?} is given twice")),
            Some((key, _)) => Err(format!(
                "{key:?} is not a key of {what}{}; its keys are {}",
                did_you_mean(key, self.known.iter().copied()),
                self.known.join(", ")
            )),
        }
    }

    pub fn text<T: FromStr<Err = ParseError>>(&mut self, key: &'static str, default: &str) -> Result<T, String> {
        self.take(key).unwrap_or(default).parse().map_err(|message| format!("{key}: {message}"))
    }

    pub fn number<T: FromStr>(&mut self, key: &'static str, default: T) -> Result<T, String> {
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
