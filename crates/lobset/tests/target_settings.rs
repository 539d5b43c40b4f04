//! Targets as users write them: flags, the environment, TOML; and as files record them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use lobset::Config;
use lobset::config::{Classes, Means, Movement, Target, Targets, ThresholdScope};
use lobset::settings::{Layer, resolve, to_toml};
use proptest::prelude::*;

fn flags(text: &str) -> Layer {
    Layer { origin: "flags".to_owned(), values: vec![("targets".to_owned(), text.to_owned())] }
}

fn toml(text: &str) -> Result<Config, String> {
    let layer = Layer::from_toml("lobset.toml", text).map_err(|e| e.to_string())?;
    resolve(&[layer]).map_err(|e| e.to_string())
}

#[allow(irrefutable_let_patterns, reason = "there may be one kind alone")]
fn windows(text: &str) -> [u64; 4] {
    let target: Target = format!("a={text}").parse().unwrap();
    let Movement::Means(means) = target.movement else { panic!("{text}") };
    assert_eq!(target.classes, Classes::Quantiles { nbins: 21 });
    assert_eq!(target.threshold_scope, ThresholdScope::Global);
    [means.lookback_rows, u64::from(means.include_row), means.lookforward_offset, means.lookforward_input]
}

#[test]
fn presets_are_the_windows_of_the_papers() {
    for (text, want) in [
        ("means", [5_000, 0, 500, 5_000]),
        ("means,lookback_rows=7,include_row=true,lookforward_offset=2,lookforward_input=1_000", [7, 1, 2, 1_000]),
        ("fi2010(10)", [1, 1, 0, 10]),
        ("deeplob(50)", [50, 1, 0, 50]),
        // 10 rows through t, and rows t+51 to t+60.
        ("tlob(60,9)", [10, 1, 50, 10]),
        ("tlob( 1 , 0 )", [1, 1, 0, 1]),
        ("return(100)", [1, 1, 99, 1]),
        ("return(1_000)", [1, 1, 999, 1]),
    ] {
        assert_eq!(windows(text), want, "{text}");
    }
}

