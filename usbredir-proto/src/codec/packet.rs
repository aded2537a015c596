//! Packets as values.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::{Bcd, ClassCode, EndpointAddress, SetupPacket};
use usb_transfer::Segments;

use crate::Capabilities;
use crate::codec::{EndpointTypeCode, PacketType, SpeedCode, StatusCode};
use crate::wire::layout;

/// The first packet of each side.
///
/// ```
/// use usbredir_proto::{Capabilities, codec::Hello};
/// let hello = Hello::new("qemu usb-redir guest 7.2.22", Capabilities::ALL);
/// assert_eq!(hello.capabilities.bits(), 0xff);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Hello {
    /// Who speaks, for people to read.
    pub version: String,
    /// What it can do.
    pub capabilities: Capabilities,
}

impl Hello {
    /// A hello; of `version` up to its first NUL as much as 63 bytes hold.
    #[must_use]
    pub fn new(version: &str, capabilities: Capabilities) -> Self {
        let version = version.split('\0').next().unwrap_or_default();
        let room = size_of::<layout::Hello>().saturating_sub(1);
        let mut end = room.min(version.len());
        while !version.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        Self {
            version: version.get(..end).unwrap_or_default().to_owned(),
            capabilities,
        }
    }
}

/// What a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the packet")]
pub struct DeviceConnect {
    /// How fast it runs.
    pub speed: SpeedCode,
    /// Its class.
    pub class: ClassCode,
    /// Who made it.
    pub vendor_id: u16,
    /// Which of theirs it is.
    pub product_id: u16,
    /// Its release, in decimal digits; `None` without the capability to tell it.
    pub release: Option<Bcd>,
}

/// An interface with its current alternate setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the packet")]
pub struct InterfaceEntry {
    /// Its number.
    pub number: u8,
    /// Its class.
    pub class: ClassCode,
}

/// What is told of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the fields of the packet")]
pub struct EndpointEntry {
    /// How it moves data.
    pub transfer_type: EndpointTypeCode,
    /// `bInterval` of its descriptor.
    pub interval: u8,
    /// The interface it belongs to.
    pub interface: u8,
    /// `wMaxPacketSize` of its descriptor; 0 without the capability to tell it.
    pub max_packet_size: u16,
    /// Streams of a bulk endpoint; 0 without the capability to tell it.
    pub max_streams: u32,
}

impl EndpointEntry {
    /// Of an endpoint that does not exist.
    pub const ABSENT: Self = Self {
        transfer_type: EndpointTypeCode::ABSENT,
        interval: 0,
        interface: 0,
        max_packet_size: 0,
        max_streams: 0,
    };
}

/// What is told of all endpoints.
///
/// ```
/// use usb_descriptors::EndpointAddress;
/// use usbredir_proto::codec::{EndpointEntry, EndpointInfo, EndpointTypeCode};
/// let mut info = EndpointInfo::default();
/// let bulk = EndpointEntry { transfer_type: EndpointTypeCode(2), ..EndpointEntry::ABSENT };
/// info.set(EndpointAddress::from_byte(0x81), bulk);
/// assert_eq!(info.get(EndpointAddress::from_byte(0x81)), bulk);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointInfo {
    entries: Box<[EndpointEntry; layout::ROWS]>,
}

impl EndpointInfo {
    /// One endpoint's.
    #[must_use]
    pub fn get(&self, endpoint: EndpointAddress) -> EndpointEntry {
        let entry = self.entries.get(usize::from(endpoint.index()));
        entry.copied().unwrap_or(EndpointEntry::ABSENT)
    }

    /// Tells something of an endpoint.
    pub fn set(&mut self, endpoint: EndpointAddress, entry: EndpointEntry) {
        if let Some(place) = self.entries.get_mut(usize::from(endpoint.index())) {
            *place = entry;
        }
    }

