//! From bytes to payloads (RFC 2408, 3): lengths only, no meaning.

use super::number::{ExchangeType, NotifyType, PayloadType};
use super::{
    Attribute, Chain, Delete, GENERIC_HEADER_BYTES, HEADER_BYTES, Header, MAX_ATTRIBUTES, MAX_DELETED_SPIS,
    MAX_PAYLOADS, MAX_PROPOSALS, NONCE_BYTES, Notify, Payload, Proposal, SecurityAssociation, Transform,
};
use crate::wire::reader::Reader;
use crate::wire::{
    AttributeValue, CertEncoding, Certificate, CertificateRequest, Fault, IdType, Identification, IkeSpi,
    MAX_MESSAGE_BYTES, Malformed, ProtocolId,
};

const MAJOR: u8 = 1;
const FLAG_ENCRYPTED: u8 = 0x01;
const ATTRIBUTE_SHORT: u16 = 0x8000;
/// What follows in a list of proposals, and of transforms.
const MORE_PROPOSALS: u8 = 2;
const MORE_TRANSFORMS: u8 = 3;

/// The header, the type of the first payload, and everything behind the header.
pub(super) fn split(datagram: &[u8]) -> Result<(Header, PayloadType, &[u8]), Malformed> {
    let mut reader = Reader::new(datagram, "header");
    let (initiator, responder) = (IkeSpi(reader.u64()?), IkeSpi(reader.u64()?));
    let first = PayloadType(reader.u8()?);
    let major = reader.u8()? >> 4;
    if major != MAJOR {
        return Err(reader.fail(Fault::Version { major }));
    }
    if initiator == IkeSpi::NONE {
        return Err(reader.fail(Fault::Value { value: 0 }));
    }
    let exchange = ExchangeType(reader.u8()?);
    let is_encrypted = reader.u8()? & FLAG_ENCRYPTED != 0;
    let id = reader.u32()?;
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let body = match length.checked_sub(HEADER_BYTES) {
        Some(body) if length <= MAX_MESSAGE_BYTES => reader.take(body)?,
        _ => return Err(reader.fail(Fault::Length { value: length })),
    };
    reader.finish()?;
    Ok((Header { initiator, responder, exchange, is_encrypted, id }, first, body))
}

/// Reads payloads, the first of type `first`. Decrypted content may end in padding, which nothing describes.
pub(crate) fn read_chain(first: PayloadType, bytes: &[u8], may_be_padded: bool) -> Result<Chain, Malformed> {
    let mut reader = Reader::new(bytes, "payloads");
    let (mut payloads, mut spans) = (Vec::new(), Vec::new());
    let mut kind = first;
    while kind != PayloadType::NONE {
        if payloads.len() == MAX_PAYLOADS {
            return Err(reader.fail(Fault::TooMany { limit: MAX_PAYLOADS }));
        }
        let start = bytes.len() - reader.left();
        let next = PayloadType(reader.u8()?);
        reader.u8()?;
        let length = reader.u16()?;
        let body = reader.sub_after_head(length, GENERIC_HEADER_BYTES, place(kind))?;
        payloads.push(payload(kind, body)?);
        spans.push(start..bytes.len() - reader.left());
        kind = next;
    }
    if !may_be_padded {
        reader.finish()?;
    }
    Ok(Chain { payloads, spans })
}

fn place(kind: PayloadType) -> &'static str {
    kind.name().unwrap_or("unknown payload")
}

fn payload(kind: PayloadType, mut reader: Reader<'_>) -> Result<Payload, Malformed> {
    let payload = match kind {
        PayloadType::SA => Payload::SecurityAssociation(security_association(&mut reader)?),
        PayloadType::KE => Payload::KeyExchange(reader.rest().to_vec()),
        PayloadType::ID => {
            let (kind, reserved) = (IdType(reader.u8()?), reader.array()?);
            Payload::Identification(Identification { kind, reserved, data: reader.rest().to_vec() })
        }
        PayloadType::CERT => {
            let encoding = CertEncoding(reader.u8()?);
            Payload::Certificate(Certificate { encoding, data: reader.rest().to_vec() })
        }
        PayloadType::CERTREQ => {
            let encoding = CertEncoding(reader.u8()?);
            Payload::CertificateRequest(CertificateRequest { encoding, authorities: reader.rest().to_vec() })
        }
        PayloadType::HASH => Payload::Hash(reader.rest().to_vec()),
        PayloadType::SIG => Payload::Signature(reader.rest().to_vec()),
        PayloadType::NONCE => {
            if !NONCE_BYTES.contains(&reader.left()) {
                return Err(reader.fail(Fault::Length { value: reader.left() }));
            }
            Payload::Nonce(reader.rest().to_vec())
        }
        PayloadType::NOTIFY => Payload::Notify(notify(&mut reader)?),
        PayloadType::DELETE => Payload::Delete(delete(&mut reader)?),
        PayloadType::VENDOR_ID => Payload::VendorId(reader.rest().to_vec()),
        PayloadType::NAT_D => Payload::NatDetection(reader.rest().to_vec()),
        other => Payload::Unknown(other, reader.rest().to_vec()),
    };
    reader.finish()?;
    Ok(payload)
}

