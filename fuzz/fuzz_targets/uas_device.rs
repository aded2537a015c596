//! See `fuzz::uas_device`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(uas_device);
