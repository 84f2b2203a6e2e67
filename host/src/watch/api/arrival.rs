//! One object as it arrives: read and converted on the spot, whatever is wrong with it. Pure.

use std::borrow::Cow;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::marker::PhantomData;

use kube::Resource;
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use weir_core::model::Change;

use crate::watch::convert::{Converted, Fault, Verdict};
use crate::watch::key::Key;
use crate::watch::kinds::Kind;
use crate::watch::typed;

/// What came of one object. Reading it never fails: an object that is wrong is no reason to lose
/// the others of its list.
pub(super) struct Arrival<K> {
    /// Its name, its namespace and its version; nothing else is kept of the metadata.
    meta: ObjectMeta,
    pub(super) object: Converted<Change>,
    /// Fields that weir doesn't know.
    pub(super) unknown: usize,
    kind: PhantomData<fn() -> K>,
}

// Derived, these would ask the same of `K`, of which there is none in here.
impl<K> Clone for Arrival<K> {
    fn clone(&self) -> Self {
        let (meta, object) = (self.meta.clone(), self.object.clone());
        Self { meta, object, unknown: self.unknown, kind: PhantomData }
    }
}

impl<K> fmt::Debug for Arrival<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arrival").field(&self.object).finish()
    }
}

impl<K: Kind> Arrival<K> {
    /// Which object this is.
    pub(super) fn key(&self) -> Key {
        let of = |text: &Option<String>| text.clone().unwrap_or_default();
        K::key(&of(&self.meta.namespace), &of(&self.meta.name))
    }

    /// A number that differs between versions of one object.
    pub(super) fn version(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.meta.resource_version.hash(&mut hasher);
        hasher.finish()
    }

    fn of(value: Value) -> Self {
        let meta = meta(&value);
        let (object, unknown) = match typed::read::<K, _>(value) {
            Ok(read) => (read.object.convert(), read.unknown.len()),
            Err(wrong) => {
                let faults = vec![Fault { field: wrong.field, message: wrong.message }];
                (Converted { verdict: Verdict::Refused, faults, is_partial: false }, 0)
            }
        };
        Self { meta, object, unknown, kind: PhantomData }
    }
}

/// As much of the metadata as can be read.
fn meta(value: &Value) -> ObjectMeta {
    let text = |field: &str| {
        value.get("metadata")?.get(field)?.as_str().filter(|it| !it.is_empty()).map(str::to_owned)
    };
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        resource_version: text("resourceVersion"),
        ..ObjectMeta::default()
    }
}

impl<'de, K: Kind> Deserialize<'de> for Arrival<K> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(from)?;
        // Who wrote which field is half of many objects, and nobody here asks.
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        Ok(Self::of(value))
    }
}

impl<K: Kind> Resource for Arrival<K> {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{Namespace, Service};
    use serde_json::json;
    use weir_core::net::ObjectName;

    fn read<K: Kind>(value: &Value) -> Arrival<K> {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    #[test]
    fn an_object_without_kind_as_in_lists_is_read() {
        let metadata = json!({"name": "shop", "resourceVersion": "7", "managedFields": [{}]});
        let arrival: Arrival<Namespace> = read(&json!({ "metadata": metadata }));
        assert_eq!(arrival.key(), Key::Namespace("shop".to_owned()));
        assert!(matches!(arrival.object.verdict, Verdict::Object(Change::Namespace(_))));
        assert_eq!((arrival.unknown, arrival.meta().resource_version.as_deref()), (0, Some("7")));
    }

    #[test]
    fn whatever_is_wrong_with_an_object_its_name_is_known_where_it_has_one() {
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": "7"});
        let cases = [
            (json!({"metadata": metadata, "spec": 7}), "shop/web", "spec"),
            (
                json!({"metadata": metadata, "spec": {"ports": [{"port": "http"}]}}),
                "shop/web",
                "spec.ports[0].port",
            ),
            (json!({"metadata": 7}), "/", "metadata"),
            (json!([]), "/", ""),
            (json!(null), "/", ""),
        ];
        for (value, name, field) in cases {
            let arrival: Arrival<Service> = read(&value);
            let (namespace, name) = name.split_once('/').unwrap();
            assert_eq!(arrival.key(), Key::Service(ObjectName::new(namespace, name)), "{value}");
            assert_eq!(arrival.object.verdict, Verdict::Refused, "{value}");
            assert_eq!(arrival.object.faults[0].field, field, "{value}");
        }
    }

    #[test]
    fn unknown_fields_are_counted() {
        let metadata = json!({"name": "shop", "mood": "good"});
        let arrival: Arrival<Namespace> = read(&json!({ "metadata": metadata, "spam": {"a": 1} }));
        assert_eq!(arrival.unknown, 2);
        assert!(matches!(arrival.object.verdict, Verdict::Object(_)));
    }
}
