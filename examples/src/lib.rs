#![doc = include_str!("../README.md")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "adapters are where sockets, files, clocks and threads live"
)]

mod address;
mod attach;
mod attachment;
mod bridge;
mod buffer;
mod clock;
mod connections;
mod copy;
mod disk;
mod disk_job;
mod disk_options;
mod driven;
mod failure;
pub mod fat;
mod guest;
mod host;
mod image;
mod import;
mod keeper;
mod keys;
mod kind;
mod listener;
mod local;
mod loopback;
mod motions;
mod offer;
mod origins;
mod passthrough;
mod progress;
mod redirect;
mod redirected;
mod relay;
mod run;
mod said;
mod serial_bridge;
mod server;
pub mod signal;
pub mod simulated;
mod sleeper;
mod sound;
mod stop;
mod store;
mod stream;
mod terminal;
mod trays;
mod vhci;
mod watch;
mod windows;

pub use address::{Address, AddressError, DEFAULT_PORT};
pub use attach::{AttachOptions, Attaching, Command, attach, read_speed};
pub use attachment::Attachment;
pub use bridge::bridge;
pub use clock::{FrameClock, Monotonic, TimeSource};
pub use copy::DiskCopy;
pub use disk::Disk;
pub use disk_job::{DiskJob, ReadDisk, WriteDisk};
pub use disk_options::{DiskOptions, ImageDisk, UnitImage, serial_of};
pub use driven::Driven;
pub use failure::{Failure, say};
pub use guest::{GuestError, take_device};
pub use host::{Host, HostError};
pub use image::{Access, ImageError, RawImage};
pub use import::{ImportError, import, import_from, import_socket, list, patiently};
pub use keeper::Keeper;
pub use keys::{
    Typist, key, strokes, terminal_strokes, type_input, type_terminal, type_to_each, typed_strokes,
};
pub use kind::{Devices, KINDS, Kind, Offered, Wanted};
pub use listener::{Listener, Network, NetworkError, Peer};
pub use local::{Local, LocalDevice};
pub use loopback::{LoopbackError, loopback};
pub use motions::{Motion, follow_mouse, follow_tablet, motion};
pub use offer::{Offers, offer};
pub use origins::{Origin, Origins, Record};
pub use passthrough::{
    ClaimError, Disks, DisksError, FindError, HostApi, Named, Nusb, Passthrough, Physical,
    PhysicalError, PhysicalOptions, PhysicalOptionsError, PluggedDevice, PluggedInterface, Policy,
    PolicyError, ReadOnly, Requests, Selector, SelectorError, Taken, Usbfs, Way,
};
pub use progress::Progress;
pub use redirect::{Redirected, read_capabilities, redirect};
pub use redirected::RedirectedDevice;
pub use relay::{Relay, RelayError};
pub use run::{run, run_until_left};
pub use serial_bridge::{SerialBridge, show_line};
pub use server::{Device, Lease, Server};
pub use sleeper::Sleeper;
pub use sound::sound_files;
pub use stop::Stop;
pub use store::{MemoryStore, Store};
pub use stream::{Stream, StreamError};
pub use terminal::{PseudoTerminal, RawTerminal};
pub use trays::Trays;
pub use vhci::{AttachError, Unavailable, Vhci};
pub use watch::watch;
