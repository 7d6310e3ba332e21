//! Questions under way: answers, silence, other servers, and what proves nothing.

use super::wire::server::{Reply, eap, keys, message, state};
use super::*;

const SECRET: &[u8] = b"shared by both";

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 53], port))
}

fn question(ports: &[u16], thread: Option<Thread>) -> RadiusQuestion {
    let server = |port: &u16| RadiusServer { address: at(*port), secret: RadiusSecret::new(SECRET) };
    RadiusQuestion {
        servers: ports.iter().map(server).collect(),
        identity: "anna".to_owned(),
        packet: vec![2, 1, 0, 9, 1, b'a', b'n', b'n', b'a'],
        thread,
        gateway: "gw".into(),
        client: "198.51.100.1".parse().unwrap(),
    }
}

struct Lab {
    radius: Radius,
    now: Duration,
    drawn: u8,
}

impl Lab {
    fn new() -> Self {
        Self { radius: Radius::default(), now: Duration::from_secs(9), drawn: 0 }
    }

    fn ask(&mut self, ticket: u64, question: RadiusQuestion) {
        let drawn = &mut self.drawn;
        self.radius.ask(ticket, question, self.now, &mut |out| {
            *drawn = drawn.wrapping_add(1);
            out.fill(*drawn);
        });
    }

    /// What is sent next.
    fn sent(&mut self) -> (u16, Vec<u8>) {
        match self.radius.poll_output() {
            Some(RadiusOutput::Transmit { to, bytes }) => (to.port(), bytes),
            other => panic!("{other:?}"),
        }
    }

