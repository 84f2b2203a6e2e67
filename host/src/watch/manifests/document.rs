//! From one document to the objects in it: kinds, lists, and who is meant where little can be read. Pure.

use std::collections::btree_map::Entry;
use std::path::Path;

use k8s_openapi::api::core::v1::{Namespace, Node as ApiNode, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use weir_core::model::Change;
use weir_core::net::ObjectName;

use super::parsed::{Found, Parsed};
use super::tree::{Node, Tree};
use crate::watch::convert::{ServiceCidrObject, Verdict};
use crate::watch::key::Key;
use crate::watch::kinds::Kind;
use crate::watch::problem::Problem;
use crate::watch::typed;

/// Where a document stands.
pub(super) struct Origin<'a> {
    pub(super) file: &'a Path,
    pub(super) document: usize,
    pub(super) lines_before: usize,
}

/// Takes what a document says into `parsed`.
pub(super) fn read_document(tree: &Tree, origin: &Origin<'_>, parsed: &mut Parsed) {
    if !matches!(tree.node, Node::Null) {
        Item { tree, origin, name: String::new(), inherited: None }.read(parsed);
    }
}

/// A kind that weir reads.
#[derive(Clone, Copy)]
enum Object {
    Service,
    Slice,
    Namespace,
    Node,
    ServiceCidr,
}

/// What `apiVersion` and `kind` stand for.
enum Meaning {
    Object(Object),
    ListOf(Option<(&'static str, &'static str)>),
    Outdated(&'static str),
    Foreign,
}

const DISCOVERY: &str = "discovery.k8s.io/v1";
const NETWORKING: &str = "networking.k8s.io/v1";
const NETWORKING_BETA: &str = "networking.k8s.io/v1beta1";

fn meaning(api_version: &str, kind: &str) -> Meaning {
    match (api_version, kind) {
        ("v1", "Service") => Meaning::Object(Object::Service),
        ("v1", "Namespace") => Meaning::Object(Object::Namespace),
        ("v1", "Node") => Meaning::Object(Object::Node),
        (DISCOVERY, "EndpointSlice") => Meaning::Object(Object::Slice),
        (NETWORKING | NETWORKING_BETA, "ServiceCIDR") => Meaning::Object(Object::ServiceCidr),
        ("v1", "List") => Meaning::ListOf(None),
        ("v1", "ServiceList") => Meaning::ListOf(Some(("v1", "Service"))),
        ("v1", "NamespaceList") => Meaning::ListOf(Some(("v1", "Namespace"))),
        ("v1", "NodeList") => Meaning::ListOf(Some(("v1", "Node"))),
        (DISCOVERY, "EndpointSliceList") => Meaning::ListOf(Some((DISCOVERY, "EndpointSlice"))),
        (NETWORKING | NETWORKING_BETA, "ServiceCIDRList") => {
            Meaning::ListOf(Some((NETWORKING, "ServiceCIDR")))
        }
        ("discovery.k8s.io/v1beta1", "EndpointSlice" | "EndpointSliceList") => {
            Meaning::Outdated(DISCOVERY)
        }
        ("networking.k8s.io/v1alpha1", "ServiceCIDR" | "ServiceCIDRList") => {
            Meaning::Outdated(NETWORKING)
        }
        _ => Meaning::Foreign,
    }
}

/// A document, or one item of a list in it.
struct Item<'a> {
    tree: &'a Tree,
    origin: &'a Origin<'a>,
    /// Its place in the lists around it, as `items[3]`; empty outside of lists.
    name: String,
    /// `apiVersion` and `kind` of items that needn't say them themselves.
    inherited: Option<(&'static str, &'static str)>,
}

