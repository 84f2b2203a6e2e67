//! Whether pods that share a bridge can use services. Looks; changes nothing.
//!
//! A server's answer to a client on the same bridge is bridged, not routed: it passes IPVS or
//! connection tracking, which must put the service's address back, only where bridged packets cross the node's hooks.

use std::io;

use weir_link::Link;

use super::sysctl::ProcSys;

const CALLS: [&str; 2] =
    ["net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"];

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) found: String,
    pub(super) advice: String,
}

/// `None` where all is well: no bridge has ports, or bridged packets cross the node's hooks.
pub(super) fn past_translation(links: &[Link], sys: &ProcSys) -> Option<Past> {
    let has_port = |bridge: &Link| links.iter().any(|link| link.master == Some(bridge.index));
    let bridges: Vec<&str> = links
        .iter()
        .filter(|link| link.kind == "bridge" && has_port(link))
        .map(|bridge| bridge.name.as_str())
        .collect();
    let bad: Vec<(&str, io::Result<u64>)> = CALLS
        .into_iter()
        .map(|name| (name, sys.read(name)))
        .filter(|(_, is)| !is.as_ref().is_ok_and(|is| *is == 1))
        .collect();
    if bridges.is_empty() || bad.is_empty() {
        return None;
    }
    let absent = |(_, is): &(&str, io::Result<u64>)| {
        is.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    let why = if bad.iter().all(absent) {
        "module br_netfilter isn't loaded".to_owned()
    } else {
        let one = |(name, is): &(&str, io::Result<u64>)| match is {
            Ok(is) => format!("{name} is {is}"),
            Err(error) => format!("{name} can't be read ({error})"),
        };
        bad.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let set: Vec<String> = bad.iter().map(|(name, _)| format!("{name}=1")).collect();
    Some(Past {
        found: format!(
            "{why}: servers answer clients on the same bridge ({}) by their own address, past this node's translation",
            bridges.join(", ")
        ),
        advice: format!("modprobe br_netfilter && sysctl -w {}", set.join(" ")),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weir_link::{LinkFlags, LinkIndex};

    use super::*;

    fn link(index: u32, name: &str, kind: &str, master: Option<u32>) -> Link {
        Link {
            index: LinkIndex::new(index).unwrap(),
            name: name.to_owned(),
            kind: kind.to_owned(),
            master: master.and_then(LinkIndex::new),
            parent: None,
            lower_elsewhere: false,
            mtu: 1500,
            flags: LinkFlags::default(),
        }
    }

    fn sys(values: [Option<&str>; 2]) -> (tempfile::TempDir, ProcSys) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("net/bridge")).unwrap();
        for (name, value) in CALLS.into_iter().zip(values) {
            if let Some(value) = value {
                fs::write(dir.path().join(name.replace('.', "/")), value).unwrap();
            }
        }
        let sys = ProcSys::at(dir.path());
        (dir, sys)
    }

    #[test]
    fn a_bridge_with_ports_needs_its_packets_to_cross_the_hooks() {
        let empty = [link(1, "br0", "bridge", None), link(2, "veth0", "veth", None)];
        let bonded = [link(1, "bond0", "bond", None), link(2, "eth0", "", Some(1))];
        let used = [link(1, "br0", "bridge", None), link(2, "veth0", "veth", Some(1))];
        let (_dir, absent) = sys([None, None]);
        assert_eq!(past_translation(&empty, &absent), None);
        assert_eq!(past_translation(&bonded, &absent), None);
        let past = past_translation(&used, &absent).unwrap();
        assert!(past.found.starts_with("module br_netfilter isn't loaded: "), "{}", past.found);
        assert!(past.found.contains("(br0)"), "{}", past.found);
        let (_dir, on) = sys([Some("1\n"), Some("1\n")]);
        assert_eq!(past_translation(&used, &on), None);
        let (_dir, half) = sys([Some("1\n"), Some("0\n")]);
        let past = past_translation(&used, &half).unwrap();
        assert!(
            past.found.starts_with("net.bridge.bridge-nf-call-ip6tables is 0: "),
            "{}",
            past.found
        );
        let want = "modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-ip6tables=1";
        assert_eq!(past.advice, want);
    }
}
