//! Keeps OUT apart from the input, so that a run never replaces or removes what it reads.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::input::Found;
use crate::output::work_folder;
use crate::storage;

/// Refuses an OUT if it or its work folder is an input, contains one or is inside one.
///
/// # Errors
/// [`Error::Output`] that names both, or when a path cannot be resolved.
pub fn check_apart(out: &Path, found: &Found) -> Result<()> {
    if storage::is_url(out) {
        return Ok(());
    }
    let mut places = vec![(real(out)?, "it")];
    if let Some(work) = work_folder(out) {
        places.push((real(&work)?, "its work folder"));
    }
    let inputs = found.real();
    for (place, what) in &places {
        let clash = |how: &str, input: &Path| {
            Err(Error::Output {
                path: out.to_owned(),
                // Quoted, so that a file name cannot be mistaken for a part of the message.
                message: format!("cannot be the output: {what} {how} {input:?}"),
                help: Some("choose an output that is neither inside the input nor contains it".to_owned()),
            })
        };
        for folder in &inputs.folders {
            if place == folder {
                return clash("is the input folder", folder);
            } else if place.starts_with(folder) {
                return clash("is inside the input folder", folder);
            } else if folder.starts_with(place) {
                return clash("contains the input folder", folder);
            }
        }
        for file in &inputs.files {
            if place == file {
                return clash("is the input file", file);
            } else if file.starts_with(place) {
                return clash("contains the input file", file);
            }
        }
    }
    Ok(())
}

/// Resolves all links in a path; parts that do not exist stay as they are.
fn real(path: &Path) -> Result<PathBuf> {
    let failed = |e: io::Error| Error::output(path, e);
    let whole = std::path::absolute(path).map_err(failed)?;
    for there in whole.ancestors() {
        match fs::canonicalize(there) {
            Ok(found) => {
                let rest = whole.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(rest.components().fold(found, |mut path, part| {
                    match part {
                        // A part that does not exist cannot be a link, so a `..` after it cancels it.
                        Component::ParentDir => _ = path.pop(),
                        part => path.push(part),
                    }
                    path
                }));
            }
            Err(e) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&e.kind()) => {}
            Err(e) => return Err(failed(e)),
        }
    }
    Ok(whole)
}
