//! Parsing of the command line, from raw flags to checked options.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};
use lobset::config::{Kind, LabelSettings};
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
    Inspect {
        inputs: Vec<PathBuf>,
        config: Box<Config>,
        options: Options,
    },
    Simulate {
        folder: PathBuf,
        market: Market,
    },
}

const EXIT_CODES: &str = "\
Exit codes:
  0    ok
  1    failure: no dataset can be made of this data with these settings, or a cluster lost its tasks
  2    usage or settings
  3    input refused
  4    output refused
  5    validation failed
  130  interrupted";

const SETTINGS_HELP: &str = "\
Settings come from the preset of the currency (named, or that of the symbols), then --config FILE (TOML), then the environment (LOBSET_LOOKBACK_ROWS=500),
then flags (--lookback-rows 500): the later one wins. Unknown keys and impossible values are all refused at once, before any
file is opened. Colour goes where a terminal is, unless NO_COLOR is set.";

fn inputs() -> Arg {
    let help =
        "DBN files (.dbn, .dbn.zst), folders that are searched for them, quoted globs, or s3://, gs:// and az:// URLs";
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
        .help("Replace OUT, in one step, once the new one is complete")
}

fn thresholds_file(required: bool) -> Arg {
    let help = "Apply these boundaries instead of fitting: a thresholds.json; settings of labels that are not named elsewhere are taken from it";
    Arg::new("thresholds")
        .long("thresholds")
        .value_name("FILE")
        .help(help)
        .required(required)
        .value_parser(value_parser!(PathBuf))
}

fn symbology_file() -> Arg {
    let help = "Symbols for files whose metadata has no mappings: a symbology.json [default: the one beside each file]";
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
            .help("What does the work: the threads of this machine, or tasks on a Ray cluster (with the Python package's command) [default: threads]"),
        of_ray("address", "ADDRESS", "With --engine ray: the cluster, such as auto or ray://host:10001 [default: RAY_ADDRESS, or a cluster on this machine]"),
        of_ray("work", "FOLDER", "With --engine ray: where work files go, a folder or URL that all machines reach [default: beside OUT]")
            .value_parser(value_parser!(PathBuf)),
    ]
}

