//! What a port is and does: address, link, driver, counters. Only looks; starting is setup.rs.

use core::fmt;
use std::ffi::CStr;

use super::device_info;
use crate::{Error, Port, error::check, ffi};

/// A MAC address, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// No carrier.
    Down,
    /// Carrier.
    Up {
        /// Speed; `None` where the driver does not know.
        speed_mbps: Option<u32>,
        /// Both directions at once.
        full_duplex: bool,
    },
}

/// The driver's counters since the port was made or its counters were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets dropped because no worker emptied the queue in time.
    pub rx_missed: u64,
    /// Packets received with errors.
    pub rx_errors: u64,
    /// Packets dropped because the pool was empty.
    pub rx_no_buffer: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that the device failed to send.
    pub tx_errors: u64,
}

impl Port {
    /// The port's own MAC address.
    ///
    /// # Errors
    /// The driver does not tell.
    pub fn mac(&self) -> Result<Mac, Error> {
        let mut mac = Mac([0; 6]);
        // SAFETY: DPDK writes one address of six bytes, the size and layout of `mac.0`.
        let outcome = unsafe { ffi::rte_eth_macaddr_get(self.number(), mac.0.as_mut_ptr().cast()) };
        self.checked("rte_eth_macaddr_get", outcome)?;
        Ok(mac)
    }

    /// The link now; does not wait for it.
    ///
    /// # Errors
    /// The driver does not tell.
    pub fn link(&self) -> Result<Link, Error> {
        let (mut speed_mbps, mut full_duplex, mut up) = (0, 0, 0);
        // SAFETY: the shim writes three integers.
        let outcome =
            unsafe { ffi::shim_link(self.number(), &raw mut speed_mbps, &raw mut full_duplex, &raw mut up) };
        self.checked("rte_eth_link_get_nowait", outcome)?;
        let known = speed_mbps != 0 && speed_mbps != u32::MAX;
        Ok(match up {
            0 => Link::Down,
            _ => Link::Up { speed_mbps: known.then_some(speed_mbps), full_duplex: full_duplex != 0 },
        })
    }

    /// The NUMA node of the device, where it has one.
    pub fn numa_node(&self) -> Option<u16> {
        // SAFETY: DPDK checks the number; -1 is "none".
        u16::try_from(unsafe { ffi::rte_eth_dev_socket_id(self.number()) }).ok()
    }

    /// The driver's name (`net_af_packet`, `net_ice`).
    pub fn driver_name(&self) -> Box<str> {
        match device_info(self.number()) {
            // SAFETY: the driver's name is a static C string.
            Ok(info) if !info.driver_name.is_null() => unsafe {
                CStr::from_ptr(info.driver_name).to_string_lossy().into()
            },
            _ => "unknown".into(),
        }
    }

    /// The driver's counters.
    ///
    /// # Errors
    /// The driver has none.
    pub fn stats(&self) -> Result<PortStats, Error> {
        // SAFETY: plain data, for which all zeroes is a value.
        let mut raw: ffi::rte_eth_stats = unsafe { core::mem::zeroed() };
        // SAFETY: DPDK checks the number and writes one `rte_eth_stats`.
        let outcome = unsafe { ffi::rte_eth_stats_get(self.number(), &raw mut raw) };
        self.checked("rte_eth_stats_get", outcome)?;
        Ok(PortStats {
            rx_packets: raw.ipackets,
            rx_bytes: raw.ibytes,
            rx_missed: raw.imissed,
            rx_errors: raw.ierrors,
            rx_no_buffer: raw.rx_nombuf,
            tx_packets: raw.opackets,
            tx_bytes: raw.obytes,
            tx_errors: raw.oerrors,
        })
    }

    /// Sets the driver's counters to zero.
    ///
    /// # Errors
    /// The driver cannot.
    pub fn reset_stats(&self) -> Result<(), Error> {
        // SAFETY: DPDK checks the number.
        let outcome = unsafe { ffi::rte_eth_stats_reset(self.number()) };
        self.checked("rte_eth_stats_reset", outcome)
    }

    /// Every counter that the driver has, by its own name.
    pub fn extended_stats(&self) -> Vec<(String, u64)> {
        let id = self.number();
        // SAFETY: a null array asks for the number of counters.
        let count = unsafe { ffi::rte_eth_xstats_get_names(id, core::ptr::null_mut(), 0) };
        let Ok(room) = u32::try_from(count) else { return Vec::new() };
        // SAFETY: plain data, for which all zeroes is a value.
        let (name, value) = unsafe { core::mem::zeroed::<(ffi::rte_eth_xstat_name, ffi::rte_eth_xstat)>() };
        let mut names = vec![name; room as usize];
        let mut values = vec![value; room as usize];
        // SAFETY: both arrays have room for `room` entries, and DPDK writes at most that many.
        let (named, valued) = unsafe {
            (
                ffi::rte_eth_xstats_get_names(id, names.as_mut_ptr(), room),
                ffi::rte_eth_xstats_get(id, values.as_mut_ptr(), room),
            )
        };
        if check(named - count).is_err() || check(valued - count).is_err() {
            return Vec::new();
        }
        let text = |index: u64| {
            let name = names.get(usize::try_from(index).ok()?)?;
            // SAFETY: DPDK writes NUL-terminated names into the array.
            Some(unsafe { CStr::from_ptr(name.name.as_ptr()) }.to_string_lossy().into_owned())
        };
        values.iter().filter_map(|entry| Some((text(entry.id)?, entry.value))).collect()
    }
}
