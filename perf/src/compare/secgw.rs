//! DPDK's example gateway `ipsec-secgw`, built from Debian's copy of its sources, and `testpmd` for the floor: started with the same
//! virtual devices, on one core, and watched by their own statistics.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::bed::{Direction, Family, Plan, SALT, Site};
use crate::peers;

const BUILD: &str = include_str!("../../peers/build-ipsec-secgw");
/// Longest time until a program shows its first figures.
const START: Duration = Duration::from_secs(20);
/// Packets that its pool holds beyond those of the file.
const SPARE_PACKETS: usize = 16_384;

/// How it does ESP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Mode {
    /// librte_ipsec, with the synchronous call of the crypto driver aesni_gcm.
    CpuAesniGcm,
    /// Its own ESP code, with operations enqueued to aesni_gcm.
    LegacyAesniGcm,
    /// librte_ipsec, with operations enqueued to aesni_mb.
    LookasideAesniMb,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::CpuAesniGcm, Self::LegacyAesniGcm, Self::LookasideAesniMb];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuAesniGcm => "cpu-crypto aesni_gcm",
            Self::LegacyAesniGcm => "legacy aesni_gcm",
            Self::LookasideAesniMb => "lookaside aesni_mb",
        }
    }

    fn driver(self) -> &'static str {
        match self {
            Self::CpuAesniGcm | Self::LegacyAesniGcm => "crypto_aesni_gcm0",
            Self::LookasideAesniMb => "crypto_aesni_mb0",
        }
    }
}

/// The built program, where its files go, and the core it runs on.
pub(crate) struct Secgw {
    program: PathBuf,
    directory: PathBuf,
    core: usize,
}

/// One run: which packets, to where.
pub(crate) struct Run<'a> {
    pub(crate) plan: Plan,
    pub(crate) mode: Mode,
    pub(crate) direction: Direction,
    pub(crate) from: &'a Path,
    pub(crate) packets: usize,
}

/// Builds the program, unless it is there. `Err`: why that is not possible.
pub(crate) fn build() -> Result<PathBuf> {
    peers::build(BUILD, "build-ipsec-secgw", "")
}

impl Secgw {
    pub(crate) fn new(program: PathBuf, directory: &Path, core: usize) -> Self {
        Self { program, directory: directory.to_owned(), core }
    }

    /// Sends a file's packets through it once, to another file; ends when that has all of them.
    pub(crate) fn once(&self, run: &Run<'_>, to: &Path) -> Result<()> {
        let source = format!("net_pcap0,rx_pcap={}", run.from.display());
        let mut watched = self.start(run, &source, &format!("net_pcap1,tx_pcap={}", to.display()))?;
        let wanted = u64::try_from(run.packets)?;
        let began = Instant::now();
        while watched.next("Total packets sent:")? < wanted {
            ensure!(began.elapsed() < START, "ipsec-secgw did not send all {wanted} packets");
        }
        Ok(())
    }

    /// Packets per second in each of so many windows of a second.
    pub(crate) fn measure(&self, run: &Run<'_>, windows: usize) -> Result<Vec<f64>> {
        let source = format!("net_pcap0,rx_pcap={},infinite_rx=1", run.from.display());
        self.start(run, &source, "net_null0,no-rx=1")?.rates("Total packets sent:", windows)
    }

    fn start(&self, run: &Run<'_>, source: &str, sink: &str) -> Result<Watched> {
        let configuration = self.directory.join("secgw.cfg");
        std::fs::write(&configuration, configuration_of(run)?)?;
        let mut command = self.dpdk(&self.program, &self.core.to_string());
        command.args(["--log-level=5", "--vdev", run.mode.driver(), "--vdev", source, "--vdev", sink, "--"]);
        command.args(["-p", "0x3", "-P", "--rxoffload", "0", "--txoffload", "0", "-t", "1"]);
        if run.direction == Direction::Inbound {
            command.args(["-u", "0x1"]);
        }
        if run.mode != Mode::LegacyAesniGcm {
            // librte_ipsec, replay window off: the packets come again and again.
            command.args(["-l", "-w", "0"]);
        }
        command.arg("--config").arg(format!("(0,0,{})", self.core));
        command.arg("-s").arg((SPARE_PACKETS + 4 * run.packets).to_string());
        command.arg("-f").arg(&configuration);
        Watched::new(command)
    }

