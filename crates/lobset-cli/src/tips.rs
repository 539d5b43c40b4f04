//! Tips for usage errors for which the parser itself has none.

use std::path::Path;

use clap::Error;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use lobset::printable;

/// Adds a tip to a usage error, if there is one.
pub fn with_tip(mut error: Error) -> Error {
    if let Some(tip) = tip(&error) {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

fn tip(error: &Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::InvalidSubcommand), error.get(ContextKind::InvalidArg)) {
        // The name of a file or folder instead of a command.
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word)), _) if Path::new(word).exists() => {
            let word = printable(word);
            Some(format!(
                "to make datasets of it, run 'lobset process {word} -o OUT'; to look into it, 'lobset inspect {word}'"
            ))
        }
        (ErrorKind::MissingRequiredArgument, _, Some(ContextValue::Strings(missing))) => {
            let is_missing = |name: &str| missing.iter().any(|given| given.starts_with(name));
            match () {
                () if is_missing("--out") => {
                    Some("name the output with -o, as in 'lobset process market -o out'".to_owned())
                }
                () if is_missing("--thresholds") => Some(
                    "'lobset thresholds INPUT -o thresholds.json' fits some; 'lobset process' fits its own".to_owned(),
                ),
                () if is_missing("--against") => Some("name the raw files that the dataset was made from".to_owned()),
                () if is_missing("<INPUT>") => {
                    Some("name DBN files or a folder of them; 'lobset simulate market' makes some to try".to_owned())
                }
                () => None,
            }
        }
        _ => None,
    }
}
