//! Hands the exact versions of what is measured to the program: those of Cargo.lock, and the compiler's.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Libraries that are rows of `kernels`, each with the variable that its version is read from.
const LIBRARIES: [(&str, &str); 3] =
    [("aes-gcm", "VERSION_AES_GCM"), ("ring", "VERSION_RING"), ("aws-lc-rs", "VERSION_AWS_LC_RS")];

fn main() {
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("Cargo sets CARGO_MANIFEST_DIR");
    let lock = Path::new(&manifest).join("../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    let text = fs::read_to_string(&lock)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", lock.display()));
    for (library, variable) in LIBRARIES {
        let version = locked(&text, library)
            .unwrap_or_else(|| panic!("{} does not lock one version of {library}", lock.display()));
        println!("cargo:rustc-env={variable}={version}");
    }
    let rustc = env::var("RUSTC").expect("Cargo sets RUSTC");
    let told = Command::new(&rustc).arg("--version").output().expect("the compiler runs");
    let told = String::from_utf8(told.stdout).expect("its version is text");
    let version = told.split_whitespace().nth(1).expect("rustc 1.2.3 (..)");
    println!("cargo:rustc-env=VERSION_RUSTC={version}");
}

/// The version of a package; `None` if it has none or several.
fn locked<'t>(text: &'t str, package: &str) -> Option<&'t str> {
    let name = format!("name = \"{package}\"");
    let mut found = text.lines().zip(text.lines().skip(1)).filter(|(line, _)| *line == name);
    let (_, next) = found.next().filter(|_| found.next().is_none())?;
    next.strip_prefix("version = \"")?.strip_suffix('"')
}
