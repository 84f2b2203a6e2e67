//! What kube-proxy does: every endpoint alike, affinity as the Service says, and no opinion on
//! the dataplane.
//!
//! Configuration: `scheduler` and `scheduler-flags` (a list, in YAML or with commas), as kube-proxy's
//! `ipvs.scheduler` had it. Without them the node's default holds; empty flags ask for none.

use weir_policy::{Config, Decision, Node, Policy, Refusal, ServiceView};

/// The policy.
pub struct Default {
    scheduler: Option<String>,
    flags: Option<Vec<String>>,
}

impl Policy for Default {
    fn configure(config: &Config, _node: &Node) -> Result<Self, String> {
        config.only(&["scheduler", "scheduler-flags"])?;
        Ok(Self {
            scheduler: config.get("scheduler").map(str::to_owned),
            flags: config.list("scheduler-flags")?,
        })
    }

    fn decide(&self, view: &ServiceView) -> Result<Decision, Refusal> {
        Ok(Decision {
            scheduler: self.scheduler.clone(),
            scheduler_flags: self.flags.clone(),
            affinity_seconds: view.service.affinity_seconds,
            ..Decision::new()
        })
    }
}

weir_policy::export!(Default);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_policy::testing::{View, node};

    fn decide(config: &Config, view: View) -> Decision {
        Default::configure(config, &node()).unwrap().decide(&view.build()).unwrap()
    }

    #[test]
    fn it_has_no_opinion_but_the_service_s_own() {
        let plain = View::new("shop/cart");
        assert_eq!(decide(&Config::default(), plain.clone()), Decision::new());
        let sticky = plain.with(|view| view.service.affinity_seconds = Some(10_800));
        assert_eq!(decide(&Config::default(), sticky), Decision::new().affinity(10_800));
    }

    #[test]
    fn the_operator_can_name_a_scheduler() {
        let config =
            Config::from([("scheduler", "mh"), ("scheduler-flags", "mh-port, mh-fallback")]);
        let want =
            Decision::new().scheduler("mh").scheduler_flag("mh-port").scheduler_flag("mh-fallback");
        assert_eq!(decide(&config, View::new("cart")), want);
        let yaml = r#"["mh-port","mh-fallback"]"#;
        let config = Config::from([("scheduler", "mh"), ("scheduler-flags", yaml)]);
        assert_eq!(decide(&config, View::new("cart")), want, "a YAML list arrives as JSON");
        for nothing in ["", "[]"] {
            let none = Config::from([("scheduler", "mh"), ("scheduler-flags", nothing)]);
            let flags = decide(&none, View::new("cart")).scheduler_flags;
            assert_eq!(flags, Some(Vec::new()), "empty asks for none, also for mh's usual one");
        }
        let error =
            Default::configure(&Config::from([("shceduler", "mh")]), &node()).err().unwrap();
        assert!(error.contains("shceduler"), "{error}");
    }
}
