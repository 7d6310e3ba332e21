//! Quick crash detection (RFC 6290): who restarted proves it, and nobody else can.

use super::*;
use crate::crash::token_for;
use crate::wire::{
    ExchangeType, Header, IkeSpi, Message, MessageId, MessageKind, Notify, NotifyType, Payload, Role,
};

/// Both begin and answer.
fn both_ways(_: usize, config: &mut ConnectionConfig) {
    config.mode = Mode::Default;
}

/// The SPIs of the one IKE SA.
fn spis(pair: &Pair) -> (IkeSpi, IkeSpi) {
    status(pair, 0).ike_sas[0].spis
}

/// The address of a side as IKE has it.
fn at(pair: &Pair, index: usize) -> SocketAddr {
    SocketAddr::new(pair.sides[index].address, 500)
}

/// What sends at `index` sends into the void: the other side's data plane says so.
fn send_into_the_void(pair: &mut Pair, index: usize) {
    let sent = pair.sides[index].plane.sends_on(CONNECTION, 0).expect("it sends");
    let spi = sent.outbound.spi;
    let (local, remote) = (at(pair, 1 - index), at(pair, index));
    pair.command(1 - index, Command::UnknownSa { local, remote, spi });
}

/// A connection that only waits for its peer.
fn wait_for_peer(pair: &mut Pair, index: usize) {
    let mut config = connection(index);
    config.mode = Mode::ResponderOnly;
    config.additional = vec![None, Some(Group::MlKem768)];
    pair.command(index, Command::Configure(Box::new(config)));
}

/// A datagram from side 1 to side 0.
fn tell(pair: &mut Pair, header: Header, payloads: Vec<Payload>) {
    let bytes = Message { header, payloads }.build().unwrap();
    let (local, remote) = (at(pair, 0), at(pair, 1));
    pair.input(0, Input::Datagram { local, remote, bytes: &bytes });
}

fn invalid() -> Payload {
    Payload::Notify(Notify::new(NotifyType::INVALID_IKE_SPI, Vec::new()))
}

fn token(data: Vec<u8>) -> Payload {
    Payload::Notify(Notify::new(NotifyType::QUICK_CRASH_DETECTION, data))
}

/// The header of what the peer of side 0 answers without protection.
fn answer(spis: (IkeSpi, IkeSpi)) -> Header {
    Header {
        initiator_spi: spis.0,
        responder_spi: spis.1,
        exchange: ExchangeType::INFORMATIONAL,
        sender: Role::Responder,
        kind: MessageKind::Response,
        id: MessageId(2),
    }
}

#[test]
fn peer_that_restarted_proves_it_and_is_called_again_at_once() {
    // After no rekey, after one by either side; with an additional exchange and without; either side restarts.
    for rekeyed_by in [None, Some(0), Some(1)] {
        for mixed in [false, true] {
            for restarted in [0, 1] {
                let note = format!("rekeyed by {rekeyed_by:?}, mixed {mixed}, {restarted} restarts");
                let mut pair = Pair::connected(1, Link::LAN, |index, config| {
                    both_ways(index, config);
                    if mixed {
                        config.additional = vec![Some(Group::MlKem768)];
                    }
                });
                if let Some(index) = rekeyed_by {
                    let before = spis(&pair);
                    pair.command(index, Command::RekeyIke(CONNECTION));
                    pair.run_until_idle();
                    assert_ne!(before, spis(&pair), "{note}");
                }
                pair.assert_up(&note);
                pair.restart(restarted);
                wait_for_peer(&mut pair, restarted);
                send_into_the_void(&mut pair, 1 - restarted);
                pair.run_for(Duration::from_millis(100));
                pair.assert_up(&note);
                assert_eq!(pair.count(1 - restarted, What::PeerRestarted), 1, "{note}\n{}", pair.trace());
                assert_eq!(pair.count(restarted, What::TokenPresented), 1, "{note}\n{}", pair.trace());
                let down =
                    pair.sides[1 - restarted].events.iter().filter(|event| event.contains("PeerRestarted"));
                assert!(down.count() >= 1, "{note}\n{}", pair.trace());
            }
        }
    }
}

