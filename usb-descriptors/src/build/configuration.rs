//! Configurations and interfaces to build.

use alloc::vec::Vec;

use super::endpoint::append;
use super::{BuildError, Endpoint};
use crate::lint::{Severity, lint};
use crate::{ClassCode, DescriptorType, Descriptors, DeviceBytes, Speed};

/// A configuration to build (USB 2.0, table 9-10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    value: u8,
    string: u8,
    self_powered: bool,
    remote_wakeup: bool,
    max_power: u16,
    /// Behind the configuration descriptor itself, and in an OTG device before the interfaces.
    descriptors: Vec<u8>,
    interfaces: Vec<Interface>,
}

impl Configuration {
    /// A bus-powered configuration without interfaces; `value` is what selects it, not 0.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self {
            value,
            string: 0,
            self_powered: false,
            remote_wakeup: false,
            max_power: 0,
            descriptors: Vec::new(),
            interfaces: Vec::new(),
        }
    }

    /// Index of its string.
    #[must_use]
    pub const fn string(mut self, index: u8) -> Self {
        self.string = index;
        self
    }

    /// The device has power of its own.
    #[must_use]
    pub const fn self_powered(mut self) -> Self {
        self.self_powered = true;
        self
    }

    /// The device can wake the host.
    #[must_use]
    pub const fn remote_wakeup(mut self) -> Self {
        self.remote_wakeup = true;
        self
    }

    /// What it draws from the bus, in mA; rounded up to the unit of the speed.
    #[must_use]
    pub const fn max_power(mut self, milliamperes: u16) -> Self {
        self.max_power = milliamperes;
        self
    }

    /// Adds an interface association before the interface that is added next: `count` interfaces
    /// in sequence from `first` on are one function (USB 3.2, 9.6.4).
    #[must_use]
    pub fn association(mut self, first: u8, count: u8, class: ClassCode, string: u8) -> Self {
        let ClassCode {
            class,
            subclass,
            protocol,
        } = class;
        let kind = DescriptorType::INTERFACE_ASSOCIATION.0;
        let bytes = [8, kind, first, count, class, subclass, protocol, string];
        self.keep(&bytes);
        self
    }

    /// Adds an alternate setting of an interface.
    #[must_use]
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interfaces.push(interface);
        self
    }

    /// What a configuration was built from at a speed: built again for that speed, it has the
    /// same bytes, if it is well-formed.
    #[must_use]
    pub fn read(configuration: &crate::Configuration<'_>, speed: Speed) -> Self {
        let attributes = configuration.attributes();
        let mut built = Self::new(configuration.value());
        built.string = configuration.string();
        built.self_powered = attributes.self_powered();
        built.remote_wakeup = attributes.remote_wakeup();
        built.max_power = configuration.max_power(speed);
        let whole = configuration.bytes();
        let own = Descriptors::new(whole)
            .next()
            .map_or(0, |first| first.bytes().len());
        let mut end = own;
        for interface in configuration.interfaces() {
            let at = interface
                .bytes()
                .as_ptr()
                .addr()
                .saturating_sub(whole.as_ptr().addr());
            let between = whole.get(end..at).unwrap_or(&[]);
            built.keep(between);
            built.interfaces.push(Interface::read(&interface, speed));
            end = at.saturating_add(interface.bytes().len());
        }
        built.keep(whole.get(end..).unwrap_or(&[]));
        built
    }

    /// Bytes between interfaces: behind the one before.
    fn keep(&mut self, bytes: &[u8]) {
        let place = match self.interfaces.last_mut() {
            Some(interface) => &mut interface.behind,
            None => &mut self.descriptors,
        };
        place.extend(bytes);
    }

    /// The configuration with all that belongs to it, at a speed.
    ///
    /// # Errors
    /// [`BuildError`] where no such configuration can exist at this speed.
    pub fn to_bytes(&self, speed: Speed) -> Result<Vec<u8>, BuildError> {
        self.encode(DescriptorType::CONFIGURATION, speed)
    }

    /// The same as an other-speed configuration: what it would be at `speed`, told at the other
    /// of full and high speed (USB 2.0, 9.6.4).
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_other_speed_bytes(&self, speed: Speed) -> Result<Vec<u8>, BuildError> {
        self.encode(DescriptorType::OTHER_SPEED_CONFIGURATION, speed)
    }

    fn encode(&self, kind: DescriptorType, speed: Speed) -> Result<Vec<u8>, BuildError> {
        if self.value == 0 {
            return Err(BuildError::ConfigurationValue);
        }
        self.check_distinct()?;
        let mut numbers: Vec<u8> = self.interfaces.iter().map(|each| each.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let count = u8::try_from(numbers.len()).map_err(|_| BuildError::TooLong {
            found: numbers.len(),
            limit: 255,
        })?;
        let attributes =
            0x80 | u8::from(self.self_powered) << 6 | u8::from(self.remote_wakeup) << 5;
        let mut bytes = Vec::from([
            9,
            kind.0,
            0,
            0,
            count,
            self.value,
            self.string,
            attributes,
            self.power_field(speed)?,
        ]);
        bytes.extend(&self.descriptors);
        for interface in &self.interfaces {
            interface.encode(speed, &mut bytes)?;
        }
        let total = u16::try_from(bytes.len()).map_err(|_| BuildError::TooLong {
            found: bytes.len(),
            limit: 0xffff,
        })?;
        if let Some(field) = bytes.get_mut(2..4) {
            field.copy_from_slice(&total.to_le_bytes());
        }
        check(&bytes, speed)?;
        Ok(bytes)
    }

    fn power_field(&self, speed: Speed) -> Result<u8, BuildError> {
        let (unit, limit) = if speed.is_super() { (8, 900) } else { (2, 500) };
        let refused = BuildError::MaxPower {
            found: self.max_power,
            limit,
            speed,
        };
        // 900 mA are 112.5 units of 8 mA.
        let units = self.max_power.div_ceil(unit);
        if units > limit.div_ceil(unit) {
            return Err(refused);
        }
        u8::try_from(units).map_err(|_| refused)
    }

    fn check_distinct(&self) -> Result<(), BuildError> {
        for (at, interface) in self.interfaces.iter().enumerate() {
            let earlier = self.interfaces.get(..at).unwrap_or(&[]);
            let number = interface.number;
            if earlier
                .iter()
                .any(|other| other.setting() == interface.setting())
            {
                let alternate = interface.alternate;
                return Err(BuildError::DuplicateSetting {
                    interface: number,
                    alternate,
                });
            }
            for (at, endpoint) in interface.endpoints.iter().enumerate() {
                let address = endpoint.address;
                if address.is_control() {
                    return Err(BuildError::ControlEndpoint);
                }
                let siblings = interface.endpoints.get(..at).unwrap_or(&[]);
                let others = earlier.iter().filter(|other| other.number != number);
                let mut described = siblings
                    .iter()
                    .chain(others.flat_map(|other| &other.endpoints));
                if described.any(|other| other.address == address) {
                    return Err(BuildError::DuplicateEndpoint {
                        address,
                        interface: number,
                    });
                }
            }
        }
        Ok(())
    }
}

