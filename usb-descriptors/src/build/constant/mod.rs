//! The builder of devices that never change: configurations as constants, without an allocator.
//!
//! Interfaces, endpoints and class descriptors are slices. [`configuration!`](crate::configuration)
//! makes a constant of them, and what cannot exist, or what the linter calls an error, does not
//! compile.
//!
//! ```
//! use usb_descriptors::build::constant::{Configuration, Endpoint, Interface};
//! use usb_descriptors::{ClassCode, EndpointAddress, Speed};
//!
//! const KEYBOARD: Configuration = Configuration::new(1).max_power(100).interfaces(&[
//!     Interface::new(0, ClassCode::new(3, 1, 1))
//!         .descriptors(&[9, 0x21, 0x11, 1, 0, 1, 0x22, 63, 0])
//!         .endpoints(&[Endpoint::interrupt(EndpointAddress::from_byte(0x81), 8, 64)]),
//! ]);
//! static AT_FULL_SPEED: &[u8] = usb_descriptors::configuration!(KEYBOARD, Speed::Full);
//! static AT_HIGH_SPEED: &[u8] = usb_descriptors::configuration!(KEYBOARD, Speed::High);
//! assert_eq!(AT_FULL_SPEED.len(), 9 + 9 + 9 + 7);
//! assert_eq!(AT_HIGH_SPEED.last(), Some(&7)); // 2^(7-1) microframes
//! ```
//!
//! Without its HID descriptor it is none:
//!
//! ```compile_fail
//! use usb_descriptors::build::constant::{Configuration, Endpoint, Interface};
//! use usb_descriptors::{ClassCode, EndpointAddress, Speed};
//!
//! const KEYBOARD: Configuration = Configuration::new(1).interfaces(&[
//!     Interface::new(0, ClassCode::new(3, 1, 1))
//!         .endpoints(&[Endpoint::interrupt(EndpointAddress::from_byte(0x81), 8, 64)]),
//! ]);
//! // error: an interface of class HID has no HID descriptor
//! static AT_FULL_SPEED: &[u8] = usb_descriptors::configuration!(KEYBOARD, Speed::Full);
//! ```

mod class;

use super::BuildError;
use super::fields::{
    ConfigurationFields, EndpointFields, InterfaceFields, Size, Synchronization, Usage,
    association, check_class_run, clamped, configuration_methods, endpoint_methods,
    interface_methods,
};
use crate::lint::{Rule, rules};
use crate::{ClassCode, DescriptorType, EndpointAddress, Speed, TransferType};

/// A configuration as a constant: `configuration!(CONFIGURATION, SPEED)` is a `&'static [u8]`. What
/// cannot exist at that speed does not compile: [`build::constant`](crate::build::constant).
#[macro_export]
macro_rules! configuration {
    ($configuration:expr, $speed:expr) => {{
        const CONFIGURATION: $crate::build::constant::Configuration<'static> = $configuration;
        const LENGTH: usize = CONFIGURATION.length($speed);
        const BYTES: [u8; LENGTH] = match CONFIGURATION.to_array($speed) {
            Ok(bytes) => bytes,
            Err(error) => panic!("{}", error.explanation()),
        };
        &BYTES as &[u8]
    }};
}

/// A configuration that never changes (USB 2.0, table 9-10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Configuration<'a> {
    fields: ConfigurationFields,
    interfaces: &'a [Interface<'a>],
}

impl<'a> Configuration<'a> {
    configuration_methods!();

    const fn of(fields: ConfigurationFields) -> Self {
        let interfaces = &[];
        Self { fields, interfaces }
    }

