//! Bringing an IKE SA up: algorithms, selectors, cookies, fragments, NATs.

use super::*;

#[test]
fn a_handshake_gives_both_sides_one_child() {
    Pair::connected(1, Link::LAN, |_, _| {}).assert_up("plain");
}

#[test]
fn a_handshake_survives_loss_reordering_and_duplicates() {
    for seed in seeds(100) {
        let mut pair = Pair::connected(seed, Link::HOSTILE, |_, _| {});
        pair.run_for(Duration::from_secs(120));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
    }
}

#[test]
fn both_initiating_at_once_end_with_one_ike_sa() {
    for seed in seeds(100) {
        let link = if seed % 2 == 0 { Link::LAN } else { Link::HOSTILE };
        let mut pair = Pair::connected(seed, link, |_, config| config.mode = Mode::Default);
        pair.run_for(Duration::from_secs(200));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
    }
}

#[test]
fn selectors_are_narrowed_to_what_both_allow() {
    let wide = TrafficSelector::any_ipv4();
    for side in [0, 1] {
        let pair = Pair::connected(1, Link::LAN, |index, config| {
            if index == side {
                config.children[0].local_selectors = vec![wide];
                config.children[0].remote_selectors = vec![wide];
            }
        });
        pair.assert_up("narrowed");
        for index in [0, 1] {
            let sa = pair.sides[index].plane.sends_on(CONNECTION, 0).unwrap();
            assert_eq!(sa.local_selectors, connection(index).children[0].local_selectors);
            assert_eq!(sa.remote_selectors, connection(index).children[0].remote_selectors);
        }
    }
}

#[test]
fn every_group_and_cipher_connects() {
    use crate::crypto::suite::Integrity;
    let ciphers = [
        (IkeCipher::AesGcm16(KeyBits::B128), Prf::HmacSha2_512),
        (IkeCipher::AesGcm16(KeyBits::B192), Prf::HmacSha1),
        (IkeCipher::AesCbc(KeyBits::B256, Integrity::HmacSha2_384_192), Prf::HmacSha2_384),
        (IkeCipher::AesCbc(KeyBits::B192, Integrity::HmacSha1_96), Prf::HmacMd5),
        (IkeCipher::TripleDesCbc(Integrity::HmacSha2_256_128), Prf::HmacSha2_256),
        (IkeCipher::DesCbc(Integrity::HmacMd5_96), Prf::HmacSha1),
    ];
    for group in Group::ALL {
        for (cipher, prf) in ciphers {
            let suite = IkeSuite { cipher, prf, group };
            Pair::connected(1, Link::LAN, |_, config| config.ike_suites = vec![suite])
                .assert_up(&format!("{suite}"));
        }
    }
}

#[test]
fn every_esp_suite_is_negotiated_and_keyed_alike_on_both_sides() {
    use crate::crypto::suite::Integrity;
    let suites = [
        EspSuite::AesGcm16(KeyBits::B192),
        EspSuite::ChaCha20Poly1305,
        EspSuite::AesCbc(KeyBits::B128, Integrity::HmacSha1_96),
        EspSuite::AesCbc(KeyBits::B256, Integrity::HmacSha2_256_128),
        EspSuite::TripleDesCbc(Integrity::HmacSha1_96),
        EspSuite::DesCbc(Integrity::HmacMd5_96),
        EspSuite::Null(Integrity::HmacSha2_512_256),
    ];
    for suite in suites {
        // The initiator offers all, in several proposals; the responder takes one.
        let pair = Pair::connected(1, Link::LAN, |index, config| {
            config.children[0].esp_suites = if index == 0 { suites.to_vec() } else { vec![suite] };
        });
        pair.assert_up(&format!("{suite}"));
        let sa = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap();
        assert_eq!((sa.suite, sa.inbound.key.expose().len()), (suite, suite.key_bytes()));
    }
}

#[test]
fn a_responder_asks_for_its_group_and_gets_it() {
    let suite =
        |group| IkeSuite { cipher: IkeCipher::AesGcm16(KeyBits::B256), prf: Prf::HmacSha2_256, group };
    let pair = Pair::connected(1, Link::LAN, |index, config| {
        config.ike_suites = match index {
            0 => vec![suite(Group::Curve25519), suite(Group::Ecp256)],
            _ => vec![suite(Group::Ecp256)],
        };
    });
    pair.assert_up("another group");
    assert_eq!((pair.count(0, What::GroupChanged), pair.count(1, What::GroupDemanded)), (1, 1));
}

