//! Everything that can be wrong with a job before it runs, found in one go: what the file says, what lies on the disk,
//! which plugins there are, and what they make of their roles.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use forebay_cluster::agent::check_interpreter;
use forebay_cluster::preparation::{PluginSet, PluginSetError, PrepareError, prepare};
use forebay_cluster::submission::{PluginSource, STANDARD_MACHINE, machine_name, required_plugins};
use forebay_job::{Diagnostic, Document, Job, Program, Role, TEXT_BYTES_MAX, has_error};
use forebay_plugin::{CallError, PluginHost, Problem, Severity};
use forebay_runtime::Plan;
use forebay_runtime::code::UNUSED;

use crate::dataflow::{self, EarlierOutput};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::folders;
use crate::plugins::Finder;

/// A job that may run.
pub(crate) struct Checked {
    /// Without implied roles; where it has a dataflow, with everything that was found of its files.
    pub(crate) job: Job,
    /// `None`: it has no dataflow.
    pub(crate) dataflow: Option<Plan>,
    /// Everything that it needs.
    pub(crate) plugins: Vec<PluginSource>,
    /// For people; the job may run.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Stable codes of the problems that are found here; docs/job-file.md has the others.
mod code {
    pub(super) const NO_INTERPRETER: &str = "python/missing";
    pub(super) const MISSING: &str = "plugin/missing";
    pub(super) const UNUSABLE: &str = "plugin/unusable";
    pub(super) const FAILED: &str = "plugin/failed";
    pub(super) const REFUSED: &str = "plugin/refused";
}

/// Reads a job file, or standard input where it is named `-`.
fn read(file: &Path) -> Result<Document, Failure> {
    if file != Path::new("-") {
        return Document::read(file).map_err(|error| {
            Failure::from_input(&error)
                .with_hint("give the path of a job file, or `-` for standard input")
        });
    }
    let failed = |error: io::Error| {
        Failure::input("cannot read the job from standard input").caused_by(Some(&error))
    };
    let base = std::env::current_dir().map_err(failed)?;
    let mut text = String::new();
    io::stdin()
        .take(TEXT_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(Document::parse(text, "<stdin>", base))
}

/// What is read, and what was found in it.
pub(crate) type Verdict = (Document, Result<Checked, Vec<Diagnostic>>);

/// What a job is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It has to run.
    Run,
    /// It is only drawn.
    Draw,
}

/// Reads a job file and checks the whole job, which is to run.
pub(crate) async fn check_file(file: PathBuf, grants: String) -> Result<Verdict, Failure> {
    verdict(file, grants, Purpose::Run).await
}

/// As [`check_file`], but the job may have parts that cannot run yet, and output that is there already.
pub(crate) async fn draw_file(file: PathBuf, grants: String) -> Result<Verdict, Failure> {
    verdict(file, grants, Purpose::Draw).await
}

async fn verdict(file: PathBuf, grants: String, purpose: Purpose) -> Result<Verdict, Failure> {
    // Reading may wait for standard input, and compiling takes its time.
    let checking = tokio::task::spawn_blocking(move || {
        let document = read(&file)?;
        check(&document, &grants, purpose).map(|checked| (document, checked))
    });
    checking
        .await
        .map_err(|error| Failure::engine("checking the job broke").caused_by(Some(&error)))?
}

/// Checks the whole job. All problems, or the job with its plugins.
///
/// Compiles every plugin that it needs: tens of milliseconds each, less when it was compiled before. Blocks its thread; a job with a
/// dataflow wants a runtime around it.
fn check(
    document: &Document,
    grants: &str,
    purpose: Purpose,
) -> Result<Result<Checked, Vec<Diagnostic>>, Failure> {
    let host = PluginHost::new(folders::compiled_plugins())
        .map_err(|error| Failure::from_engine(&error))?;
    let checked = document.check();
    let Some(draft) = checked.draft().cloned() else {
        return Ok(Err(checked.diagnostics));
    };
    let mut found = draft.check_files();
    found.extend(missing_interpreters(&draft));
    let plugins = find_plugins(document, &draft, &mut found);
    ask_plugins(&host, &draft, &plugins, grants, &mut found)?;
    let earlier = match purpose {
        Purpose::Run => EarlierOutput::Refused,
        Purpose::Draw => EarlierOutput::Left,
    };
    let mistaken = checked.mistaken();
    let mut problems = checked.diagnostics;
    problems.extend(found.into_iter().map(|problem| document.locate(problem)));
    let mut plan = None;
    if let Some(mistaken) = mistaken {
        let (planned, mut found) = dataflow::plan(document, &draft, mistaken, earlier);
        plan = planned;
        if has_error(&problems) {
            // What is mistaken may be what reads it.
            found.retain(|problem| problem.code != UNUSED);
        }
        problems.extend(found);
    }
    in_order(&mut problems, document);
    // The job file and a plugin may see the same mistake.
    problems.dedup_by(|one, other| one.key == other.key && one.message == other.message);
    let refused = has_error(&problems);
    Ok(if refused {
        Err(problems)
    } else {
        Ok(Checked {
            job: plan.as_ref().map_or(draft, |plan| plan.job().clone()),
            dataflow: plan,
            plugins,
            warnings: problems,
        })
    })
}

/// As they stand in the job file; those in another file where the job file names it.
fn in_order(problems: &mut [Diagnostic], document: &Document) {
    problems.sort_by_cached_key(|problem| {
        let place = problem.location.as_ref()?;
        let in_job = if place.file == document.file() {
            place.span.start
        } else {
            let named = document.locate(problem.clone()).location?;
            named.span.start
        };
        Some((in_job, place.span.start))
    });
}

/// Only a warning: each agent looks for itself, and this machine may run none of these nodes.
fn missing_interpreters(job: &Job) -> Vec<Diagnostic> {
    let runs_script = |role: &&Role| matches!(role.program, Program::Script(_));
    let missing = |role: &Role| {
        let error = check_interpreter(role.interpreter.as_deref(), &job.base).err()?;
        let key = format!("roles.{}.python", role.name);
        let problem = Diagnostic::warning(
            code::NO_INTERPRETER,
            key,
            format!("on this machine: {error}"),
        );
        Some(problem.with_hint(error.hint()))
    };
    job.roles
        .iter()
        .filter(runs_script)
        .filter_map(missing)
        .collect()
}

fn find_plugins(
    document: &Document,
    job: &Job,
    problems: &mut Vec<Diagnostic>,
) -> Vec<PluginSource> {
    let finder = Finder::new(document.base());
    let mut sources = Vec::new();
    for name in required_plugins(job) {
        match finder.find(&name) {
            Ok(found) => sources.push(found.source),
            Err(error) => {
                let problem =
                    Diagnostic::error(code::MISSING, key_of(job, &name), sentence(&error));
                problems.push(hinted(problem, error.hint()));
            }
        }
    }
    sources
}

/// Loads the plugins and lets the node runners look at their roles. One that does not load is left out, with its roles,
/// so that the others have their say too.
fn ask_plugins(
    host: &PluginHost,
    job: &Job,
    plugins: &[PluginSource],
    grants: &str,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Failure> {
    let mut job = job.clone();
    let plugins = &with_stand_in(plugins);
    for name in required_plugins(&job) {
        if !plugins.iter().any(|plugin| plugin.name == name) {
            leave_out(&mut job, &name);
        }
    }
    loop {
        match PluginSet::load(host, &job, plugins, grants) {
            Ok(set) => {
                problems.extend(prepare_all(&job, &set));
                return Ok(());
            }
            Err(error) => {
                let Some(name) = plugin_of(&error).map(str::to_owned) else {
                    return Err(Failure::from_input(&error));
                };
                let problem =
                    Diagnostic::error(code::UNUSABLE, key_of(&job, &name), sentence(&error));
                problems.push(hinted(problem, error.hint()));
                if !leave_out(&mut job, &name) {
                    return Ok(());
                }
            }
        }
    }
}

/// The standard machine stands in for a state machine that is left out.
fn with_stand_in(plugins: &[PluginSource]) -> Vec<PluginSource> {
    let mut plugins = plugins.to_vec();
    if !plugins.iter().any(|plugin| plugin.name == STANDARD_MACHINE) {
        plugins.extend(
            Finder::new(Path::new("/"))
                .find(STANDARD_MACHINE)
                .map(|found| found.source),
        );
    }
    plugins
}

/// Takes everything that needs a plugin out of the job; false if nothing did.
fn leave_out(job: &mut Job, plugin: &str) -> bool {
    let roles = job.roles.len();
    job.roles.retain(|role| role.plugin != plugin);
    let decides = job.manager.plugin.as_deref() == Some(plugin);
    if decides {
        job.manager.plugin = None;
    }
    decides || job.roles.len() < roles
}

fn plugin_of(error: &PluginSetError) -> Option<&str> {
    match error {
        PluginSetError::Absent(name)
        | PluginSetError::Manifest { name, .. }
        | PluginSetError::Load { name, .. }
        | PluginSetError::Part { name, .. } => Some(name),
        PluginSetError::Grants(_) => None,
    }
}

fn prepare_all(job: &Job, set: &PluginSet) -> Vec<Diagnostic> {
    match prepare(job, set) {
        Ok(prepared) => prepared.warnings.into_iter().map(diagnostic).collect(),
        Err(PrepareError { problems, failures }) => {
            let failed = |(name, error): (String, CallError)| {
                let problem = Diagnostic::error(code::FAILED, key_of(job, &name), sentence(&error));
                hinted(problem, error.hint().map(str::to_owned))
            };
            let problems = problems.into_iter().map(diagnostic);
            problems.chain(failures.into_iter().map(failed)).collect()
        }
    }
}

/// What a command exits with that found these problems: a plugin that fails is not the user's mistake.
pub(crate) fn exit_of(problems: &[Diagnostic]) -> Exit {
    if problems.iter().any(|problem| problem.code == code::FAILED) {
        Exit::EngineFailed
    } else if has_error(problems) {
        Exit::JobFailed
    } else {
        Exit::Done
    }
}

fn diagnostic(problem: Problem) -> Diagnostic {
    let diagnostic = match problem.severity {
        Severity::Error => Diagnostic::error(code::REFUSED, problem.key, problem.message),
        Severity::Warning => Diagnostic::warning(code::REFUSED, problem.key, problem.message),
    };
    hinted(diagnostic, problem.hint)
}

fn hinted(problem: Diagnostic, hint: Option<String>) -> Diagnostic {
    match hint {
        Some(hint) => problem.with_hint(hint),
        None => problem,
    }
}

/// The key that brings this plugin into the job.
fn key_of(job: &Job, plugin: &str) -> String {
    if machine_name(job) == plugin {
        return "am.plugin".into();
    }
    if job.framework.as_deref() == Some(plugin) {
        return "framework".into();
    }
    let role = job.roles.iter().find(|role| role.plugin == plugin);
    role.map_or(String::new(), |role| format!("roles.{}.plugin", role.name))
}

fn sentence(error: &dyn std::error::Error) -> String {
    chain(Some(error)).join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(job: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let document = Document::parse(job, "job.toml", folder.path());
        let problems = match check(&document, "", Purpose::Run).unwrap() {
            Ok(checked) => checked.warnings,
            Err(problems) => problems,
        };
        let place = |problem: &Diagnostic| problem.line().zip(problem.column()).unwrap();
        problems
            .iter()
            .map(|problem| format!("{:?} {}", place(problem), problem.code))
            .collect()
    }

    #[test]
    fn problems_of_the_file_of_the_disk_and_of_plugins_come_together_in_the_order_of_the_file() {
        let job = "name = \"job\"\n[am]\nplugin = \"absent\"\n[roles.a]\nscript = \"no.py\"\n[roles.b]\nnods = 1\n\
                   command = [\"true\"]\nplugin = \"./b.wasm\"\n";
        insta::assert_debug_snapshot!(problems(job), @r#"
        [
            "(3, 10) plugin/missing",
            "(5, 10) job/missing-file",
            "(7, 1) job/unknown-key",
            "(9, 10) plugin/missing",
        ]
        "#);
    }

    #[test]
    fn a_framework_that_no_role_uses_is_not_looked_for() {
        let job = "name = \"job\"\nframework = \"absent\"\n[roles.a]\ncommand = [\"true\"]\nplugin = \"command\"\n";
        assert!(problems(job).is_empty());
    }

    #[test]
    fn a_good_job_has_no_problems() {
        assert!(problems("name = \"job\"\n[roles.a]\ncommand = [\"true\"]\n").is_empty());
    }
}
