//! What a gateway must bear: random and truncated frames, random datagrams, real frames with one thing changed, and a flood of first messages of IKE.
//! All of it comes from a seed, so that a failure can be repeated.

mod flood;

pub use flood::Flood;

use crate::failure::{Failure, Result, Tried};
use crate::namespace::Namespace;
use crate::random::Random;
use pnet_datalink::{Channel, DataLinkSender};

/// Frames with their FCS left out: from less than an Ethernet header to a full one.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 1..=1514;
/// How many frames are sent between two looks at the queue.
const TRIES: usize = 1000;

/// Random frames towards `mac`: some that are noise, some that begin like IPv4, IPv6, ARP or a VLAN and go wrong later.
#[must_use]
pub fn frames(random: &mut Random, mac: [u8; 6], count: usize) -> Vec<Vec<u8>> {
    const TYPES: [[u8; 2]; 5] = [[0x08, 0x00], [0x86, 0xdd], [0x08, 0x06], [0x81, 0x00], [0xff, 0xff]];
    let frame = |_| {
        let length = 1 + random.below(*FRAME_BYTES.end());
        let mut frame = random.bytes(length);
        let kind = random.below(8);
        if let (Some(front), true) = (frame.get_mut(..14), kind < 7) {
            front[..6].copy_from_slice(&mac);
            front[6] &= 0xfe;
            front[12..].copy_from_slice(&TYPES[kind.min(4)]);
        }
        // A first byte of the IP header that says so much is right gets the rest further into the parsers.
        if let Some(version) = frame.get_mut(14) {
            match kind {
                0 => *version = 0x45,
                1 => *version = 0x60,
                _ => {}
            }
        }
        frame
    };
    (0..count).map(frame).collect()
}

/// Each of `real` (frames of a capture), cut short, lengthened, and with single bytes replaced, `count` in all.
#[must_use]
pub fn mutations(random: &mut Random, real: &[Vec<u8>], count: usize) -> Vec<Vec<u8>> {
    let mutation = |number: usize| {
        let mut frame = real[number % real.len()].clone();
        let after_ethernet = frame.len().saturating_sub(14).max(1);
        match random.below(4) {
            0 => frame.truncate(14 + random.below(after_ethernet)),
            1 => {
                let more = 1 + random.below(64);
                frame.extend(random.bytes(more));
            }
            _ => {
                for _ in 0..=random.below(3) {
                    let at = 14 + random.below(after_ethernet);
                    if let Some(byte) = frame.get_mut(at) {
                        *byte = random.byte();
                    }
                }
            }
        }
        frame.truncate(*FRAME_BYTES.end());
        frame
    };
    (0..count).map(mutation).collect()
}

/// Sends frames out of `device`, as they are.
pub fn send(namespace: &Namespace, device: &str, frames: Vec<Vec<u8>>) -> Result<()> {
    let device = device.to_owned();
    namespace.within(move || {
        let mut sender = open(&device)?;
        frames.iter().try_for_each(|frame| send_one(sender.as_mut(), frame))
    })?
}

/// A raw socket on `device` of the namespace that the thread is in.
fn open(device: &str) -> Result<Box<dyn DataLinkSender>> {
    let interface = pnet_datalink::interfaces().into_iter().find(|interface| interface.name == device);
    let interface = interface.ok_or_else(|| Failure::Untrue(format!("there is no interface {device}")))?;
    let channel = pnet_datalink::channel(&interface, pnet_datalink::Config::default());
    let Channel::Ethernet(sender, _) = channel.tried(|| format!("raw socket on {device}"))? else {
        return Err(Failure::Untrue(format!("{device} is no Ethernet interface")));
    };
    Ok(sender)
}

/// Sends one frame; the kernel refuses what is shorter than an Ethernet header, which is fine: it never gets out.
fn send_one(sender: &mut dyn DataLinkSender, frame: &[u8]) -> Result<()> {
    for _ in 0..TRIES {
        match sender.send_to(frame, None) {
            Some(Err(error)) if error.raw_os_error() == Some(NO_BUFFERS) => std::thread::yield_now(),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidInput => return Ok(()),
            Some(sent) => return sent.tried(|| format!("frame of {} bytes", frame.len())),
            None => return Err(Failure::Untrue("the raw socket has no room for a frame".to_owned())),
        }
    }
    Err(Failure::Untrue("the interface takes no frames".to_owned()))
}

/// `ENOBUFS`.
const NO_BUFFERS: i32 = 105;
