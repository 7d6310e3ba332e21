//! Clients that log in by EAP and get their addresses from the gateway. Our core never is such a client: one is made here by hand, out of the same parts.

use crossgate_eap::mschapv2::PasswordHash;
use crossgate_pki::KeyKind;
use crossgate_pki::testing::Template;

use super::certificates::{given, name};
use super::*;
use crate::auth::{Authentication, EapAuthentication, UserTable};
use crate::client::{Clients, Pool};
use crate::wire::{
    CfgAttribute, CfgAttributeType, CfgType, Configuration, Delete, ExchangeType, Message, Notify,
    NotifyType, Payload,
};
use client::Client;

mod client;
mod proofs;

const GATEWAY: &str = "192.0.2.2:500";

/// A gateway whose clients are anna, bert and carl, with `addresses` for them.
fn gateway(addresses: u8) -> Pair {
    let mut pair = unconfigured();
    pair.command(1, Command::Configure(Box::new(config(addresses))));
    pair
}

fn unconfigured() -> Pair {
    let link = Link { mtu_bytes: 60_000, ..Link::LAN };
    Pair::new(1, link, &EndpointConfig::default())
}

/// Users whose password is "secret of" and the name.
fn users(names: &[&str]) -> Arc<UserTable> {
    let of = |name: &&str| ((*name).to_owned(), PasswordHash::of(&format!("secret of {name}")));
    Arc::new(UserTable::new(names.iter().map(of)))
}

fn config(addresses: u8) -> ConnectionConfig {
    let Authentication::Certificate(own) = given(1, KeyKind::P256, Template::peer(&name(1))).authentication()
    else {
        panic!("certificates")
    };
    let mut config = connection(1);
    let users = Some(users(&["anna", "bert", "carl"]));
    config.authentication =
        Authentication::Eap(Arc::new(EapAuthentication { own, users, tls: None, radius: None }));
    config.local_id = Identity::Fqdn(name(1));
    config.remote_id = None;
    config.places = Vec::new();
    let pool = |last| Pool { first: "10.9.0.1".parse().unwrap(), last };
    config.clients = Some(Clients {
        pools: vec![pool(IpAddr::V4(Ipv4Addr::new(10, 9, 0, addresses)))],
        dns: vec!["10.2.0.53".parse().unwrap()],
        sessions_max: 100,
    });
    config.children[0].remote_selectors =
        vec![TrafficSelector::from_prefix("10.9.0.0".parse().unwrap(), 24).unwrap()];
    config
}

fn notify(kind: NotifyType) -> Payload {
    Payload::Notify(Notify::new(kind, Vec::new()))
}

fn wants_address() -> Payload {
    let empty = |kind| CfgAttribute { kind, value: Vec::new() };
    let attributes =
        vec![empty(CfgAttributeType::INTERNAL_IP4_ADDRESS), empty(CfgAttributeType::INTERNAL_IP4_DNS)];
    Payload::Configuration(Configuration { kind: CfgType::REQUEST, attributes })
}

/// The address that a client got.
fn address(message: &Message) -> Option<IpAddr> {
    let given = message.configuration()?;
    let address =
        given.attributes.iter().find(|given| given.kind == CfgAttributeType::INTERNAL_IP4_ADDRESS)?;
    Some(IpAddr::from(<[u8; 4]>::try_from(address.value.as_slice()).unwrap()))
}

fn leases(pair: &Pair) -> usize {
    pair.sides[1].endpoint.census().leases
}

/// IKE SAs of a user that are up.
fn sessions(pair: &Pair, user: &str) -> usize {
    status(pair, 1).ike_sas.iter().filter(|ike| format!("{:?}", ike.peer).contains(user)).count()
}

