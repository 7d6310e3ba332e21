//! A flood of first messages of IKE SAs: a real one, again and again, from addresses and under SPIs that nobody has.

use super::{open, send_one};
use crate::failure::Result;
use crate::namespace::{Namespace, joined};
use crate::random::Random;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where things are in a frame of an IPv4 packet without options.
const IP: std::ops::Range<usize> = 14..34;
const IP_CHECKSUM: std::ops::Range<usize> = 24..26;
const SOURCE: std::ops::Range<usize> = 26..30;
const UDP_CHECKSUM: std::ops::Range<usize> = 40..42;
const INITIATOR_SPI: std::ops::Range<usize> = 42..50;
/// Time between two bursts of it.
const PAUSE: Duration = Duration::from_millis(1);

/// A flood that runs.
pub struct Flood {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<Result<Result<u64>>>,
}

impl Flood {
    /// Sends `first`, a frame of a capture with a first message over IPv4, out of `device` so often until stopped.
    #[must_use]
    pub fn start(
        namespace: &Namespace,
        device: &str,
        first: Vec<u8>,
        frames_per_ms: u32,
        random: Random,
    ) -> Self {
        let (device, stop) = (device.to_owned(), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&stop);
        let sender = namespace.thread(move || send(&device, first, frames_per_ms, random, &until));
        Self { stop, sender }
    }

    /// Ends it; how many frames were sent.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        joined(self.sender)?
    }
}

fn send(
    device: &str,
    mut frame: Vec<u8>,
    frames_per_ms: u32,
    mut random: Random,
    stop: &AtomicBool,
) -> Result<u64> {
    let mut sender = open(device)?;
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        for _ in 0..frames_per_ms {
            disguise(&mut frame, &mut random);
            send_one(sender.as_mut(), &frame)?;
            sent += 1;
        }
        // What is late is not made up for: it would overflow the gateway's port, and with it what is for others.
        std::thread::sleep(PAUSE.saturating_sub(began.elapsed()));
    }
    Ok(sent)
}

/// Gives it another source in 198.18.0.0/15 (RFC 2544) and another SPI.
fn disguise(frame: &mut [u8], random: &mut Random) {
    let source = [198, 18 | (random.byte() & 1), random.byte(), random.byte()];
    frame[SOURCE].copy_from_slice(&source);
    frame[INITIATOR_SPI].copy_from_slice(&random.bytes(8));
    frame[UDP_CHECKSUM].fill(0);
    frame[IP_CHECKSUM].fill(0);
    let words = frame[IP].chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[IP_CHECKSUM].copy_from_slice(&(0xffff - sum).to_be_bytes()[2..]);
}
