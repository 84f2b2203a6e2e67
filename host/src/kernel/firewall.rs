//! Chains of others that drop what none of their rules accepts, service traffic too. Pure.
//!
//! What one table accepts another may still drop, so weir can't let anything pass by itself.

use weir_nft::expr::{Expr, ct_status};
use weir_nft::{Base, Chain, Family, Field, Hook, Policy, Rule, Table, Verdict};

use super::table::table as own;

/// A chain that lets nothing pass but what its rules accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closed<'a> {
    table: &'a Table,
    chain: &'a Chain,
    hook: Hook,
    /// By its policy, else by its last rule.
    by_policy: bool,
    /// Whether a rule accepts what was translated.
    opened: bool,
}

/// Whether a chain is somebody else's in a place where it could close the way of services.
pub(super) fn may_close(table: &Table, chain: &Chain) -> bool {
    let on = |base: &Base| matches!(base.hook, Hook::Input | Hook::Forward | Hook::Output);
    *table != own() && chain.base.as_ref().is_some_and(on)
}

/// Whether packets come to a chain of somebody else's by themselves.
pub(super) fn is_passed(table: &Table, chain: &Chain) -> bool {
    *table != own() && chain.base.is_some()
}

/// What shows the chain, if some of its `rules` drop or refuse what they match. What they match isn't read.
pub(super) fn refusing(table: &Table, chain: &Chain, rules: &[Rule]) -> Option<String> {
    let base = chain.base?;
    let refuses = rules.iter().any(|rule| rule.exprs.iter().any(refuses));
    let (name, hook) = (&chain.name, base.hook);
    refuses.then(|| format!("`nft list chain {table} {name}` (hook {hook})"))
}

/// Whether the chain, with these rules, closes it.
pub(super) fn closed<'a>(table: &'a Table, chain: &'a Chain, rules: &[Rule]) -> Option<Closed<'a>> {
    let base = chain.base.filter(|_| may_close(table, chain))?;
    let by_policy = base.policy == Policy::Drop;
    if !by_policy && !rules.last().is_some_and(refuses_all) {
        return None;
    }
    let opened = rules.iter().any(accepts_translated);
    Some(Closed { table, chain, hook: base.hook, by_policy, opened })
}

/// Without what only counts or logs.
fn deeds(rule: &Rule) -> impl Iterator<Item = &Expr> {
    rule.exprs.iter().filter(|it| !matches!(it, Expr::Counter | Expr::Log { .. }))
}

fn refuses_all(rule: &Rule) -> bool {
    let mut deeds = deeds(rule);
    deeds.next().is_some_and(refuses) && deeds.next().is_none()
}

fn refuses(expr: &Expr) -> bool {
    match expr {
        Expr::Verdict(Verdict::Drop) | Expr::Reject(_) => true,
        Expr::Other { name } => name == "reject",
        _ => false,
    }
}

/// `ct status dnat accept`
fn accepts_translated(rule: &Rule) -> bool {
    let want = Rule::new().any_bit(Field::CtStatus, ct_status::DNAT).verdict(Verdict::Accept);
    deeds(rule).eq(&want.exprs)
}

impl Closed<'_> {
    /// Whether it lets pass what it must, as far as its rules tell: of what is forwarded.
    pub(super) fn is_opened(&self) -> bool {
        self.hook == Hook::Forward && self.opened
    }

    /// What was found.
    pub(super) fn found(&self) -> String {
        let Self { table, chain, hook, .. } = self;
        let how = if self.by_policy { "policy drop" } else { "its last rule" };
        let name = &chain.name;
        format!(
            "chain {name} of table {table}, hook {hook}, drops what none of its rules accepts ({how})"
        )
    }

    /// What must be let pass, and by which commands.
    pub(super) fn advice(&self) -> String {
        match self.hook {
            Hook::Forward => format!(
                "weir can't override it; let through what weir translated, to pods and from them: {}; \
                 and servers' answers to clients of IPVS: {}",
                self.insert("ct status dnat", "-m conntrack --ctstate DNAT"),
                self.insert("ct state established", "-m conntrack --ctstate ESTABLISHED"),
            ),
            Hook::Output => format!(
                "weir can't override it; let out what IPVS sends on to servers, and the node's own \
                 connections to services: {}, with the range of the pods for PODS",
                self.insert(&self.daddr("PODS"), "-d PODS"),
            ),
            _ => format!(
                "weir can't override it; let in node ports, of UDP as well: {}; health-check node ports, which are \
                 among them; and the addresses of services that IPVS carries: {}, with the range of \
                 services for SERVICES",
                self.insert("tcp dport 30000-32767", "-p tcp --dport 30000:32767"),
                self.insert(&self.daddr("SERVICES"), "-d SERVICES"),
            ),
        }
    }

    fn daddr(&self, range: &str) -> String {
        let family = if self.table.family == Family::Ip6 { "ip6" } else { "ip" };
        format!("{family} daddr {range}")
    }

    /// The command that lets something pass: iptables' own chains in its own language, since it
    /// can't list what others put in there.
    fn insert(&self, nft: &str, iptables: &str) -> String {
        let (table, chain) = (self.table, &self.chain.name);
        let builtin = ["INPUT", "FORWARD", "OUTPUT"].contains(&chain.as_str());
        let command = match table.family {
            Family::Ip if builtin => "iptables",
            Family::Ip6 if builtin => "ip6tables",
            _ => return format!("`nft insert rule {table} {chain} {nft} accept`"),
        };
        format!("`{command} -t {} -I {chain} {iptables} -j ACCEPT`", table.name)
    }
}

