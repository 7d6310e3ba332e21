//! Packets of RADIUS (RFC 2865, 3 and 5) with what EAP needs of them (RFC 3579, 3): questions made, answers read without trust.
//!
//! Both ways are signed by a Message-Authenticator, and an answer without one is none, whatever its Response Authenticator: MD5 over a prefix that others may choose proves
//! nothing (CVE-2024-3596).

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::mschapv2::MSK_BYTES;
use crate::outcome::Msk;

pub(super) const AUTHENTICATOR_BYTES: usize = 16;
const HEADER_BYTES: usize = 20;
const PACKET_BYTES_MAX: usize = 4_096;
/// Longest value of an attribute.
const VALUE_BYTES_MAX: usize = 253;
/// Longest packet of EAP that a server is asked to send, so that one fits a datagram of IKE (RFC 3579, 2.4).
const FRAMED_MTU: u32 = 1_020;
/// The vendor of the keys' attributes (RFC 2548).
const MICROSOFT: [u8; 4] = 311_u32.to_be_bytes();

/// Attributes by their numbers.
mod kind {
    pub(super) const USER_NAME: u8 = 1;
    pub(super) const SERVICE_TYPE: u8 = 6;
    pub(super) const FRAMED_MTU: u8 = 12;
    pub(super) const REPLY_MESSAGE: u8 = 18;
    pub(super) const STATE: u8 = 24;
    pub(super) const VENDOR_SPECIFIC: u8 = 26;
    pub(super) const CALLING_STATION_ID: u8 = 31;
    pub(super) const NAS_IDENTIFIER: u8 = 32;
    pub(super) const NAS_PORT_TYPE: u8 = 61;
    pub(super) const EAP_MESSAGE: u8 = 79;
    pub(super) const MESSAGE_AUTHENTICATOR: u8 = 80;
    pub(super) const MS_MPPE_SEND_KEY: u8 = 16;
    pub(super) const MS_MPPE_RECV_KEY: u8 = 17;
}

/// Service-Type: a client of a network.
const FRAMED: u32 = 2;
/// NAS-Port-Type: a tunnel.
const VIRTUAL: u32 = 5;
const ACCESS_REQUEST: u8 = 1;

/// A question.
pub(super) struct AccessRequest<'a> {
    pub(super) identity: &'a str,
    pub(super) packet: &'a [u8],
    pub(super) state: Option<&'a [u8]>,
    pub(super) gateway: &'a str,
    pub(super) client: IpAddr,
}

impl AccessRequest<'_> {
    /// The datagram; the Message-Authenticator comes first, where nothing that others choose stands before it.
    pub(super) fn seal(&self, id: u8, authenticator: &[u8; AUTHENTICATOR_BYTES], secret: &[u8]) -> Vec<u8> {
        let mut datagram = vec![ACCESS_REQUEST, id, 0, 0];
        datagram.extend(authenticator);
        put(&mut datagram, kind::MESSAGE_AUTHENTICATOR, &[0; AUTHENTICATOR_BYTES]);
        put(&mut datagram, kind::USER_NAME, self.identity.as_bytes());
        put(&mut datagram, kind::SERVICE_TYPE, &FRAMED.to_be_bytes());
        put(&mut datagram, kind::FRAMED_MTU, &FRAMED_MTU.to_be_bytes());
        put(&mut datagram, kind::NAS_IDENTIFIER, self.gateway.as_bytes());
        put(&mut datagram, kind::NAS_PORT_TYPE, &VIRTUAL.to_be_bytes());
        put(&mut datagram, kind::CALLING_STATION_ID, self.client.to_string().as_bytes());
        for part in self.packet.chunks(VALUE_BYTES_MAX) {
            put(&mut datagram, kind::EAP_MESSAGE, part);
        }
        if let Some(state) = self.state {
            put(&mut datagram, kind::STATE, state);
        }
        let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX).to_be_bytes();
        datagram[2..4].copy_from_slice(&length);
        let mac = signed(secret, &[&datagram]);
        datagram[HEADER_BYTES + 2..HEADER_BYTES + 2 + AUTHENTICATOR_BYTES].copy_from_slice(&mac);
        datagram
    }
}

