//! Rules by which a device itself brings an inbound SA's packets to the queue of the SA's home worker (`rte_flow`): ESP by
//! SPI (RFC 4303, 2.1), plain or in UDP to port 4500 (RFC 3948). A port that cannot do it says so, and the workers hand
//! packets over among themselves instead.

use core::{ffi::CStr, mem, ptr};

use crate::{Errno, Port, ffi};

/// Which outer header the ESP packets have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OuterFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// What is between the outer header and ESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// Nothing: protocol 50.
    Plain,
    /// UDP to port 4500.
    Udp4500,
}

/// ESP packets whose SPI has the value `spi` under `spi_mask` go to `queue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiRule {
    /// The bits to compare with.
    pub spi: u32,
    /// Which bits count; `u32::MAX` is one SPI.
    pub spi_mask: u32,
    /// The outer header.
    pub outer: OuterFamily,
    /// Plain ESP or UDP.
    pub encapsulation: Encapsulation,
    /// The receive queue, by its number.
    pub queue: u16,
}

/// Why a rule is not in the device.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// The device has no such rules: hand packets over in software.
    #[error("the device cannot steer by SPI ({reason})")]
    Unsupported {
        /// The driver's words.
        reason: Box<str>,
    },
    /// The device has such rules and takes no further one.
    #[error("the device refuses to steer by SPI: {errno} ({reason})")]
    Refused {
        /// DPDK's reason.
        errno: Errno,
        /// The driver's words.
        reason: Box<str>,
    },
}

impl Port {
    /// Puts a rule into the device; it stays until [`clear_steering`](Self::clear_steering).
    ///
    /// # Errors
    /// The device cannot, or has no room.
    pub fn steer_spi(&mut self, rule: &SpiRule) -> Result<(), SteerError> {
        let item =
            |type_| ffi::rte_flow_item { type_, spec: ptr::null(), last: ptr::null(), mask: ptr::null() };
        let esp = |spi: u32| ffi::rte_flow_item_esp { hdr: ffi::rte_esp_hdr { spi: spi.to_be(), seq: 0 } };
        let udp = |port: u16| ffi::rte_flow_item_udp {
            hdr: ffi::rte_udp_hdr { src_port: 0, dst_port: port.to_be(), dgram_len: 0, dgram_cksum: 0 },
        };
        let (esp_spec, esp_mask) = (esp(rule.spi), esp(rule.spi_mask));
        let (udp_spec, udp_mask) = (udp(4500), udp(u16::MAX));
        let mut pattern = vec![
            item(ffi::RTE_FLOW_ITEM_TYPE_ETH),
            item(match rule.outer {
                OuterFamily::Ipv4 => ffi::RTE_FLOW_ITEM_TYPE_IPV4,
                OuterFamily::Ipv6 => ffi::RTE_FLOW_ITEM_TYPE_IPV6,
            }),
        ];
        if rule.encapsulation == Encapsulation::Udp4500 {
            pattern.push(ffi::rte_flow_item {
                spec: (&raw const udp_spec).cast(),
                mask: (&raw const udp_mask).cast(),
                ..item(ffi::RTE_FLOW_ITEM_TYPE_UDP)
            });
        }
        pattern.push(ffi::rte_flow_item {
            spec: (&raw const esp_spec).cast(),
            mask: (&raw const esp_mask).cast(),
            ..item(ffi::RTE_FLOW_ITEM_TYPE_ESP)
        });
        pattern.push(item(ffi::RTE_FLOW_ITEM_TYPE_END));
        self.create_rule(&pattern, rule.queue)
    }

    fn create_rule(&mut self, pattern: &[ffi::rte_flow_item], queue: u16) -> Result<(), SteerError> {
        let queue = ffi::rte_flow_action_queue { index: queue };
        let actions = [
            ffi::rte_flow_action { type_: ffi::RTE_FLOW_ACTION_TYPE_QUEUE, conf: (&raw const queue).cast() },
            ffi::rte_flow_action { type_: ffi::RTE_FLOW_ACTION_TYPE_END, conf: ptr::null() },
        ];
        // SAFETY: plain data, for which all zeroes is a value.
        let (mut attributes, mut error): (ffi::rte_flow_attr, ffi::rte_flow_error) = unsafe { mem::zeroed() };
        attributes.set_ingress(1);
        // SAFETY: pattern and actions end with END, and all that they point to lives across the call; DPDK copies it.
        let rule = unsafe {
            ffi::rte_flow_create(
                self.number(),
                &attributes,
                pattern.as_ptr(),
                actions.as_ptr(),
                &raw mut error,
            )
        };
        if !rule.is_null() {
            return Ok(());
        }
        let errno = Errno::last();
        let reason: Box<str> = if error.message.is_null() {
            "no reason given".into()
        } else {
            // SAFETY: the driver's message is a static C string.
            unsafe { CStr::from_ptr(error.message) }.to_string_lossy().into()
        };
        // A driver that has rules, but not for this pattern, says "invalid".
        if errno.is_unsupported() || errno.code() == libc::EINVAL {
            return Err(SteerError::Unsupported { reason });
        }
        Err(SteerError::Refused { errno, reason })
    }

    /// Takes all rules out of the device; stopping the port does so, too.
    pub fn clear_steering(&mut self) {
        // SAFETY: plain data, for which all zeroes is a value.
        let mut error: ffi::rte_flow_error = unsafe { mem::zeroed() };
        // SAFETY: DPDK checks the port. A device without rules refuses, which is as good.
        unsafe { ffi::rte_flow_flush(self.number(), &raw mut error) };
    }
}
