//! The end of what a node wrote, as a person would see it: last lines, and the last Python traceback among all lines.

use std::collections::VecDeque;

use crate::wire::node::ScriptError;

/// Lines kept.
const LINES_MAX: usize = 50;
/// Characters kept of a line, from its beginning.
const LINE_CHARACTERS_MAX: usize = 2_000;
/// Bytes that surely hold these characters.
const LINE_BYTES_MAX: usize = 4 * LINE_CHARACTERS_MAX;
/// Lines kept of a traceback; an endless recursion prints fewer.
const TRACEBACK_LINES_MAX: usize = 500;

const TRACEBACK_BEGIN: &str = "Traceback (most recent call last):";

/// Takes bytes as they come; costs a few hundred kilobytes at most, whatever comes.
#[derive(Debug, Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    current: Vec<u8>,
    /// A carriage return came last: what follows writes over the line.
    rewrite: bool,
    traceback: Traceback,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                b'\r' => self.rewrite = true,
                _ => self.add(byte),
            }
        }
    }

    fn add(&mut self, byte: u8) {
        if std::mem::take(&mut self.rewrite) {
            self.current.clear();
        }
        if self.current.len() < LINE_BYTES_MAX {
            self.current.push(byte);
        }
    }

    fn end_line(&mut self) {
        self.rewrite = false;
        let line = readable(&self.current);
        self.current.clear();
        self.traceback.line(&line);
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Last lines, newest last, and the last traceback that is complete.
    pub(super) fn finish(mut self) -> (Vec<String>, Option<ScriptError>) {
        if !self.current.is_empty() {
            self.end_line();
        }
        (self.lines.into(), self.traceback.last)
    }
}

fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(LINE_CHARACTERS_MAX)
        .collect()
}

/// Finds tracebacks: the heading, indented lines, then the exception.
#[derive(Debug, Default)]
struct Traceback {
    open: Option<Vec<String>>,
    last: Option<ScriptError>,
}

impl Traceback {
    fn line(&mut self, line: &str) {
        if line == TRACEBACK_BEGIN {
            self.open = Some(vec![line.to_owned()]);
        } else if let Some(mut lines) = self.open.take() {
            if line.is_empty() || line.starts_with(' ') {
                if lines.len() < TRACEBACK_LINES_MAX {
                    lines.push(line.to_owned());
                }
                self.open = Some(lines);
            } else if let Some((kind, message)) = exception(line) {
                lines.push(line.to_owned());
                self.last = Some(ScriptError {
                    kind,
                    message,
                    traceback: lines.join("\n"),
                });
            }
        }
    }
}

/// `package.Kind: message` or `Kind`.
fn exception(line: &str) -> Option<(String, String)> {
    let (kind, message) = line.split_once(':').unwrap_or((line, ""));
    let is_name = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    kind.split('.')
        .all(is_name)
        .then(|| (kind.to_owned(), message.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(written: &[u8]) -> Vec<String> {
        let mut tail = Tail::default();
        tail.push(written);
        tail.finish().0
    }

    fn error(written: &str) -> Option<ScriptError> {
        let mut tail = Tail::default();
        tail.push(written.as_bytes());
        tail.finish().1
    }

    #[test]
    fn carriage_returns_leave_the_last_state_of_a_line() {
        assert_eq!(
            lines(b"10%\r20%\r100%\ndone\r\n50%\r"),
            ["100%", "done", "50%"]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(lines(b"a\xff\xfeb\n"), ["a\u{fffd}\u{fffd}b"]);
    }

    #[test]
    fn long_lines_and_many_lines_are_bounded() {
        let long = lines(&vec![b'x'; 10_000_000]);
        assert_eq!(long[0].chars().count(), LINE_CHARACTERS_MAX);
        let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        let kept = lines(many.join("\n").as_bytes());
        assert_eq!(
            (kept.len(), kept[0].as_str(), kept[49].as_str()),
            (50, "950", "999")
        );
    }

    #[test]
    fn the_last_traceback_is_found() {
        let told = error(
            "before\n\
             Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n    f()\nKeyError: 'x'\n\n\
             During handling of the above exception, another exception occurred:\n\n\
             Traceback (most recent call last):\n  File \"b.py\", line 2, in <module>\npkg.Broken: it: broke\nafter\n",
        )
        .unwrap();
        assert_eq!(
            (told.kind.as_str(), told.message.as_str()),
            ("pkg.Broken", "it: broke")
        );
        assert!(
            told.traceback.starts_with("Traceback (most")
                && told.traceback.ends_with("pkg.Broken: it: broke")
        );
    }

    #[test]
    fn what_only_looks_like_a_traceback_is_none() {
        assert_eq!(
            error("Traceback (most recent call last):\n  File\nnot an exception: x\n"),
            None
        );
        assert_eq!(error("ValueError: no traceback\n"), None);
    }
}
