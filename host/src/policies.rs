//! The chain of policies as the reconciler knows it: configuration → sandbox, questions → answers.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_core::compile::PortKey;
use weir_core::net::ObjectName;
use weir_core::view::{Interface, Node};
use weir_policy_host::{
    Answers, Change, Failure, FailureKind, Groups, Limits, PolicySet, PolicySpec, PolicyStats,
    RevisionKey, Sandbox, SandboxConfig, SandboxError,
};

use crate::allowance::{Allowance, Rate};
use crate::config::{Config, PolicyLimits};
use crate::keep::Answer;
use crate::reconcile::{Policies, Question};

/// The chain, with what is told about it only when it changes.
pub struct Chain {
    set: PolicySet,
    policies: Vec<PolicySpec>,
    limits: PolicyLimits,
    said: Said,
}

/// Failures that were told already: each is told once, until the policy answers again.
struct Said {
    failing: BTreeSet<(Arc<str>, &'static str)>,
    lines: Allowance,
}

impl Default for Said {
    fn default() -> Self {
        // One service may fail and another of the same owner answer, at each of his changes.
        let all = Rate { burst: 64, every: Duration::from_secs(1) };
        let each = Rate { burst: 16, every: Duration::from_secs(30) };
        Self { failing: BTreeSet::new(), lines: Allowance::new(each, all, Instant::now()) }
    }
}

impl Chain {
    /// Loads the policies that the configuration names. One that can't be loaded is told in the log
    /// and left out until its file is better.
    ///
    /// # Errors
    /// This machine can't run WebAssembly at all.
    pub fn load(
        config: &Config,
        code_dir: Option<&Path>,
        node: Node,
    ) -> Result<Self, SandboxError> {
        let limits = limits(&config.policy_limits);
        let sandbox =
            Sandbox::new(SandboxConfig { limits, code_dir: code_dir.map(Path::to_owned) })?;
        if let Some(warning) = sandbox.warning() {
            tracing::warn!(reason = warning, "compiled policies are kept in memory only");
        }
        let policies = specs(config);
        let (set, changes) = PolicySet::load(sandbox, policies.clone(), node);
        tell(&changes, &policies);
        let limits = config.policy_limits.clone();
        Ok(Self { set, policies, limits, said: Said::default() })
    }

    /// Takes over the policies and their limits as they are configured now; those of the same name keep what
    /// they know. Says whether anything of this is new.
    pub fn reconfigure(&mut self, config: &Config) -> bool {
        let policies = specs(config);
        if self.policies == policies && self.limits == config.policy_limits {
            return false;
        }
        if self.limits != config.policy_limits {
            self.limits.clone_from(&config.policy_limits);
            self.set.set_limits(limits(&self.limits));
        }
        tell(&self.set.update(policies.clone()), &policies);
        self.policies = policies;
        self.said = Said::default();
        true
    }

    /// Looks at the policies' files again. Says whether any other version runs now.
    pub fn refresh(&mut self) -> bool {
        let changes = self.set.refresh();
        tell(&changes, &self.policies);
        changes.iter().any(|change| matches!(change, Change::Loaded { .. }))
    }

    /// How often a last good answer came, changed or went: the same number, nothing to keep anew.
    #[must_use]
    pub fn learned(&self) -> u64 {
        self.set.learned()
    }

    /// The last good answers for these service ports, to be kept over a restart.
    #[must_use]
    pub fn last_good<'a>(
        &self,
        known: impl Iterator<Item = (&'a ObjectName, PortKey)>,
    ) -> Vec<Answer> {
        let known: BTreeSet<Arc<str>> = known.map(|(name, port)| name_of(name, port)).collect();
        let all = self.set.last_good().into_iter();
        let all = all.filter(|(_, service_port, _)| known.contains(service_port));
        all.map(|(policy, service_port, wish)| {
            let (policy, service_port) = (policy.to_string(), service_port.to_string());
            Answer { policy, service_port, wish }
        })
        .collect()
    }

    /// Takes over the last good answers of an earlier run. They stand in for a policy that fails and
    /// are checked as any answer is.
    pub fn restore(&self, known: Vec<Answer>) {
        self.set.restore(known.into_iter().map(|it| {
            let Answer { policy, service_port, wish } = it;
            (policy.into(), service_port.into(), wish)
        }));
    }

