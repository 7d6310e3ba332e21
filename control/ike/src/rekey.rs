//! Who wins when both peers rekey the same SA at once (RFC 7296, 2.8.1 and 2.8.2). Four nonces were exchanged; the SA made with the lowest of them is redundant, and its
//! initiator deletes it. The initiator of the other one deletes the SA that was rekeyed. Used for Child SAs and IKE SAs.

/// The lower nonce of one exchange, in the order of RFC 7296, 2.8.1: octet by octet, a prefix before what it begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lowest(Vec<u8>);

/// The lower of an exchange's two nonces.
pub(crate) fn lowest(initiator: &[u8], responder: &[u8]) -> Lowest {
    Lowest(initiator.min(responder).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_with_the_lowest_nonce_loses() {
        let ours = lowest(&[5, 0], &[1, 9]);
        let theirs = lowest(&[2], &[1, 9, 0]);
        assert!(ours < theirs, "a prefix is lower than what it begins");
        assert_eq!(ours, lowest(&[1, 9], &[5, 0]));
    }
}
