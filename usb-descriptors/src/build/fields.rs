//! What configurations, interfaces and endpoints are, however they are built: those of
//! [`build`](super) and of [`build::constant`](super::constant) differ in where their lists lie.

use super::BuildError;
use crate::{ClassCode, DescriptorType, EndpointAddress, Speed, TransferType, standard};

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
pub(super) enum Size {
    /// What the speed gives to bulk and control endpoints.
    OfSpeed,
    /// Bytes of a packet, and packets of a microframe.
    Bytes(u16, u8),
}

/// All of an endpoint but the descriptors of its class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EndpointFields {
    pub(super) address: EndpointAddress,
    pub(super) attributes: u8,
    pub(super) size: Size,
    /// In 125 µs.
    pub(super) interval: u32,
    /// `bInterval` as it stood where the endpoint was read.
    pub(super) raw_interval: Option<u8>,
    pub(super) packets_per_burst: u8,
    pub(super) companion_attributes: u8,
    pub(super) bytes_per_interval: Option<u16>,
}

impl EndpointFields {
    pub(super) const fn new(
        address: EndpointAddress,
        transfer_type: TransferType,
        size: Size,
        interval: u32,
    ) -> Self {
        Self {
            address,
            attributes: transfer_type.bits(),
            size,
            interval,
            raw_interval: None,
            packets_per_burst: 1,
            companion_attributes: 0,
            bytes_per_interval: None,
        }
    }

    const fn transfer_type(&self) -> TransferType {
        TransferType::from_attributes(self.attributes)
    }

    /// The largest packet at a speed.
    const fn packet_size(&self, speed: Speed) -> Result<u16, BuildError> {
        let (address, transfer_type) = (self.address, self.transfer_type());
        let Some(limit) = speed.max_packet_size(transfer_type) else {
            return Err(BuildError::TransferType {
                address,
                transfer_type,
                speed,
            });
        };
        match self.size {
            Size::OfSpeed => Ok(limit),
            Size::Bytes(size, _) if size > limit => Err(BuildError::Endpoint {
                address,
                transfer_type,
                what: "a packet size",
                found: size as u32,
                speed,
            }),
            Size::Bytes(size, _) => Ok(size),
        }
    }

    /// The endpoint descriptor; its length leaves room for an extension of so many bytes.
    pub(super) const fn own(&self, speed: Speed, extension: usize) -> Result<[u8; 7], BuildError> {
        let size = match self.packet_size(speed) {
            Ok(size) => size,
            Err(error) => return Err(error),
        };
        let packets = match (self.size, speed) {
            (Size::Bytes(_, packets), Speed::High) => packets,
            _ => 1,
        };
        let length = crate::Endpoint::LENGTH.saturating_add(extension);
        if length > 255 {
            return Err(BuildError::TooLong {
                found: length,
                limit: 255,
            });
        }
        let [size0, size1] = (size | (packets.saturating_sub(1) as u16) << 11).to_le_bytes();
        let [length, ..] = length.to_le_bytes();
        Ok([
            length,
            DescriptorType::ENDPOINT.0,
            self.address.to_byte(),
            self.attributes,
            size0,
            size1,
            self.interval_field(speed),
        ])
    }

    /// The companion that follows at SuperSpeed (USB 3.2, table 9-27).
    pub(super) const fn companion(&self, speed: Speed) -> Result<[u8; 6], BuildError> {
        let size = match self.packet_size(speed) {
            Ok(size) => size,
            Err(error) => return Err(error),
        };
        let each = match self.bytes_per_interval {
            Some(stated) => stated,
            None if self.transfer_type().is_periodic() => {
                (self.packets_per_burst as u16).saturating_mul(size)
            }
            None => 0,
        };
        let [each0, each1] = each.to_le_bytes();
        Ok([
            6,
            DescriptorType::SUPERSPEED_COMPANION.0,
            self.packets_per_burst.saturating_sub(1),
            self.companion_attributes,
            each0,
            each1,
        ])
    }

