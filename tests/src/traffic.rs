//! Traffic between two hosts of the lab: pings that are counted, a paced stream of datagrams and a bulk transfer over
//! TCP whose every byte is checked.

mod bulk;
mod pattern;
mod stream;

pub use bulk::{Bulk, bulk};
pub use pattern::MARK;
pub use stream::{Report, Stream};

use crate::failure::{Failure, Result, ensure};
use crate::namespace::Namespace;
use crate::wait::{Look, until};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// A host: where it is and the address it uses.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The namespace that it is.
    pub namespace: &'a Namespace,
    /// Its address.
    pub address: IpAddr,
    /// The address by which others reach it; another one behind NAT.
    pub known_as: IpAddr,
}

impl<'a> Host<'a> {
    /// A host; `address` must be one, else this panics: the lab's own addresses are constants.
    #[must_use]
    pub fn new(namespace: &'a Namespace, address: &str) -> Self {
        let address = parsed(address);
        Self { namespace, address, known_as: address }
    }

    /// The same as others know it.
    #[must_use]
    pub fn known_as(self, address: &str) -> Self {
        Self { known_as: parsed(address), ..self }
    }
}

fn parsed(address: &str) -> IpAddr {
    address.parse().expect("the lab's addresses are well formed")
}

/// Pings sent and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Echo requests sent.
    pub sent: u32,
    /// Echo requests answered.
    pub answered: u32,
}

impl Pings {
    /// Fails unless all were answered.
    pub fn all_answered(self) -> Result<()> {
        ensure(self.sent > 0 && self.answered == self.sent, || format!("pings were lost: {self:?}"))
    }

    /// Fails if any was answered.
    pub fn none_answered(self) -> Result<()> {
        ensure(self.sent > 0 && self.answered == 0, || format!("pings were answered: {self:?}"))
    }
}

/// Pings `to` from `from`, `count` times, 20 ms apart, with `size_bytes` of payload that begins with [`MARK`], never
/// fragmented on the way if `keep_whole`; waits up to a second for the last answers.
pub fn ping(from: Host<'_>, to: IpAddr, count: u32, size_bytes: u16, keep_whole: bool) -> Result<Pings> {
    let mark: String = MARK.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = if keep_whole { "do" } else { "dont" };
    let line = format!(
        "ping -n -q -c {count} -i 0.02 -W 1 -s {size_bytes} -M {path} -p {mark} -I {} {to}",
        from.address
    );
    let ended = from.namespace.finish(&line, Duration::from_secs(30 + u64::from(count) / 10))?;
    let number = |word: &str| -> Option<u32> {
        let before = ended.output.split(word).next()?;
        before.trim_end().rsplit([' ', '\n', ',']).next()?.parse().ok()
    };
    match (number("packets transmitted"), number("received")) {
        (Some(sent), Some(answered)) => Ok(Pings { sent, answered }),
        _ => Err(Failure::Command { command: line, status: ended.status.to_string(), output: ended.output }),
    }
}

/// Sends one echo request that may pass so many routers, with `size_bytes` of payload and never fragmented; returns what ping says came back.
pub fn ping_once(from: Host<'_>, to: IpAddr, hops: u8, size_bytes: u16) -> Result<String> {
    let line = format!("ping -n -c 1 -W 2 -t {hops} -M do -s {size_bytes} -I {} {to}", from.address);
    Ok(from.namespace.finish(&line, Duration::from_secs(30))?.output)
}

/// Sends a datagram to a port that nobody has there; fails unless the ICMP error that comes back is one about that datagram, as the sender's kernel knows it.
pub fn is_told_of_closed_port(from: Host<'_>, to: IpAddr) -> Result<()> {
    let (source, target) = (SocketAddr::new(from.address, 0), SocketAddr::new(to, CLOSED_PORT));
    let failed = move || format!("a datagram from {source} to {target}");
    let answer = from.namespace.within(move || {
        let socket = UdpSocket::bind(source)?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send(MARK)?;
        socket.recv(&mut [0])
    })?;
    match answer {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(source) => Err(Failure::Io { what: failed(), source }),
        Ok(_) => Err(Failure::Untrue(format!("{} was answered", failed()))),
    }
}

/// Nothing in the lab listens at this port (discard, RFC 863).
const CLOSED_PORT: u16 = 9;

/// Pings until one answer comes.
pub fn ping_until_answered(from: Host<'_>, to: IpAddr, limit: Duration) -> Result<()> {
    until(&format!("an answer from {to} to {}", from.address), limit, || {
        let pings = ping(from, to, 1, 56, false)?;
        Ok(Look::when(pings.answered > 0, || "none".to_owned()))
    })
}
