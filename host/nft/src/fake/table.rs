//! One table in memory: chains, rules, flowtables. Pure.

use std::{collections::BTreeMap, sync::Arc};

use super::{No, elements::FakeSet};
use crate::{
    Chain, ChainState, Culprit, Element, Expr, Flowtable, Handle, Name, Op, Rule, RuleState,
    SetKind, SetState, TableState, Verdict,
};

/// One table in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct FakeTable {
    chains: BTreeMap<Name, ChainState>,
    pub(super) sets: BTreeMap<Name, FakeSet>,
    flowtables: BTreeMap<Name, Flowtable>,
    last_handle: Handle,
}

impl FakeTable {
    pub(super) fn state(&self, generation: u32) -> TableState {
        let set = |set: &FakeSet| SetState {
            set: Arc::clone(&set.set),
            elements: if set.set.flags.dynamic { Vec::new() } else { set.all() },
        };
        TableState {
            generation,
            chains: self.chains.clone(),
            sets: self.sets.iter().map(|(name, of)| (name.clone(), set(of))).collect(),
            flowtables: self.flowtables.clone(),
            foreign: Vec::new(),
        }
    }

    pub(super) fn elements(&self, set: &Name) -> Option<Vec<Element>> {
        self.sets.get(set).map(FakeSet::all)
    }

    pub(super) fn run(&mut self, op: &Op) -> Result<(), No> {
        match op {
            Op::AddChain(chain) => self.add_chain(chain),
            Op::DeleteChain(name) => self.delete_chain(name),
            Op::FlushChain(name) => {
                self.chain(name)?.rules.clear();
                Ok(())
            }
            Op::AddRule { chain, rule } => {
                self.put_rule(chain, rule, |rules| Some((rules.len(), None)))
            }
            Op::InsertRule { chain, rule } => self.put_rule(chain, rule, |_| Some((0, None))),
            Op::ReplaceRule { chain, handle, rule } => self.put_rule(chain, rule, |rules| {
                let at = rules.iter().position(|rule| rule.handle == *handle)?;
                rules.remove(at);
                // Linux gives the new rule the old one's handle.
                Some((at, Some(*handle)))
            }),
            Op::DeleteRule { chain, handle } => {
                let rules = &mut self.chain(chain)?.rules;
                let at =
                    rules.iter().position(|rule| rule.handle == *handle).ok_or(libc::ENOENT)?;
                rules.remove(at);
                Ok(())
            }
            Op::AddFlowtable(flowtable) => self.add_flowtable(flowtable),
            Op::DeleteDevices(flowtable) => self.delete_devices(flowtable),
            Op::DeleteFlowtable(name) => {
                self.unused(name, |expr| matches!(expr, Expr::FlowOffload { .. }))?;
                self.flowtables.remove(name).map(drop).ok_or(libc::ENOENT.into())
            }
            sets => self.run_set(sets),
        }
    }

    fn chain(&mut self, name: &Name) -> Result<&mut ChainState, No> {
        self.chains.get_mut(name).ok_or(libc::ENOENT.into())
    }

    fn add_chain(&mut self, chain: &Chain) -> Result<(), No> {
        self.last_handle += 1;
        let Some(there) = self.chains.get_mut(&chain.name) else {
            self.chains
                .insert(chain.name.clone(), ChainState { chain: chain.clone(), rules: Vec::new() });
            return Ok(());
        };
        match (&mut there.chain.base, &chain.base) {
            (_, None) => Ok(()),
            (Some(old), Some(new))
                if (old.kind, old.hook, old.priority) == (new.kind, new.hook, new.priority) =>
            {
                old.policy = new.policy;
                Ok(())
            }
            _ => Err(libc::EEXIST.into()),
        }
    }

    fn delete_chain(&mut self, name: &Name) -> Result<(), No> {
        self.chain(name)?;
        let leads_here = |verdict: &Verdict| verdict.chain() == Some(name);
        let by_rule = self.chains.iter().filter(|(other, _)| *other != name).any(|(_, chain)| {
            chain
                .rules
                .iter()
                .flat_map(|rule| &rule.rule.exprs)
                .any(|expr| matches!(expr, Expr::Verdict(v) if leads_here(v)))
        });
        if by_rule || self.sets.values().any(|set| set.leads_to(name)) {
            return Err(libc::EBUSY.into());
        }
        self.chains.remove(name);
        Ok(())
    }

