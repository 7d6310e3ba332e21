//! VPP, where a `vpp` binary is on the machine (in PATH, or named by the variable VPP): its packet generator replays the same packets, a route-based tunnel with the
//! same SA lies between two generator interfaces, and `show runtime` says what each node of its graph took.
//!
//! What source and sink cost, VPP says by itself: the time of its packet generator and of the node that frees packets. Anti-replay is off, as with `ipsec-secgw`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crossgate_tests::process::{self, Process};
use rustix::process::Signal;

use crate::bed::{Direction, Family, LAN, OURS, Plan, SALT, Site, THEIRS, WAN};

/// Longest time until it answers, or until packets are through.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end by itself, which removes its shared memory.
const FAREWELL: Duration = Duration::from_secs(5);
/// Another SPI, for the SA that carries nothing.
const OTHER_SPI: u32 = 100_000;
const SOURCE_NODE: &str = "pg-input";
const SINK_NODE: &str = "pg1-tx";

/// The programs, where files go, and the worker's core.
pub(crate) struct Vpp {
    program: PathBuf,
    control: PathBuf,
    directory: PathBuf,
    core: usize,
    /// What it says of itself.
    pub(crate) version: String,
}

/// What it did in some windows, in TSC cycles a packet.
pub(crate) struct Measured {
    /// What does AES-GCM in it.
    pub(crate) engine: String,
    /// Of the whole loop.
    pub(crate) total: Vec<f64>,
    /// Of source and sink alone, in the window where the loop took least.
    pub(crate) floor: f64,
}

/// One that runs; ended when dropped.
struct Running<'a> {
    vpp: &'a Vpp,
    process: Process,
    socket: PathBuf,
}

/// What `show runtime` says of a thread: the packets a second that came in, and of each node its name, packets and cycles a packet.
#[derive(Debug, PartialEq)]
struct Runtime {
    rate: f64,
    nodes: Vec<(String, f64, f64)>,
}

/// Finds it, and sees that it starts. `Err`: why there is none.
pub(crate) fn find(directory: &Path, core: usize) -> Result<Vpp> {
    let named = std::env::var_os("VPP").map(PathBuf::from);
    let in_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join("vpp")).find(|file| file.is_file())
    };
    let program = named.or_else(in_path).context("no vpp in PATH (or name one by the variable VPP)")?;
    ensure!(program.is_file(), "{} (the variable VPP) is no file", program.display());
    let control = program.with_file_name("vppctl");
    ensure!(control.is_file(), "no vppctl beside {}", program.display());
    let directory = directory.join("vpp");
    let mut vpp = Vpp { program, control, directory, core, version: String::new() };
    let said = vpp.start("")?.ask("show version")?;
    let version = said.trim().strip_prefix("vpp v").and_then(|rest| rest.split_whitespace().next());
    vpp.version = version.with_context(|| format!("show version says {said}"))?.to_owned();
    Ok(vpp)
}

impl Vpp {
    /// Sends a file's packets through it once, to another file.
    pub(crate) fn once(
        &self,
        plan: Plan,
        direction: Direction,
        from: &Path,
        packets: usize,
        to: &Path,
    ) -> Result<()> {
        // Captures do not truncate.
        let _ = std::fs::remove_file(to);
        let running = self.start(&commands(plan, direction)?)?;
        running.stream("once", from, &packets.to_string())?;
        running.ask(&format!("packet-generator capture pg1 pcap {} count {}", to.display(), 2 * packets))?;
        running.ask("packet-generator enable-stream once")?;
        let began = Instant::now();
        while !is_through(&running.ask("show packet-generator")?, "once", packets) {
            ensure!(began.elapsed() < PATIENCE, "vpp does not send all {packets} packets");
        }
        // No worker is within a burst while a command is carried out.
        running.ask("packet-generator capture pg1 disable").map(drop)
    }

