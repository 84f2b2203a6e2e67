//! From the chain's wishes to one decision: the first opinion that can be granted wins. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use super::{
    Chosen, Dataplane, Decision, Limits, Offload, Reason, Scheduler, SchedulerFlags,
    UnknownDataplane,
};
use crate::interfaces::Selection;
use crate::net::{Family, Protocol};
use crate::state::{MAX_WEIGHT, Weight};
use crate::view::KernelAbilities;
use crate::wish::{self, NODE_PORT_INTERFACES, Wish};

/// The longest affinity that the Kubernetes API allows: a day.
const MAX_AFFINITY: u32 = 86_400;
/// The longest note or reason that is kept, in bytes: both hold words of a policy.
const MAX_WORDS: usize = 512;
/// Both dataplanes.
const BOTH: [Dataplane; 2] = [Dataplane::Ipvs, Dataplane::Nftables];
/// The most reasons kept for one decision: a policy that lies about 10,000 endpoints fills no log.
const MAX_REASONS: usize = 32;

/// Everything but the wishes that a decision depends on.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The port's protocol.
    pub protocol: Protocol,
    /// The port's endpoints, usable or not.
    pub endpoints: BTreeSet<SocketAddr>,
    /// Sets of them that take traffic now, each its share of it.
    pub in_use: BTreeSet<BTreeSet<SocketAddr>>,
    /// `sessionAffinity` of the Service, in seconds.
    pub affinity_seconds: Option<u32>,
    /// Addresses of the service that aren't served, each with why.
    pub unserved: Vec<(IpAddr, &'static str)>,
    /// Whether pods and this node have other endpoints than everybody else, at addresses outside of the
    /// cluster's.
    pub splits: bool,
    /// What this kernel can do.
    pub kernel: &'a KernelAbilities,
    /// The dataplane where nobody has an opinion; `None` is `auto`.
    pub dataplane: Option<Dataplane>,
    /// The scheduler on IPVS where nobody has an opinion.
    pub scheduler: Scheduler,
    /// When flows are offloaded where nobody has an opinion and they can be.
    pub offload: Offload,
    /// What operators let nobody cross here; they hold for the defaults above as well.
    pub limits: Option<&'a Limits>,
}

/// Turns the wishes of a chain of policies, in order, into a decision.
#[must_use]
pub fn decide(asked: &Asked<'_>, wishes: &[(String, Wish)]) -> Decision {
    let mut check = Check { asked, wishes, reasons: Vec::new() };
    for (address, why) in &asked.unserved {
        check.set_aside("address", "service", format!("{address} isn't served: {why}"));
    }
    let scheduler = check.scheduler();
    let offload = check.offload();
    let named = check.first("dataplane", |w| w.dataplane.as_deref(), Check::allowed_dataplane);
    let dataplane = check.dataplane(named, scheduler.as_ref(), offload.as_ref());
    let scheduler = check.fit_scheduler(scheduler, dataplane.value);
    let offload = check.fit_offload(offload, dataplane.value);
    check.tell_split(&scheduler, dataplane.value);
    let flags = check.flags(scheduler.value);
    let weights = check.weights(scheduler.value);
    Decision {
        flags,
        weights,
        affinity: check.affinity(),
        interfaces: check.interfaces(),
        node_ports: check.node_ports(),
        re_evaluate: check.re_evaluate(),
        notes: check.notes(),
        dataplane,
        scheduler,
        offload,
        reasons: check.reasons,
    }
}

fn has(kernel: &KernelAbilities, dataplane: Dataplane) -> bool {
    kernel.dataplanes.iter().any(|name| name == dataplane.as_str())
}

/// What carries a service port on this kernel about which no policy has an opinion; `configured` is
/// `None` for `auto`.
#[must_use]
pub fn usual_dataplane(
    kernel: &KernelAbilities,
    configured: Option<Dataplane>,
    scheduler: Scheduler,
) -> Dataplane {
    let wanted = configured.unwrap_or_else(|| auto(kernel, scheduler));
    if has(kernel, wanted) { wanted } else { other(wanted) }
}

fn other(than: Dataplane) -> Dataplane {
    match than {
        Dataplane::Ipvs => Dataplane::Nftables,
        Dataplane::Nftables => Dataplane::Ipvs,
    }
}

/// What `auto` means: nftables where it can offload, else IPVS; IPVS also where its scheduler was
/// configured.
fn auto(kernel: &KernelAbilities, scheduler: Scheduler) -> Dataplane {
    let [ipvs, nftables] = [Dataplane::Ipvs, Dataplane::Nftables].map(|it| has(kernel, it));
    let offloads = kernel.flowtable && nftables;
    let configured = scheduler != Scheduler::Rr;
    if ipvs && (configured || !offloads) { Dataplane::Ipvs } else { Dataplane::Nftables }
}

