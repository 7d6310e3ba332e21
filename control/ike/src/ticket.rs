//! Tickets of session resumption (RFC 5723): a responder hands out what it would need to take up an IKE SA again, sealed under a key of its own, and forgets it. An
//! initiator that lost its peer shows the ticket instead of agreeing on a new secret and proving itself anew: no key exchange, no signature.
//!
//! Keys live in memory only and are changed every [`LIFE`]; so no ticket outlives twice that time, a restart or what it was issued under: a connection that was
//! configured anew, reset or removed has another epoch. Each is good once.

use std::collections::HashMap;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::kex::Group;
use crate::crypto::keys::MessageKeys;
use crate::crypto::suite::{IkeCipher, IkeSuite, KeyBits};
use crate::environment::{Environment, Instant};
use crate::event::ConnectionId;
use crate::identity::Identity;
use crate::secret::Secret;
use crate::wire::{IdType, Identification};

/// How long a ticket is good, and after which time the key changes.
pub(crate) const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Most tickets that are remembered as used; beyond that none is taken.
const USED_MAX: usize = 65_536;
/// Longest life of a ticket that a peer gives us.
const LIFE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Longest ticket of a peer.
const TICKET_BYTES_MAX: usize = 2048;
const CIPHER: IkeCipher = IkeCipher::AesGcm16(KeyBits::B256);
/// AES-256 and its salt (RFC 5282).
const KEY_BYTES: usize = 36;
const VERSION_BYTES: usize = 4;
const IV_BYTES: usize = 8;
/// Of a ticket's content, before the identity.
const FIXED_BYTES: usize = 4 + 8 + 8 + 3 + 3;

/// Which of our tickets: each is sealed under an IV of its own.
pub(crate) type TicketId = [u8; VERSION_BYTES + IV_BYTES];

/// What a ticket of ours says.
#[derive(Debug)]
pub(crate) struct Resumable {
    pub(crate) connection: ConnectionId,
    /// The configuration that it stands under ([`crate::connection::Connection::epoch`]).
    pub(crate) epoch: u64,
    pub(crate) expires_at: Instant,
    /// Among those of the connection.
    pub(crate) suite: u8,
    /// Which of the connection's additional key exchanges is in the keys.
    pub(crate) additional: u8,
    /// Whether a post-quantum pre-shared key is in the keys.
    pub(crate) ppk: bool,
    pub(crate) peer: Identity,
    pub(crate) sk_d: Secret<Vec<u8>>,
}

/// The tickets that we hand out.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    version: u32,
    current: Option<Key>,
    previous: Option<Key>,
    sealed: u64,
    /// Those that were used, as long as they could be shown again.
    used: HashMap<TicketId, Instant>,
}

#[derive(Debug)]
struct Key {
    keys: MessageKeys,
    since: Instant,
}

/// A ticket that a peer gave us.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) opaque: Vec<u8>,
    pub(crate) until: Instant,
    /// When to ask for another one.
    pub(crate) refresh_at: Instant,
    pub(crate) suite: IkeSuite,
    pub(crate) additional: Option<Group>,
    pub(crate) ppk: bool,
    pub(crate) peer: Identity,
    /// The configuration under which it was got ([`crate::connection::Connection::epoch`]).
    pub(crate) epoch: u64,
    pub(crate) sk_d: Secret<Vec<u8>>,
}

/// How long a peer says that its ticket is good, and the ticket (RFC 5723, 7.1); `None` for what is none, or is of no use.
pub(crate) fn read(data: &[u8]) -> Option<(Duration, &[u8])> {
    let (seconds, opaque) = data.split_first_chunk()?;
    let life = Duration::from_secs(u32::from_be_bytes(*seconds).into()).min(LIFE_MAX);
    (!life.is_zero() && (1..=TICKET_BYTES_MAX).contains(&opaque.len())).then_some((life, opaque))
}

