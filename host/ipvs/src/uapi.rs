//! Numbers of `include/uapi/linux/ip_vs.h`, under the kernel's names without their prefix.

pub(crate) const FAMILY: &str = "IPVS";
pub(crate) const VERSION: u8 = 1;

pub(crate) mod cmd {
    pub(crate) const NEW_SERVICE: u8 = 1;
    pub(crate) const SET_SERVICE: u8 = 2;
    pub(crate) const DEL_SERVICE: u8 = 3;
    pub(crate) const GET_SERVICE: u8 = 4;
    pub(crate) const NEW_DEST: u8 = 5;
    pub(crate) const SET_DEST: u8 = 6;
    pub(crate) const DEL_DEST: u8 = 7;
    pub(crate) const GET_DEST: u8 = 8;
    pub(crate) const SET_CONFIG: u8 = 12;
    pub(crate) const GET_CONFIG: u8 = 13;
    pub(crate) const GET_INFO: u8 = 15;
    pub(crate) const ZERO: u8 = 16;
    pub(crate) const FLUSH: u8 = 17;
}

pub(crate) mod attr {
    pub(crate) const SERVICE: u16 = 1;
    pub(crate) const DEST: u16 = 2;
    pub(crate) const TIMEOUT_TCP: u16 = 4;
    pub(crate) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(crate) const TIMEOUT_UDP: u16 = 6;
}

pub(crate) mod svc {
    pub(crate) const AF: u16 = 1;
    pub(crate) const PROTOCOL: u16 = 2;
    pub(crate) const ADDR: u16 = 3;
    pub(crate) const PORT: u16 = 4;
    pub(crate) const FWMARK: u16 = 5;
    pub(crate) const SCHED_NAME: u16 = 6;
    pub(crate) const FLAGS: u16 = 7;
    pub(crate) const TIMEOUT: u16 = 8;
    pub(crate) const NETMASK: u16 = 9;
    pub(crate) const STATS: u16 = 10;
    pub(crate) const PE_NAME: u16 = 11;
    pub(crate) const STATS64: u16 = 12;

    pub(crate) const F_PERSISTENT: u32 = 0x1;
    pub(crate) const F_HASHED: u32 = 0x2;
    pub(crate) const F_ONEPACKET: u32 = 0x4;
    pub(crate) const F_SCHED1: u32 = 0x8;
    pub(crate) const F_SCHED2: u32 = 0x10;
    pub(crate) const F_SCHED3: u32 = 0x20;
}

pub(crate) mod dest {
    pub(crate) const ADDR: u16 = 1;
    pub(crate) const PORT: u16 = 2;
    pub(crate) const FWD_METHOD: u16 = 3;
    pub(crate) const WEIGHT: u16 = 4;
    pub(crate) const U_THRESH: u16 = 5;
    pub(crate) const L_THRESH: u16 = 6;
    pub(crate) const ACTIVE_CONNS: u16 = 7;
    pub(crate) const INACT_CONNS: u16 = 8;
    pub(crate) const PERSIST_CONNS: u16 = 9;
    pub(crate) const STATS: u16 = 10;
    pub(crate) const ADDR_FAMILY: u16 = 11;
    pub(crate) const STATS64: u16 = 12;
    pub(crate) const TUN_TYPE: u16 = 13;
    pub(crate) const TUN_PORT: u16 = 14;
    pub(crate) const TUN_FLAGS: u16 = 15;

    pub(crate) const FWD_MASK: u32 = 0x7;
    pub(crate) const FWD_MASQ: u32 = 0;
    pub(crate) const FWD_LOCALNODE: u32 = 1;
    pub(crate) const FWD_TUNNEL: u32 = 2;
    pub(crate) const FWD_DROUTE: u32 = 3;
    pub(crate) const FWD_BYPASS: u32 = 4;

    pub(crate) const TUN_IPIP: u8 = 0;
    pub(crate) const TUN_GUE: u8 = 1;
    pub(crate) const TUN_GRE: u8 = 2;
    pub(crate) const TUN_CSUM: u16 = 1;
    pub(crate) const TUN_REMCSUM: u16 = 2;
}

pub(crate) mod info {
    pub(crate) const VERSION: u16 = 1;
    pub(crate) const CONN_TAB_SIZE: u16 = 2;
}
