//! Rules of a configuration, its interfaces and associations.

use super::{At, ByteSet, Linter, Subject, rules};
use crate::{
    Configuration, DescriptorType, Field, Interface, InterfaceAssociation, Level, Node,
    TransferType,
};

impl Linter<'_, '_> {
    pub(super) fn configuration(&mut self, bytes: &[u8]) {
        self.configuration_type(bytes);
        let parsed = Configuration::parse(bytes);
        let Some(configuration) = parsed.ok().or_else(|| Configuration::unread(bytes)) else {
            self.alone(bytes);
            return;
        };
        if let Ok(readable) = parsed {
            self.configuration_fields(&readable, bytes);
        }
        self.run(configuration.bytes());
        let mut associations = 0u32;
        let mut seen_interface = false;
        for node in configuration.nodes() {
            let at = At::of(node.descriptor().bytes(), bytes);
            let kind = node.descriptor().descriptor_type();
            seen_interface |= kind == Some(DescriptorType::INTERFACE);
            self.node(&node, seen_interface, at);
            if kind == Some(DescriptorType::INTERFACE_ASSOCIATION) {
                associations = associations.saturating_add(1);
            }
        }
        if associations > 16 {
            self.find_values(
                &rules::TOO_MANY,
                At::all(bytes),
                Some(associations),
                Some(16),
            );
        }
        self.endpoints(&configuration, bytes);
        let stated = parsed.ok().map(|readable| readable.interface_count());
        self.interfaces(&configuration, stated, bytes);
        self.associations(&configuration, bytes);
        self.classes(&configuration, bytes);
    }

    fn configuration_type(&mut self, bytes: &[u8]) {
        let [_, kind, ..] = *bytes else {
            let (found, expected) = (bytes.len(), Configuration::LENGTH);
            let (found, expected) = (u32::try_from(found).ok(), u32::try_from(expected).ok());
            self.find_values(&rules::LENGTH_TOO_SHORT, At::all(bytes), found, expected);
            return;
        };
        let (found, other) = (
            DescriptorType(kind),
            DescriptorType::OTHER_SPEED_CONFIGURATION,
        );
        let is_other = matches!(self.subject, Subject::OtherSpeed(_));
        let (rule, expected) = if is_other {
            (&rules::OTHER_SPEED_TYPE, other)
        } else {
            (&rules::CONFIGURATION_TYPE, DescriptorType::CONFIGURATION)
        };
        // Dumps have those of the other speed among the configurations.
        if found != expected && (is_other || found != other) {
            let at = At {
                offset: 1,
                length: 1,
            };
            let (found, expected) = (u32::from(kind), u32::from(expected.0));
            self.find_values(rule, at, Some(found), Some(expected));
        }
    }

    fn configuration_fields(&mut self, configuration: &Configuration<'_>, bytes: &[u8]) {
        let at = |offset| At { offset, length: 1 };
        self.total(configuration.total_length(), bytes);
        let attributes = configuration.attributes().bits();
        if attributes & 0x80 == 0 {
            let found = Some(u32::from(attributes));
            self.find_values(&rules::ATTRIBUTES_BIT_7, at(7), found, None);
        }
        if attributes & 0x1f != 0 {
            let found = Some(u32::from(attributes));
            self.find_values(&rules::ATTRIBUTES_RESERVED, at(7), found, None);
        }
        // 900 mA are 112.5 units of 8 mA.
        let (limit, unit) = if self.speed.is_super() {
            (900, 8)
        } else {
            (500, 2)
        };
        let power = u32::from(configuration.max_power(self.speed));
        if power.saturating_sub(limit) >= unit {
            self.find_values(&rules::MAX_POWER, at(8), Some(power), Some(limit));
        }
        self.string_index(configuration.string(), at(6));
    }

    fn node(&mut self, node: &Node<'_>, seen_interface: bool, at: At) {
        let descriptor = node.descriptor();
        let kind = descriptor.descriptor_type();
        let is_fetched_alone = matches!(
            kind,
            Some(
                DescriptorType::DEVICE
                    | DescriptorType::CONFIGURATION
                    | DescriptorType::DEVICE_QUALIFIER
                    | DescriptorType::OTHER_SPEED_CONFIGURATION
                    | DescriptorType::BOS
                    | DescriptorType::STRING
            )
        );
        if is_fetched_alone && node.level() != Level::Configuration {
            self.find(&rules::NESTED_DESCRIPTOR, at);
            return;
        }
        if !descriptor.is_complete() {
            return;
        }
        if kind == Some(DescriptorType::ENDPOINT) && !seen_interface {
            self.find(&rules::ENDPOINT_BEFORE_INTERFACE, at);
        }
        if kind == Some(DescriptorType::SUPERSPEED_COMPANION)
            && node.level() != Level::EndpointDetail
        {
            self.find(&rules::COMPANION_MISPLACED, at);
        }
        let Some(layout) = node.layout() else {
            return;
        };
        if node.level() == Level::Configuration
            && !matches!(
                kind,
                Some(DescriptorType::CONFIGURATION | DescriptorType::OTHER_SPEED_CONFIGURATION)
            )
        {
            // It is something else, which has its finding.
            return;
        }
        self.layout(layout, descriptor.bytes(), at);
        if node.level() > Level::Configuration {
            for field in node.fields().filter(Field::is_string_index) {
                let index = field.bytes().first().copied().unwrap_or(0);
                let offset = at.offset.saturating_add(field.offset());
                self.string_index(index, At { offset, length: 1 });
            }
        }
    }

