//! The flags of each command, and the texts of their help.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command, value_parser};
use clap_complete::Shell;
use lobset::config::{Scope, Setting, ValueKind};
use lobset::settings::{SCHEMA_FILE, SETTINGS};
use lobset::{Config, Inspection};
use lobset_sim::Market;

/// Heading of the flags about output and threads.
const GLOBAL: &str = "General options";

/// Heading of the flags that are settings.
const OF_SETTINGS: &str = "Settings";

const START: &str = "\
To start:
  lobset simulate market          simulate a small market, if you have no data
  lobset inspect market           look into the files
  lobset process market -o out    make datasets, thresholds and a report

lobset COMMAND --help describes a command, its flags and its settings.

Exit codes:
  0    success
  1    no dataset can be made from this data, or a cluster lost its tasks
  2    invalid usage or settings
  3    the input was refused
  4    the output was refused
  5    validation failed
  130  interrupted";

const SETTINGS_HELP: &str = "\
Settings come from the preset of the currency (given, or inferred from the symbols), --config FILE (TOML; lobset init \
writes one), the environment (LOBSET_LOOKBACK_ROWS=500) and flags (--lookback-rows 500); later sources win. All unknown \
keys and invalid values are reported at once, before any data is opened.";

const SOME_SETTINGS_HELP: &str = "\
Settings come from --config FILE (TOML), the environment (LOBSET_MAX_GAP=15m) and flags (--max-gap 15m); later sources \
win. Settings that this command does not use may be in the file.";

fn path(name: &'static str, value: &'static str, help: impl Into<clap::builder::StyledStr>) -> Arg {
    Arg::new(name).value_name(value).help(help).value_parser(value_parser!(PathBuf))
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn inputs() -> Arg {
    let help = "DBN files (.dbn, .dbn.zst), folders to search for them, quoted globs, or s3://, gs:// and az:// URLs";
    path("input", "INPUT", help).required(true).num_args(1..)
}

fn out(help: &'static str) -> Arg {
    path("out", "OUT", help).short('o').long("out").required(true)
}

fn folder_of_datasets() -> Arg {
    path("folder", "OUT", "A folder written by process or build").required(true)
}

fn overwrite() -> Arg {
    switch("overwrite", "Replace an existing OUT, in one step, once the new one is complete")
}

fn thresholds_file(required: bool) -> Arg {
    let help = "Apply the boundaries of this thresholds.json; settings that define labels default to those in the file";
    path("thresholds", "FILE", help).long("thresholds").required(required)
}

fn symbology_file() -> Arg {
    let help = "A symbology.json for files whose metadata has no symbol mappings [default: the one next to each file]";
    path("symbology", "FILE", help).long("symbology")
}

fn threads() -> Arg {
    Arg::new("threads")
        .long("threads")
        .short('j')
        .value_name("N")
        .value_parser(value_parser!(u16).range(1..))
        .help_heading(GLOBAL)
        .help("Number of threads; does not affect the output [default: one per core]")
}

fn verbose(help: &'static str) -> Arg {
    switch("verbose", help).short('v').help_heading(GLOBAL)
}

/// Flags that choose and configure the engine.
fn engine() -> [Arg; 3] {
    let help = "threads: run on this machine; ray: run on a Ray cluster (only in the command of the Python package) [default: threads]";
    let engine = Arg::new("engine").long("engine").value_name("ENGINE").value_parser(["threads", "ray"]).help(help);
    let address = "With --engine ray: the address of the cluster, such as auto or ray://host:10001 [default: RAY_ADDRESS, or a new cluster on this machine]";
    let address = Arg::new("address").long("address").value_name("ADDRESS").help(address);
    let work = "With --engine ray: a folder or URL for work files that all machines can reach [default: next to OUT]";
    [
        engine.hide_possible_values(true),
        address.requires("engine"),
        path("work", "FOLDER", work).long("work").requires("engine"),
    ]
}

fn with_settings<'a>(command: Command, help: &'static str, settings: impl Iterator<Item = &'a Setting>) -> Command {
    let config = path("config", "FILE", "Read settings from a TOML file").long("config");
    let defaults = Config::default();
    let flags = settings.map(|setting| {
        let mut help = setting.meaning();
        let default = setting.text(&defaults);
        if setting.repeats() {
            help += "; may be given several times";
        } else if setting.is_set(&defaults) && !default.is_empty() {
            help += &format!(" [default: {default}]");
        }
        let arg = Arg::new(setting.key).long(setting.flag()).value_name(setting.placeholder).help(help);
        let arg = arg.help_heading(OF_SETTINGS).allow_negative_numbers(true);
        // clap does not take `-1,1` for a number, but it is a value, not a flag.
        let arg = arg.allow_hyphen_values(matches!(setting.kind, ValueKind::Pair(_) | ValueKind::Duration));
        match setting.kind {
            ValueKind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            _ if setting.repeats() => arg.action(ArgAction::Append),
            _ => arg,
        }
    });
    command.arg(config).args(flags).after_help(help)
}

