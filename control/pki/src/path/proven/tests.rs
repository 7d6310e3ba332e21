//! Paths that were proven once, held against other stores.

use super::super::TrustStore;
use super::*;
use crate::certificate::CHECKED;
use crate::public_key::KeyKind;
use crate::revocation::RevocationList;
use crate::testing::{Issued, NOW, Template, key_pem};

const P256: KeyKind = KeyKind::P256;

/// A root, an intermediate that issues lists, too, and a peer below it.
struct Chain {
    root: Issued,
    middle: Issued,
    peer: Issued,
}

impl Chain {
    fn new(peer: &Template) -> Self {
        let root = Issued::root(&Template::authority("Root"), &key_pem(P256, 1));
        let middle = Template { key_usage: None, ..Template::authority("Middle") };
        let middle = root.issue(&middle, &key_pem(P256, 2));
        let peer = middle.issue(peer, &key_pem(P256, 3));
        Self { root, middle, peer }
    }
}

fn peer() -> Template {
    Template::peer("peer.example")
}

/// Signatures that this thread checked while `work` ran.
fn signatures_of(work: impl FnOnce()) -> u32 {
    let before = CHECKED.get();
    work();
    CHECKED.get() - before
}

#[test]
fn a_proven_path_is_held_against_another_store_without_a_signature_of_its_certificates() {
    let chain = Chain::new(&peer());
    let store = |anchors: Vec<Certificate>, lists| TrustStore::new(anchors, lists).of_clients();
    let root = || vec![chain.root.certificate()];
    let list = |serials: &[u8], until| {
        RevocationList::from_der(&chain.middle.revocation_list(serials, until)).unwrap()
    };
    let path = store(root(), Vec::new())
        .prove(&chain.peer.certificate(), &[chain.middle.certificate()], NOW)
        .unwrap();
    assert_eq!(path.end(), &chain.peer.certificate());
    let good = store(root(), vec![list(&[9], UnixTime(NOW.0 + 99))]);
    let checked = signatures_of(|| {
        for _ in 0..1_000 {
            assert_eq!(good.check_again(&path, NOW), Ok(()));
        }
    });
    assert_eq!(checked, 1, "the list's, once");
    // The intermediate as an anchor, the root renewed with the same key, are as good.
    let renewed = Issued::root(&Template { serial: 77, ..Template::authority("Root") }, &key_pem(P256, 1))
        .certificate();
    let none = signatures_of(|| {
        for anchors in [vec![chain.middle.certificate()], vec![renewed], vec![chain.peer.certificate()]] {
            assert_eq!(store(anchors, Vec::new()).check_again(&path, NOW), Ok(()));
        }
    });
    assert_eq!(none, 0);
    let told = |store: TrustStore, now| store.check_again(&path, now).unwrap_err().to_string();
    let twin = Issued::root(&Template::authority("Root"), &key_pem(P256, 40)).certificate();
    for (store, now, expected) in [
        (store(Vec::new(), Vec::new()), NOW, "unknown CA"),
        (store(vec![twin], Vec::new()), NOW, "unknown CA"),
        (store(root(), vec![list(&[1], UnixTime(NOW.0 + 99))]), NOW, "was revoked"),
        (store(root(), vec![list(&[9], UnixTime(NOW.0 - 1))]), NOW, "out of date"),
        (
            store(root(), Vec::new()).without([chain.middle.certificate().thumbprint()].into()),
            NOW,
            "thumbprint",
        ),
        (store(root(), Vec::new()), UnixTime(path.not_after().0 + 1), "expired at"),
    ] {
        let told = told(store, now);
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn a_store_of_clients_takes_no_certificate_that_is_for_servers_alone() {
    use const_oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH};
    let usage = |usage| Template { extended_key_usage: usage, ..peer() };
    for (usages, peers, clients) in [
        (None, true, true),
        (Some(ID_KP_CLIENT_AUTH), true, true),
        (Some(const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.8.2.2")), true, true),
        (Some(const_oid::ObjectIdentifier::new_unwrap("2.5.29.37.0")), true, true),
        (Some(ID_KP_SERVER_AUTH), true, false),
    ] {
        let chain = Chain::new(&usage(usages));
        let verdict = |store: TrustStore| {
            store.verify(&chain.peer.certificate(), &[chain.middle.certificate()], NOW).is_ok()
        };
        let store = || TrustStore::new(vec![chain.root.certificate()], Vec::new());
        assert_eq!((verdict(store()), verdict(store().of_clients())), (peers, clients), "{usages:?}");
    }
}
