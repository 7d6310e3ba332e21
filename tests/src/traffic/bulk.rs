//! A bulk transfer over TCP whose every byte is compared at the receiver.

use super::{Host, pattern};
use crate::failure::{Failure, Result, Tried, ensure};
use crate::namespace::joined;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Bytes written and read at once; a multiple of 8 for the pattern.
const PIECE_BYTES: usize = 64 * 1024;
/// A transfer that stands still for so long has failed.
const STILL: Duration = Duration::from_secs(20);
/// The seed of the pattern that is sent.
const SEED: u64 = 0x626c_6b31;

/// A transfer that arrived whole.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Bytes that arrived and were right.
    pub bytes: u64,
    /// From the connection's begin to its last byte.
    pub elapsed: Duration,
}

impl Bulk {
    /// Payload bits in a second, in units of 10^9.
    #[must_use]
    pub fn gbit_per_s(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let bits = self.bytes as f64 * 8.0;
        bits / self.elapsed.as_secs_f64() / 1e9
    }
}

/// Sends the pattern from `from` to `to` for `duration`; fails unless every byte arrives as sent.
pub fn bulk(from: Host<'_>, to: Host<'_>, duration: Duration) -> Result<Bulk> {
    let address = SocketAddr::new(to.address, 0);
    let listener =
        to.namespace.within(move || TcpListener::bind(address))?.tried(|| format!("listen on {address}"))?;
    let local = listener.local_addr().tried(|| "the listener's address".to_owned())?;
    let target = SocketAddr::new(to.known_as, local.port());
    let receiver = to.namespace.thread(move || receive(&listener));
    let (source, begin) = (from.address, Instant::now());
    let sent = from.namespace.thread(move || send(source, target, duration));
    let sent = joined(sent)?;
    if sent.is_err() {
        // The receiver may still wait for a connection that never came: let it see one that says nothing.
        let _ = to.namespace.within(move || TcpStream::connect(local));
    }
    let received = joined(receiver)?;
    let (sent, received) = (sent?, received?);
    ensure(sent > 0 && sent == received, || format!("{sent} bytes sent, {received} received"))?;
    Ok(Bulk { bytes: received, elapsed: begin.elapsed() })
}

fn send(source: std::net::IpAddr, target: SocketAddr, duration: Duration) -> Result<u64> {
    let failed = || format!("bulk transfer {source} to {target}, sending");
    let mut stream = connect(source, target)?;
    stream.set_write_timeout(Some(STILL)).tried(failed)?;
    let (begin, mut sent) = (Instant::now(), 0_u64);
    let mut piece = vec![0; PIECE_BYTES];
    while begin.elapsed() < duration {
        pattern::fill(SEED, sent, &mut piece);
        stream.write_all(&piece).tried(failed)?;
        sent += PIECE_BYTES as u64;
    }
    stream.shutdown(Shutdown::Write).tried(failed)?;
    // The receiver closes when it has read all: the transfer ends when the last byte is there, not when it was queued.
    stream.set_read_timeout(Some(STILL)).tried(failed)?;
    stream.read(&mut [0]).tried(failed)?;
    Ok(sent)
}

/// Connects from a given source address, which the standard library alone cannot choose.
fn connect(source: std::net::IpAddr, target: SocketAddr) -> Result<TcpStream> {
    use socket2::{Domain, Protocol, Socket, Type};
    let failed = || format!("connect {source} to {target}");
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP)).tried(failed)?;
    socket.bind(&SocketAddr::new(source, 0).into()).tried(failed)?;
    socket.connect_timeout(&target.into(), STILL).tried(failed)?;
    Ok(socket.into())
}

fn receive(listener: &TcpListener) -> Result<u64> {
    let failed = || "bulk transfer, receiving".to_owned();
    let (mut stream, _) = listener.accept().tried(failed)?;
    stream.set_read_timeout(Some(STILL)).tried(failed)?;
    let (mut piece, mut filled, mut received) = (vec![0; PIECE_BYTES], 0, 0_u64);
    loop {
        let read = stream.read(&mut piece[filled..]).tried(failed)?;
        filled += read;
        if read == 0 || filled == PIECE_BYTES {
            if !pattern::matches(SEED, received, &piece[..filled]) {
                let last = received + filled as u64;
                return Err(Failure::Untrue(format!("bytes {received} to {last} did not arrive as sent")));
            }
            received += filled as u64;
            filled = 0;
        }
        if read == 0 {
            return Ok(received);
        }
    }
}
