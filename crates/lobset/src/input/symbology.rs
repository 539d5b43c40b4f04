//! `symbology.json`: the mappings of a batch job, for files without mappings.
//!
//! A job for ALL_SYMBOLS, or one with `map_symbols` off, writes files whose metadata has no mappings. The folder of the
//! job then contains them in `symbology.json`, in the form that the API's `symbology.resolve` returns
//! (<https://databento.com/docs/api-reference-historical/symbology/symbology-resolve>):
//!
//! ```json
//! {"result": {"ESM2": [{"d0": "2022-06-06", "d1": "2022-06-07", "s": "3403"}]},
//!  "symbols": ["ESM2"], "stype_in": "raw_symbol", "stype_out": "instrument_id",
//!  "start_date": "2022-06-06", "end_date": "2022-06-07",
//!  "partial": [], "not_found": [], "message": "OK", "status": 0}
//! ```
//!
//! `d0` is the first day, and `d1` is the day after the last. An empty `s` marks days without a match, as in old DBN
//! metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::hex;
use super::mappings::{Mappings, MappingsBuilder, check_symbol, instrument_id};
use super::small::{brief, read_small};
use crate::error::{InputError, Result};
use crate::time_text::Timestamp;

/// Maximum size of a `symbology.json`, in bytes. The file for a year of every option on a US exchange is smaller.
pub const MAX_SYMBOLOGY_BYTES: u64 = 512 << 20;

const HELP: &str = "download symbology.json again, or resolve the symbols again with stype_out=\"instrument_id\"";

/// A `symbology.json`, which is parsed when first needed. Clones share the parsed mappings; two files are equal if
/// their bytes are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SymbologyFile {
    path: PathBuf,
    sha256: String,
    bytes: u64,
    #[serde(skip)]
    parsed: Arc<Mutex<Option<Arc<Mappings>>>>,
}

impl PartialEq for SymbologyFile {
    fn eq(&self, other: &Self) -> bool {
        self.sha256 == other.sha256
    }
}

impl Eq for SymbologyFile {}

impl SymbologyFile {
    /// Describes a file whose bytes have been read, without parsing them.
    pub(super) fn new(path: &Path, bytes: &[u8]) -> Self {
        Self {
            path: path.to_owned(),
            sha256: hex(&Sha256::digest(bytes)),
            bytes: bytes.len() as u64,
            parsed: Arc::default(),
        }
    }