fn security_association(reader: &mut Reader<'_>) -> Result<SecurityAssociation, Malformed> {
    let (doi, situation) = (reader.u32()?, reader.u32()?);
    let mut proposals = Vec::new();
    let mut more = !reader.is_empty();
    while more {
        if proposals.len() == MAX_PROPOSALS {
            return Err(reader.fail(Fault::TooMany { limit: MAX_PROPOSALS }));
        }
        more = another(reader, MORE_PROPOSALS)?;
        let length = reader.u16()?;
        let mut inner = reader.sub_after_head(length, GENERIC_HEADER_BYTES, "proposal")?;
        proposals.push(proposal(&mut inner)?);
        inner.finish()?;
    }
    Ok(SecurityAssociation { doi, situation, proposals })
}

/// Whether another element of the list follows: its type, or nothing; and the reserved byte.
fn another(reader: &mut Reader<'_>, kind: u8) -> Result<bool, Malformed> {
    let next = reader.u8()?;
    if next != 0 && next != kind {
        return Err(reader.fail(Fault::Value { value: next.into() }));
    }
    reader.u8()?;
    Ok(next == kind)
}

fn proposal(reader: &mut Reader<'_>) -> Result<Proposal, Malformed> {
    let (number, protocol) = (reader.u8()?, ProtocolId(reader.u8()?));
    let (spi_bytes, count) = (reader.u8()?, reader.u8()?);
    let spi = reader.take(spi_bytes.into())?.to_vec();
    let mut transforms = Vec::new();
    for left in (0..count).rev() {
        let more = another(reader, MORE_TRANSFORMS)?;
        if more != (left > 0) {
            return Err(reader.fail(Fault::Length { value: count.into() }));
        }
        let length = reader.u16()?;
        let mut inner = reader.sub_after_head(length, GENERIC_HEADER_BYTES, "transform")?;
        transforms.push(transform(&mut inner)?);
    }
    Ok(Proposal { number, protocol, spi, transforms })
}

fn transform(reader: &mut Reader<'_>) -> Result<Transform, Malformed> {
    let (number, id) = (reader.u8()?, reader.u8()?);
    reader.u16()?;
    let mut attributes = Vec::new();
    while !reader.is_empty() {
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(reader.fail(Fault::TooMany { limit: MAX_ATTRIBUTES }));
        }
        let kind = reader.u16()?;
        let second = reader.u16()?;
        let value = if kind & ATTRIBUTE_SHORT == 0 {
            AttributeValue::Long(reader.take(second.into())?.to_vec())
        } else {
            AttributeValue::Short(second)
        };
        attributes.push(Attribute { kind: kind & !ATTRIBUTE_SHORT, value });
    }
    Ok(Transform { number, id, attributes })
}

fn notify(reader: &mut Reader<'_>) -> Result<Notify, Malformed> {
    reader.u32()?;
    let (protocol, spi_bytes) = (ProtocolId(reader.u8()?), reader.u8()?);
    let kind = NotifyType(reader.u16()?);
    let spi = reader.take(spi_bytes.into())?.to_vec();
    Ok(Notify { protocol, spi, kind, data: reader.rest().to_vec() })
}

fn delete(reader: &mut Reader<'_>) -> Result<Delete, Malformed> {
    reader.u32()?;
    let (protocol, spi_bytes) = (ProtocolId(reader.u8()?), reader.u8()?);
    let count = usize::from(reader.u16()?);
    if count > MAX_DELETED_SPIS {
        return Err(reader.fail(Fault::TooMany { limit: MAX_DELETED_SPIS }));
    }
    let spis = (0..count).map(|_| Ok(reader.take(spi_bytes.into())?.to_vec())).collect::<Result<_, _>>()?;
    Ok(Delete { protocol, spis })
}
