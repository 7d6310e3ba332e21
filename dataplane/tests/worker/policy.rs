//! Which packets tunnels take and give: sources that are not the peer's, and tunnels that another takes over from.

use std::sync::Arc;

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, SITE, Site, TUNNEL, WAN, across, authentic, frame, inbound, net,
    outbound, packet, padded, spi,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::forwarding::{Forwarding, TunnelId};
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::sa::Esn;
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

/// Site 2's gateway, whose tunnel's selectors are any-to-any.
fn any_to_any() -> Forwarding {
    let any = ["0.0.0.0/0", "::/0"].map(|prefix| TrafficSelector::of_prefix(net(prefix))).to_vec();
    let selectors = Selectors { local: any.clone(), remote: any };
    let mut builder = lab::builder(Site(2));
    builder.tunnel(TUNNEL, crossgate_dataplane::forwarding::Tunnel { selectors, ..lab::tunnel(Site(2)) });
    builder.build().expect("consistent")
}

#[test]
fn peer_that_sends_for_others_is_refused_packet_by_packet() {
    let options = Options { esn: Esn::Off, ..Options::default() };
    for v6 in [false, true] {
        let mut two = Gateway::with(Site(2), 1, any_to_any());
        two.install(outbound(Site(2), &options, 0), inbound(Site(2), &options, 0));
        two.moved();
        let host = Site(2).host(v6);
        let nobody = lab::ip(if v6 { "2001:db8:9::9" } else { "203.0.113.9" });
        let sources = [Site(1).host(v6), host, Site(2).own(v6), nobody, Site(1).own(v6)];
        for (source, sequence) in sources.into_iter().zip(1..) {
            let inner = packet(source, host, Protocol(253), 64, &[7; 20]);
            two.arrive(WAN, &authentic(Site(2), spi(Site(2), 0), Esn::Off, sequence, &padded(&inner)));
        }
        two.run();
        let passed = [Site(1).host(v6), Site(1).own(v6)]
            .map(|source| frame(HOST, OURS[LAN], &packet(source, host, Protocol(253), 63, &[7; 20])));
        assert_eq!(two.sent(LAN), passed);
        assert_eq!(two.moved(), [(RxPackets, 5), (TxPackets, 2), (EspOpened, 5), (EspWrongSource, 3)]);
        two.finish();
    }
}

/// Site 1's gateway with two tunnels of the same selectors in order, as after a change of selectors.
fn successive(forwarding_of_second: TunnelId) -> Forwarding {
    let mut builder = lab::builder(Site(1));
    let first = crossgate_dataplane::forwarding::Tunnel {
        alternative: Some(forwarding_of_second),
        ..lab::tunnel(Site(1))
    };
    builder.tunnel(TUNNEL, first).tunnel(forwarding_of_second, lab::tunnel(Site(1)));
    builder.build().expect("consistent")
}

#[test]
fn tunnel_whose_sa_is_gone_gives_its_packets_to_the_next_that_covers_them() {
    let second = TunnelId(TUNNEL.0 + 1);
    let mut one = Gateway::with(Site(1), 1, successive(second));
    let send = |one: &mut Gateway| {
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 64)));
        one.run();
        one.sent(WAN).len()
    };
    assert_eq!(send(&mut one), 0);
    let moved = one.moved();
    assert!(moved.contains(&(TunnelDown, 1)), "neither is up: {moved:?}");
    let options = Options { tunnel: second, ..Options::default() };
    one.command(0, Command::InstallOutbound(Arc::new(outbound(Site(1), &options, 0))));
    assert_eq!(send(&mut one), 1);
    assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (EspSealed, 1)]);
    assert_eq!(lab::forwarding(Site(1)).tunnel(TUNNEL).map(|tunnel| tunnel.vrf), Some(SITE));
    one.finish();
}

/// Pairs of a policy: one host of site 1 each with a prefix of its own at site 2.
const PAIRS: u8 = 100;

fn first_host(pair: u8) -> std::net::IpAddr {
    [10, 1, 0, 100 + pair].into()
}

fn second_host(pair: u8) -> std::net::IpAddr {
    [10, 2, pair, 9].into()
}

/// Site 1's gateway with a tunnel for each pair, as a peer negotiates them one by one.
fn a_tunnel_for_each_pair() -> Forwarding {
    let mut builder = lab::builder(Site(1));
    for pair in 0..PAIRS {
        let id = TUNNEL.0 + u32::from(pair);
        let side = |prefix: &str| vec![TrafficSelector::of_prefix(net(prefix))];
        let selectors = Selectors {
            local: side(&format!("{}/32", first_host(pair))),
            remote: side(&format!("10.2.{pair}.0/24")),
        };
        let alternative = (pair + 1 < PAIRS).then_some(TunnelId(id + 1));
        let tunnel =
            crossgate_dataplane::forwarding::Tunnel { selectors, alternative, ..lab::tunnel(Site(1)) };
        builder.tunnel(TunnelId(id), tunnel);
    }
    builder.build().expect("consistent")
}

#[test]
fn a_hundred_pairs_carry_what_they_name_and_no_mixture_of_them() {
    let mut setup = lab::Setup { forwarding: a_tunnel_for_each_pair(), ..lab::Setup::of(Site(1)) };
    setup.launch.sizes.tunnels = 128;
    let mut one = setup.build();
    let options = |pair: u8| Options {
        tunnel: TunnelId(TUNNEL.0 + u32::from(pair)),
        esn: Esn::Off,
        ..Options::default()
    };
    for pair in 0..PAIRS {
        let sa = lab::outbound_to(Site(1), &options(pair), lab::raw_spi(u32::from(pair) + 1));
        one.command(0, Command::InstallOutbound(Arc::new(sa)));
    }
    let send = |one: &mut Gateway, from: u8, to: u8| {
        let clear = packet(first_host(from), second_host(to), Protocol(253), 64, &[from; 20]);
        one.arrive(LAN, &frame(OURS[LAN], HOST, &clear));
        one.run();
        // The SPI behind Ethernet and IPv4.
        let spis = one.sent(WAN).into_iter().map(|esp| u32::from_be_bytes(esp[34..38].try_into().unwrap()));
        spis.collect::<Vec<_>>()
    };
    for pair in 0..PAIRS {
        for _ in 0..2 {
            assert_eq!(send(&mut one, pair, pair), [lab::raw_spi(u32::from(pair) + 1).get()], "pair {pair}");
        }
    }
    one.moved();
    for pair in 0..PAIRS {
        assert_eq!(send(&mut one, pair, (pair + 1) % PAIRS), []);
    }
    assert!(
        one.moved().contains(&(SelectorOutbound, PAIRS.into())),
        "{:?}",
        one.counters().moved().collect::<Vec<_>>()
    );

    let options = options(57);
    one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
    one.moved();
    for (source, sequence) in [57, 58].into_iter().zip(1..) {
        let inner = packet(second_host(source), first_host(57), Protocol(253), 64, &[7; 20]);
        one.arrive(WAN, &authentic(Site(1), spi(Site(1), 0), Esn::Off, sequence, &padded(&inner)));
    }
    one.run();
    let moved = one.moved();
    assert!(moved.contains(&(EspOpened, 2)) && moved.contains(&(EspSelectorMismatch, 1)), "{moved:?}");
    drop(one.sent(LAN));
    one.finish();
}
