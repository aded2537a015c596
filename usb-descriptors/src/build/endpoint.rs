//! Endpoints to build.

use alloc::vec::Vec;

use super::BuildError;
use crate::{DescriptorType, Descriptors, EndpointAddress, Speed, TransferType, standard};

/// How an isochronous endpoint keeps time (USB 2.0, table 9-13, `bmAttributes` bits 3..2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "two bits, four kinds")]
pub enum Synchronization {
    /// It does not.
    None,
    /// By a clock of its own; a sink needs a feedback endpoint.
    Asynchronous,
    /// By the data.
    Adaptive,
    /// By the frames.
    Synchronous,
}

/// What an isochronous endpoint carries (USB 2.0, table 9-13, `bmAttributes` bits 5..4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the three kinds that exist")]
pub enum Usage {
    /// Data.
    Data,
    /// How fast a sink takes data.
    Feedback,
    /// Data whose rate tells how fast a sink takes data.
    ImplicitFeedback,
}

/// `wMaxPacketSize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Size {
    /// What the speed gives to bulk and control endpoints.
    OfSpeed,
    /// Bytes of a packet, and packets of a microframe.
    Bytes(u16, u8),
}

/// `bInterval`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Interval {
    /// In 125 µs.
    Every(u32),
    /// As it stood.
    Raw(u8),
}

/// An endpoint to build (USB 2.0, table 9-13; USB 3.2, table 9-27).
///
/// ```
/// use usb_descriptors::build::{Endpoint, Synchronization};
/// use usb_descriptors::EndpointAddress;
/// // Keys, eight bytes every 8 ms.
/// let keys = Endpoint::interrupt(EndpointAddress::from_byte(0x81), 8, 64);
/// // Sound, up to 200 bytes each millisecond.
/// let sound = Endpoint::isochronous(EndpointAddress::from_byte(0x02), 200, 8)
///     .synchronization(Synchronization::Adaptive);
/// # let _ = (keys, sound);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub(super) address: EndpointAddress,
    attributes: u8,
    size: Size,
    interval: Interval,
    packets_per_burst: u8,
    companion_attributes: u8,
    bytes_per_interval: Option<u16>,
    /// `bRefresh` and `bSynchAddress` of audio class 1, or whatever stands there.
    extension: Vec<u8>,
    /// Behind the endpoint and its companion, each complete.
    descriptors: Vec<u8>,
}

impl Endpoint {
    /// A bulk endpoint with the packet size of the speed: 64, 512 or 1024 bytes.
    #[must_use]
    pub const fn bulk(address: EndpointAddress) -> Self {
        Self::new(address, TransferType::Bulk, Size::OfSpeed, 0)
    }

    /// An interrupt endpoint with packets of up to `size` bytes, asked every `interval` times
    /// 125 µs, which is rounded down to what the speed can say.
    #[must_use]
    pub const fn interrupt(address: EndpointAddress, size: u16, interval: u32) -> Self {
        Self::new(
            address,
            TransferType::Interrupt,
            Size::Bytes(size, 1),
            interval,
        )
    }

    /// An isochronous endpoint with packets of up to `size` bytes every `interval` times 125 µs,
    /// which is rounded down to a power of two.
    #[must_use]
    pub const fn isochronous(address: EndpointAddress, size: u16, interval: u32) -> Self {
        Self::new(
            address,
            TransferType::Isochronous,
            Size::Bytes(size, 1),
            interval,
        )
    }

    const fn new(
        address: EndpointAddress,
        transfer_type: TransferType,
        size: Size,
        interval: u32,
    ) -> Self {
        Self {
            address,
            attributes: transfer_type.bits(),
            size,
            interval: Interval::Every(interval),
            packets_per_burst: 1,
            companion_attributes: 0,
            bytes_per_interval: None,
            extension: Vec::new(),
            descriptors: Vec::new(),
        }
    }

