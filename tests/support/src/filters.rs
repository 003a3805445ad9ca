//! What differs from run to run, for snapshots.

use crate::locate;
use crate::sandbox::Sandbox;

/// Patterns (regular expressions) and what a snapshot shows in their place.
const PATTERNS: [(&str, &str); 14] = [
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"\b[0-9a-f]{64}\b", "[SHA256]"),
    (r"-\d{8}-\d{6}(-\d+)?\b", "-[TIME]"),
    (r#""pid":\d+"#, r#""pid":[PID]"#),
    (r"\bpid \d+", "pid [PID]"),
    (
        r#""(time_ms|duration_ms|running_ms|began_ms)":\d+"#,
        r#""$1":[TIME]"#,
    ),
    (r"\b(in|after|for) \d+(\.\d+)? ?(ms|s)\b", "$1 [DURATION]"),
    (
        r"\b\d+ cores?, \d+ MiB of memory",
        "[CORES] cores, [MEMORY] MiB of memory",
    ),
    (r"\b\d+(\.\d+)? kB, SHA", "[SIZE], SHA"),
    (r"\bprocess \d+", "process [PID]"),
    (r"\bagents/\d{8}-\d{6}-\d+", "agents/[TIME]-[PID]"),
    (r"\b127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
    (r"\bforebay 0\.\d+\.\d+\b", "forebay [VERSION]"),
    // As wide as the longest duration below it.
    (r"\bSTATE +REASON\b", "STATE  REASON"),
];

impl Sandbox {
    /// For `insta`: paths of this sandbox and of the repository, times, durations, pids, ports and hashes.
    pub fn filters(&self) -> Vec<(String, String)> {
        let path = |path: &std::path::Path, name: &str| {
            (escaped(&path.to_string_lossy()), name.to_owned())
        };
        let folder = self
            .folder()
            .canonicalize()
            .unwrap_or_else(|_| self.folder().to_owned());
        let mut filters = vec![
            path(&self.work(), "[WORK]"),
            path(&self.home(), "[HOME]"),
            path(&folder, "[SANDBOX]"),
            path(&locate::environments(), "[ENVIRONMENTS]"),
            path(&locate::repository(), "[REPOSITORY]"),
        ];
        filters.extend(PATTERNS.map(|(pattern, shown)| (pattern.to_owned(), shown.to_owned())));
        filters
    }
}

/// A text as the regular expression that finds just it.
fn escaped(text: &str) -> String {
    let special =
        |letter: char| !letter.is_alphanumeric() && letter != '/' && letter != '_' && letter != '-';
    text.chars()
        .flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter]))
        .collect()
}
