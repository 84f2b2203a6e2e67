//! Reading a table back. I/O.

use std::{collections::BTreeMap, io, sync::Arc};

use super::Socket;
use crate::{
    Chain, ChainState, DecodeError, Element, Family, Flowtable, Name, ObserveError, Rule,
    RuleState, Set, SetState, Table, TableState,
    read::{self, Attrs, Message, Messages, answer},
    uapi,
};

/// How often a read begins anew when others change the rule set under it.
const ATTEMPTS: u32 = 20;

/// Why one attempt to read failed.
pub(super) enum Stop {
    /// The rule set changed meanwhile.
    Changed,
    /// There is no such thing.
    Absent,
    Error(ObserveError),
}

impl From<ObserveError> for Stop {
    fn from(error: ObserveError) -> Self {
        Self::Error(error)
    }
}

impl Socket {
    pub(super) fn observe_table(
        &mut self,
        table: &Table,
    ) -> Result<Option<TableState>, ObserveError> {
        for _ in 0..ATTEMPTS {
            let before = self.current_generation()?;
            match self.read_table(table, before) {
                Ok(state) if self.current_generation()? == before => return Ok(Some(state)),
                Err(Stop::Absent) if self.current_generation()? == before => return Ok(None),
                Err(Stop::Error(error)) => return Err(error),
                Ok(_) | Err(Stop::Changed | Stop::Absent) => {}
            }
        }
        Err(ObserveError::Unstable(ATTEMPTS))
    }

    /// A set that rules write changes all the time: what is read need not have been there at once.
    pub(super) fn observe_elements(
        &mut self,
        table: &Table,
        set: &Set,
    ) -> Result<Option<Vec<Element>>, ObserveError> {
        if !self.has_set(table, &set.name)? {
            return Ok(None);
        }
        self.repeat(|socket| socket.read_elements(table, set))
    }

    fn has_set(&mut self, table: &Table, set: &Name) -> Result<bool, ObserveError> {
        let request = Request::new(libc::NFT_MSG_GETSET, 0, table.family as u8)
            .text(uapi::NFTA_SET_TABLE, table)
            .bytes(uapi::NFTA_SET_NAME, set.as_str().as_bytes());
        self.is_there(request, "the set")
    }

