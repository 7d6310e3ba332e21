//! Whole runs of two endpoints.

use std::time::Duration;

use super::*;
use crate::error::IkeError;
use crate::notice::What;
use crate::status::ConnectionStatus;

fn status(pair: &Pair, index: usize) -> ConnectionStatus {
    pair.sides[index].endpoint.status().remove(0)
}

/// The tables of both sides at rest.
fn rest(pair: &mut Pair) -> [crate::status::Census; 2] {
    settle(pair);
    censuses(pair)
}

/// The tables of both sides.
fn censuses(pair: &Pair) -> [crate::status::Census; 2] {
    pair.sides.each_ref().map(|side| side.endpoint.census())
}

/// Time enough for everything that is tried again, then rest.
fn settle(pair: &mut Pair) {
    pair.run_for(Duration::from_secs(400));
    pair.run_until_idle();
}

/// A second policy beside the first.
fn second_policy(index: usize, config: &mut ConnectionConfig) {
    let prefix =
        |third| TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, third, 0, 0)), 16).unwrap();
    let mut child = config.children[0].clone();
    let (here, there) = if index == 0 { (11, 12) } else { (12, 11) };
    child.local_selectors = vec![prefix(here)];
    child.remote_selectors = vec![prefix(there)];
    config.children.push(child);
}

fn child(pair: &Pair, index: usize) -> crate::event::ChildId {
    pair.sides[index].plane.sends_on(CONNECTION, 0).expect("connected").id
}

mod assigned;
mod certificates;
mod children;
mod clients;
mod crash;
mod faults;
mod forged;
mod handshake;
mod load;
mod mobike;
mod mutated;
mod narrowed;
mod operations;
mod places;
mod post_quantum;
mod ppk;
mod reasons;
mod reconfigured;
mod redirect;
mod rekey;
mod resource;
mod resume;
mod roles;
mod scripted;
mod strangers;
mod traffic;
mod v1;
