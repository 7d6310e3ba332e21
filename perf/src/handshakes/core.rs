//! The IKE core over UDP sockets: what the control thread is around it, without workers.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{self, SystemTime};

use anyhow::{Context, Result};
use crossgate_ike::event::{ChildId, ChildSa, ConnectionId, Spi};
use crossgate_ike::{Environment, IKE_PORT, Instant, NAT_PORT, Transmit};
use crossgate_pki::UnixTime;

/// Room for any IKE message.
pub(super) const DATAGRAM_BYTES: usize = 65_536;
/// Before an IKE message on port 4500 (RFC 3948, 2.2).
const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// Randomness of the operating system, SPIs, and the SAs that a data plane would hold.
pub(super) struct Books {
    epoch: time::Instant,
    last_spi: u32,
    pub(super) children: HashMap<ChildId, Box<ChildSa>>,
}

impl Books {
    pub(super) fn new() -> Self {
        Self { epoch: time::Instant::now(), last_spi: 0xff, children: HashMap::new() }
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_epoch(self.epoch.elapsed())
    }
}

impl Environment for Books {
    fn random(&mut self, out: &mut [u8]) {
        getrandom::fill(out).expect("the operating system gives randomness");
    }

    fn unix_time(&self) -> UnixTime {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixTime(since.map_or(0, |since| since.as_secs()))
    }

    fn allocate_spi(&mut self, _: ConnectionId, _: Option<u16>) -> Option<Spi> {
        self.last_spi += 1;
        Some(Spi(self.last_spi))
    }

    fn release_spi(&mut self, _: Spi) {}
}

/// The two ports of IKE at one address.
pub(super) struct Sockets {
    address: Ipv4Addr,
    pub(super) plain: UdpSocket,
    pub(super) marked: UdpSocket,
}

impl Sockets {
    pub(super) fn bind(address: Ipv4Addr) -> Result<Self> {
        let bind = |port| -> io::Result<UdpSocket> {
            let socket = UdpSocket::bind((address, port))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let place = || format!("take IKE's ports at {address}");
        Ok(Self {
            address,
            plain: bind(IKE_PORT).with_context(place)?,
            marked: bind(NAT_PORT).with_context(place)?,
        })
    }

    /// Sends what the core says.
    pub(super) fn send(&self, transmit: &Transmit) -> io::Result<()> {
        if transmit.local.port() == NAT_PORT {
            let bytes = [&NON_ESP_MARKER, &transmit.bytes[..]].concat();
            self.marked.send_to(&bytes, transmit.remote)?;
        } else {
            self.plain.send_to(&transmit.bytes, transmit.remote)?;
        }
        Ok(())
    }

    /// The next datagram, without the marker: where it came to and from, and its bytes.
    pub(super) fn receive<'b>(
        &self,
        buffer: &'b mut [u8],
    ) -> io::Result<Option<(SocketAddr, SocketAddr, &'b [u8])>> {
        for (socket, port, marker) in [(&self.marked, NAT_PORT, 4), (&self.plain, IKE_PORT, 0)] {
            match socket.recv_from(buffer) {
                Ok((bytes, remote)) if bytes >= marker => {
                    return Ok(Some(((self.address, port).into(), remote, &buffer[marker..bytes])));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Who is not there yet, or not any more: silence is noticed elsewhere.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
