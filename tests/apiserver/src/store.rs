//! What is in the cluster, and what happened to it. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

/// A kind of object, as paths name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    /// As `v1`.
    pub version: String,
    /// As `services`.
    pub plural: String,
}

impl Resource {
    /// A kind of object.
    #[must_use]
    pub fn new(group: &str, version: &str, plural: &str) -> Self {
        let own = str::to_owned;
        Self { group: own(group), version: own(version), plural: own(plural) }
    }

    /// Services.
    #[must_use]
    pub fn services() -> Self {
        Self::new("", "v1", "services")
    }

    /// EndpointSlices.
    #[must_use]
    pub fn slices() -> Self {
        Self::new("discovery.k8s.io", "v1", "endpointslices")
    }

    /// The resource that holds objects of this `apiVersion` and `kind`; the plural is the regular one.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object["apiVersion"].as_str()?;
        let kind = object["kind"].as_str()?.to_lowercase();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Self::new(group, version, &format!("{kind}s")))
    }

    pub(crate) fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}

/// One change: the object before and after.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) version: u64,
    pub(crate) resource: Resource,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

type Name = (String, String);

/// All objects, and all changes that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Store {
    version: u64,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    objects: BTreeMap<Resource, BTreeMap<Name, Value>>,
    history: Vec<Happened>,
}

impl Store {
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Whether a watch can't go on from `version` any more.
    pub(crate) fn is_forgotten(&self, version: u64) -> bool {
        version < self.forgotten
    }

    pub(crate) fn put(&mut self, resource: &Resource, mut object: Value) -> Value {
        self.version += 1;
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let name = name(&object);
        let kept = self.objects.entry(resource.clone()).or_default();
        let before = kept.insert(name, object.clone());
        let after = Some(object.clone());
        self.remember(resource, before, after);
        object
    }

    pub(crate) fn remove(
        &mut self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let name = (namespace.to_owned(), name.to_owned());
        let mut object = self.objects.get_mut(resource)?.remove(&name)?;
        self.version += 1;
        let gone = object.clone();
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.remember(resource, Some(object), None);
        Some(gone)
    }

    fn remember(&mut self, resource: &Resource, before: Option<Value>, after: Option<Value>) {
        let (version, resource) = (self.version, resource.clone());
        self.history.push(Happened { version, resource, before, after });
    }

    /// Forgets all changes: a watch at the present goes on.
    pub(crate) fn compact(&mut self) {
        self.forgotten = self.version;
        self.history.clear();
    }

    /// Forgets all changes: every watch that isn't at the present has to begin anew.
    pub(crate) fn forget(&mut self) {
        // Time goes on, so that the present of every watch is the past.
        self.version += 1;
        self.forgotten = self.version;
        self.history.clear();
    }

    pub(crate) fn get(&self, resource: &Resource, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(resource)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// The objects of a kind, by namespace and name, after that one.
    pub(crate) fn list(&self, resource: &Resource, after: Option<&Name>) -> Vec<(&Name, &Value)> {
        let objects = self.objects.get(resource).into_iter().flatten();
        objects.filter(|(name, _)| after.is_none_or(|after| *name > after)).collect()
    }

    pub(crate) fn since(&self, resource: &Resource, version: u64) -> Vec<Happened> {
        let from = self.history.partition_point(|it| it.version <= version);
        self.history[from..].iter().filter(|it| it.resource == *resource).cloned().collect()
    }
}

fn name(object: &Value) -> Name {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
