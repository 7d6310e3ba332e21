//! A client made by hand, out of the parts of the core: it does what it is told to, right or wrong.

use crossgate_eap::mschapv2::{Exchange, PasswordHash};

use super::super::certificates::name;
use super::super::*;
use super::{GATEWAY, wants_address};
use crate::auth::certificate::{self, Offer, Sign};
use crate::auth::{CertificateAuthentication, psk, signed_octets};
use crate::crypto::kex::PrivateValue;
use crate::crypto::keys::{IkeKeys, IkeSpis, Nonces};
use crate::crypto::suite::{Esn, esp_proposals, offer_ike};
use crate::sa::Arrived;
use crate::secured::{Received, Secured};
use crate::wire::{
    ExchangeType, Header, IdType, Identification, IkeSpi, KeyExchangeData, Message, MessageId, MessageKind,
    Payload, Role, Selector,
};

/// A client in the middle of its handshake, or after it.
pub(super) struct Client {
    at: SocketAddr,
    secured: Secured,
    request: Vec<u8>,
    nonce_of_gateway: Vec<u8>,
    answer: Vec<u8>,
    nonce: Vec<u8>,
    id: Identification,
}

/// What comes back to a client.
fn replies(pair: &mut Pair) -> Vec<Vec<u8>> {
    let is_reply = |packet: &Packet| packet.to == 0 && matches!(packet.carried, Carried::Ike(_));
    let keys: Vec<_> =
        pair.flying.iter().filter(|(_, packet)| is_reply(packet)).map(|(key, _)| *key).collect();
    let packets = keys.into_iter().filter_map(|key| pair.flying.remove(&key));
    packets
        .filter_map(|packet| match packet.carried {
            Carried::Ike(bytes) => Some(bytes),
            _ => None,
        })
        .collect()
}

