//! The chain of policies, in the order in which they are heard.
//!
//! Not pure: runs guests and reads their files. Every method may be called from any thread.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_core::view::{Attributes, Interface, Node, ServiceView};
use weir_core::wish::Wish;

use crate::guest::Failed;
use crate::memory::Reply;
use crate::slot::{Heard, Slot, lock};
use crate::stats::LoadProblem;
use crate::{
    Answers, Digest, Failure, FailureKind, Limits, PolicyName, PolicyStats, RevisionKey, Sandbox,
    Wants,
};

/// A policy as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Its name in logs, metrics and status.
    pub name: PolicyName,
    /// The component.
    pub file: PathBuf,
    /// What `configure` is given.
    pub config: Attributes,
}

impl PolicySpec {
    /// A policy without configuration, named after its file.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        let stem = file.file_stem().map(|stem| stem.to_string_lossy());
        let name = crate::text::clip(stem.as_deref().unwrap_or("policy"), 64).into();
        Self { name, file, config: Attributes::new() }
    }
}

/// What looking at the policies' files again brought, for status and Events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new version runs.
    Loaded {
        /// The policy.
        policy: PolicyName,
        /// The component.
        digest: Digest,
    },
    /// The file can't be used.
    Refused {
        /// The policy.
        policy: PolicyName,
        /// Why.
        problem: LoadProblem,
        /// Whether an older version goes on running; else the policy is left out of the chain.
        kept_old: bool,
    },
    /// The file is again the one that runs.
    Restored {
        /// The policy.
        policy: PolicyName,
    },
}

/// The groups of an interface by all policies together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Names of groups.
    pub groups: BTreeSet<String>,
    /// Policies that failed over it.
    pub failures: Vec<Failure>,
}

/// The chain of policies.
pub struct PolicySet {
    sandbox: Arc<Sandbox>,
    chain: Mutex<Arc<[Arc<Slot>]>>,
    node: Mutex<Arc<Node>>,
}

impl PolicySet {
    /// Loads policies. One that can't be loaded is in the changes and otherwise left out of the
    /// chain, until its file is better.
    pub fn load(sandbox: Arc<Sandbox>, specs: Vec<PolicySpec>, node: Node) -> (Self, Vec<Change>) {
        let node = Mutex::new(Arc::new(node));
        let set = Self { sandbox, chain: Mutex::new(Arc::new([])), node };
        let changes = set.update(specs);
        (set, changes)
    }

    /// Takes over a new chain: policies of the same name keep what they remember. Names that come
    /// twice get a number.
    pub fn update(&self, mut specs: Vec<PolicySpec>) -> Vec<Change> {
        number_doubles(&mut specs);
        let (old, node) = (self.chain(), self.node());
        let mut changes = Vec::new();
        let slots = specs.into_iter().map(|spec| {
            let known = old.iter().find(|slot| slot.name == spec.name).map(Arc::clone);
            let slot = known.unwrap_or_else(|| {
                Arc::new(Slot::new(&self.sandbox, spec.clone(), Arc::clone(&node)))
            });
            changes.extend(slot.refresh(&spec, &node));
            slot
        });
        let chain: Arc<[Arc<Slot>]> = slots.collect();
        *lock(&self.chain) = chain;
        self.drop_old_code();
        changes
    }

    /// Looks at every policy's file again. To be called when one may have changed.
    pub fn refresh(&self) -> Vec<Change> {
        let node = self.node();
        let chain = self.chain();
        let changes: Vec<_> =
            chain.iter().filter_map(|slot| slot.refresh(&slot.spec(), &node)).collect();
        self.drop_old_code();
        changes
    }

    /// Takes over a changed node and configures the policies for it. The views of later
    /// decisions have to show the same node.
    pub fn set_node(&self, node: Node) -> Vec<Change> {
        {
            let mut current = lock(&self.node);
            if **current == node {
                return Vec::new();
            }
            *current = Arc::new(node);
        }
        self.refresh()
    }

    /// Takes over other limits. What was answered, or failed, within the old ones is asked for again.
    pub fn set_limits(&self, limits: Limits) {
        self.sandbox.set_limits(limits);
        self.chain().iter().for_each(|slot| slot.limits_changed());
    }

    /// Asks every policy about one service port. `view` is called at most once, and not at all
    /// when every answer is known from before. It is told which of the inputs that change by
    /// themselves some policy wants; no policy sees those that it didn't ask for.
    pub fn decide(&self, key: &RevisionKey, view: impl FnOnce(Wants) -> ServiceView) -> Answers {
        let chain = self.chain();
        let wants = || chain.iter().fold(Wants::default(), |all, slot| all.and(slot.wants()));
        let (built, build) = (OnceCell::new(), std::cell::Cell::new(Some(view)));
        let view = || {
            built.get_or_init(|| {
                build.take().map_or_else(ServiceView::default, |build| build(wants()))
            })
        };
        hear(&chain, key, |slot| slot.ask(key, view))
    }

