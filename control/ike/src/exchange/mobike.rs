//! INFORMATIONAL exchanges of MOBIKE (RFC 4555, 3.5 to 3.9), in both roles: the one who decides tells the other which path is used from now on, the other follows and asks along
//! the new path whether somebody is there.

use std::net::{IpAddr, SocketAddr};

use super::init::{detect_nat, nat_payloads};
use crate::effect::Effect;
use crate::error::{IkeError, Stage};
use crate::established::{Established, Fate, Pending, Task};
use crate::event::{DownReason, Encapsulation, Event, Path, Role};
use crate::mobility::{self, Ends};
use crate::notice::What;
use crate::place::is_unicast;
use crate::sa::{Arrived, Cx};
use crate::secured::Secured;
use crate::wire::{ExchangeType, Message, Notify, NotifyType, Payload};

/// Length of our COOKIE2 (section 4.2.5: 8 to 64 bytes).
const COOKIE_BYTES: usize = 32;

fn notify(kind: NotifyType, data: Vec<u8>) -> Payload {
    Payload::Notify(Notify::new(kind, data))
}

/// NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP for the present path.
fn nat_hashes(state: &Established, (local, remote): Ends) -> impl Iterator<Item = Payload> {
    nat_payloads(state.secured.spis, local, remote, state.config.force_encapsulation).into_iter().take(2)
}

impl Established {
    /// Whether both sides speak MOBIKE and we decide.
    pub(crate) fn decides_on_path(&self) -> bool {
        self.mobility.as_ref().is_some_and(|mobility| mobility.decides)
    }

    /// A request of ours stays without an answer: it goes out on all other paths, too (section 3.10).
    pub(crate) fn probe(&self, cx: &mut Cx<'_>) {
        let Some(mobility) = self.mobility.as_ref().filter(|mobility| mobility.decides) else { return };
        if self.secured.window.is_late() {
            for ends in mobility.others(&self.secured.path, &self.config) {
                self.secured.resend_on(ends, cx);
            }
        }
    }

    /// The answer to a request of ours came by another path than the present one: that is the path from now on, and the peer is told so. No other path than one that the request
    /// went out on: whoever repeats the peer's answers from an address of his own moves nothing.
    pub(crate) fn follow_answer(&mut self, arrived: &Arrived<'_>, cx: &mut Cx<'_>) {
        let Some(mobility) = self.mobility.as_ref().filter(|mobility| mobility.decides) else { return };
        let ends = (arrived.local, arrived.remote);
        if !mobility.others(&self.secured.path, &self.config).contains(&ends) {
            return;
        }
        cx.note_from(What::PathChanged, arrived.remote);
        self.take_path(Path { local: arrived.local, remote: arrived.remote, ..self.secured.path }, cx);
        self.tasks.retain(|task| *task != Task::UpdateAddresses);
        self.tasks.push_front(Task::UpdateAddresses);
    }

    /// Everything goes by this path from now on.
    pub(crate) fn take_path(&mut self, path: Path, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.secured.path, path) == path {
            return;
        }
        self.secured.window.restart(cx.now, cx.settings);
        self.move_children(path, cx);
        cx.effect(Effect::Moved(self.config.id, path.remote.ip()));
    }

    /// What the Child SAs carry goes by this path from now on.
    pub(crate) fn move_children(&self, path: Path, cx: &mut Cx<'_>) {
        for child in &self.children {
            cx.event(Event::MoveChild { child: child.id, path });
        }
    }
}

/// Tells the peer which path is used from now on (section 3.5).
pub(crate) fn begin_update(state: &mut Established, cx: &mut Cx<'_>) {
    let path = state.secured.path;
    let mut payloads = vec![notify(NotifyType::UPDATE_SA_ADDRESSES, Vec::new())];
    payloads.extend(nat_hashes(state, (path.local, path.remote)));
    payloads.extend(mobility::addresses(&state.config, path.local.ip()));
    state.pending = Some(Pending::UpdateAddresses(path));
    state.secured.request(ExchangeType::INFORMATIONAL, payloads, cx);
}

/// The peer follows us, or does not.
pub(crate) fn on_update_answer(state: &mut Established, told: Path, message: &Message, cx: &mut Cx<'_>) {
    let path = state.secured.path;
    if (path.local, path.remote) != (told.local, told.remote) {
        return; // moved again meanwhile, of which the peer is told next
    }
    if let Some(error) = message.error() {
        cx.note_stage(What::ExchangeFailed, Stage::Move);
        let error = IkeError::from_peer(Stage::Move, error.kind);
        // The peer answers nowhere but where it does not want to be: only a new beginning is left.
        state.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
        return;
    }
    let path = with_nat(state, path, message, cx);
    state.take_path(path, cx);
    note_mapping(state, message);
}

/// Tells the peer our other addresses, which are others by now (section 3.6).
pub(crate) fn tell_addresses(state: &mut Established, cx: &mut Cx<'_>) {
    let mut payloads = mobility::addresses(&state.config, state.secured.path.local.ip());
    if payloads.is_empty() {
        payloads.push(notify(NotifyType::NO_ADDITIONAL_ADDRESSES, Vec::new()));
    }
    state.pending = Some(Pending::Token);
    state.secured.request(ExchangeType::INFORMATIONAL, payloads, cx);
}

