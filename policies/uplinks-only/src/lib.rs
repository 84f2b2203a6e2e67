//! Offload between uplinks and pods alone: overlays and tunnels take no part.
//!
//! | configuration | meaning | default |
//! |---|---|---|
//! | `include` | interfaces that take part | `group:uplink, group:pod` |
//! | `exclude` | those that don't, whatever `include` says | `group:overlay, group:tunnel` |
//!
//! Each is a list of names (`eth0`), globs (`eth*`) and groups (`group:uplink`).
//!
//! A flow is offloaded only if both interfaces that it crosses take part. One between a client
//! outside and a pod here crosses an uplink and the pod's interface, so pods are in it; whoever
//! writes an `include` of his own keeps them in, or offloads only what is routed through the node.
//! Members of a bond and ports of a bridge never take part: the bond and the bridge stand for them,
//! and a bridge that pods are on is in `group:pod`.
//!
//! It has no opinion on when flows are offloaded.

use weir_policy::{
    Config, Decision, InterfaceSelection, Node, Policy, Refusal, ServiceView, values,
};

const INCLUDE: &str = "include";
const EXCLUDE: &str = "exclude";

/// The policy.
pub struct UplinksOnly {
    selection: InterfaceSelection,
}

impl Policy for UplinksOnly {
    fn configure(config: &Config, _node: &Node) -> Result<Self, String> {
        config.only(&[INCLUDE, EXCLUDE])?;
        let include = patterns(config, INCLUDE, &["group:uplink", "group:pod"])?;
        if include.is_empty() {
            // To the host, an empty list is all interfaces: the opposite of what it looks like.
            return Err(format!("{INCLUDE}: no interface in it; leave it out, or write * for all"));
        }
        let exclude = patterns(config, EXCLUDE, &["group:overlay", "group:tunnel"])?;
        Ok(Self { selection: InterfaceSelection { include, exclude } })
    }

    fn decide(&self, _view: &ServiceView) -> Result<Decision, Refusal> {
        Ok(Decision { interfaces: Some(self.selection.clone()), ..Decision::new() })
    }
}

fn patterns(config: &Config, name: &str, default: &[&str]) -> Result<Vec<String>, String> {
    let Some(list) = config.list(name)? else {
        return Ok(default.iter().map(|&pattern| pattern.to_owned()).collect());
    };
    for pattern in &list {
        values::interface(pattern).map_err(|allowed| format!("{name}: {allowed}"))?;
    }
    Ok(list)
}

weir_policy::export!(UplinksOnly);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_policy::testing::{View, node};

    fn configured(config: &Config) -> Result<UplinksOnly, String> {
        UplinksOnly::configure(config, &node())
    }

    fn decide(config: &Config) -> Decision {
        configured(config).unwrap().decide(&View::new("shop/web").build()).unwrap()
    }

    #[test]
    fn uplinks_and_pods_take_part_and_nothing_else_is_said() {
        let want = Decision::new()
            .include_interface("group:uplink")
            .include_interface("group:pod")
            .exclude_interface("group:overlay")
            .exclude_interface("group:tunnel");
        assert_eq!(decide(&Config::default()), want);
    }

    #[test]
    fn the_operator_s_lists_replace_the_defaults_one_by_one() {
        let own = Decision::new().include_interface("bond0").include_interface("group:pod");
        let tunnels =
            own.clone().exclude_interface("group:overlay").exclude_interface("group:tunnel");
        let cases = [
            (Config::from([("include", "bond0, group:pod")]), tunnels.clone()),
            (Config::from([("include", "[\"bond0\",\"group:pod\"]")]), tunnels),
            (Config::from([("include", "bond0,group:pod"), ("exclude", "[]")]), own.clone()),
            (Config::from([("include", "bond0,group:pod"), ("exclude", "")]), own.clone()),
            (
                Config::from([("include", "bond0,group:pod"), ("exclude", "eth9, vx*")]),
                own.exclude_interface("eth9").exclude_interface("vx*"),
            ),
        ];
        for (config, want) in cases {
            assert_eq!(decide(&config), want, "{config:?}");
        }
    }

    #[test]
    fn bad_settings_are_refused_by_name() {
        let cases = [
            ("include", "", "include: no interface in it; leave it out"),
            ("include", "[]", "include: no interface in it"),
            ("include", "null", "include: \"null\" is not a list of texts"),
            ("include", "eth/0", "include: \"eth/0\" is not an interface: at most 15 characters"),
            ("exclude", "group:pod, !eth0", "exclude: \"!eth0\" is not an interface"),
            ("exclude", "[[1]]", "exclude: \"[[1]]\" is not a list of texts"),
            ("excludes", "eth0", "unknown name excludes: known are include, exclude"),
        ];
        for (name, value, want) in cases {
            let error = configured(&Config::from([(name, value)])).err().unwrap();
            assert!(error.starts_with(want), "{name}={value}: {error}");
        }
    }
}
