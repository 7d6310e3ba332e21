//! What `make run` shows: two sites in network namespaces of their own, a gateway each, a tunnel between them, pings
//! and a verified bulk transfer from a host of one site to a host of the other, and a look at the wire between. On a
//! terminal it then stays up with a live status until Ctrl-C; without one it ends by itself. Its exit status is 0 only
//! if all of it was true, and nothing is left behind either way.

use crossgate_tests::capture::{Capture, Kind, Recording};
use crossgate_tests::failure::{Result, Tried, ensure};
use crossgate_tests::gateway::{Gateway, Plan};
use crossgate_tests::sites::{self, Site};
use crossgate_tests::traffic::{Host, MARK, Stream, bulk, ping, ping_until_answered};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long each bulk transfer takes.
const BULK: Duration = Duration::from_secs(3);
/// Frames that the capture keeps: the pings and the begin of the bulk transfers.
const CAPTURED_FRAMES: u32 = 20_000;
/// How often the live status looks for Ctrl-C, and how often it is renewed.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const STATUS_EVERY: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let demo = match Demo::new() {
        Ok(demo) => demo,
        Err(failure) => {
            eprintln!("{failure}");
            return ExitCode::FAILURE;
        }
    };
    match demo.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nNOT TRUE: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The demo's clock and whether it was told to end.
struct Demo {
    begin: Instant,
    interrupted: Arc<AtomicBool>,
}

/// A site whose gateway's size does not hold back what the machine can do.
fn large(number: u8) -> Plan {
    Plan { sku: "VpnGw5".to_owned(), ..Plan::site(number) }
}