#[test]
fn peer_without_the_secret_is_found_out_by_dead_peer_detection() {
    let mut pair = Pair::connected(1, Link::LAN, both_ways);
    pair.sides[1].settings.crash_secret = Some(Arc::new(Secret::from([9; 32].as_slice())));
    pair.restart(1);
    wait_for_peer(&mut pair, 1);
    send_into_the_void(&mut pair, 0);
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.live_ikes()[0], 1, "{}", pair.trace());
    assert!(pair.count(0, What::DropToken) > 0, "{}", pair.trace());
    pair.run_for(Duration::from_secs(120));
    pair.assert_up("dead peer detection");
    assert_eq!(pair.count(0, What::PeerRestarted), 0);
}

#[test]
fn forged_tokens_change_nothing() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let spis = spis(&pair);
    let right = |of: (IkeSpi, IkeSpi), pair: &Pair| match token_for(&pair.sides[1].settings, of) {
        Some(Payload::Notify(notify)) => notify.data,
        other => panic!("{other:?}"),
    };
    let (proof, own) = (
        right(spis, &pair),
        match token_for(&pair.sides[0].settings, spis) {
            Some(Payload::Notify(notify)) => notify.data,
            other => panic!("{other:?}"),
        },
    );
    let elsewhere = right((spis.0, IkeSpi(spis.1.0 ^ 1)), &pair);
    let mut bent = proof.clone();
    bent[31] ^= 1;
    let before = format!("{:?}", pair.sides[0].endpoint.status());
    let forged = [
        vec![invalid()],
        vec![invalid(), token(own)],
        vec![invalid(), token(elsewhere)],
        vec![invalid(), token(bent.clone())],
        vec![invalid(), token(proof[..16].to_vec())],
        vec![invalid(), token(Vec::new())],
        // The fifth is not looked at; without the error it means nothing.
        [vec![invalid()], vec![token(bent.clone()); 4], vec![token(proof.clone())]].concat(),
        vec![token(proof.clone())],
    ];
    for payloads in forged {
        tell(&mut pair, answer(spis), payloads);
    }
    // The right token in the wrong place: a request, another IKE SA, another role.
    let proven = || vec![invalid(), token(proof.clone())];
    tell(&mut pair, Header { kind: MessageKind::Request, ..answer(spis) }, proven());
    tell(&mut pair, Header { responder_spi: IkeSpi(spis.1.0 ^ 1), ..answer(spis) }, proven());
    tell(&mut pair, Header { sender: Role::Initiator, ..answer(spis) }, proven());
    assert_eq!(before, format!("{:?}", pair.sides[0].endpoint.status()), "{}", pair.trace());
    assert_eq!(pair.count(0, What::PeerRestarted), 0);
    pair.run_until_idle();
    pair.assert_up("after forged tokens");
    // The fourth of four is.
    let last = [vec![invalid()], vec![token(bent); 3], vec![token(proof)]].concat();
    tell(&mut pair, answer(spis), last);
    assert_eq!(pair.count(0, What::PeerRestarted), 1, "{}", pair.trace());
}

