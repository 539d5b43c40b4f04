//! Parsing of the command line, from raw flags to checked options.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};
use lobset::cache::Cache;
use lobset::config::{LabelSettings, Setting, ValueKind};
use lobset::error::ConfigError;
use lobset::settings::{Layer, SETTINGS, resolve};
use lobset::validate::Compare;
use lobset::{Config, Error, Inspection, Options, Thresholds, Timestamp};
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
}

/// Heading of the flags that every command has.
const GLOBAL: &str = "Global options";

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    no dataset can be made from this data, or a cluster lost its tasks
  2    invalid usage or settings
  3    the input was refused
  4    the output was refused
  5    validation failed
  130  interrupted";

const SETTINGS_HELP: &str = "\
Settings come from the preset of the currency (given, or inferred from the symbols), --config FILE (TOML), the environment (LOBSET_LOOKBACK_ROWS=500) and \
flags (--lookback-rows 500); later sources win. All unknown keys and invalid values are reported at once, before any data is \
opened.";

fn inputs() -> Arg {
    let help = "DBN files (.dbn, .dbn.zst), folders to search for them, quoted globs, or s3://, gs:// and az:// URLs";
    Arg::new("input").value_name("INPUT").help(help).required(true).num_args(1..).value_parser(value_parser!(PathBuf))
}

fn out(help: &'static str) -> Arg {
    Arg::new("out")
        .short('o')
        .long("out")
        .value_name("OUT")
        .help(help)
        .required(true)
        .value_parser(value_parser!(PathBuf))
}

fn overwrite() -> Arg {
    Arg::new("overwrite")
        .long("overwrite")
        .action(ArgAction::SetTrue)
        .help("Replace an existing OUT, in one step, once the new one is complete")
}

fn thresholds_file(required: bool) -> Arg {
    let help = "Apply the boundaries of this thresholds.json; settings that define labels default to those in the file";
    Arg::new("thresholds")
        .long("thresholds")
        .value_name("FILE")
        .help(help)
        .required(required)
        .value_parser(value_parser!(PathBuf))
}

fn symbology_file() -> Arg {
    let help = "A symbology.json for files whose metadata has no symbol mappings [default: the one next to each file]";
    Arg::new("symbology").long("symbology").value_name("FILE").help(help).value_parser(value_parser!(PathBuf))
}

/// Flags that choose and configure the engine.
fn engine() -> [Arg; 3] {
    let of_ray = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help).requires("engine")
    };
    [
        Arg::new("engine")
            .long("engine")
            .value_name("ENGINE")
            .value_parser(["threads", "ray"])
            .hide_possible_values(true)
            .help("threads: run on this machine; ray: run on a Ray cluster (only in the command of the Python package) [default: threads]"),
        of_ray("address", "ADDRESS", "With --engine ray: the address of the cluster, such as auto or ray://host:10001 [default: RAY_ADDRESS, or a new cluster on this machine]"),
        of_ray("work", "FOLDER", "With --engine ray: a folder or URL for work files that all machines can reach [default: next to OUT]")
            .value_parser(value_parser!(PathBuf)),
    ]
}

fn with_settings<'a>(command: Clap, settings: impl Iterator<Item = &'a Setting>) -> Clap {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("Read settings from a TOML file")
        .value_parser(value_parser!(PathBuf));
    let defaults = Config::default();
    let flags = settings.map(|setting| {
        let mut help = setting.meaning();
        let default = setting.text(&defaults);
        if setting.is_set(&defaults) && !default.is_empty() {
            help += &format!(" [default: {default}]");
        }
        let arg = Arg::new(setting.key).long(setting.flag()).value_name(setting.placeholder).help(help);
        let arg = arg.help_heading("Settings").allow_negative_numbers(true);
        // `-1,1` is no number to clap, and no flag to us.
        let arg = arg.allow_hyphen_values(matches!(setting.kind, ValueKind::Pair(_) | ValueKind::Duration));
        match setting.kind {
            ValueKind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            ValueKind::Targets => arg.action(ArgAction::Append),
            _ => arg,
        }
    });
    command.arg(config).args(flags).after_help(SETTINGS_HELP)
}

