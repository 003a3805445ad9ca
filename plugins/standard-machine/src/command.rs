//! The node runner `command`: any program. It is ready when it runs, and all nodes must finish.

use forebay_plugin_sdk::{
    ClusterSpec, FinishRule, JobSpec, LaunchPlan, LaunchRequest, NodeRunner, PluginError,
    Preparation, Problems, Program, RolePolicy,
};

use crate::Standard;
use crate::limits::Limits;

impl NodeRunner for Standard {
    fn prepare(job: &JobSpec) -> Preparation {
        let mut problems = Problems::default();
        Limits::read(job, &mut problems);
        for role in &job.roles {
            problems.require_program(role);
        }
        let policies = job
            .roles
            .iter()
            .map(|role| RolePolicy::new(&role.name, FinishRule::All))
            .collect();
        Preparation {
            policies,
            problems: problems.into(),
            ..Preparation::default()
        }
    }

    fn plan(
        _job: &JobSpec,
        _cluster: &ClusterSpec,
        requests: &[LaunchRequest],
    ) -> Result<Vec<LaunchPlan>, PluginError> {
        Ok(requests
            .iter()
            .map(|request| LaunchPlan::new(&request.node, Program::RoleCommand))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use forebay_plugin_sdk::{Guarantee, RoleSpec};

    use super::*;

    #[test]
    fn every_role_has_to_finish_and_a_bad_limit_is_reported() {
        let job = JobSpec {
            name: "abc".into(),
            guarantee: Guarantee::None,
            roles: vec![
                RoleSpec {
                    has_program: true,
                    ..RoleSpec::new("a", 1)
                },
                RoleSpec::new("b", 2),
            ],
            properties: vec![("place-within-ms".into(), "soon".into())],
        };
        let preparation = Standard::prepare(&job);
        let rules: Vec<_> = preparation
            .policies
            .iter()
            .map(|policy| (policy.role.as_str(), policy.finish))
            .collect();
        assert_eq!(rules, [("a", FinishRule::All), ("b", FinishRule::All)]);
        let keys: Vec<_> = preparation
            .problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, ["properties.place-within-ms", "roles.b"]);
    }
}
