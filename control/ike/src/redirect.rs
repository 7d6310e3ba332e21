//! Redirect (RFC 5685), both roles: a gateway sends its peers to another one, at their first message, or, where that leaves open which connection they are of, once the IKE SA
//! is up; so, too, when the configuration comes to say so. A peer that is sent follows, also with the last of IKE_AUTH, a few times only. Whoever it is sent to must prove the same identity, so that a forged message can delay a peer and nothing else.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::{Endpoint, Timer};
use crate::environment::{Environment, Instant};
use crate::event::ConnectionId;
use crate::notice::What;
use crate::place::{Place, is_unicast};
use crate::wire::{Message, Notify, NotifyType, Payload};

/// Most redirects that are followed within [`PERIOD`] (section 7).
const FOLLOWED_MAX: u32 = 5;
/// The time in which redirects are counted (section 7).
const PERIOD: Duration = Duration::from_secs(300);

const IPV4: u8 = 1;
const IPV6: u8 = 2;
const FQDN: u8 = 3;

/// Where somebody is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) to: Place,
    /// The nonce of the request that this answers; empty under protection.
    nonce: Vec<u8>,
}

impl Redirect {
    /// What a message says; none if it says nothing that can be read.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let data = &message.notify(NotifyType::REDIRECT)?.data;
        let (kind, rest) = data.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (name, nonce) = rest.split_at_checked(usize::from(*length))?;
        let to = match *kind {
            IPV4 => Place::At(<[u8; 4]>::try_from(name).ok()?.into()),
            IPV6 => Place::At(<[u8; 16]>::try_from(name).ok()?.into()),
            FQDN => Place::Named(Arc::from(std::str::from_utf8(name).ok().filter(|name| is_name(name))?)),
            _ => return None,
        };
        Some(Self { to, nonce: nonce.to_vec() })
    }

    /// Whether it answers the request with this nonce.
    pub(crate) fn answers(&self, nonce: &[u8]) -> bool {
        self.nonce == nonce
    }
}

/// Whether a text can be a domain name: more is not asked, the resolver says the rest.
fn is_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(is_fine)
}

/// Sends a peer to `to`; `nonce` is that of its IKE_SA_INIT request, empty under protection.
pub(crate) fn payload(to: &Place, nonce: &[u8]) -> Payload {
    let data = [identity(to), nonce.to_vec()].concat();
    Payload::Notify(Notify::new(NotifyType::REDIRECT, data))
}

/// For the gateway that we are sent to: who sent us (section 4).
pub(crate) fn from(gateway: IpAddr) -> Payload {
    Payload::Notify(Notify::new(NotifyType::REDIRECTED_FROM, identity(&Place::At(gateway))))
}

/// Announces that we follow.
pub(crate) fn announcement() -> Payload {
    Payload::Notify(Notify::new(NotifyType::REDIRECT_SUPPORTED, Vec::new()))
}

/// Whether the peer that sent this IKE_SA_INIT request follows redirects; that it can be read was seen before.
pub(crate) fn is_followed(request: &[u8]) -> bool {
    Message::parse(request).is_ok_and(|message| follows(&message))
}

/// Whether a request says so.
pub(crate) fn follows(message: &Message) -> bool {
    let said = [NotifyType::REDIRECT_SUPPORTED, NotifyType::REDIRECTED_FROM];
    message.notifies().any(|notify| said.contains(&notify.kind))
}

fn identity(place: &Place) -> Vec<u8> {
    let (kind, name) = match place {
        Place::At(IpAddr::V4(address)) => (IPV4, address.octets().to_vec()),
        Place::At(IpAddr::V6(address)) => (IPV6, address.octets().to_vec()),
        Place::Named(name) => (FQDN, name.as_bytes().to_vec()),
    };
    let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
    let mut data = vec![kind, length];
    data.extend(name.into_iter().take(length.into()));
    data
}

/// Where a connection was sent by its peer.
#[derive(Clone, Debug)]
pub(crate) struct Detour {
    pub(crate) to: Place,
    /// Who sent us there.
    pub(crate) from: IpAddr,
}

/// How often a connection was sent elsewhere lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Followed {
    count: u32,
    since: Instant,
}

impl Followed {
    /// Whether another one may be followed; then it counts.
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_since(self.since) >= PERIOD {
            *self = Self { count: 0, since: now };
        }
        self.count += 1;
        self.count <= FOLLOWED_MAX
    }
}

impl Endpoint {
    /// A connection's peer at `from` says that it is to be looked for elsewhere.
    pub(crate) fn on_redirected(
        &mut self,
        id: ConnectionId,
        to: Place,
        from: IpAddr,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let stopping = self.stopping;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let is_ipv4 = connection.config.local_address.is_ipv4();
        let is_usable = match &to {
            Place::At(address) => address.is_ipv4() == is_ipv4 && is_unicast(address),
            Place::Named(_) => true,
        };
        let is_wanted = connection.wanted || connection.config.on_traffic;
        let follows = is_wanted && !stopping && is_usable && connection.followed.take(now);
        let mut cx = self.cx(now, env);
        cx.connection = Some(id);
        cx.note(if follows { What::Redirected } else { What::RedirectIgnored });
        if follows {
            if let Some(connection) = self.connections.get_mut(&id) {
                (connection.wanted, connection.retry_at) = (true, None);
            }
            self.set_timer(Timer::Connection(id), None);
            self.call_detour(id, Detour { to, from }, now, env);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ExchangeType, Header, IkeSpi, MessageId, MessageKind, Role};

    fn message(payload: Payload) -> Message {
        let header = Header {
            initiator_spi: IkeSpi(1),
            responder_spi: IkeSpi(2),
            exchange: ExchangeType::IKE_SA_INIT,
            sender: Role::Responder,
            kind: MessageKind::Response,
            id: MessageId(0),
        };
        Message { header, payloads: vec![payload] }
    }

    #[test]
    fn every_kind_of_place_is_read_as_it_was_written() {
        for to in [
            Place::At("192.0.2.9".parse().unwrap()),
            Place::At("2001:db8::9".parse().unwrap()),
            Place::Named(Arc::from("gw.example.net")),
        ] {
            let read = Redirect::of(&message(payload(&to, b"nonce"))).unwrap();
            assert_eq!(read.to, to);
            assert!(read.answers(b"nonce") && !read.answers(b"other") && !read.answers(b""));
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_redirect() {
        for data in [
            &[][..],
            &[1],
            &[1, 4, 192, 0, 2],
            &[1, 5, 192, 0, 2, 9, 9],
            &[3, 0],
            &[3, 3, b'a', b' ', b'b'],
            &[9, 1, 1],
        ] {
            let notify = Notify::new(NotifyType::REDIRECT, data.to_vec());
            assert_eq!(Redirect::of(&message(Payload::Notify(notify))), None, "{data:?}");
        }
    }

    #[test]
    fn five_redirects_in_five_minutes_are_followed() {
        let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        let mut followed = Followed::default();
        let count = |followed: &mut Followed, seconds| (0..9).filter(|_| followed.take(at(seconds))).count();
        assert_eq!(count(&mut followed, 1000), 5);
        assert_eq!(count(&mut followed, 1299), 0);
        assert_eq!(count(&mut followed, 1301), 5);
    }
}
