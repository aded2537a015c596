//! Open code spaces: values without a name are kept.

use core::fmt;

use usb_descriptors::{Speed, TransferType};
use usb_transfer::Status;

use crate::Capabilities;
use crate::codec::Role;

/// How a request ended, on the wire (usb-redirection-protocol 0.7, "Packet status"). In requests it
/// means nothing, and QEMU sends there what memory held.
///
/// ```
/// use usb_transfer::Status;
/// use usbredir_proto::codec::StatusCode;
/// assert_eq!(Status::from(StatusCode::STALL), Status::STALL);
/// assert_eq!(StatusCode::from(Status::DISCONNECTED), StatusCode::IO_ERROR);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct StatusCode(pub u8);

impl StatusCode {
    /// It did what was asked.
    #[doc(alias = "usb_redir_success")]
    pub const SUCCESS: Self = Self(0);
    /// It was cancelled.
    #[doc(alias = "usb_redir_cancelled")]
    pub const CANCELLED: Self = Self(1);
    /// The request makes no sense: no such endpoint, or one of another type.
    #[doc(alias = "usb_redir_inval")]
    pub const INVALID: Self = Self(2);
    /// Something else failed.
    #[doc(alias = "usb_redir_ioerror")]
    pub const IO_ERROR: Self = Self(3);
    /// The endpoint is halted, or the stream has stopped.
    #[doc(alias = "usb_redir_stall")]
    pub const STALL: Self = Self(4);
    /// No answer in time.
    #[doc(alias = "usb_redir_timeout")]
    pub const TIMEOUT: Self = Self(5);
    /// The device sent more than was asked for.
    #[doc(alias = "usb_redir_babble")]
    pub const BABBLE: Self = Self(6);
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusCode({})", self.0)
    }
}

/// What the wire has no word for is an I/O error.
impl From<Status> for StatusCode {
    fn from(status: Status) -> Self {
        match status {
            Status::COMPLETED => Self::SUCCESS,
            Status::CANCELLED => Self::CANCELLED,
            Status::INVALID => Self::INVALID,
            Status::STALL => Self::STALL,
            Status::TIMED_OUT => Self::TIMEOUT,
            Status::OVERFLOW => Self::BABBLE,
            _ => Self::IO_ERROR,
        }
    }
}

/// A value without a name is an error (usb-redirection-protocol 0.7, "Packet status").
impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        match code {
            StatusCode::SUCCESS => Self::COMPLETED,
            StatusCode::CANCELLED => Self::CANCELLED,
            StatusCode::INVALID => Self::INVALID,
            StatusCode::STALL => Self::STALL,
            StatusCode::TIMEOUT => Self::TIMED_OUT,
            StatusCode::BABBLE => Self::OVERFLOW,
            _ => Self::PROTOCOL,
        }
    }
}

/// A speed on the wire (usb-redirection-protocol 0.7, "usb_redir_device_connect").
///
/// ```
/// use usb_descriptors::Speed;
/// use usbredir_proto::codec::SpeedCode;
/// assert_eq!(SpeedCode::from(Speed::SuperPlus), SpeedCode::SUPER);
/// assert_eq!(SpeedCode(255).speed(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct SpeedCode(pub u8);

impl SpeedCode {
    /// Low.
    pub const LOW: Self = Self(0);
    /// Full.
    pub const FULL: Self = Self(1);
    /// High.
    pub const HIGH: Self = Self(2);
    /// SuperSpeed and faster.
    pub const SUPER: Self = Self(3);
    /// Not known.
    pub const UNKNOWN: Self = Self(255);

    /// The speed; `None` where the code has no meaning.
    #[must_use]
    pub const fn speed(self) -> Option<Speed> {
        Some(match self {
            Self::LOW => Speed::Low,
            Self::FULL => Speed::Full,
            Self::HIGH => Speed::High,
            Self::SUPER => Speed::Super,
            _ => return None,
        })
    }
}

impl From<Speed> for SpeedCode {
    fn from(speed: Speed) -> Self {
        match speed {
            Speed::Low => Self::LOW,
            Speed::Full => Self::FULL,
            Speed::High => Self::HIGH,
            Speed::Super | Speed::SuperPlus => Self::SUPER,
            _ => Self::UNKNOWN,
        }
    }
}

/// The type of an endpoint on the wire (usb-redirection-protocol 0.7, "usb_redir_ep_info").
///
/// ```
/// use usb_descriptors::TransferType;
/// use usbredir_proto::codec::EndpointTypeCode;
/// assert_eq!(EndpointTypeCode::from(TransferType::Bulk), EndpointTypeCode(2));
/// assert_eq!(EndpointTypeCode::ABSENT.transfer_type(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct EndpointTypeCode(pub u8);

impl EndpointTypeCode {
    /// There is no such endpoint.
    #[doc(alias = "usb_redir_type_invalid")]
    pub const ABSENT: Self = Self(255);

    /// How it moves data; `None` where it does not exist or the code has no meaning.
    #[must_use]
    pub const fn transfer_type(self) -> Option<TransferType> {
        match self.0 {
            0..=3 => Some(TransferType::from_attributes(self.0)),
            _ => None,
        }
    }
}

impl From<TransferType> for EndpointTypeCode {
    fn from(transfer_type: TransferType) -> Self {
        // The numbers of bmAttributes.
        Self(transfer_type.bits())
    }
}

/// The type of a packet (usb-redirection-protocol 0.7, "Packet types").
///
/// ```
/// use usbredir_proto::codec::PacketType;
/// assert_eq!(PacketType::BULK_PACKET.to_string(), "bulk_packet (101)");
/// assert_eq!(PacketType(99).to_string(), "packet type 99");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an open code space")]
pub struct PacketType(pub u32);

