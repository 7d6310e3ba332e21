//! Which IKE a connection speaks, and what IKEv1 lacks.

use crossgate_pki::{KeyKind, OcspPolicy};

use crate::authentication::Authentication;
use crate::choice::Choice;
use crate::document::Section;
use crate::gateway::{VirtualNetworkGateway, VpnType};
use crate::policy::algorithm::{DhGroup, IpsecEncryption, PfsGroup};
use crate::policy::{AdditionalKeyExchange, Esn, Policy};
use crate::ppk::Ppk;
use crate::report::{Located, Place, Report};

/// The version of IKE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 7296.
    IkeV2,
    /// RFC 2409, main mode and quick mode: for peers that speak nothing else.
    IkeV1,
}

impl Choice for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[("IKEv2", Self::IkeV2), ("IKEv1", Self::IkeV1)];
    const WEAK: &'static [(Self, &'static str, &'static str)] =
        &[(Self::IkeV1, "it is obsolete (RFC 9395)", "take protocol = \"IKEv2\" if the peer speaks it")];
}

/// IKEv2, or IKEv1 to a site from a policy-based gateway, as in the cloud, unless the file says otherwise; and where it says so.
pub(super) fn read(
    section: &mut Section<'_>,
    gateway: Option<&VirtualNetworkGateway>,
    report: &mut Report<'_>,
) -> (Protocol, Place) {
    let is_policy_based = gateway.is_some_and(|gateway| gateway.vpn_type == VpnType::PolicyBased);
    let by_default = if is_policy_based { Protocol::IkeV1 } else { Protocol::IkeV2 };
    let place = section.place.clone();
    let named = section.optional::<Protocol>("protocol", report);
    let Located { value, place } = named.unwrap_or(Located { value: by_default, place });
    if let Some((problem, remedy)) = value.weakness() {
        report.warning(&place, format!("{} is weak: {problem}", value.word()), remedy);
    }
    (value, place)
}

/// Whether each worker has a Child SA of its own with a peer that can do that: unless the file says otherwise, where the version has it.
pub(super) fn per_resource_child_sas(
    section: &mut Section<'_>,
    protocol: Protocol,
    report: &mut Report<'_>,
) -> bool {
    let Some(Located { value, place }) = section.optional::<bool>("per_resource_child_sas", report) else {
        return protocol == Protocol::IkeV2;
    };
    if value && protocol == Protocol::IkeV1 {
        let problem = "IKEv1 has one pair of SAs for the same traffic, not one for each worker";
        report.error(&place, problem, "leave it out, or take protocol = \"IKEv2\"");
    }
    value
}

/// What of a connection the version has to bear.
pub(super) struct Settings<'a> {
    pub(super) gateway: Option<&'a VirtualNetworkGateway>,
    pub(super) policy: &'a Policy,
    pub(super) ppk: Option<&'a Ppk>,
    pub(super) authentication: Option<&'a Authentication>,
    /// Whether peers are to be sent elsewhere.
    pub(super) redirects: bool,
    /// Whether lost IKE SAs are to be taken up again.
    pub(super) resumption: bool,
}

/// Reports what the connection has and IKEv1 has not; `place` is that of the key `protocol`.
pub(super) fn check(protocol: Protocol, place: &Place, settings: &Settings<'_>, report: &mut Report<'_>) {
    if protocol == Protocol::IkeV2 {
        return;
    }
    let Settings { gateway, policy, ppk, authentication, .. } = settings;
    let basic =
        gateway.filter(|gateway| gateway.vpn_type == VpnType::RouteBased && !gateway.sku.takes_policy());
    if let Some(gateway) = basic {
        let problem = format!(
            "the gateway \"{}\" is RouteBased and of size {}, which speaks IKEv2 only",
            gateway.name,
            gateway.sku.word()
        );
        report.error(place, problem, "take vpn_type = \"PolicyBased\", or a larger sku");
    }
    if settings.redirects {
        let remedy = "leave redirect_to out, or take protocol = \"IKEv2\"";
        report.error(place, "IKEv1 cannot send a peer elsewhere", remedy);
    }
    if settings.resumption {
        let remedy = "leave session_resumption out, or take protocol = \"IKEv2\"";
        report.error(place, "IKEv1 has no tickets", remedy);
    }
    let lacks = lacks(policy, ppk.is_some(), *authentication);
    for (is_there, problem, remedy) in lacks {
        if is_there {
            report.error(place, format!("IKEv1 has {problem}"), remedy);
        }
    }
}

fn lacks(
    policy: &Policy,
    has_ppk: bool,
    authentication: Option<&Authentication>,
) -> [(bool, &'static str, &'static str); 8] {
    let has_gcm = policy.ike.iter().flat_map(|one| &one.encryption).any(|cipher| cipher.is_combined_mode());
    let has_curve =
        policy.ike.iter().flat_map(|proposal| &proposal.dh_groups).any(|group| *group == DhGroup::Curve25519)
            || policy.ipsec.pfs_groups.contains(&PfsGroup::Group(DhGroup::Curve25519));
    let is_none = |one: &AdditionalKeyExchange| {
        matches!(one, AdditionalKeyExchange::None | AdditionalKeyExchange::Auto)
    };
    let has_additional = !policy.additional_key_exchanges.iter().all(is_none);
    let signs = |by: &Authentication| match by {
        Authentication::SharedKey(_) => true,
        Authentication::Certificate(by) => by.credential.key().public_key().kind() != KeyKind::Ed25519,
        // Of clients alone, which speak IKEv2.
        Authentication::Login(_) => false,
    };
    let requires_ocsp = |by: &Authentication| matches!(by, Authentication::Certificate(by) if by.trust.ocsp() == OcspPolicy::Require);
    [
        (
            authentication.is_some_and(requires_ocsp),
            "no OCSP responses",
            "take ocsp = \"Ask\" and crls, or protocol = \"IKEv2\"",
        ),
        (has_gcm, "no AES-GCM in ike_encryption", "name AES256, AES192 or AES128 with SHA256 or SHA384"),
        (has_curve, "no Curve25519", "take \"DHGroup14\" (or \"ECP256\", \"ECP384\")"),
        (
            policy.ipsec.encryption.contains(&IpsecEncryption::ChaCha20Poly1305),
            "no ChaCha20Poly1305",
            "take \"GCMAES256\" (or \"AES256\" with \"SHA256\")",
        ),
        (policy.ipsec.esn == Esn::Require, "no extended sequence numbers here", "leave esn out"),
        (has_additional, "no additional key exchange", "leave additional_key_exchange out"),
        (has_ppk, "no post-quantum pre-shared keys", "leave ppk out, or take protocol = \"IKEv2\""),
        (
            !authentication.is_none_or(signs),
            "no certificates but those with an RSA or ECDSA key",
            "take one with such a key, a shared_key, or protocol = \"IKEv2\"",
        ),
    ]
}
