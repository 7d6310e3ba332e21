//! Two tunnels to one site: each flow has its own, every worker the same, and only what a lost tunnel had moves; nothing leaves in clear.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, SITE, Setup, Site, TUNNEL, WAN, authentic, frame, inbound_at,
    ip, net, outbound_to, packet, padded, raw_spi,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{GroupId, Member, NextHop, TunnelId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::message::{Command, Event, Replaced};
use crossgate_dataplane::sa::Esn;

/// The tunnels, by the slots of the SPIs that the peer chose for them.
const TUNNELS: [(TunnelId, u32); 2] = [(TunnelId(1), 31), (TunnelId(2), 32)];
const HOSTS: u8 = 200;

/// Site 1's gateway with both tunnels to a part of site 2, of these weights, up; the usual tunnel leads to the rest of it.
fn gateway(workers: u16, weights: [u16; 2]) -> Gateway {
    let mut forwarding = lab::builder(Site(1));
    let mut members = Vec::new();
    for ((tunnel, _), weight) in TUNNELS.into_iter().zip(weights) {
        forwarding.tunnel(tunnel, lab::tunnel(Site(1)));
        members.push(Member { tunnel, weight, number: tunnel.0.into() });
    }
    forwarding.group(GroupId(0), members);
    forwarding.route(SITE, net("10.2.1.0/24"), NextHop::Group(GroupId(0)));
    let forwarding = forwarding.build().expect("consistent");
    let mut gateway = Setup { workers, forwarding, ..Setup::of(Site(1)) }.build();
    TUNNELS.into_iter().for_each(|tunnel| up(&mut gateway, tunnel));
    gateway.moved();
    gateway
}

fn up(gateway: &mut Gateway, (tunnel, slot): (TunnelId, u32)) {
    let sa = Arc::new(outbound_to(Site(1), &Options { tunnel, ..Options::default() }, raw_spi(slot)));
    for worker in 0..gateway.workers.len() {
        gateway.command(worker, Command::InstallOutbound(Arc::clone(&sa)));
    }
}

fn down(gateway: &mut Gateway, (tunnel, slot): (TunnelId, u32)) {
    for worker in 0..gateway.workers.len() {
        let removed = gateway.command(worker, Command::RemoveOutbound { tunnel, spi: raw_spi(slot) });
        assert!(matches!(removed, Replaced::Outbound(_)));
    }
}

/// One packet to each host of site 2, by a queue of the caller's choice; the slots of the SPIs that they left with, by host.
fn offer(gateway: &mut Gateway, queue: impl Fn(u8) -> usize) -> BTreeMap<u8, u32> {
    let mut taken = BTreeMap::new();
    for host in 0..HOSTS {
        let clear = packet(Site(1).host(false), [10, 2, 1, host].into(), Protocol(253), 64, &[host; 64]);
        gateway.arrive_at(LAN, queue(host), &frame(OURS[LAN], HOST, &clear));
        gateway.run();
        for sent in gateway.sent(WAN) {
            assert_eq!(sent[23], Protocol::ESP.0, "in clear: {sent:x?}");
            let spi: [u8; 4] = sent[34..38].try_into().expect("four bytes");
            taken.insert(host, u32::from_be_bytes(spi) >> 8);
        }
    }
    taken
}

fn with(taken: &BTreeMap<u8, u32>, slot: u32) -> usize {
    taken.values().filter(|taken| **taken == slot).count()
}

#[test]
fn every_worker_sends_a_flow_by_the_same_tunnel_and_each_tunnel_has_its_share() {
    let mut gateway = gateway(2, [30, 10]);
    let first = offer(&mut gateway, |host| (host % 2).into());
    assert_eq!(first.len(), HOSTS.into());
    assert!((35..65).contains(&with(&first, 32)), "a quarter of 200: {first:?}");
    assert_eq!(offer(&mut gateway, |host| (host % 2).into()), first, "known flows");
    assert_eq!(offer(&mut gateway, |host| (1 - host % 2).into()), first, "on the other worker");
    gateway.finish();
}

#[test]
fn flows_of_a_lost_tunnel_move_with_their_next_packet_and_come_back() {
    let mut gateway = gateway(1, [10, 10]);
    let before = offer(&mut gateway, |_| 0);
    assert!((70..130).contains(&with(&before, 31)), "{before:?}");
    down(&mut gateway, TUNNELS[0]);
    let lost = offer(&mut gateway, |_| 0);
    assert!(lost.len() == usize::from(HOSTS) && with(&lost, 32) == lost.len(), "{lost:?}");
    up(&mut gateway, TUNNELS[0]);
    assert_eq!(offer(&mut gateway, |_| 0), before);
    let dropped: Vec<_> = gateway.moved().into_iter().filter(|(counter, _)| counter.is_drop()).collect();
    assert_eq!(dropped, [], "no packet was lost on the way there and back");
    gateway.finish();
}

#[test]
fn without_a_tunnel_packets_are_dropped_and_ask_for_each() {
    let mut gateway = gateway(1, [10, 10]);
    TUNNELS.into_iter().for_each(|tunnel| down(&mut gateway, tunnel));
    gateway.events();
    assert!(offer(&mut gateway, |_| 0).is_empty());
    assert!(gateway.moved().contains(&(TunnelDown, HOSTS.into())));
    let mut asked: Vec<u32> = gateway
        .events()
        .into_iter()
        .filter_map(|event| if let Event::NoSa { tunnel, .. } = event { Some(tunnel.0) } else { None })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked, [1, 2]);
    gateway.finish();
}

#[test]
fn standby_carries_flows_only_while_the_other_is_down() {
    let mut gateway = gateway(1, [10, 0]);
    let taken = offer(&mut gateway, |_| 0);
    assert_eq!(with(&taken, 31), HOSTS.into());
    down(&mut gateway, TUNNELS[0]);
    let taken = offer(&mut gateway, |_| 0);
    assert_eq!(with(&taken, 32), HOSTS.into());
    up(&mut gateway, TUNNELS[0]);
    let taken = offer(&mut gateway, |_| 0);
    assert_eq!(with(&taken, 31), HOSTS.into());
    gateway.finish();
}

#[test]
fn either_tunnel_may_bring_a_packet_of_the_site_and_no_other_tunnel_may() {
    let mut gateway = gateway(1, [10, 10]);
    for (tunnel, slot) in [(TunnelId(1), 11), (TunnelId(2), 12), (TUNNEL, 13)] {
        let options = Options { tunnel, ..Options::default() };
        let sa = inbound_at(Site(1), &options, raw_spi(slot));
        gateway.command(0, Command::InstallInbound(Box::new(sa)));
        gateway.moved();
        let inner =
            packet(ip("10.2.1.7"), Site(1).host(false), Protocol(253), 64, &[slot.to_le_bytes()[0]; 32]);
        gateway.arrive(WAN, &authentic(Site(1), raw_spi(slot), Esn::On, 1, &padded(&inner)));
        gateway.run();
        let (sent, moved) = (gateway.sent(LAN).len(), gateway.moved());
        match tunnel {
            TUNNEL => assert!(sent == 0 && moved.contains(&(EspWrongSource, 1)), "{moved:?}"),
            _ => assert!(sent == 1, "{tunnel:?}: {moved:?}"),
        }
    }
    gateway.finish();
}
