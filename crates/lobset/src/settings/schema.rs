//! A JSON schema of settings files, with which editors complete and check them.

use serde_json::{Map, Value, json};

use crate::config::{Config, MicroPipSize, NONE, SETTINGS, Setting, ValueKind};
use crate::time_text::UNITS;

/// The schema of `lobset.toml`, for editors that read a `#:schema` line (Taplo, Even Better TOML).
pub fn schema() -> String {
    let defaults = Config::default();
    let properties: Map<String, Value> =
        SETTINGS.iter().map(|setting| (setting.key.to_owned(), property(setting, &defaults))).collect();
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of lobset",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    format!("{schema:#}\n")
}

fn property(setting: &Setting, defaults: &Config) -> Value {
    let mut value = of_kind(&setting.kind);
    if let (Some(range), Some(value)) = (&setting.range, value.as_object_mut()) {
        value.insert("minimum".to_owned(), (*range.start()).into());
        value.insert("maximum".to_owned(), (*range.end()).into());
    }
    let mut property = if setting.optional { json!({ "anyOf": [value, { "const": NONE }] }) } else { value };
    if let Some(property) = property.as_object_mut() {
        property.insert("description".to_owned(), setting.meaning().into());
        let document: Result<toml::Table, _> = format!("default = {}", setting.toml(defaults)).parse();
        let default = document.ok().and_then(|table| serde_json::to_value(table.get("default")?).ok());
        property.extend(default.map(|default| ("default".to_owned(), default)));
    }
    property
}

fn of_kind(kind: &ValueKind) -> Value {
    match kind {
        ValueKind::Switch => json!({ "type": "boolean" }),
        ValueKind::Integer => json!({ "type": "integer", "minimum": 0 }),
        ValueKind::Number => json!({ "type": "number" }),
        ValueKind::NumberOrAuto => json!({ "anyOf": [{ "type": "number" }, { "const": MicroPipSize::Auto }] }),
        ValueKind::Text | ValueKind::Time | ValueKind::Session => json!({ "type": "string" }),
        ValueKind::Duration => {
            json!({ "type": "string", "pattern": format!("^[0-9]+({})$", UNITS.map(|(unit, _)| unit).join("|")) })
        }
        ValueKind::Choice(choices) => {
            json!({ "enum": choices.iter().map(|choice| choice.name).collect::<Vec<_>>() })
        }
        ValueKind::List(item) => json!({ "type": "array", "items": of_kind(item) }),
        ValueKind::Pair(item) => json!({ "type": "array", "items": of_kind(item), "minItems": 2, "maxItems": 2 }),
        ValueKind::Targets => json!({
            "type": "array",
            "items": { "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "name": { "type": "string" }, "kind": { "type": "string" } },
                    "required": ["name", "kind"],
                },
            ] },
        }),
    }
}
