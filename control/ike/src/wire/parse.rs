//! From bytes to [`Message`] (RFC 7296, 3.1 to 3.16): lengths only, no meaning.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::number::{
    AttributeType, AuthMethod, CertEncoding, CfgAttributeType, CfgType, ExchangeType, GroupId, IdType,
    NotifyType, PayloadType, ProtocolId, TransformType, TsType,
};
use super::payload::{
    Attribute, AttributeValue, Authentication, Certificate, CertificateRequest, CfgAttribute, Configuration,
    Delete, Encrypted, EncryptedFragment, Identification, KeyExchangeData, Notify, Payload, Proposal,
    Selector, Transform, Unknown,
};
use super::reader::{Fault, Malformed, Reader};
use super::{
    HEADER_BYTES, Header, IkeSpi, MAX_ATTRIBUTES, MAX_DELETED_SPIS, MAX_MESSAGE_BYTES, MAX_PAYLOADS,
    MAX_PROPOSALS, MAX_TRANSFORMS, Message, MessageId, MessageKind, NONCE_BYTES, Role,
};
use crate::selector::{AddressRange, PortRange, TrafficSelector};

const FLAG_INITIATOR: u8 = 0x08;
const FLAG_RESPONSE: u8 = 0x20;
const CRITICAL: u8 = 0x80;
const ATTRIBUTE_SHORT: u16 = 0x8000;
const GENERIC_HEADER_BYTES: usize = 4;

impl Header {
    /// Reads the fixed header of a datagram that must be as long as the header says.
    ///
    /// # Errors
    /// [`Malformed`] when it is not, when it is of another major version (tell the peer INVALID_MAJOR_VERSION), or when
    /// the initiator's SPI is 0.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        split(datagram).map(|(header, _, _)| header)
    }
}

impl Message {
    /// Reads a whole message. SK and SKF payloads stay sealed.
    ///
    /// # Errors
    /// [`Malformed`] says what does not fit, and where.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let (header, first, reader) = split(datagram)?;
        Ok(Self { header, payloads: chain(first, reader)? })
    }
}

/// Reads decrypted content: payloads up to the end of `content`, the first of type `first`.
pub(crate) fn inner(first: PayloadType, content: &[u8]) -> Result<Vec<Payload>, Malformed> {
    chain(first, Reader::new(content, "decrypted content"))
}

fn split(datagram: &[u8]) -> Result<(Header, PayloadType, Reader<'_>), Malformed> {
    let mut reader = Reader::new(datagram, "header");
    let (initiator_spi, responder_spi) = (IkeSpi(reader.u64()?), IkeSpi(reader.u64()?));
    let first = PayloadType(reader.u8()?);
    let major = reader.u8()? >> 4;
    if major != 2 {
        return Err(reader.fail(Fault::Version { major }));
    }
    if initiator_spi == IkeSpi::NONE {
        return Err(reader.fail(Fault::Value { value: 0 }));
    }
    let exchange = ExchangeType(reader.u8()?);
    let flags = reader.u8()?;
    let id = MessageId(reader.u32()?);
    let length = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
    let body = match length.checked_sub(HEADER_BYTES) {
        Some(body) if length <= MAX_MESSAGE_BYTES => reader.sub(body, "message")?,
        _ => return Err(reader.fail(Fault::Length { value: length })),
    };
    reader.finish()?;
    let sender = if flags & FLAG_INITIATOR == 0 { Role::Responder } else { Role::Initiator };
    let kind = if flags & FLAG_RESPONSE == 0 { MessageKind::Request } else { MessageKind::Response };
    Ok((Header { initiator_spi, responder_spi, exchange, sender, kind, id }, first, body))
}

