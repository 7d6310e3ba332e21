//! Messages of TLS in packets of EAP-TLS (RFC 5216, 2.1.5 and 3.1): put together without trust in their lengths, and cut.

use thiserror::Error;

/// Longest message of TLS that a client may send: ten certificates fit.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// What of a message goes into one packet: it fits IKE's datagrams without fragments below.
const PIECE_BYTES: usize = 1_000;

const HAS_LENGTH: u8 = 0x80;
const HAS_MORE: u8 = 0x40;
/// The first packet's flag: the client begins.
pub(crate) const START: u8 = 0x20;

/// What came so far of the client's message.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// Its length, as the client says.
    announced: Option<usize>,
}

/// What a packet completes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Nothing yet: the next piece is to be asked for.
    Part,
    /// A message; an empty one is an acknowledgement.
    Whole(Vec<u8>),
}

/// A packet that fits no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fragment of EAP-TLS does not fit its message, or the message is too long")]
pub(crate) struct BadFragment;

impl Assembly {
    /// Takes what follows the type of a packet: flags, maybe the whole message's length, a piece of it.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<Taken, BadFragment> {
        let (flags, mut piece) = data.split_first().ok_or(BadFragment)?;
        if flags & START != 0 {
            return Err(BadFragment);
        }
        if flags & HAS_LENGTH != 0 {
            let (length, rest) = piece.split_first_chunk().ok_or(BadFragment)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| BadFragment)?;
            if length > MESSAGE_BYTES_MAX || self.announced.is_some_and(|before| before != length) {
                return Err(BadFragment);
            }
            self.announced = Some(length);
            piece = rest;
        }
        let length = self.bytes.len() + piece.len();
        if length > self.announced.unwrap_or(MESSAGE_BYTES_MAX) {
            return Err(BadFragment);
        }
        let has_more = flags & HAS_MORE != 0;
        if has_more && piece.is_empty() {
            return Err(BadFragment);
        }
        self.bytes.extend(piece);
        if has_more {
            return Ok(Taken::Part);
        }
        let Self { bytes, announced } = std::mem::take(self);
        if announced.is_some_and(|announced| announced != bytes.len()) {
            return Err(BadFragment);
        }
        Ok(Taken::Whole(bytes))
    }
}

/// What is left to send of a message of ours.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    bytes: Vec<u8>,
    at: usize,
}

impl Pieces {
    pub(crate) const fn of(message: Vec<u8>) -> Self {
        Self { bytes: message, at: 0 }
    }

    /// Whether all is sent.
    pub(crate) const fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The next packet, from the flags on; none is left after the last.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let left = self.bytes.get(self.at..).filter(|left| !left.is_empty())?;
        let piece = left.get(..PIECE_BYTES).unwrap_or(left);
        let has_more = piece.len() < left.len();
        let mut data = vec![if has_more { HAS_MORE } else { 0 }];
        if self.at == 0 && has_more {
            data[0] |= HAS_LENGTH;
            data.extend(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
        data.extend(piece);
        self.at += piece.len();
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_of_several_pieces_tells_the_length_and_a_single_one_does_not() {
        let mut pieces = Pieces::of(vec![7; 2_500]);
        let sent: Vec<_> = std::iter::from_fn(|| pieces.next()).collect();
        let heads: Vec<_> = sent.iter().map(|data| (data[0], data.len())).collect();
        assert_eq!(heads, [(0xc0, 1_005), (0x40, 1_001), (0, 501)]);
        assert_eq!(sent[0][1..5], 2_500_u32.to_be_bytes());
        assert_eq!(Pieces::of(vec![7; 1_000]).next().unwrap().len(), 1_001);
        assert_eq!(Pieces::of(Vec::new()).next(), None);
    }

    #[test]
    fn pieces_that_fit_no_message_are_refused() {
        let refuses = |packets: &[&[u8]]| {
            let mut assembly = Assembly::default();
            packets.iter().any(|packet| assembly.take(packet).is_err())
        };
        assert!(refuses(&[&[]]));
        assert!(refuses(&[&[START]]), "the client starts nothing");
        assert!(refuses(&[&[HAS_LENGTH, 0, 0, 1]]), "half a length");
        assert!(refuses(&[&[HAS_LENGTH, 0, 1, 0, 0, 1]]), "too long");
        assert!(refuses(&[&[HAS_LENGTH, 0, 0, 0, 3, 1, 2]]), "shorter than it says");
        assert!(refuses(&[&[HAS_LENGTH, 0, 0, 0, 1, 1, 2]]), "longer than it says");
        assert!(refuses(&[&[HAS_LENGTH | HAS_MORE, 0, 0, 0, 4, 1], &[HAS_LENGTH, 0, 0, 0, 5, 2]]));
        assert!(refuses(&[&[HAS_MORE]]), "more of nothing");
        assert!(!refuses(&[&[0]]), "an acknowledgement");
        let piece = [&[HAS_MORE][..], &[1; 1_000]].concat();
        assert!(refuses(&vec![piece.as_slice(); 40]), "no end");
    }

    proptest! {
        #[test]
        fn what_is_cut_is_put_together_again(message in prop::collection::vec(any::<u8>(), 1..5_000)) {
            let (mut pieces, mut assembly) = (Pieces::of(message.clone()), Assembly::default());
            let mut whole = None;
            while let Some(piece) = pieces.next() {
                prop_assert_eq!(whole, None);
                whole = match assembly.take(&piece) {
                    Ok(Taken::Whole(bytes)) => Some(bytes),
                    other => { prop_assert_eq!(other, Ok(Taken::Part)); None }
                };
            }
            prop_assert_eq!(whole, Some(message));
            prop_assert!(pieces.is_empty());
        }

        #[test]
        fn no_packets_panic_or_are_kept_for_ever(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1_100), 0..60)) {
            let mut assembly = Assembly::default();
            for packet in packets {
                let _ = assembly.take(&packet);
                prop_assert!(assembly.bytes.len() <= MESSAGE_BYTES_MAX);
            }
        }
    }
}
