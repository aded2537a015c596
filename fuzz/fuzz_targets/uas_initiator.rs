//! See `fuzz::uas_initiator`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(uas_initiator);