#[cfg(test)]
mod tests {
    use weir_nft::expr::{Icmpx, Reject};
    use weir_nft::{ChainType, Name};

    use super::*;

    fn chain(
        family: Family,
        table: &'static str,
        name: &'static str,
        hook: Hook,
    ) -> (Table, Chain) {
        let table = Table { family, name: Name::literal(table) };
        (table, Chain::base(Name::literal(name), ChainType::Filter, hook, 0))
    }

    fn dropping(mut one: (Table, Chain)) -> (Table, Chain) {
        one.1.base.as_mut().unwrap().policy = Policy::Drop;
        one
    }

    #[test]
    fn what_drops_by_policy_or_by_its_last_rule_is_closed() {
        let open = chain(Family::Inet, "firewall", "in", Hook::Input);
        let drop = || Rule::new().counter().verdict(Verdict::Drop);
        let reject = || Rule::new().expr(Expr::Reject(Reject::Icmpx(Icmpx::AdminProhibited)));
        let other = || Rule::new().expr(Expr::Other { name: "reject".to_owned() });
        let ssh = || Rule::new().any_bit(Field::CtStatus, 1).verdict(Verdict::Drop);
        let accept = || Rule::new().verdict(Verdict::Accept);
        let cases = [
            ("no rule", vec![], false),
            ("drop", vec![accept(), drop()], true),
            ("reject", vec![reject()], true),
            ("a reject of another family", vec![other()], true),
            ("a drop of some", vec![ssh()], false),
            ("an earlier drop", vec![drop(), accept()], false),
        ];
        for (name, rules, want) in cases {
            assert_eq!(closed(&open.0, &open.1, &rules).is_some(), want, "{name}");
            let (table, chain) = dropping(open.clone());
            assert!(closed(&table, &chain, &rules).is_some(), "{name}, policy drop");
        }
    }

    #[test]
    fn a_chain_that_refuses_something_is_told_with_what_shows_it() {
        let (table, chain) = chain(Family::Inet, "fw", "raw", Hook::Prerouting);
        assert!(is_passed(&table, &chain));
        assert!(
            !is_passed(&own(), &chain) && !is_passed(&table, &Chain::regular(Name::literal("x")))
        );
        let some = |rule: Rule| rule.any_bit(Field::CtStatus, ct_status::DNAT).counter();
        let drop = some(Rule::new()).verdict(Verdict::Drop);
        let reject = some(Rule::new()).expr(Expr::Other { name: "reject".to_owned() });
        let accept = some(Rule::new()).verdict(Verdict::Accept);
        let told = refusing(&table, &chain, &[drop, accept.clone(), reject]);
        let want = "`nft list chain inet fw raw` (hook prerouting)";
        assert_eq!(told.as_deref(), Some(want));
        assert_eq!(refusing(&table, &chain, &[accept]), None);
    }

    #[test]
    fn other_hooks_regular_chains_and_our_own_table_do_not_count() {
        let x = || Name::literal("x");
        let is_closed = |(table, chain): (Table, Chain)| closed(&table, &chain, &[]).is_some();
        assert!(!is_closed((own(), Chain::regular(x()))));
        for hook in [Hook::Prerouting, Hook::Postrouting] {
            assert!(!is_closed(dropping(chain(Family::Ip, "raw", "x", hook))));
        }
        assert!(!is_closed(dropping(chain(Family::Inet, "weir", "x", Hook::Forward))));
        assert!(is_closed(dropping(chain(Family::Inet, "weird", "x", Hook::Forward))));
    }

    #[test]
    fn each_hook_is_told_what_must_pass() {
        let told = |one: (Table, Chain)| {
            let (table, chain) = dropping(one);
            let closed = closed(&table, &chain, &[]).unwrap();
            (closed.found(), closed.advice())
        };
        let (found, advice) = told(chain(Family::Inet, "fw", "through", Hook::Forward));
        let want = "chain through of table inet fw, hook forward, drops what none of its rules accepts \
                    (policy drop)";
        assert_eq!(found, want);
        assert!(
            advice.contains("`nft insert rule inet fw through ct status dnat accept`"),
            "{advice}"
        );
        let (_, advice) = told(chain(Family::Ip6, "filter", "FORWARD", Hook::Forward));
        let want = "`ip6tables -t filter -I FORWARD -m conntrack --ctstate DNAT -j ACCEPT`";
        assert!(advice.contains(want), "{advice}");
        let (_, advice) = told(chain(Family::Ip, "fw", "entry", Hook::Input));
        assert!(
            advice.contains("`nft insert rule ip fw entry tcp dport 30000-32767 accept`"),
            "{advice}"
        );
        assert!(advice.contains("health-check node ports"), "{advice}");
        let (_, advice) = told(chain(Family::Ip6, "fw", "leave", Hook::Output));
        assert!(
            advice.contains("`nft insert rule ip6 fw leave ip6 daddr PODS accept`"),
            "{advice}"
        );
    }

    #[test]
    fn a_forward_chain_that_accepts_what_was_translated_is_well() {
        let through = dropping(chain(Family::Inet, "fw", "through", Hook::Forward));
        let accept = Rule::new().any_bit(Field::CtStatus, ct_status::DNAT).counter();
        let rules = [accept.verdict(Verdict::Accept)];
        let entry = dropping(chain(Family::Inet, "fw", "entry", Hook::Input));
        let is_opened = |(table, chain): &(Table, Chain), rules: &[Rule]| {
            closed(table, chain, rules).unwrap().is_opened()
        };
        assert!(is_opened(&through, &rules));
        assert!(!is_opened(&through, &[]));
        assert!(!is_opened(&entry, &rules), "which node ports an input chain lets in isn't read");
    }
}
