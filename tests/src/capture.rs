//! What was on the wire: a capture by tcpdump on one interface, and the questions that tests ask of it.

use crate::failure::{Failure, Result, Tried};
use crate::namespace::Namespace;
use crate::process::{self, Process};
use crate::wait::{Look, until};
use rustix::process::Signal;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// A capture that runs.
pub struct Capture {
    process: Process,
    file: PathBuf,
    folder: tempfile::TempDir,
}

/// A capture that has ended: frames as they were.
pub struct Recording {
    frames: Vec<Vec<u8>>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

/// The kinds of traffic that one may see between two gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IKE on UDP port 500.
    Ike500,
    /// IKE on UDP port 4500, after its marker of four zero bytes (RFC 3948, 2.2).
    Ike4500,
    /// ESP in UDP port 4500 (RFC 3948, 2.1).
    EspInUdp,
    /// ESP as IP protocol 50 (RFC 4303).
    Esp,
    /// A fragment other than the first, whose protocol is that of its packet.
    Fragment,
    /// A NAT keepalive: one byte 0xff on UDP port 4500 (RFC 3948, 2.3).
    Keepalive,
    /// ARP, IPv6 neighbour discovery and multicast reports: the link's own business.
    Link,
    /// Anything else.
    Other,
}

impl Capture {
    /// Captures everything on `device`, until stopped or `most_frames` are recorded; returns when it listens.
    pub fn start(namespace: &Namespace, device: &str, most_frames: u32) -> Result<Self> {
        let folder = tempfile::tempdir().tried(|| "a folder for a capture".to_owned())?;
        let file = folder.path().join("wire.pcap");
        let mut command = namespace.command("tcpdump");
        command.args(["-n", "-U", "--immediate-mode", "-s", "0", "-Z", "root", "-B", "16384", "-i", device]);
        command.args(["-c", &most_frames.to_string(), "-w"]).arg(&file);
        let mut process = Process::start("tcpdump", &command, &folder.path().join("log"))?;
        until("tcpdump to listen", Duration::from_secs(20), || {
            process.must_run()?;
            let log = process.log();
            Ok(Look::when(log.contains("listening on"), || log))
        })?;
        Ok(Self { process, file, folder })
    }

    /// Ends the capture and reads it.
    pub fn stop(mut self) -> Result<Recording> {
        self.process.end(Signal::INT, Duration::from_secs(20))?;
        let bytes = std::fs::read(&self.file).tried(|| self.file.display().to_string())?;
        let frames = frames(&bytes)
            .ok_or_else(|| Failure::Untrue("tcpdump wrote a file that is no capture".to_owned()))?;
        Ok(Recording { frames, file: self.file, _folder: self.folder })
    }
}

impl Recording {
    /// How many frames of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.frames.iter().filter(|frame| kind_of(frame) == kind).count()
    }

    /// The frames of a kind, whole.
    #[must_use]
    pub fn frames(&self, kind: Kind) -> Vec<Vec<u8>> {
        self.frames.iter().filter(|frame| kind_of(frame) == kind).cloned().collect()
    }

    /// How many frames have `text` anywhere in them, or carry IP from or to one of `inner` in the clear.
    #[must_use]
    pub fn clear(&self, text: &[u8], inner: &[IpAddr]) -> usize {
        let shows = |frame: &&Vec<u8>| {
            frame.windows(text.len()).any(|window| window == text)
                || addresses(frame).is_some_and(|pair| pair.iter().any(|address| inner.contains(address)))
        };
        self.frames.iter().filter(shows).count()
    }

    /// The longest frame, in bytes with its Ethernet header.
    #[must_use]
    pub fn longest_bytes(&self) -> usize {
        self.frames.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The frames of a kind, as tcpdump prints them, at most `most`.
    pub fn lines(&self, kind: Kind, most: usize) -> Result<Vec<String>> {
        let printed = process::run(Command::new("tcpdump").args(["-n", "-t", "-r"]).arg(&self.file))?;
        let printed = printed.lines().filter(|line| line.starts_with("IP") || line.starts_with("ARP"));
        let lines = printed.zip(&self.frames).filter(|(_, frame)| kind_of(frame) == kind);
        Ok(lines.map(|(line, _)| line.to_owned()).take(most).collect())
    }

    /// Frames by kind, for a failed test to print.
    #[must_use]
    pub fn summary(&self) -> String {
        use Kind::{Esp, EspInUdp, Fragment, Ike500, Ike4500, Keepalive, Link, Other};
        [Ike500, Ike4500, EspInUdp, Esp, Fragment, Keepalive, Link, Other]
            .map(|kind| format!("{kind:?} {}", self.count(kind)))
            .join(", ")
    }
}

/// The frames of a capture file in pcap's classic form, written on this machine.
fn frames(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    let word = |at: usize| Some(u32::from_ne_bytes(file.get(at..at + 4)?.try_into().ok()?));
    if word(0)? != MAGIC {
        return None;
    }
    let mut frames = Vec::new();
    let mut at = 24;
    while let Some(length) = word(at + 8) {
        let length = usize::try_from(length).ok()?;
        // The last record may be cut short if tcpdump was; what is whole counts.
        let Some(frame) = file.get(at + 16..at + 16 + length) else { break };
        frames.push(frame.to_vec());
        at += 16 + length;
    }
    Some(frames)
}