    /// Cycles a packet in each of so many windows, after one that warms up.
    pub(crate) fn measure(
        &self,
        plan: Plan,
        direction: Direction,
        from: &Path,
        (windows, length): (usize, Duration),
        tsc_hz: f64,
    ) -> Result<Measured> {
        let running = self.start(&commands(plan, direction)?)?;
        let engine = engine(&running.ask("show crypto handlers")?, plan.key_bits)?;
        running.stream("endless", from, "1000000000000000")?;
        running.ask("packet-generator enable-stream endless")?;
        std::thread::sleep(length);
        let mut measured = Vec::new();
        for _ in 0..windows {
            running.ask("clear runtime")?;
            std::thread::sleep(length);
            let said = running.ask("show runtime")?;
            let runtime = Runtime::read(&said).with_context(|| format!("show runtime says {said}"))?;
            let [made, sent] = [SOURCE_NODE, SINK_NODE].map(|node| runtime.of(node).0);
            let all = made > 0.0 && sent > 0.999 * made;
            ensure!(all, "{sent} of {made} packets come out: {}", running.ask("show errors")?);
            measured.push((tsc_hz / runtime.rate, runtime.source_and_sink()));
        }
        let least = measured.iter().min_by(|one, other| one.0.total_cmp(&other.0));
        let floor = least.context("no window")?.1;
        Ok(Measured { engine, total: measured.into_iter().map(|(total, _)| total).collect(), floor })
    }

    /// Starts it, and has it carry out these commands.
    fn start(&self, commands: &str) -> Result<Running<'_>> {
        let folder = &self.directory;
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)?;
        let socket = folder.join("cli.sock");
        let place = folder.display();
        std::fs::write(
            folder.join("conf"),
            format!(
                "unix {{ nodaemon nosyslog cli-listen {} runtime-dir {place} log {place}/log }}\n\
                 api-segment {{ prefix crossgate{} }}\ncpu {{ main-core {} corelist-workers {} }}\n\
                 buffers {{ buffers-per-numa 16384 }}\nmemory {{ main-heap-size 512M }}\nstatseg {{ size 64M }}\n",
                socket.display(),
                std::process::id(),
                usize::from(self.core == 0),
                self.core
            ),
        )?;
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(folder.join("conf"));
        let process = Process::start("vpp", &command, &folder.join("out"))?;
        let mut running = Running { vpp: self, process, socket };
        let began = Instant::now();
        while running.ask("show version").is_err() {
            running.process.must_run()?;
            ensure!(began.elapsed() < PATIENCE, "vpp does not answer: {}", running.process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        if !commands.is_empty() {
            std::fs::write(folder.join("cli"), commands)?;
            let said = running.ask(&format!("exec {place}/cli"))?;
            ensure!(!said.contains("error"), "vpp refuses its configuration: {said}");
        }
        Ok(running)
    }
}

impl Running<'_> {
    fn ask(&self, command: &str) -> Result<String> {
        let mut control = Command::new(&self.vpp.control);
        control.arg("-s").arg(&self.socket).args(command.split_whitespace());
        Ok(plain(&process::run(&mut control)?))
    }

    fn stream(&self, name: &str, from: &Path, limit: &str) -> Result<()> {
        let said = self.ask(&format!(
            "packet-generator new name {name} limit {limit} interface pg0 node ethernet-input pcap {}",
            from.display()
        ))?;
        ensure!(said.trim().is_empty(), "vpp refuses the packets: {said}");
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended by itself; if it does not, it is killed.
        let _ = self.process.end(Signal::TERM, FAREWELL);
    }
}

/// Without the colours of its tables.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// Whether `show packet-generator` says that a stream has ended with its last packet.
fn is_through(text: &str, stream: &str, packets: usize) -> bool {
    let packets = packets.to_string();
    let ended = [stream, "No", packets.as_str()];
    text.lines().any(|line| line.split_whitespace().take(ended.len()).eq(ended))
}

