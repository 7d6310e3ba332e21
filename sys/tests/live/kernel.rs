//! The vdevs that meet the kernel or another process, each in a network namespace that lives as long as its test:
//! frames go through two ports in both directions.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use dpdk_sys::{Burst, Link, Mempool, Port, PortOptions, Started};

use crate::environment::{device_pool, eal, on_registered_thread};

/// Runs `test` on a thread in a fresh network namespace, which the kernel removes with the thread and its sockets.
fn in_fresh_namespace(test: impl FnOnce() + Send) {
    eal(); // Not in the namespace: it outlives this test.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: changes the network namespace of this thread, which ends with the test; no memory is involved.
            let outcome = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(outcome, 0, "the tests need root: {}", std::io::Error::last_os_error());
            ip("link set lo up");
            on_registered_thread(test);
        });
    });
}

fn ip(arguments: &str) {
    let outcome = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(outcome.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&outcome.stderr));
}

fn veth() {
    ip("link add left type veth peer name right");
    ip("link set left up");
    ip("link set right up");
}

fn start(device: &str, pool: &Mempool) -> (Port, Started) {
    let mut port = Port::attach(eal(), device).unwrap_or_else(|error| panic!("{error}"));
    let started = port.start(&PortOptions::default(), pool).unwrap_or_else(|error| panic!("{error}"));
    (port, started)
}

/// A broadcast frame of the EtherType for local experiments (IEEE 802, 9.2.3).
fn frame(mark: u8) -> [u8; 64] {
    let mut frame = [mark; 64];
    frame[..6].fill(0xff);
    frame[6..14].copy_from_slice(&[2, 0, 0, 0, 0, mark, 0x88, 0xb5]);
    frame
}

/// Sends until the frame arrives: the other side may still be coming up.
fn carries(from: &mut Started, to: &mut Started, mark: u8, pool: &Mempool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let (mut sent, mut received) = (Burst::new(), Burst::new());
    let mut next_send = Instant::now();
    while Instant::now() < deadline {
        if Instant::now() >= next_send {
            sent.clear();
            sent.push(pool.take_copy(&frame(mark)).expect("a packet")).ok().expect("room");
            from.tx[0].tx_burst(&mut sent);
            next_send += Duration::from_millis(50);
        }
        from.rx[0].rx_burst(&mut received); // Some drivers complete what was sent only here.
        received.clear();
        to.rx[0].rx_burst(&mut received);
        if received.iter().any(|packet| packet.data().starts_with(&frame(mark))) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("no frame within 10 s: {:?} to {:?}", from.report, to.report);
}

/// Both directions between two ports; returns how many packets their drivers kept when they were closed.
fn talk(left: &str, right: &str, name: &str) -> u32 {
    let pool = device_pool(name);
    let (left_port, mut left) = start(left, &pool);
    let (right_port, mut right) = start(right, &pool);
    carries(&mut left, &mut right, 0x11, &pool);
    carries(&mut right, &mut left, 0x22, &pool);
    assert!(matches!(left_port.link(), Ok(Link::Up { .. })), "{:?}", left_port.link());
    assert!(left_port.stats().expect("counters").tx_packets > 0);
    assert!(!left_port.extended_stats().is_empty());
    drop((left, right, left_port, right_port));
    pool.in_use()
}

#[test]
fn af_packet_carries_frames_over_a_veth() {
    in_fresh_namespace(|| {
        veth();
        let kept = talk("net_af_packet0,iface=left", "net_af_packet1,iface=right", "af_packet");
        assert_eq!(kept, 0);
    });
}

#[test]
fn af_xdp_carries_frames_over_a_veth() {
    in_fresh_namespace(|| {
        veth();
        let kept = talk("net_af_xdp0,iface=left", "net_af_packet2,iface=right", "af_xdp");
        // What the kernel had to fill, and what it had sent, is not given back by this driver: see `Port`.
        assert!(kept <= 2048 + 512, "{kept}");
    });
}

#[test]
fn tap_carries_frames_to_the_kernel_and_back() {
    in_fresh_namespace(|| {
        let pool = device_pool("tap");
        let (tap_port, mut tap) = start("net_tap0,iface=tap0", &pool);
        ip("link set tap0 up");
        let (kernel_port, mut kernel) = start("net_af_packet3,iface=tap0", &pool);
        carries(&mut tap, &mut kernel, 0x33, &pool);
        carries(&mut kernel, &mut tap, 0x44, &pool);
        drop((tap, kernel, kernel_port, tap_port));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn memif_carries_frames_between_two_ports() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("memif.sock");
    on_registered_thread(|| {
        let device = |number: u8, role: &str| {
            format!("net_memif{number},role={role},id=0,socket={},socket-abstract=no", socket.display())
        };
        assert_eq!(talk(&device(0, "server"), &device(1, "client"), "memif"), 0);
    });
}

#[test]
fn port_tells_its_address_driver_and_mtu() {
    in_fresh_namespace(|| {
        veth();
        ip("link set left address 02:00:00:00:00:2a");
        let pool = device_pool("tells");
        let mut port = Port::attach(eal(), "net_af_packet4,iface=left").expect("a port");
        let options = PortOptions { mtu_bytes: 1400, ..PortOptions::default() };
        let started = port.start(&options, &pool).expect("the port starts");
        assert_eq!(port.mac().expect("an address").to_string(), "02:00:00:00:00:2a");
        assert_eq!(&*started.report.driver, "net_af_packet");
        let shown = Command::new("ip").args(["link", "show", "left"]).output().expect("ip runs").stdout;
        assert!(String::from_utf8_lossy(&shown).contains("mtu 1400"), "the interface follows");
    });
}

#[test]
fn missing_interface_is_an_error_with_a_remedy() {
    in_fresh_namespace(|| {
        let error =
            Port::attach(eal(), "net_af_packet5,iface=absent").err().expect("there is no such interface");
        assert!(error.to_string().contains("net_af_packet5,iface=absent"), "{error}");
    });
}
