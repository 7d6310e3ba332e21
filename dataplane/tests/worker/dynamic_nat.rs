//! Dynamic NAT rules: site 1's hosts are behind external addresses, told apart by ports; site 2 is a peer that knows nothing of it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::lab::{
    self, Gateway, LAN, Options, SITE, Site, TUNNEL, cross, inbound, ip, net, outbound, packet,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{Forwarding, NextHop, Tunnel};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::header::checksum::Sum;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::nat::{Nat, Pool, Sweep, Usage};
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

fn any_to_any() -> Selectors {
    let any = || vec![TrafficSelector::of_prefix(net("0.0.0.0/0"))];
    Selectors { local: any(), remote: any() }
}

fn pool(external: &str) -> Arc<Pool> {
    let internal = "10.1.0.0/24".parse().expect("a prefix");
    Arc::new(Pool::new(internal, external.parse().expect("a prefix"), 5).expect("not too large"))
}

fn usage(pool: &Pool, gateway: &Gateway) -> Usage {
    pool.sweep(&mut Sweep::default(), usize::MAX, gateway.now_us).expect("the whole pool")
}

fn hiding(pool: &Arc<Pool>) -> Forwarding {
    let nat = Nat { egress_pools: vec![Arc::clone(pool)], ..Nat::default() };
    let mut builder = lab::builder(Site(1));
    builder.tunnel(TUNNEL, Tunnel { selectors: any_to_any(), nat, ..lab::tunnel(Site(1)) });
    builder.build().expect("consistent")
}

/// Site 1's gateway of two workers, of which the second opens what the peer sends; and the peer.
fn pair(pool: &Arc<Pool>) -> [Gateway; 2] {
    let mut builder = lab::builder(Site(2));
    builder.tunnel(TUNNEL, Tunnel { selectors: any_to_any(), ..lab::tunnel(Site(2)) });
    builder.route(SITE, net("100.64.0.0/16"), NextHop::Tunnel(TUNNEL));
    let mut two = Gateway::with(Site(2), 1, builder.build().expect("consistent"));
    let mut one = Gateway::with(Site(1), 2, hiding(pool));
    let options = Options::default();
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 1));
    two.install(outbound(Site(2), &options, 1), inbound(Site(2), &options, 0));
    one.moved();
    two.moved();
    [one, two]
}

/// A packet with these ports and a right checksum; of an echo the first is its identifier, and the second its type.
fn made(protocol: Protocol, ends: (IpAddr, IpAddr), ports: (u16, u16), hops: u8) -> Vec<u8> {
    let mut upper: Vec<u8> = match protocol {
        Protocol::TCP => vec![0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 16, 0x20, 0, 0, 0, 0, 0, 9, 9],
        Protocol::UDP => vec![0, 0, 0, 0, 0, 12, 0, 0, 9, 9, 9, 9],
        _ => vec![u8::try_from(ports.1).expect("a type"), 0, 0, 0, 0, 0, 0, 1],
    };
    let (IpAddr::V4(source), IpAddr::V4(destination)) = ends else { panic!("IPv4") };
    let (at, sum) = match protocol {
        Protocol::ICMP => {
            upper[4..6].copy_from_slice(&ports.0.to_be_bytes());
            (2, Sum::new())
        }
        _ => {
            upper[..2].copy_from_slice(&ports.0.to_be_bytes());
            upper[2..4].copy_from_slice(&ports.1.to_be_bytes());
            let at = if protocol == Protocol::TCP { 16 } else { 6 };
            (at, Sum::pseudo_v4(source, destination, protocol, upper.len()))
        }
    };
    let sum = sum.plus(&upper).finish();
    upper[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    packet(ends.0, ends.1, protocol, hops, &upper)
}

const EXTERNAL: &str = "100.64.1.1";

#[test]
fn session_is_answered_by_whichever_worker_hears_the_answer() {
    let pool = pool("100.64.1.1/32");
    let [mut one, mut two] = pair(&pool);
    let (first, second) = (Site(1).host(false), Site(2).host(false));
    for (protocol, there, back) in [(Protocol::TCP, 80, 80), (Protocol::UDP, 53, 53), (Protocol::ICMP, 8, 0)]
    {
        let mut ports = Vec::new();
        // The second time the addresses are known.
        for _ in 0..2 {
            let got = cross(&mut one, &mut two, &made(protocol, (first, second), (4000, there), 64));
            let at = if protocol == Protocol::ICMP { 24 } else { 20 };
            let port = u16::from_be_bytes([got[0][at], got[0][at + 1]]);
            assert_eq!(got, [made(protocol, (ip(EXTERNAL), second), (port, there), 62)]);
            assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (NatTranslated, 1), (EspSealed, 1)]);
            let answer = |ends, port, hops| match protocol {
                Protocol::ICMP => made(protocol, ends, (port, back), hops),
                _ => made(protocol, ends, (back, port), hops),
            };
            let got = cross(&mut two, &mut one, &answer((second, ip(EXTERNAL)), port, 64));
            assert_eq!(got, [answer((second, first), 4000, 62)]);
            assert!(one.moved().contains(&(NatTranslated, 1)));
            ports.push(port);
        }
        assert_eq!(ports[0], ports[1], "a session keeps its port");
    }
    let usage = usage(&pool, &one);
    assert_eq!((usage.tcp, usage.udp, usage.icmp, usage.begun), (1, 1, 1, 3));
    one.finish();
    two.finish();
}

