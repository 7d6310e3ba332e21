//! Ports: the devices that DPDK polls, and the addresses of the public side (the underlay).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::document::Section;
use crate::name::Name;
use crate::prefix::{InterfaceAddress, StaticRoute, is_link_local, overlap};
use crate::report::{Located, Place, Report, did_you_mean};
use crate::shelf::Shelf;

/// What DPDK is told to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// A physical function or an SR-IOV VF, by its full PCI address in lower case (`0000:01:00.0`): EAL's `-a`.
    Pci(String),
    /// A virtual device with its arguments (`net_af_packet0,iface=wan0`): EAL's `--vdev=`.
    Virtual(String),
}

/// A device with its name. A port that no virtual network names belongs to the underlay (VRF 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name, unique among ports.
    pub name: Name,
    /// The device.
    pub device: Device,
    /// Largest IP packet in bytes, without the Ethernet header; 1280 to 9216.
    pub mtu_bytes: u16,
    /// Addresses on the underlay; empty on the port of a virtual network.
    pub addresses: Vec<InterfaceAddress>,
    /// Routes of the underlay through this port; empty on the port of a virtual network.
    pub routes: Vec<StaticRoute>,
}

impl Device {
    fn is_af_xdp(&self) -> bool {
        matches!(self, Self::Virtual(text) if driver(text) == Some("net_af_xdp"))
    }
}

/// Reads each `[[port]]`.
pub(crate) fn read(root: &mut Section<'_>, report: &mut Report<'_>) -> Shelf<Port> {
    let mut ports = Shelf::new("port");
    let mut taken = Taken::default();
    let (mut has_af_xdp, mut large) = (false, Vec::new());
    let sections = root.sections("port", report);
    if sections.is_empty() {
        let remedy =
            "add a [[port]] with name, device and addresses for the public side, and one for each network";
        report.error(&root.place_of("port"), "there is no port", remedy);
    }
    for section in sections {
        let Some(mut section) = section else {
            ports.put(None, None);
            continue;
        };
        let name = section.name("port", report);
        if let Some(name) = &name {
            ports.declare(name, report);
        }
        let device = device(&mut section, &mut taken.devices, report);
        let mtu_place = section.place_of("mtu_bytes");
        let mtu_bytes = section.integer("mtu_bytes", MTU_BYTES, MTU_BYTES_DEFAULT, report);
        has_af_xdp |= device.as_ref().is_some_and(Device::is_af_xdp);
        large.extend((mtu_bytes > AF_XDP_MTU_BYTES).then_some((mtu_place, mtu_bytes)));
        let addresses = addresses(&mut section, report);
        taken.addresses(&addresses, &section.place, report);
        let addresses: Vec<_> = addresses.into_iter().map(|address| address.value).collect();
        let routes = routes(&mut section, &addresses, report);
        taken.routes(&routes, report);
        let routes = routes.into_iter().map(|route| route.value).collect();
        let port = name.as_ref().zip(device).map(|(name, device)| {
            let name = name.value.clone();
            Port { name, device, mtu_bytes, addresses, routes }
        });
        section.finish(report);
        ports.put(name, port);
    }
    for (place, mtu_bytes) in large.into_iter().filter(|_| has_af_xdp) {
        let problem =
            format!("{mtu_bytes} bytes are more than {AF_XDP_MTU_BYTES}, beside a port of net_af_xdp");
        report.error(&place, problem, "lessen mtu_bytes, or take net_af_packet: all ports share one pool");
    }
    ports
}

/// Reads `addresses`, of a port or of a network.
pub(crate) fn addresses(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
) -> Vec<Located<InterfaceAddress>> {
    let mut sound: Vec<Located<InterfaceAddress>> = Vec::new();
    for address in section.list::<InterfaceAddress>("addresses", report).unwrap_or_default() {
        if sound.iter().any(|earlier| earlier.value.address == address.value.address) {
            let problem = format!("{} is listed twice", address.value.address);
            report.error(&address.place, problem, "leave one of them out");
        } else {
            sound.push(address);
        }
    }
    sound
}

/// Reads `routes`, of a port or of a network with these addresses.
pub(crate) fn routes(
    section: &mut Section<'_>,
    addresses: &[InterfaceAddress],
    report: &mut Report<'_>,
) -> Vec<Located<StaticRoute>> {
    let mut routes = Vec::new();
    for mut section in section.sections("routes", report).into_iter().flatten() {
        let prefix = section.required::<IpNet>("prefix", "\"0.0.0.0/0\"", report);
        let next_hop = section.required("next_hop", "\"192.0.2.254\"", report);
        let place = section.place.clone();
        section.finish(report);
        let (Some(prefix), Some(next_hop)) = (prefix, next_hop) else { continue };
        let value = StaticRoute { prefix: prefix.value, next_hop: next_hop.value };
        if value.prefix.addr().is_ipv4() != value.next_hop.is_ipv4() {
            let problem =
                format!("{} and {} are of different address families", value.prefix, value.next_hop);
            report.error(&next_hop.place, problem, "name a next hop of the prefix's family");
        } else if addresses.iter().any(|own| own.address == value.next_hop) {
            let problem = format!("{} is an address of the gateway itself", value.next_hop);
            report.error(&next_hop.place, problem, "name the neighbour that leads on");
        } else if !is_link_local(value.next_hop)
            && !addresses.iter().any(|own| own.network.contains(&value.next_hop))
        {
            let problem = format!("{} is in none of the networks of addresses", value.next_hop);
            report.error(
                &next_hop.place,
                problem,
                "name a neighbour, or add the address that connects to it",
            );
        }
        routes.push(Located { value, place });
    }
    routes
}