impl Item<'_> {
    fn read(&self, parsed: &mut Parsed) {
        if !matches!(self.tree.node, Node::Map(_)) {
            return self.lose(parsed, None, "", "is not an object: no mapping");
        }
        let (inherited_version, inherited_kind) = self.inherited.unzip();
        let Some(version) = self.tree.text("apiVersion").or(inherited_version) else {
            return self.lose(parsed, None, "apiVersion", "is missing");
        };
        let Some(kind) = self.tree.text("kind").or(inherited_kind) else {
            return self.lose(parsed, None, "kind", "is missing");
        };
        match meaning(version, kind) {
            Meaning::Object(object) => self.object(parsed, object, kind),
            Meaning::ListOf(items) => self.list(parsed, items),
            Meaning::Outdated(now) => {
                let message = format!("{version} is served no more; write {now}");
                self.lose(parsed, Some(kind), "apiVersion", message);
            }
            Meaning::Foreign => self.foreign(parsed, version, kind),
        }
    }

    fn object(&self, parsed: &mut Parsed, object: Object, kind: &str) {
        match object {
            Object::Service => self.typed::<Service>(parsed, kind),
            Object::Slice => self.typed::<EndpointSlice>(parsed, kind),
            Object::Namespace => self.typed::<Namespace>(parsed, kind),
            Object::Node => self.typed::<ApiNode>(parsed, kind),
            Object::ServiceCidr => self.typed::<ServiceCidrObject>(parsed, kind),
        }
    }

    fn list(&self, parsed: &mut Parsed, inherited: Option<(&'static str, &'static str)>) {
        let items = match self.tree.get("items").map(|items| &items.node) {
            Some(Node::List(items)) => items,
            Some(_) => return self.lose(parsed, None, "items", "is not a list"),
            // What `kubectl get -o yaml` writes always has items: without them, half is missing.
            None => return self.lose(parsed, None, "items", "is missing"),
        };
        for (i, tree) in items.iter().enumerate() {
            let dot = if self.name.is_empty() { "" } else { "." };
            let name = format!("{}{dot}items[{i}]", self.name);
            Item { tree, origin: self.origin, name, inherited }.read(parsed);
        }
    }

    /// A kind of somebody else's. Cut off behind `kind`, our own look like that too.
    fn foreign(&self, parsed: &mut Parsed, version: &str, kind: &str) {
        let groups = ["discovery.k8s.io/", "networking.k8s.io/"];
        let ours = version == "v1" || groups.iter().any(|group| version.starts_with(group));
        if ours && self.tree.get("metadata").is_none() {
            return self.lose(parsed, Some(kind), "metadata", "is missing");
        }
        *parsed.ignored.entry(format!("{version} {kind}")).or_default() += 1;
    }

    fn typed<T: Kind>(&self, parsed: &mut Parsed, kind: &str) {
        let converted = match typed::read::<T, _>(self.tree) {
            Ok(read) => {
                for field in read.unknown {
                    let message = "is no field that weir knows; it has no effect";
                    parsed.problems.push(self.problem(Some(kind), &field, message));
                }
                read.object.convert()
            }
            Err(mistyped) => {
                self.refuse(parsed, kind);
                let problem = self.problem(Some(kind), &mistyped.field, mistyped.message);
                return parsed.problems.push(problem);
            }
        };
        for fault in converted.faults {
            parsed.problems.push(self.problem(Some(kind), &fault.field, fault.message));
        }
        match converted.verdict {
            Verdict::Object(change) => self.keep(parsed, kind, change, converted.is_partial),
            Verdict::LeftOut => {}
            Verdict::Refused => self.refuse(parsed, kind),
        }
    }

    fn keep(&self, parsed: &mut Parsed, kind: &str, change: Change, is_partial: bool) {
        let (document, line) = (self.origin.document, self.line(""));
        match parsed.objects.entry(Key::of(&change)) {
            Entry::Vacant(free) => {
                free.insert(Found { change, document, line, is_partial });
            }
            Entry::Occupied(first) => {
                let message = format!(
                    "stands in document {} already; this one is left out",
                    first.get().document
                );
                parsed.problems.push(self.problem(Some(kind), "", message));
            }
        }
    }

    fn refuse(&self, parsed: &mut Parsed, kind: &str) {
        match self.key(kind) {
            Some(key) => drop(parsed.refused.insert(key)),
            None => parsed.unknown = true,
        }
    }

    fn lose(
        &self,
        parsed: &mut Parsed,
        kind: Option<&str>,
        field: &str,
        message: impl Into<String>,
    ) {
        parsed.unknown = true;
        parsed.problems.push(self.problem(kind, field, message));
    }

    /// Who is meant, as far as that can be read without a type.
    fn key(&self, kind: &str) -> Option<Key> {
        let metadata = self.tree.get("metadata")?;
        let name = metadata.text("name").filter(|name| !name.is_empty())?;
        let namespace = match metadata.get("namespace") {
            None => "default",
            Some(_) => metadata.text("namespace")?,
        };
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        Some(match kind {
            "Service" => Key::Service(ObjectName::new(namespace, name)),
            "EndpointSlice" => Key::Slice(ObjectName::new(namespace, name)),
            "Namespace" => Key::Namespace(name.to_owned()),
            "Node" => Key::Node(name.to_owned()),
            "ServiceCIDR" => Key::ServiceCidr(name.to_owned()),
            _ => return None,
        })
    }

    fn problem(&self, kind: Option<&str>, field: &str, message: impl Into<String>) -> Problem {
        let nameless =
            || [kind.unwrap_or_default(), self.name.as_str()].join(" ").trim().to_owned();
        let key = kind.and_then(|kind| self.key(kind));
        let object = key.map_or_else(nameless, |key| key.to_string());
        Problem {
            file: Some(self.origin.file.to_owned()),
            document: Some(self.origin.document),
            line: self.line(field),
            object: Some(object).filter(|object| !object.is_empty()),
            field: Some(field.to_owned()).filter(|field| !field.is_empty()),
            message: message.into(),
            kept_last_good: false,
            is_refusal: false,
        }
    }

    fn line(&self, field: &str) -> Option<usize> {
        self.tree.line_of(field).map(|line| line + self.origin.lines_before)
    }
}
