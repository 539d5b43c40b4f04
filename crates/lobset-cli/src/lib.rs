//! The `lobset` command as a function: takes flags, makes one call into the library, prints a summary or an error. The
//! binary and the command of the Python package both call it.
#![cfg_attr(not(test), deny(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss))]

mod args;
mod commands;
mod page;
mod print;
mod progress;
#[cfg(test)]
mod reference;
mod setup;
mod summary;
mod tips;

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};

pub use commands::simulator_error;
use lobset::error::InputError;
use lobset::{Error, Executor, printable};
use nix::sys::signal::{SigSet, Signal};
use print::{escaped, print, say};

/// Set by the first Ctrl-C; the second one ends the process at once.
static STOP: AtomicBool = AtomicBool::new(false);

/// Connects to a Ray cluster: the one at an address, or the default one.
pub type Ray<'a> = &'a dyn Fn(Option<&str>) -> lobset::Result<Box<dyn Executor>>;

/// Runs the command line, whose first word is the program's name, and returns the exit code. Installs a Ctrl-C handler,
/// which stays installed; ends the process itself on `--help`, `--version` and invalid flags. Without `ray`,
/// `--engine ray` is not available.
pub fn run(words: impl IntoIterator<Item = OsString>, ray: Option<Ray<'_>>) -> u8 {
    // Reaching the file size limit should fail the write, not kill the process. Blocking an existing signal cannot
    // fail.
    let _ = SigSet::from(Signal::SIGXFSZ).thread_block();
    let words: Vec<OsString> = words.into_iter().collect();
    let matches = args::command().try_get_matches_from(words).unwrap_or_else(|error| tips::with_tip(error).exit());
    let (talk, command) = match args::parse(&matches) {
        Ok(parsed) => parsed,
        Err(error) => return fail(&error, &[], matches.get_flag("json")),
    };
    let watch = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    if let (Err(error), false) = (watch, talk.quiet) {
        say("warning", &format!("Ctrl-C will not clean up: {error}"));
    }
    match commands::run(command, &talk, &STOP, ray) {
        (Ok(None), _) => 0,
        // The result on stdout already says so.
        (Ok(Some(error)), notes) => fail(&error, &notes, false),
        (Err(error), notes) => fail(&error, &notes, talk.json),
    }
}

/// The exit code of an error's class, and the name of the class in JSON.
fn class(error: &Error) -> (u8, &'static str) {
    match error {
        Error::Config(_) => (2, "config"),
        Error::Input(_) => (3, "input"),
        Error::Output { .. } => (4, "output"),
        Error::Validation(_) => (5, "validation"),
        Error::Interrupted => (130, "interrupted"),
        Error::Executor(_) => (1, "executor"),
        _ => (1, "data"),
    }
}

/// The individual problems of an error, for errors that may have several.
fn problems(error: &Error) -> Vec<String> {
    match error {
        Error::Config(e) => e.problems.clone(),
        Error::Validation(e) => e.violations.clone(),
        Error::Input(e) => {
            let first = InputError { others: Box::default(), ..e.clone() };
            [&first].into_iter().chain(&e.others).map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    }
}

fn fail(error: &Error, notes: &[String], json: bool) -> u8 {
    let (code, class) = class(error);
    say("error", &error.to_string());
    if let Some(help) = error.help() {
        say("help", &printable(help));
    }
    notes.iter().for_each(|note| say("note", &printable(note)));
    if json {
        let report = serde_json::json!({
            "error": {
                "class": class, "exit_code": code, "message": error.to_string(), "help": error.help(),
                "problems": problems(error), "notes": notes
            }
        });
        // The exit code reports the error even if stdout cannot be written.
        let _ = print(&(escaped(&format!("{report:#}")) + "\n"), None);
    }
    code
}
