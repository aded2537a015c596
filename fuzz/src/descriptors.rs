//! Every way of reading descriptors, on any bytes.
//!
//! Invariants: the flat walk gives every byte exactly once, and only its last piece may be
//! incomplete; the nodes of a configuration are the flat walk, and the fields of each are its
//! bytes, whatever class it is taken for; a finding lies in what it is about; groups lie inside their parent, in order and apart;
//! reading and printing never fails otherwise than by saying so.

use usb_descriptors::class::hid::ReportItems;
use usb_descriptors::lint::{Subject, lint};
use usb_descriptors::{
    Asked, Bos, ClassCode, ClassDescriptor, Configuration, ConfigurationTree, Descriptor,
    Descriptors, Device, DeviceBytes, DeviceLine, DeviceListing, DeviceQualifier, Endpoint, Fields,
    Interface, LanguageId, Placement, Speed, StringBytes, StringDescriptor,
};

const SPEEDS: [Speed; 5] = [
    Speed::Low,
    Speed::Full,
    Speed::High,
    Speed::Super,
    Speed::SuperPlus,
];

/// Runs the target: the input is the descriptors.
pub fn run(input: &[u8]) {
    walk(input);
    let report: Vec<u8> = ReportItems::new(input)
        .flat_map(|item| item.bytes().to_vec())
        .collect();
    assert_eq!(report, input, "every byte of a report");
    device(input);
    // A typed view looks at the start; let each descriptor of the run be the start once.
    let starts = Descriptors::new(input).map(|descriptor| descriptor.offset());
    for at in starts.take(64) {
        views(&input[at..]);
    }
}

fn walk(run: &[u8]) {
    let mut walked = 0;
    let mut is_over = false;
    let mut descriptors = Descriptors::new(run);
    while let Some(descriptor) = descriptors.next() {
        assert!(!is_over, "only the last is incomplete");
        assert_eq!(descriptor.offset(), walked);
        assert!(!descriptor.bytes().is_empty());
        assert_eq!(
            descriptor.bytes(),
            &run[walked..][..descriptor.bytes().len()]
        );
        walked += descriptor.bytes().len();
        assert_eq!(descriptors.rest(), &run[walked..]);
        is_over = !descriptor.is_complete();
        let _ = descriptor.descriptor_type().map(|kind| kind.to_string());
    }
    assert_eq!(walked, run.len(), "every byte");
    assert!(descriptors.next().is_none());
}

/// The input as sysfs would have it; and as a device says it that was asked for everything, once
/// with all of it and once with only what cannot be absent.
fn device(input: &[u8]) {
    let bytes = DeviceBytes::from_run(input);
    let configurations: Vec<&[u8]> = bytes.each_configuration().collect();
    let length: usize = configurations.iter().map(|each| each.len()).sum();
    assert!(length <= input.len());
    listed(bytes);
    let strings: Vec<StringBytes<'_>> = (0..8)
        .zip(Descriptors::new(input))
        .map(|(index, descriptor)| StringBytes {
            index,
            language: LanguageId::NONE,
            bytes: descriptor.bytes(),
        })
        .collect();
    let asked = bytes
        .other_speed_configurations(&configurations)
        .strings(&strings);
    listed(asked.bos(Some(input)).qualifier(Some(input)));
    listed(asked.bos(None).qualifier(None).strings(&[]));
}

fn listed(bytes: DeviceBytes<'_>) {
    for speed in SPEEDS {
        let _ = DeviceListing::new(bytes, speed).to_string();
        lint(bytes, speed, &mut |finding| {
            let subject = match finding.subject {
                Subject::Configuration(index) => bytes.each_configuration().nth(index),
                Subject::OtherSpeed(index) => bytes.each_other_speed().nth(index),
                Subject::Device => bytes.device_bytes(),
                Subject::Bos => said(bytes.bos_bytes()),
                Subject::Qualifier => said(bytes.qualifier_bytes()),
                Subject::String(index) => {
                    let mut strings = bytes.known_strings().into_iter().flatten();
                    let string = strings.find(|string| string.index == index);
                    string.map(|string| string.bytes)
                }
                other => panic!("of what is this: {other}"),
            };
            // Of a device that nobody described, that it is missing may still be told.
            let length = subject.map_or(0, <[u8]>::len);
            assert!(finding.range().end <= length, "{finding}");
            let _ = finding.to_string();
        });
    }
}

fn said(asked: Asked<'_>) -> Option<&[u8]> {
    match asked {
        Asked::Bytes(bytes) => Some(bytes),
        Asked::Unknown | Asked::Absent => None,
    }
}

/// The classes that have descriptors of their own.
const CLASSES: [ClassCode; 14] = [
    ClassCode::new(1, 1, 0),
    ClassCode::new(1, 2, 0),
    ClassCode::new(1, 1, 0x20),
    ClassCode::new(1, 2, 0x20),
    ClassCode::new(1, 1, 0x30),
    ClassCode::new(1, 2, 0x30),
    ClassCode::new(1, 3, 0),
    ClassCode::new(2, 2, 1),
    ClassCode::new(3, 1, 1),
    ClassCode::new(8, 6, 0x62),
    ClassCode::new(0x0b, 0, 0),
    ClassCode::new(0x0e, 1, 0),
    ClassCode::new(0x0e, 2, 0),
    ClassCode::new(0xfe, 1, 2),
];

