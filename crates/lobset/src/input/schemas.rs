//! Explains input with several schemas: what each file contains, and which glob matches those of mbp-10.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dbn::Schema;
use glob::{MatchOptions, Pattern};

use super::find::Found;
use super::opened::read_metadata;
use crate::error::InputError;
use crate::printable::printable;
use crate::storage;

/// What a file contains, according to its metadata.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holds {
    Mbp10,
    Other(String),
    Mixture,
    Unreadable,
}

impl Holds {
    fn of(path: &Path) -> Self {
        match read_metadata(path).map(|metadata| metadata.schema) {
            Ok(Some(Schema::Mbp10)) => Self::Mbp10,
            Ok(Some(schema)) => Self::Other(schema.to_string()),
            Ok(None) => Self::Mixture,
            Err(_) => Self::Unreadable,
        }
    }

    fn describe(&self, files: &[&Path]) -> String {
        let what = match self {
            Self::Mbp10 => "mbp-10",
            Self::Other(schema) => schema,
            Self::Mixture => "a mix of schemas",
            Self::Unreadable => "unreadable data",
        };
        let names: Vec<String> =
            files.iter().take(2).map(|path| printable(&storage::file_name(path)).into_owned()).collect();
        match files.len() - names.len() {
            0 => format!("{what} in {}", names.join(" and ")),
            more => format!("{what} in {} and {more} more", names.join(", ")),
        }
    }
}

/// If some of several files were refused for their schema, replaces those errors with a single one that lists what the
/// files of the input contain and how to name those of mbp-10. Other errors are kept. Opens all files again; the run
/// has already failed, so the extra time does not matter.
pub(crate) fn explain_schemas(refused: Vec<InputError>, found: &Found) -> Vec<InputError> {
    let by_schema = |error: &InputError| matches!(Holds::of(&error.path), Holds::Other(_) | Holds::Mixture);
    if found.files.len() == 1 || refused.is_empty() {
        return refused;
    }
    let (by_schema, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(by_schema);
    let Some(first) = by_schema.into_iter().next() else { return others };
    let mut by_content: BTreeMap<Holds, Vec<&Path>> = BTreeMap::new();
    for file in &found.files {
        by_content.entry(Holds::of(&file.path)).or_default().push(&file.path);
    }
    let wanted = by_content.remove(&Holds::Mbp10).unwrap_or_default();
    let contents: Vec<String> = wanted
        .first()
        .map(|_| Holds::Mbp10.describe(&wanted))
        .into_iter()
        .chain(by_content.iter().map(|(holds, files)| holds.describe(files)))
        .collect();
    let rest: Vec<&Path> = by_content.into_values().flatten().collect();
    let help = match (wanted.is_empty(), glob_of(&wanted, &rest)) {
        (true, _) => first.help.as_deref().unwrap_or_default().to_owned(),
        (_, Some(pattern)) => format!("pass only the mbp-10 files: '{pattern}'"),
        (_, None) => "pass only the mbp-10 files, or keep them in a folder of their own".to_owned(),
    };
    let message = format!("is not mbp-10; the input contains {}", contents.join("; "));
    std::iter::once(InputError::new(&first.path, message).with_help(help)).chain(others).collect()
}

/// A glob that matches all wanted files and none of the others.
fn glob_of(wanted: &[&Path], others: &[&Path]) -> Option<String> {
    let first = wanted.first()?;
    if wanted.iter().any(|path| storage::is_url(path)) {
        return None;
    }
    let together = |folder: &Path| wanted.iter().all(|path| path.parent() == Some(folder));
    let ends = ["*.mbp-10.dbn.zst", "*.mbp-10.dbn", "*.mbp-10.dbn*", "*mbp-10*.dbn*"];
    let folder: PathBuf =
        first.ancestors().skip(1).find(|folder| wanted.iter().all(|path| path.starts_with(folder)))?.into();
    let prefix = match Pattern::escape(&folder.to_string_lossy()) {
        prefix if prefix.is_empty() => prefix,
        prefix => format!("{}/", prefix.trim_end_matches('/')),
    };
    let below = if together(&folder) { "" } else { "**/" };
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    ends.iter().map(|end| format!("{prefix}{below}{end}")).find(|text| {
        Pattern::new(text).is_ok_and(|pattern| {
            let matches = |path: &&Path| pattern.matches_path_with(path, options);
            wanted.iter().all(matches) && !others.iter().any(matches)
        })
    })
}
