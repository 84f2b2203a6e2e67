//! When each endpoint was first seen on this node: an EndpointSlice carries no birth time. Pure.
//!
//! Kept over a restart by whoever owns the files. What was there when weir first ran on the node is
//! old, of unknown age.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::net::ObjectName;
use crate::pack::pack;

/// Seconds since 1970 at which endpoints appeared, by service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstSeen {
    #[serde(with = "by_name")]
    services: BTreeMap<ObjectName, Endpoints>,
}

/// The endpoints of a service, in order: there are few of them and many services.
type Endpoints = Box<[(SocketAddr, Option<u64>)]>;

fn find(endpoints: &Endpoints, to: SocketAddr) -> Option<Option<u64>> {
    let at = endpoints.binary_search_by_key(&to, |(to, _)| *to).ok()?;
    Some(endpoints[at].1)
}

impl FirstSeen {
    /// Notes the endpoints that a service has now, and forgets those that it has no more: only for
    /// a service whose slices were all read.
    ///
    /// `now` is `None` for what was there at a node's first start.
    pub fn note(
        &mut self,
        service: &ObjectName,
        endpoints: &BTreeSet<SocketAddr>,
        now: Option<u64>,
    ) {
        let before = self.services.remove(service).unwrap_or_default();
        if endpoints.is_empty() {
            return;
        }
        let since = |to: &SocketAddr| (*to, find(&before, *to).unwrap_or(now));
        self.services.insert(service.clone(), endpoints.iter().map(since).collect());
    }

    /// Takes no more memory than it needs.
    pub fn pack(&mut self) {
        pack(&mut self.services);
    }

    /// Forgets the endpoints of every other service.
    pub fn keep_only<'a>(&mut self, services: impl Iterator<Item = &'a ObjectName>) {
        let there: BTreeSet<&ObjectName> = services.collect();
        self.services.retain(|name, _| there.contains(name));
    }

    /// Seconds since an endpoint was first seen; `None` for one that was there before weir, and for
    /// one that was never noted. A clock that went backwards makes an age of 0.
    #[must_use]
    pub fn age(&self, service: &ObjectName, to: SocketAddr, now: u64) -> Option<u32> {
        let since = find(self.services.get(service)?, to)??;
        Some(u32::try_from(now.saturating_sub(since)).unwrap_or(u32::MAX))
    }
}

/// Names as keys of a JSON object, `NAMESPACE/NAME`.
mod by_name {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    use super::*;

    pub(super) fn serialize<S: Serializer>(
        services: &BTreeMap<ObjectName, Endpoints>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(services.iter().map(|(name, endpoints)| (name.to_string(), endpoints)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<ObjectName, Endpoints>, D::Error> {
        let read = BTreeMap::<String, Endpoints>::deserialize(from)?;
        let named = |(name, endpoints): (String, Endpoints)| {
            name.parse().map(|name| (name, endpoints)).map_err(D::Error::custom)
        };
        read.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_first_has_no_age_and_what_left_is_forgotten() {
        let web = ObjectName::new("shop", "web");
        let [a, b] = ["10.0.0.1:80", "10.0.0.2:80"].map(|t| t.parse().unwrap());
        let mut seen = FirstSeen::default();
        seen.note(&web, &BTreeSet::from([a]), None);
        seen.note(&web, &BTreeSet::from([a, b]), Some(100));
        assert_eq!((seen.age(&web, a, 130), seen.age(&web, b, 130)), (None, Some(30)));
        assert_eq!(seen.age(&web, b, 90), Some(0), "a clock that went backwards");
        seen.note(&web, &BTreeSet::from([a]), Some(140));
        seen.note(&web, &BTreeSet::from([a, b]), Some(150));
        assert_eq!(seen.age(&web, b, 150), Some(0), "it left and came back");
        let api = ObjectName::new("shop", "api");
        seen.note(&api, &BTreeSet::from([a]), Some(155));
        seen.keep_only([&api].into_iter());
        assert_eq!((seen.age(&web, b, 160), seen.age(&api, a, 160)), (None, Some(5)));
        seen.note(&api, &BTreeSet::new(), Some(160));
        assert_eq!(seen, FirstSeen::default());
    }

    #[test]
    fn the_file_names_services_as_people_do() {
        let mut seen = FirstSeen::default();
        seen.note(
            &ObjectName::new("shop", "web"),
            &BTreeSet::from(["10.0.0.1:80".parse().unwrap()]),
            Some(7),
        );
        let json = serde_json::to_string(&seen).unwrap();
        assert_eq!(json, r#"{"services":{"shop/web":[["10.0.0.1:80",7]]}}"#);
        assert_eq!(serde_json::from_str::<FirstSeen>(&json).unwrap(), seen);
        let wrong = json.replace("shop/web", "web");
        let error = serde_json::from_str::<FirstSeen>(&wrong).unwrap_err().to_string();
        assert!(error.contains("NAMESPACE/NAME"), "{error}");
    }
}
