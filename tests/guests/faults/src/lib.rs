//! A plugin with every fault that a limit or a check of the host has to catch. The property `fault` of the job chooses one,
//! `size` says how much of it; without `fault` it behaves. With the property `when` it goes wrong only once the signal of
//! that name has come, and lets nodes run in turn until then.

#[path = "../../in-turn/src/turns.rs"]
mod turns;

use std::hint::black_box;

use forebay_plugin_sdk::{
    Action, Decision, Event, FinishRule, JobSpec, JobView, LaunchPlan, LaunchRequest, Moment,
    NodeId, NodeRunner, Plugin, PluginError, Preparation, Program, Properties, RolePolicy,
    StateMachine, log,
};

struct Faults;

impl Plugin for Faults {
    const ID: &'static str = "faults";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_FORMAT: &'static str = "faults-1";
}

impl StateMachine for Faults {
    fn decide(
        job: &JobSpec,
        _: &Moment,
        view: &JobView,
        _: &[u8],
        events: &[Event],
    ) -> Result<Decision, PluginError> {
        if is_well(job, events) {
            let (phase, actions) = turns::decide(job, view, events);
            return Ok(Decision {
                state: b"turning".to_vec(),
                phase: phase.to_owned(),
                note: None,
                actions,
            });
        }
        let mut decision = Decision {
            state: Vec::new(),
            phase: "waiting".to_owned(),
            note: None,
            actions: Vec::new(),
        };
        let size = size(job);
        match fault(job) {
            "state" => decision.state = vec![0; size],
            "actions" => decision.actions = vec![Action::CancelTimer("t".to_owned()); size],
            "invalid-action" => {
                decision.actions = vec![Action::Start(vec![NodeId::new("nobody", 0)])];
            }
            "start-without-place" => {
                let node = NodeId::new(&job.roles[0].name, 0);
                decision.actions = vec![
                    Action::Release(vec![node.clone()]),
                    Action::Start(vec![node]),
                ];
            }
            "note" => decision.note = Some("x".repeat(size)),
            fault => go_wrong(fault, size)?,
        }
        Ok(decision)
    }
}

impl NodeRunner for Faults {
    fn prepare(job: &JobSpec) -> Preparation {
        let policies = job
            .roles
            .iter()
            .map(|role| RolePolicy::new(&role.name, FinishRule::All))
            .collect();
        Preparation {
            policies,
            implied: Vec::new(),
            hold_at_barrier: false,
            problems: Vec::new(),
        }
    }

    fn plan(
        job: &JobSpec,
        _: &forebay_plugin_sdk::ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        go_wrong(fault(job), size(job))?;
        let plan = |request: &LaunchRequest| LaunchPlan::new(&request.node, Program::RoleCommand);
        Ok(requests.iter().map(plan).collect())
    }
}

/// It is told when to go wrong, and that has not happened.
fn is_well(job: &JobSpec, events: &[Event]) -> bool {
    let properties = Properties::of_job(job);
    let Some(when) = properties.text("when") else {
        return false;
    };
    let is_it = |event: &Event| matches!(event, Event::Custom(signal) if signal.name == when);
    !events.iter().any(is_it)
}

fn fault(job: &JobSpec) -> &str {
    Properties::of_job(job).text("fault").unwrap_or_default()
}

fn size(job: &JobSpec) -> usize {
    let text = Properties::of_job(job).text("size").unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn go_wrong(fault: &str, size: usize) -> Result<(), PluginError> {
    match fault {
        "loop" => loop {
            black_box(());
        },
        "spin" => (0..size).for_each(|turn| {
            black_box(turn);
        }),
        "memory" => drop(black_box(vec![1_u8; size])),
        "recursion" => drop(black_box(depth(size))),
        "panic" => panic!("the mill has no water"),
        "log" => (0..size).for_each(|line| log::info(&format!("line {line} of the flood"))),
        "log-at-once" => log::info(&"x".repeat(size)),
        "refusal" => {
            return Err(PluginError::new("no-water", "the mill has no water").hint("wait for rain"));
        }
        _ => {}
    }
    Ok(())
}

/// Recursion that the compiler cannot make a loop of.
fn depth(left: usize) -> usize {
    let frame = black_box([left; 8]);
    if left == 0 {
        0
    } else {
        depth(left - 1) + black_box(frame)[7].min(1)
    }
}

forebay_plugin_sdk::export!(Faults: state_machine, node_runner);
