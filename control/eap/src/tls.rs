//! EAP-TLS as a server (RFC 5216; with TLS 1.3 RFC 9190): both sides prove themselves by certificates, and the key comes from TLS's exporter.
//!
//! TLS itself is `rustls` over buffers. It draws its own randomness and takes up to some milliseconds, so it runs nowhere but in [`TlsWork::run`], which the caller has done beside
//! its loop. Sessions are not resumed: each log-in is checked anew.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use crossgate_pki::{CertificateError, Credential, ProvenPath, TrustStore, UnixTime};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, ServerConnection};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{DistinguishedName, ProtocolVersion, ServerConfig};
use zeroize::Zeroizing;

use crate::error::EapError;
use crate::mschapv2::MSK_BYTES;
use crate::outcome::Msk;
use crate::packet::Kind;
use fragment::{Assembly, Pieces, START, Taken};

mod client;
mod fragment;
mod signature;

pub use client::user_of;

/// Most packets of a client in one log-in.
const ROUNDS_MAX: u32 = 80;

/// What a gateway proves itself with and whom it believes, ready for TLS.
#[derive(Debug)]
pub struct TlsSettings {
    credential: Arc<Credential>,
    trust: Arc<TrustStore>,
    provider: Arc<CryptoProvider>,
    own: Arc<SingleCertAndKey>,
    /// The names of the authorities, so that a client with several certificates takes the right one.
    authorities: Arc<[DistinguishedName]>,
}

impl PartialEq for TlsSettings {
    fn eq(&self, other: &Self) -> bool {
        self.credential == other.credential && self.trust == other.trust
    }
}

impl Eq for TlsSettings {}

impl TlsSettings {
    /// Of the gateway's certificate, and whom it believes.
    #[must_use]
    pub fn new(credential: Arc<Credential>, trust: Arc<TrustStore>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let key = signature::OwnKey { credential: Arc::clone(&credential), provider: Arc::clone(&provider) };
        let chain = credential.chain_for(&[]).into_iter();
        let chain = chain.map(|certificate| CertificateDer::from(certificate.der().to_vec())).collect();
        let own = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(key))));
        let authorities = trust.anchors().iter().filter(|anchor| anchor.is_authority());
        let authorities = authorities.map(|anchor| DistinguishedName::from(anchor.subject().der().to_vec()));
        let authorities = authorities.collect();
        Self { credential, trust, provider, own, authorities }
    }

    /// Whom it believes.
    #[must_use]
    pub const fn trust(&self) -> &Arc<TrustStore> {
        &self.trust
    }

    /// A connection, and where the path of the client's certificate will be found.
    fn connection(&self, now: UnixTime) -> Result<(Box<ServerConnection>, ClientPath), EapError> {
        let path = ClientPath::default();
        let verifier =
            client::Verifier::new(Arc::clone(&self.trust), Arc::clone(&self.authorities), Arc::clone(&path));
        let mut config = ServerConfig::builder_with_details(Arc::clone(&self.provider), Arc::new(At(now)))
            .with_safe_default_protocol_versions()
            .expect("ring has suites of both versions")
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::<SingleCertAndKey>::clone(&self.own));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let failed = |error: rustls::Error| EapError::Tls(error.to_string());
        Ok((Box::new(ServerConnection::new(Arc::new(config)).map_err(failed)?), path))
    }
}

/// The path of a client's certificate, once it is proven.
type ClientPath = Arc<OnceLock<ProvenPath>>;

/// The time that certificates are valid by.
#[derive(Debug)]
struct At(UnixTime);

impl rustls::time_provider::TimeProvider for At {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(self.0.0)))
    }
}

/// One log-in.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Who the client says it is.
    identity: String,
    /// Lent to a [`TlsWork`] while that runs.
    connection: Option<Box<ServerConnection>>,
    path: ClientPath,
    assembly: Assembly,
    pieces: Pieces,
    rounds: u32,
    /// What came of TLS: the client's acknowledgement is due.
    end: Option<Result<Proven, EapError>>,
}

/// A client that has proven who it is.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    pub(crate) user: String,
    pub(crate) msk: Msk,
    /// From its certificate to the authority that is trusted.
    pub(crate) path: ProvenPath,
}

/// What a packet of the client leads to.
#[derive(Debug)]
pub(crate) enum Turn {
    /// What follows the type of our next packet.
    Send(Vec<u8>),
    Compute(Box<TlsWork>),
    End(Result<Proven, EapError>),
}

impl Conversation {
    pub(crate) fn begin(
        settings: &TlsSettings,
        identity: String,
        now: UnixTime,
    ) -> Result<(Self, Vec<u8>), EapError> {
        let (connection, path) = settings.connection(now)?;
        let (connection, assembly, pieces) = (Some(connection), Assembly::default(), Pieces::default());
        Ok((Self { identity, connection, path, assembly, pieces, rounds: 0, end: None }, vec![START]))
    }

