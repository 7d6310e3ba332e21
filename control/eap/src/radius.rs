//! RADIUS as a client (RFC 2865) that carries EAP between a client of the gateway and an authentication server (RFC 3579), sans-IO: datagrams and the time are handed in.
//!
//! [`Radius::ask`] takes a packet of a client; [`Radius::poll_output`] says which datagrams to send and what came of each question, [`Radius::poll_timeout`] when to call
//! [`Radius::on_timeout`]. A server that keeps silent is asked again, then the next one; a conversation that has begun stays with its server, which alone knows of it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::outcome::Msk;
use wire::{AUTHENTICATOR_BYTES, AccessRequest, Answer, Code, Unanswerable};

mod wire;

/// First wait for an answer; doubled each time.
const WAIT: Duration = Duration::from_secs(1);
/// How often a server is asked the same.
const TRIES: u32 = 3;
/// How long a server that kept silent is asked after the others.
const SHUNNED: Duration = Duration::from_secs(60);

/// A secret that a server and this gateway share. Wiped when dropped, never shown.
#[derive(Clone)]
pub struct RadiusSecret(Arc<Zeroizing<Vec<u8>>>);

impl RadiusSecret {
    /// Of its bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.to_vec())))
    }

    fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for RadiusSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RadiusSecret")
    }
}

impl PartialEq for RadiusSecret {
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for RadiusSecret {}

/// An authentication server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RadiusServer {
    /// Where it is.
    pub address: SocketAddr,
    /// What it and this gateway share.
    pub secret: RadiusSecret,
}

/// A packet of a client for an authentication server.
#[derive(Clone, Debug)]
pub struct RadiusQuestion {
    /// The servers that may be asked, the most wanted first.
    pub servers: Arc<[RadiusServer]>,
    /// Who the client says it is (EAP-Identity).
    pub identity: String,
    /// The EAP packet.
    pub packet: Vec<u8>,
    /// What the last answer said to bring along; none at the beginning.
    pub thread: Option<Thread>,
    /// Which gateway asks.
    pub gateway: Arc<str>,
    /// Where the client is.
    pub client: IpAddr,
}

/// What holds a conversation together: its server, and that server's State (RFC 2865, 5.24).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    server: SocketAddr,
    state: Option<Vec<u8>>,
}

#[cfg(test)]
impl Thread {
    pub(crate) fn of_test() -> Self {
        Self { server: SocketAddr::from(([192, 0, 2, 53], 1812)), state: None }
    }
}

/// What a server says.
#[derive(Clone, Debug)]
pub enum RadiusAnswer {
    /// Send this to the client, and bring its answer with `thread`.
    Challenge {
        /// The EAP packet.
        packet: Vec<u8>,
        /// What goes with the next question.
        thread: Thread,
    },
    /// The client is who it says.
    Accept {
        /// EAP-Success.
        packet: Vec<u8>,
        /// How the server calls it, where it does.
        user: Option<String>,
        /// The key (MS-MPPE-Recv-Key and MS-MPPE-Send-Key, RFC 2548).
        msk: Msk,
    },
    /// It is not.
    Reject {
        /// EAP-Failure, where the server sent one.
        packet: Option<Vec<u8>>,
        /// What the server says to people (Reply-Message).
        message: String,
    },
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RadiusError {
    /// Nobody answers.
    #[error("no RADIUS server answers (last asked: {0})")]
    Silent(SocketAddr),
    /// Answers that prove nothing.
    #[error(
        "the answers of the RADIUS server {0} are not made with the secret that it shares with this gateway"
    )]
    WrongSecret(SocketAddr),
    /// Answers that are no answers.
    #[error("the RADIUS server {server} answered without {what}")]
    Incomplete {
        /// Which.
        server: SocketAddr,
        /// What was missing.
        what: &'static str,
    },
    /// All numbers of a server are taken.
    #[error("the RADIUS server {0} has 256 questions that it has not answered")]
    Busy(SocketAddr),
    /// The configuration has none.
    #[error("there is no RADIUS server")]
    None,
}

/// What [`Radius`] wants.
#[derive(Debug)]
pub enum RadiusOutput {
    /// Send this.
    Transmit {
        /// Whereto.
        to: SocketAddr,
        /// The datagram.
        bytes: Vec<u8>,
    },
    /// This is what came of a question.
    Answered {
        /// That of the question.
        ticket: u64,
        /// The answer.
        answer: Result<RadiusAnswer, RadiusError>,
    },
}

/// All questions under way. Times are since an epoch that the caller picks once.
#[derive(Debug, Default)]
pub struct Radius {
    /// By server and identifier.
    open: HashMap<(SocketAddr, u8), Open>,
    /// Servers that kept silent, and until when they are asked after the others.
    shunned: HashMap<SocketAddr, Duration>,
    /// How often each server has answered, no matter what.
    answers: HashMap<SocketAddr, u64>,
    next_id: u8,
    out: VecDeque<RadiusOutput>,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Open {
    ticket: u64,
    question: RadiusQuestion,
    /// The server that is asked, and those that will be if it keeps silent.
    server: RadiusServer,
    others: VecDeque<RadiusServer>,
    request: Vec<u8>,
    authenticator: [u8; AUTHENTICATOR_BYTES],
    tries: u32,
    due: Duration,
    /// What the server had answered when it was asked.
    answers_before: u64,
    /// Whether something came that was not made with the secret.
    was_forged: bool,
}

impl Radius {
    /// Asks; `ticket` comes back with the answer. `random` fills its argument.
    pub fn ask(
        &mut self,
        ticket: u64,
        question: RadiusQuestion,
        now: Duration,
        random: &mut dyn FnMut(&mut [u8]),
    ) {
        let servers = self.in_order(&question, now);
        self.begin(ticket, question, servers, RadiusError::None, now, random);
    }

