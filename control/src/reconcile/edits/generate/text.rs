//! Configurations as files.

use super::{Edit, Link, Selectors, Site, Translation, prefix, space};

impl Site {
    /// What its connections say beyond the usual.
    fn settings(&self, has_rules: bool) -> String {
        let Self { number, network, .. } = self;
        let rules: Vec<String> = (0..self.prefixes).map(|third| format!("r{number}-{third}")).collect();
        let prefixes: Vec<String> = (0..self.prefixes).map(|third| self.prefix(third).to_string()).collect();
        let mut text = match self.nat {
            Translation::Static if has_rules => format!("ingress_nat_rules = {rules:?}\n"),
            Translation::Dynamic if has_rules => format!("egress_nat_rules = [\"e{number}\"]\n"),
            _ => match self.selectors {
                Selectors::AnyToAny => String::new(),
                Selectors::PolicyBased => "use_policy_based_traffic_selectors = true\n".to_owned(),
                Selectors::Own => format!(
                    "traffic_selectors = {{ local = [\"10.{network}.0.0/17\"], remote = {prefixes:?} }}\n"
                ),
            },
        };
        if self.is_old {
            text += "protocol = \"IKEv1\"\n";
        }
        text
    }

    fn nat_rules(&self) -> String {
        let Self { number, network, .. } = self;
        let rule = |name: &str, settings: &str| {
            format!("[[nat_rule]]\nname = \"{name}\"\ngateway = \"g{network}\"\n{settings}\n")
        };
        let of_prefix = |third: u8| {
            let (internal, external) = (self.prefix(third), prefix(100, number + 64, third));
            rule(
                &format!("r{number}-{third}"),
                &format!(
                    "mode = \"IngressSnat\"\ninternal_mapping = \"{internal}\"\nexternal_mapping = \"{external}\""
                ),
            )
        };
        match self.nat {
            Translation::None => String::new(),
            Translation::Static => (0..self.prefixes).map(of_prefix).collect(),
            Translation::Dynamic => rule(
                &format!("e{number}"),
                &format!(
                    "mode = \"EgressSnat\"\ntype = \"Dynamic\"\ninternal_mapping = \"10.{network}.0.0/16\"\n\
                     external_mapping = \"100.90.{number}.1/32\""
                ),
            ),
        }
    }
}

impl Edit {
    /// As a file, with the gateways' certificate in `certificate`.
    pub(in super::super) fn text(&self, certificate: &str) -> String {
        let mut text = String::from(
            "[appliance]\nname = \"gw\"\nworkers = [0]\ncontrol_core = 0\n\
             [[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n\
             addresses = [\"192.0.2.1/24\", \"192.0.2.2/24\", \"192.0.2.3/24\", \"192.0.2.4/24\"]\n\
             [[port]]\nname = \"lan\"\ndevice = \"net_null1\"\n",
        );
        for network in self.networks() {
            text += &self.network(network);
            if self.has_gateway(network) {
                text += &self.gateway(network);
            }
            if let Some(third) = self.pool(network) {
                text += &format!(
                    "[virtual_network_gateway.vpn_client_configuration]\nvpn_client_address_pool = [\"172.16.{third}.0/24\"]\n\
                     vpn_client_protocols = [\"IkeV2\"]\nvpn_authentication_types = [\"Password\"]\ncertificate = {certificate:?}\n\
                     private_key = {{ env = \"OWN\" }}\nusers = {{ env = \"USERS\" }}\n"
                );
            }
        }
        text + &self.circuit_text() + &self.link_text() + &self.sites_text()
    }

    fn network(&self, network: u8) -> String {
        let space = space(network);
        let route =
            |next: u8| format!("{{ prefix = \"10.9.0.0/16\", next_hop = \"10.0.0.{}\" }}", next + 100);
        let routes = self.static_route.filter(|_| network == 0).map(route).unwrap_or_default();
        format!(
            "[[virtual_network]]\nname = \"n{network}\"\naddress_space = [\"10.{space}.0.0/16\"]\n\
             gateway_subnet = \"10.{space}.255.0/27\"\nport = \"lan\"\nvlan = {}\n\
             addresses = [\"10.{space}.0.1/24\"]\nroutes = [{routes}]\n",
            network + 10,
        )
    }

