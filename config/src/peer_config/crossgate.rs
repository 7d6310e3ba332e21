//! Another Crossgate: a whole configuration that `crossgate check` accepts as it stands, wherever this side knows enough of the other.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{Far, Stop};
use crate::choice::Choice;
use crate::export::{Kind, Setting};
use crate::prefix::overlap;
use crate::{Config, Identity, SelectorPolicy, Sku, Start, VpnType};

pub(super) fn write(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    if far.number > 1 {
        far.head("#", out)?;
        return way(far, out);
    }
    let name = &far.name;
    let connection = far.connection;
    let appliance = format!("{}-peer", far.config.peer_of(connection).name);
    let (address, change) = outer(far);
    far.head("#", out)?;
    if let Some(key) = far.key() {
        writeln!(out, "# The key, beside this file:")?;
        writeln!(out, "#   (umask 077; printf '%s' '{}' > {name}.psk)", key.replace('\'', "'\\''"))?;
    }
    if let Some((_, key)) = far.ppk() {
        writeln!(out, "#   (umask 077; printf '%s' '{}' > {name}.ppk)", key.replace('\'', "'\\''"))?;
    }
    writeln!(out, "# CHANGE: the devices, and whatever else is marked.")?;
    writeln!(out, "[appliance]\nname = \"{appliance}\"\n")?;
    writeln!(out, "[[port]]\nname = \"wan\"\ndevice = \"net_af_packet0,iface=wan\" # CHANGE")?;
    writeln!(out, "addresses = [\"{address}\"]{change}")?;
    if let Some(route) = route(far, address) {
        writeln!(out, "routes = [{route}] # CHANGE: the next hop")?;
    }
    writeln!(out, "\n[[port]]\nname = \"lan\"\ndevice = \"net_af_packet1,iface=lan\" # CHANGE\n")?;
    network(far, out)?;
    writeln!(out, "[[virtual_network_gateway]]\nname = \"gw\"\nvirtual_network = \"site\"\ntype = \"Vpn\"")?;
    let gateway = far.config.gateway_of(connection);
    writeln!(out, "vpn_type = \"{}\"\nsku = \"{}\"", gateway.vpn_type.word(), size(gateway.sku).word())?;
    writeln!(out, "public_addresses = [\"{}\"]\n", address.addr())?;
    way(far, out)
}

/// The connection to one of our ends. Several are ways to one site.
fn way(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    let (name, key, connection) = (&far.name, &far.key_name, far.connection);
    let kind = connection.connection_type.word();
    if connection.learns_prefixes() {
        writeln!(out, "[[connection]]\nname = \"{name}\"\ntype = \"{kind}\"\ngateway = \"gw\"")?;
        writeln!(out, "remote_gateway = \"{}\"", far.remote)?;
    } else {
        writeln!(out, "[[local_network_gateway]]\nname = \"{name}\"\naddress = \"{}\"", far.remote)?;
        writeln!(out, "prefixes = {}\n", quoted(&far.remote_prefixes))?;
        writeln!(out, "[[connection]]\nname = \"{name}\"\ntype = \"{kind}\"\ngateway = \"gw\"")?;
        writeln!(out, "local_network_gateway = \"{name}\"")?;
    }
    if far.certificates().is_none() {
        writeln!(out, "shared_key = {{ file = \"{key}.psk\" }}")?;
    }
    writeln!(out, "local_id = {}\nremote_id = {}", text(far.local_id), text(&far.remote_id))?;
    writeln!(out, "mode = \"{}\"", far.mode().word())?;
    let start = if far.begins_on_traffic() { Start::OnTraffic } else { Start::OnLoad };
    if start == Start::OnTraffic || far.config.gateway_of(connection).vpn_type == VpnType::PolicyBased {
        writeln!(out, "start = \"{}\"", start.word())?;
    }
    if connection.second_address.is_some() {
        writeln!(out, "routing_weight = {}", connection.routing_weight.unwrap_or(WEIGHT))?;
    }
    rest(far.config, far, out)
}

/// What both sides have alike: everything of the exported connection that is not said above, with the selectors turned round.
fn rest(config: &Config, far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    let resources = config.resources();
    let own = resources
        .iter()
        .find(|one| one.kind == Kind::Connection && one.name == far.connection.name)
        .map_or(&[][..], |resource| &resource.settings);
    let (mut table, mut several) = (None, false);
    for setting in own {
        let key = match (setting.table, setting.key) {
            (
                None,
                "dpd_timeout_s"
                | "follow_redirects"
                | "idle_timeout_s"
                | "mobike"
                | "mss_clamp"
                | "per_resource_child_sas"
                | "protocol"
                | "session_resumption"
                | "use_policy_based_traffic_selectors",
            ) => setting.key,
            (None, "traffic_selectors") => {
                several = true;
                continue;
            }
            (None, _) | (Some("authentication"), _) => continue,
            (Some("traffic_selectors"), "local") => "remote",
            (Some("traffic_selectors"), "remote") => "local",
            (Some(_), key) => key,
        };
        if setting.table != table {
            table = setting.table;
            writeln!(out, "[connection.{}]", table.unwrap_or_default())?;
        }
        if (table, key) == (Some("ppk"), "secret") {
            writeln!(out, "{key} = {{ file = \"{}.ppk\" }}", far.key_name)?;
        } else {
            writeln!(out, "{key} = {}", setting.value)?;
        }
    }
    if far.certificates().is_some() {
        let [certificate, key, authority] = far.certificate_files();
        writeln!(out, "[connection.authentication]\ncertificate = \"{certificate}\"")?;
        writeln!(out, "private_key = {{ file = \"{key}\" }}\ntrust_anchors = [\"{authority}\"]")?;
        let is_alike = |setting: &&Setting| {
            setting.table == Some("authentication") && matches!(setting.key, "rsa_signature" | "allow_sha1")
        };
        for Setting { key, value, .. } in own.iter().filter(is_alike) {
            writeln!(out, "{key} = {value}")?;
        }
    }
    if several {
        for SelectorPolicy { local, remote } in far.connection.traffic_selectors.policies() {
            writeln!(out, "[[connection.traffic_selectors]]")?;
            writeln!(out, "local = {}\nremote = {}", quoted(&remote), quoted(&local))?;
        }
    }
    Ok(())
}

