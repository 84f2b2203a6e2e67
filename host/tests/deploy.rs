//! What deploy/ holds: the API's types know every field, names agree, the configurations load, the Role
//! grants what the daemon asks and no more, and the chart makes what the base does.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

#[path = "deploy/chart.rs"]
mod chart;
#[path = "deploy/kustomize.rs"]
mod kustomize;
#[path = "deploy/operations.rs"]
mod operations;
#[path = "deploy/schema.rs"]
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::rbac::v1 as rbac;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir::args::{Cli, Command};
use weir::config::{self, Config, Overrides, parse};
use weir::watch::rights::RIGHTS;

use chart::{patched, refused, render, without_checksum};
use kustomize::{build, id};

const OVERLAYS: [&str; 3] = ["base", "overlays/replace-kube-proxy", "overlays/beside-kube-proxy"];
const MOUNTS: [&str; 3] = ["policies/config-map", "policies/host-path", "policies/image-volume"];

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// Every way in which the daemon is deployed: its name, and its objects.
fn ways() -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for overlay in OVERLAYS {
        all.push((overlay.to_owned(), build(&deploy(overlay), &[])));
        for mount in MOUNTS {
            let objects = build(&deploy(overlay), &[&deploy(mount)]);
            all.push((format!("{overlay} with {mount}"), objects));
        }
    }
    all
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|it| it["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "one {kind}");
    one
}

/// Reads an object as its type, and says which fields that doesn't have, or has and the object lacks.
fn unknown<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string());
    if let Err(error) = serde_ignored::deserialize::<_, _, T>(object, note) {
        unknown.push(error.to_string());
    }
    unknown.extend(schema::missing::<T>(object));
    unknown
}

fn unknown_fields(object: &Value) -> Vec<String> {
    match object["kind"].as_str().unwrap() {
        "Namespace" => unknown::<core::Namespace>(object),
        "ServiceAccount" => unknown::<core::ServiceAccount>(object),
        "ConfigMap" => unknown::<core::ConfigMap>(object),
        "DaemonSet" => unknown::<DaemonSet>(object),
        "Role" => unknown::<rbac::Role>(object),
        "RoleBinding" => unknown::<rbac::RoleBinding>(object),
        "ClusterRole" => unknown::<rbac::ClusterRole>(object),
        "ClusterRoleBinding" => unknown::<rbac::ClusterRoleBinding>(object),
        "ValidatingAdmissionPolicy" => unknown::<admission::ValidatingAdmissionPolicy>(object),
        "ValidatingAdmissionPolicyBinding" => {
            unknown::<admission::ValidatingAdmissionPolicyBinding>(object)
        }
        other => panic!("kind {other}"),
    }
}

#[test]
fn every_field_is_one_of_the_api() {
    let mut all = ways();
    for folder in ["tenants", "cleanup"] {
        all.push((folder.to_owned(), build(&deploy(folder), &[])));
    }
    for (way, objects) in all {
        let names: BTreeSet<String> = objects.iter().map(id).collect();
        assert_eq!(names.len(), objects.len(), "{way}: an object twice");
        for object in objects {
            assert_eq!(unknown_fields(&object), [""; 0], "{way}: {}", id(&object));
            assert_eq!(schema::wrong_values(&object), [""; 0], "{way}: {}", id(&object));
        }
    }
}

#[test]
fn an_unknown_field_is_found() {
    let wrong = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"nme": "x"}});
    assert_eq!(unknown_fields(&wrong), ["metadata.?.nme"]);
}

