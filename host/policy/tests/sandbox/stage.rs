//! A chain of policies from files in a folder of the test's own.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use weir_core::view::{Attributes, Endpoint, Namespace, Node, Port, Service, ServiceView};
use weir_policy_host::{
    Answers, Change, Limits, PolicySet, PolicySpec, RevisionKey, Sandbox, SandboxConfig,
};

/// Files and a sandbox.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) sandbox: Arc<Sandbox>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = SandboxConfig { limits, code_dir: Some(dir.path().join("code")) };
        let sandbox = Sandbox::new(config).unwrap();
        assert_eq!(sandbox.warning(), None);
        Self { dir, sandbox }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.dir.path().join(format!("{name}.wasm"));
        fs::write(&file, bytes).unwrap();
        file
    }

    /// A chain of these policies, all of which load.
    pub(crate) fn chain(&self, policies: &[(&str, Vec<u8>)]) -> PolicySet {
        let specs = policies.iter().map(|(name, bytes)| PolicySpec::file(self.write(name, bytes)));
        let (set, changes) =
            PolicySet::load(Arc::clone(&self.sandbox), specs.collect(), Node::default());
        let loaded = changes.iter().all(|change| matches!(change, Change::Loaded { .. }));
        assert!(loaded, "{changes:?}");
        set
    }
}

/// A Service with so many endpoints.
pub(crate) fn view(endpoints: u8) -> ServiceView {
    let text = str::to_owned;
    ServiceView {
        namespace: Namespace { name: text("shop"), ..Namespace::default() },
        service: Service { name: text("cart"), kind: text("ClusterIP"), ..Service::default() },
        port: Port { name: text("http"), protocol: text("TCP"), number: 80, ..Port::default() },
        endpoints: (1..=endpoints).map(|n| Endpoint::ready([10, 0, 0, n].into(), 8080)).collect(),
        attributes: Attributes::new(),
        ..ServiceView::default()
    }
}

/// Asks about revision `service` of the one service port.
pub(crate) fn ask(set: &PolicySet, service: u64) -> Answers {
    let key = RevisionKey { service, ..RevisionKey::first("shop/cart:http") };
    set.decide(&key, |_| view(2))
}

/// Schedulers by policy.
pub(crate) fn schedulers(answers: &Answers) -> Vec<(&str, Option<&str>)> {
    let wishes = answers.wishes.iter();
    wishes.map(|(policy, wish)| (policy.as_str(), wish.scheduler.as_deref())).collect()
}