#[test]
fn under_load_a_cookie_is_demanded_and_returned() {
    let settings = EndpointConfig { cookie_threshold: 0, ..EndpointConfig::default() };
    let mut pair = Pair::new(1, Link::LAN, &settings);
    for index in [1, 0] {
        pair.command(index, Command::Configure(Box::new(connection(index))));
    }
    pair.run_until_idle();
    pair.assert_up("cookies");
    assert_eq!((pair.count(1, What::CookieDemanded), pair.count(0, What::CookieReturned)), (1, 1));
}

#[test]
fn long_messages_travel_in_fragments_over_a_small_and_lossy_path() {
    for seed in seeds(30) {
        let settings = EndpointConfig { fragment_bytes: 300, ..EndpointConfig::default() };
        let link = Link { mtu_bytes: 320, loss: 0.1, ..Link::LAN };
        let mut pair = Pair::new(seed, link, &settings);
        for index in [1, 0] {
            let mut config = connection(index);
            let many = (0..20)
                .map(|n| TrafficSelector::from_prefix(IpAddr::V4(Ipv4Addr::new(10, 9, n, 0)), 25).unwrap());
            config.children[0].local_selectors.extend(many.clone());
            config.children[0].remote_selectors.extend(many);
            pair.command(index, Command::Configure(Box::new(config)));
        }
        pair.run_for(Duration::from_secs(120));
        pair.run_until_idle();
        pair.assert_up(&format!("seed {seed}"));
    }
}

/// Side 0 is behind a NAT.
fn behind_nat() -> Pair {
    let pair = Pair::connected(1, Link { nat: true, ..Link::LAN }, |index, config| {
        if index == 1 {
            config.places = Vec::new();
        }
    });
    pair.assert_up("behind a NAT");
    pair
}

#[test]
fn a_nat_is_found_and_followed_when_it_rebinds() {
    let mut pair = behind_nat();
    let path = |pair: &Pair, index: usize| pair.sides[index].plane.sends_on(CONNECTION, 0).unwrap().path;
    assert_eq!(path(&pair, 0).local.port(), crate::NAT_PORT);
    assert!(path(&pair, 0).nat_before_us && path(&pair, 1).nat_before_peer);
    let before = path(&pair, 1).remote;
    pair.nat_shift = 7;
    pair.command(0, Command::RekeyIke(CONNECTION));
    pair.run_until_idle();
    pair.assert_up("after the NAT rebound");
    assert_eq!(path(&pair, 1).remote.port(), before.port() + 7, "{}", pair.trace());
}

#[test]
fn ike_follows_a_nat_that_rebinds_by_the_peer_s_esp_alone() {
    let mut pair = behind_nat();
    pair.nat_shift = 7;
    let sa = pair.sides[1].plane.sends_on(CONNECTION, 0).unwrap();
    let (spi, before) = (sa.inbound.spi, sa.path.remote);
    let now = std::net::SocketAddr::new(before.ip(), before.port() + 7);
    // Of the side behind it, whatever ESP says, nobody moves.
    let other = pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap();
    let (other, stays) = (other.inbound.spi, other.path);
    pair.command(0, Command::InboundFrom(other, now));
    assert_eq!(pair.sides[0].plane.sends_on(CONNECTION, 0).unwrap().path, stays);

    pair.command(1, Command::InboundFrom(spi, now));
    assert_eq!(pair.sides[1].plane.sends_on(CONNECTION, 0).unwrap().path.remote, now);
    pair.command(1, Command::RekeyIke(CONNECTION));
    pair.run_until_idle();
    pair.assert_up("after the NAT rebound");
    let counts = [What::PeerMoved, What::IkeRekeyed, What::Retransmit].map(|what| pair.count(1, what));
    assert_eq!(counts, [1, 1, 0], "{}", pair.trace());
}

#[test]
fn another_major_version_is_told_which_one_is_spoken() {
    let mut pair = Pair::connected(1, Link::LAN, |_, _| {});
    let mut bytes = [7; 28];
    bytes[17] = 0x30;
    bytes[19] = 0x08;
    bytes[24..28].copy_from_slice(&28u32.to_be_bytes());
    let (local, remote) = ("192.0.2.2:500".parse().unwrap(), "192.0.2.1:500".parse().unwrap());
    let side = &mut pair.sides[1];
    side.endpoint
        .handle(Input::Datagram { local, remote, bytes: &bytes }, pair.now, &mut side.plane)
        .unwrap();
    let mut answers = Vec::new();
    while let Some(output) = side.endpoint.poll_output() {
        if let Output::Transmit(transmit) = output {
            answers.push(crate::wire::Message::parse(&transmit.bytes).unwrap());
        }
    }
    let told = answers[0].notify(crate::wire::NotifyType::INVALID_MAJOR_VERSION).is_some();
    assert!(told && answers.len() == 1);
}