/// Which engine `show crypto handlers` marks as the one for ESP with AES-GCM.
fn engine(text: &str, key_bits: usize) -> Result<String> {
    let algorithm = format!("aes-{key_bits}-gcm");
    let of_esp = |line: &&str| line.trim_start().starts_with(&algorithm) && line.contains("aad8");
    let mut words = text.lines().filter(of_esp).flat_map(str::split_whitespace);
    let engine = words.find_map(|word| word.strip_suffix('*'));
    engine.map(str::to_owned).with_context(|| format!("vpp has no engine for {algorithm}: {text}"))
}

/// Its configuration: two interfaces, the tunnel between them and the one SA, seen from site 1 outbound and from site 2 inbound.
fn commands(plan: Plan, direction: Direction) -> Result<String> {
    let family = Family::V4;
    let inbound = direction == Direction::Inbound;
    let (site, from, to) = if inbound { (Site(2), WAN, LAN) } else { (Site(1), LAN, WAN) };
    let (own, peer) = (site.public(family), site.other().public(family));
    let inside = format!("{}/{}", site.own(family), site.prefix(family)?.prefix_len());
    let address = |port: usize| if port == WAN { format!("{own}/24") } else { inside.clone() };
    let key: String = plan.raw_key(0, 0).iter().map(|byte| format!("{byte:02x}")).collect();
    let salt: String = SALT.iter().map(|byte| format!("{byte:02x}")).collect();
    let sa = format!("esp crypto-alg aes-gcm-{} crypto-key {key} salt 0x{salt}", plan.key_bits);
    let spi = plan.spi(0, 0)?.get();
    let (out_spi, in_spi) = if inbound { (OTHER_SPI, spi) } else { (spi, OTHER_SPI) };
    let mut text = String::new();
    for (name, port) in [("pg0", from), ("pg1", to)] {
        writeln!(text, "create packet-generator interface {name} hw-addr {}", OURS[port])?;
        writeln!(text, "set interface state {name} up")?;
        writeln!(text, "set interface ip address {name} {}", address(port))?;
    }
    let next = if inbound { site.host(family, 0) } else { peer };
    writeln!(text, "set ip neighbor static pg1 {next} {}", THEIRS[to])?;
    writeln!(text, "create ipip tunnel src {own} dst {peer}")?;
    writeln!(text, "ipsec sa add 1 spi {out_spi} {sa}")?;
    writeln!(text, "ipsec sa add 2 spi {in_spi} inbound {sa}")?;
    writeln!(text, "ipsec tunnel protect ipip0 sa-out 1 sa-in 2")?;
    writeln!(text, "set interface state ipip0 up")?;
    writeln!(text, "set interface unnumbered ipip0 use {}", if inbound { "pg1" } else { "pg0" })?;
    writeln!(text, "ip route add {}/32 via ipip0", site.other().host(family, 0))?;
    Ok(text)
}

