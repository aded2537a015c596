//! See `fuzz::usbredir_host`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(usbredir_host);
