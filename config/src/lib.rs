//! The resources of a gateway: read from TOML, checked as a whole, with every finding at once.
//!
//! [`Config::read`] takes a file and answers either a [`Config`] in which everything fits together (with the warnings
//! beside it) or every [`Finding`] that there is. Nothing in a `Config` has to be checked again: names lead somewhere,
//! addresses are on ports, selectors lie in the network, algorithms exist. Resources compare with `==`, so that the
//! difference between two configurations can be computed; secrets compare in constant time.
//!
//! This crate knows no packet and opens no socket. The control thread and the programs call it.

#![forbid(unsafe_code)]

mod appliance;
mod authentication;
pub mod bgp;
mod choice;
mod circuit;
mod connection;
mod difference;
mod document;
mod environment;
mod export;
mod finding;
mod gateway;
mod identity;
pub mod import;
mod lines;
mod local_network_gateway;
mod name;
mod nat_rule;
mod network;
pub mod peer_config;
mod peering;
pub mod policy;
mod port;
mod ppk;
mod prefix;
mod region;
mod report;
mod secret;
mod selectors;
mod shelf;
pub mod sku;
mod transit;
mod value;
mod vpn_client;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use ipnet::IpNet;
use report::Report;

pub use appliance::{AesGcm, Appliance, CoreId, Idle, Memory};
pub use authentication::{Authentication, CertificateFiles, Certificates, RsaSignature};
pub use bgp::{BgpSettings, PeerBgpSettings};
pub use choice::Choice;
pub use circuit::{
    CIRCUIT_SIZES, CircuitSize, CircuitSku, ExpressRouteCircuit, ExpressRouteConnection, ExpressRouteGateway,
};
pub use connection::{
    Connection, ConnectionMode, ConnectionType, LocalEnd, MssClamp, Nat, Protocol, Remote, RemoteGateway,
    Start,
};
pub use difference::{Difference, SettingDifference, What};
pub use environment::{Environment, Source};
pub use export::Kind;
pub use finding::{Finding, Findings, Severity};
pub use gateway::{GatewayType, VirtualNetworkGateway, VpnType};
pub use identity::Identity;
pub use lines::Lines;
pub use local_network_gateway::{LocalNetworkGateway, PeerAddress};
pub use name::Name;
pub use nat_rule::{NatMode, NatRule, NatType};
pub use network::{VirtualNetwork, VlanId};
pub use peering::VirtualNetworkPeering;
pub use policy::Policy;
pub use port::{Device, Port};
pub use ppk::Ppk;
pub use prefix::{InterfaceAddress, StaticRoute, prefix_flaw};
pub use region::{Cloud, Region};
pub use secret::{SecretReference, SharedKey};
pub use selectors::{SelectorPolicy, TrafficSelectors};
pub use sku::{Generation, Limits, Sku};
pub use vpn_client::{
    ClientCertificates, RadiusServer, RevokedCertificate, RootCertificate, RootSource, Users,
    VpnAuthenticationType, VpnClientConfiguration, VpnClientProtocol,
};

/// A configuration in which everything fits together. Made by [`Config::read`] and [`Config::parse`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    appliance: Appliance,
    ports: BTreeMap<Name, Port>,
    virtual_networks: BTreeMap<Name, VirtualNetwork>,
    gateways: BTreeMap<Name, VirtualNetworkGateway>,
    nat_rules: BTreeMap<Name, NatRule>,
    local_network_gateways: BTreeMap<Name, LocalNetworkGateway>,
    connections: BTreeMap<Name, Connection>,
    circuits: BTreeMap<Name, ExpressRouteCircuit>,
    circuit_gateways: BTreeMap<Name, ExpressRouteGateway>,
    circuit_connections: BTreeMap<Name, ExpressRouteConnection>,
    peerings: BTreeMap<Name, VirtualNetworkPeering>,
}

/// A configuration with what is advised against in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The configuration.
    pub config: Config,
    /// Findings of severity warning, in the order of the file.
    pub warnings: Vec<Finding>,
    /// Where everything in it stands.
    pub lines: Lines,
}

/// A complete and commented configuration, `config/examples/site-to-site.toml`.
pub const EXAMPLE: &str = include_str!("../examples/site-to-site.toml");

