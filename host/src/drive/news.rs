//! What comes in is taken in: objects, the node's addresses, policies' files, and a wish to sync.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use weir_core::model::{Change, Touched};
use weir_link::{NodeState, NodeView, Sources};

use crate::base::{base, here};
use crate::kernel::interfaces::{around, interfaces};
use crate::report::metrics::number;
use crate::watch;

use super::{Drive, Machine, Reloads, millis, seconds};

impl<K: Machine, P: Reloads> Drive<K, P> {
    pub(super) fn take_event(&mut self, event: watch::Event) {
        match event {
            watch::Event::Changes(changes) => self.take_changes(changes),
            watch::Event::Synced => {
                tracing::info!("every object was read once");
                self.synced = true;
                let first = self.keep.is_first_start();
                self.all.listed((!first).then(|| millis() / 1000));
                self.set_base();
                self.set_node_ports();
                if self.all.has_work() {
                    self.queued();
                }
            }
            watch::Event::Rescanned => self.rescanned(),
            watch::Event::Report(report) => self.take_report(&report),
        }
    }

    fn take_changes(&mut self, changes: Vec<Change>) {
        let shows_node = changes.iter().any(|c| matches!(c, Change::Node(_) | Change::NodeGone(_)));
        let ranges = changes
            .iter()
            .any(|c| matches!(c, Change::ServiceCidr(_) | Change::ServiceCidrGone(_)));
        self.count_changes(&changes);
        let fold = self.walk.fold(changes.len());
        fold.in_scope(|| self.all.fold(changes, millis() / 1000));
        self.tell_waiting();
        if shows_node {
            self.node_changed();
        } else if ranges {
            self.set_base();
        }
        // What touches nothing waits for nothing: no turn would come and say that it is done.
        if self.all.has_work() {
            self.queued();
        }
    }

    /// Whether they change anything or not, as kube-proxy counts them.
    fn count_changes(&self, changes: &[Change]) {
        let metrics = &self.shared.metrics.proxy;
        for change in changes {
            match change {
                Change::Service(_) | Change::ServiceGone(_) => metrics.service_changes.inc(),
                Change::Slice(_) | Change::SliceGone(_) => metrics.endpoint_changes.inc(),
                _ => continue,
            };
        }
    }

    fn take_report(&mut self, report: &watch::Report) {
        let now = self.now();
        for problem in &report.appeared {
            if self.lines.take(problem.namespace(), now) {
                tracing::warn!(%problem, "an object, or its source, is not as it should be");
            }
            self.problems.insert(problem.to_string(), ());
        }
        for problem in &report.mended {
            if self.lines.take(problem.namespace(), now) {
                tracing::info!(%problem, "mended");
            }
            self.problems.remove(&problem.to_string());
        }
        if let Some(ignored) = &report.ignored {
            self.take_ignored(ignored);
        }
        self.shared.metrics.services.problems.set(number(self.problems.len()));
    }

    /// Kinds that weir has no use for, each told when it is first seen.
    fn take_ignored(&mut self, ignored: &BTreeMap<String, usize>) {
        for (kind, objects) in ignored.iter().filter(|(kind, _)| !self.ignored.contains_key(*kind))
        {
            tracing::info!(kind, objects, "weir has no use for objects of this kind");
        }
        // Those that are gone are told no second time should they come back.
        self.ignored.values_mut().for_each(|objects| *objects = 0);
        self.ignored.extend(ignored.iter().map(|(kind, objects)| (kind.clone(), *objects)));
        let objects = self.ignored.values().sum::<usize>();
        self.shared.metrics.services.ignored.set(number(objects));
    }

    fn node_changed(&mut self) {
        if let Some(node) = self.all.model.node() {
            self.shared.health().node(Some(node));
        } else if self.synced {
            self.shared.health().node(None);
        }
        self.set_base();
        self.take_addresses_again();
    }

