//! ESP packets byte by byte: known answers, and authentic packets whose contents are not what they should be.

use crate::lab::{
    Gateway, HOST, LAN, OURS, Options, PEER, Site, WAN, across, authentic, frame, inbound, outbound, pair,
    spi,
};
use crossgate_dataplane::counter::Counter::*;
use crossgate_dataplane::sa::Esn;
use hex_literal::hex;

/// Computed by Python's `cryptography` (AESGCM) from RFC 4303 and RFC 4106: outer IPv4 header, ESP header, IV, ciphertext, tag.
const WITHOUT_ESN: [u8; 80] = hex!(
    "45000050030440004032b374c0000201c0000202"
    "0000020701020304 0000000001020304"
    "ba278f490bc917e196c2c1c53f55d278bba3e72d6b35a6c5bd73dee8ba9d3183"
    "6a7e23c1f905354aa6c111f3"
);
const WITH_ESN: [u8; 80] = hex!(
    "45000050030440004032b374c0000201c0000202"
    "0000020701020304 0000000501020304"
    "01d2274715a22e0a84c8ac43d2482119ab5d53335084160d9b781b03dd937a25"
    "60a66ba4cfa46c6e069cfe71"
);

#[test]
fn sealed_packet_has_the_bytes_of_an_independent_implementation() {
    for (esn, first, expected) in
        [(Esn::Off, 0x0102_0304, WITHOUT_ESN), (Esn::On, 0x0000_0005_0102_0304, WITH_ESN)]
    {
        let mut one = Gateway::new(Site(1), 1);
        let options = Options { esn, first, ..Options::default() };
        one.install(outbound(Site(1), &options, 0), inbound(Site(1), &options, 0));
        one.arrive(LAN, &frame(OURS[LAN], HOST, &across(Site(1), false, 64, 0x77, 5)));
        one.run();
        assert_eq!(one.sent(WAN), [frame(PEER, OURS[WAN], &expected)], "{esn:?}");
        one.finish();
    }
}

#[test]
fn each_authentic_packet_with_bad_contents_moves_its_own_counter() {
    let inner = across(Site(1), false, 63, 0x77, 4); // 24 bytes
    let with = |tail: &[u8]| [&inner[..], tail].concat();
    let version_6 = [&[0x65], &inner[1..], &[1, 2, 2, 4]].concat();
    for (reason, plain) in [
        (EspBadPadding, with(&[1, 3, 2, 4])),
        (EspBadPadding, with(&[1, 2, 200, 4])),
        (EspDummy, with(&[1, 2, 2, 59])),
        (EspBadNextHeader, with(&[1, 2, 2, 6])),
        (EspInnerMalformed, version_6),
        (EspInnerMalformed, with(&[1, 2, 2, 41])),
    ] {
        let [one, mut two] = pair(&Options { esn: Esn::Off, ..Options::default() });
        two.arrive(WAN, &authentic(Site(2), spi(Site(2), 0), Esn::Off, 1, &plain));
        two.run();
        let mut moved = two.moved();
        moved.sort_unstable();
        let mut expected = [(RxPackets, 1), (EspOpened, 1), (reason, 1)];
        expected.sort_unstable();
        assert_eq!(moved, expected);
        two.arrive(WAN, &authentic(Site(2), spi(Site(2), 0), Esn::Off, 2, &with(&[1, 2, 2, 4])));
        two.run();
        assert_eq!(two.sent(LAN), [frame(HOST, OURS[LAN], &across(Site(1), false, 62, 0x77, 4))]);
        one.finish();
        two.finish();
    }
}
