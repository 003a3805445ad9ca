//! Set-up: tools, the wheel, one Python environment for each framework and some beside them. What is up to date stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::machine::{self, Python, PythonNeed};
use crate::progress::{Progress, Step};
use crate::stamp::{self, Fingerprint};
use crate::workspace::Workspace;

/// The steps before the first environment: machine, target, tools, wheel.
const STEPS_BEFORE_ENVIRONMENTS: usize = 4;

/// Once for all nodes, which compile it at each start where they may not write it down.
const COMPILE_PACKAGE: &str = "import compileall, forebay, sys; sys.exit(not compileall.compile_dir(forebay.__path__[0], quiet=1))";

/// What the wheel is made from.
const WHEEL_SOURCES: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "host/channel",
    "host/protocol",
    "host/python",
    "proto/forebay/node",
];

/// A Python environment that set-up makes from `environments/NAME.txt` and the wheel.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Environment {
    Tensorflow,
    Pytorch,
    Mxnet,
    /// No framework: real data for examples, and what tests and measurements of the dataflow compare with.
    Dataflow,
    /// The wheel alone.
    Plain,
    /// PyTorch and other ways to feed it, for measurements alone.
    Bench,
}

impl Environment {
    /// Those that tests and examples need.
    pub(crate) const OF_TESTS: [Self; 5] = [
        Self::Tensorflow,
        Self::Pytorch,
        Self::Mxnet,
        Self::Dataflow,
        Self::Plain,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tensorflow => "tensorflow",
            Self::Pytorch => "pytorch",
            Self::Mxnet => "mxnet",
            Self::Dataflow => "dataflow",
            Self::Plain => "plain",
            Self::Bench => "bench",
        }
    }

    pub(crate) fn folder(self, workspace: &Workspace) -> PathBuf {
        workspace.environments().join(self.name())
    }

    /// The program `name` of this environment.
    pub(crate) fn program(self, workspace: &Workspace, name: &str) -> PathBuf {
        self.folder(workspace).join("bin").join(name)
    }

    /// Files of pinned packages.
    fn requirements(self) -> Vec<String> {
        let of = |name: &str| format!("environments/{name}.txt");
        match self {
            Self::Bench => vec![of("pytorch"), of("bench")],
            other => vec![of(other.name())],
        }
    }

    fn python_need(self) -> PythonNeed {
        match self {
            Self::Mxnet => PythonNeed::Exactly311,
            Self::Tensorflow | Self::Pytorch | Self::Dataflow | Self::Plain | Self::Bench => {
                PythonNeed::Any
            }
        }
    }
}

/// `cargo xtask setup`: the environments of tests and examples, or those that are named.
pub(crate) fn run(workspace: &Workspace, only: &[Environment]) -> Result<()> {
    let environments = if only.is_empty() {
        &Environment::OF_TESTS
    } else {
        only
    };
    let mut progress = Progress::new(steps(environments));
    make(workspace, &mut progress, environments)?;
    println!("environments: `{}`", workspace.environments().display());
    Ok(())
}

/// `cargo xtask setup --into PYTHON`: the wheel, in the environment of a user's own interpreter.
pub(crate) fn into(workspace: &Workspace, python: &Path) -> Result<()> {
    let mut progress = Progress::new(STEPS_BEFORE_ENVIRONMENTS + 1);
    let (tools, wheel) = make_wheel(workspace, &mut progress, PythonNeed::Any)?;
    let python = std::path::absolute(python)?;
    progress.step("install", |step| {
        install_wheel(workspace, step, &tools, &python, &wheel)
    })
}

/// How many steps [`make`] takes.
pub(crate) fn steps(environments: &[Environment]) -> usize {
    STEPS_BEFORE_ENVIRONMENTS + environments.len()
}

/// Sets up everything up to and including these environments.
pub(crate) fn make(
    workspace: &Workspace,
    progress: &mut Progress,
    environments: &[Environment],
) -> Result<()> {
    let exactly = environments
        .iter()
        .any(|environment| environment.python_need() == PythonNeed::Exactly311);
    let need = if exactly {
        PythonNeed::Exactly311
    } else {
        PythonNeed::Any
    };
    let (tools, wheel) = make_wheel(workspace, progress, need)?;
    for environment in environments {
        let name = format!("environment {}", environment.name());
        progress.step(&name, |step| {
            make_environment(workspace, step, &tools, *environment, &wheel)
        })?;
    }
    Ok(())
}

/// The pinned programs that set-up itself needs, and the interpreter that they work for.
struct Tools {
    python: Python,
    folder: PathBuf,
}

impl Tools {
    fn uv<const N: usize>(&self, workspace: &Workspace, arguments: [&str; N]) -> Command {
        let mut uv = workspace.command(self.folder.join("bin/uv"));
        uv.args(arguments).env("UV_PYTHON_DOWNLOADS", "never");
        uv
    }
}

/// The one wheel in its folder, and what it was made from.
struct Wheel {
    file: PathBuf,
    fingerprint: String,
}

fn make_wheel(
    workspace: &Workspace,
    progress: &mut Progress,
    need: PythonNeed,
) -> Result<(Tools, Wheel)> {
    let python = progress.step("machine", |step| machine::check(workspace, step, need))?;
    progress.step("WebAssembly target", |step| {
        machine::add_wasm_target(workspace, step)
    })?;
    let tools = progress.step("tools", |step| make_tools(workspace, step, python))?;
    let wheel = progress.step("wheel", |step| build_wheel(workspace, step, &tools))?;
    Ok((tools, wheel))
}