    fn gateway(&self, network: u8) -> String {
        let is_policy_based = network == 2 && self.twin.as_ref().is_some_and(|twin| twin.is_policy_based);
        let (kind, sku) = if is_policy_based { ("PolicyBased", "Basic") } else { ("RouteBased", self.sku) };
        let addresses = match network {
            0 if self.is_active_active => "\"192.0.2.1\", \"192.0.2.4\"]\nactive_active = true".to_owned(),
            _ => format!("\"192.0.2.{}\"]", network + 1),
        };
        format!(
            "[[virtual_network_gateway]]\nname = \"g{network}\"\nvirtual_network = \"n{network}\"\n\
             vpn_type = \"{kind}\"\nsku = \"{sku}\"\npublic_addresses = [{addresses}\n"
        )
    }

    fn circuit_text(&self) -> String {
        let Some(is_wide) = self.circuit else { return String::new() };
        let wide = if is_wide { ", \"10.16.0.0/12\"" } else { "" };
        format!(
            "[[express_route_circuit]]\nname = \"line\"\nport = \"lan\"\nvlan = 100\n\
             addresses = [\"172.31.0.1/30\"]\nnext_hops = [\"172.31.0.2\"]\nprefixes = [\"10.8.0.0/16\"{wide}]\n\
             [[virtual_network_gateway]]\nname = \"er\"\nvirtual_network = \"n0\"\ntype = \"ExpressRoute\"\n\
             [[connection]]\nname = \"by-line\"\ntype = \"ExpressRoute\"\ngateway = \"er\"\n\
             express_route_circuit = \"line\"\n"
        )
    }

    fn link_text(&self) -> String {
        let peering = |from: u8, to: u8, more: &str| {
            format!(
                "[[virtual_network_peering]]\nname = \"p{from}\"\nvirtual_network = \"n{from}\"\n\
                 remote_virtual_network = \"n{to}\"\n{more}"
            )
        };
        let tunnel = |from: u8, to: u8| {
            format!(
                "[[connection]]\nname = \"v{from}\"\ntype = \"Vnet2Vnet\"\ngateway = \"g{from}\"\n\
                 remote_gateway = \"g{to}\"\nshared_key = {{ env = \"KEY\" }}\n"
            )
        };
        match self.link {
            Link::None => String::new(),
            Link::Peered => peering(0, 1, "") + &peering(1, 0, ""),
            Link::Transit => {
                peering(0, 1, "allow_gateway_transit = true\n")
                    + &peering(1, 0, "use_remote_gateways = true\n")
            }
            Link::Tunnel => tunnel(0, 1) + &tunnel(1, 0),
        }
    }

    fn sites_text(&self) -> String {
        let connection = |name: &str, gateway: u8, address: u8, prefixes: &[String], more: &str| {
            format!(
                "[[local_network_gateway]]\nname = \"s-{name}\"\naddress = \"192.0.2.{address}\"\nprefixes = {prefixes:?}\n\
                 [[connection]]\nname = \"{name}\"\ngateway = \"g{gateway}\"\nlocal_network_gateway = \"s-{name}\"\n\
                 shared_key = {{ env = \"KEY\" }}\n{more}"
            )
        };
        let mut text = String::new();
        for site in &self.sites {
            let Site { network, dpd_timeout_s, mode, .. } = site;
            let prefixes: Vec<String> =
                (0..site.prefixes).map(|third| site.prefix(third).to_string()).collect();
            if self.has_rules() {
                text += &site.nat_rules();
            }
            let weight = site.second_weight.map(|weight| format!("routing_weight = {weight}\n"));
            let more = format!(
                "{}dpd_timeout_s = {dpd_timeout_s}\nmode = \"{mode}\"\n{}",
                weight.unwrap_or_default(),
                site.settings(self.has_rules())
            );
            for way in site.connections() {
                text += &connection(&format!("c{way}"), *network, way + 10, &prefixes, &more);
            }
        }
        if self.is_forced {
            text += &connection("f", 0, 250, &["0.0.0.0/0".to_owned()], "");
        }
        if let Some(twin) = &self.twin {
            let prefixes = [prefix(10, twin.site + 20, 0).to_string()];
            text += &connection(&format!("t{}", twin.site), 2, twin.site + 200, &prefixes, "");
        }
        text
    }
}
