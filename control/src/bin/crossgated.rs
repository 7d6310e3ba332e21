//! The gateway: reads its configuration, starts DPDK, ports and workers, and runs the control thread until it is asked to end.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use crossgate::console::journal::Journal;
use crossgate::fleet::{Fleet, Launched};
use crossgate::gateway::{Gateway, Parts};
use crossgate::pool::Pool;
use crossgate::reactor::{End, Reactor};
use crossgate::reconcile::log_findings;
use crossgate::resolver::Resolver;
use crossgate::store::Store;
use crossgate_config::{Config, Environment};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Threads for Diffie-Hellman beside the control thread.
const POOL_THREADS: usize = 1;
/// The configuration is wrong.
const EXIT_CONFIG: u8 = 1;
/// The gateway could not start, or had to end.
const EXIT_FAILED: u8 = 4;

/// The Crossgate VPN gateway.
///
/// Runs in the foreground and logs to standard error. SIGHUP reads the configuration again and carries out the difference; SIGTERM and
/// SIGINT delete every SA at its peer and end.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 asked to end, 1 the configuration is wrong, 2 wrong usage, 4 cannot start or had to end.

Examples:
  crossgated /etc/crossgate/crossgate.toml
  CROSSGATE_LOG=debug crossgated gw.toml --log-format json"
)]
struct Arguments {
    /// The configuration (TOML). `crossgate check FILE` tells what is wrong with one.
    #[arg(value_name = "FILE", default_value = "/etc/crossgate/crossgate.toml")]
    config: PathBuf,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or filters such as `crossgate=debug,warn`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "CROSSGATE_LOG")]
    log: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let checked = match Config::read(&arguments.config, &Environment::of_process()) {
        Ok(checked) => checked,
        Err(findings) => {
            eprintln!("{findings}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if let Err(error) = forbid_core_dumps() {
        eprintln!(
            "core dumps could not be forbidden ({error}): keys may be written to disk if the gateway crashes"
        );
    }
    let journal = Journal::default();
    if let Err(error) = start_log(&arguments, journal.clone()) {
        eprintln!("--log {}: {error}", arguments.log);
        return ExitCode::from(2);
    }
    log_findings(&checked.warnings);
    match run(&arguments, checked.config, journal) {
        Ok(End::Asked) => ExitCode::SUCCESS,
        Ok(End::ThreadDied) => {
            tracing::error!("a thread ended by itself: ending, so that no traffic is lost in silence");
            ExitCode::from(EXIT_FAILED)
        }
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Keys live in this process's memory: no crash may write them to disk.
fn forbid_core_dumps() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

fn start_log(arguments: &Arguments, journal: Journal) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = || EnvFilter::try_new(&arguments.log);
    let colours = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    let lines = match arguments.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter()?))
        .with(journal.with_filter(filter()?))
        .init();
    Ok(())
}

fn run(arguments: &Arguments, config: Config, journal: Journal) -> anyhow::Result<End> {
    let appliance = config.appliance().clone();
    let mut reactor = Reactor::new().context("taking over signals")?;
    let mut console = reactor.console(&appliance.socket).with_context(|| {
        format!(
            "console socket {}: set appliance.socket to a path of this gateway's own",
            appliance.socket.display()
        )
    })?;
    let waker = std::sync::Arc::new(reactor.waker().context("making a waker")?);
    let wake = move || {
        // The loop looks by itself within a millisecond, so a lost wake-up costs no more than that.
        drop(waker.wake());
    };
    let resolver = Resolver::new(wake.clone());
    let pool = Pool::start(POOL_THREADS, wake).context("starting the pool")?;
    let Launched { fleet, workers, facts, buffers, sa_slots, kernel } =
        Fleet::launch(&config).context("starting the data plane")?;
    let control_core = core_affinity::CoreId { id: appliance.control_core.0.into() };
    if !core_affinity::set_for_current(control_core) {
        tracing::warn!(core = appliance.control_core.0, "the control thread could not be pinned to its core");
    }
    let store = Store::open(&appliance.store);
    if let Err(error) = &store {
        tracing::error!("{error}: no history is kept; {}", error.remedy());
    }
    let config_file = std::path::absolute(&arguments.config).context("the configuration's path")?;
    let parts = Parts {
        config,
        config_file,
        fleet,
        workers,
        facts,
        buffers,
        sa_slots,
        kernel,
        pool,
        resolver,
        journal,
        store,
    };
    let mut gateway = Gateway::new(parts);
    gateway.start().context("applying the configuration")?;
    tracing::info!(name = %appliance.name, socket = %appliance.socket.display(), "the gateway runs");
    let end = reactor.run(&mut gateway, &mut console).context("waiting for events")?;
    gateway.stop();
    tracing::info!("the gateway has ended");
    Ok(end)
}