/// Walks the chain of payloads (3.2). SK and SKF end it: their Next Payload belongs to what is inside.
fn chain(first: PayloadType, mut reader: Reader<'_>) -> Result<Vec<Payload>, Malformed> {
    let mut payloads: Vec<Payload> = Vec::new();
    let mut kind = first;
    while kind != PayloadType::NONE {
        if payloads.len() == MAX_PAYLOADS {
            return Err(reader.fail(Fault::TooMany { limit: MAX_PAYLOADS }));
        }
        let next = PayloadType(reader.u8()?);
        let critical = reader.u8()? & CRITICAL != 0;
        let length = reader.u16()?;
        let body =
            reader.sub_after_head(length, GENERIC_HEADER_BYTES, kind.name().unwrap_or("unknown payload"))?;
        if !may_repeat(kind) && payloads.iter().any(|payload| payload.kind() == kind) {
            return Err(body.fail(Fault::TooMany { limit: 1 }));
        }
        payloads.push(payload(kind, critical, next, body)?);
        kind = match kind {
            PayloadType::SK | PayloadType::SKF => PayloadType::NONE,
            _ => next,
        };
    }
    reader.finish()?;
    Ok(payloads)
}

/// Payloads that a message may hold several of; two of any other would leave open which one counts.
fn may_repeat(kind: PayloadType) -> bool {
    !matches!(
        kind,
        PayloadType::SA
            | PayloadType::KE
            | PayloadType::IDI
            | PayloadType::IDR
            | PayloadType::AUTH
            | PayloadType::NONCE
            | PayloadType::TSI
            | PayloadType::TSR
            | PayloadType::CP
            | PayloadType::EAP
    )
}

fn payload(
    kind: PayloadType,
    critical: bool,
    next: PayloadType,
    mut body: Reader<'_>,
) -> Result<Payload, Malformed> {
    let parsed = match kind {
        PayloadType::SA => Payload::SecurityAssociation(proposals(&mut body)?),
        PayloadType::KE => Payload::KeyExchange(key_exchange(&mut body)?),
        PayloadType::IDI => Payload::IdInitiator(identification(&mut body)?),
        PayloadType::IDR => Payload::IdResponder(identification(&mut body)?),
        PayloadType::CERT => Payload::Certificate(Certificate {
            encoding: CertEncoding(body.u8()?),
            data: body.rest().to_vec(),
        }),
        PayloadType::CERTREQ => Payload::CertificateRequest(CertificateRequest {
            encoding: CertEncoding(body.u8()?),
            authorities: body.rest().to_vec(),
        }),
        PayloadType::AUTH => Payload::Authentication(authentication(&mut body)?),
        PayloadType::NONCE => Payload::Nonce(nonce(&mut body)?),
        PayloadType::NOTIFY => Payload::Notify(notify(&mut body)?),
        PayloadType::DELETE => Payload::Delete(delete(&mut body)?),
        PayloadType::VENDOR_ID => Payload::VendorId(body.rest().to_vec()),
        PayloadType::TSI => Payload::TsInitiator(selectors(&mut body)?),
        PayloadType::TSR => Payload::TsResponder(selectors(&mut body)?),
        PayloadType::SK => Payload::Encrypted(Encrypted { first: next, body: body.rest().to_vec() }),
        PayloadType::SKF => Payload::EncryptedFragment(fragment(next, &mut body)?),
        PayloadType::CP => Payload::Configuration(configuration(&mut body)?),
        PayloadType::EAP => Payload::Eap(body.rest().to_vec()),
        _ => Payload::Unknown(Unknown { kind, critical, body: body.rest().to_vec() }),
    };
    body.finish()?;
    Ok(parsed)
}

fn proposals(body: &mut Reader<'_>) -> Result<Vec<Proposal>, Malformed> {
    let mut proposals = Vec::new();
    loop {
        if proposals.len() == MAX_PROPOSALS {
            return Err(body.fail(Fault::TooMany { limit: MAX_PROPOSALS }));
        }
        let more = more_follow(body, 2)?;
        body.u8()?; // reserved
        let length = body.u16()?;
        let mut one = body.sub_after_head(length, GENERIC_HEADER_BYTES, "proposal")?;
        proposals.push(proposal(&mut one)?);
        one.finish()?;
        if !more {
            return Ok(proposals);
        }
    }
}