    /// Whether there is such a table, in whatever form: one question, nothing of it is read.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn has_table(&mut self, table: &Table) -> Result<bool, ObserveError> {
        let request = Request::new(libc::NFT_MSG_GETTABLE, 0, table.family as u8)
            .text(uapi::NFTA_TABLE_NAME, table);
        self.is_there(request, "the table")
    }

    /// Whether a table has such a chain; false where there is no such table either.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn has_chain(&mut self, table: &Table, chain: &Name) -> Result<bool, ObserveError> {
        let request = Request::new(libc::NFT_MSG_GETCHAIN, 0, table.family as u8)
            .text(uapi::NFTA_CHAIN_TABLE, table)
            .bytes(uapi::NFTA_CHAIN_NAME, chain.as_str().as_bytes());
        self.is_there(request, "the chain")
    }

    /// The chains of all tables of a family, anybody's. Those on a hook or of a type that this crate has
    /// no word for are left out.
    ///
    /// # Errors
    /// When the kernel can't be asked, or says what can't be understood.
    pub fn chains(&mut self, family: Family) -> Result<Vec<(Table, Chain)>, ObserveError> {
        self.repeat(|socket| {
            let mut chains = Vec::new();
            let request = Request::new(libc::NFT_MSG_GETCHAIN, libc::NLM_F_DUMP, family as u8);
            socket.ask(request, "chains", |_, attrs| {
                let name = Name::observed(read::table_of(attrs, uapi::NFTA_CHAIN_TABLE)?);
                if let Ok(chain) = read::chain(attrs)? {
                    chains.push((Table { family, name }, chain));
                }
                Ok(())
            })?;
            Ok(chains)
        })
    }

    /// The rules of a chain, anybody's, in order; none where there is no such chain.
    ///
    /// # Errors
    /// When the kernel can't be asked, or says what can't be understood.
    pub fn rules(&mut self, table: &Table, chain: &Name) -> Result<Vec<Rule>, ObserveError> {
        self.repeat(|socket| {
            let mut rules = Vec::new();
            let flags = libc::NLM_F_DUMP;
            let request = Request::new(libc::NFT_MSG_GETRULE, flags, table.family as u8)
                .text(uapi::NFTA_RULE_TABLE, table)
                .bytes(uapi::NFTA_RULE_CHAIN, chain.as_str().as_bytes());
            let asked = socket.ask(request, "rules", |_, attrs| {
                let of = read::table_of(attrs, uapi::NFTA_RULE_TABLE)?;
                let (name, state) = read::rule(attrs)?;
                if of == table.name.as_str() && name == *chain {
                    rules.push(state.rule);
                }
                Ok(())
            });
            match asked {
                Ok(()) | Err(Stop::Absent) => Ok(rules),
                Err(stop) => Err(stop),
            }
        })
    }

    /// Reads anew while others change what is read.
    pub(super) fn repeat<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, ObserveError> {
        for _ in 0..ATTEMPTS {
            match read(self) {
                Ok(found) => return Ok(found),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Changed | Stop::Absent) => {}
            }
        }
        Err(ObserveError::Unstable(ATTEMPTS))
    }

    fn is_there(&mut self, request: Request, what: &'static str) -> Result<bool, ObserveError> {
        match self.ask(request, what, |_, _| Ok(())) {
            Ok(()) => Ok(true),
            Err(Stop::Absent) => Ok(false),
            Err(Stop::Changed) => Err(io_error(what)(io::ErrorKind::Interrupted.into())),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    pub(super) fn current_generation(&mut self) -> Result<u32, ObserveError> {
        let what = "the generation";
        let request = Request::new(libc::NFT_MSG_GETGEN, 0, libc::AF_UNSPEC as u8);
        let mut id = None;
        match self.ask(request, what, |message, attrs| {
            id = Some(read::generation(attrs, message.port)?.id);
            Ok(())
        }) {
            Ok(()) => id.ok_or(decode(what)(DecodeError::Missing(what))),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Changed | Stop::Absent) => {
                Err(io_error(what)(io::ErrorKind::NotFound.into()))
            }
        }
    }

    fn read_table(&mut self, table: &Table, generation: u32) -> Result<TableState, Stop> {
        let request = Request::new(libc::NFT_MSG_GETTABLE, 0, table.family as u8)
            .text(uapi::NFTA_TABLE_NAME, table);
        self.ask(request, "the table", |_, _| Ok(()))?;
        let mut foreign = Vec::new();
        let mut chains = self.read_chains(table, &mut foreign)?;
        for (chain, rule) in self.read_rules(table)? {
            if let Some(chain) = chains.get_mut(&chain) {
                chain.rules.push(rule);
            }
        }
        let mut sets = BTreeMap::new();
        for set in self.read_sets(table, &mut foreign)? {
            if set.flags.dynamic {
                sets.insert(set.name.clone(), SetState { set, elements: Vec::new() });
                continue;
            }
            match self.read_elements(table, &set)? {
                Some(elements) => drop(sets.insert(set.name.clone(), SetState { set, elements })),
                None => foreign.push(set.name.clone()),
            }
        }
        let flowtables = self.read_flowtables(table)?;
        foreign.sort();
        Ok(TableState { generation, chains, sets, flowtables, foreign })
    }

    fn read_chains(
        &mut self,
        table: &Table,
        foreign: &mut Vec<Name>,
    ) -> Result<BTreeMap<Name, ChainState>, Stop> {
        let mut chains = BTreeMap::new();
        let request = Request::new(libc::NFT_MSG_GETCHAIN, libc::NLM_F_DUMP, table.family as u8);
        self.ask(request, "chains", |_, attrs| {
            // The kernel lists the chains of all tables of the family.
            if read::table_of(attrs, uapi::NFTA_CHAIN_TABLE)? == table.name.as_str() {
                match read::chain(attrs)? {
                    Ok(chain) => drop(
                        chains.insert(chain.name.clone(), ChainState { chain, rules: Vec::new() }),
                    ),
                    Err(name) => foreign.push(name),
                }
            }
            Ok(())
        })?;
        Ok(chains)
    }

    fn read_rules(&mut self, table: &Table) -> Result<Vec<(Name, RuleState)>, Stop> {
        let mut rules = Vec::new();
        let request = Request::new(libc::NFT_MSG_GETRULE, libc::NLM_F_DUMP, table.family as u8)
            .text(uapi::NFTA_RULE_TABLE, table);
        self.ask(request, "rules", |_, attrs| {
            if read::table_of(attrs, uapi::NFTA_RULE_TABLE)? == table.name.as_str() {
                rules.push(read::rule(attrs)?);
            }
            Ok(())
        })?;
        Ok(rules)
    }

    fn read_sets(&mut self, table: &Table, foreign: &mut Vec<Name>) -> Result<Vec<Arc<Set>>, Stop> {
        let mut sets = Vec::new();
        let request = Request::new(libc::NFT_MSG_GETSET, libc::NLM_F_DUMP, table.family as u8)
            .text(uapi::NFTA_SET_TABLE, table);
        self.ask(request, "sets", |_, attrs| {
            if read::table_of(attrs, uapi::NFTA_SET_TABLE)? == table.name.as_str() {
                match read::set(attrs)? {
                    Ok(set) => sets.push(Arc::new(set)),
                    Err(name) => foreign.push(name),
                }
            }
            Ok(())
        })?;
        Ok(sets)
    }

    /// `None` when an element is of a kind that this crate has no word for (a catch-all).
    fn read_elements(&mut self, table: &Table, set: &Set) -> Result<Option<Vec<Element>>, Stop> {
        let mut chunks = Vec::new();
        let mut known = true;
        let request = Request::new(libc::NFT_MSG_GETSETELEM, libc::NLM_F_DUMP, table.family as u8)
            .text(uapi::NFTA_SET_ELEM_LIST_TABLE, table)
            .bytes(uapi::NFTA_SET_ELEM_LIST_SET, set.name.as_str().as_bytes());
        self.ask(request, "elements", |_, attrs| {
            match read::elements(set, attrs) {
                Ok(more) => chunks.extend(more),
                Err(DecodeError::Unknown { .. }) => known = false,
                Err(error) => return Err(error),
            }
            Ok(())
        })
        // A set that was there a moment ago.
        .map_err(|stop| if matches!(stop, Stop::Absent) { Stop::Changed } else { stop })?;
        if !known {
            return Ok(None);
        }
        let elements = read::join_ranges(set, chunks).map_err(decode("elements"))?;
        Ok(Some(elements))
    }

    fn read_flowtables(&mut self, table: &Table) -> Result<BTreeMap<Name, Flowtable>, Stop> {
        let mut flowtables = BTreeMap::new();
        let request =
            Request::new(uapi::NFT_MSG_GETFLOWTABLE, libc::NLM_F_DUMP, table.family as u8)
                .text(uapi::NFTA_FLOWTABLE_TABLE, table);
        self.ask(request, "flowtables", |_, attrs| {
            if read::table_of(attrs, uapi::NFTA_FLOWTABLE_TABLE)? == table.name.as_str() {
                let flowtable = read::flowtable(attrs)?;
                flowtables.insert(flowtable.name.clone(), flowtable);
            }
            Ok(())
        })?;
        Ok(flowtables)
    }

    /// Sends a request and hands each message of the answer to `each`.
    pub(super) fn ask(
        &mut self,
        request: Request,
        what: &'static str,
        mut each: impl FnMut(&Message<'_>, Attrs<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), Stop> {
        let seq = self.seq;
        self.seq = self.seq.wrapping_add(1);
        let is_dump = request.is_dump;
        let subsystem = request.subsystem;
        self.netlink.send(&request.finish(seq), 0).map_err(io_error(what))?;
        let mut torn = false;
        loop {
            let datagram = self.receive(0).map_err(io_error(what))?;
            for message in Messages::new(datagram) {
                let message = message.map_err(decode(what))?;
                if message.seq != seq {
                    continue;
                }
                torn |= message.is_interrupted();
                match take(&message, subsystem, &mut each) {
                    Ok(Take::More) if is_dump => {}
                    Ok(Take::More | Take::End) if torn => return Err(Stop::Changed),
                    Ok(Take::More | Take::End) => return Ok(()),
                    Ok(Take::Error(libc::ENOENT)) => return Err(Stop::Absent),
                    Ok(Take::Error(libc::EINTR | libc::EAGAIN)) => return Err(Stop::Changed),
                    Ok(Take::Error(errno)) => {
                        return Err(io_error(what)(io::Error::from_raw_os_error(errno)).into());
                    }
                    Err(error) => return Err(decode(what)(error).into()),
                }
            }
        }
    }
}

enum Take {
    More,
    End,
    Error(i32),
}

fn take(
    message: &Message<'_>,
    subsystem: i32,
    each: &mut impl FnMut(&Message<'_>, Attrs<'_>) -> Result<(), DecodeError>,
) -> Result<Take, DecodeError> {
    match i32::from(message.kind) {
        libc::NLMSG_ERROR => Ok(match answer(message)?.errno {
            0 => Take::End,
            errno => Take::Error(errno),
        }),
        libc::NLMSG_DONE => {
            let code =
                message.payload.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
            Ok(if code < 0 { Take::Error(code.wrapping_neg()) } else { Take::End })
        }
        kind if kind >> 8 == subsystem => each(message, message.body()?.1).map(|()| Take::More),
        _ => Ok(Take::More),
    }
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> ObserveError {
    move |source| ObserveError::Io { doing, source }
}

fn decode(what: &'static str) -> impl Fn(DecodeError) -> ObserveError {
    move |source| ObserveError::Decode { what, source }
}

/// A question to nf_tables, or to a neighbour of its.
pub(super) struct Request {
    bytes: Vec<u8>,
    is_dump: bool,
    subsystem: i32,
}

impl Request {
    fn new(kind: i32, flags: i32, family: u8) -> Self {
        Self::to(libc::NFNL_SUBSYS_NFTABLES, kind, flags, family)
    }

    pub(super) fn to(subsystem: i32, kind: i32, flags: i32, family: u8) -> Self {
        let mut bytes = vec![0; 16];
        let kind = (subsystem << 8 | kind) as u16;
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        bytes.extend([family, libc::NFNETLINK_V0 as u8, 0, 0]);
        Self { bytes, is_dump: flags & libc::NLM_F_DUMP != 0, subsystem }
    }

    fn text(self, kind: u16, table: &Table) -> Self {
        self.bytes(kind, table.name.as_str().as_bytes())
    }

    /// A string attribute with its NUL.
    fn bytes(self, kind: u16, text: &[u8]) -> Self {
        self.plain(kind, &[text, &[0]].concat())
    }

    /// An attribute of just these bytes.
    pub(super) fn plain(mut self, kind: u16, value: &[u8]) -> Self {
        let len = 4 + value.len() as u16;
        self.bytes.extend(len.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self, seq: u32) -> Vec<u8> {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&seq.to_ne_bytes());
        self.bytes
    }
}
