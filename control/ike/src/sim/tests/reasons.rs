//! Two sides that cannot agree: each says why, and nothing leaks.

use super::*;

/// Two sides that cannot agree, run for a while; what each says about it.
fn reasons(adjust: impl Fn(usize, &mut ConnectionConfig)) -> [Option<IkeError>; 2] {
    let mut pair = Pair::new(5, Link::LAN, &EndpointConfig::default());
    for index in [1, 0] {
        let mut config = connection(index);
        adjust(index, &mut config);
        pair.command(index, Command::Configure(Box::new(config)));
    }
    pair.run_for(Duration::from_secs(5));
    assert_eq!(
        pair.sides[0].plane.allocated() + pair.sides[1].plane.allocated(),
        0,
        "SPIs leaked\n{}",
        pair.trace()
    );
    [0, 1].map(|index| status(&pair, index).failure.map(|failure| failure.error))
}

#[test]
fn a_wrong_key_is_named_on_both_sides() {
    let [initiator, responder] = reasons(|index, config| {
        if index == 1 {
            config.authentication = Authentication::shared_key(b"another");
        }
    });
    assert_eq!(initiator, Some(IkeError::RefusedByPeer));
    assert_eq!(responder, Some(IkeError::WrongKey));
}

#[test]
fn no_common_proposal_is_named_on_both_sides() {
    let [initiator, responder] = reasons(|index, config| {
        if index == 1 {
            config.ike_suites[0].cipher = IkeCipher::AesGcm16(KeyBits::B128);
        }
    });
    let hint = Some(crate::wire::NotifyType::NO_PROPOSAL_CHOSEN);
    assert_eq!(initiator, Some(IkeError::NoAnswer { stage: crate::error::Stage::Init, hint }));
    assert_eq!(responder, Some(IkeError::NoProposalChosen(crate::error::Stage::Init)));
}

#[test]
fn wrong_selectors_are_named_on_both_sides_and_keep_the_ike_sa() {
    let [initiator, responder] = reasons(|index, config| {
        if index == 1 {
            let other = TrafficSelector::from_prefix("10.9.0.0".parse().unwrap(), 16).unwrap();
            config.children[0].local_selectors = vec![other];
        }
    });
    assert_eq!(initiator, Some(IkeError::SelectorsRefused(crate::error::Stage::Auth)));
    assert_eq!(responder, Some(IkeError::NoCommonSelectors(crate::error::Stage::Auth)));
}

#[test]
fn an_unknown_identity_is_named() {
    let [_, responder] = reasons(|index, config| {
        if index == 0 {
            config.local_id = "gateway.example".parse().unwrap();
        }
    });
    assert!(matches!(responder, Some(IkeError::UnknownPeer(_))), "{responder:?}");
}
