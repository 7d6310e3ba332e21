//! Connections: one peer, its key, and what travels to it.

mod ability;
mod ends;
mod kind;
mod nat;
mod protocol;
mod requested;
mod rules;
mod selected;
mod sites;
mod start;
mod vnet;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ability::{check_dpd, policy};
pub use ends::LocalEnd;
use ends::{identities, local_address, second_address};
use ipnet::IpNet;
pub use kind::{ConnectionMode, ConnectionType};
pub use nat::Nat;
pub(crate) use nat::check_rules;
pub use protocol::Protocol;
use rules::Rules;
use sites::Way;
pub use start::Start;
use toml::de::DeValue;
pub(crate) use vnet::NAME_WHAT_IS_THERE;
pub use vnet::{Remote, RemoteGateway};

use crate::authentication::{self, Authentication, Trusts};
use crate::bgp;
use crate::choice::Choice;
use crate::circuit::{self, ExpressRouteConnection};
use crate::document::Section;
use crate::environment::Environment;
use crate::gateway::VirtualNetworkGateway;
use crate::identity::Identity;
use crate::local_network_gateway::{LocalNetworkGateway, PeerAddress};
use crate::name::Name;
use crate::nat_rule::NatRule;
use crate::network::VirtualNetwork;
use crate::peering::VirtualNetworkPeering;
use crate::policy::Policy;
use crate::port::Port;
use crate::ppk::{self, Ppk};
use crate::report::{Located, Place, Report};
use crate::selectors::TrafficSelectors;
use crate::shelf::Shelf;
use crate::transit;
use crate::value::{Value, Wrong, wrong_type};

/// What happens to the maximum segment size of TCP that passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MssClamp {
    /// Lowered to what fits into the tunnel.
    Auto,
    /// Left alone.
    Off,
    /// Lowered to this many bytes, 536 to 8960.
    Bytes(u16),
}

/// A connection between a gateway of ours and a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Name, unique among connections.
    pub name: Name,
    /// What it leads to.
    pub connection_type: ConnectionType,
    /// Our gateway.
    pub gateway: Name,
    /// The peer.
    pub remote: Remote,
    /// Our end: one of the gateway's public addresses, of the family of the peer's address.
    pub local_address: IpAddr,
    /// Our other end, at an active-active gateway: the connection has a tunnel from each.
    pub second_address: Option<IpAddr>,
    /// Which IKE is spoken.
    pub protocol: Protocol,
    /// How both sides prove themselves.
    pub authentication: Authentication,
    /// A key besides, against quantum computers.
    pub ppk: Option<Ppk>,
    /// How we call ourselves.
    pub local_id: Identity,
    /// What the peer must call itself.
    pub remote_id: Identity,
    /// Who begins.
    pub mode: ConnectionMode,
    /// When this side does, if it may.
    pub start: Start,
    /// The tunnel is taken down after so long without a packet through it, 30 s to 86,400 s; `None`: it stays.
    pub idle_timeout: Option<Duration>,
    /// The peer is asked whether it is alive after this much silence; 9 s to 3600 s.
    pub dpd_timeout: Duration,
    /// Whether tunnels may move to other addresses (MOBIKE) with a peer that can.
    pub mobike: bool,
    /// Whether a lost IKE SA may be taken up again by a ticket (RFC 5723), with a peer that can.
    pub session_resumption: bool,
    /// Whether each worker has a Child SA of its own beside the one for all (RFC 9611), with a peer that can do that, too.
    pub per_resource_child_sas: bool,
    /// Whether the peer assigns an address inside the tunnel, with which the network goes out. Then only this side begins.
    pub request_addresses: bool,
    /// Whether a peer that sends us to another gateway is obeyed.
    pub follow_redirects: bool,
    /// The gateway that peers are sent to instead of being served here.
    pub redirect_to: Option<PeerAddress>,
    /// Longest packet that goes to the peer, in bytes with its outer headers, where the path takes less than the port; `None`: what the port takes.
    pub mtu_bytes: Option<u16>,
    /// TCP segment sizes.
    pub mss_clamp: MssClamp,
    /// Algorithms and lifetimes.
    pub policy: Policy,
    /// Its part of the flows to its site, beside other connections to the same site and in proportion to their weights; with 0 it carries flows only where no connection
    /// with a weight does. `None`: no other connection leads there.
    pub routing_weight: Option<u16>,
    /// What may travel, by the addresses that packets have in the tunnel.
    pub traffic_selectors: TrafficSelectors,
    /// Whose addresses are others on the other side.
    pub nat: Nat,
}