/// What ports use, so that nothing is used twice.
#[derive(Default)]
struct Taken {
    /// The identity of a device (PCI address, vdev, host interface) with the line that uses it.
    devices: BTreeMap<String, usize>,
    addresses: Vec<(InterfaceAddress, usize)>,
    routes: BTreeMap<IpNet, usize>,
}

impl Taken {
    /// Reports an address or a connected network that an earlier port has. One port may have several addresses in one
    /// network.
    fn addresses(&mut self, addresses: &[Located<InterfaceAddress>], port: &Place, report: &mut Report<'_>) {
        let earlier_ports = self.addresses.len();
        for Located { value, place } in addresses {
            let clash = self.addresses[..earlier_ports]
                .iter()
                .find(|(earlier, _)| overlap(earlier.network, value.network));
            if let Some((earlier, line)) = clash {
                let problem =
                    format!("{} overlaps {} of the port on line {line}", value.network, earlier.network);
                report.error(place, problem, "connect each network of the underlay to one port");
            }
            self.addresses.push((*value, port.line));
        }
    }

    fn routes(&mut self, routes: &[Located<StaticRoute>], report: &mut Report<'_>) {
        for Located { value, place } in routes {
            if let Some(line) = self.routes.get(&value.prefix) {
                let problem = format!("the underlay has a route to {} already, on line {line}", value.prefix);
                report.error(place, problem, "leave one of the two out");
            } else {
                self.routes.insert(value.prefix, place.line);
            }
        }
    }
}

fn device(
    section: &mut Section<'_>,
    taken: &mut BTreeMap<String, usize>,
    report: &mut Report<'_>,
) -> Option<Device> {
    let Located { value: text, place } =
        section.required::<String>("device", "\"net_af_packet0,iface=wan0\"", report)?;
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        report.error(&place, format!("{text:?} holds blanks"), "write the device without blanks");
        return None;
    }
    let (device, identities) = if let Some(address) = pci_address(&text) {
        (Device::Pci(address.clone()), vec![address])
    } else if let Some(driver) = driver(&text) {
        if !DRIVERS.contains(&driver) {
            let remedy = match did_you_mean(driver, DRIVERS.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "make sure that your DPDK has this driver".into(),
            };
            report.warning(&place, format!("the driver {driver} is not known here"), remedy);
        }
        let identities = virtual_identities(&text, driver);
        (Device::Virtual(text), identities)
    } else {
        let remedy = "write a PCI address like \"0000:01:00.0\" or a virtual device like \"net_af_packet0,iface=wan0\"";
        report.error(&place, format!("{text:?} is not a device"), remedy);
        return None;
    };
    for identity in identities {
        if let Some(line) = taken.get(&identity) {
            let problem = format!("{identity} is used by the port on line {line} already");
            report.error(&place, problem, "give each port a device of its own");
        } else {
            taken.insert(identity, place.line);
        }
    }
    Some(device)
}

/// A PCI address in full and in lower case; the domain may be left out.
fn pci_address(text: &str) -> Option<String> {
    let (slot, function) = text.rsplit_once('.')?;
    let parts: Vec<&str> = slot.split(':').collect();
    let (domain, bus, device) = match parts[..] {
        [domain, bus, device] => (domain, bus, device),
        [bus, device] => ("0000", bus, device),
        _ => return None,
    };
    let hexadecimal =
        |text: &str, digits: usize| text.len() == digits && text.chars().all(|c| c.is_ascii_hexdigit());
    let whole = hexadecimal(domain, 4)
        && hexadecimal(bus, 2)
        && hexadecimal(device, 2)
        && matches!(function.as_bytes(), [b'0'..=b'7']);
    whole.then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

/// The driver of a virtual device: its name up to the number.
fn driver(text: &str) -> Option<&str> {
    let name = text.split(',').next().unwrap_or(text);
    let driver = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = driver.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (plain && (driver.starts_with("net_") || driver.starts_with("eth_"))).then_some(driver)
}

/// What a virtual device occupies: its own name, and a host interface under it.
fn virtual_identities(text: &str, driver: &str) -> Vec<String> {
    let mut parts = text.split(',');
    let mut identities = vec![parts.next().unwrap_or(text).to_owned()];
    if matches!(driver, "net_af_packet" | "net_af_xdp" | "net_tap") {
        let interfaces = parts.filter_map(|part| part.strip_prefix("iface="));
        identities.extend(interfaces.map(|interface| format!("interface {interface}")));
    }
    identities
}

const MTU_BYTES: RangeInclusive<u16> = 1280..=9216;
const MTU_BYTES_DEFAULT: u16 = 1500;
/// AF_XDP wants a packet with its descriptors within one page of memory.
const AF_XDP_MTU_BYTES: u16 = 3228;

/// Drivers of virtual devices that this gateway is meant to run on.
const DRIVERS: &[&str] = &[
    "net_af_packet",
    "net_af_xdp",
    "net_tap",
    "net_memif",
    "net_pcap",
    "net_ring",
    "eth_ring",
    "net_null",
    "eth_null",
    "net_virtio_user",
    "net_vhost",
    "net_bonding",
    "net_failover",
];
