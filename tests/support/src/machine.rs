//! A network namespace with folders of its own: what one computer is to a job.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::invocation::Invocation;
use crate::locate;
use crate::wait::{WATCHDOG, wait_until};

/// The network device between the machines of a pair.
const DEVICE: &str = "joined0";

/// One computer: an own network namespace with a loopback device, own host name, and own folders for work, home and `TMPDIR`.
///
/// The namespace has no name: it lives as long as a process in it, and that one ends when its input is closed. So nothing
/// stays behind even where the test is killed.
pub struct Machine {
    keeper: Child,
    folder: PathBuf,
}

impl Machine {
    pub(crate) fn start(folder: PathBuf) -> Self {
        for name in ["work", "home", "tmp"] {
            fs::create_dir_all(folder.join(name)).expect("the sandbox is writable");
            fs::set_permissions(folder.join(name), Permissions::from_mode(0o777))
                .expect("the sandbox is ours");
        }
        let machine = Self {
            keeper: start_keeper(),
            folder,
        };
        machine.ip(&["link", "set", "lo", "up"]);
        machine.take_name();
        machine
    }

    /// Joins two machines by a cable, with these addresses in one network.
    pub(crate) fn join(&self, address: Ipv4Addr, other: &Self, other_address: Ipv4Addr) {
        let ends = [self.keeper.id().to_string(), other.keeper.id().to_string()];
        let cable = [
            "link", "add", DEVICE, "netns", &ends[0], "type", "veth", "peer", DEVICE, "netns",
            &ends[1],
        ];
        self.ip(&cable);
        for (machine, address) in [(self, address), (other, other_address)] {
            machine.ip(&["address", "add", &format!("{address}/24"), "dev", DEVICE]);
            machine.ip(&["link", "set", DEVICE, "up"]);
        }
        for machine in [self, other] {
            // The kernel takes up to a second to say so, and only then the device counts as running.
            wait_until("the cable carries", WATCHDOG, || {
                machine.ip(&["link", "show", DEVICE]).contains("state UP")
            });
        }
    }

    /// Runs `ip` in the namespace, for what a test needs beyond a pair; gives what it says.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) -> String {
        let output = Command::new("nsenter")
            .args(self.enter())
            .arg("ip")
            .args(arguments)
            .output();
        let output = output.expect("nsenter starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "`ip {}` failed: {complaint}",
            arguments.join(" ")
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The host name is that of the folder, so that agents of two machines differ as they would.
    fn take_name(&self) {
        let name = self
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let script = format!("echo {name} > /proc/sys/kernel/hostname");
        let taken = Command::new("nsenter")
            .args(self.enter())
            .args(["sh", "-c", &script])
            .status();
        assert!(
            taken.is_ok_and(|status| status.success()),
            "the machine has no name of its own"
        );
    }

    /// The working folder of programs that name no other.
    pub fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The home folder of programs in here.
    pub fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// `TMPDIR` of programs in here; the guard wants it empty in the end.
    pub fn tmp(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// Writes a file, with its folders, below [`Machine::work`]; gives its path.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(path);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("the sandbox is writable");
        fs::write(&path, content).expect("the sandbox is writable");
        path
    }

    /// As [`Machine::write`], and anybody may execute it.
    pub fn write_program(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let content = self.write(path, content);
        let program = content.with_extension("being-made");
        // Copied by another process: what a test beside this one starts would inherit our file for a moment.
        let mut install = Command::new("install");
        install.arg("-m755").args([&content, &program]);
        let status = install.status().expect("coreutils are there");
        assert!(status.success(), "{status}");
        fs::rename(program, &content).expect("the file is ours");
        content
    }

    /// A program that is to run in here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Invocation {
        Invocation::new(self, program.as_ref())
    }

    /// `forebay` with these arguments, to run in here.
    #[track_caller]
    pub fn forebay<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Invocation {
        self.command(locate::forebay_binary()).args(arguments)
    }

    /// The run directories below [`Machine::work`], oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.work().join(".forebay/runs"))
            .into_iter()
            .flatten()
            .flatten();
        let mut runs: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        runs.sort_by_key(|path| fs::metadata(path).and_then(|folder| folder.created()).ok());
        runs
    }

    /// The options of `nsenter` that lead in here.
    pub(crate) fn enter(&self) -> [String; 2] {
        ["net", "uts"].map(|kind| format!("--{kind}=/proc/{}/ns/{kind}", self.keeper.id()))
    }

    /// A process that lives in the namespace and belongs to the sandbox itself.
    pub(crate) fn keeper_pid(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn start_keeper() -> Child {
    let mut keeper = Command::new("unshare");
    keeper
        .args(["--net", "--uts", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut keeper = keeper
        .spawn()
        .expect("`unshare` of util-linux is installed");
    // The echo tells that `cat` runs, and so that it is in its namespace.
    let mut echo = [0];
    let stdin = keeper.stdin.as_mut().expect("its input is piped");
    let stdout = keeper.stdout.as_mut().expect("its output is piped");
    let alive = stdin
        .write_all(b"\n")
        .and_then(|()| stdout.read_exact(&mut echo));
    assert!(
        alive.is_ok(),
        "no network namespace: these tests need root, there is no way around it"
    );
    keeper
}
