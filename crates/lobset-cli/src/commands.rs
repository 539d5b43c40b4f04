//! Each command: one call into the library, and its summary.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lobset::cache::CachedFile;
use lobset::error::ConfigError;
use lobset::validate::Certificate;
use lobset::{Cluster, Error, Event, Monitor, printable};

use crate::Ray;
use crate::args::{Command, Engine, Talk};
use crate::print::{print, say};
use crate::progress::Bars;
use crate::summary;

/// Runs a command and prints its result to stdout. Returns the outcome, and notes to show beside an error. A result that
/// is a failure in itself is printed, and its error returned beside it.
pub fn run(
    command: Command,
    talk: &Talk,
    stop: &AtomicBool,
    ray: Option<Ray<'_>>,
) -> (Result<Option<Error>, Error>, Vec<String>) {
    let bars = Bars::new(talk.quiet);
    let report = |event: Event| bars.event(event);
    let monitor = Monitor::new(&report, stop);
    let outcome = run_watched(command, talk, stop, ray, (&bars, &monitor));
    (outcome, monitor.take_notes())
}

fn run_watched(
    command: Command,
    talk: &Talk,
    stop: &AtomicBool,
    ray: Option<Ray<'_>>,
    (bars, monitor): (&Bars, &Monitor<'_>),
) -> Result<Option<Error>, Error> {
    let finish = |written: Option<&Path>, warnings: &[String], text: &dyn Fn() -> String, result: Json<'_>| {
        tell(talk, "warning", warnings);
        tell(talk, "warning", &monitor.take_notes());
        finish(talk, written, text, result)
    };
    let done = match command {
        Command::Process { inputs, out, config, thresholds, options, engine } => {
            let given = thresholds.as_deref();
            let manifest = match engine {
                Engine::Threads => lobset::process(&inputs, &out, &config, given, &options, monitor)?,
                Engine::Ray { address, work } => {
                    let connect = ray.ok_or_else(|| {
                        ConfigError::one(
                            "--engine ray: only the command of the Python package supports it: pip install 'lobset[ray]'",
                        )
                    })?;
                    let executor = connect(address.as_deref())?;
                    let work = work.as_deref();
                    lobset::process_as_tasks(
                        Cluster { executor: &*executor, work },
                        &inputs,
                        &out,
                        &config,
                        given,
                        &options,
                        monitor,
                    )?
                }
            };
            let text = || summary::manifest(&out, &manifest, talk.verbose);
            finish(Some(&out), &manifest.warnings, &text, &|| serde_json::to_string_pretty(&manifest))
        }
        Command::Build { inputs, out, config, thresholds, options } => {
            let manifest = lobset::build(&inputs, &out, &config, &thresholds, &options, monitor)?;
            let text = || summary::manifest(&out, &manifest, talk.verbose);
            finish(Some(&out), &manifest.warnings, &text, &|| serde_json::to_string_pretty(&manifest))
        }
        Command::Thresholds { inputs, out, config, options } => {
            let thresholds = lobset::fit_thresholds(&inputs, &out, &config, &options, monitor)?;
            let text = || summary::thresholds(&out, &thresholds);
            finish(Some(&out), &[], &text, &|| serde_json::to_string_pretty(&thresholds))
        }
        Command::Validate { folder, against, rows, certificate, options } => {
            if let Some(path) = &certificate {
                Certificate::check_place(path, &folder)?;
            }
            let against = (!against.is_empty()).then_some((against.as_slice(), rows));
            let validation = lobset::validate(&folder, against, &options, monitor)?;
            if let Some(path) = &certificate {
                Certificate::new(&folder, &validation).write(path, &folder)?;
            }
            let text = || summary::validation(&folder, &validation, talk.verbose);
            finish(certificate.as_deref(), &[], &text, &|| serde_json::to_string_pretty(&validation))
        }
        Command::Explain { folder, symbol, row, against, options } => {
            let found = lobset::explain(&folder, &symbol, row, &against, &options, monitor)?;
            finish(None, &[], &|| found.to_string(), &|| serde_json::to_string_pretty(&found))?;
            return Ok(found.check(&folder).err());
        }
        Command::Inspect { inputs, config, options } => {
            let found = lobset::inspect(&inputs, &config, &options, monitor)?;
            finish(None, &found.warnings, &|| summary::inspection(&found), &|| serde_json::to_string_pretty(&found))
        }
        Command::Cache { cache, remove, days } => {
            let chosen = |file: &CachedFile| file.days >= days;
            let files = if remove {
                cache.remove(chosen)?
            } else {
                let mut files = cache.files()?;
                files.retain(chosen);
                files
            };
            finish(None, &[], &|| summary::cache(&cache, &files, remove), &|| serde_json::to_string_pretty(&files))
        }
        Command::Simulate { folder, market } => simulate(talk, &folder, &market, bars, stop),
    };
    done.map(|()| None)
}

/// A result as JSON.
type Json<'a> = &'a dyn Fn() -> serde_json::Result<String>;

/// Prints lines to stderr. Escapes line breaks in the names of symbols and files, so that each line stays one line.
fn tell(talk: &Talk, kind: &str, lines: &[String]) {
    if !talk.quiet {
        lines.iter().for_each(|line| say(kind, &printable(line)));
    }
}

/// Prints the result to stdout, unless only errors are wanted. `written` is the path that the command has written.
fn finish(talk: &Talk, written: Option<&Path>, text: &dyn Fn() -> String, json: Json<'_>) -> Result<(), Error> {
    let done = written.map(|out| format!("{} is complete: only this report was lost", out.display()));
    match (talk.json, talk.quiet) {
        (true, _) => print(&(json().unwrap_or_default() + "\n"), done),
        (false, false) => print(&text(), done),
        (false, true) => Ok(()),
    }
}

fn simulate(
    talk: &Talk,
    folder: &Path,
    market: &lobset_sim::Market,
    bars: &Bars,
    stop: &AtomicBool,
) -> Result<(), Error> {
    let started = Instant::now();
    bars.event(Event::Begin(lobset::Stage::Write, u64::from(market.days) * u64::from(market.rows)));
    let files = market.write_until(folder, stop, |_| bars.event(Event::Advance(market.rows.into())));
    bars.event(Event::End(lobset::Stage::Write));
    let files = files.map_err(simulator_error)?;
    let bytes: u64 = files.iter().filter_map(|f| Some(std::fs::metadata(f).ok()?.len())).sum();
    let rows = u64::from(market.days) * u64::from(market.rows);
    let result =
        serde_json::json!({ "files": files, "rows": rows, "bytes": bytes, "seconds": started.elapsed().as_secs_f64() });
    let text = || {
        format!(
            "{} files with {} records in {} ({:.1} bytes per record)\n",
            files.len(),
            lobset::grouped(rows),
            folder.display(),
            bytes as f64 / rows as f64
        )
    };
    finish(talk, Some(folder), &text, &|| serde_json::to_string_pretty(&result))
}

/// Converts an error of the simulator into one of the library.
pub fn simulator_error(error: lobset_sim::Error) -> Error {
    match error {
        lobset_sim::Error::Output { path, cause } => Error::output(&path, cause),
        lobset_sim::Error::Interrupted => Error::Interrupted,
        other => lobset::error::ConfigError::one(other.to_string()).into(),
    }
}
