//! See `fuzz::usbip_handshake`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(usbip_handshake);
