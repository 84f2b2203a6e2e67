//! A kube-proxy configuration file as weir takes it: what is honoured, and what isn't and why. Pure.
//!
//! The fields are those of `KubeProxyConfiguration` in k8s.io/kube-proxy v1.36
//! (`config/v1alpha1/types.go`), with `ClientConnectionConfiguration` and `LoggingConfiguration`
//! of k8s.io/component-base, and `nftables.fastpathPacketThreshold`, which no release has yet.

mod convert;
mod differences;
mod fields;
mod migrate;
mod types;

pub use differences::{DIFFERENCES, Difference, ProxyMode, list};
pub use fields::{FIELDS, Fate, Field, table};
pub use migrate::{Becomes, Deed, Migration, Outcome, Report, Setting, migrate};

use super::Config;
use super::decode::{Fault, decode};
use super::fault::{FieldPath, Notice, NoticeKind, Step, nearest};
use super::yaml::{Node, Value};

/// `apiVersion` of a kube-proxy configuration file.
pub const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// `kind` of a kube-proxy configuration file.
pub const KIND: &str = "KubeProxyConfiguration";

/// The configuration that a kube-proxy file asks for, what it doesn't get, and what is wrong.
///
/// An unknown field is a notice, not an error: kube-proxy itself gains fields with each release.
pub(super) fn read(root: &mut Node) -> (Option<Config>, Vec<Notice>, Vec<Fault>) {
    let mut notices = Vec::new();
    sort_out(&root.clone(), &FieldPath::default(), root, &mut notices);
    let (file, mut faults) = decode::<types::File>(root);
    let Some(file) = file else { return (None, notices, faults) };
    let mut converted = convert::Conversion::new(root);
    let config = converted.run(&file);
    notices.append(&mut converted.notices);
    faults.append(&mut converted.faults);
    notices.sort_by_key(|notice| notice.line);
    (Some(config), notices, faults)
}

/// Takes out what isn't honoured, with a notice for each field that asks for something.
fn sort_out(node: &Node, path: &FieldPath, root: &mut Node, notices: &mut Vec<Notice>) {
    let Value::Map(map) = &node.value else { return };
    for (key, child) in map {
        let path = path.then(Step::Key(key.clone()));
        let name = path.to_string();
        let (kind, text) = match fields::find(&name) {
            Some(Fate::Honoured(_)) => continue,
            Some(Fate::Ignored(why)) => (NoticeKind::Ignored, why.to_owned()),
            None if fields::has_children(&name) && is_section(child) => {
                sort_out(child, &path, root, notices);
                continue;
            }
            None if fields::has_children(&name) => continue,
            None => (NoticeKind::Unknown, unknown(&name)),
        };
        root.remove(&path);
        if kind == NoticeKind::Unknown || !child.is_zero() {
            notices.push(Notice { line: Some(child.line), path, kind, text });
        }
    }
}

fn is_section(node: &Node) -> bool {
    matches!(node.value, Value::Map(_))
}

fn unknown(name: &str) -> String {
    let known = FIELDS.iter().map(|field| field.path);
    match nearest(name, known) {
        Some(meant) => format!("kube-proxy v1.36 has no such field; did you mean `{meant}`?"),
        None => "kube-proxy v1.36 has no such field".to_owned(),
    }
}
