//! One conversation with one client: identity, then EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02).

use thiserror::Error;
use zeroize::Zeroizing;

use crate::mschapv2::{CHALLENGE_BYTES, Exchange, MSK_BYTES, PROOF_BYTES, PasswordHash};
use crate::packet::{self, Kind, Response};

/// Longest name of a client.
const NAME_BYTES_MAX: usize = 253;
/// What we call ourselves in a challenge.
const OWN_NAME: &[u8] = b"gateway";

/// Who may log in.
pub trait Users {
    /// What is kept of a user's password; names are compared byte by byte, without a domain.
    fn password(&self, user: &str) -> Option<PasswordHash>;
}

/// The key that a log-in leaves to both sides (MSK, RFC 3748, 7.10): wiped in the end, never shown.
#[derive(Clone)]
pub struct Msk(Zeroizing<[u8; MSK_BYTES]>);

impl Msk {
    /// Its bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for Msk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Msk")
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this to the client and wait for its answer.
    Send(Vec<u8>),
    /// The client has proven that it is `user`: send `packet`, and go on with the key.
    Success {
        /// EAP-Success.
        packet: Vec<u8>,
        /// Who it is.
        user: String,
        /// The key that both sides have now.
        msk: Msk,
    },
    /// The client has proven nothing: send `packet`, and end.
    Failure {
        /// EAP-Failure.
        packet: Vec<u8>,
        /// Why.
        error: EapError,
    },
}

/// Why a client did not log in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EapError {
    /// The packet cannot be read, or is not the one that is due.
    #[error("the client sent an EAP packet that does not belong here")]
    Unexpected,
    /// The name is no text, or too long.
    #[error("the client's name cannot be read")]
    BadName,
    /// The name is nobody's.
    #[error("there is no user {0:?}")]
    UnknownUser(String),
    /// The password is wrong.
    #[error("the password of the user {0:?} is wrong")]
    WrongPassword(String),
    /// The client takes none of our methods.
    #[error("the client takes no method that is offered here (EAP-MSCHAPv2)")]
    NoCommonMethod,
    /// The client went away instead of proving that it knows a password.
    #[error("the client ended the log-in before it proved that it knows a password")]
    GivenUp,
    /// The client did not accept our proof.
    #[error("the client does not accept this gateway's proof that it knows the password of the user {0:?}")]
    RefusedByClient(String),
}

/// One conversation.
#[derive(Debug)]
pub struct Server {
    identifier: u8,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Asked who the client is.
    Identity,
    /// Sent a challenge.
    Challenged([u8; CHALLENGE_BYTES]),
    /// Sent our own proof.
    Proven { user: String, msk: Msk },
    /// Told the client that it failed; its confirmation is due.
    Failed(EapError),
    /// Nothing is due.
    Over,
}

impl Server {
    /// Begins: the first packet asks who the client is. `random` fills its argument.
    pub fn begin(random: &mut dyn FnMut(&mut [u8])) -> (Self, Vec<u8>) {
        let mut identifier = [0];
        random(&mut identifier);
        let request = packet::request(identifier[0], Kind::IDENTITY, &[]);
        (Self { identifier: identifier[0], state: State::Identity }, request)
    }