fn make_tools(workspace: &Workspace, step: &Step, python: Python) -> Result<Tools> {
    let (requirements, folder) = ("environments/tools.txt", workspace.made.join("tools"));
    let fingerprint = fingerprint_of(workspace, &python, &[requirements.to_owned()])?;
    let stamp = folder.join("requirements-stamp");
    if !stamp::matches(&stamp, &fingerprint) {
        let mut venv = workspace.command(&python.path);
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        step.run(
            "making their environment",
            &mut venv,
            &workspace.log("tools-venv"),
        )?;
        let mut pip = workspace.command(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--requirement",
            requirements,
        ]);
        step.run(
            "installing uv and maturin",
            &mut pip,
            &workspace.log("tools-pip"),
        )?;
        stamp::write(&stamp, &fingerprint)?;
    }
    Ok(Tools { python, folder })
}

fn build_wheel(workspace: &Workspace, step: &Step, tools: &Tools) -> Result<Wheel> {
    let folder = workspace.made.join("wheel");
    let mut fingerprint = Fingerprint::new();
    for source in WHEEL_SOURCES {
        fingerprint = fingerprint.tree(&workspace.root.join(source))?;
    }
    let (fingerprint, stamp) = (fingerprint.finish(), folder.join("sources-stamp"));
    if !stamp::matches(&stamp, &fingerprint) {
        empty(&folder)?;
        let mut maturin = workspace.command(tools.folder.join("bin/maturin"));
        maturin.args(["build", "--profile", "dev", "--compatibility", "linux"]);
        maturin
            .args(["--manifest-path", "host/python/Cargo.toml", "--out"])
            .arg(&folder);
        maturin
            .arg("--target-dir")
            // Of its own: maturin moves what cargo has built, which another cargo may be building at the same time.
            .arg(workspace.target.join("wheel"))
            .arg("--interpreter")
            .arg(&tools.python.path);
        step.run(
            "building the package `forebay` with maturin",
            &mut maturin,
            &workspace.log("wheel"),
        )?;
        stamp::write(&stamp, &fingerprint)?;
    }
    Ok(Wheel {
        file: the_wheel_in(&folder)?,
        fingerprint,
    })
}

fn empty(folder: &Path) -> Result<()> {
    let made_anew = || -> std::io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)
    };
    made_anew().with_context(|| format!("cannot make `{}` anew", folder.display()))
}

fn the_wheel_in(folder: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list `{}`", folder.display()))?;
    let wheel = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "whl"));
    wheel.with_context(|| {
        format!(
            "no wheel in `{}`\nhint: remove the folder and try again",
            folder.display()
        )
    })
}

fn make_environment(
    workspace: &Workspace,
    step: &Step,
    tools: &Tools,
    environment: Environment,
    wheel: &Wheel,
) -> Result<()> {
    let (folder, requirements) = (environment.folder(workspace), environment.requirements());
    let python = environment.program(workspace, "python");
    let (stamp, wheel_stamp) = (
        folder.join("requirements-stamp"),
        folder.join("wheel-stamp"),
    );
    let fingerprint = fingerprint_of(workspace, &tools.python, &requirements)?;
    if !stamp::matches(&stamp, &fingerprint) || !python.exists() {
        fill_environment(workspace, step, tools, environment)?;
        stamp::write(&stamp, &fingerprint)?;
    }
    if !stamp::matches(&wheel_stamp, &wheel.fingerprint) {
        install_wheel(workspace, step, tools, &python, wheel)?;
        stamp::write(&wheel_stamp, &wheel.fingerprint)?;
    }
    Ok(())
}

/// Makes it anew, with everything but the wheel.
fn fill_environment(
    workspace: &Workspace,
    step: &Step,
    tools: &Tools,
    environment: Environment,
) -> Result<()> {
    let log = |work| workspace.log(&format!("{}-{work}", environment.name()));
    let mut venv = tools.uv(workspace, ["venv", "--clear", "--python"]);
    venv.arg(&tools.python.path)
        .arg(environment.folder(workspace));
    step.run("making it", &mut venv, &log("venv"))?;
    let requirements = environment.requirements();
    let mut install = tools.uv(workspace, ["pip", "install", "--no-deps"]);
    for file in &requirements {
        install.args(["--requirement", file]);
    }
    // Once here, or every node does it at once on its first import.
    install.arg("--compile-bytecode");
    install
        .arg("--python")
        .arg(environment.program(workspace, "python"));
    let what = format!("installing {}", requirements.join(" and "));
    step.run(&what, &mut install, &log("install"))
}

/// By file: where an index or a folder of wheels is searched, an old build of the same version would do.
fn install_wheel(
    workspace: &Workspace,
    step: &Step,
    tools: &Tools,
    python: &Path,
    wheel: &Wheel,
) -> Result<()> {
    ensure!(python.exists(), "no interpreter `{}`", python.display());
    let mut install = tools.uv(
        workspace,
        [
            "pip",
            "install",
            "--reinstall-package",
            "forebay",
            "--python",
        ],
    );
    install.arg(python).arg(&wheel.file);
    let log = |work| workspace.log(&format!("wheel-{work}"));
    step.run("installing the wheel", &mut install, &log("install"))?;
    // As pip does. uv would look at the whole environment for it.
    let mut compile = Command::new(python);
    compile.args(["-c", COMPILE_PACKAGE]);
    step.run("compiling its Python", &mut compile, &log("compile"))
}

fn fingerprint_of(
    workspace: &Workspace,
    python: &Python,
    requirements: &[String],
) -> Result<String> {
    let mut fingerprint = Fingerprint::new()
        .text(&python.version)
        .text(&python.path.to_string_lossy());
    for file in requirements {
        fingerprint = fingerprint.tree(&workspace.root.join(file))?;
    }
    Ok(fingerprint.finish())
}
