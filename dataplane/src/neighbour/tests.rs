//! The table in virtual time, against the messages that Linux sends. Packets are numbers.

use super::*;
use crate::forwarding::{Interface, PortIndex, VrfId};
use crate::header::captured::*;
use crate::header::ipv6::Ipv6View;

const WAN: InterfaceId = InterfaceId(1);
const MAC_A: Mac = Mac([2, 0, 0, 0, 0, 10]);
const MAC_B: Mac = Mac([2, 0, 0, 0, 0, 11]);
const S: u64 = 1_000_000;

/// One worker at B's place (or A's) of the captured link.
struct Bench {
    table: Neighbours<u32>,
    interface: Interface,
    now_us: u64,
    actions: Vec<Action<u32>>,
    out: [u8; FRAME_BYTES],
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn interface(mac: Mac, addresses: [&str; 2]) -> Interface {
    Interface {
        port: PortIndex(0),
        vlan: None,
        vrf: VrfId::UNDERLAY,
        mac,
        mtu_bytes: 1500,
        addresses: addresses.iter().map(|address| address.parse().expect("a prefix")).collect(),
    }
}

impl Bench {
    fn at_a() -> Self {
        Self::new(interface(MAC_A, ["192.0.2.1/24", "2001:db8::1/64"]), Limits { entries: 64, unresolved: 8 })
    }

    fn at_b() -> Self {
        Self::new(interface(MAC_B, ["192.0.2.2/24", "2001:db8::2/64"]), Limits { entries: 64, unresolved: 8 })
    }

    fn new(interface: Interface, limits: Limits) -> Self {
        let table = Neighbours::new(limits, 7);
        Self { table, interface, now_us: S, actions: Vec::new(), out: [0; FRAME_BYTES] }
    }

    fn wait(&mut self, address: &str, packet: u32) -> Vec<Action<u32>> {
        let actions = &mut self.actions;
        self.table.wait(WAN, ip(address), packet, self.now_us, &mut |action| actions.push(action));
        std::mem::take(&mut self.actions)
    }

    fn mac(&mut self, address: &str) -> Option<Mac> {
        self.table.mac(WAN, ip(address), self.now_us)
    }

    fn install(&mut self, address: &str, mac: Mac) -> Vec<Action<u32>> {
        let actions = &mut self.actions;
        self.table.install(entry(address, mac), self.now_us, &mut |action| actions.push(action));
        std::mem::take(&mut self.actions)
    }

    /// Takes a whole frame; returns what became of it, the answer and the actions.
    fn hear(&mut self, frame: &[u8]) -> (Result<Heard, Counter>, Vec<Action<u32>>) {
        let link = Link { id: WAN, interface: &self.interface, source_mac: Mac([2, 0, 0, 0, 0, 99]) };
        let actions = &mut self.actions;
        let mut act = |action| actions.push(action);
        let heard = if frame[12..14] == [8, 6] {
            self.table.hear_arp(link, packet(frame), self.now_us, &mut self.out, &mut act)
        } else {
            let view = Ipv6View::new(packet(frame)).expect("valid");
            self.table.hear_ndp(link, &view, self.now_us, &mut self.out, &mut act)
        };
        (heard, std::mem::take(&mut self.actions))
    }

