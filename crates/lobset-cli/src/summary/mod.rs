//! Summaries for people at the end of each command.

mod datasets;
mod estimate;
mod histogram;
mod inspection;
mod others;

use std::path::Path;

use lobset::input::InputEntry;
use lobset::printable;

pub use datasets::{manifest, validation};
pub use estimate::estimate;
pub use inspection::inspection;
pub use others::{cache, report, thresholds};

/// A path with line breaks and control characters escaped.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// A number of bytes.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A count and what is counted: `1 file`, `3 files`.
fn counted(count: usize, what: &str) -> String {
    lobset::counted(count as u64, what)
}

/// Shortest gap to report, in nanoseconds: a quiet minute is not a hole in the data.
const LEAST_GAP: u64 = 60_000_000_000;

/// Formats nanoseconds with their two largest units: `2d 3h`, `15m 2s`, `1.5s`.
fn span(nanos: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = nanos / 1_000_000_000;
    let Some(first) = UNITS.iter().position(|(length, _)| seconds >= *length).filter(|place| *place < 3) else {
        return format!("{:.1}s", nanos as f64 / 1e9);
    };
    let ((large, name), (small, below)) = (UNITS[first], UNITS[first + 1]);
    match seconds % large / small {
        0 => format!("{}{name}", seconds / large),
        rest => format!("{}{name} {rest}{below}", seconds / large),
    }
}

/// Says how many files have no checksums.
fn checksums(files: &[InputEntry]) -> Option<String> {
    match files.iter().filter(|file| file.checksummed != Some(true)).count() {
        0 => None,
        n => Some(format!(
            "{n} of {} files have no zstd checksums: damage in them is found only if it breaks the format or by the hashes in manifest.json",
            files.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let second = 1_000_000_000;
        let texts = [1_500_000_000, 60 * second, 902 * second, 21_600 * second, 183_600 * second].map(span);
        assert_eq!(texts, ["1.5s", "1m", "15m 2s", "6h", "2d 3h"]);
    }
}
