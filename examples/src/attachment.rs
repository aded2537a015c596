//! A device at a port of the kernel's, from attaching to detaching.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::Shutdown;
use usb_descriptors::Speed;
use usbip_proto::DeviceId;

use crate::{AttachError, Vhci, say};

/// One device at `vhci_hcd`. Clones are the same attachment: one thread serves the device, one
/// waits for what the kernel makes of it, one may end it.
#[derive(Clone, Debug)]
pub struct Attachment {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    vhci: Vhci,
    /// Our end of the connection, to be shut down where detaching fails.
    socket: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is to be attached or waited for any more.
    over: bool,
    port: Option<u16>,
    block_devices: Vec<String>,
}

/// How long the kernel may take to find a device, on a slow machine with many.
const ANNOUNCEMENT: Duration = Duration::from_secs(60);

impl Attachment {
    /// Nothing is attached yet; `near` is the end of the connection that serves the device, or, where
    /// that is elsewhere, the end that is to be handed to the kernel.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn new(vhci: Vhci, near: impl AsFd) -> io::Result<Self> {
        let socket = near.as_fd().try_clone_to_owned()?;
        let (state, changed) = <_>::default();
        Ok(Self {
            shared: Arc::new(Shared {
                vhci,
                socket,
                state,
                changed,
            }),
        })
    }

    /// Hands the far end of the connection to the kernel. Without a `port`, at the first free one
    /// for the speed. `None`: it was ended before.
    ///
    /// # Errors
    /// [`AttachError`]; nothing was attached.
    pub fn attach(
        &self,
        far: OwnedFd,
        device_id: DeviceId,
        speed: Speed,
        port: Option<u16>,
    ) -> Result<Option<u16>, AttachError> {
        // Locked meanwhile, so that whoever ends it finds it attached or not, nothing between.
        let mut state = self.state();
        if !state.over {
            state.port = Some(self.shared.vhci.attach(far, device_id, speed, port)?);
        }
        Ok(state.port)
    }

    /// Waits for the device's name in the kernel, such as `1-1`. `None`: it was detached, or has
    /// none after so long.
    #[must_use]
    pub fn bus_id(&self, patience: Duration) -> Option<String> {
        let port = self.state().port?;
        self.wait(patience, || self.shared.vhci.bus_id(port))
    }

    /// Waits for the block devices, such as `sda`, of a disk with so many units. Fewer: it was
    /// detached, or has no more after so long.
    #[must_use]
    pub fn block_devices(&self, bus_id: &str, units: usize, patience: Duration) -> Vec<String> {
        let find = || self.shared.vhci.block_devices(bus_id);
        let all = || Some(find()).filter(|names| names.len() >= units);
        let names = self.wait(patience, all).unwrap_or_else(find);
        self.state().block_devices.clone_from(&names);
        names
    }

    /// Which of the disk's file systems this process sees mounted: the device's path, and where.
    #[must_use]
    pub fn mounts(&self) -> Vec<(String, String)> {
        let (port, known) = {
            let state = self.state();
            (state.port, state.block_devices.clone())
        };
        let names = port.map(|port| self.look_for_block_devices(port, known));
        self.shared.vhci.mounts(&names.unwrap_or_default())
    }

    /// Lets the kernel write what it holds for the disk, then detaches it. Where it does not write
    /// all in time, says so to `late` before.
    pub fn end(&self, late: impl FnOnce()) {
        let (port, known) = {
            let mut state = self.over();
            (state.port.take(), mem::take(&mut state.block_devices))
        };
        let Some(port) = port else {
            return;
        };
        let names = self.look_for_block_devices(port, known);
        // Held until the disk is detached.
        let synced = self.shared.vhci.sync(names);
        if synced.is_err() {
            late();
        }
        self.detach(port);
    }

    /// Likewise, and tells `note`, for people, what may be lost by that.
    pub fn end_with_notes(&self, note: impl Fn(&str)) {
        for (device, place) in self.mounts() {
            note(&format!(
                "{device} is still mounted at {place}: what is written there from now on is lost"
            ));
        }
        self.end(|| note("detaching before the kernel has written all it holds for the disk"));
    }

    /// Says on standard output, from a thread of its own, what the kernel makes of the device: its
    /// bus id and, of a disk, the block device, as soon as each is known. That nobody listens is no
    /// failure.
    pub fn announce(&self) {
        let announced = self.clone();
        thread::spawn(move || {
            let Some(bus_id) = announced.bus_id(ANNOUNCEMENT) else {
                return;
            };
            let _ = say(format_args!("bus id: {bus_id}"));
            for name in announced.block_devices(&bus_id, 1, ANNOUNCEMENT) {
                let _ = say(format_args!("block device: /dev/{name}"));
            }
        });
    }

    fn detach(&self, port: u16) {
        if self.shared.vhci.detach(port).is_err() {
            // It may be detached already; if not, the kernel lets go of a device that left.
            let _ = rustix::net::shutdown(&self.shared.socket, Shutdown::Both);
        }
    }

    /// The connection, to be watched.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.shared.socket.as_fd()
    }

    /// Detaches a disk that the host has ejected, for which the kernel holds nothing any more. It
    /// does not wait: the thread that serves the disk may call it.
    pub fn ejected(&self) {
        let Some(port) = self.over().port.take() else {
            return;
        };
        let ending = self.clone();
        let thread = thread::Builder::new().name("eject".into());
        if thread.spawn(move || ending.detach(port)).is_err() {
            let _ = rustix::net::shutdown(&self.shared.socket, Shutdown::Both);
        }
    }

    /// Whether it was ended or is gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state().over
    }

    /// Is to be told when the connection has ended: the port is no longer ours.
    pub fn gone(&self) {
        self.over().port = None;
    }

    /// Also those that the kernel found only after everybody's patience, or just now.
    fn look_for_block_devices(&self, port: u16, known: Vec<String>) -> Vec<String> {
        let bus_id = self.shared.vhci.bus_id(port);
        let found = bus_id.map(|bus_id| self.shared.vhci.block_devices(&bus_id));
        found.filter(|found| !found.is_empty()).unwrap_or(known)
    }

    fn wait<T>(&self, patience: Duration, found: impl Fn() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(20);
        loop {
            let found = found();
            let state = self.state();
            if state.over || found.is_some() || start.elapsed() > patience {
                return found;
            }
            let _unlocked = self.shared.changed.wait_timeout(state, pause);
            // Many may be waiting at once, each reading the kernel's tables.
            pause = (pause * 3 / 2).min(Duration::from_millis(250));
        }
    }

    fn over(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        state.over = true;
        self.shared.changed.notify_all();
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No thread can leave it half changed.
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;
    use crate::Stream;

    #[test]
    fn a_disk_that_nobody_waited_for_is_synced_too() {
        let folder = env::temp_dir().join(format!("attachment-{}", process::id()));
        let controller = folder.join("devices/platform/vhci_hcd.0");
        let name = "no-such-disk";
        let interface = folder.join("bus/usb/devices/1-1/1-1:1.0");
        let unit = interface.join("host0/target0:0:0/0:0:0:0/block");
        fs::create_dir_all(&controller).unwrap();
        fs::create_dir_all(unit.join(name)).unwrap();
        for file in ["attach", "detach"] {
            fs::write(controller.join(file), "").unwrap();
        }
        let status = |line| fs::write(controller.join("status"), line).unwrap();
        status("hs  0000 004 000 00000000 000000 0-0\n");

        let (near, far) = Stream::pair().unwrap();
        let attachment = Attachment::new(Vhci::open(&folder).unwrap(), &near).unwrap();
        let id = DeviceId::new(1, 2);
        let port = attachment.attach(far, id, Speed::High, None).unwrap();
        assert_eq!(port, Some(0));
        status("hs  0000 006 003 00010002 000003 1-1\n");
        let mut is_late = false;
        attachment.end(|| is_late = true);
        assert!(
            is_late,
            "there is no such disk in /dev that could be synced"
        );
        let detached = fs::read_to_string(controller.join("detach"));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(detached.unwrap(), "0");
    }
}