    /// A datagram came. What no question waits for, or what does not prove itself, changes nothing (RFC 2865, 3).
    pub fn on_datagram(&mut self, from: SocketAddr, bytes: &[u8]) {
        let Some(id) = bytes.get(1).copied() else { return };
        let Some(open) = self.open.get_mut(&(from, id)) else { return };
        match Answer::open(bytes, id, &open.authenticator, open.server.secret.expose()) {
            Ok(answer) => {
                let ticket = open.ticket;
                self.open.remove(&(from, id));
                self.shunned.remove(&from);
                *self.answers.entry(from).or_default() += 1;
                self.out.push_back(RadiusOutput::Answered { ticket, answer: said(answer, from) });
            }
            Err(Unanswerable::Forged) => open.was_forged = true,
            Err(Unanswerable::Malformed) => {}
        }
    }

    /// Time has passed: asks again, or the next server, or gives up.
    pub fn on_timeout(&mut self, now: Duration, random: &mut dyn FnMut(&mut [u8])) {
        let due = self.open.iter().filter(|(_, open)| open.due <= now).map(|(key, _)| *key);
        for key in due.collect::<Vec<_>>() {
            let Some(open) = self.open.get_mut(&key) else { continue };
            if open.tries < TRIES {
                open.due = now + WAIT * 2_u32.pow(open.tries);
                open.tries += 1;
                let (to, bytes) = (open.server.address, open.request.clone());
                self.out.push_back(RadiusOutput::Transmit { to, bytes });
                continue;
            }
            let Some(Open { ticket, question, server, others, was_forged, answers_before, .. }) =
                self.open.remove(&key)
            else {
                continue;
            };
            // A server that answers others is there: it, or the way to it, lost this question alone.
            if self.answered(server.address) == answers_before {
                self.shunned.insert(server.address, now + SHUNNED);
            }
            let why = if was_forged { RadiusError::WrongSecret } else { RadiusError::Silent };
            self.begin(ticket, question, others, why(server.address), now, random);
        }
    }

    /// When [`Self::on_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.open.values().map(|open| open.due).min()
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<RadiusOutput> {
        self.out.pop_front()
    }

    /// Whether no answer is waited for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The servers of a question: the one that its conversation is with, else all, those that kept silent last.
    fn in_order(&self, question: &RadiusQuestion, now: Duration) -> VecDeque<RadiusServer> {
        let is_of = |server: &&RadiusServer| match &question.thread {
            Some(thread) => thread.server == server.address,
            None => true,
        };
        let mut servers: Vec<_> = question.servers.iter().filter(is_of).cloned().collect();
        servers.sort_by_key(|server| self.shunned.get(&server.address).is_some_and(|until| now < *until));
        servers.into()
    }

    /// Asks the first of `servers`; without any, `why` is the answer.
    fn begin(
        &mut self,
        ticket: u64,
        question: RadiusQuestion,
        mut servers: VecDeque<RadiusServer>,
        why: RadiusError,
        now: Duration,
        random: &mut dyn FnMut(&mut [u8]),
    ) {
        let Some(server) = servers.pop_front() else {
            return self.out.push_back(RadiusOutput::Answered { ticket, answer: Err(why) });
        };
        let Some(id) = self.free_id(server.address) else {
            let busy = RadiusError::Busy(server.address);
            return self.begin(ticket, question, servers, busy, now, random);
        };
        let mut authenticator = [0; AUTHENTICATOR_BYTES];
        random(&mut authenticator);
        let request = AccessRequest {
            identity: &question.identity,
            packet: &question.packet,
            state: question.thread.as_ref().and_then(|thread| thread.state.as_deref()),
            gateway: &question.gateway,
            client: question.client,
        };
        let request = request.seal(id, &authenticator, server.secret.expose());
        self.out.push_back(RadiusOutput::Transmit { to: server.address, bytes: request.clone() });
        let (due, key) = (now + WAIT, (server.address, id));
        let (others, was_forged, answers_before) = (servers, false, self.answered(server.address));
        let open = Open {
            ticket,
            question,
            server,
            others,
            request,
            authenticator,
            tries: 1,
            due,
            answers_before,
            was_forged,
        };
        self.open.insert(key, open);
    }

    fn answered(&self, server: SocketAddr) -> u64 {
        self.answers.get(&server).copied().unwrap_or(0)
    }

    /// An identifier that no question to this server has; not the one that was used last, so that a late answer finds nobody.
    fn free_id(&mut self, server: SocketAddr) -> Option<u8> {
        for _ in 0..=u8::MAX {
            self.next_id = self.next_id.wrapping_add(1);
            if !self.open.contains_key(&(server, self.next_id)) {
                return Some(self.next_id);
            }
        }
        None
    }
}

/// What a server's answer means.
fn said(answer: Answer, server: SocketAddr) -> Result<RadiusAnswer, RadiusError> {
    let missing = |what| RadiusError::Incomplete { server, what };
    match answer.code {
        Code::Challenge => {
            let packet = answer.packet.ok_or(missing("an EAP packet (EAP-Message)"))?;
            Ok(RadiusAnswer::Challenge { packet, thread: Thread { server, state: answer.state } })
        }
        Code::Accept => {
            let msk = answer.msk.ok_or(missing(
                "the keys of the log-in (MS-MPPE-Recv-Key, MS-MPPE-Send-Key): its EAP method makes none",
            ))?;
            let packet = answer.packet.ok_or(missing("an EAP packet (EAP-Message)"))?;
            Ok(RadiusAnswer::Accept { packet, user: answer.user, msk })
        }
        Code::Reject => Ok(RadiusAnswer::Reject { packet: answer.packet, message: answer.message }),
    }
}

#[cfg(test)]
mod tests;
