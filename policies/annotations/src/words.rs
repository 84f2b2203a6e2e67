//! Words that annotations may hold; each error says what is allowed.

use weir_policy::values::{list, one_of};

pub(crate) const DATAPLANES: [&str; 2] = ["ipvs", "nftables"];
pub(crate) const SCHEDULERS: [&str; 15] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "mh", "sed", "nq", "fo", "ovf", "twos",
    "random",
];
const FLAGS: [&str; 4] = ["mh-port", "mh-fallback", "sh-port", "sh-fallback"];

/// Flags of a scheduler; none for an empty text.
pub(crate) fn flags(text: &str) -> Result<Vec<String>, String> {
    list(text).map(|word| one_of(word, &FLAGS).map(str::to_owned)).collect()
}
