use std::collections::BTreeSet;

use super::*;
use crate::reconcile::tests::config;

const ROUTER: &str = "172.31.0.2";

fn file(next_hops: &str) -> String {
    format!(
        "[appliance]\nname = \"gw\"\nworkers = [0]\ncontrol_core = 0\n\
         [[port]]\nname = \"lan\"\ndevice = \"net_null1\"\n[[port]]\nname = \"edge\"\ndevice = \"net_null2\"\n\
         [[virtual_network]]\nname = \"hub\"\naddress_space = [\"10.1.0.0/16\"]\ngateway_subnet = \"10.1.255.0/27\"\n\
         port = \"lan\"\naddresses = [\"10.1.0.1/24\"]\n\
         [[express_route_circuit]]\nname = \"line\"\nport = \"edge\"\naddresses = [\"172.31.0.1/29\"]\n\
         next_hops = [{next_hops}]\nprefixes = [\"10.2.0.0/16\"]\n\
         [[virtual_network_gateway]]\nname = \"hub-er\"\nvirtual_network = \"hub\"\ntype = \"ExpressRoute\"\n\
         [[connection]]\nname = \"hub-line\"\ntype = \"ExpressRoute\"\ngateway = \"hub-er\"\n\
         express_route_circuit = \"line\"\n"
    )
}

struct Bench {
    circuits: Circuits,
    now: Instant,
    name: Name,
    interface: InterfaceId,
}

impl Bench {
    fn new(next_hops: &str) -> Self {
        Self::of(&file(next_hops))
    }

    fn of(text: &str) -> Self {
        let config = config(text);
        let identifiers = Identifiers::default().extended(&config, &BTreeSet::new());
        let mut circuits = Circuits::default();
        circuits.follow(&config, &identifiers, &Meters::default());
        let name = Name::new("hub-line").expect("a name");
        let interface = identifiers.circuit_interface(&name).expect("it has a number");
        Self { circuits, now: Instant::default(), name, interface }
    }

    /// What the console gives as the reason why it is down.
    fn problem(&self) -> Option<String> {
        self.circuits.problem(&self.name).map(|(problem, _)| problem)
    }

    /// One round: the routers are asked, and some answer. Where the circuit leads then.
    fn round(&mut self, has_link: bool, answers: &[&str]) -> Option<String> {
        let (questions, _) = self.circuits.ask(self.now, |_| has_link);
        assert!(!questions.is_empty() && questions.iter().all(|one| one.interface == self.interface));
        for router in answers {
            self.circuits.hear(self.interface, router.parse().expect("an address"), self.now);
        }
        assert_eq!(self.circuits.ask(self.now, |_| has_link), (Vec::new(), false), "not before it is due");
        self.now = self.now + ASK_EVERY;
        self.circuits.next_hop(&self.name, true).map(|address| address.to_string())
    }
}

#[test]
fn circuit_is_up_with_the_first_answer_and_down_after_three_missing_ones() {
    let mut bench = Bench::new("\"172.31.0.2\"");
    assert_eq!(bench.round(true, &[]), None);
    assert_eq!(bench.round(true, &[ROUTER]).as_deref(), Some(ROUTER));
    for _ in 0..2 {
        // One that is late is no loss.
        assert!(bench.round(true, &[]).is_some());
        assert!(bench.round(true, &[]).is_some());
        assert!(bench.round(true, &[ROUTER]).is_some());
    }
    for expected in [true, true, true, false] {
        assert_eq!(bench.round(true, &[]).is_some(), expected);
    }
    assert_eq!(bench.problem().as_deref(), Some("no answer from 172.31.0.2"));
    // Back after twice three answers in a row, so soon after it came up; one that is missing begins the row anew.
    for _ in 0..5 {
        assert_eq!(bench.round(true, &[ROUTER]), None);
    }
    assert_eq!(bench.round(true, &[]), None);
    for expected in [false, false, false, false, false, true] {
        assert_eq!(bench.round(true, &[ROUTER]).is_some(), expected);
    }
}

#[test]
fn circuit_that_comes_and_goes_has_to_prove_itself_for_longer() {
    let mut bench = Bench::new("\"172.31.0.2\"");
    bench.round(true, &[ROUTER]);
    let mut waits = Vec::new();
    for _ in 0..6 {
        while bench.round(true, &[]).is_some() {}
        // However often it speaks in a round, that is one answer.
        waits.push((1..).find(|_| bench.round(true, &[ROUTER, ROUTER]).is_some()).expect("it comes back"));
    }
    assert_eq!(waits, [6, 12, 24, 48, 48, 48]);
    for _ in 0..120 {
        assert!(bench.round(true, &[ROUTER]).is_some());
    }
    while bench.round(true, &[]).is_some() {}
    assert_eq!((1..).find(|_| bench.round(true, &[ROUTER]).is_some()), Some(3));
}

