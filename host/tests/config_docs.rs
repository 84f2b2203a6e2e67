//! The pages made from the types are current. `BLESS=1` rewrites them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use weir::config::{Config, kubeproxy, reference, schema, to_yaml};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn current(name: &str, want: &str) {
    let path = docs(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, want).unwrap();
    }
    let got = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, want, "docs/{name} is out of date (BLESS=1 rewrites it)");
}

#[test]
fn the_reference_is_current() {
    current("configuration.md", &reference());
}

#[test]
fn what_is_told_of_kube_proxy_is_current() {
    let mut page = fs::read_to_string(docs("from-kube-proxy.md")).unwrap();
    for (what, made) in [("table", kubeproxy::table()), ("list", kubeproxy::list())] {
        let begin = format!("<!-- {what}: made from the code -->\n");
        let end = format!("<!-- end of {what} -->");
        let (before, rest) = page.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        page = format!("{before}{begin}{made}{end}{after}");
    }
    current("from-kube-proxy.md", &page);
}

/// The keys of every map in a YAML text, as the reference names its rows.
fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        found.push(key.clone());
        keys(value, found);
    }
}

#[test]
fn the_reference_names_every_field_with_a_meaning() {
    let text = to_yaml(&Config::default()).unwrap();
    let mut names = Vec::new();
    keys(&serde_saphyr::from_str(&text).unwrap(), &mut names);
    let page = reference();
    let header = ["apiVersion", "kind"];
    for name in names.into_iter().filter(|name| !header.contains(&name.as_str())) {
        assert!(
            ["`{}`", ".{}`", "`{}[]`"].iter().any(|it| page.contains(&it.replace("{}", &name))),
            "{name}"
        );
    }
    assert!(!page.contains("|  |"), "a field without a meaning");
}

#[test]
fn the_schema_refuses_unknown_fields() {
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["kind"]["const"], "WeirConfiguration");
}