struct Check<'a> {
    asked: &'a Asked<'a>,
    wishes: &'a [(String, Wish)],
    reasons: Vec<Reason>,
}

impl<'a> Check<'a> {
    fn set_aside(&mut self, field: &str, by: &str, text: impl Into<String>) {
        if self.reasons.len() < MAX_REASONS {
            let text = clip(&text.into());
            self.reasons.push(Reason { field: field.into(), by: by.into(), text });
        }
    }

    /// The first opinion on a field that parses; each before it is set aside with its error.
    fn first<W, T, E: std::fmt::Display>(
        &mut self,
        field: &str,
        of: impl Fn(&'a Wish) -> Option<&'a W>,
        parse: impl Fn(&Self, &'a W) -> Result<T, E>,
    ) -> Option<Chosen<T>>
    where
        W: ?Sized + 'a,
    {
        for (by, wish) in self.wishes {
            let Some(raw) = of(wish) else { continue };
            match parse(self, raw) {
                Ok(value) => return Some(Chosen::new(value, by)),
                Err(error) => self.set_aside(field, by, error.to_string()),
            }
        }
        None
    }

    fn scheduler(&mut self) -> Option<Chosen<Scheduler>> {
        let parse = |check: &Self, text: &String| {
            let scheduler = text.parse::<Scheduler>().map_err(|error| error.to_string())?;
            let there = |on: &Dataplane| check.has(*on) && check.is_there(scheduler, *on);
            let somewhere: Vec<_> = BOTH.into_iter().filter(there).collect();
            if somewhere.is_empty() {
                return Err(format!("{scheduler} can't be had on this node"));
            }
            let allowed = check.allows_scheduler(scheduler)
                && somewhere.into_iter().any(|on| check.may_carry(on));
            allowed
                .then_some(scheduler)
                .ok_or_else(|| format!("{scheduler} is beyond the limits set here"))
        };
        self.first("scheduler", |w| w.scheduler.as_ref(), parse)
    }

    fn offload(&mut self) -> Option<Chosen<Offload>> {
        let parse = |_: &Self, raw: &wish::Offload| match raw {
            wish::Offload::Never => Ok(Offload::Never),
            wish::Offload::After(packets) => NonZeroU32::new(*packets)
                .map(Offload::After)
                .ok_or("after 0 packets can't be counted; say never, or 1 and more"),
        };
        let asked = self.first("offload", |w| w.offload.as_ref(), parse)?;
        let Some(limits) = self.asked.limits else { return Some(asked) };
        let granted = limits.not_before(asked.value);
        self.tell_clamped(&asked, granted);
        Some(Chosen { value: granted, ..asked })
    }

    fn tell_clamped(&mut self, asked: &Chosen<Offload>, granted: Offload) {
        if asked.value != granted {
            let text = format!("{} is beyond the limits set here; {granted} instead", asked.value);
            self.set_aside("offload", &asked.by, text);
        }
    }

    /// A dataplane that is there and not allowed is set aside for the next opinion.
    fn allowed_dataplane(&self, text: &str) -> Result<Dataplane, String> {
        let named: Dataplane = text.parse().map_err(|error: UnknownDataplane| error.to_string())?;
        let forbidden = self.has(named) && !self.may_carry(named);
        if forbidden { Err(format!("{named} is beyond the limits set here")) } else { Ok(named) }
    }

    fn allows_scheduler(&self, scheduler: Scheduler) -> bool {
        self.asked.limits.is_none_or(|limits| limits.allow_scheduler(scheduler))
    }

    /// Whether it is there and allowed. Where nothing that is allowed is there, what is there may: limits
    /// stop no traffic.
    fn may_carry(&self, dataplane: Dataplane) -> bool {
        let Some(limits) = self.asked.limits else { return self.has(dataplane) };
        let any = BOTH.into_iter().any(|on| self.has(on) && limits.allow_dataplane(on));
        self.has(dataplane) && (limits.allow_dataplane(dataplane) || !any)
    }

    fn has(&self, dataplane: Dataplane) -> bool {
        has(self.asked.kernel, dataplane)
    }

    fn is_there(&self, scheduler: Scheduler, on: Dataplane) -> bool {
        let there = match on {
            Dataplane::Ipvs => &self.asked.kernel.ipvs_schedulers,
            Dataplane::Nftables => &self.asked.kernel.nftables_schedulers,
        };
        there.iter().any(|name| name == scheduler.as_str())
    }

    /// Named by a policy, or what the scheduler or offload of an earlier one needs; else what these
    /// need at all; else the node's default.
    fn dataplane(
        &mut self,
        named: Option<Chosen<Dataplane>>,
        scheduler: Option<&Chosen<Scheduler>>,
        offload: Option<&Chosen<Offload>>,
    ) -> Chosen<Dataplane> {
        let wants_offload = offload.filter(|it| {
            let can = self.why_no_offload().is_none() && self.may_carry(Dataplane::Nftables);
            matches!(it.value, Offload::After(_)) && can
        });
        let implied = || match (scheduler, wants_offload) {
            (Some(s), _) if !s.value.on_nftables() => Some(Chosen::new(Dataplane::Ipvs, &s.by)),
            (Some(s), _) if !s.value.on_ipvs() => Some(Chosen::new(Dataplane::Nftables, &s.by)),
            (_, Some(offload)) => Some(Chosen::new(Dataplane::Nftables, &offload.by)),
            _ => None,
        };
        let rank = |it: &Chosen<Dataplane>| self.wishes.iter().position(|(by, _)| *by == it.by);
        let wanted = match (named, implied()) {
            (Some(named), Some(implied))
                if named.value != implied.value && rank(&implied) < rank(&named) =>
            {
                let text =
                    format!("{}, heard before, asks for what needs {}", implied.by, implied.value);
                self.set_aside("dataplane", &named.by, text);
                implied
            }
            (named, implied) => named.or(implied).unwrap_or_else(|| self.node_default()),
        };
        if self.may_carry(wanted.value) {
            self.tell_all_forbidden();
            return wanted;
        }
        let (is_there, other) = (self.has(wanted.value), other(wanted.value));
        if is_there && wanted.by == "default" {
            return Chosen::new(other, "limits");
        }
        let why =
            if is_there { "is beyond the limits set here" } else { "can't be had on this node" };
        self.set_aside(
            "dataplane",
            &wanted.by,
            format!("{} {why}; {other} carries the service", wanted.value),
        );
        Chosen::new(other, if is_there { "limits" } else { "default" })
    }

    fn tell_all_forbidden(&mut self) {
        let Some(limits) = self.asked.limits else { return };
        if !BOTH.into_iter().any(|on| self.has(on) && limits.allow_dataplane(on)) {
            let text = "no dataplane that they allow can be had on this node";
            self.set_aside("dataplane", "limits", text);
        }
    }

    /// Why no dataplane here could offload flows of this port.
    fn why_no_offload(&self) -> Option<&'static str> {
        if self.asked.protocol == Protocol::Sctp {
            Some("set aside: SCTP can't be offloaded")
        } else if !self.asked.kernel.flowtable {
            Some("set aside: this kernel has no flowtables")
        } else {
            None
        }
    }

    fn node_default(&self) -> Chosen<Dataplane> {
        let Asked { kernel, dataplane, scheduler, .. } = self.asked;
        Chosen::new(dataplane.unwrap_or_else(|| auto(kernel, *scheduler)), "default")
    }

    fn fit_scheduler(
        &mut self,
        wanted: Option<Chosen<Scheduler>>,
        on: Dataplane,
    ) -> Chosen<Scheduler> {
        let default = match on {
            Dataplane::Ipvs => self.asked.scheduler,
            Dataplane::Nftables => Scheduler::Random,
        };
        let last = self.last_scheduler(default, on);
        let Some(wanted) = wanted else {
            if self.is_there(default, on) && last.by != "default" {
                return last;
            }
            return self.there_or(Chosen::new(default, "default"), last, on);
        };
        self.there_or(wanted, last, on)
    }

    fn there_or(
        &mut self,
        wanted: Chosen<Scheduler>,
        last: Chosen<Scheduler>,
        on: Dataplane,
    ) -> Chosen<Scheduler> {
        if self.is_there(wanted.value, on) {
            return wanted;
        }
        let text =
            format!("{} can't be had on {on} of this node; {} instead", wanted.value, last.value);
        self.set_aside("scheduler", &wanted.by, text);
        last
    }

    /// What balances where nothing else can: the default, `rr`, else whatever limits allow. Where nothing
    /// that they allow is there, the default all the same: somebody has to take the traffic.
    fn last_scheduler(&mut self, default: Scheduler, on: Dataplane) -> Chosen<Scheduler> {
        let there = |s: &Scheduler| self.is_there(*s, on);
        let usual = || [default, Scheduler::Rr].into_iter();
        let listed = self.asked.limits.and_then(|limits| limits.schedulers.as_ref());
        let listed = listed.into_iter().flatten().copied();
        let allowed = |s: &Scheduler| there(s) && self.allows_scheduler(*s);
        let first = usual().find(there).unwrap_or(default);
        match usual().chain(listed).find(allowed) {
            Some(granted) if granted == first => Chosen::new(first, "default"),
            Some(granted) => Chosen::new(granted, "limits"),
            None => {
                if !self.allows_scheduler(first) {
                    let text =
                        format!("no scheduler that they allow can be had on {on}; {first} instead");
                    self.set_aside("scheduler", "limits", text);
                }
                Chosen::new(first, "default")
            }
        }
    }

    /// A virtual service of IPVS has one list of servers, so nftables balances pods and the node where
    /// these have others.
    fn tell_split(&mut self, scheduler: &Chosen<Scheduler>, on: Dataplane) {
        if !self.asked.splits || on != Dataplane::Ipvs {
            return;
        }
        if !self.has(Dataplane::Nftables) {
            let text = "Local, for pods and this node as well: IPVS has one list of servers for an \
                        address, and nftables can't be had on this node";
            self.set_aside("externalTrafficPolicy", "service", text);
        } else if !scheduler.value.on_nftables() {
            let text = format!(
                "{} for clients outside alone: at external addresses pods and this node are balanced \
                 by nftables at random, since IPVS has one list of servers for an address",
                scheduler.value
            );
            self.set_aside("scheduler", &scheduler.by, text);
        }
    }

    fn fit_offload(&mut self, wanted: Option<Chosen<Offload>>, on: Dataplane) -> Chosen<Offload> {
        let never = Chosen::new(Offload::Never, "default");
        let can = on == Dataplane::Nftables && self.why_no_offload().is_none();
        let Some(wanted) = wanted else {
            let default = Chosen::new(self.asked.offload, "default");
            return if can { self.bounded(default) } else { never };
        };
        if can {
            return self.bounded(wanted);
        }
        if wanted.value == Offload::Never {
            return wanted;
        }
        let on_ipvs = "set aside: connections balanced by IPVS can't be offloaded";
        let why_not = self.why_no_offload().unwrap_or(on_ipvs);
        self.set_aside("offload", &wanted.by, why_not);
        never
    }

    /// Where it can be offloaded a flow is offloaded within the limits.
    fn bounded(&mut self, wanted: Chosen<Offload>) -> Chosen<Offload> {
        let Some(limits) = self.asked.limits else { return wanted };
        let granted = limits.bounded(wanted.value);
        if granted == wanted.value {
            return wanted;
        }
        if wanted.by == "default" {
            return Chosen::new(granted, "limits");
        }
        self.tell_clamped(&wanted, granted);
        Chosen { value: granted, ..wanted }
    }

    fn flags(&mut self, scheduler: Scheduler) -> Chosen<SchedulerFlags> {
        let parse = |_: &Self, names: &Vec<String>| SchedulerFlags::parse(scheduler, names);
        self.first("scheduler-flags", |w| w.scheduler_flags.as_ref(), parse)
            .unwrap_or_else(|| Chosen::new(SchedulerFlags::default_for(scheduler), "default"))
    }

    /// The weights of the first policy that named one that can be granted.
    fn weights(&mut self, scheduler: Scheduler) -> BTreeMap<SocketAddr, Chosen<Weight>> {
        for (by, wish) in self.wishes {
            let weights = self.granted(by, wish.weights.as_deref().unwrap_or_default());
            if weights.is_empty() {
                continue;
            }
            if !scheduler.heeds_weights() && weights.values().any(|w| w.value.0 > 1) {
                let other = "gives every server the same share; wrr, wlc and others don't";
                self.set_aside("weights", by, format!("{scheduler} {other}"));
            }
            return weights;
        }
        BTreeMap::new()
    }

    fn granted(&mut self, by: &str, raw: &[wish::Weight]) -> BTreeMap<SocketAddr, Chosen<Weight>> {
        let mut weights = BTreeMap::new();
        for one in raw {
            match self.weight(one) {
                Ok((to, weight)) => {
                    if weight.0 < one.weight {
                        let text = format!("weight {} of {to} clamped to {weight}", one.weight);
                        self.set_aside("weights", by, text);
                    }
                    weights.insert(to, Chosen::new(weight, by));
                }
                Err(text) => self.set_aside("weights", by, text),
            }
        }
        for set in &self.asked.in_use {
            self.keep_some(set, &mut weights, by);
        }
        weights
    }

    /// A policy may favour endpoints, but not stop a service: somebody has to take the traffic.
    fn keep_some(
        &mut self,
        set: &BTreeSet<SocketAddr>,
        weights: &mut BTreeMap<SocketAddr, Chosen<Weight>>,
        by: &str,
    ) {
        let is_stopped = |to| weights.get(to).is_some_and(|weight| weight.value.0 == 0);
        let Some(first) = set.first().filter(|_| set.iter().all(is_stopped)) else { return };
        let family = Family::of(first.ip());
        set.iter().for_each(|to| drop(weights.remove(to)));
        let text = format!("0 for every {family} endpoint in use would stop its traffic");
        self.set_aside("weights", by, text);
    }

    fn weight(&self, one: &wish::Weight) -> Result<(SocketAddr, Weight), String> {
        let address: IpAddr =
            one.address.parse().map_err(|_| format!("{:?} is no IP address", one.address))?;
        let to = SocketAddr::new(address, one.port);
        if !self.asked.endpoints.contains(&to) {
            return Err(format!("{to} is no endpoint of this service port"));
        }
        Ok((to, Weight(one.weight.min(MAX_WEIGHT))))
    }

    fn affinity(&mut self) -> Chosen<Option<NonZeroU32>> {
        let asked = self.wishes.iter().find_map(|(by, w)| Some((by.as_str(), w.affinity_seconds?)));
        let (by, seconds) = match (asked, self.asked.affinity_seconds) {
            (Some(asked), _) => asked,
            (None, Some(seconds)) => ("service", seconds),
            (None, None) => ("default", 0),
        };
        if seconds > MAX_AFFINITY {
            let text = format!("{seconds} s clamped to {MAX_AFFINITY} s, the API's limit");
            self.set_aside("affinity", by, text);
        }
        Chosen::new(NonZeroU32::new(seconds.min(MAX_AFFINITY)), by)
    }

    /// The first policy's that has an opinion: an entry of it that can't be read is set aside, but
    /// another policy's, or all interfaces, are no stand-in for fewer.
    fn interfaces(&mut self) -> Option<Chosen<Selection>> {
        let asked = self.wishes.iter().find_map(|(by, w)| Some((by, w.interfaces.as_ref()?)));
        let asked = asked.map(|(by, raw)| self.selection("interfaces", by, raw));
        let not_on = self.asked.limits.map(|limits| &limits.not_on).filter(|it| !it.is_empty());
        let Some(not_on) = not_on else { return asked };
        let Some(asked) = asked else {
            return Some(Chosen::new(Selection::default().without(not_on).0, "limits"));
        };
        let (granted, lost) = asked.value.without(not_on);
        for entry in lost {
            self.set_aside(
                "interfaces",
                &asked.by,
                format!("{entry} is beyond the limits set here"),
            );
        }
        Some(Chosen { value: granted, by: asked.by })
    }

    /// The same for node ports.
    fn node_ports(&mut self) -> Option<Chosen<Selection>> {
        let listed = |w: &'a Wish| w.attributes.get(NODE_PORT_INTERFACES);
        let (by, text) = self.wishes.iter().find_map(|(by, w)| Some((by, listed(w)?)))?;
        Some(self.selection(NODE_PORT_INTERFACES, by, &wish::Interfaces::listed(text)))
    }

    fn selection(&mut self, field: &str, by: &str, raw: &wish::Interfaces) -> Chosen<Selection> {
        let (selection, faults) = Selection::check(raw);
        for fault in faults {
            self.set_aside(field, by, fault.to_string());
        }
        Chosen::new(selection, by)
    }

    /// The soonest of all policies that want to be asked again.
    fn re_evaluate(&mut self) -> Option<Chosen<NonZeroU32>> {
        let asked =
            self.wishes.iter().filter_map(|(by, w)| Some((by, w.re_evaluate_after_seconds?)));
        let (by, seconds) = asked.min_by_key(|(_, seconds)| *seconds)?;
        let Some(seconds) = NonZeroU32::new(seconds) else {
            self.set_aside("re-evaluate-after", by, "0 s clamped to 1 s");
            return Some(Chosen::new(NonZeroU32::MIN, by));
        };
        Some(Chosen::new(seconds, by))
    }

    fn notes(&self) -> Vec<Chosen<String>> {
        let noted = self.wishes.iter().filter_map(|(by, w)| Some((by, w.note.as_ref()?)));
        noted.map(|(by, note)| Chosen::new(clip(note), by)).collect()
    }
}

/// Words without control characters (they end in terminals and logs), cut at [`MAX_WORDS`] bytes.
fn clip(words: &str) -> String {
    let mut text: String = words.chars().filter(|c| !c.is_control()).collect();
    if text.len() > MAX_WORDS {
        let end = (0..=MAX_WORDS).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
