//! Where a connection's peer is looked for: a list of addresses and names, tried in this order (RFC 7296 leaves it to us). The next one's turn comes when nobody answers at
//! one: no answer to IKE_SA_INIT or IKE_AUTH, or a peer that died. Anything else that goes wrong is a matter between two peers that talk: no other place is called at once for
//! it. Where the peer last spoke MOBIKE, each of our addresses has its turn at all places. Then, and once all were tried, the connection waits, and begins with the first again. An IKE SA that is up at another place than the first calls the first before it is replaced.
//!
//! Names leave as [`Event::Resolve`] and come back as [`Input::Resolved`], for each call anew. Owned by the endpoint.
//!
//! [`Input::Resolved`]: crate::Input::Resolved

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{ConnectionConfig, Version};
use crate::connection::Evidence;
use crate::endpoint::{Endpoint, Timer};
use crate::environment::{Environment, Instant};
use crate::error::IkeError;
use crate::event::{ConnectionId, Event, IkeId, Output, Resolution};
use crate::exchange::{init, resume};
use crate::notice::What;
use crate::redirect::Detour;
use crate::sa::IkeSa;
use crate::status::{Failure, PlaceStatus};
use crate::ticket::Held;
use crate::v1;

mod known;

pub(crate) use known::Known;

/// How long a name may take.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a peer may take to answer IKE_SA_INIT where there is another place to look for it.
pub(crate) const PLACE_PATIENCE: Duration = Duration::from_secs(7);

/// Where a peer may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At this address.
    At(IpAddr),
    /// Where this name leads when it is called.
    Named(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// How far the look for a peer is; places by their index in the configuration.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The one that is used, or called next.
    at: usize,
    /// How many calls in a row had no answer.
    unanswered: usize,
    /// Names of which an answer is awaited.
    resolving: Option<Resolving>,
    /// IKE SAs of ours that are on their way.
    calls: Vec<Call>,
    /// Why nobody answered at a place when it was called last.
    failures: Vec<(usize, Failure)>,
    /// Names were found so often: of several addresses another one is called each time.
    found_names: usize,
    /// Where the peer sent us: used, or called next, in the place of the list.
    detour: Option<Detour>,
    /// Whether the last IKE SA with the peer spoke MOBIKE: it takes us for who we are at another address, too.
    moves: bool,
}

/// Who is called.
#[derive(Clone, Debug)]
struct Target {
    place: usize,
    /// Where the peer sent us, instead of that place of the list.
    detour: Option<Detour>,
}

/// An IKE SA of ours on its way.
#[derive(Clone, Debug)]
struct Call {
    ike: IkeId,
    target: Target,
}

#[derive(Clone, Debug)]
struct Resolving {
    ticket: u64,
    target: Target,
    until: Instant,
}

impl Target {
    /// Where it is, if the list still has it.
    fn of<'a>(&'a self, places: &'a [Place]) -> Option<&'a Place> {
        self.detour.as_ref().map(|detour| &detour.to).or(places.get(self.place))
    }
}

/// What follows from a call that nobody answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// There is another place.
    AtOnce,
    /// All were tried.
    Later,
}

impl Search {
    /// Whether a name is being looked up.
    pub(crate) const fn is_resolving(&self) -> bool {
        self.resolving.is_some()
    }

    /// Whether the peer is at another place than the first.
    pub(crate) const fn is_elsewhere(&self) -> bool {
        self.at != 0 || self.detour.is_some()
    }

