//! Recordings of strongSwan 5.9.8 with itself: what it sent is read, written again, opened and proven with its own keys.
//!
//! Two charons in network namespaces, captured on the link between them; keys are those that the initiator logged. All
//! keys, the shared one included, were made for these recordings and are thrown away.

#![expect(clippy::unwrap_used, reason = "a recording that is not as described fails its test")]

use std::net::SocketAddr;

use crossgate_ike::auth::{psk, signed_octets};
use crossgate_ike::crypto::keys::{ChildKeys, IkeKeys, IkeSpis, Nonces};
use crossgate_ike::crypto::suite::{
    Esn, EspSuite, Group, IkeCipher, IkeSuite, Integrity, KeyBits, Prf, accept_esp, accept_ike, choose_esp,
    choose_ike,
};
use crossgate_ike::identity::Identity;
use crossgate_ike::nat;
use crossgate_ike::protect::{Opened, Opener, Reassembler, Sealer};
use crossgate_ike::secret::Secret;
use crossgate_ike::selector::TrafficSelector;
use crossgate_ike::wire::{
    Delete, ExchangeType, IkeSpi, Message, MessageKind, NotifyType, Proposal, Role, ranges,
};

mod capture;
mod cbc;
mod fragments;
mod gcm;

use capture::{Capture, LoggedKeys};

/// The shared key of every recording.
const THROW_AWAY_SHARED_KEY: &[u8] = b"throw-away test key";

/// One recording and what its configuration asked for.
struct Recording {
    name: &'static str,
    capture: Capture,
    suite: IkeSuite,
    esp: EspSuite,
    identities: [&'static str; 2],
}

fn recordings() -> [Recording; 3] {
    [
        Recording {
            name: "gcm",
            capture: gcm::CAPTURE,
            suite: IkeSuite {
                cipher: IkeCipher::AesGcm16(KeyBits::B256),
                prf: Prf::HmacSha2_384,
                group: Group::Ecp384,
            },
            esp: EspSuite::AesGcm16(KeyBits::B256),
            identities: ["192.0.2.1", "192.0.2.2"],
        },
        Recording {
            name: "cbc",
            capture: cbc::CAPTURE,
            suite: IkeSuite {
                cipher: IkeCipher::AesCbc(KeyBits::B128, Integrity::HmacSha2_256_128),
                prf: Prf::HmacSha2_256,
                group: Group::Curve25519,
            },
            esp: EspSuite::AesGcm16(KeyBits::B128),
            identities: ["gw-a.example.test", "admin@gw-b.example.test"],
        },
        Recording {
            name: "fragments",
            capture: fragments::CAPTURE,
            suite: IkeSuite {
                cipher: IkeCipher::AesCbc(KeyBits::B256, Integrity::HmacSha2_512_256),
                prf: Prf::HmacSha2_512,
                group: Group::Modp2048,
            },
            esp: EspSuite::AesGcm16(KeyBits::B256),
            identities: ["keyid:site-a", "gw-b.example.test"],
        },
    ]
}

impl Recording {
    fn init(&self) -> (Message, Message) {
        (parse(self.capture.init_request), parse(self.capture.init_response))
    }

    fn spis(&self) -> IkeSpis {
        let (_, response) = self.init();
        IkeSpis { initiator: response.header.initiator_spi, responder: response.header.responder_spi }
    }

    /// Keys derived by us, from the secret that strongSwan logged.
    fn keys(&self) -> IkeKeys {
        let (request, response) = self.init();
        let shared = Secret::from(self.capture.keys.shared);
        IkeKeys::derive(self.suite, &shared, nonces(&request, &response), self.spis())
    }

    fn open(&self, sender: Role, datagrams: &[&[u8]]) -> Message {
        let keys = self.keys();
        let opener = match sender {
            Role::Initiator => Opener::new(self.suite.cipher, keys.initiator),
            Role::Responder => Opener::new(self.suite.cipher, keys.responder),
        };
        let mut reassembler = Reassembler::default();
        let mut whole = None;
        for datagram in datagrams {
            assert!(whole.is_none(), "{}: complete before the last datagram", self.name);
            whole = match opener.open(datagram).unwrap() {
                Opened::Message(message) => Some(message),
                Opened::Fragment(fragment) => reassembler.push(fragment).unwrap(),
            };
        }
        whole.expect("the last datagram completes the message")
    }