/// Writes an attribute; what is too long for one is cut, but nothing of ours is.
fn put(datagram: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
    let length = u8::try_from(value.len() + 2).unwrap_or(u8::MAX);
    datagram.extend([kind, length]);
    datagram.extend(value);
}

fn signed(secret: &[u8], parts: &[&[u8]]) -> [u8; AUTHENTICATOR_BYTES] {
    let mut mac = Hmac::<Md5>::new_from_slice(secret).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// What kind of answer it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Accept,
    Reject,
    Challenge,
}

/// An answer that was made with the secret.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: Code,
    pub(super) packet: Option<Vec<u8>>,
    pub(super) state: Option<Vec<u8>>,
    pub(super) user: Option<String>,
    pub(super) message: String,
    pub(super) msk: Option<Msk>,
}

/// Why a datagram is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswerable {
    /// It cannot be read.
    Malformed,
    /// It was not made with the secret.
    Forged,
}

impl Answer {
    /// Reads the answer to the question with this identifier and authenticator.
    pub(super) fn open(
        datagram: &[u8],
        id: u8,
        asked_by: &[u8; AUTHENTICATOR_BYTES],
        secret: &[u8],
    ) -> Result<Self, Unanswerable> {
        let (head, _) = datagram.split_first_chunk::<HEADER_BYTES>().ok_or(Unanswerable::Malformed)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if head[1] != id || length > PACKET_BYTES_MAX {
            return Err(Unanswerable::Malformed);
        }
        // What is beyond the length is padding.
        let body = datagram.get(HEADER_BYTES..length).ok_or(Unanswerable::Malformed)?;
        let code = match head[0] {
            2 => Code::Accept,
            3 => Code::Reject,
            11 => Code::Challenge,
            _ => return Err(Unanswerable::Malformed),
        };
        let attributes = Attributes(body).collect::<Vec<_>>()?;
        check(head, body, &attributes, asked_by, secret)?;
        let values =
            |kind: u8| attributes.iter().filter(move |found| found.kind == kind).map(|found| found.value);
        let packet = values(kind::EAP_MESSAGE).collect::<Vec<_>>().concat();
        let keys = [kind::MS_MPPE_RECV_KEY, kind::MS_MPPE_SEND_KEY].map(|kind| {
            let found = values(self::kind::VENDOR_SPECIFIC).find_map(|value| vendor_value(value, kind))?;
            key(found, asked_by, secret)
        });
        let message: String = values(kind::REPLY_MESSAGE).map(String::from_utf8_lossy).collect();
        Ok(Self {
            code,
            packet: (!packet.is_empty()).then_some(packet),
            state: values(kind::STATE).next().map(<[u8]>::to_vec),
            user: values(kind::USER_NAME).next().and_then(|name| String::from_utf8(name.to_vec()).ok()),
            message: message.chars().filter(|character| !character.is_control()).collect(),
            msk: match keys {
                [Some(receives), Some(sends)] => joined(&receives, &sends),
                _ => None,
            },
        })
    }
}

