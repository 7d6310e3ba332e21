//! The classic network configuration (`NetworkConfig.xsd` of 2011-07): virtual network sites with their gateways, and local network sites.

use roxmltree::{Document, Node, ParsingOptions};

use super::draft::{Connection, Draft, End, Gateway, Network, Peer, plain, shown};
use super::{ImportError, Imported};
use crate::{PeerAddress, Region};

pub(super) fn import(text: &str) -> Result<Imported, ImportError> {
    // No DTD: entities that grow without bound cannot be declared.
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| ImportError::Unreadable(error.to_string()))?;
    let Some(root) = child(document.root(), "NetworkConfiguration")
        .and_then(|root| child(root, "VirtualNetworkConfiguration"))
    else {
        return Err(ImportError::NothingThere(
            "name a NetworkConfiguration with a VirtualNetworkConfiguration",
        ));
    };
    let mut draft = Draft::default();
    for site in children(root, "LocalNetworkSites", "LocalNetworkSite") {
        local_site(site, &mut draft);
    }
    for site in children(root, "VirtualNetworkSites", "VirtualNetworkSite") {
        virtual_site(site, &mut draft);
    }
    if child(root, "Dns").is_some_and(|dns| dns.children().any(|node| node.is_element())) {
        draft.leave_out("Dns", "DNS servers are the hosts' affair here", "set them on the hosts");
    }
    rest(root, "", "", &mut draft);
    if draft.is_empty() {
        return Err(ImportError::NothingThere("it holds neither VirtualNetworkSite nor LocalNetworkSite"));
    }
    Ok(draft.finish())
}

fn local_site(site: Node<'_, '_>, draft: &mut Draft) {
    let called = site.attribute("name").unwrap_or_default();
    let name = draft.name("LocalNetworkSite", called);
    let place = format!("LocalNetworkSite[{}]", shown(called));
    let prefixes = prefixes(site, &place, draft);
    let text = child(site, "VPNGatewayAddress").and_then(|node| node.text()).unwrap_or_default().trim();
    let address = text.parse().ok().map(PeerAddress::At);
    if address.is_none() {
        let problem = format!("{} is not the address of a peer", shown(text));
        draft.leave_out(
            format!("{place}/VPNGatewayAddress"),
            problem,
            "write it in, or \"any\" with the connection's remote_id",
        );
    }
    draft.peers.push(Peer { name, address, prefixes, bgp: Vec::new() });
}

fn virtual_site(site: Node<'_, '_>, draft: &mut Draft) {
    let called = site.attribute("name").unwrap_or_default();
    let name = draft.name("VirtualNetworkSite", called);
    let place = format!("VirtualNetworkSite[{}]", shown(called));
    let address_space = prefixes(site, &place, draft);
    let subnets = children(site, "Subnets", "Subnet");
    let subnet = subnets.into_iter().find(|subnet| subnet.attribute("name") == Some("GatewaySubnet"));
    let text = subnet.and_then(|subnet| child(subnet, "AddressPrefix")).and_then(|prefix| prefix.text());
    let gateway_subnet = draft.prefixes(&place, text.into_iter()).pop();
    let region = site.attribute("Location").and_then(|text| {
        let region = Region::new(text);
        if region.is_none() {
            let problem = format!("{} is no name of a region", shown(text));
            draft.leave_out(
                format!("{place}@Location"),
                problem,
                "write region at the network, if it matters",
            );
        }
        region
    });
    draft.networks.push(Network { name: name.clone(), region, address_space, gateway_subnet });
    if child(site, "DnsServersRef").is_some() {
        draft.leave_out(
            format!("{place}/DnsServersRef"),
            "DNS servers are the hosts' affair here",
            "set them on the hosts",
        );
    }
    let Some(node) = child(site, "Gateway") else { return };
    let gateway = format!("{name}-gw").chars().take(80).collect::<String>();
    let one = Gateway {
        name: gateway.clone(),
        network: name.clone(),
        vpn_type: None,
        sku: None,
        generation: None,
        public_address: None,
        bgp: Vec::new(),
        clients: Vec::new(),
    };
    draft.gateways.push(one);
    draft.leave_out(
        format!("{place}/Gateway"),
        "whether its routing is static or dynamic, and its size, are not in the file",
        "it becomes RouteBased with the default sku; set vpn_type and sku if that is wrong",
    );
    if child(node, "VPNClientAddressPool").is_some() {
        let problem = "its clients speak SSTP, with certificates that are not in the file";
        draft.leave_out(
            format!("{place}/Gateway/VPNClientAddressPool"),
            problem,
            "write [virtual_network_gateway.vpn_client_configuration], for clients over IKEv2",
        );
    }
    for reference in children(node, "ConnectionsToLocalNetwork", "LocalNetworkSiteRef") {
        connection(reference, &place, &name, &gateway, draft);
    }
}