impl Demo {
    fn new() -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))
                .tried(|| format!("signal {signal}"))?;
        }
        Ok(Self { begin: Instant::now(), interrupted })
    }

    fn run(&self) -> Result<()> {
        self.step("laying out two sites: host-1 -- gw-1 == wan == gw-2 -- host-2")?;
        let (one, two) = sites::both_ours()?;
        self.step("starting two gateways (crossgated)")?;
        // The answering side is up before the other one calls.
        let second = Gateway::start(&two.gateway, large(2).with_mode("ResponderOnly"))?;
        let first = Gateway::start(&one.gateway, large(1))?;
        let outcome = self.show(&one, &two, &first, &second);
        if outcome.is_err() && !self.interrupted() {
            eprintln!("{}{}", first.state(), second.state());
        }
        let ended = first.stop().and_then(|()| second.stop());
        outcome.and(ended)?;
        self.step("both gateways have ended cleanly; nothing is left behind")
    }

    fn show(&self, one: &Site, two: &Site, first: &Gateway<'_>, second: &Gateway<'_>) -> Result<()> {
        let (near, far) = (one.ipv4(), two.ipv4());
        first.is("peer", "up")?;
        second.is("peer", "up")?;
        self.step("the tunnel is up")?;
        let wire = Capture::start(&one.gateway, "wan", CAPTURED_FRAMES)?;
        for (near, far) in [(near, far), (one.ipv6(), two.ipv6())] {
            ping_until_answered(near, far.address, Duration::from_secs(20))?;
            let pings = ping(near, far.address, 50, 200, false)?;
            self.step(&format!(
                "pings {} to {}: {} sent, {} answered",
                near.address, far.address, pings.sent, pings.answered
            ))?;
            pings.all_answered()?;
        }
        for (from, to) in [(near, far), (far, near)] {
            let done = bulk(from, to, BULK)?;
            self.step(&format!(
                "bulk transfer {} to {}: {} MB in {:.1} s, {:.2} Gbit/s, every byte verified",
                from.address,
                to.address,
                done.bytes / 1_000_000,
                done.elapsed.as_secs_f64(),
                done.gbit_per_s()
            ))?;
        }
        let wire = wire.stop()?;
        println!();
        gateway(first)?;
        gateway(second)?;
        seen(&wire, &[near, far, one.ipv6(), two.ipv6()])?;
        if std::io::stdout().is_terminal() {
            self.live(near, far, first)?;
        }
        Ok(())
    }

    /// Says what is done; fails if it was told to end.
    fn step(&self, text: &str) -> Result<()> {
        println!("[{:5.1} s] {text}", self.begin.elapsed().as_secs_f64());
        ensure(!self.interrupted(), || "interrupted before it was done".to_owned())
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// A status line, renewed every second, over a small stream that goes on; until Ctrl-C.
    fn live(&self, near: Host<'_>, far: Host<'_>, gateway: &Gateway<'_>) -> Result<()> {
        println!("\nIt stays up until Ctrl-C. From another shell, for example:");
        println!("  {} --socket {} connections\n", client(), gateway.socket().display());
        let stream = Stream::start(near, far, 200, 1000)?;
        let mut renewed = Instant::now() - STATUS_EVERY;
        while !self.interrupted() {
            if renewed.elapsed() >= STATUS_EVERY {
                renewed = Instant::now();
                let connection = gateway.connection("peer")?;
                let drops = gateway.ask(&["status"])?["dropped_packets"].clone();
                print!(
                    "\r\x1b[K{} | {} for {} s | out {} packets ({}) | in {} packets ({}) | dropped {drops} | stream {}/{}",
                    gateway.plan().name,
                    text(&connection["state"]),
                    connection["up_s"],
                    connection["traffic"]["out_packets"],
                    megabytes(&connection["traffic"]["out_bytes"]),
                    connection["traffic"]["in_packets"],
                    megabytes(&connection["traffic"]["in_bytes"]),
                    stream.received(),
                    stream.sent(),
                );
                std::io::stdout().flush().tried(|| "write to the terminal".to_owned())?;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        println!();
        // What was asked for has been done; from here on an end is not an interruption.
        self.interrupted.store(false, Ordering::Relaxed);
        stream.stop()?.whole()
    }
}

/// What an operator wants to see of a gateway.
fn gateway(gateway: &Gateway<'_>) -> Result<()> {
    let (status, connection, sa) =
        (gateway.ask(&["status"])?, gateway.connection("peer")?, gateway.only_sa()?);
    println!(
        "{}  crossgated {}, DPDK {}, {}, AES-GCM by {}",
        gateway.plan().name,
        text(&status["version"]),
        text(&status["dpdk"]),
        text(&status["memory"]),
        text(&status["kernel"]),
    );
    println!(
        "  connection {}: {} as {}, {} to {}",
        text(&connection["name"]),
        text(&connection["state"]),
        text(&connection["role"]),
        text(&connection["local"]),
        text(&connection["remote"]),
    );
    println!("  IKE   {}", text(&connection["ike_suite"]));
    println!(
        "  ESP   {}{}, SPI {} in, {} out",
        text(&sa["suite"]),
        if sa["esn"] == true { " with extended sequence numbers" } else { "" },
        text(&sa["inbound_spi"]),
        text(&sa["outbound_spi"]),
    );
    println!(
        "  inner {} out, {} in; packets {} out, {} in; {} forged, {} replayed\n",
        megabytes(&sa["traffic"]["out_bytes"]),
        megabytes(&sa["traffic"]["in_bytes"]),
        sa["traffic"]["out_packets"],
        sa["traffic"]["in_packets"],
        sa["forged"],
        sa["replayed"],
    );
    Ok(())
}

/// What was on the wire between the gateways: ESP, and nothing of the hosts in the clear.
fn seen(wire: &Recording, hosts: &[Host<'_>]) -> Result<()> {
    let addresses: Vec<_> = hosts.iter().map(|host| host.address).collect();
    let (esp, clear) = (wire.count(Kind::Esp) + wire.count(Kind::EspInUdp), wire.clear(MARK, &addresses));
    println!("on the wire between the gateways: {esp} ESP packets, {clear} with clear text");
    for line in wire.lines(Kind::Esp, 2)?.into_iter().chain(wire.lines(Kind::EspInUdp, 2)?) {
        println!("  {line}");
    }
    println!();
    ensure(esp > 100, || format!("too little ESP was seen: {}", wire.summary()))?;
    ensure(clear == 0, || format!("clear text was seen: {}", wire.summary()))
}

/// The client's path, as one can type it.
fn client() -> String {
    let own = std::env::current_exe().unwrap_or_default();
    own.with_file_name("crossgate").display().to_string()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn megabytes(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
}
