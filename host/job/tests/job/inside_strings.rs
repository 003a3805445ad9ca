//! Places inside the strings of a job file, however the file writes them.

use forebay_job::{Diagnostic, Document, Location};
use insta::assert_snapshot;
use proptest::collection::vec;
use proptest::prelude::*;

/// What the file writes at a place of the string `a.sql`.
#[track_caller]
fn found(string: &str, line: u64, column: u64) -> (String, usize, usize) {
    let document = Document::parse(format!("[a]\nsql = {string}\n"), "job.toml", "");
    let problem = Diagnostic::error("sql/odd", "a.sql", "odd");
    let location = document
        .locate_within(problem, line, column)
        .location
        .expect("it has a place");
    let text = document.text()[location.span].to_owned();
    (text, location.line, location.column)
}

fn at(text: &str, line: usize, column: usize) -> (String, usize, usize) {
    (text.to_owned(), line, column)
}

#[test]
fn words_are_found_in_all_kinds_of_strings() {
    assert_eq!(found("\"SELECT über\"", 1, 8), at("über", 2, 15));
    assert_eq!(found("'SELECT über'", 1, 8), at("über", 2, 15));
    assert_eq!(found("\"\"\"\nSELECT a,\n  b\"\"\"", 2, 3), at("b", 4, 3));
    assert_eq!(found("\"\"\"SELECT a\"\"\"", 1, 8), at("a", 2, 17));
    assert_eq!(found("'''\r\nSELECT\r\n  a_1 b'''", 2, 3), at("a_1", 4, 3));
    assert_eq!(found("'''\n\na'''", 2, 1), at("a", 4, 1));
}

