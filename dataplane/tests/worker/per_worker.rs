//! A Child SA for each worker of one tunnel (RFC 9611): a place in every worker's table holds an SA of its own, or the one that all share.

use std::sync::Arc;

use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::message::Command;
use crossgate_dataplane::spi::Spi;

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, Site, WAN, across, forwarded, frame, inbound, outbound, spi,
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
