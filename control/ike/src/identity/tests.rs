//! Identities from text and wire.

use super::*;

#[test]
fn texts_become_their_kind_and_survive_the_wire() {
    for (text, kind, shown) in [
        ("192.0.2.1", IdType::IPV4_ADDR, "192.0.2.1"),
        ("2001:DB8::1", IdType::IPV6_ADDR, "2001:db8::1"),
        ("GW.example.", IdType::FQDN, "gw.example"),
        ("@gw.example", IdType::FQDN, "gw.example"),
        ("Ops@Example.COM", IdType::RFC822_ADDR, "Ops@example.com"),
        ("keyid:branch-7", IdType::KEY_ID, "keyid:branch-7"),
        ("keyid:0x00ff", IdType::KEY_ID, "keyid:0x00ff"),
    ] {
        let identity: Identity = text.parse().unwrap();
        assert_eq!(identity.to_wire().kind, kind, "{text}");
        assert_eq!(identity.to_string(), shown);
        assert_eq!(Identity::from_wire(&identity.to_wire()), identity);
        assert_eq!(shown.parse(), Ok(identity));
    }
}

#[test]
fn what_is_no_identity_is_refused() {
    for text in ["", "keyid:", "keyid:0xabc", "keyid:0xzz", "192.0.2.300", "a b", "a@", "@", ".", "fqdn:"] {
        assert!(text.parse::<Identity>().is_err(), "{text}");
    }
    assert!("a".repeat(256).parse::<Identity>().is_err());
}

#[test]
fn bytes_that_do_not_fit_their_kind_are_kept_as_they_are() {
    for (kind, data) in [
        (IdType::IPV4_ADDR, vec![1, 2, 3]),
        (IdType::FQDN, vec![0xff]),
        (IdType::KEY_ID, vec![1; 256]),
        (IdType(77), vec![1]),
    ] {
        let wire = Identification { kind, reserved: [0; 3], data: data.clone() };
        let identity = Identity::from_wire(&wire);
        assert_eq!(identity, Identity::Other { kind, data: data.into() });
        assert_eq!(identity.to_wire(), wire);
    }
}

#[test]
fn a_distinguished_name_is_read_up_to_a_length_and_kept_as_bytes_beyond() {
    let name =
        |bytes: usize| format!("O=Example, CN={}", "n".repeat(bytes)).parse().map(Identity::Name).unwrap();
    for (identity, is_name) in [(name(64), true), (name(4000), true), (name(4096), false)] {
        let wire = identity.to_wire();
        let read = Identity::from_wire(&wire);
        assert_eq!(read == identity, is_name, "{} bytes", wire.data.len());
        assert_eq!(matches!(read, Identity::Other { .. }), !is_name);
        assert_eq!(read.to_wire(), wire);
    }
}
