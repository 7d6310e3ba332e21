//! One conversation with one client: its identity, then a method: EAP-TLS ([`crate::tls`]) or EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02), whichever is offered here
//! and the client takes. Or all of it goes on to a RADIUS server, which asks and judges (RFC 3579, 2.2).

use crossgate_pki::UnixTime;

use crate::error::EapError;
use crate::mschapv2::{CHALLENGE_BYTES, Exchange, PROOF_BYTES, PasswordHash};
use crate::outcome::{Means, Msk, User};
use crate::packet::{self, Kind, Response};
use crate::radius::{RadiusAnswer, RadiusError, Thread};
use crate::tls::{Conversation, Proven, TlsDone, TlsSettings, TlsWork, Turn};

/// Longest name of a client.
const NAME_BYTES_MAX: usize = 253;
/// Longest packet of a client that fits a RADIUS packet of 4096 bytes beside its other attributes: a server drops a longer one without a word, and would pass for dead.
const RELAYED_BYTES_MAX: usize = 3000;
/// Most packets of a client that go on to a RADIUS server in one log-in.
const ROUNDS_MAX: u32 = 80;
/// What we call ourselves in a challenge.
const OWN_NAME: &[u8] = b"gateway";

/// Who may log in.
pub trait Users {
    /// What is kept of a user's password; names are compared byte by byte, without a domain.
    fn password(&self, user: &str) -> Option<PasswordHash>;
}

/// How clients may log in, and when it is.
#[derive(Clone, Copy)]
pub struct Methods<'a> {
    /// By certificate; offered first.
    pub tls: Option<&'a TlsSettings>,
    /// By password.
    pub users: Option<&'a dyn Users>,
    /// As a RADIUS server says, whatever else there is.
    pub relay: bool,
    /// The time of day, which certificates are valid by.
    pub now: UnixTime,
}

impl Methods<'_> {
    fn has(&self, kind: Kind) -> bool {
        match kind {
            Kind::TLS => self.tls.is_some(),
            Kind::MSCHAPV2 => self.users.is_some(),
            _ => false,
        }
    }

    /// Their names, for a client that takes none of them.
    fn listed(&self) -> String {
        let names = METHODS.iter().filter(|(kind, _)| self.has(*kind)).map(|(_, name)| *name);
        names.collect::<Vec<_>>().join(", ")
    }
}

