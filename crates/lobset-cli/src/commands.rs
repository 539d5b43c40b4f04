//! Each command: one call into the library, and its summary.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use lobset::error::ConfigError;
use lobset::validate::Certificate;
use lobset::{Error, Event, Monitor};

use crate::Ray;
use crate::args::{Command, Engine, Talk};
use crate::progress::{Bars, say};
use crate::summary;

/// Runs a command and prints its result to stdout.
pub fn run(command: Command, talk: &Talk, stop: &AtomicBool, ray: Option<Ray<'_>>) -> Result<(), Error> {
    let bars = Bars::new(talk.quiet);
    let report = |event: Event| bars.event(event);
    let monitor = Monitor::new(&report, stop);
    match command {
        Command::Process { inputs, out, config, thresholds, options, engine } => {
            let given = thresholds.as_deref();
            let manifest = match engine {
                Engine::Threads => lobset::process(&inputs, &out, &config, given, &options, &monitor)?,
                Engine::Ray { address, work } => {
                    let connect = ray.ok_or_else(|| {
                        ConfigError::one(
                            "--engine ray: the command of the Python package has it: pip install 'lobset[ray]'",
                        )
                    })?;
                    let executor = connect(address.as_deref())?;
                    let work = work.as_deref();
                    lobset::process_as_tasks(&*executor, &inputs, &out, work, &config, given, &options, &monitor)?
                }
            };
            finish(talk, &manifest.warnings, &manifest, || summary::manifest(&out, &manifest, talk.verbose))
        }
        Command::Build { inputs, out, config, thresholds, options } => {
            let manifest = lobset::build(&inputs, &out, &config, &thresholds, &options, &monitor)?;
            finish(talk, &manifest.warnings, &manifest, || summary::manifest(&out, &manifest, talk.verbose))
        }
        Command::Thresholds { inputs, out, config, options } => {
            let thresholds = lobset::fit_thresholds(&inputs, &out, &config, &options, &monitor)?;
            finish(talk, &[], &thresholds, || summary::thresholds(&out, &thresholds))
        }
        Command::Validate { folder, against, rows, certificate, options } => {
            if let Some(path) = &certificate {
                Certificate::check_place(path, &folder)?;
            }
            let against = (!against.is_empty()).then_some((against.as_slice(), rows));
            let validation = lobset::validate(&folder, against, &options, &monitor)?;
            if let Some(path) = &certificate {
                Certificate::new(&folder, &validation).write(path, &folder)?;
            }
            finish(talk, &[], &validation, || summary::validation(&folder, &validation, talk.verbose))
        }
        Command::Inspect { inputs, config, options } => {
            let found = lobset::inspect(&inputs, &config, &options, &monitor)?;
            finish(talk, &found.warnings, &found, || summary::inspection(&found))
        }
        Command::Simulate { folder, market } => simulate(talk, &folder, &market, &bars, stop),
    }
}

/// Warnings to stderr, the result to stdout.
fn finish(
    talk: &Talk,
    warnings: &[String],
    result: &impl serde::Serialize,
    text: impl FnOnce() -> String,
) -> Result<(), Error> {
    if !talk.quiet {
        warnings.iter().for_each(|w| say("warning", w));
    }
    if talk.json {
        let json = serde_json::to_string_pretty(result);
        println!("{}", json.unwrap_or_default());
    } else {
        print!("{}", text());
    }
    Ok(())
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
    finish(talk, &[], &result, || {
        format!(
            "{} files with {} records in {} ({:.1} bytes a record)\n",
            files.len(),
            lobset::output::grouped(rows),
            folder.display(),
            bytes as f64 / rows as f64
        )
    })
}

/// The simulator's errors as the library's.
pub fn simulator_error(error: lobset_sim::Error) -> Error {
    match error {
        lobset_sim::Error::Output { path, cause } => Error::Output { path, message: cause, help: None },
        lobset_sim::Error::Interrupted => Error::Interrupted,
        other => lobset::error::ConfigError::one(other.to_string()).into(),
    }
}
