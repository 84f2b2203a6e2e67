//! Names and tags of an object. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use weir_core::model::Tags;
use weir_core::net::ObjectName;

use super::fault::Faults;

/// Longest DNS subdomain (RFC 1123), and so the longest name of an object.
const LONGEST_NAME: usize = 253;
/// Longest DNS label, and so the longest name of a namespace.
const LONGEST_LABEL: usize = 63;

/// The name of an object that lives in a namespace; `default` where none is given.
pub(super) fn object_name(meta: &ObjectMeta, faults: &mut Faults) -> Option<ObjectName> {
    let name = name(meta, faults);
    let namespace = match meta.namespace.as_deref() {
        None | Some("") => "default",
        Some(given) => given,
    };
    let checked = check_namespace(namespace);
    faults.keep("metadata.namespace", checked)?;
    Some(ObjectName::new(namespace, name?))
}

/// The name of an object, checked.
pub(super) fn name(meta: &ObjectMeta, faults: &mut Faults) -> Option<String> {
    let name = meta.name.as_deref().unwrap_or_default();
    faults.keep("metadata.name", check(name, LONGEST_NAME))?;
    Some(name.to_owned())
}

/// Checks the name of a namespace.
pub(super) fn check_namespace(name: &str) -> Result<(), String> {
    if name.contains('.') {
        return Err(format!("{name:?} has a dot, which a namespace can't have"));
    }
    check(name, LONGEST_LABEL)
}

fn check(name: &str, longest: usize) -> Result<(), String> {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = name.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else {
        return Err("is missing".to_owned());
    };
    if bytes.len() > longest {
        return Err(format!("has {} characters, the most is {longest}", bytes.len()));
    }
    if !edge(first) || !edge(last) || !bytes.iter().all(|&c| edge(c) || c == b'-' || c == b'.') {
        return Err(format!(
            "{name:?} is not a name: lower-case letters, digits, '-' and '.' only, \
             a letter or digit at both ends"
        ));
    }
    Ok(())
}

/// Annotations that controllers and clients rewrite all the time and that say nothing about balancing.
const NOISE: [&str; 2] = [
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// Labels; none is the same as an empty list.
pub(super) fn labels(given: Option<BTreeMap<String, String>>) -> Tags {
    given.unwrap_or_default().into()
}

/// Annotations that a policy may want to see.
pub(super) fn annotations(given: Option<BTreeMap<String, String>>) -> Tags {
    let mut kept = given.unwrap_or_default();
    for name in NOISE {
        kept.remove(name);
    }
    kept.into()
}
