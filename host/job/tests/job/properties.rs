//! Arbitrary text never panics; every job that a builder accepts comes back from its own text.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay_job::{
    AmBuilder, Dealing, Document, JobBuilder, JobLimits, RoleBuilder, RoleLimits, Tensor,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::dataflow_properties::{GIVERS, with_dataflow};
use crate::round_trip::EVERYTHING;
use crate::valid;

/// Checks a text and looks at each place that it reports.
fn check(text: &str) {
    let document = Document::parse(text, "job.toml", "/jobs");
    let checked = document.check();
    for problem in &checked.diagnostics {
        let location = problem
            .location
            .as_ref()
            .expect("every problem has a place");
        assert!(
            document.text().get(location.span.clone()).is_some(),
            "{problem}"
        );
        assert!(location.line >= 1 && location.column >= 1, "{problem}");
    }
    if let Ok((job, _)) = checked.into_job() {
        assert_eq!(valid(&job.to_toml()), job);
    }
}

fn text() -> impl Strategy<Value = String> {
    "[^\0]{0,12}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}[a-z0-9]".prop_filter("reserved", |name| name != "am")
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1..10_000_u64).prop_map(Duration::from_millis),
        (1..1000_u64).prop_map(Duration::from_secs)
    ]
}

fn role_limits() -> impl Strategy<Value = RoleLimits> {
    (duration(), duration(), duration(), any::<u32>()).prop_map(|(first, second, third, bytes)| {
        RoleLimits {
            start_within: first,
            respond_within: second,
            stall_kill: second,
            stop_grace: third,
            log_bytes: u64::from(bytes),
            ..RoleLimits::default()
        }
    })
}

prop_compose! {
    fn program()(
        words in vec(text(), 0..4),
        script in option::of("[a-z\\[\\] *]{1,6}/[a-z]{1,5}[.]py"),
        first in "[a-z]{1,8}",
    ) -> (Option<String>, Vec<String>) {
        (script, [first].into_iter().chain(words).collect())
    }
}

fn dealing() -> impl Strategy<Value = Dealing> {
    let rows = || 1..=1_048_576_u32;
    let columns = btree_set(column(), 1..4).prop_map(|columns| columns.into_iter().collect());
    prop_oneof![
        (rows(), option::of(column())).prop_map(|(rows, pad)| Dealing::Rounds { rows, pad }),
        (columns, rows()).prop_map(|(columns, rows)| Dealing::Key { columns, rows }),
        rows().prop_map(|rows| Dealing::Credit { rows }),
    ]
}

/// What names a column or a tensor.
fn column() -> impl Strategy<Value = String> {
    "[^\0]{0,8}[a-zü'\"]"
}

fn tensors() -> impl Strategy<Value = Vec<(String, Tensor)>> {
    let tensor = prop_oneof![
        vec(column(), 1..4).prop_map(Tensor::Matrix),
        column().prop_map(Tensor::Column),
    ];
    btree_map(column(), tensor, 1..4).prop_map(|tensors| tensors.into_iter().rev().collect())
}

prop_compose! {
    fn feeding()(
        dealing in option::of(dealing()),
        passes in option::of(1..=100_000_u32),
        tensors in option::of(tensors()),
        output in option::of(btree_map(column(), column(), 1..4)),
        rings in option::of((16_384..=(4_u64 << 30), 16_384..=(4_u64 << 30))),
    ) -> Fed {
        Fed { dealing, passes, tensors, output, rings }
    }
}

/// How a role is fed, where it says so.
#[derive(Clone, Debug)]
struct Fed {
    dealing: Option<Dealing>,
    passes: Option<u32>,
    tensors: Option<Vec<(String, Tensor)>>,
    output: Option<BTreeMap<String, String>>,
    rings: Option<(u64, u64)>,
}

fn with_feeding(role: RoleBuilder, fed: Fed) -> RoleBuilder {
    let role = fed.dealing.into_iter().fold(role, RoleBuilder::dealing);
    let role = fed.tensors.into_iter().fold(role, RoleBuilder::tensors);
    // With an output there is one pass.
    let role = match (fed.output, fed.passes) {
        (Some(output), _) => role.output(output),
        (None, Some(passes)) => role.passes(passes),
        (None, None) => role,
    };
    let rings = fed.rings.into_iter();
    rings.fold(role, |role, (input, output)| {
        role.input_ring(input).output_ring(output)
    })
}

prop_compose! {
    fn role(first_letter: char)(
        name in name(),
        nodes in 1..100_u32,
        more in 0..3_u32,
        plugin in option::of(name()),
        (script, words) in program(),
        python in option::of("[a-z/]{1,8}"),
        properties in btree_map(text(), text(), 0..3),
        environment in btree_map("[A-EG-Z_][A-Z0-9_]{0,6}", text(), 0..3),
        memory in option::of(any::<u32>()),
        files in option::of(vec("[a-z*?]{1,3}[.]csv".prop_filter("not a pattern", |text| !text.contains("**")), 0..3)),
        fed in option::of((select(&GIVERS[..]), feeding())),
        limits in role_limits(),
    ) -> RoleBuilder {
        let mut role = RoleBuilder::new(&format!("{first_letter}{name}")).nodes(nodes).nodes_between(nodes, nodes + more).limits(&limits);
        role = match script {
            Some(script) => role.script(&script).arguments(words),
            None => role.command(words),
        };
        role = plugin.iter().fold(role, |role, plugin| role.plugin(plugin));
        role = python.iter().fold(role, |role, python| role.python(python));
        role = memory.into_iter().fold(role, |role, bytes| role.memory_bytes(u64::from(bytes)));
        role = files.into_iter().fold(role, RoleBuilder::files);
        role = properties.iter().fold(role, |role, (name, text)| role.property(name, text));
        role = fed.into_iter().fold(role, |role, (input, feeding)| with_feeding(role.input(input), feeding));
        environment.iter().fold(role, |role, (name, text)| role.environment(name, text))
    }
}

prop_compose! {
    fn job()(
        name in name(),
        framework in option::of(name()),
        machine in option::of("[a-z]{1,4}/[a-z]{1,4}"),
        properties in btree_map(text(), text(), 0..3),
        place_within in duration(),
        roles in vec![role('a'), role('b'), role('c')],
    ) -> JobBuilder {
        let mut job = JobBuilder::new(&name).base("/jobs");
        job = job.limits(&JobLimits { place_within, ..JobLimits::default() });
        job = framework.iter().fold(job, |job, framework| job.framework(framework));
        job = machine.iter().fold(job, |job, plugin| job.add_am_role(AmBuilder::new().plugin(plugin)));
        job = properties.iter().fold(job, |job, (name, text)| job.property(name, text));
        roles.into_iter().fold(job, JobBuilder::add_role)
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn a_damaged_job_file_never_panics(
        start in 0..EVERYTHING.len(),
        length in 0..40_usize,
        patch in "[\\[\\]{}=\"'.,#\n a-z0-9ü]{0,8}",
    ) {
        let end = (start + length).min(EVERYTHING.len());
        let mut text = EVERYTHING.to_owned();
        text.replace_range(start..end, &patch);
        check(&text);
    }

    #[test]
    fn keys_never_panic(key in any::<String>()) {
        Document::parse(EVERYTHING, "job.toml", "/jobs").span_of(&key);
    }

    #[test]
    fn what_is_built_is_what_is_read(builder in job().prop_flat_map(with_dataflow)) {
        let job = builder.build().expect("it is valid");
        prop_assert_eq!(&valid(&builder.to_toml()), &job);
        prop_assert_eq!(valid(&job.to_toml()), job);
    }
}
