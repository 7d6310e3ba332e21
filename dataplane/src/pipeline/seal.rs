//! Seal stage: clear packets on their way into tunnels to ESP packets on their way out. RFC 4303, 3.3.
//!
//! 0. what exceeds the gateway's bandwidth is dropped (`pipeline/police.rs`),
//! 1. sequence numbers: for each SA of the burst all that it needs, by one atomic add; the tunnel's port and link header, should they be out of date,
//! 2. ESP, outer and link headers on, by one change of the mbuf,
//! 3. AES-GCM over the whole burst; packets of other transforms were sealed one by one in step 2,
//! 4. out: what is a frame by now at once, else by the outer packet's route in the underlay; in fragments, where not even the
//!    least packet of its family would fit whole.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use arrayvec::ArrayVec;
use dpdk_sys::{BURST_PACKETS, Mbuf};

use super::{Context, Tables, leave, police};
use crate::counter::Counter;
use crate::esp::{self, shaped};
use crate::flow::{Egress, Now};
use crate::forwarding::{Forwarding, NextHop, TunnelId, VrfId};
use crate::gcm::{Job, Key, Nonce};
use crate::message::Event;
use crate::neighbour::Neighbours;
use crate::packet::{Batch, Entering, Family, Leaving};
use crate::pmtu::Fit;
use crate::sa::{Direction, Expiry, Hot, OutboundSa, SealKeys, Writers};
use crate::transform::Shape;
use crate::worker::Stage;

use frames::Left;

mod frames;
mod out;

/// A tunnel's place in a worker's table: its SA, how its packets leave, and what the burst at hand wants of it. One cache line.
#[repr(align(64))]
pub(crate) struct Outbound {
    sa: Option<Arc<OutboundSa>>,
    egress: Egress,
    /// Packets of this burst that still need a number, and the ESP payload bytes of those that asked.
    wanted: Cell<u16>,
    granted: Cell<u16>,
    bytes: Cell<u32>,
    next: Cell<u64>,
}

const _: () = assert!(size_of::<Outbound>() == 64, "a tunnel's place is one cache line");

impl Outbound {
    /// Without an SA.
    pub(crate) const fn new() -> Self {
        Self {
            sa: None,
            egress: Egress::NONE,
            wanted: Cell::new(0),
            granted: Cell::new(0),
            bytes: Cell::new(0),
            next: Cell::new(0),
        }
    }

    /// The SA to seal with.
    pub(crate) fn sa(&self) -> Option<&Arc<OutboundSa>> {
        self.sa.as_ref()
    }

    /// Puts another SA in; the former one comes back.
    pub(crate) fn replace(&mut self, sa: Arc<OutboundSa>) -> Option<Arc<OutboundSa>> {
        self.egress = Egress::NONE; // the peer may be elsewhere now
        self.sa.replace(sa)
    }

    /// Takes the SA out, provided that it is the right one.
    pub(crate) fn take_if(&mut self, is_it: impl FnOnce(&OutboundSa) -> bool) -> Option<Arc<OutboundSa>> {
        self.sa.take_if(|sa| is_it(sa))
    }

    /// The next of the numbers that the burst was granted: for up to so many packets.
    #[inline]
    fn numbers(&self, packets: u16) -> Range<u64> {
        let (granted, next) = (self.granted.get(), self.next.get());
        let taken = granted.min(packets);
        self.granted.set(granted - taken);
        self.next.set(next + u64::from(taken));
        next..next + u64::from(taken)
    }

    #[cold]
    fn refusal(&self) -> Counter {
        match self.sa.as_ref().map(|sa| sa.refusal()) {
            None => Counter::TunnelDown,
            Some(Expiry::Sequence) => Counter::SequenceExhausted,
            Some(_) => Counter::SaExpiredOutbound,
        }
    }
}

pub(super) fn seal(
    entering: &mut Batch<Entering>,
    leaving: &mut Batch<Leaving>,
    tables: &mut Tables,
    cx: &mut Context,
) {
    if entering.is_empty() {
        return;
    }
    if cx.forwarding.is_metered() {
        police::outbound(entering, cx);
    }
    let now = tables.now(cx.now_us);
    let mut runs = Runs::new();
    if take_numbers(entering, &mut runs, &tables.outbound, now, cx) == Egresses::Outdated {
        renew(entering, tables, now, &cx.forwarding);
    }
    let mut refused = ArrayVec::new();
    encapsulate(entering, &mut runs, &tables.outbound, &mut refused, cx);
    let bytes_of = |(number, _): &(u8, Counter)| {
        entering.get(usize::from(*number)).map_or(0, |packet| u64::from(packet.bytes))
    };
    let bytes = runs.iter().map(|run| u64::from(run.inner_bytes)).sum::<u64>();
    cx.counters.add(Counter::EspSealed, (entering.len() - refused.len()) as u64);
    cx.counters.add(Counter::EspSealedBytes, bytes - refused.iter().map(bytes_of).sum::<u64>());
    let mut packets = (0..).zip(entering.drain(..));
    for run in &runs {
        let packets = packets.by_ref().take(run.packets.into());
        let place = tables.outbound.get(at(run.tunnel));
        if let Some(place) = place.filter(|_| run.is_framed) {
            if !leaving.is_empty() {
                leave::leave(leaving, &mut tables.neighbours, cx); // what came before
            }
            cx.send_frames(packets.map(|(_, packet)| packet.mbuf), place.egress.port);
            continue;
        }
        for (number, packet) in packets {
            out::out(number, packet, &refused, leaving, tables, cx);
        }
    }
}

