//! The rules of classes that are errors, for constants. What the linter says of them when the
//! program runs is said here when it is compiled; `tests/constant.rs` holds the two together.

use super::{Endpoint, Interface};
use crate::build::fields::split;
use crate::layout::{Field, little_endian, same};
use crate::lint::{Rule, rules};
use crate::{
    ClassCode, DescriptorType, EndpointAddress, Layout, Placement, TransferType, class, standard,
};

/// The first rule that an interface breaks by its class descriptors.
pub(super) const fn broken_rule(
    interface: &Interface<'_>,
    all: &[Interface<'_>],
) -> Option<&'static Rule> {
    let code = interface.fields.class;
    if has_short(interface.descriptors, code, Placement::Interface) {
        return Some(&rules::LENGTH_TOO_SHORT);
    }
    let mut endpoints = interface.endpoints;
    while let [endpoint, others @ ..] = endpoints {
        if has_short(endpoint.descriptors, code, Placement::Endpoint) {
            return Some(&rules::LENGTH_TOO_SHORT);
        }
        endpoints = others;
    }
    let of_class = match (code.class, code.subclass, code.protocol) {
        (0x03, ..) => hid(interface),
        (0x08, _, 0x50) if !is_pair(interface.endpoints) => Some(&rules::BOT_ENDPOINTS),
        (0x08, _, 0x62) if !are_pipes(interface.endpoints) => Some(&rules::PIPE_USAGE),
        (0x0e, 0x02, _) if lacks_intervals(interface.descriptors) => Some(&rules::FRAME_INTERVALS),
        (0x01 | 0x0e, ..) => entities(interface),
        _ => None,
    };
    if of_class.is_some() {
        return of_class;
    }
    named_interfaces(interface, all)
}

pub(super) const fn has_plus_companion(mut run: &[u8]) -> bool {
    while let Some((descriptor, behind)) = split(run) {
        if kind(descriptor).0 == DescriptorType::SUPERSPEED_PLUS_COMPANION.0 {
            return true;
        }
        run = behind;
    }
    false
}

const fn kind(descriptor: &[u8]) -> DescriptorType {
    match descriptor {
        [_, kind, ..] => DescriptorType(*kind),
        _ => DescriptorType(0),
    }
}

/// What a descriptor is made of where it stands, however short it is.
const fn layout(
    code: ClassCode,
    placement: Placement,
    descriptor: &[u8],
) -> Option<&'static Layout> {
    match standard::layout(kind(descriptor)) {
        Some(layout) => Some(layout),
        None => class::layout(code, placement, descriptor),
    }
}

const fn has_short(mut run: &[u8], code: ClassCode, placement: Placement) -> bool {
    while let Some((descriptor, behind)) = split(run) {
        if let Some(layout) = layout(code, placement, descriptor) {
            if descriptor.len() < layout.minimum() {
                return true;
            }
        }
        run = behind;
    }
    false
}

/// Whether a size of pictures has fewer intervals than it states.
const fn lacks_intervals(mut run: &[u8]) -> bool {
    while let Some((descriptor, behind)) = split(run) {
        if matches!(descriptor, [_, 0x24, ..]) && class::video::lacks_intervals(descriptor) {
            return true;
        }
        run = behind;
    }
    false
}

