//! Printing to stdout and stderr, whether they are terminals, files or closed pipes.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};

use anstream::{AutoStream, ColorChoice};
use lobset::{Error, printable};

/// Prints to stdout. A pipe that the reader has closed, as `head` does, is not an error.
///
/// # Errors
/// [`Error::Output`] when stdout cannot be written; `done` becomes its help and describes what was completed anyway.
pub fn print(text: &str, done: Option<String>) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::Output {
            path: "standard output".into(),
            message: format!("cannot be written: {e}"),
            help: done,
        }),
        _ => Ok(()),
    }
}

/// Prints a line such as `error: …` to stderr, its first word in colour on a terminal.
pub fn say(kind: &str, message: &str) {
    let colour = match kind {
        "error" => "31",
        "warning" => "33",
        _ => "36",
    };
    let plain = AutoStream::choice(&io::stderr()) == ColorChoice::Never;
    let message = escaped(message);
    let line =
        if plain { format!("{kind}: {message}\n") } else { format!("\x1b[1;{colour}m{kind}\x1b[0m: {message}\n") };
    // There is nowhere left to report a failure of stderr.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Escapes control characters in each line of a text, so that names in the data cannot control the terminal.
pub fn escaped(text: &str) -> String {
    let mut lines = text.split('\n').map(printable);
    let first = lines.next().unwrap_or_default().into_owned();
    lines.fold(first, |mut text, line| {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{line}");
        text
    })
}
