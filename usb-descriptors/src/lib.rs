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
mod class;
mod configuration;
mod descriptor;
mod device;
mod error;
mod setup;
mod speed;
mod string;
mod tree;

pub use address::{Direction, EndpointAddress, TransferType};
pub use bos::{Bos, BosCapabilities, Capability, CapabilityType};
pub use class::ClassCode;
pub use configuration::{
    Configuration, ConfigurationAttributes, Endpoint, Endpoints, Interface, Interfaces,
    SuperSpeedCompanion,
};
pub use descriptor::{Descriptor, DescriptorType, Descriptors};
pub use device::{Bcd, Device, DeviceQualifier};
pub use error::DescriptorError;
pub use setup::{Recipient, RequestKind, RequestType, SetupPacket, feature, request};
pub use speed::Speed;
pub use string::{LanguageId, StringDescriptor};
pub use tree::{ConfigurationTree, DeviceLine};
