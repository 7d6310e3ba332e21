//! Networks, gateways and local network gateways, as text.

use comfy_table::Cell;

use super::nat_rule;
use crate::console::protocol::{
    Connection, LocalNetworkGateway, Peering, VirtualNetwork, VirtualNetworkGateway,
};
use crate::console::table::{Mood, Screen, bytes, cell, moody, text};

/// All virtual networks.
#[must_use]
pub fn networks(networks: &[VirtualNetwork], screen: Screen) -> String {
    if networks.is_empty() {
        return "No virtual network is configured.\n".into();
    }
    // Only where somebody says so is there something to say about it.
    let has_regions = networks.iter().any(|network| network.region.is_some());
    let mut headings =
        vec!["NETWORK", "ADDRESS SPACE", "ON", "ADDRESSES", "GATEWAY SUBNET", "GATEWAYS", "PEERED WITH"];
    headings.extend(has_regions.then_some("REGION"));
    let mut table = screen.table(&headings);
    for network in networks {
        let port = &network.port;
        let on = network.vlan.map_or_else(|| port.clone(), |vlan| format!("{port}, VLAN {vlan}"));
        let peered: Vec<String> = network.peerings.iter().map(peered).collect();
        let mut row = vec![
            cell(&network.name),
            cell(&network.address_space.join(" ")),
            cell(&on),
            cell(&network.addresses.join(" ")),
            cell(network.gateway_subnet.as_deref().unwrap_or_default()),
            cell(&network.gateways.join(" ")),
            cell(&peered.join(" ")),
        ];
        if has_regions {
            row.push(cell(network.region.as_deref().unwrap_or_default()));
        }
        table.add_row(row);
    }
    text(&table)
}

fn peered(peering: &Peering) -> String {
    let Peering { remote_virtual_network: other, use_remote_gateways, .. } = peering;
    if *use_remote_gateways { format!("{other} (its gateways, too)") } else { other.clone() }
}

/// All gateways.
#[must_use]
pub fn gateways(gateways: &[VirtualNetworkGateway], screen: Screen) -> String {
    if gateways.is_empty() {
        return "No gateway is configured.\n".into();
    }
    let has_clients = gateways.iter().any(|gateway| gateway.clients.is_some());
    let mut headings =
        vec!["GATEWAY", "TYPE", "NETWORK", "SKU", "PUBLIC ADDRESSES", ">MBIT/S", "CONNECTIONS", "CLIENTS"];
    headings.retain(|heading| *heading != "CLIENTS" || has_clients);
    headings.extend([">IN", ">OUT"]);
    let mut table = screen.table(&headings);
    for gateway in gateways {
        let mut row = vec![
            cell(&gateway.name),
            cell(&kind(gateway)),
            cell(&gateway.virtual_network),
            cell(&gateway.sku),
            cell(&gateway.public_addresses.join(" ")),
            cell(&gateway.bandwidth_mbit_per_s.map_or_else(|| "-".to_owned(), |mbit| mbit.to_string())),
            up(gateway),
        ];
        if has_clients {
            row.push(cell(&sessions(gateway).unwrap_or_default()));
        }
        row.extend([cell(&bytes(gateway.traffic.in_bytes)), cell(&bytes(gateway.traffic.out_bytes))]);
        table.add_row(row);
    }
    text(&table)
}

