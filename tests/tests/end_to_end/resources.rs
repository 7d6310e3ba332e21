//! Every kind of resource comes, changes and goes in a gateway that runs, beside a busy tunnel that has nothing to do with it.

use crossgate_pki::testing::{Issued, Template, key_pem};
use crossgate_pki::{KeyKind, UnixTime};
use crossgate_tests::failure::Result;
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::namespace::cable;
use crossgate_tests::sites::{self, Site};
use crossgate_tests::strongswan::Settings;
use crossgate_tests::traffic::Stream;
use std::time::{SystemTime, UNIX_EPOCH};

/// A kind of resource: its text, and the words of it that change.
struct Kind {
    what: &'static str,
    text: &'static str,
    change: (&'static str, &'static str),
}

/// Each may need those before it.
const KINDS: [Kind; 10] = [
    Kind {
        what: "network",
        text: "[[virtual_network]]
name = \"other\"
address_space = [\"10.30.0.0/16\"]
gateway_subnet = \"10.30.255.0/27\"
port = \"lan\"
vlan = 30
addresses = [\"10.30.0.1/24\"]
",
        change: ("10.30.0.1/24", "10.30.0.2/24"),
    },
    Kind {
        what: "gateway",
        text: "[[virtual_network_gateway]]
name = \"gw-other\"
virtual_network = \"other\"
sku = \"VpnGw2\"
public_addresses = [\"192.0.2.7\"]
",
        change: ("VpnGw2", "VpnGw3"),
    },
    Kind {
        what: "client pool",
        text: "[virtual_network_gateway.vpn_client_configuration]
vpn_client_address_pool = [\"172.16.30.0/24\"]
vpn_client_protocols = [\"IkeV2\"]
vpn_authentication_types = [\"Password\"]
certificate = \"vpn.pem\"
private_key = { file = \"vpn.key\" }
users = { file = \"users\" }
",
        change: ("172.16.30.0/24", "172.16.31.0/24"),
    },
    Kind {
        what: "local network gateway",
        text: "[[local_network_gateway]]
name = \"site-3\"
address = \"192.0.2.3\"
prefixes = [\"10.3.0.0/16\"]
",
        change: ("10.3.0.0/16", "10.33.0.0/16"),
    },
    Kind {
        what: "connection of type IPsec",
        text: "[[connection]]
name = \"to-site-3\"
gateway = \"gw\"
local_network_gateway = \"site-3\"
mode = \"ResponderOnly\"
shared_key = { file = \"peer.psk\" }
dpd_timeout_s = 30
",
        change: ("dpd_timeout_s = 30", "dpd_timeout_s = 40"),
    },
    Kind {
        what: "NAT rule",
        text: "[[nat_rule]]
name = \"site-4\"
gateway = \"gw\"
mode = \"IngressSnat\"
internal_mapping = \"10.4.0.0/16\"
external_mapping = \"100.64.0.0/16\"
[[local_network_gateway]]
name = \"site-4\"
address = \"192.0.2.4\"
prefixes = [\"10.4.0.0/16\"]
[[connection]]
name = \"to-site-4\"
gateway = \"gw\"
local_network_gateway = \"site-4\"
mode = \"ResponderOnly\"
shared_key = { file = \"peer.psk\" }
ingress_nat_rules = [\"site-4\"]
",
        change: ("100.64.0.0/16", "100.65.0.0/16"),
    },
    Kind {
        what: "pair of connections of type Vnet2Vnet",
        text: "[[connection]]
name = \"there\"
type = \"Vnet2Vnet\"
gateway = \"gw\"
remote_gateway = \"gw-other\"
shared_key = { file = \"peer.psk\" }
[[connection]]
name = \"back\"
type = \"Vnet2Vnet\"
gateway = \"gw-other\"
remote_gateway = \"gw\"
shared_key = { file = \"peer.psk\" }
dpd_timeout_s = 30
",
        change: ("dpd_timeout_s = 30", "dpd_timeout_s = 40"),
    },
    Kind {
        what: "peering",
        text: "[[virtual_network]]
name = \"spoke\"
address_space = [\"10.40.0.0/16\"]
port = \"lan\"
vlan = 40
addresses = [\"10.40.0.1/24\"]
[[virtual_network_peering]]
name = \"site-to-spoke\"
virtual_network = \"site\"
remote_virtual_network = \"spoke\"
allow_gateway_transit = true
[[virtual_network_peering]]
name = \"spoke-to-site\"
virtual_network = \"spoke\"
remote_virtual_network = \"site\"
use_remote_gateways = false
",
        change: ("use_remote_gateways = false", "use_remote_gateways = true"),
    },
    Kind {
        what: "circuit",
        text: "[[express_route_circuit]]
name = \"line\"
port = \"lan\"
vlan = 50
addresses = [\"172.31.0.1/30\"]
next_hops = [\"172.31.0.2\"]
prefixes = [\"10.50.0.0/16\"]
",
        change: ("10.50.0.0/16", "10.51.0.0/16"),
    },
    Kind {
        what: "gateway and connection of type ExpressRoute",
        text: "[[virtual_network_gateway]]
name = \"gw-er\"
virtual_network = \"site\"
type = \"ExpressRoute\"
sku = \"ErGw1AZ\"
[[connection]]
name = \"by-line\"
type = \"ExpressRoute\"
gateway = \"gw-er\"
express_route_circuit = \"line\"
",
        change: ("ErGw1AZ", "ErGw2AZ"),
    },
];

impl Kind {
    fn changed(&self) -> String {
        let (from, to) = self.change;
        assert_eq!(self.text.matches(from).count(), 1, "{}", self.what);
        self.text.replace(from, to)
    }
}

/// Site 1 with a second public address, which is nobody's yet, and the files of clients.
fn plan() -> Plan {
    let day = 86_400;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_secs();
    let valid = |template: Template| template.valid(UnixTime(now - day), UnixTime(now + day));
    let root = Issued::root(&valid(Template::authority("Root")), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&valid(Template::peer("vpn.example.net")), &key_pem(KeyKind::P256, 2));
    let mut plan = Plan::site(1);
    plan.files = vec![
        ("vpn.pem", own.pem()),
        ("vpn.key", own.key_pem.clone()),
        ("users", "anna:secret of anna\n".to_owned()),
    ];
    "VpnGw2".clone_into(&mut plan.sku);
    let public = "addresses = [\"192.0.2.1/24\"]";
    let text = plan.text("FOLDER".as_ref());
    assert_eq!(text.matches(public).count(), 1);
    plan.instead = Some(text.replace(public, "addresses = [\"192.0.2.1/24\", \"192.0.2.7/24\"]"));
    plan
}

/// Applies a whole file; what the gateway then says it runs, which is what a second time changes nothing of.
fn apply(gateway: &Gateway<'_>, text: &str) -> Result<String> {
    gateway.write_file(text)?;
    let file = gateway.file().display().to_string();
    let changes = || -> Result<usize> {
        let applied = gateway.ask(&["apply", &file])?;
        Ok(applied["changes"].as_array().map_or(0, Vec::len))
    };
    assert!(changes()? > 0, "nothing changed with\n{text}");
    assert_eq!(changes()?, 0, "again with\n{text}");
    exported(gateway)
}

fn exported(gateway: &Gateway<'_>) -> Result<String> {
    let ended = gateway.client(&["export"])?;
    assert!(ended.status.success(), "{}", ended.output);
    Ok(ended.output)
}

/// What a gateway says that starts with this file.
fn from_nothing(text: &str, folder: &str) -> Result<String> {
    let site = Site::new(3)?;
    cable((&site.gateway, "wan"), (&site.host, "wan"), 1500)?;
    let fresh = Plan { instead: Some(text.replace(folder, "FOLDER")), ..plan() };
    let fresh = Gateway::start(&site.gateway, fresh)?;
    let place = fresh.file().parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let told = exported(&fresh)?.replace(&place, folder);
    fresh.stop()?;
    Ok(told)
}

#[test]
fn every_kind_of_resource_comes_changes_and_goes_and_another_tunnel_loses_nothing() {
    let (site, peer) = sites::with_peer().unwrap();
    let (_strongswan, gateway) = sites::tunnel_with(&site, &peer, plan(), &Settings::default()).unwrap();
    let spi_of = |gateway: &Gateway<'_>| {
        let sas = gateway.sas().unwrap();
        let of_peer = sas.iter().filter(|sa| sa["connection"] == "peer").map(|sa| sa["inbound_spi"].clone());
        of_peer.collect::<Vec<_>>()
    };
    let spi = spi_of(&gateway);
    assert_eq!(spi.len(), 1, "{:?}", gateway.sas());
    let folder = gateway.file().parent().unwrap().to_str().unwrap().to_owned();
    let base = gateway.plan().text(folder.as_ref());
    let (there, back) = (
        Stream::start(site.ipv4(), peer.ipv4(), 500, 700).unwrap(),
        Stream::start(peer.ipv4(), site.ipv4(), 500, 700).unwrap(),
    );
    there.flows(100).unwrap();

    let before = exported(&gateway).unwrap();
    let larger = base.replacen("VpnGw2", "VpnGw3", 1);
    assert_ne!(apply(&gateway, &larger).unwrap(), before, "a size");
    assert_eq!(apply(&gateway, &base).unwrap(), before, "the size of before");
    // What runs with as many kinds as the index says, each as it is at first.
    let (mut text, mut told) = (base, vec![before]);
    for kind in &KINDS {
        let with = text.clone() + kind.text;
        let new = apply(&gateway, &with).unwrap();
        let other = apply(&gateway, &(text.clone() + &kind.changed())).unwrap();
        let is_another = other != new && new != told[told.len() - 1];
        assert!(is_another, "{}:\n{new}\nthen\n{other}", kind.what);
        assert_eq!(apply(&gateway, &with).unwrap(), new, "{} as before", kind.what);
        there.flows(20).unwrap();
        (text, told) = (with, [told, vec![new]].concat());
    }
    gateway.is("there", "up").unwrap();
    let whole = text.clone();
    for (kind, before) in KINDS.iter().zip(&told).rev() {
        text.truncate(text.len() - kind.text.len());
        assert_eq!(apply(&gateway, &text).unwrap(), *before, "without {}", kind.what);
        back.flows(20).unwrap();
    }
    there.stop().unwrap().whole().unwrap();
    back.stop().unwrap().whole().unwrap();
    assert_eq!(spi_of(&gateway), spi, "the tunnel was replaced for no reason");
    assert_eq!(from_nothing(&whole, &folder).unwrap(), told[KINDS.len()], "a fresh gateway");
    gateway.stop().unwrap();
}
