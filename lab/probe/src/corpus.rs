//! What `usb-descriptors` makes of a device's descriptors: that nothing is lost, that what is counted
//! is there, and that what is well-formed is built again with the same bytes.

use std::fs;

use usb_descriptors::lint::{Severity, lint};
use usb_descriptors::{Configuration, Descriptors, DeviceBytes, Speed, build};

/// `file` is what sysfs has as `descriptors`, `speed` what it has as `speed`.
pub(crate) fn judge(file: &str, speed: &str) {
    let bytes = fs::read(file).expect("descriptors");
    let speed = match speed {
        "1.5" => Speed::Low,
        "12" => Speed::Full,
        "480" => Speed::High,
        "5000" => Speed::Super,
        "10000" | "20000" => Speed::SuperPlus,
        other => panic!("no such speed: {other}"),
    };
    assert_eq!(joined(Descriptors::new(&bytes)), bytes, "a byte is lost");
    let whole = DeviceBytes::from_run(&bytes);
    let device = whole.device().expect("a device descriptor");
    let configurations: Vec<_> = whole.each_configuration().collect();
    let parts = [whole.device_bytes().unwrap_or(&[])].into_iter();
    let parts: Vec<&[u8]> = parts.chain(configurations.iter().copied()).collect();
    assert_eq!(parts.concat(), bytes, "a byte is lost between the parts");
    let stated = usize::from(device.configuration_count());
    assert_eq!(configurations.len(), stated, "bNumConfigurations");
    let mut errors = Vec::new();
    lint(whole, speed, &mut |finding| {
        if finding.rule.severity() == Severity::Error {
            errors.push(finding.to_string());
        }
    });
    let (mut interfaces, mut endpoints, mut others, mut again) = (0, 0, 0, 0);
    for bytes in configurations {
        let configuration = Configuration::parse(bytes).expect("a configuration");
        let nodes = configuration.nodes().map(|node| node.descriptor());
        assert_eq!(joined(nodes), bytes, "a byte is lost in the tree");
        for node in configuration.nodes() {
            let fields: Vec<_> = node.fields().flat_map(|field| field.bytes()).collect();
            let own = node.descriptor().bytes();
            assert!(own.iter().eq(fields), "a byte is lost in {own:02x?}");
        }
        for interface in configuration.interfaces() {
            let found = interface.endpoints().count();
            assert_eq!(found, usize::from(interface.endpoint_count()), "endpoints");
            interfaces += 1;
            endpoints += found;
        }
        others += configuration.descriptors().count();
        match build::Configuration::read(&configuration, speed).to_bytes(speed) {
            Ok(built) => {
                assert_eq!(built, bytes, "it is built otherwise");
                again += 1;
            }
            Err(error) => assert!(!errors.is_empty(), "it is not built: {error}"),
        }
    }
    let others = others - stated - interfaces - endpoints;
    println!(
        "{stated} configurations, {again} of them built again, {interfaces} settings, {endpoints} \
         endpoints, {others} others"
    );
    for error in errors {
        println!("{error}");
    }
}

fn joined<'a>(descriptors: impl Iterator<Item = usb_descriptors::Descriptor<'a>>) -> Vec<u8> {
    descriptors
        .flat_map(|each| each.bytes().iter().copied())
        .collect()
}