/// Each of these is a change of a DaemonSet that is good, which an API server refuses.
#[test]
fn what_an_api_server_refuses_is_found() {
    let (_, objects) = ways().remove(0);
    let good = of_kind(&objects, "DaemonSet");
    let pod = "/spec/template/spec";
    let container = format!("{pod}/containers/0");
    let removals = [
        ("/spec".to_owned(), "selector", ".spec.selector is required"),
        (container.clone(), "name", ".spec.template.spec.containers[].name is required"),
        (format!("{pod}/volumes/0"), "name", ".spec.template.spec.volumes[].name is required"),
        (format!("{container}/volumeMounts/0"), "mountPath", ".mountPath is required"),
        (format!("{container}/readinessProbe/httpGet"), "port", ".httpGet.port is required"),
    ];
    for (of, field, want) in removals {
        let mut wrong = good.clone();
        assert!(wrong.pointer_mut(&of).unwrap().as_object_mut().unwrap().remove(field).is_some());
        let found = unknown_fields(&wrong);
        assert!(found.len() == 1 && found[0].ends_with(want), "{of} {field}: {found:?}");
    }
    let changes = [
        (format!("{container}/imagePullPolicy"), "Sometimes"),
        (format!("{container}/resources/requests/memory"), "128MB"),
        (format!("{container}/name"), "Weir"),
        (format!("{pod}/tolerations/0/operator"), "Is"),
        (format!("{pod}/dnsPolicy"), "Node"),
        (format!("{pod}/volumes/1/hostPath/type"), "Folder"),
        (format!("{container}/volumeMounts/0/mountPath"), "etc/weir"),
        ("/spec/updateStrategy/type".to_owned(), "Rolling"),
        ("/metadata/name".to_owned(), "weir_1"),
    ];
    for (field, value) in changes {
        let mut wrong = good.clone();
        *wrong.pointer_mut(&field).expect(&field) = json!(value);
        assert_eq!(schema::wrong_values(&wrong).len(), 1, "{field}: {value}");
    }
}

/// The configuration as the daemon finds it, and what of it isn't honoured.
fn config(way: &str, objects: &[Value]) -> Config {
    let map = of_kind(objects, "ConfigMap");
    let text = map["data"]["config.yaml"].as_str().unwrap();
    // What only the operator knows is an example in a comment.
    drop(parsed(way, &text.replace("# apiServers:", "apiServers:")));
    parsed(way, text)
}

fn parsed(way: &str, text: &str) -> Config {
    let read = parse(Path::new("/etc/weir/config.yaml"), text, &Overrides::default());
    let (config, notices) = read.unwrap_or_else(|errors| panic!("{way}: {errors}"));
    assert_eq!(notices, [], "{way}");
    config
}

#[test]
fn configurations_load_and_probes_ask_where_they_say() {
    for (way, objects) in ways() {
        let config = config(&way, &objects);
        let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/livez")] {
            let get = json!({"path": path, "port": config.health.address.get().port()});
            assert_eq!(container[probe]["httpGet"], get, "{way}: {probe}");
        }
        assert!(
            config.health.address.get().ip().is_unspecified(),
            "{way}: the kubelet asks the pod"
        );
        let beside = way.starts_with("overlays/beside-kube-proxy");
        assert_eq!(config.service_proxy_name.is_some(), beside, "{way}");
        let ports = [&config.health.address, &config.metrics.address].map(|it| it.get().port());
        let of_kube_proxy = [10_256, 10_249];
        assert_eq!(ports.iter().any(|port| of_kube_proxy.contains(port)), !beside, "{way}");
    }
}

#[test]
fn the_charts_probes_ask_where_the_daemon_listens() {
    let cases = [
        ("0.0.0.0:10256", None, 10_256),
        ("[::]:7", None, 7),
        ("127.0.0.1:10300", Some("127.0.0.1"), 10_300),
        ("[::1]:10256", Some("::1"), 10_256),
    ];
    for (address, host, port) in cases {
        let values = json!({"config": {"health": {"address": address}}});
        let objects = render(&deploy("chart"), &[], &values);
        let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
        for probe in ["readinessProbe", "livenessProbe"] {
            let get = &pod["containers"][0][probe]["httpGet"];
            assert_eq!((get["host"].as_str(), &get["port"]), (host, &json!(port)), "{address}");
        }
    }
}

/// The names of a list's elements.
fn names<'a>(list: &'a Value, field: &str) -> BTreeSet<&'a str> {
    list.as_array().into_iter().flatten().map(|it| it[field].as_str().unwrap()).collect()
}

