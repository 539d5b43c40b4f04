//! The `lobset` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lobset_cli::run(std::env::args_os(), None))
}
