//! What a guest is told of the device.

use alloc::vec::Vec;

use usb_descriptors::{Configuration, EndpointAddress, Interface, Speed, TransferType};
use usb_transfer::{DeviceDescriptors, Endpoint, EndpointMap};

use crate::MisuseError;
use crate::codec::{DeviceConnect, EndpointEntry, EndpointInfo, EndpointTypeCode, InterfaceEntry};
use crate::wire::layout::ROWS;

/// A device with its current configuration and alternate settings.
#[derive(Debug)]
pub(super) struct Description {
    descriptors: DeviceDescriptors,
    connect: DeviceConnect,
    endpoints: EndpointMap,
    /// Alternate settings other than 0, by interface.
    alternates: Vec<(u8, u8)>,
}

impl Description {
    pub(super) fn new(descriptors: DeviceDescriptors) -> Result<Self, MisuseError> {
        let device = descriptors.device()?;
        let connect = DeviceConnect {
            speed: descriptors.speed.into(),
            class: device.class(),
            vendor_id: device.vendor_id(),
            product_id: device.product_id(),
            release: Some(device.device_release()),
        };
        for configuration in descriptors.configurations() {
            let settings = configuration.interfaces();
            let found = settings.filter(|one| one.alternate_setting() == 0).count();
            if found > ROWS {
                return Err(MisuseError::Interfaces { found });
            }
        }
        let mut description = Self {
            descriptors,
            connect,
            endpoints: EndpointMap::default(),
            alternates: Vec::new(),
        };
        description.reset();
        Ok(description)
    }

    /// Back to what a guest is told before it has selected a configuration: the first one.
    pub(super) fn reset(&mut self) {
        let first = self.descriptors.configurations().next();
        let value = first.map_or(0, |configuration| configuration.value());
        self.configure(value);
    }

    pub(super) fn configure(&mut self, value: u8) {
        self.endpoints.configure(&self.descriptors, value);
        self.alternates.clear();
    }

    pub(super) fn set_interface(&mut self, number: u8, alternate: u8) {
        self.endpoints
            .set_interface(&self.descriptors, number, alternate);
        self.alternates
            .retain(|(interface, _)| *interface != number);
        if alternate != 0 {
            self.alternates.push((number, alternate));
        }
    }

    pub(super) const fn configuration(&self) -> u8 {
        self.endpoints.configuration()
    }

    pub(super) fn endpoint(&self, address: EndpointAddress) -> Option<&Endpoint> {
        self.endpoints.get(address)
    }

    pub(super) const fn connect(&self) -> DeviceConnect {
        self.connect
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceEntry> {
        let configuration = self.descriptors.configuration(self.configuration());
        let settings = configuration.iter().flat_map(Configuration::interfaces);
        let current = settings.filter(|setting| self.is_current(setting));
        let entry = |setting: Interface<'_>| InterfaceEntry {
            number: setting.number(),
            class: setting.class(),
        };
        current.map(entry).take(ROWS).collect()
    }

    fn is_current(&self, setting: &Interface<'_>) -> bool {
        let chosen = self.alternates.iter();
        let mut chosen = chosen.filter(|(number, _)| *number == setting.number());
        let alternate = chosen.next().map_or(0, |(_, alternate)| *alternate);
        setting.alternate_setting() == alternate
    }

    pub(super) fn endpoint_info(&self) -> EndpointInfo {
        let mut info = EndpointInfo::default();
        let control = EndpointEntry {
            transfer_type: TransferType::Control.into(),
            ..EndpointEntry::ABSENT
        };
        info.set(EndpointAddress::CONTROL_OUT, control);
        info.set(EndpointAddress::CONTROL_IN, control);
        for endpoint in self.endpoints.iter() {
            let entry = EndpointEntry {
                transfer_type: EndpointTypeCode::from(endpoint.transfer_type),
                interval: raw_interval(endpoint, self.descriptors.speed),
                interface: endpoint.interface,
                max_packet_size: raw_max_packet_size(endpoint),
                max_streams: endpoint.max_streams,
            };
            info.set(endpoint.address, entry);
        }
        info
    }
}

/// `bInterval` again, made legal: QEMU refuses a device whose periodic endpoint states 0.
fn raw_interval(endpoint: &Endpoint, speed: Speed) -> u8 {
    let is_slow = matches!(speed, Speed::Low | Speed::Full);
    let raw = match (endpoint.transfer_type, is_slow) {
        (TransferType::Control | TransferType::Bulk, _) => 0,
        (TransferType::Interrupt, true) => endpoint.interval / 8,
        (TransferType::Isochronous, true) => {
            (endpoint.interval / 8).max(1).ilog2().saturating_add(1)
        }
        (_, false) => endpoint.interval.max(1).ilog2().saturating_add(1),
    };
    u8::try_from(raw).unwrap_or(u8::MAX)
}

/// `wMaxPacketSize` again (USB 2.0, table 9-13: bits 12..11 count the further packets).
fn raw_max_packet_size(endpoint: &Endpoint) -> u16 {
    let further = endpoint.transactions_per_microframe.saturating_sub(1);
    endpoint.max_packet_size | u16::from(further & 0b11) << 11
}
