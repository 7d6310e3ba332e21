//! Round trips of every payload, and damage: nothing panics, whatever the bytes.

use proptest::prelude::*;

use super::*;
use crate::wire::{CertEncoding, IdType};

fn header() -> Header {
    Header {
        initiator: IkeSpi(0x1122_3344_5566_7788),
        responder: IkeSpi::NONE,
        exchange: ExchangeType::MAIN_MODE,
        is_encrypted: false,
        id: 0,
    }
}

/// A message with every payload.
fn full() -> Message {
    let attribute = |kind, value| Attribute { kind, value };
    let attributes = vec![
        attribute(1, AttributeValue::Short(7)),
        attribute(12, AttributeValue::Long(vec![0, 1, 0x51, 0x80])),
    ];
    let transform = |number| Transform { number, id: 1, attributes: attributes.clone() };
    let proposal = |number, spi| Proposal {
        number,
        protocol: ProtocolId::ESP,
        spi,
        transforms: vec![transform(1), transform(2)],
    };
    let proposals = vec![proposal(1, vec![1, 2, 3, 4]), proposal(2, Vec::new())];
    let payloads = vec![
        Payload::Hash(vec![1; 20]),
        Payload::SecurityAssociation(SecurityAssociation {
            doi: DOI_IPSEC,
            situation: IDENTITY_ONLY,
            proposals,
        }),
        Payload::KeyExchange(vec![7; 32]),
        Payload::Identification(Identification {
            kind: IdType::IPV4_ADDR,
            reserved: [17, 1, 244],
            data: vec![192, 0, 2, 1],
        }),
        Payload::Certificate(Certificate { encoding: CertEncoding::X509_SIGNATURE, data: vec![0x30] }),
        Payload::CertificateRequest(CertificateRequest {
            encoding: CertEncoding(4),
            authorities: vec![5; 20],
        }),
        Payload::Signature(vec![3; 64]),
        Payload::Nonce(vec![8; 16]),
        Payload::Notify(Notify {
            protocol: ProtocolId::IKE,
            spi: vec![6; 16],
            kind: NotifyType::R_U_THERE,
            data: vec![0, 0, 0, 9],
        }),
        Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![vec![1; 4], vec![2; 4]] }),
        Payload::VendorId(b"vendor".to_vec()),
        Payload::NatDetection(vec![4; 20]),
        Payload::Unknown(PayloadType(99), vec![1]),
    ];
    Message { header: header(), payloads }
}

#[test]
fn every_payload_survives_a_round_trip() {
    let message = full();
    let bytes = message.build().unwrap();
    assert_eq!(Message::parse(&bytes), Ok(message.clone()));
    assert_eq!(Header::parse(&bytes), Ok(message.header));
}

#[test]
fn a_first_message_of_another_implementation_is_read() {
    // Main mode of strongSwan 5.9 with one transform: AES-CBC 128, SHA-1, PSK, group 2, an hour; XAUTH, DPD and RFC 3947.
    let bytes = hex_literal::hex!(
        "d6a5f0b1c2039485 0000000000000000 01 10 02 00 00000000 0000008c"
        "0d00003c 00000001 00000001 00000030 00010001 00000028 0101 0000"
        "80010007 800e0080 80020002 80030001 80040002 800b0001 000c0004 00000e10"
        "0d00000c 09002689dfd6b712 0d000014 afcad71368a1f1c96b8696fc77570100 00000014 4a131c81070358455c5728f20e95452f"
    );
    let message = Message::parse(&bytes).unwrap();
    let sa = sa(&message.payloads).unwrap();
    assert_eq!((sa.proposals.len(), sa.proposals[0].transforms[0].attributes.len()), (1, 7));
    assert!(has_vendor_id(&message.payloads, &bytes[bytes.len() - 16..]));
    assert_eq!(message.build().unwrap(), bytes);
    assert_eq!(Message::sa_body(&bytes).unwrap(), bytes[32..88]);
}

#[test]
fn a_header_of_another_version_length_or_without_cookie_is_refused() {
    let bytes = full().build().unwrap();
    let changed = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        Header::parse(&bytes).unwrap_err().fault
    };
    assert_eq!(changed(17, 0x20), Fault::Version { major: 2 });
    assert!(matches!(changed(24, 1), Fault::Length { .. }));
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(Header::parse(&longer).unwrap_err().fault, Fault::LeftOver { bytes: 1 });
    let mut zero = bytes.clone();
    zero[..8].fill(0);
    assert_eq!(Header::parse(&zero).unwrap_err().fault, Fault::Value { value: 0 });
    let mut encrypted = bytes;
    encrypted[19] = 1;
    assert!(Message::parse(&encrypted).is_err(), "what is encrypted is not read as if it were not");
}

#[test]
fn no_cut_of_a_message_parses() {
    let bytes = full().build().unwrap();
    for end in 0..bytes.len() {
        assert!(Message::parse(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn padding_is_let_alone_behind_decrypted_content_only() {
    let payloads = full().payloads;
    let mut content = write_chain(&payloads).unwrap();
    let end = content.len();
    content.extend_from_slice(&[0, 0, 0, 4]);
    assert!(read_chain(PayloadType::HASH, &content, false).is_err());
    let chain = read_chain(PayloadType::HASH, &content, true).unwrap();
    assert_eq!(chain.payloads, payloads);
    assert_eq!(chain.behind_hash(), Some(24..end), "behind the hash, without the padding");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), first in 0u8..25) {
        let _ = Message::parse(&bytes);
        let _ = read_chain(PayloadType(first), &bytes, true);
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
