//! Ports: found by their device string, started with what they can do of what was asked, looked at, stopped. The
//! control thread owns a `Port`; the workers own its queues (queue.rs).

mod setup;
mod state;

use core::{cell::Cell, marker::PhantomData};
use std::{
    ffi::{CStr, CString},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use setup::{PortLimit, PortOffloads, PortOptions, PortReport, Started};
pub use state::{Link, Mac, PortStats};

use crate::{Errno, Error, eal::Eal, ffi, mempool::Mempool, ring_port::Rings};

/// A port that was found or made. Dropping it (and its queues) stops and closes it, and the driver gives its packets back to
/// their pools; `net_af_xdp` of DPDK 22.11 keeps those that the kernel had, some 2,000 a port, so their pool stays too.
pub struct Port {
    attached: Arc<Attached>,
    started: bool,
    /// DPDK wants the control calls of a port from one thread at a time: `Send`, but not `Sync`.
    _one_caller: PhantomData<Cell<()>>,
}

/// The device behind a port; its queues share it, and the last one closes it.
pub(crate) struct Attached {
    pub(crate) id: u16,
    device: Box<str>,
    /// What `rte_dev_remove` takes; null for a device that EAL itself made.
    handle: *mut ffi::rte_device,
    /// Pools from which the driver still has packets; dropped after the device is closed.
    pools: Mutex<Vec<Mempool>>,
    /// The in-memory rings of a `RingPort`; dropped after the device is closed.
    _rings: Option<Arc<Rings>>,
    _eal: Eal,
}

// SAFETY: the handle is used by `Drop` alone, under the lock that serialises attaching and detaching; ids are numbers.
unsafe impl Send for Attached {}
// SAFETY: as above; shared references only read the id and the name.
unsafe impl Sync for Attached {}

/// DPDK's list of devices is changed by one thread at a time.
static DEVICES: Mutex<()> = Mutex::new(());

/// Held while a device is made or removed.
pub(crate) fn lock_devices() -> MutexGuard<'static, ()> {
    DEVICES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Port {
    /// Finds or makes the port of a device string: a PCI address (`0000:01:00.0`, an SR-IOV VF as well), or a vdev with
    /// its arguments (`net_af_packet0,iface=wan0`).
    ///
    /// # Errors
    /// The device does not exist, has no driver here, or its driver refuses.
    pub fn attach(eal: &Eal, device: &str) -> Result<Self, Error> {
        let error = |errno| Error::Device { device: device.into(), errno };
        let text = CString::new(device).map_err(|_| Error::Name { name: device.into() })?;
        let _devices = lock_devices();
        // SAFETY: the environment is up (`eal`); DPDK copies the string.
        let outcome = unsafe { ffi::rte_dev_probe(text.as_ptr()) };
        let known_before = outcome == -libc::EEXIST;
        if outcome != 0 && !known_before {
            return Err(error(Errno::from_return(outcome)));
        }
        let name = device.split_once(',').map_or(device, |(name, _)| name);
        let id = find(name).ok_or_else(|| error(Errno::from_return(libc::ENODEV)))?;
        Self::adopt(eal, id, device, None).map_err(error)
    }

    /// Wraps a port that exists.
    pub(crate) fn adopt(eal: &Eal, id: u16, device: &str, rings: Option<Arc<Rings>>) -> Result<Self, Errno> {
        let handle = device_info(id)?.device;
        let attached = Attached {
            id,
            device: device.into(),
            handle,
            pools: Mutex::default(),
            _rings: rings,
            _eal: eal.clone(),
        };
        Ok(Self { attached: Arc::new(attached), started: false, _one_caller: PhantomData })
    }

    /// DPDK's number of the port, as in [`Mbuf::port_number`](crate::Mbuf::port_number).
    pub fn number(&self) -> u16 {
        self.attached.id
    }

    /// The device string it was found by.
    pub fn device(&self) -> &str {
        &self.attached.device
    }

    /// Stops the port; it can be started again, with other options.
    ///
    /// # Errors
    /// Some of its queues were not dropped yet, or the driver refuses.
    pub fn stop(&mut self) -> Result<(), Error> {
        if Arc::get_mut(&mut self.attached).is_none() {
            let queues = Arc::strong_count(&self.attached) - 1;
            return Err(Error::QueuesInUse { port: self.device().into(), queues });
        }
        if self.started {
            self.clear_steering();
            // SAFETY: the port exists, and no queue of it is left that could be in use meanwhile.
            let outcome = unsafe { ffi::rte_eth_dev_stop(self.attached.id) };
            self.checked("rte_eth_dev_stop", outcome)?;
            self.started = false;
        }
        Ok(())
    }

    fn checked(&self, call: &'static str, outcome: i32) -> Result<(), Error> {
        crate::error::check(outcome).map_err(|errno| Error::Port { port: self.device().into(), call, errno })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _devices = lock_devices();
        // SAFETY: the port exists until it is closed here, once, and no queue or `Port` of it is left. Failures leave
        // the device to the end of the process; nobody could do more about them.
        unsafe {
            ffi::rte_eth_dev_stop(self.id);
            ffi::rte_eth_dev_close(self.id);
            if !self.handle.is_null() {
                ffi::rte_dev_remove(self.handle);
            }
        }
    }
}

/// The port with this name, or the first one on the device with this name.
fn find(name: &str) -> Option<u16> {
    let c_name = CString::new(name).ok()?;
    let mut id = 0;
    // SAFETY: a C string and room for the answer.
    if unsafe { ffi::rte_eth_dev_get_port_by_name(c_name.as_ptr(), &raw mut id) } == 0 {
        return Some(id);
    }
    // SAFETY: walks DPDK's own table; RTE_MAX_ETHPORTS is its end.
    let mut id = unsafe { ffi::rte_eth_find_next(0) };
    while u32::from(id) < ffi::RTE_MAX_ETHPORTS {
        // SAFETY: a port's device and its name live as long as the port, and `DEVICES` keeps it from going now.
        let found = device_info(id).is_ok_and(|info| unsafe {
            !info.device.is_null() && CStr::from_ptr(ffi::rte_dev_name(info.device)) == c_name.as_c_str()
        });
        if found {
            return Some(id);
        }
        // SAFETY: as above.
        id = unsafe { ffi::rte_eth_find_next(id + 1) };
    }
    None
}

/// What the driver says about a port.
fn device_info(id: u16) -> Result<ffi::rte_eth_dev_info, Errno> {
    // SAFETY: plain data, for which all zeroes is a value.
    let mut info: ffi::rte_eth_dev_info = unsafe { core::mem::zeroed() };
    // SAFETY: DPDK checks the number and writes one `rte_eth_dev_info`.
    crate::error::check(unsafe { ffi::rte_eth_dev_info_get(id, &raw mut info) })?;
    Ok(info)
}
