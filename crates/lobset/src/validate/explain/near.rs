//! Errors for symbols and rows that a dataset does not have.

use std::path::Path;

use crate::error::{Error, InputError};
use crate::output::{MANIFEST, Manifest, SymbolEntry};
use crate::printable::grouped;

/// Number of symbols that a message lists.
const MOST_SHOWN: usize = 12;

/// The error for a symbol that the manifest does not list; suggests symbols with similar names.
pub(super) fn no_such_symbol(folder: &Path, manifest: &Manifest, symbol: &str) -> Error {
    let mut names: Vec<&str> = manifest.symbols.iter().map(|entry| entry.symbol.as_str()).collect();
    names.sort_by_cached_key(|name| distance(&name.to_lowercase(), &symbol.to_lowercase()));
    let shown: Vec<String> = names.iter().take(MOST_SHOWN).map(|name| format!("{name:?}")).collect();
    let shown = shown.join(", ");
    let help = match names.len().saturating_sub(MOST_SHOWN) {
        0 => format!("its symbols are {shown}"),
        more => format!("the nearest names are {shown}; the key symbols has these and {} more", grouped(more as u64)),
    };
    InputError::new(&folder.join(MANIFEST), format!("lists no symbol {symbol:?}")).with_help(help).into()
}

/// The error for a row beyond the end of a stream.
pub(super) fn no_such_row(folder: &Path, entry: &SymbolEntry, row: u64) -> Error {
    let SymbolEntry { symbol, rows, .. } = entry;
    let message = format!("{symbol:?} has {} rows in all: there is no row {}", grouped(*rows), grouped(row));
    let help = match rows.checked_sub(1) {
        Some(last) => format!("rows are numbered from 0 to {}, as in the column row", grouped(last)),
        None => "none of its records has a usable quote".to_owned(),
    };
    InputError::new(&folder.join(MANIFEST), message).with_help(help).into()
}

/// The number of letters to insert, delete or replace to turn one text into the other (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        let cases =
            [("", "", 0), ("M6AM4", "M6AM4", 0), ("M6AM4", "M6AU4", 1), ("M6A", "M6AM4", 2), ("kitten", "sitting", 3)];
        for (a, b, want) in cases {
            assert_eq!((distance(a, b), distance(b, a)), (want, want));
        }
    }
}
