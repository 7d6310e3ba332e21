//! The command line, and what `--help` says of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use crossgate_config::Choice as _;
use crossgate_config::peer_config::System;

/// Asks and tells a Crossgate VPN gateway.
#[derive(Debug, Parser)]
#[command(name = "crossgate", version, propagate_version = true, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The gateway's socket [default: $CROSSGATE_SOCKET, else the only one in /run/crossgate]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Print the answer as JSON, for programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to ask or tell.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The gateway as a whole
    Status,
    /// Virtual networks: address spaces, ports, gateways, peerings
    Networks,
    /// Gateways of virtual networks: sizes, addresses, how many connections are up, clients, traffic
    Gateways,
    /// One gateway with its connections; exit status 1 unless all of them are up
    Gateway {
        /// Its name
        name: String,
    },
    /// Local network gateways: where peers are, what is behind them, which connections lead there
    LocalNetworkGateways,
    /// All connections: state, peer, traffic, and why one is not up
    Connections,
    /// One connection with its Child SAs; exit status 1 unless it is up
    #[command(
        after_help = "Example, for a monitor:\n  crossgate connection a-to-b > /dev/null || echo 'a-to-b is down'"
    )]
    Connection {
        /// Its name
        name: String,
    },
    /// Child SAs: SPIs, algorithms, ages, traffic
    Sas,
    /// Ports: link, addresses, traffic, losses
    Ports,
    /// Workers: load, bursts, residence times; or where their cycles go
    #[command(
        after_help = "With --stages, workers measure one turn in sixteen for as long as somebody asks, and some seconds after.\n\n\
        Example, the costliest stage of each worker:\n  \
        crossgate --json workers --stages | jq '.[] | .stages | max_by(.percent)'"
    )]
    Workers {
        /// Cycles a packet of each stage, measured for a second
        #[arg(long)]
        stages: bool,
    },
    /// Counters that have moved, with what they mean and what to do
    #[command(
        after_help = "Example, what dropped packets:\n  crossgate --json counters | jq '.[] | select(.drop)'"
    )]
    Counters {
        /// Also those that have not moved
        #[arg(long)]
        all: bool,
    },
    /// A live view: rates of each connection, drops, load of the workers
    #[command(after_help = "Examples:\n  crossgate top\n  \
        crossgate --json top --count 60 | jq '.connections[] | {name, in_bits_per_s}'")]
    Top {
        /// Seconds between two looks
        #[arg(short, long, default_value_t = 1, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
        interval: u64,
        /// End after so many rates; by default it goes on until q or Ctrl-C
        #[arg(short = 'n', long, value_name = "NUMBER")]
        count: Option<u64>,
    },
    /// Delete the SAs of a connection, or of a gateway's connections, and bring them up anew
    #[command(after_help = "Examples:\n  crossgate reset a-to-b\n  crossgate reset --gateway gw")]
    Reset {
        #[command(flatten)]
        what: ResetWhat,
    },
    /// Replace a connection's SAs by fresh ones, without losing a packet
    Rekey {
        /// The connection's name
        connection: String,
        #[command(flatten)]
        what: What,
    },
    /// Make the gateway follow a configuration file: all of it, or nothing if it has errors
    #[command(
        after_help = "Connections, networks, addresses, routes and a smaller mtu_bytes change while the gateway runs. Whatever is in \
        [appliance], which ports there are, and a port's device are fixed when crossgated starts: a file that differs there is refused, \
        with every such setting, and takes a restart.\n\n\
        Example:\n  crossgate check gw.toml && crossgate apply gw.toml"
    )]
    Apply {
        /// The file, readable by the gateway
        file: PathBuf,
    },
    /// What applying a configuration file would change, in the order in which it would be carried out; exit status 5 if anything, 1 if it
    /// would be refused
    #[command(after_help = "Example:\n  crossgate diff gw.toml; [ $? -eq 5 ] && crossgate apply gw.toml")]
    Diff {
        /// The file, readable by the gateway
        file: PathBuf,
    },
    /// The running configuration as TOML; secrets by reference
    #[command(after_help = "Example:\n  crossgate export > gw.toml")]
    Export,
    /// The last 20 applied configurations, with who and when; or one of them as TOML
    History {
        /// Its number
        number: Option<u64>,
    },
    /// Go back to the configuration before the latest, or to one of the history
    #[command(after_help = "Examples:\n  crossgate rollback\n  crossgate history && crossgate rollback 17")]
    Rollback {
        /// Its number in the history
        number: Option<u64>,
    },
    /// What each gateway and connection has used: hours, and bytes sent into tunnels
    #[command(
        after_help = "Counted by the second and the byte of inner packets (with their padding), by day in UTC, kept for 400 days.\n\n\
        Examples:\n  crossgate usage\n  crossgate usage --by day --from 2026-10 --until 2026-10 --csv > october.csv"
    )]
    Usage {
        /// Sum over months or days
        #[arg(long, default_value = "month")]
        by: By,
        /// The first day or month [default: this month]
        #[arg(long, value_name = "DATE")]
        from: Option<String>,
        /// The last day or month [default: today]
        #[arg(long, value_name = "DATE")]
        until: Option<String>,
        /// Print comma-separated values, for spreadsheets
        #[arg(long)]
        csv: bool,
    },
    /// The other side's configuration for a connection, ready to paste
    #[command(after_help = "Examples:\n  crossgate peer-config a-to-b --for cisco-ios\n  \
        crossgate peer-config a-to-b --for strongswan --with-key > a-to-b.conf")]
    PeerConfig {
        /// The connection's name
        connection: String,
        /// The other side's system
        #[arg(long = "for", value_name = "SYSTEM", value_parser = systems())]
        system: String,
        /// Write the shared key out; only for those who may change the gateway, who then keep the output secret
        #[arg(long)]
        with_key: bool,
    },
    /// Check a configuration file and the secrets it refers to; needs no gateway
    #[command(after_help = "Example, findings as FILE:LINE for an editor:\n  \
        crossgate --json check gw.toml | jq -r '.[] | \"\\(.file):\\(.line): \\(.problem)\"'")]
    Check {
        /// The file
        file: PathBuf,
    },
    /// Sizes of gateways with their limits; needs no gateway
    #[command(
        after_help = "What is measured: one worker that seals packets of 1400 bytes (AES-256-GCM) between two ports in memory, held to the \
        size's bandwidth, for a second each. Beside a running gateway name a core that no worker has.\n\n\
        Example:\n  crossgate skus --measure --core 3"
    )]
    Skus {
        /// Also what one core of this machine does, held to each size
        #[arg(long)]
        measure: bool,
        /// The core to measure on; by default any
        #[arg(long, requires = "measure", value_name = "NUMBER")]
        core: Option<usize>,
    },
    /// Draft a configuration from an Azure Resource Manager template or a classic network configuration; needs no gateway
    #[command(after_help = "What could not be taken over goes to standard error, or into the JSON.\n\n\
        Example:\n  crossgate import template.json > gw.toml && crossgate check gw.toml")]
    Import {
        /// The template (JSON) or the network configuration (XML)
        file: PathBuf,
    },
    /// The gateway's log
    Log {
        /// Go on with what is logged from now on, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// How many lines to begin with
        #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
        lines: usize,
    },
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  crossgate completion bash > /etc/bash_completion.d/crossgate")]
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// What usage is summed over.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum By {
    /// Calendar months
    Month,
    /// Days
    Day,
}

/// Which SAs to rekey.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct What {
    /// The Child SAs (default)
    #[arg(long)]
    pub(crate) child: bool,
    /// The IKE SA
    #[arg(long)]
    pub(crate) ike: bool,
}

/// What to reset.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResetWhat {
    /// The connection's name
    pub(crate) connection: Option<String>,
    /// All connections of this gateway
    #[arg(long, value_name = "NAME")]
    pub(crate) gateway: Option<String>,
}

/// Systems that the other side may be.
fn systems() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(System::WORDS.iter().map(|(word, _)| *word))
}

/// Shells with a completion script.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
}

const AFTER_HELP: &str = "\
Exit status:
  0  the answer is good, or the command was carried out
  1  the answer is bad: the connection (one of the gateway) is not up, the configuration has errors
  2  wrong usage, or a name that the gateway does not know
  3  no gateway answers at the socket
  4  the gateway does not allow it, or does not speak this client's language
  5  diff: something would change

Examples:
  crossgate status
  crossgate --socket /run/crossgate/gw-a.sock connections
  crossgate check gw.toml && crossgate apply gw.toml
  crossgate --json sas | jq '.[].suite'
  crossgate log --follow";
