//! Numbers of linux/netfilter/nfnetlink_conntrack.h, nf_conntrack_common.h and nfnetlink.h, under
//! the kernel's names without their prefix.

/// `NFNL_SUBSYS_CTNETLINK << 8`: the upper byte of a message's kind.
const CTNETLINK: u16 = 1 << 8;

/// `IPCTNL_MSG_CT_*`.
pub(crate) mod msg {
    pub(crate) const NEW: u16 = super::CTNETLINK;
    pub(crate) const GET: u16 = super::CTNETLINK | 1;
    pub(crate) const DELETE: u16 = super::CTNETLINK | 2;
}

/// `enum ctattr_type`.
pub(crate) mod cta {
    pub(crate) const TUPLE_ORIG: u16 = 1;
    pub(crate) const TUPLE_REPLY: u16 = 2;
    pub(crate) const STATUS: u16 = 3;
    pub(crate) const TIMEOUT: u16 = 7;
    pub(crate) const MARK: u16 = 8;
    pub(crate) const COUNTERS_ORIG: u16 = 9;
    pub(crate) const COUNTERS_REPLY: u16 = 10;
    pub(crate) const ID: u16 = 12;
    pub(crate) const ZONE: u16 = 18;
    pub(crate) const FILTER: u16 = 25;
    pub(crate) const STATUS_MASK: u16 = 26;
}

/// `enum ctattr_tuple`, `ctattr_ip` and `ctattr_l4proto`.
pub(crate) mod tuple {
    pub(crate) const IP: u16 = 1;
    pub(crate) const PROTO: u16 = 2;
    pub(crate) const ZONE: u16 = 3;

    pub(crate) const IP_V4_SRC: u16 = 1;
    pub(crate) const IP_V4_DST: u16 = 2;
    pub(crate) const IP_V6_SRC: u16 = 3;
    pub(crate) const IP_V6_DST: u16 = 4;

    pub(crate) const PROTO_NUM: u16 = 1;
    pub(crate) const PROTO_SRC_PORT: u16 = 2;
    pub(crate) const PROTO_DST_PORT: u16 = 3;
}

/// `enum ctattr_counters`.
pub(crate) mod counters {
    pub(crate) const PACKETS: u16 = 1;
    pub(crate) const BYTES: u16 = 2;
}

/// `enum ctattr_filter`, and the bits of its fields: `CTA_FILTER_F_*`, which the kernel keeps in
/// net/netfilter/nf_internals.h. The fields are in host order, unlike all others.
pub(crate) mod filter {
    pub(crate) const ORIG_FLAGS: u16 = 1;
    pub(crate) const REPLY_FLAGS: u16 = 2;

    pub(crate) const F_IP_SRC: u32 = 1 << 0;
    pub(crate) const F_IP_DST: u32 = 1 << 1;
    pub(crate) const F_PROTO_NUM: u32 = 1 << 3;
    pub(crate) const F_PROTO_SRC_PORT: u32 = 1 << 4;
    pub(crate) const F_PROTO_DST_PORT: u32 = 1 << 5;
}
