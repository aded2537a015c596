//! Configurations and interfaces to build.

use alloc::vec::Vec;

use super::endpoint::append;
use super::fields::{
    ConfigurationFields, InterfaceFields, association, configuration_methods, interface_methods,
};
use super::{BuildError, Endpoint};
use crate::lint::{Severity, lint};
use crate::{ClassCode, DescriptorType, Descriptors, DeviceBytes, Speed};

/// A configuration to build (USB 2.0, table 9-10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Configuration {
    fields: ConfigurationFields,
    /// Behind the configuration descriptor itself, and in an OTG device before the interfaces.
    descriptors: Vec<u8>,
    interfaces: Vec<Interface>,
}

impl Configuration {
    configuration_methods!();

    const fn of(fields: ConfigurationFields) -> Self {
        Self {
            fields,
            descriptors: Vec::new(),
            interfaces: Vec::new(),
        }
    }

    /// Adds an interface association before the interface that is added next: `count` interfaces
    /// in sequence from `first` on are one function (USB 3.2, 9.6.4).
    #[must_use]
    pub fn association(mut self, first: u8, count: u8, class: ClassCode, string: u8) -> Self {
        self.keep(&association(first, count, class, string));
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
        built.fields.string = configuration.string();
        built.fields.self_powered = attributes.self_powered();
        built.fields.remote_wakeup = attributes.remote_wakeup();
        built.fields.max_power = configuration.max_power(speed);
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
        self.check_distinct()?;
        let mut numbers: Vec<u8> = (self.interfaces.iter())
            .map(|each| each.fields.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        // The total is known at the end.
        let mut bytes = Vec::from(self.fields.own(kind, speed, numbers.len(), 0)?);
        bytes.extend(&self.descriptors);
        for interface in &self.interfaces {
            interface.encode(speed, &mut bytes)?;
        }
        let own = self.fields.own(kind, speed, numbers.len(), bytes.len())?;
        if let Some(first) = bytes.first_chunk_mut() {
            *first = own;
        }
        check(&bytes, speed)?;
        Ok(bytes)
    }

    fn check_distinct(&self) -> Result<(), BuildError> {
        for (at, interface) in self.interfaces.iter().enumerate() {
            let earlier = self.interfaces.get(..at).unwrap_or(&[]);
            let number = interface.fields.number;
            if earlier
                .iter()
                .any(|other| other.setting() == interface.setting())
            {
                let alternate = interface.fields.alternate;
                return Err(BuildError::DuplicateSetting {
                    interface: number,
                    alternate,
                });
            }
            for (at, endpoint) in interface.endpoints.iter().enumerate() {
                let address = endpoint.fields.address;
                if address.is_control() {
                    return Err(BuildError::ControlEndpoint);
                }
                let siblings = interface.endpoints.get(..at).unwrap_or(&[]);
                let others = earlier.iter().filter(|other| other.fields.number != number);
                let mut described = siblings
                    .iter()
                    .chain(others.flat_map(|other| &other.endpoints));
                if described.any(|other| other.fields.address == address) {
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
    fields: InterfaceFields,
    /// Of its class, before the endpoints.
    descriptors: Vec<u8>,
    endpoints: Vec<Endpoint>,
    /// Behind the endpoints: associations of what follows.
    behind: Vec<u8>,
}

impl Interface {
    interface_methods!();

    const fn of(fields: InterfaceFields) -> Self {
        Self {
            fields,
            descriptors: Vec::new(),
            endpoints: Vec::new(),
            behind: Vec::new(),
        }
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
        built.fields.alternate = interface.alternate_setting();
        built.fields.string = interface.string();
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
        (self.fields.number, self.fields.alternate)
    }

    fn encode(&self, speed: Speed, bytes: &mut Vec<u8>) -> Result<(), BuildError> {
        bytes.extend(self.fields.own(self.endpoints.len())?);
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
