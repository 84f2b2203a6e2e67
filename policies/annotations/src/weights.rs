//! `weir.dev/weights`: which endpoints get which share.
//!
//! A list of at most 1,024 `SELECTOR=WEIGHT`, separated by commas, weights from 0 to 65535. For each endpoint
//! the first selector that fits counts; one that none fits keeps weight 1.
//!
//! | selector | endpoints |
//! |---|---|
//! | `10.0.0.1`, `2001:db8::1` | of this address |
//! | `10.0.0.1:8080`, `[2001:db8::1]:8080` | of this address and port |
//! | `node:NAME` | on this node |
//! | `zone:NAME` | in this zone |
//! | `local` | on the node that decides |
//! | `*` | all |

use std::net::{IpAddr, SocketAddr};

use weir_policy::values::{list, quoted};
use weir_policy::{Decision, Endpoint, ServiceView};

const MOST: u32 = 65_535;

/// The most entries: each endpoint is held against each of them, and what a decision may cost is bounded.
const MOST_ENTRIES: usize = 1_024;

/// Which endpoints a weight is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Selector<'a> {
    Address(IpAddr),
    Socket(SocketAddr),
    Node(&'a str),
    Zone(&'a str),
    Local,
    All,
}

/// Sets the weights that `text` gives to the endpoints in view.
///
/// # Errors
/// What is allowed, when `text` can't be read.
pub fn apply(text: &str, view: &ServiceView, decision: Decision) -> Result<Decision, String> {
    if list(text).nth(MOST_ENTRIES).is_some() {
        return Err(format!("more than {MOST_ENTRIES} entries"));
    }
    let rules: Vec<(Selector<'_>, u32)> = list(text).map(rule).collect::<Result<_, _>>()?;
    if rules.is_empty() {
        return Err(format!("no weight in it: {}", allowed()));
    }
    let weigh = |decision: Decision, endpoint: &Endpoint| {
        let address = endpoint.address.parse().ok();
        match rules.iter().find(|(selector, _)| selector.fits(endpoint, address)) {
            Some((_, weight)) => decision.weight(endpoint, *weight),
            None => decision,
        }
    };
    Ok(view.endpoints.iter().fold(decision, weigh))
}

fn rule(entry: &str) -> Result<(Selector<'_>, u32), String> {
    let wrong = || format!("{} can't be read: {}", quoted(entry), allowed());
    let (selector, weight) = entry.rsplit_once('=').ok_or_else(wrong)?;
    let weight = weight.trim().parse().ok().filter(|weight| *weight <= MOST).ok_or_else(wrong)?;
    Ok((Selector::read(selector.trim()).ok_or_else(wrong)?, weight))
}

fn allowed() -> String {
    format!(
        "write SELECTOR=WEIGHT, the selector ADDRESS, ADDRESS:PORT, node:NAME, zone:NAME, local \
         or *, the weight 0 to {MOST}"
    )
}

impl<'a> Selector<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let named = |prefix| text.strip_prefix(prefix).filter(|name: &&str| !name.is_empty());
        match text {
            "*" => Some(Self::All),
            "local" => Some(Self::Local),
            _ if text.starts_with("node:") => named("node:").map(Self::Node),
            _ if text.starts_with("zone:") => named("zone:").map(Self::Zone),
            _ => {
                let address = text.parse().ok().map(Self::Address);
                address.or_else(|| text.parse().ok().map(Self::Socket))
            }
        }
    }

    /// Whether it means an endpoint, whose address is read already.
    fn fits(&self, endpoint: &Endpoint, address: Option<IpAddr>) -> bool {
        match self {
            Self::Address(wanted) => address == Some(*wanted),
            Self::Socket(wanted) => endpoint.port == wanted.port() && address == Some(wanted.ip()),
            Self::Node(wanted) => endpoint.node.as_deref() == Some(*wanted),
            Self::Zone(wanted) => endpoint.zone.as_deref() == Some(*wanted),
            Self::Local => endpoint.local,
            Self::All => true,
        }
    }
}
