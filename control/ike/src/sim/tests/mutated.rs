//! True sealed messages with a byte changed: nothing of them may act, and the true one still must (RFC 7296, 2.21).

use super::*;

/// Takes the next IKE message for `index` out of the air.
fn take(pair: &mut Pair, index: usize) -> (std::net::SocketAddr, std::net::SocketAddr, Vec<u8>) {
    loop {
        let found = pair.flying.iter().find(|(_, packet)| packet.to == index).map(|(key, _)| *key);
        match found.and_then(|key| pair.flying.remove(&key)) {
            Some(Packet { local, remote, carried: Carried::Ike(bytes), .. }) => {
                return (local, remote, bytes);
            }
            _ => assert!(pair.step(pair.now + Duration::from_secs(5)), "no message\n{}", pair.trace()),
        }
    }
}

/// Everything a side holds, but for its counters.
fn held(pair: &Pair, index: usize) -> String {
    let side = &pair.sides[index];
    let mut sas: Vec<String> = side.endpoint.sas.values().map(|sa| format!("{sa:?}")).collect();
    sas.sort();
    format!("{sas:?} {:?} {:?} {:?}", side.endpoint.census(), side.endpoint.status(), side.events)
}

/// Hands the next message for `index` over in every form that differs in one byte, then the true one.
fn try_mutations(pair: &mut Pair, index: usize) {
    let (local, remote, bytes) = take(pair, index);
    let before = held(pair, index);
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let last = pair.serial;
            pair.input(index, Input::Datagram { local, remote, bytes: &changed });
            // Another SPI names an IKE SA that is not here, and a changed version gets the answer of RFC 7296, 2.5; nothing else any.
            assert!(at < 16 || at == 17 || pair.serial == last, "byte {at} ^ {flip:02x} was answered");
            pair.flying.retain(|(_, serial), _| *serial <= last);
            assert_eq!(held(pair, index), before, "byte {at} ^ {flip:02x} of {}", bytes.len());
        }
    }
    pair.input(index, Input::Datagram { local, remote, bytes: &bytes });
    assert_ne!(held(pair, index), before, "the true message acts");
}

#[test]
fn a_sealed_message_with_any_byte_changed_changes_nothing() {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        pair.command(index, Command::Configure(Box::new(connection(index))));
    }
    for index in [1, 0] {
        // IKE_SA_INIT is not sealed.
        let (local, remote, bytes) = take(&mut pair, index);
        pair.input(index, Input::Datagram { local, remote, bytes: &bytes });
    }
    try_mutations(&mut pair, 1); // the request of IKE_AUTH
    try_mutations(&mut pair, 0); // its answer
    pair.assert_up("authenticated");
    pair.command(0, Command::RekeyChild(child(&pair, 0)));
    try_mutations(&mut pair, 1);
    try_mutations(&mut pair, 0);
    pair.run_until_idle();
    pair.command(1, Command::RekeyIke(CONNECTION));
    try_mutations(&mut pair, 0);
    try_mutations(&mut pair, 1);
    settle(&mut pair);
    pair.assert_up("in the end");
}