impl Runtime {
    /// Reads what the last thread (the worker) says of itself.
    fn read(text: &str) -> Option<Self> {
        let text = &text[text.rfind("vpp_wk_0")?..];
        // The time is told in tenths of a second only.
        let rate = text.split_once("vector rates in ")?.1.split([',', ' ']).next()?.parse().ok()?;
        let node = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Name, state (one word or two), calls, packets, suspends, cycles a packet, packets a call.
            let numbers = words.len().checked_sub(5)?;
            let packets = words.get(numbers + 1)?.parse::<f64>().ok()?;
            let cycles = words.get(numbers + 3)?.parse::<f64>().ok()?;
            words.get(numbers)?.parse::<f64>().ok().filter(|_| packets > 0.0)?;
            Some(((*words.first()?).to_owned(), packets, cycles))
        };
        Some(Self { rate, nodes: text.lines().filter_map(node).collect() })
    }

    /// Packets and cycles a packet of a node.
    fn of(&self, name: &str) -> (f64, f64) {
        let node = self.nodes.iter().find(|(known, ..)| known == name);
        node.map_or((0.0, 0.0), |(_, packets, cycles)| (*packets, *cycles))
    }

    /// Cycles a packet of source and sink.
    fn source_and_sink(&self) -> f64 {
        self.of(SOURCE_NODE).1 + self.of(SINK_NODE).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossgate_dataplane::gcm::Kernel;

    const RUNTIME: &str = "Thread 0 vpp_main (lcore 0)
Time 1.0, 10 sec internal node vector rate 0.00 loops/sec 1.00
  vector rates in 0.0000e0, out 0.0000e0, drop 0.0000e0, punt 0.0000e0
             Name                 State         Calls          Vectors        Suspends      Packet-Clocks    Vectors/Call
---------------
Thread 1 vpp_wk_0 (lcore 1)
Time 1.0, 10 sec internal node vector rate 256.00 loops/sec 9000.00
  vector rates in 5.1234e6, out 5.1234e6, drop 0.0000e0, punt 0.0000e0
             Name                 State         Calls          Vectors        Suspends      Packet-Clocks    Vectors/Call
esp4-encrypt-tun                 active              10            2560               0          1.00e2          256.00
ethernet-input                   active              10            2560               0          2.05e1          256.00
ip4-drop                         active               1               5               0          9.00e1            5.00
pg-input                  interrupt wa              10            2560               0          3.00e1          256.00
pg1-tx                           active              10            2560               0          1.50e1          256.00
";

    #[test]
    fn runtime_is_that_of_the_worker_and_tells_source_and_sink() {
        let runtime = Runtime::read(RUNTIME).expect("runtime");
        assert_eq!(runtime.rate, 5.1234e6);
        assert_eq!(runtime.of(SINK_NODE), (2560.0, 15.0));
        assert_eq!(runtime.of("ip4-rewrite"), (0.0, 0.0));
        assert_eq!(runtime.source_and_sink(), 45.0);
        assert_eq!(Runtime::read("no such command"), None);
    }

    #[test]
    fn engine_is_the_marked_one_of_the_algorithm_of_esp() {
        let table = "\x1b[33mAlgorithm                 \x1b[0mOp   Simple\n\
                     aes-128-gcm-icv16-aad8    enc  ipsecmb \x1b[36mnative*\x1b[0m openssl  -\n\
                     aes-256-gcm               enc  \x1b[36mopenssl*\x1b[0m  -\n\
                     aes-256-gcm-icv16-aad8    enc  \x1b[36mipsecmb*\x1b[0m openssl  -\n";
        let table = plain(table);
        assert_eq!(engine(&table, 128).expect("an engine"), "native");
        assert_eq!(engine(&table, 256).expect("an engine"), "ipsecmb");
        assert!(engine(&table, 192).is_err());
    }

    #[test]
    fn a_stream_is_through_when_it_has_ended_with_its_last_packet() {
        let line = "once                 No           2048        limit 2048, rate 0.00e0 pps, ";
        let text = format!("Name               Enabled        Count     Parameters\n{line}\n");
        assert!(is_through(&text, "once", 2048));
        assert!(!is_through(&text, "once", 4096));
        assert!(!is_through(&text.replace("No ", "Yes"), "once", 2048));
    }

    #[test]
    fn either_direction_has_the_one_sa_on_its_side() {
        let plan = Plan::single(Kernel::detect(), 256, Family::V4);
        let spi = plan.spi(0, 0).expect("an SPI").get();
        let out = commands(plan, Direction::Outbound).expect("commands");
        assert!(out.contains(&format!("ipsec sa add 1 spi {spi} esp")), "{out}");
        assert!(out.contains("create ipip tunnel src 192.0.2.1 dst 192.0.2.2"), "{out}");
        let inbound = commands(plan, Direction::Inbound).expect("commands");
        assert!(inbound.contains(&format!("ipsec sa add 2 spi {spi} inbound esp")), "{inbound}");
        assert!(inbound.contains("create ipip tunnel src 192.0.2.2 dst 192.0.2.1"), "{inbound}");
    }
}
