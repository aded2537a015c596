//! See `fuzz::vhci_status`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(vhci_status);