    fn put_rule(
        &mut self,
        chain: &Name,
        rule: &Rule,
        place: impl FnOnce(&mut Vec<RuleState>) -> Option<(usize, Option<Handle>)>,
    ) -> Result<(), No> {
        self.chain(chain)?;
        for (index, expr) in rule.exprs.iter().enumerate() {
            let culprit =
                || Culprit::Expr { index, name: expr.name().to_owned(), expr: expr.to_string() };
            self.check_expr(expr).map_err(|errno| No { errno, culprit: Some(culprit()) })?;
        }
        self.last_handle += 1;
        let next = self.last_handle;
        let rules = &mut self.chain(chain)?.rules;
        let (at, kept) = place(rules).ok_or(libc::ENOENT)?;
        let handle = kept.unwrap_or(next);
        rules.insert(at, RuleState { handle, rule: rule.clone() });
        Ok(())
    }

    fn check_expr(&self, expr: &Expr) -> Result<(), i32> {
        match expr {
            Expr::Verdict(verdict) => self.check_verdict(verdict),
            Expr::FlowOffload { flowtable } => {
                self.flowtables.get(flowtable).map(drop).ok_or(libc::ENOENT)
            }
            Expr::Lookup { set, .. } => self.check_kind(set, |kind| *kind == SetKind::Set),
            Expr::MapLookup { map, .. } => {
                self.check_kind(map, |kind| matches!(kind, SetKind::Map(_)))
            }
            Expr::VerdictMap { map, .. } => {
                self.check_kind(map, |kind| *kind == SetKind::VerdictMap)
            }
            Expr::Dynset { set, timeout, .. } => {
                let set = &self.sets.get(set).ok_or(libc::ENOENT)?.set;
                if set.flags.constant {
                    return Err(libc::EBUSY);
                }
                if timeout.is_some() && !set.flags.timeout { Err(libc::EOPNOTSUPP) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    fn check_kind(&self, set: &Name, fits: impl Fn(&SetKind) -> bool) -> Result<(), i32> {
        let set = &self.sets.get(set).ok_or(libc::ENOENT)?.set;
        if fits(&set.kind) { Ok(()) } else { Err(libc::EINVAL) }
    }

    /// A verdict must lead to a chain that isn't a base chain.
    pub(super) fn check_verdict(&self, verdict: &Verdict) -> Result<(), i32> {
        let Some(chain) = verdict.chain() else { return Ok(()) };
        match self.chains.get(chain) {
            None => Err(libc::ENOENT),
            Some(chain) if chain.chain.base.is_some() => Err(libc::EOPNOTSUPP),
            Some(_) => Ok(()),
        }
    }

    fn add_flowtable(&mut self, flowtable: &Flowtable) -> Result<(), No> {
        let elsewhere = self.flowtables.values().filter(|other| other.name != flowtable.name);
        let taken: Vec<&String> = elsewhere.flat_map(|other| &other.devices).collect();
        if flowtable.devices.iter().any(|device| taken.contains(&device)) {
            return Err(libc::EEXIST.into());
        }
        let there = self
            .flowtables
            .entry(flowtable.name.clone())
            .or_insert_with(|| Flowtable { devices: Vec::new(), ..flowtable.clone() });
        there.devices.extend(flowtable.devices.iter().cloned());
        there.devices.sort();
        there.devices.dedup();
        Ok(())
    }

    fn delete_devices(&mut self, flowtable: &Flowtable) -> Result<(), No> {
        let there = self.flowtables.get_mut(&flowtable.name).ok_or(libc::ENOENT)?;
        if !flowtable.devices.iter().all(|device| there.devices.contains(device)) {
            return Err(libc::ENOENT.into());
        }
        there.devices.retain(|device| !flowtable.devices.contains(device));
        Ok(())
    }

    /// EBUSY when a rule uses the set or flowtable of this name.
    pub(super) fn unused(&self, name: &Name, kind: impl Fn(&Expr) -> bool) -> Result<(), No> {
        let mut exprs =
            self.chains.values().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.rule.exprs);
        if exprs.any(|expr| kind(expr) && expr.refers_to() == Some(name)) {
            Err(libc::EBUSY.into())
        } else {
            Ok(())
        }
    }
}
