//! The door to the kernel: changes to links, addresses and local routes, and dumps of them.
//!
//! Talks to the kernel over one blocking socket, in the network namespace of the thread that
//! opened it. An error is an error: no dump ever turns one into an empty answer.

use std::time::Duration;

use crate::address::{self, Address};
use crate::address_ref::{AddressRef, IpRef, decode_ip};
use crate::address_set::AddressSet;
use crate::answer::Failure;
use crate::default_route::{self, DefaultRoute};
use crate::error::Error;
use crate::link::{self, Link};
use crate::local_addresses::LocalAddresses;
use crate::name::{Family, LinkIndex, LinkName};
use crate::op::{Change, Op};
use crate::requests::{Requests, Traffic};
use crate::view::Snapshot;
use crate::vip::{self, Existing, VipRoute};
use crate::wire::{Malformed, Message};

/// How long the kernel may take to answer, unless said otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request socket to rtnetlink.
#[derive(Debug)]
pub struct Links {
    requests: Requests,
}

impl Links {
    /// Opens a socket; `timeout` holds for each request.
    ///
    /// # Errors
    /// [`Error::Socket`] when the kernel gives none (Linux before 4.20 has no strict check).
    pub fn open(timeout: Duration) -> Result<Self, Error> {
        let mut links = Self::unopened(timeout);
        links.requests.open().map_err(|failure| failure.of("open a route netlink socket"))?;
        Ok(links)
    }

    /// Opens its socket at the first request.
    pub(crate) fn unopened(timeout: Duration) -> Self {
        Self { requests: Requests::new(timeout) }
    }

