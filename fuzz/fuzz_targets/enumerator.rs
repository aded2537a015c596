//! See `fuzz::enumerator`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(enumerator);
