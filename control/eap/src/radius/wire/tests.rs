//! Packets by the RFCs' examples, and what is no answer.

use hex_literal::hex;
use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"xyzzy5461";

/// RFC 2865, 7.1: the answer to a log-in, from before Message-Authenticators.
const OLD: [u8; 38] =
    hex!("02000026 86fe220e7624ba2a1005f6bf9b55e0b2 060600000001 0f0600000000 0e06c0a80103");
const ASKED_BY: [u8; 16] = hex!("0f403f9473978057bd83d5cb98f4227a");

fn request() -> Vec<u8> {
    let packet = [7; 600];
    let client = "192.0.2.9".parse().unwrap();
    let request =
        AccessRequest { identity: "anna", packet: &packet, state: Some(b"state"), gateway: "gw", client };
    request.seal(9, &ASKED_BY, SECRET)
}

fn open(datagram: &[u8]) -> Result<Answer, Unanswerable> {
    Answer::open(datagram, 9, &ASKED_BY, SECRET)
}

#[test]
fn response_authenticator_is_that_of_rfc_2865_and_not_enough_by_itself() {
    assert_eq!(response_authenticator(&OLD[..4], &ASKED_BY, &OLD[20..], SECRET), OLD[4..20]);
    let outcome = Answer::open(&OLD, 0, &ASKED_BY, SECRET);
    assert_eq!(outcome.unwrap_err(), Unanswerable::Forged, "it has no Message-Authenticator");
}

#[test]
fn message_authenticator_is_that_of_rfc_5997() {
    // RFC 5997, 6: a Status-Server packet and what answers it.
    let asked = hex!("0cda0026 8a54f4686fb394c52866e302185d0623 5012 5a665e2e1e8411f3e243822097c84fa3");
    assert_eq!(signed(SECRET, &[&asked[..22], &[0; 16]]), asked[22..]);
    let answer = hex!("02da0014 ef0d552a4bf2d693ec2b6fe8b5411d66");
    let asked_by = asked.get(4..).unwrap().first_chunk().unwrap();
    assert_eq!(response_authenticator(&answer[..4], asked_by, &[], SECRET), answer[4..]);
}

#[test]
fn a_question_is_signed_first_and_carries_its_packet_in_pieces() {
    let request = request();
    assert_eq!((request[0], request[1], &request[20..22]), (1, 9, &[80, 18][..]));
    assert_eq!(usize::from(u16::from_be_bytes([request[2], request[3]])), request.len());
    let attributes: Vec<_> = Attributes(&request[20..]).collect().unwrap();
    let lengths: Vec<_> =
        attributes.iter().filter(|found| found.kind == 79).map(|found| found.value.len()).collect();
    assert_eq!(lengths, [253, 253, 94]);
    let mut blank = request.clone();
    blank[22..38].fill(0);
    assert_eq!(signed(SECRET, &[&blank]), request[22..38]);
    assert_ne!(signed(b"another", &[&blank]), request[22..38]);
}

#[test]
fn an_answer_is_read_with_its_packet_state_name_and_keys() {
    let request = request();
    let mut attributes = server::eap(&[3; 300]);
    attributes.push(server::state(b"more"));
    attributes.push((kind::USER_NAME, b"Anna".to_vec()));
    attributes.push(server::message("wel\x1bcome"));
    attributes.extend(server::keys(&[1; 32], &[2; 32], &request, SECRET));
    let datagram = server::Reply { code: 2, attributes, request: &request }.seal(SECRET);
    let answer = open(&datagram).unwrap();
    assert_eq!(
        (answer.code, answer.packet, answer.state),
        (Code::Accept, Some(vec![3; 300]), Some(b"more".to_vec()))
    );
    assert_eq!((answer.user.as_deref(), answer.message.as_str()), (Some("Anna"), "welcome"));
    assert_eq!(answer.msk.unwrap().expose(), [[1; 32], [2; 32]].concat());
    let attributes = server::keys(&[1; 16], &[2; 16], &request, SECRET);
    let short = server::Reply { code: 2, attributes, request: &request }.seal(SECRET);
    let msk = open(&short).unwrap().msk.unwrap();
    assert_eq!(msk.expose(), [&[1; 16][..], &[2; 16], &[0; 32]].concat());
}

#[test]
fn nothing_that_is_bent_is_an_answer() {
    let request = request();
    let datagram =
        server::Reply { code: 11, attributes: server::eap(&[1, 2, 0, 4]), request: &request }.seal(SECRET);
    assert_eq!(open(&datagram).unwrap().code, Code::Challenge);
    for at in 0..datagram.len() {
        let mut bent = datagram.clone();
        bent[at] ^= 1;
        assert!(open(&bent).is_err(), "byte {at}");
        assert!(open(&datagram[..at]).is_err(), "{at} bytes");
    }
    let padded = [&datagram[..], &[0; 9]].concat();
    assert!(open(&padded).is_ok(), "RFC 2865, 3");
    assert_eq!(Answer::open(&datagram, 9, &ASKED_BY, b"another").unwrap_err(), Unanswerable::Forged);
    assert_eq!(
        Answer::open(&datagram, 9, &[0; 16], SECRET).unwrap_err(),
        Unanswerable::Forged,
        "to another question"
    );
}

proptest! {
    #[test]
    fn no_datagram_panics(head in any::<[u8; 20]>(), body in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut datagram = [&head[..], &body].concat();
        let _ = open(&datagram);
        let length = u16::try_from(datagram.len()).unwrap().to_be_bytes();
        datagram[..4].copy_from_slice(&[2, 9, length[0], length[1]]);
        let _ = open(&datagram);
    }

    #[test]
    fn no_attribute_of_a_right_answer_panics(attributes in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..100)), 0..12)) {
        let request = request();
        let attributes = attributes.into_iter().filter(|(kind, _)| *kind != 80).collect();
        let datagram = server::Reply { code: 2, attributes, request: &request }.seal(SECRET);
        prop_assert!(open(&datagram).is_ok());
    }

    #[test]
    fn no_hidden_key_panics(value in prop::collection::vec(any::<u8>(), 0..90)) {
        let _ = key(&value, &ASKED_BY, SECRET);
        let _ = vendor_value(&[&MICROSOFT[..], &value].concat(), 17);
    }
}