impl Connection {
    /// Whether it stands for the clients of its gateway.
    #[must_use]
    pub fn is_of_clients(&self) -> bool {
        self.connection_type == ConnectionType::VpnClient
    }
}

impl Value for MssClamp {
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong> {
        let example = "\"auto\", \"off\" or a number of bytes from 536 to 8960";
        match value {
            DeValue::String(word) if word == "auto" => Ok(Self::Auto),
            DeValue::String(word) if word == "off" => Ok(Self::Off),
            DeValue::String(word) => Err(Wrong {
                problem: format!("{word:?} is no way to clamp"),
                remedy: format!("write {example}"),
            }),
            DeValue::Integer(_) => {
                let bytes = u64::read(value)?;
                let fitting = u16::try_from(bytes).ok().filter(|bytes| MSS_BYTES.contains(bytes));
                fitting.map(Self::Bytes).ok_or_else(|| Wrong {
                    problem: format!("{bytes} is out of range"),
                    remedy: format!("write {example}"),
                })
            }
            other => Err(wrong_type("a word or a number of bytes", other, example)),
        }
    }
}

/// The resources that connections refer to.
pub(crate) struct Around<'a> {
    pub(crate) ports: &'a Shelf<Port>,
    pub(crate) networks: &'a Shelf<VirtualNetwork>,
    pub(crate) gateways: &'a Shelf<VirtualNetworkGateway>,
    pub(crate) peers: &'a Shelf<LocalNetworkGateway>,
    pub(crate) peerings: &'a Shelf<VirtualNetworkPeering>,
    pub(crate) nat_rules: &'a Shelf<NatRule>,
    pub(crate) circuits: circuit::Around<'a>,
    pub(crate) max_tunnels: u32,
    pub(crate) environment: &'a Environment<'a>,
}

/// Reads each `[[connection]]`.
pub(crate) fn read(
    root: &mut Section<'_>,
    around: &Around<'_>,
    report: &mut Report<'_>,
) -> (Shelf<Connection>, Shelf<ExpressRouteConnection>) {
    let mut connections = Shelf::new("connection");
    let (mut of_circuits, mut used) = (Shelf::new("ExpressRoute connection"), circuit::Used::default());
    let (mut rules, mut trusts) = (Rules::default(), Trusts::default());
    let mut places = Vec::new();
    for section in root.sections("connection", report) {
        let Some(mut section) = section else {
            connections.put(None, None);
            continue;
        };
        let name = section.name("connection", report);
        if let Some(name) = &name {
            connections.declare(name, report);
            places.push((name.value.clone(), section.place.clone()));
        }
        if section.meant::<ConnectionType>("type") == Some(ConnectionType::ExpressRoute) {
            // What is misspelt is told.
            section.optional::<ConnectionType>("type", report);
            let gateway = section.required::<Name>("gateway", "\"gw-er\"", report);
            let (name_of, around) = (name.as_ref(), &around.circuits);
            let found =
                circuit::read_connection(&mut section, name_of, gateway.as_ref(), around, &mut used, report);
            section.finish(report);
            if let Some(name) = &name {
                of_circuits.note(name);
            }
            of_circuits.put(name, found);
            continue;
        }
        let connection = one(&mut section, name.as_ref(), around, &mut rules, &mut trusts, report);
        section.finish(report);
        connections.put(name, connection);
    }
    vnet::check_pairs(&connections, &places, report);
    transit::check_strangers(&rules.strangers, &connections, around.peers, report);
    (connections, of_circuits)
}

