//! What both sides say about themselves in the clear: vendor IDs (RFC 3947, 3.1; RFC 3706, 5.1), and the hashes by which NATs are found (RFC 3947, 3.2).

use std::net::{IpAddr, SocketAddr};

use super::keys;
use super::protect::Abilities;
use super::wire::{Payload, has_vendor_id};
use crate::config::ConnectionConfig;
use crate::crypto::keys::IkeSpis;
use crate::crypto::prf::Prf;
use crate::event::{Path, Role};
use crate::nat;
use crate::sa::{Arrived, Cx};

/// MD5 of "RFC 3947".
const NAT_TRAVERSAL: [u8; 16] = hex(0x4a13_1c81_0703_5845_5c57_28f2_0e95_452f);
/// Dead peer detection, version 1.0.
const DPD: [u8; 16] = hex(0xafca_d713_68a1_f1c9_6b86_96fc_7757_0100);
/// MD5 of "Crossgate IKEv1": whoever sends it resolves collisions as we do.
const CROSSGATE: [u8; 16] = hex(0x03d2_e983_a5d6_0538_74b7_a3e7_d06e_6eff);
/// Bytes of a vendor ID before its version.
const DPD_MARK_BYTES: usize = 14;

const fn hex(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

/// What we can.
pub(super) fn vendor_ids() -> impl Iterator<Item = Payload> {
    [NAT_TRAVERSAL, DPD, CROSSGATE].into_iter().map(|id| Payload::VendorId(id.to_vec()))
}

/// What the peer can.
pub(super) fn abilities(payloads: &[Payload]) -> Abilities {
    Abilities {
        nat: has_vendor_id(payloads, &NAT_TRAVERSAL),
        dpd: has_vendor_id(payloads, &DPD[..DPD_MARK_BYTES]),
        ours: has_vendor_id(payloads, &CROSSGATE),
    }
}

fn detection(prf: Prf, cookies: IkeSpis, address: SocketAddr) -> Vec<u8> {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let (i, r) = (cookies.initiator.to_bytes(), cookies.responder.to_bytes());
    keys::hash(prf, &[&i, &r, &ip, &address.port().to_be_bytes()])
}

/// The peer's address, then ours; one that nobody has if encapsulation is forced.
pub(super) fn payloads(prf: Prf, cookies: IkeSpis, path: Path, force: bool) -> [Payload; 2] {
    let source = if force { SocketAddr::new(path.local.ip(), 0) } else { path.local };
    [path.remote, source].map(|address| Payload::NatDetection(detection(prf, cookies, address)))
}

/// What the peer's hashes say about NATs, and the path that follows from it: UDP encapsulation, and for the initiator the move to port 4500.
pub(super) fn detect(
    payloads: &[Payload],
    (prf, cookies): (Prf, IkeSpis),
    arrived: &Arrived<'_>,
    mut path: Path,
    role: Role,
    config: &ConnectionConfig,
    cx: &mut Cx<'_>,
) -> Path {
    let mut hashes = payloads.iter().filter_map(|payload| match payload {
        Payload::NatDetection(hash) => Some(hash),
        _ => None,
    });
    let Some(of_us) = hashes.next() else { return path };
    let (here, there) = (detection(prf, cookies, arrived.local), detection(prf, cookies, arrived.remote));
    path.nat_before_us = *of_us != here;
    path.nat_before_peer = !hashes.any(|hash| *hash == there);
    nat::traversed(path, config.force_encapsulation, role, arrived, cx)
}
