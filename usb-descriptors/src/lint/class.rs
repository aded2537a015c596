//! Rules of classes.

use super::configuration::endpoints_of;
use super::{At, ByteSet, Linter, rules};
use crate::class::{audio, cdc, video};
use crate::{ClassDescriptor, Configuration, Interface, TransferType};

impl Linter<'_, '_> {
    pub(super) fn classes(&mut self, configuration: &Configuration<'_>, bytes: &[u8]) {
        let (mut numbers, mut terminals) = (ByteSet::default(), ByteSet::default());
        for interface in configuration.interfaces() {
            numbers.insert(interface.number());
            if interface.class().class == 0x01 {
                for id in interface
                    .class_descriptors()
                    .filter_map(|each| entity(&each))
                {
                    terminals.insert(id);
                }
            }
        }
        for interface in configuration.interfaces() {
            let at = At::of(interface.own_bytes(), bytes);
            let class = interface.class();
            match (class.class, class.subclass, class.protocol) {
                (0x03, ..) => self.hid(&interface, bytes, at),
                (0x08, _, 0x50) => {
                    let pair = [true, false]
                        .map(|is_in| endpoints_of(&interface, TransferType::Bulk, is_in));
                    if pair != [1, 1] {
                        self.find(&rules::BOT_ENDPOINTS, at);
                    }
                }
                (0x08, _, 0x62) => self.pipes(&interface, at),
                (0x01 | 0x0e, ..) => self.entities(&interface, at),
                _ => {}
            }
            for descriptor in interface.class_descriptors() {
                let at = At::of(descriptor.bytes(), bytes);
                self.named_interfaces(&descriptor, &numbers, at);
                self.class_total(&interface, &descriptor, at);
                self.terminal_link(&descriptor, &terminals, at);
                let is_frame = matches!(descriptor, ClassDescriptor::VideoStreaming(_));
                if is_frame && video::lacks_intervals(descriptor.bytes()) {
                    self.find(&rules::FRAME_INTERVALS, at);
                }
            }
        }
    }

    fn hid(&mut self, interface: &Interface<'_>, bytes: &[u8], at: At) {
        let is_hid = |descriptor| match descriptor {
            ClassDescriptor::Hid(hid) => Some(hid),
            _ => None,
        };
        let before = interface.class_descriptors().find_map(is_hid);
        let mut behind = interface
            .endpoints()
            .flat_map(|endpoint| endpoint.class_descriptors());
        let found = before.or_else(|| behind.find_map(is_hid));
        let Some(hid) = found else {
            self.find(&rules::HID_MISSING, at);
            return;
        };
        let at = At::of(hid.bytes(), bytes);
        if before.is_none() {
            self.find(&rules::HID_MISPLACED, at);
        }
        let entries = hid.descriptors().count();
        if entries != usize::from(hid.descriptor_count()) {
            let found = Some(u32::from(hid.descriptor_count()));
            self.find_values(&rules::HID_COUNT, at, found, u32::try_from(entries).ok());
        }
        let length = u32::from(hid.report_length().unwrap_or(0));
        if !(1..=4096).contains(&length) {
            self.find_values(&rules::HID_REPORT_LENGTH, at, Some(length), Some(4096));
        }
    }

    fn pipes(&mut self, interface: &Interface<'_>, at: At) {
        let mut pipes = ByteSet::default();
        let mut is_wrong = false;
        for endpoint in interface.endpoints() {
            let usage = endpoint.class_descriptors().find_map(|each| match each {
                ClassDescriptor::PipeUsage(usage) => Some(usage.pipe_id()),
                _ => None,
            });
            is_wrong |= !usage.is_some_and(|id| (1..=4).contains(&id) && pipes.insert(id));
        }
        if is_wrong || pipes.len() != 4 {
            self.find(&rules::PIPE_USAGE, at);
        }
    }

    /// Interfaces that unions and headers name.
    fn named_interfaces(&mut self, descriptor: &ClassDescriptor<'_>, numbers: &ByteSet, at: At) {
        let is_absent = |number: u32| u8::try_from(number).is_ok_and(|at| !numbers.contains(at));
        let (rule, mut values) = match descriptor {
            ClassDescriptor::Cdc(cdc::Functional::Union(union)) => {
                if is_absent(u32::from(union.control_interface())) {
                    self.find(&rules::UNION_ABSENT, at);
                    return;
                }
                (&rules::UNION_ABSENT, union.subordinate_interfaces())
            }
            ClassDescriptor::Audio1Control(audio::v1::Control::Header(header)) => {
                (&rules::HEADER_INTERFACES, header.interfaces())
            }
            ClassDescriptor::VideoControl(video::Control::Header(header)) => {
                (&rules::HEADER_INTERFACES, header.interfaces())
            }
            _ => return,
        };
        if let Some(absent) = values.find(|&number| is_absent(number)) {
            self.find_values(rule, at, Some(absent), None);
        }
    }