    fn answered(&mut self) -> (u64, Result<RadiusAnswer, RadiusError>) {
        match self.radius.poll_output() {
            Some(RadiusOutput::Answered { ticket, answer }) => (ticket, answer),
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass to the next due moment.
    fn wait(&mut self) {
        self.now = self.radius.poll_timeout().expect("something is due");
        self.radius.on_timeout(self.now, &mut |out| out.fill(99));
    }
}

#[test]
fn a_conversation_goes_on_with_the_state_and_the_server_it_began_with() {
    let mut lab = Lab::new();
    lab.ask(1, question(&[1812, 1912], None));
    let (to, request) = lab.sent();
    assert_eq!(to, 1812);
    let mut attributes = eap(&[1, 2, 0, 5, 26]);
    attributes.push(state(b"first"));
    let reply = Reply { code: 11, attributes, request: &request }.seal(SECRET);
    lab.radius.on_datagram(at(1912), &reply);
    assert!(lab.radius.poll_output().is_none(), "it is not from the one that was asked");
    lab.radius.on_datagram(at(1812), &reply);
    let (1, Ok(RadiusAnswer::Challenge { packet, thread })) = lab.answered() else { panic!("a challenge") };
    assert_eq!(packet, [1, 2, 0, 5, 26]);
    assert!(lab.radius.is_idle() && lab.radius.poll_timeout().is_none());
    lab.radius.on_datagram(at(1812), &reply);
    assert!(lab.radius.poll_output().is_none(), "a repeat");

    lab.ask(2, question(&[1912, 1812], Some(thread)));
    let (to, request) = lab.sent();
    assert_eq!(to, 1812, "where the conversation is");
    assert!(request.windows(7).any(|window| window == b"\x18\x07first"));
    let mut attributes = eap(&[3, 2, 0, 4]);
    attributes.extend(keys(&[1; 32], &[2; 32], &request, SECRET));
    lab.radius.on_datagram(at(1812), &Reply { code: 2, attributes, request: &request }.seal(SECRET));
    let (2, Ok(RadiusAnswer::Accept { msk, .. })) = lab.answered() else { panic!("accepted") };
    assert_eq!(msk.expose(), [[1; 32], [2; 32]].concat());
}

#[test]
fn a_silent_server_is_asked_three_times_then_the_next_which_is_asked_first_for_a_while() {
    let mut lab = Lab::new();
    lab.ask(1, question(&[1812, 1912], None));
    let (begun, first) = (lab.now, lab.sent());
    for _ in 0..2 {
        lab.wait();
        assert_eq!(lab.sent(), first, "the same again");
    }
    lab.wait();
    assert_eq!(lab.now - begun, Duration::from_secs(7));
    let (to, request) = lab.sent();
    assert_eq!(to, 1912);
    lab.ask(2, question(&[1812, 1912], None));
    assert_eq!(lab.sent().0, 1912, "who kept silent comes after the others");
    let attributes = [eap(&[4, 1, 0, 4]), vec![message("go away")]].concat();
    lab.radius.on_datagram(at(1912), &Reply { code: 3, attributes, request: &request }.seal(SECRET));
    let (1, Ok(RadiusAnswer::Reject { packet, message })) = lab.answered() else { panic!("rejected") };
    assert_eq!((packet, message.as_str()), (Some(vec![4, 1, 0, 4]), "go away"));
    for _ in 0..2 {
        lab.wait();
        lab.sent();
    }
    lab.wait();
    assert_eq!(lab.sent().0, 1812, "who kept silent before is better than nobody");
    lab.now += SHUNNED;
    lab.ask(3, question(&[1812, 1912], None));
    assert_eq!(lab.sent().0, 1812);
}

#[test]
fn a_server_that_answered_others_meanwhile_is_asked_first_all_the_same() {
    let mut lab = Lab::new();
    lab.ask(1, question(&[1812, 1912], None));
    lab.sent();
    lab.wait();
    lab.sent();
    lab.ask(2, question(&[1812, 1912], None));
    let (_, request) = lab.sent();
    let attributes = eap(&[4, 1, 0, 4]);
    lab.radius.on_datagram(at(1812), &Reply { code: 3, attributes, request: &request }.seal(SECRET));
    assert_eq!(lab.answered().0, 2);
    lab.wait();
    lab.sent();
    lab.wait();
    assert_eq!(lab.sent().0, 1912, "the question goes elsewhere");
    lab.ask(3, question(&[1812, 1912], None));
    assert_eq!(lab.sent().0, 1812, "but the server is there");
}

#[test]
fn nobody_answers_and_wrong_secrets_are_told_apart() {
    let mut lab = Lab::new();
    lab.ask(1, question(&[1812], None));
    let (_, request) = lab.sent();
    lab.radius.on_datagram(
        at(1812),
        &Reply { code: 2, attributes: eap(&[3, 1, 0, 4]), request: &request }.seal(b"other"),
    );
    assert!(lab.radius.poll_output().is_none(), "somebody else may have sent it");
    for _ in 0..2 {
        lab.wait();
        lab.sent();
    }
    lab.wait();
    assert_eq!(lab.answered().1.unwrap_err(), RadiusError::WrongSecret(at(1812)));
    lab.ask(2, question(&[1912], None));
    for _ in 0..3 {
        lab.sent();
        lab.wait();
    }
    assert_eq!(lab.answered().1.unwrap_err(), RadiusError::Silent(at(1912)));
    lab.ask(3, question(&[], None));
    assert_eq!(lab.answered().1.unwrap_err(), RadiusError::None);
}

#[test]
fn an_answer_without_keys_or_packet_is_told_of() {
    for (code, attributes, expected) in
        [(2, eap(&[3, 1, 0, 4]), "MS-MPPE-Recv-Key"), (11, vec![state(b"x")], "EAP-Message")]
    {
        let mut lab = Lab::new();
        lab.ask(1, question(&[1812], None));
        let (_, request) = lab.sent();
        lab.radius.on_datagram(at(1812), &Reply { code, attributes, request: &request }.seal(SECRET));
        let error = lab.answered().1.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_server_has_256_questions_at_most_and_the_next_one_goes_elsewhere() {
    let mut lab = Lab::new();
    for ticket in 0..256 {
        lab.ask(ticket, question(&[1812, 1912], None));
        assert_eq!(lab.sent().0, 1812);
    }
    lab.ask(256, question(&[1812, 1912], None));
    assert_eq!(lab.sent().0, 1912);
    lab.ask(257, question(&[1812], None));
    assert_eq!(lab.answered().1.unwrap_err(), RadiusError::Busy(at(1812)));
}