/// The settings that fitting boundaries depends on: not those of the files that a run writes.
fn of_thresholds() -> impl Iterator<Item = &'static Setting> {
    let used = |setting: &&Setting| match setting.scope {
        Scope::Rows | Scope::Input | Scope::Label | Scope::Selection | Scope::Run => true,
        Scope::Tensor | Scope::Output => setting.key == "currency",
    };
    SETTINGS.iter().filter(used)
}

/// The settings of the fit alone, which do not apply where boundaries come from a file.
const FIT_ONLY: [&str; 2] = ["sample_fraction", "fit_until"];

/// The settings that writing datasets with existing boundaries depends on: not those of the fit.
fn of_build() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !FIT_ONLY.contains(&setting.key))
}

fn number(
    name: &'static str,
    value: &'static str,
    default: impl std::fmt::Display,
    help: &'static str,
    parser: impl Into<ValueParser>,
) -> Arg {
    Arg::new(name).long(name).value_name(value).help(format!("{help} [default: {default}]")).value_parser(parser.into())
}

/// The whole command line.
pub fn command() -> Command {
    let general = |name, help| switch(name, help).global(true).help_heading(GLOBAL);
    Command::new("lobset")
        .version(lobset::VERSION)
        .about("Turn Databento MBP-10 files into labelled, validated Parquet datasets")
        .after_help(START)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .arg(general("quiet", "Print only errors, and the result if --json asks for it").short('q'))
        .arg(general("json", "Print the result as JSON"))
        .subcommands([process(), inspect(), validate(), report(), explain(), thresholds(), build()])
        .subcommands([init(), simulate(), cache(), completions(), man()])
}

fn process() -> Command {
    let command = Command::new("process")
        .about("Fit class boundaries, write one labelled dataset per symbol, and validate them")
        .long_about(
            "Run the main job, in three phases: fit class boundaries on the first half of the files, write one labelled \
             dataset per symbol from all files, then read the datasets back and validate them. OUT appears complete and \
             validated, or not at all.\n\n\
             Examples:\n  \
             lobset process data/ -o audusd\n  \
             lobset process data/ -o audusd --dry-run\n  \
             lobset process 'data/*.dbn.zst' -o es --symbol ESM4 --max-gap 15m --nbins 3",
        )
        .arg(inputs())
        .arg(out("The output folder"))
        .arg(overwrite())
        .arg(
            switch("dry-run", "Print what would be read and written, T, sizes and time, estimated; write nothing")
                .conflicts_with("engine"),
        )
        // T and the boundaries come from the file.
        .arg(thresholds_file(false).conflicts_with_all(FIT_ONLY))
        .arg(symbology_file())
        .args(engine())
        .arg(verbose("Print all symbols, the share of every class, and the time of every phase"))
        .arg(threads());
    with_settings(command, SETTINGS_HELP, SETTINGS.iter())
}

