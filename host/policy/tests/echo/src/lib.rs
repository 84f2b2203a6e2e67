//! Says what it saw: the whole view as its note, or the previous decision as its own.
//!
//! For tests: whatever the host leaves out or mixes up on the way is missing here.

use weir_policy::{
    Classify, Config, Decision, NetworkInterface, Node, Policy, Refusal, ServiceView, Want,
};

/// The policy.
pub struct Echo {
    config: Config,
    node: Node,
}

impl Policy for Echo {
    fn configure(config: &Config, node: &Node) -> Result<Self, String> {
        if let Some(words) = config.get("refuse") {
            return Err(words.to_owned());
        }
        Ok(Self { config: config.clone(), node: node.clone() })
    }

    fn wants(&self) -> Vec<Want> {
        match self.config.get("wants") {
            Some("nothing") => Vec::new(),
            _ => vec![Want::Age, Want::Counters, Want::Previous],
        }
    }

    fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal> {
        weir_policy::info(&format!("asked about {}", view.service.name));
        weir_policy::count("asked", 1);
        assert_eq!(self.node, view.node, "configured for another node");
        match self.config.get("answer") {
            Some("previous") => view.previous.clone().ok_or(Refusal::NotMine),
            Some("refusal") => Err(Refusal::Reason("told to".into())),
            Some("panic") => panic!("told to"),
            _ => Ok(Decision::new().note(format!("{view:#?}"))),
        }
    }
}

impl Classify for Echo {
    fn classify(&self, interface: &NetworkInterface) -> Vec<String> {
        let NetworkInterface { index, name, kind, master, mtu, .. } = interface;
        let lists = [&interface.flags, &interface.addresses].map(|list| list.join(" "));
        let attributes = interface.attributes.iter().map(|(name, value)| format!("{name}={value}"));
        let mut groups = vec![
            format!("{index} {name} {kind} {master:?} {mtu}"),
            format!("default-route {} pod {}", interface.default_route, interface.pod),
        ];
        groups.extend(lists.into_iter().chain(attributes));
        groups
    }
}

weir_policy::export!(Echo, interfaces);
