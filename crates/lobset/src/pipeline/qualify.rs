//! Selects the symbols with enough labelled rows for a dataset, or explains why there are none.

use super::streams::Stream;
use crate::config::{BadBook, Config};
use crate::error::{Error, Result};
use crate::label::{Candidates, Windows};

/// The places of the symbols with enough labelled rows.
///
/// # Errors
/// [`Error::Data`] when there is none, with the reason and what to change.
pub fn qualified(config: &Config, streams: &[Stream], labelled: &[u64]) -> Result<Vec<usize>> {
    let least = config.min_symbol_samples;
    let qualified: Vec<usize> = (0..streams.len()).filter(|s| labelled[*s] >= least).collect();
    if !qualified.is_empty() {
        return Ok(qualified);
    }
    let largest =
        (0..streams.len()).max_by_key(|s| (labelled[*s], streams[*s].candidates.count(), streams[*s].tape.rows()));
    let Some(largest) = largest else {
        return Err(Error::data("there is no symbol", "look at the files with lobset inspect"));
    };
    let (Stream { symbol: name, .. }, samples) = (&streams[largest], labelled[largest]);
    if samples == 0 {
        return Err(no_label(config, &streams[largest]));
    }
    Err(Error::data(
        format!(
            "no symbol qualifies: the largest, {name:?}, has {samples} labelled rows, and min_symbol_samples is {least}"
        ),
        format!("give more files, or lower min_symbol_samples to {samples} or less"),
    ))
}

/// Explains why no row of a stream has a label.
fn no_label(config: &Config, stream: &Stream) -> Error {
    let (name, rows) = (&stream.symbol, stream.tape.rows());
    let need = config.lookback_rows + 1 + Windows::new(config).reach();
    let shorten = "shorten lookback_rows, lookforward_input and lookforward_offset";
    if rows < need {
        return Error::data(
            format!(
                "the windows are longer than the data: a label needs {need} rows without a break, and the largest symbol, {name:?}, has {rows} rows in all"
            ),
            format!("{shorten}, or give more files"),
        );
    }
    let candidates = stream.candidates.count();
    if let Some(in_session) = &stream.in_session
        && candidates == 0
        && Candidates::new(Windows::new(config), rows, &stream.breaks).count() > 0
    {
        let inside: u64 = in_session.iter().map(|range| range.end - range.start).sum();
        return Error::data(
            format!(
                "no row of the largest symbol, {name:?}, is written: {inside} of its {rows} rows lie within sessions, and none of them has whole windows"
            ),
            "look at the time zone, hours and days of sessions, or give more files",
        );
    }
    if candidates > 0 {
        return Error::data(
            format!(
                "no movement is defined: all {candidates} rows of {name:?} whose windows are whole have a past mean price of 0 or below"
            ),
            "movements are ratios of prices: leave out instruments that trade at or below zero, such as calendar spreads",
        );
    }
    let ends = stream.breaks.iter().copied().chain([rows]);
    let starts = [0].into_iter().chain(stream.breaks.iter().copied());
    let longest = starts.zip(ends).map(|(start, end)| end - start).max().unwrap_or(0);
    let also = match (config.bad_book, config.session_breaks) {
        (BadBook::Drop, false) => " and at records under F_MAYBE_BAD_BOOK, unless bad_book = \"keep\"",
        (BadBook::Drop, true) => {
            ", at records under F_MAYBE_BAD_BOOK, unless bad_book = \"keep\", and at the edges of sessions"
        }
        (BadBook::Keep, false) => "",
        (BadBook::Keep, true) => " and at the edges of sessions",
    };
    let cure = match config.max_gap {
        Some(_) => format!("raise max_gap, or {shorten}; a symbol breaks where it changes its instrument{also}"),
        None => format!("{shorten}; a symbol breaks where it changes its instrument{also}"),
    };
    Error::data(
        format!(
            "the windows are longer than the stretches between breaks: a label needs {need} rows without a break, and the {rows} rows of {name:?} have {} breaks and at most {longest} rows between two",
            stream.breaks.len()
        ),
        cure,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Splits;

    fn refusal(config: &Config, rows: u64, breaks: &[u64]) -> Error {
        let windows = Windows::new(config);
        let stream = Stream {
            symbol: "6A.c.0".to_owned(),
            publisher_id: 1,
            tape: serde_json::from_str(&format!(r#"{{"first_row": 0, "rows": {rows}, "files": []}}"#)).unwrap(),
            breaks: breaks.to_vec(),
            steps_back: 0,
            gaps: crate::input::Gaps::default(),
            files: vec![(0, 0)],
            in_session: None,
            candidates: Candidates::new(windows, rows, breaks),
            splits: Splits { boundary_row: rows, reach: windows.reach() },
        };
        qualified(config, &[stream], &[0]).unwrap_err()
    }

    #[test]
    fn the_cause_of_no_label_is_told() {
        let config = Config { lookback_rows: 200, lookforward_input: 200, lookforward_offset: 20, ..Config::default() };
        let short = refusal(&config, 400, &[]).to_string();
        assert!(short.contains("the windows are longer than the data: a label needs 421 rows"), "{short}");
        let broken = refusal(&config, 4000, &(1..20).map(|i| i * 200).collect::<Vec<_>>()).to_string();
        assert!(broken.contains("have 19 breaks and at most 200 rows between two"), "{broken}");
        let below_zero = refusal(&config, 4000, &[]).to_string();
        assert!(below_zero.contains("all 3580 rows of \"6A.c.0\" whose windows are whole"), "{below_zero}");
    }
}