#[test]
fn flags_the_environment_and_toml_say_the_same() {
    let texts = [
        "h10=return(10),classes=share,stationary=0.5",
        "lob=deeplob(50),nbins=5,threshold_scope=symbol",
        "Paper_2=tlob(60,9),classes=fixed,boundaries=-0.0001/0/0.0001",
        "s=fi2010(20),classes=spread,multiple=2",
    ];
    let want = Config { targets: Targets(texts.map(|text| text.parse().unwrap()).to_vec()), ..Config::default() };
    assert_eq!(resolve(&[flags(&texts.join(";"))]), Ok(want.clone()));
    let environment = Layer::from_env([("LOBSET_TARGETS".into(), texts.join("; ").into())]).unwrap();
    assert_eq!(resolve(&[environment]), Ok(want.clone()));
    let quoted = texts.map(|text| format!("'{text}'")).join(", ");
    assert_eq!(toml(&format!("targets = [{quoted}]")), Ok(want.clone()));
    let tables = r#"
        [[targets]]
        name = "h10"
        kind = "return(10)"
        classes = "share"
        stationary = 0.5

        [[targets]]
        name = "lob"
        kind = "deeplob(50)"
        nbins = 5
        threshold_scope = "symbol"

        [[targets]]
        name = "Paper_2"
        kind = "means"
        lookback_rows = 10
        include_row = true
        lookforward_offset = 50
        lookforward_input = 10
        classes = "fixed"
        boundaries = [-1e-4, 0, 0.0001]

        [[targets]]
        kind = "fi2010(20)"
        multiple = 2.0
        classes = "spread"
        name = "s"
    "#;
    assert_eq!(toml(tables), Ok(want.clone()));
    assert_eq!(toml(&to_toml(&want)), Ok(want.clone()));
    // A later source replaces the whole list.
    let file = Layer::from_toml("lobset.toml", tables).unwrap();
    let found = resolve(&[file, flags("one=return(1)")]).unwrap();
    assert_eq!(found.targets.0.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(toml("targets = []"), Ok(Config::default()));
}

#[test]
fn what_is_no_target_is_refused_with_its_name_and_the_reason() {
    let long = "a".repeat(33);
    let cases = [
        ("return(5)", "is not a target such as h10=means"),
        ("=return(5)", "\"\" is not a name of 1 to 32 letters, digits and underscores"),
        ("classic=return(5)", "\"classic\" is the target of the flat settings; choose another name"),
        ("../x=return(5)", "\"../x\" is not a name of 1 to 32 letters"),
        (&format!("{long}=return(5)"), "is not a name of 1 to 32 letters"),
        ("größe=return(5)", "\"größe\" is not a name"),
        ("a b=return(5)", "\"a b\" is not a name"),
        ("a\u{1b}[2J=return(5)", "\"a\\u{1b}[2J\" is not a name"),
        ("a=", "\"\" is not one of means, "),
        ("a=momentum(5)", "a: \"momentum(5)\" is not one of means, "),
        ("a=return", "a: write it as return(h), in rows"),
        ("a=return(5", "a: write it as return(h), in rows"),
        ("a=return(5,6)", "a: write it as return(h), in rows"),
        ("a=return(0)", "a: write it as return(h), in rows"),
        ("a=return(-1)", "a: write it as return(h), in rows"),
        ("a=return(18446744073709551616)", "a: write it as return(h), in rows"),
        ("a=return(5)x", "a: write it as return(h), in rows"),
        ("a=deeplob()", "a: write it as deeplob(k), in rows"),
        ("a=deeplob(0)", "a: lookback_rows: 0 is outside 1 to 1073741824"),
        ("a=fi2010(1073741825)", "a: lookforward_input: 1073741825 is outside 1 to 1073741824"),
        ("a=tlob(9,9)", "a: tlob(h,w): w is the smaller of the two"),
        ("a=tlob(9)", "a: write it as tlob(h,w), in rows"),
        ("a=means,lookback_rows=0", "a: lookback_rows: 0 is outside 1 to 1073741824"),
        ("a=means,lookback_rows=x", "a: lookback_rows: \"x\" is not a number that fits"),
        (
            "a=means,lookback=5",
            "a: \"lookback\" is not a key of means with these classes; its keys are lookback_rows, include_row, lookforward_offset, lookforward_input, classes, nbins, threshold_scope",
        ),
        ("a=means,nbins=5,nbins=6", "a: \"nbins\" is given twice"),
        ("a=time,ahed=5s", "a: \"ahed\" is not a key of time with these classes; did you mean ahead?"),
        ("a=return(5),lookback_rows=5", "a: \"lookback_rows\" is not a key of return(5)"),
        ("a=means,include_row=perhaps", "must be true or false, not \"perhaps\""),
        ("a=return(5),nbins=1", "a: nbins: 1 is outside 2 to 255"),
        ("a=return(5),nbins", "a: \"nbins\" is not key=value"),
        ("a=return(5),classes=thirds", "a: classes: \"thirds\" is not one of quantiles, share, spread, fixed"),
        ("a=return(5),classes=share,nbins=3", "a: \"nbins\" is not a key"),
        ("a=return(5),classes=share,stationary=1", "a: stationary: 1 is not above 0 and below 1"),
        ("a=return(5),classes=share,stationary=nan", "a: stationary: NaN is not above 0 and below 1"),
        ("a=return(5),classes=spread,multiple=0", "a: multiple: 0 is not above 0"),
        ("a=return(5),classes=spread,multiple=inf", "a: multiple: inf is not above 0"),
        ("a=return(5),classes=fixed", "a: boundaries: give 1 to 254 ascending numbers"),
        ("a=return(5),classes=fixed,boundaries=1/1", "a: boundaries: give 1 to 254 ascending numbers"),
        ("a=return(5),classes=fixed,boundaries=0/inf", "a: boundaries: give 1 to 254 ascending numbers"),
        ("a=return(5),threshold_scope=all", "\"all\" is not one of global, symbol"),
        ("a=return(5);a=return(6)", "the name \"a\" is given twice"),
        // DuckDB and Spark would find two columns of the same name.
        ("a=return(5);A=return(6)", "the names \"a\" and \"A\" differ only in case"),
    ];
    for (text, reason) in cases {
        match resolve(&[flags(text)]) {
            Ok(config) => panic!("{text:?} is {:?}", config.targets),
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains(reason) && told.contains("targets: "), "{text}: {told}");
                assert!(!told.contains('\u{1b}'), "{told:?}");
            }
        }
    }
    let many = |count: usize| (0..count).map(|i| format!("t{i}=return(5)")).collect::<Vec<_>>().join(";");
    assert_eq!(resolve(&[flags(&many(64))]).unwrap().targets.0.len(), 64);
    assert!(resolve(&[flags(&many(65))]).unwrap_err().to_string().contains("targets: 65 are more than 64"));
}

