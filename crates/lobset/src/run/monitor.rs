//! Lets a caller watch the progress of a run and stop it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the input files; measured in bytes.
    Scan,
    /// Computing movements, boundaries and classes; measured in rows.
    Plan,
    /// Writing datasets; measured in rows.
    Write,
    /// Reading the datasets back; measured in rows.
    Validate,
    /// Building a cache file for training; measured in its bytes.
    Cache,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 5] = [Self::Scan, Self::Plan, Self::Write, Self::Validate, Self::Cache];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Plan => "plan",
            Self::Write => "write",
            Self::Validate => "validate",
            Self::Cache => "cache",
        }
    }

    /// Whether its work is measured in bytes, not in rows.
    pub const fn is_in_bytes(self) -> bool {
        matches!(self, Self::Scan | Self::Cache)
    }
}

/// A progress event of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A stage begins, with this total amount of work.
    Begin(Stage, u64),
    /// This much more of the stage is done.
    Advance(u64),
    /// The stage is over.
    End(Stage),
}

/// Reports the progress of a run to the caller, and passes the request to stop to the run.
pub struct Monitor<'a> {
    report: &'a (dyn Fn(Event) + Sync),
    stop: &'a AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl<'a> Monitor<'a> {
    /// Creates a monitor that calls `report`, on any thread, as the run progresses. The run ends with
    /// [`Error::Interrupted`] soon after `stop` is set.
    pub fn new(report: &'a (dyn Fn(Event) + Sync), stop: &'a AtomicBool) -> Self {
        Self { report, stop, notes: Mutex::default() }
    }

    /// Creates a monitor that reports nothing and never stops a run.
    pub fn silent() -> Monitor<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Monitor::new(&|_| (), &NEVER)
    }

    /// Creates a monitor that shares the stop flag and reports nothing.
    pub(crate) fn muted(&self) -> Monitor<'a> {
        Monitor::new(&|_| (), self.stop)
    }

    /// Takes the notes for the user that have not been taken yet. They add to the result or the error: files that could
    /// not be removed, for example, or files kept for the next run.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // Successive cleanups fail for the same reason: note it once.
        if !notes.iter().any(|note| note.contains(&text)) {
            notes.push(text);
        }
    }

    /// True once the run has been asked to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Runs a stage between its [`Event::Begin`] and [`Event::End`].
    pub(crate) fn stage<T>(&self, stage: Stage, total: u64, work: impl FnOnce() -> Result<T>) -> Result<T> {
        (self.report)(Event::Begin(stage, total));
        let outcome = work();
        (self.report)(Event::End(stage));
        outcome
    }

    /// Reports progress.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the run has been asked to stop.
    pub(crate) fn advance(&self, amount: u64) -> Result<()> {
        (self.report)(Event::Advance(amount));
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}