    /// When the look-up under way is given up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.resolving.as_ref().map(|resolving| resolving.until)
    }

    /// Who is called next, or was called for what is up.
    fn present(&self) -> Target {
        Target { place: self.at, detour: self.detour.clone() }
    }

    /// Nobody answered at the place of a call, or an IKE SA's peer at the present one died.
    pub(crate) fn unanswered(&mut self, ike: IkeId, config: &ConnectionConfig, failure: Failure) -> Next {
        let target = self.take_call(ike).unwrap_or_else(|| self.present());
        self.unanswered_at(&target, config, failure)
    }

    fn unanswered_at(&mut self, target: &Target, config: &ConnectionConfig, failure: Failure) -> Next {
        self.note_failure(target, failure);
        self.resolving = None;
        // Who sent us elsewhere is asked again.
        if self.detour.take().is_some() || target.detour.is_some() {
            return Next::AtOnce;
        }
        self.unanswered += 1;
        let places = config.places.len();
        let callers = if self.moves { config.own_addresses().count() } else { 1 };
        if self.unanswered >= places * callers {
            (self.at, self.unanswered) = (0, 0);
            return Next::Later;
        }
        self.at = (target.place + 1) % places;
        Next::AtOnce
    }

    /// Our address that calls: the first one at all places, then, with a peer that speaks MOBIKE, the others, as the way from the first one may be what is broken.
    fn caller(&self, config: &ConnectionConfig) -> IpAddr {
        let turn = self.unanswered / config.places.len().max(1);
        config.own_addresses().nth(turn).filter(|_| self.moves).unwrap_or(config.local_address)
    }

    /// A call at another place than the present one came to nothing: the connection stays where it is.
    pub(crate) fn note_unanswered_call(&mut self, ike: IkeId, failure: Failure) {
        if let Some(target) = self.take_call(ike) {
            self.note_failure(&target, failure);
        }
    }

    /// A call ended for another reason.
    pub(crate) fn forget_call(&mut self, ike: IkeId) {
        self.take_call(ike);
    }

    /// The one that answered refused, or was refused: after a wait, the first one's turn comes again.
    pub(crate) fn begin_again(&mut self) {
        (self.at, self.unanswered) = (0, 0);
        self.detour = None;
    }

    /// An IKE SA is up with a peer at `remote`; `moves`: it speaks MOBIKE.
    pub(crate) fn found(&mut self, ike: IkeId, remote: IpAddr, moves: bool, places: &[Place]) {
        self.moves = moves;
        let called = self.take_call(ike);
        // None where we are back from where we were sent, or were called ourselves.
        self.detour = called.as_ref().and_then(|target| target.detour.clone());
        let by_address = || places.iter().position(|place| *place == Place::At(remote));
        // Who calls from an address that is not listed is at a place that has a name.
        let by_name = || places.iter().position(|place| matches!(place, Place::Named(_)));
        self.at = called.map(|target| target.place).or_else(by_address).or_else(by_name).unwrap_or(self.at);
        self.unanswered = 0;
        self.resolving = None;
        self.failures.retain(|(place, _)| *place != self.at);
    }

    /// The peer is at `remote` now, without another call.
    pub(crate) fn moved(&mut self, remote: IpAddr, places: &[Place]) {
        if let Some(at) = places.iter().position(|place| *place == Place::At(remote)) {
            self.at = at;
            self.failures.retain(|(place, _)| *place != at);
        }
    }

    /// The list of places became another one. False if the place in use is not in it any more.
    pub(crate) fn change(&mut self, old: &[Place], new: &[Place]) -> bool {
        if old == new {
            return true;
        }
        let kept = old.get(self.at).map(|place| new.iter().position(|other| other == place));
        *self = Self { at: kept.flatten().unwrap_or(0), ..Self::default() };
        // Without a list a peer came from anywhere.
        kept.map_or(new.is_empty(), |kept| kept.is_some())
    }

    fn take_call(&mut self, ike: IkeId) -> Option<Target> {
        let at = self.calls.iter().position(|call| call.ike == ike)?;
        Some(self.calls.remove(at).target)
    }

    fn note_failure(&mut self, target: &Target, failure: Failure) {
        // Where the peer sent us is not in the list, and what is wrong there says nothing about a place that is.
        if target.detour.is_none() {
            self.failures.retain(|(place, _)| *place != target.place);
            self.failures.push((target.place, failure));
        }
    }

    /// For the operator; `is_up`: whether there is an IKE SA at the present place, or on its way.
    pub(crate) fn status(&self, places: &[Place], is_up: bool) -> Vec<PlaceStatus> {
        let status = |(index, place): (usize, &Place)| PlaceStatus {
            place: place.clone(),
            in_use: is_up && index == self.at && self.detour.is_none(),
            failure: self.failures.iter().find(|(of, _)| *of == index).map(|(_, failure)| failure.clone()),
        };
        let detour = self.detour.as_ref();
        let sent_to =
            detour.map(|detour| PlaceStatus { place: detour.to.clone(), in_use: is_up, failure: None });
        places.iter().enumerate().map(status).chain(sent_to).collect()
    }
}