    /// Its interfaces, each alternate setting of each.
    #[must_use]
    pub const fn interfaces(mut self, interfaces: &'a [Interface<'a>]) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// How many bytes it has at a speed.
    #[must_use]
    pub const fn length(&self, speed: Speed) -> usize {
        let mut length = crate::Configuration::LENGTH;
        let mut interfaces = self.interfaces;
        while let [interface, others @ ..] = interfaces {
            length = length.saturating_add(interface.length(speed));
            interfaces = others;
        }
        length
    }

    /// Its `N` bytes at a speed; [`length`](Self::length) tells how many there are.
    ///
    /// # Errors
    /// [`BuildError`] where no such configuration can exist at this speed, or has another length.
    pub const fn to_array<const N: usize>(&self, speed: Speed) -> Result<[u8; N], BuildError> {
        let mut bytes = [0; N];
        match self.write(DescriptorType::CONFIGURATION, speed, &mut bytes) {
            Ok(found) if found == N => Ok(bytes),
            Ok(found) => Err(BuildError::TooLong { found, limit: N }),
            Err(error) => Err(error),
        }
    }

    /// Writes it to the start of `to`, as [`DescriptorType::CONFIGURATION`] or, what it would be
    /// at `speed`, as [`DescriptorType::OTHER_SPEED_CONFIGURATION`] (USB 2.0, 9.6.4), and tells how
    /// long it is.
    ///
    /// # Errors
    /// [`BuildError`] where no such configuration can exist at this speed, or there is no room.
    pub const fn write(
        &self,
        kind: DescriptorType,
        speed: Speed,
        to: &mut [u8],
    ) -> Result<usize, BuildError> {
        let (found, limit) = (self.length(speed), to.len());
        if found > limit {
            return Err(BuildError::TooLong { found, limit });
        }
        if let Err(error) = self.check_distinct() {
            return Err(error);
        }
        let own = match self.fields.own(kind, speed, self.count_interfaces(), found) {
            Ok(own) => own,
            Err(error) => return Err(error),
        };
        let mut offset = put(to, 0, &own);
        let mut interfaces = self.interfaces;
        while let [interface, others @ ..] = interfaces {
            let at = offset;
            offset = match interface.write(speed, to, offset) {
                Ok(offset) => offset,
                Err(error) => return Err(error),
            };
            if let Some(rule) = class::broken_rule(interface, self.interfaces) {
                return Err(BuildError::Lint { rule, offset: at });
            }
            interfaces = others;
        }
        Ok(offset)
    }

    /// Interfaces, whatever their settings.
    const fn count_interfaces(&self) -> usize {
        let mut count = 0usize;
        let mut interfaces = self.interfaces;
        while let [interface, others @ ..] = interfaces {
            // Each by its last setting.
            if !has_number(others, interface.fields.number) {
                count = count.saturating_add(1);
            }
            interfaces = others;
        }
        count
    }

    const fn check_distinct(&self) -> Result<(), BuildError> {
        let mut interfaces = self.interfaces;
        while let [interface, others @ ..] = interfaces {
            let fields = &interface.fields;
            let mut endpoints = interface.endpoints;
            while let [endpoint, siblings @ ..] = endpoints {
                let address = endpoint.fields.address;
                if address.is_control() {
                    return Err(BuildError::ControlEndpoint);
                }
                if has_address(siblings, address) {
                    return Err(BuildError::DuplicateEndpoint {
                        address,
                        interface: fields.number,
                    });
                }
                endpoints = siblings;
            }
            let mut later = others;
            while let [other, rest @ ..] = later {
                if other.fields.number != fields.number {
                    let mut endpoints = interface.endpoints;
                    while let [endpoint, siblings @ ..] = endpoints {
                        let address = endpoint.fields.address;
                        if has_address(other.endpoints, address) {
                            return Err(BuildError::DuplicateEndpoint {
                                address,
                                interface: other.fields.number,
                            });
                        }
                        endpoints = siblings;
                    }
                } else if other.fields.alternate == fields.alternate {
                    return Err(BuildError::DuplicateSetting {
                        interface: fields.number,
                        alternate: fields.alternate,
                    });
                }
                later = rest;
            }
            interfaces = others;
        }
        Ok(())
    }
}

const fn has_number(mut interfaces: &[Interface<'_>], number: u8) -> bool {
    while let [interface, others @ ..] = interfaces {
        if interface.fields.number == number {
            return true;
        }
        interfaces = others;
    }
    false
}

const fn has_address(mut endpoints: &[Endpoint<'_>], address: EndpointAddress) -> bool {
    while let [endpoint, others @ ..] = endpoints {
        if endpoint.fields.address.to_byte() == address.to_byte() {
            return true;
        }
        endpoints = others;
    }
    false
}

/// One alternate setting of an interface that never changes (USB 2.0, table 9-12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interface<'a> {
    fields: InterfaceFields,
    association: Option<[u8; 8]>,
    descriptors: &'a [u8],
    endpoints: &'a [Endpoint<'a>],
}

impl<'a> Interface<'a> {
    interface_methods!();

    const fn of(fields: InterfaceFields) -> Self {
        Self {
            fields,
            association: None,
            descriptors: &[],
            endpoints: &[],
        }
    }

    /// Puts an interface association before it: `count` interfaces in sequence from this one on are
    /// one function (USB 3.2, 9.6.4).
    #[must_use]
    pub const fn association(mut self, count: u8, class: ClassCode, string: u8) -> Self {
        self.association = Some(association(self.fields.number, count, class, string));
        self
    }

    /// The descriptors of its class, before the endpoints, one after the other.
    #[must_use]
    pub const fn descriptors(mut self, descriptors: &'a [u8]) -> Self {
        self.descriptors = descriptors;
        self
    }