/// One gateway with its connections.
#[must_use]
pub fn gateway(gateway: &VirtualNetworkGateway, connections: &[Connection], screen: Screen) -> String {
    let generation = gateway.generation.as_ref().map_or_else(String::new, |word| format!(", {word}"));
    let mut facts: Vec<(&str, Cell)> = vec![
        ("Gateway", cell(&gateway.name)),
        ("Type", cell(&kind(gateway))),
        ("Network", cell(&gateway.virtual_network)),
        ("Size", cell(&format!("{}{generation}", gateway.sku))),
    ];
    if !gateway.public_addresses.is_empty() {
        let ways = if gateway.active_active { ", active-active" } else { "" };
        facts.push(("Public addresses", cell(&format!("{}{ways}", gateway.public_addresses.join(" ")))));
    }
    let bandwidth =
        gateway.bandwidth_mbit_per_s.map_or("no limit".to_owned(), |mbit| format!("{mbit} Mbit/s"));
    facts.push(("Bandwidth", cell(&bandwidth)));
    facts.extend(gateway.asn.map(|asn| ("BGP", cell(&format!("autonomous system {asn}, not spoken")))));
    let room = gateway.tunnels_max.map(|most| ("Room for", cell(&format!("{most} connections"))));
    facts.extend(room);
    facts.push(("Connections", up(gateway)));
    if let Some((clients, sessions)) = gateway.clients.as_ref().zip(sessions(gateway)) {
        let pool = clients.address_pool.join(" ");
        facts.push(("Clients", cell(&format!("{sessions}, with addresses of {pool}"))));
    }
    facts.extend(gateway.nat_rules.iter().map(|rule| ("NAT rule", cell(&nat_rule(rule)))));
    facts.extend([
        ("Received", cell(&bytes(gateway.traffic.in_bytes))),
        ("Sent", cell(&bytes(gateway.traffic.out_bytes))),
    ]);
    let mut shown = text(&screen.facts(facts));
    if !connections.is_empty() {
        shown.push('\n');
        shown.push_str(&super::connections(connections, screen));
    }
    shown
}

/// All local network gateways.
#[must_use]
pub fn local_network_gateways(peers: &[LocalNetworkGateway], screen: Screen) -> String {
    if peers.is_empty() {
        return "No local network gateway is configured.\n".into();
    }
    let has_bgp = peers.iter().any(|peer| peer.asn.is_some());
    let mut headings = vec!["LOCAL NETWORK GATEWAY", "ADDRESS", "PREFIXES", "BGP", "CONNECTIONS"];
    headings.retain(|heading| *heading != "BGP" || has_bgp);
    let mut table = screen.table(&headings);
    for peer in peers {
        let places: Vec<&str> =
            std::iter::once(&peer.address).chain(&peer.backup_addresses).map(String::as_str).collect();
        let mut row = vec![cell(&peer.name), cell(&places.join(", then ")), cell(&peer.prefixes.join(" "))];
        if has_bgp {
            let bgp = peer.asn.zip(peer.bgp_peering_address.as_ref());
            row.push(cell(&bgp.map_or_else(String::new, |(asn, address)| format!("{asn} at {address}"))));
        }
        row.push(cell(&peer.connections.join(" ")));
        table.add_row(row);
    }
    text(&table)
}

fn kind(gateway: &VirtualNetworkGateway) -> String {
    let vpn_type = gateway.vpn_type.as_ref().map_or_else(String::new, |word| format!(", {word}"));
    format!("{}{vpn_type}", gateway.gateway_type)
}

fn up(gateway: &VirtualNetworkGateway) -> Cell {
    let (up, all) = (gateway.connections_up, gateway.connections.len());
    if all == 0 {
        return cell("none");
    }
    moody(&format!("{up} of {all} up"), if up == all { Mood::Good } else { Mood::Bad })
}

