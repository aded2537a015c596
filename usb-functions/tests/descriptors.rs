//! The linter finds nothing to say of any device at any speed, but that at full speed it has no
//! other.
#![allow(
    clippy::pedantic,
    clippy::restriction,
    reason = "a test fails by panicking, and its numbers are small"
)]

use usb_descriptors::Speed;
use usb_functions::{Audio, DeviceOptions, Keyboard, Mouse, Serial, Tablet};
use usb_transfer::DeviceDescriptors;

fn expect_clean(name: &str, speed: Speed, descriptors: &DeviceDescriptors) {
    let mut findings = Vec::new();
    descriptors.lint(&mut |finding| {
        findings.push(finding.to_string());
        assert_eq!(
            finding.rule.id(),
            "full-speed-only",
            "{name} at {speed}: {finding}"
        );
    });
    assert_eq!(
        findings.is_empty(),
        speed != Speed::Full,
        "{name} at {speed}: {findings:#?}"
    );
}

#[test]
fn the_linter_is_content() {
    for speed in [
        Speed::Low,
        Speed::Full,
        Speed::High,
        Speed::Super,
        Speed::SuperPlus,
    ] {
        let options = || DeviceOptions::new(speed);
        let keyboard = Keyboard::new(options()).unwrap();
        expect_clean("keyboard", speed, keyboard.descriptors());
        let mouse = Mouse::new(options()).unwrap();
        expect_clean("mouse", speed, mouse.descriptors());
        let tablet = Tablet::new(options()).unwrap();
        expect_clean("tablet", speed, tablet.descriptors());
        if speed != Speed::Low {
            let serial = Serial::new(options()).unwrap();
            expect_clean("serial port", speed, serial.descriptors());
            let audio = Audio::new(options()).unwrap();
            expect_clean("sound card", speed, audio.descriptors());
        }
    }
}
