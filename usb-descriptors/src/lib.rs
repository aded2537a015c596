#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        reason = "a test that overflows fails"
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;

mod address;
mod bos;
pub mod build;
mod bytes;
pub mod class;
mod configuration;
mod descriptor;
mod device;
mod error;
mod layout;
pub mod lint;
mod listing;
mod names;
mod setup;
mod speed;
mod standard;
mod string;
mod tree;
mod walk;

pub use address::{Direction, EndpointAddress, TransferType};
pub use bos::{Bos, BosCapabilities, Capability, CapabilityType, capability};
pub use bytes::{Asked, DeviceBytes, StringBytes};
pub use class::{ClassCode, ClassDescriptor, Placement};
pub use configuration::{
    ClassDescriptors, Configuration, ConfigurationAttributes, Endpoint, Endpoints, Interface,
    Interfaces, SuperSpeedCompanion,
};
pub use descriptor::{Descriptor, DescriptorType, Descriptors};
pub use device::{Bcd, Device, DeviceQualifier};
pub use error::DescriptorError;
pub use layout::{Field, Fields, Layout, Values};
pub use listing::DeviceListing;
pub use setup::{Recipient, RequestKind, RequestType, SetupPacket, feature, request};
pub use speed::Speed;
pub use standard::{
    Debug, Encryption, Eusb2Companion, Hub, InterfaceAssociation, InterfacePower, Key, Otg,
    Security, SuperSpeedHub, SuperSpeedPlusCompanion, WirelessCompanion,
};
pub use string::{LanguageId, StringDescriptor};
pub use tree::{ConfigurationTree, DeviceLine};
pub use walk::{Level, Node, Nodes};
