//! `struct rte_mbuf` as this crate sees it: only the fields that it touches, so that lengths and the data pointer
//! cost a load and not a call. Each offset is checked against the installed DPDK's headers when the crate compiles.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
};

use crate::ffi;

/// DPDK's packet buffer descriptor; its unions are the plain integers that we use of them.
#[allow(non_camel_case_types, reason = "the name that the generated functions use")]
#[repr(C, align(64))]
pub(crate) struct rte_mbuf {
    pub(crate) buf_addr: *mut c_void,
    iova: u64,
    pub(crate) data_off: u16,
    pub(crate) refcnt: u16,
    pub(crate) nb_segs: u16,
    pub(crate) port: u16,
    pub(crate) ol_flags: u64,
    pub(crate) packet_type: u32,
    pub(crate) pkt_len: u32,
    pub(crate) data_len: u16,
    pub(crate) vlan_tci: u16,
    pub(crate) rss: u32,
    hash_high: u32,
    vlan_tci_outer: u16,
    pub(crate) buf_len: u16,
    pub(crate) pool: *mut ffi::rte_mempool,
    pub(crate) next: *mut rte_mbuf,
    /// `l2_len` in the low bits, `l3_len` above it.
    pub(crate) tx_offload: u64,
    rest: [u64; 6],
}

macro_rules! same_offset {
    ($($field:ident = $theirs:ident),* $(,)?) => {
        $(const _: () = assert!(
            offset_of!(rte_mbuf, $field) == ffi::$theirs as usize,
            concat!("DPDK's rte_mbuf has `", stringify!($field), "` elsewhere"),
        );)*
    };
}

const _: () =
    assert!(size_of::<rte_mbuf>() == ffi::SHIM_MBUF_SIZE as usize, "DPDK's rte_mbuf has another size");
same_offset! {
    buf_addr = SHIM_MBUF_BUF_ADDR,
    data_off = SHIM_MBUF_DATA_OFF,
    refcnt = SHIM_MBUF_REFCNT,
    nb_segs = SHIM_MBUF_NB_SEGS,
    port = SHIM_MBUF_PORT,
    ol_flags = SHIM_MBUF_OL_FLAGS,
    packet_type = SHIM_MBUF_PACKET_TYPE,
    pkt_len = SHIM_MBUF_PKT_LEN,
    data_len = SHIM_MBUF_DATA_LEN,
    vlan_tci = SHIM_MBUF_VLAN_TCI,
    rss = SHIM_MBUF_RSS,
    buf_len = SHIM_MBUF_BUF_LEN,
    pool = SHIM_MBUF_POOL,
    next = SHIM_MBUF_NEXT,
    tx_offload = SHIM_MBUF_TX_OFFLOAD,
}
const _: () =
    assert!(ffi::SHIM_L2_LEN_BITS == 7 && ffi::SHIM_L3_LEN_BITS == 9, "DPDK packs tx_offload otherwise");