/// What goes with a question whether the peer is alive: behind a NAT the hashes by which a change of its mapping is found (section 3.8).
pub(crate) fn with_liveness(state: &Established) -> Vec<Payload> {
    let path = state.secured.path;
    let asks = state.decides_on_path() && path.nat_before_us;
    if asks { nat_hashes(state, (path.local, path.remote)).collect() } else { Vec::new() }
}

/// The peer is alive; if it sees us elsewhere than before, it must be told to follow.
pub(crate) fn on_liveness_answer(state: &mut Established, message: &Message, cx: &mut Cx<'_>) {
    if note_mapping(state, message) {
        cx.note(What::MappingChanged);
        state.want(Task::UpdateAddresses);
    }
}

/// Notes how the peer sees our address. Whether that changed.
fn note_mapping(state: &mut Established, message: &Message) -> bool {
    let Some(mobility) = state.mobility.as_mut().filter(|mobility| mobility.decides) else { return false };
    let Some(seen) = message.notify(NotifyType::NAT_DETECTION_DESTINATION_IP) else { return false };
    let before = mobility.seen.replace(seen.data.clone());
    before.is_some_and(|before| before != seen.data)
}

/// Asks along the path whether the peer is there: only it can give the cookie back (section 3.7).
pub(crate) fn check_path(state: &mut Established, cx: &mut Cx<'_>) {
    let mut cookie = vec![0; COOKIE_BYTES];
    cx.env.random(&mut cookie);
    state.pending = Some(Pending::CheckPath(cookie.clone()));
    let limit = state.config.dpd.timeout;
    let payloads = vec![notify(NotifyType::COOKIE2, cookie)];
    state.secured.request_within(ExchangeType::INFORMATIONAL, payloads, limit, cx);
}

/// The peer's answer to that.
pub(crate) fn on_check_answer(state: &mut Established, cookie: &[u8], message: &Message) {
    let returned = message.notify(NotifyType::COOKIE2).is_some_and(|notify| notify.data == cookie);
    if !returned {
        let what = "did not return the cookie by which its new address was checked (COOKIE2)";
        let error = IkeError::Misbehaved { stage: Stage::Move, what };
        state.fate = Some(Fate::Close(DownReason::Error(error.clone()), Some(error)));
    }
}

/// A request of the peer, as far as it is about addresses. Returns what belongs into the answer.
///
/// # Errors
/// The path that the peer wants is not one: it is told so, and the present one stays.
pub(crate) fn on_request(
    state: &mut Established,
    arrived: &Arrived<'_>,
    message: &Message,
    cx: &mut Cx<'_>,
) -> Result<Vec<Payload>, NotifyType> {
    let Some(mobility) = &mut state.mobility else { return Ok(Vec::new()) };
    mobility.note_addresses(message);
    let decides = mobility.decides;
    if decides && (arrived.local, arrived.remote) != (state.secured.path.local, state.secured.path.remote) {
        // It is elsewhere, and may be so for a reason: the path is tried at once.
        state.want(Task::Liveness);
    }
    let mut answer = Vec::new();
    if let Some(cookie) = message.notify(NotifyType::COOKIE2) {
        answer.push(notify(NotifyType::COOKIE2, cookie.data.clone()));
    }
    if message.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_some() {
        answer.extend(nat_hashes(state, (arrived.local, arrived.remote)));
    }
    if message.notify(NotifyType::UPDATE_SA_ADDRESSES).is_some() && !decides {
        follow_update(state, arrived, message, cx)?;
    }
    Ok(answer)
}

/// The peer decided on another path: the one by which its request came.
fn follow_update(
    state: &mut Established,
    arrived: &Arrived<'_>,
    message: &Message,
    cx: &mut Cx<'_>,
) -> Result<(), NotifyType> {
    let forbids_nats = message.notify(NotifyType::NO_NATS_ALLOWED);
    if forbids_nats.is_some_and(|notify| notify.data != as_sent(arrived)) {
        return Err(NotifyType::UNEXPECTED_NAT_DETECTED);
    }
    if !is_unicast(&arrived.remote.ip()) {
        return Err(NotifyType::UNACCEPTABLE_ADDRESSES);
    }
    let before = state.secured.path;
    let path = Path { local: arrived.local, remote: arrived.remote, ..before };
    let path = with_nat(state, path, message, cx);
    if (path.local, path.remote) != (before.local, before.remote) {
        cx.note_from(What::PeerMoved, arrived.remote);
        state.tasks.retain(|task| *task != Task::CheckPath);
        state.tasks.push_front(Task::CheckPath);
    }
    state.take_path(path, cx);
    Ok(())
}

/// What NO_NATS_ALLOWED holds if nothing changed the addresses on their way (section 4.2.6).
fn as_sent(arrived: &Arrived<'_>) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (from, to) = (arrived.remote, arrived.local);
    [octets(from), octets(to), from.port().to_be_bytes().to_vec(), to.port().to_be_bytes().to_vec()].concat()
}

/// The path with what the peer's hashes say about NATs on it; without hashes nothing changes.
fn with_nat(state: &Established, path: Path, message: &Message, cx: &mut Cx<'_>) -> Path {
    if message.notify(NotifyType::NAT_DETECTION_SOURCE_IP).is_none() {
        return path;
    }
    let Secured { spis, .. } = state.secured;
    let arrived = Arrived { local: path.local, remote: path.remote, bytes: &[] };
    let plain = Path { encapsulation: Encapsulation::None, ..path };
    // Both sides are at port 4500 already: as responder the ports stay what they are.
    detect_nat(message, spis, &arrived, plain, Role::Responder, &state.config, cx)
}
