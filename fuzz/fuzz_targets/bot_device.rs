//! See `fuzz::bot_device`.
#![cfg_attr(fuzzing, no_main)]

fuzz::target!(bot_device);
