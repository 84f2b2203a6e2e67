//! What conntrack knows of a packet. Pure.

/// Properties of a connection (`NFT_CT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ct {
    /// Bits of [`ct_state`]; 4 bytes, host order.
    State = 0,
    /// 0 original, 1 reply; 1 byte.
    Direction = 1,
    /// Bits of [`ct_status`]; 4 bytes, host order.
    Status = 2,
    /// The connection mark; 4 bytes, host order.
    Mark = 3,
    /// Network protocol (`NFPROTO_*`); 1 byte.
    L3Proto = 7,
    /// Transport protocol; 1 byte. Wants a direction.
    Protocol = 10,
    /// Source port; 2 bytes. Wants a direction.
    ProtoSrc = 11,
    /// Destination port; 2 bytes. Wants a direction.
    ProtoDst = 12,
    /// Packets; 8 bytes, host order. Both directions together without one.
    Packets = 14,
    /// Bytes; 8 bytes, host order. Both directions together without one.
    Bytes = 15,
    /// Source IPv4 address; 4 bytes. Wants a direction. Linux 4.17.
    SrcIp = 19,
    /// Destination IPv4 address; 4 bytes. Wants a direction.
    DstIp = 20,
    /// Source IPv6 address; 16 bytes. Wants a direction.
    SrcIp6 = 21,
    /// Destination IPv6 address; 16 bytes. Wants a direction.
    DstIp6 = 22,
}

impl Ct {
    pub(crate) const ALL: [Self; 14] = [
        Self::State,
        Self::Direction,
        Self::Status,
        Self::Mark,
        Self::L3Proto,
        Self::Protocol,
        Self::ProtoSrc,
        Self::ProtoDst,
        Self::Packets,
        Self::Bytes,
        Self::SrcIp,
        Self::DstIp,
        Self::SrcIp6,
        Self::DstIp6,
    ];
}

/// Bits of `ct state` (`NF_CT_STATE_BIT`).
pub mod ct_state {
    /// Belongs to no connection.
    pub const INVALID: u32 = 1;
    /// Of a connection that both sides know.
    pub const ESTABLISHED: u32 = 2;
    /// Of a connection that another expected.
    pub const RELATED: u32 = 4;
    /// The first of a connection.
    pub const NEW: u32 = 8;
    /// Not tracked on purpose.
    pub const UNTRACKED: u32 = 64;
}

/// Bits of `ct status` (`enum ip_conntrack_status`).
pub mod ct_status {
    /// Its source is translated.
    pub const SNAT: u32 = 1 << 4;
    /// Its destination is translated.
    pub const DNAT: u32 = 1 << 5;
}
