//! Cards by PCI address: the gateway runs in a guest, on an emulated card bound to vfio-pci behind a virtual IOMMU and, where
//! this machine's QEMU has a card with virtual functions (version 8 and later), on one of those (SR-IOV).

use crossgate_tests::failure::{Failure, Result, ensure};
use crossgate_tests::gateway::{Driver, Plan, program};
use crossgate_tests::guest::{Card, Guest};
use crossgate_tests::namespace::{Namespace, Stack};
use crossgate_tests::sites::PeerSite;
use crossgate_tests::strongswan::{Settings, StrongSwan};
use crossgate_tests::traffic::{Host, ping, ping_until_answered};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// An emulated guest on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Has the guest's kernel let go of a card with `id` (the first of them that is free), or of a virtual function of it; its PCI address.
fn bind(guest: &Guest, id: &str, is_virtual: bool) -> Result<String> {
    let told = guest.run(&format!("id={id} virtual={is_virtual}\n{BIND}"))?;
    Ok(told.lines().last().unwrap_or_default().to_owned())
}

/// Device numbers of Intel 82574 and 82576.
const E1000E: &str = "0x10d3";
const IGB: &str = "0x10c9";

/// Finds a card, or a virtual function of it, and gives it to vfio-pci; prints its PCI address.
const BIND: &str = r#"
set -eu
modprobe -a vfio-pci igb
cd /sys/bus/pci/devices
for card in *; do
    [ "$(cat $card/device)" = $id ] && grep -q null $card/driver_override && break
done
if $virtual; then
    ip link set $(ls $card/net) up
    echo 0 > $card/sriov_drivers_autoprobe
    echo 1 > $card/sriov_numvfs
    ip link set $(ls $card/net) vf 0 mac 52:54:00:00:02:01
    card=$(basename $(readlink $card/virtfn0))
fi
echo vfio-pci > $card/driver_override
echo $card > /sys/bus/pci/drivers_probe
[ $(basename $(readlink $card/driver)) = vfio-pci ]
echo $card
"#;

/// Starts the gateway in the guest; returns when its console answers.
fn start(guest: &Guest, plan: &Plan) -> Result<()> {
    plan.write(&guest.share(), Path::new(HOME))?;
    for name in ["crossgated", "crossgate"] {
        let to = guest.share().join(name);
        std::fs::copy(program(name)?, &to)
            .map_err(|error| Failure::Untrue(format!("{}: {error}", to.display())))?;
    }
    guest.run(&format!(
        "set -e; echo 256 > /proc/sys/vm/nr_hugepages
         mkdir -p /dev/hugepages {HOME}; mount -t hugetlbfs none /dev/hugepages
         cp /share/gateway.toml /share/*.psk /share/crossgate* {HOME}; chmod go= {HOME}/*
         setsid {HOME}/crossgated {HOME}/gateway.toml > /share/log 2>&1 < /dev/null &"
    ))?;
    let asked = guest.run(&format!(
        "for try in $(seq 240); do
             {HOME}/crossgate --socket {HOME}/console.sock status 2> /dev/null && exit
             sleep 0.25
         done; cat /share/log; exit 1"
    ));
    asked.map(drop)
}

/// Asks the gateway in the guest.
fn ask(guest: &Guest, question: &str) -> Result<Value> {
    let told = guest.run(&format!("{HOME}/crossgate --socket {HOME}/console.sock --json {question}"))?;
    serde_json::from_str(&told).map_err(|error| Failure::Untrue(format!("{error}: {told}")))
}

/// The gateway's folder in the guest; in its memory, since secrets must belong to root.
const HOME: &str = "/run/crossgate";

#[test]
fn gateway_on_pci_cards_and_virtual_functions_carries_a_tunnel() {
    let peer = PeerSite::new(2).unwrap();
    let host = Namespace::new("host-1", Stack::Kernel).unwrap();
    let igb = Card::Igb.exists().unwrap();
    let wan = if igb { Card::Igb } else { Card::E1000e };
    let guest = Guest::boot_with(&peer.gateway, &[("wan", wan), ("lan", Card::E1000e)]).unwrap();
    peer.gateway.address("wan", "192.0.2.2/24").unwrap();
    peer.gateway.ip(&format!("link set lan netns {}", host.name())).unwrap();
    host.ip("link set lan up").unwrap();
    host.address("lan", "10.1.0.10/24").unwrap();
    host.route("default", "10.1.0.1").unwrap();
    for (namespace, device) in [(&peer.gateway, "wan"), (&host, "lan")] {
        namespace.run(&format!("ethtool -K {device} tx off tso off gso off gro off")).unwrap();
    }

    let strongswan = StrongSwan::start(&peer.gateway, &Settings::default()).unwrap();
    let plan = Plan {
        driver: Driver::Pci,
        wan_device: if igb { bind(&guest, IGB, true) } else { bind(&guest, E1000E, false) }.unwrap(),
        lan_device: bind(&guest, E1000E, false).unwrap(),
        ..Plan::site(1)
    };
    start(&guest, &plan).unwrap();
    let near = Host::new(&host, "10.1.0.10");
    let traffic = || -> Result<()> {
        ping_until_answered(near, peer.ipv4().address, PATIENCE)?;
        ping(near, peer.ipv4().address, 50, 64, false)?.all_answered()?;
        ping(peer.ipv4(), near.address, 20, 1300, false)?.all_answered()
    };
    traffic().unwrap_or_else(|error| {
        let log = std::fs::read_to_string(guest.share().join("log")).unwrap_or_default();
        panic!("{error}\n{log}\n{}", guest.console())
    });
    strongswan.is_up().unwrap();

    let ports = ask(&guest, "ports").unwrap();
    for (name, address, driver) in [
        ("wan", &plan.wan_device, if igb { "net_e1000_igb_vf" } else { "net_e1000_em" }),
        ("lan", &plan.lan_device, "net_e1000_em"),
    ] {
        let port = ports.as_array().unwrap().iter().find(|port| port["name"] == name).unwrap();
        assert!(port.to_string().contains(address.as_str()), "{ports}");
        assert!(port.to_string().contains(driver), "{ports}");
    }
    guest.run("pkill -TERM crossgated; while pgrep crossgated; do sleep 0.1; done").unwrap();
    let log = std::fs::read_to_string(guest.share().join("log")).unwrap();
    ensure(!log.contains("leak"), || log.clone()).unwrap();
    strongswan.is_down().unwrap();
}
