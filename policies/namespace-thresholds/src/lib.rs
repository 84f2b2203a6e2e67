//! After how many packets flows are offloaded, by Namespace.
//!
//! | configuration | meaning |
//! |---|---|
//! | `NAMESPACE` | threshold of the Services in that Namespace |
//! | `*` | of those in all others; without it, no opinion on them |
//! | `.min`, `.max` | least and greatest threshold that an annotation can ask for |
//!
//! Every value is `never` or a number of packets from 1; `never` is more than any number. The names
//! of the settings can't be those of Namespaces, which have no `*` and no dot.
//!
//! The annotation `weir.dev/offload-after-packets` on the Namespace beats this table, and the one on
//! the Service beats both. What it asks for is kept between `.min` and `.max`, with a note; the table
//! is the operator's own and isn't. An annotation that can't be read is named in the note, and what
//! comes after it counts.
//!
//! The owners of a Namespace can so leave the table, within the bounds: `.min: never` holds all of
//! them to never, and `.max: 100` lets nobody refuse.

use weir_policy::values::{self, OFFLOAD_AFTER_PACKETS, quoted};
use weir_policy::{
    Attributes, Config, Decision, Node, Offload, Policy, Refusal, ServiceView, count,
};

const OTHERS: &str = "*";
const LEAST: &str = ".min";
const MOST: &str = ".max";
/// The longest name of a Namespace (RFC 1123 label).
const LONGEST: usize = 63;

/// The policy.
pub struct NamespaceThresholds {
    /// Sorted by name. A map of a thousand Namespaces took four times as long to make as all the rest,
    /// and each decision makes it anew.
    table: Vec<(String, Offload)>,
    others: Option<Offload>,
    least: Option<Offload>,
    most: Option<Offload>,
}

impl Policy for NamespaceThresholds {
    fn configure(config: &Config, _node: &Node) -> Result<Self, String> {
        let mut policy = Self { table: Vec::new(), others: None, least: None, most: None };
        for (name, text) in config.iter() {
            check_name(name)?;
            let offload = values::offload(text.trim())
                .map_err(|allowed| format!("{name}: {}: {allowed}", quoted(text)))?;
            match name {
                OTHERS => policy.others = Some(offload),
                LEAST => policy.least = Some(offload),
                MOST => policy.most = Some(offload),
                namespace => policy.table.push((namespace.to_owned(), offload)),
            }
        }
        if let (Some(least), Some(most)) = (policy.least, policy.most)
            && rank(least) > rank(most)
        {
            return Err(format!("{LEAST} is {}, more than {MOST}, {}", said(least), said(most)));
        }
        Ok(policy)
    }

    fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal> {
        let mut notes = Vec::new();
        let annotated = annotated(view, &mut notes);
        let offload = match annotated {
            Some((whose, asked)) => Some(self.bounded(whose, asked, &mut notes)),
            None => self.listed(&view.namespace.name).or(self.others),
        };
        answer(offload, &notes.join("; "))
    }
}

impl NamespaceThresholds {
    fn listed(&self, namespace: &str) -> Option<Offload> {
        let found = self.table.binary_search_by(|(name, _)| name.as_str().cmp(namespace)).ok()?;
        Some(self.table[found].1)
    }

    /// What an annotation asks for, as far as the operator grants it.
    fn bounded(&self, whose: &str, asked: Offload, notes: &mut Vec<String>) -> Offload {
        let below = self.least.filter(|least| rank(asked) < rank(*least));
        let above = self.most.filter(|most| rank(asked) > rank(*most));
        let (bound, name) = match (below, above) {
            (Some(least), _) => (least, LEAST),
            (None, Some(most)) => (most, MOST),
            (None, None) => return asked,
        };
        count("bounded", 1);
        let (asked, set) = (said(asked), said(bound));
        notes.push(format!(
            "{OFFLOAD_AFTER_PACKETS} of the {whose}: {asked} is beyond {name} of this policy: {set}"
        ));
        bound
    }
}

/// What the Service's annotation says, else the Namespace's, and whose it is.
fn annotated(view: &ServiceView, notes: &mut Vec<String>) -> Option<(&'static str, Offload)> {
    let all = [("Service", &view.service.annotations), ("Namespace", &view.namespace.annotations)];
    for (whose, annotations) in all {
        let Some(text) = annotations.value(OFFLOAD_AFTER_PACKETS) else { continue };
        match values::offload(text.trim()) {
            Ok(offload) => return Some((whose, offload)),
            Err(allowed) => {
                let text = quoted(text);
                notes.push(format!("{OFFLOAD_AFTER_PACKETS} of the {whose}: {text}: {allowed}"));
            }
        }
    }
    None
}

fn answer(offload: Option<Offload>, note: &str) -> Result<Decision, Refusal> {
    match (offload, note) {
        (None, "") => Err(Refusal::NotMine),
        (None, _) => Err(Refusal::Reason(note.to_owned())),
        (offload, "") => Ok(Decision { offload, ..Decision::new() }),
        (offload, _) => Ok(Decision { offload, ..Decision::new() }.note(note)),
    }
}

/// `never` is after any number of packets.
fn rank(offload: Offload) -> u64 {
    match offload {
        Offload::After(packets) => packets.into(),
        Offload::Never => u64::MAX,
    }
}

fn said(offload: Offload) -> String {
    match offload {
        Offload::After(packets) => packets.to_string(),
        Offload::Never => "never".to_owned(),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let namespace = (1..=LONGEST).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if namespace || [OTHERS, LEAST, MOST].contains(&name) {
        return Ok(());
    }
    Err(format!(
        "{}: write the name of a Namespace (lower-case letters, digits and `-`), `{OTHERS}` for all \
         others, `{LEAST}` or `{MOST}`",
        quoted(name)
    ))
}

weir_policy::export!(NamespaceThresholds);

#[cfg(test)]
mod tests;