impl ConnectionConfig {
    /// The addresses among its places.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.places.iter().filter_map(|place| match place {
            Place::At(address) => Some(*address),
            Place::Named(_) => None,
        })
    }

    /// Whether a peer at `remote` may be this connection's.
    pub(crate) fn may_be_at(&self, remote: IpAddr) -> bool {
        self.is_at(remote) || self.may_roam()
    }

    /// Whether `remote` is one of its addresses.
    pub(crate) fn is_at(&self, remote: IpAddr) -> bool {
        self.places.contains(&Place::At(remote))
    }

    /// Whether the peer may be anywhere. One that is called by a name may call from anywhere: its address changes before anybody here asks for it, and its
    /// identity is what counts.
    pub(crate) fn may_roam(&self) -> bool {
        self.places.is_empty() || self.places.iter().any(|place| matches!(place, Place::Named(_)))
    }
}

impl Endpoint {
    /// Calls the peer where it is looked for now.
    pub(crate) fn call(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        if let Some(connection) = self.connections.get(&id) {
            self.call_at(id, connection.search.present(), now, env);
        }
    }

    /// Calls the peer where it sent us. What is up stays, and stays where it is, until there is an answer.
    pub(crate) fn call_detour(
        &mut self,
        id: ConnectionId,
        detour: Detour,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.ikes.is_empty() {
            connection.search.detour = Some(detour.clone());
        }
        let target = Target { place: connection.search.at, detour: Some(detour) };
        self.call_at(id, target, now, env);
    }

    /// The IKE SA is to be replaced, and is not where the peer is looked for first: calls there. What it brings up takes over from the present one.
    pub(crate) fn return_to_first(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        let is_free =
            |search: &Search| search.is_elsewhere() && search.calls.is_empty() && !search.is_resolving();
        if !self.stopping && self.connections.get(&id).is_some_and(|c| c.wanted && is_free(&c.search)) {
            self.call_at(id, Target { place: 0, detour: None }, now, env);
        }
    }