impl Config {
    /// Reads and checks `file`, and the secrets that it refers to.
    ///
    /// # Errors
    /// Every finding, if one of them is an error; also if the file cannot be read, is larger than 8 MiB or is not UTF-8.
    pub fn read(file: &Path, environment: &Environment<'_>) -> Result<Checked, Findings> {
        let refuse = |problem: String, remedy: &str| {
            let (severity, key, remedy) = (Severity::Error, String::new(), remedy.to_owned());
            Findings(vec![Finding { severity, file: file.to_owned(), line: 0, key, problem, remedy }])
        };
        let mut bytes = Vec::new();
        File::open(file).and_then(|open| open.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(
            |error| {
                refuse(format!("the file cannot be read: {error}"), "name a file that this user may read")
            },
        )?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_MAX_BYTES {
            let problem = format!("the file is larger than {} MiB", FILE_MAX_BYTES >> 20);
            return Err(refuse(problem, "name a configuration file"));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            refuse("the file is not UTF-8 text".into(), "name a configuration file, saved as UTF-8")
        })?;
        Self::parse(Source { file, text: &text }, environment)
    }

    /// Checks the text of a configuration, and reads the secrets that it refers to.
    ///
    /// # Errors
    /// Every finding, if one of them is an error.
    pub fn parse(source: Source<'_>, environment: &Environment<'_>) -> Result<Checked, Findings> {
        let mut report = Report::new(source);
        let config = Self::read_resources(&mut report, environment);
        let findings = report.into_findings();
        match config {
            Some((config, lines)) if findings.iter().all(|found| found.severity == Severity::Warning) => {
                Ok(Checked { config, warnings: findings, lines })
            }
            _ => Err(Findings(findings)),
        }
    }

    /// Reads each kind of resource after those that it refers to. `None` if a section is missing as a whole, which is
    /// reported then.
    fn read_resources(report: &mut Report<'_>, environment: &Environment<'_>) -> Option<(Self, Lines)> {
        let mut root = document::parse(report)?;
        let lines = root.lines(report);
        let appliance = appliance::read(&mut root, environment, report);
        let ports = port::read(&mut root, report);
        let mut attachments = BTreeMap::new();
        let networks = network::read(&mut root, &ports, &mut attachments, report);
        let circuits = circuit::read(&mut root, &ports, &mut attachments, report);
        let (gateways, circuit_gateways) = gateway::read(&mut root, &ports, &networks, environment, report);
        let nat_rules = nat_rule::read(&mut root, &gateways, &networks, report);
        let mut peers = local_network_gateway::read(&mut root, report);
        let (peerings, peering_places) = peering::read(&mut root, &networks, report);
        let max_tunnels =
            appliance.as_ref().map_or(appliance::MAX_TUNNELS_DEFAULT, |appliance| appliance.max_tunnels);
        let around = connection::Around {
            ports: &ports,
            networks: &networks,
            gateways: &gateways,
            peers: &peers,
            peerings: &peerings,
            nat_rules: &nat_rules,
            circuits: circuit::Around {
                networks: &networks,
                gateways: &circuit_gateways,
                circuits: &circuits,
            },
            max_tunnels,
            environment,
        };
        let (mut connections, circuit_connections) = connection::read(&mut root, &around, report);
        vpn_client::stand_in(
            &gateways,
            (&networks, &peerings),
            max_tunnels,
            (&mut peers, &mut connections),
            report,
        );
        let beside =
            circuit::Around { networks: &networks, gateways: &circuit_gateways, circuits: &circuits };
        circuit::check_beside(&circuit_connections, &beside, (&connections, &gateways, &peers), report);
        let around = peering::Around {
            networks: &networks,
            gateways: &gateways,
            circuits: &circuits,
            circuit_gateways: &circuit_gateways,
            circuit_connections: &circuit_connections,
            peers: &peers,
            connections: &connections,
        };
        peering::check(&peerings, &peering_places, &around, report);
        root.finish(report);
        connection::warn_of_idle_peers(&connections, &peers, report);
        connection::check_rules(&connections, &peers, &nat_rules, report);
        let config = Self {
            appliance: appliance?,
            ports: ports.into_sound(),
            virtual_networks: networks.into_sound(),
            gateways: gateways.into_sound(),
            nat_rules: nat_rules.into_sound(),
            local_network_gateways: peers.into_sound(),
            connections: connections.into_sound(),
            circuits: circuits.into_sound(),
            circuit_gateways: circuit_gateways.into_sound(),
            circuit_connections: circuit_connections.into_sound(),
            peerings: peerings.into_sound(),
        };
        Some((config, lines))
    }

    /// The machine.
    #[must_use]
    pub fn appliance(&self) -> &Appliance {
        &self.appliance
    }

    /// Ports by name.
    #[must_use]
    pub fn ports(&self) -> &BTreeMap<Name, Port> {
        &self.ports
    }

    /// The ports of the underlay: those that no virtual network and no circuit names.
    pub fn underlay_ports(&self) -> impl Iterator<Item = &Port> {
        let is_taken = |port: &Port| {
            self.virtual_networks.values().any(|network| network.port == port.name)
                || self.circuits.values().any(|circuit| circuit.port == port.name)
        };
        self.ports.values().filter(move |port| !is_taken(port))
    }

