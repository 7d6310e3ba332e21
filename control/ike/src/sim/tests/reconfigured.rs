//! A connection that is changed or removed while an IKE SA is on its way up: what counts is the configuration in force when it is up.

use crossgate_pki::testing::{Issued, Template, key_pem};
use crossgate_pki::{Certificate, KeyKind};

use super::certificates::{Given, failure, given, name};
use super::*;
use crate::auth::{Authentication, CertificateAuthentication};
use crate::crypto::kex::Group;
use crate::sa::State;
use crate::status::Census;

type Reached = fn(&State) -> bool;

/// Every state in which the pool or the peer makes an initiator wait.
const INITIATING: [Reached; 6] = [
    |state| matches!(state, State::InitPreparing(_)),
    |state| matches!(state, State::InitSent(_)),
    |state| matches!(state, State::InitSharing(_)),
    |state| matches!(state, State::AuthSigning(_)),
    |state| matches!(state, State::AuthSent(_)),
    |state| matches!(state, State::AuthVerifying(_)),
];
const PROVING: Reached = |state| matches!(state, State::AuthProving(_));

fn config(index: usize, adjust: impl FnOnce(&mut Given, &mut ConnectionConfig)) -> ConnectionConfig {
    let mut config = connection(index);
    config.local_id = Identity::Fqdn(name(index));
    config.remote_id = Some(Identity::Fqdn(name(1 - index)));
    if index == 1 {
        config.children[0].esp_suites.push(EspSuite::ChaCha20Poly1305);
    }
    let mut given = given(index, KeyKind::P256, Template::peer(&name(index)));
    adjust(&mut given, &mut config);
    config.authentication = given.authentication();
    config
}

fn configure(index: usize, adjust: impl FnOnce(&mut Given, &mut ConnectionConfig)) -> Command {
    Command::Configure(Box::new(config(index, adjust)))
}

fn stranger() -> Vec<Certificate> {
    vec![Issued::root(&Template::authority("Stranger"), &key_pem(KeyKind::P256, 99)).certificate()]
}

/// A pair on its way up, with an IKE SA of side `index` in the state that is asked for.
fn until(index: usize, is_reached: Reached) -> Pair {
    let mut pair = Pair::new(1, Link::LAN, &EndpointConfig::default());
    pair.compute = Duration::from_millis(30);
    for side in [1, 0] {
        pair.command(side, configure(side, |_, _| {}));
    }
    let reached = |pair: &Pair| pair.sides[index].endpoint.sas.values().any(|sa| is_reached(&sa.state));
    let end = pair.now + Duration::from_secs(5);
    assert!(pair.run(reached, end), "{}", pair.trace());
    pair
}

#[test]
fn a_responder_refuses_a_peer_whose_connection_changed_or_went_meanwhile() {
    let changes: [fn() -> Command; 3] = [
        || configure(1, |_, config| config.remote_id = Some(Identity::Fqdn("other.example".into()))),
        || configure(1, |given, _| given.anchors = stranger()),
        || Command::Remove(CONNECTION),
    ];
    for (case, change) in changes.into_iter().enumerate() {
        let mut pair = until(1, PROVING);
        pair.command(1, change());
        pair.run_for(Duration::from_millis(500));
        let note = format!("case {case}\n{}", pair.trace());
        assert!(failure(&pair, 0).contains("TEMPORARY_FAILURE"), "{}, {note}", failure(&pair, 0));
        let failures =
            pair.sides[1].endpoint.status().into_iter().map(|status| status.failure.unwrap().error);
        let connections = pair.sides[1].endpoint.census().connections;
        assert_eq!(failures.collect::<Vec<_>>(), vec![IkeError::Reconfigured; connections], "{note}");
        let of = (connections == 1).then_some(CONNECTION);
        let told = [(of, IkeError::Reconfigured)];
        assert_eq!(pair.sides[1].told, told, "nobody is told of what is not there, {note}");
        assert_eq!(connections, usize::from(case < 2), "{note}");

        pair.command(0, Command::Remove(CONNECTION));
        let [_, left] = rest(&mut pair);
        let nothing = Census {
            connections,
            ike_sas: 0,
            ike_spis: 0,
            half_open: (0, 0),
            waiting: 0,
            attached: 0,
            children: (0, 0),
            lingering: 0,
            leases: 0,
            used_tickets: 0,
            timers: 0,
        };
        assert_eq!(left, nothing, "{note}");
        assert_eq!([0, 1].map(|index| pair.count(index, What::Established)), [0, 0], "{note}");
        assert_eq!(pair.sides.each_ref().map(|side| side.plane.allocated()), [0, 0], "{note}");
    }
}

