//! The Configuration payload as we ask by it (RFC 7296, 2.19): for our addresses inside the tunnel, and for what the peer says of its network besides.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{address, with_length};
use crate::assigned::Assigned;
use crate::config::ConnectionConfig;
use crate::effect::Effect;
use crate::error::IkeError;
use crate::established::Established;
use crate::event::Event;
use crate::notice::What;
use crate::sa::Cx;
use crate::selector::AddressRange;
use crate::wire::{CfgAttribute, CfgAttributeType, CfgType, Configuration, Message, NotifyType, Payload};

/// What is asked for of a family: an address, name servers, prefixes.
const FAMILIES: [(bool, [CfgAttributeType; 3]); 2] = [
    (
        true,
        [
            CfgAttributeType::INTERNAL_IP4_ADDRESS,
            CfgAttributeType::INTERNAL_IP4_DNS,
            CfgAttributeType::INTERNAL_IP4_SUBNET,
        ],
    ),
    (
        false,
        [
            CfgAttributeType::INTERNAL_IP6_ADDRESS,
            CfgAttributeType::INTERNAL_IP6_DNS,
            CfgAttributeType::INTERNAL_IP6_SUBNET,
        ],
    ),
];

/// Whether a connection asks for an address of a family.
fn asks(config: &ConnectionConfig, is_ipv4: bool) -> bool {
    let mut selectors = config.children.iter().flat_map(|child| &child.local_selectors);
    config.request_addresses && selectors.any(|selector| selector.addresses().first().is_ipv4() == is_ipv4)
}

/// What asks for addresses, if the connection does: for those of the last time, should the peer still have them.
pub(crate) fn request(config: &ConnectionConfig, cx: &Cx<'_>) -> Option<Payload> {
    let last = cx.connections.get(&config.id).map_or(&[][..], |connection| connection.assigned.as_slice());
    let wanted = FAMILIES.into_iter().filter(|(is_ipv4, _)| asks(config, *is_ipv4));
    let attributes: Vec<CfgAttribute> = wanted
        .flat_map(|(is_ipv4, [address, more @ ..])| {
            let again = last.iter().find(|last| last.is_ipv4() == is_ipv4);
            let value = again.map(|again| with_length(*again)).unwrap_or_default();
            let more = more.map(|kind| CfgAttribute { kind, value: Vec::new() });
            std::iter::once(CfgAttribute { kind: address, value }).chain(more)
        })
        .collect();
    let is_asked = !attributes.is_empty();
    is_asked.then_some(Payload::Configuration(Configuration { kind: CfgType::REQUEST, attributes }))
}

/// What the peer assigns to a connection that asked; nothing to one that did not.
///
/// # Errors
/// [`IkeError::AddressRefused`], [`IkeError::NotAssigned`]: there is no address.
pub(crate) fn reply(config: &ConnectionConfig, message: &Message) -> Result<Assigned, IkeError> {
    let mut assigned = Assigned::default();
    if !config.request_addresses {
        return Ok(assigned);
    }
    let reply = message.configuration().filter(|reply| reply.kind == CfgType::REPLY);
    for CfgAttribute { kind, value } in reply.into_iter().flat_map(|reply| &reply.attributes) {
        let Some((is_ipv4, [of_us, of_dns, _])) =
            FAMILIES.into_iter().find(|(_, kinds)| kinds.contains(kind))
        else {
            continue;
        };
        let found = address(value).filter(|address| address.is_ipv4() == is_ipv4 && is_host(*address));
        if *kind == of_us {
            let is_first = assigned.address(is_ipv4).is_none() && asks(config, is_ipv4);
            assigned.addresses.extend(found.filter(|_| is_first));
        } else if *kind == of_dns {
            assigned.dns.extend(found);
        } else {
            assigned.subnets.extend(subnet(value, is_ipv4));
        }
    }
    if !assigned.addresses.is_empty() {
        return Ok(assigned);
    }
    let is_refused = message.notify(NotifyType::INTERNAL_ADDRESS_FAILURE).is_some();
    Err(if is_refused { IkeError::AddressRefused } else { IkeError::NotAssigned })
}

/// From here on we have these addresses, and no others, on this IKE SA.
pub(crate) fn take(state: &mut Established, assigned: Assigned, cx: &mut Cx<'_>) {
    if assigned.addresses.is_empty() {
        return;
    }
    let (connection, ike) = (state.config.id, cx.ike_id());
    cx.note(What::AddressAssigned);
    cx.event(Event::Assigned { connection, ike, assigned: Box::new(assigned.clone()) });
    cx.effect(Effect::Assigned(connection, assigned.addresses.clone()));
    state.assigned = assigned;
    let config = Arc::clone(&state.config);
    state.config = state.narrowed(&config);
}

/// Whether a host can have it.
fn is_host(address: IpAddr) -> bool {
    let is_broadcast = address == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}