    fn terminal_link(&mut self, descriptor: &ClassDescriptor<'_>, terminals: &ByteSet, at: At) {
        let mut fields = descriptor.fields();
        let link = fields.find(|field| field.name() == "bTerminalLink");
        // Of video it is another matter: formats say it, and 0 is none.
        let is_audio = matches!(
            descriptor,
            ClassDescriptor::Audio1Streaming(_)
                | ClassDescriptor::Audio2Streaming(_)
                | ClassDescriptor::Audio3Streaming(_)
        );
        let link = link.and_then(|field| field.bytes().first().copied());
        if let Some(absent) = link.filter(|&id| is_audio && !terminals.contains(id)) {
            self.find_values(&rules::TERMINAL_LINK, at, Some(u32::from(absent)), None);
        }
    }

    fn class_total(&mut self, interface: &Interface<'_>, descriptor: &ClassDescriptor<'_>, at: At) {
        let stated = match descriptor {
            ClassDescriptor::Audio1Control(audio::v1::Control::Header(header)) => {
                header.total_length()
            }
            ClassDescriptor::Audio2Control(audio::v2::Control::Header(header)) => {
                header.total_length()
            }
            ClassDescriptor::Audio3Control(audio::v3::Control::Header(header)) => {
                header.total_length()
            }
            ClassDescriptor::VideoControl(video::Control::Header(header)) => header.total_length(),
            ClassDescriptor::VideoStreaming(video::Streaming::InputHeader(header)) => {
                header.total_length()
            }
            ClassDescriptor::VideoStreaming(video::Streaming::OutputHeader(header)) => {
                header.total_length()
            }
            _ => return,
        };
        let there: usize = interface
            .class_descriptors()
            .map(|each| each.bytes().len())
            .sum();
        if usize::from(stated) != there {
            let (found, expected) = (Some(u32::from(stated)), u32::try_from(there).ok());
            self.find_values(&rules::CLASS_TOTAL_LENGTH, at, found, expected);
        }
    }

    /// Terminals, units and clocks: each number once, each source there, no circles.
    fn entities(&mut self, interface: &Interface<'_>, at: At) {
        let mut known = ByteSet::default();
        for descriptor in interface.class_descriptors() {
            if let Some(id) = entity(&descriptor) {
                if !known.insert(id) {
                    let found = Some(u32::from(id));
                    self.find_values(&rules::ENTITY_DUPLICATE, at, found, None);
                }
            }
        }
        for descriptor in interface.class_descriptors() {
            let Some(absent) = sources(&descriptor).find(|&source| !known.contains(source)) else {
                continue;
            };
            let found = Some(u32::from(absent));
            self.find_values(&rules::ENTITY_SOURCE, at, found, None);
        }
        // What is fed only by what is settled is settled; what never gets there is in a circle.
        let mut settled = ByteSet::default();
        loop {
            let before = settled.len();
            for descriptor in interface.class_descriptors() {
                let mut sources = sources(&descriptor);
                let is_settled = |source| settled.contains(source) || !known.contains(source);
                if let Some(id) = entity(&descriptor).filter(|_| sources.all(is_settled)) {
                    settled.insert(id);
                }
            }
            if settled.len() == before {
                break;
            }
        }
        if settled.len() < known.len() {
            self.find(&rules::ENTITY_CYCLE, at);
        }
    }
}

/// The number of a terminal, unit, clock, jack or element.
fn entity(descriptor: &ClassDescriptor<'_>) -> Option<u8> {
    descriptor.fields().find_map(|field| match field.name() {
        "bTerminalID" | "bUnitID" | "bClockID" | "bJackID" | "bElementID" => {
            field.bytes().first().copied()
        }
        _ => None,
    })
}

/// The entities that feed it; a clock of number 0 is none.
fn sources<'a>(descriptor: &ClassDescriptor<'a>) -> impl Iterator<Item = u8> + use<'a> {
    let is_entity = entity(descriptor).is_some();
    descriptor.fields().filter_map(move |field| {
        let number = field.bytes().first().copied()?;
        let is_source = match field.name() {
            "bSourceID" | "baSourceID" | "baSource" => true,
            "bCSourceID" | "baCSourceID" => number != 0,
            _ => false,
        };
        (is_entity && is_source).then_some(number)
    })
}
