//! Parsing of the command line, from raw flags to checked options.

mod command;

use std::path::PathBuf;

use clap::ArgMatches;
use clap_complete::Shell;
pub use command::command;
use lobset::cache::Cache;
use lobset::config::LabelSettings;
use lobset::error::ConfigError;
use lobset::settings::{Layer, SETTINGS, resolve};
use lobset::validate::Compare;
use lobset::{Config, Error, Options, Thresholds, Timestamp};
use lobset_sim::Market;

/// Verbosity and format of the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Talk {
    pub quiet: bool,
    pub verbose: bool,
    pub json: bool,
}

/// Where the steps of the main job run.
pub enum Engine {
    /// Nowhere: what a run would do is estimated.
    DryRun,
    /// The threads of this machine.
    Threads,
    /// Tasks on a Ray cluster.
    Ray { address: Option<String>, work: Option<PathBuf> },
}

/// A command, checked as far as possible without opening the data.
pub enum Command {
    Process {
        inputs: Vec<PathBuf>,
        out: PathBuf,
        config: Box<Config>,
        thresholds: Option<Box<Thresholds>>,
        options: Options,
        engine: Engine,
    },
    Thresholds {
        inputs: Vec<PathBuf>,
        out: PathBuf,
        config: Box<Config>,
        options: Options,
    },
    Build {
        inputs: Vec<PathBuf>,
        out: PathBuf,
        config: Box<Config>,
        thresholds: Box<Thresholds>,
        options: Options,
    },
    Validate {
        folder: PathBuf,
        against: Vec<PathBuf>,
        rows: Compare,
        certificate: Option<PathBuf>,
        options: Options,
    },
    Explain {
        folder: PathBuf,
        symbol: String,
        row: u64,
        against: Vec<PathBuf>,
        options: Options,
    },
    Report {
        folder: PathBuf,
        options: Options,
    },
    Inspect {
        inputs: Vec<PathBuf>,
        config: Box<Config>,
        options: Options,
    },
    Simulate {
        folder: PathBuf,
        market: Market,
    },
    Cache {
        cache: Cache,
        /// Whether to remove the files instead of listing them.
        remove: bool,
        /// Only files that have not been changed for so many days.
        days: u64,
    },
    Init {
        folder: PathBuf,
        currency: Option<String>,
    },
    Completions {
        shell: Shell,
    },
    Man {
        /// The folder of the pages; without one, the first page goes to stdout.
        folder: Option<PathBuf>,
    },
}