/// The HID descriptor, before the endpoints or, as in HID 1.00, behind one.
const fn hid(interface: &Interface<'_>) -> Option<&'static Rule> {
    let mut found = first_of(interface.descriptors, 0x21);
    let mut endpoints = interface.endpoints;
    while let (None, [endpoint, others @ ..]) = (found, endpoints) {
        found = first_of(endpoint.descriptors, 0x21);
        endpoints = others;
    }
    let Some(descriptor) = found else {
        return Some(&rules::HID_MISSING);
    };
    let mut entries = match descriptor.split_at_checked(6) {
        Some((_, entries)) => entries,
        None => &[],
    };
    while let [kind, low, high, others @ ..] = entries {
        if *kind == 0x22 {
            return match u16::from_le_bytes([*low, *high]) {
                1..=4096 => None,
                _ => Some(&rules::HID_REPORT_LENGTH),
            };
        }
        entries = others;
    }
    Some(&rules::HID_REPORT_LENGTH)
}

const fn first_of(mut run: &[u8], code: u8) -> Option<&[u8]> {
    while let Some((descriptor, behind)) = split(run) {
        if kind(descriptor).0 == code {
            return Some(descriptor);
        }
        run = behind;
    }
    None
}

/// Exactly one bulk endpoint each way.
const fn is_pair(mut endpoints: &[Endpoint<'_>]) -> bool {
    let (mut inward, mut outward) = (0usize, 0usize);
    while let [endpoint, others @ ..] = endpoints {
        let fields = &endpoint.fields;
        let is_bulk = matches!(
            TransferType::from_attributes(fields.attributes),
            TransferType::Bulk
        );
        if is_bulk {
            if is_in(fields.address) {
                inward = inward.saturating_add(1);
            } else {
                outward = outward.saturating_add(1);
            }
        }
        endpoints = others;
    }
    inward == 1 && outward == 1
}

const fn is_in(address: EndpointAddress) -> bool {
    address.to_byte() & 0x80 != 0
}

/// Each endpoint one of the pipes 1 to 4, each once.
const fn are_pipes(mut endpoints: &[Endpoint<'_>]) -> bool {
    let mut seen = 0u8;
    while let [endpoint, others @ ..] = endpoints {
        let bit = match first_of(endpoint.descriptors, 0x24) {
            Some([_, _, 1, ..]) => 1,
            Some([_, _, 2, ..]) => 2,
            Some([_, _, 3, ..]) => 4,
            Some([_, _, 4, ..]) => 8,
            _ => return false,
        };
        if seen & bit != 0 {
            return false;
        }
        seen |= bit;
        endpoints = others;
    }
    seen == 15
}

/// Interfaces that unions and headers name.
const fn named_interfaces(
    interface: &Interface<'_>,
    all: &[Interface<'_>],
) -> Option<&'static Rule> {
    let code = interface.fields.class;
    let mut run = interface.descriptors;
    while let Some((descriptor, behind)) = split(run) {
        if let Some(layout) = class::layout(code, Placement::Interface, descriptor) {
            let mut fields = layout.fields(descriptor);
            while let Some(field) = fields.advance() {
                let rule = if is_one_of(&field, &["bMasterInterface", "bSlaveInterface"]) {
                    &rules::UNION_ABSENT
                } else if is_one_of(&field, &["baInterfaceNr"]) {
                    &rules::HEADER_INTERFACES
                } else {
                    continue;
                };
                if !super::has_number(all, first_byte(&field)) {
                    return Some(rule);
                }
            }
        }
        run = behind;
    }
    None
}

const fn is_one_of(field: &Field<'_>, mut names: &[&str]) -> bool {
    while let [name, others @ ..] = names {
        if same(field.name(), name) {
            return true;
        }
        names = others;
    }
    false
}

const fn first_byte(field: &Field<'_>) -> u8 {
    let [first, ..] = little_endian(field.bytes()).to_le_bytes();
    first
}

/// A set of the numbers of entities.
struct Numbers([bool; 256]);

impl Numbers {
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    const fn contains(&self, number: u8) -> bool {
        self.0[number as usize]
    }

    /// Whether it was not there yet.
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    const fn insert(&mut self, number: u8) -> bool {
        let is_new = !self.0[number as usize];
        self.0[number as usize] = true;
        is_new
    }
}

/// Terminals, units, clocks and jacks: each number once, each source there, no circles.
const fn entities(interface: &Interface<'_>) -> Option<&'static Rule> {
    let code = interface.fields.class;
    let mut known = Numbers([false; 256]);
    let mut run = interface.descriptors;
    while let Some((descriptor, behind)) = split(run) {
        if let Some(number) = entity(code, descriptor) {
            if !known.insert(number) {
                return Some(&rules::ENTITY_DUPLICATE);
            }
        }
        run = behind;
    }
    run = interface.descriptors;
    while let Some((descriptor, behind)) = split(run) {
        if !has_sources_in(code, descriptor, &known) {
            return Some(&rules::ENTITY_SOURCE);
        }
        run = behind;
    }
    // What is fed only by what is settled is settled; what never gets there is in a circle.
    let mut settled = Numbers([false; 256]);
    loop {
        let (mut is_more, mut is_all) = (false, true);
        run = interface.descriptors;
        while let Some((descriptor, behind)) = split(run) {
            if let Some(number) = entity(code, descriptor) {
                if has_sources_in(code, descriptor, &settled) {
                    is_more |= settled.insert(number);
                }
                is_all &= settled.contains(number);
            }
            run = behind;
        }
        if is_all {
            return None;
        }
        if !is_more {
            return Some(&rules::ENTITY_CYCLE);
        }
    }
}

const ENTITIES: &[&str] = &[
    "bTerminalID",
    "bUnitID",
    "bClockID",
    "bJackID",
    "bElementID",
];
const SOURCES: &[&str] = &["bSourceID", "baSourceID", "baSource"];
const CLOCKS: &[&str] = &["bCSourceID", "baCSourceID"];

/// The number of a terminal, unit, clock, jack or element.
const fn entity(code: ClassCode, descriptor: &[u8]) -> Option<u8> {
    let Some(layout) = class::layout(code, Placement::Interface, descriptor) else {
        return None;
    };
    let mut fields = layout.fields(descriptor);
    while let Some(field) = fields.advance() {
        if is_one_of(&field, ENTITIES) {
            return Some(first_byte(&field));
        }
    }
    None
}

/// Whether all that feeds an entity is known; a clock of number 0 is none.
const fn has_sources_in(code: ClassCode, descriptor: &[u8], known: &Numbers) -> bool {
    let Some(layout) = class::layout(code, Placement::Interface, descriptor) else {
        return true;
    };
    if entity(code, descriptor).is_none() {
        return true;
    }
    let mut fields = layout.fields(descriptor);
    while let Some(field) = fields.advance() {
        let number = first_byte(&field);
        let is_source = is_one_of(&field, SOURCES) || (number != 0 && is_one_of(&field, CLOCKS));
        if is_source && !known.contains(number) {
            return false;
        }
    }
    true
}
