//! What `weir explain` shows: why one service is balanced as it is. Values only; pure.

mod objects;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_core::compile::PortKey;
use weir_core::decision::Decision;
use weir_core::eligible::{Candidate, candidates};
use weir_core::kernel::Kernel;
use weir_core::model::{Service, Tags};
use weir_core::net::ObjectName;
use weir_core::wish::{NODE_PORT_INTERFACES, Refusal};
use weir_policy_host::{Answers, plain};

use crate::config::GROUP;
use crate::reconcile::{Decided, Policies, Reconciler};

use objects::objects;

/// One service, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `NAMESPACE/NAME`.
    pub service: String,
    /// Why it isn't served, if it isn't.
    pub not_served: Option<String>,
    /// weir's annotations on it and on its Namespace: what policies may have read.
    #[serde(default)]
    pub annotations: Vec<Annotation>,
    /// What nobody may cross here, if anything was set.
    #[serde(default)]
    pub limits: Option<String>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Kernel objects that it wants, each with what is wrong with it, if anything is.
    pub objects: Vec<Object>,
}

/// One of weir's annotations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Annotation {
    /// Its name.
    pub name: String,
    /// Its value: the Service's, else the Namespace's.
    pub value: String,
    /// `Service` or `Namespace`.
    pub of: String,
    /// The Namespace's value, where the Service has one that beats it.
    pub beats: Option<String>,
}

/// One port, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// `80/tcp`.
    pub port: String,
    /// What each policy said, in the chain's order.
    pub answers: Vec<Answer>,
    /// Fields of the decision, each with who chose it.
    pub decision: Vec<Field>,
    /// What the host set aside, clamped or downgraded.
    pub reasons: Vec<String>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// What one policy said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The policy.
    pub policy: String,
    /// Its words.
    pub said: String,
}

/// One field of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// The field.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Who chose it.
    pub by: String,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens.
    pub to: String,
    /// Its conditions and where it is.
    pub state: String,
    /// Its weight.
    pub weight: u32,
}

/// One kernel object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The object.
    pub object: String,
    /// `in the kernel`, or what is wrong.
    pub state: String,
}

/// Explains a service; `None` where no such service is known.
pub fn explain<K: Kernel, P: Policies>(
    all: &Reconciler<K, P>,
    name: &ObjectName,
) -> Option<Explanation> {
    let service = all.model.service(name)?;
    let decided = all.decided(name);
    let ports = service.ports.iter().filter_map(|port| {
        let key = PortKey::of(port);
        let decided = decided?.get(&key)?;
        let found = candidates(&all.model, service, port);
        let mut port = explain_port(key, decided, &found, all.model.node_name());
        port.reasons.extend(idle_entries(all, decided));
        Some(port)
    });
    let ports: Vec<Port> = ports.collect();
    let not_served = decided.is_none().then(|| {
        let proxy = service.proxy_name.as_deref().unwrap_or("no proxy in particular");
        match all.is_ours(service) {
            true => "it is new and was not worked out yet: the next sync does".to_owned(),
            false => format!("type {:?}, meant for {proxy}: not for this weir", service.kind),
        }
    });
    Some(Explanation {
        service: name.to_string(),
        not_served,
        annotations: annotations(all, service),
        limits: all.limits_of(&name.namespace).map(ToString::to_string),
        ports,
        objects: objects(all, name),
    })
}

/// Of each name the one that counts for the shipped policies, by name.
fn annotations<K: Kernel, P: Policies>(
    all: &Reconciler<K, P>,
    service: &Service,
) -> Vec<Annotation> {
    let namespace = all.model.namespace(&service.name.namespace).map(|it| &it.annotations);
    let prefix = format!("{GROUP}/");
    let both = service.annotations.iter().chain(namespace.into_iter().flat_map(Tags::iter));
    let names = both.map(|(name, _)| name).filter(|name| name.starts_with(&prefix));
    let names: BTreeSet<&str> = names.collect();
    let one = |name: &&str| {
        let own = service.annotations.get(name);
        let around = namespace.and_then(|it| it.get(name));
        Some(Annotation {
            name: plain(name),
            value: plain(own.or(around)?),
            of: if own.is_some() { "Service" } else { "Namespace" }.to_owned(),
            beats: own.and(around).map(plain),
        })
    };
    names.iter().filter_map(one).collect()
}

