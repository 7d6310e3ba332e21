//! The command line, and what `--help` says of it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Workers: load, bursts, residence times
    Workers,
    /// Counters that have moved, with what they mean and what to do
    #[command(
        after_help = "Example, what dropped packets:\n  crossgate --json counters | jq '.[] | select(.drop)'"
    )]
    Counters {
        /// Also those that have not moved
        #[arg(long)]
        all: bool,
    },
    /// Delete a connection's SAs and bring it up anew
    Reset {
        /// The connection's name
        connection: String,
    },
    /// Replace a connection's SAs by fresh ones, without losing a packet
    Rekey {
        /// The connection's name
        connection: String,
        #[command(flatten)]
        what: What,
    },
    /// Make the gateway follow a configuration file: all of it, or nothing if it has errors
    #[command(after_help = "Example:\n  crossgate check gw.toml && crossgate apply gw.toml")]
    Apply {
        /// The file, readable by the gateway
        file: PathBuf,
    },
    /// Check a configuration file and the secrets it refers to; needs no gateway
    #[command(after_help = "Example, findings as FILE:LINE for an editor:\n  \
        crossgate --json check gw.toml | jq -r '.[] | \"\\(.file):\\(.line): \\(.problem)\"'")]
    Check {
        /// The file
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

/// Shells with a completion script.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
}

const AFTER_HELP: &str = "\
Exit status:
  0  the answer is good, or the command was carried out
  1  the answer is bad: the connection is not up, the configuration has errors
  2  wrong usage, or a name that the gateway does not know
  3  no gateway answers at the socket
  4  the gateway does not allow it, or does not speak this client's language

Examples:
  crossgate status
  crossgate --socket /run/crossgate/gw-a.sock connections
  crossgate check gw.toml && crossgate apply gw.toml
  crossgate --json sas | jq '.[].suite'
  crossgate log --follow";
