//! Two gateways as operators run them, `crossgated` twice with a tunnel between, in network namespaces; and this program once more, in a third, as the
//! generator at their inner sides: three DPDK processes.
//!
//! ```text
//! generator (near) --veth-- gateway 1 --veth, ESP-- gateway 2 --veth-- (far) generator
//! ```

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use crossgate_tests::gateway::{Gateway, Plan, program};
use crossgate_tests::namespace::{Namespace, Stack, cable};

use super::Found;

/// Of every port: rings that hold 8 milliseconds of half a million packets a second.
const DEVICE_ARGUMENTS: &str = ",blocksz=4096,framesz=2048,framecnt=4096,qdisc_bypass=1";
/// So many flows come from 10.1.1.1 on: the site's hosts are all on its link.
const LAN: [&str; 2] = ["10.{}.0.1/16", "fd00:{}::1/64"];

/// Whether the gateway's program was built beside this one.
pub(super) fn is_here() -> bool {
    program("crossgated").is_ok() && program("crossgate").is_ok()
}

/// Starts both, lets the generator search with these arguments, and ends them.
pub(super) fn search(arguments: &[String]) -> Result<Found> {
    let place = |label| Namespace::new(label, Stack::Dpdk);
    let (one, two, outside) = (place("gateway-1")?, place("gateway-2")?, place("generator")?);
    cable((&one, "wan"), (&two, "wan"), 1500)?;
    cable((&one, "lan"), (&outside, "near"), 1500)?;
    cable((&two, "lan"), (&outside, "far"), 1500)?;
    let second = Gateway::start(&two, plan(2).with_mode("ResponderOnly"))?;
    let first = Gateway::start(&one, plan(1))?;
    first.is("peer", "up")?;
    let own = std::env::current_exe()?;
    let mut command = outside.command(own.to_str().context("the path of this program is no text")?);
    command.args(["ndr", "--found"]);
    for (number, interface) in ["near", "far"].into_iter().enumerate() {
        command.arg("--device").arg(format!("net_af_packet{number},iface={interface}{DEVICE_ARGUMENTS}"));
    }
    let done = command.args(arguments).stdout(Stdio::piped()).spawn()?.wait_with_output()?;
    ensure!(done.status.success(), "the generator ended with {}", done.status);
    let found = serde_json::from_slice(&done.stdout).context("the generator printed no result")?;
    first.stop()?;
    second.stop()?;
    Ok(found)
}

/// A gateway whose size does not hold it back, with all hosts of its site on the link.
fn plan(number: u8) -> Plan {
    Plan {
        sku: "VpnGw5".to_owned(),
        device_arguments: DEVICE_ARGUMENTS.to_owned(),
        lan: LAN.map(|address| address.replace("{}", &number.to_string())).to_vec(),
        ..Plan::site(number)
    }
}
