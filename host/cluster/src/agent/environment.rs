//! The environment of a node, whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use forebay_plugin::NodeId;

use crate::wire::cluster::Start;
use crate::wire::node::Cluster;

/// Variables by name.
pub(super) type Variables = BTreeMap<OsString, OsString>;

/// Forebay's own: tokens and folders of the agent are not for nodes.
const OWN_PREFIX: &[u8] = b"FOREBAY_";
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// What the agent adds to a `Start`.
#[derive(Debug)]
pub(super) struct NodeFacts<'a> {
    pub(super) node: &'a NodeId,
    pub(super) attempt: u32,
    pub(super) job: &'a str,
    pub(super) output: &'a Path,
    pub(super) gpus: &'a [String],
    pub(super) cluster: &'a Cluster,
}

/// The last one wins: the agent's own variables less those that the start does not want, the start's, the host's.
pub(super) fn node_environment(own: &Variables, start: &Start, facts: &NodeFacts<'_>) -> Variables {
    let mut variables = without_own(own);
    for name in &start.unset {
        variables.remove(OsStr::new(name));
    }
    if start.cores > 0 {
        set(&mut variables, "OMP_NUM_THREADS", start.cores.to_string());
    }
    for (name, value) in &start.environment {
        set(&mut variables, name, value);
    }
    add_no_proxy(&mut variables, facts.cluster);
    set(&mut variables, "PYTHONUNBUFFERED", "1");
    set(&mut variables, "CUDA_VISIBLE_DEVICES", facts.gpus.join(","));
    set(&mut variables, "FOREBAY_JOB", facts.job);
    set(&mut variables, "FOREBAY_ROLE", &facts.node.role);
    set(
        &mut variables,
        "FOREBAY_INDEX",
        facts.node.index.to_string(),
    );
    set(&mut variables, "FOREBAY_ATTEMPT", facts.attempt.to_string());
    set(&mut variables, "FOREBAY_OUTPUT", facts.output);
    variables
}

/// The agent's own environment as programs that it starts may see it.
pub(super) fn without_own(own: &Variables) -> Variables {
    let foreign = own
        .iter()
        .filter(|(name, _)| !name.as_encoded_bytes().starts_with(OWN_PREFIX));
    foreign
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn set(variables: &mut Variables, name: &str, value: impl AsRef<OsStr>) {
    variables.insert(name.into(), value.as_ref().to_owned());
}

/// Nodes reach each other without the proxy that the machine may need for the rest of the world.
fn add_no_proxy(variables: &mut Variables, cluster: &Cluster) {
    let mut hosts = BTreeSet::from(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    hosts.extend(
        cluster
            .members
            .iter()
            .map(|member| member.address.clone())
            .filter(|address| !address.is_empty()),
    );
    for name in NO_PROXY {
        let given = variables
            .get(OsStr::new(name))
            .map(|value| value.to_string_lossy().into_owned());
        let listed = given
            .iter()
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|host| !host.is_empty());
        let mut all: Vec<&str> = listed.collect();
        all.extend(
            hosts
                .iter()
                .map(String::as_str)
                .filter(|host| !all.contains(host))
                .collect::<Vec<_>>(),
        );
        let all = all.join(",");
        set(variables, name, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::node::Member;

    fn variables(
        own: &[(&str, &str)],
        given: &[(&str, &str)],
        cores: u32,
        gpus: &[&str],
    ) -> Variables {
        let own = own
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let environment = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let start = Start {
            environment,
            cores,
            ..Start::default()
        };
        let member = Member {
            address: "10.0.0.7".into(),
            ..Member::default()
        };
        let cluster = Cluster {
            members: vec![member],
            ..Cluster::default()
        };
        let gpus: Vec<String> = gpus.iter().map(ToString::to_string).collect();
        let facts = NodeFacts {
            node: &NodeId::new("worker", 1),
            attempt: 2,
            job: "digits",
            output: Path::new("/out"),
            gpus: &gpus,
            cluster: &cluster,
        };
        node_environment(&own, &start, &facts)
    }

    #[track_caller]
    fn check(variables: &Variables, name: &str, wanted: Option<&str>) {
        assert_eq!(
            variables
                .get(OsStr::new(name))
                .and_then(|value| value.to_str()),
            wanted,
            "{name}"
        );
    }

    #[test]
    fn the_host_wins_over_the_start_and_the_start_over_the_agent() {
        let own = [
            ("HOME", "/root"),
            ("MODE", "agent"),
            ("FOREBAY_TOKEN", "secret"),
        ];
        let given = [
            ("MODE", "start"),
            ("FOREBAY_ROLE", "forged"),
            ("CUDA_VISIBLE_DEVICES", "7"),
        ];
        let variables = variables(&own, &given, 0, &[]);
        check(&variables, "HOME", Some("/root"));
        check(&variables, "MODE", Some("start"));
        check(&variables, "FOREBAY_TOKEN", None);
        check(&variables, "FOREBAY_ROLE", Some("worker"));
        check(&variables, "FOREBAY_INDEX", Some("1"));
        check(&variables, "FOREBAY_ATTEMPT", Some("2"));
        check(&variables, "FOREBAY_JOB", Some("digits"));
        check(&variables, "FOREBAY_OUTPUT", Some("/out"));
        check(&variables, "PYTHONUNBUFFERED", Some("1"));
        check(&variables, "CUDA_VISIBLE_DEVICES", Some(""));
        check(&variables, "OMP_NUM_THREADS", None);
    }

    #[test]
    fn the_agent_hides_what_the_start_does_not_want_and_the_start_may_still_set_it() {
        let start = Start {
            unset: vec!["OLD".into(), "MODE".into()],
            environment: [("MODE".to_owned(), "start".to_owned())].into(),
            ..Start::default()
        };
        let own = [("OLD", "left over"), ("MODE", "agent"), ("HOME", "/root")];
        let own = own.map(|(name, value)| (name.into(), value.into()));
        let facts = NodeFacts {
            node: &NodeId::new("worker", 1),
            attempt: 1,
            job: "digits",
            output: Path::new("/out"),
            gpus: &[],
            cluster: &Cluster::default(),
        };
        let variables = node_environment(&Variables::from(own), &start, &facts);
        check(&variables, "OLD", None);
        check(&variables, "MODE", Some("start"));
        check(&variables, "HOME", Some("/root"));
    }

    #[test]
    fn cores_and_gpus_that_are_stated_are_told() {
        let told = variables(&[("OMP_NUM_THREADS", "64")], &[], 2, &["0", "3"]);
        check(&told, "OMP_NUM_THREADS", Some("2"));
        check(&told, "CUDA_VISIBLE_DEVICES", Some("0,3"));
        let own_choice = variables(&[], &[("OMP_NUM_THREADS", "1")], 2, &[]);
        check(&own_choice, "OMP_NUM_THREADS", Some("1"));
    }

    #[test]
    fn members_are_reached_without_a_proxy() {
        let variables = variables(&[("no_proxy", "example.org, localhost")], &[], 0, &[]);
        check(
            &variables,
            "no_proxy",
            Some("example.org,localhost,10.0.0.7,127.0.0.1"),
        );
        check(&variables, "NO_PROXY", Some("10.0.0.7,127.0.0.1,localhost"));
    }
}