    /// `bInterval` (USB 2.0, table 9-13): milliseconds for an interrupt endpoint up to full speed,
    /// at low speed at least 10 (USB 2.0, 5.7.4); else an exponent of two, of milliseconds at full
    /// speed and of 125 µs above.
    const fn interval_field(&self, speed: Speed) -> u8 {
        if let Some(raw) = self.raw_interval {
            return raw;
        }
        let every = self.interval;
        let milliseconds = at_least(every.wrapping_shr(3), 1);
        let field = match (self.transfer_type(), speed) {
            (TransferType::Bulk | TransferType::Control, _) => 0,
            (TransferType::Interrupt, Speed::Low) => at_least(milliseconds, 10),
            (TransferType::Interrupt, Speed::Full) => milliseconds,
            (_, Speed::Low | Speed::Full) => exponent(milliseconds),
            _ => exponent(every),
        };
        if field > 255 {
            return u8::MAX;
        }
        let [field, ..] = field.to_le_bytes();
        field
    }
}

const fn at_least(value: u32, least: u32) -> u32 {
    if value < least { least } else { value }
}

/// `bInterval` whose power of two is not above.
const fn exponent(of: u32) -> u32 {
    let field = at_least(of, 1).ilog2().saturating_add(1);
    if field > 16 { 16 } else { field }
}

pub(super) const fn clamped(value: u8, least: u8, most: u8) -> u8 {
    if value < least {
        least
    } else if value > most {
        most
    } else {
        value
    }
}

/// All of an alternate setting but its lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct InterfaceFields {
    pub(super) number: u8,
    pub(super) alternate: u8,
    pub(super) class: ClassCode,
    pub(super) string: u8,
}

impl InterfaceFields {
    pub(super) const fn new(number: u8, class: ClassCode) -> Self {
        Self {
            number,
            alternate: 0,
            class,
            string: 0,
        }
    }

    /// The interface descriptor (USB 2.0, table 9-12).
    pub(super) const fn own(self, endpoints: usize) -> Result<[u8; 9], BuildError> {
        let [count, more @ ..] = endpoints.to_le_bytes();
        if !is_zero(&more) {
            return Err(BuildError::TooLong {
                found: endpoints,
                limit: 255,
            });
        }
        Ok([
            9,
            DescriptorType::INTERFACE.0,
            self.number,
            self.alternate,
            count,
            self.class.class,
            self.class.subclass,
            self.class.protocol,
            self.string,
        ])
    }
}

/// All of a configuration but its lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ConfigurationFields {
    pub(super) value: u8,
    pub(super) string: u8,
    pub(super) self_powered: bool,
    pub(super) remote_wakeup: bool,
    pub(super) max_power: u16,
}

impl ConfigurationFields {
    pub(super) const fn new(value: u8) -> Self {
        Self {
            value,
            string: 0,
            self_powered: false,
            remote_wakeup: false,
            max_power: 0,
        }
    }

    /// The configuration descriptor of so many interfaces and bytes in all (USB 2.0, table 9-10).
    pub(super) const fn own(
        self,
        kind: DescriptorType,
        speed: Speed,
        interfaces: usize,
        total: usize,
    ) -> Result<[u8; 9], BuildError> {
        if self.value == 0 {
            return Err(BuildError::ConfigurationValue);
        }
        let power = match self.power_field(speed) {
            Ok(power) => power,
            Err(error) => return Err(error),
        };
        let [count, many @ ..] = interfaces.to_le_bytes();
        if !is_zero(&many) {
            return Err(BuildError::TooLong {
                found: interfaces,
                limit: 255,
            });
        }
        let [total0, total1, more @ ..] = total.to_le_bytes();
        if !is_zero(&more) {
            return Err(BuildError::TooLong {
                found: total,
                limit: 0xffff,
            });
        }
        let attributes = 0x80 | (self.self_powered as u8) << 6 | (self.remote_wakeup as u8) << 5;
        Ok([
            9,
            kind.0,
            total0,
            total1,
            count,
            self.value,
            self.string,
            attributes,
            power,
        ])
    }

