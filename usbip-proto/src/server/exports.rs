//! The devices that a server offers.

use alloc::vec::Vec;

use crate::{BusId, DeviceRecord, OpStatus, RecordError};

/// What a server can say of a device it offers (`include/uapi/linux/usbip.h`,
/// `enum usbip_device_status`).
#[doc(alias = "SDEV_ST_AVAILABLE")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum ExportState {
    /// Free for the next client.
    #[default]
    Available,
    /// A client has it.
    #[doc(alias = "SDEV_ST_USED")]
    InUse,
    /// It failed and cannot be used until somebody sees to it.
    #[doc(alias = "SDEV_ST_ERROR")]
    Failed,
    /// Nothing is known of it, such as while it is being reset.
    Unknown,
}

impl ExportState {
    /// What a client hears that asks for a device in this state
    /// (`tools/usb/usbip/src/usbipd.c`, `recv_request_import`).
    #[must_use]
    pub const fn status(self) -> OpStatus {
        match self {
            Self::Available => OpStatus::OK,
            Self::InUse => OpStatus::BUSY,
            Self::Failed => OpStatus::DEVICE_ERROR,
            Self::Unknown => OpStatus::NOT_AVAILABLE,
        }
    }
}

/// The devices that a server offers to all its clients, each to one at a time.
///
/// Whether *this* client may have a device is the embedder's to decide, who knows where it comes
/// from: between [`HandshakeEvent::Import`](super::HandshakeEvent::Import) and the answer there is
/// all the time it takes.
///
/// ```
/// # use usb_descriptors::Speed;
/// # use usb_transfer::DeviceDescriptors;
/// use usbip_proto::server::Exports;
/// use usbip_proto::{DeviceId, DeviceRecord, OpStatus};
/// # let descriptors = DeviceDescriptors::new(
/// #     Speed::High, usb_descriptors::build::Device::new(0x1209, 1).to_bytes(Speed::High));
/// let disk = "1-1".parse()?;
/// let mut exports = Exports::default();
/// exports.add(DeviceRecord::new("/virtual/disk", disk, DeviceId::new(1, 2), &descriptors)?)?;
/// let lease = exports.import(disk).expect("it is free");
/// assert_eq!(lease.device().bus_id(), disk);
/// assert_eq!(exports.import(disk).unwrap_err(), OpStatus::BUSY);
/// assert_eq!(exports.listed().count(), 0);
/// exports.release(lease); // its client has left
/// assert_eq!(exports.listed().count(), 1);
/// # Ok::<(), usbip_proto::RecordError>(())
/// ```
#[derive(Debug, Default)]
pub struct Exports {
    /// In the order in which they were added.
    devices: Vec<Export>,
    /// Leases that were ever given.
    leases: u64,
}

#[derive(Debug)]
struct Export {
    device: DeviceRecord,
    state: ExportState,
    /// The number of the lease that was given last.
    lease: u64,
}

/// A device in the hands of one client, until it is [released](Exports::release). Only
/// [`Exports::import`] makes it.
#[derive(Debug)]
#[must_use = "the device is in use until this is released"]
pub struct Lease {
    device: DeviceRecord,
    number: u64,
}

impl Lease {
    /// The device, for [`Handshake::accept`](super::Handshake::accept).
    #[must_use]
    pub const fn device(&self) -> &DeviceRecord {
        &self.device
    }
}

impl Exports {
    /// Offers a device; it is available.
    ///
    /// # Errors
    /// [`RecordError::Taken`]: another has its bus id.
    pub fn add(&mut self, device: DeviceRecord) -> Result<(), RecordError> {
        if self.state(device.bus_id).is_some() {
            return Err(RecordError::Taken {
                bus_id: device.bus_id,
            });
        }
        self.devices.push(Export {
            device,
            state: ExportState::Available,
            lease: 0,
        });
        Ok(())
    }

    /// Offers a device no more. A client that has it keeps it until its session ends.
    pub fn remove(&mut self, bus_id: BusId) -> Option<DeviceRecord> {
        let mut devices = self.devices.iter();
        let at = devices.position(|export| export.device.bus_id == bus_id)?;
        Some(self.devices.remove(at).device)
    }

    /// What a list shows: all but those in use, as `usbipd` does, in the order in which they were
    /// added. For [`Handshake::list`](super::Handshake::list).
    #[doc(alias = "OP_REP_DEVLIST")]
    pub fn listed(&self) -> impl Iterator<Item = &DeviceRecord> + Clone {
        let shown = self
            .devices
            .iter()
            .filter(|export| export.state != ExportState::InUse);
        shown.map(|export| &export.device)
    }

    /// Takes a device for a client: from now on it is in use.
    ///
    /// # Errors
    /// What to [`reject`](super::Handshake::reject) the request with.
    #[doc(alias = "OP_REP_IMPORT")]
    pub fn import(&mut self, bus_id: BusId) -> Result<Lease, OpStatus> {
        let number = self.leases.saturating_add(1);
        let export = self.export(bus_id).ok_or(OpStatus::NO_DEVICE)?;
        if export.state != ExportState::Available {
            return Err(export.state.status());
        }
        export.state = ExportState::InUse;
        export.lease = number;
        let device = export.device.clone();
        self.leases = number;
        Ok(Lease { device, number })
    }

    /// Makes a device that was in use available again; one that has failed meanwhile stays so.
    /// What was removed is gone: another that was added in its place, or was taken by another
    /// client since, is not touched.
    #[expect(clippy::needless_pass_by_value, reason = "a device is released once")]
    pub fn release(&mut self, lease: Lease) {
        let export = self.export(lease.device.bus_id);
        if let Some(export) = export.filter(|export| export.lease == lease.number) {
            if export.state == ExportState::InUse {
                export.state = ExportState::Available;
            }
        }
    }

    /// The state of a device; `None`: it is not offered.
    #[must_use]
    pub fn state(&self, bus_id: BusId) -> Option<ExportState> {
        let mut devices = self.devices.iter();
        let found = devices.find(|export| export.device.bus_id == bus_id);
        found.map(|export| export.state)
    }

    /// Says what has become of a device. One that is not offered is ignored.
    pub fn set_state(&mut self, bus_id: BusId, new: ExportState) {
        if let Some(export) = self.export(bus_id) {
            export.state = new;
        }
    }

    fn export(&mut self, bus_id: BusId) -> Option<&mut Export> {
        let mut devices = self.devices.iter_mut();
        devices.find(|export| export.device.bus_id == bus_id)
    }
}
