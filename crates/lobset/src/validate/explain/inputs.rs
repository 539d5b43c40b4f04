//! Checks that raw files are the ones that a dataset was made from.

use std::path::Path;

use crate::error::{Error, InputError, Result};
use crate::input::{CatalogFile, InputEntry};
use crate::printable::{grouped, printable};

const HELP: &str =
    "pass the files that the dataset was made from, all of them: manifest.json lists their names, sizes and hashes";

/// Compares the names and the sizes of files with the inputs of a manifest before anything is read. Where names differ,
/// the hash decides.
///
/// # Errors
/// [`InputError`] with every file that was not an input, and every input that was not given.
pub(super) fn check_sizes(files: &[CatalogFile], inputs: &[InputEntry], folder: &Path) -> Result<()> {
    let mut left: Vec<&InputEntry> = inputs.iter().collect();
    let mut take = |is: &dyn Fn(&InputEntry) -> bool| {
        let place = left.iter().position(|input| is(input));
        place.map(|place| left.remove(place))
    };
    let mut others: Vec<&CatalogFile> = files.iter().collect();
    others.retain(|file| take(&|input| input.name == file.name() && input.bytes == file.stat.bytes).is_none());
    others.retain(|file| take(&|input| input.bytes == file.stat.bytes).is_none());
    let mut problems = Vec::new();
    for file in others {
        let bytes = grouped(file.stat.bytes);
        let message = match take(&|input| input.name == file.name()) {
            Some(input) => format!("has {bytes} bytes, but the input of this name had {}", grouped(input.bytes)),
            None => format!("was not an input of this dataset: none had {bytes} bytes"),
        };
        problems.push(InputError::new(&file.path, message).with_help(HELP));
    }
    for input in left {
        let message = format!("was made from {} too, which was not given", printable(&input.name));
        problems.push(InputError::new(folder, message).with_help(HELP));
    }
    InputError::check(problems)
}

/// The input with this hash.
///
/// # Errors
/// [`InputError`] when no input of the manifest has it.
pub(super) fn identify<'m>(inputs: &'m [InputEntry], path: &Path, sha256: &str) -> Result<&'m InputEntry> {
    inputs.iter().find(|input| input.sha256 == sha256).ok_or_else(|| {
        let message = format!("was not an input of this dataset: no input had its SHA-256, {sha256}");
        Error::from(InputError::new(path, message).with_help(HELP))
    })
}
