//! The reference of the configuration file, made from the types and their documentation. Pure.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{API_VERSION, Config, KIND, NEEDS_RESTART};

/// The JSON schema of a `WeirConfiguration`, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("apiVersion".to_owned(), serde_json::json!({ "const": API_VERSION }));
        properties.insert("kind".to_owned(), serde_json::json!({ "const": KIND }));
    }
    schema
}

/// The page `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let schema = schemars::schema_for!(Config).to_value();
    let mut page = Page { definitions: definitions(&schema), text: String::new() };
    let _ = page.text.write_str(&intro());
    page.section("", &schema, &Value::Null);
    page.text
}

fn intro() -> String {
    let intro = include_str!("reference.md");
    intro.replace("{apiVersion}", API_VERSION).replace("{kind}", KIND)
}

fn definitions(schema: &Value) -> Map<String, Value> {
    schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default()
}

struct Page {
    definitions: Map<String, Value>,
    text: String,
}

/// A field, its schema with references followed, and its default.
struct Field {
    path: String,
    schema: Value,
    default: Value,
    required: bool,
}

impl Page {
    /// One table of the plain fields of a map, then a section for each map in it.
    fn section(&mut self, path: &str, schema: &Value, default: &Value) {
        let (plain, nested) = self.fields(path, schema, default);
        if !plain.is_empty() {
            self.text.push_str("\n| field | allowed | default | meaning |\n|---|---|---|---|\n");
        }
        for field in &plain {
            self.row(field);
        }
        for field in nested {
            let depth = "#".repeat(field.path.matches('.').count() + 2);
            let meaning = description(&field.schema);
            let _ = write!(self.text, "\n{depth} `{}`\n\n{meaning}\n", field.path);
            self.section(&field.path, &field.schema, &field.default);
        }
    }

    /// The fields of a map: those that hold a value, and those that hold further fields.
    fn fields(&self, path: &str, schema: &Value, default: &Value) -> (Vec<Field>, Vec<Field>) {
        let (mut plain, mut nested) = (Vec::new(), Vec::new());
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        for (name, property) in properties.into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let own = property.get("default").or_else(|| default.get(name));
            let default = own.cloned().unwrap_or(Value::Null);
            let required = required.is_some_and(|names| names.iter().any(|n| n == name));
            let schema = self.followed(property);
            if let Some(element) = self.element(&schema) {
                let meaning = description(&schema);
                let element = with_description(element, &meaning);
                nested.push(Field {
                    path: format!("{path}[]"),
                    schema: element,
                    default: Value::Null,
                    required,
                });
            } else if schema.get("properties").is_some() {
                nested.push(Field { path, schema, default, required });
            } else {
                plain.push(Field { path, schema, default, required });
            }
        }
        (plain, nested)
    }

    /// The schema of a list's elements, if they are maps.
    fn element(&self, schema: &Value) -> Option<Value> {
        let element = self.followed(schema.get("items")?);
        element.get("properties").is_some().then_some(element)
    }

    /// The schema with `$ref` replaced; the field's own description stands before the type's.
    fn followed(&self, schema: &Value) -> Value {
        let of_option = schema.get("anyOf").and_then(|any| any.get(0));
        let inner = of_option.unwrap_or(schema);
        let name = inner.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
        let Some(target) = name.and_then(|name| self.definitions.get(name)) else {
            return schema.clone();
        };
        let own = description(schema);
        with_description(target.clone(), &own)
    }

    fn row(&mut self, field: &Field) {
        let default = match (&field.default, field.required) {
            (_, true) => "*must be set*".to_owned(),
            (Value::Null, false) => "–".to_owned(),
            (Value::String(text), _) => format!("`{text}`"),
            (value, _) => format!("`{value}`"),
        };
        let name = field.path.rsplit('.').next().unwrap_or(&field.path);
        let (allowed, meaning) = (allowed(&field.schema), description(&field.schema));
        let waits = NEEDS_RESTART.contains(&field.path.as_str());
        let when = if waits { " *Needs a restart.*" } else { "" };
        let _ = writeln!(self.text, "| `{name}` | {allowed} | {default} | {meaning}{when} |");
    }
}

fn with_description(mut schema: Value, text: &str) -> Value {
    if let (Some(map), false) = (schema.as_object_mut(), text.is_empty()) {
        map.insert("description".to_owned(), Value::String(text.to_owned()));
    }
    schema
}

fn description(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What may be written, in words.
fn allowed(schema: &Value) -> String {
    if let Some(text) = schema.get("x-allowed").and_then(Value::as_str) {
        return text.to_owned();
    }
    if let Some(items) = schema.get("items") {
        return format!("a list, each {}", allowed(items));
    }
    let names = names(schema);
    if !names.is_empty() {
        return format!("one of {}", names.join(", "));
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first(),
        kind => kind,
    };
    match kind.and_then(Value::as_str) {
        Some("boolean") => "true or false".to_owned(),
        Some("string") => "a path".to_owned(),
        other => other.unwrap_or("any").to_owned(),
    }
}

/// The names of a closed list: `enum`, or `oneOf` with a constant each.
fn names(schema: &Value) -> Vec<String> {
    let list = |key| schema.get(key).and_then(Value::as_array).into_iter().flatten();
    let constants = list("oneOf").filter_map(|one| one.get("const"));
    let nested =
        list("oneOf").filter_map(|one| one.get("enum").and_then(Value::as_array)).flatten();
    let all = list("enum").chain(constants).chain(nested);
    all.filter_map(Value::as_str).map(|name| format!("`{name}`")).collect()
}
