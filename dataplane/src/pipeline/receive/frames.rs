//! What the receive stage reads of a burst of frames before anything is looked up: for the shortcut, the plain packets in unicast frames to us.

use dpdk_sys::{Burst, Checksum, Mbuf};

use super::tag;
use crate::flow::{FlowTable, Way, WayNumber};
use crate::forwarding::{Forwarding, PortIndex};
use crate::header::be16;
use crate::header::ethernet::{self, EtherType, EthernetView, Mac};
use crate::header::vlan::VlanId;
use crate::pipeline::shortcut::{Arrival, Begins, Plains, Run};

/// Bytes of all frames, and how many flows they are of.
#[inline(never)] // a loop needs the registers for itself
pub(super) fn read(
    port: PortIndex,
    arrived: &Burst,
    plains: &mut Plains,
    flow_table: &FlowTable,
    forwarding: &Forwarding,
) -> (u64, usize) {
    let mut interfaces = Interfaces { untagged: Interface::find(port, None, forwarding), last: None };
    let (mut bytes, mut flows) = (0, 0);
    for mbuf in arrived.iter() {
        bytes += u64::from(mbuf.len_bytes());
        match read_one(mbuf, port, &mut interfaces, forwarding, plains) {
            None => plains.add_other(),
            Some(Begins::Run) => flows += usize::from(is_unseen(plains.runs(), flow_table)),
            Some(Begins::Nothing) => {}
        }
    }
    (bytes, flows)
}

/// A burst of no more flows finds what it needs in the cache. Of so many, mixed in any way, each is noted once.
pub(super) const FEW_FLOWS: usize = 4;

/// Whether the flow of the last run is none of those right before; if so, asks for its place.
#[inline]
fn is_unseen(runs: &[Run], flows: &FlowTable) -> bool {
    let Some((last, before)) = runs.split_last() else { return false };
    let is_unseen = !before.iter().rev().take(FEW_FLOWS).any(|run| run.key == last.key);
    if is_unseen {
        flows.prefetch(&last.key);
    }
    is_unseen
}

/// Interfaces of the port that frames come from: the one of frames without a tag, and the one of the last frame with one.
struct Interfaces {
    untagged: Option<Interface>,
    last: Option<(VlanId, Interface)>,
}

#[derive(Clone, Copy)]
struct Interface {
    way: WayNumber,
    /// In the upper six bytes, as it stands in a frame.
    mac: u64,
}

impl Interface {
    fn find(port: PortIndex, vlan: Option<VlanId>, forwarding: &Forwarding) -> Option<Self> {
        let id = forwarding.interface_at(port, vlan)?;
        let Mac([a, b, c, d, e, f]) = forwarding.interface(id)?.mac;
        Some(Self { way: Way::Interface(id).number()?, mac: upper_six([a, b, c, d, e, f, 0, 0]) })
    }
}

/// The first six of eight bytes: a MAC address by one load.
#[inline(always)]
fn upper_six(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes) << 16
}

impl Interfaces {
    /// That of a frame with a tag, and where the packet begins, in bytes. Looked up once for frames of one VLAN in a row.
    #[inline(never)]
    fn tagged(
        &mut self,
        mbuf: &Mbuf,
        port: PortIndex,
        forwarding: &Forwarding,
    ) -> Option<(Interface, u16, EtherType)> {
        let ethernet = EthernetView::new(mbuf.data()).ok()?;
        let (vlan, ether_type, link_bytes) = tag(&ethernet, mbuf.stripped_vlan_tci()).ok()?;
        let at = u16::try_from(link_bytes).ok()?;
        let Some(vlan) = vlan else { return Some((self.untagged?, at, ether_type)) };
        if let Some((_, interface)) = self.last.filter(|(last, _)| *last == vlan) {
            return Some((interface, at, ether_type));
        }
        let interface = Interface::find(port, Some(vlan), forwarding)?;
        self.last = Some((vlan, interface));
        Some((interface, at, ether_type))
    }
}

/// For the shortcut: a plain packet in a unicast frame to us; says whether a run begins with it.
#[inline(always)] // called in one place, once a packet
fn read_one(
    mbuf: &Mbuf,
    port: PortIndex,
    interfaces: &mut Interfaces,
    forwarding: &Forwarding,
    plains: &mut Plains,
) -> Option<Begins> {
    let frame = mbuf.data();
    let head: &[u8; ethernet::HEADER_BYTES] = frame.first_chunk().filter(|_| mbuf.is_contiguous())?;
    let ether_type = EtherType(be16(head, 12));
    let (interface, at, ether_type) = if ether_type == EtherType::VLAN || mbuf.stripped_vlan_tci().is_some() {
        interfaces.tagged(mbuf, port, forwarding)?
    } else {
        (interfaces.untagged?, ETHERNET_BYTES, ether_type)
    };
    if interface.mac != upper_six(*head.first_chunk()?) {
        return None;
    }
    let packet = frame.get(usize::from(at)..)?;
    let checksum_known = mbuf.ip_checksum() == Checksum::Good;
    let arrival = Arrival { way: interface.way, at, checksum_known, outer_class: 0 };
    match ether_type {
        EtherType::IPV4 => plains.add_v4(packet, arrival),
        EtherType::IPV6 => plains.add_v6(packet, arrival),
        _ => None,
    }
}

const ETHERNET_BYTES: u16 = const { ethernet::HEADER_BYTES.to_le_bytes()[0] as u16 };
