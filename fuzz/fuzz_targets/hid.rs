//! See `fuzz::hid`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(hid);
