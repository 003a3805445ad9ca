//! What may not stand in a line. These rules look at text, not at syntax: simple, and nobody writes these words by accident.

use super::{Source, Tree};

/// The words by which the frameworks show; compared in lower case.
const FRAMEWORK_WORDS: [&str; 10] = [
    "tensorflow",
    "tensorboard",
    "tf_config",
    "torch",
    "mxnet",
    "dmlc",
    "master_addr",
    "master_port",
    "keras",
    "gloo",
];

/// Where frameworks may be named under `host/`.
const FRAMEWORK_PLACES: [&str; 2] = ["host/python/", "host/predict/"];

/// Where hand-written `unsafe` may be; the SDK's is in its export macro.
const UNSAFE_PLACES: [&str; 4] = [
    "host/channel/",
    "host/predict/",
    "host/python/",
    "plugins/sdk/",
];

/// The helpers of tests, which wait for a condition with a watchdog, and measurements, which let things be idle.
const WAITING_PLACES: [&str; 2] = ["tests/bench/", "tests/support/"];

/// These files spell the words out.
const THIS_FOLDER: &str = "xtask/src/tidy/";

struct Rule {
    says: &'static str,
    applies: fn(&str) -> bool,
    finds: fn(&str) -> bool,
}

const RULES: [Rule; 6] = [
    Rule {
        says: "no word of a framework under host/ outside python and predict: frameworks live in plugins",
        applies: |path| path.starts_with("host/") && !starts_with_any(path, &FRAMEWORK_PLACES),
        finds: |line| {
            FRAMEWORK_WORDS
                .iter()
                .any(|word| line.to_lowercase().contains(word))
        },
    },
    Rule {
        says: "no `unsafe` outside host/{channel,predict,python} and the SDK's export macro",
        applies: |path| is_rust(path) && !starts_with_any(path, &UNSAFE_PLACES),
        finds: |line| {
            !is_comment(line) && words(line).any(|word| word == "unsafe" || word == "unsafe_code")
        },
    },
    Rule {
        says: "no test or code that is switched off or unfinished",
        applies: is_rust,
        finds: |line| {
            contains_any(
                line,
                &["#[ignore", "#[should_panic", "todo!(", "unimplemented!("],
            )
        },
    },
    Rule {
        says: "a lint is switched off by `#[expect(lint, reason = \"...\")]`",
        applies: is_rust,
        finds: |line| contains_any(line, &["#[allow(", "#![allow("]),
    },
    Rule {
        says: "no sleep in a test: wait for a condition with a watchdog",
        applies: |path| is_rust(path) && is_test(path) && !starts_with_any(path, &WAITING_PLACES),
        finds: |line| {
            !is_comment(line)
                && contains_any(line, &["sleep(Duration", "thread::sleep(", "time::sleep("])
        },
    },
    Rule {
        says: "no path of one machine",
        applies: |_| true,
        finds: names_a_machine_path,
    },
];

/// Checks every line of every file.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    tree.0
        .iter()
        .filter(|source| !source.path.starts_with(THIS_FOLDER))
        .flat_map(check_source)
        .collect()
}

fn check_source(source: &Source) -> Vec<String> {
    let rules: Vec<&Rule> = RULES
        .iter()
        .filter(|rule| (rule.applies)(&source.path))
        .collect();
    let lines = (1..).zip(source.text.lines());
    let found = lines.flat_map(|(number, line)| {
        rules
            .iter()
            .filter(move |rule| (rule.finds)(line))
            .map(move |rule| (number, rule.says))
    });
    found
        .map(|(number, says)| format!("{}:{number}: {says}", source.path))
        .collect()
}

fn is_rust(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end == "rs")
}

fn is_test(path: &str) -> bool {
    path.split('/')
        .any(|part| part == "tests" || part == "tests.rs")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn starts_with_any(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn contains_any(line: &str, texts: &[&str]) -> bool {
    texts.iter().any(|text| line.contains(text))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !(character.is_alphanumeric() || character == '_'))
}

/// A path into somebody's home or work folder, but not a longer path that has such a part in it.
fn names_a_machine_path(line: &str) -> bool {
    ["/work/", "/root/"].iter().any(|path| {
        let starts = line
            .match_indices(path)
            .map(|(at, _)| line[..at].chars().next_back());
        starts.into_iter().any(|before| {
            before.is_none_or(|before| !before.is_alphanumeric() && !".}_-".contains(before))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(path: &str, line: &str, expected: Option<&str>) {
        let findings = check(&Tree::of(&[(path, line)]));
        match expected {
            None => assert_eq!(findings, Vec::<String>::new()),
            Some(part) => assert!(
                findings.len() == 1 && findings[0].contains(part),
                "{findings:?}"
            ),
        }
    }

    #[test]
    fn framework_words_live_in_plugins() {
        check_line(
            "host/cluster/src/lib.rs",
            "// like TF_CONFIG",
            Some("lib.rs:1: no word of a framework"),
        );
        check_line("host/python/python/forebay/node.py", "import torch", None);
        check_line(
            "plugins/mxnet/src/lib.rs",
            "const ROLE: &str = \"DMLC_ROLE\";",
            None,
        );
    }

    #[test]
    fn hand_written_unsafe_has_its_places() {
        check_line(
            "host/cluster/src/pidfd.rs",
            "unsafe { close(fd) }",
            Some("no `unsafe`"),
        );
        check_line(
            "host/cluster/src/pidfd.rs",
            "#![expect(unsafe_code, reason = \"x\")]",
            Some("no `unsafe`"),
        );
        check_line("host/cluster/src/pidfd.rs", "// no unsafe here", None);
        check_line("host/python/src/lib.rs", "unsafe { close(fd) }", None);
    }

    #[test]
    fn nothing_is_switched_off() {
        check_line(
            "tests/end-to-end/src/a.rs",
            "#[ignore = \"slow\"]",
            Some("switched off"),
        );
        check_line("host/job/src/a.rs", "todo!()", Some("unfinished"));
        check_line(
            "host/job/src/a.rs",
            "#[allow(dead_code)]",
            Some("#[expect(lint"),
        );
    }

    #[test]
    fn tests_wait_for_conditions() {
        check_line(
            "host/cluster/tests/a.rs",
            "std::thread::sleep(second);",
            Some("no sleep"),
        );
        check_line(
            "tests/support/src/lib.rs",
            "std::thread::sleep(second);",
            None,
        );
        check_line(
            "host/cluster/src/clock.rs",
            "tokio::time::sleep(second).await;",
            None,
        );
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        check_line(
            "README.md",
            "cd /root/forebay",
            Some("no path of one machine"),
        );
        check_line(
            "README.md",
            "it is in `/work/main`",
            Some("no path of one machine"),
        );
        check_line("README.md", "$RUN/work/a and https://host/root/x", None);
    }
}