    /// What this socket has done so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.requests.traffic()
    }

    /// Sees to it that there is a dummy device of that name; a new one is left down.
    ///
    /// # Errors
    /// [`Error::NotDummy`] for another kind of device of that name; `EOPNOTSUPP` where the kernel
    /// has no dummy driver.
    pub fn ensure_dummy(&mut self, name: &LinkName) -> Result<(LinkIndex, Change), Error> {
        let made = self.requests.call(|w| link::encode_new_dummy(w, name), |_| Ok(()));
        let change = match made {
            Ok(()) => Change::Made,
            Err(Failure::Refused(r)) if r.errno == libc::EEXIST => Change::AlreadySo,
            Err(failure) => return Err(failure.of(format!("create dummy {name}"))),
        };
        let found = self.get_link(name).map_err(|f| f.of(format!("look up dummy {name}")))?;
        Ok((dummy_only(name, &found)?, change))
    }

    /// Sees to it that there is no dummy device of that name.
    ///
    /// # Errors
    /// [`Error::NotDummy`] for another kind of device of that name, which is left alone.
    pub fn remove_dummy(&mut self, name: &LinkName) -> Result<Change, Error> {
        let Some(found) = self.link(name)? else { return Ok(Change::AlreadySo) };
        // By index: a device that took the name since is another one.
        let index = dummy_only(name, &found)?;
        match self.requests.call(|w| link::encode_remove(w, index), |_| Ok(())) {
            Ok(()) => Ok(Change::Made),
            Err(Failure::Refused(r)) if r.errno == libc::ENODEV => Ok(Change::AlreadySo),
            Err(failure) => Err(failure.of(format!("remove dummy {name}"))),
        }
    }

    /// Carries out all operations in order, in few sends; one verdict each, in the same order.
    /// A refused one doesn't keep the others from being carried out.
    pub fn apply(&mut self, ops: &[Op]) -> Vec<Result<Change, Error>> {
        let verdicts = self.requests.submit(ops.len(), |i, w| ops[i].encode(w));
        let again: Vec<(usize, VipRoute)> = ops
            .iter()
            .zip(&verdicts)
            .enumerate()
            .filter_map(|(i, (op, verdict))| Some((i, op.replacement(verdict)?)))
            .collect();
        let mut outcomes: Vec<_> =
            ops.iter().zip(verdicts).map(|(op, verdict)| op.judge(verdict)).collect();
        let replaced = self
            .requests
            .submit(again.len(), |i, w| vip::encode_put(w, &again[i].1, Existing::Replace));
        for ((i, _), verdict) in again.iter().zip(replaced) {
            outcomes[*i] = verdict.map(|()| Change::AlreadySo);
        }
        let named = ops.iter().zip(outcomes).map(|(op, out)| out.map_err(|failure| failure.of(op)));
        named.collect()
    }

    /// The link of that name, if there is one. One request, no dump.
    ///
    /// # Errors
    /// When the kernel doesn't answer; a link that isn't there is `None`.
    pub fn link(&mut self, name: &LinkName) -> Result<Option<Link>, Error> {
        match self.get_link(name) {
            Ok(link) => Ok(Some(link)),
            Err(Failure::Refused(r)) if r.errno == libc::ENODEV => Ok(None),
            Err(failure) => Err(failure.of(format!("look up link {name}"))),
        }
    }

    fn get_link(&mut self, name: &LinkName) -> Result<Link, Failure> {
        let mut found = None;
        self.requests.call(
            |w| link::encode_get(w, name),
            |message| {
                found = decode_if(message, libc::RTM_NEWLINK, Link::decode)?;
                Ok(())
            },
        )?;
        let missing = Malformed::new("link", "not in the kernel's answer");
        found.map(|message| message.link).ok_or(Failure::Malformed(missing))
    }

    /// All that a [`NodeView`](crate::NodeView) is made of.
    ///
    /// # Errors
    /// As the dumps.
    pub fn snapshot(&mut self) -> Result<Snapshot, Error> {
        Ok(Snapshot {
            links: self.dump_links()?,
            addresses: self.dump_addresses()?,
            default_routes: self.dump_default_routes()?,
        })
    }

    /// All links.
    ///
    /// # Errors
    /// When the dump fails.
    pub fn dump_links(&mut self) -> Result<Vec<Link>, Error> {
        let folded = self.requests.dump(link::encode_dump, |all: &mut Vec<Link>, message| {
            all.extend(decode_if(message, libc::RTM_NEWLINK, Link::decode)?.map(|m| m.link));
            Ok(())
        });
        folded.map_err(|failure| failure.of("dump links"))
    }

    /// All addresses of all links and both families, unfiltered, by one dump.
    ///
    /// # Errors
    /// When the dump fails.
    pub fn dump_addresses(&mut self) -> Result<LocalAddresses, Error> {
        let one = |all: &mut LocalAddresses, body: &[u8]| {
            if let Some(address) = AddressRef::decode(body)? {
                all.push(&address);
            }
            Ok(())
        };
        let folded = self.fold_addresses(None, one);
        let mut all = folded.map_err(|failure| failure.of("dump addresses"))?;
        all.settle();
        Ok(all)
    }

    /// All addresses of one link, unfiltered: the kernel leaves out the others.
    ///
    /// # Errors
    /// `is_not_found()` when there is no such link.
    pub fn dump_addresses_on(&mut self, link: LinkIndex) -> Result<Vec<Address>, Error> {
        let one = |all: &mut Vec<Address>, body: &[u8]| {
            // A kernel without the strict check would send all.
            all.extend(Address::decode(body)?.filter(|address| address.link == link));
            Ok(())
        };
        let folded = self.fold_addresses(Some(link), one);
        folded.map_err(|failure| failure.of(format!("dump addresses of link {link}")))
    }

    /// Feeds link and address of everything that one dump has, unfiltered, to `take`, which starts
    /// over with an empty `A` when changes cut the dump. The cheapest way to look at all once.
    ///
    /// # Errors
    /// When the dump fails.
    pub fn fold_ips<A: Default>(
        &mut self,
        mut take: impl FnMut(&mut A, LinkIndex, IpRef<'_>),
    ) -> Result<A, Error> {
        let one = |all: &mut A, body: &[u8]| {
            if let Some((link, ip)) = decode_ip(body)? {
                take(all, link, ip);
            }
            Ok(())
        };
        self.fold_addresses(None, one).map_err(|failure| failure.of("dump addresses"))
    }

    fn fold_addresses<A: Default>(
        &mut self,
        link: Option<LinkIndex>,
        mut take: impl FnMut(&mut A, &[u8]) -> Result<(), Malformed>,
    ) -> Result<A, Failure> {
        self.requests.dump(
            |w| address::encode_dump(w, link),
            |all, message| match message.kind {
                libc::RTM_NEWADDR => take(all, message.body),
                _ => Ok(()),
            },
        )
    }

    /// The addresses bound to a link, unfiltered: kube-proxy's `ListBindAddress`.
    ///
    /// # Errors
    /// `is_not_found()` when there is no such link.
    pub fn bound(&mut self, name: &LinkName) -> Result<AddressSet, Error> {
        Ok(self.addresses_of(name)?.iter().map(|a| a.ip).collect())
    }

    /// The node addresses (see [`address::is_node_address`]) of one link, both families.
    ///
    /// # Errors
    /// `is_not_found()` when there is no such link.
    pub fn local_addresses_on(&mut self, name: &LinkName) -> Result<AddressSet, Error> {
        let all = self.addresses_of(name)?;
        Ok(all.iter().map(|a| a.ip).filter(|ip| address::is_node_address(*ip)).collect())
    }

    /// The node addresses of all links, both families, by one dump.
    ///
    /// # Errors
    /// When the dump fails.
    pub fn local_addresses(&mut self) -> Result<AddressSet, Error> {
        self.local_addresses_except(&[])
    }

    /// The node addresses of all links but `excluded`, both families, by one dump. A name that no
    /// link has excludes nothing.
    ///
    /// # Errors
    /// When a name can't be looked up or the dump fails.
    pub fn local_addresses_except(&mut self, excluded: &[LinkName]) -> Result<AddressSet, Error> {
        let mut out = Vec::with_capacity(excluded.len());
        for name in excluded {
            out.extend(self.link(name)?.map(|link| link.index));
        }
        let mut set = self.fold_ips(|set: &mut AddressSet, link, ip| {
            if ip.is_node_address() && !out.contains(&link) {
                set.push(ip);
            }
        })?;
        set.settle();
        Ok(set)
    }

    fn addresses_of(&mut self, name: &LinkName) -> Result<Vec<Address>, Error> {
        let link =
            self.get_link(name).map_err(|failure| failure.of(format!("look up link {name}")))?;
        self.dump_addresses_on(link.index)
    }

    /// Our local routes of both families, known by their protocol number.
    ///
    /// # Errors
    /// When a dump fails.
    pub fn dump_vip_routes(&mut self) -> Result<Vec<VipRoute>, Error> {
        self.dump_routes(vip::encode_dump, VipRoute::decode, "dump our local routes")
    }

    /// Default routes of both families and all tables.
    ///
    /// # Errors
    /// When a dump fails.
    pub fn dump_default_routes(&mut self) -> Result<Vec<DefaultRoute>, Error> {
        self.dump_routes(default_route::encode_dump, DefaultRoute::decode, "dump default routes")
    }

    fn dump_routes<T>(
        &mut self,
        encode: fn(&mut crate::wire::Writer, Family),
        decode: fn(&[u8]) -> Result<Option<T>, Malformed>,
        deed: &str,
    ) -> Result<Vec<T>, Error> {
        let mut routes = Vec::new();
        for family in Family::BOTH {
            let folded = self.requests.dump(
                |w| encode(w, family),
                |all: &mut Vec<T>, message| {
                    // Asked for a family that it lacks, the kernel dumps the others.
                    if message.body.first() == Some(&family.number()) {
                        all.extend(decode_if(message, libc::RTM_NEWROUTE, decode)?);
                    }
                    Ok(())
                },
            );
            routes.append(&mut folded.map_err(|f| f.of(format!("{deed} ({family})")))?);
        }
        Ok(routes)
    }
}

fn decode_if<T>(
    message: Message<'_>,
    kind: u16,
    decode: impl Fn(&[u8]) -> Result<Option<T>, Malformed>,
) -> Result<Option<T>, Malformed> {
    if message.kind == kind { decode(message.body) } else { Ok(None) }
}

fn dummy_only(name: &LinkName, link: &Link) -> Result<LinkIndex, Error> {
    if link.is_dummy() {
        return Ok(link.index);
    }
    Err(Error::NotDummy { name: name.clone(), kind: link.kind.clone() })
}
