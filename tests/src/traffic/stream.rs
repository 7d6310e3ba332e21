//! A paced stream of datagrams between two hosts. Each carries its number and a pattern that depends on it, so the
//! receiver knows what was lost, came twice, came late or was changed.

use super::{Host, pattern};
use crate::failure::{Failure, Result, Tried, ensure};
use crate::namespace::joined;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long after the last datagram the receiver waits for stragglers.
const QUIET: Duration = Duration::from_secs(1);
/// Receive buffer: a receiver that waits for its turn on a busy machine must not lose what the gateway delivered.
const BUFFER_BYTES: usize = 16 << 20;
/// The datagram's number, before the pattern.
const NUMBER_BYTES: usize = 8;

/// A stream that runs.
pub struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    /// Why the sender ended early.
    broken: Arc<OnceLock<String>>,
    sender: JoinHandle<Result<Result<u64>>>,
    receiver: JoinHandle<Result<Result<Report>>>,
    done: Arc<AtomicBool>,
    name: String,
}

/// What became of a stream's datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Who sent to whom.
    pub name: String,
    /// Sent.
    pub sent: u64,
    /// Arrived unchanged, each counted once.
    pub received: u64,
    /// Arrived again.
    pub duplicated: u64,
    /// Arrived after one with a higher number.
    pub late: u64,
    /// Arrived with other bytes than were sent.
    pub corrupted: u64,
    /// The numbers of the first lost ones, for a person to see the gap.
    pub first_lost: Vec<u64>,
}

impl Report {
    /// Sent but never arrived.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.sent - self.received
    }

    /// Fails unless every datagram arrived exactly once and unchanged. Late ones are allowed: two workers may overtake
    /// each other.
    pub fn whole(&self) -> Result<()> {
        let whole = self.sent > 0 && self.lost() == 0 && self.duplicated == 0 && self.corrupted == 0;
        ensure(whole, || format!("the stream did not arrive whole: {} lost of {self:?}", self.lost()))
    }
}

impl Stream {
    /// Sends `datagrams_per_s` of `size_bytes` (at least 24) from `from` to `to` until stopped.
    pub fn start(from: Host<'_>, to: Host<'_>, datagrams_per_s: u32, size_bytes: usize) -> Result<Self> {
        let name = format!("{} to {}", from.address, to.address);
        let at = SocketAddr::new(to.address, 0);
        let inlet = to.namespace.within(move || UdpSocket::bind(at))?.tried(|| format!("bind {at}"))?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&inlet, BUFFER_BYTES)
            .tried(|| format!("receive buffer of {BUFFER_BYTES} bytes"))?;
        let target = SocketAddr::new(to.known_as, inlet.local_addr().tried(|| name.clone())?.port());
        let at = SocketAddr::new(from.address, 0);
        let outlet = from.namespace.within(move || UdpSocket::bind(at))?.tried(|| format!("bind {at}"))?;

        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (sent, received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let broken = Arc::new(OnceLock::new());
        let sender = {
            let (stop, sent, broken) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&broken));
            from.namespace.thread(move || {
                send(&outlet, target, datagrams_per_s, size_bytes, &stop, &sent)
                    .inspect_err(|why| _ = broken.set(why.to_string()))
            })
        };
        let receiver = {
            let (done, received) = (Arc::clone(&done), Arc::clone(&received));
            to.namespace.thread(move || receive(&inlet, &done, &received))
        };
        Ok(Self { stop, sent, received, broken, sender, receiver, done, name })
    }

    /// Datagrams sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Datagrams received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until `more` further datagrams have arrived: the traffic flows now.
    pub fn flows(&self, more: u64) -> Result<()> {
        let goal = self.received() + more;
        crate::wait::until(&format!("{more} datagrams, {}", self.name), Duration::from_secs(30), || {
            if let Some(why) = self.broken.get() {
                return Err(Failure::Untrue(why.clone()));
            }
            let seen = || format!("{} sent, {} received, goal {goal}", self.sent(), self.received());
            Ok(crate::wait::Look::when(self.received() >= goal, seen))
        })
    }

    /// Stops sending, waits for stragglers, and reports.
    pub fn stop(self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = joined(self.sender)?;
        self.done.store(true, Ordering::Relaxed);
        let mut report = joined(self.receiver)??;
        report.sent = sent?;
        report.name = self.name;
        report.first_lost.retain(|number| *number < report.sent);
        Ok(report)
    }
}

fn send(
    socket: &UdpSocket,
    target: SocketAddr,
    datagrams_per_s: u32,
    size_bytes: usize,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Result<u64> {
    let pause = Duration::from_secs(1) / datagrams_per_s;
    let (mut due, mut number) = (Instant::now(), 0_u64);
    let mut datagram = vec![0; size_bytes];
    while !stop.load(Ordering::Relaxed) {
        datagram[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
        pattern::fill(number, 0, &mut datagram[NUMBER_BYTES..]);
        match socket.send_to(&datagram, target) {
            // An ICMP error about an earlier datagram, or a peer that is about to replace its route: this one was not sent, so it is tried again.
            Err(error)
                if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NetworkUnreachable) =>
            {
                std::thread::sleep(pause);
                continue;
            }
            result => result.tried(|| format!("datagram {number} to {target}"))?,
        };
        number += 1;
        sent.store(number, Ordering::Relaxed);
        // Late datagrams are made up for, but by a few at a time: a burst after a pause would measure queues.
        let now = Instant::now();
        due = (due + pause).max(now.checked_sub(pause * 4).unwrap_or(now));
        std::thread::sleep(due.saturating_duration_since(now));
    }
    Ok(number)
}

fn receive(socket: &UdpSocket, done: &AtomicBool, received: &AtomicU64) -> Result<Report> {
    let failed = || "receive the stream".to_owned();
    socket.set_read_timeout(Some(Duration::from_millis(50))).tried(failed)?;
    let mut report = Report::default();
    let (mut seen, mut buffer, mut last) = (Vec::<bool>::new(), vec![0; 1 << 16], Instant::now());
    loop {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if done.load(Ordering::Relaxed) && last.elapsed() > QUIET {
                    let numbers = seen.iter().zip(0..).filter(|(seen, _)| !**seen).map(|(_, number)| number);
                    report.first_lost = numbers.take(8).collect();
                    return Ok(report);
                }
                continue;
            }
            Err(source) => return Err(Failure::Io { what: failed(), source }),
        };
        last = Instant::now();
        let Some((number, rest)) = buffer[..length].split_first_chunk::<NUMBER_BYTES>() else {
            report.corrupted += 1;
            continue;
        };
        let number = u64::from_be_bytes(*number);
        let Some(slot) = usize::try_from(number).ok().filter(|slot| *slot < 1 << 28) else {
            report.corrupted += 1;
            continue;
        };
        if !pattern::matches(number, 0, rest) {
            report.corrupted += 1;
        } else if seen.get(slot) == Some(&true) {
            report.duplicated += 1;
        } else {
            report.late += u64::from(slot < seen.len());
            if slot >= seen.len() {
                seen.resize(slot + 1, false);
            }
            seen[slot] = true;
            report.received += 1;
            received.store(report.received, Ordering::Relaxed);
        }
    }
}
