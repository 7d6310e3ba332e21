//! Round trips under every cipher, every bit flipped, fragments in any order.

use super::*;
use crate::crypto::suite::{Integrity, KeyBits};
use crate::secret::Secret;
use crate::wire::{ExchangeType, IkeSpi, MessageId, MessageKind, Notify, NotifyType, Role};

mod fragments;

const CIPHERS: [IkeCipher; 6] = [
    IkeCipher::AesGcm16(KeyBits::B128),
    IkeCipher::AesGcm16(KeyBits::B192),
    IkeCipher::AesGcm16(KeyBits::B256),
    IkeCipher::AesCbc(KeyBits::B128, Integrity::HmacSha2_256_128),
    IkeCipher::AesCbc(KeyBits::B192, Integrity::HmacSha2_384_192),
    IkeCipher::AesCbc(KeyBits::B256, Integrity::HmacSha2_512_256),
];

fn keys(cipher: IkeCipher) -> MessageKeys {
    MessageKeys {
        encryption: Secret::new(vec![0x11; cipher.encryption_key_bytes()]),
        integrity: Secret::new(vec![0x22; cipher.integrity_key_bytes()]),
    }
}

fn pair(cipher: IkeCipher) -> (Sealer, Opener) {
    (Sealer::new(cipher, keys(cipher)), Opener::new(cipher, keys(cipher)))
}

fn message(data_bytes: usize) -> Message {
    let header = Header {
        initiator_spi: IkeSpi(0x0102),
        responder_spi: IkeSpi(0x0304),
        exchange: ExchangeType::INFORMATIONAL,
        sender: Role::Responder,
        kind: MessageKind::Response,
        id: MessageId(7),
    };
    let notify = |kind| Payload::Notify(Notify::new(kind, vec![0xab; data_bytes]));
    Message { header, payloads: vec![notify(NotifyType::INITIAL_CONTACT), notify(NotifyType::COOKIE)] }
}

fn random(out: &mut [u8]) {
    out.fill(0x5a);
}

fn fragment(opened: Opened) -> Fragment {
    match opened {
        Opened::Fragment(fragment) => fragment,
        Opened::Message(message) => panic!("not a fragment: {message:?}"),
    }
}

#[test]
fn what_is_sealed_opens_under_every_cipher_and_length() {
    for cipher in CIPHERS {
        let (mut sealer, opener) = pair(cipher);
        for length in 0..40 {
            let sent = message(length);
            let datagram = sealer.seal(&sent, &mut random).unwrap();
            assert_eq!(opener.open(&datagram), Ok(Opened::Message(sent)), "{cipher}");
        }
        let empty = Message { payloads: vec![], ..message(0) };
        let datagram = sealer.seal(&empty, &mut random).unwrap();
        assert_eq!(opener.open(&datagram), Ok(Opened::Message(empty)), "{cipher}");
    }
}

#[test]
fn no_changed_byte_and_no_cut_opens() {
    for cipher in CIPHERS {
        let (mut sealer, opener) = pair(cipher);
        let datagram = sealer.seal(&message(5), &mut random).unwrap();
        for at in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[at] ^= 0x40;
            assert!(opener.open(&changed).is_err(), "{cipher}: byte {at}");
            assert!(opener.open(&datagram[..at]).is_err(), "{cipher}: cut at {at}");
        }
    }
}

#[test]
fn gcm_never_repeats_an_iv() {
    let (mut sealer, _) = pair(CIPHERS[0]);
    let (a, b) =
        (sealer.seal(&message(1), &mut random).unwrap(), sealer.seal(&message(1), &mut random).unwrap());
    assert_ne!(a[32..40], b[32..40]);
}

#[test]
fn fragments_come_together_in_any_order_and_repeated() {
    for cipher in CIPHERS {
        let (mut sealer, opener) = pair(cipher);
        let sent = message(1000);
        let datagrams = sealer.seal_fragments(&sent, 500, &mut random).unwrap();
        assert!(datagrams.len() > 3 && datagrams.iter().all(|datagram| datagram.len() <= 500));
        let mut reassembler = Reassembler::default();
        let last = datagrams.len() - 1;
        for datagram in datagrams[..last].iter().rev().chain(&datagrams[..last]) {
            assert_eq!(reassembler.push(fragment(opener.open(datagram).unwrap())), Ok(None));
        }
        let whole = reassembler.push(fragment(opener.open(&datagrams[last]).unwrap()));
        assert_eq!(whole, Ok(Some(sent)), "{cipher}");
    }
}

#[test]
fn a_finer_split_begins_anew_and_a_coarser_one_is_stale() {
    let (mut sealer, opener) = pair(CIPHERS[0]);
    let sent = message(1000);
    let coarse = sealer.seal_fragments(&sent, 1200, &mut random).unwrap();
    let fine = sealer.seal_fragments(&sent, 600, &mut random).unwrap();
    let mut reassembler = Reassembler::default();
    let open = |datagram: &Vec<u8>| fragment(opener.open(datagram).unwrap());
    assert_eq!(reassembler.push(open(&coarse[0])), Ok(None));
    assert_eq!(reassembler.push(open(&fine[0])), Ok(None));
    assert_eq!(reassembler.push(open(&coarse[1])), Err(FragmentError::Stale));
    let rest: Vec<_> = fine[1..].iter().map(|datagram| reassembler.push(open(datagram)).unwrap()).collect();
    assert_eq!(rest.last(), Some(&Some(sent)));
}

#[test]
fn too_many_fragments_are_refused() {
    let (mut sealer, opener) = pair(CIPHERS[0]);
    let datagrams = sealer.seal_fragments(&message(1000), 500, &mut random).unwrap();
    let endless = Fragment { total: MAX_FRAGMENTS + 1, ..fragment(opener.open(&datagrams[0]).unwrap()) };
    assert!(matches!(Reassembler::default().push(endless), Err(FragmentError::TooMany(_))));
    assert!(sealer.seal_fragments(&message(1000), 60, &mut random).is_err());
}
