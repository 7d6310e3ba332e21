//! A router with one public address, behind which a branch is: what leaves has that address and a port of the router's choice (nftables), and nothing gets in that the branch did not
//! begin.

use crate::failure::Result;
use crate::namespace::{Namespace, Stack, cable};
use crate::sites::{PeerSite, Site};

/// The branch's gateway inside, and the router there.
pub const INSIDE: &str = "10.99.0.2";
const OWN_INSIDE: &str = "10.99.0.1";

/// A router that runs.
pub struct NatRouter {
    namespace: Namespace,
    public: String,
}

impl NatRouter {
    /// Stands between a branch, whose gateway gets the address [`INSIDE`], and the wan of `site`. The public address comes with its prefix length.
    pub fn between(branch: &PeerSite, site: &Site, public: &str, first_port: u16) -> Result<Self> {
        let namespace = Namespace::new("router", Stack::Kernel)?;
        cable((&branch.gateway, "wan"), (&namespace, "inside"), 1500)?;
        cable((&namespace, "outside"), (&site.gateway, "wan"), 1500)?;
        branch.gateway.address("wan", &format!("{INSIDE}/24"))?;
        namespace.address("inside", &format!("{OWN_INSIDE}/24"))?;
        branch.gateway.route("default", OWN_INSIDE)?;
        namespace.set("ipv4/ip_forward", "1")?;
        namespace.address("outside", public)?;
        namespace.run("nft add table ip nat")?;
        namespace.run("nft add chain ip nat out { type nat hook postrouting priority srcnat ; }")?;
        let router = Self { namespace, public: public.to_owned() };
        router.map_to(first_port)?;
        Ok(router)
    }

    /// Forgets every mapping, as after a power cut or when the line was dialled anew, and takes this public address and other ports from now on.
    pub fn restart(&mut self, public: &str, first_port: u16) -> Result<()> {
        self.map_to(first_port)?;
        // The kernel forgets what it masqueraded as an address that goes.
        self.namespace.ip(&format!("address del {} dev outside", self.public))?;
        self.namespace.address("outside", public)?;
        public.clone_into(&mut self.public);
        Ok(())
    }

    /// New mappings get one of a thousand ports from this one on.
    fn map_to(&self, first_port: u16) -> Result<()> {
        let last_port = first_port + 999;
        self.namespace.run("nft flush chain ip nat out")?;
        let to = format!("masquerade to :{first_port}-{last_port}");
        self.namespace
            .run(&format!("nft add rule ip nat out oifname outside meta l4proto udp {to}"))
            .map(drop)
    }

    /// Where it runs; its public interface is "outside".
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}
