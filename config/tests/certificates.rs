//! Connections that prove themselves by certificates: what is read, and what is said of what does not fit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where something is not as it expects"
)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crossgate_config::{
    Authentication, Config, EXAMPLE, Environment, Finding, Identity, RsaSignature, Source,
};
use crossgate_pki::testing::{Issued, NOW, OcspTemplate, Template, key_pem};
use crossgate_pki::{KeyKind, OcspPolicy};

const AUTHENTICATION: &str = "
[connection.authentication]
certificate = \"gw.pem\"
private_key = { file = \"gw.key\" }
trust_anchors = [\"ca.pem\"]
crls = [\"ca.crl\"]
";

/// A directory with everything that [`AUTHENTICATION`] names.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
        let own = root.issue(&Template::peer("gw-a.example.net"), &key_pem(KeyKind::P256, 2));
        files.write("gw.pem", &own.pem(), 0o644);
        files.write("gw.key", &own.key_pem, 0o600);
        files.write("ca.pem", &root.pem(), 0o644);
        fs::write(files.0.path().join("ca.crl"), root.revocation_list(&[7], NOW)).unwrap();
        files
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// Reads the example with certificates instead of its key.
    fn read(&self, local_id: &str, authentication: &str) -> Result<Config, Vec<Finding>> {
        let text = EXAMPLE
            .replace("shared_key = { file = \"a-to-b.psk\" }\n", "")
            .replace("local_id = \"192.0.2.1\"\n", local_id);
        let user_id = fs::metadata(self.0.path()).unwrap().uid();
        let environment = Environment { cores: BTreeSet::from([0]), user_id, variable: &|_| None };
        let source = format!("{text}{authentication}");
        let file = self.0.path().join("gw.toml");
        let checked =
            Config::parse(Source { file: &file, text: &source }, &environment).map_err(|found| found.0)?;
        Ok(checked.config)
    }

    /// The only finding: key, problem with remedy.
    fn said(&self, local_id: &str, authentication: &str) -> (String, String) {
        let findings = self.read(local_id, authentication).unwrap_err();
        assert_eq!(findings.len(), 1, "{findings:?}");
        let found = &findings[0];
        (found.key.replace("connection[a-to-b].", ""), format!("{}; {}", found.problem, found.remedy))
    }
}

#[test]
fn certificate_names_this_side_unless_the_file_does() {
    let files = Files::new();
    let config = files.read("", AUTHENTICATION).unwrap();
    let connection = &config.connections()["a-to-b"];
    assert_eq!(connection.local_id, Identity::parse("C=CH, O=Example, CN=gw-a.example.net").unwrap());
    let Authentication::Certificate(certificates) = &connection.authentication else {
        panic!("a certificate")
    };
    assert_eq!(certificates.rsa_signature, RsaSignature::Pss);
    assert_eq!((certificates.trust.anchors().len(), certificates.trust.revocations().len()), (1, 1));
    let config = files.read("local_id = \"gw-a.example.net\"\n", AUTHENTICATION).unwrap();
    assert_eq!(config.connections()["a-to-b"].local_id, Identity::Fqdn("gw-a.example.net".into()));
    assert_eq!(config, files.read("local_id = \"gw-a.example.net\"\n", AUTHENTICATION).unwrap());
}

#[test]
fn certificate_for_ikev1_has_an_rsa_or_ecdsa_key() {
    let files = Files::new();
    let is_about_keys = |read: Result<Config, Vec<Finding>>| {
        read.err().is_some_and(|found| found.iter().any(|finding| finding.problem.contains("ECDSA key")))
    };
    for (kind, is_refused) in
        [(KeyKind::P256, false), (KeyKind::Rsa { bits: 2048 }, false), (KeyKind::Ed25519, true)]
    {
        let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
        let own = root.issue(&Template::peer("gw-a.example.net"), &key_pem(kind, 2));
        files.write("gw.pem", &own.pem(), 0o644);
        files.write("gw.key", &own.key_pem, 0o600);
        let read = files.read("protocol = \"IKEv1\"\n", AUTHENTICATION);
        assert_eq!(is_about_keys(read), is_refused, "{kind:?}");
    }
}

#[test]
fn identity_that_the_certificate_lacks_is_told_with_those_it_has() {
    let (key, said) = Files::new().said("local_id = \"gw-b.example.net\"\n", AUTHENTICATION);
    assert_eq!(key, "local_id");
    assert!(said.contains("not for gw-b.example.net") && said.contains("; gw-a.example.net"), "{said}");
}

#[test]
fn files_that_do_not_fit_are_told_by_their_key() {
    let cases: [(&str, &str, u32, &str, &str); 6] = [
        ("gw.key", "", 0o600, "authentication.private_key.file", "no private key"),
        (
            "gw.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
            0o600,
            "authentication.private_key.file",
            "encrypted",
        ),
        ("gw.pem", "junk", 0o644, "authentication.certificate", "no certificate"),
        (
            "ca.pem",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            0o644,
            "authentication.trust_anchors[0]",
            "cannot be read",
        ),
        ("ca.crl", "junk", 0o644, "authentication.crls[0]", "no certificate revocation list"),
        (
            "ca.pem",
            &key_pem(KeyKind::P256, 1),
            0o644,
            "authentication.trust_anchors[0]",
            "holds a private key",
        ),
    ];
    for (name, text, mode, key, problem) in cases {
        let files = Files::new();
        files.write(name, text, mode);
        let said = files.said("", AUTHENTICATION);
        assert_eq!(said.0, key, "{said:?}");
        assert!(said.1.contains(problem), "{said:?}");
    }
}

#[test]
fn private_key_must_be_private_and_belong_to_the_certificate() {
    let files = Files::new();
    files.write("gw.key", &key_pem(KeyKind::P256, 2), 0o640);
    let (key, said) = files.said("", AUTHENTICATION);
    assert_eq!(key, "authentication.private_key.file");
    assert!(said.contains("open to others (mode 0640)"), "{said}");
    files.write("gw.key", &key_pem(KeyKind::P256, 3), 0o600);
    let (key, said) = files.said("", AUTHENTICATION);
    assert_eq!(key, "authentication.certificate");
    assert!(said.contains("does not belong"), "{said}");
}

#[test]
fn key_and_certificate_at_once_and_missing_parts_are_refused() {
    let files = Files::new();
    files.write("a-to-b.psk", "q3G8vN1x+Zk0TtYw2bLr5HfPjC7sD9mA", 0o600);
    let both = "local_id = \"gw-a.example.net\"\nshared_key = { file = \"a-to-b.psk\" }\n";
    assert!(files.said(both, AUTHENTICATION).1.contains("both a shared_key"));
    let (key, said) = files.said("", &AUTHENTICATION.replace("trust_anchors = [\"ca.pem\"]", ""));
    assert_eq!(key, "authentication.trust_anchors");
    assert!(said.contains("missing"), "{said}");
    let (_, said) = files.said("", &AUTHENTICATION.replace("{ file = \"gw.key\" }", "\"gw.key\""));
    assert!(said.contains("a secret stands in the configuration"), "{said}");
}

#[test]
fn ocsp_is_asked_for_unless_the_file_says_otherwise() {
    let policy = |lines: &str| {
        let config = Files::new().read("", &format!("{AUTHENTICATION}{lines}")).unwrap();
        let Authentication::Certificate(found) = &config.connections()["a-to-b"].authentication else {
            panic!("a certificate")
        };
        found.trust.ocsp()
    };
    assert_eq!(policy(""), OcspPolicy::Ask);
    assert_eq!(policy("ocsp = \"Off\"\n"), OcspPolicy::Off);
    assert_eq!(policy("ocsp = \"Require\"\n"), OcspPolicy::Require);
    let of_v1 = Files::new().read("protocol = \"IKEv1\"\n", &format!("{AUTHENTICATION}ocsp = \"Require\"\n"));
    let found = of_v1.unwrap_err();
    assert!(found.iter().any(|finding| finding.problem.contains("no OCSP responses")), "{found:?}");
}

#[test]
fn own_responses_are_about_the_own_certificate() {
    let files = Files::new();
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let with = format!("{AUTHENTICATION}ocsp_responses = [\"gw.ocsp\"]\n");
    let write = |serial| {
        let response = root.ocsp_response(&root, &OcspTemplate::good(serial));
        fs::write(files.0.path().join("gw.ocsp"), response).unwrap();
    };
    write(1);
    let config = files.read("", &with).unwrap();
    let Authentication::Certificate(found) = &config.connections()["a-to-b"].authentication else {
        panic!("a certificate")
    };
    assert_eq!(found.credential.responses(NOW).count(), 1);
    assert_eq!(found.credential.responses(crossgate_pki::UnixTime(NOW.0 + 200_000)).count(), 0);
    write(2);
    let (key, said) = files.said("", &with);
    assert_eq!(key, "authentication.ocsp_responses[0]");
    assert!(said.contains("about none of the certificates"), "{said}");
    files.write("gw.ocsp", "junk", 0o644);
    assert!(files.said("", &with).1.contains("no OCSP response"));
}

#[test]
fn connections_that_trust_the_same_files_share_what_was_read() {
    let second = "
[[local_network_gateway]]
name = \"site-c\"
address = \"192.0.2.3\"
prefixes = [\"10.3.0.0/16\"]
[[connection]]
name = \"a-to-c\"
gateway = \"gw\"
local_network_gateway = \"site-c\"
";
    let two = format!("{AUTHENTICATION}{second}{AUTHENTICATION}");
    let trusts_of = |authentication: &str| {
        let config = Files::new().read("", authentication).unwrap();
        let trust = |connection: &crossgate_config::Connection| match &connection.authentication {
            Authentication::Certificate(certificates) => std::sync::Arc::clone(&certificates.trust),
            _ => unreachable!("both have certificates"),
        };
        config.connections().values().map(trust).collect::<Vec<_>>()
    };
    let [one, other] = &trusts_of(&two)[..] else { panic!("two connections") };
    assert!(std::sync::Arc::ptr_eq(one, other));
    let without_lists = two.replacen("crls = [\"ca.crl\"]\n", "", 1);
    let [one, other] = &trusts_of(&without_lists)[..] else { panic!("two connections") };
    assert!(!std::sync::Arc::ptr_eq(one, other));
}