#[test]
fn token_of_a_live_ike_sa_is_told_to_nobody() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let live = spis(&pair);
    let ask = |pair: &mut Pair, spis: (IkeSpi, IkeSpi), sender, kind| {
        let header = Header { sender, kind, exchange: ExchangeType::INFORMATIONAL, ..answer(spis) };
        let mut bytes = Message { header, payloads: Vec::new() }.build().unwrap();
        // As if it were protected: an SK payload of 60 bytes.
        bytes[16] = 46;
        bytes.extend([0, 0, 0, 64]);
        bytes.extend([7; 60]);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[24..28].copy_from_slice(&length.to_be_bytes());
        let (local, remote) = (at(pair, 1), at(pair, 0));
        pair.input(1, Input::Datagram { local, remote, bytes: &bytes });
    };
    let gone = (IkeSpi(77), IkeSpi(78));
    for spis in [live, (live.1, live.0), (gone.0, live.1), (live.1, gone.1), (gone.0, IkeSpi::NONE)] {
        for sender in [Role::Initiator, Role::Responder] {
            for kind in [MessageKind::Request, MessageKind::Response] {
                ask(&mut pair, spis, sender, kind);
                assert_eq!(pair.count(1, What::TokenPresented), 0, "{spis:?} {sender:?} {kind:?}");
            }
        }
    }
    // Answers are never answered; what is gone is, but not to a flood.
    ask(&mut pair, gone, Role::Initiator, MessageKind::Response);
    assert_eq!(pair.count(1, What::TokenPresented), 0);
    for _ in 0..1000 {
        ask(&mut pair, gone, Role::Initiator, MessageKind::Request);
    }
    assert_eq!(pair.count(1, What::TokenPresented), 20);
    // Nor to strangers, however many they are: what peers may be told stays theirs.
    pair.run_for(Duration::from_secs(60));
    for stranger in 0..2000_u32 {
        pair.sides[0].address = IpAddr::V4(Ipv4Addr::from(0xc633_6400 + stranger));
        ask(&mut pair, gone, Role::Initiator, MessageKind::Request);
    }
    assert_eq!(pair.count(1, What::TokenPresented), 20);
    pair.sides[0].address = "192.0.2.1".parse().unwrap();
    ask(&mut pair, gone, Role::Initiator, MessageKind::Request);
    assert_eq!(pair.count(1, What::TokenPresented), 21);
    pair.run_until_idle();
    pair.assert_up("after all of that");
}

#[test]
fn hints_of_anybody_ask_the_peer_at_most_every_ten_seconds() {
    let mut pair = Pair::connected(1, Link::LAN, both_ways);
    let spi = pair.sides[0].plane.sends_on(CONNECTION, 0).expect("it sends").outbound.spi;
    let hint = |pair: &mut Pair, spi: u32| {
        let header = Header {
            sender: Role::Initiator,
            kind: MessageKind::Request,
            id: MessageId(0),
            ..answer((IkeSpi(99), IkeSpi::NONE))
        };
        let notify = Notify::new(NotifyType::INVALID_SPI, spi.to_be_bytes().to_vec());
        tell(pair, header, vec![Payload::Notify(notify)]);
        pair.run_for(Duration::from_millis(20));
    };
    let already = pair.count(0, What::LivenessAsked);
    hint(&mut pair, spi.0 ^ 1);
    assert_eq!(pair.count(0, What::LivenessAsked), already, "an SPI that it does not send on");
    for _ in 0..100 {
        hint(&mut pair, spi.0);
    }
    assert_eq!(pair.count(0, What::LivenessAsked), already + 1, "{}", pair.trace());
    pair.run_for(Duration::from_secs(10));
    hint(&mut pair, spi.0);
    assert_eq!(pair.count(0, What::LivenessAsked), already + 2, "{}", pair.trace());
    pair.assert_up("it answers");
}

#[test]
fn peer_that_may_be_anywhere_is_told_of_a_crash_from_an_address_that_another_one_is_known_at() {
    let mut pair = Pair::connected(1, Link::LAN, both_ways);
    pair.restart(1);
    let mut roaming = connection(1);
    roaming.mode = Mode::ResponderOnly;
    roaming.places.clear();
    // Behind the same address is a peer that speaks IKEv1.
    let mut other = ConnectionConfig { id: ConnectionId(CONNECTION.0 + 1), ..connection(1) };
    other.mode = Mode::ResponderOnly;
    other.version = crate::config::Version::V1;
    let sha256 = crate::crypto::suite::Integrity::HmacSha2_256_128;
    other.ike_suites = vec![IkeSuite {
        cipher: IkeCipher::AesCbc(KeyBits::B256, sha256),
        prf: sha256.prf(),
        group: Group::Ecp256,
    }];
    for config in [other, roaming] {
        pair.command(1, Command::Configure(Box::new(config)));
    }
    send_into_the_void(&mut pair, 0);
    pair.run_for(Duration::from_millis(100));
    pair.assert_up("called again at once");
    assert_eq!(pair.count(0, What::PeerRestarted), 1, "{}", pair.trace());
}
