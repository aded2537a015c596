//! The configuration of a device, as bytes: interfaces and endpoints with the class-specific
//! descriptors between them.

use alloc::vec::Vec;

use usb_descriptors::{ClassCode, DescriptorType, EndpointAddress, Speed, TransferType};

/// What SET_CONFIGURATION selects.
const VALUE: u8 = 1;

/// One alternate setting of an interface (USB 2.0, table 9-12).
pub(crate) struct Interface {
    pub(crate) number: u8,
    pub(crate) alternate: u8,
    pub(crate) class: ClassCode,
    /// What follows its descriptor: descriptors of its class, each with its length and type.
    pub(crate) class_specific: Vec<u8>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// An endpoint (USB 2.0, table 9-13).
pub(crate) struct Endpoint {
    pub(crate) address: EndpointAddress,
    pub(crate) transfer_type: TransferType,
    /// Synchronisation and usage of an isochronous endpoint, at their place in `bmAttributes`.
    pub(crate) attributes: u8,
    /// The largest packet, in bytes; of a bulk endpoint it is the speed's.
    pub(crate) size: u16,
    /// How often the host asks, in 125 µs; a power of two. 0 of a bulk endpoint.
    pub(crate) interval: u32,
    /// What follows its descriptor. In audio, where there is some, the endpoint has two more
    /// bytes (UAC1, 4.6.1.1).
    pub(crate) audio: Option<[u8; 7]>,
}

impl Endpoint {
    pub(crate) const fn bulk(address: EndpointAddress) -> Self {
        Self::new(address, TransferType::Bulk, 0, 0)
    }

    pub(crate) const fn interrupt(address: EndpointAddress, size: u16, interval: u32) -> Self {
        Self::new(address, TransferType::Interrupt, size, interval)
    }

    pub(crate) const fn new(
        address: EndpointAddress,
        transfer_type: TransferType,
        size: u16,
        interval: u32,
    ) -> Self {
        Self {
            address,
            transfer_type,
            attributes: 0,
            size,
            interval,
            audio: None,
        }
    }

    fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) {
        let is_bulk = self.transfer_type == TransferType::Bulk;
        let bulk_size = speed.max_packet_size(TransferType::Bulk);
        let size = bulk_size.filter(|_| is_bulk).unwrap_or(self.size);
        let [size0, size1] = size.to_le_bytes();
        bytes.extend([
            if self.audio.is_some() { 9 } else { 7 },
            DescriptorType::ENDPOINT.0,
            self.address.to_byte(),
            self.transfer_type.bits() | self.attributes,
            size0,
            size1,
            self.interval_field(speed),
        ]);
        if self.audio.is_some() {
            // bRefresh and bSynchAddress: no endpoint gives feedback.
            bytes.extend([0, 0]);
        }
        if speed.is_super() {
            // One packet at a time; wBytesPerInterval of a periodic endpoint (USB 3.2, 9.6.7).
            let [each0, each1] = if is_bulk { [0, 0] } else { [size0, size1] };
            bytes.extend([
                6,
                DescriptorType::SUPERSPEED_COMPANION.0,
                0,
                0,
                each0,
                each1,
            ]);
        }
        bytes.extend(self.audio.iter().flatten());
    }

    /// `bInterval` (USB 2.0, table 9-13): milliseconds for an interrupt endpoint up to full speed,
    /// at low speed at least 10 (USB 2.0, 5.7.4); else an exponent of two, of milliseconds at full
    /// speed and of 125 µs above.
    fn interval_field(&self, speed: Speed) -> u8 {
        let milliseconds = (self.interval / 8).max(1);
        let field = match (self.transfer_type, speed) {
            (TransferType::Bulk | TransferType::Control, _) => 0,
            (TransferType::Interrupt, Speed::Low) => milliseconds.max(10),
            (TransferType::Interrupt, Speed::Full) => milliseconds,
            (_, Speed::Low | Speed::Full) => milliseconds.ilog2().saturating_add(1),
            _ => self.interval.max(1).ilog2().saturating_add(1),
        };
        u8::try_from(field).unwrap_or(u8::MAX)
    }
}

/// The one configuration of a device, bus-powered and without remote wakeup: no wire carries a
/// wakeup, and a suspended port would lose what is typed.
pub(crate) fn configuration(interfaces: &[Interface], speed: Speed) -> Vec<u8> {
    encode(DescriptorType::CONFIGURATION, interfaces, speed)
}

/// The same for the other of full and high speed.
pub(crate) fn other_speed_configuration(interfaces: &[Interface], speed: Speed) -> Vec<u8> {
    encode(DescriptorType::OTHER_SPEED_CONFIGURATION, interfaces, speed)
}

fn encode(kind: DescriptorType, interfaces: &[Interface], speed: Speed) -> Vec<u8> {
    let numbers = interfaces.iter().filter(|each| each.alternate == 0).count();
    // 100 mA, in the unit of the speed.
    let power = if speed.is_super() { 13 } else { 50 };
    let mut bytes = Vec::from([9, kind.0, 0, 0, count(numbers), VALUE, 0, 0x80, power]);
    for interface in interfaces {
        let ClassCode {
            class,
            subclass,
            protocol,
        } = interface.class;
        bytes.extend([
            9,
            DescriptorType::INTERFACE.0,
            interface.number,
            interface.alternate,
            count(interface.endpoints.len()),
            class,
            subclass,
            protocol,
            0,
        ]);
        bytes.extend(&interface.class_specific);
        interface
            .endpoints
            .iter()
            .for_each(|endpoint| endpoint.encode(speed, &mut bytes));
    }
    let total = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    if let Some(field) = bytes.get_mut(2..4) {
        field.copy_from_slice(&total.to_le_bytes());
    }
    bytes
}

/// Interfaces and endpoints are a handful.
fn count(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_in_the_unit_of_type_and_speed() {
        let address = EndpointAddress::from_byte(0x81);
        let interrupt = Endpoint::interrupt(address, 8, 32);
        for (speed, field) in [
            (Speed::Low, 10),
            (Speed::Full, 4),
            (Speed::High, 6),
            (Speed::Super, 6),
        ] {
            assert_eq!(interrupt.interval_field(speed), field);
        }
        let isochronous = Endpoint::new(address, TransferType::Isochronous, 192, 8);
        for (speed, field) in [(Speed::Full, 1), (Speed::High, 4), (Speed::Super, 4)] {
            assert_eq!(isochronous.interval_field(speed), field);
        }
    }
}
