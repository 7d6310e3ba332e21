//! Debian's stock kernel for the guest: fetched once with apt, unpacked (not installed) into the build's target
//! folder, and the small initramfs that leads from it to the host's root.

use crate::failure::{Failure, Result, Tried};
use crate::process;
use crate::{newer, store};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules that the initramfs needs: disk by 9p, root by overlay, and the network.
const MODULES: [&str; 6] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_net", "virtio_rng"];

/// An unpacked kernel package.
pub(super) struct Kernel {
    folder: PathBuf,
    modules: PathBuf,
    version: String,
}

impl Kernel {
    /// The kernel in the cache, fetched if it is not there.
    pub(super) fn cached() -> Result<Self> {
        let folder = store::folder()?.join("kernel");
        if !folder.exists() {
            fetch(&folder)?;
        }
        Self::of(folder)
    }

    /// That of a newer Debian than this machine's.
    pub(super) fn newer() -> Result<Self> {
        Self::of(newer::kernel()?)
    }

    fn of(folder: PathBuf) -> Result<Self> {
        let modules = folder.join("lib/modules");
        let version = only_entry(&modules)?;
        Ok(Self { folder, modules, version })
    }

    /// The folder with its modules.
    pub(super) fn modules(&self) -> &Path {
        &self.modules
    }

    /// The bootable image.
    pub(super) fn image(&self) -> PathBuf {
        let image = self.folder.join("boot").join(format!("vmlinuz-{}", self.version));
        // Debian 14 has it beside the modules.
        if image.exists() { image } else { self.modules.join(&self.version).join("vmlinuz") }
    }

    /// Builds an initramfs with busybox, the modules in their order, and `init`; returns its path in `folder`.
    pub(super) fn initrd(&self, folder: &Path, init: &str) -> Result<PathBuf> {
        let root = folder.join("initramfs");
        let busybox = shell("command -v busybox").map_err(|_| missing("busybox"))?;
        let order = self.load_order()?;
        let written = || -> std::io::Result<()> {
            fs::create_dir_all(root.join("bin"))?;
            fs::create_dir(root.join("modules"))?;
            fs::copy(busybox.trim(), root.join("bin/busybox"))?;
            let mut names = String::new();
            for (name, module) in &order {
                fs::write(root.join("modules").join(name), module)?;
                names.push_str(name);
                names.push('\n');
            }
            fs::write(root.join("order"), names)?;
            fs::write(root.join("init"), init)?;
            fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))
        };
        written().tried(|| root.display().to_string())?;
        let image = folder.join("initrd");
        shell(&format!("cd {} && find . | cpio --quiet -oH newc > {}", root.display(), image.display()))?;
        Ok(image)
    }

    /// The modules in the order in which they load: names of files, and what is in them.
    fn load_order(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut command = Command::new("modprobe");
        command.args(["-a", "-D", "-d"]).arg(&self.folder).args(["-S", &self.version]).args(MODULES);
        let listed = process::run(&mut command)?;
        let mut seen = HashSet::new();
        let files = listed.lines().filter_map(|line| line.strip_prefix("insmod ")?.split_whitespace().next());
        files.filter(|file| seen.insert(*file)).map(|file| module(Path::new(file))).collect()
    }
}

/// A module's name and bytes. Debian 13 packs its modules, which not every busybox can load.
fn module(file: &Path) -> Result<(String, Vec<u8>)> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let Some(unpacked) = name.strip_suffix(".xz") else {
        return Ok((name.to_string(), fs::read(file).tried(|| file.display().to_string())?));
    };
    let xz = Command::new("xz").arg("-dc").arg(file).output().map_err(|_| missing("xz"))?;
    match xz.status.success() {
        true => Ok((unpacked.to_owned(), xz.stdout)),
        false => Err(Failure::Untrue(format!("{}: {}", file.display(), String::from_utf8_lossy(&xz.stderr)))),
    }
}

/// Fetches the package that linux-image-amd64 stands for and unpacks it as `folder`, all or nothing.
fn fetch(folder: &Path) -> Result<()> {
    let depends = process::run(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?;
    let package = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
        .ok_or_else(|| Failure::Untrue("apt knows no linux-image-amd64: run 'apt-get update'".to_owned()))?;
    let (place, new) = store::draft(folder)?;
    // apt fetches as the user _apt, who may not write here; it says so and fetches as root.
    process::run(Command::new("apt-get").args(["-qq", "download", package]).current_dir(place.path()))?;
    shell(&format!("dpkg -x {}/{package}_*.deb {}", place.path().display(), new.display()))?;
    // Debian 13 has in /usr/lib what Debian 12 has in /lib.
    if !new.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", new.join("lib")).tried(|| new.display().to_string())?;
    }
    let version = only_entry(&new.join("lib/modules"))?;
    process::run(Command::new("depmod").arg("-b").arg(&new).arg(version))?;
    store::keep(&new, folder)
}

fn only_entry(folder: &Path) -> Result<String> {
    let entry = fs::read_dir(folder).tried(|| folder.display().to_string())?.flatten().next();
    entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).ok_or_else(|| {
        Failure::Untrue(format!("{} is empty: remove the folder 'kernel' above it", folder.display()))
    })
}

fn shell(script: &str) -> Result<String> {
    process::run(Command::new("sh").args(["-c", script]))
}

fn missing(program: &str) -> Failure {
    Failure::Missing { program: program.to_owned(), source: std::io::ErrorKind::NotFound.into() }
}
