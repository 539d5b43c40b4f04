//! Reads datasets that may be damaged, and describes the damage.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Once};

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use crate::dataset::DatasetFile;
use crate::error::{Error, InputError, Result};
use crate::output::RangeFile;
use crate::printable::printable;

/// Reads the footer of a dataset in memory.
pub(super) fn parse_footer(path: &Path, bytes: &impl ChunkReader) -> Result<ParquetMetaData> {
    ParquetMetaDataReader::new().parse_and_finish(bytes).map_err(|e| unread(path, &e))
}

/// Reads the footer of a dataset.
pub(super) fn read_footer(path: &Path) -> Result<ParquetMetaData> {
    DatasetFile::open(path)?.footer().map_err(|e| unread(path, &e))
}

/// Opens a dataset to read its rows.
pub(super) fn open_rows(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<RangeFile>> {
    let file = DatasetFile::open(path)?;
    let footer = file.footer().map(Arc::new).map_err(|e| unread(path, &e))?;
    let footer = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new()).map_err(|e| unreadable(path, e))?;
    Ok(ParquetRecordBatchReaderBuilder::new_with_metadata(file.whole(), footer))
}

/// Compares the hash of a file with that in the manifest.
pub(super) fn check_sha256(found: &str, want: &str) -> Result<(), String> {
    if found == want {
        return Ok(());
    }
    Err(format!("its SHA-256 is {found}, not {want} as the manifest says"))
}

/// Runs code that decodes a file, and catches panics. The Parquet reader panics on some damaged files: these are
/// reported as unreadable, and nothing is printed.
pub(super) fn caught<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = {
        let _quiet = Quiet::new();
        catch_unwind(AssertUnwindSafe(read))
    };
    outcome.unwrap_or_else(|_| Err(unreadable(path, "the Parquet reader panicked, as it does on some damaged files")))
}

thread_local! {
    /// Whether panics of this thread are caught and reported as violations.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Silences the panics of this thread while the value is alive.
struct Quiet {
    before: bool,
}

impl Quiet {
    fn new() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            let others = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                // A thread that is ending no longer has thread-locals: its panics are printed.
                if !QUIET.try_with(Cell::get).unwrap_or(false) {
                    others(panic);
                }
            }));
        });
        Self { before: QUIET.replace(true) }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(self.before);
    }
}

/// The error for a dataset that cannot be opened or decoded.
pub(super) fn unreadable(path: &Path, cause: impl Display) -> Error {
    damaged(path, cause).into()
}

fn damaged(path: &Path, cause: impl Display) -> InputError {
    InputError::new(path, format!("cannot be read back: {cause}"))
}

/// The error for a dataset that the Parquet reader cannot read.
pub(super) fn unread(path: &Path, cause: &ParquetError) -> Error {
    let source = match cause {
        ParquetError::External(source) => source.downcast_ref::<io::Error>(),
        _ => None,
    };
    may_pass(damaged(path, cause), source)
}

/// The error for a dataset whose bytes cannot be read.
pub(super) fn unread_bytes(path: &Path, cause: &io::Error) -> Error {
    may_pass(damaged(path, cause), Some(cause))
}

/// Marks the error as transient if the system or the store failed to deliver the bytes.
fn may_pass(error: InputError, cause: Option<&io::Error>) -> Error {
    // Missing, excess or invalid bytes are damage.
    let damage = [ErrorKind::UnexpectedEof, ErrorKind::FileTooLarge, ErrorKind::InvalidData];
    let kind = cause.map(io::Error::kind).filter(|kind| !damage.contains(kind));
    let transient = kind.is_some_and(|kind| InputError::unread(&error.path, kind.into()).transient);
    InputError { transient, ..error }.into()
}

/// The message of an error, for a line that begins with the file name.
pub(super) fn cause(error: &Error) -> String {
    match error {
        Error::Input(e) => printable(&e.message).into_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn external(kind: ErrorKind) -> ParquetError {
        ParquetError::External(Box::new(io::Error::new(kind, "no answer")))
    }

    #[test]
    fn only_what_the_store_failed_to_deliver_may_come_another_time() {
        let path = Path::new("a.parquet");
        for kind in [ErrorKind::Other, ErrorKind::TimedOut, ErrorKind::ConnectionReset] {
            let error = unread(path, &external(kind));
            assert!(error.is_transient(), "{kind}");
            assert_eq!(error.to_string(), "a.parquet: cannot be read back: External: no answer");
        }
        for kind in [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::NotFound] {
            assert!(!unread(path, &external(kind)).is_transient(), "{kind}");
        }
        assert!(!unread(path, &ParquetError::EOF("its footer is truncated".to_owned())).is_transient());
    }

    #[test]
    fn a_panic_that_is_caught_prints_nothing_and_all_others_do() {
        const INSIDE: &str = "LOBSET_TEST_PANICS";
        if std::env::var_os(INSIDE).is_none() {
            // The output of a process can be seen only from outside.
            let name = "validate::reading::tests::a_panic_that_is_caught_prints_nothing_and_all_others_do";
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let ran = command.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
            let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
            assert!(ran.status.success() && text.contains("1 passed"), "{text}");
            assert!(!text.contains("of the reader"), "{text}");
            assert!(text.contains("of another thread") && text.contains("after it"), "{text}");
            return;
        }
        let path = Path::new("a.parquet");
        let panicked = |what: &'static str| std::thread::spawn(move || panic::panic_any(what)).join().is_err();
        let found = caught(path, || -> Result<()> {
            let inner = caught(path, || -> Result<()> { panic::panic_any("of the reader, inside") });
            assert!(inner.is_err());
            assert!(panicked("of another thread"));
            panic::panic_any("of the reader")
        });
        assert!(found.unwrap_err().to_string().contains("the Parquet reader panicked"));
        assert!(catch_unwind(|| panic::panic_any("after it")).is_err());
    }
}
