//! What a caller sees of a run while it lasts, and how it stops one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// A stage of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the input files; measured in bytes of them.
    Scan,
    /// Movements, boundaries and classes; measured in rows.
    Plan,
    /// Writing datasets; measured in rows.
    Write,
    /// Reading them back; measured in rows.
    Validate,
}

/// News of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A stage begins, with this much to do.
    Begin(Stage, u64),
    /// This much more of the stage is done.
    Advance(u64),
    /// The stage is over.
    End(Stage),
}

/// Carries news out of a run, and the wish to stop into it.
pub struct Monitor<'a> {
    report: &'a (dyn Fn(Event) + Sync),
    stop: &'a AtomicBool,
    notes: Mutex<Vec<String>>,
}

impl<'a> Monitor<'a> {
    /// Calls `report`, on any thread, as the run goes on; ends it with [`Error::Interrupted`] soon after `stop` is set.
    pub fn new(report: &'a (dyn Fn(Event) + Sync), stop: &'a AtomicBool) -> Self {
        Self { report, stop, notes: Mutex::default() }
    }

    /// Nobody watches.
    pub fn silent() -> Monitor<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Monitor::new(&|_| (), &NEVER)
    }

    /// Hears the same wish to stop, and tells nobody.
    pub(crate) fn muted(&self) -> Monitor<'a> {
        Monitor::new(&|_| (), self.stop)
    }

    /// What the user should know beside the result or the error, and has not been told yet: what could not be cleared away,
    /// say, or what is kept for the next run.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // What a cleanup fails of, the next one fails of too.
        if !notes.iter().any(|note| note.contains(&text)) {
            notes.push(text);
        }
    }

    /// True once the run is to stop.
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

    /// Tells of progress.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the run is to stop.
    pub(crate) fn advance(&self, amount: u64) -> Result<()> {
        (self.report)(Event::Advance(amount));
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }
}
