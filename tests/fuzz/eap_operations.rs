//! A client that logs in as it should, by password or by TLS 1.2 or 1.3 with a certificate, up to some packet, which is changed on its way: cut, lengthened, bent, of another number or
//! another method, sent twice. Nothing panics, and whoever is let in is who has the password or the key of the certificate, with the same key on both sides.

#![no_main]

use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use crossgate_eap::mschapv2::{Exchange, PasswordHash};
use crossgate_eap::{Methods, Server, Step, TlsSettings, User, Users};
use crossgate_pki::testing::{Issued, NOW, Template, key_pem};
use crossgate_pki::{Credential, KeyKind, PrivateKey, TrustStore};
use libfuzzer_sys::fuzz_target;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, SignatureScheme};

/// What happens to a packet of the client on its way.
#[derive(Arbitrary, Debug)]
enum Change {
    Cut(u16),
    Lengthened(Vec<u8>),
    Bent(u16, u8),
    Numbered(u8),
    OfMethod(u8),
    Replaced(Vec<u8>),
    Twice,
}

#[derive(Arbitrary, Debug)]
enum Way {
    Password,
    Tls12,
    Tls13,
}

#[derive(Arbitrary, Debug)]
struct Input {
    way: Way,
    /// Which packets are changed, by their place.
    changes: Vec<(u8, Change)>,
    /// How long a piece of TLS the client sends at most.
    piece: u16,
}

struct Made {
    settings: TlsSettings,
    chain: Vec<CertificateDer<'static>>,
    key: String,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&Template::peer("vpn.example.net"), &key_pem(KeyKind::P256, 2));
    let anna = root.issue(&Template::peer("anna"), &key_pem(KeyKind::P256, 3));
    let key = PrivateKey::from_pem(own.key_pem.as_bytes()).expect("a key");
    let credential = Credential::new(vec![own.certificate()], key).expect("its key");
    let trust = TrustStore::new(vec![root.certificate()], Vec::new()).of_clients();
    let settings = TlsSettings::new(Arc::new(credential), Arc::new(trust));
    Made { settings, chain: vec![CertificateDer::from(anna.der.clone())], key: anna.key_pem }
});

struct Anna;

impl Users for Anna {
    fn password(&self, user: &str) -> Option<PasswordHash> {
        (user == "anna").then(|| PasswordHash::of("secret of anna"))
    }
}

/// Believes each gateway: this is about clients.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The client, which answers by the book.
struct Client {
    tls: ClientConnection,
    /// What came of the gateway's message so far, and what is still to be sent of ours.
    taken: Vec<u8>,
    rest: Vec<u8>,
    piece: usize,
    msk: Option<Vec<u8>>,
}

const LENGTH: u8 = 0x80;
const MORE: u8 = 0x40;
const START: u8 = 0x20;

impl Client {
    fn new(way: &Way, piece: u16) -> Self {
        let version = match way {
            Way::Tls13 => &rustls::version::TLS13,
            _ => &rustls::version::TLS12,
        };
        let key = PrivateKeyDer::from_pem_slice(MADE.key.as_bytes()).expect("PKCS#8");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("ring has both")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_auth_cert(MADE.chain.clone(), key)
            .expect("its key");
        let name = "vpn.example.net".try_into().expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        Self { tls, taken: Vec::new(), rest: Vec::new(), piece: 50 + usize::from(piece % 1_500), msk: None }
    }

    fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let (identifier, kind, data) = (*request.get(1)?, *request.get(4)?, request.get(5..)?);
        let answer = match (kind, data.first()) {
            (1, _) => b"anna".to_vec(),
            (13, Some(flags)) => self.on_tls(*flags, data)?,
            (26, Some(1)) => {
                let challenge = data.get(5..)?.first_chunk()?;
                let password = PasswordHash::of("secret of anna");
                let exchange = |proof| Exchange { challenge, peer_challenge: &[7; 16], user: b"anna", proof };
                let proof = exchange(&[0; 24]).client_proof(&password);
                self.msk = Some(exchange(&proof).msk(&password).to_vec());
                let head = [2, *data.get(1)?, 0, 0, 49];
                [&head[..], &[7; 16], &[0; 8], proof.as_slice(), &[0], b"anna"].concat()
            }
            (26, Some(code)) => vec![*code],
            _ => return None,
        };
        let length = u16::try_from(answer.len() + 5).ok()?.to_be_bytes();
        Some([&[2, identifier, length[0], length[1], kind][..], &answer].concat())
    }

    fn on_tls(&mut self, flags: u8, data: &[u8]) -> Option<Vec<u8>> {
        if flags & START == 0 {
            let skipped = if flags & LENGTH == 0 { 1 } else { 5 };
            self.taken.extend(data.get(skipped..)?);
            if !self.rest.is_empty() {
                return Some(self.next_piece());
            }
            if flags & MORE != 0 {
                return Some(vec![0]);
            }
            let taken = std::mem::take(&mut self.taken);
            let mut input = taken.as_slice();
            while !input.is_empty() {
                self.tls.read_tls(&mut input).ok()?;
                self.tls.process_new_packets().ok()?;
            }
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.rest).ok()?;
        }
        if !self.tls.is_handshaking() && self.msk.is_none() {
            let mut key = [0; 128];
            let is_new = self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
            let (label, context): (&[u8], Option<&[u8]>) = if is_new {
                (b"EXPORTER_EAP_TLS_Key_Material", Some(&[13]))
            } else {
                (b"client EAP encryption", None)
            };
            self.tls.export_keying_material(&mut key, label, context).ok()?;
            self.msk = Some(key[..64].to_vec());
        }
        Some(if self.rest.is_empty() { vec![0] } else { self.next_piece() })
    }

    fn next_piece(&mut self) -> Vec<u8> {
        let length = self.piece.min(self.rest.len());
        let piece: Vec<u8> = self.rest.drain(..length).collect();
        let flags = if self.rest.is_empty() { 0 } else { MORE };
        [&[flags][..], &piece].concat()
    }
}

fn changed(mut packet: Vec<u8>, change: &Change) -> Vec<Vec<u8>> {
    match change {
        Change::Cut(at) => packet.truncate(usize::from(*at) % (packet.len() + 1)),
        Change::Lengthened(more) => packet.extend(more),
        Change::Bent(at, by) => {
            let at = usize::from(*at) % packet.len();
            packet[at] ^= by;
        }
        Change::Numbered(number) => packet[1] = *number,
        Change::OfMethod(kind) => packet[4] = *kind,
        Change::Replaced(other) => packet.clone_from(other),
        Change::Twice => return vec![packet.clone(), packet],
    }
    vec![packet]
}

fuzz_target!(|input: Input| {
    let Input { way, changes, piece } = input;
    let is_by_password = matches!(way, Way::Password);
    let methods = Methods {
        tls: (!is_by_password).then(|| &MADE.settings),
        users: is_by_password.then_some(&Anna as &dyn Users),
        relay: false,
        now: NOW,
    };
    let mut random = |out: &mut [u8]| out.fill(9);
    let mut client = Client::new(&way, piece);
    let (mut server, mut question) = Server::begin(&mut random);
    for place in 0..100_u8 {
        let Some(answer) = client.answer(&question) else { return };
        let change = changes.iter().find(|(at, _)| *at == place).map(|(_, change)| change);
        for packet in change.map_or_else(|| vec![answer.clone()], |change| changed(answer.clone(), change)) {
            let mut step = server.on_response(&packet, &methods, &mut random);
            if let Step::Compute(work) = step {
                step = server.on_computed(work.run());
            }
            match step {
                Step::Send(packet) => question = packet,
                Step::Success { user, msk, .. } => {
                    assert_eq!(user, User::Known("anna".to_owned()));
                    assert_eq!(Some(msk.expose()), client.msk.as_deref(), "the same key on both sides");
                    return;
                }
                Step::Failure { error, .. } => {
                    assert!(!changes.is_empty(), "by the book, but {error}");
                    return;
                }
                other => unreachable!("{other:?}"),
            }
        }
    }
    assert!(!changes.is_empty(), "by the book, and it does not come to an end");
});
