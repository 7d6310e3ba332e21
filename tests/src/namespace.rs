//! Network namespaces and the veth cables between them. A namespace goes when its value is dropped, on a panic too,
//! and what a killed lab left behind goes when the next one starts. Names carry the process id, so that several labs
//! run side by side.

use crate::failure::{Failure, Result, Tried};
use crate::process::{self, Ended};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where iproute2 keeps the namespaces that have a name.
const NAMED: &str = "/run/netns";
/// Where iproute2 looks for files that programs in a namespace see in the place of those in `/etc`.
const FILES: &str = "/etc/netns";
/// The start of every name that this lab gives.
const PREFIX: &str = "crossgate-lab";

/// A network namespace of our own.
pub struct Namespace {
    name: String,
}

/// Who answers for an interface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// The kernel, as on any host.
    Kernel,
    /// A DPDK port: the kernel stays silent (no IPv6 of its own; IPv4 it has only by an address).
    Dpdk,
}

impl Namespace {
    /// Makes an empty namespace whose name ends in `label`.
    pub fn new(label: &str, stack: Stack) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        if !rustix::process::geteuid().is_root() {
            return Err(Failure::NotRoot);
        }
        SWEEP.call_once(sweep);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{label}", std::process::id());
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        ip(&["-n", namespace.name(), "link", "set", "lo", "up"])?;
        let settings: &[(&str, &str)] = match stack {
            // Addresses work at once (no duplicate detection), and nothing is filtered by its way back.
            Stack::Kernel => &[
                ("ipv6/conf/all/accept_dad", "0"),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv4/ping_group_range", "0 2147483647"),
            ],
            Stack::Dpdk => &[("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")],
        };
        for (key, value) in settings {
            namespace.set(key, value)?;
        }
        Ok(namespace)
    }

    /// The name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets a value under `/proc/sys/net` for this namespace.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{key}");
        let value = value.to_owned();
        self.within(move || fs::write(&path, value).tried(|| path))?
    }

    /// Runs `ip` with arguments in this namespace.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        let mut all = vec!["-n", self.name()];
        all.extend(arguments.split_whitespace());
        ip(&all)
    }

    /// Gives an interface an address with its prefix length.
    pub fn address(&self, device: &str, address: &str) -> Result<()> {
        let ipv6 = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {address} dev {device}{ipv6}")).map(drop)
    }

    /// Sends what is for `prefix` to `next_hop`.
    pub fn route(&self, prefix: &str, next_hop: &str) -> Result<()> {
        self.ip(&format!("route add {prefix} via {next_hop}")).map(drop)
    }

    /// The MAC address of an interface.
    pub fn mac(&self, device: &str) -> Result<[u8; 6]> {
        let text = self.ip(&format!("-brief link show dev {device}"))?;
        let found = text.split_whitespace().find_map(|word| {
            let bytes: Vec<u8> =
                word.split(':').map_while(|pair| u8::from_str_radix(pair, 16).ok()).collect();
            <[u8; 6]>::try_from(bytes).ok()
        });
        found.ok_or_else(|| Failure::Untrue(format!("{device} has no MAC address: {text}")))
    }

    /// Has programs that start in this namespace from now on know these names only, as `/etc/hosts` has them. Another text counts at once.
    pub fn hosts(&self, text: &str) -> Result<()> {
        let folder = Path::new(FILES).join(&self.name);
        let path = folder.join("hosts");
        // Written in place: programs that run have this very file in the place of theirs (ip-netns(8)).
        fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text)).tried(|| path.display().to_string())
    }

    /// A command that will run in this namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(), program]);
        command
    }

    /// Runs a command line (split at blanks) in this namespace; a status other than 0 is a failure.
    pub fn run(&self, line: &str) -> Result<String> {
        process::run(&mut self.words(line))
    }

    /// Runs a command line in this namespace, whatever its status.
    pub fn finish(&self, line: &str, limit: Duration) -> Result<Ended> {
        process::finish(&mut self.words(line), limit)
    }

    /// Runs `work` on a thread of its own inside this namespace: its sockets are this namespace's.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let name = self.name.clone();
        std::thread::spawn(move || {
            let handle = fs::File::open(Path::new(NAMED).join(&name)).tried(|| name.clone())?;
            let network = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(handle.as_fd(), network)
                .tried(|| format!("enter namespace {name}"))?;
            Ok(work())
        })
    }

    /// Runs `work` inside this namespace and waits for it.
    pub fn within<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        joined(self.thread(work))
    }

    fn words(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().unwrap_or("true"));
        command.args(words);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// The result of a thread of [`Namespace::thread`]; a panic there becomes one here.
pub fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Lays a cable: a veth pair with one end (namespace, interface name) on each side, both up, with `mtu_bytes`, and
/// with no offloads, so that what travels are the packets as they would be on a wire.
pub fn cable(a: (&Namespace, &str), b: (&Namespace, &str), mtu_bytes: u16) -> Result<()> {
    let mtu = mtu_bytes.to_string();
    #[rustfmt::skip]
    ip(&[
        "link", "add", a.1, "mtu", &mtu, "netns", a.0.name(), "type", "veth",
        "peer", "name", b.1, "mtu", &mtu, "netns", b.0.name(),
    ])?;
    for (namespace, device) in [a, b] {
        namespace.run(&format!("ethtool -K {device} tx off rx off tso off gso off gro off"))?;
        namespace.ip(&format!("link set {device} up"))?;
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<String> {
    process::run(Command::new("ip").args(arguments))
}

/// Removes the namespaces of labs whose process is gone.
fn sweep() {
    for entry in fs::read_dir(NAMED).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let owner = rest.split('-').nth(1).unwrap_or_default();
        if !Path::new("/proc").join(owner).exists() {
            remove(&name);
        }
    }
}

/// Ends what still runs in a namespace and removes it.
fn remove(name: &str) {
    let pids = ip(&["netns", "pids", name]).unwrap_or_default();
    for pid in pids.split_whitespace() {
        if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    let _ = ip(&["netns", "del", name]);
    let _ = fs::remove_dir_all(Path::new(FILES).join(name));
}
