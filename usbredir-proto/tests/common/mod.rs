//! A device with an endpoint of each kind.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod bench;
pub mod host_bench;

use bytes::Bytes;
use usb_descriptors::build::Device;
use usb_descriptors::{EndpointAddress, Speed};
use usb_transfer::DeviceDescriptors;

pub const BULK_IN: u8 = 0x81;
pub const BULK_OUT: u8 = 0x02;
pub const INTERRUPT_IN: u8 = 0x83;
pub const ISO_IN: u8 = 0x84;
pub const ISO_OUT: u8 = 0x05;
pub const INTERRUPT_OUT: u8 = 0x06;

pub fn address(byte: u8) -> EndpointAddress {
    EndpointAddress::from_byte(byte)
}

/// One of each, in two settings of one interface: the second has no isochronous endpoints.
#[rustfmt::skip]
const CONFIGURATION: [u8; 90] = [
    9, 2, 90, 0, 1, 1, 0, 0x80, 50,
    9, 4, 0, 0, 6, 0xff, 0, 0, 0,
    7, 5, BULK_IN, 2, 0, 2, 0,
    7, 5, BULK_OUT, 2, 0, 2, 0,
    7, 5, INTERRUPT_IN, 3, 8, 0, 4,
    7, 5, ISO_IN, 1, 100, 0, 1,
    7, 5, ISO_OUT, 1, 100, 0, 1,
    7, 5, INTERRUPT_OUT, 3, 8, 0, 4,
    9, 4, 0, 1, 3, 0xff, 0, 0, 0,
    7, 5, BULK_IN, 2, 0, 2, 0,
    7, 5, BULK_OUT, 2, 0, 2, 0,
    7, 5, INTERRUPT_IN, 3, 8, 0, 4,
];

pub fn descriptors() -> DeviceDescriptors {
    let device = Device::new(0x1209, 1).to_bytes(Speed::High);
    let mut descriptors = DeviceDescriptors::new(Speed::High, device);
    let configuration = Bytes::from_static(&CONFIGURATION);
    descriptors.configurations.push(configuration);
    descriptors
}
