//! The settings that select rows, as a user gives them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use place::{Place, Ran, SMALL};

#[test]
fn rows_of_events_within_sessions_are_written_and_proved() {
    let place = Place::new();
    let sessions = "08:30-15:00 America/Chicago mon-fri,17:00-18:00 America/Chicago sun-thu";
    let mut command = place.command(&format!("process market -o out {SMALL} --rows events --bad-book keep"));
    let ran = Ran::from(command.args(["--session-breaks", "--sessions", sessions]).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains(" rows lie outside of the sessions and are not written"), "{}", ran.out);
    let thresholds = std::fs::read_to_string(place.path().join("out/thresholds.json")).unwrap();
    for part in [
        "\"rows\": \"events\"",
        "\"bad_book\": \"keep\"",
        "\"08:30-15:00 America/Chicago mon-fri\"",
        "\"session_breaks\": true",
    ] {
        assert!(thresholds.contains(part), "{part} in {thresholds}");
    }
    let checked = place.run("validate out --against market --all");
    assert_eq!(checked.code, 0, "{}", checked.err);
}

#[test]
fn sessions_that_are_none_are_refused_with_an_example() {
    let place = Place::new();
    let ran = place.run("process market -o out --sessions 8-15");
    assert_eq!(ran.code, 2);
    let wanted = "flags: sessions: \"8-15\" is not a session such as \"08:30-15:00 America/Chicago mon-fri\"";
    assert!(ran.err.contains(wanted), "{}", ran.err);
}

#[test]
fn inspect_tells_how_many_records_are_under_each_flag() {
    let place = Place::new();
    let ran = place.run("inspect market");
    assert!(ran.out.contains("records by flag: F_LAST 1"), "{}", ran.out);
    let all = place.run("inspect market -v").out;
    assert!(all.contains("bad book") && all.contains("mid-event"), "{all}");
    let json: serde_json::Value = serde_json::from_str(&place.run("inspect market --json").out).unwrap();
    let last = |flags: &serde_json::Value| flags["F_LAST"].as_u64().unwrap();
    let files: u64 = json["files"].as_array().unwrap().iter().map(|file| last(&file["flags"])).sum();
    assert_eq!(files, last(&json["flags"]));
    assert_eq!(json["flags"]["F_MAYBE_BAD_BOOK"], 0);
}