    /// Its endpoints.
    #[must_use]
    pub const fn endpoints(mut self, endpoints: &'a [Endpoint<'a>]) -> Self {
        self.endpoints = endpoints;
        self
    }

    const fn length(&self, speed: Speed) -> usize {
        let own = crate::Interface::LENGTH.saturating_add(self.descriptors.len());
        let mut length = match self.association {
            Some(association) => own.saturating_add(association.len()),
            None => own,
        };
        let mut endpoints = self.endpoints;
        while let [endpoint, others @ ..] = endpoints {
            length = length.saturating_add(endpoint.length(speed));
            endpoints = others;
        }
        length
    }

    const fn write(
        &self,
        speed: Speed,
        to: &mut [u8],
        mut offset: usize,
    ) -> Result<usize, BuildError> {
        if let Some(association) = &self.association {
            offset = put(to, offset, association);
        }
        match self.fields.own(self.endpoints.len()) {
            Ok(own) => offset = put(to, offset, &own),
            Err(error) => return Err(error),
        }
        if let Err(error) = check_class_run(self.descriptors) {
            return Err(error);
        }
        offset = put(to, offset, self.descriptors);
        let mut endpoints = self.endpoints;
        while let [endpoint, others @ ..] = endpoints {
            if let Some(rule) = endpoint.broken_rule(speed) {
                return Err(BuildError::Lint { rule, offset });
            }
            offset = match endpoint.write(speed, to, offset) {
                Ok(offset) => offset,
                Err(error) => return Err(error),
            };
            endpoints = others;
        }
        Ok(offset)
    }
}

/// An endpoint that never changes (USB 2.0, table 9-13; USB 3.2, table 9-27).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint<'a> {
    fields: EndpointFields,
    audio: Option<[u8; 2]>,
    descriptors: &'a [u8],
}

impl<'a> Endpoint<'a> {
    endpoint_methods!();

    const fn of(fields: EndpointFields) -> Self {
        Self {
            fields,
            audio: None,
            descriptors: &[],
        }
    }

    /// The two bytes more that endpoints have in audio class 1 (UAC 1.0, table 4-20): the rate of
    /// a feedback endpoint, and the feedback endpoint of this one, 0 for none.
    #[must_use]
    pub const fn audio(mut self, refresh: u8, synch_address: u8) -> Self {
        self.audio = Some([refresh, synch_address]);
        self
    }

    /// The descriptors of the class behind it, one after the other.
    #[must_use]
    pub const fn descriptors(mut self, descriptors: &'a [u8]) -> Self {
        self.descriptors = descriptors;
        self
    }

    const fn length(&self, speed: Speed) -> usize {
        let companion = if speed.is_super() { 6usize } else { 0 };
        let audio = if self.audio.is_some() { 2usize } else { 0 };
        let own = crate::Endpoint::LENGTH.saturating_add(audio);
        let own = own.saturating_add(companion);
        own.saturating_add(self.descriptors.len())
    }

    const fn write(
        &self,
        speed: Speed,
        to: &mut [u8],
        mut offset: usize,
    ) -> Result<usize, BuildError> {
        let extension = if self.audio.is_some() { 2 } else { 0 };
        match self.fields.own(speed, extension) {
            Ok(own) => offset = put(to, offset, &own),
            Err(error) => return Err(error),
        }
        if let Some(audio) = &self.audio {
            offset = put(to, offset, audio);
        }
        if speed.is_super() {
            match self.fields.companion(speed) {
                Ok(companion) => offset = put(to, offset, &companion),
                Err(error) => return Err(error),
            }
        }
        if let Err(error) = check_class_run(self.descriptors) {
            return Err(error);
        }
        Ok(put(to, offset, self.descriptors))
    }

    /// Rules that the parts of an endpoint break together.
    const fn broken_rule(&self, speed: Speed) -> Option<&'static Rule> {
        if !speed.is_super() {
            return None;
        }
        let attributes = self.fields.companion_attributes;
        match TransferType::from_attributes(self.fields.attributes) {
            // What streams are to a bulk endpoint, is Mult to an isochronous one.
            TransferType::Isochronous if attributes & 3 > 2 => Some(&rules::COMPANION_MULT),
            TransferType::Interrupt if attributes != 0 => Some(&rules::COMPANION_MULT),
            // Only what is read can announce one.
            _ if class::has_plus_companion(self.descriptors) => Some(&rules::PLUS_COMPANION),
            _ => None,
        }
    }
}

/// Copies `bytes` to an offset, and tells where they end. The lengths were added up before.
const fn put(to: &mut [u8], offset: usize, bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        #[expect(
            clippy::arithmetic_side_effects,
            clippy::indexing_slicing,
            reason = "`write` has seen that there is room for `length`"
        )]
        {
            to[offset + at] = bytes[at];
            at += 1;
        }
    }
    offset.saturating_add(at)
}
