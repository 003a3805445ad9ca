//! Text for terminals: foreign text made harmless, colours, columns, times.

use std::borrow::Cow;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

/// `text` without anything that a terminal obeys: what a node, a plugin or a job says may be hostile.
/// Tabs become spaces, other control characters their pictures or escapes.
pub(crate) fn neutral(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut harmless = String::with_capacity(text.len() + 16);
    text.chars()
        .for_each(|character| push_neutral(&mut harmless, character));
    Cow::Owned(harmless)
}

fn push_neutral(text: &mut String, character: char) {
    match character {
        '\t' => text.push_str("    "),
        '\u{7f}' => text.push('␡'),
        // U+2400 and its followers are pictures of the control characters, in their order.
        '\0'..='\u{1f}' => text.extend(char::from_u32(0x2400 + u32::from(character))),
        _ if is_obeyed(character) => text.extend(character.escape_unicode()),
        _ => text.push(character),
    }
}

/// Control characters, and those that turn the direction of writing.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same with as many bytes, so that positions in `text` stay true; line ends and tabs stay too.
pub(crate) fn neutral_in_place(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) && !matches!(character, '\n' | '\t' | '\r') {
            harmless.extend(std::iter::repeat_n('?', character.len_utf8()));
        } else {
            harmless.push(character);
        }
    }
    harmless
}

/// Whether and how a stream may be decorated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Palette {
    colours: bool,
}

/// The colours that have a meaning here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It may go wrong.
    Warning,
    /// Less important than the rest.
    Faint,
    /// More important than the rest.
    Strong,
}

impl Palette {
    /// For text that goes to standard error: colours in a terminal, unless `NO_COLOR` is set.
    pub(crate) fn of_stderr() -> Self {
        Self {
            colours: std::io::stderr().is_terminal() && colours_wanted(),
        }
    }

    /// For text that goes to standard output.
    pub(crate) fn of_stdout() -> Self {
        Self {
            colours: std::io::stdout().is_terminal() && colours_wanted(),
        }
    }

    /// Whether it decorates at all.
    pub(crate) const fn has_colours(self) -> bool {
        self.colours
    }

    /// `text` in a colour.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Good => 32,
            Colour::Bad => 31,
            Colour::Warning => 33,
            Colour::Faint => 2,
            Colour::Strong => 1,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn colours_wanted() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// `850 ms`, `12.3 s`, `4 min 5 s`, `2 h 3 min`, `3 days`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `17.3 kB` and the like, in powers of 1,000.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    #[expect(
        clippy::cast_precision_loss,
        reason = "one digit after the point is shown"
    )]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{size:.1} {}", units[unit])
    }
}

/// Rows of cells as lines, columns aligned, two spaces apart. Cells are made harmless.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<str>>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| neutral(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut lines = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// `word` as a shell takes it for one word.
pub(crate) fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain =
        |character: char| character.is_alphanumeric() || "/._-+:,@%=".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

/// `1 node`, `3 nodes`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 {
        format!("1 {thing}")
    } else {
        format!("{number} {thing}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_command_a_terminal() {
        insta::assert_snapshot!(neutral("a\u{1b}]0;title\u{7}b\u{9b}31m\tc\u{202e}d\r\u{7f}"), @r"a␛]0;title␇b\u{9b}31m    c\u{202e}d␍␡");
        assert!(matches!(neutral("plain, naïve ✓"), Cow::Borrowed(_)));
    }

    #[test]
    fn text_made_harmless_in_place_keeps_its_positions() {
        let text = "a = \u{1b}\u{9b}\u{202e}\n\tb";
        let harmless = neutral_in_place(text);
        assert_eq!(harmless.len(), text.len());
        assert_eq!(harmless, "a = ??????\n\tb");
    }

    #[test]
    fn times_and_sizes_are_short() {
        let shown = [0, 850, 12_345, 245_000, 7_380_000, 300_000_000]
            .map(|ms| duration(Duration::from_millis(ms)));
        insta::assert_snapshot!(shown.join(" | "), @"0 ms | 850 ms | 12.3 s | 4 min 5 s | 2 h 3 min | 3 days");
        insta::assert_snapshot!([999, 17_300, 5_000_000].map(bytes).join(" | "), @"999 B | 17.3 kB | 5.0 MB");
    }

    #[test]
    fn a_word_for_a_shell_is_quoted_where_it_must_be() {
        assert_eq!(shell_word("/runs/a-1/token"), "/runs/a-1/token");
        assert_eq!(shell_word("/my runs/it's"), r"'/my runs/it'\''s'");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["RUN".into(), "STATE".into()],
            vec!["a-long-name".into(), "failed".into()],
        ];
        insta::assert_snapshot!(table(&rows), @r"
        RUN          STATE
        a-long-name  failed
        ");
    }

    #[test]
    fn without_colours_nothing_is_added() {
        assert_eq!(Palette::default().paint(Colour::Bad, "x"), "x");
        assert_eq!(
            Palette { colours: true }.paint(Colour::Bad, "x"),
            "\u{1b}[31mx\u{1b}[0m"
        );
    }
}
