//! Clients that a RADIUS server knows: the servers, in the cloud's words (`radiusServers`).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::document::Section;
use crate::environment::Environment;
use crate::report::Report;
use crate::secret::{self, SharedKey};

/// The key that is read here.
pub(super) const KEY: &str = "radius_servers";
/// More are not asked before the client has lost patience.
const SERVERS_MAX: usize = 4;
/// RFC 2865, 3.
const PORT: u16 = 1812;
const SCORE_MAX: u8 = 30;

/// A RADIUS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RadiusServer {
    /// Where it is; reached by the host's own network.
    pub address: SocketAddr,
    /// Servers with a higher score are asked first.
    pub score: u8,
    /// What it shares with this gateway.
    pub secret: Arc<SharedKey>,
}

/// Reads the servers, the one that is asked first before the others; `None` if something is wrong, which is reported.
pub(super) fn read(
    section: &mut Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<RadiusServer>> {
    let place = section.place_of(KEY);
    let sections = section.sections(KEY, report);
    if sections.is_empty() || sections.len() > SERVERS_MAX {
        let problem = format!("clients log in by RADIUS, and there are {} servers", sections.len());
        let remedy = format!(
            "name 1 to {SERVERS_MAX}: radius_servers = [{{ address = \"10.1.0.5\", secret = {{ file = \"radius.secret\" }} }}]"
        );
        report.error(&place, problem, remedy);
        return None;
    }
    let read = sections.into_iter().map(|section| server(section?, environment, report)).collect::<Vec<_>>();
    let mut servers = read.into_iter().collect::<Option<Vec<_>>>()?;
    servers.sort_by_key(|server| std::cmp::Reverse(server.score));
    for (index, server) in servers.iter().enumerate() {
        if servers[..index].iter().any(|other| other.address == server.address) {
            let problem = format!("the RADIUS server {} is there twice", server.address);
            report.error(&place, problem, "leave one of the two out");
            return None;
        }
    }
    Some(servers)
}

fn server(
    mut section: Section<'_>,
    environment: &Environment<'_>,
    report: &mut Report<'_>,
) -> Option<RadiusServer> {
    let address = section.required::<IpAddr>("address", "\"10.1.0.5\"", report);
    let port = section.integer("port", 1..=u16::MAX, PORT, report);
    let score = section.integer("score", 1..=SCORE_MAX, SCORE_MAX, report);
    let secret = secret::read_radius(&mut section, "secret", environment, report);
    section.finish(report);
    let address = SocketAddr::new(address?.value, port);
    Some(RadiusServer { address, score, secret: Arc::new(secret?) })
}
