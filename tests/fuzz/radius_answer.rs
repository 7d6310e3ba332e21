//! Bytes as the answer of a RADIUS server: as they are, where nobody without the secret gets anywhere, and as the attributes of one that is signed as it should be, which are refused or
//! read. No datagram leaves a question without an answer in the end.

#![no_main]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crossgate_eap::{Radius, RadiusAnswer, RadiusOutput, RadiusQuestion, RadiusSecret, RadiusServer};
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use md5::{Digest as _, Md5};

const SECRET: &[u8] = b"shared by both";

/// The answer with this code and these attributes, signed (RFC 2865, 3; RFC 3579, 3.2).
fn signed(code: u8, request: &[u8], attributes: &[u8]) -> Vec<u8> {
    let asked_by = &request[4..20];
    let mut body = vec![80, 18];
    body.extend([0; 16]);
    body.extend(attributes);
    let length = u16::try_from(body.len() + 20).unwrap_or(u16::MAX).to_be_bytes();
    let front = [code, request[1], length[0], length[1]];
    let mut mac = Hmac::<Md5>::new_from_slice(SECRET).expect("HMAC takes a key of any length");
    for part in [&front[..], asked_by, &body] {
        mac.update(part);
    }
    let mac: [u8; 16] = mac.finalize().into_bytes().into();
    body[2..18].copy_from_slice(&mac);
    let digest = Md5::new().chain_update(front).chain_update(asked_by).chain_update(&body).chain_update(SECRET);
    let authenticator: [u8; 16] = digest.finalize().into();
    [&front[..], &authenticator, &body].concat()
}

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (code, raw, attributes) = input;
    let at = SocketAddr::from(([192, 0, 2, 53], 1812));
    let servers: Arc<[RadiusServer]> = Arc::from([RadiusServer { address: at, secret: RadiusSecret::new(SECRET) }]);
    let question = RadiusQuestion {
        servers,
        identity: "anna".to_owned(),
        packet: vec![2, 1, 0, 9, 1, b'a', b'n', b'n', b'a'],
        thread: None,
        gateway: "gw".into(),
        client: "198.51.100.1".parse().expect("an address"),
    };
    let mut radius = Radius::default();
    radius.ask(7, question, Duration::from_secs(9), &mut |out| out.fill(5));
    let Some(RadiusOutput::Transmit { bytes: request, .. }) = radius.poll_output() else {
        panic!("it is asked");
    };
    radius.on_datagram(at, &raw);
    let mut addressed = raw;
    if let Some(id) = addressed.get_mut(1) {
        *id = request[1];
    }
    radius.on_datagram(at, &addressed);
    assert!(radius.poll_output().is_none(), "nobody without the secret answers");
    radius.on_datagram(at, &signed([2, 3, 11, code][usize::from(code % 4)], &request, &attributes));
    let mut answers = 0;
    while let Some(due) = radius.poll_timeout() {
        radius.on_timeout(due, &mut |out| out.fill(6));
    }
    while let Some(output) = radius.poll_output() {
        if let RadiusOutput::Answered { ticket, answer } = output {
            answers += 1;
            assert_eq!(ticket, 7);
            if let Ok(RadiusAnswer::Accept { msk, .. }) = &answer {
                assert_eq!(msk.expose().len(), 64);
            }
        }
    }
    assert_eq!(answers, 1, "one question, one answer");
    assert!(radius.is_idle());
});
