//! JSON, as TOML. The text is translated and not what it says, so that numbers stay what they are to the last digit.

use serde_json::Value as Json;
use toml_edit::{Key, Value};

/// The table that a JSON object is; `None`: it is no object, or one that TOML does not have, because of a `null` in it, say.
pub(super) fn table_of_json(json: &str) -> Option<Value> {
    let is_object = matches!(serde_json::from_str(json), Ok(Json::Object(_)));
    is_object.then(|| translated(json))??.parse().ok()
}

/// `{"a":[1,"b"]}` -> `{ a = [1, "b"] }`
fn translated(json: &str) -> Option<String> {
    let mut toml = String::new();
    let mut rest = json.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest)?,
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after.trim_start();
        match first {
            '"' if rest.starts_with(':') => toml += &translated_key(token)?,
            '"' => toml += &translated_string(token)?,
            ':' => toml += " = ",
            ',' => toml += ", ",
            '{' => toml += "{ ",
            '}' => toml += " }",
            _ => toml += token,
        }
    }
    Some(toml)
}

/// Bytes of the string that a text begins with, with its quotes.
fn string_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let ends = |(_, character): &(usize, char)| {
        let ends = *character == '"' && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        ends
    };
    let (last, _) = text.char_indices().skip(1).find(ends)?;
    Some(last + 1)
}

fn translated_key(json: &str) -> Option<String> {
    let text: String = serde_json::from_str(json).ok()?;
    Some(Key::new(text).display_repr().into_owned())
}

/// The escapes that `serde_json` writes are TOML's, too, and those that others write are not; TOML also wants one for DEL.
fn translated_string(json: &str) -> Option<String> {
    let text: String = serde_json::from_str(json).ok()?;
    let escaped = serde_json::to_string(&text).ok()?;
    Some(escaped.replace('\u{7f}', "\\u007f"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_tables() {
        let json = "\n{\"a\" : [1, 2.50,\n-1e-7], \"b c\": {\"d\\n\\\"\": \"\\u00e9\\ud83d\\ude00\\/:{\", \"e\": true}, \"\": \"\\\\\"}\n";
        let table = table_of_json(json).expect("it is an object").to_string();
        let expected =
            r#"{ a = [1, 2.50, -1e-7], "b c" = { "d\n\"" = "é😀/:{", e = true }, "" = "\\" }"#;
        assert_eq!(table, expected);
    }

    #[test]
    fn what_toml_does_not_have_in_strings_is_escaped() {
        let table = table_of_json("{\"a\": \"\u{7f}\"}").expect("it is an object");
        let text = table.as_inline_table().and_then(|table| table.get("a"));
        assert_eq!(text.and_then(Value::as_str), Some("\u{7f}"));
    }

    #[test]
    fn what_toml_does_not_have_is_refused() {
        for wrong in [
            "",
            "1",
            "[]",
            "{",
            r#"{"a": null}"#,
            r#"{"a": 18446744073709551615}"#,
            r#"{"a": 1"#,
        ] {
            assert!(table_of_json(wrong).is_none(), "{wrong}");
        }
    }
}
