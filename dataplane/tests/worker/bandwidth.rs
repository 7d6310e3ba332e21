//! A gateway's bandwidth, shared by its tunnels, both directions and all workers. Time is the test's, so what passes in a second is exact.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, SITE, Setup, Site, TUNNEL, WAN, authentic, frame, inbound, net,
    outbound, outbound_to, packet, padded, raw_spi, spi,
};
use crossgate_dataplane::counter::Counter::{self, *};
use crossgate_dataplane::forwarding::{NextHop, TunnelId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::meter::{Meter, Share};
use crossgate_dataplane::sa::{Direction, Esn, OutboundSa};

/// Bytes a second of 100 Mbit/s.
const RATE: u64 = 100_000_000 / 8;
const TUNNELS: u8 = 10;
/// Inner packets, in bytes.
const PACKET: u64 = 1400;
/// Steps of the test's clock.
const STEP_US: u64 = 2000;
const SECOND_US: u64 = 1_000_000;

fn meter(bytes_per_s: u64) -> Arc<Meter> {
    Arc::new(Meter::new(NonZeroU64::new(bytes_per_s).expect("not zero")))
}

/// Site 1's gateway with ten tunnels, each to its own prefix and with a part of its own, and their outbound SAs.
fn gateway(workers: u16, meter: &Arc<Meter>) -> (Gateway, Vec<Arc<OutboundSa>>) {
    gateway_of(workers, &vec![1; TUNNELS.into()], meter)
}

/// The same with members that have so many tunnels each, and a part in common.
fn gateway_of(workers: u16, members: &[u8], meter: &Arc<Meter>) -> (Gateway, Vec<Arc<OutboundSa>>) {
    let mut forwarding = lab::builder(Site(1));
    let tunnels: u8 = members.iter().sum();
    let shares = members.iter().flat_map(|tunnels| {
        let share = Arc::new(Share::new(Arc::clone(meter)));
        std::iter::repeat_n(share, usize::from(*tunnels))
    });
    for (number, share) in (0..tunnels).zip(shares) {
        let tunnel = TunnelId(number.into());
        forwarding.tunnel(tunnel, lab::tunnel(Site(1)));
        forwarding.route(SITE, net(&format!("10.2.{}.0/24", 100 + number)), NextHop::Tunnel(tunnel));
        forwarding.share(tunnel, share);
    }
    let forwarding = forwarding.build().expect("consistent");
    let mut setup = Setup { workers, forwarding, ..Setup::of(Site(1)) };
    setup.launch.sizes.tunnels = 16;
    let mut gateway = setup.build();
    let mut sas = Vec::new();
    for number in 0..tunnels {
        let options = Options { tunnel: TunnelId(number.into()), ..Options::default() };
        let sa = Arc::new(outbound_to(Site(1), &options, raw_spi(20 + u32::from(number))));
        for worker in 0..workers {
            gateway.command(worker.into(), Command::InstallOutbound(Arc::clone(&sa)));
        }
        sas.push(sa);
    }
    gateway.moved();
    (gateway, sas)
}

fn clear(number: u8) -> Vec<u8> {
    let host = [10, 2, 100 + number, 1].into();
    let payload = vec![number; usize::try_from(PACKET).expect("short") - 20];
    frame(OURS[LAN], HOST, &packet(Site(1).host(false), host, Protocol(253), 64, &payload))
}

/// Offers each tunnel its rate (bytes a second) for a second, over all workers in turn; the packets that each got through.
fn offer(gateway: &mut Gateway, sas: &[Arc<OutboundSa>], rates: &[u64]) -> Vec<u64> {
    let frames: Vec<_> = (0..).zip(sas).map(|(number, _)| clear(number)).collect();
    let before: Vec<u64> = sas.iter().map(|sa| sa.packets()).collect();
    let workers = gateway.workers.len();
    let (mut owed, mut queue) = (vec![0; rates.len()], 0);
    for _ in 0..SECOND_US / STEP_US {
        for (number, rate) in rates.iter().enumerate() {
            owed[number] += rate * STEP_US;
            while owed[number] >= PACKET * SECOND_US {
                owed[number] -= PACKET * SECOND_US;
                gateway.arrive_at(LAN, queue % workers, &frames[number]);
                queue += 1;
            }
        }
        gateway.now_us += STEP_US;
        let now_us = gateway.now_us;
        while gateway.workers.iter_mut().map(|worker| worker.step_at(now_us)).sum::<usize>() > 0 {}
        gateway.sent(WAN);
    }
    sas.iter().zip(before).map(|(sa, before)| sa.packets() - before).collect()
}

fn within(value: u64, target: u64, percent: u64) -> bool {
    value.abs_diff(target) * 100 <= target * percent
}

fn drops(gateway: &mut Gateway) -> Vec<Counter> {
    gateway.moved().into_iter().map(|(counter, _)| counter).filter(|counter| counter.is_drop()).collect()
}

#[test]
fn ten_greedy_tunnels_share_the_rate_to_a_percent_at_any_number_of_workers() {
    for workers in [1, 2, 4] {
        let meter = meter(RATE);
        let (mut gateway, sas) = gateway(workers, &meter);
        // The last one wants seven times as much as the first.
        let rates: Vec<u64> = (0..u64::from(TUNNELS)).map(|number| RATE / 6 + number * RATE / 9).collect();
        offer(&mut gateway, &sas, &rates);
        let passed = offer(&mut gateway, &sas, &rates);
        assert!(within(passed.iter().sum::<u64>() * PACKET, RATE, 1), "{workers} workers: {passed:?}");
        let fair = RATE / u64::from(TUNNELS);
        assert!(
            passed.iter().all(|passed| within(passed * PACKET, fair, 10)),
            "{workers} workers: {passed:?}"
        );
        assert_eq!(drops(&mut gateway), [SkuBandwidthOutbound]);
        gateway.finish();
    }
}

/// Two clients of a gateway, of which one has three Child SAs.
#[test]
fn greedy_client_leaves_another_one_its_half_however_many_tunnels_it_has() {
    for workers in [1, 2] {
        let meter = meter(RATE);
        let (mut gateway, sas) = gateway_of(workers, &[3, 1], &meter);
        let rates = [RATE, RATE / 2, RATE / 2, RATE];
        offer(&mut gateway, &sas, &rates);
        let passed = offer(&mut gateway, &sas, &rates);
        let (one, other) = (passed[..3].iter().sum::<u64>() * PACKET, passed[3] * PACKET);
        assert!(within(one + other, RATE, 1), "{workers} workers: {passed:?}");
        assert!(within(one, RATE / 2, 10) && within(other, RATE / 2, 10), "{workers} workers: {passed:?}");
        gateway.finish();
    }
}

#[test]
fn modest_tunnel_loses_nothing_beside_nine_greedy_ones() {
    let meter = meter(RATE);
    let (mut gateway, sas) = gateway(2, &meter);
    let mut rates = vec![RATE / 2; usize::from(TUNNELS)];
    rates[4] = RATE / 20;
    offer(&mut gateway, &sas, &rates);
    let passed = offer(&mut gateway, &sas, &rates);
    assert!(passed[4].abs_diff(RATE / 20 / PACKET) <= 1, "{passed:?}");
    assert!(within(passed.iter().sum::<u64>() * PACKET, RATE, 1), "{passed:?}");
    gateway.finish();
}

#[test]
fn resize_under_traffic_takes_effect_at_once_and_keeps_every_tunnel() {
    let meter = meter(RATE);
    let (mut gateway, sas) = gateway(2, &meter);
    let rates = vec![RATE; usize::from(TUNNELS)];
    offer(&mut gateway, &sas, &rates);
    meter.resize(NonZeroU64::new(2 * RATE).expect("not zero"));
    let passed = offer(&mut gateway, &sas, &rates);
    assert!(within(passed.iter().sum::<u64>() * PACKET, 2 * RATE, 1), "{passed:?}");
    meter.resize(NonZeroU64::new(RATE / 2).expect("not zero"));
    let passed = offer(&mut gateway, &sas, &rates);
    // What was in the larger bucket is paid for first.
    assert!(within(passed.iter().sum::<u64>() * PACKET, RATE / 2, 3), "{passed:?}");
    assert_eq!(drops(&mut gateway), [SkuBandwidthOutbound], "no tunnel was down for a packet");
    gateway.finish();
}

/// Site 1's gateway with its one tunnel, metered.
fn one_tunnel(workers: u16, meter: &Arc<Meter>) -> Gateway {
    let mut forwarding = lab::builder(Site(1));
    forwarding.share(TUNNEL, Arc::new(Share::new(Arc::clone(meter))));
    let mut one = Gateway::with(Site(1), workers, forwarding.build().expect("consistent"));
    let options = Options { esn: Esn::Off, window: 1024, ..Options::default() };
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    one.moved();
    one
}

#[test]
fn both_directions_of_a_tunnel_share_its_gateways_rate_at_any_number_of_workers() {
    for workers in [1, 2, 4] {
        both_directions(workers);
    }
}

fn both_directions(workers: u16) {
    let rate = RATE / 5;
    let meter = meter(rate);
    let mut one = one_tunnel(workers, &meter);
    let payload = vec![1; usize::try_from(PACKET).expect("short") - 20];
    let (near, far) = (Site(1).host(false), Site(2).host(false));
    let out = frame(OURS[LAN], HOST, &packet(near, far, Protocol(253), 64, &payload));
    let inner = padded(&packet(far, near, Protocol(253), 64, &payload));
    let bytes = |one: &Gateway| one.counters().get(EspSealedBytes);
    let mut sequence = 0;
    let mut second = |one: &mut Gateway| {
        let (before, mut passed) = (bytes(one), 0);
        for _ in 0..SECOND_US / STEP_US {
            // Five packets of 1400 bytes each way in 2 ms: 28 Mbit/s each.
            for _ in 0..5 {
                sequence += 1;
                let queue = usize::try_from(sequence).expect("few") % usize::from(workers);
                let esp = authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &inner);
                one.arrive_at(LAN, queue, &out);
                one.arrive_at(WAN, queue, &esp);
            }
            one.now_us += STEP_US;
            let now_us = one.now_us;
            while one.workers.iter_mut().map(|worker| worker.step_at(now_us)).sum::<usize>() > 0 {}
            one.sent(WAN);
            passed += one.sent(LAN).len() as u64 * PACKET;
        }
        (bytes(one) - before, passed)
    };
    second(&mut one);
    let (sealed, opened) = second(&mut one);
    assert!(within(sealed + opened, rate, 1), "{workers} workers: {sealed} out, {opened} in");
    let is_half = |bytes| within(bytes, rate / 2, 10);
    assert!(is_half(sealed) && is_half(opened), "{workers} workers: {sealed} out, {opened} in");
    let mut dropped = drops(&mut one);
    dropped.sort_unstable();
    let mut expected = [SkuBandwidthOutbound, SkuBandwidthInbound];
    expected.sort_unstable();
    assert_eq!(dropped, expected);
    one.finish();
}

