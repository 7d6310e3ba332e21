//! Finds the installed DPDK by pkg-config, generates the bindings with bindgen and compiles the bodies of DPDK's
//! inline functions. A missing package is an error that names it.

use std::{env, panic, path::PathBuf};

/// All that the safe face calls, by DPDK's own prefixes; `shim_` is ours (shim.h).
const FUNCTIONS: &[&str] = &[
    "shim_.*",
    "rte_eal_(init|cleanup)",
    "rte_strerror",
    "rte_log_set_(global_level|level_pattern)",
    "rte_thread_(register|unregister)",
    "rte_lcore_id",
    "rte_socket_id",
    "rte_rdtsc",
    "rte_get_tsc_hz",
    "rte_dev_(probe|remove|name)",
    "rte_pktmbuf_(pool_create|alloc|alloc_bulk|free|free_bulk)",
    "rte_mempool_(free|avail_count|in_use_count)",
    "rte_ring_(create|free|enqueue_burst|dequeue_burst|count|free_count)",
    "rte_eth_(rx_burst|tx_burst|tx_prepare|from_rings|find_next|stats_get|stats_reset|macaddr_get)",
    "rte_eth_((promiscuous|allmulticast)_(enable|disable)|xstats_get|xstats_get_names)",
    "rte_eth_dev_(info_get|configure|start|stop|close|get_port_by_name|get_name_by_port|socket_id)",
    "rte_eth_dev_(get_mtu|set_mtu|adjust_nb_rx_tx_desc|is_valid_port)",
    "rte_eth_(rx|tx)_queue_setup",
    "rte_flow_(create|destroy|flush)",
    "rte_ip_frag_table_(create|destroy|del_expired_entries)",
    "rte_ip_frag_free_death_row",
    "rte_ipv4_fragment_copy_nonseg_packet",
    "rte_ipv6_fragment_packet",
    "rte_meter_srtcm_(config|profile_config|color_blind_check)",
];

fn main() {
    println!("cargo:rerun-if-changed=shim.h");
    let dpdk = pkg_config::Config::new().atleast_version("22.11").probe("libdpdk").unwrap_or_else(|error| {
        panic!("DPDK 22.11 or later is needed: apt-get install libdpdk-dev pkg-config\n{error}")
    });
    // The in-memory ports are made by a call into this driver; it is not among the libraries that pkg-config lists.
    println!("cargo:rustc-link-lib=rte_net_ring");

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let shim = out.join("shim.c");
    let includes: Vec<String> =
        dpdk.include_paths.iter().map(|path| format!("-I{}", path.display())).collect();
    require_libclang();
    let mut builder = bindgen::Builder::default()
        .header("shim.h")
        .clang_args(&includes)
        .clang_args(["-include", "rte_config.h", "-DALLOW_EXPERIMENTAL_API"])
        .clang_args(least_cpu())
        .wrap_static_fns(true)
        .wrap_static_fns_path(&shim)
        .wrap_static_fns_suffix("__inline")
        .allowlist_var("SHIM_.*|RTE_(ETH_NAME_MAX_LEN|MAX_ETHPORTS|VER_.*)")
        .allowlist_type("rte_flow_item_(esp|udp)|rte_flow_action_queue|rte_flow_(item|action)_type")
        .allowlist_type("shim_mbuf_layout|rte_log_level")
        // Ours, in layout.rs: bindgen's names for the anonymous unions change from release to release.
        .blocklist_type("rte_mbuf")
        .raw_line("use crate::layout::rte_mbuf;")
        .opaque_type("rte_mempool|rte_ring|rte_ip_frag_tbl")
        .derive_default(false)
        .prepend_enum_name(false)
        .rust_target(bindgen::RustTarget::stable(85, 0).expect("a target that bindgen knows"))
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate_comments(false);
    for pattern in FUNCTIONS {
        builder = builder.allowlist_function(pattern);
    }
    builder
        .generate()
        .unwrap_or_else(|error| {
            panic!("DPDK's headers cannot be read (apt-get install libclang-dev libdpdk-dev, or a DPDK this crate does not know): {error}")
        })
        .write_to_file(out.join("bindings.rs"))
        .expect("OUT_DIR is writable");

    let mut cc = cc::Build::new();
    cc.file(&shim).include(env!("CARGO_MANIFEST_DIR")).includes(&dpdk.include_paths).warnings(false);
    cc.flag("-include").flag("rte_config.h").flag("-O2");
    if let Some(flag) = least_cpu() {
        cc.flag(flag);
    }
    cc.define("ALLOW_EXPERIMENTAL_API", None);
    cc.try_compile("dpdk_inline").unwrap_or_else(|error| {
        panic!(
            "DPDK's inline functions do not compile (no C compiler? apt-get install build-essential): {error}"
        )
    });
}

/// The compiler's flag for the least CPU that DPDK's headers want, where that is more than the target's own.
fn least_cpu() -> Option<&'static str> {
    let target = env::var("CARGO_CFG_TARGET_ARCH").expect("Cargo sets CARGO_CFG_TARGET_ARCH");
    (target == "x86_64").then_some("-march=x86-64-v2")
}

/// bindgen panics with its own words when libclang is absent; this names the package instead.
fn require_libclang() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let found = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    if found.is_err() {
        panic!("libclang is needed to generate the DPDK bindings: apt-get install libclang-dev");
    }
}