/// The first byte of a proposal or transform: 0 for the last one, `mark` when another follows (3.3.1, 3.3.2).
fn more_follow(reader: &mut Reader<'_>, mark: u8) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        value if value == mark => Ok(true),
        value => Err(reader.fail(Fault::Value { value: value.into() })),
    }
}

fn proposal(reader: &mut Reader<'_>) -> Result<Proposal, Malformed> {
    let (number, protocol) = (reader.u8()?, ProtocolId(reader.u8()?));
    let spi_bytes = usize::from(reader.u8()?);
    let count = usize::from(reader.u8()?);
    let spi = reader.take(spi_bytes)?.to_vec();
    if count > MAX_TRANSFORMS {
        return Err(reader.fail(Fault::TooMany { limit: MAX_TRANSFORMS }));
    }
    let mut transforms = Vec::new();
    for index in 1..=count {
        let more = more_follow(reader, 3)?;
        if more != (index < count) {
            return Err(reader.fail(Fault::Length { value: count }));
        }
        reader.u8()?; // reserved
        let length = reader.u16()?;
        let mut one = reader.sub_after_head(length, GENERIC_HEADER_BYTES, "transform")?;
        transforms.push(transform(&mut one)?);
        one.finish()?;
    }
    Ok(Proposal { number, protocol, spi, transforms })
}

fn transform(reader: &mut Reader<'_>) -> Result<Transform, Malformed> {
    let kind = TransformType(reader.u8()?);
    reader.u8()?; // reserved
    let id = reader.u16()?;
    let mut attributes = Vec::new();
    while !reader.is_empty() {
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(reader.fail(Fault::TooMany { limit: MAX_ATTRIBUTES }));
        }
        let head = reader.u16()?;
        let value = if head & ATTRIBUTE_SHORT == 0 {
            let length = usize::from(reader.u16()?);
            AttributeValue::Long(reader.take(length)?.to_vec())
        } else {
            AttributeValue::Short(reader.u16()?)
        };
        attributes.push(Attribute { kind: AttributeType(head & !ATTRIBUTE_SHORT), value });
    }
    Ok(Transform { kind, id, attributes })
}

fn key_exchange(reader: &mut Reader<'_>) -> Result<KeyExchangeData, Malformed> {
    let group = GroupId(reader.u16()?);
    reader.u16()?; // reserved
    Ok(KeyExchangeData { group, public: reader.rest().to_vec() })
}

fn identification(reader: &mut Reader<'_>) -> Result<Identification, Malformed> {
    let (kind, reserved) = (IdType(reader.u8()?), reader.array()?);
    Ok(Identification { kind, reserved, data: reader.rest().to_vec() })
}

fn authentication(reader: &mut Reader<'_>) -> Result<Authentication, Malformed> {
    let method = AuthMethod(reader.u8()?);
    reader.array::<3>()?; // reserved
    Ok(Authentication { method, data: reader.rest().to_vec() })
}

fn nonce(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    if !NONCE_BYTES.contains(&reader.left()) {
        return Err(reader.fail(Fault::Length { value: reader.left() }));
    }
    Ok(reader.rest().to_vec())
}

fn notify(reader: &mut Reader<'_>) -> Result<Notify, Malformed> {
    let protocol = ProtocolId(reader.u8()?);
    let spi_bytes = usize::from(reader.u8()?);
    let kind = NotifyType(reader.u16()?);
    let spi = reader.take(spi_bytes)?.to_vec();
    Ok(Notify { protocol, spi, kind, data: reader.rest().to_vec() })
}

