//! VPP, where a `vpp` binary is on the machine (in PATH, or named by the variable VPP): its packet generator replays the same packets, a route-based tunnel with the
//! same SA lies between two generator interfaces, and `show runtime` says what each node of its graph took.
//!
//! What source and sink cost, VPP says by itself: the loop's time without its other nodes. Anti-replay is off, as with `ipsec-secgw`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bed::{Direction, Family, LAN, OURS, Plan, SALT, Site, THEIRS, WAN};

/// Longest time until it answers, or until packets are through.
const START: Duration = Duration::from_secs(30);
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
}

/// What it did in some windows, in TSC cycles a packet.
pub(crate) struct Measured {
    /// Of the whole loop.
    pub(crate) total: Vec<f64>,
    /// Of source and sink alone.
    pub(crate) floor: f64,
}

/// One that runs; ended when dropped.
struct Running<'a> {
    vpp: &'a Vpp,
    child: Child,
    socket: PathBuf,
}

/// What `show runtime` says of a thread: how long it counted, and of each node its name, packets and cycles a packet.
#[derive(Debug, PartialEq)]
struct Runtime {
    seconds: f64,
    nodes: Vec<(String, f64, f64)>,
}

/// Finds it. `Err`: why there is none.
pub(crate) fn find(directory: &Path, core: usize) -> Result<Vpp> {
    let named = std::env::var_os("VPP").map(PathBuf::from);
    let in_path = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join("vpp")).find(|file| file.is_file())
    };
    let program = named.or_else(in_path).context("no vpp in PATH (or name one by the variable VPP)")?;
    let control = program.with_file_name("vppctl");
    ensure!(control.is_file(), "no vppctl beside {}", program.display());
    Ok(Vpp { program, control, directory: directory.to_owned(), core })
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
        let running = self.start(plan, direction)?;
        running.stream("once", from, &packets.to_string())?;
        running.ask(&format!("packet-generator capture pg1 pcap {} count {}", to.display(), 2 * packets))?;
        running.ask("packet-generator enable-stream once")?;
        let began = Instant::now();
        while super::pcap::read(to).map_or(0, |frames| frames.len()) < packets {
            if began.elapsed() > Duration::from_secs(2) {
                // What it has captured goes to the file at the end.
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
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
        let running = self.start(plan, direction)?;
        running.stream("endless", from, "1000000000000000")?;
        running.ask("packet-generator enable-stream endless")?;
        std::thread::sleep(length);
        let (mut total, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..windows {
            running.ask("clear runtime")?;
            std::thread::sleep(length);
            let runtime =
                Runtime::read(&running.ask("show runtime")?).context("show runtime says nothing")?;
            let sent = runtime.packets(SINK_NODE);
            ensure!(sent > 0.0, "nothing comes out: {}", running.ask("show errors")?);
            let cycles = tsc_hz * runtime.seconds / sent;
            total.push(cycles);
            floors.push(cycles - runtime.graph());
        }
        let floor = floors.iter().copied().fold(f64::INFINITY, f64::min).max(0.0);
        Ok(Measured { total, floor })
    }

    fn start(&self, plan: Plan, direction: Direction) -> Result<Running<'_>> {
        let folder = self.directory.join("vpp");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let socket = folder.join("cli.sock");
        let place = folder.display();
        std::fs::write(folder.join("cli"), commands(plan, direction)?)?;
        std::fs::write(
            folder.join("conf"),
            format!(
                "unix {{ nodaemon nosyslog cli-listen {} runtime-dir {place} log {place}/log exec {place}/cli }}\n\
                 api-segment {{ prefix crossgate{} }}\ncpu {{ main-core {} corelist-workers {} }}\n\
                 buffers {{ buffers-per-numa 16384 }}\nmemory {{ main-heap-size 512M }}\nstatseg {{ size 64M }}\n",
                socket.display(),
                std::process::id(),
                usize::from(self.core == 0),
                self.core
            ),
        )?;
        let out = std::fs::File::create(folder.join("out"))?;
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(folder.join("conf"))
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        let mut running = Running { vpp: self, child, socket };
        let began = Instant::now();
        while !running.ask("show interface ipip0").is_ok_and(|text| text.contains("ipip0")) {
            let said = || std::fs::read_to_string(folder.join("out")).unwrap_or_default();
            ensure!(running.child.try_wait()?.is_none(), "vpp ended: {}", said());
            ensure!(began.elapsed() < START, "vpp does not answer: {}", said());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(running)
    }
}

impl Running<'_> {
    fn ask(&self, command: &str) -> Result<String> {
        let done = Command::new(&self.vpp.control)
            .arg("-s")
            .arg(&self.socket)
            .args(command.split_whitespace())
            .output()
            .context("run vppctl")?;
        ensure!(done.status.success(), "vppctl {command}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
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
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
        let text = text.rfind("vpp_wk_0").map_or(text, |at| &text[at..]);
        let seconds = text.split_once("Time ")?.1.split([',', ' ']).next()?.parse().ok()?;
        let node = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Name, state (one word or two), calls, packets, suspends, cycles a packet, packets a call.
            let numbers = words.len().checked_sub(5)?;
            let packets = words.get(numbers + 1)?.parse::<f64>().ok()?;
            let cycles = words.get(numbers + 3)?.parse::<f64>().ok()?;
            words.get(numbers)?.parse::<f64>().ok().filter(|_| packets > 0.0)?;
            Some(((*words.first()?).to_owned(), packets, cycles))
        };
        Some(Self { seconds, nodes: text.lines().filter_map(node).collect() })
    }

    fn packets(&self, name: &str) -> f64 {
        self.nodes.iter().filter(|(known, ..)| known == name).map(|(_, packets, _)| packets).sum()
    }

    /// Cycles a packet of the nodes that packets pass, but for source and sink.
    fn graph(&self) -> f64 {
        let half = self.packets(SOURCE_NODE) / 2.0;
        let passed = |(name, packets, _): &&(String, f64, f64)| {
            *packets > half && name != SOURCE_NODE && name != SINK_NODE
        };
        self.nodes.iter().filter(passed).map(|(.., cycles)| cycles).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossgate_dataplane::gcm::Kernel;

    const RUNTIME: &str = "Thread 0 vpp_main (lcore 0)
Time 1.0, 10 sec internal node vector rate 0.00 loops/sec 1.00
             Name                 State         Calls          Vectors        Suspends         Clocks       Vectors/Call
Thread 1 vpp_wk_0 (lcore 1)
Time 2.5, 10 sec internal node vector rate 256.00 loops/sec 9000.00
  vector rates in 5.0e6, out 5.0e6, drop 0.0000e0, punt 0.0000e0
             Name                 State         Calls          Vectors        Suspends         Clocks       Vectors/Call
esp4-encrypt-tun                 active              10            2560               0          1.00e2          256.00
ethernet-input                   active              10            2560               0          2.05e1          256.00
ip4-drop                         active               1               5               0          9.00e1            5.00
pg-input                  interrupt wa              10            2560               0          3.00e1          256.00
pg1-tx                           active              10            2560               0          1.50e1          256.00
";

    #[test]
    fn runtime_is_that_of_the_worker_and_its_graph_is_without_source_and_sink() {
        let runtime = Runtime::read(RUNTIME).expect("runtime");
        assert_eq!(runtime.seconds, 2.5);
        assert_eq!(runtime.packets(SINK_NODE), 2560.0);
        assert_eq!(runtime.graph(), 120.5);
        assert_eq!(Runtime::read("no such command"), None);
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
