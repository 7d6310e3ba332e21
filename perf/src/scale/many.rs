//! Bursts whose packets belong to SAs in random order, through a stepped worker that seals and one that opens.

use anyhow::{Context, Result, ensure};
use dpdk_sys::Burst;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use crate::bed::stepped::{Bypass, Gateway};
use crate::bed::{Bed, LAN, Plan, Site, WAN};
use crate::engine::BURST_PACKETS;
use crate::machine::{Pin, packets_f64, report_precision};
use crate::spread::Spread;

/// Bursts whose mean is one figure.
const WINDOW_BURSTS: usize = 32;
/// Packets that warm up: no more than this, or two of each SA.
const WARM_PACKETS: usize = 200_000;

/// Net cycles per packet, outbound and inbound.
pub(super) fn measure(bed: &Bed, plan: Plan, inner_bytes: u16, windows: usize) -> Result<[Spread; 2]> {
    let _pin = Pin::to(bed.worker_core)?;
    let mut gateways = [Gateway::new(bed, plan, Site(1))?, Gateway::new(bed, plan, Site(2))?];
    let mut bypass = Bypass::new(bed)?;
    let mut order = order(plan.sas);
    let warm = WARM_PACKETS
        .min(2 * usize::try_from(plan.sas)? + 64 * BURST_PACKETS)
        .div_ceil(WINDOW_BURSTS * BURST_PACKETS);
    let (mut outbound, mut inbound, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    let mut through = 0;
    for number in 0..warm + windows {
        gateways.iter_mut().try_for_each(|gateway| gateway.engine.refresh())?;
        let mut cycles = [0; 3];
        for _ in 0..WINDOW_BURSTS {
            let mut burst = burst(bed, plan, inner_bytes, &mut order)?;
            cycles[0] += gateways[0].pass(LAN, &mut burst);
            burst.iter_mut().try_for_each(|packet| plan.arrive(packet.data_mut(), WAN))?;
            cycles[1] += gateways[1].pass(WAN, &mut burst);
            ensure!(burst.len() == BURST_PACKETS, "{} of {BURST_PACKETS} packets arrived", burst.len());
            cycles[2] += bypass.pass(&mut burst);
            through += u64::try_from(BURST_PACKETS)?;
        }
        if number >= warm {
            let per_packet = |cycles| report_precision(cycles) / packets_f64(WINDOW_BURSTS * BURST_PACKETS);
            outbound.push(per_packet(cycles[0]));
            inbound.push(per_packet(cycles[1]));
            idle.push(per_packet(cycles[2]));
        }
    }
    gateways[0].engine.check(through, 0)?;
    gateways[1].engine.check(0, through)?;
    let idle = Spread::of(&idle)?.median;
    Ok([Spread::of(&outbound)?.minus(idle), Spread::of(&inbound)?.minus(idle)])
}

/// All SAs again and again, in an order that has no pattern. The seed is fixed: runs are to be compared.
pub(super) fn order(sas: u32) -> impl Iterator<Item = u32> {
    let mut order: Vec<u32> = (0..sas).collect();
    order.shuffle(&mut SmallRng::seed_from_u64(7));
    order.into_iter().cycle()
}

/// A burst of the next SAs' packets.
pub(super) fn burst(
    bed: &Bed,
    plan: Plan,
    inner_bytes: u16,
    order: &mut impl Iterator<Item = u32>,
) -> Result<Burst> {
    let mut burst = Burst::new();
    for _ in 0..BURST_PACKETS {
        let frame = plan.frame(Site(1), order.next().context("an order without end")?, inner_bytes)?;
        let packet = bed.pool.take_copy(&frame).context("the pool is exhausted")?;
        ensure!(burst.push(packet).is_ok(), "a burst is longer than DPDK's");
    }
    Ok(burst)
}