#[test]
fn escapes_count_as_the_characters_they_stand_for() {
    assert_eq!(found(r#""a\tb\n\"c\" d""#, 1, 3), at("b", 2, 11));
    assert_eq!(found(r#""a\tb\n\"c\" d""#, 2, 1), at("\\\"", 2, 14));
    assert_eq!(found(r#""a\tb\n\"c\" d""#, 2, 5), at("d", 2, 20));
    assert_eq!(
        found(r#""\u0041\U00000042 c""#, 1, 1),
        at("\\u0041\\U00000042", 2, 8)
    );
    assert_eq!(found(r#""\u0041\U00000042 c""#, 1, 4), at("c", 2, 25));
    assert_eq!(found(r#""\x41\e c""#, 1, 4), at("c", 2, 15));
    assert_eq!(found("\"\"\"a \\\n\n   b c\"\"\"", 1, 3), at("b", 4, 4));
    assert_eq!(found("\"\"\"a\\  \r\n \tb c\"\"\"", 1, 2), at("b", 3, 3));
    assert_eq!(found("\"\"\"a\"\" b\"\"\"\"", 1, 5), at("b", 2, 14));
    assert_eq!(found("\"\"\"a\"\" b\"\"\"\"", 1, 6), at("\"", 2, 15));
}

#[test]
fn places_outside_fall_back_to_the_value() {
    for (line, column) in [(0, 0), (1, 0), (1, 3), (2, 1), (u64::MAX, u64::MAX)] {
        assert_eq!(found("\"ab\"", line, column), at("\"ab\"", 2, 7));
    }
    assert_eq!(found("12", 1, 1), at("12", 2, 7));
    assert_eq!(found("\"\"", 1, 1), at("\"\"", 2, 7));
    let document = Document::parse("[a]\nsql = \"b\"\n", "job.toml", "");
    for key in ["a.other", "a", "", "b.sql", "not a key ["] {
        let problem = Diagnostic::error("sql/odd", key, "odd");
        assert_eq!(
            document.locate_within(problem.clone(), 1, 1),
            document.locate(problem)
        );
    }
}

#[test]
fn other_files_have_places_too() {
    let text = "SELECT a\nFROM übersicht x\n";
    let mut problem = Diagnostic::error("sql/odd", "transforms.a.sql_file", "odd");
    problem.location = Some(Location::in_file("a.sql", text, 2, 6));
    assert_snapshot!(problem.to_string(), @r"
a.sql:2:6: error[sql/odd]: odd (transforms.a.sql_file)
");
    let span = |line, column| Location::in_file("a.sql", text, line, column).span;
    assert_eq!(&text[span(2, 6)], "übersicht");
    assert_eq!(&text[span(2, 16)], "x");
    assert_eq!(span(9, 1), 0..0);
}

/// One character of a value in one of the ways in which a basic string can write it.
fn escaped(character: char, way: u8) -> String {
    let code = u32::from(character);
    match (way % 4, character) {
        (0, '\n') => "\\n".to_owned(),
        (0, '\r') => "\\r".to_owned(),
        (0, '\t') => "\\t".to_owned(),
        (1, _) if code < 0x1_0000 => format!("\\u{code:04x}"),
        (2, _) if code < 0x100 => format!("\\x{code:02x}"),
        (_, '"' | '\\') => format!("\\{character}"),
        (0 | 3, _) if !character.is_control() => character.to_string(),
        _ => format!("\\U{code:08x}"),
    }
}

fn basic(value: &[(char, u8)]) -> String {
    let inner: String = value
        .iter()
        .map(|(character, way)| escaped(*character, *way))
        .collect();
    format!("\"{inner}\"")
}

/// With line ends as they are, and now and then a backslash before one that does not count.
fn multiline_basic(value: &[(char, u8)], line_end: &str) -> String {
    let inner: String = value
        .iter()
        .map(|(character, way)| match (character, way) {
            ('\n', 0..128) => line_end.to_owned(),
            // It would be taken for one that does not count.
            (' ' | '\t' | '\r' | '\n', _) => escaped(*character, 1),
            (_, 250..) => format!("\\ {line_end} \t{line_end} {}", escaped(*character, *way)),
            _ => escaped(*character, *way),
        })
        .collect();
    format!("\"\"\"{line_end}{inner}\"\"\"")
}

/// Every character of the value stands where it is found, or its escape begins there.
fn check(string: &str) -> Result<(), TestCaseError> {
    let document = Document::parse(
        format!("a = 1\n[b.'c d']\nsql = {string}\n"),
        "job.toml",
        "",
    );
    let parsed: toml_edit::DocumentMut = document.text().parse().expect("it is TOML");
    let value = parsed["b"]["c d"]["sql"].as_str().expect("it is a string");
    let (mut line, mut column) = (1, 1);
    let mut last = 0;
    for character in value.chars() {
        let problem = Diagnostic::error("sql/odd", "b.\"c d\".sql", "odd");
        let located = document.locate_within(problem, line, column);
        let span = located.location.expect("it has a place").span;
        let written = &document.text()[span.start..];
        prop_assert!(span.start > last, "{string}: {line}:{column}");
        prop_assert!(
            written.starts_with(character) || written.starts_with('\\'),
            "{string}: {line}:{column} is {written}"
        );
        last = span.start;
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    Ok(())
}

fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        3 => prop::sample::select(vec!['a', '_', '7', ' ', '\t', '\n', '\r', '"', '\\', '\'', 'ü', '😀', '\u{7f}']),
        1 => any::<char>(),
    ]
}

proptest! {
    #[test]
    fn places_agree_with_the_value(value in vec((character(), any::<u8>()), 0..30)) {
        check(&basic(&value))?;
        check(&multiline_basic(&value, "\n"))?;
        check(&multiline_basic(&value, "\r\n"))?;
    }

    #[test]
    fn places_in_literal_strings_agree_with_the_value(value in vec(character(), 0..30)) {
        let is_plain = |character: &char| *character == '\t' || !character.is_control() && *character != '\'';
        let line: String = value.iter().copied().filter(is_plain).collect();
        check(&format!("'{line}'"))?;
        let lines: String = value.iter().copied().filter(|character| *character == '\n' || is_plain(character)).collect();
        check(&format!("'''{lines}'''"))?;
        check(&format!("'''\r\n{}'''", lines.replace('\n', "\r\n")))?;
    }

    #[test]
    fn places_in_strings_never_panic(key in any::<String>(), line in 0..5_u64, column in 0..99_u64, text in any::<String>()) {
        let document = Document::parse(crate::round_trip::EVERYTHING, "job.toml", "");
        let _ = document.locate_within(Diagnostic::error("sql/odd", key, "odd"), line, column);
        let _ = Location::in_file("a.sql", &text, line, column);
    }
}
