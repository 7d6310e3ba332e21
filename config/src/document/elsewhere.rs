//! Keys that the cloud's gateway has and this one has not, or calls otherwise: who brings them along gets the rule and the way out.

/// What is wrong with `key`, in either spelling (`enableBgp`, `enable_bgp`), in the section that `place` names, and what to do; `None` if it is just
/// unknown.
pub(super) fn find(place: &str, key: &str) -> Option<(&'static str, &'static str)> {
    let (kind, inner) = match place.split_once('[') {
        Some((kind, rest)) => (kind, rest.split_once("].").is_some()),
        None => (place, false),
    };
    let key = key.to_ascii_lowercase().replace(['_', '-'], "");
    let (_, _, problem, remedy) =
        KEYS.iter().find(|(of, known, _, _)| !inner && *of == kind && *known == key)?;
    Some((problem, remedy))
}

const GATEWAY: &str = "virtual_network_gateway";
const PEER: &str = "local_network_gateway";
const CONNECTION: &str = "connection";
const NETWORK: &str = "virtual_network";
const PEERING: &str = "virtual_network_peering";

const BGP: &str = "BGP is not spoken by this version";
const LIST_PREFIXES: &str = "leave it out, and list what is behind each peer in its prefixes";
const OTHER_NAME: &str = "the key has another name here";
const CLIENTS: &str = "write [virtual_network_gateway.vpn_client_configuration]";
const CIRCUITS: &str = "circuits have nothing of this here: they are configured, not bought";
const LEAVE_OUT: &str = "leave it out";

/// Section, key without its underscores, problem, remedy.
const KEYS: &[(&str, &str, &str, &str)] = &[
    (GATEWAY, "enablebgp", BGP, LIST_PREFIXES),
    (GATEWAY, "bgpsettings", OTHER_NAME, "write [virtual_network_gateway.bgp_settings]"),
    (
        GATEWAY,
        "asn",
        "it stands in a table of its own",
        "write asn in [virtual_network_gateway.bgp_settings]",
    ),
    (GATEWAY, "location", OTHER_NAME, "write region at the network"),
    (GATEWAY, "enablebgproutetranslationfornat", BGP, LIST_PREFIXES),
    (
        GATEWAY,
        "activeactive",
        "the key has another name here",
        "write active_active = true, with two public addresses",
    ),
    (GATEWAY, "vpnclient", OTHER_NAME, CLIENTS),
    (GATEWAY, "vpnclientconfiguration", OTHER_NAME, CLIENTS),
    (
        GATEWAY,
        "customroutes",
        "clients reach the network and each other, and are told of nothing else",
        "leave it out",
    ),
    (
        GATEWAY,
        "gatewaydefaultsite",
        "the default site is the one that the default route leads to",
        "leave it out, and add \"0.0.0.0/0\" to the prefixes of that local_network_gateway",
    ),
    (
        GATEWAY,
        "disableipsecreplayprotection",
        "the replay check is never off",
        "leave it out; widen replay_window_packets of a connection's policy if packets arrive out of order",
    ),
    (
        GATEWAY,
        "enableprivateipaddress",
        "tunnels end at public addresses only",
        "leave it out; an address of any port of the underlay may be a public address",
    ),
    (
        GATEWAY,
        "ipconfigurations",
        "a gateway has its public addresses in one list",
        "write public_addresses = [\"192.0.2.1\"]",
    ),
    (GATEWAY, "vpngatewaygeneration", "the key has another name here", "write generation = \"Generation1\""),
    (GATEWAY, "gatewaytype", "the key has another name here", "write type = \"Vpn\""),
    (PEER, "bgpsettings", OTHER_NAME, "write [local_network_gateway.bgp_settings]"),
    (PEER, "asn", "it stands in a table of its own", "write asn in [local_network_gateway.bgp_settings]"),
    (PEER, "gatewayipaddress", "the key has another name here", "write address = \"192.0.2.2\""),
    (PEER, "localnetworkaddressspace", "the key has another name here", "write prefixes = [\"10.2.0.0/16\"]"),
    (CONNECTION, "enablebgp", BGP, LIST_PREFIXES),
    (CONNECTION, "gatewaycustombgpipaddresses", BGP, LIST_PREFIXES),
    (CONNECTION, "connectionprotocol", "the key has another name here", "write protocol = \"IKEv1\""),
    (CONNECTION, "ikeprotocol", "the key has another name here", "write protocol = \"IKEv1\""),
    (
        CONNECTION,
        "routingweight",
        "the key has another name here",
        "write routing_weight = 10, for a connection that is one of several to its site",
    ),
    (
        CONNECTION,
        "uselocalazureipaddress",
        "tunnels begin at public addresses only",
        "leave it out; an address of any port of the underlay may be a public address",
    ),
    (CONNECTION, "authorizationkey", CIRCUITS, LEAVE_OUT),
    (CONNECTION, "expressroutegatewaybypass", CIRCUITS, LEAVE_OUT),
    (CONNECTION, "enableprivatelinkfastpath", CIRCUITS, LEAVE_OUT),
    (CONNECTION, "peer", OTHER_NAME, "name the circuit in express_route_circuit"),
    (CONNECTION, "ipsecpolicies", "a connection has one policy", "write a table [connection.policy]"),
    (
        CONNECTION,
        "trafficselectorpolicies",
        "the key has another name here",
        "write a table [[connection.traffic_selectors]] with local and remote for each policy",
    ),
    (CONNECTION, "dpdtimeoutseconds", "the key has another name here", "write dpd_timeout_s = 45"),
    (CONNECTION, "connectiontype", "the key has another name here", "write type = \"IPsec\""),
    (CONNECTION, "connectionmode", "the key has another name here", "write mode = \"Default\""),
    (CONNECTION, "virtualnetworkgateway1", "the key has another name here", "write gateway = \"gw\""),
    (
        CONNECTION,
        "virtualnetworkgateway2",
        "the key has another name here",
        "write remote_gateway, with the gateway's name, or its address if it is on another appliance",
    ),
    (
        CONNECTION,
        "localnetworkgateway2",
        "the key has another name here",
        "write local_network_gateway = \"site-b\"",
    ),
    (NETWORK, "location", OTHER_NAME, "write region = \"westeurope\""),
    (
        NETWORK,
        "subnets",
        "a network is its address space; only the gateway's subnet is named",
        "leave it out, and write gateway_subnet = \"10.1.255.0/27\"",
    ),
    (
        NETWORK,
        "dhcpoptions",
        "name servers and addresses of hosts are their own affair",
        "leave it out, and set them on the hosts",
    ),
    (
        NETWORK,
        "virtualnetworkpeerings",
        "peerings are resources of their own",
        "write a [[virtual_network_peering]] for each direction",
    ),
    (
        PEERING,
        "allowforwardedtraffic",
        "what comes from elsewhere than the peered network is never let in",
        "leave it out; a site behind its gateway takes allow_gateway_transit and use_remote_gateways",
    ),
    (
        PEERING,
        "allowvirtualnetworkaccess",
        "a peering always lets the two networks reach each other",
        "leave it out, or leave the peering out",
    ),
    (
        "",
        "routetable",
        "routes are settings of networks and ports",
        "write routes = [{ prefix = \"10.1.8.0/24\", next_hop = \"10.1.0.2\" }] there",
    ),
    (
        "",
        "networksecuritygroup",
        "packets are filtered by the selectors of connections only",
        "leave it out, and filter in the network",
    ),
    (
        "",
        "publicipaddress",
        "public addresses are settings of ports and gateways",
        "add it to addresses of a [[port]] and to public_addresses of the gateway",
    ),
];
