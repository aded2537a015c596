//! See `fuzz::initiator`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(initiator);
