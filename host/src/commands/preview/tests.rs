use std::str::FromStr as _;

use weir_core::drain::Saved;
use weir_core::kernel::Server;
use weir_core::state::VirtualKey;

use super::*;
use crate::config::Paths;

fn manifests(endpoints: &[&str]) -> String {
    let one = |address: &&str| format!("  - addresses: [{address}]\n");
    let endpoints: String = endpoints.iter().map(one).collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\n\
         spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\n\
         addressType: IPv4\nports: [{{name: '', port: 8080}}]\nendpoints:\n{endpoints}"
    )
}

/// What a plan against `kernel` says.
fn planned(config: &Config, kernel: FakeKernel) -> Vec<String> {
    let mut all = reconciler(config, kernel, assumed(), Kept::ByTheDaemon).unwrap();
    let plan = all.turn(millis()).unwrap().plan;
    plan.operations().iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan_drains_as_the_daemon_would() {
    let dir = tempfile::tempdir().unwrap();
    let write = |endpoints: &[&str]| {
        std::fs::write(dir.path().join("web.yaml"), manifests(endpoints)).unwrap();
    };
    write(&["10.1.0.1", "10.1.0.2"]);
    let config = Config {
        manifests: Some(dir.path().to_owned()),
        node_name: Some(crate::config::NodeName::from_str("node-1").unwrap()),
        paths: Paths { run_dir: dir.path().join("run"), ..Paths::default() },
        dataplane: crate::config::Dataplane::Ipvs,
        ..Config::default()
    };
    let mut before = reconciler(&config, FakeKernel::default(), assumed(), Kept::Nothing).unwrap();
    before.turn(0).unwrap();
    let mut kernel = before.kernel;
    write(&["10.1.0.1"]);
    let first = planned(&config, kernel.clone());
    assert_eq!(first, ["set destination tcp 10.96.0.1:80 -> 10.1.0.2:8080 weight 0"]);

    let (key, it): (&VirtualKey, _) = kernel.state.virtuals.iter_mut().next().unwrap();
    let ending: Server = (*key, "10.1.0.2:8080".parse().unwrap());
    let it = std::sync::Arc::make_mut(it);
    *it.destinations.get_mut(&ending.1).unwrap() = weir_core::state::Weight(0);
    let saved = vec![Saved { key: ending.0, to: ending.1, since: millis() }];
    std::fs::create_dir(dir.path().join("run")).unwrap();
    let text = serde_json::to_vec(&saved).unwrap();
    std::fs::write(dir.path().join("run/drains.json"), text).unwrap();
    assert_eq!(planned(&config, kernel), Vec::<String>::new(), "it drains already");
}
