//! The lab's standard network: site 1 with a host behind our gateway, and site 2, whose gateway is a peer (with its
//! host on itself) or ours too (with a host of its own).
//!
//! ```text
//! host-1 --lan-- gateway-1 --wan-- gateway-2 (--lan-- host-2)
//! 10.1.0.10      10.1.0.1 / 192.0.2.1   192.0.2.2 / 10.2.0.1      10.2.0.10
//! fd00:1::10     fd00:1::1  2001:db8::1 2001:db8::2 fd00:2::1     fd00:2::10
//! ```

use crate::failure::Result;
use crate::gateway::{Gateway, Plan};
use crate::namespace::{Namespace, Stack, cable};
use crate::strongswan::{Settings, StrongSwan};
use crate::traffic::{Host, ping_until_answered};
use std::time::Duration;

/// A site with our gateway: the gateway's namespace and a host's.
pub struct Site {
    /// Where the gateway runs; its interfaces are "wan" and "lan".
    pub gateway: Namespace,
    /// A host of the site.
    pub host: Namespace,
    number: u8,
}

/// A site whose gateway is a peer in a namespace, which also has the site's first addresses.
pub struct PeerSite {
    /// Where the peer runs; its outer interface is "wan".
    pub gateway: Namespace,
    number: u8,
}

impl Site {
    /// Lays out site 1 or 2, without its wan.
    pub fn new(number: u8) -> Result<Self> {
        let gateway = Namespace::new(&format!("gateway-{number}"), Stack::Dpdk)?;
        let host = Namespace::new(&format!("host-{number}"), Stack::Kernel)?;
        cable((&gateway, "lan"), (&host, "lan"), 1500)?;
        host.address("lan", &format!("10.{number}.0.10/24"))?;
        host.address("lan", &format!("fd00:{number}::10/64"))?;
        host.route("default", &format!("10.{number}.0.1"))?;
        host.route("default", &format!("fd00:{number}::1"))?;
        Ok(Self { gateway, host, number })
    }

    /// Its host, by IPv4.
    #[must_use]
    pub fn ipv4(&self) -> Host<'_> {
        Host::new(&self.host, &format!("10.{}.0.10", self.number))
    }

    /// Its host, by IPv6.
    #[must_use]
    pub fn ipv6(&self) -> Host<'_> {
        Host::new(&self.host, &format!("fd00:{}::10", self.number))
    }
}

impl PeerSite {
    /// Lays out site 2, without its wan.
    pub fn new(number: u8) -> Result<Self> {
        let gateway = Namespace::new(&format!("peer-{number}"), Stack::Kernel)?;
        gateway.address("lo", &format!("10.{number}.0.1/32"))?;
        gateway.address("lo", &format!("fd00:{number}::1/128"))?;
        Ok(Self { gateway, number })
    }

    /// Lays out site 2 with its gateway at 192.0.2.`number`.
    pub fn on(wan: &Wan, number: u8) -> Result<Self> {
        let peer = Self::new(2)?;
        wan.plug(number, &peer.gateway, "wan")?;
        peer.gateway.address("wan", &format!("192.0.2.{number}/24"))?;
        Ok(peer)
    }

    /// Its host, by IPv4.
    #[must_use]
    pub fn ipv4(&self) -> Host<'_> {
        Host::new(&self.gateway, &format!("10.{}.0.1", self.number))
    }

    /// Its host, by IPv6.
    #[must_use]
    pub fn ipv6(&self) -> Host<'_> {
        Host::new(&self.gateway, &format!("fd00:{}::1", self.number))
    }
}

/// The public side of any number of sites: a switch.
pub struct Wan {
    switch: Namespace,
}

impl Wan {
    /// A switch that nothing is plugged into.
    pub fn new() -> Result<Self> {
        let switch = Namespace::new("wan", Stack::Dpdk)?;
        switch.ip("link add name switch type bridge")?;
        switch.ip("link set switch up")?;
        Ok(Self { switch })
    }

    /// Lays a cable from the interface `device` of `site` to port `number` of the switch.
    pub fn plug(&self, number: u8, site: &Namespace, device: &str) -> Result<()> {
        let port = format!("port-{number}");
        cable((site, device), (&self.switch, &port), 1500)?;
        self.switch.ip(&format!("link set {port} master switch")).map(drop)
    }
}

/// Brings up the tunnel between them, both sides with every default; returns when it carries packets.
pub fn tunnel<'s>(site: &'s Site, peer: &'s PeerSite) -> Result<(StrongSwan<'s>, Gateway<'s>)> {
    tunnel_with(site, peer, Plan::site(1), &Settings::default())
}

/// The same by a plan and settings of one's own; strongSwan begins if our connection is `ResponderOnly`.
pub fn tunnel_with<'s>(
    site: &'s Site,
    peer: &'s PeerSite,
    plan: Plan,
    settings: &Settings,
) -> Result<(StrongSwan<'s>, Gateway<'s>)> {
    let responds = plan.connections[0].mode == "ResponderOnly";
    let strongswan = StrongSwan::start(&peer.gateway, settings)?;
    let gateway = Gateway::start(&site.gateway, plan)?;
    if responds {
        strongswan.initiate()?;
    }
    if let Err(failure) = gateway.is("peer", "up") {
        eprintln!("{}\n{}", gateway.state(), strongswan.log());
        return Err(failure);
    }
    strongswan.is_up()?;
    ping_until_answered(site.ipv4(), peer.ipv4().address, Duration::from_secs(20))?;
    Ok((strongswan, gateway))
}

/// Site 1 with our gateway, site 2 with a peer, and the wan between them.
pub fn with_peer() -> Result<(Site, PeerSite)> {
    let (ours, peer) = (Site::new(1)?, PeerSite::new(2)?);
    cable((&ours.gateway, "wan"), (&peer.gateway, "wan"), 1500)?;
    peer.gateway.address("wan", "192.0.2.2/24")?;
    peer.gateway.address("wan", "2001:db8::2/64")?;
    Ok((ours, peer))
}

/// Two sites with our gateways, and the wan between them.
pub fn both_ours() -> Result<(Site, Site)> {
    let (one, two) = (Site::new(1)?, Site::new(2)?);
    cable((&one.gateway, "wan"), (&two.gateway, "wan"), 1500)?;
    Ok((one, two))
}
