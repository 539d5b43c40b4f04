//! The table of settings: the files that are written from it, and where its settings are written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;

use common::up_to_date::{fill, up_to_date};
use common::{contents, market, run, small};
use lobset::config::{SETTINGS, Scope, Setting, ValueKind};
use lobset::{
    Cluster, Config, Executor, Manifest, Monitor, Options, Receive, Result, Task, process_as_tasks, run_task,
};

/// The type of a property.
fn held(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Switch => "bool".to_owned(),
        ValueKind::Integer => "int".to_owned(),
        ValueKind::Number => "float".to_owned(),
        ValueKind::NumberOrAuto => "float | Literal[\"auto\"]".to_owned(),
        ValueKind::Text | ValueKind::Time | ValueKind::Duration | ValueKind::Session => "str".to_owned(),
        ValueKind::Choice(choices) => {
            let names: Vec<_> = choices.iter().map(|choice| format!("{:?}", choice.name)).collect();
            format!("Literal[{}]", names.join(", "))
        }
        ValueKind::List(item) => format!("tuple[{}, ...]", held(item)),
        ValueKind::Pair(item) => format!("tuple[{0}, {0}]", held(item)),
        ValueKind::Targets => "tuple[dict[str, Any], ...]".to_owned(),
    }
}

/// The type of a keyword.
fn taken(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Time => "str | dt.date".to_owned(),
        ValueKind::Duration => "str | dt.timedelta".to_owned(),
        ValueKind::List(item) => format!("Sequence[{}]", taken(item)),
        ValueKind::Pair(item) => format!("tuple[{0}, {0}]", taken(item)),
        ValueKind::Targets => "Sequence[str | Mapping[str, Any]]".to_owned(),
        other => held(other),
    }
}

#[test]
fn the_python_stub_is_up_to_date() {
    let features = SETTINGS.iter().find(|setting| setting.key == "features").map(|setting| setting.kind);
    let Some(ValueKind::List(feature)) = features else { panic!("features is not a list") };
    let mut stub = format!(
        "# Written from the table of settings in crates/lobset/src/config.rs, which a test of the library compares it with:\n\
         # LOBSET_UPDATE=1 cargo test --workspace --locked --test settings\n\n\
         import datetime as dt\n\
         from collections.abc import Mapping, Sequence\n\
         from typing import Any, Literal\n\n\
         from lobset._settings import Settings\n\n\
         __all__ = [\"Config\", \"Feature\"]\n\n\
         Feature = {}\n\n\
         class Config(Settings):\n    def __init__(\n        self,\n        *,\n",
        held(feature)
    );
    for Setting { key, kind, .. } in SETTINGS {
        writeln!(stub, "        {key}: {} | None = None,", taken(kind)).unwrap();
    }
    stub += "    ) -> None: ...\n";
    for setting in SETTINGS {
        let Setting { key, kind, optional, .. } = setting;
        let none = if *optional { " | None" } else { "" };
        let unit = kind.unit().map(|unit| format!(" {unit}.")).unwrap_or_default();
        let meaning = setting.meaning();
        writeln!(
            stub,
            "    @property\n    def {key}(self) -> {}{none}:\n        \"\"\"{meaning}.{unit}\"\"\"",
            held(kind)
        )
        .unwrap();
    }
    up_to_date("python/lobset/_config.pyi", |_| stub.clone());
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    let defaults = Config::default();
    let mut tables: Vec<(Scope, String)> = Vec::new();
    for setting in SETTINGS {
        let default =
            if setting.is_set(&defaults) { format!("`{}`", setting.toml(&defaults)) } else { "none".to_owned() };
        let (key, value, meaning) = (setting.key, setting.placeholder, setting.meaning());
        assert!(!meaning.contains('|') && !meaning.contains('\n'), "{meaning}");
        let line = format!("| `{key}` | `{value}` | {default} | {meaning} |\n");
        match tables.iter_mut().find(|(scope, _)| *scope == setting.scope) {
            Some((_, lines)) => *lines += &line,
            None => tables.push((setting.scope, line)),
        }
    }
    let mut presets = String::from("| preset | roots at CME | what differs from the defaults |\n|---|---|---|\n");
    for (tag, roots) in Config::presets() {
        let preset = Config::preset(tag);
        let differs = SETTINGS.iter().filter(|setting| setting.key != "currency").filter_map(|setting| {
            let value = setting.toml(&preset);
            (value != setting.toml(&defaults)).then(|| format!("`{} = {value}`", setting.key))
        });
        let or_none = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        let roots = or_none(roots.iter().map(|root| format!("`{root}`")).collect());
        writeln!(presets, "| `{tag}` | {roots} | {} |", or_none(differs.collect())).unwrap();
    }
    up_to_date("docs/reference/settings.md", |page| {
        let page = tables.iter().fold(page.to_owned(), |page, (scope, lines)| {
            let table = format!("| key | value | default | meaning |\n|---|---|---|---|\n{lines}");
            fill(&page, &format!("{scope:?}").to_lowercase(), &table)
        });
        fill(&page, "presets", &presets)
    });
}

/// Runs tasks one by one, and keeps their specs.
#[derive(Default)]
struct Specs(Mutex<Vec<String>>);

impl Executor for Specs {
    fn map(&self, tasks: &[Task], _: &Monitor<'_>, receive: &mut Receive<'_>) -> Result<()> {
        tasks.iter().enumerate().try_for_each(|(place, task)| {
            self.0.lock().unwrap().push(task.spec.clone());
            receive(place, run_task(task.kind, &task.spec, &Monitor::silent())?)
        })
    }
}

#[test]
fn settings_of_how_to_run_change_no_byte_and_stand_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = market(&folder.path().join("market"), 2, 6_000);
    let specs = Specs::default();
    let keep = |keep_intermediate| Config { keep_intermediate, ..small() };
    for (name, config) in [("gone", keep(false)), ("kept", keep(true))] {
        let out = folder.path().join(format!("threads-{name}"));
        let manifest = run(&inputs, &out, &config).unwrap();
        assert_eq!(Manifest::read(&out).unwrap(), manifest);
        let out = folder.path().join(format!("tasks-{name}"));
        let (options, monitor) = (Options::default(), Monitor::silent());
        process_as_tasks(Cluster::new(&specs), &inputs, &out, &config, None, &options, &monitor).unwrap();
    }
    let want = contents(&folder.path().join("threads-gone"));
    for name in ["threads-kept", "tasks-gone", "tasks-kept"] {
        assert_eq!(contents(&folder.path().join(name)), want, "{name}");
    }

    let keys = || SETTINGS.iter().filter(|setting| setting.scope == Scope::Run).map(|setting| setting.key.as_bytes());
    assert!(keys().count() > 0);
    let names_one = |bytes: &[u8]| keys().any(|key| bytes.windows(key.len()).any(|part| part == key));
    let files = lobset::storage::list(folder.path()).unwrap();
    let work = |path: &Path| path.to_string_lossy().contains(".lobset-work/");
    assert!(files.iter().filter(|(path, _)| work(path)).count() > 10, "the work folders are kept");
    for (path, _) in files {
        assert!(!names_one(&std::fs::read(&path).unwrap()), "{}", path.display());
    }
    let specs = specs.0.into_inner().unwrap();
    assert!(
        specs.iter().any(|spec| spec.contains("lookback_rows")) && specs.iter().all(|spec| !names_one(spec.as_bytes()))
    );
}