/// Packets in a row that enter one tunnel.
struct Run {
    tunnel: TunnelId,
    packets: u8,
    /// Of all of them.
    inner_bytes: u32,
    /// Whether all of them were sealed and are frames.
    is_framed: bool,
}

type Jobs<'a> = ArrayVec<Job<'a>, BURST_PACKETS>;
type Runs = ArrayVec<Run, BURST_PACKETS>;
/// Which packets, by their place in the burst, cannot be sent and why.
type Refused = ArrayVec<(u8, Counter), BURST_PACKETS>;

/// Whether all tunnels of a burst know how their packets leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Egresses {
    Known,
    Outdated,
}

/// Looks up again how packets leave, for tunnels that do not know any more: once for a run of packets, since it may well stay unknown.
#[cold]
fn renew(entering: &Batch<Entering>, tables: &mut Tables, now: Now, forwarding: &Forwarding) {
    let Tables { outbound, neighbours, .. } = tables;
    for run in entering.chunk_by(|one, other| one.tunnel == other.tunnel) {
        if let Some(Outbound { sa: Some(sa), egress, .. }) = outbound.get_mut(at(run[0].tunnel))
            && !egress.is_valid(now)
        {
            *egress = find_egress(sa, forwarding, neighbours, now).unwrap_or(Egress::NONE);
        }
    }
}

fn at(tunnel: TunnelId) -> usize {
    usize::try_from(tunnel.0).unwrap_or(usize::MAX)
}

/// Step 1, and the runs that the burst has. Two looks at the burst, so that an SA's lines are under way when they are needed.
fn take_numbers(
    entering: &Batch<Entering>,
    runs: &mut Runs,
    outbound: &[Outbound],
    now: Now,
    cx: &mut Context,
) -> Egresses {
    let writers = if cx.workers.get() == 1 { Writers::One } else { Writers::Many };
    let mut egresses = Egresses::Known;
    let mut tunnels: ArrayVec<&Outbound, BURST_PACKETS> = ArrayVec::new();
    for run in entering.chunk_by(|one, other| one.tunnel == other.tunnel) {
        let (tunnel, packets) = (run[0].tunnel, run.len().to_le_bytes()[0]); // at most a burst
        let inner_bytes = run.iter().map(|packet| u32::from(packet.bytes)).sum();
        runs.push(Run { tunnel, packets, inner_bytes, is_framed: false });
        let Some(place) = outbound.get(at(tunnel)) else { continue };
        if place.wanted.get() == 0 {
            place.bytes.set(0);
            tunnels.push(place);
            if let Some(sa) = &place.sa {
                dpdk_sys::prefetch(&sa.hot);
            }
            if !place.egress.is_valid(now) {
                egresses = Egresses::Outdated;
            }
        }
        place.wanted.set(place.wanted.get() + u16::from(packets));
        let bytes: u32 = run.iter().map(|packet| (u32::from(packet.bytes) + 2).next_multiple_of(4)).sum();
        place.bytes.set(place.bytes.get() + bytes);
    }
    if tunnels.len() > 1 {
        for sa in tunnels.iter().filter_map(|place| place.sa.as_ref()) {
            sa.prefetch();
        }
    }
    for place in tunnels {
        let wanted = place.wanted.replace(0);
        place.granted.set(0);
        let Some(sa) = &place.sa else { continue };
        let grant = sa.reserve(u32::from(wanted), writers);
        place.next.set(grant.first);
        place.granted.set(u16::try_from(grant.granted).unwrap_or(wanted));
        let bytes = match &sa.hot.keys {
            SealKeys::AesGcm { .. } => u64::from(place.bytes.get()),
            SealKeys::Other(sealer) => payload_bytes(entering, sa.tunnel(), sealer.shape()),
        };
        let over = if grant.granted > 0 { sa.account(bytes, cx.now_ms(), writers) } else { None };
        for expiry in [grant.reached, over].into_iter().flatten() {
            let (direction, tunnel, spi) = (Direction::Outbound, sa.tunnel(), sa.spi());
            cx.tell(Event::Expired { direction, tunnel, spi, expiry });
        }
    }
    egresses
}

/// ESP payload of all packets that enter a tunnel, in bytes.
#[cold]
fn payload_bytes(entering: &Batch<Entering>, tunnel: TunnelId, shape: Shape) -> u64 {
    let own = entering.iter().filter(|packet| packet.tunnel == tunnel);
    own.map(|packet| shape.payload_bytes(packet.bytes.into()) as u64).sum()
}

