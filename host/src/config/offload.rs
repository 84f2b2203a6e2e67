//! Section `offload`: when flows skip the rule set where no policy has an opinion. Pure.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::Problem;
use super::number::Within;
use super::period::Period;
use super::text::NotAllowed;

/// A number of packets of one flow, both directions together.
pub type Packets = Within<0, { u32::MAX as u64 }>;

/// A sample walks the whole table of connections.
const SHORTEST_COUNT: Duration = Duration::from_secs(1);

/// Offload. The threshold's default is that of KEP-4963.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Offload {
    /// A flow of a service on which no policy has an opinion is offloaded once more than so many
    /// packets, both directions together, were counted; 0 is never.
    pub after_packets: Packets,
    /// How often offloaded flows are counted by service; `0s` is never. A count walks the kernel's
    /// whole table of connections, so at least `1s`.
    pub count_flows: Period,
}

impl Default for Offload {
    fn default() -> Self {
        Self { after_packets: Packets::new(20), count_flows: Period::ZERO }
    }
}

impl Offload {
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let period = self.count_flows;
        if !period.is_zero() && period.get() < SHORTEST_COUNT {
            let text =
                format!("{period} is too often: expected `0s`, which is never, or at least 1s");
            problems.push(Problem::new("offload.countFlows", text));
        }
    }
}

/// Reads the threshold from a flag.
///
/// # Errors
/// The text isn't a number within the bounds.
pub fn packets(text: &str) -> Result<Packets, NotAllowed> {
    let number = text.parse().ok().and_then(Packets::checked);
    let allowed = format!("a whole number from 0, which is never, to {}", u32::MAX);
    number.ok_or_else(|| NotAllowed::new(text, &allowed))
}
