//! Reading foreign JSON without surprises: absent, null and wrongly typed all read as empty (law L8).

use serde_json::{Map, Value};

/// The string at a pointer, or "".
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// The array at a pointer, or nothing.
pub(crate) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of the array at a pointer.
pub(crate) fn texts(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The members of the object at a pointer.
pub(crate) fn members<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// Whether the value at a pointer is `true`.
pub(crate) fn truth(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// A label of an object whose labels lie at `pointer`.
pub(crate) fn label<'a>(value: &'a Value, pointer: &str, name: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_object()?.get(name)?.as_str()
}

/// The object behind a value, made if it is something else.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}

/// The member of an object, made an object if it is something else.
pub(crate) fn child<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    object(value).entry(name).or_insert(Value::Null)
}

/// Whether a value says nothing: null, false length, zero members.
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Whether the text looks like an id or anonymous name that Docker made: 64 hex digits.
pub(crate) fn is_long_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Bytes for people: `310 MB`, `1.4 GB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(size(12), "12 bytes");
        assert_eq!(size(1_400), "1.4 kB");
        assert_eq!(size(310_000_000), "310 MB");
        assert_eq!(size(999_900_000), "1.0 GB");
    }

    #[test]
    fn wrong_shapes_read_as_empty() {
        let value = serde_json::json!({"a": 1, "b": null});
        assert_eq!(text(&value, "/a"), "");
        assert!(list(&value, "/b").is_empty());
        assert_eq!(members(&value, "/c").count(), 0);
    }
}
