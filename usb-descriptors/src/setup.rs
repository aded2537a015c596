//! Setup packets: what a control transfer asks for.

use core::fmt;

use crate::{DescriptorType, Direction, EndpointAddress, LanguageId};

/// Standard request codes, `bRequest` (USB 2.0, table 9-4; USB 3.2, table 9-5).
///
/// ```
/// use usb_descriptors::{SetupPacket, request};
/// assert_eq!(SetupPacket::set_configuration(1).request, request::SET_CONFIGURATION);
/// ```
pub mod request {
    /// Reads the status of a device, an interface or an endpoint, 2 bytes.
    pub const GET_STATUS: u8 = 0;
    /// Clears a feature.
    pub const CLEAR_FEATURE: u8 = 1;
    /// Sets a feature.
    pub const SET_FEATURE: u8 = 3;
    /// Gives the device its address; host controllers handle it, no wire carries it.
    pub const SET_ADDRESS: u8 = 5;
    /// Reads a descriptor.
    pub const GET_DESCRIPTOR: u8 = 6;
    /// Replaces a descriptor; optional, and implemented by nearly no device.
    pub const SET_DESCRIPTOR: u8 = 7;
    /// Reads the current configuration's value, 1 byte.
    pub const GET_CONFIGURATION: u8 = 8;
    /// Selects a configuration.
    pub const SET_CONFIGURATION: u8 = 9;
    /// Reads the current alternate setting of an interface, 1 byte.
    pub const GET_INTERFACE: u8 = 10;
    /// Selects an alternate setting.
    pub const SET_INTERFACE: u8 = 11;
    /// Reads the frame of an isochronous pattern, 2 bytes.
    pub const SYNCH_FRAME: u8 = 12;
    /// Tells a SuperSpeed device the host's exit latencies, 6 bytes.
    pub const SET_SEL: u8 = 48;
    /// Tells a SuperSpeed device the delay from the host.
    pub const SET_ISOCH_DELAY: u8 = 49;
}

/// Feature selectors, `wValue` of SET_FEATURE and CLEAR_FEATURE (USB 2.0, table 9-6;
/// USB 3.2, table 9-7). Which a number means depends on the recipient.
///
/// ```
/// use usb_descriptors::{EndpointAddress, SetupPacket, feature};
/// let setup = SetupPacket::clear_halt(EndpointAddress::from_byte(0x81));
/// assert_eq!(setup.value, feature::ENDPOINT_HALT);
/// ```
pub mod feature {
    /// Endpoint: every transfer stalls.
    pub const ENDPOINT_HALT: u16 = 0;
    /// Interface, SuperSpeed: the function is suspended.
    pub const FUNCTION_SUSPEND: u16 = 0;
    /// Device: it may wake the host.
    pub const DEVICE_REMOTE_WAKEUP: u16 = 1;
    /// Device, high speed: electrical test modes.
    pub const TEST_MODE: u16 = 2;
    /// Hub port: reset what is behind it (USB 2.0, table 11-17).
    pub const PORT_RESET: u16 = 4;
    /// Device, SuperSpeed: it may enter U1.
    pub const U1_ENABLE: u16 = 48;
    /// Device, SuperSpeed: it may enter U2.
    pub const U2_ENABLE: u16 = 49;
    /// Device, SuperSpeed: it may send latency tolerance messages.
    pub const LTM_ENABLE: u16 = 50;
}

/// Who defines a request (USB 2.0, table 9-2, `bmRequestType` bits 6..5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "two bits, four values")]
pub enum RequestKind {
    /// USB itself.
    Standard,
    /// The class of the device or interface.
    Class,
    /// The vendor.
    Vendor,
    /// No one yet.
    Reserved,
}

/// To what a request goes (USB 2.0, table 9-2, `bmRequestType` bits 4..0).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Recipient {
    /// The device.
    Device,
    /// The interface in `wIndex`.
    Interface,
    /// The endpoint in `wIndex`.
    Endpoint,
    /// Something else, such as a hub's port.
    Other,
    /// A reserved value, 4–31.
    Reserved(u8),
}