fn thresholds() -> Command {
    let command = Command::new("thresholds")
        .about("Phase 1 only: fit class boundaries and write them to a file")
        .arg(inputs())
        .arg(out("The thresholds.json to write"))
        .arg(overwrite())
        .arg(symbology_file())
        .arg(threads());
    with_settings(command, SETTINGS_HELP, of_thresholds())
}

fn build() -> Command {
    let command = Command::new("build")
        .about("Phase 2 only: write datasets with existing boundaries, without validation")
        .arg(inputs())
        .arg(out("The output folder"))
        .arg(overwrite())
        .arg(thresholds_file(true))
        .arg(symbology_file())
        .arg(verbose("Print all symbols, the share of every class, and the time of every phase"))
        .arg(threads());
    with_settings(command, SETTINGS_HELP, of_build())
}

fn validate() -> Command {
    Command::new("validate")
        .about("Phase 3 only: read a folder of datasets back and validate it")
        .arg(folder_of_datasets())
        .arg(
            path(
                "against",
                "INPUT",
                "Also compare 1,000 random rows with these raw files, in all columns, and recompute their labels; they \
                 must be the files that the manifest lists",
            )
            .long("against")
            .num_args(1..),
        )
        .arg(
            number("seed", "N", 1, "With --against: the seed that selects the random rows", value_parser!(u64))
                .requires("against"),
        )
        .arg(switch("all", "With --against: compare all rows").requires("against").conflicts_with("seed"))
        .arg(
            path(
                "certificate",
                "FILE",
                "Write what was validated, with the hashes of all files, to a JSON file; replaces only an existing \
                 certificate",
            )
            .long("certificate"),
        )
        .arg(symbology_file().requires("against"))
        .arg(verbose("Print all symbols, the share of every class, and every check"))
        .arg(threads())
}

fn report() -> Command {
    Command::new("report")
        .about("Regenerate the report of an output folder")
        .arg(folder_of_datasets())
        .after_help(
            "Redraws the report from the manifest and a sample of the datasets' rows. The manifest records the report's \
             hash, so both are replaced in one step, or neither.\n\n\
             Example:\n  lobset report out",
        )
        .arg(threads())
}

fn explain() -> Command {
    Command::new("explain")
        .about(
            "Show step by step how the labels of one row follow from the raw files, and compare them with the dataset",
        )
        .long_about(
            "Show step by step how the labels of one row follow from the raw files: the record, and for each target its \
             windows with their sums, the movement, the boundaries around it, the class, the split and the mark. Then \
             compare them with the dataset. A row without a label, or one that is not in the dataset, is explained too.\n\n\
             Example:\n  lobset explain out M6AM4 1234 --against data/",
        )
        .arg(folder_of_datasets())
        .arg(Arg::new("symbol").value_name("SYMBOL").required(true).help("A symbol, as in the column symbol"))
        .arg(
            Arg::new("row")
                .value_name("ROW")
                .required(true)
                .value_parser(value_parser!(u64))
                .help("The row's number in the symbol's stream, from 0, as in the column row"),
        )
        .arg(
            path(
                "against",
                "INPUT",
                "The raw files that the manifest lists, all of them; they are read up to the end of the row's labels",
            )
            .long("against")
            .required(true)
            .num_args(1..),
        )
        .arg(symbology_file())
        .arg(threads())
}

fn inspect() -> Command {
    let command = Command::new("inspect")
        .about("Show what DBN files contain: symbols, rows, time ranges, gaps, drops")
        .arg(inputs())
        .arg(symbology_file())
        .arg(verbose("Print all files and symbols, with everything that is counted"))
        .arg(threads());
    with_settings(command, SOME_SETTINGS_HELP, Inspection::settings())
}