    fn call_at(&mut self, id: ConnectionId, target: Target, now: Instant, env: &mut dyn Environment) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match target.of(&connection.config.places).cloned() {
            None => {}
            Some(Place::At(address)) => self.begin_at(id, target, address, now, env),
            Some(Place::Named(name)) => {
                let ticket = self.shared.next_id();
                let until = now + RESOLVE_PATIENCE;
                connection.search.resolving = Some(Resolving { ticket, target, until });
                self.set_timer(Timer::Connection(id), Some(until));
                let mut cx = self.cx(now, env);
                cx.connection = Some(id);
                cx.note(What::Resolving);
                cx.event(Event::Resolve { connection: id, ticket, name });
            }
        }
    }

    fn begin_at(
        &mut self,
        id: ConnectionId,
        target: Target,
        address: IpAddr,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let config = Arc::clone(&connection.config);
        let is_good = |held: &Held| {
            held.until > now
                && config.resumption
                && config.ike_suites.contains(&held.suite)
                && config.additional.contains(&held.additional)
        };
        // It is of another gateway's than the one that the peer sends us to.
        let held = connection.ticket.take_if(|_| target.detour.is_none());
        let held = held.map(|held| *held).filter(is_good);
        let sent_by = target.detour.as_ref().map(|detour| detour.from);
        let path = ConnectionConfig::path_between(connection.search.caller(&config), address);
        let mut cx = self.cx(now, env);
        cx.connection = Some(id);
        let sa: Box<IkeSa> = match config.version {
            Version::V1 => v1::begin(config, path, None, &mut cx),
            Version::V2 => match held {
                Some(held) => resume::begin(config, path, held, &mut cx),
                None => init::begin(config, path, sent_by, &mut cx),
            },
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.ikes.push(sa.id);
            connection.search.calls.push(Call { ike: sa.id, target });
        }
        self.register(sa);
    }

    /// A name was looked up.
    pub(crate) fn on_resolved(&mut self, resolution: Resolution, now: Instant, env: &mut dyn Environment) {
        let Resolution { connection: id, ticket, addresses } = resolution;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(resolving) = connection.search.resolving.take_if(|resolving| resolving.ticket == ticket)
        else {
            return;
        };
        self.set_timer(Timer::Connection(id), None);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let is_ipv4 = connection.config.local_address.is_ipv4();
        let usable = |addresses: Vec<IpAddr>| {
            let of_family = addresses.into_iter().filter(|address| address.is_ipv4() == is_ipv4);
            let usable: Vec<IpAddr> = of_family.filter(is_unicast).collect();
            let family = if is_ipv4 { "IPv4" } else { "IPv6" };
            if usable.is_empty() { Err(format!("it has no {family} address")) } else { Ok(usable) }
        };
        match addresses.and_then(usable) {
            Ok(usable) => {
                let address = usable[connection.search.found_names % usable.len()];
                connection.search.found_names += 1;
                let target = resolving.target;
                let is_returning = target.place != connection.search.at || target.detour.is_some();
                let wanted = connection.wanted && !self.stopping;
                // Meanwhile the peer may have called.
                if wanted && (is_returning || !self.is_up_or_coming(id)) {
                    self.begin_at(id, target, address, now, env);
                }
            }
            Err(why) => self.on_unresolved(id, resolving, why, now, env),
        }
    }

    /// The wait for a name is over.
    pub(crate) fn give_up_name(&mut self, id: ConnectionId, now: Instant, env: &mut dyn Environment) {
        let resolving =
            self.connections.get_mut(&id).and_then(|connection| connection.search.resolving.take());
        if let Some(resolving) = resolving {
            self.on_unresolved(id, resolving, "no name server answers".to_owned(), now, env);
        }
    }

    fn on_unresolved(
        &mut self,
        id: ConnectionId,
        resolving: Resolving,
        why: String,
        now: Instant,
        env: &mut dyn Environment,
    ) {
        let (is_up, settings) = (self.is_up_or_coming(id), self.settings.clone());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let target = resolving.target;
        let Some(place) = target.of(&connection.config.places) else { return };
        let error = IkeError::NameNotFound { name: place.to_string(), why };
        let failure = Failure { error: error.clone(), at: now };
        let (mut retry_at, mut timer) = (None, None);
        if is_up {
            connection.search.note_failure(&target, failure);
        } else {
            let next = connection.search.unanswered_at(&target, &connection.config, failure);
            connection.failed(error.clone(), now, Evidence::Shown);
            if connection.wanted && !self.stopping {
                connection.plan_call(next, &settings, now, env);
                retry_at = connection.next_call();
                timer = connection.retry_at;
            }
        }
        if timer.is_some() {
            self.set_timer(Timer::Connection(id), timer);
        }
        self.shared.count_failure(&error);
        self.shared.out.push_back(Output::Event(Event::Failed { connection: id, error, retry_at }));
    }
}

/// Whether one host may have it.
pub(crate) fn is_unicast(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || is_broadcast)
}
