//! Two of our gateways and a line that is dead for a while: what comes back is the old IKE SA, by its ticket (RFC 5723), as long as nothing was changed.

use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites;
use crossgate_tests::traffic::ping_until_answered;
use std::time::Duration;

/// Dead peer detection asks after 3 s and gives up after 6 more.
const DPD_S: u32 = 9;
const PATIENCE: Duration = Duration::from_secs(40);

fn plan(number: u8, mode: &str) -> Plan {
    let mut plan = Plan::site(number).with_mode(mode);
    plan.connections[0].dpd_timeout_s = DPD_S;
    plan.connections[0].extra = "session_resumption = true".to_owned();
    plan
}

#[test]
fn after_an_outage_of_the_line_the_tunnel_is_resumed_by_its_ticket() {
    let (one, two) = sites::both_ours().unwrap();
    let second = Gateway::start(&two.gateway, plan(2, "ResponderOnly")).unwrap();
    let first = Gateway::start(&one.gateway, plan(1, "Default")).unwrap();
    first.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    assert_eq!(first.log().matches("resumed with a ticket").count(), 0);

    let outage = || {
        one.gateway.ip("link set wan down").unwrap();
        second.is("peer", "down").unwrap();
        first.is("peer", "connecting").unwrap();
        one.gateway.ip("link set wan up").unwrap();
        first.is("peer", "up").unwrap();
        ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    };
    outage();
    for gateway in [&first, &second] {
        assert_eq!(gateway.log().matches("resumed with a ticket").count(), 1, "{}", gateway.state());
    }
    // A reset wants both to prove themselves; what it brings is resumed as well.
    second.ask(&["reset", "peer"]).unwrap();
    first.is("peer", "up").unwrap();
    ping_until_answered(one.ipv4(), two.ipv4().address, PATIENCE).unwrap();
    assert_eq!(first.log().matches("resumed with a ticket").count(), 1, "{}", first.state());
    outage();
    assert_eq!(first.log().matches("resumed with a ticket").count(), 2, "{}", first.state());
    first.stop().unwrap();
    second.stop().unwrap();
}