    /// All, by [`EndpointAddress::index`].
    pub fn iter(&self) -> impl Iterator<Item = &EndpointEntry> {
        self.entries.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut EndpointEntry> {
        self.entries.iter_mut()
    }
}

/// No endpoint exists.
impl Default for EndpointInfo {
    fn default() -> Self {
        Self {
            entries: Box::new([EndpointEntry::ABSENT; layout::ROWS]),
        }
    }
}

/// A packet of either side (usb-redirection-protocol 0.7).
///
/// Packets 100 to 104 carry data one way: from the guest to an OUT endpoint, to the guest from an
/// IN endpoint. That way `length` is the length of the data. The other way there is no data, and
/// `length` is how much is asked for or was taken.
///
/// ```
/// use usb_descriptors::EndpointAddress;
/// use usbredir_proto::codec::{Packet, PacketType, StatusCode};
/// let read = Packet::Bulk {
///     endpoint: EndpointAddress::from_byte(0x81),
///     status: StatusCode::SUCCESS,
///     stream: 0,
///     length: 512,
///     data: Default::default(),
/// };
/// assert_eq!(read.packet_type(), PacketType::BULK_PACKET);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the protocol's")]
#[expect(clippy::exhaustive_enums, reason = "all packets of the protocol")]
pub enum Packet {
    /// Type 0.
    Hello(Hello),
    /// Type 1.
    DeviceConnect(DeviceConnect),
    /// Type 2.
    DeviceDisconnect,
    /// Type 3.
    Reset,
    /// Type 4: at most 32.
    InterfaceInfo(Vec<InterfaceEntry>),
    /// Type 5.
    EndpointInfo(EndpointInfo),
    /// Type 6.
    SetConfiguration { value: u8 },
    /// Type 7.
    GetConfiguration,
    /// Type 8.
    ConfigurationStatus { status: StatusCode, value: u8 },
    /// Type 9.
    SetAltSetting { interface: u8, alternate: u8 },
    /// Type 10.
    GetAltSetting { interface: u8 },
    /// Type 11.
    AltSettingStatus {
        status: StatusCode,
        interface: u8,
        alternate: u8,
    },
    /// Type 12.
    StartIsoStream {
        endpoint: EndpointAddress,
        packets_per_transfer: u8,
        transfers: u8,
    },
    /// Type 13.
    StopIsoStream { endpoint: EndpointAddress },
    /// Type 14.
    IsoStreamStatus {
        status: StatusCode,
        endpoint: EndpointAddress,
    },
    /// Type 15, for an IN endpoint.
    StartInterruptReceiving { endpoint: EndpointAddress },
    /// Type 16, for an IN endpoint.
    StopInterruptReceiving { endpoint: EndpointAddress },
    /// Type 17, for an IN endpoint.
    InterruptReceivingStatus {
        status: StatusCode,
        endpoint: EndpointAddress,
    },
    /// Type 18; endpoints as bits by [`EndpointAddress::index`].
    AllocBulkStreams { endpoints: u32, count: u32 },
    /// Type 19.
    FreeBulkStreams { endpoints: u32 },
    /// Type 20.
    BulkStreamsStatus {
        endpoints: u32,
        count: u32,
        status: StatusCode,
    },
    /// Type 21; the packet's id is that of the request.
    CancelDataPacket,
    /// Type 22.
    FilterReject,
    /// Type 23: the rules, without the NUL that ends them. Whether they are rules is not checked.
    FilterFilter(Bytes),
    /// Type 24.
    DeviceDisconnectAck,
    /// Type 25, for an IN endpoint.
    StartBulkReceiving {
        stream: u32,
        bytes_per_transfer: u32,
        endpoint: EndpointAddress,
        transfers: u8,
    },
    /// Type 26, for an IN endpoint.
    StopBulkReceiving {
        stream: u32,
        endpoint: EndpointAddress,
    },
    /// Type 27, for an IN endpoint.
    BulkReceivingStatus {
        stream: u32,
        endpoint: EndpointAddress,
        status: StatusCode,
    },
    /// Type 100. The direction of `endpoint` says which way the data goes; the setup packet's
    /// length is the packet's.
    Control {
        endpoint: EndpointAddress,
        setup: SetupPacket,
        status: StatusCode,
        data: Segments,
    },
    /// Type 101.
    Bulk {
        endpoint: EndpointAddress,
        status: StatusCode,
        stream: u32,
        length: u32,
        data: Segments,
    },
    /// Type 102; only the way that data goes.
    Iso {
        endpoint: EndpointAddress,
        status: StatusCode,
        length: u16,
        data: Segments,
    },
    /// Type 103; for IN endpoints only the way that data goes.
    Interrupt {
        endpoint: EndpointAddress,
        status: StatusCode,
        length: u16,
        data: Segments,
    },
    /// Type 104, from an IN endpoint.
    BufferedBulk {
        stream: u32,
        endpoint: EndpointAddress,
        status: StatusCode,
        length: u32,
        data: Segments,
    },
}

impl Packet {
    /// Its type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Hello(_) => PacketType::HELLO,
            Self::DeviceConnect(_) => PacketType::DEVICE_CONNECT,
            Self::DeviceDisconnect => PacketType::DEVICE_DISCONNECT,
            Self::Reset => PacketType::RESET,
            Self::InterfaceInfo(_) => PacketType::INTERFACE_INFO,
            Self::EndpointInfo(_) => PacketType::EP_INFO,
            Self::SetConfiguration { .. } => PacketType::SET_CONFIGURATION,
            Self::GetConfiguration => PacketType::GET_CONFIGURATION,
            Self::ConfigurationStatus { .. } => PacketType::CONFIGURATION_STATUS,
            Self::SetAltSetting { .. } => PacketType::SET_ALT_SETTING,
            Self::GetAltSetting { .. } => PacketType::GET_ALT_SETTING,
            Self::AltSettingStatus { .. } => PacketType::ALT_SETTING_STATUS,
            Self::StartIsoStream { .. } => PacketType::START_ISO_STREAM,
            Self::StopIsoStream { .. } => PacketType::STOP_ISO_STREAM,
            Self::IsoStreamStatus { .. } => PacketType::ISO_STREAM_STATUS,
            Self::StartInterruptReceiving { .. } => PacketType::START_INTERRUPT_RECEIVING,
            Self::StopInterruptReceiving { .. } => PacketType::STOP_INTERRUPT_RECEIVING,
            Self::InterruptReceivingStatus { .. } => PacketType::INTERRUPT_RECEIVING_STATUS,
            Self::AllocBulkStreams { .. } => PacketType::ALLOC_BULK_STREAMS,
            Self::FreeBulkStreams { .. } => PacketType::FREE_BULK_STREAMS,
            Self::BulkStreamsStatus { .. } => PacketType::BULK_STREAMS_STATUS,
            Self::CancelDataPacket => PacketType::CANCEL_DATA_PACKET,
            Self::FilterReject => PacketType::FILTER_REJECT,
            Self::FilterFilter(_) => PacketType::FILTER_FILTER,
            Self::DeviceDisconnectAck => PacketType::DEVICE_DISCONNECT_ACK,
            Self::StartBulkReceiving { .. } => PacketType::START_BULK_RECEIVING,
            Self::StopBulkReceiving { .. } => PacketType::STOP_BULK_RECEIVING,
            Self::BulkReceivingStatus { .. } => PacketType::BULK_RECEIVING_STATUS,
            Self::Control { .. } => PacketType::CONTROL_PACKET,
            Self::Bulk { .. } => PacketType::BULK_PACKET,
            Self::Iso { .. } => PacketType::ISO_PACKET,
            Self::Interrupt { .. } => PacketType::INTERRUPT_PACKET,
            Self::BufferedBulk { .. } => PacketType::BUFFERED_BULK_PACKET,
        }
    }
}
