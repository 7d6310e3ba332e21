//! From [`Message`] to bytes (RFC 7296, 3.1 to 3.16). Length fields are filled in when what they count is written.

use thiserror::Error;

use super::number::{PayloadType, ProtocolId, TsType};
use super::payload::{
    AttributeValue, Configuration, Delete, Encrypted, EncryptedFragment, Notify, Payload, Proposal, Selector,
    Transform,
};
use super::{HEADER_BYTES, Header, MAX_MESSAGE_BYTES, Message, MessageKind, Role};
use crate::selector::{AddressRange, PortRange, TrafficSelector};

const VERSION: u8 = 0x20;
const FLAG_INITIATOR: u8 = 0x08;
const FLAG_RESPONSE: u8 = 0x20;
const CRITICAL: u8 = 0x80;
const LENGTH_AT: usize = 24;

/// Something of ours does not fit the field that counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} does not fit its length field")]
pub struct TooLong {
    /// What was to be written.
    pub what: &'static str,
}

impl Message {
    /// The bytes of this message. SK and SKF payloads are written as they are; [`crate::protect`] makes them.
    ///
    /// # Errors
    /// [`TooLong`] when a part does not fit its length field or the whole does not fit a datagram.
    pub fn build(&self) -> Result<Vec<u8>, TooLong> {
        let first = self.payloads.first().map_or(PayloadType::NONE, Payload::kind);
        let mut out = header(&self.header, first);
        chain(&mut out, &self.payloads)?;
        finish(&mut out)?;
        Ok(out)
    }
}