/// A prefix on the wire: behind its address, that of IPv4 has a mask and that of IPv6 a length (3.15.1).
fn subnet(value: &[u8], is_ipv4: bool) -> Option<AddressRange> {
    if is_ipv4 {
        let (octets, mask) = value.split_first_chunk::<4>()?;
        let mask = u32::from_be_bytes(<[u8; 4]>::try_from(mask).ok()?);
        let bits =
            u8::try_from(mask.leading_ones()).ok().filter(|_| mask.leading_ones() == mask.count_ones())?;
        AddressRange::from_prefix(IpAddr::from(*octets), bits).ok()
    } else {
        let (octets, bits) = value.split_first_chunk::<16>()?;
        let [bits] = <[u8; 1]>::try_from(bits).ok()?;
        AddressRange::from_prefix(IpAddr::from(*octets), bits).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;
    use crate::selector::TrafficSelector;
    use crate::wire::{ExchangeType, Header, IkeSpi, MessageId, MessageKind, Notify, Role};

    type Kind = CfgAttributeType;

    fn asking() -> ConnectionConfig {
        let mut config = crate::sim::connection(0);
        (config.request_addresses, config.mode) = (true, Mode::InitiatorOnly);
        config.children[0].local_selectors = vec![TrafficSelector::any_ipv4(), TrafficSelector::any_ipv6()];
        config
    }

    fn message(payloads: Vec<Payload>) -> Message {
        let header = Header {
            initiator_spi: IkeSpi(1),
            responder_spi: IkeSpi(2),
            exchange: ExchangeType::IKE_AUTH,
            sender: Role::Responder,
            kind: MessageKind::Response,
            id: MessageId(1),
        };
        Message { header, payloads }
    }

    fn assigns(kind: CfgType, attributes: &[(Kind, &[u8])]) -> Message {
        let attribute = |(kind, value): &(Kind, &[u8])| CfgAttribute { kind: *kind, value: value.to_vec() };
        let attributes = attributes.iter().map(attribute).collect();
        message(vec![Payload::Configuration(Configuration { kind, attributes })])
    }

    /// What is taken, as text.
    fn taken(config: &ConnectionConfig, message: &Message) -> String {
        let Assigned { addresses, dns, subnets } = reply(config, message).unwrap();
        format!("{addresses:?} {dns:?} {subnets:?}")
    }

    #[test]
    fn the_first_address_of_each_family_counts_and_what_no_host_can_have_does_not() {
        let ipv6 = [&[0xfd][..], &[0; 14], &[9, 128]].concat();
        let subnet_of_ipv6 = [&[0xfd][..], &[0; 15], &[64]].concat();
        let granted = assigns(
            CfgType::REPLY,
            &[
                (Kind::INTERNAL_IP4_ADDRESS, &[0, 0, 0, 0]),
                (Kind::INTERNAL_IP4_ADDRESS, &[224, 0, 0, 1]),
                (Kind::INTERNAL_IP4_ADDRESS, &[127, 0, 0, 1]),
                (Kind::INTERNAL_IP4_ADDRESS, &[255, 255, 255, 255]),
                (Kind::INTERNAL_IP4_ADDRESS, &[10, 9]),
                (Kind::INTERNAL_IP6_ADDRESS, &[10, 9, 0, 7]),
                (Kind::INTERNAL_IP4_ADDRESS, &[10, 9, 0, 1]),
                (Kind::INTERNAL_IP4_ADDRESS, &[10, 9, 0, 2]),
                (Kind::INTERNAL_IP4_NETMASK, &[255, 255, 255, 0]),
                (Kind::INTERNAL_IP6_ADDRESS, &ipv6),
                (Kind::INTERNAL_IP4_DNS, &[10, 2, 0, 53]),
                (Kind::INTERNAL_IP4_SUBNET, &[10, 2, 0, 0, 255, 255, 0, 0]),
                (Kind::INTERNAL_IP4_SUBNET, &[10, 3, 0, 0, 255, 0, 255, 0]),
                (Kind::INTERNAL_IP6_SUBNET, &subnet_of_ipv6),
                (Kind::INTERNAL_IP6_SUBNET, &[1]),
            ],
        );
        let mut config = asking();
        assert_eq!(taken(&config, &granted), "[10.9.0.1, fd00::9] [10.2.0.53] [10.2.0.0/16, fd00::/64]");
        config.children[0].local_selectors.pop();
        assert_eq!(
            taken(&config, &granted),
            "[10.9.0.1] [10.2.0.53] [10.2.0.0/16, fd00::/64]",
            "only IPv4 is asked"
        );
        config.request_addresses = false;
        assert_eq!(taken(&config, &granted), "[] [] []");
    }

    #[test]
    fn no_address_is_told_apart_from_a_refusal() {
        let config = asking();
        let refused =
            message(vec![Payload::Notify(Notify::new(NotifyType::INTERNAL_ADDRESS_FAILURE, Vec::new()))]);
        assert_eq!(reply(&config, &refused), Err(IkeError::AddressRefused));
        let nothing = assigns(CfgType::REPLY, &[(Kind::INTERNAL_IP4_DNS, &[10, 2, 0, 53])]);
        let no_reply = assigns(CfgType::SET, &[(Kind::INTERNAL_IP4_ADDRESS, &[10, 9, 0, 1])]);
        for message in [message(Vec::new()), nothing, no_reply] {
            assert_eq!(reply(&config, &message), Err(IkeError::NotAssigned));
        }
    }
}