/// Both proofs of the server (RFC 2865, 3; RFC 3579, 3.2).
fn check(
    head: &[u8; HEADER_BYTES],
    body: &[u8],
    attributes: &[Attribute<'_>],
    asked_by: &[u8; AUTHENTICATOR_BYTES],
    secret: &[u8],
) -> Result<(), Unanswerable> {
    let (front, authenticator) = head.split_at(HEADER_BYTES - AUTHENTICATOR_BYTES);
    let expected = response_authenticator(front, asked_by, body, secret);
    let mut macs = attributes.iter().filter(|found| found.kind == kind::MESSAGE_AUTHENTICATOR);
    let (Some(mac), None) = (macs.next(), macs.next()) else { return Err(Unanswerable::Forged) };
    if mac.value.len() != AUTHENTICATOR_BYTES {
        return Err(Unanswerable::Forged);
    }
    let (before, after) = (&body[..mac.at], &body[mac.at + AUTHENTICATOR_BYTES..]);
    let own = signed(secret, &[front, asked_by, before, &[0; AUTHENTICATOR_BYTES], after]);
    let is_right = expected.as_slice().ct_eq(authenticator) & own.as_slice().ct_eq(mac.value);
    if is_right.into() { Ok(()) } else { Err(Unanswerable::Forged) }
}

/// RFC 2865, 3: `front` is code, identifier and length.
fn response_authenticator(
    front: &[u8],
    asked_by: &[u8; AUTHENTICATOR_BYTES],
    body: &[u8],
    secret: &[u8],
) -> [u8; AUTHENTICATOR_BYTES] {
    let digest =
        Md5::new().chain_update(front).chain_update(asked_by).chain_update(body).chain_update(secret);
    digest.finalize().into()
}

/// An attribute, and where its value begins.
struct Attribute<'a> {
    kind: u8,
    value: &'a [u8],
    at: usize,
}

/// The attributes of a body.
struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    fn collect<B: FromIterator<Attribute<'a>>>(self) -> Result<B, Unanswerable> {
        let mut at = 0;
        let next = || {
            let rest = self.0.get(at..).filter(|rest| !rest.is_empty())?;
            let read = match rest {
                [kind, length, ..] => rest.get(2..usize::from(*length)).map(|value| Attribute {
                    kind: *kind,
                    value,
                    at: at + 2,
                }),
                _ => None,
            };
            at = read.as_ref().map_or(self.0.len(), |read| read.at + read.value.len());
            Some(read.ok_or(Unanswerable::Malformed))
        };
        std::iter::from_fn(next).collect()
    }
}

/// The value of a vendor's attribute (RFC 2865, 5.26), if it is this one of Microsoft's.
fn vendor_value(value: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = value.strip_prefix(&MICROSOFT)?;
    while let [found, length, ..] = rest {
        let (own, others) = rest.split_at_checked(usize::from(*length).max(2))?;
        if *found == kind {
            return Some(&own[2..]);
        }
        rest = others;
    }
    None
}

/// A key out of its attribute: a salt, then blocks under MD5 of the secret and what came before (RFC 2548, 2.4.2).
fn key(value: &[u8], asked_by: &[u8; AUTHENTICATOR_BYTES], secret: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (salt, blocks) = value.split_at_checked(2)?;
    let (blocks, []) = blocks.as_chunks::<16>() else { return None };
    let mut plain = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut before: Option<&[u8; 16]> = None;
    for block in blocks {
        let pad = Md5::new().chain_update(secret);
        let pad = match before {
            None => pad.chain_update(asked_by).chain_update(salt),
            Some(before) => pad.chain_update(before),
        };
        let pad = Zeroizing::new(<[u8; 16]>::from(pad.finalize()));
        plain.extend(block.iter().zip(pad.iter()).map(|(byte, pad)| byte ^ pad));
        before = Some(block);
    }
    let (length, rest) = plain.split_first()?;
    let key = rest.get(..usize::from(*length)).filter(|key| !key.is_empty())?;
    Some(Zeroizing::new(key.to_vec()))
}

/// The key of EAP: what the client sends with, then what it receives with (RFC 2548, 2.4; RFC 3748, 7.10); the halves of EAP-MSCHAPv2 are followed by zeros. `None` for
/// keys of other lengths: a short one would bind nobody to the log-in.
fn joined(receives: &[u8], sends: &[u8]) -> Option<Msk> {
    if !matches!((receives.len(), sends.len()), (16, 16) | (32, 32)) {
        return None;
    }
    let mut msk = Zeroizing::new([0; MSK_BYTES]);
    for (to, from) in msk.iter_mut().zip(receives.iter().chain(sends)) {
        *to = *from;
    }
    Some(Msk::new(msk))
}

#[cfg(test)]
pub(super) mod server;
#[cfg(test)]
mod tests;
