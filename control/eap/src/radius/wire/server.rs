//! The server's side of the packets, for tests: answers as a server makes them, right and wrong.

use super::*;

/// Attributes of an answer, in order.
pub(in crate::radius) struct Reply<'a> {
    pub(in crate::radius) code: u8,
    pub(in crate::radius) attributes: Vec<(u8, Vec<u8>)>,
    pub(in crate::radius) request: &'a [u8],
}

impl Reply<'_> {
    /// The datagram; its Message-Authenticator is the last attribute.
    pub(in crate::radius) fn seal(&self, secret: &[u8]) -> Vec<u8> {
        let asked_by: &[u8; 16] = self.request[4..20].first_chunk().unwrap();
        let mut body = Vec::new();
        for (kind, value) in &self.attributes {
            put(&mut body, *kind, value);
        }
        put(&mut body, kind::MESSAGE_AUTHENTICATOR, &[0; 16]);
        let length = u16::try_from(body.len() + 20).unwrap().to_be_bytes();
        let front = [self.code, self.request[1], length[0], length[1]];
        let mac = signed(secret, &[&front, asked_by, &body]);
        let at = body.len() - 16;
        body[at..].copy_from_slice(&mac);
        let authenticator = response_authenticator(&front, asked_by, &body, secret);
        [&front[..], &authenticator, &body].concat()
    }
}

/// EAP-Message attributes of a packet.
pub(in crate::radius) fn eap(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    packet.chunks(VALUE_BYTES_MAX).map(|part| (kind::EAP_MESSAGE, part.to_vec())).collect()
}

pub(in crate::radius) fn state(value: &[u8]) -> (u8, Vec<u8>) {
    (kind::STATE, value.to_vec())
}

pub(in crate::radius) fn message(text: &str) -> (u8, Vec<u8>) {
    (kind::REPLY_MESSAGE, text.as_bytes().to_vec())
}

/// Both keys, as RFC 2548, 2.4.2 hides them.
pub(in crate::radius) fn keys(
    receives: &[u8],
    sends: &[u8],
    request: &[u8],
    secret: &[u8],
) -> Vec<(u8, Vec<u8>)> {
    let asked_by: &[u8; 16] = request[4..20].first_chunk().unwrap();
    let hide = |vendor_kind: u8, salt: [u8; 2], key: &[u8]| {
        let mut plain = vec![u8::try_from(key.len()).unwrap()];
        plain.extend(key);
        plain.resize(plain.len().next_multiple_of(16), 0);
        let mut hidden = Vec::new();
        let mut before = [&asked_by[..], &salt].concat();
        for block in plain.chunks(16) {
            let pad: [u8; 16] = Md5::new().chain_update(secret).chain_update(&before).finalize().into();
            before = block.iter().zip(pad).map(|(byte, pad)| byte ^ pad).collect();
            hidden.extend(&before);
        }
        let length = u8::try_from(hidden.len() + 4).unwrap();
        let value = [&MICROSOFT[..], &[vendor_kind, length], &salt, &hidden].concat();
        (kind::VENDOR_SPECIFIC, value)
    };
    vec![hide(kind::MS_MPPE_RECV_KEY, [0x81, 2], receives), hide(kind::MS_MPPE_SEND_KEY, [0x83, 4], sends)]
}
