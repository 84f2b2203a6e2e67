//! What can be known of a packet beside its bytes. Pure.

/// Properties of a packet (`NFT_META_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Meta {
    /// Length in bytes; 4 bytes, host order.
    Length = 0,
    /// EtherType; 2 bytes, network order.
    Protocol = 1,
    /// The packet mark; 4 bytes, host order.
    Mark = 3,
    /// Index of the incoming interface; 4 bytes, host order.
    Iif = 4,
    /// Index of the outgoing interface; 4 bytes, host order.
    Oif = 5,
    /// Name of the incoming interface; 16 bytes.
    IifName = 6,
    /// Name of the outgoing interface; 16 bytes.
    OifName = 7,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`; 1 byte.
    NfProto = 15,
    /// The transport protocol; 1 byte.
    L4Proto = 16,
}

impl Meta {
    pub(crate) const ALL: [Self; 9] = [
        Self::Length,
        Self::Protocol,
        Self::Mark,
        Self::Iif,
        Self::Oif,
        Self::IifName,
        Self::OifName,
        Self::NfProto,
        Self::L4Proto,
    ];
}
