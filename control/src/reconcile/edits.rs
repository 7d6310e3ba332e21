//! Whatever networks, gateways, peerings, circuits, sites and clients two configurations have: to apply the one, then the other, is to apply the other to a fresh gateway; and what is
//! behind a tunnel never has a way in clear: neither in the tables nor, packet by packet, while a change is on its way to a worker.

mod appliance;
mod bed;
mod generate;
mod peers;
mod wire;

use std::cell::RefCell;
use std::path::Path;
use std::sync::LazyLock;

use crossgate_config::Source;
use crossgate_dataplane::forwarding::VrfId;
use crossgate_pki::KeyKind;
use crossgate_pki::testing::{Issued, Template, key_pem};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use zeroize::Zeroizing;

use super::*;
use appliance::Appliance;
use bed::Bed;
use generate::{Edit, Way, addresses, edit};

/// The certificate of the gateways, in a file that is there as long as this process.
pub(crate) static OWN: LazyLock<(tempfile::TempDir, String)> = LazyLock::new(|| {
    let root = Issued::root(&Template::authority("Root"), &key_pem(KeyKind::P256, 1));
    let own = root.issue(&Template::peer("vpn.example.net"), &key_pem(KeyKind::P256, 2));
    let place = tempfile::tempdir().expect("a directory");
    std::fs::write(place.path().join("vpn.pem"), own.pem()).expect("a file");
    (place, own.key_pem)
});

pub(crate) fn config(text: &str) -> Config {
    checked(text).config
}

fn checked(text: &str) -> Checked {
    let variable = |name: &str| {
        Some(Zeroizing::new(match name {
            "OWN" => OWN.1.clone(),
            "USERS" => "anna:secret of anna".to_owned(),
            _ => "vB7.qzN2_kTfW9xR4mYh6LdC".to_owned(),
        }))
    };
    let environment = Environment { cores: [0, 1].into(), user_id: 0, variable: &variable };
    match Config::parse(Source { file: Path::new("test.toml"), text }, &environment) {
        Ok(checked) => checked,
        Err(findings) => panic!("{findings}\nof\n{text}"),
    }
}

fn config_of(edit: &Edit) -> Config {
    checked_of(edit).config
}

fn checked_of(edit: &Edit) -> Checked {
    checked(&edit.text(&OWN.0.path().join("vpn.pem").display().to_string()))
}

fn network(number: u8) -> Name {
    Name::new(&format!("n{number}")).expect("a name")
}

/// As many cases as `CROSSGATE_CASES` says.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("CROSSGATE_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn one_configuration_after_another_is_the_other_from_nothing(edits in prop::collection::vec(edit(), 2..5)) {
        let configs: Vec<Config> = edits.iter().map(config_of).collect();
        let mut appliance = Appliance::fresh(&configs[0]);
        for wanted in &configs[1..] {
            appliance.apply(wanted);
            prop_assert_eq!(appliance.said(), Appliance::fresh(wanted).said());
            prop_assert_eq!(differences(&appliance.config, wanted), []);
        }
    }

    #[test]
    fn what_is_behind_a_tunnel_has_no_way_in_clear(edits in prop::collection::vec(edit(), 1..4)) {
        let configs: Vec<Config> = edits.iter().map(config_of).collect();
        let mut appliance = Appliance::fresh(&configs[0]);
        for (edit, wanted) in edits.iter().zip(&configs) {
            appliance.apply(wanted);
            let built = appliance.forwarding();
            for (number, to) in edit.networks().flat_map(|number| addresses().map(move |to| (number, to))) {
                let vrf = appliance.identifiers.vrf(&network(number)).expect("it has a number");
                let found = appliance.tunnels(&built, vrf, to.into());
                let way = appliance.way(&built, vrf, to.into());
                let is_nowhere = way == "Unreachable";
                let is_right = match edit.way(number, to) {
                    Way::Tunnels(names) => found.as_ref() == Some(&names) || (is_nowhere && !edit.arrives(number, to)),
                    Way::Client(name) => is_nowhere || found == Some([name].into()),
                    // The circuit of this appliance is up.
                    Way::Circuit(_) | Way::Other => found.is_none(),
                };
                prop_assert!(is_right, "{} in n{}: {}, not {:?}", to, number, way, edit.way(number, to));
                let underlay = appliance.way(&built, VrfId::UNDERLAY, to.into());
                prop_assert_eq!(underlay, "Unreachable", "the underlay knows no inside");
            }
        }
    }
}

#[test]
fn no_step_of_a_change_lets_out_in_clear_what_is_behind_a_tunnel() {
    let bed = RefCell::new(Bed::new());
    let edits = prop::collection::vec(edit(), 2..4);
    let told = TestRunner::new(cases(12)).run(&edits, |edits| {
        let mut bed = bed.borrow_mut();
        bed.apply(&Edit::nothing())?;
        edits.iter().try_for_each(|edit| bed.apply(edit))
    });
    bed.into_inner().finish();
    told.unwrap_or_else(|failure| panic!("{failure}"));
}
