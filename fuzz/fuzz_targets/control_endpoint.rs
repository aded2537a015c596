//! See `fuzz::control_endpoint`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(control_endpoint);