/// Steps 2 and 3.
fn encapsulate(
    entering: &mut Batch<Entering>,
    runs: &mut Runs,
    outbound: &[Outbound],
    refused: &mut Refused,
    cx: &mut Context,
) {
    let mut jobs = Jobs::new();
    let mut first = 0;
    let mut rest = entering.as_mut_slice();
    for run in runs {
        let (own, others) = rest.split_at_mut(run.packets.into());
        let before = refused.len();
        if let Some(place) = outbound.get(at(run.tunnel))
            && let Some(sa) = &place.sa
        {
            run.is_framed =
                seal_run(own, place, &sa.hot, first, &mut jobs, refused, cx) && refused.len() == before;
        } else {
            refused.extend((first..).zip(own).map(|(number, _)| (number, Counter::TunnelDown)));
        }
        first += run.packets;
        rest = others;
    }
    cx.watch.lap(Stage::Encapsulate);
    cx.kernel.seal(&mut jobs);
    cx.watch.lap(Stage::Encrypt);
}

/// Steps 2 and 3 for a run, whose first packet has the place `first` in the burst. Says whether all that are not refused are frames.
#[inline(always)] // called in one place
fn seal_run<'a>(
    packets: &'a mut [Entering],
    place: &'a Outbound,
    hot: &'a Hot,
    first: u8,
    jobs: &mut Jobs<'a>,
    refused: &mut Refused,
    cx: &Context,
) -> bool {
    let mut numbers = place.numbers(packets.len().to_le_bytes()[0].into()); // at most a burst
    let mut all_framed = true;
    let (mut number, mut packets) = (first, packets.iter_mut());
    loop {
        let before = jobs.len();
        let left = frames::encapsulate(&mut packets, hot, &place.egress, &mut numbers, jobs);
        number += (jobs.len() - before).to_le_bytes()[0]; // at most a burst
        let refusal = match left {
            Left::Nothing => return all_framed,
            Left::Refused(reason) => Err(reason),
            Left::Packet(packet) => {
                all_framed = false;
                let sequence = numbers.next().ok_or_else(|| place.refusal());
                sequence.and_then(|sequence| seal_one(packet, hot, sequence, jobs, cx))
            }
        };
        if let Err(reason) = refusal {
            refused.push((number, reason));
        }
        number += 1;
    }
}

/// Steps 2 and 3 for a packet that [`frames`] leaves: it gets no link header, and is sealed at once if its transform is not AES-GCM or it lies in several segments.
#[inline(never)]
fn seal_one<'a>(
    packet: &'a mut Entering,
    hot: &'a Hot,
    sequence: u64,
    jobs: &mut Jobs<'a>,
    cx: &Context,
) -> Result<(), Counter> {
    match &hot.keys {
        SealKeys::AesGcm { salt, key } if packet.fit == Fit::InSegments => {
            esp::segments::seal(packet, hot, (key, *salt), sequence, cx.kernel, &cx.pool)?;
        }
        SealKeys::AesGcm { salt, key } => {
            let sealed = esp::encapsulate(packet, hot, sequence)?;
            jobs.push(job(key, *salt, hot, sequence, sealed));
        }
        SealKeys::Other(sealer) => {
            sealer.seal(shaped::encapsulate(packet, hot, sealer.shape(), sequence)?, sequence, hot.esn);
        }
    }
    Ok(())
}

/// What AES-GCM has to do for an encapsulated packet.
#[inline(always)] // a job that is returned through memory is read back in other pieces than it was written: 10 cycles a packet
fn job<'a>(key: &'a Key, salt: [u8; 4], hot: &Hot, sequence: u64, sealed: &'a mut [u8]) -> Job<'a> {
    let aad = esp::aad(hot.spi, sequence, hot.esn);
    let job = Job::new(key, Nonce::new(salt, sequence.to_be_bytes()), aad, sealed);
    // Nothing may leave unsealed: there is room for the tag, and no packet exceeds 64 KiB.
    job.expect("an encapsulated packet has a tag and at most 65535 bytes")
}

/// How the SA's packets leave; `None` while the neighbour's address is not known, or if there is no way.
#[cold]
fn find_egress(
    sa: &OutboundSa,
    forwarding: &Forwarding,
    neighbours: &mut Neighbours<Mbuf>,
    now: Now,
) -> Option<Egress> {
    let remote = sa.hot.remote();
    let (interface, next_hop) = match forwarding.route(VrfId::UNDERLAY, remote) {
        NextHop::Connected(interface) => (interface, remote),
        NextHop::Via(interface, next_hop) => (interface, next_hop),
        NextHop::Unreachable
        | NextHop::Blackhole
        | NextHop::Local(_)
        | NextHop::Tunnel(_)
        | NextHop::Group(_)
        | NextHop::CircuitDown => return None,
    };
    let family = if remote.is_ipv4() { Family::V4 } else { Family::V6 };
    Egress::find(interface, next_hop, family, forwarding, neighbours, now)
}
