//! Reading all descriptors of a device, from the host's side.

use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::{
    Bcd, Bos, Configuration, DescriptorType, Device, DeviceQualifier, Field, LanguageId,
    SetupPacket, Speed, StringDescriptor,
};

use crate::{
    Actual, Completion, DeviceDescriptors, DeviceString, Frontend, HostEvent, Status, Transfer,
    TransferId, TransferIds,
};

/// Reads the descriptors of a device, as a host does when one appears: device, configurations,
/// BOS, qualifier, the configurations at that other speed, and the strings that the others name.
/// It configures nothing, and like every frontend ends with a reset, which leaves the device
/// unconfigured.
///
/// A BOS, a qualifier or a string that the device does not give is left out; without a device or
/// configuration descriptor the result is an error. What is malformed is kept as it is.
///
/// ```
/// use usb_descriptors::Speed;
/// use usb_transfer::{ControlEndpoint, DeviceDescriptors, Enumerator, exchange};
/// # use std::collections::VecDeque;
/// # use usb_transfer::*;
/// # struct Plain(ControlEndpoint, VecDeque<FunctionEvent>);
/// # impl Function for Plain {
/// #     fn submit(&mut self, transfer: Transfer) {
/// #         self.1.push_back(FunctionEvent::Complete(match self.0.submit(transfer) {
/// #             Control::Done(done) | Control::Changed(_, done) => done,
/// #             Control::Request(transfer) => transfer.stall(),
/// #         }));
/// #     }
/// #     fn cancel(&mut self, _id: TransferId) {}
/// #     fn reset(&mut self) {}
/// #     fn poll(&mut self) -> Option<FunctionEvent> { self.1.pop_front() }
/// # }
/// # let mut descriptors = DeviceDescriptors::new(Speed::High,
/// #     usb_descriptors::build::Device::new(1, 2).to_bytes(Speed::High));
/// # descriptors.configurations.push(
/// #     usb_descriptors::build::Configuration::new(1).to_bytes(Speed::High).unwrap().into());
/// # let mut device = Plain(ControlEndpoint::new(descriptors.clone()), VecDeque::new());
/// let mut enumerator = Enumerator::new(Speed::High);
/// exchange(&mut enumerator, &mut device);
/// assert_eq!(enumerator.result(), Some(Ok(descriptors)));
/// ```
#[derive(Debug)]
pub struct Enumerator {
    ids: TransferIds,
    found: DeviceDescriptors,
    /// What is still to be asked, the next one last.
    questions: Vec<Question>,
    pending: Option<(TransferId, Question)>,
    state: State,
}

#[derive(Debug)]
enum State {
    Asking,
    /// Over; the result waits, then the last event.
    Over {
        result: Option<Result<(), Status>>,
        reset: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Question {
    Device,
    ConfigurationHeader(u8),
    Configuration(u8, u16),
    BosHeader,
    Bos(u16),
    Qualifier,
    OtherSpeedHeader(u8),
    OtherSpeed(u8, u16),
    Languages,
    String(u8, LanguageId),
}

impl Question {
    fn setup(self) -> SetupPacket {
        let (kind, index, language, length) = match self {
            Self::Device => (DescriptorType::DEVICE, 0, LanguageId::NONE, 18),
            Self::ConfigurationHeader(index) => {
                (DescriptorType::CONFIGURATION, index, LanguageId::NONE, 9)
            }
            Self::Configuration(index, length) => (
                DescriptorType::CONFIGURATION,
                index,
                LanguageId::NONE,
                length,
            ),
            Self::BosHeader => (DescriptorType::BOS, 0, LanguageId::NONE, 5),
            Self::Bos(length) => (DescriptorType::BOS, 0, LanguageId::NONE, length),
            Self::Qualifier => (DescriptorType::DEVICE_QUALIFIER, 0, LanguageId::NONE, 10),
            Self::OtherSpeedHeader(index) => (
                DescriptorType::OTHER_SPEED_CONFIGURATION,
                index,
                LanguageId::NONE,
                9,
            ),
            Self::OtherSpeed(index, length) => (
                DescriptorType::OTHER_SPEED_CONFIGURATION,
                index,
                LanguageId::NONE,
                length,
            ),
            Self::Languages => (DescriptorType::STRING, 0, LanguageId::NONE, 255),
            Self::String(index, language) => (DescriptorType::STRING, index, language, 255),
        };
        SetupPacket::get_descriptor(kind, index, language, length)
    }

    /// Whether there is no device without an answer.
    const fn is_vital(self) -> bool {
        matches!(
            self,
            Self::Device | Self::ConfigurationHeader(_) | Self::Configuration(..)
        )
    }
}

impl Enumerator {
    /// Will read a device that runs at `speed`.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self {
            ids: TransferIds::default(),
            found: DeviceDescriptors::new(speed, []),
            questions: Vec::from([Question::Device]),
            pending: None,
            state: State::Asking,
        }
    }

