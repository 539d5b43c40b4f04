//! Whether the input is what Databento delivered, and what was left out of it.

use serde::{Deserialize, Serialize};

use super::batch::DayCondition;

/// Names that a sentence lists before it says how many more there are.
const MOST_NAMES: usize = 5;

/// What Databento's own files beside the data say of it, and the files that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Batch jobs whose `manifest.json` lies beside input files.
    pub jobs: Vec<String>,
    /// Input files whose size and SHA-256 are those that a `manifest.json` gives.
    pub checked: u64,
    /// Input files that no `manifest.json` names: nothing tells whether they are complete.
    pub unchecked: u64,
    /// Names of those among them that lie beside a `manifest.json`.
    pub unlisted: Vec<String>,
    /// Hidden files (`._x.dbn.zst`) that folders and globs led to, and that were skipped.
    pub hidden: u64,
    /// Names of the first of them.
    pub hidden_names: Vec<String>,
    /// The days of the input that `condition.json` does not call `available`.
    pub days: Vec<DayCondition>,
}

impl Delivery {
    pub(super) fn keep_hidden(&mut self, name: String) {
        self.hidden += 1;
        if self.hidden_names.len() < MOST_NAMES {
            self.hidden_names.push(name);
        }
    }

    /// Sentences for people: whether the input is complete, and what was skipped.
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

    /// Warnings: files that the manifest does not name, and days whose data is not as it should be.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let unlisted = self.unlisted.len() as u64;
        if unlisted > 0 {
            let names = listed(self.unlisted.iter().map(String::as_str), unlisted);
            let lie = if unlisted == 1 { "lies" } else { "lie" };
            warnings.push(format!(
                "{} {lie} beside a manifest.json that does not name {}: {names}",
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

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// The first names, and how many more there are.
fn listed<'a>(names: impl Iterator<Item = &'a str>, count: u64) -> String {
    // A file may have any name; a terminal gets to see harmless ones.
    let first: Vec<String> = names.take(MOST_NAMES).map(|name| name.escape_debug().to_string()).collect();
    match count - first.len() as u64 {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
