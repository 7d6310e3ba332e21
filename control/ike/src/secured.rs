//! What every IKE SA has from the end of IKE_SA_INIT on: keys, message IDs, path; and how a message is sealed, sent, received and opened (RFC 7296, 2.1 to 2.3;
//! RFC 7383). Shared by all states from IKE_AUTH to the end.

use std::time::Duration;

use crate::crypto::kex::Group;
use crate::crypto::keys::{IkeKeys, IkeSpis, MessageKeys, Nonces};
use crate::crypto::prf::Prf;
use crate::crypto::suite::IkeSuite;
use crate::error::Stage;
use crate::event::Path;
use crate::mobility::Ends;
use crate::notice::What;
use crate::protect::{FragmentError, OpenError, Opened, Opener, Reassembler, Sealer, intermediate_octets};
use crate::sa::{Arrived, Cx};
use crate::secret::Secret;
use crate::window::{Arrival, Due, Retransmission, Window};
use crate::wire::{
    ExchangeType, Header, IkeSpi, Malformed, Message, MessageId, MessageKind, Payload, PayloadType, Role,
};

/// IP (IPv6, the larger) and UDP headers with the non-ESP marker, which a fragment shares its packet with.
const LOWER_HEADER_BYTES: usize = 40 + 8 + 4;

/// Keys, message IDs and path of an IKE SA.
#[derive(Debug)]
pub(crate) struct Secured {
    /// Of initiator and responder.
    pub(crate) spis: (IkeSpi, IkeSpi),
    /// Ours.
    pub(crate) role: Role,
    pub(crate) suite: IkeSuite,
    /// The additional key exchange that is in the keys.
    pub(crate) additional: Option<Group>,
    /// Whether a post-quantum pre-shared key is in the keys.
    pub(crate) ppk: bool,
    pub(crate) keys: IkeKeys,
    sealer: Sealer,
    opener: Opener,
    /// Opens repeats of the last message under the keys before the present ones.
    previous: Option<Opener>,
    requests: Reassembler,
    responses: Reassembler,
    pub(crate) window: Window,
    pub(crate) path: Path,
    /// Both ends of the path by which the last request came: its answer goes back there (RFC 7296, 2.11).
    asked_by: Option<Ends>,
    /// Whether the peer repeated its last request: our answer did not reach it.
    asked_again: bool,
    /// Whether the peer takes fragments.
    pub(crate) fragments: bool,
}

/// What a datagram came to.
pub(crate) enum Received {
    /// Dropped, repeated, or a fragment of more.
    Nothing,
    /// The peer sent something that cannot be read.
    Malformed(Malformed),
    /// A request or an answer that is due.
    Message(Message),
}

impl Secured {
    /// After IKE_SA_INIT.
    pub(crate) fn new(
        spis: (IkeSpi, IkeSpi),
        role: Role,
        keys: IkeKeys,
        path: Path,
        fragments: bool,
    ) -> Self {
        let window = Window::after_init(role == Role::Initiator);
        Self { window, ..Self::rekeyed(spis, role, keys, path, fragments) }
    }

    /// After a rekey: message IDs begin at 0 (RFC 7296, 2.18).
    pub(crate) fn rekeyed(
        spis: (IkeSpi, IkeSpi),
        role: Role,
        mut keys: IkeKeys,
        path: Path,
        fragments: bool,
    ) -> Self {
        let suite = keys.suite;
        let none = || MessageKeys { encryption: Secret::new(Vec::new()), integrity: Secret::new(Vec::new()) };
        let initiator = std::mem::replace(&mut keys.initiator, none());
        let responder = std::mem::replace(&mut keys.responder, none());
        let (ours, theirs) = match role {
            Role::Initiator => (initiator, responder),
            Role::Responder => (responder, initiator),
        };
        Self {
            spis,
            role,
            suite,
            additional: None,
            ppk: false,
            keys,
            sealer: Sealer::new(suite.cipher, ours),
            opener: Opener::new(suite.cipher, theirs),
            previous: None,
            requests: Reassembler::default(),
            responses: Reassembler::default(),
            window: Window::default(),
            path,
            asked_by: None,
            asked_again: false,
            fragments,
        }
    }

    pub(crate) const fn prf(&self) -> Prf {
        self.suite.prf
    }

    /// SK_d.
    pub(crate) const fn sk_d(&self) -> &Secret<Vec<u8>> {
        &self.keys.derive
    }

    /// What the peer sealed, whether it is due or not ([`crate::sim::Inside`]).
    pub(crate) fn content_of(&self, datagram: &[u8]) -> Option<(PayloadType, Vec<u8>)> {
        self.opener.open_content(datagram)
    }

