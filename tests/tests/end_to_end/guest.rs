//! Tests with a guest; an emulated one takes a core's whole time.

mod esp_transforms;
mod kernel_esp;
mod libreswan;
mod pci_ports;

use crossgate_tests::failure::Result;
use crossgate_tests::guest::Guest;
use crossgate_tests::sites::Site;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The guest's inner addresses.
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1));
const FAR_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 1));
/// An emulated guest on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Site 1, and a guest as site 2 on its wan.
fn site_and_guest() -> Result<(Site, Guest)> {
    let site = Site::new(1)?;
    let guest = Guest::boot(&site.gateway, &["wan"])?;
    set_up(&guest)?;
    Ok((site, guest))
}

/// Gives a guest the addresses of site 2.
fn set_up(guest: &Guest) -> Result<()> {
    let script = "ip address add 192.0.2.2/24 dev eth0
         ip address add 10.2.0.1/32 dev lo
         ip -6 address add fd00:2::1/128 dev lo nodad";
    guest.run(script).map(drop)
}
