//! Every way of reading descriptors, on any bytes.
//!
//! Invariants: the flat walk gives every byte exactly once, and only its last piece may be
//! incomplete; groups lie inside their parent, in order and apart; reading and printing never
//! fails otherwise than by saying so.

use usb_descriptors::{
    Bos, Configuration, ConfigurationTree, Descriptors, Device, DeviceLine, DeviceQualifier,
    Endpoint, Interface, Speed, StringDescriptor,
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

fn views(bytes: &[u8]) {
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