    /// Packets that may be sent without an acknowledgement at SuperSpeed, 1–16; other values are
    /// clamped.
    #[must_use]
    pub fn packets_per_burst(mut self, packets: u8) -> Self {
        self.packets_per_burst = packets.clamp(1, 16);
        self
    }

    /// Packets in a microframe, 1–3, of a periodic endpoint at high speed; other values are
    /// clamped, and other speeds have one.
    #[must_use]
    pub fn packets_per_microframe(mut self, packets: u8) -> Self {
        if let Size::Bytes(size, _) = self.size {
            self.size = Size::Bytes(size, packets.clamp(1, 3));
        }
        self
    }

    /// Two to this power are the streams of a bulk endpoint at SuperSpeed; 0 for none, at most 16.
    #[must_use]
    pub fn streams(mut self, exponent: u8) -> Self {
        self.companion_attributes = exponent.min(16);
        self
    }

    /// How an isochronous endpoint keeps time.
    #[must_use]
    pub fn synchronization(mut self, synchronization: Synchronization) -> Self {
        let bits = match synchronization {
            Synchronization::None => 0,
            Synchronization::Asynchronous => 1,
            Synchronization::Adaptive => 2,
            Synchronization::Synchronous => 3,
        };
        self.attributes = self.attributes & 0x33 | bits << 2;
        self
    }

