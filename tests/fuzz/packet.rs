//! Bytes as a frame: every header view on the way refuses or reads them, and the changes that are made in place keep
//! their length.

#![no_main]

use crossgate_dataplane::header::arp::Arp;
use crossgate_dataplane::header::esp::EspView;
use crossgate_dataplane::header::ethernet::EthernetView;
use crossgate_dataplane::header::icmp::IcmpView;
use crossgate_dataplane::header::icmpv6::Icmpv6View;
use crossgate_dataplane::header::ipv4::Ipv4View;
use crossgate_dataplane::header::ipv6::Ipv6View;
use crossgate_dataplane::header::ndp;
use crossgate_dataplane::header::tcp::TcpView;
use crossgate_dataplane::header::udp::UdpView;
use crossgate_dataplane::header::vlan::VlanView;
use crossgate_dataplane::{icmp, pmtu};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ethernet) = EthernetView::new(bytes) else { return };
    let payload = ethernet.payload();
    let _ = VlanView::new(payload);
    let _ = Arp::new(payload);
    if let Ok(packet) = Ipv4View::new(payload) {
        let _ = (packet.options(), packet.fragment_offset_bytes(), packet.packet());
        transport(packet.payload());
        if let Ok(message) = IcmpView::new(packet.payload()) {
            let _ = pmtu::TooBig::of_v4(&message);
        }
        in_place(packet.packet(), |packet| {
            drop((icmp::answer_echo_v4(packet), pmtu::clamp_mss_v4(packet, 1360)))
        });
    }
    if let Ok(packet) = Ipv6View::new(payload) {
        let _ = (packet.fragment(), packet.header_bytes(), ndp::Message::new(&packet));
        transport(packet.payload());
        if let Ok(message) = Icmpv6View::new(packet.payload(), packet.source(), packet.destination()) {
            let _ = pmtu::TooBig::of_v6(&message);
        }
        in_place(packet.packet(), |packet| {
            drop((icmp::answer_echo_v6(packet), pmtu::clamp_mss_v6(packet, 1360)))
        });
    }
});

fn transport(bytes: &[u8]) {
    let _ = (UdpView::new(bytes), EspView::new(bytes));
    if let Some(segment) = TcpView::new(bytes) {
        let _ = (segment.mss(), segment.payload());
    }
}

fn in_place(packet: &[u8], change: impl FnOnce(&mut [u8])) {
    change(&mut packet.to_vec());
}
