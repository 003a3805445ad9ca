//! A program that is to run in a sandbox.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::locate;
use crate::machine::Machine;
use crate::output::Output;
use crate::running::Running;
use crate::terminal::Terminal;
use crate::wait::WATCHDOG;

/// Ends the program when the test is killed, and leads it into its namespace. Each of these replaces itself by what
/// follows, so the program has the pid that was started.
const INTO_NAMESPACE: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "nsenter"];
/// What the caller of the tests ignores would stay ignored in every program.
const WITHOUT_IGNORED_SIGNALS: [&str; 2] = ["env", "--default-signal"];

/// A program that is to run in a [`Machine`]: with its folders as home, `TMPDIR` and working folder, no variable of the
/// test's own environment but `PATH`, an empty input, and a watchdog of [`WATCHDOG`].
///
/// It ends with the thread that starts it.
#[must_use = "nothing runs until `run` or `start`"]
pub struct Invocation {
    way_in: Vec<OsString>,
    program: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    folder: PathBuf,
    input: Option<Vec<u8>>,
    watchdog: Duration,
}

impl Invocation {
    pub(crate) fn new(machine: &Machine, program: &OsStr) -> Self {
        let mut way_in: Vec<OsString> = INTO_NAMESPACE.iter().map(OsString::from).collect();
        way_in.extend(machine.enter().map(OsString::from));
        way_in.extend(WITHOUT_IGNORED_SIGNALS.map(OsString::from));
        let environment = BTreeMap::from([
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), machine.home().into()),
            ("TMPDIR".into(), machine.tmp().into()),
            ("LANG".into(), "C.UTF-8".into()),
            ("FOREBAY_ENVIRONMENTS".into(), locate::environments().into()),
        ]);
        let program = vec![program.into()];
        Self {
            way_in,
            program,
            environment,
            folder: machine.work(),
            input: None,
            watchdog: WATCHDOG,
        }
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.program.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().into()),
        );
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(name.into(), value.as_ref().into());
        self
    }

    /// A variable that it does not have.
    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.remove(OsStr::new(name));
        self
    }

    /// Its working folder.
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// Its input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// How long it may take, where that is longer than [`WATCHDOG`].
    pub fn within(mut self, watchdog: Duration) -> Self {
        self.watchdog = watchdog;
        self
    }

    /// Runs it by way of another program, such as `setpriv` or `unshare`, which must replace itself by it.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.program
            .splice(0..0, wrapper.iter().map(OsString::from));
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        self.start().finish()
    }

    /// Starts it.
    #[track_caller]
    pub fn start(self) -> Running {
        let (title, watchdog) = (self.title(), self.watchdog);
        let mut command = self.command();
        command.stdin(if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv starts");
        if let Some(input) = self.input {
            feed(&mut child, input);
        }
        Running::piped(title, child, watchdog)
    }

    /// Starts it in a terminal of its own, as the leader of the terminal's session.
    #[track_caller]
    pub fn start_in_terminal(self) -> (Running, Terminal) {
        let (mut terminal, line) = Terminal::open();
        let (title, watchdog) = (self.title(), self.watchdog);
        let mut command = self.through(&["setsid", "--ctty"]).command();
        let [input, output, errors] = line.handles();
        let child = command
            .env("TERM", "xterm")
            .stdin(input)
            .stdout(output)
            .stderr(errors)
            .spawn();
        drop((command, line));
        (
            Running::in_terminal(
                title,
                child.expect("setpriv starts"),
                &mut terminal,
                watchdog,
            ),
            terminal,
        )
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.way_in[0]);
        command
            .args(&self.way_in[1..])
            .args(&self.program)
            .current_dir(&self.folder);
        command.env_clear().envs(&self.environment);
        command
    }

    fn title(&self) -> String {
        let words: Vec<_> = self
            .program
            .iter()
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }
}

/// Writes the input from a thread: a program need not read it before it writes.
fn feed(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || stdin.write_all(&input));
    }
}