fn connection(reference: Node<'_, '_>, place: &str, network: &str, gateway: &str, draft: &mut Draft) {
    let called = reference.attribute("name").unwrap_or_default();
    let place = format!("{place}/Gateway/LocalNetworkSiteRef[{}]", shown(called));
    let kind = child(reference, "Connection").and_then(|node| node.attribute("type")).unwrap_or("IPsec");
    if kind != "IPsec" {
        let problem = format!("connections of type {} are not supported by this version", shown(kind));
        return draft.leave_out(place, problem, "leave it where it is");
    }
    let peer = plain(called);
    let name: String = format!("{network}-to-{peer}").chars().take(80).collect();
    let remedy = format!("write the key of both sides: (umask 077; cat > {name}.psk)");
    draft.leave_out(place, "secrets are not in the file", remedy);
    let (gateway, end, settings, policy) = (gateway.to_owned(), End::Peer(peer), Vec::new(), Vec::new());
    draft.connections.push(Connection { name, gateway, end, settings, policy, selectors: Vec::new() });
}

/// Tells every element and attribute that is not one of [`KNOWN`]; `path` is that of the parent by names alone, `place` as people read it.
fn rest(parent: Node<'_, '_>, path: &str, place: &str, draft: &mut Draft) {
    for node in parent.children().filter(Node::is_element) {
        let own = node.tag_name().name();
        let called = node.attribute("name").map(|name| format!("[{}]", shown(name))).unwrap_or_default();
        let (path, place) = (format!("{path}/{own}"), format!("{place}/{own}{called}"));
        let tell = |place: &str, draft: &mut Draft| {
            draft.leave_out(
                place.trim_start_matches('/'),
                "nothing here is made of it",
                "see whether the gateway needs it",
            );
        };
        // The whole of what is told elsewhere, and one of the parts of a network that are not named here.
        if TOLD.contains(&path.as_str()) {
            continue;
        }
        if !KNOWN.iter().any(|(known, _)| *known == path) || is_other_subnet(node) {
            tell(&place, draft);
            continue;
        }
        let known = KNOWN.iter().filter(|(known, _)| *known == path).flat_map(|(_, attributes)| *attributes);
        let known: Vec<&&str> = known.collect();
        for attribute in node.attributes().filter(|attribute| !known.contains(&&attribute.name())) {
            tell(&format!("{place}@{}", attribute.name()), draft);
        }
        rest(node, &path, &place, draft);
    }
}

fn is_other_subnet(node: Node<'_, '_>) -> bool {
    node.tag_name().name() == "Subnet" && node.attribute("name") != Some("GatewaySubnet")
}

/// Elements that are read, with their attributes that are.
const KNOWN: &[(&str, &[&str])] = &[
    ("/LocalNetworkSites", &[]),
    ("/LocalNetworkSites/LocalNetworkSite", &["name"]),
    ("/LocalNetworkSites/LocalNetworkSite/AddressSpace", &[]),
    ("/LocalNetworkSites/LocalNetworkSite/AddressSpace/AddressPrefix", &[]),
    ("/LocalNetworkSites/LocalNetworkSite/VPNGatewayAddress", &[]),
    ("/VirtualNetworkSites", &[]),
    ("/VirtualNetworkSites/VirtualNetworkSite", &["name", "Location"]),
    ("/VirtualNetworkSites/VirtualNetworkSite/AddressSpace", &[]),
    ("/VirtualNetworkSites/VirtualNetworkSite/AddressSpace/AddressPrefix", &[]),
    ("/VirtualNetworkSites/VirtualNetworkSite/Subnets", &[]),
    ("/VirtualNetworkSites/VirtualNetworkSite/Subnets/Subnet", &["name"]),
    ("/VirtualNetworkSites/VirtualNetworkSite/Subnets/Subnet/AddressPrefix", &[]),
    ("/VirtualNetworkSites/VirtualNetworkSite/Gateway", &[]),
    ("/VirtualNetworkSites/VirtualNetworkSite/Gateway/ConnectionsToLocalNetwork", &[]),
    (
        "/VirtualNetworkSites/VirtualNetworkSite/Gateway/ConnectionsToLocalNetwork/LocalNetworkSiteRef",
        &["name"],
    ),
    (
        "/VirtualNetworkSites/VirtualNetworkSite/Gateway/ConnectionsToLocalNetwork/LocalNetworkSiteRef/Connection",
        &["type"],
    ),
];
/// Elements that are told with what is in them.
const TOLD: &[&str] = &[
    "/Dns",
    "/VirtualNetworkSites/VirtualNetworkSite/DnsServersRef",
    "/VirtualNetworkSites/VirtualNetworkSite/Gateway/VPNClientAddressPool",
];

/// `AddressSpace/AddressPrefix` of a site.
fn prefixes(site: Node<'_, '_>, place: &str, draft: &mut Draft) -> Vec<ipnet::IpNet> {
    let texts: Vec<&str> = children(site, "AddressSpace", "AddressPrefix")
        .into_iter()
        .filter_map(|prefix| prefix.text())
        .collect();
    draft.prefixes(&format!("{place}/AddressSpace"), texts.into_iter())
}

/// Names are compared without their namespace: files exist with several.
fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

fn children<'a, 'i>(node: Node<'a, 'i>, list: &str, name: &'static str) -> Vec<Node<'a, 'i>> {
    let items = child(node, list).into_iter().flat_map(|list| list.children());
    items.filter(|item| item.is_element() && item.tag_name().name() == name).collect()
}

/// More than any network configuration has.
const NODES_MAX: u32 = 1_000_000;
