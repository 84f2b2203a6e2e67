//! What a request asks for. Pure.

use std::collections::BTreeMap;

use hyper::{Method, Uri};

use crate::store::Resource;

/// A request, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) verb: Verb,
    pub(crate) resource: Resource,
    /// Empty for all namespaces, and for what has none.
    pub(crate) namespace: String,
    pub(crate) query: BTreeMap<String, String>,
}

/// What to do, as RBAC names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    List,
    Watch,
    Get(String),
    Create,
    /// Creates as well.
    Update(String),
    Patch(String),
    Delete(String),
}

impl Verb {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Watch => "watch",
            Self::Get(_) => "get",
            Self::Create => "create",
            Self::Update(_) => "update",
            Self::Patch(_) => "patch",
            Self::Delete(_) => "delete",
        }
    }
}

impl Question {
    /// `None` for a path that isn't of the API.
    pub(crate) fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let steps: Vec<&str> = uri.path().split('/').filter(|step| !step.is_empty()).collect();
        let (group, version, rest) = match steps.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, plural, name) = match rest {
            ["namespaces", namespace, plural] => (*namespace, *plural, None),
            ["namespaces", namespace, plural, name] => (*namespace, *plural, Some(*name)),
            [plural] => ("", *plural, None),
            [plural, name] => ("", *plural, Some(*name)),
            _ => return None,
        };
        let query: BTreeMap<_, _> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let watches = query.get("watch").is_some_and(|it| it == "true" || it == "1");
        let verb = match (method, name.map(str::to_owned)) {
            (&Method::GET, None) if watches => Verb::Watch,
            (&Method::GET, None) => Verb::List,
            (&Method::GET, Some(name)) => Verb::Get(name),
            (&Method::POST, None) => Verb::Create,
            (&Method::PUT, Some(name)) => Verb::Update(name),
            (&Method::PATCH, Some(name)) => Verb::Patch(name),
            (&Method::DELETE, Some(name)) => Verb::Delete(name),
            _ => return None,
        };
        let resource = Resource::new(group, version, plural);
        Some(Self { verb, resource, namespace: namespace.to_owned(), query })
    }

    /// Whether `verb` means this: as RBAC names it; `list`, for one that is sent as a watch too; or
    /// `page`, for a page of a list that isn't its first.
    pub(crate) fn is_meant_by(&self, verb: &str) -> bool {
        match verb {
            "page" => !self.text("continue").is_empty(),
            "list" => self.verb == Verb::List || self.is_true("sendInitialEvents"),
            verb => verb == self.verb.name(),
        }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_understood() {
        let core = |plural| Resource::new("", "v1", plural);
        let cases = [
            ("GET", "/api/v1/services", Some((Verb::List, core("services"), ""))),
            ("GET", "/api/v1/nodes?watch=true", Some((Verb::Watch, core("nodes"), ""))),
            (
                "GET",
                "/api/v1/namespaces/shop",
                Some((Verb::Get("shop".into()), core("namespaces"), "")),
            ),
            (
                "PUT",
                "/api/v1/namespaces/shop/services/web",
                Some((Verb::Update("web".into()), core("services"), "shop")),
            ),
            (
                "POST",
                "/apis/events.k8s.io/v1/namespaces/shop/events",
                Some((Verb::Create, Resource::new("events.k8s.io", "v1", "events"), "shop")),
            ),
            ("GET", "/healthz", None),
            ("POST", "/api/v1/services/web", None),
        ];
        for (method, path, want) in cases {
            let got = Question::of(&method.parse().unwrap(), &path.parse().unwrap());
            let want =
                want.map(|(verb, resource, namespace)| (verb, resource, namespace.to_owned()));
            assert_eq!(got.map(|it| (it.verb, it.resource, it.namespace)), want, "{path}");
        }
    }

    #[test]
    fn a_query_is_unescaped() {
        let path = "/api/v1/services?labelSelector=%21a%2Fb%2Cc%3Dd&limit=5&watch=0";
        let question = Question::of(&Method::GET, &path.parse().unwrap()).unwrap();
        assert_eq!(question.text("labelSelector"), "!a/b,c=d");
        assert_eq!((question.number("limit"), question.is_true("watch")), (Some(5), false));
        assert_eq!(question.verb, Verb::List);
    }
}
