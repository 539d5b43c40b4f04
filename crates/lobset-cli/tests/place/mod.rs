//! The folder in which the tests run the command.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Place {
    folder: tempfile::TempDir,
}

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    /// A folder with a small market.
    pub fn new() -> Self {
        let place = Self::empty();
        let ran = place.run("simulate market --days 3 --rows 6000");
        assert_eq!(ran.code, 0, "{}", ran.err);
        place
    }

    /// An empty folder.
    pub fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lobset"));
        command.current_dir(self.folder.path()).args(line.split_whitespace()).env_clear();
        command
    }

    pub fn run(&self, line: &str) -> Ran {
        Ran::from(self.command(line).output().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// The folder with real market data, if this machine has it.
pub fn real_data(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    folder.is_dir().then_some(folder)
}

pub const SMALL: &str =
    "--lookback-rows 100 --lookforward-input 100 --lookforward-offset 10 --nbins 5 --min-symbol-samples 500";
