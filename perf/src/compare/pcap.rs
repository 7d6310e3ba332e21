//! Files of packets for DPDK's `net_pcap` driver: the classic format, little-endian, Ethernet.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Of files with microseconds, which is what we write, and with nanoseconds, which is what DPDK writes.
const MAGIC: u32 = 0xa1b2_c3d4;
const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const FILE_HEADER_BYTES: usize = 24;
const ETHERNET: u32 = 1;

/// Writes frames.
pub(crate) fn write(path: &Path, frames: &[Vec<u8>]) -> Result<()> {
    let mut out = Vec::new();
    // Magic, version 2.4 in one word, zone, accuracy, longest frame, link type.
    for word in [MAGIC, 4 << 16 | 2, 0, 0, 65_535, ETHERNET] {
        out.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let length = u32::try_from(frame.len())?;
        for word in [0, 0, length, length] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(frame)?;
    }
    std::fs::write(path, out).with_context(|| format!("write {}", path.display()))
}

/// Reads frames.
pub(crate) fn read(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is no packet file", path.display()))
}

fn parse(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let magic = bytes.first_chunk().map(|magic| u32::from_le_bytes(*magic));
    if !magic.is_some_and(|magic| [MAGIC, MAGIC_NANOSECONDS].contains(&magic)) {
        bail!("its first four bytes are others");
    }
    let mut rest = bytes.get(FILE_HEADER_BYTES..).context("it has no header")?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (header, after) = rest.split_first_chunk::<16>().context("a packet's header is cut off")?;
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        let (frame, after) =
            after.split_at_checked(usize::try_from(length)?).context("a packet is cut off")?;
        frames.push(frame.to_vec());
        rest = after;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("frames.pcap");
        let frames = [vec![1; 60], vec![2; 1514], Vec::new()];
        write(&path, &frames).expect("written");
        assert_eq!(read(&path).expect("read"), frames);
    }

    #[test]
    fn cut_off_files_are_refused() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("frames.pcap");
        write(&path, &[vec![1; 60]]).expect("written");
        let bytes = std::fs::read(&path).expect("read");
        for length in [0, 3, 23, 30, bytes.len() - 1] {
            assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
        }
    }
}
