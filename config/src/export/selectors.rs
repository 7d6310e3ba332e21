//! Traffic selectors of connections.

use toml::Value;

use super::{Settings, texts};
use crate::selectors::Ends;
use crate::{Config, Connection};

/// The selectors, unless they are those that the connection has without being told.
pub(super) fn put(config: &Config, connection: &Connection, settings: &mut Settings) {
    let gateway = config.gateway_of(connection);
    let served = config.prefixes_served(connection);
    let ends = Ends { served: &served, prefixes: &config.peer_of(connection).prefixes };
    let own = &connection.traffic_selectors;
    if *own == ends.by_default(gateway.vpn_type) {
        return;
    }
    if *own == ends.prefix_pairs() {
        settings.put("use_policy_based_traffic_selectors", true);
        return;
    }
    match own.policies().as_slice() {
        [one] => {
            settings.put_in("traffic_selectors", "local", texts(&one.local));
            settings.put_in("traffic_selectors", "remote", texts(&one.remote));
        }
        several => {
            let policies = several.iter().map(|policy| {
                let sides = [("local", &policy.local), ("remote", &policy.remote)];
                let sides = sides.map(|(key, side)| (key.to_owned(), Value::from(texts(side))));
                Value::Table(toml::Table::from_iter(sides))
            });
            settings.put("traffic_selectors", policies.collect::<Vec<_>>());
        }
    }
}
