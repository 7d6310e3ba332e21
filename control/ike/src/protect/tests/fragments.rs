//! Fragments as a network and a hostile peer deliver them: shuffled, repeated, of several splits, of several messages.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::wire::MAX_MESSAGE_BYTES;

/// What [`Reassembler`] must do, without a thought for memory: the split being collected and which parts are there.
#[derive(Default)]
struct Model {
    current: Option<(Header, u16, Vec<u16>)>,
}

/// What came of one fragment.
#[derive(Debug, PartialEq)]
enum Outcome {
    Kept,
    Stale,
    Complete,
}

impl Model {
    fn push(&mut self, fragment: &Fragment) -> Outcome {
        let (mut seen, total) = (Vec::new(), fragment.total);
        match self.current.take() {
            Some((header, known, parts)) if header == fragment.header && known > total => {
                self.current = Some((header, known, parts));
                return Outcome::Stale;
            }
            Some((header, known, parts)) if header == fragment.header && known == total => seen = parts,
            _ => {}
        }
        seen.push(fragment.number);
        if (1..=total).all(|number| seen.contains(&number)) {
            return Outcome::Complete;
        }
        self.current = Some((fragment.header, total, seen));
        Outcome::Kept
    }
}

fn numbered(id: u32, data_bytes: usize) -> Message {
    let message = message(data_bytes);
    Message { header: Header { id: MessageId(id), ..message.header }, ..message }
}

/// Every fragment of `sent` when a datagram has `datagram_bytes`, as the receiver opens it.
fn split(sent: &Message, datagram_bytes: usize) -> Vec<Fragment> {
    let (mut sealer, opener) = pair(CIPHERS[0]);
    let datagrams = sealer.seal_fragments(sent, datagram_bytes, &mut random).unwrap();
    datagrams.iter().map(|datagram| fragment(opener.open(datagram).unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_repetition_and_mix_of_splits_gives_the_message_or_nothing(
        data_bytes in 300usize..1500,
        splits in proptest::collection::vec(100usize..600, 1..4),
        picks in proptest::collection::vec((any::<Index>(), any::<Index>()), 1..200),
    ) {
        let sent = [numbered(7, data_bytes), numbered(8, data_bytes + 1)];
        let mut splits: Vec<_> =
            splits.iter().enumerate().map(|(at, bytes)| split(&sent[at % 2], *bytes)).collect();
        // A sender that splits anew must use more fragments (RFC 7383, 2.5.2): as many, cut elsewhere, is its own fault.
        splits.sort_by_key(|parts| (parts[0].header.id, parts.len()));
        splits.dedup_by_key(|parts| (parts[0].header.id, parts.len()));
        let (mut reassembler, mut model) = (Reassembler::default(), Model::default());
        for (which, part) in picks {
            let parts = &splits[which.index(splits.len())];
            let fragment = &parts[part.index(parts.len())];
            let message = sent.iter().find(|message| message.header == fragment.header).unwrap();
            let got = reassembler.push(fragment.clone());
            match model.push(fragment) {
                Outcome::Kept => prop_assert_eq!(got, Ok(None)),
                Outcome::Stale => prop_assert_eq!(got, Err(FragmentError::Stale)),
                Outcome::Complete => prop_assert_eq!(got, Ok(Some(message.clone()))),
            }
        }
    }

    #[test]
    fn a_shuffled_split_is_complete_with_its_last_part_and_not_before(
        data_bytes in 300usize..1500,
        datagram_bytes in 100usize..600,
        order in any::<u64>(),
    ) {
        let sent = message(data_bytes);
        let mut parts = split(&sent, datagram_bytes);
        parts.sort_by_key(|part| u64::from(part.number).wrapping_mul(order | 1).rotate_left(17));
        let mut reassembler = Reassembler::default();
        let last = parts.pop().unwrap();
        for part in parts.iter().chain(&parts) {
            prop_assert_eq!(reassembler.push(part.clone()), Ok(None));
        }
        prop_assert_eq!(reassembler.push(last), Ok(Some(sent)));
    }

    #[test]
    fn hostile_fragments_never_panic_and_never_exceed_a_message(
        fragments in proptest::collection::vec(
            (1u16..300, any::<Index>(), any::<u8>(), 0usize..3000, 0u32..2), 1..200),
    ) {
        let mut reassembler = Reassembler::default();
        for (total, number, first, bytes, id) in fragments {
            let number = u16::try_from(number.index(total.into())).unwrap() + 1;
            let header = numbered(id, 0).header;
            let content = vec![first; bytes];
            let known = Fragment { header, first: PayloadType(first), number, total, content };
            let result = reassembler.push(known);
            prop_assert_eq!(total > MAX_FRAGMENTS, matches!(result, Err(FragmentError::TooMany(_))));
        }
    }
}

#[test]
fn fragments_beyond_the_longest_message_are_refused_one_by_one() {
    let mut reassembler = Reassembler::default();
    let each = 1 + MAX_MESSAGE_BYTES / usize::from(MAX_FRAGMENTS - 2);
    let mut results = (1..MAX_FRAGMENTS).map(|number| {
        let (header, first) = (message(0).header, PayloadType::NOTIFY);
        reassembler.push(Fragment { header, first, number, total: MAX_FRAGMENTS, content: vec![0; each] })
    });
    assert!(results.by_ref().take(usize::from(MAX_FRAGMENTS - 3)).all(|result| result == Ok(None)));
    assert_eq!(results.last(), Some(Err(FragmentError::TooLong)));
}

#[test]
fn a_complete_set_whose_content_is_damaged_is_forgotten() {
    let sent = message(400);
    let mut parts = split(&sent, 300);
    let mut reassembler = Reassembler::default();
    let whole = parts.clone();
    parts[0].content[2] ^= 0xff; // a length inside
    let results: Vec<_> = parts.into_iter().map(|part| reassembler.push(part)).collect();
    assert!(matches!(results.last(), Some(Err(FragmentError::Malformed(_)))), "{results:?}");
    let results: Vec<_> = whole.into_iter().map(|part| reassembler.push(part).unwrap()).collect();
    assert_eq!(results.last(), Some(&Some(sent)));
}

#[test]
fn fragments_numbered_zero_or_beyond_their_total_do_not_open() {
    let (mut sealer, opener) = pair(CIPHERS[3]);
    let datagrams = sealer.seal_fragments(&message(1000), 500, &mut random).unwrap();
    // Number and total follow the IKE header and SKF's own.
    let numbers = HEADER_BYTES + SK_HEAD_BYTES;
    for (number, total) in [(0u16, 5u16), (0, 0), (6, 5), (u16::MAX, 1), (1, 0), (1, u16::MAX)] {
        let mut datagram = datagrams[0].clone();
        datagram[numbers..numbers + 2].copy_from_slice(&number.to_be_bytes());
        datagram[numbers + 2..numbers + 4].copy_from_slice(&total.to_be_bytes());
        let error = opener.open(&datagram).unwrap_err();
        let authentic = OpenError::NotAuthentic;
        let possible = number != 0 && number <= total;
        assert!(matches!(error, OpenError::Malformed(_)) != possible, "{number} of {total}: {error}");
        assert_eq!(error == authentic, possible, "{number} of {total}: {error}");
    }
}
