//! Tunnels that lead to one site: flows are spread over those of them that are up, in the ratio of their weights.
//!
//! A flow is what goes from one address to another. Ports do not count: fragments have none, a packet and the ICMP errors about it should take one way,
//! and the shortcut remembers flows by addresses ([`crate::flow`]).
//!
//! Which tunnel a flow takes is worked out from the flow and the members alone (weighted rendezvous hashing): each member draws a number by a hash of
//! the flow and of its own, the one that draws best has the flow. So every worker says the same without asking another, a member that is lost loses
//! its own flows and no other moves, and what it had is divided among the rest by their weights. Nobody keeps a table of who has what.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::TunnelId;
use crate::route;
use crate::selector::Flow;

/// Tunnels of a group at most.
pub const GROUP_MAX: usize = 16;

/// Position of a group in a snapshot; not the same from one snapshot to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// One tunnel of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The first tunnel of a policy, whose alternatives belong to it.
    pub tunnel: TunnelId,
    /// Its share, in proportion to the others' weights. With 0 it has flows only where no member with a weight takes them.
    pub weight: u16,
    /// What it draws by: a number that it keeps, and no other member has, for as long as it is to keep its flows.
    pub number: u64,
}

/// The tunnels to one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) members: ArrayVec<Member, GROUP_MAX>,
}

/// Tunnels in the order in which a flow prefers them.
pub(super) type Preference = ArrayVec<TunnelId, GROUP_MAX>;

impl Group {
    /// The members, the one that a flow should take first.
    pub(super) fn preference(&self, flow: &Flow) -> Preference {
        let hash = hash(flow);
        let mut drawn: ArrayVec<_, GROUP_MAX> =
            self.members.iter().map(|member| (member.draw(hash), member.tunnel)).collect();
        drawn.sort_unstable_by(|((standby, one), _), ((other_standby, other), _)| {
            standby.cmp(other_standby).then(one.total_cmp(other))
        });
        drawn.into_iter().map(|(_, tunnel)| tunnel).collect()
    }
}

impl Member {
    /// What the member draws for a flow, the least of which wins. Of numbers that are distributed exponentially, with rates that are the weights, the
    /// least is each member's with a probability in proportion to its weight.
    fn draw(&self, flow: u64) -> (bool, f64) {
        let [_, _, _, _, a, b, c, d] = mix(flow ^ mix(self.number)).to_be_bytes();
        let uniform = (f64::from(u32::from_be_bytes([a, b, c, d])) + 0.5) / 4_294_967_296.0;
        (self.weight == 0, -uniform.ln() / f64::from(self.weight.max(1)))
    }
}

/// The same on every worker.
fn hash(flow: &Flow) -> u64 {
    let [a, b] = words(flow.source);
    let [c, d] = words(flow.destination);
    [a, b, c, d].into_iter().fold(0, |hash, word| mix(hash ^ word))
}

fn words(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(address) => [0, address.to_bits().into()],
        IpAddr::V6(address) => route::halves(address.to_bits()),
    }
}

/// Spreads a change of any bit over all others (the finalizer of `SplitMix64`).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Protocol;
    use std::collections::BTreeMap;

    fn group(weights: &[(u32, u16)]) -> Group {
        let member = |&(number, weight): &(u32, u16)| Member {
            tunnel: TunnelId(number),
            weight,
            number: number.into(),
        };
        Group { members: weights.iter().map(member).collect() }
    }

    /// Neighbouring addresses, as a network has them: 100 hosts that speak to 100 others.
    fn flows() -> impl Iterator<Item = Flow> {
        (0..100u8).flat_map(|from| (0..100u8).map(move |to| (from, to))).map(|(from, to)| Flow {
            source: IpAddr::from([10, 1, 0, from]),
            destination: IpAddr::from([10, 2, 0, to]),
            protocol: Protocol::UDP,
            source_port: None,
            destination_port: None,
        })
    }

    fn first(group: &Group, flow: &Flow) -> u32 {
        group.preference(flow)[0].0
    }

    fn shares(group: &Group) -> BTreeMap<u32, usize> {
        let mut shares = BTreeMap::new();
        flows().for_each(|flow| *shares.entry(first(group, &flow)).or_default() += 1);
        shares
    }

    #[test]
    fn flows_are_divided_in_the_ratio_of_the_weights() {
        for weights in [vec![(1, 10), (2, 10)], vec![(4, 30), (9, 10)], vec![(1, 1), (2, 2), (3, 7)]] {
            let total: u32 = weights.iter().map(|(_, weight)| u32::from(*weight)).sum();
            let shares = shares(&group(&weights));
            for (number, weight) in weights {
                let wanted = 10_000.0 * f64::from(weight) / f64::from(total);
                let got = f64::from(u32::try_from(shares[&number]).unwrap());
                assert!((got - wanted).abs() < 200.0, "{number} of weight {weight}: {got} not {wanted}");
            }
        }
    }

    #[test]
    fn of_a_lost_member_its_own_flows_move_and_to_the_others_by_their_weights() {
        let (all, rest) = (group(&[(1, 10), (2, 20), (3, 10)]), group(&[(2, 20), (3, 10)]));
        let mut moved = BTreeMap::new();
        for flow in flows() {
            let (before, after) = (first(&all, &flow), first(&rest, &flow));
            if before == 1 {
                *moved.entry(after).or_insert(0.0) += 1.0;
                assert_eq!(all.preference(&flow)[1].0, after, "the next in line is who wins without it");
            } else {
                assert_eq!(before, after, "{flow:?}");
            }
        }
        let ratio: f64 = moved[&2] / moved[&3];
        assert!((1.8..2.2).contains(&ratio), "{moved:?}");
    }

    #[test]
    fn a_member_without_weight_comes_after_all_others() {
        let group = group(&[(1, 0), (2, 1), (3, 0)]);
        let mut seconds = BTreeMap::new();
        for flow in flows() {
            let [first, second, third] = *group.preference(&flow) else { panic!("three members") };
            assert_eq!(first.0, 2);
            assert_ne!(second, third);
            *seconds.entry(second.0).or_insert(0) += 1;
        }
        assert!(seconds.values().all(|count| (4800..5200).contains(count)), "{seconds:?}");
    }

    #[test]
    fn ipv6_flows_are_divided_too() {
        let group = group(&[(1, 10), (2, 10)]);
        let flow = |host: u16| Flow {
            source: IpAddr::from([0xfd00, 1, 0, 0, 0, 0, 0, 0x10]),
            destination: IpAddr::from([0xfd00, 2, 0, 0, 0, 0, 0, host]),
            protocol: Protocol::UDP,
            source_port: None,
            destination_port: None,
        };
        let ones = (0..1000).filter(|host| first(&group, &flow(*host)) == 1).count();
        assert!((450..550).contains(&ones), "{ones}");
    }
}
