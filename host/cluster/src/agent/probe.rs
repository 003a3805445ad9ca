//! Asks an interpreter which Python it is and which `forebay` package it has, once.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::environment::{Variables, without_own};

/// An interpreter on a busy machine with cold disks takes seconds.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);
/// What is kept of its output, in bytes.
const TOLD_BYTES_MAX: usize = 64 << 10;

/// Reads what an installed package says of itself, as `importlib.metadata` would, but does not wait for that to be imported: the first node
/// of a run waits for the answer.
const QUESTION: &str = r#"
import os, sys
def metadata():
    for folder in sys.path:
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            if name.startswith('forebay-') and name.endswith('.dist-info'):
                yield os.path.join(folder, name, 'METADATA')
def package():
    for path in metadata():
        with open(path, encoding='utf-8') as lines:
            for line in lines:
                if line.startswith('Version: '):
                    return '"' + line.partition(' ')[2].strip() + '"'
    return 'null'
try:
    found = package()
except Exception:
    found = 'null'
print('{"python": "%d.%d.%d", "package": %s}' % (*sys.version_info[:3], found))
"#;

/// What an interpreter says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    /// `3.11.2`
    pub(super) python: String,
    /// Version of the installed `forebay` package.
    pub(super) package: Option<String>,
}

/// The interpreter could not say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the interpreter `{interpreter}` does not run: {reason}")]
pub(super) struct ProbeError {
    interpreter: PathBuf,
    reason: String,
}

type Key = (PathBuf, Option<SystemTime>);
type Answers = BTreeMap<Key, Result<Answer, ProbeError>>;

/// Answers so far; an interpreter that was replaced is asked again. Asks one at a time: nodes of a role start together
/// and share the answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes(Arc<Mutex<Answers>>);

impl Probes {
    pub(super) async fn ask(
        &self,
        interpreter: &Path,
        variables: &Variables,
    ) -> Result<Answer, ProbeError> {
        let changed = interpreter
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        let key = (interpreter.to_owned(), changed);
        let mut answers = self.0.lock().await;
        if let Some(answer) = answers.get(&key) {
            return answer.clone();
        }
        let (program, variables) = (interpreter.to_owned(), without_own(variables));
        let asked = tokio::task::spawn_blocking(move || ask(&program, &variables)).await;
        let answer = asked.unwrap_or_else(|error| Err(error.to_string()));
        let answer = answer.map_err(|reason| ProbeError {
            interpreter: interpreter.to_owned(),
            reason,
        });
        // Another try may find the machine less busy.
        if answer.is_ok() {
            answers.insert(key, answer.clone());
        }
        answer
    }
}

fn ask(interpreter: &Path, variables: &Variables) -> Result<Answer, String> {
    let mut child = Command::new(interpreter)
        .args(["-I", "-c", QUESTION])
        .env_clear()
        .envs(variables)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    // Read while it runs: what start-up files print could fill the pipes.
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    if !ends_within(child.id(), ANSWER_WITHIN) {
        let _gone = child.kill();
        let _reaped = child.wait();
        return Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs()));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let told = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let (stdout, stderr) = (told(stdout), told(stderr));
    let lines = stdout.rsplit(|byte| *byte == b'\n');
    let mut answers = lines.filter_map(|line| serde_json::from_slice(line).ok());
    let answer = answers.next().filter(|_| status.success());
    answer.ok_or_else(|| complaint(&stderr, status))
}

/// The end of what a pipe brings, on a thread of its own.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut piece = [0; 8192];
        let Some(mut pipe) = pipe else { return kept };
        while let Ok(count @ 1..) = pipe.read(&mut piece) {
            kept.extend_from_slice(&piece[..count]);
            let surplus = kept.len().saturating_sub(TOLD_BYTES_MAX);
            kept.drain(..surplus);
        }
        kept
    })
}

fn ends_within(pid: u32, time: Duration) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(Ok(process)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
        return false;
    };
    let limit = Timespec::try_from(time).ok();
    rustix::io::retry_on_intr(|| poll(&mut [PollFd::new(&process, PollFlags::IN)], limit.as_ref()))
        .is_ok_and(|ready| ready > 0)
}

fn complaint(stderr: &[u8], status: std::process::ExitStatus) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| status.to_string(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn probe(script: &str) -> Result<Answer, ProbeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("python");
        // Written by another process: what a test beside this one starts would inherit our file for a moment.
        let write = r#"printf '%s\n' '#!/bin/sh' "$1" > "$0" && chmod +x "$0""#;
        let written = Command::new("sh")
            .args(["-c", write])
            .args([path.as_os_str(), script.as_ref()])
            .status();
        assert!(written.unwrap().success());
        Probes::default()
            .ask(&path, &std::env::vars_os().collect())
            .await
    }

    #[tokio::test]
    async fn an_interpreter_answers_for_itself() {
        let answer = Probes::default()
            .ask(
                Path::new("/usr/bin/python3"),
                &std::env::vars_os().collect(),
            )
            .await
            .unwrap();
        assert!(answer.python.starts_with("3."), "{answer:?}");
    }

    #[tokio::test]
    async fn its_package_is_told() {
        let answer = probe(r#"echo '{"python": "3.11.2", "package": "0.0.9"}'"#)
            .await
            .unwrap();
        assert_eq!(answer.package.as_deref(), Some("0.0.9"));
    }

    #[tokio::test]
    async fn one_that_fails_is_named_with_its_last_words() {
        let error = probe("echo 'no module named encodings' >&2; exit 1")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("does not run: no module named encodings"),
            "{error}"
        );
    }
}
