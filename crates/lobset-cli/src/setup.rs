//! The commands that set up a machine or a project: a settings file, shell completions, manual pages.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap_complete::Shell;
use clap_mangen::Man;
use lobset::Error;
use lobset::settings::{Layer, SCHEMA_FILE, resolve, schema, template};

use crate::args;

/// The name of the settings file.
const SETTINGS_FILE: &str = "lobset.toml";

/// The contents of a manual page.
const OF_LOBSET: &str = ".TH lobset";

/// Writes a settings file and its schema; returns their paths. A schema of this version may already exist.
///
/// # Errors
/// [`Error::Config`] when the currency is not a valid tag, [`Error::Output`] when a file exists or cannot be written.
pub fn init(folder: &Path, currency: Option<&str>) -> Result<[PathBuf; 2], Error> {
    if let Some(tag) = currency {
        let values = vec![("currency".to_owned(), tag.to_owned())];
        resolve(&[Layer { origin: "flags".to_owned(), values }])?;
    }
    let [settings, schema_file] = [SETTINGS_FILE, SCHEMA_FILE].map(|name| folder.join(name));
    create(folder)?;
    let schema = schema();
    let has_schema = std::fs::read(&schema_file).is_ok_and(|found| found == schema.as_bytes());
    if schema_file.symlink_metadata().is_ok() && !has_schema {
        return Err(exists(&schema_file));
    }
    write_new(&settings, &template(currency))?;
    if !has_schema {
        write_new(&schema_file, &schema)?;
    }
    Ok([settings, schema_file])
}

/// Writes a file that must not exist.
fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    let create = || File::options().write(true).create_new(true).open(path)?.write_all(text.as_bytes());
    create().map_err(|e| Error::output(path, e))
}

/// The completions of a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "lobset", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the whole command.
///
/// # Errors
/// [`Error::Output`] when it cannot be rendered.
pub fn page() -> Result<String, Error> {
    rendered(args::command())
}

/// Writes the manual pages; returns their paths.
///
/// # Errors
/// [`Error::Output`] when something that is not a manual page of lobset has the name of one, or a page cannot be
/// written.
pub fn pages(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut command = args::command().disable_help_subcommand(true);
    command.build();
    let of_commands = command.get_subcommands().map(|sub| sub.clone().name(format!("lobset-{}", sub.get_name())));
    let all: Vec<clap::Command> = [command.clone()].into_iter().chain(of_commands).collect();
    create(folder)?;
    let mut pages = Vec::with_capacity(all.len());
    for command in all {
        let path = folder.join(format!("{}.1", command.get_name()));
        let found = std::fs::read(&path).unwrap_or_default();
        if path.symlink_metadata().is_ok() && !String::from_utf8_lossy(&found).contains(OF_LOBSET) {
            return Err(exists(&path));
        }
        pages.push((path, rendered(command)?));
    }
    for (path, text) in &pages {
        std::fs::write(path, text).map_err(|e| Error::output(path, e))?;
    }
    Ok(pages.into_iter().map(|(path, _)| path).collect())
}

fn rendered(command: clap::Command) -> Result<String, Error> {
    let mut page = Vec::new();
    let name = PathBuf::from(format!("{}.1", command.get_name()));
    Man::new(command).render(&mut page).map_err(|e| Error::output(&name, e))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn create(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(|e| Error::output(folder, e))
}

fn exists(path: &Path) -> Error {
    Error::output(path, std::io::Error::from(std::io::ErrorKind::AlreadyExists))
}
