//! Sections `policies` and `policyLimits`: which components are asked, in order, and what each may use. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Problem;
use super::number::{GIB, KIB, MIB, Size, Within};
use super::text::Label;

/// Fuel of one evaluation: one unit an executed WebAssembly instruction.
pub type Fuel = Within<10_000, 10_000_000_000>;
/// Fuel added for each endpoint in the view.
pub type EndpointFuel = Within<0, 100_000_000>;
/// Memory of one instance.
pub type Memory = Size<MIB, GIB>;
/// What one call may copy from the sandbox into the host.
pub type ResultSize = Size<{ 4 * KIB }, { 64 * MIB }>;
/// Log lines of one evaluation.
pub type LogLines = Within<0, 1_000>;
/// Bytes logged by one evaluation.
pub type LogSize = Size<0, MIB>;

/// What one evaluation of a policy may use; one that goes over is stopped and has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicyLimits {
    /// Fuel of one evaluation: one unit an executed instruction.
    pub fuel: Fuel,
    /// Fuel added for each endpoint that the policy sees.
    pub fuel_per_endpoint: EndpointFuel,
    /// Memory of one instance.
    pub memory: Memory,
    /// Bytes that one call may copy out of the sandbox.
    pub result_size: ResultSize,
    /// Log lines of one evaluation; further ones are dropped and counted.
    pub log_lines: LogLines,
    /// Bytes that one evaluation may log; further ones are dropped and counted.
    pub log_size: LogSize,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self {
            fuel: Fuel::new(50_000_000),
            fuel_per_endpoint: EndpointFuel::new(100_000),
            memory: Memory::new(16 * MIB),
            result_size: ResultSize::new(MIB),
            log_lines: LogLines::new(16),
            log_size: LogSize::new(8 * KIB),
        }
    }
}

/// Settings that the host hands to a policy's `configure` without looking into them: names with
/// texts. A number or a truth value becomes its text; a list or a map becomes JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PolicySettings(BTreeMap<String, String>);

impl PolicySettings {
    /// Names with values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for PolicySettings {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(settings: I) -> Self {
        Self(settings.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for PolicySettings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = BTreeMap::<String, serde_json::Value>::deserialize(from)?;
        let text = |value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Self(written.into_iter().map(|(name, value)| (name, text(value))).collect()))
    }
}

impl JsonSchema for PolicySettings {
    fn schema_name() -> Cow<'static, str> {
        "PolicySettings".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "x-allowed": "a map of names to values" })
    }
}

/// One policy of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Its name in logs, metrics and `weir explain`; each only once.
    pub name: Label,
    /// The component. A relative path starts at the folder of the configuration file.
    pub file: PathBuf,
    /// Settings for the policy itself, which knows what they mean. It gets texts: a number or a
    /// truth value as its text (quote what must stay as written), a list or a map as JSON.
    #[serde(default, skip_serializing_if = "PolicySettings::is_empty")]
    pub config: PolicySettings,
}

pub(super) fn check(policies: &[Policy], problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (index, policy) in policies.iter().enumerate() {
        if !seen.insert(&policy.name) {
            let text = format!("`{}` is the name of an earlier policy too", policy.name);
            problems.push(Problem::new(&format!("policies[{index}].name"), text));
        }
        if policy.file.as_os_str().is_empty() {
            problems.push(Problem::new(&format!("policies[{index}].file"), "is empty"));
        }
    }
}