fn network(far: &Far<'_>, out: &mut String) -> Result<(), Stop> {
    // What is learned is not known here, unless our selectors name it.
    let known =
        if far.connection.learns_prefixes() { far.local_selectors() } else { far.local_prefixes.to_vec() };
    let mut spaces: Vec<IpNet> = known.into_iter().filter(|prefix| prefix.prefix_len() > 0).collect();
    let mut change = "";
    if spaces.is_empty() {
        spaces.extend(some_space(&far.remote_prefixes));
        change = " # CHANGE: the prefixes of its network";
    }
    writeln!(out, "[[virtual_network]]\nname = \"site\"\naddress_space = {}{change}", quoted(&spaces))?;
    match spaces.iter().find_map(|space| gateway_subnet(*space)) {
        Some(subnet) => writeln!(out, "gateway_subnet = \"{subnet}\"")?,
        None => writeln!(out, "# CHANGE: add gateway_subnet, a /27 of an IPv4 prefix of address_space")?,
    }
    let addresses: Vec<String> = spaces
        .iter()
        .filter_map(|space| first_host(*space).map(|host| format!("\"{host}/{}\"", space.prefix_len())))
        .collect();
    writeln!(
        out,
        "port = \"lan\"\naddresses = [{}] # CHANGE, unless they are the gateway's there\n",
        addresses.join(", ")
    )?;
    Ok(())
}

/// A private prefix that does not overlap ours.
pub(super) fn some_space(ours: &[IpNet]) -> Option<IpNet> {
    let all = SPACES.iter().filter_map(|space| space.parse::<IpNet>().ok());
    all.into_iter().find(|space| !ours.iter().any(|own| overlap(*own, *space)))
}

/// The first address that a host can have; in IPv6 the very first one is that of every router (RFC 4291, 2.6.1).
fn first_host(space: IpNet) -> Option<IpAddr> {
    let skip = usize::from(space.addr().is_ipv6() && space.prefix_len() < 127);
    space.hosts().nth(skip)
}

/// The last /27 of an IPv4 prefix, or the prefix itself where it is not much larger.
fn gateway_subnet(space: IpNet) -> Option<Ipv4Net> {
    let IpNet::V4(space) = space else { return None };
    let length = space.prefix_len().max(27);
    (length <= 29).then(|| Ipv4Net::new(space.broadcast(), length).map(|net| net.trunc()).ok()).flatten()
}

/// The other side's outer address with its network, and what there is to say of it.
fn outer(far: &Far<'_>) -> (IpNet, &'static str) {
    let Some(local) = far.local else {
        let anywhere = IpNet::new_assert(IpAddr::V4(ANYWHERE), 24);
        return (anywhere, " # CHANGE: its address on the public side");
    };
    // A neighbour of ours is in the same network; of others nothing is known.
    let own = far.config.ports().values().flat_map(|port| &port.addresses);
    let shared = own.map(|own| own.network).find(|network| network.contains(&local));
    match shared {
        Some(network) => (IpNet::new_assert(local, network.prefix_len()), ""),
        None => {
            (IpNet::new_assert(local, if local.is_ipv4() { 24 } else { 64 }), " # CHANGE: the prefix length")
        }
    }
}

/// A route to us, unless we are a neighbour.
fn route(far: &Far<'_>, address: IpNet) -> Option<String> {
    if address.trunc().contains(&far.remote) {
        return None;
    }
    let next_hop = address.trunc().hosts().find(|host| *host != address.addr())?;
    let prefix = if next_hop.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
    Some(format!("{{ prefix = \"{prefix}\", next_hop = \"{next_hop}\" }}"))
}

/// The other side's size: what the connection needs of it, not what our side has beyond that.
fn size(ours: Sku) -> Sku {
    if ours == Sku::Basic { Sku::Basic } else { Sku::VpnGw1 }
}

fn quoted(prefixes: &[IpNet]) -> String {
    let quoted: Vec<String> = prefixes.iter().map(|prefix| format!("\"{prefix}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn text(identity: &Identity) -> toml::Value {
    toml::Value::String(identity.to_string())
}

/// Some for [`some_space`], one of each private block (RFC 1918).
const SPACES: [&str; 3] = ["172.31.0.0/16", "10.254.0.0/16", "192.168.254.0/24"];
/// Of the block for documentation (RFC 5737): nobody has it.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The weight of each of two ways to us; they are alike.
const WEIGHT: u16 = 10;
