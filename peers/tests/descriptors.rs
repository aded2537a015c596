//! Descriptors that others recorded or make: nothing of them is lost, nusb's parser and
//! usb-protocol see the same, and what the linter finds no error in is built again byte for byte.
//! `PEERS_CORPUS` names a list of them: `ci/check corpus` makes one.

use std::collections::BTreeSet;

use usb_descriptors::lint::{Severity, lint};
use usb_descriptors::{Configuration, DeviceBytes, Speed, build};

#[derive(Default)]
struct Seen {
    devices: usize,
    configurations: usize,
    built: usize,
    fields: usize,
}

#[test]
#[ignore = "ci/check corpus makes the list"]
fn descriptors_of_others() {
    let list = std::env::var("PEERS_CORPUS").expect("PEERS_CORPUS names a list");
    let list = std::fs::read_to_string(list).unwrap();
    let mut seen = Seen::default();
    let mut run_before = Vec::new();
    for line in list.lines() {
        match *line.split(' ').collect::<Vec<_>>() {
            ["field", bytes, name, value] => {
                field(&run_before, &hex(bytes), name, value.parse().unwrap());
                seen.fields += 1;
            }
            [name, speed, run] => {
                run_before = hex(run);
                device(name, speed_of(speed), &run_before, &mut seen);
            }
            _ => panic!("{line}"),
        }
    }
    println!(
        "{} devices, {} configurations, {} of them built again, {} fields",
        seen.devices, seen.configurations, seen.built, seen.fields
    );
    assert!(seen.built > 0, "something is well-formed");
}

fn device(name: &str, speed: Speed, run: &[u8], seen: &mut Seen) {
    seen.devices += 1;
    let device = DeviceBytes::from_run(run);
    let mut errors = Vec::new();
    lint(device, speed, &mut |finding| {
        if finding.rule.severity() == Severity::Error {
            errors.push(finding.rule.id());
        }
    });
    println!("{name}: {} bytes, {errors:?}", run.len());
    let own = device.device_bytes().unwrap_or(&[]);
    let all: Vec<u8> = [own]
        .into_iter()
        .chain(device.each_configuration())
        .flatten()
        .copied()
        .collect();
    assert_eq!(
        all, run,
        "{name}: every byte is of the device or of one configuration"
    );
    if let Some(device) = device.device() {
        let theirs = nusb::descriptors::DeviceDescriptor::new(own).unwrap();
        assert_eq!(device.vendor_id(), theirs.vendor_id());
        assert_eq!(device.product_id(), theirs.product_id());
        let count = usize::from(device.configuration_count());
        let there = DeviceBytes::from_run(run).each_configuration().count();
        assert_eq!(count, there, "{name}");
    }
    for bytes in device.each_configuration() {
        seen.configurations += 1;
        nothing_is_lost(bytes);
        both_see_the_same(name, bytes);
        let read = Configuration::parse(bytes).unwrap();
        let built = build::Configuration::read(&read, speed).to_bytes(speed);
        if errors.is_empty() {
            assert_eq!(built.as_deref(), Ok(bytes), "{name}");
            seen.built += 1;
        }
    }
}

fn nothing_is_lost(bytes: &[u8]) {
    let configuration = Configuration::parse(bytes).unwrap();
    let mut flat = Vec::new();
    for node in configuration.nodes() {
        let descriptor = node.descriptor();
        assert_eq!(descriptor.offset(), flat.len());
        let fields: Vec<u8> = node
            .fields()
            .flat_map(|field| field.bytes().to_vec())
            .collect();
        assert_eq!(fields, descriptor.bytes());
        flat.extend(fields);
    }
    assert_eq!(flat, configuration.bytes());
}

fn both_see_the_same(name: &str, bytes: &[u8]) {
    let ours = Configuration::parse(bytes).unwrap();
    // It takes none that is cut short, and is told the length of what is there.
    let mut whole = bytes.to_vec();
    whole[2..4].copy_from_slice(&(bytes.len() as u16).to_le_bytes());
    let theirs = nusb::descriptors::ConfigurationDescriptor::new(&whole).unwrap();
    assert_eq!(ours.value(), theirs.configuration_value(), "{name}");
    assert_eq!(ours.interface_count(), theirs.num_interfaces(), "{name}");
    let ours: Vec<_> = ours
        .interfaces()
        .map(|interface| {
            let endpoints: Vec<_> = interface
                .endpoints()
                .map(|endpoint| {
                    let behind = endpoint.descriptors().count() - 1;
                    let size = usize::from(endpoint.max_packet_size());
                    (
                        endpoint.address().to_byte(),
                        endpoint.attributes(),
                        size,
                        behind,
                    )
                })
                .collect();
            let identity = (interface.number(), interface.alternate_setting());
            (
                identity,
                interface.class().class,
                interface.descriptors().count() - 1,
                endpoints,
            )
        })
        .collect();
    let theirs: Vec<_> = theirs
        .interface_alt_settings()
        .map(|interface| {
            let endpoints: Vec<_> = interface
                .endpoints()
                .map(|endpoint| {
                    let behind = endpoint.descriptors().count();
                    let size = endpoint.max_packet_size();
                    (endpoint.address(), endpoint.attributes(), size, behind)
                })
                .collect();
            let identity = (interface.interface_number(), interface.alternate_setting());
            (
                identity,
                interface.class(),
                interface.descriptors().count(),
                endpoints,
            )
        })
        .collect();
    assert_eq!(ours, theirs, "{name}");
    let numbers: BTreeSet<_> = ours.iter().map(|(identity, ..)| identity.0).collect();
    let stated = Configuration::parse(bytes).unwrap().interface_count();
    assert_eq!(numbers.len(), usize::from(stated), "{name}");
}

/// That all descriptors of these bytes have a field of that name and value.
fn field(run: &[u8], bytes: &[u8], name: &str, value: u32) {
    let configuration = DeviceBytes::from_run(run).each_configuration().next();
    let configuration = Configuration::parse(configuration.unwrap()).unwrap();
    let mut found = 0;
    for node in configuration.nodes() {
        if node.descriptor().bytes() == bytes {
            let field = node.fields().find(|field| field.name() == name);
            let field = field.unwrap_or_else(|| panic!("{bytes:02x?} has no {name}"));
            assert_eq!(field.value(), Some(value), "{name} of {bytes:02x?}");
            found += 1;
        }
    }
    assert!(found > 0, "{bytes:02x?} is not found");
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

fn speed_of(name: &str) -> Speed {
    match name {
        "low" => Speed::Low,
        "full" => Speed::Full,
        "high" => Speed::High,
        "super" => Speed::Super,
        _ => panic!("{name}"),
    }
}
