//! See `fuzz::usbredir_guest`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(usbredir_guest);