    /// What is made of them depends on more than them.
    pub(super) fn take_addresses_again(&mut self) {
        if let Some(state) = self.addresses.take() {
            self.take_addresses(state);
        } else {
            self.set_node_ports();
        }
    }

    /// What the table is like beyond services' elements: follows the configuration and the Node.
    pub(super) fn set_base(&mut self) {
        let base = base(&self.config, &self.all.model);
        self.all.kernel.expect(base.clone());
        self.all.set_base(Some(base));
    }

    pub(super) fn take_addresses(&mut self, state: Box<NodeState>) {
        let own = self.all.model.node().map(|node| node.addresses.clone()).unwrap_or_default();
        let sources = Sources::choose(&state.view, &own, &[]);
        // Before the first dump a node seems to have no address.
        if state.current && self.sources != Some(sources) {
            self.sources = Some(sources);
            self.all.kernel.set_sources(sources);
            tracing::info!(?sources, "node to service: the source address changed");
            self.repoint();
        }
        if state.current {
            self.oriented = true;
            self.take_interfaces(&state.view);
        }
        self.addresses = Some(state);
        self.set_node_ports();
    }

    /// A burst of interfaces is written at once: when the least time between syncs has passed.
    fn take_interfaces(&mut self, view: &NodeView) {
        let changes = self.all.set_interfaces(&interfaces(view));
        self.all.set_here(here(&self.config, &self.all.model, &around(view)));
        if !changes.is_empty() {
            tracing::info!(%changes, "interfaces that may take part in offload changed");
            for bad in self.all.bad_groups() {
                tracing::warn!(%bad, "a policy's answer is set aside");
            }
        }
        if self.all.has_work() {
            self.queued();
        }
    }

    /// Policies that changed may sort the interfaces in another way.
    fn sort_interfaces_again(&mut self) {
        self.all.forget_groups();
        if let Some(state) = self.addresses.take() {
            self.take_addresses(state);
        }
    }

    /// What a look found may say an old source, and what was refused once is tried again.
    pub(super) fn repoint(&mut self) {
        let (written, errors) = self.all.kernel.repoint();
        if written > 0 {
            tracing::info!(routes = written, "routes were pointed to the source address");
        }
        if let Some(error) = errors.first() {
            let routes = errors.len();
            tracing::warn!(routes, error, "routes keep an old source address for now");
        }
    }

    pub(super) fn refresh_policies(&mut self) {
        if self.all.policies.refresh() {
            self.heavy = true;
            self.all.touch(Touched::all());
            self.sort_interfaces_again();
            self.queued();
        }
    }

    /// Somebody wants everything looked at now: the configuration and policies' files, then objects, then
    /// the kernel. Before the objects were all read once, the first turn is the answer.
    pub(super) fn take_sync(&mut self, done: Sender<Result<(), String>>) {
        self.refresh_files();
        if !self.synced {
            self.sync_waits.push(done);
            return;
        }
        if self.source.rescan() {
            self.rescans.push_back(done);
            return;
        }
        let kernel = self.look().map_or_else(|error| format!("; {error}"), |()| String::new());
        // Whoever asked may have gone.
        let _ = done.send(Err(format!(
            "the source of services ended: what it told last stays in force until weir is started \
             again{kernel}"
        )));
    }

    /// The sources were looked at for the one who has waited longest.
    fn rescanned(&mut self) {
        let Some(done) = self.rescans.pop_front() else { return };
        // What waits for a later try would make a lie of "synced".
        self.all.retry_now();
        match self.look() {
            Ok(()) => self.sync_waits.push(done),
            // Whoever asked may have gone.
            Err(error) => drop(done.send(Err(format!("can't look at the kernel: {error}")))),
        }
    }

    pub(super) fn queued(&mut self) {
        let now = millis();
        // What is still being read for the first time isn't late.
        if self.synced {
            self.shared.health().queued(now);
        }
        self.shared.metrics.proxy.queued_last.set(seconds(now));
    }
}