#[test]
fn each_client_gets_an_address_and_its_selectors_are_that_address() {
    let mut pair = gateway(2);
    let (_anna, message) = Client::connect(&mut pair, 1, "anna");
    assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()), "{message:?}");
    let selectors = crate::wire::ranges(message.ts_initiator().unwrap());
    assert_eq!(format!("{selectors:?}"), "[10.9.0.1/32]");
    let dns = message
        .configuration()
        .unwrap()
        .attributes
        .iter()
        .find(|given| given.kind == CfgAttributeType::INTERNAL_IP4_DNS);
    assert_eq!(dns.unwrap().value, [10, 2, 0, 53]);
    let (_bert, message) = Client::connect(&mut pair, 2, "bert");
    assert_eq!(address(&message), Some("10.9.0.2".parse().unwrap()));
    assert_eq!((leases(&pair), pair.live_children()[1], pair.live_ikes()[1]), (2, 2, 2), "{}", pair.trace());
    // There is no address left for a third one.
    let (_carl, message) = Client::connect(&mut pair, 3, "carl");
    assert_eq!(address(&message), None);
    assert!(
        message.notify(NotifyType::INTERNAL_ADDRESS_FAILURE).is_some() && message.sa().is_none(),
        "{message:?}"
    );
    assert_eq!(status(&pair, 1).failure.unwrap().error, IkeError::NoFreeAddress);
    // The same user from elsewhere takes the address along and nothing from the other one; then the earlier session is ended.
    let (mut again, message) = Client::connect(&mut pair, 4, "anna");
    assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()), "{}", pair.trace());
    pair.run_for(Duration::from_secs(60));
    assert_eq!(
        (leases(&pair), sessions(&pair, "anna"), sessions(&pair, "bert")),
        (2, 1, 1),
        "{}",
        pair.trace()
    );
    // Who leaves gives it back for the next one.
    again.ask(&mut pair, ExchangeType::INFORMATIONAL, vec![Payload::Delete(Delete::IkeSa)]);
    let installed = pair.sides[1].plane.installed().count();
    assert_eq!((leases(&pair), installed), (1, 1), "no SA lingers with an address that is free");
    let (_carl, message) = Client::connect(&mut pair, 5, "carl");
    assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()), "{}", pair.trace());
    assert_eq!(sessions(&pair, "bert"), 1, "nobody else was touched\n{}", pair.trace());
    pair.command(1, Command::Remove(CONNECTION));
    pair.run_for(Duration::from_secs(300));
    assert_eq!((leases(&pair), pair.sides[1].plane.allocated()), (0, 0), "{}", pair.trace());
}

#[test]
fn wrong_password_unknown_user_and_wrong_key_get_nowhere() {
    let mut pair = gateway(9);
    for (number, user, password, reason) in
        [(1, "anna", "guess", "password"), (2, "dora", "secret of dora", "no user")]
    {
        let mut client = Client::begin(&mut pair, number);
        let first = client.ask_to_log_in(&mut pair, vec![wants_address()]);
        let (last, _) = client.log_in(&mut pair, first, user, password);
        assert_eq!(last.eap().map(|packet| packet[0]), Some(4), "EAP-Failure");
        assert!(last.notify(NotifyType::AUTHENTICATION_FAILED).is_some());
        let failure = status(&pair, 1).failure.unwrap().error.to_string();
        assert!(failure.contains(reason) && failure.contains(user), "{failure}");
    }
    // The log-in is right, but whoever was between the two does not have its key.
    let mut client = Client::begin(&mut pair, 3);
    let first = client.ask_to_log_in(&mut pair, vec![wants_address()]);
    let (_, mut key) = client.log_in(&mut pair, first, "anna", "secret of anna");
    key[0] ^= 1;
    let last = client.prove(&mut pair, &key);
    assert!(last.notify(NotifyType::AUTHENTICATION_FAILED).is_some() && last.auth().is_none());
    // Nobody logs in by a key before the log-in.
    let mut client = Client::begin(&mut pair, 4);
    client.ask_to_log_in(&mut pair, vec![wants_address()]);
    let last = client.prove(&mut pair, &[0; 64]);
    assert!(last.auth().is_none() && last.error().is_some());
    pair.run_for(Duration::from_secs(300));
    assert_eq!((pair.live_ikes()[1], leases(&pair), pair.sides[1].endpoint.half_open()), (0, 0, 0));
}

#[test]
fn client_that_stops_half_way_is_forgotten_and_one_without_a_wish_for_an_address_has_no_child() {
    let mut pair = gateway(9);
    let mut client = Client::begin(&mut pair, 1);
    client.ask_to_log_in(&mut pair, vec![wants_address()]);
    assert_eq!(pair.sides[1].endpoint.half_open(), 1);
    pair.run_for(Duration::from_secs(110));
    assert_eq!(pair.sides[1].endpoint.half_open(), 1, "a person types");
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.sides[1].endpoint.half_open(), 0);
    let error = IkeError::StoppedHalfWay(crate::error::Stage::Login);
    assert_eq!(status(&pair, 1).failure.unwrap().error, error);
    assert!(error.remedy().starts_with("at the client"));
    let mut client = Client::begin(&mut pair, 2);
    let first = client.ask_to_log_in(&mut pair, vec![notify(NotifyType::INITIAL_CONTACT)]);
    let (_, key) = client.log_in(&mut pair, first, "anna", "secret of anna");
    let last = client.prove(&mut pair, &key);
    assert!(last.notify(NotifyType::FAILED_CP_REQUIRED).is_some() && last.sa().is_none(), "{last:?}");
    assert_eq!((pair.live_ikes()[1], pair.live_children()[1]), (1, 0));
    // Nor does it get one afterwards, with whatever address.
    let message = client.ask_for_child(&mut pair, "10.9.0.0", 24);
    assert!(message.notify(NotifyType::TS_UNACCEPTABLE).is_some() && message.sa().is_none(), "{message:?}");
    assert_eq!((pair.live_children()[1], leases(&pair)), (0, 0), "{}", pair.trace());
}