    /// Lets time pass in steps of a millisecond, as a worker does.
    fn pass(&mut self, time_us: u64) -> Vec<Action<u32>> {
        let end = self.now_us + time_us;
        while self.now_us < end {
            self.now_us += 1_000;
            let actions = &mut self.actions;
            self.table.tick(self.now_us, &mut |action| actions.push(action));
        }
        std::mem::take(&mut self.actions)
    }
}

fn entry(address: &str, mac: Mac) -> NeighbourEntry {
    NeighbourEntry { interface: WAN, address: ip(address), mac }
}

fn ask(address: &str, probe: Option<Mac>) -> Action<u32> {
    Action::Solicit { interface: WAN, target: ip(address), probe }
}

fn send(mac: Mac, packet: u32) -> Action<u32> {
    Action::Release { interface: WAN, mac, packet }
}

fn lost(reason: Counter, packet: u32) -> Action<u32> {
    Action::Drop { reason, packet }
}

#[test]
fn questions_are_the_frames_that_linux_sends() {
    let bench = Bench::at_a();
    let mut out = [0; FRAME_BYTES];
    assert_eq!(solicitation(&bench.interface, ip("192.0.2.2"), None, &mut out), Some(42));
    assert_eq!(out[..42], ARP_REQUEST);
    assert_eq!(solicitation(&bench.interface, ip("2001:db8::2"), None, &mut out), Some(86));
    assert_eq!((&out[..14], &out[18..86]), (&SOLICITATION[..14], &SOLICITATION[18..]));
    assert_eq!(solicitation(&bench.interface, ip("192.0.2.2"), Some(MAC_B), &mut out), Some(42));
    assert_eq!(out[..6], MAC_B.0, "a probe goes to the neighbour alone");
}

#[test]
fn answers_are_the_frames_that_linux_sends() {
    let mut bench = Bench::at_b();
    let (heard, actions) = bench.hear(&ARP_REQUEST);
    assert_eq!((heard, &bench.out[..42]), (Ok(Heard::Answer(42)), &ARP_REPLY[..]));
    assert_eq!(actions, [Action::Learned(entry("192.0.2.1", MAC_A))]);
    let (heard, actions) = bench.hear(&SOLICITATION);
    assert_eq!(heard, Ok(Heard::Answer(86)));
    assert_eq!((&bench.out[..14], &bench.out[18..86]), (&ADVERTISEMENT[..14], &ADVERTISEMENT[18..]));
    assert_eq!(actions, [Action::Learned(entry("2001:db8::1", MAC_A))]);
    assert_eq!((bench.mac("192.0.2.1"), bench.mac("2001:db8::1")), (Some(MAC_A), Some(MAC_A)));
}

#[test]
fn a_frame_on_a_vlan_carries_the_tag() {
    let mut bench = Bench::at_a();
    bench.interface.vlan = crate::header::vlan::VlanId::new(10);
    let mut out = [0; FRAME_BYTES];
    assert_eq!(solicitation(&bench.interface, ip("192.0.2.2"), None, &mut out), Some(46));
    assert_eq!((&out[12..18], &out[18..46]), (&[0x81, 0, 0, 10, 8, 6][..], &ARP_REQUEST[14..]));
}

#[test]
fn packets_wait_for_the_answer_and_leave_in_order() {
    for (address, answer) in [("192.0.2.2", &ARP_REPLY[..]), ("2001:db8::2", &ADVERTISEMENT)] {
        let mut bench = Bench::at_a();
        assert_eq!(bench.mac(address), None);
        assert_eq!(bench.wait(address, 1), [ask(address, None)]);
        assert_eq!(bench.wait(address, 2), []);
        let (heard, actions) = bench.hear(answer);
        assert_eq!(heard, Ok(Heard::Consumed));
        assert_eq!(actions, [send(MAC_B, 1), send(MAC_B, 2), Action::Learned(entry(address, MAC_B))]);
        assert_eq!((bench.mac(address), bench.table.waiting_packets()), (Some(MAC_B), 0));
    }
}

#[test]
fn a_silent_neighbour_is_asked_three_times_then_given_up() {
    let mut bench = Bench::at_a();
    bench.wait("192.0.2.9", 1);
    assert_eq!(bench.pass(3 * S / 2), [ask("192.0.2.9", None)]);
    assert_eq!(bench.pass(S), [ask("192.0.2.9", None)]);
    assert_eq!(bench.pass(S), [lost(Counter::NeighbourUnresolved, 1)]);
    assert!(bench.table.is_empty());
    assert_eq!(bench.wait("192.0.2.9", 2), [ask("192.0.2.9", None)], "and asked for again when wanted");
}

#[test]
fn a_full_queue_drops_its_oldest_packet() {
    let mut bench = Bench::at_a();
    let dropped: Vec<_> = (0..6).flat_map(|packet| bench.wait("192.0.2.2", packet)).skip(1).collect();
    assert_eq!(dropped, [lost(Counter::NeighbourQueueFull, 0), lost(Counter::NeighbourQueueFull, 1)]);
    let (_, actions) = bench.hear(&ARP_REPLY);
    assert_eq!(actions[..4], [send(MAC_B, 2), send(MAC_B, 3), send(MAC_B, 4), send(MAC_B, 5)]);
}

#[test]
fn a_flood_of_unknown_neighbours_is_bounded_and_leaves_nothing() {
    let mut bench = Bench::at_a();
    let mut refused = 0;
    for host in 10..200u32 {
        let actions = bench.wait(&format!("192.0.2.{host}"), host);
        refused += usize::from(actions == [lost(Counter::NeighbourTableFull, host)]);
    }
    assert_eq!((refused, bench.table.len(), bench.table.waiting_packets()), (182, 8, 8));
    let given_up =
        bench.pass(4 * S).into_iter().filter(|action| matches!(action, Action::Drop { .. })).count();
    assert_eq!((given_up, bench.table.len(), bench.table.waiting_packets()), (8, 0, 0));
    assert_eq!(bench.wait("192.0.2.2", 1), [ask("192.0.2.2", None)], "room again");
}

#[test]
fn a_full_table_forgets_a_stale_neighbour_for_a_new_one() {
    let interface = interface(MAC_A, ["192.0.2.1/24", "2001:db8::1/64"]);
    let mut bench = Bench::new(interface, Limits { entries: 4, unresolved: 2 });
    for host in 10..14 {
        bench.install(&format!("192.0.2.{host}"), MAC_B);
    }
    assert_eq!(bench.wait("192.0.2.2", 1), [lost(Counter::NeighbourTableFull, 1)], "all are fresh");
    bench.pass(60 * S);
    assert_eq!(bench.wait("192.0.2.2", 2), [ask("192.0.2.2", None)]);
    assert_eq!(bench.table.len(), 4);
}

#[test]
fn a_used_neighbour_is_probed_and_kept_while_it_answers() {
    let mut bench = Bench::at_a();
    bench.install("192.0.2.2", MAC_B);
    assert_eq!(bench.pass(46 * S), [], "an unused one is left alone");
    assert_eq!(bench.mac("192.0.2.2"), Some(MAC_B));
    assert_eq!(bench.pass(5 * S + S / 2), [ask("192.0.2.2", Some(MAC_B))]);
    let (_, actions) = bench.hear(&ARP_REPLY);
    assert_eq!(actions, [Action::Learned(entry("192.0.2.2", MAC_B))]);
    assert_eq!(bench.pass(10 * S), []);

    bench.pass(46 * S);
    bench.mac("192.0.2.2");
    let probes = bench.pass(9 * S);
    assert_eq!(
        probes,
        [ask("192.0.2.2", Some(MAC_B)), ask("192.0.2.2", Some(MAC_B)), ask("192.0.2.2", Some(MAC_B))]
    );
    assert_eq!(bench.mac("192.0.2.2"), None, "silent: unknown again");
}

#[test]
fn an_unused_neighbour_is_forgotten() {
    let mut bench = Bench::at_a();
    bench.install("192.0.2.2", MAC_B);
    bench.pass(FORGET_US - S);
    assert_eq!(bench.table.len(), 1);
    bench.pass(2 * S);
    assert!(bench.table.is_empty());
}

#[test]
fn a_neighbour_taken_over_from_another_worker_releases_what_waits() {
    let mut bench = Bench::at_a();
    bench.wait("192.0.2.2", 5);
    assert_eq!(bench.install("192.0.2.2", MAC_B), [send(MAC_B, 5)]);
    let mut bench = Bench::at_a();
    let (_, actions) = bench.hear(&ARP_REPLY);
    assert_eq!(
        actions,
        [Action::Learned(entry("192.0.2.2", MAC_B))],
        "the answer to another worker's question"
    );
    assert!(bench.table.is_empty());
}

#[test]
fn an_advertisement_without_override_does_not_replace_a_mac_address() {
    let mut bench = Bench::at_a();
    let old = Mac([2, 0, 0, 0, 0, 77]);
    bench.install("2001:db8::2", old);
    let link = Link { id: WAN, interface: &bench.interface, source_mac: MAC_B };
    let claim = crate::header::ndp::Advertisement {
        source: "2001:db8::2".parse().expect("v6"),
        destination: "2001:db8::1".parse().expect("v6"),
        target: "2001:db8::2".parse().expect("v6"),
        target_mac: Some(MAC_B),
        router: false,
        solicited: true,
        overrides: false,
    };
    let mut out = [0; 72];
    claim.write(&mut out);
    let view = Ipv6View::new(&out).expect("valid");
    let mut actions = Vec::new();
    let heard = bench.table.hear_ndp(link, &view, S, &mut bench.out, &mut |action| actions.push(action));
    assert_eq!((heard, actions), (Ok(Heard::Consumed), vec![]));
    assert_eq!(bench.mac("2001:db8::2"), Some(old));
    let (_, actions) = bench.hear(&ADVERTISEMENT);
    assert_eq!(actions, [Action::Learned(entry("2001:db8::2", MAC_B))]);
    assert_eq!(bench.mac("2001:db8::2"), Some(MAC_B));
}

#[test]
fn a_probe_for_our_address_is_answered_to_all_and_not_learned_from() {
    let mut bench = Bench::at_a(); // whose link-local address the captured probe asks for
    bench.interface.mac = MAC_A;
    let (heard, actions) = bench.hear(&DAD_PROBE);
    assert_eq!((heard, actions), (Ok(Heard::Answer(86)), vec![]));
    assert_eq!(bench.out[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert!(bench.table.is_empty());
}

#[test]
fn whoever_claims_our_address_is_named() {
    let mut bench = Bench::at_a();
    bench.interface = interface(MAC_A, ["192.0.2.2/24", "2001:db8::2/64"]);
    assert_eq!(bench.hear(&ARP_REPLY).0, Err(Counter::AddressConflict));
    assert_eq!(bench.hear(&ADVERTISEMENT).0, Err(Counter::AddressConflict));
    assert!(bench.table.is_empty());
}

#[test]
fn strangers_teach_nothing() {
    let mut bench = Bench::at_b();
    bench.interface = interface(MAC_B, ["198.51.100.2/24", "2001:db8:9::2/64"]);
    assert_eq!(bench.hear(&ARP_REQUEST), (Err(Counter::ArpIgnored), vec![]));
    assert_eq!(bench.hear(&SOLICITATION), (Err(Counter::NdIgnored), vec![]));
    assert!(bench.table.is_empty());
}

#[test]
fn neighbours_of_an_interface_that_is_gone_are_dropped() {
    let mut bench = Bench::at_a();
    bench.install("192.0.2.3", MAC_B);
    bench.wait("192.0.2.2", 4);
    let actions = &mut bench.actions;
    bench.table.retain(|interface| interface != WAN, &mut |action| actions.push(action));
    assert_eq!(bench.actions, [lost(Counter::NeighbourUnresolved, 4)]);
    assert!(bench.table.is_empty());
}
