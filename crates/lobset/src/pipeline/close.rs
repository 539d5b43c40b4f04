//! Which work files are kept once a run has ended.

use std::path::Path;

use crate::error::{Error, Result};
use crate::output::Workspace;
use crate::printable::Shown;
use crate::run::Run;

/// A folder with the work files of a run.
pub trait WorkFolder: Sized {
    /// Path of the folder.
    fn folder(&self) -> &Path;

    /// The finished work that the next run can reuse, as the start of a sentence: `12 finished tasks are`. `None` if
    /// there is none.
    fn finished(&self) -> Option<String>;

    /// True if earlier runs had left such work before this one began.
    fn inherits(&self) -> bool;

    /// Removes the staged result, and keeps all work files.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed.
    fn keep_all(self) -> Result<()>;

    /// Removes everything except what the next run can reuse.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed.
    fn keep_finished(self) -> Result<()>;

    /// Removes everything, and the folder.
    ///
    /// # Errors
    /// [`Error::Output`] when something cannot be removed.
    fn remove(self) -> Result<()>;
}

/// Clears the work folder of a run that ended with `outcome`, except for work that the user asked to keep or that the
/// next run can reuse. If something cannot be removed, the result is a note, not an error.
///
/// # Errors
/// Those of `outcome`.
pub fn close<T>(work: impl WorkFolder, run: Run<'_>, outcome: Result<T>) -> Result<T> {
    let cleared = match &outcome {
        Ok(_) if run.config.keep_intermediate => work.keep_all(),
        Ok(_) => work.remove(),
        // Users who interrupt a run do not want its work, but may want that of earlier runs.
        Err(Error::Interrupted) if !work.inherits() => work.remove(),
        Err(_) => match work.finished() {
            Some(finished) => {
                let folder = Shown(work.folder());
                run.monitor.note(format!(
                    "{finished} kept in {folder} for the next run; delete that folder if you do not want to continue"
                ));
                work.keep_finished()
            }
            None => work.remove(),
        },
    };
    if let Err(error) = cleared {
        run.monitor.note(error.to_string());
    }
    outcome
}

impl WorkFolder for Workspace {
    fn folder(&self) -> &Path {
        self.folder()
    }

    fn finished(&self) -> Option<String> {
        match self.finished_scans() {
            0 => None,
            1 => Some("the finished scan of one file is".to_owned()),
            scans => Some(format!("the finished scans of {scans} files are")),
        }
    }

    fn inherits(&self) -> bool {
        self.inherits_scans()
    }

    fn keep_all(self) -> Result<()> {
        self.clear_staged()
    }

    fn keep_finished(self) -> Result<()> {
        self.clear_unfinished()
    }

    fn remove(self) -> Result<()> {
        self.remove()
    }
}