fn sessions(gateway: &VirtualNetworkGateway) -> Option<String> {
    gateway.clients.as_ref().map(|clients| format!("{} of {}", clients.sessions, clients.sessions_max))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLAIN: Screen = Screen { width: None, colour: false };

    #[test]
    fn networks_are_told_with_gateways_and_peerings() {
        let all: Vec<VirtualNetwork> = serde_json::from_value(json!([
            {
                "name": "hub", "region": null, "address_space": ["10.1.0.0/16", "fd00:1::/48"], "gateway_subnet": "10.1.255.0/27",
                "port": "lan", "vlan": null, "addresses": ["10.1.0.1/24"], "routes": [], "gateways": ["gw", "er"],
                "peerings": [{ "name": "out", "remote_virtual_network": "spoke", "allow_gateway_transit": true, "use_remote_gateways": false }],
            },
            {
                "name": "spoke", "region": null, "address_space": ["10.3.0.0/16"], "gateway_subnet": null,
                "port": "lan", "vlan": 13, "addresses": ["10.3.0.1/24"], "routes": [], "gateways": [],
                "peerings": [{ "name": "in", "remote_virtual_network": "hub", "allow_gateway_transit": false, "use_remote_gateways": true }],
            },
        ]))
        .unwrap();
        assert_eq!(
            networks(&all, PLAIN),
            "\
NETWORK  ADDRESS SPACE            ON            ADDRESSES    GATEWAY SUBNET  GATEWAYS  PEERED WITH
hub      10.1.0.0/16 fd00:1::/48  lan           10.1.0.1/24  10.1.255.0/27   gw er     spoke
spoke    10.3.0.0/16              lan, VLAN 13  10.3.0.1/24                            hub (its gateways, too)
"
        );
        let mut placed = all;
        placed[1].region = Some("westeurope".to_owned());
        assert!(networks(&placed, PLAIN).contains("  REGION\n"));
        assert_eq!(networks(&[], PLAIN), "No virtual network is configured.\n");
    }

    fn two_gateways() -> Vec<VirtualNetworkGateway> {
        let traffic = json!({ "in_packets": 1, "in_bytes": 2048, "out_packets": 1, "out_bytes": 1024 });
        serde_json::from_value(json!([
            {
                "name": "er", "type": "ExpressRoute", "virtual_network": "hub", "vpn_type": null, "sku": "Standard", "generation": null,
                "public_addresses": [], "active_active": false, "bandwidth_mbit_per_s": 1000, "tunnels_max": null, "asn": null,
                "connections": [], "connections_up": 0, "clients": null, "nat_rules": [], "traffic": traffic,
            },
            {
                "name": "gw", "type": "Vpn", "virtual_network": "hub", "vpn_type": "RouteBased", "sku": "VpnGw2",
                "generation": "Generation1", "public_addresses": ["192.0.2.1", "192.0.2.2"], "active_active": true,
                "bandwidth_mbit_per_s": 1000, "tunnels_max": 30, "asn": 65010, "connections": ["to-b", "to-c"], "connections_up": 1,
                "clients": { "connection": "gw-clients", "address_pool": ["172.16.0.0/24"], "sessions": 2, "sessions_max": 500 },
                "nat_rules": [{ "name": "own", "mode": "EgressSnat", "internal_mapping": "10.1.0.0/24", "external_mapping": "100.64.1.0/24" }],
                "traffic": traffic,
            },
        ]))
        .unwrap()
    }

    #[test]
    fn gateways_are_told_with_what_they_carry() {
        assert_eq!(
            gateways(&two_gateways(), PLAIN),
            "\
GATEWAY  TYPE             NETWORK  SKU       PUBLIC ADDRESSES     MBIT/S  CONNECTIONS  CLIENTS      IN    OUT
er       ExpressRoute     hub      Standard                         1000  none                   2 KiB  1 KiB
gw       Vpn, RouteBased  hub      VpnGw2    192.0.2.1 192.0.2.2    1000  1 of 2 up    2 of 500  2 KiB  1 KiB
"
        );
        let [circuits, vpn] = two_gateways().try_into().unwrap();
        assert_eq!(
            gateway(&vpn, &[], PLAIN),
            "\
Gateway           gw
Type              Vpn, RouteBased
Network           hub
Size              VpnGw2, Generation1
Public addresses  192.0.2.1 192.0.2.2, active-active
Bandwidth         1000 Mbit/s
BGP               autonomous system 65010, not spoken
Room for          30 connections
Connections       1 of 2 up
Clients           2 of 500, with addresses of 172.16.0.0/24
NAT rule          own: EgressSnat, 10.1.0.0/24 as 100.64.1.0/24
Received          2 KiB
Sent              1 KiB
"
        );
        assert!(!gateways(&[circuits], PLAIN).contains("CLIENTS"));
    }

    #[test]
    fn local_network_gateways_are_told_with_who_leads_there() {
        let all: Vec<LocalNetworkGateway> = serde_json::from_value(json!([
            {
                "name": "site-b", "address": "198.51.100.2", "backup_addresses": ["b.example.net"], "prefixes": ["10.2.0.0/16"],
                "asn": 65020, "bgp_peering_address": "10.2.255.1", "connections": ["to-b"],
            },
            {
                "name": "site-c", "address": "any", "backup_addresses": [], "prefixes": ["10.4.0.0/16", "10.5.0.0/16"],
                "asn": null, "bgp_peering_address": null, "connections": [],
            },
        ]))
        .unwrap();
        assert_eq!(
            local_network_gateways(&all, PLAIN),
            "\
LOCAL NETWORK GATEWAY  ADDRESS                           PREFIXES                 BGP                  CONNECTIONS
site-b                 198.51.100.2, then b.example.net  10.2.0.0/16              65020 at 10.2.255.1  to-b
site-c                 any                               10.4.0.0/16 10.5.0.0/16
"
        );
    }
}