impl Tickets {
    /// The content of TICKET_LT_OPAQUE: how many seconds the ticket is good, and the ticket. `None` for an identity that is too long for one.
    pub(crate) fn issue(
        &mut self,
        what: &Resumable,
        now: Instant,
        env: &mut dyn Environment,
    ) -> Option<Vec<u8>> {
        self.rotate(now, env);
        self.sealed += 1;
        let id = what.peer.to_wire();
        let length = u16::try_from(id.data.len()).ok().filter(|length| *length <= 1024)?;
        let content = FIXED_BYTES + id.data.len() + what.sk_d.expose().len();
        // One exact allocation, for the content is secret until it is sealed in place.
        let mut ticket = Vec::with_capacity(VERSION_BYTES + IV_BYTES + content + CIPHER.icv_bytes());
        ticket.extend(self.version.to_be_bytes());
        ticket.extend(self.sealed.to_be_bytes());
        ticket.extend(what.connection.0.to_be_bytes());
        ticket.extend(what.epoch.to_be_bytes());
        ticket.extend(millis(what.expires_at).to_be_bytes());
        ticket.extend([what.suite, what.additional, u8::from(what.ppk), id.kind.0]);
        ticket.extend(length.to_be_bytes());
        ticket.extend(&id.data);
        ticket.extend(what.sk_d.expose());
        CIPHER.seal(&self.current.as_ref()?.keys, &mut ticket, VERSION_BYTES);
        let seconds = what.expires_at.saturating_since(now).as_secs();
        Some([&u32::try_from(seconds).ok()?.to_be_bytes()[..], &ticket].concat())
    }

    /// What a ticket of ours says, if it is one, is in date and was not used.
    pub(crate) fn open(&self, ticket: &[u8], now: Instant) -> Option<(TicketId, Resumable)> {
        let id = *ticket.first_chunk()?;
        let (version, sealed) = ticket.split_first_chunk()?;
        let key = match self.version.wrapping_sub(u32::from_be_bytes(*version)) {
            0 => self.current.as_ref()?,
            1 => self.previous.as_ref()?,
            _ => return None,
        };
        let content = Zeroizing::new(CIPHER.open(&key.keys, version, sealed).ok()?);
        let found = parse(&content)?;
        let is_good = found.expires_at > now && !self.used.contains_key(&id) && self.used.len() < USED_MAX;
        is_good.then_some((id, found))
    }

    /// Takes a ticket; whether it was there to be taken.
    pub(crate) fn use_up(&mut self, id: TicketId, expires_at: Instant, now: Instant) -> bool {
        if self.used.len() >= USED_MAX / 2 {
            self.used.retain(|_, until| *until > now);
        }
        self.used.len() < USED_MAX && self.used.insert(id, expires_at).is_none()
    }

    fn rotate(&mut self, now: Instant, env: &mut dyn Environment) {
        if self.current.as_ref().is_some_and(|key| now < key.since + LIFE) {
            return;
        }
        let mut material = vec![0; KEY_BYTES];
        env.random(&mut material);
        let keys = MessageKeys { encryption: Secret::new(material), integrity: Secret::new(Vec::new()) };
        // One that nobody asked for in two lives has no tickets left.
        self.previous = self.current.take().filter(|key| now < key.since + LIFE * 2);
        self.current = Some(Key { keys, since: now });
        self.version = self.version.wrapping_add(1);
        self.sealed = 0;
        self.used.retain(|_, until| *until > now);
    }

    /// Tickets that are remembered as used.
    pub(crate) fn used(&self) -> usize {
        self.used.len()
    }
}

fn millis(at: Instant) -> u64 {
    u64::try_from(at.since_epoch().as_millis()).unwrap_or(u64::MAX)
}

