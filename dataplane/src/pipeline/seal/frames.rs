//! Steps 2 and 3 of the seal stage for nearly all packets: those that AES-GCM seals and that leave as they are in a plain Ethernet frame. A run of them is one
//! loop, compiled for each kind of outer header, so that lengths are constants and registers hold what its packets have in common.

use std::ops::Range;
use std::slice::IterMut;

use super::{Jobs, job};
use crate::counter::Counter;
use crate::esp;
use crate::flow::Egress;
use crate::gcm::Key;
use crate::header::ethernet;
use crate::packet::Entering;
use crate::pmtu::Fit;
use crate::sa::{Hot, Outer, SealKeys};

/// Where a run was left.
pub(super) enum Left<'a> {
    /// At its end.
    Nothing,
    /// At a packet of another kind, or one for which there is no number.
    Packet(&'a mut Entering),
    /// Behind a packet that cannot be sent.
    Refused(Counter),
}

/// Encapsulates packets and makes their jobs, as far as they are of this kind.
#[inline(always)]
pub(super) fn encapsulate<'a>(
    packets: &mut IterMut<'a, Entering>,
    hot: &'a Hot,
    egress: &Egress,
    numbers: &mut Range<u64>,
    jobs: &mut Jobs<'a>,
) -> Left<'a> {
    if let (SealKeys::AesGcm { salt, key }, Some(link)) = (&hot.keys, egress.ethernet()) {
        let common = Common { hot, key, salt: *salt, link, mtu_bytes: egress.mtu_bytes };
        match hot.outer {
            Outer::V4 => return frames::<24, 50>(packets, &common, numbers, jobs),
            Outer::V4Udp => return frames::<32, 58>(packets, &common, numbers, jobs),
            Outer::V6 => return frames::<44, 70>(packets, &common, numbers, jobs),
            Outer::V6Udp => {} // its checksum comes last
        }
    }
    packets.next().map_or(Left::Nothing, Left::Packet)
}

/// What all packets have in common.
struct Common<'a, 'b> {
    hot: &'a Hot,
    key: &'a Key,
    salt: [u8; 4],
    link: &'b [u8; ethernet::HEADER_BYTES],
    mtu_bytes: u16,
}

#[inline(never)] // a loop needs the registers for itself
fn frames<'a, const TEMPLATE: usize, const FRONT: usize>(
    packets: &mut IterMut<'a, Entering>,
    common: &Common<'a, '_>,
    numbers: &mut Range<u64>,
    jobs: &mut Jobs<'a>,
) -> Left<'a> {
    let Common { hot, key, salt, link, mtu_bytes } = *common;
    for packet in packets {
        let total_bytes = esp::total_bytes::<TEMPLATE>(packet.bytes);
        if total_bytes > u32::from(mtu_bytes) || packet.fit != Fit::Whole || numbers.is_empty() {
            return Left::Packet(packet);
        }
        let sequence = numbers.start;
        numbers.start += 1;
        packet.framed = true;
        match esp::frame::<TEMPLATE, FRONT>(packet, hot, link, sequence) {
            Ok(sealed) => jobs.push(job(key, salt, hot, sequence, sealed)),
            Err(reason) => return Left::Refused(reason),
        }
    }
    Left::Nothing
}