fn number(
    name: &'static str,
    value: &'static str,
    default: String,
    help: &'static str,
    parser: impl Into<ValueParser>,
) -> Arg {
    Arg::new(name).long(name).value_name(value).help(format!("{help} [default: {default}]")).value_parser(parser.into())
}

/// The whole command line.
pub fn command() -> Clap {
    let market = Market::default();
    let flag = |name, short, help| {
        let arg = Arg::new(name).long(name).short(short).help(help).action(ArgAction::SetTrue);
        arg.global(true).help_heading(GLOBAL)
    };
    Clap::new("lobset")
        .version(lobset::VERSION)
        .about("Turn Databento MBP-10 files into labelled, validated Parquet datasets")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(flag("quiet", 'q', "Print only errors, and the result if --json asks for it"))
        .arg(flag("verbose", 'v', "Print more: the share of every class, and the time of every phase"))
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .global(true)
                .help_heading(GLOBAL)
                .help("Print the result as JSON"),
        )
        .arg(
            Arg::new("threads")
                .long("threads")
                .short('j')
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..))
                .global(true)
                .help_heading(GLOBAL)
                .help("Number of threads; does not affect the output [default: one per core]"),
        )
        .subcommand(with_settings(
            Clap::new("process")
                .about("Fit class boundaries, write one labelled dataset per symbol, and validate them")
                .long_about(
                    "Run the main job, in three phases: fit class boundaries on the first half of the files, write one labelled dataset \
                     per symbol from all files, then read the datasets back and validate them. OUT appears complete and \
                     validated, or not at all.\n\n\
                     Example: lobset process data/ -o audusd",
                )
                .arg(inputs())
                .arg(out("The output folder"))
                .arg(overwrite())
                .arg(thresholds_file(false))
                .arg(symbology_file())
                .args(engine()),
            SETTINGS.iter(),
        ))
        .subcommand(with_settings(
            Clap::new("thresholds")
                .about("Phase 1 only: fit class boundaries and write them to a file")
                .arg(inputs())
                .arg(out("The thresholds.json to write"))
                .arg(overwrite())
                .arg(symbology_file()),
            SETTINGS.iter(),
        ))
        .subcommand(with_settings(
            Clap::new("build")
                .about("Phase 2 only: write datasets with existing boundaries, without validation")
                .arg(inputs())
                .arg(out("The output folder"))
                .arg(overwrite())
                .arg(thresholds_file(true))
                .arg(symbology_file()),
            SETTINGS.iter(),
        ))
        .subcommand(
            Clap::new("validate")
                .about("Phase 3 only: read a folder of datasets back and validate it")
                .arg(Arg::new("folder").value_name("OUT").required(true).value_parser(value_parser!(PathBuf)).help("A folder written by process or build"))
                .arg(
                    Arg::new("against")
                        .long("against")
                        .value_name("INPUT")
                        .num_args(1..)
                        .value_parser(value_parser!(PathBuf))
                        .help("Also compare 1,000 random rows with these raw files, in all columns, and recompute their labels; they must be the files that the manifest lists"),
                )
                .arg(number("seed", "N", "1".to_owned(), "With --against: the seed that selects the random rows", value_parser!(u64)))
                .arg(
                    Arg::new("all")
                        .long("all")
                        .action(ArgAction::SetTrue)
                        .requires("against")
                        .conflicts_with("seed")
                        .help("With --against: compare all rows"),
                )
                .arg(
                    Arg::new("certificate")
                        .long("certificate")
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("Write what was validated, with the hashes of all files, to a JSON file; replaces only an existing certificate"),
                )
                .arg(symbology_file().requires("against")),
        )
        .subcommand(explain())
        .subcommand(with_settings(
            Clap::new("inspect")
                .about("Show what DBN files contain: versions, symbols, rows, time ranges, drops")
                .arg(inputs())
                .arg(symbology_file()),
            Inspection::settings(),
        ))
        .subcommand(
            Clap::new("simulate")
                .about("Write a simulated futures market as DBN files, one per day")
                .arg(Arg::new("folder").value_name("DIR").required(true).value_parser(value_parser!(PathBuf)).help("The folder for the files; created if it is missing"))
                .arg(number("days", "N", market.days.to_string(), "Number of weekdays, one file each", value_parser!(u32)))
                .arg(number("rows", "N", market.rows.to_string(), "Records per day, over all instruments", value_parser!(u32)))
                .arg(number("seed", "N", market.seed.to_string(), "Seed of the random numbers; the same seed gives the same bytes", value_parser!(u64)))
                .arg(number("options", "N", market.options.to_string(), "Number of options to add to the futures", value_parser!(u32)))
                .arg(number("signal", "STRENGTH", market.signal.to_string(), "How much the queues say about the next price, 0 to 1", value_parser!(f64)))
                .arg(number("currency", "TAG", market.currency, "Determines the symbols, the price and the tick size", value_parser!(String)))
                .arg(number("start", "DATE", market.start.to_string(), "The first day", ValueParser::new(date))),
        )
        .subcommand(
            Clap::new("cache")
                .about("List or remove the files that loaders keep for fast random access")
                .long_about(
                    "List the cache files that the loaders of the Python package have built from datasets, or remove them. A file that \
                     is removed is built again when it is needed.\n\n\
                     Example: lobset cache --remove --older-than 30",
                )
                .arg(
                    Arg::new("folder")
                        .long("folder")
                        .value_name("DIR")
                        .value_parser(value_parser!(PathBuf))
                        .help("The folder of the cache files [default: $LOBSET_CACHE, else lobset in $XDG_CACHE_HOME or ~/.cache]"),
                )
                .arg(
                    Arg::new("remove")
                        .long("remove")
                        .action(ArgAction::SetTrue)
                        .help("Remove the files; other files in the folder are left alone"),
                )
                .arg(
                    Arg::new("older-than")
                        .long("older-than")
                        .value_name("DAYS")
                        .value_parser(value_parser!(u64))
                        .help("Only files that were built at least this many days ago [default: 0]"),
                ),
        )
}