    /// Opens and parses the file that the user named.
    ///
    /// # Errors
    /// [`InputError`] when the file is missing, too large, damaged, or maps to something other than instrument ids.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = read_small(path, MAX_SYMBOLOGY_BYTES)?;
        let file = Self::new(path, &bytes);
        let mappings = parse(path, &bytes)?;
        *file.lock() = Some(Arc::new(mappings));
        Ok(file)
    }

    /// Returns the same file under another path.
    pub(crate) fn at(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// Path or URL of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The maximum memory that parsing takes, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        // The bytes of the file, the parsed strings, and the maps.
        self.bytes.saturating_mul(6)
    }

    /// Returns the mappings; parses the file on the first call.
    ///
    /// # Errors
    /// Same as [`open`](Self::open); also when the file has changed since it was found.
    pub fn mappings(&self) -> Result<Arc<Mappings>> {
        // The lock is held while parsing, so that a second thread waits instead of parsing as well.
        let mut parsed = self.lock();
        if let Some(mappings) = &*parsed {
            return Ok(Arc::clone(mappings));
        }
        let bytes = read_small(&self.path, MAX_SYMBOLOGY_BYTES)?;
        if hex(&Sha256::digest(&bytes)) != self.sha256 {
            return Err(InputError::new(&self.path, "has changed since the run began").with_help("run again").into());
        }
        let mappings = Arc::new(parse(&self.path, &bytes)?);
        *parsed = Some(Arc::clone(&mappings));
        Ok(mappings)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Mappings>>> {
        self.parsed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fields of the file that are used.
#[derive(Deserialize)]
struct Resolution {
    // Sorted, so that a symbol's slot does not depend on a hash.
    result: BTreeMap<String, Vec<Interval>>,
    stype_in: String,
    stype_out: String,
}

#[derive(Deserialize)]
struct Interval {
    #[serde(deserialize_with = "day")]
    d0: u64,
    #[serde(deserialize_with = "day")]
    d1: u64,
    s: String,
}

/// Midnight of a date such as `2024-04-03`.
fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    match text.parse::<Timestamp>() {
        Ok(time) if text.len() == 10 => Ok(time.0),
        _ => Err(serde::de::Error::custom("a day is not a date such as 2024-04-03, or is before 1970")),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Mappings> {
    let refuse = |message: String| InputError::new(path, message).with_help(HELP);
    let Resolution { result, stype_in, stype_out } = serde_json::from_slice(bytes)
        .map_err(|e| refuse(format!("cannot be read as Databento's symbology.json: {}", brief(&e))))?;
    let inverse = match (stype_in.as_str(), stype_out.as_str()) {
        (_, "instrument_id") => false,
        ("instrument_id", _) => true,
        _ => {
            let (from, to) = (brief(&stype_in), brief(&stype_out));
            return Err(refuse(format!("maps {from:?} to {to:?}, and neither is \"instrument_id\"")).into());
        }
    };
    let mut builder = MappingsBuilder::default();
    for (key, intervals) in &result {
        let mut claims: Vec<(u64, u64, u32)> = Vec::new();
        for Interval { d0, d1, s } in intervals.iter().filter(|interval| !interval.s.is_empty()) {
            let (id, name) = if inverse { (key, s) } else { (s, key) };
            check_symbol(name).map_err(refuse)?;
            let id = instrument_id(id, name).map_err(refuse)?;
            builder.add(id, name, *d0, *d1);
            claims.push((*d0, *d1, id));
        }
        if !inverse && let Some((day, [a, b])) = two_at_once(claims) {
            let day = Timestamp(day).to_string();
            return Err(refuse(format!(
                "{key:?} means both instrument {a} and instrument {b} on {}: symbols of the type {:?} do not distinguish them",
                &day[..10],
                brief(&stype_in)
            ))
            .with_help("resolve the symbols again with stype_in=\"raw_symbol\", stype_out=\"instrument_id\"")
            .into());
        }
    }
    Ok(builder.finish())
}

/// Returns a day on which intervals of one symbol name two instruments, if any.
fn two_at_once(mut claims: Vec<(u64, u64, u32)>) -> Option<(u64, [u32; 2])> {
    claims.retain(|(start, end, _)| start < end);
    claims.sort_unstable();
    // The interval with the latest end so far.
    let mut longest = *claims.first()?;
    for claim in &claims[1..] {
        if claim.0 < longest.1 && claim.2 != longest.2 {
            return Some((claim.0, [longest.2, claim.2]));
        }
        if claim.1 > longest.1 {
            longest = *claim;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Mappings> {
        parse(Path::new("symbology.json"), json.as_bytes())
    }

    fn of(stype_in: &str, stype_out: &str, result: &str) -> String {
        format!(r#"{{"result": {result}, "stype_in": {stype_in:?}, "stype_out": {stype_out:?}, "symbols": []}}"#)
    }

    fn refusal(json: &str) -> String {
        parsed(json).unwrap_err().to_string()
    }

    #[test]
    fn both_directions_are_read() {
        let one =
            of("raw_symbol", "instrument_id", r#"{"ESM2": [{"d0": "2022-06-06", "d1": "2022-06-07", "s": "7"}]}"#);
        let other =
            of("instrument_id", "raw_symbol", r#"{"7": [{"d0": "2022-06-06", "d1": "2022-06-07", "s": "ESM2"}]}"#);
        for json in [one, other] {
            let mappings = format!("{:?}", parsed(&json).unwrap());
            assert!(mappings.contains("\"ESM2\"") && mappings.contains("7: [(1654473600000000000"), "{mappings}");
        }
    }

    #[test]
    fn what_is_no_symbology_is_refused() {
        assert!(refusal("").contains("cannot be read as Databento's symbology.json: EOF"));
        assert!(refusal(r#"{"result": {}}"#).contains("missing field `stype_in`"));
        assert!(refusal(&"[".repeat(100_000)).contains("cannot be read"));
        assert!(refusal(&of("continuous", "raw_symbol", "{}")).contains("maps \"continuous\" to \"raw_symbol\""));
        let interval = |d0: &str, s: &str| {
            of(
                "raw_symbol",
                "instrument_id",
                &format!(r#"{{"A": [{{"d0": {d0:?}, "d1": "2022-06-07", "s": {s:?}}}]}}"#),
            )
        };
        assert!(refusal(&interval("yesterday", "7")).contains("not a date such as"));
        assert!(refusal(&interval("1969-12-31", "7")).contains("before 1970"));
        assert!(refusal(&interval("2022-06-06", "seven")).contains("gives the instrument \"seven\""));
        let long = refusal(&interval("2022-06-06", &"7".repeat(300)));
        assert!(long.contains("not a 32-bit number") && long.len() < 400, "{long}");
        let named = |name: &str| {
            refusal(&of(
                "raw_symbol",
                "instrument_id",
                &format!(r#"{{"{name}": [{{"d0": "2022-06-06", "d1": "2022-06-07", "s": "7"}}]}}"#),
            ))
        };
        assert!(named(&"x".repeat(300)).contains("a symbol of 300 bytes"));
        assert!(named("").contains("an empty symbol"));
        assert!(refusal(&interval("2022-06-06", "4294967296")).contains("not a 32-bit number"));
        // Days without a match are marked by an empty symbol.
        assert!(parsed(&interval("2022-06-06", "")).is_ok());
    }

    #[test]
    fn a_symbol_that_stands_for_two_instruments_at_once_is_refused() {
        let of_parent = |first: [&str; 2], second: [&str; 2]| {
            let interval = |[d0, d1]: [&str; 2], s: &str| format!(r#"{{"d0": {d0:?}, "d1": {d1:?}, "s": {s:?}}}"#);
            let both = format!(r#"{{"ES.FUT": [{}, {}]}}"#, interval(first, "7"), interval(second, "8"));
            parsed(&of("parent", "instrument_id", &both))
        };
        let error = of_parent(["2022-06-06", "2022-06-09"], ["2022-06-08", "2022-06-10"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"ES.FUT\" means both instrument 7 and instrument 8 on 2022-06-08"), "{text}");
        assert!(error.help().unwrap().contains("raw_symbol"));
        assert!(of_parent(["2022-06-06", "2022-06-08"], ["2022-06-08", "2022-06-10"]).is_ok());
    }
}