#[test]
fn sessions_outlive_a_change_of_the_snapshot_and_end_with_their_time() {
    let pool = pool("100.64.1.1/32");
    let [mut one, mut two] = pair(&pool);
    let (first, second) = (Site(1).host(false), Site(2).host(false));
    let got = cross(&mut one, &mut two, &made(Protocol::UDP, (first, second), (4000, 53), 64));
    let port = u16::from_be_bytes([got[0][20], got[0][21]]);
    let answer = made(Protocol::UDP, (second, ip(EXTERNAL)), (53, port), 64);
    let forwarding = Arc::new(hiding(&pool));
    for worker in 0..2 {
        one.command(worker, Command::SetForwarding(Arc::clone(&forwarding)));
    }
    assert_eq!(cross(&mut two, &mut one, &answer).len(), 1);
    one.moved();
    one.now_us += 301_000_000;
    assert!(cross(&mut two, &mut one, &answer).is_empty());
    assert_eq!(one.drops(), [(NatNoSession, 1)]);
    one.finish();
    two.finish();
}

#[test]
fn what_no_session_is_for_is_dropped_by_name() {
    let pool = pool("100.64.1.1/32");
    let [mut one, mut two] = pair(&pool);
    let (first, second) = (Site(1).host(false), Site(2).host(false));
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP] {
        let unasked = made(protocol, (second, ip(EXTERNAL)), (4000, 8), 64);
        assert!(cross(&mut two, &mut one, &unasked).is_empty());
        assert_eq!(one.drops(), [(NatNoSession, 1)]);
    }
    let mut later = made(Protocol::UDP, (second, ip(EXTERNAL)), (4000, 8), 64);
    later[7] = 3;
    crossgate_dataplane::header::ipv4::write_checksum(&mut later[..20]);
    assert!(cross(&mut two, &mut one, &later).is_empty());
    assert_eq!(one.drops(), [(NatFragmentUnknown, 1)]);
    assert!(cross(&mut one, &mut two, &packet(first, second, Protocol(47), 64, &[0; 20])).is_empty());
    assert_eq!(one.drops(), [(NatUntranslatable, 1)]);
    drop(one.sent(LAN)); // what the host is told
    one.finish();
    two.finish();
}

