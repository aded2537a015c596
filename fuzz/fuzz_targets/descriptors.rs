//! See `fuzz::descriptors`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(descriptors);