#[test]
fn names_agree() {
    for (way, objects) in ways() {
        let set = of_kind(&objects, "DaemonSet");
        let (spec, pod) = (&set["spec"], &set["spec"]["template"]["spec"]);
        let labels = &spec["template"]["metadata"]["labels"];
        assert_eq!(&spec["selector"]["matchLabels"], labels, "{way}");
        let account = of_kind(&objects, "ServiceAccount");
        let binding = of_kind(&objects, "ClusterRoleBinding");
        let (name, namespace) = (&account["metadata"]["name"], &account["metadata"]["namespace"]);
        assert_eq!(&pod["serviceAccountName"], name, "{way}");
        let subject = json!([{"kind": "ServiceAccount", "name": name, "namespace": namespace}]);
        assert_eq!(binding["subjects"], subject, "{way}");
        assert_eq!(
            binding["roleRef"]["name"],
            of_kind(&objects, "ClusterRole")["metadata"]["name"],
            "{way}"
        );
        assert_eq!(of_kind(&objects, "Namespace")["metadata"]["name"], *namespace, "{way}");
        for object in [set, of_kind(&objects, "ConfigMap")] {
            assert_eq!(object["metadata"]["namespace"], *namespace, "{way}");
        }
        let volumes = names(&pod["volumes"], "name");
        let mut mounted = BTreeSet::new();
        for container in [&pod["initContainers"][0], &pod["containers"][0]] {
            mounted.extend(names(&container["volumeMounts"], "name"));
        }
        assert_eq!(volumes, mounted, "{way}");
    }
}

/// A volume's source and the path of its mount in the daemon's container.
fn mounts(pod: &Value) -> BTreeMap<String, Value> {
    let volume = |name: &Value| {
        let all = pod["volumes"].as_array().unwrap();
        all.iter().find(|it| it["name"] == *name).unwrap().clone()
    };
    let all = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    all.iter()
        .map(|it| (it["mountPath"].as_str().unwrap().to_owned(), volume(&it["name"])))
        .collect()
}

#[test]
fn what_the_daemon_reads_and_writes_is_mounted() {
    for (way, objects) in ways() {
        let config = config(&way, &objects);
        let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
        let mounts = mounts(pod);
        for folder in [&config.paths.run_dir, &config.paths.cache_dir] {
            let folder = folder.to_str().unwrap();
            assert_eq!(mounts[folder]["hostPath"]["path"], folder, "{way}");
        }
        let map = &of_kind(&objects, "ConfigMap")["metadata"]["name"];
        assert_eq!(mounts["/etc/weir"]["configMap"]["name"], *map, "{way}");
        let Command::Run(run) = command(&pod["containers"][0]) else { panic!("{way}") };
        assert_eq!(run.source.config.as_deref(), Some(Path::new("/etc/weir/config.yaml")), "{way}");
        for policy in run.source.policies {
            let folder = policy.file.parent().unwrap().to_str().unwrap();
            assert!(mounts.contains_key(folder), "{way}: {folder}");
        }
        let Command::Init(init) = command(&pod["initContainers"][0]) else { panic!("{way}") };
        assert_eq!(init.config, run.source.config, "{way}");
    }
}

/// What a container's arguments make of the command line.
fn command(container: &Value) -> Command {
    let args = container["args"].as_array().unwrap().iter().map(|it| it.as_str().unwrap());
    Cli::try_parse_from(["weir"].into_iter().chain(args)).unwrap().command
}

#[test]
fn the_daemon_has_one_capability_and_nothing_else() {
    let alone = json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
    });
    for (way, objects) in ways() {
        let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"].as_array().unwrap().len(), 1, "{way}");
        assert_eq!(pod["containers"][0]["securityContext"], alone, "{way}");
        let init = json!({"privileged": true, "readOnlyRootFilesystem": true});
        assert_eq!(pod["initContainers"][0]["securityContext"], init, "{way}");
        assert_eq!(pod["securityContext"], json!({"seccompProfile": {"type": "RuntimeDefault"}}));
        let of_the_node =
            json!([true, "system-node-critical", [{"operator": "Exists"}], "Default"]);
        let got = ["hostNetwork", "priorityClassName", "tolerations", "dnsPolicy"];
        assert_eq!(Value::from_iter(got.map(|it| pod[it].clone())), of_the_node, "{way}");
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let env = [
            field("NODE_NAME", "spec.nodeName"),
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
        ];
        assert_eq!(pod["containers"][0]["env"], json!(env), "{way}");
    }
}