/// One alternate setting of an interface to build (USB 2.0, table 9-12).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    number: u8,
    alternate: u8,
    class: ClassCode,
    string: u8,
    /// Of its class, before the endpoints.
    descriptors: Vec<u8>,
    endpoints: Vec<Endpoint>,
    /// Behind the endpoints: associations of what follows.
    behind: Vec<u8>,
}

impl Interface {
    /// Alternate setting 0 of interface `number`, without endpoints.
    #[must_use]
    pub const fn new(number: u8, class: ClassCode) -> Self {
        Self {
            number,
            alternate: 0,
            class,
            string: 0,
            descriptors: Vec::new(),
            endpoints: Vec::new(),
            behind: Vec::new(),
        }
    }

    /// Which alternate setting this is.
    #[must_use]
    pub const fn alternate_setting(mut self, alternate: u8) -> Self {
        self.alternate = alternate;
        self
    }

    /// Index of its string.
    #[must_use]
    pub const fn string(mut self, index: u8) -> Self {
        self.string = index;
        self
    }

    /// Adds a descriptor of its class, before the endpoints.
    ///
    /// # Errors
    /// [`BuildError::DescriptorLength`] where it does not state its own length,
    /// [`BuildError::StandardDescriptor`] where it is none of a class.
    pub fn descriptor(mut self, descriptor: &[u8]) -> Result<Self, BuildError> {
        append(&mut self.descriptors, descriptor)?;
        Ok(self)
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    fn read(interface: &crate::Interface<'_>, speed: Speed) -> Self {
        let mut built = Self::new(interface.number(), interface.class());
        built.alternate = interface.alternate_setting();
        built.string = interface.string();
        let whole = interface.bytes();
        let mut end = interface.own_bytes().len();
        for endpoint in interface.endpoints() {
            let at = endpoint
                .bytes()
                .as_ptr()
                .addr()
                .saturating_sub(whole.as_ptr().addr());
            if built.endpoints.is_empty() {
                built.descriptors = whole.get(end..at).unwrap_or(&[]).into();
            }
            built.endpoints.push(Endpoint::read(&endpoint, speed));
            end = at.saturating_add(endpoint.bytes().len());
        }
        let rest = whole.get(end..).unwrap_or(&[]);
        if built.endpoints.is_empty() {
            built.descriptors = rest.into();
        } else {
            built.behind = rest.into();
        }
        built
    }

    const fn setting(&self) -> (u8, u8) {
        (self.number, self.alternate)
    }

    fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) -> Result<(), BuildError> {
        let found = self.endpoints.len();
        let count = u8::try_from(found).map_err(|_| BuildError::TooLong { found, limit: 255 })?;
        let ClassCode {
            class,
            subclass,
            protocol,
        } = self.class;
        let kind = DescriptorType::INTERFACE.0;
        bytes.extend([
            9,
            kind,
            self.number,
            self.alternate,
            count,
            class,
            subclass,
            protocol,
            self.string,
        ]);
        bytes.extend(&self.descriptors);
        self.endpoints
            .iter()
            .try_for_each(|endpoint| endpoint.encode(speed, bytes))?;
        bytes.extend(&self.behind);
        Ok(())
    }
}

/// What was built is what the linter finds no error in.
fn check(bytes: &[u8], speed: Speed) -> Result<(), BuildError> {
    let mut first = None;
    lint(DeviceBytes::from_run(bytes), speed, &mut |finding| {
        if finding.rule.severity() == Severity::Error && first.is_none() {
            first = Some(BuildError::Lint {
                rule: finding.rule,
                offset: finding.offset,
            });
        }
    });
    first.map_or(Ok(()), Err)
}