    /// What is known of a service port without running any policy. Those that would have to run fail as
    /// [`FailureKind::Deferred`], and their last good answers stand in.
    pub fn recall(&self, key: &RevisionKey) -> Answers {
        hear(&self.chain(), key, |slot| slot.ask_later(key))
    }

    /// How long the policies' decisions took so far, all together.
    #[must_use]
    pub fn ran(&self) -> Duration {
        self.chain().iter().map(|slot| slot.ran()).sum()
    }

    /// Asks every policy that classifies for the groups of an interface.
    pub fn classify(&self, interface: &Interface) -> Groups {
        let mut all = Groups::default();
        for slot in self.chain().iter() {
            match slot.classify(interface) {
                Ok(groups) => all.groups.extend(groups),
                Err(Failed { kind, message }) => {
                    let policy = Arc::clone(&slot.name);
                    all.failures.push(Failure { policy, kind, message, stood_in: false });
                }
            }
        }
        all
    }

    /// Forgets what was said about a service port that is gone.
    pub fn forget(&self, service_port: &Arc<str>) {
        for slot in self.chain().iter() {
            lock(&slot.memory).forget(service_port);
        }
    }

    /// The last good answer of each policy for each service port, to be kept over a restart.
    #[must_use]
    pub fn last_good(&self) -> Vec<(PolicyName, Arc<str>, Wish)> {
        let mut all = Vec::new();
        for slot in self.chain().iter() {
            let memory = lock(&slot.memory);
            let known = memory
                .all_last_good()
                .map(|(port, wish)| (Arc::clone(&slot.name), Arc::clone(port), Wish::clone(wish)));
            all.extend(known);
        }
        all
    }

    /// How often a last good answer came, changed or went: the same number, the same answers.
    #[must_use]
    pub fn learned(&self) -> u64 {
        self.chain().iter().map(|slot| lock(&slot.memory).learned()).sum()
    }

    /// Takes over answers of an earlier run; they only ever stand in for a failed policy.
    pub fn restore(&self, known: impl IntoIterator<Item = (PolicyName, Arc<str>, Wish)>) {
        let chain = self.chain();
        for (policy, service_port, wish) in known {
            if let Some(slot) = chain.iter().find(|slot| slot.name == policy) {
                lock(&slot.memory).restore(service_port, wish);
            }
        }
    }

    /// The policies in order, with what they did.
    #[must_use]
    pub fn stats(&self) -> Vec<PolicyStats> {
        self.chain().iter().map(|slot| slot.stats()).collect()
    }

    fn chain(&self) -> Arc<[Arc<Slot>]> {
        Arc::clone(&lock(&self.chain))
    }

    fn node(&self) -> Arc<Node> {
        Arc::clone(&lock(&self.node))
    }

    fn drop_old_code(&self) {
        let digests: Vec<Digest> = self.chain().iter().filter_map(|slot| slot.digest()).collect();
        self.sandbox.keep_only(digests.iter());
    }
}

fn hear(chain: &[Arc<Slot>], key: &RevisionKey, ask: impl Fn(&Slot) -> Heard) -> Answers {
    let mut answers = Answers { from_cache: true, ..Answers::default() };
    for slot in chain {
        let heard = ask(slot);
        answers.from_cache &= heard.from_cache;
        answers.ask_again = answers.ask_again.into_iter().chain(heard.ask_again).min();
        add(&mut answers, slot, key, heard.reply);
    }
    answers
}

fn add(answers: &mut Answers, slot: &Slot, key: &RevisionKey, reply: Reply) {
    let policy = Arc::clone(&slot.name);
    match reply {
        Reply::Wish(wish) => answers.wishes.push((policy.to_string(), Wish::clone(&wish))),
        Reply::Refusal(refusal) => answers.refusals.push((policy.to_string(), refusal)),
        Reply::Failed(Failed { kind, message }) => {
            let last_good = lock(&slot.memory).last_good(&key.service_port);
            let stood_in = last_good.is_some();
            if let Some(wish) = last_good {
                if kind != FailureKind::Deferred {
                    slot.stood_in();
                }
                answers.wishes.push((policy.to_string(), Wish::clone(&wish)));
            }
            answers.failures.push(Failure { policy, kind, message, stood_in });
        }
    }
}

fn number_doubles(specs: &mut [PolicySpec]) {
    let mut taken = BTreeSet::new();
    for spec in specs {
        let mut name = Arc::clone(&spec.name);
        let mut number = 1;
        while !taken.insert(Arc::clone(&name)) {
            number += 1;
            name = format!("{}-{number}", spec.name).into();
        }
        spec.name = name;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut specs = ["/a/lc.wasm", "/b/lc.wasm", "/c/lc-2.wasm", "/d/lc.wasm"]
            .map(PolicySpec::file)
            .to_vec();
        number_doubles(&mut specs);
        let names: Vec<_> = specs.iter().map(|spec| &*spec.name).collect();
        assert_eq!(names, ["lc", "lc-2", "lc-2-2", "lc-3"]);
    }
}
