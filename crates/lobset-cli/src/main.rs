//! The `lobset` command.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lobset_cli::run(std::env::args_os(), None))
}
