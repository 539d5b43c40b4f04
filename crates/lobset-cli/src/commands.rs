//! Each command: one call into the library, and its summary.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lobset::cache::CachedFile;
use lobset::error::ConfigError;
use lobset::validate::certify;
use lobset::{Cluster, Error, Event, Monitor, printable};

use crate::Ray;
use crate::args::{Command, Engine, Talk};
use crate::page::Page;
use crate::print::{escaped, print, say};
use crate::progress::Bars;
use crate::{setup, summary};

/// Runs a command and prints its result to stdout. Returns the outcome, and notes to show beside an error. If the
/// result itself is a failure, prints it and returns its error as well.
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
    // The verdict comes first, and warnings last, where users see them.
    let finish = |written: Option<&Path>, warnings: &[String], page: &dyn Fn() -> Page, result: Json<'_>| {
        let printed = finish(talk, written, page, result);
        tell(talk, "warning", warnings);
        tell(talk, "warning", &monitor.take_notes());
        printed
    };
    let done = match command {
        Command::Process { inputs, out, config, thresholds, options, engine } => {
            let given = thresholds.as_deref();
            let manifest = match engine {
                Engine::DryRun => {
                    let found = lobset::estimate(&inputs, &out, &config, given, &options, monitor)?;
                    let page = || summary::estimate(&out, &found);
                    finish(None, &[], &page, &|| serde_json::to_string_pretty(&found))?;
                    return Ok(None);
                }
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
            let page = || summary::manifest(&out, &manifest, talk.verbose);
            finish(Some(&out), &manifest.warnings, &page, &|| serde_json::to_string_pretty(&manifest))
        }
        Command::Build { inputs, out, config, thresholds, options } => {
            let manifest = lobset::build(&inputs, &out, &config, &thresholds, &options, monitor)?;
            let page = || summary::manifest(&out, &manifest, talk.verbose);
            finish(Some(&out), &manifest.warnings, &page, &|| serde_json::to_string_pretty(&manifest))
        }
        Command::Thresholds { inputs, out, config, options } => {
            let thresholds = lobset::fit_thresholds(&inputs, &out, &config, &options, monitor)?;
            let page = || summary::thresholds(&out, &thresholds);
            finish(Some(&out), &[], &page, &|| serde_json::to_string_pretty(&thresholds))
        }
        Command::Validate { folder, against, rows, certificate, options } => {
            let against = (!against.is_empty()).then_some((against.as_slice(), rows));
            let validation = certify(&folder, against, certificate.as_deref(), &options, monitor)?;
            let page = || summary::validation(&folder, &validation, talk.verbose);
            finish(certificate.as_deref(), &[], &page, &|| serde_json::to_string_pretty(&validation))
        }
        Command::Explain { folder, symbol, row, against, options } => {
            let found = lobset::explain(&folder, &symbol, row, &against, &options, monitor)?;
            finish(None, &[], &|| found.to_string().into(), &|| serde_json::to_string_pretty(&found))?;
            return Ok(found.check(&folder).err());
        }
        Command::Report { folder, options } => {
            let changed = lobset::report(&folder, &options, monitor)?;
            let path = folder.join(lobset::REPORT);
            let json = || serde_json::to_string_pretty(&serde_json::json!({ "report": &path, "changed": changed }));
            finish(Some(&path), &[], &|| summary::report(&path, changed), &json)
        }
        Command::Inspect { inputs, config, options } => {
            let found = lobset::inspect(&inputs, &config, &options, monitor)?;
            finish(None, &found.warnings, &|| summary::inspection(&found, talk.verbose), &|| {
                serde_json::to_string_pretty(&found)
            })
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
        Command::Init { folder, currency } => {
            let files = setup::init(&folder, currency.as_deref())?;
            finish(None, &[], &|| written(&files), &|| serde_json::to_string_pretty(&files))
        }
        Command::Completions { shell } => print_text(talk, &setup::completions(shell)),
        Command::Man { folder: None } => print_text(talk, &setup::page()?),
        Command::Man { folder: Some(folder) } => {
            let files = setup::pages(&folder)?;
            finish(None, &[], &|| written(&files), &|| serde_json::to_string_pretty(&files))
        }
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

/// The files that a command has written.
fn written(files: &[PathBuf]) -> Page {
    let mut page = Page::default();
    for file in files {
        page.line(format!("wrote {}", file.display()));
    }
    page
}

/// Prints a text that the user asked for, even with `-q`.
fn print_text(talk: &Talk, text: &str) -> Result<(), Error> {
    let json = || serde_json::json!({ "text": text }).to_string() + "\n";
    if talk.json { print(&json(), None) } else { print(text, None) }
}

/// Prints the result to stdout, unless only errors are wanted. `written` is the path that the command wrote.
fn finish(talk: &Talk, written: Option<&Path>, page: &dyn Fn() -> Page, json: Json<'_>) -> Result<(), Error> {
    let done = written.map(|out| format!("{} is complete: only this report was lost", out.display()));
    match (talk.json, talk.quiet) {
        (true, _) => print(&(escaped(&json().unwrap_or_default()) + "\n"), done),
        (false, false) => print(&page().for_stdout(), done),
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
    let page = || {
        let mut page = Page::default();
        page.line(format!(
            "{} files with {} records in {} ({:.1} bytes per record)",
            files.len(),
            lobset::grouped(rows),
            folder.display(),
            bytes as f64 / rows as f64
        ));
        page
    };
    finish(talk, Some(folder), &page, &|| serde_json::to_string_pretty(&result))
}

/// Converts a simulator error into a library error.
pub fn simulator_error(error: lobset_sim::Error) -> Error {
    match error {
        lobset_sim::Error::Output { path, cause } => Error::output(&path, cause),
        lobset_sim::Error::Interrupted => Error::Interrupted,
        other => lobset::error::ConfigError::one(other.to_string()).into(),
    }
}