/// Warns of local network gateways that no connection leads to, unless one that may lead there is broken.
pub(crate) fn warn_of_idle_peers(
    connections: &Shelf<Connection>,
    peers: &Shelf<LocalNetworkGateway>,
    report: &mut Report<'_>,
) {
    let connected: BTreeSet<&Name> =
        connections.sound().values().filter_map(Connection::local_network_gateway).collect();
    if !connections.is_complete() {
        return;
    }
    for (peer, line) in peers.declared().filter(|(name, _)| !connected.contains(name)) {
        let place = Place { line, key: format!("local_network_gateway[{peer}]") };
        report.warning(&place, "no connection leads here", "add a [[connection]] to it, or leave it out");
    }
}

/// The two ends that a connection names, as far as they are sound.
struct Found<'a> {
    gateway: Option<&'a VirtualNetworkGateway>,
    network: Option<&'a VirtualNetwork>,
    peer: Option<&'a LocalNetworkGateway>,
    /// The network's prefixes, and those of the networks that use its gateway.
    served: Vec<IpNet>,
}

fn one<'a>(
    section: &mut Section<'_>,
    name: Option<&Located<Name>>,
    around: &Around<'a>,
    rules: &mut Rules,
    trusts: &mut Trusts,
    report: &mut Report<'_>,
) -> Option<Connection> {
    let gateway_name = section.required::<Name>("gateway", "\"gw\"", report);
    let gateway = gateway_name.as_ref().and_then(|name| around.gateways.find(name, report));
    let network = gateway.and_then(|gateway| around.networks.sound().get(&gateway.virtual_network));
    let connection_type = section.choice("type", report).unwrap_or(ConnectionType::IPsec);
    let (remote, described, place) = vnet::far_end(section, connection_type, name, gateway, around, report);
    let peer = described.as_deref();
    let served = |network| transit::served(network, around.networks.sound(), around.peerings.sound());
    let found = Found { gateway, network, peer, served: network.map(served).unwrap_or_default() };
    bgp::refuse(section, report);
    if let (Some(gateway), Some(peer), Some(place)) = (gateway, peer, &place) {
        bgp::check_pair(gateway, network, peer, place, report);
    }

    let authentication = authentication::read(section, around.environment, trusts, report);
    let requested = requested::read(section, report);
    let mode = requested::mode(mode(section, peer, report), requested.as_ref());
    let begins = start::Begins { connection_type, mode, gateway, peer };
    let (start, idle_timeout) = start::read(section, &begins, report);
    check_dpd(section, gateway, report);
    let dpd_timeout_s = section.integer("dpd_timeout_s", DPD_TIMEOUT_S, DPD_TIMEOUT_S_DEFAULT, report);
    let mobike = section.optional::<bool>("mobike", report).is_none_or(|word| word.value);
    let session_resumption =
        section.optional::<bool>("session_resumption", report).is_some_and(|word| word.value);
    let follow_redirects = section.optional::<bool>("follow_redirects", report).is_none_or(|word| word.value);
    let redirect_to = redirect_to(section, report);
    let mtu_bytes =
        section.has("mtu_bytes").then(|| section.integer("mtu_bytes", MTU_BYTES, *MTU_BYTES.end(), report));
    let mss_clamp = section.optional("mss_clamp", report).map_or(MssClamp::Auto, |clamp| clamp.value);
    let of_site = gateway.filter(|_| connection_type == ConnectionType::IPsec);
    let (protocol, protocol_place) = protocol::read(section, of_site, report);
    let per_resource_child_sas = protocol::per_resource_child_sas(section, protocol, report);
    let policy = policy(section, gateway, protocol, report);
    let nat = nat::read(section, connection_type, &found, around.nat_rules, report);
    let routing_weight = sites::routing_weight(section, connection_type, report);
    let traffic_selectors = selected::read(section, name, &found, nat.as_ref(), &mut rules.strangers, report);
    let local_address = local_address(&found, place.as_ref(), remote.as_ref(), around.ports, report);
    let second_address = second_address(connection_type, &found, local_address);
    let ppk = ppk::read(section, around.environment, report);
    let settings = protocol::Settings {
        gateway,
        policy: &policy,
        ppk: ppk.as_ref(),
        authentication: authentication.as_ref(),
        redirects: redirect_to.is_some(),
        resumption: session_resumption,
    };
    protocol::check(protocol, &protocol_place, &settings, report);
    if let Some(place) = &requested {
        let (found, nat, selectors) = (&found, nat.as_ref(), traffic_selectors.as_ref());
        let settings = requested::Settings { connection_type, protocol, mode, found, nat, selectors };
        requested::check(place, &settings, report);
    }
    let (local_id, remote_id) = identities(section, local_address, peer, authentication.as_ref(), report);

    let (name, gateway, peer) = (&name?.value, gateway?, peer?);
    rules.tunnels(name, gateway, &section.place, report);
    let ways = 1 + u32::from(second_address.is_some());
    let tunnels = ways * rules::tunnels_each(protocol, traffic_selectors.as_ref());
    rules.appliance(name, tunnels, around.max_tunnels, &section.place, report);
    if let Some(place) = &requested {
        rules.hidden_behind_one_address(ways, around.nat_rules, place, report);
    }
    let nat = nat?;
    if let Some(network) = network {
        let place = place.as_ref()?;
        let is_hidden = requested.is_some();
        nat::check_overlaps(network, peer, connection_type, (&nat, is_hidden), place, report);
        let way = Way { connection: name, connection_type, peer, nat: &nat, routing_weight };
        rules.sites.lead(network, &way, place, report);
    }
    let (local_address, remote_id) = (local_address?, remote_id?);
    let locals: Vec<IpAddr> = std::iter::once(local_address).chain(second_address).collect();
    rules.peers(name, &locals, peer, &remote_id, &section.place, report);
    let connection = Connection {
        name: name.clone(),
        connection_type,
        gateway: gateway.name.clone(),
        remote: remote?,
        local_address,
        second_address,
        protocol,
        authentication: authentication?,
        ppk,
        local_id: local_id?,
        remote_id,
        mode,
        start,
        idle_timeout,
        dpd_timeout: Duration::from_secs(dpd_timeout_s.into()),
        mobike,
        session_resumption,
        per_resource_child_sas,
        request_addresses: requested.is_some(),
        follow_redirects,
        redirect_to,
        mtu_bytes,
        mss_clamp,
        policy,
        routing_weight,
        traffic_selectors: traffic_selectors?,
        nat,
    };
    if let Some((network, place)) = network.zip(place) {
        vnet::check_learning(network, &connection, &place, report);
    }
    Some(connection)
}

