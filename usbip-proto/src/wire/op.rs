//! The phase before a session: lists and imports (`tools/usb/usbip/src/usbip_network.h`).

use alloc::string::String;
use alloc::vec::Vec;

use usb_descriptors::{Bcd, ClassCode};
use usb_transfer::TxQueue;
use zerocopy::byteorder::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{BusId, DeviceId, DeviceRecord, OpStatus, ProtocolError, SpeedCode};

pub(crate) const VERSION: u16 = 0x0111;

pub(crate) const REQ_IMPORT: u16 = 0x8003;
pub(crate) const REP_IMPORT: u16 = 0x0003;
pub(crate) const REQ_DEVLIST: u16 = 0x8005;
pub(crate) const REP_DEVLIST: u16 = 0x0005;

/// `struct op_common`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Common {
    version: U16,
    code: U16,
    status: U32,
}

impl Common {
    pub(crate) const LENGTH: usize = size_of::<Self>();

    pub(crate) fn new(code: u16, status: OpStatus) -> Self {
        Self {
            version: VERSION.into(),
            code: code.into(),
            status: status.0.into(),
        }
    }

    /// Reads the header at the start of `rx`, if it is all there.
    ///
    /// # Errors
    /// Another version.
    pub(crate) fn parse(rx: &[u8]) -> Result<Option<&Self>, ProtocolError> {
        let Ok((common, _)) = Self::ref_from_prefix(rx) else {
            return Ok(None);
        };
        match common.version.get() {
            VERSION => Ok(Some(common)),
            found => Err(ProtocolError::Version { found }),
        }
    }

    pub(crate) const fn code(&self) -> u16 {
        self.code.get()
    }

    pub(crate) const fn status(&self) -> OpStatus {
        OpStatus(self.status.get())
    }

    pub(crate) fn put(&self, tx: &mut TxQueue) {
        tx.put_slice(self.as_bytes());
    }
}

/// Bytes of a device's path; the field has one more.
pub(crate) const MAX_PATH: usize = 255;

/// `struct usbip_usb_device`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Device {
    path: [u8; 256],
    bus_id: [u8; 32],
    bus_number: U32,
    number_on_bus: U32,
    speed: U32,
    vendor: U16,
    product: U16,
    release: U16,
    class: u8,
    subclass: u8,
    protocol: u8,
    configuration: u8,
    configurations: u8,
    interfaces: u8,
}

impl Device {
    pub(crate) const LENGTH: usize = size_of::<Self>();

    pub(crate) fn new(record: &DeviceRecord) -> Self {
        let mut path = [0; 256];
        for (into, byte) in path.iter_mut().zip(record.path.bytes().take(MAX_PATH)) {
            *into = byte;
        }
        Self {
            path,
            bus_id: record.bus_id.to_field(),
            bus_number: u32::from(record.device_id.bus_number()).into(),
            number_on_bus: u32::from(record.device_id.device_number()).into(),
            speed: record.speed.0.into(),
            vendor: record.vendor_id.into(),
            product: record.product_id.into(),
            release: record.release.0.into(),
            class: record.class.class,
            subclass: record.class.subclass,
            protocol: record.class.protocol,
            configuration: record.configuration,
            configurations: record.configuration_count,
            interfaces: record.interface_count,
        }
    }

    /// Reads the record at the start of `rx`, without interfaces.
    ///
    /// # Errors
    /// A bus id that is no text. The path is for people, and read as well as it can be. Bus and
    /// device numbers beyond 16 bits are cut, as the kernel's tools cut them when they compose the
    /// device id.
    pub(crate) fn parse(rx: &[u8]) -> Result<Option<DeviceRecord>, ProtocolError> {
        let Ok((device, _)) = Self::ref_from_prefix(rx) else {
            return Ok(None);
        };
        let bus_id = BusId::from_field(&device.bus_id).ok_or(ProtocolError::BusId {
            found: device.bus_id,
        })?;
        let mut path = device.path.split(|byte| *byte == 0);
        let mut path = String::from_utf8_lossy(path.next().unwrap_or(&[])).into_owned();
        let mut end = path.len().min(MAX_PATH);
        while !path.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        path.truncate(end);
        let bus = device.bus_number.get() << 16;
        let number = device.number_on_bus.get() & 0xffff;
        Ok(Some(DeviceRecord {
            path,
            bus_id,
            device_id: DeviceId::from_u32(bus | number),
            speed: SpeedCode(device.speed.get()),
            vendor_id: device.vendor.get(),
            product_id: device.product.get(),
            release: Bcd(device.release.get()),
            class: ClassCode::new(device.class, device.subclass, device.protocol),
            configuration: device.configuration,
            configuration_count: device.configurations,
            interface_count: device.interfaces,
            interfaces: Vec::new(),
        }))
    }

    /// States as many interfaces as will follow. One that was imported states those of its server,
    /// which did not send them.
    pub(crate) fn with_interfaces(mut self, count: usize) -> Self {
        self.interfaces = u8::try_from(count).unwrap_or(u8::MAX);
        self
    }

    pub(crate) fn put(&self, tx: &mut TxQueue) {
        tx.put_slice(self.as_bytes());
    }
}

/// `struct usbip_usb_interface`: class, subclass, protocol, padding.
pub(crate) const INTERFACE_LENGTH: usize = 4;

pub(crate) const fn interface(class: ClassCode) -> [u8; INTERFACE_LENGTH] {
    [class.class, class.subclass, class.protocol, 0]
}

const _: () = assert!(Common::LENGTH == 8 && Device::LENGTH == 312);