fn init() -> Command {
    Command::new("init")
        .about("Write a lobset.toml with every setting, its meaning and its default")
        .long_about(format!(
            "Write a lobset.toml with every setting, its meaning and its default, to edit and to pass with --config; and \
             beside it {SCHEMA_FILE}, with which editors complete and check it (VS Code with Even Better TOML, Helix and \
             Neovim with Taplo). Existing files are not replaced.\n\n\
             Example:\n  lobset init --currency AUDUSD",
        ))
        .arg(path(
            "folder",
            "DIR",
            "The folder for the files; created if it is missing [default: the current one]",
        ))
        .arg(
            Arg::new("currency")
                .long("currency")
                .value_name("TAG")
                .help("Set the currency, and show the defaults of its preset [default: inferred from the data in each run]"),
        )
}

fn simulate() -> Command {
    let market = Market::default();
    let u32s = || value_parser!(u32);
    Command::new("simulate")
        .about("Write a simulated futures market as DBN files, one per day")
        .arg(path("folder", "DIR", "The folder for the files; created if it is missing").required(true))
        .arg(number("days", "N", market.days, "Number of weekdays, one file each", u32s()))
        .arg(number("rows", "N", market.rows, "Records per day, over all instruments", u32s()))
        .arg(number(
            "seed",
            "N",
            market.seed,
            "Seed of the random numbers; the same seed gives the same bytes",
            value_parser!(u64),
        ))
        .arg(number("options", "N", market.options, "Number of options to add to the futures", u32s()))
        .arg(number(
            "signal",
            "STRENGTH",
            market.signal,
            "How much the queues say about the next price, 0 to 1",
            value_parser!(f64),
        ))
        .arg(number(
            "currency",
            "TAG",
            market.currency,
            "Determines the symbols, the price and the tick size",
            value_parser!(String),
        ))
        .arg(number("start", "DATE", market.start, "The first day", ValueParser::new(date)))
}

fn cache() -> Command {
    Command::new("cache")
        .about("List or remove the files that loaders keep for fast random access")
        .long_about(
            "List the cache files that the loaders of the Python package have built from datasets, or remove them. A file \
             that is removed is built again when it is needed.\n\n\
             Example:\n  lobset cache --remove --older-than 30",
        )
        .arg(
            path(
                "folder",
                "DIR",
                "The folder of the cache files [default: $LOBSET_CACHE, else lobset in $XDG_CACHE_HOME or ~/.cache]",
            )
            .long("folder"),
        )
        .arg(switch("remove", "Remove the files; other files in the folder are left alone"))
        .arg(
            Arg::new("older-than")
                .long("older-than")
                .value_name("DAYS")
                .value_parser(value_parser!(u64))
                .help("Only files that were built at least this many days ago [default: 0]"),
        )
}

fn completions() -> Command {
    Command::new("completions")
        .about("Print the completions of a shell")
        .long_about(
            "Print a script that completes commands and flags in a shell.\n\n\
             Examples:\n  \
             lobset completions bash > ~/.local/share/bash-completion/completions/lobset\n  \
             lobset completions zsh > ~/.zfunc/_lobset\n  \
             lobset completions fish > ~/.config/fish/completions/lobset.fish",
        )
        .arg(Arg::new("shell").value_name("SHELL").required(true).value_parser(value_parser!(Shell)).help("The shell"))
}

fn man() -> Command {
    Command::new("man")
        .about("Print the manual page, or write one page for each command")
        .long_about(
            "Print the manual page of lobset, or write that and one page for each command to a folder. Pages of lobset that \
             are there already are replaced, other files are not.\n\n\
             Examples:\n  \
             lobset man | man -l -\n  \
             lobset man ~/.local/share/man/man1",
        )
        .arg(path("folder", "DIR", "The folder for the pages; created if it is missing"))
}

fn date(text: &str) -> Result<time::Date, String> {
    time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).map_err(|e| e.to_string())
}
