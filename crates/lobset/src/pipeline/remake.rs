//! Regenerates the report of an output folder.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{ConfigError, Error, Result};
use crate::input::hex;
use crate::label::Thresholds;
use crate::output::{MANIFEST, Manifest, Workspace, write_whole};
use crate::report::page;
use crate::run::{Monitor, Options};
use crate::storage;

/// Regenerates the report of an output folder with this version of lobset. The manifest contains the hash of the
/// report, so both are replaced in one step. Returns true if the report has changed.
///
/// ```no_run
/// use lobset::{Monitor, Options};
///
/// let changed = lobset::report("out".as_ref(), &Options::default(), &Monitor::silent())?;
/// # Ok::<(), lobset::Error>(())
/// ```
///
/// # Errors
/// [`InputError`](crate::error::InputError) when a file of the folder cannot be read,
/// [`ValidationError`](crate::error::ValidationError) when the manifest is not what lobset has written, [`Error::Output`]
/// when the folder cannot be replaced, and [`ConfigError`] when it is in an object store.
pub fn report(folder: &Path, options: &Options, monitor: &Monitor<'_>) -> Result<bool> {
    let folder = storage::plain(folder);
    if storage::is_url(&folder) {
        return Err(ConfigError::one("folder: reports can be regenerated only in local folders, not at a URL").into());
    }
    let mut manifest = Manifest::read(&folder)?;
    let thresholds = Thresholds::read(&folder.join(&manifest.thresholds.file))?;
    let text = page(&manifest, &thresholds, |file| folder.join(file), options.threads(), monitor)?;
    let sha256 = hex(&Sha256::digest(&text));
    let found = folder.join(&manifest.report.file);
    if sha256 == manifest.report.sha256 && fs::read(&found).is_ok_and(|bytes| bytes == text.as_bytes()) {
        return Ok(false);
    }
    manifest.report.sha256 = sha256;
    manifest.seal();
    let workspace = Workspace::open(&folder, true)?;
    let outcome = stage(&workspace, &folder, &manifest, &text);
    // Keep the scans of another run on this folder, which it has kept or can reuse.
    let cleared = if workspace.inherits_scans() { workspace.clear_staged() } else { workspace.remove() };
    if let Err(error) = cleared {
        monitor.note(error.to_string());
    }
    outcome.map(|()| true)
}

/// Assembles a folder with the new report next to the old folder, and swaps the two. The other files are hard-linked,
/// or copied if the file system has no links.
fn stage(workspace: &Workspace, folder: &Path, manifest: &Manifest, report: &str) -> Result<()> {
    let staged = workspace.staged();
    fs::create_dir_all(&staged).map_err(|e| Error::output(&staged, e))?;
    let entries = fs::read_dir(folder).map_err(|e| Error::output(folder, e))?;
    for entry in entries {
        let name = entry.map_err(|e| Error::output(folder, e))?.file_name();
        if name.to_str().is_some_and(|name| name == MANIFEST || name == manifest.report.file) {
            continue;
        }
        let (from, to) = (folder.join(&name), staged.join(&name));
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(|e| Error::output(&to, e))?;
    }
    write_whole(&staged.join(&manifest.report.file), report)?;
    write_whole(&staged.join(MANIFEST), &manifest.to_json())?;
    workspace.publish().map(drop)
}