fn parse(content: &[u8]) -> Option<Resumable> {
    let (connection, rest) = content.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (expires_ms, rest) = rest.split_first_chunk()?;
    let ([suite, additional, ppk, kind], rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (id, sk_d) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let id = Identification { kind: IdType(*kind), reserved: [0; 3], data: id.to_vec() };
    Some(Resumable {
        connection: ConnectionId(u32::from_be_bytes(*connection)),
        epoch: u64::from_be_bytes(*epoch),
        expires_at: Instant::from_epoch(Duration::from_millis(u64::from_be_bytes(*expires_ms))),
        suite: *suite,
        additional: *additional,
        ppk: *ppk == 1,
        peer: Identity::from_wire(&id),
        sk_d: Secret::from(sk_d),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::plane::Plane;

    fn what(expires_at: Instant) -> Resumable {
        Resumable {
            connection: ConnectionId(7),
            epoch: 9,
            expires_at,
            suite: 1,
            additional: 2,
            ppk: true,
            peer: Identity::Fqdn("peer.example".into()),
            sk_d: Secret::from([5; 32].as_slice()),
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_ticket_says_what_it_was_issued_for_once_and_in_its_time() {
        let (mut tickets, mut env) = (Tickets::default(), Plane::new(1));
        let issued = tickets.issue(&what(at(5000)), at(1000), &mut env).unwrap();
        let (life, opaque) = read(&issued).unwrap();
        assert_eq!(life, Duration::from_secs(4000));
        let (id, found) = tickets.open(opaque, at(4999)).unwrap();
        let expected = what(at(5000));
        assert_eq!((found.connection, found.epoch, found.peer), (expected.connection, 9, expected.peer));
        assert_eq!((found.suite, found.additional, found.ppk), (1, 2, true));
        assert_eq!((found.sk_d, found.expires_at), (expected.sk_d, at(5000)));
        assert!(tickets.open(opaque, at(5000)).is_none(), "out of date");
        assert!(!opaque.windows(16).any(|window| window == [5; 16]), "its content is sealed");
        assert!(tickets.use_up(id, at(5000), at(2000)) && !tickets.use_up(id, at(5000), at(2000)));
        assert!(tickets.open(opaque, at(2000)).is_none(), "used");
    }

    #[test]
    fn no_byte_of_a_ticket_can_be_changed_and_no_other_gateway_opens_it() {
        let (mut tickets, mut env) = (Tickets::default(), Plane::new(1));
        let issued = tickets.issue(&what(at(5000)), at(1000), &mut env).unwrap();
        let opaque = issued[4..].to_vec();
        for index in 0..opaque.len() {
            let mut changed = opaque.clone();
            changed[index] ^= 1;
            assert!(tickets.open(&changed, at(1000)).is_none(), "byte {index}");
            assert!(tickets.open(&opaque[..index], at(1000)).is_none(), "{index} bytes");
        }
        let mut other = Tickets::default();
        other.issue(&what(at(5000)), at(1000), &mut Plane::new(2)).unwrap();
        assert!(other.open(&opaque, at(1000)).is_none());
        assert!(Tickets::default().open(&opaque, at(1000)).is_none());
    }

    #[test]
    fn a_ticket_outlives_one_change_of_the_key() {
        let (mut tickets, mut env) = (Tickets::default(), Plane::new(1));
        let far = at(10 * LIFE.as_secs());
        let issued = tickets.issue(&what(far), at(0), &mut env).unwrap();
        let renewed = |tickets: &mut Tickets, env: &mut Plane, lives: u64| {
            tickets.issue(&what(far), at(lives * LIFE.as_secs() + lives), env).unwrap();
        };
        renewed(&mut tickets, &mut env, 1);
        assert!(tickets.open(&issued[4..], at(1)).is_some());
        renewed(&mut tickets, &mut env, 2);
        assert!(tickets.open(&issued[4..], at(1)).is_none());
    }

    #[test]
    fn what_a_peer_calls_a_ticket_is_looked_at() {
        assert!(read(&[0, 0, 0]).is_none() && read(&[0, 0, 0, 9]).is_none(), "no ticket");
        assert!(read(&[0, 0, 0, 0, 1]).is_none(), "for no time");
        assert!(read(&[&[0, 0, 0, 9][..], &[1; 3000]].concat()).is_none(), "too long");
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 1]), Some((LIFE_MAX, &[1][..])));
    }
}
