//! Round trips of every payload, and damage: nothing panics, whatever the bytes.

use proptest::prelude::*;

use super::*;
use crate::selector::{AddressRange, PortRange, TrafficSelector};

mod lengths;

fn header() -> Header {
    Header {
        initiator_spi: IkeSpi(0x1122_3344_5566_7788),
        responder_spi: IkeSpi::NONE,
        exchange: ExchangeType::IKE_SA_INIT,
        sender: Role::Initiator,
        kind: MessageKind::Request,
        id: MessageId(0),
    }
}

/// A message with every payload that can stand in the clear.
fn full() -> Message {
    let id = |kind| Identification { kind, reserved: [0, 1, 0], data: b"gw.example".to_vec() };
    let v6 = AddressRange::from_prefix("2001:db8::".parse().unwrap(), 32).unwrap();
    let selectors = vec![
        Selector::Range(TrafficSelector::any_ipv4()),
        Selector::Range(TrafficSelector::new(v6, 6, PortRange::Opaque)),
        Selector::Unknown { kind: TsType(200), protocol: 3, data: vec![1, 2, 3] },
    ];
    let long = Attribute { kind: AttributeType(99), value: AttributeValue::Long(vec![9; 5]) };
    let transforms = vec![
        Transform::with_key_bits(TransformType::ENCR, EncryptionId::AES_GCM_16.0, 256),
        Transform { attributes: vec![long], ..Transform::new(TransformType::DH, 31) },
    ];
    let proposal = Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![1, 2, 3, 4], transforms };
    let attributes =
        vec![CfgAttribute { kind: CfgAttributeType::INTERNAL_IP4_DNS, value: vec![192, 0, 2, 1] }];
    let payloads = vec![
        Payload::SecurityAssociation(vec![proposal.clone(), Proposal { number: 2, ..proposal }]),
        Payload::KeyExchange(KeyExchangeData { group: GroupId::CURVE25519, public: vec![7; 32] }),
        Payload::IdInitiator(id(IdType::FQDN)),
        Payload::IdResponder(id(IdType::KEY_ID)),
        Payload::Certificate(Certificate { encoding: CertEncoding::X509_SIGNATURE, data: vec![0x30] }),
        Payload::CertificateRequest(CertificateRequest {
            encoding: CertEncoding(4),
            authorities: vec![5; 20],
        }),
        Payload::Authentication(Authentication { method: AuthMethod::SHARED_KEY_MIC, data: vec![6; 32] }),
        Payload::Nonce(vec![8; 32]),
        Payload::Notify(Notify::about_child(NotifyType::REKEY_SA, ProtocolId::ESP, 0xdead_beef)),
        Payload::Delete(Delete::IkeSa),
        Payload::Delete(Delete::Child { protocol: ProtocolId::ESP, spis: vec![1000, 2000] }),
        Payload::VendorId(b"vendor".to_vec()),
        Payload::TsInitiator(selectors.clone()),
        Payload::TsResponder(selectors),
        Payload::Configuration(Configuration { kind: CfgType::REQUEST, attributes }),
        Payload::Eap(vec![1, 2, 0, 4]),
        Payload::Unknown(Unknown { kind: PayloadType(99), critical: true, body: vec![1] }),
    ];
    Message { header: header(), payloads }
}

#[test]
fn every_payload_survives_a_round_trip() {
    let message = full();
    let bytes = message.build().unwrap();
    assert_eq!(Message::parse(&bytes), Ok(message.clone()));
    assert_eq!(Header::parse(&bytes), Ok(message.header));
    assert_eq!(message.unsupported_critical(), Some(PayloadType(99)));
    assert_eq!(message.notify(NotifyType::REKEY_SA).unwrap().child_spi(), Some(0xdead_beef));
}

#[test]
fn a_header_of_another_version_length_or_without_spi_is_refused() {
    let bytes = full().build().unwrap();
    let changed = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Header::parse(&bytes).unwrap_err().fault
    };
    assert_eq!(changed(17, 0x10), Fault::Version { major: 1 });
    assert!(matches!(changed(24, 1), Fault::Length { .. }));
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Header::parse(&longer).unwrap_err().fault, Fault::LeftOver { bytes: 1 });
    let mut zero = bytes;
    zero[..8].fill(0);
    assert_eq!(Header::parse(&zero).unwrap_err().fault, Fault::Value { value: 0 });
}

#[test]
fn no_cut_of_a_message_parses() {
    let bytes = full().build().unwrap();
    for end in 0..bytes.len() {
        assert!(Message::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn a_payload_that_must_be_single_is_refused_twice() {
    let twice = Message { payloads: vec![Payload::Nonce(vec![1; 16]); 2], ..full() };
    assert_eq!(Message::parse(&twice.build().unwrap()).unwrap_err().fault, Fault::TooMany { limit: 1 });
}

#[test]
fn payloads_beyond_the_limit_are_refused() {
    let many = Message { payloads: vec![Payload::VendorId(vec![]); MAX_PAYLOADS + 1], ..full() };
    assert_eq!(
        Message::parse(&many.build().unwrap()).unwrap_err().fault,
        Fault::TooMany { limit: MAX_PAYLOADS }
    );
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::parse(&bytes);
    }

    #[test]
    fn a_changed_message_never_panics_and_what_parses_builds_again(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = full().build().unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(message) = Message::parse(&bytes) {
            // Reserved bits are not kept, so the values are compared, not the bytes.
            let again = message.build().unwrap();
            prop_assert_eq!(Message::parse(&again), Ok(message));
        }
    }
}

#[test]
fn every_two_bytes_set_to_every_extreme_never_panic() {
    let bytes = full().build().unwrap();
    for at in HEADER_BYTES..bytes.len() - 1 {
        for value in [0u16, 1, 3, 4, 5, 8, 0x7fff, 0xffff] {
            let mut changed = bytes.clone();
            changed[at..at + 2].copy_from_slice(&value.to_be_bytes());
            let _ = Message::parse(&changed);
        }
    }
}