impl Client {
    /// IKE_SA_INIT.
    pub(super) fn begin(pair: &mut Pair, number: u8) -> Self {
        let suite = connection(0).ike_suites[0];
        let at = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, number)), 500);
        let spi = IkeSpi(0x1000 + u64::from(number));
        let private = PrivateValue::draw(suite.group, &mut |out| out.fill(number));
        let ke = KeyExchangeData { group: suite.group.id(), public: private.public_value() };
        let nonce = vec![number; 32];
        let header = Header {
            initiator_spi: spi,
            responder_spi: IkeSpi::NONE,
            exchange: ExchangeType::IKE_SA_INIT,
            sender: Role::Initiator,
            kind: MessageKind::Request,
            id: MessageId(0),
        };
        let payloads = vec![
            Payload::SecurityAssociation(offer_ike(&[suite], &[None], None)),
            Payload::KeyExchange(ke),
            Payload::Nonce(nonce.clone()),
        ];
        let request = Message { header, payloads }.build().unwrap();
        pair.input(1, Input::Datagram { local: GATEWAY.parse().unwrap(), remote: at, bytes: &request });
        let answer = replies(pair).remove(0);
        let message = Message::parse(&answer).unwrap();
        let (nonce_of_gateway, spis) =
            (message.nonce().unwrap().clone(), (spi, message.header.responder_spi));
        let shared = private.agree(&message.ke().unwrap().public).unwrap();
        let nonces = Nonces { initiator: &nonce, responder: &nonce_of_gateway };
        let keys = IkeKeys::derive(suite, &shared, nonces, IkeSpis { initiator: spis.0, responder: spis.1 });
        let path = crate::event::Path {
            local: at,
            remote: GATEWAY.parse().unwrap(),
            encapsulation: crate::event::Encapsulation::None,
            nat_before_us: false,
            nat_before_peer: false,
        };
        let secured = Secured::new(spis, Role::Initiator, keys, path, false);
        let id = Identification { kind: IdType::FQDN, reserved: [0; 3], data: b"laptop.example".to_vec() };
        Self { at, secured, request, nonce_of_gateway, answer, nonce, id }
    }

    /// One request and its answer.
    pub(super) fn ask(&mut self, pair: &mut Pair, exchange: ExchangeType, payloads: Vec<Payload>) -> Message {
        self.send(pair, exchange, payloads);
        self.receive(pair)
    }

    /// The gateway's answer.
    pub(super) fn receive(&mut self, pair: &mut Pair) -> Message {
        let answer = replies(pair).remove(0);
        let header = Header::parse(&answer).unwrap();
        let arrived = Arrived { local: self.at, remote: GATEWAY.parse().unwrap(), bytes: &answer };
        let side = &mut pair.sides[0];
        let mut cx = side.endpoint.cx(pair.now, &mut side.plane);
        let Received::Message(message) = self.secured.receive(&arrived, &header, &mut cx) else {
            panic!("an answer\n{}", pair.trace())
        };
        self.secured.window.answered();
        message
    }

    /// One request, whose answer comes later.
    fn send(&mut self, pair: &mut Pair, exchange: ExchangeType, payloads: Vec<Payload>) {
        let side = &mut pair.sides[0];
        let mut cx = side.endpoint.cx(pair.now, &mut side.plane);
        self.secured.request(exchange, payloads, &mut cx);
        let mut sent = Vec::new();
        while let Some(output) = side.endpoint.poll_output() {
            if let Output::Transmit(transmit) = output {
                sent.push(transmit.bytes);
            }
        }
        for bytes in sent {
            pair.input(
                1,
                Input::Datagram { local: GATEWAY.parse().unwrap(), remote: self.at, bytes: &bytes },
            );
        }
    }

    /// The first request of IKE_AUTH; returns the first question.
    pub(super) fn ask_to_log_in(&mut self, pair: &mut Pair, more: Vec<Payload>) -> Message {
        let suite = connection(0).children[0].esp_suites[0];
        let spi = 0x4000 + u32::from(self.at.port()) + u32::from(self.nonce[0]);
        let any = vec![Selector::Range(TrafficSelector::any_ipv4())];
        let mut payloads = vec![
            Payload::IdInitiator(self.id.clone()),
            Payload::SecurityAssociation(esp_proposals(&[suite], &[], &[Esn::Off], spi)),
            Payload::TsInitiator(any.clone()),
            Payload::TsResponder(any),
        ];
        payloads.extend(more);
        self.ask(pair, ExchangeType::IKE_AUTH, payloads)
    }

    /// CREATE_CHILD_SA for everything on the gateway's side and this prefix on its own.
    pub(super) fn ask_for_child(&mut self, pair: &mut Pair, prefix: &str, bits: u8) -> Message {
        let suite = connection(0).children[0].esp_suites[0];
        let own = TrafficSelector::from_prefix(prefix.parse().unwrap(), bits).unwrap();
        let payloads = vec![
            Payload::SecurityAssociation(esp_proposals(&[suite], &[], &[Esn::Off], 0x5000)),
            Payload::Nonce(vec![8; 32]),
            Payload::TsInitiator(vec![Selector::Range(own)]),
            Payload::TsResponder(vec![Selector::Range(TrafficSelector::any_ipv4())]),
        ];
        self.ask(pair, ExchangeType::CREATE_CHILD_SA, payloads)
    }

    /// Answers EAP questions until there are none; the last answer of the gateway, and the key.
    pub(super) fn log_in(
        &mut self,
        pair: &mut Pair,
        first: Message,
        user: &str,
        password: &str,
    ) -> (Message, Vec<u8>) {
        let (mut message, mut key) = (first, Vec::new());
        while let Some(packet) = message.eap().filter(|packet| packet[0] == 1).cloned() {
            let (data, password) = (&packet[5..], PasswordHash::of(password));
            let answer = match (packet[4], data.first()) {
                (1, _) => user.as_bytes().to_vec(),
                (26, Some(1)) => {
                    let challenge = data[5..].first_chunk().unwrap();
                    let exchange = |proof| Exchange {
                        challenge,
                        peer_challenge: &[7; 16],
                        user: user.as_bytes(),
                        proof,
                    };
                    let proof = exchange(&[0; 24]).client_proof(&password);
                    key = exchange(&proof).msk(&password).to_vec();
                    let head = [2, data[1], 0, 0, 49];
                    [&head[..], &[7; 16], &[0; 8], proof.as_slice(), &[0], user.as_bytes()].concat()
                }
                (26, Some(code)) => vec![*code],
                other => panic!("{other:?}"),
            };
            let length = u16::try_from(answer.len() + 5).unwrap().to_be_bytes();
            let packet = [&[2, packet[1], length[0], length[1], packet[4]][..], &answer].concat();
            message = self.ask(pair, ExchangeType::IKE_AUTH, vec![Payload::Eap(packet)]);
        }
        (message, key)
    }

    /// AUTH by the key of the log-in; checks the gateway's.
    pub(super) fn prove(&mut self, pair: &mut Pair, key: &[u8]) -> Message {
        let (prf, key) = (self.secured.prf(), Secret::from(key));
        let sk_p = self.secured.keys.prove(Role::Initiator);
        let signed = signed_octets(prf, &self.request, &self.nonce_of_gateway, sk_p, &self.id, &[]);
        let auth = psk::authenticate(prf, &key, &signed);
        let message = self.ask(pair, ExchangeType::IKE_AUTH, vec![Payload::Authentication(auth)]);
        if let Some(auth) = message.auth() {
            let id = Identity::Fqdn(name(1)).to_wire();
            let sk_p = self.secured.keys.prove(Role::Responder);
            let signed = signed_octets(prf, &self.answer, &self.nonce, sk_p, &id, &[]);
            assert!(psk::verify(prf, &key, &signed, auth).is_some(), "the gateway has the key, too");
        }
        message
    }

    /// The first request of IKE_AUTH with a proof by certificate, and the gateway's answer.
    pub(super) fn prove_by(
        &mut self,
        pair: &mut Pair,
        by: &Arc<CertificateAuthentication>,
        more: Vec<Payload>,
    ) -> Message {
        let (prf, sk_p) = (self.secured.prf(), self.secured.keys.prove(Role::Initiator));
        let signed = signed_octets(prf, &self.request, &self.nonce_of_gateway, sk_p, &self.id, &[]);
        let offer = Offer::of_bytes(&self.answer);
        let sign = Sign::prepare(by, &offer, signed, crossgate_pki::testing::NOW, [3; 32].into()).unwrap();
        let (_, proof) = certificate::Work { verify: None, sign: Some(sign) }.run().unwrap();
        let mut payloads: Vec<Payload> =
            certificate::chain(by, &Offer::default(), crossgate_pki::testing::NOW).collect();
        payloads.push(Payload::Authentication(proof.unwrap().auth));
        payloads.extend(more);
        self.ask_to_log_in(pair, payloads)
    }

    /// One answer to a question of EAP.
    pub(super) fn answer(&mut self, pair: &mut Pair, question: &Message, data: &[u8]) -> Message {
        self.ask(pair, ExchangeType::IKE_AUTH, vec![answered(question, data)])
    }

    /// The same, where the gateway has nothing to say yet.
    pub(super) fn send_answer(&mut self, pair: &mut Pair, question: &Message, data: &[u8]) {
        self.send(pair, ExchangeType::IKE_AUTH, vec![answered(question, data)]);
    }

    /// The first request of IKE_AUTH of a client that asks for its Child SA later (RFC 6023).
    pub(super) fn ask_without_child(&mut self, pair: &mut Pair, more: Vec<Payload>) -> Message {
        let id = Payload::IdInitiator(self.id.clone());
        self.ask(pair, ExchangeType::IKE_AUTH, std::iter::once(id).chain(more).collect())
    }

    /// All of it.
    pub(super) fn connect(pair: &mut Pair, number: u8, user: &str) -> (Self, Message) {
        let mut client = Self::begin(pair, number);
        let first = client.ask_to_log_in(pair, vec![wants_address()]);
        assert!(first.auth().is_some() && first.id_responder().is_some(), "the gateway proves itself first");
        let (last, key) = client.log_in(pair, first, user, &format!("secret of {user}"));
        assert_eq!(last.eap().map(|packet| packet[0]), Some(3), "EAP-Success");
        let message = client.prove(pair, &key);
        (client, message)
    }
}

/// What a client says to a question of EAP.
fn answered(question: &Message, data: &[u8]) -> Payload {
    let packet = question.eap().unwrap();
    let length = u16::try_from(data.len() + 5).unwrap().to_be_bytes();
    Payload::Eap([&[2, packet[1], length[0], length[1], packet[4]][..], data].concat())
}