    /// TSC-independent floor: packets per second of testpmd, which only forwards, on the same devices.
    pub(crate) fn testpmd(&self, from: &Path, windows: usize) -> Result<Vec<f64>> {
        let cores = format!("{},{}", usize::from(self.core == 0), self.core);
        let mut command = self.dpdk(Path::new("dpdk-testpmd"), &cores);
        command.args(["--vdev", &format!("net_pcap0,rx_pcap={},infinite_rx=1", from.display())]);
        command.args([
            "--vdev",
            "net_null0,no-rx=1",
            "--",
            "--forward-mode=io",
            "--nb-cores=1",
            "--burst=32",
        ]);
        command.args(["--total-num-mbufs=16384", "--stats-period=1", "--no-mlockall"]);
        command.stdin(Stdio::null());
        // Two ports are shown; the first one sends nothing.
        Watched::new(command)?.rates("TX-packets:", windows)
    }

    fn dpdk(&self, program: &Path, cores: &str) -> Command {
        let mut command = Command::new("stdbuf");
        command.arg("-oL").arg(program).args(["-l", cores, "--in-memory", "--no-pci", "--no-telemetry"]);
        command.arg(format!("--file-prefix=compare-{}", std::process::id()));
        command.current_dir(&self.directory);
        command
    }
}

/// Its configuration file: for each SA a policy, the SA, and where packets go afterwards.
fn configuration_of(run: &Run<'_>) -> Result<String> {
    let Run { plan, mode, direction, .. } = run;
    let word = match direction {
        Direction::Inbound => "in",
        Direction::Outbound | Direction::Both => "out",
    };
    let (one, two) = (Site(1), Site(2));
    let mut text = String::new();
    for sa in 0..plan.sas {
        let spi = plan.spi(sa, 0)?.get();
        let key: Vec<_> = plan.raw_key(sa, 0).iter().chain(&SALT).map(|byte| format!("{byte:02x}")).collect();
        let host = two.host(Family::V4, sa);
        writeln!(text, "sp ipv4 {word} esp protect {spi} pri 1 dst {host}/32 sport 0:65535 dport 0:65535")?;
        write!(text, "sa {word} {spi} aead_algo aes-{}-gcm aead_key {} ", plan.key_bits, key.join(":"))?;
        write!(text, "mode ipv4-tunnel src {} dst {}", one.public(Family::V4), two.public(Family::V4))?;
        writeln!(text, "{}", if *mode == Mode::CpuAesniGcm { " type cpu-crypto" } else { "" })?;
    }
    let towards = if *direction == Direction::Inbound { "10.0.0.0/8" } else { "192.0.2.0/24" };
    writeln!(text, "rt ipv4 dst {towards} port 1\nneigh port 1 02:00:00:00:02:02")?;
    Ok(text)
}

/// A program whose output is read line by line; ended when dropped.
struct Watched {
    child: Child,
    lines: std::sync::mpsc::Receiver<(Instant, String)>,
    last: Vec<String>,
}

impl Watched {
    fn new(mut command: Command) -> Result<Self> {
        let program = format!("{:?}", command.get_args().nth(1).unwrap_or_default());
        let (reader, writer) = std::io::pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let child = command.spawn().with_context(|| format!("start {program}"))?;
        drop(command);
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, last: Vec::new() })
    }

    /// The next number behind these words.
    fn next(&mut self, words: &str) -> Result<u64> {
        Ok(self.next_at(words)?.1)
    }

    fn next_at(&mut self, words: &str) -> Result<(Instant, u64)> {
        loop {
            let Ok((at, line)) = self.lines.recv_timeout(START) else {
                bail!("no figures from the peer; its last words: {}", self.last.join(" | "));
            };
            let number = line.split_once(words).and_then(|(_, rest)| rest.split_whitespace().next());
            if let Some(Ok(number)) = number.map(str::parse) {
                return Ok((at, number));
            }
            if self.last.len() == 12 {
                self.last.remove(0);
            }
            self.last.push(line);
        }
    }

    /// Packets per second between so many pairs of figures, after the first two that move: until then it warmed up, as Crossgate does for a
    /// window.
    fn rates(&mut self, words: &str, windows: usize) -> Result<Vec<f64>> {
        let mut shots: Vec<(Instant, u64)> = Vec::new();
        let began = Instant::now();
        while shots.len() < windows + 2 {
            let shot = self.next_at(words)?;
            if shot.1 > shots.last().map_or(0, |last| last.1) {
                shots.push(shot);
            }
            ensure!(
                began.elapsed() < START + Duration::from_secs(60),
                "the peer forwards nothing: {}",
                self.last.join(" | ")
            );
        }
        Ok(shots[1..].windows(2).map(|pair| rate(pair[0], pair[1])).collect())
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 packets")]
fn rate(before: (Instant, u64), after: (Instant, u64)) -> f64 {
    (after.1 - before.1) as f64 / (after.0 - before.0).as_secs_f64()
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