#[test]
fn a_responder_refuses_algorithms_that_it_has_not_any_more_when_the_peer_proves_itself() {
    let mut pair = until(1, |state| matches!(state, State::AuthAwaited(_)));
    let change = configure(1, |_, config| {
        config.ike_suites.iter_mut().for_each(|suite| suite.group = Group::Modp4096);
    });
    pair.command(1, change);
    pair.run_for(Duration::from_millis(500));
    assert!(failure(&pair, 0).contains("TEMPORARY_FAILURE"), "{}\n{}", failure(&pair, 0), pair.trace());
    assert_eq!([0, 1].map(|index| pair.count(index, What::Established)), [0, 0], "{}", pair.trace());
}

#[test]
fn a_responder_comes_up_under_the_configuration_in_force() {
    let mut pair = until(1, PROVING);
    pair.command(1, configure(1, |_, config| config.children[0].name = Arc::from("renamed")));
    pair.run_until_idle();
    pair.assert_up("renamed");
    assert_eq!(pair.count(1, What::Established), 1, "{}", pair.trace());
    assert_eq!(&*status(&pair, 1).ike_sas[0].children[0].name, "renamed");
}

#[test]
fn an_initiator_comes_up_with_the_certificate_and_the_children_in_force() {
    for (case, reached) in INITIATING.into_iter().enumerate() {
        let mut pair = until(0, reached);
        let change = configure(0, |wanted, config| {
            *wanted = given(0, KeyKind::Ed25519, Template::peer(&name(0)));
            config.children[0].esp_suites = vec![EspSuite::ChaCha20Poly1305];
        });
        pair.command(0, change);
        settle(&mut pair);
        let note = format!("case {case}");
        pair.assert_up(&note);
        assert_eq!(pair.count(0, What::Established), 1, "{note}\n{}", pair.trace());
        let suite = status(&pair, 0).ike_sas[0].children[0].suite;
        assert_eq!(suite, EspSuite::ChaCha20Poly1305, "{note}\n{}", pair.trace());
    }
}

#[test]
fn an_initiator_believes_the_authorities_in_force() {
    for (case, reached) in INITIATING.into_iter().enumerate() {
        let mut pair = until(0, reached);
        pair.command(0, configure(0, |given, _| given.anchors = stranger()));
        pair.run_for(Duration::from_millis(500));
        let told = failure(&pair, 0);
        assert!(told.contains("unknown CA"), "case {case}: {told}\n{}", pair.trace());
        assert_eq!(pair.count(0, What::Established), 0, "case {case}\n{}", pair.trace());
    }
}

#[test]
fn a_tunnel_ends_with_what_it_was_allowed_to_be_proven_by_but_not_with_a_renewed_trust() {
    let mut pair = until(1, |state| matches!(state, State::Established(_)));
    pair.run_until_idle();
    pair.command(1, configure(1, |given, _| given.anchors.extend(stranger())));
    pair.run_until_idle();
    assert_eq!(pair.count(1, What::Established), 1, "{}", pair.trace());
    pair.assert_up("renewed");

    let sha1 = |allow_sha1| {
        let mut wanted = config(1, |_, _| {});
        let Authentication::Certificate(by) = &wanted.authentication else { panic!("by certificates") };
        wanted.authentication = Authentication::Certificate(Arc::new(CertificateAuthentication {
            credential: Arc::clone(&by.credential),
            trust: Arc::clone(&by.trust),
            rsa_padding: by.rsa_padding,
            allow_sha1,
        }));
        Command::Configure(Box::new(wanted))
    };
    pair.command(1, sha1(true));
    settle(&mut pair);
    assert_eq!(pair.count(1, What::Established), 1, "what is allowed besides ends nothing\n{}", pair.trace());
    pair.command(1, sha1(false));
    settle(&mut pair);
    assert_eq!(pair.count(1, What::Established), 2, "{}", pair.trace());
    pair.assert_up("anew");
}