/// Direction, kind and recipient of a request (USB 2.0, table 9-2, `bmRequestType`).
///
/// ```
/// use usb_descriptors::{Direction, Recipient, RequestKind, RequestType};
/// let class_interface_in = RequestType(0xa1);
/// assert_eq!(class_interface_in.direction(), Direction::In);
/// assert_eq!(class_interface_in.kind(), RequestKind::Class);
/// assert_eq!(class_interface_in.recipient(), Recipient::Interface);
/// ```
#[doc(alias = "bmRequestType")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_structs,
    reason = "one byte; every value occurs on a wire"
)]
pub struct RequestType(pub u8);

impl RequestType {
    /// Standard, host to device, to the device.
    pub const DEVICE_OUT: Self = Self(0x00);
    /// Standard, host to device, to an interface.
    pub const INTERFACE_OUT: Self = Self(0x01);
    /// Standard, host to device, to an endpoint.
    pub const ENDPOINT_OUT: Self = Self(0x02);
    /// Standard, device to host, from the device.
    pub const DEVICE_IN: Self = Self(0x80);
    /// Standard, device to host, from an interface.
    pub const INTERFACE_IN: Self = Self(0x81);
    /// Standard, device to host, from an endpoint.
    pub const ENDPOINT_IN: Self = Self(0x82);
    /// Class, host to device, to an interface.
    pub const CLASS_INTERFACE_OUT: Self = Self(0x21);
    /// Class, device to host, from an interface.
    pub const CLASS_INTERFACE_IN: Self = Self(0xa1);

    /// Which way the data stage flows, if there is one.
    #[must_use]
    pub const fn direction(self) -> Direction {
        Direction::from_bit_7(self.0)
    }

    /// Who defines the request.
    #[must_use]
    pub const fn kind(self) -> RequestKind {
        match self.0 >> 5 & 0b11 {
            0 => RequestKind::Standard,
            1 => RequestKind::Class,
            2 => RequestKind::Vendor,
            _ => RequestKind::Reserved,
        }
    }

    /// To what the request goes.
    #[must_use]
    pub const fn recipient(self) -> Recipient {
        match self.0 & 0x1f {
            0 => Recipient::Device,
            1 => Recipient::Interface,
            2 => Recipient::Endpoint,
            3 => Recipient::Other,
            other => Recipient::Reserved(other),
        }
    }
}

impl fmt::Debug for RequestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestType({:02x})", self.0)
    }
}

/// The eight bytes that start a control transfer (USB 2.0, table 9-2).
///
/// ```
/// use usb_descriptors::{Direction, SetupPacket};
/// let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 18, 0]);
/// assert_eq!(setup.data_direction(), Direction::In);
/// assert_eq!(setup.length, 18);
/// assert_eq!(setup.to_bytes(), [0x80, 6, 0, 1, 0, 0, 18, 0]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "eight bytes since USB 1.0")]
pub struct SetupPacket {
    /// Direction, kind and recipient.
    #[doc(alias = "bmRequestType")]
    pub request_type: RequestType,
    /// What is asked; for standard requests a code of [`request`].
    #[doc(alias = "bRequest")]
    pub request: u8,
    /// Depends on the request.
    #[doc(alias = "wValue")]
    pub value: u16,
    /// Depends on the request: often an interface or endpoint.
    #[doc(alias = "wIndex")]
    pub index: u16,
    /// Bytes of the data stage: exactly so many host to device, at most so many device to host.
    #[doc(alias = "wLength")]
    pub length: u16,
}

