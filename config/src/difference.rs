//! What differs between two configurations, setting by setting, in words for people. What that means for a running gateway is the
//! reconciler's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::authentication::Authentication;
use crate::export::{Kind, Resource, Setting};
use crate::{Config, Name, RadiusServer, VpnClientConfiguration};

/// A resource that is not the same in two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub kind: Kind,
    /// Its name; the appliance's is the new one.
    pub name: Name,
    /// What differs.
    pub what: What,
}

/// How a resource differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It is there in the second only.
    Added,
    /// It is there in the first only.
    Removed,
    /// These settings differ.
    Changed(Vec<SettingDifference>),
}

/// A setting that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingDifference {
    /// Its key, such as `policy.dh_group`.
    pub key: String,
    /// The old value as TOML; `None` if it was not there.
    pub from: Option<String>,
    /// The new value as TOML; `None` if it is not there.
    pub to: Option<String>,
}

/// One line for each setting.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = match self.kind {
            Kind::Appliance => self.kind.section().to_owned(),
            kind => format!("{}[{}]", kind.section(), self.name),
        };
        match &self.what {
            What::Added => write!(f, "{resource}: new"),
            What::Removed => write!(f, "{resource}: gone"),
            What::Changed(settings) => {
                for (index, setting) in settings.iter().enumerate() {
                    let line_end = if index > 0 { "\n" } else { "" };
                    let shown =
                        |value: &Option<String>| value.clone().unwrap_or_else(|| "(default)".to_owned());
                    let (from, to) = (shown(&setting.from), shown(&setting.to));
                    write!(f, "{line_end}{resource}.{}: {from} -> {to}", setting.key)?;
                }
                Ok(())
            }
        }
    }
}

impl Config {
    /// What would have to change in `self` to make it `wanted`, by kind and name.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Vec<Difference> {
        let by_name = |resources: Vec<Resource>| -> BTreeMap<(Kind, Option<Name>), Resource> {
            // There is one appliance, whatever it is called.
            let key = |one: &Resource| (one.kind, (one.kind != Kind::Appliance).then(|| one.name.clone()));
            resources.into_iter().map(|resource| (key(&resource), resource)).collect()
        };
        let (old, new) = (by_name(self.resources()), by_name(wanted.resources()));
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let mut differences = Vec::new();
        for key in keys {
            let (kind, name, what) = match (old.get(key), new.get(key)) {
                (None, Some(new)) => (new.kind, &new.name, What::Added),
                (Some(old), None) => (old.kind, &old.name, What::Removed),
                (Some(old), Some(new)) => {
                    let mut changed = changed(old, new);
                    if let Some(key) = kept_secret_differs(self, wanted, new) {
                        let (from, to) = ("(what was there)".to_owned(), "(other contents)".to_owned());
                        changed.push(SettingDifference {
                            key: key.to_owned(),
                            from: Some(from),
                            to: Some(to),
                        });
                    }
                    (new.kind, &new.name, What::Changed(changed))
                }
                (None, None) => continue,
            };
            if what != What::Changed(Vec::new()) {
                differences.push(Difference { kind, name: name.clone(), what });
            }
        }
        differences
    }
}

/// The key of a connection or of a gateway's clients whose secret or certificates are others although they are kept at the same place.
fn kept_secret_differs(old: &Config, new: &Config, resource: &Resource) -> Option<&'static str> {
    if resource.kind == Kind::VirtualNetworkGateway {
        let clients = |config: &Config| config.gateways().get(&resource.name)?.vpn_client.clone();
        return kept_login_differs(&clients(old)?, &clients(new)?);
    }
    if resource.kind != Kind::Connection {
        return None;
    }
    let (old, new) = (old.connections().get(&resource.name)?, new.connections().get(&resource.name)?);
    if let (Some(old), Some(new)) = (&old.ppk, &new.ppk)
        && old.secret != new.secret
        && old.secret.reference() == new.secret.reference()
    {
        return Some("ppk.secret");
    }
    match (&old.authentication, &new.authentication) {
        (Authentication::SharedKey(old), Authentication::SharedKey(new)) => {
            (old != new && old.reference() == new.reference()).then_some("shared_key")
        }
        (Authentication::Certificate(old), Authentication::Certificate(new)) => {
            let same = old.credential == new.credential && old.trust == new.trust;
            (!same && old.files == new.files).then_some("authentication")
        }
        _ => None,
    }
}

/// The same of what clients log in by.
fn kept_login_differs(old: &VpnClientConfiguration, new: &VpnClientConfiguration) -> Option<&'static str> {
    if let (Some(before), Some(after)) = (&old.users, &new.users)
        && before != after
        && before.reference() == after.reference()
    {
        return Some("vpn_client_configuration.users");
    }
    if let (Some(before), Some(after)) = (&old.radius, &new.radius) {
        let is_alike = |(before, after): (&RadiusServer, &RadiusServer)| {
            before.address == after.address
                && before.secret != after.secret
                && before.secret.reference() == after.secret.reference()
        };
        if before.iter().zip(after).any(is_alike) {
            return Some("vpn_client_configuration.radius_servers");
        }
    }
    if let (Some(before), Some(after)) = (&old.certificates, &new.certificates)
        && before.trust != after.trust
        && (&before.roots, &before.revoked, &before.crls) == (&after.roots, &after.revoked, &after.crls)
    {
        return Some("vpn_client_configuration.vpn_client_root_certificates");
    }
    let is_same_place = (&old.certificate, &old.private_key) == (&new.certificate, &new.private_key);
    (old.credential != new.credential && is_same_place).then_some("vpn_client_configuration.certificate")
}

fn changed(old: &Resource, new: &Resource) -> Vec<SettingDifference> {
    let mut differences = Vec::new();
    if old.name != new.name {
        let (from, to) = (Some(format!("\"{}\"", old.name)), Some(format!("\"{}\"", new.name)));
        differences.push(SettingDifference { key: "name".to_owned(), from, to });
    }
    let value = |resource: &Resource, like: &Setting| {
        let same = |setting: &&Setting| (setting.table, setting.key) == (like.table, like.key);
        resource.settings.iter().find(same).map(|setting| setting.value.to_string())
    };
    let only_old = old.settings.iter().filter(|setting| value(new, setting).is_none());
    for setting in new.settings.iter().chain(only_old) {
        let (from, to) = (value(old, setting), value(new, setting));
        if from != to {
            let key = setting.table.map_or_else(String::new, |table| format!("{table}.")) + setting.key;
            differences.push(SettingDifference { key, from, to });
        }
    }
    differences
}