fn explain() -> Clap {
    Clap::new("explain")
        .about("Show step by step how the labels of one row follow from the raw files, and compare them with the dataset")
        .long_about(
            "Show step by step how the labels of one row follow from the raw files: the record, and for each target its \
             windows with their sums, the movement, the boundaries around it, the class, the split and the mark. Then \
             compare them with the dataset. A row without a label, or one that is not in the dataset, is explained too.\n\n\
             Example: lobset explain out M6AM4 1234 --against data/",
        )
        .arg(Arg::new("folder").value_name("OUT").required(true).value_parser(value_parser!(PathBuf)).help("A folder written by process or build"))
        .arg(Arg::new("symbol").value_name("SYMBOL").required(true).help("A symbol, as in the column symbol"))
        .arg(
            Arg::new("row")
                .value_name("ROW")
                .required(true)
                .value_parser(value_parser!(u64))
                .help("The row's number in the symbol's stream, from 0, as in the column row"),
        )
        .arg(
            Arg::new("against")
                .long("against")
                .value_name("INPUT")
                .required(true)
                .num_args(1..)
                .value_parser(value_parser!(PathBuf))
                .help("The raw files that the manifest lists, all of them; they are read up to the end of the row's labels"),
        )
        .arg(symbology_file())
}

fn date(text: &str) -> Result<time::Date, String> {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).map_err(|e| e.to_string())
}

/// Turns matches into a command. Resolves the settings, so that mistakes in them are reported before any data is
/// opened.
pub fn parse(matches: &ArgMatches) -> Result<(Talk, Command), Error> {
    let (name, sub) = matches.subcommand().ok_or_else(|| ConfigError::one("no subcommand was given"))?;
    let talk = Talk { quiet: sub.get_flag("quiet"), verbose: sub.get_flag("verbose"), json: sub.get_flag("json") };
    let flag = |name: &str| matches!(sub.try_get_one::<bool>(name), Ok(Some(true)));
    let threads = sub.get_one::<u16>("threads").map_or(0, |n| usize::from(*n));
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
        // A command has flags only for the settings that it uses, and only targets are given more than once.
        let given = sub.try_get_many::<String>(setting.key).ok().flatten()?;
        let given: Vec<&str> = given.map(String::as_str).collect();
        Some((setting.key.to_owned(), given.join(";")))
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
