//! Places in text, and in strings of TOML: where the file writes each character of a string's value.

use std::ops::Range;

/// A character of a value, and the bytes that write it: itself, or an escape.
pub(crate) type Written = (char, Range<usize>);

/// The characters of a text that is its own value.
pub(crate) fn plain(text: &str) -> Vec<Written> {
    let characters = text.char_indices();
    characters
        .map(|(start, character)| (character, start..start + character.len_utf8()))
        .collect()
}

/// The characters of the value of a TOML string, which `raw` writes with its quotes. `None`: it is no string.
pub(crate) fn of_string(raw: &str) -> Option<Vec<Written>> {
    let delimiter = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|delimiter| raw.len() >= 2 * delimiter.len() && raw.starts_with(delimiter))?;
    let inner = raw.strip_suffix(delimiter)?;
    let mut start = delimiter.len();
    if delimiter.len() == 3 {
        start += line_end_length(inner.get(start..)?);
    }
    if delimiter.starts_with('\'') {
        let characters = plain(inner.get(start..)?).into_iter();
        let moved =
            |(character, bytes): Written| (character, bytes.start + start..bytes.end + start);
        return Some(characters.map(moved).collect());
    }
    let mut written = Vec::new();
    while let Some(first) = inner.get(start..)?.chars().next() {
        let length = if first == '\\' {
            let (character, length) = escape(&inner[start..])?;
            written.extend(character.map(|character| (character, start..start + length)));
            length
        } else {
            written.push((first, start..start + first.len_utf8()));
            first.len_utf8()
        };
        start += length;
    }
    Some(written)
}

/// Of the first line end, if the text begins with one.
fn line_end_length(text: &str) -> usize {
    match text.as_bytes() {
        [b'\n', ..] => 1,
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    }
}

/// What the escape that a text begins with stands for, and how long it is; a backslash before a line end stands for nothing.
fn escape(text: &str) -> Option<(Option<char>, usize)> {
    let after = text.strip_prefix('\\')?;
    let character = match after.chars().next()? {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'x' => return coded(after, 2),
        'u' => return coded(after, 4),
        'U' => return coded(after, 8),
        ' ' | '\t' | '\r' | '\n' => {
            let rest = after.trim_start_matches([' ', '\t', '\r', '\n']);
            return Some((None, text.len() - rest.len()));
        }
        itself => itself,
    };
    Some((Some(character), 2))
}

/// `x41`, `u0041` or `U00000041`
fn coded(text: &str, digits: usize) -> Option<(Option<char>, usize)> {
    let code = u32::from_str_radix(text.get(1..=digits)?, 16).ok()?;
    Some((Some(char::from_u32(code)?), digits + 2))
}

/// The bytes that write the character in this line and column, both from 1, with the rest of the word that it is in. `None`: there
/// is no such place.
pub(crate) fn place(written: &[Written], line: u64, column: u64) -> Option<Range<usize>> {
    let mut here = (1, 1);
    let index = written.iter().position(|(character, _)| {
        let is_here = here == (line, column);
        here = match character {
            '\n' => (here.0 + 1, 1),
            _ => (here.0, here.1 + 1),
        };
        is_here
    })?;
    let (first, Range { start, mut end }) = written[index].clone();
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    let more = written[index + 1..].iter();
    for (_, next) in more.take_while(|(next, _)| in_word(first) && in_word(*next)) {
        if next.start != end {
            break;
        }
        end = next.end;
    }
    Some(start..end)
}

/// The line and column of a byte, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, position: usize) -> (usize, usize) {
    let before = text.get(..position).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