    /// The client's answer.
    pub fn on_response(
        &mut self,
        packet: &[u8],
        users: &dyn Users,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Step {
        let response = Response::parse(packet).filter(|response| response.identifier == self.identifier);
        let Some(Response { kind, data, .. }) = response else { return self.fail(EapError::Unexpected) };
        match (std::mem::replace(&mut self.state, State::Over), kind) {
            (State::Identity, Kind::IDENTITY) => self.challenge(random),
            (State::Challenged(challenge), Kind::MSCHAPV2) => self.on_proof(&challenge, data, users),
            (State::Challenged(_), Kind::NAK) => self.fail(EapError::NoCommonMethod),
            (State::Proven { user, msk }, Kind::MSCHAPV2) => match data.first() {
                Some(&SUCCESS) => Step::Success { packet: packet::success(self.identifier), user, msk },
                _ => self.fail(EapError::RefusedByClient(user)),
            },
            (State::Failed(error), _) => self.fail(error),
            _ => self.fail(EapError::Unexpected),
        }
    }

    /// Why nothing came of it, if the client leaves it here; none if it has said nothing yet.
    #[must_use]
    pub fn abandoned(&self) -> Option<EapError> {
        match &self.state {
            State::Identity | State::Over => None,
            State::Challenged(_) => Some(EapError::GivenUp),
            State::Proven { user, .. } => Some(EapError::RefusedByClient(user.clone())),
            State::Failed(error) => Some(error.clone()),
        }
    }

    fn challenge(&mut self, random: &mut dyn FnMut(&mut [u8])) -> Step {
        let mut challenge = [0; CHALLENGE_BYTES];
        random(&mut challenge);
        self.state = State::Challenged(challenge);
        let value = [&[CHALLENGE_LENGTH][..], &challenge, OWN_NAME].concat();
        self.send(CHALLENGE, &value)
    }

    /// The client's proof (section 2.2 of the draft): length, its challenge, eight bytes that are reserved, its proof, flags, its name.
    fn on_proof(&mut self, challenge: &[u8; CHALLENGE_BYTES], data: &[u8], users: &dyn Users) -> Step {
        let Some((head, rest)) = data.split_first_chunk::<5>() else {
            return self.fail(EapError::Unexpected);
        };
        if head[0] != RESPONSE || usize::from(head[4]) != VALUE_BYTES {
            return self.fail(EapError::Unexpected);
        }
        let Some((value, name)) = rest.split_first_chunk::<VALUE_BYTES>() else {
            return self.fail(EapError::Unexpected);
        };
        let (Some(peer_challenge), Some(proof)) = (
            value.first_chunk::<CHALLENGE_BYTES>(),
            value[CHALLENGE_BYTES + 8..].first_chunk::<PROOF_BYTES>(),
        ) else {
            return self.fail(EapError::Unexpected);
        };
        let plain = name.rsplit(|byte| *byte == b'\\').next().unwrap_or_default();
        let user = match std::str::from_utf8(plain) {
            Ok(user) if !user.is_empty() && name.len() <= NAME_BYTES_MAX => user.to_owned(),
            _ => return self.fail(EapError::BadName),
        };
        let exchange = Exchange { challenge, peer_challenge, user: name, proof };
        // Whether there is such a user shows neither in what is answered nor in how long it takes.
        let known = users.password(&user);
        let is_proven = exchange.is_proven(known.as_ref().unwrap_or(&PasswordHash::of("")));
        let Some(password) = known else { return self.refuse(EapError::UnknownUser(user)) };
        if !is_proven {
            return self.refuse(EapError::WrongPassword(user));
        }
        let message = format!("{} M=welcome", exchange.own_proof(&password));
        let msk = Msk(exchange.msk(&password));
        self.state = State::Proven { user, msk };
        self.send(SUCCESS, message.as_bytes())
    }

    /// Tells the client in the method's words that it failed, the same whatever the reason; it may not try again in this conversation.
    fn refuse(&mut self, error: EapError) -> Step {
        self.state = State::Failed(error);
        self.send(FAILURE, b"E=691 R=0 C=00000000000000000000000000000000 V=3 M=refused")
    }

    /// A packet of the method: what it is, the identifier once more, its length, its value.
    fn send(&mut self, code: u8, value: &[u8]) -> Step {
        self.identifier = self.identifier.wrapping_add(1);
        let length = u16::try_from(value.len() + 4).expect("our own packets are short").to_be_bytes();
        let data = [&[code, self.identifier, length[0], length[1]][..], value].concat();
        Step::Send(packet::request(self.identifier, Kind::MSCHAPV2, &data))
    }

    fn fail(&mut self, error: EapError) -> Step {
        self.state = State::Over;
        Step::Failure { packet: packet::failure(self.identifier), error }
    }
}

const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
const CHALLENGE_LENGTH: u8 = 16;
const VALUE_BYTES: usize = 49;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct One;

    impl Users for One {
        fn password(&self, user: &str) -> Option<PasswordHash> {
            (user == "anna").then(|| PasswordHash::of("secret of anna"))
        }
    }

