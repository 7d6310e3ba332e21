//! What a gateway tells senders and control, and what it sends unasked: ICMP errors, NAT keepalives, moved peers.

use crate::lab::{Gateway, HOST, LAN, OURS, Options, Site, WAN, across, echo, forwarded, frame, pair, spi};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::message::{Command, Event};

/// Puts a packet of the host through, and returns what the host got back.
fn told(one: &mut Gateway, clear: &[u8]) -> Vec<u8> {
    one.arrive(LAN, &frame(OURS[LAN], HOST, clear));
    one.run();
    assert!(one.sent(WAN).is_empty());
    let mut sent = one.sent(LAN);
    assert_eq!(sent.len(), 1, "{:?}", one.moved());
    assert_eq!((&sent[0][..6], &sent[0][6..12]), (&HOST.0[..], &OURS[LAN].0[..]));
    sent.remove(0).split_off(14)
}

#[test]
fn sender_hears_of_time_exceeded_and_too_big() {
    for v6 in [false, true] {
        let [mut one, two] = pair(&Options::default());
        let (header, own, host) =
            if v6 { (40, Site(1).own(v6), 8..24) } else { (20, Site(1).own(v6), 12..16) };
        let expired = told(&mut one, &across(Site(1), v6, 1, 5, 100));
        let octets = match own {
            std::net::IpAddr::V4(own) => own.octets().to_vec(),
            std::net::IpAddr::V6(own) => own.octets().to_vec(),
        };
        assert_eq!(expired[host], octets, "from our address there");
        assert_eq!(expired[header..header + 2], if v6 { [3, 0] } else { [11, 0] });
        let reason = if v6 { Ipv6HopLimitExpired } else { Ipv4TtlExpired };
        let moved = one.moved();
        assert!(moved.contains(&(reason, 1)) && moved.contains(&(IcmpErrorSent, 1)), "{moved:?}");

        let too_big = told(&mut one, &across(Site(1), v6, 64, 5, 1460));
        assert_eq!(too_big[header..header + 2], if v6 { [2, 0] } else { [3, 4] });
        let mtu = u32::from_be_bytes(too_big[header + 4..header + 8].try_into().expect("4 bytes"));
        // 1500 - 20 (IPv4) - 8 (ESP) - 8 (IV) - 16 (tag) = 1448 bytes, 2 of them trailer.
        assert_eq!(mtu, 1446);
        assert!(one.moved().contains(&(TooBig, 1)));
        one.finish();
        two.finish();
    }
}

#[test]
fn peer_that_moved_is_reported_once_a_second() {
    let [mut one, mut two] = pair(&Options { in_udp: true, ..Options::default() });
    let elsewhere = std::net::SocketAddr::new(Site(1).public(false), 61000);
    for passed_us in [0, 500_000, 600_000] {
        two.now_us += passed_us;
        for number in 0..2 {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, number, 100)));
        }
        one.run();
        for esp in one.sent(WAN) {
            let mut esp = forwarded(esp);
            esp[34..36].copy_from_slice(&61000_u16.to_be_bytes());
            two.arrive(WAN, &esp);
        }
        two.run();
        assert_eq!(two.sent(LAN).len(), 2, "its packets pass all the same");
        let moved = |event| if let Event::RemoteMoved { remote, .. } = event { Some(remote) } else { None };
        let moved: Vec<_> = two.events().into_iter().filter_map(moved).collect();
        // The clock of the test starts with a second: half a second later it is still the same one.
        assert_eq!(moved, if passed_us == 500_000 { vec![] } else { vec![elsewhere] });
    }
    let remote = elsewhere;
    two.now_us += 5_000_000;
    two.command(0, Command::SetRemote { spi: spi(Site(2), 0), remote, in_udp: true });
    one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 7, 100)));
    one.run();
    for esp in one.sent(WAN) {
        let mut esp = forwarded(esp);
        esp[34..36].copy_from_slice(&61000_u16.to_be_bytes());
        two.arrive(WAN, &esp);
    }
    two.run();
    assert_eq!((two.sent(LAN).len(), two.events().len()), (1, 0), "control knows");
    one.finish();
    two.finish();
}

#[test]
fn packets_of_an_unknown_sa_are_told_a_few_times_a_second() {
    for (in_udp, outer_v6) in [(false, false), (true, false), (false, true), (true, true)] {
        let [mut one, mut two] = pair(&Options { in_udp, outer_v6, ..Options::default() });
        let mut told = Vec::new();
        for _ in 0..40 {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 100)));
            one.run();
            for esp in one.sent(WAN) {
                let mut esp = forwarded(esp);
                let esp_at = 14 + if outer_v6 { 40 } else { 20 } + if in_udp { 8 } else { 0 };
                esp[esp_at + 3] ^= 0xff;
                two.arrive(WAN, &esp);
            }
            two.run();
            told.extend(two.events().into_iter().filter_map(|event| match event {
                Event::UnknownSpi { spi, local, remote } => Some((spi, local, remote)),
                _ => None,
            }));
        }
        let port = if in_udp { 4500 } else { 0 };
        let at = |site: u8| std::net::SocketAddr::new(Site(site).public(outer_v6), port);
        let named = spi(Site(2), 0).get() ^ 0xff;
        assert_eq!(told.len(), 20, "{told:?}");
        assert!(told.iter().all(|told| (told.0.get(), told.1, told.2) == (named, at(2), at(1))), "{told:?}");
        assert!(two.moved().contains(&(EspUnknownSpi, 40)), "{in_udp} {outer_v6}");
        one.finish();
        two.finish();
    }
}

#[test]
fn silent_sa_behind_a_nat_keeps_its_mapping_alive() {
    for outer_v6 in [false, true] {
        let keepalive = Some(std::time::Duration::from_secs(20));
        let options = Options { outer_v6, in_udp: true, keepalive, ..Options::default() };
        let [mut one, mut two] = pair(&options);
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 100)));
        one.run();
        assert_eq!(one.sent(WAN).len(), 1);
        one.moved();
        let mut sent = Vec::new();
        for _ in 0..590 {
            one.now_us += 100_000;
            one.run();
            // Besides, the next hop is asked whether it is still there.
            sent.extend(one.sent(WAN).into_iter().filter(|sent| sent.last() == Some(&0xff)));
        }
        assert_eq!(sent.len(), 2, "in 59 seconds, one every 20");
        assert!(one.moved().contains(&(KeepaliveSent, 2)));
        for keepalive in sent {
            two.arrive(WAN, &forwarded(keepalive));
        }
        two.run();
        assert_eq!(two.moved(), [(RxPackets, 2), (KeepaliveReceived, 2)]);
        one.finish();
        two.finish();
    }
}

#[test]
fn ping_over_ipv6_to_our_address_is_answered() {
    let mut one = Gateway::new(Site(1), 1);
    let (host, own) = (Site(1).host(true), Site(1).own(true));
    one.arrive(LAN, &frame(OURS[LAN], HOST, &echo(128, host, own, 7)));
    one.run();
    let expected = echo(129, own, host, 64);
    assert_eq!(one.sent(LAN), [frame(HOST, OURS[LAN], &expected)]);
    assert_eq!(one.moved(), [(RxPackets, 1), (TxPackets, 1), (Originated, 1), (IcmpEchoConsumed, 1)]);
    one.finish();
}
