//! See `fuzz::serial`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(serial);