    /// What an isochronous endpoint carries.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        let bits = match usage {
            Usage::Data => 0,
            Usage::Feedback => 1,
            Usage::ImplicitFeedback => 2,
        };
        self.attributes = self.attributes & 0x0f | bits << 4;
        self
    }

    /// The two bytes more that endpoints have in audio class 1 (UAC 1.0, table 4-20): the rate of
    /// a feedback endpoint, and the feedback endpoint of this one, 0 for none.
    #[must_use]
    pub fn audio(mut self, refresh: u8, synch_address: u8) -> Self {
        self.extension = Vec::from([refresh, synch_address]);
        self
    }

    /// Adds a descriptor of the class, or a SuperSpeedPlus companion, behind it.
    ///
    /// # Errors
    /// [`BuildError::DescriptorLength`] where it does not state its own length,
    /// [`BuildError::StandardDescriptor`] where it is none of a class.
    pub fn descriptor(mut self, descriptor: &[u8]) -> Result<Self, BuildError> {
        append(&mut self.descriptors, descriptor)?;
        Ok(self)
    }

    /// What an endpoint was built from.
    pub(super) fn read(endpoint: &crate::Endpoint<'_>, speed: Speed) -> Self {
        let (attributes, raw) = (endpoint.attributes(), endpoint.raw_interval());
        let size = Size::Bytes(
            endpoint.max_packet_size(),
            endpoint.transactions_per_microframe(),
        );
        let mut built = Self::new(endpoint.address(), TransferType::Bulk, size, 0);
        built.attributes = attributes;
        built.interval = Interval::Raw(raw);
        let own = endpoint.own_bytes();
        built.extension = own.get(crate::Endpoint::LENGTH..).unwrap_or(&[]).into();
        let mut behind = endpoint.bytes().get(own.len()..).unwrap_or(&[]);
        if let Some(companion) = endpoint.companion().filter(|_| speed.is_super()) {
            let burst = companion.packets_per_burst();
            built.packets_per_burst = u8::try_from(burst).unwrap_or(u8::MAX);
            built.companion_attributes = companion.attributes();
            built.bytes_per_interval = Some(companion.bytes_per_interval());
            let length = Descriptors::new(behind)
                .next()
                .map_or(0, |first| first.bytes().len());
            behind = behind.get(length..).unwrap_or(&[]);
        }
        built.descriptors = behind.into();
        built
    }

    fn transfer_type(&self) -> TransferType {
        TransferType::from_attributes(self.attributes)
    }

    pub(super) fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) -> Result<(), BuildError> {
        let (address, transfer_type) = (self.address, self.transfer_type());
        let Some(limit) = speed.max_packet_size(transfer_type) else {
            return Err(BuildError::TransferType {
                address,
                transfer_type,
                speed,
            });
        };
        let (size, packets) = match self.size {
            Size::OfSpeed => (limit, 1),
            Size::Bytes(size, packets) if speed == Speed::High => (size, packets),
            Size::Bytes(size, _) => (size, 1),
        };
        if size > limit {
            return Err(BuildError::Endpoint {
                address,
                transfer_type,
                what: "a packet size",
                found: size.into(),
                speed,
            });
        }
        let [size0, size1] = (size | u16::from(packets.saturating_sub(1)) << 11).to_le_bytes();
        let own = crate::Endpoint::LENGTH.saturating_add(self.extension.len());
        let length = u8::try_from(own).map_err(|_| BuildError::TooLong {
            found: own,
            limit: 255,
        })?;
        bytes.extend([
            length,
            DescriptorType::ENDPOINT.0,
            address.to_byte(),
            self.attributes,
            size0,
            size1,
            self.interval_field(speed),
        ]);
        bytes.extend(&self.extension);
        if speed.is_super() {
            let carried = u16::from(self.packets_per_burst).saturating_mul(size);
            let carried = if transfer_type.is_periodic() {
                carried
            } else {
                0
            };
            let [each0, each1] = self.bytes_per_interval.unwrap_or(carried).to_le_bytes();
            bytes.extend([
                6,
                DescriptorType::SUPERSPEED_COMPANION.0,
                self.packets_per_burst.saturating_sub(1),
                self.companion_attributes,
                each0,
                each1,
            ]);
        }
        bytes.extend(&self.descriptors);
        Ok(())
    }

    /// `bInterval` (USB 2.0, table 9-13): milliseconds for an interrupt endpoint up to full speed,
    /// at low speed at least 10 (USB 2.0, 5.7.4); else an exponent of two, of milliseconds at full
    /// speed and of 125 µs above.
    fn interval_field(&self, speed: Speed) -> u8 {
        let every = match self.interval {
            Interval::Raw(raw) => return raw,
            Interval::Every(every) => every,
        };
        let milliseconds = every.wrapping_shr(3).max(1);
        let exponent = |of: u32| of.max(1).ilog2().saturating_add(1).min(16);
        let field = match (self.transfer_type(), speed) {
            (TransferType::Bulk | TransferType::Control, _) => 0,
            (TransferType::Interrupt, Speed::Low) => milliseconds.max(10),
            (TransferType::Interrupt, Speed::Full) => milliseconds,
            (_, Speed::Low | Speed::Full) => exponent(milliseconds),
            _ => exponent(every),
        };
        u8::try_from(field).unwrap_or(u8::MAX)
    }
}

/// Adds descriptors of a class, of which each states its own length. The standard ones are the
/// builder's own business.
pub(super) fn append(to: &mut Vec<u8>, descriptor: &[u8]) -> Result<(), BuildError> {
    let mut walk = Descriptors::new(descriptor);
    if descriptor.is_empty() || !walk.all(|each| each.is_complete()) {
        return Err(BuildError::DescriptorLength {
            found: descriptor.len(),
            stated: descriptor.first().copied().unwrap_or(0),
        });
    }
    for each in Descriptors::new(descriptor) {
        let kind = each.descriptor_type().unwrap_or(DescriptorType::STRING);
        let has_place = matches!(
            kind,
            DescriptorType::SUPERSPEED_PLUS_COMPANION | DescriptorType::EUSB2_COMPANION
        );
        if standard::layout(kind).is_some() && !has_place {
            return Err(BuildError::StandardDescriptor { found: kind });
        }
    }
    to.extend(descriptor);
    Ok(())
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
        let isochronous = Endpoint::isochronous(address, 192, 8);
        for (speed, field) in [(Speed::Full, 1), (Speed::High, 4), (Speed::Super, 4)] {
            assert_eq!(isochronous.interval_field(speed), field);
        }
    }
}
