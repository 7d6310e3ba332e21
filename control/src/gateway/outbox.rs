//! IKE datagrams that wait for the workers: one leaves when every command that was given before it is acknowledged, so that a peer never
//! learns of an SA that is not installed yet (make before break). One to an address of our own (a tunnel between two networks of this appliance) comes back
//! instead of going to a worker.

use std::collections::VecDeque;
use std::net::IpAddr;

use crossgate_dataplane::message::{Full, Inject};
use crossgate_ike::Transmit;
use dpdk_sys::Mempool;

use crate::datagram;
use crate::workers::{Ticket, Workers};

/// Datagrams in the order in which the core made them.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<(Ticket, Transmit)>,
    /// What waits for a command that is yet to be given.
    held: Vec<Transmit>,
    identification: u16,
    /// To ourselves, ready to be heard.
    looped: Vec<Transmit>,
}

impl Outbox {
    pub(super) fn put(&mut self, after: Ticket, transmit: Transmit) {
        self.waiting.push_back((after, transmit));
    }

    /// Keeps a datagram, and all that follow, until [`Outbox::release`].
    pub(super) fn hold(&mut self, transmit: Transmit) {
        self.held.push(transmit);
    }

    /// The command that held datagrams wait for was given.
    pub(super) fn release(&mut self, after: Ticket) {
        self.waiting.extend(self.held.drain(..).map(|transmit| (after, transmit)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.held.is_empty()
    }

    /// Sends what may be sent. A datagram that cannot be made is dropped and logged: IKE sends it again.
    pub(super) fn flush(
        &mut self,
        buffers: &Mempool,
        workers: &mut Workers,
        is_own: impl Fn(IpAddr) -> bool,
    ) -> bool {
        let mut sent = false;
        while let Some((ticket, transmit)) = self.waiting.front() {
            if !workers.is_applied(*ticket) {
                break;
            }
            if is_own(transmit.remote.ip()) {
                self.looped.extend(self.waiting.pop_front().map(|(_, transmit)| transmit));
                sent = true;
                continue;
            }
            self.identification = self.identification.wrapping_add(1);
            let made = datagram::packet(
                buffers,
                self.identification,
                transmit.local,
                transmit.remote,
                &transmit.bytes,
            );
            match made {
                // One worker for all IKE: messages to one peer keep their order.
                Ok(packet) => {
                    if let Err(Full(_)) = workers.inject(0, Inject { packet }) {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, remote = %transmit.remote, "an IKE datagram was not sent")
                }
            }
            self.waiting.pop_front();
            sent = true;
        }
        sent
    }

    /// Datagrams that were sent to ourselves, in their order.
    pub(super) fn take_looped(&mut self) -> Vec<Transmit> {
        std::mem::take(&mut self.looped)
    }
}
