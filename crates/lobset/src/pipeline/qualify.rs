//! Selects the symbols that have enough labelled rows for a dataset, or explains why there are none.

use super::streams::{Stream, item};
use crate::config::{BadBook, CLASSIC, Config, Target};
use crate::error::{Error, Result};

/// The places of the symbols with enough labelled rows, by target. `labelled` has the number of labelled rows by
/// [`item`].
///
/// # Errors
/// [`Error::Data`] when a target has none, with the reason and what to change.
pub fn qualified(config: &Config, streams: &[Stream], labelled: &[u64]) -> Result<Vec<Vec<usize>>> {
    let of_target = |(place, target): (usize, &Target)| {
        let rows: Vec<u64> = (0..streams.len()).map(|stream| labelled[item(place, streams, stream)]).collect();
        qualified_for(config, (place, target), streams, &rows)
    };
    config.all_targets().iter().enumerate().map(of_target).collect()
}

/// The places of the symbols with enough labelled rows of one target.
fn qualified_for(config: &Config, of: (usize, &Target), streams: &[Stream], labelled: &[u64]) -> Result<Vec<usize>> {
    let ((place, target), least) = (of, config.min_symbol_samples);
    let qualified: Vec<usize> = (0..streams.len()).filter(|s| labelled[*s] >= least).collect();
    if !qualified.is_empty() {
        return Ok(qualified);
    }
    let candidates = |s: usize| streams[s].targets[place].candidates.count();
    let largest = (0..streams.len()).max_by_key(|s| (labelled[*s], candidates(*s), streams[*s].tape.rows()));
    let Some(largest) = largest else {
        return Err(Error::data("the input has no symbols", "examine the files with lobset inspect"));
    };
    let of_target = match target.name.as_str() {
        CLASSIC => String::new(),
        name => format!("target {name:?}: "),
    };
    let (Stream { symbol: name, .. }, samples) = (&streams[largest], labelled[largest]);
    if samples == 0 {
        return Err(no_label(config, &of_target, target, &streams[largest], candidates(largest)));
    }
    Err(Error::data(
        format!(
            "{of_target}no symbol qualifies: the largest, {name:?}, has {samples} labelled rows, but min_symbol_samples is {least}"
        ),
        format!("add more files, or lower min_symbol_samples to {samples} or less"),
    ))
}

/// Explains why no row of a stream has a label of a target.
fn no_label(config: &Config, of_target: &str, target: &Target, stream: &Stream, candidates: u64) -> Error {
    let (name, rows) = (&stream.symbol, stream.tape.rows());
    let (need, shorten) = target.movement.needs();
    let rule = target.movement.rule();
    if let Some(in_session) = &stream.in_session
        && candidates == 0
        && rule.candidates(&stream.tape, &stream.breaks).is_ok_and(|whole| whole.count() > 0)
    {
        let inside: u64 = in_session.iter().map(|range| range.end - range.start).sum();
        return Error::data(
            format!(
                "{of_target}no row of the largest symbol, {name:?}, is written: {inside} of its {rows} rows are within sessions, and none of them has complete windows"
            ),
            "check the time zone, hours and days of sessions, or add more files",
        );
    }
    if candidates > 0 {
        return Error::data(
            format!(
                "{of_target}no movement is defined: all {candidates} rows of {name:?} with complete windows have {}",
                target.movement.undefined()
            ),
            "movements are ratios of prices: leave out instruments that trade at or below zero, such as calendar spreads",
        );
    }
    if stream.breaks.is_empty() {
        return Error::data(
            format!(
                "{of_target}the windows are longer than the data: a label needs {need} without a break, and the largest symbol, {name:?}, has {rows} rows in all"
            ),
            format!("{shorten}, or add more files"),
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
    Error::data(
        format!(
            "{of_target}the windows are longer than the stretches between breaks: a label needs {need} without a break, and the {rows} rows of {name:?} have {} breaks and at most {longest} rows between two",
            stream.breaks.len()
        ),
        match config.max_gap {
            Some(_) => {
                format!("raise max_gap, or {shorten}; a stream breaks where its symbol changes instrument{also}")
            }
            None => format!("{shorten}; a stream breaks where its symbol changes instrument{also}"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::Splits;
    use crate::pipeline::streams::TargetRows;

    fn refusal(config: &Config, rows: u64, breaks: &[u64]) -> Error {
        let mut stream = Stream {
            symbol: "6A.c.0".to_owned(),
            publisher_id: 1,
            tape: serde_json::from_str(&format!(r#"{{"first_row": 0, "rows": {rows}, "files": []}}"#)).unwrap(),
            breaks: breaks.to_vec(),
            ticks: vec![1],
            steps_back: 0,
            gaps: crate::input::Gaps::default(),
            files: vec![(0, 0)],
            in_session: None,
            boundary_row: rows,
            targets: Vec::new(),
        };
        let rows_of = |target: &Target| TargetRows {
            candidates: target.movement.rule().candidates(&stream.tape, breaks).unwrap(),
            splits: Splits { fit_end: rows, boundary_row: rows },
        };
        stream.targets = config.all_targets().iter().map(rows_of).collect();
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
        assert!(below_zero.contains("all 3580 rows of \"6A.c.0\" with complete windows"), "{below_zero}");
    }
}
