//! A configuration like a webcam's.

use usb_descriptors::ClassCode;
use usb_descriptors::build::{Configuration, Endpoint, Interface};
use usb_descriptors::{EndpointAddress, Speed};

/// Some 1 KiB: video control and streaming with 24 sizes of pictures and 11 settings.
pub fn webcam() -> Vec<u8> {
    let (control_class, streaming_class) = (ClassCode::new(14, 1, 0), ClassCode::new(14, 2, 0));
    let units: [&[u8]; 4] = [
        &[18, 0x24, 2, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 3, 14, 0, 0],
        &[11, 0x24, 5, 2, 1, 0, 0, 2, 0x7f, 0x15, 0],
        &[9, 0x24, 3, 3, 1, 1, 0, 2, 0],
        &[7, 0x24, 4, 4, 1, 2, 0],
    ];
    let total = 13 + units.iter().map(|unit| unit.len()).sum::<usize>();
    let [low, high] = (total as u16).to_le_bytes();
    let header = [13, 0x24, 1, 0, 1, low, high, 0x80, 0xc3, 0xc9, 1, 1, 1];
    let control = units.iter().fold(
        with(Interface::new(0, control_class), &header),
        |interface, unit| with(interface, unit),
    );
    let mut format = vec![27, 0x24, 4, 1, 24];
    format.extend(*b"YUY2\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    format.extend([16, 1, 0, 0, 0, 0]);
    let frames = (1..=24u8).map(|index| {
        let mut frame = vec![30, 0x24, 5, index, 0, 0x80, 2, 0xe0, 1];
        frame.extend([0; 12]);
        frame.extend([0x15, 0x16, 5, 0, 1, 0x15, 0x16, 5, 0]);
        frame
    });
    let frames: Vec<_> = frames.collect();
    let total = 14 + 27 + frames.iter().map(Vec::len).sum::<usize>();
    let [low, high] = (total as u16).to_le_bytes();
    let header = [14, 0x24, 1, 1, low, high, 0x82, 0, 4, 0, 0, 0, 1, 0];
    let streaming = Interface::new(1, streaming_class);
    let described = with(with(streaming.clone(), &header), &format);
    let described = frames.iter().fold(described, |all, frame| with(all, frame));
    let mut configuration = Configuration::new(1)
        .max_power(500)
        .association(0, 2, ClassCode::new(14, 3, 0), 0)
        .interface(control)
        .interface(described);
    for setting in 1..=11 {
        let size = u16::from(setting) * 90;
        let endpoint = Endpoint::isochronous(EndpointAddress::from_byte(0x82), size, 1);
        let next = streaming.clone().alternate_setting(setting);
        configuration = configuration.interface(next.endpoint(endpoint));
    }
    configuration.to_bytes(Speed::High).expect("well-formed")
}

fn with(interface: Interface, descriptor: &[u8]) -> Interface {
    interface.descriptor(descriptor).expect("well-formed")
}