#[test]
fn tables_that_are_no_target_are_refused() {
    let cases = [
        ("[[targets]]\nkind = 'return(5)'", "a target needs a "),
        ("[[targets]]\nname = 'a'", "a target needs a "),
        ("[[targets]]\nname = 'a'\nkind = 'return(5)'\nnbin = 3", "\"nbin\" is not a key of return(5)"),
        ("[[targets]]\nname = 'a'\nkind = 'return(5)'\nnbins = {}", "targets: "),
        ("targets = 5", "is not a target such as"),
        // Values cannot introduce keys or targets.
        (
            "[[targets]]\nname = 'a=return(3);b'\nkind = 'return(5)'",
            "\"name\" = \"a=return(3);b\": neither may contain",
        ),
        (
            "[[targets]]\nname = 'a'\nkind = 'return(5);b=return(6)'",
            "\"kind\" = \"return(5);b=return(6)\": neither may contain",
        ),
        (
            "[[targets]]\nname = 'a'\nkind = 'return(5),nbins=3'",
            "\"kind\" = \"return(5),nbins=3\": neither may contain",
        ),
        ("[[targets]]\nname = 'a'\nkind = 'return(5)'\nclasses = 'share,stationary=0.2'", "\"classes\" = "),
        ("[[targets]]\nname = 'a'\nkind = 'return(5)'\n'nbins=3,classes' = 'quantiles'", "\"nbins=3,classes\""),
    ];
    for (text, reason) in cases {
        match toml(text) {
            Ok(config) => panic!("{text:?} is {:?}", config.targets),
            Err(told) => assert!(told.contains(reason) && told.contains("targets"), "{text}: {told}"),
        }
    }
}

#[test]
fn files_with_other_keys_in_a_target_are_refused() {
    let config = resolve(&[flags("a=return(5),classes=share")]).unwrap();
    let mut json = serde_json::to_value(&config).unwrap();
    assert_eq!(serde_json::from_value::<Config>(json.clone()).unwrap(), config);
    json["targets"][0]["horizon"] = 7.into();
    let refused = serde_json::from_value::<Config>(json).unwrap_err().to_string();
    assert!(refused.contains("\"horizon\" is not a key of the target \"a\""), "{refused}");
}

fn any_target() -> impl Strategy<Value = Target> {
    let movement = (1u64..1 << 30, any::<bool>(), 0u64..1 << 30, 1u64..1 << 30).prop_map(
        |(lookback_rows, include_row, lookforward_offset, lookforward_input)| {
            Movement::Means(Means { lookback_rows, include_row, lookforward_offset, lookforward_input })
        },
    );
    let float = || any::<f64>().prop_filter("finite", |value| value.is_finite());
    let classes = prop_oneof![
        (2u16..256).prop_map(|nbins| Classes::Quantiles { nbins }),
        (1e-300..1.0f64).prop_map(|stationary| Classes::Share { stationary }),
        float().prop_map(|multiple| Classes::Spread { multiple: multiple.abs().max(f64::MIN_POSITIVE) }),
        prop::collection::vec(float(), 1..9).prop_map(|mut boundaries| {
            boundaries.sort_by(f64::total_cmp);
            boundaries.dedup();
            Classes::Fixed { boundaries }
        }),
    ];
    let scope = prop_oneof![Just(ThresholdScope::Global), Just(ThresholdScope::Symbol)];
    ("[A-Za-z0-9_]{1,31}", movement, classes, scope).prop_map(|(name, movement, classes, threshold_scope)| Target {
        name,
        movement,
        classes,
        threshold_scope,
    })
}

proptest! {
    #[test]
    fn every_target_comes_back_from_its_text_from_toml_and_from_json(
        mut targets in prop::collection::vec(any_target(), 0..5),
    ) {
        // Distinct names.
        targets.iter_mut().enumerate().for_each(|(i, target)| target.name = format!("{i}{}", target.name));
        for target in &targets {
            prop_assert_eq!(target.to_string().parse(), Ok(target.clone()));
        }
        let config = Config { targets: Targets(targets), ..Config::default() };
        prop_assert_eq!(config.check(), Ok(()));
        prop_assert_eq!(toml(&to_toml(&config)), Ok(config.clone()));
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }

    #[test]
    fn no_text_brings_the_parser_down(text in "[ -~é]{0,60}", near in "(a|b)=(means|tlob|return)[(),;=/0-9a-z_.-]{0,40}") {
        for text in [text, near] {
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(target.to_string().parse(), Ok(target));
            }
        }
    }
}
