//! Workers on threads of their own: traffic through the rings between them, and an end that loses no queue and no packet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::lab::{
    self, Gateway, HOST, LAN, OURS, Options, PEER, Site, WAN, across, frame, inbound, outbound, spi,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::counter::Snapshot;
use crossgate_dataplane::forwarding::InterfaceId;
use crossgate_dataplane::message::{Command, NeighbourEntry};
use crossgate_dataplane::worker::{Idle, Launch, LaunchError, WorkerHandle, WorkerSet};

const DEADLINE: Duration = Duration::from_secs(30);
const PACKETS: usize = 48;

/// Waits for a condition.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "{what} does not come about");
        std::thread::yield_now();
    }
}

fn command(handle: &mut WorkerHandle, command: Command) {
    handle.control.send(command).expect("room");
    until("an acknowledgement", || handle.control.poll_acknowledgement().is_some());
}

#[test]
fn threads_hand_over_in_order_and_end_with_all_queues_and_packets_back() {
    let options = Options::default();
    let mut one = Gateway::new(Site(1), 1);
    one.install(outbound(Site(1), &options, 1), inbound(Site(1), &options, 0));
    let (parts, mut ports, mut wires, pool) = lab::parts(2, true);
    let mut set = WorkerSet::launch(lab::eal(), &lab::launch(), parts).expect("two workers");
    assert_eq!(set.home(spi(Site(2), 1)), 1);
    let forwarding = Arc::new(lab::forwarding(Site(2)));
    let host = NeighbourEntry { interface: InterfaceId(1), address: Site(2).host(false), mac: HOST };
    for handle in &mut set.handles {
        command(handle, Command::SetForwarding(Arc::clone(&forwarding)));
        command(handle, Command::LearnNeighbour(host));
    }
    let sa = Box::new(inbound(Site(2), &options, 1));
    command(&mut set.handles[1], Command::InstallInbound(sa));

    let mut number = 0;
    for _ in 0..3 {
        for _ in 0..PACKETS {
            one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, number, 100)));
            number += 1;
        }
        one.run();
        for mut esp in one.sent(WAN) {
            esp[..6].copy_from_slice(&OURS[WAN].0);
            esp[6..12].copy_from_slice(&PEER.0);
            wires[WAN][0].push(pool.take_copy(&esp).expect("a packet")).ok().expect("room");
        }
        let mut arrived = Vec::new();
        until("the packets' arrival", || {
            arrived.extend(wires[LAN].iter_mut().filter_map(next_frame));
            arrived.len() == PACKETS
        });
        let first = number - u8::try_from(PACKETS).expect("few");
        let expected: Vec<_> = (first..number)
            .map(|number| frame(HOST, OURS[LAN], &across(Site(1), false, 62, number, 100)))
            .collect();
        assert_eq!(arrived, expected, "in order");
    }
    set.check().expect("both live");

    let (workers, handles) = set.stop();
    for worker in workers {
        let (rx, tx) = worker.expect("it did not die").into_queues();
        assert_eq!((rx.len(), tx.iter().flatten().count()), (2, 2));
    }
    let mut sum = Snapshot::zero();
    handles.iter().for_each(|handle| sum.add(&handle.counters.snapshot()));
    assert_eq!(sum.balance(), 0);
    let all = u64::try_from(3 * PACKETS).expect("few");
    assert_eq!(handles[0].counters.read(HandoverSent), all);
    assert_eq!(handles[1].counters.read(HandoverReceived), all);
    assert_eq!(handles[1].counters.read(EspOpened), all);
    drop(handles);
    for port in &mut ports {
        port.stop().expect("all queues are back");
    }
    assert_eq!(pool.in_use(), 0, "leaked packets");
    one.finish();
}

fn next_frame(wire: &mut dpdk_sys::Wire) -> Option<Vec<u8>> {
    wire.pull().map(|packet| packet.data().to_vec())
}

/// Turns without work that a worker makes in a fifth of a second, after it had as long to come to rest.
fn idle_turns(idle: Idle) -> u64 {
    let (parts, mut ports, wires, pool) = lab::parts(1, true);
    let set = WorkerSet::launch(lab::eal(), &Launch { idle, ..lab::launch() }, parts).expect("a worker");
    let turns = || set.handles[0].stats.idle_turns();
    let window_ms = 200;
    let begin_ms = set.now_ms();
    until("rest", || set.now_ms() >= begin_ms + window_ms);
    let before = turns();
    until("the end of the window", || set.now_ms() >= begin_ms + 2 * window_ms);
    let turns = turns() - before;
    let (workers, handles) = set.stop();
    drop((workers, handles));
    ports.iter_mut().for_each(|port| port.stop().expect("all queues are back"));
    drop(wires);
    assert_eq!(pool.in_use(), 0);
    turns
}

#[test]
fn idle_worker_sleeps_where_it_may_and_polls_where_it_must_not() {
    // The longest sleep is 200 us; the kernel may make it longer, never shorter. Whoever polls makes a turn in some microseconds.
    let most = 200_000 / 200 + 10;
    let (sleeping, polling) = (idle_turns(Idle::Adaptive), idle_turns(Idle::Poll));
    assert!(sleeping > 0 && sleeping <= most, "{sleeping} turns");
    assert!(polling > 4 * most, "{polling} turns");
}

#[test]
fn worker_that_cannot_be_pinned_fails_the_launch() {
    for core in [1023, 4095] {
        let (mut parts, ports, wires, pool) = lab::parts(1, true);
        parts[0].core = Some(core);
        let refused = WorkerSet::launch(lab::eal(), &lab::launch(), parts).err();
        let expected =
            |error: &LaunchError| matches!(error, LaunchError::Core { worker: 0, core: c } if *c == core);
        assert!(refused.as_ref().is_some_and(expected), "{refused:?}");
        drop((ports, wires));
        assert_eq!(pool.in_use(), 0);
    }
}
