//! YAML of JSON values: block style, and every text that could be read as something else in JSON's quotes, which
//! YAML 1.2 takes as they are. Pure.

use serde_json::Value;

/// Writes a mapping as a document.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// The members of a mapping or sequence, each on a line of its own.
fn block(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                indent(depth, out);
                out.push_str(&scalar(&Value::String(key.clone())));
                out.push(':');
                below(member, depth, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                indent(depth, out);
                out.push('-');
                below(item, depth, out);
            }
        }
        other => {
            indent(depth, out);
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    let is_nested = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if is_nested {
        out.push('\n');
        block(value, depth + 1, out);
    } else {
        out.push(' ');
        out.push_str(&scalar(value));
        out.push('\n');
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// A value on one line. JSON's escapes are YAML's too, but for what is no printable character to YAML.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => {
            let mut quoted = String::new();
            for letter in Value::String(text.clone()).to_string().chars() {
                match letter {
                    '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                        quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
                    }
                    _ => quoted.push(letter),
                }
            }
            quoted
        }
        other => other.to_string(),
    }
}

/// Whether no reader of YAML, of whatever version, takes the bare text for anything but itself.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
    let goes_on = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./@".contains(letter));
    let means = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_lowercase().as_str());
    begins && goes_on && !means
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_stay_texts() {
        for quoted in
            ["", "no", "On", "1.5", "0x1", "1e3", "a: b", "#a", "- a", "a\nb", "~", "null", "=", "12:30", "*a", "ü"]
        {
            assert!(scalar(&json!(quoted)).starts_with('"'), "{quoted}");
        }
        assert_eq!(scalar(&json!("nginx")), "nginx");
        assert_eq!(scalar(&json!("a\u{85}b\"")), "\"a\\u0085b\\\"\"");
    }

    #[test]
    fn blocks_are_nested() {
        let value = json!({"a": {"b": ["x", {"c": 1, "d": []}], "e": {}}, "f": null});
        let text = "a:\n  b:\n    - x\n    -\n      c: 1\n      d: []\n  e: {}\nf: null\n";
        assert_eq!(document(&value), text);
    }
}
