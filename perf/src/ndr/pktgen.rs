//! A running Pktgen-DPDK as generator and sink, driven over its remote Lua socket (Pktgen's `-G` or `-g`): a script goes out, what it prints
//! comes back. Packets are those of a profile in `perf/pktgen/`, loaded beforehand; only rate, start, stop and counts are ours.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// What our scripts print in front of their figures.
const MARK: &str = "crossgate-ndr";
/// Time between the end of sending and counting, for packets on their way (RFC 2544, 23: two seconds).
const SETTLE: Duration = Duration::from_secs(2);
/// Longest that Pktgen may take beyond what it was told to wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where Pktgen listens, and which of its ports send and receive.
#[derive(Clone, Debug)]
pub(crate) struct Pktgen {
    pub(crate) address: String,
    pub(crate) send: u16,
    pub(crate) receive: u16,
}

/// What Pktgen counted in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// None, where this version of Pktgen does not tell scripts.
    pub(crate) latency: Option<ProbeLatency>,
}

/// What Pktgen's probes took from port to port, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeLatency {
    pub(crate) min_ns: u64,
    pub(crate) mean_ns: u64,
    pub(crate) max_ns: u64,
}

impl Pktgen {
    /// Sends at `percent` of the port's rate for so long, and counts.
    pub(crate) fn trial(&self, percent: f64, length: Duration) -> Result<Counts> {
        let lines = self.execute(&self.script(percent, length), length + SETTLE + PATIENCE)?;
        let line = lines.iter().find_map(|line| line.split_once(MARK)).with_context(|| {
            format!("Pktgen at {} did not print its counts, but: {}", self.address, lines.join(" | "))
        })?;
        counts(line.1)
    }

    fn script(&self, percent: f64, length: Duration) -> String {
        let Self { send, receive, .. } = self;
        let (length_ms, settle_ms) = (length.as_millis(), SETTLE.as_millis());
        // Whatever not every version has goes through pcall. Counts: one argument and a table within from 26.01 on, before that two and none.
        format!(
            "pktgen.stop(\"{send}\"); pktgen.clr(); pktgen.set(\"{send}\", \"rate\", {percent:.3}); \
             for _, p in ipairs({{ \"{send}\", \"{receive}\" }}) do pcall(pktgen.latency, p, \"enable\") end; \
             pktgen.start(\"{send}\"); pktgen.delay({length_ms}); pktgen.stop(\"{send}\"); pktgen.delay({settle_ms}); \
             local known, s = pcall(pktgen.portStats, \"all\"); \
             if not known then s = pktgen.portStats(\"all\", \"port\") end; \
             local out, back = s[{send}].curr or s[{send}], s[{receive}].curr or s[{receive}]; \
             local told, l = pcall(function() return pktgen.pktStats(\"{receive}\")[{receive}].latency end); \
             local words = \"\"; \
             if told and l and l.num_pkts and l.num_pkts > 0 then \
             words = string.format(\" %.0f %.0f %.0f\", 1000 * l.min_us, 1000 * l.avg_us, 1000 * l.max_us) end; \
             printf(\"{MARK} %d %d%s\\n\", out.opackets, back.ipackets, words);\n"
        )
    }

    /// Runs a script there; the lines that it printed, up to ours.
    fn execute(&self, script: &str, patience: Duration) -> Result<Vec<String>> {
        let stream = TcpStream::connect(&self.address).with_context(|| {
            format!(
                "reach Pktgen at {}: start it with -G, or give --pktgen the address of its socket",
                self.address
            )
        })?;
        stream.set_read_timeout(Some(patience))?;
        (&stream).write_all(script.as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut lines = Vec::new();
        for line in BufReader::new(&stream).lines() {
            lines.push(line.with_context(|| format!("Pktgen at {} fell silent", self.address))?);
            if lines.last().is_some_and(|line| line.contains(MARK)) {
                break;
            }
        }
        Ok(lines)
    }
}

fn counts(words: &str) -> Result<Counts> {
    let numbers: Vec<u64> = words.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let (sent, received, latency) = match numbers[..] {
        [sent, received] => (sent, received, None),
        [sent, received, min_ns, mean_ns, max_ns] => {
            (sent, received, Some(ProbeLatency { min_ns, mean_ns, max_ns }))
        }
        _ => bail!("Pktgen's counts are '{}'", words.trim()),
    };
    ensure!(sent > 0, "Pktgen sent nothing: load a profile of perf/pktgen first");
    Ok(Counts { sent, received, latency })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_script_goes_over_the_socket_and_its_counts_come_back() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut script = String::new();
            stream.read_to_string(&mut script).expect("the script, to its end");
            stream.write_all(b"Pktgen says hello\ncrossgate-ndr 1000 998\n").expect("answered");
            script
        });
        let pktgen = Pktgen { address, send: 0, receive: 1 };
        let counts = pktgen.trial(12.5, Duration::from_millis(250)).expect("counts");
        assert_eq!(counts, Counts { sent: 1000, received: 998, latency: None });
        let script = server.join().expect("the server ended");
        for part in ["\"rate\", 12.500", "delay(250)", "s[0].curr or s[0]", "s[1].curr or s[1]", "pktStats"] {
            assert!(script.contains(part), "{part} is not in {script}");
        }
    }

    #[test]
    fn latency_comes_with_versions_that_tell_it() {
        let latency = ProbeLatency { min_ns: 900, mean_ns: 4200, max_ns: 150_000 };
        let expected = Counts { sent: 10, received: 10, latency: Some(latency) };
        assert_eq!(counts(" 10 10 900 4200 150000").expect("counts"), expected);
    }

    #[test]
    fn other_answers_are_refused() {
        for words in ["", " 12", " x y", " 0 0", " nil nil", " 10 10 5"] {
            assert!(counts(words).is_err(), "'{words}'");
        }
    }
}
