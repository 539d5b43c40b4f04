//! The command `explain` on a dataset that differs from the raw files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use place::{Place, SMALL};

#[test]
fn a_dataset_that_differs_has_the_code_of_a_failed_validation() {
    let place = Place::new();
    assert_eq!(place.run("simulate other --days 3 --rows 6000 --seed 2").code, 0);
    for market in ["market", "other"] {
        assert_eq!(place.run(&format!("process {market} -o {market}_out {SMALL}")).code, 0);
    }
    let dataset = "AUDUSD_M6AM4_dataset.parquet";
    let path = |out: &str| place.path().join(out).join(dataset);
    std::fs::copy(path("other_out"), path("market_out")).unwrap();
    let line = "explain market_out M6AM4 3000 --against market";
    let text = place.run(line);
    assert_eq!(text.code, 5);
    let difference = format!("  {dataset}: row 3000: price_movement is ");
    for printed in [&text.out, &text.err] {
        assert!(printed.contains(&difference), "{printed}");
    }
    assert!(text.err.starts_with("error: market_out: validation failed\n"), "{}", text.err);
    // A single JSON object says the same.
    let json = place.run(&format!("{line} --json"));
    assert_eq!(json.code, 5);
    let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["agrees"], false);
    assert!(value["differences"].as_array().unwrap().iter().any(|text| text.to_string().contains("price_movement is")));
    let quiet = place.run(&format!("{line} -q"));
    assert_eq!((quiet.code, quiet.out.as_str()), (5, ""));
}
