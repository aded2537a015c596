//! See `fuzz::usbip_server`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(usbip_server);