fn explain_port(key: PortKey, decided: &Decided, found: &[Candidate<'_>], node: &str) -> Port {
    let Decided { decision, answers } = decided;
    Port {
        port: key.to_string(),
        answers: said(answers),
        decision: fields(decision),
        reasons: decision.reasons.iter().map(|reason| plain(&reason.to_string())).collect(),
        endpoints: found.iter().map(|c| endpoint(c, decision, node)).collect(),
    }
}

/// What of a selection of interfaces means none of this node's, as these are now.
fn idle_entries<K: Kernel, P: Policies>(all: &Reconciler<K, P>, decided: &Decided) -> Vec<String> {
    let Some(interfaces) = all.ledger().surface().interfaces() else { return Vec::new() };
    let Decision { interfaces: offload, node_ports, .. } = &decided.decision;
    let selections = [("interfaces", offload), (NODE_PORT_INTERFACES, node_ports)];
    let chosen = selections.into_iter().filter_map(|(field, it)| Some((field, it.as_ref()?)));
    let idle = chosen.flat_map(|(field, selection)| {
        let idle = selection.value.unmatched(interfaces).into_iter();
        idle.map(move |it| plain(&format!("{field} ({}): {it}", selection.by)))
    });
    idle.collect()
}

fn said(answers: &Answers) -> Vec<Answer> {
    let wishes = answers.wishes.iter().map(|(policy, wish)| {
        let said = if wish.is_empty() { "no opinion".to_owned() } else { brief(wish) };
        (policy.as_str(), said)
    });
    let refusals = answers.refusals.iter().map(|(policy, refusal)| {
        let said = match refusal {
            Refusal::NotMine => "not mine".to_owned(),
            Refusal::Reason(reason) => format!("no: {reason}"),
        };
        (policy.as_str(), said)
    });
    let failures = answers.failures.iter().map(|it| {
        let stands = if it.stood_in { "; its last good answer stands" } else { "" };
        (&*it.policy, format!("failed ({}): {}{stands}", it.kind, it.message))
    });
    let all = wishes.chain(refusals).chain(failures);
    all.map(|(policy, said)| Answer { policy: policy.to_string(), said: plain(&said) }).collect()
}

/// A policy's answer in JSON, without the fields on which it has no opinion.
fn brief(answer: &impl Serialize) -> String {
    let value = serde_json::to_value(answer).unwrap_or_default();
    match value {
        serde_json::Value::Object(fields) => {
            let said =
                fields.into_iter().filter(|(_, v)| !v.is_null() && *v != serde_json::json!({}));
            serde_json::Value::Object(said.collect()).to_string()
        }
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn fields(decision: &Decision) -> Vec<Field> {
    let field = |name: &str, value: String, by: &str| Field {
        name: name.into(),
        value: plain(&value),
        by: by.into(),
    };
    let Decision { dataplane, scheduler, flags, offload, affinity, .. } = decision;
    let mut all = vec![
        field("dataplane", dataplane.value.to_string(), &dataplane.by),
        field("scheduler", scheduler.value.to_string(), &scheduler.by),
        field("scheduler flags", flags.value.to_string(), &flags.by),
        field("offload", offload.value.to_string(), &offload.by),
        field("affinity", affinity.value.map_or("none".into(), |s| format!("{s} s")), &affinity.by),
    ];
    if let Some(interfaces) = &decision.node_ports {
        all.push(field("node ports", interfaces.value.to_string(), &interfaces.by));
    }
    if let Some(interfaces) = &decision.interfaces {
        all.push(field("interfaces", interfaces.value.to_string(), &interfaces.by));
    }
    if let Some(again) = &decision.re_evaluate {
        all.push(field("asked again after", format!("{} s", again.value), &again.by));
    }
    all.extend(decision.notes.iter().map(|note| field("note", note.value.clone(), &note.by)));
    all
}

fn endpoint(candidate: &Candidate<'_>, decision: &Decision, node: &str) -> Endpoint {
    let it = candidate.endpoint;
    let conditions =
        [(it.ready, "ready"), (it.serving, "serving"), (it.terminating, "terminating")];
    let mut words: Vec<&str> =
        conditions.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    if candidate.is_local(node) {
        words.push("on this node");
    }
    let state = if words.is_empty() { "not ready".to_owned() } else { words.join(", ") };
    Endpoint { to: candidate.to.to_string(), state, weight: decision.weight(candidate.to).0 }
}

impl Explanation {
    /// The same, worked out without a kernel: its objects are wanted, nobody looked for them.
    #[must_use]
    pub fn without_kernel(mut self) -> Self {
        for object in &mut self.objects {
            object.state = "wanted".to_owned();
        }
        self
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.service)?;
        if let Some(why) = &self.not_served {
            writeln!(f, "  not served: {why}")?;
        }
        for Annotation { name, value, of, beats } in &self.annotations {
            let beats = beats
                .as_ref()
                .map_or_else(String::new, |it| format!(", beats its Namespace's: {it}"));
            writeln!(f, "  annotation {name}: {value} (of the {of}{beats})")?;
        }
        if let Some(limits) = &self.limits {
            writeln!(f, "  limits: {limits}")?;
        }
        self.ports.iter().try_for_each(|port| port.fmt(f))?;
        if !self.objects.is_empty() {
            writeln!(f, "  kernel objects")?;
        }
        self.objects.iter().try_for_each(|it| writeln!(f, "    {}: {}", it.object, it.state))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  port {}", self.port)?;
        if self.answers.is_empty() {
            writeln!(f, "    no policy was asked")?;
        }
        self.answers
            .iter()
            .try_for_each(|it| writeln!(f, "    policy {} said: {}", it.policy, it.said))?;
        self.decision
            .iter()
            .try_for_each(|it| writeln!(f, "    {}: {} (by {})", it.name, it.value, it.by))?;
        self.reasons.iter().try_for_each(|reason| writeln!(f, "    set aside: {reason}"))?;
        if self.endpoints.is_empty() {
            writeln!(f, "    no endpoints: connections are refused")?;
        }
        let endpoints = self.endpoints.iter();
        endpoints.clone().try_for_each(|it| {
            writeln!(f, "    endpoint {} weight {} ({})", it.to, it.weight, it.state)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_core::wish::Wish;

    #[test]
    fn what_policies_say_steers_no_terminal() {
        let evil = || "a\u{1b}[2J\n\u{9b}31m\u{85}\u{202e}\u{2066}b".to_owned();
        let wish = Wish { note: Some(evil()), scheduler: Some(evil()), ..Wish::default() };
        let answers = Answers {
            wishes: vec![("one".to_owned(), wish)],
            refusals: vec![("two".to_owned(), Refusal::Reason(evil()))],
            ..Answers::default()
        };
        let said = said(&answers);
        assert_eq!(said.len(), 2);
        for Answer { said, .. } in said {
            assert!(said.contains("31m") && said.chars().all(|c| !c.is_control()), "{said:?}");
            assert!(!said.contains(['\u{202e}', '\u{2066}']), "{said:?}");
        }
    }
}
