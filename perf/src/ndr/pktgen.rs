//! A running Pktgen-DPDK as generator and sink, driven over its remote Lua socket (Pktgen's `-G` or `-g`): a line of Lua goes out, what it
//! writes comes back. Only what every version of Pktgen has is taken for granted: `printf` and whatever else its `Pktgen.lua` defines is
//! not, since that is loaded by those scripts only that ask for it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::generator::Profile;
use crate::bed::traffic::Traffic;
use crate::machine::report_precision;

/// What our lines write in front of their answers.
const MARK: &str = "crossgate-ndr";
/// Time between the end of sending and counting, for packets on their way (RFC 2544, 23: two seconds).
const SETTLE: Duration = Duration::from_secs(2);
/// Pktgen looks at its ports' counters once a second.
const LOOKS: Duration = Duration::from_millis(1100);
/// Most looks until the counters stand still.
const MOST_LOOKS: usize = 10;
/// Longest that a line may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection to Pktgen's socket, which serves one at a time. Sending ends with it.
pub(crate) struct Pktgen {
    address: String,
    send: u16,
    receive: u16,
    stream: BufReader<TcpStream>,
}

/// What Pktgen counted in a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// From before the start of sending until after its end, in seconds.
    pub(crate) seconds: f64,
    /// None, where this version of Pktgen does not tell scripts.
    pub(crate) latency: Option<ProbeLatency>,
}

impl Counts {
    pub(crate) fn sent_pps(self) -> f64 {
        report_precision(self.sent) / self.seconds
    }

    pub(crate) fn received_pps(self) -> f64 {
        report_precision(self.received) / self.seconds
    }

    pub(crate) fn lossless(self) -> bool {
        self.sent > 0 && self.received >= self.sent
    }
}

/// What Pktgen's probes took from port to port, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeLatency {
    pub(crate) min_ns: u64,
    pub(crate) mean_ns: u64,
    pub(crate) max_ns: u64,
}

impl Pktgen {
    /// Connects to `address`, for Pktgen's ports that send and receive.
    pub(crate) fn connect(address: &str, send: u16, receive: u16) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| {
            format!("reach Pktgen at {address}: start it with -G, or give --pktgen the address of its socket")
        })?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { address: address.to_owned(), send, receive, stream: BufReader::new(stream) })
    }

    /// Its name and version, as it says them.
    pub(crate) fn version(&mut self) -> Result<String> {
        self.run("return pktgen.info.Pktgen_Version")
    }

    /// Has it load the clear side's profile.
    pub(crate) fn load(&mut self, profile: Profile) -> Result<()> {
        let Profile { traffic, family, flows } = profile;
        let size = match traffic {
            Traffic::Fixed(bytes) => bytes.to_string(),
            Traffic::Imix => "\"imix\"".to_owned(),
        };
        let (family, send, receive) = (family.number(), self.send, self.receive);
        self.run(&format!(
            "size, flows, family, send, receive = {size}, {flows}, {family}, \"{send}\", \"{receive}\" \
             dofile((profiles or \"perf/pktgen/dpdk/\") .. \"clear.lua\")"
        ))
        .map(drop)
    }

    /// Sends at `percent` of the port's rate for so long, and counts.
    pub(crate) fn trial(&mut self, percent: f64, length: Duration) -> Result<Counts> {
        let (send, receive) = (self.send, self.receive);
        // Not every version has `latency`.
        self.run(&format!(
            "pktgen.stop(\"{send}\") pktgen.clr() pktgen.set(\"{send}\", \"rate\", {percent:.4}) \
             for _, port in ipairs({{ \"{send}\", \"{receive}\" }}) do pcall(pktgen.latency, port, \"enable\") end"
        ))?;
        let began = Instant::now();
        self.run(&format!("pktgen.start(\"{send}\")"))?;
        std::thread::sleep(length);
        self.run(&format!("pktgen.stop(\"{send}\")"))?;
        let seconds = began.elapsed().as_secs_f64();
        std::thread::sleep(SETTLE);
        let mut counts = self.counts(seconds)?;
        for _ in 0..MOST_LOOKS {
            std::thread::sleep(LOOKS);
            let before = std::mem::replace(&mut counts, self.counts(seconds)?);
            if (before.sent, before.received) == (counts.sent, counts.received) {
                return Ok(counts);
            }
        }
        bail!("Pktgen's port {send} does not stop sending, or another sends to port {receive}")
    }

    /// Counters of the ports since they were cleared. What asks for MAC addresses is no packet of the trial.
    fn counts(&mut self, seconds: f64) -> Result<Counts> {
        let (send, receive) = (self.send, self.receive);
        // Port counters: one argument and a table within from 26.01 on, before that two and none. pktStats: from 23.03 on and before 26.01.
        let words = self.run(&format!(
            "local known, s = pcall(pktgen.portStats, \"all\") \
             if not known then s = pktgen.portStats(\"all\", \"port\") end \
             local out, back = s[{send}].curr or s[{send}], s[{receive}].curr or s[{receive}] \
             local told, p = pcall(function() return pktgen.pktStats(\"{receive}\")[{receive}] end) \
             local l = told and p and p.latency or {{}} \
             local words = string.format(\"%d %d\", out.opackets, back.ipackets - (told and p and p.arp_pkts or 0)) \
             if l.num_pkts and l.num_pkts > 0 then \
             words = words .. string.format(\" %.0f %.0f %.0f\", 1000 * l.min_us, 1000 * l.avg_us, 1000 * l.max_us) end \
             return words"
        ))?;
        counts(&words, seconds)
    }

    /// Runs Lua there; what it returned.
    fn run(&mut self, script: &str) -> Result<String> {
        let line = format!(
            "do local done, said = pcall(function() {script} end) io.write(\"\\n{MARK} \", tostring(done), \" \", \
             (tostring(said):gsub(\"\\n\", \" \")), \"\\n\") io.flush() end\n"
        );
        let lost = || format!("Pktgen at {} ended the connection", self.address);
        self.stream.get_mut().write_all(line.as_bytes()).with_context(lost)?;
        let mut heard = String::new();
        loop {
            heard.clear();
            let bytes = self
                .stream
                .read_line(&mut heard)
                .with_context(|| format!("Pktgen at {} does not answer", self.address))?;
            ensure!(bytes > 0, lost());
            let Some(answer) = heard.strip_prefix(MARK) else { continue };
            return match answer.trim().split_once(' ') {
                Some(("true", said)) => Ok(said.to_owned()),
                _ => bail!("Pktgen at {} refuses '{script}':{answer}", self.address),
            };
        }
    }
}

