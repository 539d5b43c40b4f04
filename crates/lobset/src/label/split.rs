//! The split of a row: its side of the boundary time.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// The position of a labelled row relative to the boundary time T.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Split {
    /// The last row of its future window comes before T: the thresholds may be fitted on it.
    Fit,
    /// The row comes before T, but the end of its future window does not.
    Embargo,
    /// The row comes at T or later.
    Holdout,
}

impl Split {
    /// All splits, in order of time.
    pub const ALL: [Self; 3] = [Self::Fit, Self::Embargo, Self::Holdout];

    /// The names of the splits, as written in the column `split`.
    pub const NAMES: [&'static str; 3] = ["fit", "embargo", "holdout"];

    /// The name of the split.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The split with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Assigns the labelled rows of a symbol to splits by row number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Splits {
    /// The first row that is not `fit`; at most `boundary_row`.
    pub fit_end: u64,
    /// The first row at T or later (by the running maximum of `ts_recv`).
    pub boundary_row: u64,
}

impl Splits {
    /// Cuts a range of rows where the split changes. Some of the resulting ranges may be empty.
    pub fn cut(&self, rows: Range<u64>) -> [(Split, Range<u64>); 3] {
        let [fit_end, boundary_row] = [self.fit_end, self.boundary_row].map(|row| row.clamp(rows.start, rows.end));
        [
            (Split::Fit, rows.start..fit_end),
            (Split::Embargo, fit_end..boundary_row),
            (Split::Holdout, boundary_row..rows.end),
        ]
    }
}
