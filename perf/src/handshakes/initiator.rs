//! The peers: one endpoint of ours, with a connection and two sockets for each of them, that begins so many handshakes at once and no more.
//!
//! Their first messages are made beforehand: what is timed is less work on this side than on the responder's, so that the responder is the one that is busy.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crossgate_ike::config::EndpointConfig;
use crossgate_ike::event::{Command, Event, Input, Output};
use crossgate_ike::{Endpoint, Transmit};

use super::case::{Case, address, proof};
use super::core::{Books, DATAGRAM_BYTES, Sockets};

/// Handshakes under way.
pub(super) const AT_ONCE: usize = 16;
/// Handshakes whose time is one figure.
pub(super) const WINDOW: usize = 100;
/// How long a responder may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// All peers, each ready to begin.
pub(super) struct Peers {
    endpoint: Endpoint,
    books: Books,
    firsts: Vec<Transmit>,
    /// Those under way, by number.
    under_way: HashMap<u32, Sockets>,
    done: Vec<Instant>,
    buffer: Vec<u8>,
}

impl Peers {
    pub(super) fn new(case: Case, peers: u32) -> Result<Self> {
        // Nothing is lost between two sockets of one machine: what is late is late.
        let wait = Duration::from_secs(3600);
        let settings =
            EndpointConfig { retransmit_initial: wait, retransmit_maximum: wait, ..Default::default() };
        let mut made = Self {
            endpoint: Endpoint::new(settings),
            books: Books::new(),
            firsts: Vec::new(),
            under_way: HashMap::new(),
            done: Vec::new(),
            buffer: vec![0; DATAGRAM_BYTES],
        };
        let proof = proof(case, 1)?;
        for peer in 0..peers {
            let configure = Command::Configure(Box::new(case.peer(peer, &proof)?));
            made.handle(Input::Command(configure))?;
            while let Some(transmit) = made.carry_out()? {
                made.firsts.push(transmit);
            }
        }
        ensure!(made.firsts.len() == usize::try_from(peers)?, "a peer does not begin");
        Ok(made)
    }

    /// Lets all of them begin, one after the other; when each IKE SA with its Child SA was up.
    pub(super) fn connect(mut self) -> Result<Vec<Instant>> {
        let firsts = std::mem::take(&mut self.firsts);
        let all = firsts.len();
        let mut firsts = (0..).zip(firsts);
        let mut last = (Instant::now(), 0);
        while self.done.len() < all {
            while self.under_way.len() < AT_ONCE
                && let Some((peer, first)) = firsts.next()
            {
                let sockets = Sockets::bind(address(peer))?;
                sockets.send(&first)?;
                self.under_way.insert(peer, sockets);
            }
            self.receive()?;
            if self.done.len() > last.1 {
                last = (Instant::now(), self.done.len());
            }
            ensure!(last.0.elapsed() < PATIENCE, "the responder was silent after {} handshakes", last.1);
        }
        Ok(self.done)
    }

    /// Whatever has arrived at any of those under way.
    fn receive(&mut self) -> Result<()> {
        let peers: Vec<u32> = self.under_way.keys().copied().collect();
        let mut buffer = std::mem::take(&mut self.buffer);
        for peer in peers {
            let Some(sockets) = self.under_way.get(&peer) else { continue };
            let Some((local, remote, bytes)) = sockets.receive(&mut buffer)? else { continue };
            self.handle(Input::Datagram { local, remote, bytes })?;
            while let Some(transmit) = self.carry_out()? {
                // One that has just come up says nothing more.
                if let Some(sockets) = self.under_way.get(&peer) {
                    sockets.send(&transmit)?;
                }
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    fn handle(&mut self, input: Input<'_>) -> Result<()> {
        self.endpoint.handle(input, self.books.now(), &mut self.books).context("a configuration")
    }

    /// Does what the core wants, up to the next message to send.
    fn carry_out(&mut self) -> Result<Option<Transmit>> {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit(transmit) => return Ok(Some(transmit)),
                Output::Event(Event::Compute(job)) => self.handle(Input::Computed(job.run()))?,
                Output::Event(Event::InstallChild(child)) => {
                    ensure!(self.under_way.remove(&child.connection.0).is_some(), "a Child SA of nobody");
                    self.done.push(Instant::now());
                }
                Output::Event(Event::Failed { error, .. } | Event::ChildFailed { error, .. }) => {
                    bail!("a handshake failed: {error}")
                }
                Output::Event(_) => {}
            }
        }
        Ok(None)
    }
}

/// Handshakes a second in each window, the first one (which warms up) left out.
pub(super) fn rates(done: &[Instant]) -> Vec<f64> {
    let marks: Vec<Instant> = done.iter().copied().step_by(WINDOW).collect();
    let windows = marks.windows(2).skip(usize::from(marks.len() > 2));
    let count = crate::machine::packets_f64(WINDOW);
    windows.map(|pair| count / (pair[1] - pair[0]).as_secs_f64()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_windows_after_the_first() {
        let began = Instant::now();
        // A hundred in a second, then a hundred in half a second, then a hundred in a quarter.
        let times = (0..=300_u32).map(|number| match number {
            0..=100 => f64::from(number) / 100.0,
            101..=200 => 1.0 + f64::from(number - 100) / 200.0,
            _ => 1.5 + f64::from(number - 200) / 400.0,
        });
        let done: Vec<_> = times.map(|at| began + Duration::from_secs_f64(at)).collect();
        let rates: Vec<_> = rates(&done).into_iter().map(f64::round).collect();
        assert_eq!(rates, [200.0, 400.0]);
    }
}
