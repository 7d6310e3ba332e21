//! From payloads to bytes (RFC 2408, 3).

use super::number::PayloadType;
use super::{DOI_IPSEC, HEADER_BYTES, Header, Message, Payload, Proposal, SecurityAssociation, Transform};
use crate::wire::{AttributeValue, MAX_MESSAGE_BYTES, TooLong};

const VERSION: u8 = 0x10;
const FLAG_ENCRYPTED: u8 = 0x01;

impl Header {
    /// The fixed header of a message of `length` bytes whose first payload is of type `first`.
    pub(crate) fn write(&self, first: PayloadType, length: usize) -> Result<Vec<u8>, TooLong> {
        let length = u32::try_from(length).ok().filter(|_| length <= MAX_MESSAGE_BYTES);
        let length = length.ok_or(TooLong { what: "message" })?;
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&self.initiator.to_bytes());
        out.extend_from_slice(&self.responder.to_bytes());
        out.extend_from_slice(&[first.0, VERSION, self.exchange.0]);
        out.push(if self.is_encrypted { FLAG_ENCRYPTED } else { 0 });
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        Ok(out)
    }
}

impl Message {
    /// Writes a message in the clear.
    ///
    /// # Errors
    /// [`TooLong`] when something does not fit its length field.
    pub fn build(&self) -> Result<Vec<u8>, TooLong> {
        let body = write_chain(&self.payloads)?;
        let first = self.payloads.first().map_or(PayloadType::NONE, Payload::kind);
        let mut out = self.header.write(first, HEADER_BYTES + body.len())?;
        out.extend_from_slice(&body);
        Ok(out)
    }
}

impl Payload {
    /// Its type on the wire.
    pub(crate) fn kind(&self) -> PayloadType {
        match self {
            Self::SecurityAssociation(_) => PayloadType::SA,
            Self::KeyExchange(_) => PayloadType::KE,
            Self::Identification(_) => PayloadType::ID,
            Self::Certificate(_) => PayloadType::CERT,
            Self::CertificateRequest(_) => PayloadType::CERTREQ,
            Self::Hash(_) => PayloadType::HASH,
            Self::Signature(_) => PayloadType::SIG,
            Self::Nonce(_) => PayloadType::NONCE,
            Self::Notify(_) => PayloadType::NOTIFY,
            Self::Delete(_) => PayloadType::DELETE,
            Self::VendorId(_) => PayloadType::VENDOR_ID,
            Self::NatDetection(_) => PayloadType::NAT_D,
            Self::Unknown(kind, _) => *kind,
        }
    }
}

/// Payloads, each with its header.
pub(crate) fn write_chain(payloads: &[Payload]) -> Result<Vec<u8>, TooLong> {
    let mut out = Vec::new();
    for (index, payload) in payloads.iter().enumerate() {
        let next = payloads.get(index + 1).map_or(PayloadType::NONE, Payload::kind);
        out.extend_from_slice(&[next.0, 0]);
        counted(&mut out, "payload", |out| body(out, payload))?;
    }
    Ok(out)
}

/// Writes a length field, then `fill`'s bytes; the length counts the two bytes before the field, too.
fn counted(
    out: &mut Vec<u8>,
    what: &'static str,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), TooLong>,
) -> Result<(), TooLong> {
    let at = out.len();
    out.extend_from_slice(&[0; 2]);
    fill(out)?;
    let length = u16::try_from(out.len() - at + 2).map_err(|_| TooLong { what })?;
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn body(out: &mut Vec<u8>, payload: &Payload) -> Result<(), TooLong> {
    match payload {
        Payload::SecurityAssociation(sa) => return security_association(out, sa),
        Payload::Identification(id) => out.extend_from_slice(&id.body()),
        Payload::Certificate(certificate) => {
            out.push(certificate.encoding.0);
            out.extend_from_slice(&certificate.data);
        }
        Payload::CertificateRequest(request) => {
            out.push(request.encoding.0);
            out.extend_from_slice(&request.authorities);
        }
        Payload::Notify(notify) => {
            out.extend_from_slice(&DOI_IPSEC.to_be_bytes());
            out.extend_from_slice(&[notify.protocol.0, short(notify.spi.len(), "SPI")?]);
            out.extend_from_slice(&notify.kind.0.to_be_bytes());
            out.extend_from_slice(&notify.spi);
            out.extend_from_slice(&notify.data);
        }
        Payload::Delete(delete) => {
            let bytes = delete.spis.first().map_or(0, Vec::len);
            let count = u16::try_from(delete.spis.len()).map_err(|_| TooLong { what: "list of SPIs" })?;
            out.extend_from_slice(&DOI_IPSEC.to_be_bytes());
            out.extend_from_slice(&[delete.protocol.0, short(bytes, "SPI")?]);
            out.extend_from_slice(&count.to_be_bytes());
            delete.spis.iter().for_each(|spi| out.extend_from_slice(spi));
        }
        Payload::KeyExchange(bytes)
        | Payload::Hash(bytes)
        | Payload::Signature(bytes)
        | Payload::Nonce(bytes)
        | Payload::VendorId(bytes)
        | Payload::NatDetection(bytes)
        | Payload::Unknown(_, bytes) => out.extend_from_slice(bytes),
    }
    Ok(())
}

fn security_association(out: &mut Vec<u8>, sa: &SecurityAssociation) -> Result<(), TooLong> {
    out.extend_from_slice(&sa.doi.to_be_bytes());
    out.extend_from_slice(&sa.situation.to_be_bytes());
    for (index, proposal) in sa.proposals.iter().enumerate() {
        let is_last = index + 1 == sa.proposals.len();
        out.extend_from_slice(&[if is_last { 0 } else { PayloadType::PROPOSAL.0 }, 0]);
        counted(out, "proposal", |out| write_proposal(out, proposal))?;
    }
    Ok(())
}

fn write_proposal(out: &mut Vec<u8>, proposal: &Proposal) -> Result<(), TooLong> {
    out.extend_from_slice(&[proposal.number, proposal.protocol.0]);
    out.push(short(proposal.spi.len(), "SPI")?);
    out.push(short(proposal.transforms.len(), "list of transforms")?);
    out.extend_from_slice(&proposal.spi);
    for (index, transform) in proposal.transforms.iter().enumerate() {
        let is_last = index + 1 == proposal.transforms.len();
        out.extend_from_slice(&[if is_last { 0 } else { PayloadType::TRANSFORM.0 }, 0]);
        counted(out, "transform", |out| write_transform(out, transform))?;
    }
    Ok(())
}

fn write_transform(out: &mut Vec<u8>, transform: &Transform) -> Result<(), TooLong> {
    out.extend_from_slice(&[transform.number, transform.id, 0, 0]);
    for attribute in &transform.attributes {
        match &attribute.value {
            AttributeValue::Short(value) => {
                out.extend_from_slice(&(attribute.kind | 0x8000).to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
            AttributeValue::Long(value) => {
                let length = u16::try_from(value.len()).map_err(|_| TooLong { what: "attribute" })?;
                out.extend_from_slice(&(attribute.kind & 0x7fff).to_be_bytes());
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(value);
            }
        }
    }
    Ok(())
}

fn short(count: usize, what: &'static str) -> Result<u8, TooLong> {
    u8::try_from(count).map_err(|_| TooLong { what })
}
