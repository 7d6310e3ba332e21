//! A VLAN tag (IEEE 802.1Q, clause 9): four bytes between the Ethernet addresses' EtherType and the packet.

use super::be16;
use super::ethernet::EtherType;
use crate::counter::Counter;

/// Length of a tag behind an Ethernet header, in bytes.
pub const TAG_BYTES: usize = 4;

/// A VLAN number, 1 to 4094 (0 is a priority tag without a VLAN, 4095 reserved).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VlanId(u16);

impl VlanId {
    /// None for 0 and for everything above 4094.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 1 && number <= 4094 { Some(Self(number)) } else { None }
    }

    /// The number, 1 to 4094.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// A received tag: what stands behind an [`EtherType::VLAN`].
#[derive(Clone, Copy, Debug)]
pub struct VlanView<'a> {
    head: &'a [u8; TAG_BYTES],
    payload: &'a [u8],
}

impl<'a> VlanView<'a> {
    /// Checks the length.
    ///
    /// # Errors
    /// [`Counter::EthernetRunt`].
    pub fn new(behind_ethernet: &'a [u8]) -> Result<Self, Counter> {
        let (head, payload) = behind_ethernet.split_first_chunk().ok_or(Counter::EthernetRunt)?;
        Ok(Self { head, payload })
    }

    /// Tag control information: priority, drop eligibility, VLAN; in host order.
    #[must_use]
    pub fn tci(&self) -> u16 {
        be16(self.head, 0)
    }

    /// Priority code point, 0 to 7.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.head[0] >> 5
    }

    /// What the payload is.
    #[must_use]
    pub fn ether_type(&self) -> EtherType {
        EtherType(be16(self.head, 2))
    }

    /// Everything behind the tag.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// A tag to be written, priority 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The VLAN.
    pub vlan: VlanId,
    /// What follows the tag.
    pub ether_type: EtherType,
}

impl Vlan {
    /// Fills the tag.
    pub fn write(&self, out: &mut [u8; TAG_BYTES]) {
        out[..2].copy_from_slice(&self.vlan.0.to_be_bytes());
        out[2..].copy_from_slice(&self.ether_type.0.to_be_bytes());
    }
}
