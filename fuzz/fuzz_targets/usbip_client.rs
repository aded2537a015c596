//! See `fuzz::usbip_client`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(usbip_client);
