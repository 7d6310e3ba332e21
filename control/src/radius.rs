//! Questions about clients that log in, to RADIUS servers: the socket beside [`crossgate_eap::Radius`], which knows what to send and when. Looked at by the gateway's turns; nothing
//! here waits. Servers are reached by the host's own network, not by the workers.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crossgate_eap::{Radius, RadiusOutput, RadiusQuestion};
use crossgate_ike::event::IkeId;
use crossgate_ike::job::JobResult;

/// Longest packet of RADIUS (RFC 2865, 3).
const PACKET_BYTES_MAX: usize = 4_096;
/// Datagrams that are read in one turn: a flood must not hold the loop.
const DATAGRAMS_A_TURN: usize = 64;

/// Questions under way, and the sockets that they left by.
#[derive(Default)]
pub struct RadiusPort {
    core: Radius,
    /// Whose question it is, by its number.
    asked: HashMap<u64, IkeId>,
    ipv4: Option<UdpSocket>,
    ipv6: Option<UdpSocket>,
}

impl RadiusPort {
    /// Asks; the answer comes out of [`Self::poll`]. `now` is since any epoch, always the same.
    pub fn ask(&mut self, ike: IkeId, serial: u64, question: RadiusQuestion, now: Duration) {
        self.asked.insert(serial, ike);
        self.core.ask(serial, question, now, &mut super::gateway::environment::fill);
    }

    /// Reads and sends what there is; the next answer, if there is one.
    pub fn poll(&mut self, now: Duration) -> Option<JobResult> {
        if !self.core.is_idle() {
            self.receive();
        }
        if self.core.poll_timeout().is_some_and(|due| due <= now) {
            self.core.on_timeout(now, &mut super::gateway::environment::fill);
        }
        while let Some(output) = self.core.poll_output() {
            match output {
                RadiusOutput::Transmit { to, bytes } => self.send(to, &bytes),
                RadiusOutput::Answered { ticket, answer } => {
                    if let Err(error) = &answer {
                        tracing::warn!(%error, "asked RADIUS in vain");
                    }
                    if let Some(ike) = self.asked.remove(&ticket) {
                        return Some(JobResult::relayed(ike, ticket, answer));
                    }
                }
            }
        }
        None
    }

    fn receive(&mut self) {
        let mut datagram = [0; PACKET_BYTES_MAX];
        for socket in self.ipv4.iter().chain(&self.ipv6) {
            for _ in 0..DATAGRAMS_A_TURN {
                match socket.recv_from(&mut datagram) {
                    Ok((length, from)) => self.core.on_datagram(from, &datagram[..length]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // What an earlier datagram met (ICMP): the next read tells of the next one.
                    Err(_) => {}
                }
            }
        }
    }

    /// Sends; what cannot be sent is as good as lost, and asked again later.
    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        let socket = if to.is_ipv4() { &mut self.ipv4 } else { &mut self.ipv6 };
        let sent = match socket {
            Some(socket) => socket.send_to(bytes, to),
            None => open(to).and_then(|opened| socket.insert(opened).send_to(bytes, to)),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, server = %to, "cannot send to a RADIUS server");
        }
    }
}

/// A socket of the family of `to`, with a port of its own.
fn open(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