/// Protocol, whether a later fragment, and what follows the IP header.
fn network(frame: &[u8]) -> Option<(u8, bool, &[u8])> {
    const FRAGMENT_HEADER: u8 = 44;
    match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        0x0800 => {
            let packet = frame.get(14..)?;
            let header_bytes = usize::from(packet.first()? & 0x0f) * 4;
            let offset = u16::from_be_bytes(packet.get(6..8)?.try_into().ok()?) & 0x1fff;
            Some((*packet.get(9)?, offset != 0, packet.get(header_bytes..)?))
        }
        0x86dd => {
            let packet = frame.get(14..)?;
            let (next, rest) = (*packet.get(6)?, packet.get(40..)?);
            if next != FRAGMENT_HEADER {
                return Some((next, false, rest));
            }
            let offset = u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?) >> 3;
            Some((*rest.first()?, offset != 0, rest.get(8..)?))
        }
        _ => None,
    }
}

/// Source and destination of an IP packet.
fn addresses(frame: &[u8]) -> Option<[IpAddr; 2]> {
    let four = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?));
    let sixteen = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(frame.get(at..at + 16)?).ok()?));
    match frame.get(12..14)? {
        [0x08, 0x00] => Some([four(26)?, four(30)?]),
        [0x86, 0xdd] => Some([sixteen(22)?, sixteen(38)?]),
        _ => None,
    }
}

fn kind_of(frame: &[u8]) -> Kind {
    const ARP: [u8; 2] = [0x08, 0x06];
    let Some((protocol, later_fragment, payload)) = network(frame) else {
        return if frame.get(12..14) == Some(&ARP) { Kind::Link } else { Kind::Other };
    };
    if later_fragment {
        return Kind::Fragment;
    }
    match protocol {
        50 => Kind::Esp,
        17 => udp(payload).unwrap_or(Kind::Other),
        // Neighbour discovery, or hop-by-hop options before a multicast report.
        58 if matches!(payload.first(), Some(133..=137 | 143)) => Kind::Link,
        0 if payload.first() == Some(&58) => Kind::Link,
        _ => Kind::Other,
    }
}

fn udp(datagram: &[u8]) -> Option<Kind> {
    let port = |at: usize| Some(u16::from_be_bytes(datagram.get(at..at + 2)?.try_into().ok()?));
    let payload = datagram.get(8..)?;
    Some(match (port(0)?, port(2)?) {
        (500, _) | (_, 500) => Kind::Ike500,
        (4500, _) | (_, 4500) => match payload {
            [0xff] => Kind::Keepalive,
            [0, 0, 0, 0, ..] => Kind::Ike4500,
            _ => Kind::EspInUdp,
        },
        _ => Kind::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 14];
        frame[12] = 8;
        frame.extend([0x45, 0, 0, 0, 0, 0]);
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, protocol, 0, 0, 192, 0, 2, 1, 10, 1, 0, 9]);
        frame.extend(payload);
        frame
    }

    #[test]
    fn frames_are_told_apart() {
        let ike = [0, 9, 0x01, 0xf4, 0, 9, 0, 0, 1];
        let esp = [0x11, 0x94, 0x11, 0x94, 0, 12, 0, 0, 0xc0, 0, 0, 1];
        let marked = [0x11, 0x94, 0x11, 0x94, 0, 12, 0, 0, 0, 0, 0, 0];
        let keepalive = [0x11, 0x94, 0x11, 0x94, 0, 9, 0, 0, 0xff];
        assert_eq!(kind_of(&ipv4(17, 0, &ike)), Kind::Ike500);
        assert_eq!(kind_of(&ipv4(17, 0, &esp)), Kind::EspInUdp);
        assert_eq!(kind_of(&ipv4(17, 0, &marked)), Kind::Ike4500);
        assert_eq!(kind_of(&ipv4(17, 0, &keepalive)), Kind::Keepalive);
        assert_eq!(kind_of(&ipv4(50, 0x2000, &[])), Kind::Esp);
        assert_eq!(kind_of(&ipv4(50, 0x0010, &[])), Kind::Fragment);
        assert_eq!(kind_of(&ipv4(6, 0, &[])), Kind::Other);
        assert_eq!(kind_of(&[0; 3]), Kind::Other);
    }

    #[test]
    fn clear_text_and_inner_addresses_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let frames = vec![ipv4(17, 0, b"....secret"), ipv4(6, 0, b"else"), vec![1, 2, 3]];
        let recording = Recording { frames, file: PathBuf::new(), _folder: folder };
        let (inner, other) = ([10, 1, 0, 9].into(), [10, 9, 9, 9].into());
        assert_eq!(recording.clear(b"secret", &[other]), 1);
        assert_eq!(recording.clear(b"absent", &[inner]), 2);
        assert_eq!(recording.clear(b"absent", &[other]), 0);
    }

    #[test]
    fn a_capture_file_cut_short_keeps_its_whole_frames() {
        let mut file = 0xa1b2_c3d4_u32.to_ne_bytes().to_vec();
        file.resize(24, 0);
        for frame in [&[1, 2, 3][..], &[4, 5]] {
            let length = u32::try_from(frame.len()).unwrap().to_ne_bytes();
            file.extend([0; 8].iter().chain(&length).chain(&length).chain(frame));
        }
        assert_eq!(frames(&file), Some(vec![vec![1, 2, 3], vec![4, 5]]));
        assert_eq!(frames(&file[..file.len() - 1]), Some(vec![vec![1, 2, 3]]));
        assert_eq!(frames(&file[1..]), None);
    }
}
