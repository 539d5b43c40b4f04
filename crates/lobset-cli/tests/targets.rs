//! Several targets, as a user of the command gives them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod place;

use place::{Place, Ran, SMALL, real_data};

const TARGETS: &str = "--target h50=return(50),classes=share --target lob=deeplob(60),nbins=3,threshold_scope=symbol";

fn json(place: &Place, file: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(place.path().join(file)).unwrap()).unwrap()
}

#[test]
fn targets_are_fitted_built_and_validated() {
    let place = Place::new();
    let ran = place.run(&format!("process market -o out -v {SMALL} {TARGETS}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in ["M6AM4, h50, fit\n", "M6AM4, h50, holdout\n", "M6AU4, lob, embargo\n", "M6AM4, classic, fit\n"] {
        assert!(ran.out.contains(part), "{part} in {}", ran.out);
    }
    let thresholds = json(&place, "out/thresholds.json");
    assert_eq!(thresholds["targets"]["h50"]["boundaries"].as_array().unwrap().len(), 2);
    assert!(thresholds["targets"]["lob"]["symbols"]["M6AM4"].is_object());
    for how in ["", "--against market", "--against market --seed 9", "--against market --all"] {
        let ran = place.run(&format!("validate out {how}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    let fitted = place.run(&format!("thresholds market -o t.json {SMALL} {TARGETS}"));
    assert_eq!(fitted.code, 0, "{}", fitted.err);
    for part in ["h50, all symbols: fitted on", "lob, M6AM4: fitted on"] {
        assert!(fitted.out.contains(part), "{part} in {}", fitted.out);
    }
    assert_eq!(json(&place, "t.json"), thresholds);
    // The file's targets need not be given again.
    let built = place.run("build market -o built --thresholds t.json --min-symbol-samples 500");
    assert_eq!(built.code, 0, "{}", built.err);
    let hash = |out: &str| json(&place, &format!("{out}/manifest.json"))["symbols"][0]["dataset"]["rows"].clone();
    assert_eq!(hash("built"), hash("out"));
    assert_eq!(place.run("validate built --against market --all").code, 0);
    // Different targets are refused.
    let other = place.run("build market -o other --thresholds t.json --target h50=return(51),classes=share");
    assert_eq!(other.code, 2);
    assert!(other.err.contains("targets: h50=means,"), "{}", other.err);
    assert!(other.err.contains("in the thresholds file"), "{}", other.err);
}

#[test]
fn targets_of_files_and_of_the_environment_are_those_of_flags() {
    let place = Place::new();
    let file = "\
        [[targets]]\nname = 'h50'\nkind = 'return(50)'\nclasses = 'share'\n\
        [[targets]]\nname = 'lob'\nkind = 'deeplob(60)'\nnbins = 3\nthreshold_scope = 'symbol'\n";
    std::fs::write(place.path().join("lobset.toml"), file).unwrap();
    let environment = "h50=return(50),classes=share;lob=deeplob(60),nbins=3,threshold_scope=symbol";
    let line = |out: &str| format!("thresholds market -o {out} {SMALL}");
    assert_eq!(place.run(&format!("{} {TARGETS}", line("flags.json"))).code, 0);
    assert_eq!(place.run(&format!("{} --config lobset.toml", line("file.json"))).code, 0);
    let mut command = place.command(&line("environment.json"));
    let ran = Ran::from(command.env("LOBSET_TARGETS", environment).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let want = json(&place, "flags.json");
    assert_eq!(json(&place, "file.json"), want);
    assert_eq!(json(&place, "environment.json"), want);
}

#[test]
fn mistakes_in_targets_are_told_together_before_any_data_is_opened() {
    let place = Place::empty();
    let ran = place.run("process nowhere -o out --target a=return(5) --target A=return(6),nbins=1");
    assert_eq!(ran.code, 2);
    for part in ["flags: targets: the names \"a\" and \"A\" differ only in case", "A: nbins: 1 is outside 2 to 255"] {
        assert!(ran.err.contains(part), "{part} in {}", ran.err);
    }
    let ran = place.run("process nowhere -o out --target ../x=return(5)");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("\"../x\" is not a name of 1 to 32 letters"), "{}", ran.err);
    assert!(!place.path().join("out").exists());
}

/// The rows of each class of a split, by symbol.
fn classes(place: &Place, out: &str, split: &str) -> Vec<(String, Vec<u64>)> {
    let manifest = json(place, &format!("{out}/manifest.json"));
    let of_symbol = |symbol: &serde_json::Value| {
        let splits = symbol["targets"][0]["splits"].as_object()?;
        let counts = splits[split]["classes"].as_array()?.iter().map(|count| count.as_u64().unwrap());
        Some((symbol["symbol"].as_str()?.to_owned(), counts.collect()))
    };
    manifest["symbols"].as_array().unwrap().iter().filter_map(of_symbol).collect()
}

#[test]
fn on_coarse_books_quantiles_name_the_rules_that_help() {
    let Some(crypto) = real_data("crypto") else { return };
    let place = Place::empty();
    let crypto = crypto.display();
    for ahead in [10, 20, 50, 100] {
        let windows = format!(
            "--lookback-rows 1 --lookforward-offset 0 --lookforward-input {ahead} --min-symbol-samples 2000 --overwrite"
        );
        let quantiles = place.run(&format!("process {crypto} -o q {windows} --nbins 3"));
        if ahead < 100 {
            assert_eq!(quantiles.code, 1);
            let counted = quantiles.err.contains("fit movements are exactly zero");
            let named = quantiles.err.contains("classes = \"share\" or classes = \"spread\"");
            assert!(counted && named, "{}", quantiles.err);
        }
        for (out, rule) in [("share", "--classes share"), ("spread", "--classes spread --multiple 1")] {
            let ran = place.run(&format!("process {crypto} -o {out} {windows} {rule}"));
            assert_eq!(ran.code, 0, "{ahead} rows ahead, {rule}: {}", ran.err);
            assert_eq!(place.run(&format!("validate {out}")).code, 0);
        }
        let fit = classes(&place, "share", "fit");
        assert_eq!(fit.len(), 4);
        let all = |class: usize| fit.iter().map(|(_, counts)| counts[class]).sum::<u64>();
        // The class is larger than a third if more than a third of the movements are zero.
        let (stationary, rows) = (all(1), (0..3).map(all).sum::<u64>());
        assert!(stationary * 1_000 >= rows * 333 && all(0) > 0 && all(2) > 0, "{fit:?}");
    }
}
