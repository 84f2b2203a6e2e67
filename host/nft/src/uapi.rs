//! Numbers of linux/netfilter/nf_tables.h and linux/netlink.h that libc doesn't have, as attribute
//! types (`u16`) where they are attributes.
#![allow(missing_docs, reason = "the kernel's headers document them")]

pub(crate) const NFT_MSG_NEWFLOWTABLE: i32 = 22;
pub(crate) const NFT_MSG_GETFLOWTABLE: i32 = 23;
pub(crate) const NFT_MSG_DELFLOWTABLE: i32 = 24;

pub(crate) const NFT_SET_CONCAT: u32 = 0x80;
pub(crate) const NFT_FLOWTABLE_COUNTER: u32 = 2;

pub(crate) const NFT_BITWISE_MASK_XOR: u32 = 0;
pub(crate) const NFT_HASH_JENKINS: u32 = 0;
pub(crate) const NFT_HASH_SYM: u32 = 1;
pub(crate) const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
pub(crate) const NFTA_FIB_F_SADDR: u32 = 1;
pub(crate) const NFTA_FIB_F_DADDR: u32 = 2;