    pub(crate) fn on_data(&mut self, data: &[u8]) -> Turn {
        self.rounds += 1;
        if self.rounds > ROUNDS_MAX {
            return Turn::End(Err(EapError::Unexpected));
        }
        let message = match self.assembly.take(data) {
            Ok(Taken::Part) => return Turn::Send(vec![0]),
            Ok(Taken::Whole(message)) => message,
            Err(_) => return Turn::End(Err(EapError::Unexpected)),
        };
        if !self.pieces.is_empty() {
            // Nothing but the acknowledgement of a piece.
            return match self.pieces.next() {
                Some(piece) if message.is_empty() => Turn::Send(piece),
                _ => Turn::End(Err(EapError::Unexpected)),
            };
        }
        match (self.end.take(), message.is_empty(), self.connection.take()) {
            (Some(end), true, _) | (Some(end @ Err(_)), false, _) => Turn::End(end),
            (None, true, _) | (None, false, None) | (Some(Ok(_)), false, _) => {
                Turn::End(Err(EapError::Unexpected))
            }
            (None, false, Some(connection)) => {
                let (path, identity) = (Arc::clone(&self.path), self.identity.clone());
                Turn::Compute(Box::new(TlsWork { connection, path, input: message, identity }))
            }
        }
    }

    pub(crate) fn on_done(&mut self, done: TlsDone) -> Turn {
        let TlsDone { connection, output, end } = done;
        self.connection = Some(connection);
        self.end = end;
        self.pieces = Pieces::of(output);
        match (self.pieces.next(), self.end.take()) {
            (Some(piece), end) => {
                self.end = end;
                Turn::Send(piece)
            }
            // The client's message goes on in the next one, or it has said something after the end.
            (None, end) => Turn::End(end.filter(Result::is_err).unwrap_or(Err(EapError::Unexpected))),
        }
    }

    /// Why nothing came of it, if the client leaves it here.
    pub(crate) fn abandoned(&self) -> EapError {
        match &self.end {
            Some(Err(error)) => error.clone(),
            Some(Ok(proven)) => EapError::RefusedByClient(proven.user.clone()),
            None => EapError::GivenUp,
        }
    }
}

/// A step of TLS, to be done beside the caller's loop.
#[derive(Debug)]
pub struct TlsWork {
    connection: Box<ServerConnection>,
    path: ClientPath,
    input: Vec<u8>,
    identity: String,
}

/// What came of a [`TlsWork`]; goes back into [`crate::Server::on_computed`].
#[derive(Debug)]
pub struct TlsDone {
    connection: Box<ServerConnection>,
    output: Vec<u8>,
    /// What TLS came to, if it is over.
    end: Option<Result<Proven, EapError>>,
}

impl TlsWork {
    /// Does it: 0.1 to some 20 ms, depending on the keys of both sides.
    #[must_use]
    pub fn run(mut self) -> TlsDone {
        let was_over = !self.connection.is_handshaking();
        let read = self.read();
        let is_over = !self.connection.is_handshaking();
        let end = match read {
            Err(error) => Some(Err(self.explained(&error))),
            Ok(()) if was_over => Some(Err(EapError::Unexpected)),
            Ok(()) => is_over.then(|| self.prove()),
        };
        let mut output = Vec::new();
        // What cannot be written to a vector is not there.
        while self.connection.wants_write() && self.connection.write_tls(&mut output).is_ok() {}
        TlsDone { connection: self.connection, output, end }
    }

    fn read(&mut self) -> Result<(), rustls::Error> {
        let mut input = self.input.as_slice();
        while !input.is_empty() {
            let full = |_| rustls::Error::General("its message is too long".to_owned());
            // Nothing is read of what follows the client's close_notify.
            if self.connection.read_tls(&mut input).map_err(full)? == 0 {
                return Err(rustls::Error::General("something follows its end".to_owned()));
            }
            self.connection.process_new_packets()?;
        }
        Ok(())
    }

    /// The handshake is through, and with it the check of the certificate.
    fn prove(&mut self) -> Result<Proven, EapError> {
        let path = self.path.get().cloned().ok_or_else(|| self.refused(CertificateError::None))?;
        let own = path.end();
        if !client::is_named(own, &self.identity) {
            let (claimed, mut names) = (self.identity.clone(), own.names());
            names.truncate(8);
            return Err(self.refused(CertificateError::WrongName { claimed, names }));
        }
        let user = user_of(own);
        let msk = self.export().map_err(|error| EapError::Tls(error.to_string()))?;
        Ok(Proven { user, msk, path })
    }

    /// The key (RFC 5216, 2.3; RFC 9190, 2.3), after what the client needs to know that it has succeeded (RFC 9190, 2.1.1).
    fn export(&mut self) -> Result<Msk, rustls::Error> {
        let mut key = Zeroizing::new([0; 2 * MSK_BYTES]);
        if self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            let refused = |error: std::io::Error| rustls::Error::General(error.to_string());
            self.connection.writer().write_all(&[0]).map_err(refused)?;
            self.connection.export_keying_material(
                key.as_mut_slice(),
                b"EXPORTER_EAP_TLS_Key_Material",
                Some(&[Kind::TLS.0]),
            )?;
        } else {
            self.connection.export_keying_material(key.as_mut_slice(), b"client EAP encryption", None)?;
        }
        let msk = key.first_chunk().expect("it is twice as long");
        Ok(Msk::new(Zeroizing::new(*msk)))
    }

    fn refused(&self, error: CertificateError) -> EapError {
        EapError::ClientCertificate { identity: self.identity.clone(), error: Box::new(error) }
    }

    fn explained(&self, error: &rustls::Error) -> EapError {
        match (client::reason(error), error) {
            (Some(reason), _) => self.refused(reason),
            (None, rustls::Error::AlertReceived(alert)) => EapError::TlsRefused(format!("{alert:?}")),
            (None, other) => EapError::Tls(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
