//! What people are told about a migration, and programs too. Pure.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value as Json;

use super::{Deed, Fate, Node, Notice, NoticeKind, ProxyMode, Value, fields};
use crate::config::kubeproxy::differences::Difference;
use crate::config::{Config, Dataplane};

/// What becomes of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It means the same here.
    Carried,
    /// It isn't set, and kube-proxy's default is written down, since it isn't weir's.
    Default,
    /// It is taken, and means something a little different.
    Changed,
    /// It has no counterpart.
    Without,
    /// Nothing is known about a field of this name.
    Unknown,
}

impl Outcome {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Carried, "Carries over"),
        (Self::Default, "Not set, so kube-proxy's default is written down"),
        (Self::Changed, "Carries over with another meaning"),
        (Self::Without, "Has no counterpart"),
        (Self::Unknown, "Isn't known"),
    ];

    fn of(notice: Option<NoticeKind>) -> Self {
        match notice {
            None => Self::Carried,
            Some(NoticeKind::Default) => Self::Default,
            Some(NoticeKind::Changed) => Self::Changed,
            Some(NoticeKind::Ignored) => Self::Without,
            Some(NoticeKind::Unknown) => Self::Unknown,
        }
    }
}

/// A field of weir's and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Becomes {
    /// For example `ipvs.scheduler`.
    pub field: String,
    /// As JSON.
    pub value: Json,
}

/// One field of kube-proxy's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its path.
    pub field: String,
    /// The line in the file, from 1; `None` where it isn't set.
    pub line: Option<u64>,
    /// What is written there.
    pub written: Option<String>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// The fields of weir's that it decides.
    pub becomes: Vec<Becomes>,
    /// Why, and what to do instead; empty where it is carried over.
    pub text: String,
}

/// What there is to know about one migration.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where kube-proxy's configuration was read from.
    pub file: PathBuf,
    /// Its mode.
    pub mode: ProxyMode,
    /// What carries services from now on.
    pub dataplane: Dataplane,
    /// Every setting that asks for something.
    pub settings: Vec<Setting>,
    /// What differs whatever is set.
    pub differences: Vec<Difference>,
    /// What to do on the node, in order.
    pub steps: Vec<Deed>,
}

pub(super) fn setting(
    path: &str,
    written: Option<&Node>,
    notice: Option<&Notice>,
    config: &Config,
) -> Setting {
    let outcome = Outcome::of(notice.map(|notice| notice.kind));
    let taken = matches!(outcome, Outcome::Carried | Outcome::Changed | Outcome::Default);
    let by = match fields::find(path) {
        Some(Fate::Honoured(by)) if taken => by,
        _ => "",
    };
    let becomes = becomes(by, config);
    let said = notice.map(|notice| notice.text.clone());
    // Where no field has the value itself, the table says what it decides.
    let text =
        said.unwrap_or_else(|| if becomes.is_empty() { by.to_owned() } else { String::new() });
    Setting {
        field: path.to_owned(),
        line: written.map(|node| node.line),
        written: written.map(flow),
        outcome,
        becomes,
        text,
    }
}

/// The fields that the table names in back quotes, as far as they hold values.
fn becomes(by: &str, config: &Config) -> Vec<Becomes> {
    let config = serde_json::to_value(config).unwrap_or_default();
    let mut found: Vec<Becomes> = Vec::new();
    for field in by.split('`').skip(1).step_by(2) {
        let value = config.pointer(&format!("/{}", field.replace('.', "/")));
        let Some(value) = value.filter(|value| !value.is_object()) else { continue };
        if !found.iter().any(|other| other.field == field) {
            found.push(Becomes { field: field.to_owned(), value: value.clone() });
        }
    }
    found
}

/// Cut where it is long.
fn cut(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// On one line.
fn flow(node: &Node) -> String {
    match &node.value {
        Value::Removed | Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Signed(value) => value.to_string(),
        Value::Unsigned(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) if text.is_empty() => "\"\"".to_owned(),
        Value::Text(text) => text.escape_debug().to_string(),
        Value::List(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let asks = map.iter().filter(|(_, node)| !node.is_zero());
            let entries: Vec<_> =
                asks.map(|(key, node)| format!("{key}: {}", flow(node))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.field)?,
            None => f.write_str(&self.field)?,
        }
        if let Some(written) = &self.written {
            write!(f, ": {}", cut(written))?;
        }
        for (position, Becomes { field, value }) in self.becomes.iter().enumerate() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            write!(f, "{}{field}: {text}", if position == 0 { "  ->  " } else { ", " })?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, "\n      {}", self.text) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mode, file) = (self.mode.as_str(), self.file.display());
        let dataplane = match self.dataplane {
            Dataplane::Auto => "auto",
            Dataplane::Ipvs => "ipvs",
            Dataplane::Nftables => "nftables",
        };
        writeln!(f, "From kube-proxy in mode {mode} ({file}) to weir with dataplane {dataplane}")?;
        for (outcome, title) in Outcome::ALL {
            let some = self.settings.iter().filter(|setting| setting.outcome == outcome);
            for (position, setting) in some.enumerate() {
                if position == 0 {
                    writeln!(f, "\n{title}:")?;
                }
                writeln!(f, "  - {setting}")?;
            }
        }
        writeln!(f, "\nDiffers all the same:")?;
        for Difference { about, text, .. } in &self.differences {
            writeln!(f, "  - {about}: {text}")?;
        }
        writeln!(f, "\nOn each node, in this order:")?;
        for (number, deed) in self.steps.iter().enumerate() {
            writeln!(f, "  {}. {}", number + 1, deed.what)?;
            for command in &deed.run {
                writeln!(f, "       $ {command}")?;
            }
            writeln!(f, "     Traffic: {}", deed.traffic)?;
        }
        Ok(())
    }
}
