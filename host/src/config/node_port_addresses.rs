//! Field `nodePortAddresses`: which of the node's addresses node ports answer on. Pure.

use std::fmt;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::fault::Problem;
use super::text::{Cidr, NotAllowed};

/// What may be written, for messages and the reference.
const ALLOWED: &str =
    "`primary`, or a list of ranges of addresses such as `10.0.0.0/8` or `fd00::/64`";
/// The word for the Node's own addresses.
pub(super) const PRIMARY: &str = "primary";
/// More ranges than a node has networks; each of its addresses is held against all of them.
const MOST: usize = 64;

/// Where node ports answer, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// On the first address of each family in the Node object.
    #[default]
    Primary,
    /// On the node's addresses within these ranges, and on all of a family of which none is named.
    Ranges(Vec<Cidr>),
}

impl NodePortAddresses {
    /// As the pure half takes it.
    #[must_use]
    pub fn get(&self) -> weir_core::node_ports::NodePortAddresses {
        use weir_core::node_ports::NodePortAddresses as Core;
        match self {
            Self::Primary => Core::Primary,
            Self::Ranges(list) => Core::Ranges(list.iter().map(|range| range.get()).collect()),
        }
    }

    /// Every address of both families.
    pub(super) fn all() -> Self {
        let whole = [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
        Self::Ranges(whole.map(Cidr::containing).to_vec())
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let Self::Ranges(list) = self else { return };
        let text = match list.len() {
            0 => {
                format!("no range: name some, `0.0.0.0/0` and `::/0` for all, or write `{PRIMARY}`")
            }
            1..=MOST => return,
            many => format!("{many} ranges, the most is {MOST}"),
        };
        problems.push(Problem::new("nodePortAddresses", text));
    }
}

impl Serialize for NodePortAddresses {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Primary => to.serialize_str(PRIMARY),
            Self::Ranges(list) => list.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for NodePortAddresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Written)
    }
}

struct Written;

impl<'de> de::Visitor<'de> for Written {
    type Value = NodePortAddresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ALLOWED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if text == PRIMARY {
            return Ok(NodePortAddresses::Primary);
        }
        Err(E::custom(NotAllowed::new(text, ALLOWED)))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(NodePortAddresses::Ranges)
    }
}

impl JsonSchema for NodePortAddresses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NodePortAddresses".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(make: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let range = make.subschema_for::<Cidr>();
        schemars::json_schema!({
            "oneOf": [
                { "const": PRIMARY },
                { "type": "array", "minItems": 1, "maxItems": MOST, "items": range },
            ],
            "x-allowed": ALLOWED,
        })
    }
}