#[test]
fn circuit_whose_port_loses_its_link_is_down_at_once() {
    let mut bench = Bench::new("\"172.31.0.2\"");
    assert!(bench.round(true, &[ROUTER]).is_some());
    assert_eq!(bench.round(false, &[]), None);
    assert_eq!(bench.problem().as_deref(), Some("the port edge has no link"));
    assert_eq!(bench.round(false, &[ROUTER]), None, "without a link nothing counts");
}

#[test]
fn second_router_takes_over_from_the_first() {
    let mut bench = Bench::new("\"172.31.0.2\", \"172.31.0.3\"");
    let both = [ROUTER, "172.31.0.3"];
    assert_eq!(bench.round(true, &both).as_deref(), Some(ROUTER));
    let last = (0..5).map(|_| bench.round(true, &both[1..])).last().flatten();
    assert_eq!(last.as_deref(), Some("172.31.0.3"));
    let last = (0..6).map(|_| bench.round(true, &both)).last().flatten();
    assert_eq!(last.as_deref(), Some(ROUTER));
}

#[test]
fn another_configuration_of_the_same_circuit_keeps_its_state() {
    let mut bench = Bench::new("\"172.31.0.2\"");
    bench.round(true, &[ROUTER]);
    let number = bench.circuits.sent_bytes(&bench.name);
    for (next_hops, kept) in [("\"172.31.0.2\"", true), ("\"172.31.0.4\"", false)] {
        let text = file(next_hops).replace("10.2.0.0/16", "10.2.0.0/17");
        let config = config(&text);
        let identifiers = Identifiers::default().extended(&config, &BTreeSet::new());
        bench.circuits.follow(&config, &identifiers, &Meters::default());
        assert_eq!(bench.circuits.next_hop(&bench.name, true).is_some(), kept);
        assert_eq!(bench.circuits.sent_bytes(&bench.name), number, "what it has carried, it has carried");
    }
}

#[test]
fn each_family_of_a_circuit_lives_and_dies_by_itself() {
    let text = file("\"172.31.0.2\", \"fd00:31::2\"")
        .replace("\"172.31.0.1/29\"", "\"172.31.0.1/29\", \"fd00:31::1/64\"");
    let both = [ROUTER, "fd00:31::2"];
    let mut bench = Bench::of(&text.replace("\"10.2.0.0/16\"", "\"10.2.0.0/16\", \"fd00:2::/48\""));
    let state = |bench: &Bench| (bench.circuits.state(&bench.name), bench.circuits.alive());
    bench.round(true, &[]);
    assert_eq!(state(&bench), (State::Down, 0));
    assert_eq!(bench.problem().as_deref(), Some("no answer from 172.31.0.2, fd00:31::2"));
    bench.round(true, &both);
    assert_eq!((state(&bench), bench.problem()), ((State::Up, 1), None));
    let since = bench.circuits.up_since(&bench.name);
    for _ in 0..5 {
        bench.round(true, &both[..1]);
    }
    assert_eq!(state(&bench), (State::Partial, 0), "IPv6 has no way, whatever IPv4 has");
    assert_eq!(bench.problem().as_deref(), Some("no answer from fd00:31::2"));
    assert_eq!(bench.circuits.up_since(&bench.name), since);
    let hop = |bench: &Bench, ipv4| bench.circuits.next_hop(&bench.name, ipv4);
    assert_eq!((hop(&bench, true).is_some(), hop(&bench, false)), (true, None));
    for _ in 0..5 {
        bench.round(true, &[]);
    }
    assert_eq!((state(&bench), bench.circuits.up_since(&bench.name)), ((State::Down, 0), None));

    // A router of a family in which nothing is behind the circuit does not keep it up.
    let mut bench = Bench::of(&text);
    bench.round(true, &both[1..]);
    assert_eq!(state(&bench), (State::Down, 0));
    assert_eq!(bench.problem().as_deref(), Some("no answer from 172.31.0.2"));
    bench.round(true, &both[..1]);
    assert_eq!(state(&bench), (State::Up, 1));
}