#[test]
fn sessions_beyond_the_ports_are_counted_and_the_others_go_on() {
    // 4,096 addresses of 256 ports each; a host has one address.
    let pool = pool("100.64.16.0/20");
    let [mut one, mut two] = pair(&pool);
    let (first, second) = (Site(1).host(false), Site(2).host(false));
    let mut passed = 0;
    let mut sources = Vec::new();
    for port in 1000..1300 {
        let got = cross(&mut one, &mut two, &made(Protocol::UDP, (first, second), (port, 53), 64));
        passed += got.len() as u64;
        sources.extend(got.iter().map(|got| Ipv4Addr::new(got[12], got[13], got[14], got[15])));
        drop(one.sent(LAN)); // what the host is told
    }
    assert!(sources.iter().all(|source| *source == sources[0]), "a host has one address");
    assert!((200..=256).contains(&passed), "{passed}");
    assert_eq!(one.drops(), [(NatPortsExhausted, 300 - passed)]);
    let usage = usage(&pool, &one);
    assert_eq!((usage.sessions, usage.refused), (passed, 300 - passed));
    assert_eq!(cross(&mut one, &mut two, &made(Protocol::UDP, (first, second), (1000, 53), 64)).len(), 1);
    one.finish();
    two.finish();
}

/// An ICMP error that quotes a datagram, checksums and all.
fn error_about(ends: (IpAddr, IpAddr), hops: u8, quoted: &[u8]) -> Vec<u8> {
    let mut upper = vec![3, 4, 0, 0, 0, 0, 5, 0x14];
    upper.extend(quoted);
    let sum = Sum::new().plus(&upper).finish();
    upper[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(ends.0, ends.1, Protocol::ICMP, hops, &upper)
}

#[test]
fn a_router_that_is_not_hidden_says_nothing_of_the_addresses_that_are() {
    let pool = pool("100.64.1.1/32");
    let [mut one, mut two] = pair(&pool);
    let (first, second, router) = (Site(1).host(false), Site(2).host(false), ip("10.1.9.1"));
    let got = cross(&mut one, &mut two, &made(Protocol::UDP, (first, second), (4000, 53), 64));
    let port = u16::from_be_bytes([got[0][20], got[0][21]]);
    // What the router says of itself passes as it is, and makes its flow a known one.
    for _ in 0..2 {
        let own = made(Protocol::UDP, (router, second), (9, 9), 64);
        assert_eq!(cross(&mut one, &mut two, &own), [made(Protocol::UDP, (router, second), (9, 9), 62)]);
        let about = |host, port| made(Protocol::UDP, (second, host), (53, port), 61);
        let error = error_about((router, second), 64, &about(first, 4000));
        let got = cross(&mut one, &mut two, &error);
        assert_eq!(got, [error_about((router, second), 62, &about(ip(EXTERNAL), port))]);
    }
    one.finish();
    two.finish();
}

#[test]
fn a_narrowed_tunnel_takes_the_hosts_whose_address_it_names() {
    let pool = pool("100.64.1.0/28");
    let [mut one, mut two] = pair(&pool);
    let second = Site(2).host(false);
    let datagram = |host| made(Protocol::UDP, (ip(&format!("10.1.0.{host}")), second), (4000, 53), 64);
    // The addresses of two hosts.
    let [own, other] = [99, 98].map(|host| {
        let got = cross(&mut one, &mut two, &datagram(host));
        Ipv4Addr::new(got[0][12], got[0][13], got[0][14], got[0][15])
    });
    assert_ne!(own, other, "take another seed");
    let named = |address: Ipv4Addr| TrafficSelector::of_prefix(net(&format!("{address}/32")));
    let nat = Nat { egress_pools: vec![Arc::clone(&pool)], ..Nat::default() };
    let selectors = Selectors { local: vec![named(own)], remote: any_to_any().remote };
    let mut builder = lab::builder(Site(1));
    builder.tunnel(TUNNEL, Tunnel { selectors, nat, ..lab::tunnel(Site(1)) });
    let forwarding = Arc::new(builder.build().expect("consistent"));
    for worker in 0..2 {
        one.command(worker, Command::SetForwarding(Arc::clone(&forwarding)));
    }
    one.moved();
    assert_eq!(cross(&mut one, &mut two, &datagram(99)).len(), 1);
    assert_eq!(one.drops(), []);
    assert!(cross(&mut one, &mut two, &datagram(98)).is_empty());
    assert_eq!(one.drops(), [(SelectorOutbound, 1)]);
    drop(one.sent(LAN)); // what the host is told
    one.finish();
    two.finish();
}
