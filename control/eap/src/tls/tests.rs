//! Log-ins by EAP-TLS, with `rustls` as the client: both versions, both kinds of keys, and what is wrong with certificates.

use crossgate_pki::testing::{Issued, NOW, Template, key_pem};
use crossgate_pki::{KeyKind, PrivateKey, Subject};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
};

use super::*;
use crate::{Means, Methods, Server, Step, User, packet};

/// Believes each gateway: the tests are about clients.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn credential(end: &Issued) -> Arc<Credential> {
    let key = PrivateKey::from_pem(end.key_pem.as_bytes()).unwrap();
    Arc::new(Credential::new(vec![end.certificate()], key).unwrap())
}

fn root(name: &str, seed: u8) -> Issued {
    Issued::root(&Template::authority(name), &key_pem(KeyKind::P256, seed))
}

/// A certificate for `anna`.
fn anna(by: &Issued, change: impl FnOnce(&mut Template)) -> Issued {
    let mut template = Template::peer("laptop.example.net");
    template.subject = "O=Example, CN=anna".to_owned();
    template.names = vec![Subject::Email("anna@example.net".to_owned())];
    change(&mut template);
    by.issue(&template, &key_pem(KeyKind::P256, 9))
}

fn settings(trust: TrustStore, kind: KeyKind) -> TlsSettings {
    let own = root("Gateway", 3).issue(&Template::peer("vpn.example.net"), &key_pem(kind, 4));
    TlsSettings::new(credential(&own), Arc::new(trust))
}

struct Client {
    connection: ClientConnection,
    identity: &'static str,
    assembly: Assembly,
    pieces: Pieces,
    /// Whether the gateway's data of TLS 1.3 came that tells of success.
    was_told: bool,
    /// Whether it says goodbye as soon as it may, and goes on talking.
    goes_on: bool,
}

impl Client {
    fn new(version: &'static SupportedProtocolVersion, identity: &'static str, end: Option<&Issued>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let config = match end {
            Some(end) => {
                let chain = vec![CertificateDer::from(end.der.clone())];
                let key = signature::OwnKey { credential: credential(end), provider };
                let own = CertifiedKey::new(chain, Arc::new(key));
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
            None => config.with_no_client_auth(),
        };
        let name = "vpn.example.net".try_into().unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let (assembly, pieces) = (Assembly::default(), Pieces::default());
        Self { connection, identity, assembly, pieces, was_told: false, goes_on: false }
    }

    fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let (kind, data) = (Kind(request[4]), &request[5..]);
        let data = if kind == Kind::IDENTITY { self.identity.as_bytes().to_vec() } else { self.tls(data) };
        let mut answer = packet::request(request[1], kind, &data);
        answer[0] = 2;
        answer
    }

    fn tls(&mut self, data: &[u8]) -> Vec<u8> {
        if data[0] & START == 0 {
            let Ok(taken) = self.assembly.take(data) else { panic!("a piece of a message") };
            if let Some(piece) = self.pieces.next() {
                return piece;
            }
            let Taken::Whole(message) = taken else { return vec![0] };
            let mut input = message.as_slice();
            while !input.is_empty() {
                self.connection.read_tls(&mut input).unwrap();
                // What the gateway refuses it refuses by an alert.
                if let Ok(state) = self.connection.process_new_packets() {
                    self.was_told |= state.plaintext_bytes_to_read() == 1;
                }
            }
        }
        let mut output = Vec::new();
        let ends = self.goes_on && !self.connection.is_handshaking();
        if ends {
            self.connection.send_close_notify();
        }
        while self.connection.wants_write() {
            self.connection.write_tls(&mut output).unwrap();
        }
        output.resize(output.len() + if ends { 10_000 } else { 0 }, 0);
        self.pieces = Pieces::of(output);
        self.pieces.next().unwrap_or_else(|| vec![0])
    }
}

