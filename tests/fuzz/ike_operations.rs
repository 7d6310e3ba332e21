//! Sequences of what can happen to two IKE endpoints: commands, datagrams that are changed, time that passes, an end
//! that dies. None panics, and with a sound link the two find together again.

#![no_main]

use arbitrary::Arbitrary;
use crossgate_ike::event::{Command, Input};
use crossgate_ike::sim::{Link, Pair, connection};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
enum Operation {
    Initiate(bool),
    Reset(bool),
    RekeyIke(bool),
    RekeyBoth,
    Bytes(bool, bool, Vec<u8>),
    Pass(u16),
    Lossy(bool),
    Quiet(bool),
}

/// More than this makes a run slow without making it different.
const MOST_OPERATIONS: usize = 32;

fuzz_target!(|input: (u64, Vec<Operation>)| {
    let (seed, operations) = input;
    let mut pair = Pair::connected(seed, Link::LAN, |_, _| {});
    let id = connection(0).id;
    for operation in operations.into_iter().take(MOST_OPERATIONS) {
        match operation {
            Operation::Initiate(side) => pair.command(usize::from(side), Command::Initiate(id)),
            Operation::Reset(side) => pair.command(usize::from(side), Command::Reset(id)),
            Operation::RekeyIke(side) => pair.command(usize::from(side), Command::RekeyIke(id)),
            Operation::RekeyBoth => pair.both(|_, _| Command::RekeyIke(id)),
            Operation::Bytes(side, nat, bytes) => {
                let (to, from) = (usize::from(side), usize::from(!side));
                let port = if nat { 4500 } else { 500 };
                let local = SocketAddr::new(pair.sides[to].address, port);
                let remote = SocketAddr::new(pair.sides[from].address, port);
                pair.input(to, Input::Datagram { local, remote, bytes: &bytes });
            }
            Operation::Pass(milliseconds) => pair.run_for(Duration::from_millis(milliseconds.into())),
            Operation::Lossy(lossy) => pair.link = if lossy { Link::HOSTILE } else { Link::LAN },
            Operation::Quiet(side) => pair.sides[usize::from(side)].alive ^= true,
        }
    }
    pair.link = Link::LAN;
    for side in &mut pair.sides {
        side.alive = true;
    }
    // Dead peer detection and every retransmission have their time.
    pair.run_for(Duration::from_secs(1200));
    pair.assert_up("after the operations");
});
