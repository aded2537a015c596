//! See `fuzz::audio`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(audio);
