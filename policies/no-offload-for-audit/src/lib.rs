//! No offload where every packet must be seen: by accounting, policy logging or rate limits, whose
//! rules an offloaded flow goes past.
//!
//! | configuration | meaning |
//! |---|---|
//! | `labels` | selectors over labels |
//! | `annotations` | selectors over annotations |
//!
//! Each is a list of `KEY=VALUE`, or of `KEY` for any value. With neither, both are
//! `weir.dev/audit=true`.
//!
//! A Service is never offloaded if one selector fits it or its Namespace; so what the Namespace asks
//! for can't be undone on a Service. `kubernetes.io/metadata.name=NAME` among the labels is the
//! Namespace NAME. Name this policy before any other with an opinion on offload.

use weir_policy::values::quoted;
use weir_policy::{Attributes, Config, Decision, Node, Policy, Refusal, ServiceView};

const LABELS: &str = "labels";
const ANNOTATIONS: &str = "annotations";
const DEFAULT: &str = "weir.dev/audit=true";

/// The policy.
pub struct NoOffloadForAudit {
    labels: Vec<Selector>,
    annotations: Vec<Selector>,
}

/// A label or an annotation: of any value where none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selector {
    key: String,
    value: Option<String>,
}

impl Policy for NoOffloadForAudit {
    fn configure(config: &Config, _node: &Node) -> Result<Self, String> {
        config.only(&[LABELS, ANNOTATIONS])?;
        let (labels, annotations) = (selectors(config, LABELS)?, selectors(config, ANNOTATIONS)?);
        if labels.is_none() && annotations.is_none() {
            let default = vec![Selector::read(DEFAULT)?];
            return Ok(Self { labels: default.clone(), annotations: default });
        }
        let both = Self {
            labels: labels.unwrap_or_default(),
            annotations: annotations.unwrap_or_default(),
        };
        if both.labels.is_empty() && both.annotations.is_empty() {
            return Err(format!(
                "{LABELS} and {ANNOTATIONS}: no selector in them, nothing would fit"
            ));
        }
        Ok(both)
    }

    fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal> {
        let (service, namespace) = (&view.service, &view.namespace);
        let places = [
            (&self.labels, &namespace.labels, "label", "Namespace"),
            (&self.annotations, &namespace.annotations, "annotation", "Namespace"),
            (&self.labels, &service.labels, "label", "Service"),
            (&self.annotations, &service.annotations, "annotation", "Service"),
        ];
        for (selectors, attributes, kind, whose) in places {
            if let Some(fitting) = selectors.iter().find(|selector| selector.fits(attributes)) {
                let why = format!("every packet is to be seen: {kind} {fitting} of the {whose}");
                return Ok(Decision::new().never_offload().note(why));
            }
        }
        Err(Refusal::NotMine)
    }
}

fn selectors(config: &Config, name: &str) -> Result<Option<Vec<Selector>>, String> {
    let Some(list) = config.list(name)? else { return Ok(None) };
    let read = |text: &String| Selector::read(text).map_err(|allowed| format!("{name}: {allowed}"));
    list.iter().map(read).collect::<Result<_, _>>().map(Some)
}

impl Selector {
    fn read(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (text.trim(), None),
        };
        // `a==b` and `a!=b` are selectors elsewhere and mustn't be read as something else here.
        if !is_key(key) || value.is_some_and(|value| value.starts_with('=')) {
            return Err(format!(
                "{} is not a selector: write KEY=VALUE, or KEY for any value, the key as in \
                 example.org/audit",
                quoted(text)
            ));
        }
        Ok(Self { key: key.to_owned(), value: value.map(str::to_owned) })
    }

    fn fits(&self, attributes: &[(String, String)]) -> bool {
        let found = attributes.value(&self.key);
        found.is_some_and(|found| self.value.as_deref().is_none_or(|wanted| wanted == found))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.key)?;
        self.value.iter().try_for_each(|value| write!(f, "={value}"))
    }
}

/// A key as Kubernetes has them: a name of at most 63 characters, perhaps behind `DOMAIN/`.
fn is_key(text: &str) -> bool {
    let (domain, name) = text.split_once('/').unwrap_or(("example.org", text));
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |text: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        edge(text.as_bytes().first()) && edge(text.as_bytes().last())
    };
    let fits =
        |text: &str, most: usize| text.len() <= most && text.bytes().all(inner) && ends(text);
    fits(domain, 253) && fits(name, 63)
}

weir_policy::export!(NoOffloadForAudit);

#[cfg(test)]
mod tests;
