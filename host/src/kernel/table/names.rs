//! Names of chains that services share, from what they are and back. Pure.
//!
//! A chain's name says all that is in it: what a look finds needs no other memory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use weir_core::interfaces::Digest;
use weir_core::net::{Family, Port, Protocol};
use weir_core::state::{Chain, Class, Memory, OffloadClass, Pick, Scope, VirtualKey};
use weir_nft::Name;

/// The name of a chain: `lb4-random-3`, `lb4-random-3-inside`, `lb6-hash-port-1021-sticky`,
/// `lb4-random-3-sticky-local`, `lb4-rr-3-tcp-10.96.0.1-80`, `remember4-10800`, `offload-20`, `offload-20-00000000deadbeef`.
pub(in crate::kernel) fn chain(chain: &Chain) -> Name {
    let text = match chain {
        Chain::Balance(class) => balance(class),
        Chain::Remember(Memory { family, seconds }) => {
            format!("remember{}-{seconds}", digit(*family))
        }
        Chain::Offload(OffloadClass { after, interfaces: None }) => format!("offload-{after}"),
        Chain::Offload(OffloadClass { after, interfaces: Some(selection) }) => {
            format!("offload-{after}-{selection}")
        }
    };
    named(&text)
}

/// The name of the set of interfaces that a selection takes.
pub(in crate::kernel) fn interfaces(selection: Digest) -> Name {
    named(&format!("ifaces-{selection}"))
}

#[allow(clippy::expect_used, reason = "letters, digits, points and hyphens, far below the limit")]
fn named(text: &str) -> Name {
    Name::new(text).expect("a word, numbers and an address")
}

fn balance(class: &Class) -> String {
    let family = digit(class.family);
    let slots = class.slots;
    let mut text = match class.pick {
        Pick::Random => format!("lb{family}-random-{slots}"),
        Pick::Source { port: false } => format!("lb{family}-hash-{slots}"),
        Pick::Source { port: true } => format!("lb{family}-hash-port-{slots}"),
        Pick::Destination => format!("lb{family}-dhash-{slots}"),
        Pick::Turn(VirtualKey { address, protocol, port }) => {
            format!("lb{family}-rr-{slots}-{protocol}-{}-{port}", dotted(address))
        }
    };
    if class.inside {
        text.push_str("-inside");
    }
    text.push_str(match class.sticky {
        None => "",
        Some(Scope::Cluster) => "-sticky",
        Some(Scope::Local) => "-sticky-local",
    });
    text
}

fn digit(family: Family) -> char {
    match family {
        Family::V4 => '4',
        Family::V6 => '6',
    }
}

/// A name has no room for colons.
fn dotted(address: IpAddr) -> String {
    match address {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => ip.segments().map(|part| format!("{part:x}")).join("."),
    }
}

fn undotted(text: &str, family: Family) -> Option<IpAddr> {
    match family {
        Family::V4 => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Family::V6 => {
            let parts: Result<Vec<u16>, _> =
                text.split('.').map(|part| u16::from_str_radix(part, 16)).collect();
            let parts: [u16; 8] = parts.ok()?.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(parts)))
        }
    }
}

/// The chain of this name; `None` for names that weir never writes.
pub(in crate::kernel) fn parse(name: &Name) -> Option<Chain> {
    let words: Vec<&str> = name.as_str().split('-').collect();
    let parsed = match words.as_slice() {
        ["offload", after] => {
            Chain::Offload(OffloadClass { after: after.parse().ok()?, interfaces: None })
        }
        ["offload", after, selection] => Chain::Offload(OffloadClass {
            after: after.parse().ok()?,
            interfaces: Some(selection_id(selection)?),
        }),
        ["remember4", seconds] => memory(Family::V4, seconds)?,
        ["remember6", seconds] => memory(Family::V6, seconds)?,
        ["lb4", rest @ ..] => Chain::Balance(class(Family::V4, rest)?),
        ["lb6", rest @ ..] => Chain::Balance(class(Family::V6, rest)?),
        _ => return None,
    };
    // `020` is a number as well, but not as weir writes it.
    (chain(&parsed) == *name).then_some(parsed)
}

/// The selection whose set of interfaces has this name.
pub(in crate::kernel) fn parse_interfaces(name: &Name) -> Option<Digest> {
    let selection = selection_id(name.as_str().strip_prefix("ifaces-")?)?;
    (interfaces(selection) == *name).then_some(selection)
}

fn selection_id(text: &str) -> Option<Digest> {
    u64::from_str_radix(text, 16).ok().map(Digest)
}

fn memory(family: Family, seconds: &str) -> Option<Chain> {
    Some(Chain::Remember(Memory { family, seconds: seconds.parse().ok()? }))
}