    /// With the number of interfaces that the configuration states, where that can be read.
    fn interfaces(&mut self, configuration: &Configuration<'_>, stated: Option<u8>, bytes: &[u8]) {
        let mut numbers = ByteSet::default();
        for interface in configuration.interfaces() {
            let at = At::of(interface.own_bytes(), bytes);
            let found = interface.endpoints().count();
            if found != usize::from(interface.endpoint_count()) {
                let stated = Some(u32::from(interface.endpoint_count()));
                let expected = u32::try_from(found).ok();
                self.find_values(&rules::ENDPOINT_COUNT, at, stated, expected);
            }
            if found > 30 {
                let found = u32::try_from(found).ok();
                self.find_values(&rules::TOO_MANY, at, found, Some(30));
            }
            if numbers.insert(interface.number()) {
                self.settings(configuration, &interface, at);
            }
        }
        let at = At {
            offset: 4,
            length: 1,
        };
        if let Some(stated) = stated
            .map(u32::from)
            .filter(|&stated| stated != numbers.len())
        {
            let expected = Some(numbers.len());
            self.find_values(&rules::INTERFACE_COUNT, at, Some(stated), expected);
        }
        if !numbers.is_dense() {
            self.find(&rules::INTERFACE_NUMBER, At::all(bytes));
        }
        if numbers.len() > 32 {
            self.find_values(&rules::TOO_MANY, at, Some(numbers.len()), Some(32));
        }
    }

    /// The alternate settings of the interface that `first` is the first of.
    fn settings(&mut self, configuration: &Configuration<'_>, first: &Interface<'_>, at: At) {
        let mut settings = ByteSet::default();
        let number = first.number();
        let same = configuration
            .interfaces()
            .filter(|interface| interface.number() == number);
        for interface in same {
            if !settings.insert(interface.alternate_setting()) {
                let at = At::of(interface.own_bytes(), configuration.bytes());
                let found = Some(u32::from(interface.alternate_setting()));
                self.find_values(&rules::SETTING_DUPLICATE, at, found, None);
            }
        }
        if !settings.is_dense() {
            self.find(&rules::SETTING_GAP, at);
        }
        if settings.len() > 128 {
            self.find_values(&rules::TOO_MANY, at, Some(settings.len()), Some(128));
        }
    }

    fn associations(&mut self, configuration: &Configuration<'_>, bytes: &[u8]) {
        let mut numbers = ByteSet::default();
        for interface in configuration.interfaces() {
            numbers.insert(interface.number());
        }
        let mut taken = ByteSet::default();
        let mut first = None;
        for association in configuration.associations() {
            let at = At::of(association.bytes(), bytes);
            first.get_or_insert(at);
            let mut is_absent = association.interface_count() == 0;
            let mut is_shared = false;
            for number in members(&association) {
                is_absent |= !numbers.contains(number);
                is_shared |= !taken.insert(number);
            }
            if is_absent {
                self.find(&rules::ASSOCIATION_RANGE, at);
            }
            if is_shared {
                self.find(&rules::ASSOCIATION_OVERLAP, at);
            }
        }
        if let (Some(at), Some(device)) = (first, self.device.device()) {
            let class = device.class();
            if (class.class, class.subclass, class.protocol) != (0xef, 2, 1) {
                self.find(&rules::ASSOCIATION_CLASS, at);
            }
        }
        self.functions_without_association(configuration, &numbers, &taken, bytes);
    }

    /// Control interfaces that work with others: video, audio from class 2 on, and in a device of
    /// several functions, communications.
    fn functions_without_association(
        &mut self,
        configuration: &Configuration<'_>,
        numbers: &ByteSet,
        taken: &ByteSet,
        bytes: &[u8],
    ) {
        let device_class = self
            .device
            .device()
            .map_or(0, |device| device.class().class);
        for interface in configuration.interfaces() {
            let class = interface.class();
            let needs = match (class.class, class.subclass, class.protocol) {
                (0x0e, 1, _) | (0x01, 1, 0x20 | 0x30) => numbers.len() > 1,
                (0x02, ..) => device_class != 0x02 && numbers.len() > 2,
                _ => false,
            };
            let is_first = interface.alternate_setting() == 0;
            if needs && is_first && !taken.contains(interface.number()) {
                let at = At::of(interface.own_bytes(), bytes);
                self.find(&rules::ASSOCIATION_MISSING, at);
            }
        }
    }
}

fn members(association: &InterfaceAssociation<'_>) -> impl Iterator<Item = u8> + use<> {
    let first = association.first_interface();
    (0..association.interface_count()).map(move |at| first.wrapping_add(at))
}

/// Whether an alternate setting has an endpoint of a type.
pub(super) fn endpoints_of(interface: &Interface<'_>, kind: TransferType, is_in: bool) -> usize {
    use crate::Direction;
    let direction = if is_in { Direction::In } else { Direction::Out };
    interface
        .endpoints()
        .filter(|each| each.transfer_type() == kind && each.address().direction() == direction)
        .count()
}