    const fn power_field(self, speed: Speed) -> Result<u8, BuildError> {
        // 900 mA are 112.5 units of 8 mA.
        let (limit, units, most) = if speed.is_super() {
            (900, self.max_power.div_ceil(8), 113)
        } else {
            (500, self.max_power.div_ceil(2), 250)
        };
        match units.to_le_bytes() {
            [field, 0] if units <= most => Ok(field),
            _ => Err(BuildError::MaxPower {
                found: self.max_power,
                limit,
                speed,
            }),
        }
    }
}

/// An interface association (USB 3.2, table 9-23).
pub(super) const fn association(first: u8, count: u8, class: ClassCode, string: u8) -> [u8; 8] {
    let kind = DescriptorType::INTERFACE_ASSOCIATION.0;
    let ClassCode {
        class,
        subclass,
        protocol,
    } = class;
    [8, kind, first, count, class, subclass, protocol, string]
}

const fn is_zero(mut bytes: &[u8]) -> bool {
    while let [first, others @ ..] = bytes {
        if *first != 0 {
            return false;
        }
        bytes = others;
    }
    true
}

/// The first descriptor of a run, and what follows it; `None` at the end, and where it does not
/// state its own length.
pub(super) const fn split(run: &[u8]) -> Option<(&[u8], &[u8])> {
    match run {
        [length, ..] if *length >= 2 => run.split_at_checked(*length as usize),
        _ => None,
    }
}

/// Whether a run is of descriptors of a class, of which each states its own length. The standard
/// ones are the builder's own business.
pub(super) const fn check_class_run(run: &[u8]) -> Result<(), BuildError> {
    let mut rest = run;
    while let Some((descriptor, behind)) = split(rest) {
        let kind = match descriptor {
            [_, kind, ..] => DescriptorType(*kind),
            _ => DescriptorType::STRING,
        };
        let has_place = matches!(
            kind,
            DescriptorType::SUPERSPEED_PLUS_COMPANION | DescriptorType::EUSB2_COMPANION
        );
        if standard::layout(kind).is_some() && !has_place {
            return Err(BuildError::StandardDescriptor { found: kind });
        }
        rest = behind;
    }
    match (rest, run) {
        ([], _) => Ok(()),
        (_, [stated, ..]) => Err(BuildError::DescriptorLength {
            found: run.len(),
            stated: *stated,
        }),
        _ => Ok(()),
    }
}

/// What can be said of an alternate setting of either kind, which has `fields` and is made `of`
/// some.
macro_rules! interface_methods {
    () => {
        /// Alternate setting 0 of interface `number`, without endpoints.
        #[must_use]
        pub const fn new(number: u8, class: ClassCode) -> Self {
            Self::of(InterfaceFields::new(number, class))
        }

        /// Which alternate setting this is.
        #[must_use]
        pub const fn alternate_setting(mut self, alternate: u8) -> Self {
            self.fields.alternate = alternate;
            self
        }

        /// Index of its string.
        #[must_use]
        pub const fn string(mut self, index: u8) -> Self {
            self.fields.string = index;
            self
        }
    };
}

/// What can be said of a configuration of either kind, which has `fields` and is made `of` some.
macro_rules! configuration_methods {
    () => {
        /// A bus-powered configuration without interfaces; `value` is what selects it, not 0.
        #[must_use]
        pub const fn new(value: u8) -> Self {
            Self::of(ConfigurationFields::new(value))
        }

        /// Index of its string.
        #[must_use]
        pub const fn string(mut self, index: u8) -> Self {
            self.fields.string = index;
            self
        }

        /// The device has power of its own.
        #[must_use]
        pub const fn self_powered(mut self) -> Self {
            self.fields.self_powered = true;
            self
        }

        /// The device can wake the host.
        #[must_use]
        pub const fn remote_wakeup(mut self) -> Self {
            self.fields.remote_wakeup = true;
            self
        }

        /// What it draws from the bus, in mA; rounded up to the unit of the speed.
        #[must_use]
        pub const fn max_power(mut self, milliamperes: u16) -> Self {
            self.fields.max_power = milliamperes;
            self
        }
    };
}