#[test]
fn a_client_gets_no_child_for_the_address_of_another_one() {
    let mut pair = gateway(9);
    let (_bert, message) = Client::connect(&mut pair, 1, "bert");
    assert_eq!(address(&message), Some("10.9.0.1".parse().unwrap()));
    let (mut anna, message) = Client::connect(&mut pair, 2, "anna");
    assert_eq!(address(&message), Some("10.9.0.2".parse().unwrap()));
    let message = anna.ask_for_child(&mut pair, "10.9.0.1", 32);
    assert!(message.notify(NotifyType::TS_UNACCEPTABLE).is_some() && message.sa().is_none(), "{message:?}");
    let message = anna.ask_for_child(&mut pair, "10.9.0.0", 24);
    let selectors = crate::wire::ranges(message.ts_initiator().unwrap());
    assert_eq!(format!("{selectors:?}"), "[10.9.0.2/32]", "{}", pair.trace());
}

#[test]
fn who_is_taken_out_of_the_users_or_gets_another_password_is_cut_off_and_the_others_stay() {
    let mut pair = gateway(9);
    let _sessions = ["anna", "bert"].map(|user| Client::connect(&mut pair, user.as_bytes()[0], user));
    let mut config = config(9);
    let Authentication::Eap(by) = &config.authentication else { panic!("by EAP") };
    let (own, fewer) = (Arc::clone(&by.own), users(&["bert", "carl"]));
    let users = Some(fewer);
    config.authentication =
        Authentication::Eap(Arc::new(EapAuthentication { own, users, tls: None, radius: None }));
    pair.command(1, Command::Configure(Box::new(config)));
    pair.run_for(Duration::from_secs(60));
    assert_eq!(
        (sessions(&pair, "anna"), sessions(&pair, "bert"), leases(&pair)),
        (0, 1, 1),
        "{}",
        pair.trace()
    );
}

#[test]
fn a_client_that_does_not_believe_the_gateway_says_so() {
    let mut pair = gateway(9);
    let mut client = Client::begin(&mut pair, 1);
    client.ask_to_log_in(&mut pair, vec![wants_address()]);
    client.ask(&mut pair, ExchangeType::INFORMATIONAL, vec![notify(NotifyType::AUTHENTICATION_FAILED)]);
    assert_eq!(status(&pair, 1).failure.unwrap().error, IkeError::CertificateRefused { trusted: true });
    assert_eq!(pair.sides[1].endpoint.half_open(), 0);
}

#[test]
fn clients_stay_when_their_number_or_name_servers_change_and_go_when_the_pool_does() {
    let mut pair = gateway(9);
    let _anna = Client::connect(&mut pair, 1, "anna");
    let change = |pair: &mut Pair, edit: fn(&mut Clients)| {
        let mut changed = config(9);
        edit(changed.clients.as_mut().unwrap());
        pair.command(1, Command::Configure(Box::new(changed)));
        pair.run_for(Duration::from_secs(30));
    };
    change(&mut pair, |clients| clients.sessions_max = 1);
    change(&mut pair, |clients| {
        clients.sessions_max = 1;
        clients.dns.clear();
    });
    assert_eq!((leases(&pair), sessions(&pair, "anna")), (1, 1), "{}", pair.trace());
    // The new number holds for those to come.
    let (_bert, message) = Client::connect(&mut pair, 2, "bert");
    assert_eq!(address(&message), None, "{message:?}");
    change(&mut pair, |clients| clients.pools[0].first = "10.9.0.2".parse().unwrap());
    assert_eq!((leases(&pair), sessions(&pair, "anna")), (0, 0), "{}", pair.trace());
}

#[test]
fn after_a_restart_clients_get_the_addresses_that_they_had_in_whatever_order_they_come() {
    let mut pair = gateway(3);
    let _sessions = ["anna", "bert"].map(|user| Client::connect(&mut pair, user.as_bytes()[0], user));
    let now = pair.now;
    let kept = pair.sides[1].endpoint.lease_changes(now);
    let kept: Vec<_> = kept.into_iter().filter_map(|lease| Some((lease.address, lease.user?))).collect();
    assert_eq!(kept.len(), 2);
    // Those that are told to go keep theirs, too.
    pair.command(1, Command::Shutdown);
    pair.run_for(Duration::from_secs(60));
    assert_eq!((leases(&pair), pair.sides[1].endpoint.lease_changes(now)), (0, Vec::new()));

    let mut pair = gateway(3);
    let until = pair.now + Duration::from_secs(600);
    pair.sides[1].endpoint.keep_leases(CONNECTION, kept, until);
    let mut logs_in = |number: u8, user: &str| address(&Client::connect(&mut pair, number, user).1);
    let addresses = [(1, "bert"), (2, "carl"), (3, "anna")].map(|(number, user)| logs_in(number, user));
    let of = |last: u8| Some(IpAddr::V4(Ipv4Addr::new(10, 9, 0, last)));
    assert_eq!(addresses, [of(2), of(3), of(1)]);
}
