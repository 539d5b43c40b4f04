//! What goes to stdout and stderr, whatever is at the other end of them.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};

use lobset::{Error, printable};

/// Prints to stdout. Nothing that comes from outside steers the terminal. A reader who has seen enough, as `head` has, is no
/// failure.
///
/// # Errors
/// [`Error::Output`] when stdout cannot be written; `done` says what was done all the same.
pub fn print(text: &str, done: Option<String>) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(escaped(text).as_bytes()).and_then(|()| stdout.flush()) {
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
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !io::stderr().is_terminal();
    let message = escaped(message);
    let line =
        if plain { format!("{kind}: {message}\n") } else { format!("\x1b[1;{colour}m{kind}\x1b[0m: {message}\n") };
    // Nobody is left to tell where this fails.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Lines of text, each made printable.
fn escaped(text: &str) -> String {
    let mut lines = text.split('\n').map(printable);
    let first = lines.next().unwrap_or_default().into_owned();
    lines.fold(first, |mut text, line| {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{line}");
        text
    })
}
