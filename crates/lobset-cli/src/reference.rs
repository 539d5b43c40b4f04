//! `docs/reference/cli.md`: a page about the command line, generated from its flags.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;

use clap::{Arg, Command};
use lobset::config::SETTINGS;

use self::up_to_date::{fill, up_to_date};
use crate::args;

#[path = "../../lobset/tests/common/up_to_date.rs"]
mod up_to_date;

/// Escapes text so that Markdown shows it unchanged, even in a table.
fn cell(text: &str) -> String {
    let text = text.replace('\n', " ");
    ['\\', '|', '<', '*', '_'].iter().fold(text, |text, c| text.replace(*c, &format!("\\{c}")))
}

/// Paragraphs that Markdown shows unchanged, with examples as code.
fn paragraphs(text: &str) -> String {
    let shown = text.split("\n\n").map(|paragraph| match paragraph.split_once(":\n") {
        Some((title, lines)) if title.starts_with("Example") => {
            let lines: Vec<_> = lines.lines().map(str::trim).collect();
            format!("{title}:\n\n```text\n{}\n```", lines.join("\n"))
        }
        _ => cell(paragraph),
    });
    shown.collect::<Vec<_>>().join("\n\n")
}

/// The table of some arguments.
fn table(arguments: &[&Arg]) -> String {
    let mut table = String::from("| | |\n|---|---|\n");
    for arg in arguments {
        let name = match arg.get_short() {
            Some(short) => format!("-{short}, {arg}"),
            None => arg.to_string(),
        };
        let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        assert!(!help.is_empty(), "{name} has no help");
        writeln!(table, "| `{}` | {} |", name.replace('|', "\\|"), cell(&help)).unwrap();
    }
    table
}

/// The section of a command.
fn section(command: &Command) -> String {
    let name = command.get_name();
    let about = match command.get_long_about() {
        Some(about) => about.to_string(),
        None => format!("{}.", command.get_about().unwrap()),
    };
    let usage = command.clone().bin_name(format!("lobset {name}")).render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let mut text = format!("## lobset {name}\n\n{}\n\n```text\n{usage}\n```\n\n", paragraphs(&about));
    let is_setting = |arg: &Arg| arg.get_help_heading() == Some("Settings");
    let shown = |arg: &&Arg| !arg.is_global_set() && arg.get_id() != "help";
    let (settings, own): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(shown).partition(|arg| is_setting(arg));
    text += &table(&own);
    if settings.len() == SETTINGS.len() {
        text += "\nIt takes all [settings](settings.md).\n";
    } else if !settings.is_empty() {
        let flags: Vec<_> =
            settings.iter().filter_map(|arg| arg.get_long()).map(|flag| format!("`--{flag}`")).collect();
        writeln!(text, "\nIt takes these [settings](settings.md): {}.", flags.join(", ")).unwrap();
    }
    text
}

#[test]
fn the_page_of_the_command_line_is_up_to_date() {
    let mut command = args::command();
    command.build();
    let globals: Vec<&Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    let commands: Vec<String> = commands.map(section).collect();
    let exit_codes = command.get_after_help().unwrap();
    up_to_date("docs/reference/cli.md", |page| {
        let page = fill(page, "global", &table(&globals));
        let page = fill(&page, "commands", &commands.join("\n"));
        fill(&page, "exit-codes", &format!("```text\n{exit_codes}\n```\n"))
    });
}
