//! A Linux guest under QEMU with Debian's stock kernel, for what the host's kernel may lack: ESP of its own. Its root
//! is the host's, read-only over 9p beneath an overlay in memory, so whatever is installed here runs there. QEMU
//! emulates (no KVM needed): right for behaviour, useless for rates.

mod kernel;

use crate::failure::{Failure, Result, Tried};
use crate::namespace::Namespace;
use crate::newer;
use crate::process::{self, Process};
use crate::wait::{Look, until};
use kernel::Kernel;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A boot takes about 10 s; more if the machine is busy.
const BOOT: Duration = Duration::from_secs(120);
/// For one command in the guest.
const PATIENCE: Duration = Duration::from_secs(120);

/// A guest that runs; it is gone when dropped.
pub struct Guest {
    process: std::cell::RefCell<Process>,
    folder: tempfile::TempDir,
    count: AtomicU32,
    is_newer: bool,
}

/// A network card of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// virtio: the guest's kernel drives it.
    Virtio,
    /// Intel 82574, behind a virtual IOMMU: for DPDK in the guest, by way of vfio-pci.
    E1000e,
    /// Intel 82576, which has virtual functions, behind a virtual IOMMU; QEMU has it from version 8.
    Igb,
}

impl Card {
    /// Whether the QEMU of this machine has it.
    pub fn exists(self) -> Result<bool> {
        let all = process::run(Command::new("qemu-system-x86_64").args(["-device", "help"]))?;
        Ok(all.contains(&format!("name \"{}\"", self.model())))
    }

    fn model(self) -> &'static str {
        match self {
            Self::Virtio => "virtio-net-pci",
            Self::E1000e => "e1000e",
            Self::Igb => "igb",
        }
    }
}

impl Guest {
    /// Boots a guest in `namespace`, where each of `taps` is made; they are the guest's eth0, eth1 and so on, up and
    /// without an address.
    pub fn boot(namespace: &Namespace, taps: &[&str]) -> Result<Self> {
        let cards: Vec<(&str, Card)> = taps.iter().map(|tap| (*tap, Card::Virtio)).collect();
        Self::boot_with(namespace, &cards)
    }

    /// The same with a choice of cards.
    pub fn boot_with(namespace: &Namespace, cards: &[(&str, Card)]) -> Result<Self> {
        Self::start(namespace, cards, &Kernel::cached()?, None)
    }

    /// Boots one as [`Guest::boot`] does whose root has what is in the folder `layer` over what the host has.
    pub fn boot_with_layer(namespace: &Namespace, taps: &[&str], layer: &Path) -> Result<Self> {
        let cards: Vec<(&str, Card)> = taps.iter().map(|tap| (*tap, Card::Virtio)).collect();
        Self::start(namespace, &cards, &Kernel::cached()?, Some(layer))
    }

    /// Boots one as [`Guest::boot`] does with the kernel of a newer Debian than this machine's, and strongSwan from there.
    pub fn boot_newer(namespace: &Namespace, taps: &[&str]) -> Result<Self> {
        let cards: Vec<(&str, Card)> = taps.iter().map(|tap| (*tap, Card::Virtio)).collect();
        let guest = Self::start(namespace, &cards, &Kernel::newer()?, Some(&newer::layer()?))?;
        let root = newer::IN_GUEST;
        guest.run(&format!("for place in proc sys dev tmp; do mount --rbind /$place {root}/$place; done"))?;
        Ok(Self { is_newer: true, ..guest })
    }