    /// Circuits by name.
    #[must_use]
    pub fn circuits(&self) -> &BTreeMap<Name, ExpressRouteCircuit> {
        &self.circuits
    }

    /// Gateways of circuits by name.
    #[must_use]
    pub fn circuit_gateways(&self) -> &BTreeMap<Name, ExpressRouteGateway> {
        &self.circuit_gateways
    }

    /// Connections of type `ExpressRoute` by name.
    #[must_use]
    pub fn circuit_connections(&self) -> &BTreeMap<Name, ExpressRouteConnection> {
        &self.circuit_connections
    }

    /// Every circuit in use with its connection and the network that it is in, those of one network in the order in which they are preferred.
    pub fn circuits_in_use(
        &self,
    ) -> impl Iterator<Item = (&ExpressRouteConnection, &ExpressRouteCircuit, &VirtualNetwork)> {
        let mut in_use: Vec<_> = self
            .circuit_connections
            .values()
            .filter_map(|connection| {
                let gateway = self.circuit_gateways.get(&connection.gateway)?;
                let network = self.virtual_networks.get(&gateway.virtual_network)?;
                Some((connection, self.circuits.get(&connection.circuit)?, network))
            })
            .collect();
        in_use.sort_by_key(|(connection, ..)| std::cmp::Reverse(connection.routing_weight));
        in_use.into_iter()
    }

    /// Virtual networks by name.
    #[must_use]
    pub fn virtual_networks(&self) -> &BTreeMap<Name, VirtualNetwork> {
        &self.virtual_networks
    }

    /// Gateways by name.
    #[must_use]
    pub fn gateways(&self) -> &BTreeMap<Name, VirtualNetworkGateway> {
        &self.gateways
    }

    /// NAT rules by name.
    #[must_use]
    pub fn nat_rules(&self) -> &BTreeMap<Name, NatRule> {
        &self.nat_rules
    }

    /// Local network gateways by name.
    #[must_use]
    pub fn local_network_gateways(&self) -> &BTreeMap<Name, LocalNetworkGateway> {
        &self.local_network_gateways
    }

    /// Connections by name.
    #[must_use]
    pub fn connections(&self) -> &BTreeMap<Name, Connection> {
        &self.connections
    }

    /// Peerings by name.
    #[must_use]
    pub fn peerings(&self) -> &BTreeMap<Name, VirtualNetworkPeering> {
        &self.peerings
    }

    /// The gateway that `connection`, one of this configuration, begins at.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn gateway_of(&self, connection: &Connection) -> &VirtualNetworkGateway {
        self.gateways.get(&connection.gateway).expect("the gateway of a checked connection exists")
    }

    /// The network that the gateway of `connection`, one of this configuration, serves.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn network_of(&self, connection: &Connection) -> &VirtualNetwork {
        let network = &self.gateway_of(connection).virtual_network;
        self.virtual_networks.get(network).expect("the network of a checked gateway exists")
    }

    /// The prefixes behind the peer of `connection`, one of this configuration, as its network knows them.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn prefixes_behind(&self, connection: &Connection) -> Vec<IpNet> {
        connection.nat.site_prefixes(&self.peer_of(connection).prefixes)
    }

    /// The sites that several tunnels lead to, each with its connections by name: several connections, or one from several addresses.
    #[must_use]
    pub fn shared_sites(&self) -> Vec<Vec<&Connection>> {
        let mut sites: BTreeMap<(&Name, BTreeSet<IpNet>), Vec<&Connection>> = BTreeMap::new();
        let may_share = |one: &&Connection| one.routing_weight.is_some() || one.second_address.is_some();
        for connection in self.connections.values().filter(may_share) {
            let prefixes = self.prefixes_behind(connection).into_iter().collect();
            sites.entry((&self.network_of(connection).name, prefixes)).or_default().push(connection);
        }
        let is_shared =
            |ways: &Vec<&Connection>| ways.iter().flat_map(|one| one.local_ends()).nth(1).is_some();
        sites.into_values().filter(is_shared).collect()
    }

    /// The peer that `connection`, one of this configuration, leads to.
    ///
    /// # Panics
    /// If `connection` is of another configuration.
    #[must_use]
    pub fn peer_of<'a>(&'a self, connection: &'a Connection) -> &'a LocalNetworkGateway {
        connection.peer(&self.local_network_gateways).expect("the peer of a checked connection exists")
    }
}

/// Larger than any configuration; keeps a wrong path from filling the memory.
const FILE_MAX_BYTES: u64 = 8 << 20;
