//! The fixed part of each packet, between header and data. Fields that a capability adds stand in
//! a structure of their own, which follows.

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Interfaces and endpoints that the tables have room for.
pub(crate) const ROWS: usize = 32;

macro_rules! layouts {
    ($($(#[$attribute:meta])* $name:ident = $length:literal { $($field:ident: $kind:ty,)* })*) => {$(
        $(#[$attribute])*
        #[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(C)]
        pub(crate) struct $name {
            $(pub(crate) $field: $kind,)*
        }

        const _: () = assert!(size_of::<$name>() == $length);
    )*};
}

layouts! {
    /// `usb_redir_hello`; words of capabilities follow.
    Hello = 64 {
        version: [u8; 64],
    }
    /// `usb_redir_device_connect`
    DeviceConnect = 8 {
        speed: u8,
        class: u8,
        subclass: u8,
        protocol: u8,
        vendor: U16,
        product: U16,
    }
    /// With connect_device_version.
    DeviceVersion = 2 {
        release: U16,
    }
    /// `usb_redir_interface_info`
    InterfaceInfo = 132 {
        count: U32,
        number: [u8; ROWS],
        class: [u8; ROWS],
        subclass: [u8; ROWS],
        protocol: [u8; ROWS],
    }
    /// `usb_redir_ep_info`, by `EndpointAddress::index`
    EndpointInfo = 96 {
        transfer_type: [u8; ROWS],
        interval: [u8; ROWS],
        interface: [u8; ROWS],
    }
    /// With ep_info_max_packet_size.
    EndpointSizes = 64 {
        max_packet_size: [U16; ROWS],
    }
    /// With bulk_streams.
    EndpointStreams = 128 {
        max_streams: [U32; ROWS],
    }
    /// `usb_redir_set_configuration`, `get_alt_setting`, `stop_iso_stream`,
    /// `start_interrupt_receiving`, `stop_interrupt_receiving`: the value, interface or endpoint.
    Byte = 1 {
        value: u8,
    }
    /// `usb_redir_configuration_status`
    ConfigurationStatus = 2 {
        status: u8,
        value: u8,
    }
    /// `usb_redir_set_alt_setting`
    SetAltSetting = 2 {
        interface: u8,
        alternate: u8,
    }
    /// `usb_redir_alt_setting_status`
    AltSettingStatus = 3 {
        status: u8,
        interface: u8,
        alternate: u8,
    }
    /// `usb_redir_start_iso_stream`
    StartIsoStream = 3 {
        endpoint: u8,
        packets: u8,
        transfers: u8,
    }
    /// `usb_redir_iso_stream_status`, `interrupt_receiving_status`
    EndpointStatus = 2 {
        status: u8,
        endpoint: u8,
    }
    /// `usb_redir_alloc_bulk_streams`
    AllocBulkStreams = 8 {
        endpoints: U32,
        count: U32,
    }
    /// `usb_redir_free_bulk_streams`
    FreeBulkStreams = 4 {
        endpoints: U32,
    }
    /// `usb_redir_bulk_streams_status`
    BulkStreamsStatus = 9 {
        endpoints: U32,
        count: U32,
        status: u8,
    }
    /// `usb_redir_start_bulk_receiving`
    StartBulkReceiving = 10 {
        stream: U32,
        bytes: U32,
        endpoint: u8,
        transfers: u8,
    }
    /// `usb_redir_stop_bulk_receiving`
    StopBulkReceiving = 5 {
        stream: U32,
        endpoint: u8,
    }
    /// `usb_redir_bulk_receiving_status`: here the status is last.
    BulkReceivingStatus = 6 {
        stream: U32,
        endpoint: u8,
        status: u8,
    }
    /// `usb_redir_control_packet`: the request stands before its type.
    Control = 10 {
        endpoint: u8,
        request: u8,
        request_type: u8,
        status: u8,
        value: U16,
        index: U16,
        length: U16,
    }
    /// `usb_redir_bulk_packet`
    Bulk = 8 {
        endpoint: u8,
        status: u8,
        length: U16,
        stream: U32,
    }
    /// With 32bits_bulk_length.
    LongBulk = 10 {
        bulk: Bulk,
        length_high: U16,
    }
    /// `usb_redir_iso_packet`, `usb_redir_interrupt_packet`
    Packet = 4 {
        endpoint: u8,
        status: u8,
        length: U16,
    }
    /// `usb_redir_buffered_bulk_packet`
    BufferedBulk = 10 {
        stream: U32,
        length: U32,
        endpoint: u8,
        status: u8,
    }
}
