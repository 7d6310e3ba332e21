//! EAP packets (RFC 3748, 4): read without trust in their lengths, and written.

/// Length of code, identifier and length.
const HEADER_BYTES: usize = 4;

/// What a request or response is about (RFC 3748, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u8);

impl Kind {
    /// Who the client is.
    pub const IDENTITY: Self = Self(1);
    /// The client would rather take another method.
    pub const NAK: Self = Self(3);
    /// EAP-TLS.
    pub const TLS: Self = Self(13);
    /// EAP-MSCHAPv2.
    pub const MSCHAPV2: Self = Self(26);
}

/// A response of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// That of the request.
    pub identifier: u8,
    /// What it is about.
    pub kind: Kind,
    /// What it says.
    pub data: &'a [u8],
}

impl<'a> Response<'a> {
    /// Reads a packet; none if it is no response, or its length is not its own. Bytes after its length are padding of the layer below.
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let (head, _) = packet.split_first_chunk::<HEADER_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (kind, data) = packet.get(HEADER_BYTES..length)?.split_first()?;
        (head[0] == RESPONSE).then_some(Self { identifier: head[1], kind: Kind(*kind), data })
    }
}

/// The length that a packet says it has.
pub(crate) fn length(packet: &[u8]) -> Option<usize> {
    let (head, _) = packet.split_first_chunk::<HEADER_BYTES>()?;
    Some(usize::from(u16::from_be_bytes([head[2], head[3]])))
}

/// The identifier of a packet of a server, if it is a request and complete.
pub(crate) fn request_identifier(packet: &[u8]) -> Option<u8> {
    let is_whole = packet.len() > HEADER_BYTES && length(packet) == Some(packet.len());
    (is_whole && packet[0] == REQUEST).then(|| packet[1])
}

/// Whether a packet of a server tells of success.
pub(crate) fn is_success(packet: &[u8]) -> bool {
    packet.len() == HEADER_BYTES && length(packet) == Some(HEADER_BYTES) && packet[0] == SUCCESS
}

/// Writes a request.
#[must_use]
pub fn request(identifier: u8, kind: Kind, data: &[u8]) -> Vec<u8> {
    write(REQUEST, identifier, &[&[kind.0], data].concat())
}

/// Tells the client that it is who it says.
#[must_use]
pub fn success(identifier: u8) -> Vec<u8> {
    write(SUCCESS, identifier, &[])
}

/// Tells the client that it is not.
#[must_use]
pub fn failure(identifier: u8) -> Vec<u8> {
    write(FAILURE, identifier, &[])
}

fn write(code: u8, identifier: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER_BYTES + body.len()).expect("a packet of ours is shorter than 64 KiB");
    let mut packet = vec![code, identifier];
    packet.extend(length.to_be_bytes());
    packet.extend(body);
    packet
}

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn response_is_read_to_its_length() {
        let packet = [2, 7, 0, 8, 1, b'a', b'b', b'c', 0, 0];
        let response = Response::parse(&packet).unwrap();
        assert_eq!(response, Response { identifier: 7, kind: Kind::IDENTITY, data: b"abc" });
        for wrong in [&packet[..7], &[1, 7, 0, 5, 1], &[2, 7, 0, 4], &[2, 7, 0, 3, 1], &[]] {
            assert_eq!(Response::parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Response::parse(&packet);
        }
    }
}