impl SetupPacket {
    /// Reads the packet as the bus carries it, integers little-endian.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        let [request_type, request, v0, v1, i0, i1, l0, l1] = bytes;
        Self {
            request_type: RequestType(request_type),
            request,
            value: u16::from_le_bytes([v0, v1]),
            index: u16::from_le_bytes([i0, i1]),
            length: u16::from_le_bytes([l0, l1]),
        }
    }

    /// The packet as the bus carries it.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        let [v0, v1] = self.value.to_le_bytes();
        let [i0, i1] = self.index.to_le_bytes();
        let [l0, l1] = self.length.to_le_bytes();
        [self.request_type.0, self.request, v0, v1, i0, i1, l0, l1]
    }

    /// Which way the data stage flows. Without one (`wLength` 0) it is
    /// [`Out`](Direction::Out), whatever bit 7 says: the status stage is then IN (USB 2.0, 9.3.1:
    /// "the value of the Direction bit is ignored").
    #[must_use]
    pub const fn data_direction(&self) -> Direction {
        if self.length == 0 {
            Direction::Out
        } else {
            self.request_type.direction()
        }
    }

    /// Direction, kind and recipient as a device may read them: with the direction that counts, which
    /// is that of the data stage ([`data_direction`](Self::data_direction)). Who decides by a request
    /// whether it may pass, or what it changes, decides by this and not by the bit that was sent.
    ///
    /// ```
    /// use usb_descriptors::{RequestType, SetupPacket, request};
    /// // A device takes this for SET_CONFIGURATION(2).
    /// let setup = SetupPacket::from_bytes([0x80, 9, 2, 0, 0, 0, 0, 0]);
    /// assert_eq!(setup.effective_type(), RequestType::DEVICE_OUT);
    /// assert_eq!(setup.request, request::SET_CONFIGURATION);
    /// ```
    #[must_use]
    pub const fn effective_type(&self) -> RequestType {
        match self.data_direction() {
            Direction::Out => RequestType(self.request_type.0 & 0x7f),
            Direction::In => self.request_type,
        }
    }

    /// The endpoint that `wIndex` names, for requests to an endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> EndpointAddress {
        EndpointAddress::from_byte(self.index.to_le_bytes()[0])
    }

    /// The interface that `wIndex` names, for requests to an interface.
    #[must_use]
    pub const fn interface(&self) -> u8 {
        self.index.to_le_bytes()[0]
    }

    /// Type and index of the descriptor that `wValue` names, for descriptor requests.
    #[must_use]
    pub const fn descriptor(&self) -> (DescriptorType, u8) {
        let [index, kind] = self.value.to_le_bytes();
        (DescriptorType(kind), index)
    }

    /// Asks the device for a descriptor (USB 2.0, 9.4.3).
    #[doc(alias = "GET_DESCRIPTOR")]
    #[must_use]
    pub const fn get_descriptor(
        descriptor_type: DescriptorType,
        index: u8,
        language: LanguageId,
        length: u16,
    ) -> Self {
        Self {
            request_type: RequestType::DEVICE_IN,
            request: request::GET_DESCRIPTOR,
            value: u16::from_le_bytes([index, descriptor_type.0]),
            index: language.0,
            length,
        }
    }

    /// Selects a configuration; 0 for none (USB 2.0, 9.4.7).
    #[doc(alias = "SET_CONFIGURATION")]
    #[must_use]
    pub const fn set_configuration(value: u8) -> Self {
        Self {
            request_type: RequestType::DEVICE_OUT,
            request: request::SET_CONFIGURATION,
            value: u16::from_le_bytes([value, 0]),
            index: 0,
            length: 0,
        }
    }

    /// Selects an alternate setting of an interface (USB 2.0, 9.4.10).
    #[doc(alias = "SET_INTERFACE")]
    #[must_use]
    pub const fn set_interface(number: u8, alternate: u8) -> Self {
        Self {
            request_type: RequestType::INTERFACE_OUT,
            request: request::SET_INTERFACE,
            value: u16::from_le_bytes([alternate, 0]),
            index: u16::from_le_bytes([number, 0]),
            length: 0,
        }
    }

    /// Ends the halt of an endpoint (USB 2.0, 9.4.1).
    #[doc(alias = "CLEAR_FEATURE")]
    #[must_use]
    pub const fn clear_halt(endpoint: EndpointAddress) -> Self {
        Self {
            request_type: RequestType::ENDPOINT_OUT,
            request: request::CLEAR_FEATURE,
            value: feature::ENDPOINT_HALT,
            index: u16::from_le_bytes([endpoint.to_byte(), 0]),
            length: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: [u8; 8]) {
            prop_assert_eq!(SetupPacket::from_bytes(bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn a_request_without_data_has_no_in_stage() {
        let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 0, 0]);
        assert_eq!(setup.data_direction(), Direction::Out);
    }
}
