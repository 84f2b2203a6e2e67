//! Which objects a list or a watch is about. Pure.

use serde_json::Value;

use crate::question::Question;

/// Label and field selectors, as far as proxiers use them: `key`, `!key`, `key=value`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    labels: Vec<(String, Want)>,
    name: Option<String>,
    namespace: String,
}

#[derive(Clone, Debug)]
enum Want {
    There,
    Absent,
    Is(String),
}

impl Selector {
    /// The selectors of a question; the error is for the client.
    pub(crate) fn of(question: &Question) -> Result<Self, String> {
        let labels = terms(question.text("labelSelector")).map(|term| match term.split_once('=') {
            Some((key, value)) => {
                (key.to_owned(), Want::Is(value.trim_start_matches('=').to_owned()))
            }
            None => match term.strip_prefix('!') {
                Some(key) => (key.to_owned(), Want::Absent),
                None => (term.to_owned(), Want::There),
            },
        });
        let mut name = None;
        for term in terms(question.text("fieldSelector")) {
            let Some(value) = term.strip_prefix("metadata.name=") else {
                return Err(format!("field selector {term:?} isn't supported"));
            };
            name = Some(value.to_owned());
        }
        Ok(Self { labels: labels.collect(), name, namespace: question.namespace.clone() })
    }

    pub(crate) fn takes(&self, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let named = self.name.as_ref().is_none_or(|name| metadata["name"] == **name);
        let placed = self.namespace.is_empty() || metadata["namespace"] == *self.namespace;
        let label = |key: &str| metadata["labels"].get(key).and_then(Value::as_str);
        let labelled = self.labels.iter().all(|(key, want)| match want {
            Want::There => label(key).is_some(),
            Want::Absent => label(key).is_none(),
            Want::Is(value) => label(key) == Some(value),
        });
        named && placed && labelled
    }
}

fn terms(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|term| !term.is_empty())
}
