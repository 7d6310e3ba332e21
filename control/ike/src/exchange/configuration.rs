//! The Configuration payload (RFC 7296, 2.19, 3.15). Here as a gateway answers it: a client asks for addresses and name servers, and gets what its connection has for clients. How
//! we ask for such is in `asked`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::client::{self, Clients};
use crate::config::ConnectionConfig;
use crate::error::IkeError;
use crate::established::Established;
use crate::notice::What;
use crate::sa::Cx;
use crate::wire::{CfgAttribute, CfgAttributeType, CfgType, Configuration, Message, Payload};

pub(crate) mod asked;

/// The prefix length that goes with an IPv6 address.
const HOST_BITS: u8 = 128;

/// Gives the client that sent `message` its addresses; of `config` it gets what is narrowed to them.
///
/// # Errors
/// [`IkeError::NoAddressAsked`] for one that does not ask, [`IkeError::NoFreeAddress`] where all are taken.
pub(crate) fn lease(
    state: &mut Established,
    (config, clients): (&Arc<ConnectionConfig>, &Clients),
    message: &Message,
    cx: &mut Cx<'_>,
) -> Result<Payload, IkeError> {
    let asked = message.configuration().filter(|asked| asked.kind == CfgType::REQUEST);
    let asked = asked.ok_or(IkeError::NoAddressAsked)?;
    let mut attributes = Vec::new();
    let mut is_asked = false;
    let leases = &mut cx.shared.leases;
    for attribute in &asked.attributes {
        let is_ipv4 = match attribute.kind {
            CfgAttributeType::INTERNAL_IP4_ADDRESS => true,
            CfgAttributeType::INTERNAL_IP6_ADDRESS => false,
            _ => continue,
        };
        // One address of each family.
        if state.lease.iter().any(|leased| leased.address.is_ipv4() == is_ipv4) {
            continue;
        }
        is_asked = true;
        let wanted = address(&attribute.value);
        if let Some(leased) = leases.take(state.config.id, clients, &state.peer, is_ipv4, wanted, cx.now) {
            state.lease.push(leased);
            attributes.push(CfgAttribute { kind: attribute.kind, value: with_length(leased.address) });
        }
    }
    match (is_asked, state.lease.is_empty()) {
        (false, _) => return Err(IkeError::NoAddressAsked),
        (true, true) => return Err(IkeError::NoFreeAddress),
        (true, false) => {}
    }
    cx.note(What::AddressLeased);
    let asks = |kind| asked.attributes.iter().any(|attribute| attribute.kind == kind);
    for server in &clients.dns {
        let kind = match server {
            IpAddr::V4(_) => CfgAttributeType::INTERNAL_IP4_DNS,
            IpAddr::V6(_) => CfgAttributeType::INTERNAL_IP6_DNS,
        };
        if asks(kind) {
            attributes.push(CfgAttribute { kind, value: octets(*server) });
        }
    }
    state.config = client::narrowed(config, &state.lease);
    Ok(Payload::Configuration(Configuration { kind: CfgType::REPLY, attributes }))
}

/// The address that a client would like to have; its prefix length does not count.
fn address(value: &[u8]) -> Option<IpAddr> {
    let ipv6 = || value.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
    <[u8; 4]>::try_from(value)
        .ok()
        .map(IpAddr::from)
        .or_else(ipv6)
        .filter(|address| !address.is_unspecified())
}

/// An internal address on the wire: that of IPv6 has its prefix length behind it.
fn with_length(address: IpAddr) -> Vec<u8> {
    let mut value = octets(address);
    if address.is_ipv6() {
        value.push(HOST_BITS);
    }
    value
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
