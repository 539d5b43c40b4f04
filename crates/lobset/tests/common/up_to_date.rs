//! Files of the repository that tests write: `LOBSET_UPDATE=1` in the environment of a test rewrites its files.

use std::path::Path;

/// Compares a file of the repository with what `update` makes of it, or writes that.
pub fn up_to_date(path: &str, update: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = update(&found);
    if std::env::var_os("LOBSET_UPDATE").is_some() {
        std::fs::write(&path, wanted).unwrap();
    } else {
        assert!(
            found == wanted,
            "{} is out of date\nhelp: rewrite it with LOBSET_UPDATE=1 cargo test, and this test",
            path.display()
        );
    }
}

/// A page with `text` between `<!-- NAME: …` and `<!-- end of NAME -->`.
pub fn fill(page: &str, name: &str, text: &str) -> String {
    let (before, rest) = page.split_once(&format!("<!-- {name}: ")).unwrap();
    let (source, rest) = rest.split_once('\n').unwrap();
    let end = format!("<!-- end of {name} -->");
    let (_, after) = rest.split_once(&end).unwrap();
    format!("{before}<!-- {name}: {source}\n\n{text}\n{end}{after}")
}