#[test]
fn forged_packets_use_up_nothing() {
    // The bucket holds 6000 bytes.
    let meter = meter(1000);
    let mut one = one_tunnel(1, &meter);
    let (near, far) = (Site(1).host(false), Site(2).host(false));
    let plain = padded(&packet(far, near, Protocol(253), 64, &[1; 980]));
    for sequence in 1..=20 {
        let mut forged = authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &plain);
        *forged.last_mut().expect("a tag") ^= 1;
        one.arrive(WAN, &forged);
    }
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 20), (EspAuthFailed, 20)]);
    for sequence in 1..=10 {
        one.arrive(WAN, &authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &plain));
    }
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 10), (TxPackets, 6), (EspOpened, 10), (SkuBandwidthInbound, 4)]);
    one.finish();
}

#[test]
fn duplicate_is_charged_once() {
    // The bucket holds 6000 bytes.
    let meter = meter(1000);
    let mut one = one_tunnel(1, &meter);
    let (near, far) = (Site(1).host(false), Site(2).host(false));
    let plain = padded(&packet(far, near, Protocol(253), 64, &[1; 980]));
    // Both of them in one burst, so that only the window's second look tells them apart.
    for sequence in 1..=6 {
        for _ in 0..2 {
            one.arrive(WAN, &authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &plain));
        }
    }
    one.run();
    assert_eq!(one.moved(), [(RxPackets, 12), (TxPackets, 6), (EspReplayed, 6), (EspOpened, 6)]);
    one.finish();
}

#[test]
fn packet_that_is_larger_than_the_bucket_passes_when_the_bucket_is_full() {
    let meter = meter(1000);
    let share = Share::new(Arc::clone(&meter));
    let mut now_us = SECOND_US;
    assert!(!share.take(Direction::Outbound, 9000, now_us), "not in a run");
    assert!(share.take_packet(Direction::Outbound, 9000, now_us));
    assert!(!share.take_packet(Direction::Outbound, 60, now_us + 2 * SECOND_US), "it is paid for");
    now_us += 10 * SECOND_US;
    assert!(share.take_packet(Direction::Outbound, 9000, now_us));
}