    fn sent_by_initiator(&self, datagrams: &[&[u8]]) -> Message {
        self.open(Role::Initiator, datagrams)
    }

    fn sent_by_responder(&self, datagrams: &[&[u8]]) -> Message {
        self.open(Role::Responder, datagrams)
    }
}

fn parse(datagram: &[u8]) -> Message {
    Message::parse(datagram).unwrap()
}

fn nonces<'a>(request: &'a Message, response: &'a Message) -> Nonces<'a> {
    Nonces { initiator: request.nonce().unwrap(), responder: response.nonce().unwrap() }
}

fn assert_keys(name: &str, ours: &IkeKeys, logged: &LoggedKeys) {
    for (key, ours, logged) in [
        ("SK_d", &ours.derive, logged.sk_d),
        ("SK_ai", &ours.initiator.integrity, logged.sk_ai),
        ("SK_ar", &ours.responder.integrity, logged.sk_ar),
        ("SK_ei", &ours.initiator.encryption, logged.sk_ei),
        ("SK_er", &ours.responder.encryption, logged.sk_er),
        ("SK_pi", &ours.prove_initiator, logged.sk_pi),
        ("SK_pr", &ours.prove_responder, logged.sk_pr),
    ] {
        assert!(ours.matches(logged), "{name}: {key}");
    }
}

#[test]
fn init_messages_are_built_again_byte_for_byte() {
    for recording in recordings() {
        for datagram in [recording.capture.init_request, recording.capture.init_response] {
            assert_eq!(parse(datagram).build().unwrap(), datagram, "{}", recording.name);
        }
    }
}

#[test]
fn protected_datagrams_are_built_again_byte_for_byte_around_what_is_sealed() {
    for Recording { capture, name, .. } in recordings() {
        for datagrams in [capture.auth_request, capture.auth_response, capture.child_request] {
            for datagram in datagrams {
                assert_eq!(parse(datagram).build().unwrap(), *datagram, "{name}");
            }
        }
    }
}

/// Transforms by kind: their order on the wire says nothing.
fn in_order(proposal: &Proposal) -> Proposal {
    let mut proposal = proposal.clone();
    proposal.transforms.sort_by_key(|transform| transform.kind);
    proposal
}

#[test]
fn init_messages_negotiate_the_configured_suite() {
    for recording in recordings() {
        let (request, response) = recording.init();
        let (offer, answer) = (request.sa().unwrap(), response.sa().unwrap());
        let ke = request.ke().unwrap();
        assert_eq!(ke.group, recording.suite.group.id());
        assert_eq!(ke.public.len(), recording.suite.group.public_bytes());
        let chosen = choose_ike(&[recording.suite], offer, ke.group).expect(recording.name);
        assert_eq!(chosen.suite, recording.suite);
        assert_eq!(in_order(&chosen.proposal), in_order(&answer[0]), "{}", recording.name);
        assert_eq!(accept_ike(&[recording.suite], answer).unwrap().suite, recording.suite);
        assert!(request.notify(NotifyType::IKEV2_FRAGMENTATION_SUPPORTED).is_some());
        assert_eq!(request.header.responder_spi, IkeSpi::NONE);
        assert_eq!((request.header.sender, request.header.kind), (Role::Initiator, MessageKind::Request));
        assert_eq!((response.header.sender, response.header.kind), (Role::Responder, MessageKind::Response));
    }
}

#[test]
fn nat_detection_hashes_are_those_of_the_addresses_on_the_wire() {
    let addresses: [SocketAddr; 2] = ["192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap()];
    for recording in recordings() {
        let (request, response) = recording.init();
        let hash = |message: &Message, kind, address| {
            let sent = &message.notify(kind).unwrap().data;
            let (initiator, responder) = (message.header.initiator_spi, message.header.responder_spi);
            sent.as_slice() == nat::detection(IkeSpis { initiator, responder }, address)
        };
        let (source, destination) =
            (NotifyType::NAT_DETECTION_SOURCE_IP, NotifyType::NAT_DETECTION_DESTINATION_IP);
        assert!(hash(&request, destination, addresses[1]), "{}", recording.name);
        assert!(hash(&response, destination, addresses[0]), "{}", recording.name);
        // ESP in userspace works in UDP only: strongSwan pretends that there is a NAT by a wrong source.
        assert!(!hash(&request, source, addresses[0]) && !hash(&response, source, addresses[1]));
    }
}

#[test]
fn ike_keys_are_those_that_strongswan_derived() {
    for recording in recordings() {
        let (request, response) = recording.init();
        let Nonces { initiator, responder } = nonces(&request, &response);
        let logged = &recording.capture.keys;
        let skeyseed = recording.suite.prf.compute(&[initiator, responder].concat(), &[logged.shared]);
        assert!(skeyseed.matches(logged.skeyseed), "{}: SKEYSEED", recording.name);
        assert_keys(recording.name, &recording.keys(), logged);
    }
}

#[test]
fn auth_by_shared_key_is_what_strongswan_sent_and_verifies() {
    let key = Secret::from(THROW_AWAY_SHARED_KEY);
    for recording in recordings() {
        let (name, prf, keys) = (recording.name, recording.suite.prf, recording.keys());
        let (init_request, init_response) = recording.init();
        let request = recording.sent_by_initiator(recording.capture.auth_request);
        let response = recording.sent_by_responder(recording.capture.auth_response);
        let (id_i, id_r) = (request.id_initiator().unwrap(), response.id_responder().unwrap());
        assert_eq!(request.header.exchange, ExchangeType::IKE_AUTH);
        for (id, expected) in [id_i, id_r].into_iter().zip(recording.identities) {
            assert_eq!(Identity::from_wire(id), expected.parse().unwrap(), "{name}");
            assert_eq!(expected.parse::<Identity>().unwrap().to_wire(), *id, "{name}");
        }
        let sides = [
            (recording.capture.init_request, &init_response, &keys.prove_initiator, id_i, &request),
            (recording.capture.init_response, &init_request, &keys.prove_responder, id_r, &response),
        ];
        for (init, other, sk_p, id, message) in sides {
            let octets = signed_octets(prf, init, other.nonce().unwrap(), sk_p, id, &[]);
            let sent = message.auth().unwrap();
            assert_eq!(psk::authenticate(prf, &key, &octets), *sent, "{name}");
            assert!(psk::verify(prf, &key, &octets, sent).is_some(), "{name}");
            assert!(psk::verify(prf, &key, &octets[1..], sent).is_none(), "{name}");
        }
    }
}

#[test]
fn child_keys_selectors_and_suite_are_strongswans() {
    for recording in recordings() {
        let (name, esp, capture) = (recording.name, recording.esp, &recording.capture);
        let (init_request, init_response) = recording.init();
        let sk_d = Secret::from(capture.keys.sk_d);
        let derive = |shared, nonces| ChildKeys::derive(recording.suite.prf, &sk_d, esp, shared, nonces);
        let first = derive(None, nonces(&init_request, &init_response));
        assert!(first.initiator.matches(capture.child.initiator), "{name}");
        assert!(first.responder.matches(capture.child.responder), "{name}");

        let request = recording.sent_by_initiator(capture.auth_request);
        let response = recording.sent_by_responder(capture.auth_response);
        let local = [TrafficSelector::from_prefix("10.1.0.0".parse().unwrap(), 24).unwrap()];
        assert_eq!(ranges(request.ts_initiator().unwrap()), local, "{name}");
        let remote = [TrafficSelector::from_prefix("10.2.0.0".parse().unwrap(), 24).unwrap()];
        assert_eq!(ranges(response.ts_responder().unwrap()), remote, "{name}");
        let chosen = choose_esp(&[esp], &[], &[Esn::Off], request.sa().unwrap(), None).expect(name);
        assert_eq!((chosen.suite, chosen.group, chosen.esn), (esp, None, Esn::Off));
        let accepted = accept_esp(&[esp], &[], &[Esn::Off], response.sa().unwrap()).expect(name);
        assert_eq!(accepted.suite, esp);
    }
}

#[test]
fn a_rekeyed_child_gets_strongswans_keys_and_the_old_one_is_deleted_by_its_spi() {
    for recording in recordings() {
        let (name, capture) = (recording.name, &recording.capture);
        let auth = recording.sent_by_initiator(capture.auth_request);
        let request = recording.sent_by_initiator(capture.child_request);
        let response = recording.sent_by_responder(capture.child_response);
        let logged = &capture.rekeyed_child;
        assert_eq!(request.ke().is_some(), logged.shared.is_some(), "{name}");
        let keys = ChildKeys::derive(
            recording.suite.prf,
            &Secret::from(capture.keys.sk_d),
            recording.esp,
            logged.shared.map(Secret::from).as_ref(),
            nonces(&request, &response),
        );
        assert!(keys.initiator.matches(logged.initiator), "{name}");
        assert!(keys.responder.matches(logged.responder), "{name}");

        let old = auth.sa().unwrap()[0].spi.clone();
        let rekeyed = request.notify(NotifyType::REKEY_SA).unwrap();
        assert_eq!(rekeyed.spi, old, "{name}");
        let deleted = recording.sent_by_initiator(capture.delete_request);
        let spis: Vec<_> = deleted.deletes().cloned().collect();
        let [Delete::Child { spis, .. }] = spis.as_slice() else { panic!("{name}: {spis:?}") };
        assert_eq!(*spis, [rekeyed.child_spi().unwrap()], "{name}");
        assert_eq!(recording.sent_by_responder(capture.delete_response).deletes().count(), 1, "{name}");
    }
}

#[test]
fn a_rekeyed_ike_sa_gets_strongswans_keys() {
    for recording in recordings() {
        let (name, capture) = (recording.name, &recording.capture);
        let request = recording.sent_by_initiator(capture.rekey_request);
        let response = recording.sent_by_responder(capture.rekey_response);
        let spi = |message: &Message| {
            let proposal = &message.sa().unwrap()[0];
            IkeSpi(u64::from_be_bytes(proposal.spi.as_slice().try_into().unwrap()))
        };
        let spis = IkeSpis { initiator: spi(&request), responder: spi(&response) };
        let shared = Secret::from(capture.rekeyed.shared);
        let keys = recording.keys().rekey(recording.suite, &shared, nonces(&request, &response), spis, None);
        assert_keys(name, &keys, &capture.rekeyed);
    }
}

#[test]
fn an_opened_message_seals_to_what_strongswan_sent_but_for_its_random_padding() {
    for recording in recordings() {
        let datagrams = recording.capture.child_request;
        let message = recording.sent_by_initiator(datagrams);
        let (cipher, keys) = (recording.suite.cipher, recording.keys());
        let mut sealer = Sealer::new(cipher, keys.initiator);
        // The IVs of the recording, one a datagram; AES-GCM has its own counter, so only lengths can be the same there.
        let head_bytes = if datagrams.len() == 1 { 32 } else { 36 };
        let mut next = datagrams.iter();
        let mut ivs = |iv: &mut [u8]| iv.copy_from_slice(&next.next().unwrap()[head_bytes..][..iv.len()]);
        let most = datagrams.iter().map(|datagram| datagram.len()).max().unwrap();
        let sealed = sealer.seal_fragments(&message, most, &mut ivs).unwrap();
        assert_eq!(sealed.len(), datagrams.len(), "{}", recording.name);
        for (ours, theirs) in sealed.iter().zip(datagrams) {
            assert_eq!(ours.len(), theirs.len(), "{}", recording.name);
            let same =
                if cipher.has_counter_iv() { head_bytes } else { ours.len() - cipher.icv_bytes() - 16 };
            assert_eq!(ours[..same], theirs[..same], "{}", recording.name);
        }
        assert_eq!(
            recording.sent_by_initiator(&sealed.iter().map(Vec::as_slice).collect::<Vec<_>>()),
            message
        );
    }
}

#[test]
fn a_damaged_recording_does_not_open() {
    for recording in recordings() {
        let datagram = recording.capture.auth_request[0];
        let opener = Opener::new(recording.suite.cipher, recording.keys().initiator);
        assert!(opener.open(datagram).is_ok());
        for at in 0..datagram.len() {
            let mut damaged = datagram.to_vec();
            damaged[at] ^= 1;
            assert!(opener.open(&damaged).is_err(), "{}: byte {at}", recording.name);
        }
    }
}
