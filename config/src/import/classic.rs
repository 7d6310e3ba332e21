//! The classic network configuration (`NetworkConfig.xsd` of 2011-07): virtual network sites with their gateways, and local network sites.

use roxmltree::{Document, Node, ParsingOptions};

use super::draft::{Connection, Draft, End, Gateway, Network, Peer, plain, shown};
use super::{ImportError, Imported};
use crate::PeerAddress;

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
    draft.peers.push(Peer { name, address, prefixes });
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
    draft.networks.push(Network { name: name.clone(), address_space, gateway_subnet });
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
    draft.connections.push(Connection { name, gateway, end, settings, policy, selectors: None });
}

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