/// The fixed header of a message whose payloads will take exactly `payload_bytes`: a seal covers the length, so that it
/// must be there before the end is.
pub(crate) fn start(of: &Header, first: PayloadType, payload_bytes: usize) -> Result<Vec<u8>, TooLong> {
    let mut out = header(of, first);
    let total = HEADER_BYTES + payload_bytes;
    let too_long = TooLong { what: "message" };
    let length = u32::try_from(total).map_err(|_| too_long)?;
    if total > MAX_MESSAGE_BYTES {
        return Err(too_long);
    }
    out[LENGTH_AT..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// The fixed header, its length still open.
fn header(header: &Header, first: PayloadType) -> Vec<u8> {
    let mut flags = 0;
    if header.sender == Role::Initiator {
        flags |= FLAG_INITIATOR;
    }
    if header.kind == MessageKind::Response {
        flags |= FLAG_RESPONSE;
    }
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&header.initiator_spi.to_bytes());
    out.extend_from_slice(&header.responder_spi.to_bytes());
    out.extend_from_slice(&[first.0, VERSION, header.exchange.0, flags]);
    out.extend_from_slice(&header.id.0.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out
}

/// Fills in the header's length.
fn finish(out: &mut [u8]) -> Result<(), TooLong> {
    debug_assert!(out.len() >= HEADER_BYTES);
    let too_long = TooLong { what: "message" };
    if out.len() > MAX_MESSAGE_BYTES {
        return Err(too_long);
    }
    let length = u32::try_from(out.len()).map_err(|_| too_long)?;
    out[LENGTH_AT..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Writes payloads one after the other, each naming the next (3.2).
pub(crate) fn chain(out: &mut Vec<u8>, payloads: &[Payload]) -> Result<(), TooLong> {
    for (index, payload) in payloads.iter().enumerate() {
        let next = match payload {
            Payload::Encrypted(Encrypted { first, .. }) => *first,
            Payload::EncryptedFragment(EncryptedFragment { first, .. }) => *first,
            _ => payloads.get(index + 1).map_or(PayloadType::NONE, Payload::kind),
        };
        let critical = match payload {
            Payload::Unknown(unknown) if unknown.critical => CRITICAL,
            _ => 0, // payloads of RFC 7296 never carry the mark (3.2)
        };
        out.extend_from_slice(&[next.0, critical]);
        counted(out, 2, "payload", |out| body(out, payload))?;
    }
    Ok(())
}

/// Writes a 16-bit length that counts itself, `before` bytes in front of it and all that `write` writes.
fn counted(
    out: &mut Vec<u8>,
    before: usize,
    what: &'static str,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let at = out.len();
    out.extend_from_slice(&[0; 2]);
    write(out)?;
    let length = u16::try_from(out.len() - at + before).map_err(|_| TooLong { what })?;
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn count_u8(count: usize, what: &'static str) -> Result<u8, TooLong> {
    u8::try_from(count).map_err(|_| TooLong { what })
}

fn body(out: &mut Vec<u8>, payload: &Payload) -> Result<(), TooLong> {
    match payload {
        Payload::SecurityAssociation(proposals) => return security_association(out, proposals),
        Payload::KeyExchange(ke) => {
            out.extend_from_slice(&ke.group.0.to_be_bytes());
            out.extend_from_slice(&[0; 2]);
            out.extend_from_slice(&ke.public);
        }
        Payload::IdInitiator(id) | Payload::IdResponder(id) => out.extend_from_slice(&id.body()),
        Payload::Certificate(certificate) => {
            out.push(certificate.encoding.0);
            out.extend_from_slice(&certificate.data);
        }
        Payload::CertificateRequest(request) => {
            out.push(request.encoding.0);
            out.extend_from_slice(&request.authorities);
        }
        Payload::Authentication(auth) => {
            out.extend_from_slice(&[auth.method.0, 0, 0, 0]);
            out.extend_from_slice(&auth.data);
        }
        Payload::Notify(notify) => return write_notify(out, notify),
        Payload::Delete(delete) => return write_delete(out, delete),
        Payload::TsInitiator(selectors) | Payload::TsResponder(selectors) => {
            return traffic_selectors(out, selectors);
        }
        Payload::Configuration(configuration) => return write_configuration(out, configuration),
        Payload::EncryptedFragment(fragment) => {
            out.extend_from_slice(&fragment.number.to_be_bytes());
            out.extend_from_slice(&fragment.total.to_be_bytes());
            out.extend_from_slice(&fragment.body);
        }
        Payload::Encrypted(encrypted) => out.extend_from_slice(&encrypted.body),
        Payload::Unknown(unknown) => out.extend_from_slice(&unknown.body),
        Payload::Nonce(bytes) | Payload::VendorId(bytes) | Payload::Eap(bytes) => {
            out.extend_from_slice(bytes)
        }
    }
    Ok(())
}

fn security_association(out: &mut Vec<u8>, proposals: &[Proposal]) -> Result<(), TooLong> {
    for (index, proposal) in proposals.iter().enumerate() {
        out.extend_from_slice(&[if index + 1 == proposals.len() { 0 } else { 2 }, 0]);
        counted(out, 2, "proposal", |out| {
            out.extend_from_slice(&[proposal.number, proposal.protocol.0]);
            out.push(count_u8(proposal.spi.len(), "SPI")?);
            out.push(count_u8(proposal.transforms.len(), "list of transforms")?);
            out.extend_from_slice(&proposal.spi);
            for (index, transform) in proposal.transforms.iter().enumerate() {
                out.extend_from_slice(&[if index + 1 == proposal.transforms.len() { 0 } else { 3 }, 0]);
                counted(out, 2, "transform", |out| write_transform(out, transform))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn write_transform(out: &mut Vec<u8>, transform: &Transform) -> Result<(), TooLong> {
    out.extend_from_slice(&[transform.kind.0, 0]);
    out.extend_from_slice(&transform.id.to_be_bytes());
    for attribute in &transform.attributes {
        match &attribute.value {
            AttributeValue::Short(value) => {
                out.extend_from_slice(&(attribute.kind.0 | 0x8000).to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
            AttributeValue::Long(value) => {
                let length = u16::try_from(value.len()).map_err(|_| TooLong { what: "attribute" })?;
                out.extend_from_slice(&(attribute.kind.0 & 0x7fff).to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
    Ok(())
}

fn write_notify(out: &mut Vec<u8>, notify: &Notify) -> Result<(), TooLong> {
    out.extend_from_slice(&[notify.protocol.0, count_u8(notify.spi.len(), "SPI")?]);
    out.extend_from_slice(&notify.kind.0.to_be_bytes());
    out.extend_from_slice(&notify.spi);
    out.extend_from_slice(&notify.data);
    Ok(())
}

fn write_delete(out: &mut Vec<u8>, delete: &Delete) -> Result<(), TooLong> {
    match delete {
        Delete::IkeSa => out.extend_from_slice(&[ProtocolId::IKE.0, 0, 0, 0]),
        Delete::Child { protocol, spis } => {
            let count = u16::try_from(spis.len()).map_err(|_| TooLong { what: "list of SPIs" })?;
            out.extend_from_slice(&[protocol.0, 4]);
            out.extend_from_slice(&count.to_be_bytes());
            for spi in spis {
                out.extend_from_slice(&spi.to_be_bytes());
            }
        }
    }
    Ok(())
}

fn traffic_selectors(out: &mut Vec<u8>, selectors: &[Selector]) -> Result<(), TooLong> {
    out.extend_from_slice(&[count_u8(selectors.len(), "list of traffic selectors")?, 0, 0, 0]);
    for selector in selectors {
        match selector {
            Selector::Range(range) => write_range(out, range)?,
            Selector::Unknown { kind, protocol, data } => {
                out.extend_from_slice(&[kind.0, *protocol]);
                counted(out, 2, "traffic selector", |out| {
                    out.extend_from_slice(data);
                    Ok(())
                })?;
            }
        }
    }
    Ok(())
}

fn write_range(out: &mut Vec<u8>, range: &TrafficSelector) -> Result<(), TooLong> {
    let kind = match range.addresses() {
        AddressRange::V4 { .. } => TsType::IPV4_ADDR_RANGE,
        AddressRange::V6 { .. } => TsType::IPV6_ADDR_RANGE,
    };
    let (first_port, last_port) = match range.ports() {
        PortRange::Span { first, last } => (first, last),
        PortRange::Opaque => (u16::MAX, 0),
    };
    out.extend_from_slice(&[kind.0, range.protocol()]);
    counted(out, 2, "traffic selector", |out| {
        out.extend_from_slice(&first_port.to_be_bytes());
        out.extend_from_slice(&last_port.to_be_bytes());
        match range.addresses() {
            AddressRange::V4 { first, last } => {
                out.extend_from_slice(&first.octets());
                out.extend_from_slice(&last.octets());
            }
            AddressRange::V6 { first, last } => {
                out.extend_from_slice(&first.octets());
                out.extend_from_slice(&last.octets());
            }
        }
        Ok(())
    })
}

fn write_configuration(out: &mut Vec<u8>, configuration: &Configuration) -> Result<(), TooLong> {
    out.extend_from_slice(&[configuration.kind.0, 0, 0, 0]);
    for attribute in &configuration.attributes {
        let length =
            u16::try_from(attribute.value.len()).map_err(|_| TooLong { what: "configuration attribute" })?;
        out.extend_from_slice(&(attribute.kind.0 & 0x7fff).to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&attribute.value);
    }
    Ok(())
}
