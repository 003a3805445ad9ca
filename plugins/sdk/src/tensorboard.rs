//! TensorBoard beside a training job: an observer that several frameworks offer under the role name [`ROLE`].
//!
//! It shows a folder below the job's output: the property `logdir` of the role, else of the job, else all of it.

use crate::{
    Cluster, ExitReport, FinishRule, Framework, JobSpec, LaunchPlan, LaunchRequest, PluginError,
    PortNeed, Problems, Program, Properties, Readiness, RolePolicy, RoleSpec, Verdict,
    verdict_of_exit,
};

/// Name of the role.
pub const ROLE: &str = "tensorboard";
const PORT: &str = "http";

/// The output folder is known on the node's machine alone, so the path is put together there. The module `notf` makes
/// TensorBoard read the files by itself: importing TensorFlow for that would take eight seconds and 500 MB from the
/// training beside it. The helper process that would read them faster is left out: it would be one more to watch. The
/// list of running servers, which it keeps in the folder of temporary files for notebooks, goes to the node's own.
const START: &str = "import os, sys, tempfile, types; \
    tempfile.tempdir = os.getcwd(); \
    sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf'); \
    from tensorboard.main import run_main; \
    sys.argv[2] = os.path.join(os.environ.get('FOREBAY_OUTPUT', '.'), sys.argv[2]); \
    run_main()";

const TENSORBOARD: Framework = Framework {
    modules: &["tensorboard"],
    install: "pip install tensorboard",
    lost_peer: &[],
};

/// Nobody waits for it; it is ready when its page can be opened.
pub fn policy() -> RolePolicy {
    RolePolicy {
        ready_when: Readiness::Listening(PORT.to_owned()),
        ports: vec![PortNeed::each(PORT)],
        ..RolePolicy::new(ROLE, FinishRule::Observer)
    }
}

/// Reports what is wrong with the role.
pub fn check(role: &RoleSpec, problems: &mut Problems) {
    if role.nodes_max > 1 {
        problems
            .error(
                role.key("nodes"),
                "one node of `tensorboard` shows the whole job",
            )
            .hint("set `nodes = 1`");
    }
    if role.has_input {
        problems
            .error(
                role.key("input"),
                "`tensorboard` reads files and takes no input",
            )
            .hint("remove `input`");
    }
}

/// Runs it with the role's interpreter, on its leased port and the machine's own address.
pub fn plan(
    job: &JobSpec,
    cluster: &Cluster<'_>,
    request: &LaunchRequest,
) -> Result<LaunchPlan, PluginError> {
    let of_role = job
        .role(&request.node.role)
        .and_then(|role| Properties::of_role(role).text("logdir"));
    let logdir = of_role
        .or_else(|| Properties::of_job(job).text("logdir"))
        .unwrap_or_default();
    Ok(LaunchPlan::new(&request.node, Program::Interpreter)
        .argument("-c")
        .argument(START)
        .argument("--logdir")
        .argument(logdir)
        .argument("--host")
        .argument(&cluster.own_machine(request)?.address)
        .argument("--port")
        .argument(cluster.own_port(request, PORT)?.to_string())
        .argument("--load_fast=false"))
}

/// What its exit means.
pub fn verdict(job: &JobSpec, report: &ExitReport) -> Verdict {
    verdict_of_exit(job, report, &TENSORBOARD)
}
