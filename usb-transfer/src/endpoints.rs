//! Which endpoints exist now.

use alloc::vec::Vec;

use usb_descriptors::{EndpointAddress, Interface, TransferType};

use crate::DeviceDescriptors;

/// An endpoint of the current configuration and alternate settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Endpoint {
    /// Number and direction.
    pub address: EndpointAddress,
    /// How it moves data.
    pub transfer_type: TransferType,
    /// The largest packet, in bytes.
    pub max_packet_size: u16,
    /// Packets in each microframe, 1–3: more than one only at high speed, where it is periodic.
    pub transactions_per_microframe: u8,
    /// How often the host polls it, in 125 µs; 0 where the type is not polled.
    pub interval: u32,
    /// Streams of a SuperSpeed bulk endpoint; 0 for none.
    pub max_streams: u32,
    /// The interface it belongs to.
    pub interface: u8,
}

/// The endpoints that exist in the current configuration with the current alternate settings.
/// Endpoint 0 always exists and is not in it.
///
/// ```
/// use usb_descriptors::{EndpointAddress, Speed};
/// use usb_transfer::{DeviceDescriptors, EndpointMap};
/// # let device = [18, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// # let configuration =
/// #     [9, 2, 25, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 8, 6, 0x50, 0, 7, 5, 0x81, 2, 0, 2, 0];
/// let mut descriptors = DeviceDescriptors::new(Speed::High, device);
/// descriptors.configurations.push(configuration.to_vec().into());
/// let mut endpoints = EndpointMap::default();
/// let bulk = EndpointAddress::from_byte(0x81);
/// assert!(endpoints.get(bulk).is_none());
/// endpoints.configure(&descriptors, 1);
/// assert_eq!(endpoints.get(bulk).unwrap().max_packet_size, 512);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointMap {
    configuration: u8,
    endpoints: Vec<Endpoint>,
}

impl EndpointMap {
    /// Goes to a configuration with all interfaces at alternate setting 0; to none if `value` is
    /// 0 or names none.
    pub fn configure(&mut self, device: &DeviceDescriptors, value: u8) {
        self.endpoints.clear();
        self.configuration = 0;
        let Some(configuration) = device.configuration(value).filter(|_| value != 0) else {
            return;
        };
        self.configuration = value;
        let settings = configuration.interfaces();
        for interface in settings.filter(|interface| interface.alternate_setting() == 0) {
            self.add(device, &interface);
        }
    }

    /// Goes to an alternate setting of an interface, if the configuration has it.
    pub fn set_interface(&mut self, device: &DeviceDescriptors, number: u8, alternate: u8) {
        let configuration = device.configuration(self.configuration);
        let Some(interface) =
            configuration.and_then(|configuration| configuration.interface(number, alternate))
        else {
            return;
        };
        self.endpoints
            .retain(|endpoint| endpoint.interface != number);
        self.add(device, &interface);
    }

    /// The endpoint at an address, if it exists now.
    #[must_use]
    pub fn get(&self, address: EndpointAddress) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.address == address)
    }

    /// All endpoints that exist now.
    pub fn iter(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter()
    }

    /// The current configuration's value; 0 for none.
    #[must_use]
    pub const fn configuration(&self) -> u8 {
        self.configuration
    }

    /// Adds an interface's endpoints. Of an address that is there already the first stays, as
    /// Linux does; endpoint 0 cannot be described.
    fn add(&mut self, device: &DeviceDescriptors, interface: &Interface<'_>) {
        for endpoint in interface.endpoints() {
            let address = endpoint.address();
            if address.is_control() || self.get(address).is_some() {
                continue;
            }
            self.endpoints.push(Endpoint {
                address,
                transfer_type: endpoint.transfer_type(),
                max_packet_size: endpoint.max_packet_size(),
                transactions_per_microframe: endpoint.transactions_per_microframe(),
                interval: endpoint.interval(device.speed),
                max_streams: endpoint
                    .companion()
                    .filter(|_| endpoint.transfer_type() == TransferType::Bulk)
                    .map_or(0, |companion| companion.max_streams()),
                interface: interface.number(),
            });
        }
    }
}
