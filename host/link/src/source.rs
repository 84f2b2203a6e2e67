//! Which source node → VIP connections are to choose, and which routes still say another.
//!
//! Pure. A VIP is local, so without a hint the kernel would choose the VIP itself as source. A
//! hint outlives its address badly: in the local table the kernel keeps an IPv4 one although the
//! address is gone, and takes an IPv6 one off without a word.

use std::net::IpAddr;

use crate::address::{Address, is_node_address};
use crate::name::{Family, LinkIndex};
use crate::op::Op;
use crate::view::NodeView;
use crate::vip::VipRoute;

/// One source a family, where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    v4: Option<IpAddr>,
    v6: Option<IpAddr>,
}

impl Sources {
    /// The first of `preferred` (the node's own addresses, say) that the node has now; else the
    /// lowest node address of a link with a default route. Links in `excluded` (the dummy) never
    /// give one.
    #[must_use]
    pub fn choose(view: &NodeView, preferred: &[IpAddr], excluded: &[LinkIndex]) -> Self {
        let of = |family| {
            let mut wanted = preferred.iter().filter(|ip| Family::of(**ip) == family);
            wanted
                .find(|ip| view.addresses().with_ip(**ip).any(|a| may_be_source(&a, excluded)))
                .copied()
                .or_else(|| way_out(view, family, excluded))
        };
        Self { v4: of(Family::V4), v6: of(Family::V6) }
    }

    /// The source of a family.
    #[must_use]
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// What has to be done to routes that say another source than they should. `routes` are as we
    /// wrote them: an IPv6 hint that the kernel took off isn't missed in a dump of ours alone.
    #[must_use]
    pub fn repoint(&self, routes: &[VipRoute]) -> Vec<Op> {
        let right = |route: &VipRoute| VipRoute { src: self.of(route.vip.family()), ..*route };
        let stale = routes.iter().filter(|route| right(route) != **route);
        stale.map(|route| Op::PutRoute(right(route))).collect()
    }
}

fn way_out(view: &NodeView, family: Family, excluded: &[LinkIndex]) -> Option<IpAddr> {
    let fits = |a: &Address| {
        Family::of(a.ip) == family
            && may_be_source(a, excluded)
            && a.scope == libc::RT_SCOPE_UNIVERSE
            && view.carries_default_route(a.link)
    };
    view.addresses().iter().filter(fits).map(|a| a.ip).min()
}

fn may_be_source(address: &Address, excluded: &[LinkIndex]) -> bool {
    is_node_address(address.ip) && address.is_settled() && !excluded.contains(&address.link)
}
