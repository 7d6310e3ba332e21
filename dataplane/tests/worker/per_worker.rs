//! A Child SA for each worker of one tunnel (RFC 9611): a place in every worker's table holds an SA of its own, or the one that all share.

use std::sync::Arc;

use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::header::Protocol;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::spi::Spi;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, Site, WAN, across, forwarded, frame, inbound, inbound_at, outbound,
    outbound_to, packet, raw_spi, spi, udp,
};

fn spi_of(esp: &[u8]) -> Option<Spi> {
    Spi::new(u32::from_be_bytes(esp[34..38].try_into().expect("4 bytes")))
}

#[test]
fn each_worker_seals_for_the_peers_same_worker_and_nothing_is_handed_over() {
    let options = Options::default();
    let (mut one, mut two) = (Gateway::new(Site(1), 2), Gateway::new(Site(2), 2));
    for (worker, bucket) in [(0, 0), (1, 1)] {
        one.command(worker, Command::InstallOutbound(Arc::new(outbound(Site(1), &options, bucket))));
        let sa = inbound(Site(2), &options, bucket);
        assert_eq!(two.home(sa.spi()), worker);
        two.command(worker, Command::InstallInbound(Box::new(sa)));
    }
    one.moved();
    two.moved();
    for round in 1..=3 {
        for queue in 0..2 {
            one.arrive_at(LAN, queue, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, round, 40)));
        }
        one.run();
        assert_eq!(one.moved(), [(RxPackets, 2), (TxPackets, 2), (EspSealed, 2)]);
        let sent = one.sent(WAN);
        for (queue, esp) in sent.into_iter().enumerate() {
            let bucket = u32::try_from(queue).expect("two");
            assert_eq!(spi_of(&esp), Some(spi(Site(2), bucket)), "of worker {queue}'s own SA");
            assert_eq!(esp[42..50], u64::from(round).to_be_bytes(), "numbered by itself");
            two.arrive_at(WAN, queue, &forwarded(esp));
        }
        two.run();
        assert_eq!(two.moved(), [(RxPackets, 2), (TxPackets, 2), (EspOpened, 2)], "at home at once");
        assert_eq!(two.sent(LAN).len(), 2);
    }
    one.finish();
    two.finish();
}

/// Has a worker of site 1 seal a packet, and says for which SPI.
fn seal(one: &mut Gateway, worker: usize) -> Option<Spi> {
    one.arrive_at(LAN, worker, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 1, 40)));
    one.run();
    spi_of(&one.sent(WAN)[0])
}

#[test]
fn worker_without_an_sa_of_its_own_uses_the_one_that_all_share() {
    let options = Options::default();
    let mut one = Gateway::new(Site(1), 2);
    let shared = Arc::new(outbound(Site(1), &options, 0));
    for worker in 0..2 {
        one.command(worker, Command::InstallOutbound(Arc::clone(&shared)));
    }
    one.command(1, Command::InstallOutbound(Arc::new(outbound(Site(1), &options, 1))));
    assert_eq!(seal(&mut one, 0), Some(spi(Site(2), 0)));
    assert_eq!(seal(&mut one, 1), Some(spi(Site(2), 1)));
    one.command(1, Command::InstallOutbound(shared));
    assert_eq!(seal(&mut one, 1), Some(spi(Site(2), 0)), "the shared one again");
    one.finish();
}

#[test]
fn flows_keep_their_order_while_workers_get_sas_of_their_own() {
    const FLOWS_A_WORKER: u16 = 4;
    // The rounds in which each worker gets its own.
    const OWN_FROM: [u8; 2] = [3, 5];
    let options = Options::default();
    let (mut one, mut two) = (Gateway::new(Site(1), 2), Gateway::new(Site(2), 2));
    // The one for all, in a slot of its own: at home at worker 0, as is that worker's own.
    let shared = raw_spi(3);
    one.install(outbound_to(Site(1), &options, shared), inbound(Site(1), &options, 0));
    two.install(outbound(Site(2), &options, 0), inbound_at(Site(2), &options, shared));
    for worker in 0..2 {
        let sa = inbound(Site(2), &options, u32::try_from(worker).expect("few"));
        assert_eq!(two.home(sa.spi()), worker);
        two.command(worker, Command::InstallInbound(Box::new(sa)));
    }
    let (from, to) = (Site(1).host(false), Site(2).host(false));
    let mut opened: Vec<(u16, u8)> = Vec::new();
    for round in 0..9 {
        for (worker, bucket) in [(0, 0), (1, 1)] {
            if round == OWN_FROM[worker] {
                one.command(worker, Command::InstallOutbound(Arc::new(outbound(Site(1), &options, bucket))));
            }
        }
        for queue in 0..2 {
            for flow in 0..FLOWS_A_WORKER {
                let port = 1000 + flow + FLOWS_A_WORKER * u16::try_from(queue).expect("few");
                for number in [2 * round, 2 * round + 1] {
                    let datagram = udp(from, to, port, &[number; 40]);
                    let clear = packet(from, to, Protocol::UDP, 64, &datagram);
                    one.arrive_at(LAN, queue, &frame(OURS[LAN], HOST, &clear));
                }
            }
        }
        one.run();
        let sent = one.sent(WAN);
        for (bucket, own_from) in (0..).zip(OWN_FROM) {
            let sealed = sent.iter().filter(|esp| spi_of(esp) == Some(spi(Site(2), bucket))).count();
            let expected = if round < own_from { 0 } else { 2 * usize::from(FLOWS_A_WORKER) };
            assert_eq!(sealed, expected, "by worker {bucket}'s own SA in round {round}");
        }
        for esp in sent {
            // A port that does not know SPIs: whatever it goes by, a sender's packets stay in order.
            let queue = usize::from(spi_of(&esp) == Some(spi(Site(2), 0)));
            two.arrive_at(WAN, queue, &forwarded(esp));
        }
        two.run();
        opened.extend(two.sent(LAN).iter().map(|clear| {
            let port = u16::from_be_bytes(clear[36..38].try_into().expect("two bytes"));
            (port, clear[42])
        }));
    }
    for port in 1000..1000 + 2 * FLOWS_A_WORKER {
        let numbers: Vec<u8> =
            opened.iter().filter(|(of, _)| *of == port).map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..18).collect::<Vec<u8>>(), "port {port}");
    }
    assert!(two.drops().is_empty());
    one.finish();
    two.finish();
}