/// The end of a log-in.
fn talk(client: &mut Client, settings: &TlsSettings) -> Step {
    let methods = Methods { tls: Some(settings), users: None, relay: false, now: NOW };
    let (mut server, mut request) = Server::begin(&mut |out| out.fill(9));
    for _ in 0..60 {
        let mut step = server.on_response(&client.answer(&request), &methods, &mut |_| {});
        if let Step::Compute(work) = step {
            step = server.on_computed(work.run());
        }
        match step {
            Step::Send(packet) => request = packet,
            other => return other,
        }
    }
    panic!("it does not come to an end")
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn a_certificate_of_a_trusted_authority_logs_in_and_both_sides_have_the_key() {
    let (root, rsa) = (root("Clients", 1), KeyKind::Rsa { bits: 2_048 });
    for (version, kind) in
        [(VERSIONS[0], KeyKind::P256), (VERSIONS[1], KeyKind::P256), (VERSIONS[0], rsa), (VERSIONS[1], rsa)]
    {
        let settings = settings(TrustStore::new(vec![root.certificate()], Vec::new()), kind);
        let mut client = Client::new(version, "anna@example.net", Some(&anna(&root, |_| ())));
        let Step::Success { user, msk, by: Means::Certificate(path), .. } = talk(&mut client, &settings)
        else {
            panic!("{version:?}")
        };
        assert_eq!(user, User::Known("anna@example.net".to_owned()));
        assert!(path.end().subject().to_string().contains("anna"), "{path:?}");
        let is_new = version.version == ProtocolVersion::TLSv1_3;
        assert_eq!(client.was_told, is_new, "RFC 9190, 2.1.1");
        let mut key = [0; 128];
        let (label, context): (&[u8], Option<&[u8]>) = if is_new {
            (b"EXPORTER_EAP_TLS_Key_Material", Some(&[13]))
        } else {
            (b"client EAP encryption", None)
        };
        client.connection.export_keying_material(&mut key, label, context).unwrap();
        assert_eq!(msk.expose(), &key[..64]);
    }
}

#[test]
fn who_a_client_is_stands_in_its_certificate() {
    let root = root("Clients", 1);
    let trust = || TrustStore::new(vec![root.certificate()], Vec::new());
    let settings = settings(trust(), KeyKind::P256);
    for identity in ["anna", "OFFICE\\anna", "anna@EXAMPLE.net", "O=Example, CN=anna", "@example.net", ""] {
        let mut client = Client::new(VERSIONS[1], identity, Some(&anna(&root, |_| ())));
        let Step::Success { user, .. } = talk(&mut client, &settings) else { panic!("{identity}") };
        assert_eq!(user, User::Known("anna@example.net".to_owned()));
    }
    let unnamed = anna(&root, |template| template.names.clear());
    let mut client = Client::new(VERSIONS[1], "anna", Some(&unnamed));
    let Step::Success { user, .. } = talk(&mut client, &settings) else { panic!("the common name") };
    assert_eq!(user, User::Known("anna".to_owned()));
    let shouted =
        anna(&root, |template| template.names = vec![Subject::Email("anna@EXAMPLE.Net".to_owned())]);
    let mut client = Client::new(VERSIONS[1], "anna", Some(&shouted));
    let Step::Success { user, .. } = talk(&mut client, &settings) else { panic!("a domain has no case") };
    assert_eq!(user, User::Known("anna@example.net".to_owned()));
    let mut client = Client::new(VERSIONS[1], "bert", Some(&anna(&root, |_| ())));
    let Step::Failure { packet, error } = talk(&mut client, &settings) else { panic!("another's name") };
    let text = error.to_string();
    assert!(packet[0] == 4 && text.contains("\"bert\"") && text.contains("anna@example.net"), "{text}");
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    let (root, other) = (root("Clients", 1), root("Strangers", 2));
    let revoked = anna(&root, |template| template.serial = 66);
    let list = crossgate_pki::RevocationList::from_der(&root.revocation_list(&[66], UnixTime(NOW.0 + 99)));
    let trust = TrustStore::new(vec![root.certificate()], vec![list.unwrap()]);
    let settings = settings(trust, KeyKind::P256);
    let old = anna(&root, |template| template.not_after = UnixTime(NOW.0 - 1));
    let strange = anna(&other, |_| ());
    for version in VERSIONS {
        for (end, expected) in [
            (Some(&revoked), "was revoked"),
            (Some(&old), "expired at"),
            (Some(&strange), "unknown CA"),
            (None, "the peer sent no certificate"),
        ] {
            let mut client = Client::new(version, "anna", end);
            let Step::Failure { error, .. } = talk(&mut client, &settings) else { panic!("{expected}") };
            let EapError::ClientCertificate { identity, error } = error else { panic!("{error}") };
            assert!(identity == "anna" && error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn whoever_goes_on_after_its_end_keeps_no_thread() {
    let root = root("Clients", 1);
    let settings = settings(TrustStore::new(vec![root.certificate()], Vec::new()), KeyKind::P256);
    for version in VERSIONS {
        let mut client = Client::new(version, "anna", Some(&anna(&root, |_| ())));
        client.goes_on = true;
        let step = talk(&mut client, &settings);
        assert!(matches!(step, Step::Failure { .. }), "{version:?}: {step:?}");
    }
}

#[test]
fn a_client_that_takes_no_certificates_may_take_a_password_and_one_that_speaks_no_tls_is_told_of() {
    let settings = settings(TrustStore::default(), KeyKind::P256);
    let methods = Methods { tls: Some(&settings), users: None, relay: false, now: NOW };
    let respond = |identifier, kind, data: &[u8]| {
        let mut packet = packet::request(identifier, kind, data);
        packet[0] = 2;
        packet
    };
    let begin = || {
        let (mut server, first) = Server::begin(&mut |out| out.fill(9));
        let identity = respond(first[1], Kind::IDENTITY, b"anna");
        let Step::Send(start) = server.on_response(&identity, &methods, &mut |_| {}) else {
            panic!("a start")
        };
        assert_eq!(start[4..], [13, START]);
        (server, start[1])
    };
    let (mut server, identifier) = begin();
    let step = server.on_response(&respond(identifier, Kind::NAK, &[26]), &methods, &mut |_| {});
    assert!(matches!(step, Step::Failure { error: EapError::NoCommonMethod(_), .. }), "{step:?}");
    let (mut server, identifier) = begin();
    let Step::Compute(work) =
        server.on_response(&respond(identifier, Kind::TLS, b"\0no TLS at all"), &methods, &mut |_| {})
    else {
        panic!("for TLS to judge")
    };
    let Step::Send(alert) = server.on_computed(work.run()) else { panic!("an alert") };
    let step = server.on_response(&respond(alert[1], Kind::TLS, &[0]), &methods, &mut |_| {});
    assert!(matches!(step, Step::Failure { error: EapError::Tls(_), .. }), "{step:?}");
}

proptest::proptest! {
    #[test]
    fn no_packets_panic_or_succeed(answers in proptest::collection::vec(proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200), 1..6)) {
        let settings = settings(TrustStore::default(), KeyKind::P256);
        let methods = Methods { tls: Some(&settings), users: None, relay: false, now: NOW };
        let (mut server, mut request) = Server::begin(&mut |out| out.fill(9));
        let mut kind = Kind::IDENTITY;
        for answer in std::iter::once(b"anna".to_vec()).chain(answers) {
            let mut packet = packet::request(request[1], kind, &answer);
            packet[0] = 2;
            let mut step = server.on_response(&packet, &methods, &mut |_| {});
            if let Step::Compute(work) = step {
                step = server.on_computed(work.run());
            }
            kind = Kind::TLS;
            match step {
                Step::Send(packet) => request = packet,
                other => {
                    let succeeded = matches!(other, Step::Success { .. });
                    proptest::prop_assert!(!succeeded);
                }
            }
        }
    }
}
