//! Configuration files as data: each file of `configs/` beside what becomes of it, byte by byte.
//! `BLESS=1` rewrites what becomes of them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir::config::kubeproxy::{FIELDS, Fate};
use weir::config::{Config, ConfigErrors, Notice, Overrides, parse, to_yaml};

type Loaded = Result<(Config, Vec<Notice>), ConfigErrors>;

fn here(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(folder)
}

/// The YAML files of a folder, sorted.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(here(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    assert!(files.len() > 3, "{folder}: {files:?}");
    files
}

fn read(text: &str) -> Loaded {
    parse(Path::new("/etc/weir/weir.yaml"), text, &Overrides::default())
}

/// What becomes of a file: its errors, or its notices and the configuration in force.
fn outcome(loaded: &Loaded) -> String {
    match loaded {
        Err(errors) => format!("{errors}\n"),
        Ok((config, notices)) => {
            let notices: String = notices.iter().map(|notice| format!("# {notice}\n")).collect();
            notices + &to_yaml(config).unwrap()
        }
    }
}

/// Compares with the file of the same name ending in `.golden`.
fn golden(file: &Path, got: &str) {
    let path = file.with_extension("golden");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, got).unwrap();
    }
    let want = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, want, "{} (BLESS=1 rewrites it)", path.display());
}

#[test]
fn good_files_are_taken() {
    for file in files("good") {
        let loaded = read(&fs::read_to_string(&file).unwrap());
        golden(&file, &outcome(&loaded));
        let (_, notices) = loaded.unwrap();
        assert_eq!(notices, [], "{}", file.display());
    }
}

#[test]
fn bad_files_are_refused_with_every_error() {
    for file in files("bad") {
        let loaded = read(&fs::read_to_string(&file).unwrap());
        golden(&file, &outcome(&loaded));
        let errors = loaded.expect_err("must be refused");
        assert!(!errors.errors().is_empty(), "{}", file.display());
    }
}

#[test]
fn kube_proxy_files_are_taken_with_notices() {
    for file in files("kube-proxy") {
        golden(&file, &outcome(&read(&fs::read_to_string(&file).unwrap())));
    }
}

#[test]
fn what_is_in_force_reads_back_to_the_same() {
    for folder in ["good", "kube-proxy"] {
        for file in files(folder) {
            let Ok((config, _)) = read(&fs::read_to_string(&file).unwrap()) else { continue };
            let (again, notices) = read(&to_yaml(&config).unwrap()).unwrap();
            assert_eq!((again, notices), (config, vec![]), "{}", file.display());
        }
    }
}

/// The paths of all fields in a file with every field set: those of the list where it stops
/// above the leaves.
fn leaves(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    let listed = FIELDS.iter().any(|field| field.path == path);
    match value {
        serde_json::Value::Object(map) if !listed => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(value, &path, found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn every_field() -> serde_json::Value {
    let text = fs::read_to_string(here("kube-proxy/every-field.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn every_field_of_kube_proxy_is_in_the_list_once() {
    let mut written = Vec::new();
    leaves(&every_field(), "", &mut written);
    let written: BTreeSet<_> =
        written.into_iter().filter(|p| p != "kind" && p != "apiVersion").collect();
    let listed: BTreeSet<_> = FIELDS.iter().map(|field| field.path.to_owned()).collect();
    assert_eq!(written, listed);
    assert_eq!(listed.len(), FIELDS.len(), "a field is listed twice");
}

/// A kube-proxy file with this one field, and with what must be set for it to count.
fn alone(path: &str) -> String {
    let pointer = format!("/{}", path.replace('.', "/"));
    let value = every_field().pointer(&pointer).unwrap().clone();
    let mut file = serde_json::json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
        "clusterCIDR": "10.0.0.0/8", "iptables": {}, "ipvs": {}, "nftables": {},
        "logging": {}, "detectLocal": {}, "conntrack": {}, "clientConnection": {},
    });
    let section = path.split('.').next().unwrap();
    if ["ipvs", "nftables"].contains(&section) {
        file["mode"] = section.into();
    }
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let value = if path == "detectLocalMode" { "NodeCIDR".into() } else { value };
    match path {
        "detectLocal.bridgeInterface" => file["detectLocalMode"] = "BridgeInterface".into(),
        "detectLocal.interfaceNamePrefix" => file["detectLocalMode"] = "InterfaceNamePrefix".into(),
        _ => {}
    }
    file.pointer_mut(parent).unwrap()[key] = value;
    file.to_string()
}

/// The same file with the field taken out, or with another value.
fn without(path: &str) -> String {
    let mut file: serde_json::Value = serde_json::from_str(&alone(path)).unwrap();
    let pointer = format!("/{}", path.replace('.', "/"));
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = file.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    // Its mode can't do without one.
    let another = path.starts_with("detectLocal.").then(|| "another0".into());
    match another {
        Some(another) => parent.insert(key.to_owned(), another),
        None => parent.remove(key),
    };
    file.to_string()
}

#[test]
fn each_field_of_kube_proxy_is_honoured_or_named() {
    for field in FIELDS {
        let (with, notices) = read(&alone(field.path)).unwrap();
        let (base, _) = read(&without(field.path)).unwrap();
        let named = notices.iter().any(|notice| notice.path.to_string() == field.path);
        match field.fate {
            Fate::Honoured(_) => assert!(with != base || named, "{} does nothing", field.path),
            Fate::Ignored(_) => {
                assert!(named && with == base, "{} isn't named, or does something", field.path);
            }
        }
    }
}

#[test]
fn every_honoured_field_changes_something() {
    let changes_nothing =
        |path: &str| read(&alone(path)).unwrap().0 == read(&without(path)).unwrap().0;
    let honoured = FIELDS.iter().filter(|field| matches!(field.fate, Fate::Honoured(_)));
    let idle: Vec<_> =
        honoured.map(|field| field.path).filter(|path| changes_nothing(path)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn more_service_ranges_than_a_cluster_has_are_refused() {
    let file = |count: usize| {
        let list: Vec<_> = (0..count).map(|i| format!("10.96.{i}.0/24")).collect();
        let (version, kind) = (weir::config::API_VERSION, weir::config::KIND);
        format!("apiVersion: {version}\nkind: {kind}\nserviceCIDRs: [{}]\n", list.join(", "))
    };
    assert_eq!(read(&file(64)).unwrap().0.service_cidrs.len(), 64);
    let errors = read(&file(65)).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/etc/weir/weir.yaml:3: serviceCIDRs: 65 ranges, the most is 64"
    );
}