    /// What runs a program of the newer Debian in a guest of [`Guest::boot_newer`]; nothing in others.
    pub(crate) const fn prefix(&self) -> &'static str {
        if self.is_newer { newer::PREFIX } else { "" }
    }

    fn start(
        namespace: &Namespace,
        cards: &[(&str, Card)],
        kernel: &Kernel,
        layer: Option<&Path>,
    ) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("guest").tempdir().tried(|| "a folder for a guest".into())?;
        let initrd = kernel.initrd(folder.path(), FIRST_STAGE)?;
        let share = folder.path().join("share");
        fs::create_dir(&share).tried(|| share.display().to_string())?;
        fs::write(share.join("init"), SECOND_STAGE).tried(|| share.display().to_string())?;
        for (tap, _) in cards {
            namespace.ip(&format!("tuntap add {tap} mode tap"))?;
            namespace.ip(&format!("link set {tap} up"))?;
        }
        let mut command = namespace.command("qemu-system-x86_64");
        command.args(arguments(kernel, &initrd, &share, cards, layer));
        let process = Process::start("QEMU", &command, &folder.path().join("qemu"))?;
        let guest = Self {
            process: std::cell::RefCell::new(process),
            folder,
            count: AtomicU32::new(0),
            is_newer: false,
        };
        until("the guest to be up", BOOT, || {
            guest.process.borrow_mut().must_run()?;
            Ok(Look::when(guest.share().join("up").exists(), || guest.console()))
        })?;
        Ok(guest)
    }

    /// A folder of the host that the guest sees as /share.
    #[must_use]
    pub fn share(&self) -> PathBuf {
        self.folder.path().join("share")
    }

    /// Runs a shell script in the guest, as root; a status other than 0 is a failure. Returns what it wrote.
    pub fn run(&self, script: &str) -> Result<String> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let file = |name: &str| self.share().join(format!("{name}.{number}"));
        // The guest takes up what is called cmd.0, cmd.1 and so on: it gets that name when it is complete.
        fs::write(file("new"), script)
            .and_then(|()| fs::rename(file("new"), file("cmd")))
            .tried(|| file("cmd").display().to_string())?;
        let status = until(&format!("the guest to run: {script}"), PATIENCE, || {
            self.process.borrow_mut().must_run()?;
            let status = fs::read_to_string(file("status")).unwrap_or_default();
            Ok(if status.ends_with('\n') { Look::Holds(status) } else { Look::NotYet(self.console()) })
        })?;
        let output = fs::read(file("output")).tried(|| file("output").display().to_string())?;
        let output = String::from_utf8_lossy(&output).into_owned();
        match status.trim() {
            "0" => Ok(output),
            status => Err(Failure::Command {
                command: format!("in the guest: {script}"),
                status: status.to_owned(),
                output,
            }),
        }
    }

    /// What the guest's kernel wrote to its console.
    #[must_use]
    pub fn console(&self) -> String {
        fs::read(self.folder.path().join("console"))
            .map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn arguments(
    kernel: &Kernel,
    initrd: &Path,
    share: &Path,
    cards: &[(&str, Card)],
    layer: Option<&Path>,
) -> Vec<String> {
    let console = share.with_file_name("console");
    let for_dpdk = cards.iter().any(|(_, card)| *card != Card::Virtio);
    let mut arguments: Vec<String> = format!(
        "-machine q35 -accel tcg,thread=multi -cpu max -m {} -smp 2 -display none -monitor none -no-reboot \
         -nodefaults -serial file:{} -kernel {} -initrd {}",
        if for_dpdk { 2048 } else { 1024 },
        console.display(),
        kernel.image().display(),
        initrd.display()
    )
    .split_whitespace()
    .map(str::to_owned)
    .collect();
    arguments.push("-append".to_owned());
    arguments.push(
        "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off intel_iommu=on iommu=pt".to_owned(),
    );
    if for_dpdk {
        arguments.extend(["-device".to_owned(), "intel-iommu".to_owned()]);
    }
    let folders = [
        ("root", Path::new("/"), ",readonly=on"),
        ("share", share, ""),
        ("mods", kernel.modules(), ",readonly=on"),
    ];
    for (tag, path, how) in folders.into_iter().chain(layer.map(|path| ("layer", path, ",readonly=on"))) {
        let path = path.display();
        arguments.push("-fsdev".to_owned());
        arguments.push(format!("local,id={tag},path={path},security_model=none,multidevs=remap{how}"));
        arguments.push("-device".to_owned());
        arguments.push(format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"));
    }
    for (number, (tap, card)) in cards.iter().enumerate() {
        let mut device =
            format!("{},netdev=n{number},mac=52:54:00:00:01:{number:02x},romfile=", card.model());
        if *card == Card::Igb {
            // Virtual functions need a bus of their own.
            arguments.push("-device".to_owned());
            arguments.push(format!("pcie-root-port,id=bus{number},chassis={number},slot={number}"));
            let _ = write!(device, ",bus=bus{number}");
        }
        arguments.push("-netdev".to_owned());
        arguments.push(format!("tap,id=n{number},ifname={tap},script=no,downscript=no"));
        arguments.push("-device".to_owned());
        arguments.push(device);
    }
    arguments
}

/// In the initramfs: mounts the host's root under an overlay and goes there.
const FIRST_STAGE: &str = r"#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev /host /layer /top /new
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read module; do
    insmod /modules/$module || echo insmod $module failed
done < /order
p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o ro,cache=loose,$p9 root /host || exec sh
lower=/host
mount -t 9p -o ro,cache=loose,$p9 layer /layer 2> /dev/null && lower=/layer:/host
mount -t tmpfs top /top
mkdir /top/upper /top/work
mount -t overlay -o lowerdir=$lower,upperdir=/top/upper,workdir=/top/work root /new || exec sh
mkdir -p /new/share /new/lib/modules
for place in proc sys dev; do mount --move /$place /new/$place; done
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts pts /new/dev/pts
for place in run tmp dev/shm; do mount -t tmpfs tmp /new/$place; done
mount -t 9p -o cache=none,$p9 share /new/share
mount -t 9p -o ro,cache=loose,$p9 mods /new/lib/modules
exec switch_root /new /bin/bash /share/init
";

/// In the guest's root: brings the interfaces up, then runs what is put into /share. It starts
/// no program for that: one takes an emulated processor a fifth of a second.
const SECOND_STAGE: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ln -s /proc/self/fd /dev/fd
hostname guest
sysctl -q net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
for device in lo $(cd /sys/class/net; echo eth*); do
    ip link set $device up
    ethtool -K $device tx off rx off tso off gso off gro off 2> /dev/null
done
cd /tmp
exec 9<> <(:)
touch /share/up
answer() {
    (. /share/cmd.$1) > /share/output.$1 2>&1 < /dev/null 9>&-
    echo $? > /share/status.$1
}
next=0
while :; do
    while [ -e /share/cmd.$next ]; do
        answer $next &
        next=$((next + 1))
    done
    read -rt 0.05 -u 9
done
"#;
