//! Whole runs of two endpoints.

use std::time::Duration;

use super::*;
use crate::error::IkeError;
use crate::notice::What;
use crate::status::ConnectionStatus;

fn child(pair: &Pair, index: usize) -> crate::event::ChildId {
    pair.sides[index].plane.sends_on(CONNECTION, 0).expect("connected").id
}

mod faults;
mod handshake;
mod reasons;
mod rekey;
