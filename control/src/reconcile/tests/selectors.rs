//! Policies of traffic selectors as the IKE core gets them.

use super::*;

#[test]
fn each_policy_of_selectors_is_a_child_of_its_own_and_a_pair_alone_in_ikev1() {
    let policies = "shared_key = { env = \"KEY\" }\n[[connection.traffic_selectors]]\nlocal = [\"10.1.1.0/24\"]\nremote = [\"10.2.1.0/24\"]\n\
                    [[connection.traffic_selectors]]\nlocal = [\"10.1.2.0/24\", \"10.1.3.0/24\"]\nremote = [\"10.2.2.0/24\"]";
    let children = |more: &str| {
        let text = FILE.replacen("shared_key = { env = \"KEY\" }", &format!("{more}{policies}"), 1);
        let wanted = config(&text);
        let prepared = Prepared::new(&Identifiers::default(), &wanted, &from_nothing(&wanted)).unwrap();
        let sides = prepared.configured[0]
            .children
            .iter()
            .map(|child| (child.local_selectors.len(), child.remote_selectors.len()));
        sides.collect::<Vec<_>>()
    };
    assert_eq!(children(""), [(1, 1), (2, 1)]);
    assert_eq!(children("protocol = \"IKEv1\"\n"), [(1, 1); 3]);
}