fn delete(reader: &mut Reader<'_>) -> Result<Delete, Malformed> {
    let protocol = ProtocolId(reader.u8()?);
    let spi_bytes = reader.u8()?;
    let count = usize::from(reader.u16()?);
    match (protocol, spi_bytes) {
        // Some peers count the IKE SA itself, some do not; there is nothing to list either way.
        (ProtocolId::IKE, 0) => Ok(Delete::IkeSa),
        (ProtocolId::ESP | ProtocolId::AH, 4) if count > MAX_DELETED_SPIS => {
            Err(reader.fail(Fault::TooMany { limit: MAX_DELETED_SPIS }))
        }
        (ProtocolId::ESP | ProtocolId::AH, 4) => {
            let spis = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
            Ok(Delete::Child { protocol, spis })
        }
        (ProtocolId::IKE | ProtocolId::ESP | ProtocolId::AH, _) => {
            Err(reader.fail(Fault::Length { value: spi_bytes.into() }))
        }
        _ => Err(reader.fail(Fault::Value { value: protocol.0.into() })),
    }
}

fn selectors(body: &mut Reader<'_>) -> Result<Vec<Selector>, Malformed> {
    let count = body.u8()?;
    body.array::<3>()?; // reserved
    if count == 0 {
        return Err(body.fail(Fault::Length { value: 0 }));
    }
    (0..count).map(|_| selector(body)).collect()
}

fn selector(body: &mut Reader<'_>) -> Result<Selector, Malformed> {
    let (kind, protocol) = (TsType(body.u8()?), body.u8()?);
    let length = body.u16()?;
    let mut reader = body.sub_after_head(length, GENERIC_HEADER_BYTES, "traffic selector")?;
    let selector = match kind {
        TsType::IPV4_ADDR_RANGE => {
            let ports = ports(&mut reader)?;
            let first = Ipv4Addr::from(reader.array::<4>()?);
            let last = Ipv4Addr::from(reader.array::<4>()?);
            range(&reader, AddressRange::new(first.into(), last.into()).ok(), protocol, ports)?
        }
        TsType::IPV6_ADDR_RANGE => {
            let ports = ports(&mut reader)?;
            let first = Ipv6Addr::from(reader.array::<16>()?);
            let last = Ipv6Addr::from(reader.array::<16>()?);
            range(&reader, AddressRange::new(first.into(), last.into()).ok(), protocol, ports)?
        }
        _ => Selector::Unknown { kind, protocol, data: reader.rest().to_vec() },
    };
    reader.finish()?;
    Ok(selector)
}

fn range(
    reader: &Reader<'_>,
    addresses: Option<AddressRange>,
    protocol: u8,
    ports: PortRange,
) -> Result<Selector, Malformed> {
    // The first address is above the last.
    let addresses = addresses.ok_or_else(|| reader.fail(Fault::Value { value: 0 }))?;
    Ok(Selector::Range(TrafficSelector::new(addresses, protocol, ports)))
}

fn ports(reader: &mut Reader<'_>) -> Result<PortRange, Malformed> {
    match (reader.u16()?, reader.u16()?) {
        (u16::MAX, 0) => Ok(PortRange::Opaque),
        (first, last) if first <= last => Ok(PortRange::Span { first, last }),
        (first, _) => Err(reader.fail(Fault::Value { value: first.into() })),
    }
}

fn fragment(first: PayloadType, reader: &mut Reader<'_>) -> Result<EncryptedFragment, Malformed> {
    let (number, total) = (reader.u16()?, reader.u16()?);
    if number == 0 || number > total {
        return Err(reader.fail(Fault::Value { value: number.into() }));
    }
    Ok(EncryptedFragment { first, number, total, body: reader.rest().to_vec() })
}

fn configuration(reader: &mut Reader<'_>) -> Result<Configuration, Malformed> {
    let kind = CfgType(reader.u8()?);
    reader.array::<3>()?; // reserved
    let mut attributes = Vec::new();
    while !reader.is_empty() {
        if attributes.len() == MAX_ATTRIBUTES {
            return Err(reader.fail(Fault::TooMany { limit: MAX_ATTRIBUTES }));
        }
        let kind = CfgAttributeType(reader.u16()? & 0x7fff); // the top bit is reserved
        let length = usize::from(reader.u16()?);
        attributes.push(CfgAttribute { kind, value: reader.take(length)?.to_vec() });
    }
    Ok(Configuration { kind, attributes })
}
