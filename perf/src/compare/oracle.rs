//! Opens ESP packets with another library (ring), to see that what a gateway sealed is what it was given: RFC 4303, 2 and RFC 4106,
//! IPv4 outside, 32-bit sequence numbers.

use anyhow::{Context, Result, bail, ensure};
use crossgate_dataplane::header::{ethernet, ipv4};
use ring::aead::{self, LessSafeKey, UnboundKey};

use crate::bed::{Plan, SALT};

/// SPI, sequence number, IV.
const ESP_BYTES: usize = 16;

/// The inner packet of a frame that a gateway sealed with the first generation of this SA's key.
pub(crate) fn open(plan: &Plan, sa: u32, frame: &[u8]) -> Result<Vec<u8>> {
    let esp = frame.get(ethernet::HEADER_BYTES + ipv4::HEADER_BYTES..).context("a runt")?;
    let (head, sealed) = esp.split_first_chunk::<ESP_BYTES>().context("an ESP runt")?;
    ensure!(head[..4] == plan.spi(sa, 0)?.get().to_be_bytes(), "the SPI of another SA");
    let algorithm = if plan.key_bits == 128 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
    let Ok(key) = UnboundKey::new(algorithm, &plan.raw_key(sa, 0)) else { bail!("ring refuses the key") };
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&SALT);
    nonce[4..].copy_from_slice(&head[8..]);
    let aad = aead::Aad::from(&head[..8]);
    let mut data = sealed.to_vec();
    let opened =
        LessSafeKey::new(key).open_in_place(aead::Nonce::assume_unique_for_key(nonce), aad, &mut data);
    let Ok(plain) = opened else { bail!("the tag is wrong") };
    let (trailer, inner) =
        plain.split_last_chunk::<2>().map(|(inner, trailer)| (trailer, inner)).context("no trailer")?;
    ensure!(trailer[1] == 4, "next header {} instead of IPv4", trailer[1]);
    let padding = usize::from(trailer[0]);
    ensure!(padding <= inner.len(), "{padding} bytes of padding in {}", inner.len());
    Ok(inner[..inner.len() - padding].to_vec())
}

/// Checks that sealed frames hold just these clear ones, in any order; what routers change in an IP header is left out.
pub(crate) fn check_sealed(plan: &Plan, sas: &[u32], clear: &[Vec<u8>], sealed: &[Vec<u8>]) -> Result<()> {
    let by_spi: std::collections::HashMap<_, _> =
        sas.iter().map(|sa| Ok((plan.spi(*sa, 0)?.get(), *sa))).collect::<Result<_>>()?;
    let mut opened = Vec::new();
    for frame in sealed {
        let spi = frame.get(34..).and_then(|esp| esp.first_chunk()).context("a runt")?;
        let sa = by_spi.get(&u32::from_be_bytes(*spi)).context("an SPI that no SA has")?;
        opened.push(plan.unchanging(&open(plan, *sa, frame)?).to_vec());
    }
    same(plan, clear, opened)
}

/// Checks that opened frames are just these clear ones.
pub(crate) fn check_opened(plan: &Plan, clear: &[Vec<u8>], opened: &[Vec<u8>]) -> Result<()> {
    let opened = opened.iter().map(|frame| Ok(plan.unchanging(packet(frame)?).to_vec()));
    same(plan, clear, opened.collect::<Result<_>>()?)
}

fn same(plan: &Plan, clear: &[Vec<u8>], mut got: Vec<Vec<u8>>) -> Result<()> {
    let expected = clear.iter().map(|frame| Ok(plan.unchanging(packet(frame)?).to_vec()));
    let mut expected: Vec<_> = expected.collect::<Result<_>>()?;
    ensure!(got.len() == expected.len(), "{} packets of {} came out", got.len(), expected.len());
    expected.sort_unstable();
    got.sort_unstable();
    ensure!(got == expected, "what came out is not what went in");
    Ok(())
}

fn packet(frame: &[u8]) -> Result<&[u8]> {
    frame.get(ethernet::HEADER_BYTES..).context("a frame without a header")
}
