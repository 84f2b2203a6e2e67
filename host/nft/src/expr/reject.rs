//! How a packet is refused. Pure.

/// The answer to a rejected packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// An ICMP or ICMPv6 error, whichever fits (`NFT_REJECT_ICMPX_*`): inet tables only.
    Icmpx(Icmpx),
    /// A TCP reset: after a match on TCP only.
    TcpReset,
}

/// ICMP errors that both IP versions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Icmpx {
    /// No route to the destination.
    NoRoute = 0,
    /// Port unreachable.
    PortUnreachable = 1,
    /// Host unreachable.
    HostUnreachable = 2,
    /// Administratively prohibited.
    AdminProhibited = 3,
}

impl Icmpx {
    pub(crate) const ALL: [Self; 4] =
        [Self::NoRoute, Self::PortUnreachable, Self::HostUnreachable, Self::AdminProhibited];
}
