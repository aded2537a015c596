//! What the library writes: its function for each type of packet.

use std::ffi::c_int;
use std::ptr;

use crate::filter::Rule;
use crate::{Oracle, Parser, fixed_length};

macro_rules! senders {
    (
        $dispatch:ident($id:ident, $fixed:ident, $data:ident, $length:ident);
        $($code:literal => $name:ident($($argument:ident: $kind:ty),*);)*
    ) => {
        unsafe extern "C" {
            $(fn $name(parser: *mut Parser $(, $argument: $kind)*);)*
        }

        /// # Safety
        /// `$fixed` is as long as the type's structure, and `$data` as it says.
        unsafe fn $dispatch(
            packet_type: u32,
            parser: *mut Parser,
            $id: u64,
            $fixed: *mut u8,
            $data: *mut u8,
            $length: c_int,
        ) {
            match packet_type {
                // SAFETY: as the caller promises; the library only reads.
                $($code => unsafe { $name(parser $(, $argument)*) },)*
                other => panic!("packets of type {other} are not sent by this"),
            }
        }
    };
}

senders! {
    dispatch(id, fixed, data, length);
    1 => usbredirparser_send_device_connect(fixed: *mut u8);
    2 => usbredirparser_send_device_disconnect();
    3 => usbredirparser_send_reset();
    4 => usbredirparser_send_interface_info(fixed: *mut u8);
    5 => usbredirparser_send_ep_info(fixed: *mut u8);
    6 => usbredirparser_send_set_configuration(id: u64, fixed: *mut u8);
    7 => usbredirparser_send_get_configuration(id: u64);
    8 => usbredirparser_send_configuration_status(id: u64, fixed: *mut u8);
    9 => usbredirparser_send_set_alt_setting(id: u64, fixed: *mut u8);
    10 => usbredirparser_send_get_alt_setting(id: u64, fixed: *mut u8);
    11 => usbredirparser_send_alt_setting_status(id: u64, fixed: *mut u8);
    12 => usbredirparser_send_start_iso_stream(id: u64, fixed: *mut u8);
    13 => usbredirparser_send_stop_iso_stream(id: u64, fixed: *mut u8);
    14 => usbredirparser_send_iso_stream_status(id: u64, fixed: *mut u8);
    15 => usbredirparser_send_start_interrupt_receiving(id: u64, fixed: *mut u8);
    16 => usbredirparser_send_stop_interrupt_receiving(id: u64, fixed: *mut u8);
    17 => usbredirparser_send_interrupt_receiving_status(id: u64, fixed: *mut u8);
    18 => usbredirparser_send_alloc_bulk_streams(id: u64, fixed: *mut u8);
    19 => usbredirparser_send_free_bulk_streams(id: u64, fixed: *mut u8);
    20 => usbredirparser_send_bulk_streams_status(id: u64, fixed: *mut u8);
    21 => usbredirparser_send_cancel_data_packet(id: u64);
    22 => usbredirparser_send_filter_reject();
    25 => usbredirparser_send_start_bulk_receiving(id: u64, fixed: *mut u8);
    26 => usbredirparser_send_stop_bulk_receiving(id: u64, fixed: *mut u8);
    27 => usbredirparser_send_bulk_receiving_status(id: u64, fixed: *mut u8);
    100 => usbredirparser_send_control_packet(id: u64, fixed: *mut u8, data: *mut u8, length: c_int);
    101 => usbredirparser_send_bulk_packet(id: u64, fixed: *mut u8, data: *mut u8, length: c_int);
    102 => usbredirparser_send_iso_packet(id: u64, fixed: *mut u8, data: *mut u8, length: c_int);
    103 => usbredirparser_send_interrupt_packet(id: u64, fixed: *mut u8, data: *mut u8, length: c_int);
    104 => usbredirparser_send_buffered_bulk_packet(id: u64, fixed: *mut u8, data: *mut u8, length: c_int);
}

unsafe extern "C" {
    fn usbredirparser_send_filter_filter(parser: *mut Parser, rules: *const Rule, count: c_int);
}

impl Oracle {
    /// Queues a packet of any type but hello, rules and device_disconnect_ack, with the fixed part as in
    /// [`Seen`](crate::Seen).
    pub fn send(&mut self, packet_type: u32, id: u64, fixed: &[u8], data: &[u8]) {
        assert_eq!(fixed.len(), fixed_length(packet_type));
        let length = c_int::try_from(data.len()).expect("short enough");
        // No data is a null pointer, or it is refused.
        let data = if data.is_empty() {
            ptr::null()
        } else {
            data.as_ptr()
        };
        let (fixed, data) = (fixed.as_ptr().cast_mut(), data.cast_mut());
        // SAFETY: the parser is alive; header and data are as long as they should be.
        unsafe { dispatch(packet_type, self.state.parser, id, fixed, data, length) };
    }

    /// Queues rules: a packet of type 23.
    pub fn send_rules(&mut self, rules: &[Rule]) {
        let count = c_int::try_from(rules.len()).expect("few");
        // SAFETY: the parser is alive; there are as many rules as are counted, which are only read.
        unsafe { usbredirparser_send_filter_filter(self.state.parser, rules.as_ptr(), count) };
    }
}