    /// The descriptors, or why they could not be read; once, when all is read.
    pub fn result(&mut self) -> Option<Result<DeviceDescriptors, Status>> {
        let State::Over { result, .. } = &mut self.state else {
            return None;
        };
        let result = result.take()?;
        Some(result.map(|()| self.found.clone()))
    }

    fn over(&mut self, result: Result<(), Status>) {
        if matches!(self.state, State::Asking) {
            self.questions.clear();
            self.state = State::Over {
                result: Some(result),
                reset: false,
            };
        }
    }

    fn take(&mut self, question: Question, data: Bytes) {
        match question {
            Question::Device => self.take_device(data),
            Question::ConfigurationHeader(index) => match total_length(&data) {
                Some(total) => self.questions.push(Question::Configuration(index, total)),
                None => self.over(Err(Status::PROTOCOL)),
            },
            Question::Configuration(..) => self.found.configurations.push(data),
            Question::BosHeader => {
                if let Ok(header) = Bos::parse(&data) {
                    let total = header.total_length().max(5);
                    self.questions.push(Question::Bos(total));
                }
            }
            Question::Bos(_) => self.found.bos = Some(data),
            Question::Qualifier => {
                if let Ok(qualifier) = DeviceQualifier::parse(&data) {
                    let indices = (0..qualifier.configuration_count()).rev();
                    self.questions
                        .extend(indices.map(Question::OtherSpeedHeader));
                }
                self.found.qualifier = Some(data);
            }
            Question::OtherSpeedHeader(index) => {
                let total = total_length(&data);
                self.questions
                    .extend(total.map(|total| Question::OtherSpeed(index, total)));
            }
            Question::OtherSpeed(index, _) => {
                let others = &mut self.found.other_speed_configurations;
                // One behind a gap would answer for another index.
                if others.len() == usize::from(index) {
                    others.push(data);
                }
            }
            Question::Languages => self.take_languages(&data),
            Question::String(index, language) => {
                self.found.strings.push(DeviceString {
                    index,
                    language,
                    descriptor: data,
                });
            }
        }
    }

    fn take_device(&mut self, data: Bytes) {
        let Ok(device) = Device::parse(&data) else {
            return self.over(Err(Status::PROTOCOL));
        };
        self.questions.push(Question::Languages);
        // Devices that run at full speed only stall this.
        if !self.found.speed.is_super() && device.usb_release() >= Bcd(0x0200) {
            self.questions.push(Question::Qualifier);
        }
        if device.usb_release() >= Bcd(0x0201) {
            self.questions.push(Question::BosHeader);
        }
        let configurations = (0..device.configuration_count()).rev();
        self.questions
            .extend(configurations.map(Question::ConfigurationHeader));
        self.found.device = data;
    }

