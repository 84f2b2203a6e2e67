//! What `kustomize build` makes of the folders of deploy/, as far as they use it: an unknown field of a
//! kustomization fails. Names get no hash of their contents here.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// One kustomization.yaml.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kustomization {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    namespace: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    config_map_generator: Vec<Generator>,
    #[serde(default)]
    patches: Vec<Patch>,
    #[serde(default)]
    images: Vec<Image>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Generator {
    name: String,
    #[serde(default)]
    behavior: String,
    files: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Image {
    name: String,
    new_tag: String,
}

/// The objects of a folder with a kustomization, and of components applied on top of them.
pub(crate) fn build(folder: &Path, components: &[&Path]) -> Vec<Value> {
    let mut objects = Vec::new();
    apply(folder, &mut objects);
    for component in components {
        apply(component, &mut objects);
    }
    objects
}

fn apply(folder: &Path, objects: &mut Vec<Value>) {
    let file = folder.join("kustomization.yaml");
    let text = read(&file);
    let it: Kustomization =
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    for resource in &it.resources {
        let path = folder.join(resource);
        if path.is_dir() {
            apply(&path, objects);
        } else {
            objects.extend(documents(&path));
        }
    }
    for generator in &it.config_map_generator {
        generate(folder, generator, it.namespace.as_deref(), objects);
    }
    for patch in &it.patches {
        for patch in documents(&folder.join(&patch.path)) {
            let target = objects.iter_mut().find(|it| id(it) == id(&patch));
            merge(target.unwrap_or_else(|| panic!("nothing to patch: {}", id(&patch))), &patch);
        }
    }
    for object in objects {
        set_images(object, &it.images);
    }
}

/// The documents of a file of manifests.
pub(crate) fn documents(file: &Path) -> Vec<Value> {
    let read = serde_saphyr::from_multiple(&read(file));
    read.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What tells objects apart.
pub(crate) fn id(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!("{} {}/{}", object["kind"], metadata["namespace"], metadata["name"])
}

fn generate(folder: &Path, of: &Generator, namespace: Option<&str>, objects: &mut Vec<Value>) {
    let data = of.files.iter().map(|name| (name.clone(), json!(read(&folder.join(name)))));
    let data: Map<String, Value> = data.collect();
    let made = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": of.name, "namespace": namespace},
    });
    let before = objects.iter().position(|it| id(it) == id(&made));
    assert_eq!(before.is_some(), of.behavior == "replace", "{}", of.name);
    match before {
        Some(at) => objects[at] = made,
        None => objects.push(made),
    }
}

/// A strategic merge, as far as these patches need it.
pub(crate) fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(patch)) if patch.iter().all(|it| key(it).is_some()) => {
            for one in patch {
                match into.iter_mut().find(|it| key(it) == key(one)) {
                    Some(there) => merge(there, one),
                    None => into.push(one.clone()),
                }
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

/// By what elements of the API's lists are told apart.
fn key(element: &Value) -> Option<&str> {
    element.get("mountPath").or_else(|| element.get("name"))?.as_str()
}

fn set_images(value: &mut Value, images: &[Image]) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let image = images.iter().find(|it| name == "image" && value == it.name.as_str());
                match image {
                    Some(Image { name, new_tag }) => *value = json!(format!("{name}:{new_tag}")),
                    None => set_images(value, images),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|it| set_images(it, images)),
        _ => {}
    }
}
