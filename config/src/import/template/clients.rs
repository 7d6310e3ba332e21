//! Point-to-site of a template's gateway.

use std::net::IpAddr;

use serde_json::Value;

use super::One;
use crate::import::draft::{Draft, plain, quoted, shown};
use crate::import::policy::unresolved;

/// Settings as TOML.
type Settings = Vec<(&'static str, String)>;

impl One<'_> {
    /// What the gateway has for clients; nothing where nobody could log in here.
    pub(super) fn clients(&self, may_have: bool, draft: &mut Draft) -> Settings {
        let Some(all) = self.get("vpnClientConfiguration") else { return Settings::new() };
        let place = format!("virtualNetworkGateways[{}].properties.vpnClientConfiguration", self.name);
        let own = One { name: self.name, properties: all, scope: self.scope };
        if !may_have {
            self.scope.see(all);
            let remedy = "take vpn_type = \"RouteBased\" and a larger sku, and write [virtual_network_gateway.vpn_client_configuration]";
            draft.leave_out(place, "gateways of this kind have no clients over IKEv2", remedy);
            return Settings::new();
        }
        let mut settings = own.pool(&place, draft).into_iter().collect::<Settings>();
        own.protocols(&place, draft);
        let roots = own.roots(&format!("{place}.vpnClientRootCertificates"), draft);
        let revoked = own.revoked(&format!("{place}.vpnClientRevokedCertificates"), draft);
        let servers = own.servers(&place, draft);
        own.not_taken(&place, draft);
        let types = own.types(&place, !roots.is_empty(), !servers.is_empty(), draft);
        if settings.is_empty() || types.is_empty() {
            let missing =
                if settings.is_empty() { "no address for them" } else { "nothing that they log in by" };
            let problem = format!("its clients are not taken over: there is {missing}");
            let remedy = "write [virtual_network_gateway.vpn_client_configuration], which has its words for addresses, certificates and RADIUS servers";
            draft.leave_out(place, problem, remedy);
            return Settings::new();
        }
        let by = |word: &str| types.contains(&word);
        let (by_certificate, by_radius) = (by("Certificate"), by("Radius"));
        settings.push(("vpn_client_protocols", "[\"IkeV2\"]".to_owned()));
        settings.push(("vpn_authentication_types", listed(types.iter().map(|word| quoted(word)))));
        let file = plain(self.name);
        settings.push(("certificate", format!("\"{file}.pem\" # CHANGE")));
        settings.push(("private_key", format!("{{ file = \"{file}.key\" }} # CHANGE")));
        draft.leave_out(
            format!("{place}.certificate"),
            "the cloud proves itself to clients by a certificate of its own, which is in no template",
            format!(
                "write one for the name that clients call the gateway by into {file}.pem, and its private key into {file}.key"
            ),
        );
        if by_certificate {
            settings.push(("vpn_client_root_certificates", listed(roots.into_iter())));
            if !revoked.is_empty() {
                settings.push(("vpn_client_revoked_certificates", listed(revoked.into_iter())));
            }
        }
        if by_radius {
            settings.push(("radius_servers", listed(servers.into_iter())));
            draft.leave_out(
                format!("{place}.radiusServerSecret"),
                "secrets are never taken over",
                format!("write what both sides share: (umask 077; cat > {file}-radius.secret)"),
            );
        }
        settings
    }

    fn pool(&self, place: &str, draft: &mut Draft) -> Option<(&'static str, String)> {
        let place = format!("{place}.vpnClientAddressPool");
        let list = self.get("vpnClientAddressPool").and_then(|pool| pool.get("addressPrefixes"));
        let texts = self.texts(list, &place, draft);
        let prefixes = draft.prefixes(&place, texts.iter().map(String::as_str));
        let quoted = prefixes.iter().map(|prefix| format!("\"{prefix}\""));
        (!prefixes.is_empty()).then(|| ("vpn_client_address_pool", listed(quoted)))
    }

    fn protocols(&self, place: &str, draft: &mut Draft) {
        let place = format!("{place}.vpnClientProtocols");
        for word in self.texts(self.get("vpnClientProtocols"), &place, draft) {
            if !word.eq_ignore_ascii_case("IkeV2") {
                let problem = format!("clients over {} are not supported by this version", shown(&word));
                draft.leave_out(&place, problem, "have them come by IKEv2");
            }
        }
    }

    /// How clients log in: as the template says, else by what there is for it.
    fn types(&self, place: &str, has_roots: bool, has_servers: bool, draft: &mut Draft) -> Vec<&'static str> {
        let place = format!("{place}.vpnAuthenticationTypes");
        let words = self.texts(self.get("vpnAuthenticationTypes"), &place, draft);
        let mut types = Vec::new();
        for (ours, is_there, missing) in
            [("Certificate", has_roots, "root certificate"), ("Radius", has_servers, "RADIUS server")]
        {
            let is_named = words.iter().any(|word| word.eq_ignore_ascii_case(ours));
            if is_there && (is_named || words.is_empty()) {
                types.push(ours);
            } else if is_named {
                let problem = format!("there is no {missing} that is known here");
                draft.leave_out(
                    &place,
                    problem,
                    format!("add one, and \"{ours}\" to vpn_authentication_types"),
                );
            }
        }
        for word in words {
            if !["Certificate", "Radius"].iter().any(|known| word.eq_ignore_ascii_case(known)) {
                let problem = format!("logging in by {} is not supported by this version", shown(&word));
                draft.leave_out(
                    &place,
                    problem,
                    "take \"Certificate\", \"Radius\", or \"Password\" with a file of users",
                );
            }
        }
        types
    }

    fn roots(&self, place: &str, draft: &mut Draft) -> Vec<String> {
        self.named("vpnClientRootCertificates", "publicCertData", "public_cert_data", place, draft)
    }

    fn revoked(&self, place: &str, draft: &mut Draft) -> Vec<String> {
        self.named("vpnClientRevokedCertificates", "thumbprint", "thumbprint", place, draft)
    }

    /// The entries of a list that have a name and one property.
    fn named(&self, list: &str, key: &str, ours: &str, place: &str, draft: &mut Draft) -> Vec<String> {
        let mut entries = Vec::new();
        for (index, one) in self.get(list).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let name = one.get("name").and_then(|name| self.scope.text(name));
            let name = name.unwrap_or_else(|| format!("{}", index + 1));
            let value = one.get("properties").and_then(|properties| properties.get(key));
            match value.and_then(|value| self.scope.text(value)) {
                Some(text) => {
                    let text: String = text.split_whitespace().collect();
                    entries.push(format!("{{ name = {}, {ours} = {} }}", quoted(&name), quoted(&text)));
                }
                None => unresolved(&format!("{place}[{index}]"), draft),
            }
        }
        entries
    }

    /// The servers of the list, or the single one of older templates.
    fn servers(&self, place: &str, draft: &mut Draft) -> Vec<String> {
        let listed = self.get("radiusServers").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().map(|server| (server, format!("{place}.radiusServers")));
        let alone = self.get("radiusServerAddress").filter(|address| *address != "");
        let alone = alone.map(|_| (self.properties, place.to_owned()));
        let mut servers = Vec::new();
        for (server, place) in listed.chain(alone) {
            server.get("radiusServerSecret").into_iter().for_each(|secret| self.scope.see(secret));
            let text = |key| server.get(key).and_then(|value| self.scope.text(value));
            let place = format!("{place}.radiusServerAddress");
            let Some(written) = text("radiusServerAddress") else {
                unresolved(&place, draft);
                continue;
            };
            let Ok(address) = written.trim().parse::<IpAddr>() else {
                draft.leave_out(
                    place,
                    format!("{} is no address", shown(&written)),
                    "write the server's address in",
                );
                continue;
            };
            let score = text("radiusServerScore").and_then(|text| text.parse::<u8>().ok());
            let score = score.map(|score| format!("score = {score}, ")).unwrap_or_default();
            let file = plain(self.name);
            servers.push(format!(
                "{{ address = \"{address}\", {score}secret = {{ file = \"{file}-radius.secret\" }} }}"
            ));
        }
        servers
    }

    /// Tells what there is nothing like here.
    fn not_taken(&self, place: &str, draft: &mut Draft) {
        const DIRECTORY: &str = "logging in at a cloud's directory is not supported by this version";
        const OTHERWISE: &str = "take \"Certificate\", \"Radius\", or \"Password\" with a file of users";
        for (key, problem, remedy) in [
            ("aadTenant", DIRECTORY, OTHERWISE),
            ("aadAudience", DIRECTORY, OTHERWISE),
            ("aadIssuer", DIRECTORY, OTHERWISE),
            (
                "vpnClientIpsecPolicies",
                "clients have no policy of their own in this version",
                "see docs/transforms.md for what they are offered",
            ),
            (
                "vngClientConnectionConfigurations",
                "groups of clients with pools of their own are not supported by this version",
                "take one vpn_client_address_pool for all",
            ),
        ] {
            let Some(value) = self.get(key) else { continue };
            self.scope.see(value);
            if *value != "" && value.as_array().is_none_or(|list| !list.is_empty()) {
                draft.leave_out(format!("{place}.{key}"), problem, remedy);
            }
        }
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}
