//! What an API server refuses beyond unknown fields: required fields that are missing, names, quantities,
//! and words of which there are a few.
//!
//! The API's own types fill in what is missing, and write it out again: what comes back and wasn't there is
//! required. The rest are the rules of k8s.io/apimachinery (validation) and of the fields' documentation.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use weir::config::{Label, NodeName};

/// Fields with a fixed choice of words, by the end of their path.
const WORDS: [(&str, &[&str]); 15] = [
    (".imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    (".pullPolicy", &["Always", "IfNotPresent", "Never"]),
    (".dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    (".restartPolicy", &["Always", "OnFailure", "Never"]),
    (".updateStrategy.type", &["RollingUpdate", "OnDelete"]),
    (".seccompProfile.type", &["RuntimeDefault", "Unconfined", "Localhost"]),
    (
        ".hostPath.type",
        &[
            "",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
            "CharDevice",
            "BlockDevice",
        ],
    ),
    (".tolerations[].operator", &["Exists", "Equal"]),
    (".tolerations[].effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    (".matchExpressions[].operator", &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
    (".roleRef.apiGroup", &["rbac.authorization.k8s.io"]),
    (".roleRef.kind", &["Role", "ClusterRole"]),
    (".subjects[].kind", &["User", "Group", "ServiceAccount"]),
    (".failurePolicy", &["Fail", "Ignore"]),
    (".validationActions[]", &["Deny", "Warn", "Audit"]),
];

/// The required fields that `object` lacks, as its type knows them; what can't be read is in `deploy.rs`.
pub(super) fn missing<T: DeserializeOwned + Serialize>(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(read) = serde_json::from_value::<T>(object.clone()) {
        let whole = serde_json::to_value(read).unwrap();
        added("", object, &whole, &mut found);
    }
    found
}

/// Every path of `now` that isn't in `before`.
fn added(path: &str, before: &Value, now: &Value, found: &mut Vec<String>) {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            for (name, value) in now {
                let path = format!("{path}.{name}");
                match before.get(name) {
                    Some(before) => added(&path, before, value, found),
                    None => found.push(format!("{path} is required")),
                }
            }
        }
        (Value::Array(before), Value::Array(now)) => {
            before.iter().zip(now).for_each(|(a, b)| added(&format!("{path}[]"), a, b, found));
        }
        _ => {}
    }
}

/// What of the values of `object` no API server takes.
pub(super) fn wrong_values(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk("", object, &mut found);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    // Names of RBAC's objects may be any segment of a path, as `system:node`.
    let is_rbac = object["apiVersion"].as_str().is_some_and(|it| it.starts_with("rbac."));
    if !is_rbac && !is_subdomain(name) {
        found.push(format!(".metadata.name: {name:?}"));
    }
    found
}

fn walk(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(&format!("{path}.{name}"), value, found);
            }
            check_keys(path, fields.keys(), found);
        }
        Value::Array(all) => all.iter().for_each(|it| walk(&format!("{path}[]"), it, found)),
        Value::String(text) if !is_good(path, text) => found.push(format!("{path}: {text:?}")),
        _ => {}
    }
}

fn is_good(path: &str, text: &str) -> bool {
    if let Some((_, words)) = WORDS.iter().find(|(end, _)| path.ends_with(end)) {
        return words.contains(&text);
    }
    let is_of_pod = |list: &str| path.ends_with(&format!(".spec.{list}[].name"));
    if ["containers", "initContainers", "volumes"].into_iter().any(is_of_pod) {
        return is_label(text);
    }
    if path.contains(".resources.requests.") || path.contains(".resources.limits.") {
        return is_quantity(text);
    }
    if path.ends_with(".mountPath") {
        return text.starts_with('/') && !text.contains(':');
    }
    let is_value_of_label =
        [".labels.", ".matchLabels.", ".nodeSelector."].map(|it| path.contains(it));
    !is_value_of_label.contains(&true) || text.is_empty() || is_qualified(text)
}

fn check_keys<'a>(path: &str, keys: impl Iterator<Item = &'a String>, found: &mut Vec<String>) {
    let of_names = [".labels", ".annotations", ".matchLabels", ".nodeSelector"];
    if of_names.iter().any(|end| path.ends_with(end)) {
        let bad = keys.filter(|key| match key.split_once('/') {
            Some((prefix, name)) => !is_subdomain(prefix) || !is_qualified(name),
            None => !is_qualified(key),
        });
        found.extend(bad.map(|key| format!("{path}: {key:?}")));
    }
}

/// RFC 1123.
fn is_label(text: &str) -> bool {
    text.parse::<Label>().is_ok()
}

/// RFC 1123, as a Node's name is.
fn is_subdomain(text: &str) -> bool {
    text.parse::<NodeName>().is_ok()
}

fn is_qualified(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(edge)
        && text.ends_with(edge)
}

/// `100m`, `1.5`, `64Mi`, `2e3`.
fn is_quantity(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[number.len()..];
    let units =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let is_number =
        |it: &str| it.bytes().all(|b| b.is_ascii_digit() || b == b'.') && it.parse::<f64>().is_ok();
    match text
        .split_once(['e', 'E'])
        .filter(|(_, it)| it.starts_with(|c: char| c.is_ascii_digit() || c == '-'))
    {
        Some((number, exponent)) => is_number(number) && exponent.parse::<i32>().is_ok(),
        None => is_number(number) && units.contains(&unit),
    }
}

#[test]
fn quantities_and_names_are_told_from_others() {
    for good in ["1", "100m", "1.5", "64Mi", "2e3", "1e-3", "1E", "1Ei", "0.5Gi"] {
        assert!(is_quantity(good), "{good}");
    }
    for bad in ["", "m", "64MB", "64 Mi", "1,5", "-", "one", "1mi", "1.2.3"] {
        assert!(!is_quantity(bad), "{bad}");
    }
    for (name, label, subdomain, qualified) in [
        ("weir", true, true, true),
        ("weir.dev", false, true, true),
        ("Weir", false, false, true),
        ("-weir", false, false, false),
        ("weir-", false, false, false),
        ("we_ir", false, false, true),
        ("", false, false, false),
    ] {
        let got = (is_label(name), is_subdomain(name), is_qualified(name));
        assert_eq!(got, (label, subdomain, qualified), "{name}");
    }
}