    /// A client that answers by the book.
    struct Client<'a> {
        user: &'a str,
        password: &'a str,
    }

    impl Client<'_> {
        fn respond(identifier: u8, kind: Kind, data: &[u8]) -> Vec<u8> {
            let mut packet = packet::request(identifier, kind, data);
            packet[0] = 2;
            packet
        }

        fn answer(&self, request: &[u8]) -> Vec<u8> {
            let (identifier, kind, data) = (request[1], Kind(request[4]), &request[5..]);
            if kind == Kind::IDENTITY {
                return Self::respond(identifier, kind, self.user.as_bytes());
            }
            if data[0] != CHALLENGE {
                return Self::respond(identifier, kind, &data[..1]);
            }
            let challenge: &[u8; 16] = data[5..].first_chunk().unwrap();
            let exchange =
                Exchange { challenge, peer_challenge: &[7; 16], user: self.user.as_bytes(), proof: &[0; 24] };
            let proof = exchange.client_proof(&PasswordHash::of(self.password));
            let value = [&[7; 16][..], &[0; 8], proof.as_slice(), &[0], self.user.as_bytes()].concat();
            let head = [RESPONSE, data[1], 0, 0, 49];
            Self::respond(identifier, kind, &[&head[..], &value].concat())
        }
    }

    fn talk(client: &Client<'_>) -> Step {
        let (mut server, mut request) = Server::begin(&mut |out| out.fill(9));
        for _ in 0..10 {
            match server.on_response(&client.answer(&request), &One, &mut |out| out.fill(5)) {
                Step::Send(packet) => request = packet,
                other => return other,
            }
        }
        panic!("it does not come to an end")
    }

    #[test]
    fn right_password_succeeds_with_a_domain_too() {
        for user in ["anna", "OFFICE\\anna"] {
            match talk(&Client { user, password: "secret of anna" }) {
                Step::Success { packet, user, msk } => {
                    assert_eq!(format!("{msk:?}"), "Msk");
                    assert_eq!((packet[0], user.as_str(), msk.expose().len()), (3, "anna", 64));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn wrong_password_and_unknown_user_fail_alike() {
        let outcome = |user, password| match talk(&Client { user, password }) {
            Step::Failure { packet, error } => (packet[0], error),
            other => panic!("{other:?}"),
        };
        assert_eq!(outcome("anna", "guess"), (4, EapError::WrongPassword("anna".to_owned())));
        assert_eq!(outcome("bert", "secret of anna"), (4, EapError::UnknownUser("bert".to_owned())));
        assert_eq!(outcome("", "x"), (4, EapError::BadName));
    }

    #[test]
    fn client_that_leaves_it_is_told_of_by_how_far_it_was() {
        let left_after = |answers: usize, password| {
            let client = Client { user: "anna", password };
            let (mut server, mut request) = Server::begin(&mut |out| out.fill(9));
            for _ in 0..answers {
                match server.on_response(&client.answer(&request), &One, &mut |out| out.fill(5)) {
                    Step::Send(packet) => request = packet,
                    other => panic!("{other:?}"),
                }
            }
            server.abandoned()
        };
        let anna = || "anna".to_owned();
        assert_eq!(left_after(0, ""), None);
        assert_eq!(left_after(1, ""), Some(EapError::GivenUp));
        assert_eq!(left_after(2, "guess"), Some(EapError::WrongPassword(anna())));
        assert_eq!(left_after(2, "secret of anna"), Some(EapError::RefusedByClient(anna())));
    }

    #[test]
    fn success_is_not_to_be_had_out_of_turn() {
        let (mut server, request) = Server::begin(&mut |out| out.fill(9));
        let early = Client::respond(request[1], Kind::MSCHAPV2, &[SUCCESS]);
        let failed = server.on_response(&early, &One, &mut |_| {});
        assert!(matches!(failed, Step::Failure { error: EapError::Unexpected, .. }), "{failed:?}");
        let (mut server, request) = Server::begin(&mut |out| out.fill(9));
        let Step::Send(challenge) =
            server.on_response(&Client::respond(request[1], Kind::IDENTITY, b"anna"), &One, &mut |_| {})
        else {
            panic!("a challenge")
        };
        let early = Client::respond(challenge[1], Kind::MSCHAPV2, &[SUCCESS]);
        let failed = server.on_response(&early, &One, &mut |_| {});
        assert!(matches!(failed, Step::Failure { error: EapError::Unexpected, .. }), "{failed:?}");
        // Nothing after the end.
        let again = server.on_response(&early, &One, &mut |_| {});
        assert!(matches!(again, Step::Failure { .. }), "{again:?}");
        let (mut server, request) = Server::begin(&mut |out| out.fill(9));
        let Step::Send(challenge) =
            server.on_response(&Client::respond(request[1], Kind::IDENTITY, b"anna"), &One, &mut |_| {})
        else {
            panic!("a challenge")
        };
        let nak = Client::respond(challenge[1], Kind::NAK, &[13]);
        let failed = server.on_response(&nak, &One, &mut |_| {});
        assert!(matches!(failed, Step::Failure { error: EapError::NoCommonMethod, .. }), "{failed:?}");
    }

    proptest! {
        #[test]
        fn no_answer_panics_or_succeeds(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 1..6)) {
            let (mut server, _) = Server::begin(&mut |out| out.fill(2));
            for answer in answers {
                let step = server.on_response(&answer, &One, &mut |out| out.fill(1));
                let succeeded = matches!(step, Step::Success { .. });
                prop_assert!(!succeeded);
            }
        }
    }
}