    fn take_languages(&mut self, data: &[u8]) {
        let Ok(table) = StringDescriptor::parse(data) else {
            return;
        };
        let Some(language) = table.languages().next() else {
            return;
        };
        let mut indices = Vec::new();
        if let Ok(device) = self.found.device() {
            indices.extend([
                device.manufacturer_string(),
                device.product_string(),
                device.serial_string(),
            ]);
        }
        for configuration in self.found.configurations() {
            let fields = configuration.nodes().flat_map(|node| node.fields());
            let named = fields.filter(Field::is_string_index);
            indices.extend(named.filter_map(|field| field.bytes().first().copied()));
        }
        indices.sort_unstable();
        indices.dedup();
        let wanted = indices.into_iter().filter(|index| *index != 0).rev();
        self.questions
            .extend(wanted.map(|index| Question::String(index, language)));
    }
}

/// What a configuration states for its length; not less than its header.
fn total_length(header: &[u8]) -> Option<u16> {
    let header = Configuration::parse(header).ok()?;
    Some(header.total_length().max(9))
}

impl Frontend for Enumerator {
    fn poll(&mut self) -> Option<HostEvent> {
        if self.pending.is_some() {
            return None;
        }
        if let State::Over { reset, .. } = &mut self.state {
            return (!core::mem::replace(reset, true)).then_some(HostEvent::Reset);
        }
        let question = self.questions.pop()?;
        let id = self.ids.mint();
        self.pending = Some((id, question));
        Some(HostEvent::Submit(Transfer::control_in(
            id,
            question.setup(),
        )))
    }

    fn complete(&mut self, completion: Completion) {
        let Some((_, question)) = self.pending.take_if(|(id, _)| *id == completion.id) else {
            return;
        };
        match (completion.status, completion.actual) {
            (Status::COMPLETED, Actual::In(mut data)) => {
                data.truncate(usize::from(question.setup().length));
                self.take(question, data.to_bytes());
            }
            (status, _) if question.is_vital() => {
                let answered = status.is_completed();
                self.over(Err(if answered { Status::PROTOCOL } else { status }));
            }
            _ => {}
        }
        if self.questions.is_empty() {
            self.over(Ok(()));
        }
    }

    fn detach(&mut self) {
        self.over(Err(Status::DISCONNECTED));
    }