/// What can be said of an endpoint of either kind, which has `fields` and is made `of` some.
macro_rules! endpoint_methods {
    () => {
        /// A bulk endpoint with the packet size of the speed: 64, 512 or 1024 bytes.
        #[must_use]
        pub const fn bulk(address: EndpointAddress) -> Self {
            Self::of(EndpointFields::new(
                address,
                TransferType::Bulk,
                Size::OfSpeed,
                0,
            ))
        }

        /// An interrupt endpoint with packets of up to `size` bytes, asked every `interval` times
        /// 125 µs, which is rounded down to what the speed can say.
        #[must_use]
        pub const fn interrupt(address: EndpointAddress, size: u16, interval: u32) -> Self {
            let size = Size::Bytes(size, 1);
            Self::of(EndpointFields::new(
                address,
                TransferType::Interrupt,
                size,
                interval,
            ))
        }

        /// An isochronous endpoint with packets of up to `size` bytes every `interval` times
        /// 125 µs, which is rounded down to a power of two.
        #[must_use]
        pub const fn isochronous(address: EndpointAddress, size: u16, interval: u32) -> Self {
            let size = Size::Bytes(size, 1);
            Self::of(EndpointFields::new(
                address,
                TransferType::Isochronous,
                size,
                interval,
            ))
        }

        /// Packets that may be sent without an acknowledgement at SuperSpeed, 1–16; other values
        /// are clamped.
        #[must_use]
        pub const fn packets_per_burst(mut self, packets: u8) -> Self {
            self.fields.packets_per_burst = clamped(packets, 1, 16);
            self
        }

        /// Packets in a microframe, 1–3, of a periodic endpoint at high speed; other values are
        /// clamped, and other speeds have one.
        #[must_use]
        pub const fn packets_per_microframe(mut self, packets: u8) -> Self {
            if let Size::Bytes(size, _) = self.fields.size {
                self.fields.size = Size::Bytes(size, clamped(packets, 1, 3));
            }
            self
        }

        /// Two to this power are the streams of a bulk endpoint at SuperSpeed; 0 for none, at most
        /// 16.
        #[must_use]
        pub const fn streams(mut self, exponent: u8) -> Self {
            self.fields.companion_attributes = clamped(exponent, 0, 16);
            self
        }

        /// How an isochronous endpoint keeps time.
        #[must_use]
        pub const fn synchronization(mut self, synchronization: Synchronization) -> Self {
            let bits = match synchronization {
                Synchronization::None => 0,
                Synchronization::Asynchronous => 1,
                Synchronization::Adaptive => 2,
                Synchronization::Synchronous => 3,
            };
            self.fields.attributes = self.fields.attributes & 0x33 | bits << 2;
            self
        }

        /// What an isochronous endpoint carries.
        #[must_use]
        pub const fn usage(mut self, usage: Usage) -> Self {
            let bits = match usage {
                Usage::Data => 0,
                Usage::Feedback => 1,
                Usage::ImplicitFeedback => 2,
            };
            self.fields.attributes = self.fields.attributes & 0x0f | bits << 4;
            self
        }
    };
}
pub(super) use {configuration_methods, endpoint_methods, interface_methods};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_in_the_unit_of_type_and_speed() {
        let address = EndpointAddress::from_byte(0x81);
        let fields =
            |kind, size, every| EndpointFields::new(address, kind, Size::Bytes(size, 1), every);
        let interrupt = fields(TransferType::Interrupt, 8, 32);
        for (speed, field) in [
            (Speed::Low, 10),
            (Speed::Full, 4),
            (Speed::High, 6),
            (Speed::Super, 6),
        ] {
            assert_eq!(interrupt.interval_field(speed), field);
        }
        let isochronous = fields(TransferType::Isochronous, 192, 8);
        for (speed, field) in [(Speed::Full, 1), (Speed::High, 4), (Speed::Super, 4)] {
            assert_eq!(isochronous.interval_field(speed), field);
        }
    }
}