    /// Seals anything, to be sent in the place of what was sent ([`crate::sim::Inside`]).
    pub(crate) fn seal_content(
        &mut self,
        header: &Header,
        first: PayloadType,
        content: &[u8],
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Option<Vec<u8>> {
        self.sealer.seal_content(header, first, content, random).ok()
    }

    /// Opens what is due; drops or answers again what is not.
    pub(crate) fn receive(&mut self, arrived: &Arrived<'_>, header: &Header, cx: &mut Cx<'_>) -> Received {
        let arrival = self.arrival(header);
        if header.sender == self.role || arrival == Arrival::Outside {
            cx.note_from(What::DropMessageId, arrived.remote);
            return Received::Nothing;
        }
        let opened = match self.opener.open(arrived.bytes) {
            Ok(opened) => opened,
            Err(OpenError::MalformedInside(malformed)) if arrival == Arrival::New => {
                return Received::Malformed(malformed);
            }
            Err(OpenError::MalformedInside(_)) => return self.repeat(cx),
            Err(OpenError::Malformed(_) | OpenError::NotProtected) => {
                cx.note_from(What::DropMalformed, arrived.remote);
                return Received::Nothing;
            }
            Err(OpenError::NotAuthentic) if arrival == Arrival::Repeat && self.is_previous(arrived) => {
                return self.repeat(cx);
            }
            Err(OpenError::NotAuthentic) => {
                cx.note_from(What::DropUnauthentic, arrived.remote);
                return Received::Nothing;
            }
        };
        if header.kind == MessageKind::Request {
            self.asked_by = Some((arrived.local, arrived.remote));
        }
        match (opened, arrival) {
            // Of a fragmented request, the first fragment alone brings the answer again (RFC 7383, 2.6.1).
            (Opened::Fragment(fragment), Arrival::Repeat) if fragment.number != 1 => Received::Nothing,
            (_, Arrival::Repeat) => self.repeat(cx),
            (Opened::Message(message), _) => Received::Message(message),
            (Opened::Fragment(fragment), _) => {
                let reassembler = match header.kind {
                    MessageKind::Request => &mut self.requests,
                    MessageKind::Response => &mut self.responses,
                };
                match reassembler.push(fragment) {
                    Ok(Some(message)) => Received::Message(message),
                    Ok(None) => Received::Nothing,
                    Err(FragmentError::Malformed(malformed)) => Received::Malformed(malformed),
                    Err(_) => {
                        cx.note_from(What::DropUnexpected, arrived.remote);
                        Received::Nothing
                    }
                }
            }
        }
    }

    fn is_previous(&self, arrived: &Arrived<'_>) -> bool {
        match self.previous.as_ref().map(|opener| opener.open(arrived.bytes)) {
            Some(Ok(Opened::Fragment(fragment))) => fragment.number == 1,
            Some(Ok(Opened::Message(_))) => true,
            _ => false,
        }
    }

    /// Mixes the secret of an additional key exchange into all keys (RFC 9370, 2.2.2).
    pub(crate) fn mix(&mut self, method: Group, shared: &Secret<Vec<u8>>, nonces: Nonces<'_>) {
        let spis = IkeSpis { initiator: self.spis.0, responder: self.spis.1 };
        let keys = self.keys.rekey(self.suite, shared, nonces, spis, None);
        let window = std::mem::take(&mut self.window);
        let fresh = Self::rekeyed(self.spis, self.role, keys, self.path, self.fragments);
        let old = std::mem::replace(self, Self { window, additional: Some(method), ..fresh });
        self.previous = Some(old.opener);
    }

    /// Mixes a post-quantum pre-shared key into what AUTH and Child SAs are made with (RFC 8784, 3).
    pub(crate) fn mix_ppk(&mut self, ppk: &Secret<Vec<u8>>) {
        self.keys.mix_ppk(ppk);
        self.ppk = true;
    }

    /// What IKE_INTERMEDIATE adds to AUTH for one message of `sender` (RFC 9242, 3.3.2).
    pub(crate) fn intermediate_octets(&self, sender: Role, message: &Message) -> Secret<Vec<u8>> {
        let covered =
            intermediate_octets(message).expect("a message that was sealed or opened fits its length fields");
        self.prf().compute(self.keys.prove(sender).expose(), &[&covered])
    }

    /// The header of our next request or answer.
    pub(crate) fn header(&self, exchange: ExchangeType, kind: MessageKind) -> Header {
        let id = match kind {
            MessageKind::Request => self.window.next_id(),
            MessageKind::Response => self.window.expected(),
        };
        Header {
            initiator_spi: self.spis.0,
            responder_spi: self.spis.1,
            exchange,
            sender: self.role,
            kind,
            id: MessageId(id),
        }
    }

    fn arrival(&self, header: &Header) -> Arrival {
        match header.kind {
            MessageKind::Request => self.window.arrival(header.id.0),
            MessageKind::Response if self.window.awaits(header.id.0) => Arrival::New,
            MessageKind::Response => Arrival::Outside,
        }
    }

    fn repeat(&mut self, cx: &mut Cx<'_>) -> Received {
        if !self.window.last_answer().is_empty() {
            cx.note(What::AnswerRepeated);
            self.asked_again = true;
            self.send_back(self.window.last_answer(), cx);
        }
        Received::Nothing
    }

    /// Sends a request and keeps sending it.
    pub(crate) fn request(&mut self, exchange: ExchangeType, payloads: Vec<Payload>, cx: &mut Cx<'_>) {
        let datagrams = self.seal(exchange, MessageKind::Request, self.window.next_id(), payloads, cx);
        self.send(&datagrams, cx);
        self.window.sent(Retransmission::start(datagrams, cx.now, cx.settings));
    }

    /// The same, but giving up after `limit`.
    pub(crate) fn request_within(
        &mut self,
        exchange: ExchangeType,
        payloads: Vec<Payload>,
        limit: Duration,
        cx: &mut Cx<'_>,
    ) {
        let datagrams = self.seal(exchange, MessageKind::Request, self.window.next_id(), payloads, cx);
        self.send(&datagrams, cx);
        self.window.sent(Retransmission::limited(datagrams, cx.now, cx.settings, limit));
    }

    /// Answers the request that is due, and keeps the answer for repeats.
    pub(crate) fn answer(&mut self, exchange: ExchangeType, payloads: Vec<Payload>, cx: &mut Cx<'_>) {
        let datagrams = self.seal(exchange, MessageKind::Response, self.window.expected(), payloads, cx);
        self.send_back(&datagrams, cx);
        self.window.answer(datagrams);
        self.previous = None;
    }

    /// Sends our request again if it is time.
    pub(crate) fn resend_due(&mut self, stage: Stage, cx: &mut Cx<'_>) -> Due {
        let (due, datagrams) = self.window.due(cx.now, cx.settings);
        if due == Due::Resend {
            for datagram in datagrams {
                cx.transmit(self.path.local, self.path.remote, datagram.clone());
            }
            cx.note_stage(What::Retransmit, stage);
        }
        due
    }

    fn seal(
        &mut self,
        exchange: ExchangeType,
        kind: MessageKind,
        id: u32,
        payloads: Vec<Payload>,
        cx: &mut Cx<'_>,
    ) -> Vec<Vec<u8>> {
        let header = Header {
            initiator_spi: self.spis.0,
            responder_spi: self.spis.1,
            exchange,
            sender: self.role,
            kind,
            id: MessageId(id),
        };
        let message = Message { header, payloads };
        let room = cx.settings.fragment_bytes.saturating_sub(LOWER_HEADER_BYTES);
        let random = &mut |out: &mut [u8]| cx.env.random(out);
        let sealed = if self.fragments {
            self.sealer.seal_fragments(&message, room, random)
        } else {
            self.sealer.seal(&message, random).map(|datagram| vec![datagram])
        };
        sealed.expect("our own messages have a few hundred selectors at most and fit")
    }

    /// Whether the peer repeated its last request since this was asked last.
    pub(crate) fn was_asked_again(&mut self) -> bool {
        std::mem::take(&mut self.asked_again)
    }

    /// Sends our request under way once more, by another path.
    pub(crate) fn resend_on(&self, ends: Ends, cx: &mut Cx<'_>) {
        send(self.window.outstanding(), ends, cx);
    }

    fn send(&self, datagrams: &[Vec<u8>], cx: &mut Cx<'_>) {
        send(datagrams, (self.path.local, self.path.remote), cx);
    }

    /// Sends an answer.
    fn send_back(&self, datagrams: &[Vec<u8>], cx: &mut Cx<'_>) {
        send(datagrams, self.asked_by.unwrap_or((self.path.local, self.path.remote)), cx);
    }
}

fn send(datagrams: &[Vec<u8>], (local, remote): Ends, cx: &mut Cx<'_>) {
    for datagram in datagrams {
        cx.transmit(local, remote, datagram.clone());
    }
}
