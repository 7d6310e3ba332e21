//! Bytes as what a client sends that logs in by EAP, packet after packet, with methods by password, by TLS and by a RADIUS server: nothing panics, keeps a conversation for ever or lets
//! anybody in.

#![no_main]

use std::sync::{Arc, LazyLock};

use crossgate_eap::mschapv2::PasswordHash;
use crossgate_eap::{Methods, RadiusError, Server, Step, TlsSettings, Users};
use crossgate_pki::testing::{Issued, NOW, Template, key_pem};
use crossgate_pki::{Credential, KeyKind, PrivateKey, TrustStore};
use libfuzzer_sys::fuzz_target;

static TLS: LazyLock<TlsSettings> = LazyLock::new(|| {
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&Template::peer("vpn.example.net"), &key_pem(KeyKind::P256, 2));
    let key = PrivateKey::from_pem(own.key_pem.as_bytes()).expect("a key");
    let credential = Credential::new(vec![own.certificate()], key).expect("its key");
    let trust = TrustStore::new(vec![root.certificate()], Vec::new()).of_clients();
    TlsSettings::new(Arc::new(credential), Arc::new(trust))
});

/// Everybody has a password, which nobody knows.
struct Everybody;

impl Users for Everybody {
    fn password(&self, user: &str) -> Option<PasswordHash> {
        Some(PasswordHash::of(&format!("not the password of {user}")))
    }
}

/// More packets than any log-in has.
const MOST_PACKETS: usize = 100;

fuzz_target!(|input: (u8, bool, Vec<Vec<u8>>)| {
    let (which, is_formed, packets) = input;
    let methods = Methods {
        tls: (which & 1 != 0).then(|| &*TLS),
        users: (which & 2 != 0).then_some(&Everybody as &dyn Users),
        relay: which & 4 != 0,
        now: NOW,
    };
    let mut random = |out: &mut [u8]| out.fill(9);
    let (mut server, mut question) = Server::begin(&mut random);
    for packet in packets.into_iter().take(MOST_PACKETS) {
        // Well formed, the bytes are what follows the method's number, so that they get past the frame.
        let packet = if is_formed {
            let length = u16::try_from(packet.len() + 5).unwrap_or(u16::MAX).to_be_bytes();
            [&[2, question[1], length[0], length[1], question.get(4).copied().unwrap_or(1)], &packet[..]].concat()
        } else {
            packet
        };
        let mut step = server.on_response(&packet, &methods, &mut random);
        let _ = server.abandoned().map(|error| error.to_string());
        if let Step::Compute(work) = step {
            step = server.on_computed(work.run());
        } else if let Step::Relay { .. } = step {
            step = server.on_relayed(Err(RadiusError::None));
        }
        over(step, &mut question);
    }
});

/// Keeps the question that was asked; nobody is let in.
fn over(step: Step, question: &mut Vec<u8>) {
    match step {
        Step::Send(packet) => *question = packet,
        Step::Failure { packet, error } => {
            assert_eq!(packet.first(), Some(&4));
            let _ = error.to_string();
        }
        Step::Success { user, .. } => panic!("{user} was let in"),
        Step::Compute(_) | Step::Relay { .. } => unreachable!("they were carried out"),
    }
}