/// The methods, the most wanted first.
const METHODS: [(Kind, &str); 2] = [(Kind::TLS, "EAP-TLS"), (Kind::MSCHAPV2, "EAP-MSCHAPv2")];

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this to the client and wait for its answer.
    Send(Vec<u8>),
    /// Have this done beside the loop, and hand the result to [`Server::on_computed`].
    Compute(Box<TlsWork>),
    /// Ask a RADIUS server, and hand its answer to [`Server::on_relayed`].
    Relay {
        /// Who the client says it is.
        identity: String,
        /// The client's packet.
        packet: Vec<u8>,
        /// What goes with it; none at the beginning.
        thread: Option<Thread>,
    },
    /// The client may log in, as `user`: send `packet`, and go on with the key.
    Success {
        /// EAP-Success.
        packet: Vec<u8>,
        /// Who it is.
        user: User,
        /// By what.
        by: Means,
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
    Challenged { challenge: [u8; CHALLENGE_BYTES], identity: String, is_first: bool },
    /// Sent our own proof.
    Proven { user: String, msk: Msk },
    /// In the middle of TLS; `is_first` until the client has taken the method.
    Tls { conversation: Box<Conversation>, identity: String, is_first: bool },
    /// A RADIUS server was asked, so many times.
    Asking { identity: String, rounds: u32 },
    /// Its question is with the client.
    Asked { identity: String, thread: Thread, rounds: u32 },
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
        methods: &Methods<'_>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Step {
        let response = Response::parse(packet).filter(|response| response.identifier == self.identifier);
        let Some(Response { kind, data, .. }) = response else { return self.fail(EapError::Unexpected) };
        match (std::mem::replace(&mut self.state, State::Over), kind) {
            (State::Identity, Kind::IDENTITY) => match std::str::from_utf8(data) {
                Ok(identity) if (1..=NAME_BYTES_MAX).contains(&data.len()) && methods.relay => {
                    self.relay(identity.to_owned(), packet, None, 1)
                }
                Ok(identity) if data.len() <= NAME_BYTES_MAX && !methods.relay => {
                    self.offer(identity.to_owned(), None, methods, random)
                }
                _ => self.fail(EapError::BadName),
            },
            (
                State::Challenged { identity, is_first: true, .. }
                | State::Tls { identity, is_first: true, .. },
                Kind::NAK,
            ) => self.offer(identity, Some(data), methods, random),
            (State::Challenged { challenge, .. }, Kind::MSCHAPV2) => match methods.users {
                Some(users) => self.on_proof(&challenge, data, users),
                None => self.fail(EapError::Unexpected),
            },
            (State::Challenged { .. } | State::Tls { .. }, Kind::NAK) => {
                self.fail(EapError::NoCommonMethod(methods.listed()))
            }
            (State::Tls { mut conversation, identity, .. }, Kind::TLS) => {
                let turn = conversation.on_data(data);
                self.take_turn(turn, conversation, identity)
            }
            (State::Proven { user, msk }, Kind::MSCHAPV2) => match data.first() {
                Some(&SUCCESS) => {
                    let (packet, user) = (packet::success(self.identifier), User::Known(user));
                    Step::Success { packet, user, by: Means::Password, msk }
                }
                _ => self.fail(EapError::RefusedByClient(user)),
            },
            (State::Asked { identity, thread, rounds }, _) if rounds < ROUNDS_MAX => {
                self.relay(identity, packet, Some(thread), rounds + 1)
            }
            (State::Failed(error), _) => self.fail(error),
            _ => self.fail(EapError::Unexpected),
        }
    }

    /// What came of a [`Step::Relay`].
    pub fn on_relayed(&mut self, answer: Result<RadiusAnswer, RadiusError>) -> Step {
        let State::Asking { identity, rounds } = std::mem::replace(&mut self.state, State::Over) else {
            return self.fail(EapError::Unexpected);
        };
        match answer {
            Ok(RadiusAnswer::Challenge { packet, thread }) => match packet::request_identifier(&packet) {
                Some(identifier) => {
                    self.identifier = identifier;
                    self.state = State::Asked { identity, thread, rounds };
                    Step::Send(packet)
                }
                None => self.fail(EapError::BadRelay),
            },
            Ok(RadiusAnswer::Accept { packet, user, msk }) if packet::is_success(&packet) => {
                // The identity is what a client says outside of the tunnel that its proof may be in (PEAP, TTLS): it may be anybody's name.
                let user = user.filter(|user| !user.is_empty()).map_or(User::Claimed(identity), User::Known);
                Step::Success { packet, user, by: Means::Radius, msk }
            }
            Ok(RadiusAnswer::Accept { .. }) => self.fail(EapError::BadRelay),
            Ok(RadiusAnswer::Reject { message, .. }) => {
                self.fail(EapError::RefusedByServer { identity, message })
            }
            Err(error) => self.fail(EapError::Radius(error)),
        }
    }

    fn relay(&mut self, identity: String, packet: &[u8], thread: Option<Thread>, rounds: u32) -> Step {
        // Padding of the layer below does not go on.
        let length = packet::length(packet).unwrap_or(packet.len());
        if length > RELAYED_BYTES_MAX {
            return self.fail(EapError::Unexpected);
        }
        self.state = State::Asking { identity: identity.clone(), rounds };
        Step::Relay { identity, packet: packet.get(..length).unwrap_or(packet).to_vec(), thread }
    }

    /// What came of a [`Step::Compute`].
    pub fn on_computed(&mut self, done: TlsDone) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Tls { mut conversation, identity, .. } => {
                let turn = conversation.on_done(done);
                self.take_turn(turn, conversation, identity)
            }
            _ => self.fail(EapError::Unexpected),
        }
    }

    /// Why nothing came of it, if the client leaves it here; none if it has said nothing yet.
    #[must_use]
    pub fn abandoned(&self) -> Option<EapError> {
        match &self.state {
            State::Identity | State::Over => None,
            State::Challenged { .. } | State::Asking { .. } | State::Asked { .. } => Some(EapError::GivenUp),
            State::Proven { user, .. } => Some(EapError::RefusedByClient(user.clone())),
            State::Tls { conversation, .. } => Some(conversation.abandoned()),
            State::Failed(error) => Some(error.clone()),
        }
    }

    /// Begins the most wanted of the methods that are offered here and that the client takes; a client that was offered one already names those that it takes, once.
    fn offer(
        &mut self,
        identity: String,
        taken: Option<&[u8]>,
        methods: &Methods<'_>,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Step {
        let is_first = taken.is_none();
        let is_taken = |kind: Kind| taken.is_none_or(|taken| taken.contains(&kind.0));
        let fits = |(kind, _): &&(Kind, &str)| methods.has(*kind) && is_taken(*kind);
        match (METHODS.iter().find(fits).map(|(kind, _)| *kind), methods.tls) {
            (Some(Kind::TLS), Some(tls)) => match Conversation::begin(tls, identity.clone(), methods.now) {
                Ok((conversation, start)) => {
                    self.state = State::Tls { conversation: Box::new(conversation), identity, is_first };
                    self.request(Kind::TLS, &start)
                }
                Err(error) => self.fail(error),
            },
            (Some(_), _) => self.challenge(identity, is_first, random),
            (None, _) => self.fail(EapError::NoCommonMethod(methods.listed())),
        }
    }

    fn take_turn(&mut self, turn: Turn, conversation: Box<Conversation>, identity: String) -> Step {
        match turn {
            Turn::Send(data) => {
                self.state = State::Tls { conversation, identity, is_first: false };
                self.request(Kind::TLS, &data)
            }
            Turn::Compute(work) => {
                self.state = State::Tls { conversation, identity, is_first: false };
                Step::Compute(work)
            }
            Turn::End(Ok(Proven { user, msk, path })) => {
                let (user, by) = (User::Known(user), Means::Certificate(path));
                Step::Success { packet: packet::success(self.identifier), user, by, msk }
            }
            Turn::End(Err(error)) => self.fail(error),
        }
    }

    fn challenge(&mut self, identity: String, is_first: bool, random: &mut dyn FnMut(&mut [u8])) -> Step {
        let mut challenge = [0; CHALLENGE_BYTES];
        random(&mut challenge);
        self.state = State::Challenged { challenge, identity, is_first };
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
        let msk = Msk::new(exchange.msk(&password));
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

    fn request(&mut self, kind: Kind, data: &[u8]) -> Step {
        self.identifier = self.identifier.wrapping_add(1);
        Step::Send(packet::request(self.identifier, kind, data))
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
mod tests;