fn classes(descriptor: Descriptor<'_>) {
    for class in CLASSES {
        for placement in [Placement::Interface, Placement::Endpoint] {
            let read = ClassDescriptor::read(class, placement, descriptor);
            assert_eq!(read.bytes(), descriptor.bytes());
            fields(read.fields(), descriptor.bytes());
            let _ = format!("{read:?}");
        }
    }
}

fn fields(fields: Fields<'_>, bytes: &[u8]) {
    let mut joined = 0;
    for field in fields {
        assert_eq!(field.offset(), joined);
        assert_eq!(field.bytes(), &bytes[joined..][..field.bytes().len()]);
        joined += field.bytes().len();
        let _ = (field.to_string(), field.meaning(), field.flags().count());
    }
    assert_eq!(joined, bytes.len(), "every byte of a descriptor");
}

fn views(bytes: &[u8]) {
    if let Some(first) = Descriptors::new(bytes).next() {
        classes(first);
    }
    if let Ok(device) = Device::parse(bytes) {
        let _ = (DeviceLine(device).to_string(), format!("{device:?}"));
    }
    if let Ok(qualifier) = DeviceQualifier::parse(bytes) {
        let _ = (format!("{qualifier:?}"), qualifier.configuration_count());
    }
    if let Ok(string) = StringDescriptor::parse(bytes) {
        let text = string.to_string();
        assert_eq!(text.chars().count(), string.chars().count());
        assert!(string.languages().count() * 2 <= bytes.len());
    }
    if let Ok(bos) = Bos::parse(bytes) {
        assert!(lies_in(bos.descriptors().rest(), bytes));
        let bodies: usize = bos.capabilities().map(|each| each.body().len() + 3).sum();
        assert!(bodies <= bytes.len());
        let _ = format!("{bos:?} {}", bos.capability_count());
    }
    if let Ok(configuration) = Configuration::parse(bytes) {
        read_configuration(&configuration, bytes);
    }
}

fn read_configuration(configuration: &Configuration<'_>, bytes: &[u8]) {
    assert!(lies_in(configuration.bytes(), bytes));
    walk(configuration.bytes());
    let mut flat = configuration.descriptors();
    for node in configuration.nodes() {
        assert_eq!(flat.next(), Some(node.descriptor()));
        fields(node.fields(), node.descriptor().bytes());
        let _ = format!("{:?}", node.class_descriptor());
    }
    assert_eq!(flat.next(), None);
    let mut interfaces = Apart::new(configuration.bytes());
    for interface in configuration.interfaces() {
        interfaces.next(interface.bytes());
        read_interface(&interface);
        let found = configuration.interface(interface.number(), interface.alternate_setting());
        let found = found.expect("it is there");
        assert!(
            found.bytes().as_ptr() <= interface.bytes().as_ptr(),
            "the first of its name"
        );
    }
    for speed in SPEEDS {
        let _ = ConfigurationTree::new(*configuration, speed).to_string();
        let _ = configuration.max_power(speed);
    }
    let _ = format!("{configuration:?}");
}

fn read_interface(interface: &Interface<'_>) {
    walk(interface.bytes());
    let mut endpoints = Apart::new(interface.bytes());
    for endpoint in interface.endpoints() {
        endpoints.next(endpoint.bytes());
        read_endpoint(&endpoint);
    }
    let _ = (format!("{interface:?}"), interface.class().to_string());
}

fn read_endpoint(endpoint: &Endpoint<'_>) {
    let address = endpoint.address();
    assert!(address.number() <= 15 && address.index() < 32);
    assert!(endpoint.max_packet_size() <= 0x7ff);
    assert!((1..=4).contains(&endpoint.transactions_per_microframe()));
    for speed in SPEEDS {
        let _ = endpoint.interval(speed);
    }
    if let Some(companion) = endpoint.companion() {
        assert!((1..=256).contains(&companion.packets_per_burst()));
        assert!(companion.max_streams() <= 1 << 31);
        let _ = (format!("{companion:?}"), companion.bytes_per_interval());
    }
    let _ = format!("{endpoint:?}");
}

fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    whole.as_ptr_range().start <= part.as_ptr()
        && part.as_ptr_range().end <= whole.as_ptr_range().end
}

/// Parts of a whole that must follow each other.
struct Apart<'a> {
    rest: &'a [u8],
}

impl<'a> Apart<'a> {
    fn new(whole: &'a [u8]) -> Self {
        Self { rest: whole }
    }

    fn next(&mut self, part: &[u8]) {
        assert!(lies_in(part, self.rest), "in order and apart");
        let skipped = part.as_ptr_range().end as usize - self.rest.as_ptr() as usize;
        self.rest = &self.rest[skipped..];
    }
}