#[test]
fn the_role_grants_what_the_daemon_asks_and_no_more() {
    let objects = build(&deploy("base"), &[]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list =
        |value: &Value| -> Vec<String> { value.as_array().unwrap().iter().map(text).collect() };
    let mut granted = BTreeSet::new();
    for rule in of_kind(&objects, "ClusterRole")["rules"].as_array().unwrap() {
        for (group, resource) in list(&rule["apiGroups"])
            .iter()
            .flat_map(|g| list(&rule["resources"]).into_iter().map(move |r| (g, r)))
        {
            granted.insert((group.clone(), resource, list(&rule["verbs"])));
        }
    }
    let verbs = |verbs: &[&str]| verbs.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let asked = RIGHTS.map(|it| (it.group.to_owned(), it.resource.to_owned(), verbs(it.verbs)));
    assert_eq!(granted, BTreeSet::from(asked));
    assert!(RIGHTS.is_sorted(), "sorted");
}

/// What kustomize makes, in the order of the chart's templates; the chart makes no Namespace, for Helm wants
/// the one that it installs into to be there.
fn sorted(mut objects: Vec<Value>) -> Vec<Value> {
    objects.retain(|it| it["kind"] != "Namespace");
    objects.sort_by_key(id);
    objects
}

/// The configuration as the daemon reads it, in place of its text.
fn with_config_read(way: &str, mut objects: Vec<Value>) -> Vec<Value> {
    let read = config::to_yaml(&config(way, &objects)).unwrap();
    let map = objects.iter_mut().find(|it| it["kind"] == "ConfigMap").unwrap();
    map["data"]["config.yaml"] = json!(read);
    objects
}

#[test]
fn the_chart_makes_what_the_base_and_the_overlays_make() {
    let cases: [(&str, &[&str]); 3] = [
        (OVERLAYS[0], &[]),
        (OVERLAYS[1], &["values-replace-kube-proxy.yaml"]),
        (OVERLAYS[2], &["values-beside-kube-proxy.yaml"]),
    ];
    for (overlay, files) in cases {
        let want = sorted(with_config_read(overlay, build(&deploy(overlay), &[])));
        let got = without_checksum(render(&deploy("chart"), files, &json!({})));
        assert_eq!(sorted(with_config_read("the chart", got)), want, "{overlay}");
    }
}

#[test]
fn the_chart_mounts_policies_as_the_components_do() {
    for mount in MOUNTS {
        let want = build(&deploy("base"), &[&deploy(mount)]);
        let pod = &of_kind(&want, "DaemonSet")["spec"]["template"]["spec"];
        let mut volume = mounts(pod)["/etc/weir-policies"].clone();
        volume.as_object_mut().unwrap().remove("name");
        let values = json!({ "policyVolume": volume });
        let got = without_checksum(render(&deploy("chart"), &[], &values));
        // The component names the policy by a flag, the chart's user in the configuration.
        let args = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "weir", "args": pod["containers"][0]["args"]}
        ]}}}});
        let got = patched(got, "DaemonSet", &args);
        assert_eq!(of_kind(&got, "DaemonSet"), of_kind(&want, "DaemonSet"), "{mount}");
    }
}