fn class(family: Family, words: &[&str]) -> Option<Class> {
    let number = |word: &str| word.parse::<NonZeroU32>().ok();
    let (words, sticky) = match words {
        [words @ .., "sticky"] => (words, Some(Scope::Cluster)),
        [words @ .., "sticky", "local"] => (words, Some(Scope::Local)),
        words => (words, None),
    };
    let (words, inside) = match words {
        [words @ .., "inside"] => (words, true),
        words => (words, false),
    };
    let (pick, slots) = match words {
        ["random", slots] => (Pick::Random, slots),
        ["hash", slots] => (Pick::Source { port: false }, slots),
        ["hash", "port", slots] => (Pick::Source { port: true }, slots),
        ["dhash", slots] => (Pick::Destination, slots),
        ["rr", slots, protocol, address, port] => {
            let protocol: Protocol = protocol.to_uppercase().parse().ok()?;
            let address = undotted(address, family)?;
            let port = Port::new(port.parse().ok()?)?;
            (Pick::Turn(VirtualKey { address, protocol, port }), slots)
        }
        _ => return None,
    };
    Some(Class { family, pick, slots: number(slots)?, sticky, inside })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<Chain> {
        let n = |n| NonZeroU32::new(n).unwrap();
        let key = |address: &str, port| VirtualKey {
            address: address.parse().unwrap(),
            protocol: Protocol::Sctp,
            port: Port::new(port).unwrap(),
        };
        let leg = |family, pick, slots, sticky, inside| {
            Chain::Balance(Class { family, pick, slots: n(slots), sticky, inside })
        };
        let class = |family, pick, slots, sticky| leg(family, pick, slots, sticky, false);
        let offload = |after, interfaces: Option<u64>| {
            Chain::Offload(OffloadClass { after: n(after), interfaces: interfaces.map(Digest) })
        };
        let (cluster, local) = (Some(Scope::Cluster), Some(Scope::Local));
        vec![
            class(Family::V4, Pick::Random, 3, None),
            class(Family::V6, Pick::Random, 3, cluster),
            class(Family::V4, Pick::Random, 3, local),
            class(Family::V4, Pick::Source { port: false }, 7, None),
            class(Family::V4, Pick::Source { port: true }, 1021, cluster),
            class(Family::V6, Pick::Destination, 2, None),
            class(Family::V4, Pick::Turn(key("10.96.0.1", 80)), 4, None),
            class(Family::V6, Pick::Turn(key("fd00::ffff:1.2.3.4", 65_535)), 4, local),
            leg(Family::V4, Pick::Random, 3, None, true),
            leg(Family::V6, Pick::Turn(key("fd00::1", 53)), 3, cluster, true),
            Chain::Remember(Memory { family: Family::V6, seconds: n(10_800) }),
            offload(20, None),
            offload(u32::MAX, Some(0x00ad_f00d)),
        ]
    }

    #[test]
    fn a_name_says_all() {
        let names: Vec<String> = classes().iter().map(|it| chain(it).to_string()).collect();
        let want = [
            "lb4-random-3",
            "lb6-random-3-sticky",
            "lb4-random-3-sticky-local",
            "lb4-hash-7",
            "lb4-hash-port-1021-sticky",
            "lb6-dhash-2",
            "lb4-rr-4-sctp-10.96.0.1-80",
            "lb6-rr-4-sctp-fd00.0.0.0.0.ffff.102.304-65535-sticky-local",
            "lb4-random-3-inside",
            "lb6-rr-3-sctp-fd00.0.0.0.0.0.0.1-53-inside-sticky",
            "remember6-10800",
            "offload-20",
            "offload-4294967295-0000000000adf00d",
        ];
        assert_eq!(names, want);
        for it in classes() {
            assert_eq!(parse(&chain(&it)), Some(it));
        }
        let selection = Digest(0xbeef);
        assert_eq!(interfaces(selection).as_str(), "ifaces-000000000000beef");
        assert_eq!(parse_interfaces(&interfaces(selection)), Some(selection));
    }

    #[test]
    fn other_names_are_nobodys() {
        let others = [
            "nat-prerouting",
            "lb4",
            "lb4-random-0",
            "lb4-random-03",
            "lb4-random-3-sticky-0",
            "lb4-random-3-sticky-inside",
            "lb4-random-3-local-sticky",
            "lb4-random-3-local",
            "remember4-0",
            "remember5-60",
            "lb4-rr-3-tcp-fd00.0.0.0.0.0.0.1-80",
            "lb4-rr-3-tcp-10.96.0.1-0",
            "lb6-rr-3-tcp-0fd00.0.0.0.0.0.0.1-80",
            "offload-0",
            "offload-20-f00d",
            "offload-20-00000000badf000g",
        ];
        for name in others {
            assert_eq!(parse(&Name::new(name).unwrap()), None, "{name}");
        }
        assert_eq!(parse_interfaces(&Name::literal("ifaces-beef")), None);
    }
}
