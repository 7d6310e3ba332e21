//! The traffic selectors that a Child SA is asked for with (RFC 7296, 2.9), and what of them is there already.

use std::net::IpAddr;

use super::Child;
use crate::config::ChildConfig;
use crate::selector::{TrafficSelector, is_narrowing};

/// The traffic selectors that we ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) local: Vec<TrafficSelector>,
    pub(crate) remote: Vec<TrafficSelector>,
}

impl Offer {
    /// Everything that a policy allows.
    pub(crate) fn whole(policy: &ChildConfig) -> Self {
        Self { local: policy.local_selectors.clone(), remote: policy.remote_selectors.clone() }
    }

    /// One pair of a policy, for a peer that takes no more (SINGLE_PAIR_REQUIRED, RFC 7296, 2.9): the addresses of the packet that asked for the SA, or
    /// else the policy's first.
    pub(crate) fn single(policy: &ChildConfig, trigger: Option<(IpAddr, IpAddr)>) -> Self {
        let of_packet = trigger.and_then(|(source, destination)| {
            Some((host_in(&policy.local_selectors, source)?, host_in(&policy.remote_selectors, destination)?))
        });
        let (local, remote) =
            of_packet.unwrap_or_else(|| (policy.local_selectors[0], policy.remote_selectors[0]));
        Self { local: vec![local], remote: vec![remote] }
    }

    /// Whether a policy allows all of it.
    pub(crate) fn is_within(&self, policy: &ChildConfig) -> bool {
        is_narrowing(&self.local, &policy.local_selectors)
            && is_narrowing(&self.remote, &policy.remote_selectors)
    }

    /// Exactly what a pair carries already.
    pub(crate) fn same_as(child: &Child) -> Self {
        Self { local: child.local.clone(), remote: child.remote.clone() }
    }

    /// Whether a Child SA between these selectors is for any of it.
    pub(crate) fn meets(&self, local: &[TrafficSelector], remote: &[TrafficSelector]) -> bool {
        let meet = |own: &[TrafficSelector], asked: &[TrafficSelector]| {
            own.iter().any(|own| asked.iter().any(|asked| own.intersect(asked).is_some()))
        };
        meet(&self.local, local) && meet(&self.remote, remote)
    }

    /// Whether these are its selectors, in whatever order.
    pub(crate) fn is_same(&self, local: &[TrafficSelector], remote: &[TrafficSelector]) -> bool {
        let alike = |one: &[TrafficSelector], other: &[TrafficSelector]| {
            one.len() == other.len() && one.iter().all(|selector| other.contains(selector))
        };
        alike(&self.local, local) && alike(&self.remote, remote)
    }

    /// What of it none of `children` carries: all in one, if that is so of all, or else pair by pair.
    pub(crate) fn missing<'c>(self, children: impl Iterator<Item = &'c Child> + Clone) -> Vec<Self> {
        if children.clone().any(|child| child.carries_some_of(&self)) {
            return self.left_out(children);
        }
        vec![self]
    }

    /// Each pair of selectors of one family in this offer of which none of `children` carries anything: what a peer left out that takes fewer
    /// pairs into one Child SA than it was offered (RFC 7296, 2.9), as Libreswan does, which takes one.
    pub(crate) fn left_out<'c>(&self, children: impl Iterator<Item = &'c Child> + Clone) -> Vec<Self> {
        let pairs =
            self.local.iter().flat_map(|local| self.remote.iter().map(move |remote| (*local, *remote)));
        pairs
            .filter(|(local, remote)| {
                local.addresses().first().is_ipv4() == remote.addresses().first().is_ipv4()
            })
            .map(|(local, remote)| Self { local: vec![local], remote: vec![remote] })
            .filter(|pair| !children.clone().any(|child| child.carries_some_of(pair)))
            .collect()
    }
}

/// The part of the first selector with `address` that has no other address.
fn host_in(selectors: &[TrafficSelector], address: IpAddr) -> Option<TrafficSelector> {
    let host = TrafficSelector::host(address);
    selectors.iter().find_map(|selector| selector.intersect(&host))
}
