//! Who has a part in a gateway's bandwidth, as the workers' snapshot has it; in virtual time.

use std::collections::BTreeSet;

use crossgate_dataplane::header::ethernet::Mac;
use crossgate_dataplane::sa::Direction;
use crossgate_dataplane::selector::{Selectors, TrafficSelector};

use super::*;
use crate::identifiers::Identifiers;
use crate::reconcile::edits::{OWN, config};
use crate::reconcile::forwarding::{self, Lasting};
use crate::reconcile::{PortFacts, tests::FILE};
use crate::tunnels::Tunnels;

/// Bytes a second of 100 Mbit/s.
const RATE: u64 = 100 * BYTES_PER_MBIT;
const PACKET: u64 = 1400;
/// Each tunnel offers a packet in this time: nearly half of what the gateway may send.
const STEP_US: usize = 250;
const SITES: u8 = 4;
const USERS: u8 = 6;

fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn clients() -> Name {
    name("gw-clients")
}

/// A gateway of 100 Mbit/s with four sites, and clients.
fn limited() -> Config {
    config(&text())
}

fn text() -> String {
    let own = format!(
        "sku = \"custom\"\npublic_addresses = [\"192.0.2.1\"]\n\
         [virtual_network_gateway.custom]\ntunnels = 10\nikev2_sessions = 100\nbandwidth_mbit_per_s = 100\n\
         [virtual_network_gateway.vpn_client_configuration]\nvpn_client_address_pool = [\"172.16.0.0/24\"]\n\
         vpn_client_protocols = [\"IkeV2\"]\nvpn_authentication_types = [\"Password\"]\ncertificate = {:?}\n\
         private_key = {{ env = \"OWN\" }}\nusers = {{ env = \"USERS\" }}\n",
        OWN.0.path().join("vpn.pem")
    );
    let mut text = FILE.replace("sku = \"VpnGw1\"\npublic_addresses = [\"192.0.2.1\"]\n", &own);
    for site in 3..SITES + 2 {
        text += &format!(
            "[[local_network_gateway]]\nname = \"site-{site}\"\naddress = \"192.0.2.{site}\"\nprefixes = [\"10.{site}.0.0/16\"]\n\
             [[connection]]\nname = \"to-{site}\"\ngateway = \"gw\"\nlocal_network_gateway = \"site-{site}\"\nshared_key = {{ env = \"KEY\" }}\n"
        );
    }
    text
}

fn user(number: u8) -> Identity {
    Identity::KeyId(vec![number])
}

fn address(number: u8) -> IpAddr {
    [172, 16, 0, 10 + number].into()
}

#[test]
fn ten_greedy_ones_of_which_six_are_clients_get_a_tenth_each() {
    let config = limited();
    let identifiers = Identifiers::default().extended(&config, &BTreeSet::new());
    let mut tunnels = Tunnels::default();
    identifiers.all_connections().for_each(|connection| tunnels.add(connection));
    let of_clients = identifiers.connection("gw-clients").expect("it has clients");
    let mut enter = |local: &str, user: u8| {
        let side = |prefix: &str| vec![TrafficSelector::of_prefix(prefix.parse().expect("a prefix"))];
        let selectors = Selectors { local: side(local), remote: side(&format!("{}/32", address(user))) };
        tunnels.enter(of_clients, None, selectors)
    };
    let mut members: Vec<Vec<_>> = (0..USERS).map(|user| vec![enter("10.1.0.0/16", user)]).collect();
    // One client has two Child SAs, which makes it no two clients.
    members[0].push(enter("10.1.7.0/24", 0));
    let mut meters = Meters::default();
    meters.follow(&config);
    let users: Vec<Identity> = (0..USERS).map(user).collect();
    meters.follow_clients(&clients(), (0..USERS).map(address).zip(&users));

    let facts = [PortFacts { mac: Mac([2, 0, 0, 0, 0, 1]), mtu_bytes: 1500 }; 2];
    let lasting = Lasting { meters: &meters, ..Lasting::none() };
    let built = forwarding::build(&config, &identifiers, &tunnels, lasting, &facts).expect("consistent");
    let sites = config.connections().values().filter(|connection| !connection.is_of_clients());
    members.extend(sites.map(|site| {
        let id = identifiers.connection(site.name.as_str()).expect("it has a number");
        let policy = tunnels.policy(id, &forwarding::configured_selectors(site));
        policy.into_iter().map(|(tunnel, _)| tunnel).collect()
    }));
    assert_eq!(members.len(), 10);

    let mut passed = vec![0; members.len()];
    for us in (1_000_000..3_000_000).step_by(STEP_US) {
        if us == 2_000_000 {
            passed.fill(0);
        }
        for (tunnels, passed) in members.iter().zip(&mut passed) {
            for tunnel in tunnels {
                let share = built.share(*tunnel).expect("it is limited");
                *passed += if share.take(Direction::Outbound, PACKET, us) { PACKET } else { 0 };
            }
        }
    }
    let is_fair = |passed: &u64| (RATE * 9 / 100..=RATE * 11 / 100).contains(passed);
    assert!(passed.iter().all(is_fair), "{passed:?}");
    assert!(passed.iter().sum::<u64>().abs_diff(RATE) * 100 <= RATE, "{passed:?}");
}

#[test]
fn a_user_keeps_the_part_whatever_addresses_there_are_and_who_is_gone_leaves_none() {
    let (mut meters, config) = (Meters::default(), limited());
    let (anna, bert) = (user(1), user(2));
    meters.follow(&config);
    let share = |meters: &Meters, number| {
        Arc::clone(meters.share_of_peer(&clients(), Some(address(number))).expect("limited"))
    };
    let same = |one: &Arc<Share>, other: &Arc<Share>| Arc::ptr_eq(one, other);
    meters.follow_clients(&clients(), [(address(1), &anna), (address(2), &bert), (address(3), &anna)]);
    let (first, second) = (share(&meters, 1), share(&meters, 2));
    assert!(same(&first, &share(&meters, 3)) && !same(&first, &second));
    // Another address of the same user, while the other one has left.
    meters.follow(&config);
    meters.follow_clients(&clients(), [(address(4), &anna)]);
    let of_all = Arc::clone(meters.share(&clients()).expect("limited"));
    assert!(same(&first, &share(&meters, 4)) && same(&of_all, &share(&meters, 2)));
}

#[test]
fn clients_of_a_gateway_without_a_limit_have_no_part_in_one() {
    let mut meters = Meters::default();
    meters.follow(&limited());
    meters.follow_clients(&clients(), [(address(1), &user(1))]);
    meters.follow(&config(&text().replace("bandwidth_mbit_per_s = 100\n", "")));
    meters.follow_clients(&clients(), [(address(1), &user(1))]);
    assert!(meters.share_of_peer(&clients(), Some(address(1))).is_none());
}
