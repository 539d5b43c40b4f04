//! Edits of a dataset's files, as bytes describe them: mutations that a fuzzer can combine.

use std::collections::BTreeMap;

use serde_json::Value;

/// Bytes that describe an edit: the file, what to do, where (four bytes), and with what (two bytes).
const EDIT: usize = 8;

/// More edits than this find nothing that fewer would not.
const MOST: usize = 16;

/// Applies the edits one after another.
pub fn apply(data: &[u8], files: &mut BTreeMap<String, Vec<u8>>) {
    let (edits, _) = data.as_chunks::<EDIT>();
    for &[file, what, a, b, c, d, e, f] in edits.iter().take(MOST) {
        let place = u32::from_le_bytes([a, b, c, d]) as usize;
        let count = files.len();
        let Some((name, bytes)) = files.iter_mut().nth(usize::from(file) % count.max(1)) else { return };
        if what % 2 == 1 && name.ends_with(".json") {
            let Ok(mut json) = serde_json::from_slice::<Value>(bytes) else { continue };
            let mut left = place % count_values(&json);
            edit_value(&mut json, &mut left, what >> 1, e);
            *bytes = json.to_string().into_bytes();
        } else if what == 254 {
            let name = name.clone();
            files.remove(&name);
        } else {
            edit_bytes(bytes, what >> 1, place, u16::from_le_bytes([e, f]));
        }
    }
}

/// Files are long, and what lies at their end decides more: every second place is counted from there.
fn edit_bytes(bytes: &mut Vec<u8>, what: u8, place: usize, with: u16) {
    if bytes.is_empty() {
        return;
    }
    let at = place / 2 % bytes.len();
    let at = if place.is_multiple_of(2) { at } else { bytes.len() - 1 - at };
    let [low, high] = with.to_le_bytes();
    match what % 5 {
        0 => bytes[at] ^= low.max(1),
        1 => bytes[at] = low,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..(at + usize::from(low)).min(bytes.len()))),
        _ => bytes.extend(std::iter::repeat_n(high, usize::from(low))),
    }
}

fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count_values).sum(),
        Value::Object(fields) => fields.values().map(count_values).sum(),
        _ => 0,
    }
}

/// Changes the value that comes after `left` others in the order of the text; true once that is done.
fn edit_value(value: &mut Value, left: &mut usize, what: u8, with: u8) -> bool {
    if *left == 0 {
        change(value, what, with);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| edit_value(item, left, what, with)),
        Value::Object(fields) => fields.values_mut().any(|field| edit_value(field, left, what, with)),
        _ => false,
    }
}

fn change(value: &mut Value, what: u8, with: u8) {
    match (what % 8, &mut *value) {
        (0, Value::Array(items)) => drop(items.pop()),
        (0, Value::Object(fields)) => {
            let key = fields.keys().nth(usize::from(with) % fields.len().max(1)).cloned();
            key.and_then(|key| fields.remove(&key));
        }
        (1, Value::Array(items)) => items.extend(items.first().cloned()),
        (0 | 1, Value::Number(number)) => {
            *value = number.as_u64().map_or(Value::Null, |n| n.wrapping_add(u64::from(with).max(1)).into());
        }
        (2, Value::Array(items)) => items.clear(),
        (3, _) => *value = u64::from(with).into(),
        (4, _) => *value = u64::MAX.into(),
        (5, _) => *value = (-f64::from(with)).into(),
        (6, _) => *value = format!("../{}\u{1b}\n", char::from(with)).into(),
        _ => *value = Value::Null,
    }
}