/// Who sends a packet.
#[derive(Clone, Copy)]
enum Sender {
    Both,
    Host,
    Guest,
}

macro_rules! packet_types {
    ($($(#[$attribute:meta])* $name:ident = $code:literal, $spelling:literal, $sender:ident, $capability:ident;)*) => {
        impl PacketType {
            $($(#[$attribute])* pub const $name: Self = Self($code);)*

            const fn row(self) -> Option<(&'static str, Sender, Capabilities)> {
                match self {
                    $(Self::$name => Some(($spelling, Sender::$sender, Capabilities::$capability)),)*
                    _ => None,
                }
            }
        }
    };
}

packet_types! {
    /// The first packet of each side.
    HELLO = 0, "hello", Both, NONE;
    /// There is a device.
    DEVICE_CONNECT = 1, "device_connect", Host, NONE;
    /// It is gone.
    DEVICE_DISCONNECT = 2, "device_disconnect", Host, NONE;
    /// Reset it; there is no reply.
    RESET = 3, "reset", Guest, NONE;
    /// Its interfaces.
    INTERFACE_INFO = 4, "interface_info", Host, NONE;
    /// Its endpoints.
    EP_INFO = 5, "ep_info", Host, NONE;
    /// Select a configuration.
    SET_CONFIGURATION = 6, "set_configuration", Guest, NONE;
    /// Which one is selected?
    GET_CONFIGURATION = 7, "get_configuration", Guest, NONE;
    /// The reply to both.
    CONFIGURATION_STATUS = 8, "configuration_status", Host, NONE;
    /// Select an alternate setting.
    SET_ALT_SETTING = 9, "set_alt_setting", Guest, NONE;
    /// Which one is selected?
    GET_ALT_SETTING = 10, "get_alt_setting", Guest, NONE;
    /// The reply to both.
    ALT_SETTING_STATUS = 11, "alt_setting_status", Host, NONE;
    /// Poll an isochronous endpoint.
    START_ISO_STREAM = 12, "start_iso_stream", Guest, NONE;
    /// No more.
    STOP_ISO_STREAM = 13, "stop_iso_stream", Guest, NONE;
    /// The reply to both, and of itself when the stream has stopped.
    ISO_STREAM_STATUS = 14, "iso_stream_status", Host, NONE;
    /// Poll an interrupt endpoint.
    START_INTERRUPT_RECEIVING = 15, "start_interrupt_receiving", Guest, NONE;
    /// No more.
    STOP_INTERRUPT_RECEIVING = 16, "stop_interrupt_receiving", Guest, NONE;
    /// The reply to both, and of itself when it has stopped.
    INTERRUPT_RECEIVING_STATUS = 17, "interrupt_receiving_status", Host, NONE;
    /// Make streams of bulk endpoints usable.
    ALLOC_BULK_STREAMS = 18, "alloc_bulk_streams", Guest, BULK_STREAMS;
    /// No more.
    FREE_BULK_STREAMS = 19, "free_bulk_streams", Guest, BULK_STREAMS;
    /// The reply to both.
    BULK_STREAMS_STATUS = 20, "bulk_streams_status", Host, BULK_STREAMS;
    /// End the request of this id early.
    CANCEL_DATA_PACKET = 21, "cancel_data_packet", Guest, NONE;
    /// The device is not wanted.
    FILTER_REJECT = 22, "filter_reject", Guest, FILTER;
    /// Which devices are wanted.
    FILTER_FILTER = 23, "filter_filter", Both, FILTER;
    /// The end of the device is known.
    DEVICE_DISCONNECT_ACK = 24, "device_disconnect_ack", Guest, DEVICE_DISCONNECT_ACK;
    /// Poll a bulk endpoint.
    START_BULK_RECEIVING = 25, "start_bulk_receiving", Guest, BULK_RECEIVING;
    /// No more.
    STOP_BULK_RECEIVING = 26, "stop_bulk_receiving", Guest, BULK_RECEIVING;
    /// The reply to both, and of itself when it has stopped.
    BULK_RECEIVING_STATUS = 27, "bulk_receiving_status", Host, BULK_RECEIVING;
    /// A control transfer, or what became of it.
    CONTROL_PACKET = 100, "control_packet", Both, NONE;
    /// A bulk transfer, or what became of it.
    BULK_PACKET = 101, "bulk_packet", Both, NONE;
    /// One packet of an isochronous stream.
    ISO_PACKET = 102, "iso_packet", Both, NONE;
    /// What an interrupt endpoint sent; or a transfer to one, and what became of it.
    INTERRUPT_PACKET = 103, "interrupt_packet", Both, NONE;
    /// What a polled bulk endpoint sent.
    BUFFERED_BULK_PACKET = 104, "buffered_bulk_packet", Host, BULK_RECEIVING;
}

impl PacketType {
    /// Whether data may follow.
    pub(super) const fn is_data(self) -> bool {
        matches!(self.0, 100..=104)
    }

    /// Whether `role` may send it, if both sides have the capability for it.
    pub(super) const fn is_sent_by(self, role: Role) -> bool {
        matches!(
            (self.row(), role),
            (Some((_, Sender::Both, _)), _)
                | (Some((_, Sender::Host, _)), Role::Host)
                | (Some((_, Sender::Guest, _)), Role::Guest)
        )
    }

    /// What both sides must be able to do for it to be sent.
    pub(super) const fn needs(self) -> Capabilities {
        match self.row() {
            Some((_, _, capability)) => capability,
            None => Capabilities::NONE,
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some((name, ..)) => write!(f, "{name} ({})", self.0),
            None => write!(f, "packet type {}", self.0),
        }
    }
}
