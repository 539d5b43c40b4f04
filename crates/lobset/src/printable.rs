//! Text for people: makes external text safe to print and large numbers easy to read.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};
use std::path::Path;

/// Escapes every character that could move the cursor, start a line, be invisible, or reverse the writing direction:
/// `\n`, `\u{1b}`, `\u{202e}`. Returns text without such characters unchanged.
///
/// ```
/// assert_eq!(lobset::printable("ESM4"), "ESM4");
/// assert_eq!(lobset::printable("x\u{1b}[2J\nvalidation passed"), "x\\u{1b}[2J\\nvalidation passed");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let escape = |mut to: String, c: char| {
        // Writing to a String does not fail.
        let _ = if is_plain(c) { to.write_char(c) } else { write!(to, "{}", c.escape_debug()) };
        to
    };
    Cow::Owned(text.chars().fold(String::new(), escape))
}

/// True for a character that `escape_debug` leaves unchanged, and for quotes and backslashes, which are harmless.
fn is_plain(c: char) -> bool {
    matches!(c, ' '..='~') || c.escape_debug().len() == 1
}

/// Formats a number with commas between groups of three digits.
pub fn grouped(number: u64) -> String {
    grouped_digits(&number.to_string())
}

/// A count and what is counted: `1 row`, `1,200 rows`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", grouped(count)) }
}

/// Like [`grouped`], for the digits of an integer of any size and sign.
pub(crate) fn grouped_digits(integer: &str) -> String {
    let (sign, digits) = integer.strip_prefix('-').map_or(("", integer), |digits| ("-", digits));
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|g| std::str::from_utf8(g).ok()).collect();
    format!("{sign}{}", groups.join(","))
}

/// Shows a path as [`printable`] text.
pub(crate) struct Shown<'a>(pub &'a Path);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_language_stays() {
        for text in ["", "ESM4", "C:\\data\\\"x\"", "Überstunden 東京 Ω", "it's"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        let hostile = "a\u{1b}[31m\u{7}\r\n\t\u{9b}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{7f}b";
        let shown = printable(hostile);
        assert!(shown.chars().all(|c| (' '..='~').contains(&c)), "{shown}");
        assert_eq!(Shown(Path::new("x\ny")).to_string(), "x\\ny");
    }
}
