//! Ranges that addresses of Services are handed out from: which can be meant, and which overlap. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Addresses that no Service can have (RFC 6890; `ValidateNonSpecialIP` of
/// kubernetes/pkg/apis/core/validation).
const SPECIAL: [(IpNet, &str); 10] = [
    (v4([0, 0, 0, 0], 8), "addresses of this network"),
    (v4([127, 0, 0, 0], 8), "loopback addresses"),
    (v4([169, 254, 0, 0], 16), "link-local addresses"),
    (v4([224, 0, 0, 0], 4), "multicast addresses"),
    (v4([255, 255, 255, 255], 32), "the broadcast address"),
    (v6(0, 128), "the unspecified address"),
    (v6(1, 128), "the loopback address"),
    (v6(0xffff << 32, 96), "IPv4 addresses written as IPv6"),
    (v6(0xfe80 << 112, 10), "link-local addresses"),
    (v6(0xff00 << 112, 8), "multicast addresses"),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(bits: u128, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), prefix))
}

/// Whether Services can have every address of `range`. What lies in a service range and belongs to
/// no Service is dropped, so a range that is too wide cuts a node off.
///
/// # Errors
/// Words that say which addresses it takes in.
pub fn check(range: IpNet) -> Result<(), String> {
    match SPECIAL.iter().find(|(special, _)| overlap(range, *special)) {
        Some((special, what)) => Err(format!("{range} takes in {what} ({special})")),
        None => Ok(()),
    }
}

/// Whether an address lies in both.
#[must_use]
pub fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_only_what_services_can_have() {
        let good = ["10.96.0.0/12", "10.0.0.0/8", "240.0.0.0/5", "fd00::/8", "2001:db8:1::/64"];
        for text in good {
            assert_eq!(check(text.parse().unwrap()), Ok(()), "{text}");
        }
        let cases = [
            ("0.0.0.0/0", "addresses of this network (0.0.0.0/8)"),
            ("::/0", "the unspecified address (::/128)"),
            ("::1/128", "the loopback address (::1/128)"),
            ("127.1.0.0/16", "loopback addresses (127.0.0.0/8)"),
            ("128.0.0.0/1", "link-local addresses (169.254.0.0/16)"),
            ("192.0.0.0/2", "multicast addresses (224.0.0.0/4)"),
            ("240.0.0.0/4", "the broadcast address (255.255.255.255/32)"),
            ("::ffff:10.96.0.0/112", "IPv4 addresses written as IPv6 (::ffff:0.0.0.0/96)"),
            ("fe80::/64", "link-local addresses (fe80::/10)"),
            ("fc00::/6", "link-local addresses (fe80::/10)"),
            ("ff02::/16", "multicast addresses (ff00::/8)"),
        ];
        for (text, want) in cases {
            let told = check(text.parse().unwrap()).unwrap_err();
            assert!(told.ends_with(&format!(" takes in {want}")), "{text}: {told}");
        }
    }

    #[test]
    fn ranges_overlap_within_a_family() {
        let cases = [
            ("10.96.0.0/16", "10.96.0.0/16", true),
            ("10.96.0.0/16", "10.96.4.0/24", true),
            ("10.96.4.0/24", "10.96.0.0/16", true),
            ("10.96.0.0/16", "10.97.0.0/16", false),
            ("0.0.0.0/0", "::/0", false),
        ];
        for (one, other, want) in cases {
            assert_eq!(
                overlap(one.parse().unwrap(), other.parse().unwrap()),
                want,
                "{one} {other}"
            );
        }
    }
}
