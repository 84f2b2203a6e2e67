//! What `helm template` makes of deploy/chart, by Go's template language and the few functions of Helm's
//! that the chart uses; another one fails.

use std::fs;
use std::path::Path;

use gtmpl::{Context, FuncError, Template, Value as Field};
use serde_json::{Value, json};

use super::kustomize::merge;

/// The objects of the chart, with these files of values on top of its own, and these values on top of all.
pub(crate) fn render(chart: &Path, files: &[&str], more: &Value) -> Vec<Value> {
    let mut values = yaml(&chart.join("values.yaml"));
    for file in files {
        coalesce(&mut values, &yaml(&chart.join(file)));
    }
    coalesce(&mut values, more);
    assert_eq!(refused(chart, &values), [""; 0]);
    let about = yaml(&chart.join("Chart.yaml"));
    let context = json!({
        "Values": values,
        "Chart": {"AppVersion": about["appVersion"]},
        "Release": {"Namespace": "weir-system"},
    });
    let mut objects = Vec::new();
    for template in templates(chart) {
        let text = template_text(&template, &context);
        let read: Vec<Value> = serde_saphyr::from_multiple(&text)
            .unwrap_or_else(|error| panic!("{}: {error}\n{text}", template.display()));
        objects.extend(read);
    }
    objects
}

/// What Helm would refuse of values, by the chart's schema.
pub(crate) fn refused(chart: &Path, values: &Value) -> Vec<String> {
    let schema = fs::read_to_string(chart.join("values.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    schema.iter_errors(values).map(|it| format!("{}: {it}", it.instance_path())).collect()
}

fn templates(chart: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(chart.join("templates")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths.filter(|it| it.extension().is_some_and(|e| e == "yaml")).collect();
    all.sort();
    all
}

/// Helm's way: maps are merged, and everything else, lists too, is replaced.
fn coalesce(into: &mut Value, over: &Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                coalesce(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, over) => *into = over.clone(),
    }
}

fn yaml(file: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn template_text(file: &Path, context: &Value) -> String {
    let mut template = Template::default();
    template.add_func("toYaml", to_yaml);
    template.add_func("nindent", nindent);
    template.add_func("default", default);
    template.add_func("splitList", split_list);
    template.add_func("last", last);
    template.add_func("trimSuffix", trim_suffix);
    template.add_func("trimAll", trim_all);
    template.add_func("quote", |all| Ok(format!("{:?}", text(&all[0])?).into()));
    template.add_func("sha256sum", |_| Ok("of the configuration".into()));
    let text = fs::read_to_string(file).unwrap();
    let failed = |error: String| -> String { panic!("{}: {error}", file.display()) };
    if let Err(error) = template.parse(text) {
        failed(error.to_string());
    }
    let rendered = template.render(&Context::from(to_field(context)));
    rendered.unwrap_or_else(|error| failed(error.to_string()))
}

fn to_field(value: &Value) -> Field {
    match value {
        Value::Null => Field::Nil,
        Value::Bool(it) => (*it).into(),
        Value::Number(it) => it.as_i64().expect("whole numbers only").into(),
        Value::String(it) => it.as_str().into(),
        Value::Array(all) => Field::Array(all.iter().map(to_field).collect()),
        Value::Object(all) => {
            Field::Map(all.iter().map(|(key, value)| (key.clone(), to_field(value))).collect())
        }
    }
}

fn from_field(field: &Field) -> Value {
    match field {
        Field::Bool(it) => json!(it),
        Field::Number(it) => json!(it.as_i64()),
        Field::String(it) => json!(it),
        Field::Array(all) => all.iter().map(from_field).collect(),
        Field::Map(all) | Field::Object(all) => {
            all.iter().map(|(key, value)| (key.clone(), from_field(value))).collect()
        }
        _ => Value::Null,
    }
}

fn text(of: &Field) -> Result<&str, FuncError> {
    match of {
        Field::String(text) => Ok(text),
        other => Err(FuncError::Generic(format!("{other} is no text"))),
    }
}

fn to_yaml(args: &[Field]) -> Result<Field, FuncError> {
    let text = serde_saphyr::to_string(&from_field(&args[0]));
    let text = text.map_err(|error| FuncError::Generic(error.to_string()))?;
    Ok(text.trim_end().into())
}

/// `nindent SPACES TEXT`: on a line of its own.
fn nindent(args: &[Field]) -> Result<Field, FuncError> {
    let Field::Number(spaces) = &args[0] else { return Err(FuncError::Generic("nindent".into())) };
    let spaces = usize::try_from(spaces.as_u64().unwrap_or_default()).unwrap_or_default();
    let lines = text(&args[1])?.lines().map(|line| format!("\n{}{line}", " ".repeat(spaces)));
    Ok(lines.collect::<String>().into())
}

/// `default OTHERWISE VALUE`.
fn default(args: &[Field]) -> Result<Field, FuncError> {
    let is_empty = matches!(&args[1], Field::Nil) || text(&args[1]).is_ok_and(str::is_empty);
    Ok(if is_empty { args[0].clone() } else { args[1].clone() })
}

/// `splitList SEPARATOR TEXT`.
fn split_list(args: &[Field]) -> Result<Field, FuncError> {
    let parts = text(&args[1])?.split(text(&args[0])?);
    Ok(Field::Array(parts.map(Field::from).collect()))
}

/// `trimSuffix SUFFIX TEXT`.
fn trim_suffix(args: &[Field]) -> Result<Field, FuncError> {
    let (suffix, text) = (text(&args[0])?, text(&args[1])?);
    Ok(text.strip_suffix(suffix).unwrap_or(text).into())
}

/// `trimAll CHARACTERS TEXT`.
fn trim_all(args: &[Field]) -> Result<Field, FuncError> {
    let characters: Vec<char> = text(&args[0])?.chars().collect();
    Ok(text(&args[1])?.trim_matches(&*characters).into())
}

fn last(args: &[Field]) -> Result<Field, FuncError> {
    match &args[0] {
        Field::Array(all) => Ok(all.last().cloned().unwrap_or(Field::Nil)),
        other => Err(FuncError::Generic(format!("{other} is no list"))),
    }
}

/// Maps of two renderings may differ in nothing but this: Helm marks what a change must roll out, and
/// kustomize names it anew.
pub(crate) fn without_checksum(mut objects: Vec<Value>) -> Vec<Value> {
    for object in &mut objects {
        let metadata = object.pointer_mut("/spec/template/metadata");
        if let Some(metadata) = metadata.and_then(Value::as_object_mut) {
            let annotations = metadata.remove("annotations");
            assert!(annotations.is_some_and(|it| it["checksum/config"].is_string()));
        }
    }
    objects
}

/// A value of a chart's own, merged as kustomize would: for what only one of them has.
pub(crate) fn patched(mut objects: Vec<Value>, kind: &str, patch: &Value) -> Vec<Value> {
    objects.iter_mut().filter(|it| it["kind"] == kind).for_each(|it| merge(it, patch));
    objects
}