    /// Numbers and state of each policy, in the chain's order.
    #[must_use]
    pub fn stats(&self) -> Vec<PolicyStats> {
        self.set.stats()
    }
}

impl Policies for Chain {
    fn ask(&mut self, question: &Question<'_>) -> Answers {
        let revisions = question.revisions;
        let key = RevisionKey {
            service_port: name_of(question.service, question.port),
            namespace: revisions.namespace,
            service: revisions.service,
            slices: revisions.slices,
            evaluation: question.evaluation,
        };
        let answers = match question.may_run {
            true => self.set.decide(&key, |wants| (question.view)(wants)),
            false => self.set.recall(&key),
        };
        self.said.note(&answers, &key.service_port);
        answers
    }

    fn ran(&self) -> Duration {
        self.set.ran()
    }

    fn classify(&mut self, interface: &Interface) -> BTreeSet<String> {
        let Groups { groups, failures } = self.set.classify(interface);
        self.said.note_failures(&failures, &format!("interface {}", interface.name));
        groups
    }

    fn see_node(&mut self, node: Node) {
        tell(&self.set.set_node(node), &self.policies);
    }

    fn forget(&mut self, service: &ObjectName, port: PortKey) {
        self.set.forget(&name_of(service, port));
    }
}

impl Said {
    fn note_failures(&mut self, failures: &[Failure], about: &str) {
        let told = failures.iter().filter(|it| it.kind != FailureKind::Deferred);
        for Failure { policy, kind, message, stood_in } in told {
            let failing = (Arc::clone(policy), kind.kind());
            let namespace = about.split('/').next().unwrap_or_default();
            if !self.failing.contains(&failing) && self.lines.take(namespace, Instant::now()) {
                self.failing.insert(failing);
                tracing::error!(
                    %policy, kind = kind.kind(), about, reason = %message, last_good_stands = stood_in,
                    "a policy failed; told once until it answers again"
                );
            }
        }
    }

    fn note(&mut self, answers: &Answers, service_port: &str) {
        self.note_failures(&answers.failures, service_port);
        let answered = answers.wishes.iter().map(|(policy, _)| policy);
        let answered = answered.chain(answers.refusals.iter().map(|(policy, _)| policy));
        let failed = |policy: &str| answers.failures.iter().any(|it| *it.policy == *policy);
        for policy in answered.filter(|policy| !failed(policy)) {
            self.failing.retain(|(failing, _)| **failing != **policy);
        }
    }
}

fn name_of(service: &ObjectName, port: PortKey) -> Arc<str> {
    format!("{service}:{port}").into()
}

fn specs(config: &Config) -> Vec<PolicySpec> {
    let spec = |policy: &crate::config::Policy| PolicySpec {
        name: policy.name.to_string().into(),
        file: policy.file.clone(),
        config: policy
            .config
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    config.policies.iter().map(spec).collect()
}

fn limits(configured: &PolicyLimits) -> Limits {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    Limits {
        fuel: configured.fuel.get(),
        fuel_per_endpoint: configured.fuel_per_endpoint.get(),
        memory_bytes: size(configured.memory.get()),
        hostcall_bytes: size(configured.result_size.get()),
        log_lines: size(configured.log_lines.get()),
        log_bytes: size(configured.log_size.get()),
        ..Limits::default()
    }
}

fn tell(changes: &[Change], specs: &[PolicySpec]) {
    let file = |policy: &str| {
        let spec = specs.iter().find(|spec| *spec.name == *policy);
        spec.map(|spec| spec.file.display().to_string()).unwrap_or_default()
    };
    for change in changes {
        match change {
            Change::Loaded { policy, digest } => tracing::info!(%policy, %digest, "policy loaded"),
            Change::Refused { policy, problem, kept_old } => tracing::error!(
                %policy, file = file(policy), kind = problem.kind, reason = %problem.message, old_version_runs_on = kept_old,
                "policy file can't be used"
            ),
            Change::Restored { policy } => {
                tracing::info!(%policy, "policy file is again the one that runs");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_s_limits_are_the_sandbox_s_where_nothing_is_set() {
        assert_eq!(limits(&PolicyLimits::default()), Limits::default());
    }
}
