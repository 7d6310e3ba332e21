//! BGP settings of gateways and peers of a template.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::One;
use crate::import::draft::{Draft, shown};
use crate::import::policy::unresolved;

/// Settings as TOML.
type Settings = Vec<(&'static str, String)>;

impl One<'_> {
    pub(super) fn bgp_of_gateway(&self, place: &str, draft: &mut Draft) -> Settings {
        let Some(bgp) = self.get("bgpSettings") else { return Settings::new() };
        let place = format!("{place}.properties.bgpSettings");
        let mut settings = self.numbers(bgp, &place, draft);
        // Two, separated by a comma, of an active-active gateway.
        let text = bgp.get("bgpPeeringAddress").filter(|value| !value.is_null());
        if let Some(text) =
            text.and_then(|value| self.read(value, &format!("{place}.bgpPeeringAddress"), draft))
        {
            let addresses =
                text.split(',').map(|text| text.trim().parse::<IpAddr>().ok()).collect::<Option<Vec<_>>>();
            match addresses {
                Some(addresses) => {
                    settings.push(("bgp_peering_addresses", quoted(&addresses[..1])));
                    if let [_, second, ..] = addresses[..] {
                        let problem =
                            format!("{second} is that of the other address of an active-active gateway");
                        let remedy = "add it to bgp_peering_addresses together with active_active = true";
                        draft.leave_out(format!("{place}.bgpPeeringAddress"), problem, remedy);
                    }
                }
                None => told(&format!("{place}.bgpPeeringAddress"), &text, draft),
            }
        }
        let mut custom: Vec<Ipv4Addr> = Vec::new();
        for (index, one) in
            bgp.get("bgpPeeringAddresses").and_then(Value::as_array).into_iter().flatten().enumerate()
        {
            // Which of the gateway's addresses it goes with is not said here, and the rest the cloud writes by itself.
            for key in ["ipconfigurationId", "defaultBgpIpAddresses", "tunnelIpAddresses"] {
                one.get(key).into_iter().for_each(|value| self.scope.see(value));
            }
            let place = format!("{place}.bgpPeeringAddresses[{index}].customBgpIpAddresses");
            for text in self.texts(one.get("customBgpIpAddresses"), &place, draft) {
                match text.trim().parse() {
                    Ok(address) => custom.push(address),
                    Err(_) => told(&place, &text, draft),
                }
            }
        }
        if !custom.is_empty() {
            settings.push(("custom_bgp_ip_addresses", quoted(&custom)));
        }
        settings
    }

    /// None where what ours cannot do without is not known.
    pub(super) fn bgp_of_peer(&self, place: &str, draft: &mut Draft) -> Settings {
        let Some(bgp) = self.get("bgpSettings") else { return Settings::new() };
        let place = format!("{place}.bgpSettings");
        let mut settings = self.numbers(bgp, &place, draft);
        let text = bgp
            .get("bgpPeeringAddress")
            .and_then(|value| self.read(value, &format!("{place}.bgpPeeringAddress"), draft));
        let address = text.and_then(|text| text.trim().parse::<IpAddr>().ok());
        if let Some(address) = address {
            settings.push(("bgp_peering_address", format!("\"{address}\"")));
        }
        if address.is_none() || !settings.iter().any(|(key, _)| *key == "asn") {
            let problem = "the peer's number and address for BGP are not both known";
            draft.leave_out(place, problem, "write [local_network_gateway.bgp_settings] if they matter");
            settings.clear();
        }
        settings
    }

    fn numbers(&self, bgp: &Value, place: &str, draft: &mut Draft) -> Settings {
        let mut settings = Settings::new();
        for (key, ours) in [("asn", "asn"), ("peerWeight", "peer_weight")] {
            let Some(value) = bgp.get(key).filter(|value| !value.is_null()) else { continue };
            let place = format!("{place}.{key}");
            let Some(text) = self.read(value, &place, draft) else { continue };
            match text.parse::<u32>() {
                Ok(number) => settings.push((ours, number.to_string())),
                Err(_) => told(&place, &text, draft),
            }
        }
        settings
    }

    fn read(&self, value: &Value, place: &str, draft: &mut Draft) -> Option<String> {
        let text = self.scope.text(value);
        if text.is_none() {
            unresolved(place, draft);
        }
        text
    }
}

fn told(place: &str, text: &str, draft: &mut Draft) {
    draft.leave_out(place, format!("{} cannot be read", shown(text)), "write it in by hand");
}

fn quoted(addresses: &[impl std::fmt::Display]) -> String {
    let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
