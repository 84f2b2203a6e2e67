//! Operations on what makes a VIP local: their words, their messages, and what an answer means.
//!
//! Pure.

use std::fmt;

use crate::address;
use crate::answer::Failure;
use crate::name::LinkIndex;
use crate::vip::{self, Existing, Vip, VipRoute};
use crate::wire::Writer;

/// One change. Each can be repeated: what is already so is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// There is such a route of ours. One that differs in device or source is replaced.
    PutRoute(VipRoute),
    /// There is no route of ours for the VIP.
    RemoveRoute(Vip),
    /// The link has the VIP as an address (/32 or /128).
    Bind(Vip, LinkIndex),
    /// The link doesn't have the VIP as an address.
    Unbind(Vip, LinkIndex),
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutRoute(VipRoute { vip, link, src: Some(src) }) => {
                write!(f, "put local route {vip} on link {link} src {src}")
            }
            Self::PutRoute(VipRoute { vip, link, src: None }) => {
                write!(f, "put local route {vip} on link {link}")
            }
            Self::RemoveRoute(vip) => write!(f, "remove local route {vip}"),
            Self::Bind(vip, link) => write!(f, "bind {vip} to link {link}"),
            Self::Unbind(vip, link) => write!(f, "unbind {vip} from link {link}"),
        }
    }
}

/// What an operation that succeeded found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It wasn't so before.
    Made,
    /// It was there, or gone, before. A route's device and source were set again.
    AlreadySo,
}

impl Op {
    pub(crate) fn encode(&self, w: &mut Writer) {
        match self {
            Self::PutRoute(route) => vip::encode_put(w, route, Existing::Refuse),
            Self::RemoveRoute(vip) => vip::encode_remove(w, *vip),
            Self::Bind(vip, link) => address::encode_bind(w, *vip, *link),
            Self::Unbind(vip, link) => address::encode_unbind(w, *vip, *link),
        }
    }

    /// The route to write again where there is one already.
    pub(crate) fn replacement(&self, verdict: &Result<(), Failure>) -> Option<VipRoute> {
        match (self, verdict) {
            (Self::PutRoute(route), Err(Failure::Refused(r))) if r.errno == libc::EEXIST => {
                Some(*route)
            }
            _ => None,
        }
    }

    /// What the kernel's verdict means for this operation.
    pub(crate) fn judge(&self, verdict: Result<(), Failure>) -> Result<Change, Failure> {
        match verdict {
            Ok(()) => Ok(Change::Made),
            Err(Failure::Refused(r)) if self.already_so().contains(&r.errno) => {
                Ok(Change::AlreadySo)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The errnos that say it was so before. A link that is gone took its addresses along.
    fn already_so(&self) -> &'static [i32] {
        match self {
            Self::PutRoute(_) => &[],
            Self::RemoveRoute(_) => &[libc::ESRCH],
            Self::Bind(..) => &[libc::EEXIST],
            Self::Unbind(..) => &[libc::EADDRNOTAVAIL, libc::ENODEV, libc::ENXIO],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Refusal;

    #[test]
    fn prints_the_deed_and_the_thing() {
        let vip = Vip::new([10, 96, 0, 1].into()).unwrap();
        let link = LinkIndex::new(4).unwrap();
        let with_src = VipRoute { vip, link, src: Some([192, 0, 2, 1].into()) };
        let cases = [
            (Op::PutRoute(VipRoute::new(vip)), "put local route 10.96.0.1 on link 1"),
            (Op::PutRoute(with_src), "put local route 10.96.0.1 on link 4 src 192.0.2.1"),
            (Op::RemoveRoute(vip), "remove local route 10.96.0.1"),
            (Op::Bind(vip, link), "bind 10.96.0.1 to link 4"),
            (Op::Unbind(vip, link), "unbind 10.96.0.1 from link 4"),
        ];
        for (op, words) in cases {
            assert_eq!(op.to_string(), words);
        }
    }

    #[test]
    fn already_there_and_already_gone_are_fine_and_nothing_else() {
        let vip = Vip::new([10, 96, 0, 1].into()).unwrap();
        let link = LinkIndex::LOOPBACK;
        let bind = Op::Bind(vip, link);
        let unbind = Op::Unbind(vip, link);
        let remove = Op::RemoveRoute(vip);
        let cases = [
            (bind, libc::EEXIST, true),
            (bind, libc::ENODEV, false),
            (bind, libc::EPERM, false),
            (unbind, libc::EADDRNOTAVAIL, true),
            (unbind, libc::ENODEV, true),
            (unbind, libc::EPERM, false),
            (remove, libc::ESRCH, true),
            (remove, libc::EEXIST, false),
            (Op::PutRoute(VipRoute::new(vip)), libc::ENODEV, false),
        ];
        for (op, errno, fine) in cases {
            let verdict = op.judge(Err(Failure::Refused(Refusal { errno, words: None })));
            assert_eq!(matches!(verdict, Ok(Change::AlreadySo)), fine, "{op}: errno {errno}");
        }
    }
}