/// Turns matches into a command. Resolves the settings, so that mistakes in them are reported before any data is
/// opened.
pub fn parse(matches: &ArgMatches) -> Result<(Talk, Command), Error> {
    let (name, sub) = matches.subcommand().ok_or_else(|| ConfigError::one("no subcommand was given"))?;
    let flag = |name: &str| matches!(sub.try_get_one::<bool>(name), Ok(Some(true)));
    let talk = Talk { quiet: flag("quiet"), verbose: flag("verbose"), json: flag("json") };
    let threads = sub.try_get_one::<u16>("threads").ok().flatten().map_or(0, |n| usize::from(*n));
    let symbology = sub.try_get_one::<PathBuf>("symbology").ok().flatten().cloned();
    let options = Options { threads, overwrite: flag("overwrite"), symbology };
    let many = |name: &str| {
        sub.try_get_many::<PathBuf>(name).ok().flatten().into_iter().flatten().cloned().collect::<Vec<_>>()
    };
    let one = |name: &str| sub.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let read_thresholds =
        || sub.get_one::<PathBuf>("thresholds").map(|path| Thresholds::read(path).map(Box::new)).transpose();
    let command = match name {
        "process" => {
            let thresholds = read_thresholds()?;
            let config = settings(sub, thresholds.as_deref())?;
            let text = |name: &str| sub.get_one::<String>(name).cloned();
            let engine = match text("engine").as_deref() {
                Some("ray") => Engine::Ray { address: text("address"), work: sub.get_one::<PathBuf>("work").cloned() },
                _ if sub.get_one::<PathBuf>("work").is_some() || sub.get_one::<String>("address").is_some() => {
                    return Err(ConfigError::one("--work and --address require --engine ray").into());
                }
                _ if flag("dry-run") => Engine::DryRun,
                _ => Engine::Threads,
            };
            Command::Process { inputs: many("input"), out: one("out"), config, thresholds, options, engine }
        }
        "thresholds" => {
            Command::Thresholds { inputs: many("input"), out: one("out"), config: settings(sub, None)?, options }
        }
        "build" => {
            let thresholds = read_thresholds()?.ok_or_else(|| ConfigError::one("--thresholds: a file is required"))?;
            let config = settings(sub, Some(&thresholds))?;
            Command::Build { inputs: many("input"), out: one("out"), config, thresholds, options }
        }
        "validate" => {
            let seed = sub.get_one::<u64>("seed").copied().unwrap_or(1);
            let rows = if flag("all") { Compare::All } else { Compare::Random(seed) };
            let certificate = sub.get_one::<PathBuf>("certificate").cloned();
            Command::Validate { folder: one("folder"), against: many("against"), rows, certificate, options }
        }
        "cache" => {
            let folder = sub.get_one::<PathBuf>("folder").map(Cache::at);
            let cache = folder.map_or_else(Cache::of_user, Ok)?;
            let days = sub.get_one::<u64>("older-than").copied().unwrap_or(0);
            Command::Cache { cache, remove: flag("remove"), days }
        }
        "explain" => Command::Explain {
            folder: one("folder"),
            symbol: sub.get_one::<String>("symbol").cloned().unwrap_or_default(),
            row: sub.get_one::<u64>("row").copied().unwrap_or_default(),
            against: many("against"),
            options,
        },
        "report" => Command::Report { folder: one("folder"), options },
        "init" => Command::Init { folder: one("folder"), currency: sub.get_one::<String>("currency").cloned() },
        "completions" => {
            let shell = sub.get_one::<Shell>("shell").copied();
            Command::Completions { shell: shell.ok_or_else(|| ConfigError::one("a shell is required"))? }
        }
        "man" => Command::Man { folder: sub.get_one::<PathBuf>("folder").cloned() },
        "inspect" => Command::Inspect { inputs: many("input"), config: settings(sub, None)?, options },
        _ => {
            let default = Market::default();
            let number = |name: &str, default| sub.get_one::<u32>(name).copied().unwrap_or(default);
            let market = Market {
                days: number("days", default.days),
                rows: number("rows", default.rows),
                options: number("options", default.options),
                seed: sub.get_one("seed").copied().unwrap_or(default.seed),
                signal: sub.get_one("signal").copied().unwrap_or(default.signal),
                currency: sub.get_one("currency").cloned().unwrap_or(default.currency),
                start: sub.get_one("start").copied().unwrap_or(default.start),
                ..default
            };
            Command::Simulate { folder: one("folder"), market }
        }
    };
    Ok((talk, command))
}

/// Resolves the settings. Flags override the environment, which overrides the file, which overrides the settings that a
/// thresholds file was fitted with.
fn settings(sub: &ArgMatches, thresholds: Option<&Thresholds>) -> Result<Box<Config>, Error> {
    let mut layers = Vec::new();
    if let Some(thresholds) = thresholds {
        layers.push(thresholds_layer(thresholds));
    }
    if let Some(path) = sub.get_one::<PathBuf>("config") {
        layers.push(Layer::from_file(path)?);
    }
    layers.push(Layer::from_env(std::env::vars_os())?);
    let flags = SETTINGS.iter().filter_map(|setting| {
        // A command has flags only for the settings that it uses.
        let given = sub.try_get_many::<String>(setting.key).ok().flatten()?;
        let given: Vec<&str> = given.map(String::as_str).collect();
        Some((setting.key.to_owned(), setting.joined(&given)))
    });
    layers.push(Layer { origin: "flags".to_owned(), values: flags.collect() });
    let config = resolve(&layers)?;
    if let Some(thresholds) = thresholds {
        thresholds.check_settings(&config)?;
    }
    Ok(Box::new(config))
}

/// The settings that a thresholds file was fitted with, as the lowest layer.
fn thresholds_layer(thresholds: &Thresholds) -> Layer {
    let config = thresholds.settings.to_config();
    let values = LabelSettings::settings().map(|setting| (setting.key.to_owned(), setting.text(&config)));
    Layer { origin: "thresholds file".to_owned(), values: values.collect() }
}

/// Formats a timestamp for people, to the second.
pub fn to_second(time: Timestamp) -> String {
    time.to_string()[..19].replace('T', " ")
}

/// Formats a timestamp for people, to the minute.
pub fn to_minute(time: Timestamp) -> String {
    time.to_string()[..16].replace('T', " ")
}
