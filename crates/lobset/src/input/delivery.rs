//! Whether the input matches what Databento delivered, and which files were skipped.

use serde::{Deserialize, Serialize};

use super::batch::DayCondition;
use crate::printable::counted;

/// Maximum number of names that a sentence lists; the rest are only counted.
const MOST_NAMES: usize = 5;

/// What Databento's support files say about the input, and which files were skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Batch jobs whose `manifest.json` is in the folder of input files.
    pub jobs: Vec<String>,
    /// Number of input files whose size and SHA-256 match a `manifest.json`.
    pub checked: u64,
    /// Number of input files that no `manifest.json` names, so that their completeness is unknown.
    pub unchecked: u64,
    /// Names of the unchecked files that are in the same folder as a `manifest.json`.
    pub unlisted: Vec<String>,
    /// Number of hidden files (`._x.dbn.zst`) found through folders and globs, and skipped.
    pub hidden: u64,
    /// Names of the first few hidden files.
    pub hidden_names: Vec<String>,
    /// The days of the input that are not `available` according to `condition.json`.
    pub days: Vec<DayCondition>,
}

impl Delivery {
    pub(super) fn keep_hidden(&mut self, name: String) {
        self.hidden += 1;
        if self.hidden_names.len() < MOST_NAMES {
            self.hidden_names.push(name);
        }
    }

    /// Sentences for the user: whether the input is complete, and what was skipped.
    pub fn sentences(&self) -> Vec<String> {
        let files = self.checked + self.unchecked;
        let unlisted = "no Databento manifest.json lists";
        let jobs = self.jobs.join(", ");
        let mut sentences = vec![match (self.checked, self.unchecked) {
            (0, _) => format!("completeness was not checked: {unlisted} the files"),
            (_, 0) => format!("all {files} files match manifest.json ({jobs}) in size and hash"),
            (checked, unchecked) => format!(
                "{checked} of {files} files match manifest.json ({jobs}) in size and hash; completeness of the other {unchecked} was not checked: {unlisted} them"
            ),
        }];
        if self.hidden > 0 {
            let names = listed(self.hidden_names.iter().map(String::as_str), self.hidden);
            sentences.push(format!("skipped {}: {names}", counted(self.hidden, "hidden file")));
        }
        sentences
    }

    /// Warnings: data files that the manifest does not name, and days whose data is not `available`.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let unlisted = self.unlisted.len() as u64;
        if unlisted > 0 {
            let names = listed(self.unlisted.iter().map(String::as_str), unlisted);
            let are = if unlisted == 1 { "is" } else { "are" };
            warnings.push(format!(
                "{} {are} next to a manifest.json that does not list {}: {names}",
                counted(unlisted, "data file"),
                if unlisted == 1 { "it" } else { "them" }
            ));
        }
        let mut conditions: Vec<&str> = self.days.iter().map(|day| day.condition.as_str()).collect();
        conditions.sort_unstable();
        conditions.dedup();
        for condition in conditions {
            let of_it = || self.days.iter().filter(|day| day.condition == condition).map(|day| day.date.as_str());
            let count = of_it().count() as u64;
            let are = if count == 1 { "is" } else { "are" };
            warnings.push(format!(
                "condition.json: {} of the input {are} {condition}: {}",
                counted(count, "day"),
                listed(of_it(), count)
            ));
        }
        warnings
    }
}

/// Lists the first few names and says how many more there are.
fn listed<'a>(names: impl Iterator<Item = &'a str>, count: u64) -> String {
    // A file name may contain any characters: escape those that affect a terminal.
    let first: Vec<String> = names.take(MOST_NAMES).map(|name| name.escape_debug().to_string()).collect();
    match count - first.len() as u64 {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
