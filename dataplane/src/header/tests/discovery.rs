//! Neighbour discovery messages, good ones and those that RFC 4861, 7.1 tells to discard.

use super::*;

fn ndp_of(frame: &[u8]) -> Result<Option<Message>, Counter> {
    Message::new(&Ipv6View::new(packet(frame)).expect("valid"))
}

#[test]
fn neighbour_discovery_both_ways() {
    let mut out = [0; ndp::PACKET_BYTES];
    let Ok(Some(Message::Solicitation(question))) = ndp_of(&SOLICITATION) else { panic!("a question") };
    assert_eq!(question.source_mac, Some(MAC_A));
    assert_eq!(question.write(&mut out), 72);
    assert_eq!(out[40..], packet(&SOLICITATION)[40..]);
    let Ok(Some(Message::Advertisement(answer))) = ndp_of(&ADVERTISEMENT) else { panic!("an answer") };
    assert_eq!(
        (answer.target_mac, answer.router, answer.solicited, answer.overrides),
        (Some(MAC_B), true, true, true)
    );
    assert_eq!(answer.write(&mut out), 72);
    assert_eq!(out[40..], packet(&ADVERTISEMENT)[40..]);
    let Ok(Some(Message::Solicitation(probe))) = ndp_of(&DAD_PROBE) else { panic!("a probe") };
    assert!(probe.source.is_unspecified() && probe.source_mac.is_none());
    assert_eq!(ndp_of(&ECHO_REQUEST_V6), Ok(None));
}

#[test]
fn neighbour_discovery_refuses_what_rfc_4861_7_1_refuses() {
    let question = Solicitation {
        source: v6("2001:db8::1"),
        destination: v6("ff02::1:ff00:2"),
        target: v6("2001:db8::2"),
        source_mac: Some(MAC_A),
    };
    let answer = Advertisement {
        source: v6("2001:db8::2"),
        destination: v6("2001:db8::1"),
        target: v6("2001:db8::2"),
        target_mac: Some(MAC_B),
        router: false,
        solicited: true,
        overrides: true,
    };
    let unspecified = v6("::");
    let read = |write: &dyn Fn(&mut [u8; 72]) -> usize, change: &dyn Fn(&mut [u8])| {
        let mut out = [0; 72];
        let length = write(&mut out);
        change(&mut out);
        Message::new(&Ipv6View::new(&out[..length]).expect("valid"))
    };
    let asked = |question: Solicitation| read(&|out| question.write(out), &|_| {});
    assert!(matches!(asked(question), Ok(Some(_))));
    let refused = Err(Counter::NdMalformed);
    assert_eq!(read(&|out| question.write(out), &|out| out[7] = 254), refused, "forwarded");
    assert_eq!(asked(Solicitation { source: unspecified, ..question }), refused, "probe with a MAC address");
    let probe = Solicitation { source: unspecified, source_mac: None, ..question };
    assert!(matches!(asked(probe), Ok(Some(_))));
    assert_eq!(asked(Solicitation { destination: question.target, ..probe }), refused, "unicast probe");
    assert_eq!(asked(Solicitation { target: v6("ff02::1"), ..question }), refused, "multicast target");
    let to_all = Advertisement { destination: ndp::ALL_NODES, ..answer };
    assert_eq!(read(&|out| to_all.write(out), &|_| {}), refused, "solicited to all");
    let group_mac = Solicitation { source_mac: Some(Mac::BROADCAST), ..question };
    assert_eq!(asked(group_mac), refused, "a group has no MAC address of its own");
}

#[test]
fn neighbour_discovery_option_of_length_zero_is_refused() {
    let mut bytes = packet(&DAD_PROBE).to_vec();
    bytes[65] = 0; // length of the option, and the checksum in step
    let sum = checksum::update(be16(&bytes, 42), 0x0e01, 0x0e00);
    bytes[42..44].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(Message::new(&Ipv6View::new(&bytes).expect("valid")), Err(Counter::NdMalformed));
}