impl Drop for Pktgen {
    fn drop(&mut self) {
        // Whatever ended the search: nothing is to go on sending. Who is gone hears nothing.
        let stop = format!("pktgen.stop(\"{}\")\n", self.send);
        let _ = self.stream.get_mut().write_all(stop.as_bytes());
    }
}

fn counts(words: &str, seconds: f64) -> Result<Counts> {
    let numbers: Option<Vec<u64>> = words.split_whitespace().map(|word| word.parse().ok()).collect();
    let (sent, received, latency) = match numbers.as_deref() {
        Some(&[sent, received]) => (sent, received, None),
        Some(&[sent, received, min_ns, mean_ns, max_ns]) => {
            (sent, received, Some(ProbeLatency { min_ns, mean_ns, max_ns }))
        }
        _ => bail!("Pktgen's counts are '{}'", words.trim()),
    };
    Ok(Counts { sent, received, seconds, latency })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bed::Family;
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// A Pktgen that gives these answers, one a line; ends with the lines that it was sent.
    fn answering(answers: &'static [&'static str]) -> (Pktgen, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let lines = BufReader::new(stream.try_clone().expect("the stream")).lines();
            let mut answers = answers.iter();
            lines
                .map(|line| {
                    if let Some(answer) = answers.next() {
                        stream.write_all(answer.as_bytes()).expect("answered");
                    }
                    line.expect("a line")
                })
                .collect()
        });
        (Pktgen::connect(&address, 0, 1).expect("connected"), server)
    }

    #[test]
    fn a_profile_is_loaded_and_what_it_writes_itself_is_no_answer() {
        let (mut pktgen, server) = answering(&[
            "clear: imix bytes\n\ncrossgate-ndr true nil\n",
            "\ncrossgate-ndr true Pktgen 1.2\n",
        ]);
        pktgen.load(Profile { traffic: Traffic::Imix, family: Family::V6, flows: 12 }).expect("loaded");
        assert_eq!(pktgen.version().expect("a version"), "Pktgen 1.2");
        drop(pktgen);
        let lines = server.join().expect("the server ended");
        assert!(lines[0].contains("= \"imix\", 12, 6, \"0\", \"1\" dofile("), "{}", lines[0]);
        assert_eq!(lines[2], "pktgen.stop(\"0\")", "sending ends with the connection");
    }

    #[test]
    fn a_trial_counts_when_the_counters_stand_still() {
        let (mut pktgen, server) = answering(&[
            "crossgate-ndr true nil\n",
            "crossgate-ndr true nil\n",
            "crossgate-ndr true nil\n",
            "crossgate-ndr true 900 800 1 2 3\n",
            "crossgate-ndr true 1000 998 900 4200 150000\n",
            "crossgate-ndr true 1000 998 900 4200 150000\n",
        ]);
        let counts = pktgen.trial(12.5, Duration::from_millis(10)).expect("counts");
        let latency = ProbeLatency { min_ns: 900, mean_ns: 4200, max_ns: 150_000 };
        assert_eq!((counts.sent, counts.received, counts.latency), (1000, 998, Some(latency)));
        assert!(!counts.lossless() && counts.sent_pps() <= 100_000.0, "{counts:?}");
        drop(pktgen);
        let lines = server.join().expect("the server ended");
        for (line, part) in
            lines.iter().zip(["\"rate\", 12.5000", "start(\"0\")", "stop(\"0\")", "portStats"])
        {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn what_pktgen_refuses_is_told_with_its_reason() {
        let (mut pktgen, _server) = answering(&["crossgate-ndr false cannot open clear.lua\n"]);
        let error = pktgen.version().expect_err("refused").to_string();
        assert!(error.contains("cannot open clear.lua"), "{error}");
        let (mut pktgen, _server) = answering(&[]);
        pktgen.stream.get_mut().shutdown(std::net::Shutdown::Both).expect("shut down");
        assert!(pktgen.version().is_err());
    }

    #[test]
    fn other_counts_are_refused() {
        assert_eq!(counts("7 7", 1.0).expect("counts").latency, None);
        for words in ["", "12", "x y", "nil nil", "10 10 5", "10 -1"] {
            assert!(counts(words, 1.0).is_err(), "'{words}'");
        }
    }
}
