//! Every key of the job file is read, and survives `to_toml` and `job.json`.

use std::path::Path;
use std::time::Duration;

use forebay_job::{Guarantee, Program, Resources};

use crate::valid;

/// Uses every key of the schema.
pub(crate) const EVERYTHING: &str = r#"
name = "all-keys"
framework = "ring"
guarantee = "none"

[am]
plugin = "machines/own.wasm"
properties = { restarts = 3 }

[properties]
rounds = 10
ratio = 0.5
fast = true

[limits]
place_within = "2 min"
stop_within = "45 s"
orphan_grace = "1 hour"
quarantine_grace = "2 hours"
agent_lost_after = "20 s"
restarts = 4

[roles.worker]
nodes = 2
nodes_min = 1
nodes_max = 4
plugin = "star"
properties = { backend = "shared" }
script = "src/train.py"
python = "envs/one/bin/python"
arguments = ["--steps", 100]
environment = { THREADS = 2 }
files = ["src/*.py", "data/**/*.csv"]
cores = 2
memory = "4 GiB"
gpus = 1

[roles.worker.limits]
start_within = "5 min"
report_within = "90 s"
respond_within = "20 s"
attach_within = "7 s"
linger_within = "3 s"
stall_kill = "1 min"
stop_grace = "500 ms"
log_bytes = "1 MiB"

[roles.logger]
command = ["sh", "-c", "echo hello"]
"#;

#[test]
fn every_key_is_read() {
    let job = valid(EVERYTHING);
    assert_eq!(job.guarantee, Guarantee::None);
    assert_eq!(job.properties["ratio"], "0.5");
    assert_eq!(job.properties["fast"], "true");
    assert_eq!(job.manager.properties["restarts"], "3");
    assert_eq!(job.limits.orphan_grace, Duration::from_hours(1));
    assert_eq!(job.limits.quarantine_grace, Duration::from_hours(2));
    assert_eq!(job.limits.agent_lost_after, Duration::from_secs(20));
    assert_eq!(job.limits.restarts, 4);
    assert_eq!(job.base, Path::new("/jobs"));

    let worker = job.role("worker").expect("it is there");
    assert_eq!(
        (worker.nodes, worker.nodes_min, worker.nodes_max),
        (2, 1, 4)
    );
    assert_eq!(worker.plugin, "star");
    assert_eq!(worker.program, Program::Script("src/train.py".into()));
    assert_eq!(worker.arguments, ["--steps", "100"]);
    let resources = Resources {
        cores: Some(2),
        memory_bytes: Some(4 << 30),
        gpus: 1,
    };
    assert_eq!(worker.resources, resources);
    assert_eq!(worker.limits.stop_grace, Duration::from_millis(500));
    assert_eq!(worker.limits.log_bytes, 1 << 20);
}

#[test]
fn defaults_follow_from_the_rest() {
    let job = valid(
        "name = \"a\"\nframework = \"ring\"\n[roles.z]\nscript = \"[x]/train.py\"\n[roles.a]\n",
    );
    let names: Vec<_> = job.roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["z", "a"], "the order of the file");
    assert_eq!(job.roles[0].files, ["[[]x[]]/*.py"]);
    assert_eq!(job.roles[0].plugin, "ring");
    assert_eq!((job.roles[0].nodes_min, job.roles[0].nodes_max), (1, 1));
    assert_eq!(job.roles[1].program, Program::Plugin);
    assert!(job.roles[1].files.is_empty());
}

#[test]
fn a_job_survives_toml_and_json() {
    let job = valid(EVERYTHING);
    assert_eq!(valid(&job.to_toml()), job);
    let json = serde_json::to_string(&job).expect("a job is JSON");
    assert_eq!(
        serde_json::from_str::<forebay_job::Job>(&json).expect("and back"),
        job
    );
}