    fn pending(&self) -> usize {
        usize::from(self.pending.is_some())
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;

    use usb_descriptors::build;
    use usb_descriptors::build::{Configuration as Build, Device as BuildDevice, Interface};

    use super::*;
    use crate::{Control, ControlEndpoint, Function, FunctionEvent, exchange};

    struct Plain {
        control: ControlEndpoint,
        events: VecDeque<FunctionEvent>,
        resets: u32,
    }

    impl Function for Plain {
        fn submit(&mut self, transfer: Transfer) {
            let done = match self.control.submit(transfer) {
                Control::Done(done) | Control::Changed(_, done) => done,
                Control::Request(transfer) => transfer.stall(),
            };
            self.events.push_back(FunctionEvent::Complete(done));
        }
        fn cancel(&mut self, _id: TransferId) {}
        fn reset(&mut self) {
            self.resets += 1;
        }
        fn poll(&mut self) -> Option<FunctionEvent> {
            self.events.pop_front()
        }
    }

    fn enumerate(device: DeviceDescriptors) -> Option<Result<DeviceDescriptors, Status>> {
        let mut enumerator = Enumerator::new(device.speed);
        let control = ControlEndpoint::new(device);
        let mut plain = Plain {
            control,
            events: VecDeque::new(),
            resets: 0,
        };
        exchange(&mut enumerator, &mut plain);
        exchange(&mut enumerator, &mut plain);
        assert_eq!(plain.resets, 1, "the last event, once");
        assert_eq!(enumerator.pending(), 0);
        let result = enumerator.result();
        assert_eq!(enumerator.result(), None);
        result
    }

    fn rich() -> DeviceDescriptors {
        let class = usb_descriptors::ClassCode::new(0xff, 0, 0);
        let device = BuildDevice::new(1, 2)
            .product_string(2)
            .serial_string(1)
            .configurations(2);
        let mut all = DeviceDescriptors::new(Speed::Super, device.to_bytes(Speed::Super));
        for value in [1, 2] {
            let built = Build::new(value)
                .string(2)
                .interface(Interface::new(0, class).string(7));
            all.configurations
                .push(built.to_bytes(Speed::Super).unwrap().into());
        }
        all.bos = Some(Bytes::from_static(build::bos(Speed::Super).unwrap()));
        for index in [1, 2, 7] {
            all.add_string(index, "text").unwrap();
        }
        all
    }

    #[test]
    fn all_that_is_described_is_found() {
        assert_eq!(enumerate(rich()), Some(Ok(rich())));
    }

    /// As Linux's gadgets have them: of an association, and of a class descriptor.
    #[test]
    fn strings_are_found_wherever_they_are_named() {
        let class = usb_descriptors::ClassCode::new(2, 6, 0);
        let ethernet = [13, 0x24, 15, 5, 0, 0, 0, 0, 0xea, 5, 0, 0, 0];
        let interface = Interface::new(0, class).descriptor(&ethernet).unwrap();
        let built = Build::new(1)
            .association(0, 1, class, 4)
            .interface(interface);
        let device = BuildDevice::new(1, 2).to_bytes(Speed::Super);
        let mut all = DeviceDescriptors::new(Speed::Super, device);
        all.configurations = Vec::from([built.to_bytes(Speed::Super).unwrap().into()]);
        for index in [4, 5] {
            all.add_string(index, "text").unwrap();
        }
        assert_eq!(enumerate(all.clone()), Some(Ok(all)));
    }

    #[test]
    fn the_other_speed_is_read_too() {
        let mut both = rich();
        let device = BuildDevice::new(1, 2);
        both.speed = Speed::High;
        both.bos = None;
        both.device = device.to_bytes(Speed::High).to_vec().into();
        both.configurations.pop();
        both.strings.clear();
        both.qualifier = Some(device.to_qualifier_bytes().to_vec().into());
        let other = Build::new(1).to_other_speed_bytes(Speed::Full).unwrap();
        both.other_speed_configurations.push(other.into());
        assert_eq!(enumerate(both.clone()), Some(Ok(both)));
    }

    #[test]
    fn lengths_that_are_less_than_a_header_are_kept_as_they_are() {
        let mut broken = rich();
        broken.bos = Some(Bytes::from_static(&[5, 15, 0, 0, 0]));
        broken.configurations[1] = Bytes::from_static(&[9, 2, 0, 0, 0, 2, 0, 0x80, 0]);
        broken.strings.retain(|string| string.index != 9);
        assert_eq!(enumerate(broken.clone()), Some(Ok(broken)));
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let mut poor = rich();
        poor.bos = None;
        poor.strings.clear();
        assert_eq!(enumerate(poor.clone()), Some(Ok(poor)));
    }

    #[test]
    fn without_a_configuration_there_is_no_device() {
        let mut broken = rich();
        broken.configurations.pop();
        assert_eq!(enumerate(broken), Some(Err(Status::STALL)));
        let cut = DeviceDescriptors::new(Speed::High, [18, 1, 0]);
        assert_eq!(enumerate(cut), Some(Err(Status::PROTOCOL)));
    }

    #[test]
    fn a_device_that_goes_is_reported() {
        let mut enumerator = Enumerator::new(Speed::High);
        let Some(HostEvent::Submit(transfer)) = enumerator.poll() else {
            panic!()
        };
        enumerator.detach();
        assert_eq!(enumerator.result(), Some(Err(Status::DISCONNECTED)));
        enumerator.complete(transfer.fail(Status::DISCONNECTED));
        assert_eq!(enumerator.poll(), Some(HostEvent::Reset));
        assert_eq!(enumerator.poll(), None);
    }
}