fn with_settings(command: Clap) -> Clap {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("Settings in TOML")
        .value_parser(value_parser!(PathBuf));
    let defaults = Config::default();
    let flags = SETTINGS.iter().map(|setting| {
        let mut help = setting.meaning();
        if setting.is_set(&defaults) {
            help += &format!(" [default: {}]", setting.text(&defaults));
        }
        let arg = Arg::new(setting.key).long(setting.flag()).value_name(setting.placeholder).help(help);
        let arg = arg.help_heading("Settings").allow_negative_numbers(true);
        // `-1,1` is no number to clap, and no flag to us.
        let arg = arg.allow_hyphen_values(matches!(setting.kind, Kind::Pair(_) | Kind::Duration));
        if setting.is_switch() { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg }
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
    let flag =
        |name, short, help| Arg::new(name).long(name).short(short).help(help).action(ArgAction::SetTrue).global(true);
    Clap::new("lobset")
        .version(lobset::VERSION)
        .about("Databento MBP-10 files in, labelled Parquet datasets out, proved")
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(flag("quiet", 'q', "Say nothing but errors and the result"))
        .arg(flag("verbose", 'v', "Say more: class shares, phases, files"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).global(true).help("Print the result as JSON"))
        .arg(
            Arg::new("threads")
                .long("threads")
                .short('j')
                .value_name("N")
                .value_parser(value_parser!(u16).range(1..))
                .global(true)
                .help("Threads [default: one per core]; the output is the same bytes whatever their number"),
        )
        .subcommand(with_settings(
            Clap::new("process")
                .about("The main job: fit boundaries on the first half, write a dataset per symbol, prove them")
                .long_about(
                    "The main job, in three phases: fit class boundaries on the first half of the files, write one labelled dataset per \
                     symbol from all of them, read back what was written and prove it. OUT appears complete and proved, or not at all.\n\n\
                     Example: lobset process data/ -o audusd",
                )
                .arg(inputs())
                .arg(out("The output folder"))
                .arg(overwrite())
                .arg(thresholds_file(false))
                .arg(symbology_file())
                .args(engine()),
        ))
        .subcommand(with_settings(
            Clap::new("thresholds")
                .about("Phase 1 alone: fit the boundaries and write them to a file")
                .arg(inputs())
                .arg(out("The thresholds.json to write"))
                .arg(overwrite())
                .arg(symbology_file()),
        ))
        .subcommand(with_settings(
            Clap::new("build")
                .about("Phase 2 alone: write datasets with existing boundaries, without validation")
                .arg(inputs())
                .arg(out("The output folder"))
                .arg(overwrite())
                .arg(thresholds_file(true))
                .arg(symbology_file()),
        ))
        .subcommand(
            Clap::new("validate")
                .about("Phase 3 alone: read a folder of datasets back and prove it")
                .arg(Arg::new("folder").value_name("OUT").required(true).value_parser(value_parser!(PathBuf)).help("The output folder of process or build"))
                .arg(
                    Arg::new("against")
                        .long("against")
                        .value_name("INPUT")
                        .num_args(1..)
                        .value_parser(value_parser!(PathBuf))
                        .help("Also compare 1000 random rows, in all columns, with these raw files, and compute their labels by the plain definition; the files have to be those that the manifest names"),
                )
                .arg(number("seed", "N", "1".to_owned(), "Draws the rows for --against", value_parser!(u64)))
                .arg(
                    Arg::new("all")
                        .long("all")
                        .action(ArgAction::SetTrue)
                        .requires("against")
                        .conflicts_with("seed")
                        .help("With --against: compare every row"),
                )
                .arg(
                    Arg::new("certificate")
                        .long("certificate")
                        .value_name("FILE")
                        .value_parser(value_parser!(PathBuf))
                        .help("Write what was proved, with the hashes of all files, as JSON; it replaces a certificate, and nothing else"),
                )
                .arg(symbology_file().requires("against")),
        )
        .subcommand(with_settings(
            Clap::new("inspect")
                .about("Count what DBN files hold: versions, symbols, rows, time range, drops")
                .arg(inputs())
                .arg(symbology_file()),
        ))
        .subcommand(
            Clap::new("simulate")
                .about("Write a simulated futures market as DBN files, one a day")
                .arg(Arg::new("folder").value_name("DIR").required(true).value_parser(value_parser!(PathBuf)).help("Where the files go"))
                .arg(number("days", "N", market.days.to_string(), "Weekdays, and files", value_parser!(u32)))
                .arg(number("rows", "N", market.rows.to_string(), "Records a day, of all instruments together", value_parser!(u32)))
                .arg(number("seed", "N", market.seed.to_string(), "The same seed gives the same bytes", value_parser!(u64)))
                .arg(number("options", "N", market.options.to_string(), "Options beside the futures: many instruments in one file", value_parser!(u32)))
                .arg(number("currency", "TAG", market.currency, "Chooses symbols, price and tick", value_parser!(String)))
                .arg(number("start", "DATE", market.start.to_string(), "The first day", ValueParser::new(date))),
        )
}

fn date(text: &str) -> Result<time::Date, String> {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).map_err(|e| e.to_string())
}

/// Turns matches into a command. Resolves the settings, so that mistakes in them are reported before any data is
/// opened.
pub fn parse(matches: &ArgMatches) -> Result<(Talk, Command), Error> {
    let (name, sub) = matches.subcommand().ok_or_else(|| ConfigError::one("no command"))?;
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
                    return Err(ConfigError::one("--work and --address: only with --engine ray").into());
                }
                _ => Engine::Threads,
            };
            Command::Process { inputs: many("input"), out: one("out"), config, thresholds, options, engine }
        }
        "thresholds" => {
            Command::Thresholds { inputs: many("input"), out: one("out"), config: settings(sub, None)?, options }
        }
        "build" => {
            let thresholds = read_thresholds()?.ok_or_else(|| ConfigError::one("--thresholds: a file is needed"))?;
            let config = settings(sub, Some(&thresholds))?;
            Command::Build { inputs: many("input"), out: one("out"), config, thresholds, options }
        }
        "validate" => {
            let seed = sub.get_one::<u64>("seed").copied().unwrap_or(1);
            let rows = if flag("all") { Compare::All } else { Compare::Random(seed) };
            let certificate = sub.get_one::<PathBuf>("certificate").cloned();
            Command::Validate { folder: one("folder"), against: many("against"), rows, certificate, options }
        }
        "inspect" => Command::Inspect { inputs: many("input"), config: settings(sub, None)?, options },
        _ => {
            let default = Market::default();
            let number = |name: &str, default| sub.get_one::<u32>(name).copied().unwrap_or(default);
            let market = Market {
                days: number("days", default.days),
                rows: number("rows", default.rows),
                options: number("options", default.options),
                seed: sub.get_one("seed").copied().unwrap_or(default.seed),
                currency: sub.get_one("currency").cloned().unwrap_or(default.currency),
                start: sub.get_one("start").copied().unwrap_or(default.start),
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
    let flags = SETTINGS.iter().filter_map(|s| Some((s.key.to_owned(), sub.get_one::<String>(s.key)?.clone())));
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