#[test]
fn the_chart_heeds_every_value() {
    let values = json!({
        "image": {"repository": "registry.example.org/weir", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "priorityClassName": "other",
        "config": {"health": {"address": "[::]:7"}, "policies": [{"name": "a", "file": "/a.wasm"}]},
        "init": {"warnOnly": true},
    });
    let objects = render(&deploy("chart"), &[], &values);
    let pod = &of_kind(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "registry.example.org/weir:1.2.3");
    assert_eq!(pod["initContainers"][0]["imagePullPolicy"], "Always");
    assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
    assert_eq!(pod["priorityClassName"], "other");
    assert_eq!(pod["containers"][0]["livenessProbe"]["httpGet"]["port"], 7);
    let Command::Init(init) = command(&pod["initContainers"][0]) else { panic!("init") };
    assert!(init.warn_only);
    assert_eq!(config("values", &objects).policies[0].file, Path::new("/a.wasm"));
    for object in &objects {
        assert_eq!(unknown_fields(object), [""; 0], "{}", id(object));
    }
}

#[test]
fn the_version_is_this_one() {
    let version = env!("CARGO_PKG_VERSION");
    let about = std::fs::read_to_string(deploy("chart/Chart.yaml")).unwrap();
    for field in ["version", "appVersion"] {
        assert!(about.contains(&format!("\n{field}: {version}\n")), "{field}");
    }
    for folder in ["base", "cleanup"] {
        let text = std::fs::read_to_string(deploy(folder).join("kustomization.yaml")).unwrap();
        assert!(text.contains(&format!("newTag: {version}\n")), "{folder}");
    }
}

/// The chart's schema for values: written here, but for `config`, which has weir's own.
fn values_schema() -> Value {
    let mut config = config::schema();
    let fields = config.as_object_mut().unwrap();
    let definitions = fields.remove("$defs").unwrap();
    for key in ["$schema", "$id", "title", "required"] {
        fields.remove(key);
    }
    for header in ["apiVersion", "kind"] {
        config["properties"].as_object_mut().unwrap().remove(header);
    }
    let object = |description: &str| json!({"type": "object", "description": description});
    let text = |description: &str| json!({"type": "string", "description": description});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["config", "image"],
        "$defs": definitions,
        "properties": {
            "global": object("Helm's own: values for all charts."),
            "image": {
                "type": "object",
                "additionalProperties": false,
                "required": ["repository"],
                "properties": {
                    "repository": {"type": "string", "minLength": 1},
                    "tag": text("Empty: the chart's appVersion."),
                    "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                },
            },
            "imagePullSecrets": {"type": "array", "items": {
                "type": "object", "required": ["name"], "properties": {"name": {"type": "string"}},
            }},
            "config": config,
            "policyVolume": {
                "type": "object",
                "description": "One source of a volume, as in a pod.",
                "maxProperties": 1,
            },
            "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}},
            "tolerations": {"type": "array", "items": {"type": "object"}},
            "priorityClassName": text("A PriorityClass."),
            "updateStrategy": object("As in a DaemonSet."),
            "resources": object("As in a container."),
            "init": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "warnOnly": {"type": "boolean"},
                    "resources": object("As in a container."),
                },
            },
        },
    })
}

#[test]
fn values_that_mean_nothing_are_refused_before_anything_is_installed() {
    let chart = deploy("chart");
    let text = std::fs::read_to_string(chart.join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(refused(&chart, &values), [""; 0]);
    for (wrong, named) in [
        (json!({"imagee": {}}), "imagee"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "/image/pullPolicy"),
        (json!({"config": {"ipvs": {"schedular": "rr"}}}), "schedular"),
        (json!({"config": {"dataplane": "iptables"}}), "/config/dataplane"),
        (json!({"config": {"apiServers": "https://10.0.0.1:6443"}}), "/config/apiServers"),
        (json!({"tolerations": {}}), "/tolerations"),
    ] {
        let mut values = values.clone();
        kustomize::merge(&mut values, &wrong);
        let said = refused(&chart, &values);
        assert!(said.len() == 1 && said[0].contains(named), "{wrong}: {said:?}");
    }
}

#[test]
fn the_charts_schema_is_current() {
    let file = deploy("chart/values.schema.json");
    let want = format!("{}\n", serde_json::to_string_pretty(&values_schema()).unwrap());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, &want).unwrap();
    }
    let got = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(got, want, "values.schema.json is out of date (BLESS=1 rewrites it)");
    let text = std::fs::read_to_string(deploy("chart/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&text).unwrap();
    for value in values.as_object().unwrap().keys() {
        assert!(want.contains(&format!("\"{value}\"")), "{value}");
    }
}