/// Where peers are sent. Not "any": they have to call somebody.
fn redirect_to(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<PeerAddress> {
    let Located { value, place } = section.optional::<PeerAddress>("redirect_to", report)?;
    if value == PeerAddress::Any {
        report.error(
            &place,
            "\"any\" is nobody that a peer could call",
            "name the other gateway's address or domain name",
        );
        return None;
    }
    Some(value)
}

fn mode(
    section: &mut Section<'_>,
    peer: Option<&LocalNetworkGateway>,
    report: &mut Report<'_>,
) -> ConnectionMode {
    let Some(Located { value: mode, place }) = section.optional("mode", report) else {
        return ConnectionMode::Default;
    };
    let anywhere = peer.filter(|peer| peer.address == PeerAddress::Any);
    if let Some(peer) = anywhere.filter(|_| mode == ConnectionMode::InitiatorOnly) {
        let problem = format!("\"{}\" has no address that could be called", peer.name);
        report.error(&place, problem, "give its address, or take mode = \"ResponderOnly\"");
    }
    mode
}

/// What IPv4 has to carry at least (RFC 791), to the most that a port takes.
const MTU_BYTES: RangeInclusive<u16> = 576..=9216;
/// Azure's bounds of dpdTimeoutSeconds.
const DPD_TIMEOUT_S: RangeInclusive<u32> = 9..=3600;
const DPD_TIMEOUT_S_DEFAULT: u32 = 45;
/// From the least of RFC 879 to what a jumbo frame holds.
const MSS_BYTES: RangeInclusive<u16> = 536..=8960;
