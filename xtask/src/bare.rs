//! `cargo xtask bare`: both commands of the README, twice each, in a fresh clone on a Debian 12 that has nothing but Rust.
//!
//! The chroot gets the committed state of this repository, a copy of the pinned toolchain without the WebAssembly target,
//! and this machine's way to the network: name servers, certificates, proxies, package sources. Its Python packages,
//! crates and environments are its own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::progress::{Progress, seconds};
use crate::workspace::{Workspace, attached, output};

/// What README asks for, but `make`, `python3-venv`, `iproute2` and `libfaketime`: these set-up must install by itself.
const PACKAGES: &str = "ca-certificates,gcc,git,libc6-dev,python3";
/// Where the clone and the home of the chroot's user are.
const HOME: &str = "/home/forebay";
/// Mounted from this machine.
const DEVICES: [&str; 3] = ["/proc", "/sys", "/dev"];
/// How this machine reaches the network; what exists is copied.
const NETWORK: [&str; 5] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pip.conf",
    "/etc/apt",
];
/// The variables that go with them.
const NETWORK_VARIABLES: [&str; 4] = ["PIP_", "RUSTUP_DIST", "SSL_CERT_FILE", "UV_"];

/// The commands of the README.
pub(crate) const COMMANDS: [&str; 2] = ["demo", "test"];

/// Makes the chroot and runs the commands in it, or one of them: twice each.
pub(crate) fn run(
    workspace: &Workspace,
    only: Option<&str>,
    at: &Path,
    mirror: Option<&str>,
) -> Result<()> {
    check_machine(at)?;
    make(workspace, at, mirror)?;
    let mounts = Mounts::new(at)?;
    // Set-up must add it by itself.
    let forget = "rustup target remove wasm32-unknown-unknown";
    attached(&mut inside(at, forget))?;
    let mut chosen = Vec::from(COMMANDS);
    chosen.retain(|verb| only.is_none_or(|only| only == *verb));
    for verb in chosen.into_iter().flat_map(|verb| [verb; 2]) {
        let started = Instant::now();
        attached(&mut inside(at, &format!("cargo xtask {verb}")))?;
        println!(
            "\n== bare: `cargo xtask {verb}` took {}\n",
            seconds(started.elapsed())
        );
    }
    drop(mounts);
    Ok(())
}

/// The chroot with toolchain and clone in it.
fn make(workspace: &Workspace, at: &Path, mirror: Option<&str>) -> Result<()> {
    let mut progress = Progress::new(3);
    progress.step("Debian 12", |step| {
        let mut debootstrap = Command::new("debootstrap");
        debootstrap
            .args([
                "--variant=minbase",
                &format!("--include={PACKAGES}"),
                "bookworm",
            ])
            .arg(at)
            .args(mirror);
        step.run(
            &format!("debootstrap into {}", at.display()),
            &mut debootstrap,
            &workspace.log("debootstrap"),
        )
    })?;
    progress.step("toolchain", |step| {
        step.says("copying it");
        copy_toolchain(workspace, at)?;
        NETWORK
            .iter()
            .filter(|path| Path::new(path).exists())
            .try_for_each(|path| copy(Path::new(path), at))
    })?;
    progress.step("clone", |step| {
        step.says("cloning what is committed");
        let clone = at.join("home/forebay/clone");
        output(
            Command::new("git")
                .arg("clone")
                .arg("--quiet")
                .arg(&workspace.root)
                .arg(clone),
        )
        .map(drop)
    })
}

fn check_machine(at: &Path) -> Result<()> {
    let shown = at.display();
    ensure!(
        !at.exists(),
        "`{shown}` exists\nhint: `rm -rf --one-file-system {shown}`, or another folder with `--at`"
    );
    let root = output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0");
    let debootstrap = output(Command::new("debootstrap").arg("--version")).is_ok();
    ensure!(
        root && debootstrap,
        "`bare` makes a chroot: it needs root and debootstrap\nhint: `apt-get install debootstrap`, then run it as root"
    );
    Ok(())
}

/// The toolchain in use, without the target that set-up must add.
fn copy_toolchain(workspace: &Workspace, at: &Path) -> Result<()> {
    let sysroot = output(workspace.command("rustc").args(["--print", "sysroot"]))?;
    let sysroot = fs::canonicalize(sysroot.trim())?;
    let rustup =
        PathBuf::from(output(Command::new("sh").args(["-c", "command -v rustup"]))?.trim());
    let active = output(
        workspace
            .command("rustup")
            .args(["show", "active-toolchain"]),
    )?;
    let name = active
        .split_whitespace()
        .next()
        .context("rustup names no toolchain")?;
    let home = at.join(HOME.trim_start_matches('/'));
    let (toolchains, programs) = (home.join(".rustup/toolchains"), home.join(".cargo/bin"));
    fs::create_dir_all(&toolchains)?;
    fs::create_dir_all(&programs)?;
    let toolchain = toolchains.join(name);
    attached(
        Command::new("cp")
            .arg("--archive")
            .arg(sysroot)
            .arg(&toolchain),
    )?;
    for program in [
        "rustup",
        "cargo",
        "rustc",
        "rustdoc",
        "rustfmt",
        "cargo-fmt",
        "cargo-clippy",
        "clippy-driver",
    ] {
        fs::copy(fs::canonicalize(&rustup)?, programs.join(program))?;
    }
    Ok(())
}

fn copy(path: &Path, at: &Path) -> Result<()> {
    let to = at.join(path.strip_prefix("/")?);
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    attached(
        Command::new("cp")
            .args(["--recursive", "--dereference", "--no-target-directory"])
            .arg(path)
            .arg(to),
    )
}

fn inside(at: &Path, typed: &str) -> Command {
    let mut command = Command::new("chroot");
    command
        .arg(at)
        .args(["sh", "-c", &format!("cd {HOME}/clone && exec {typed}")]);
    command
        .env_clear()
        .envs(env::vars().filter(|(name, _)| is_network_variable(name)));
    let path =
        format!("{HOME}/.cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
        .env("PATH", path)
        .env("HOME", HOME)
        .env("CI", "true")
        .env("LANG", "C.UTF-8");
    command
}

fn is_network_variable(name: &str) -> bool {
    name.to_lowercase().ends_with("_proxy")
        || NETWORK_VARIABLES
            .iter()
            .any(|start| name.starts_with(start))
}

/// The mounted folders of the chroot; they are unmounted when it is dropped.
struct Mounts(Vec<PathBuf>);

impl Mounts {
    fn new(at: &Path) -> Result<Self> {
        let mut mounts = Self(Vec::new());
        // A root that is no mount point has no propagation to be changed, as `unshare --mount` does.
        attached(Command::new("mount").arg("--bind").arg(at).arg(at))?;
        mounts.0.push(at.to_owned());
        for device in DEVICES {
            let to = at.join(device.trim_start_matches('/'));
            attached(
                Command::new("mount")
                    .args(["--rbind", "--make-rslave", device])
                    .arg(&to),
            )?;
            mounts.0.push(to);
        }
        Ok(mounts)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for mount in self.0.iter().rev() {
            if let Err(error) = attached(
                Command::new("umount")
                    .args(["--recursive", "--lazy"])
                    .arg(mount),
            ) {
                println!("still mounted: `{}` ({error:#})", mount.display());
            }
        }
    }
}
