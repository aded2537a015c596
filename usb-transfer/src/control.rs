//! The default control endpoint: standard requests answered from descriptors.

use alloc::vec::Vec;

use bytes::Bytes;
use usb_descriptors::{
    DescriptorType, EndpointAddress, LanguageId, Recipient, RequestKind, RequestType, SetupPacket,
    build, feature, request,
};

use crate::{Completion, DeviceDescriptors, EndpointMap, Kind, Payload, Transfer};

/// What became of a control transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "the completion, or the request, is in it"]
#[expect(clippy::exhaustive_enums, reason = "a function must handle each")]
pub enum Control {
    /// Answered.
    Done(Completion),
    /// Answered, and the device's state has changed: act on it, complete what it stopped, then
    /// report the completion.
    Changed(Change, Completion),
    /// Not to be answered from descriptors: a class or vendor request, or a standard one that
    /// belongs to a class, such as reading a HID report descriptor. The function answers it,
    /// with a stall if it does not know it.
    Request(Transfer),
}

/// A change of the device's state that the host asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// A configuration was selected, perhaps again; 0 for none. All endpoints start anew.
    Configuration(u8),
    /// An alternate setting was selected, perhaps again. The interface's endpoints start anew.
    #[non_exhaustive]
    Interface {
        /// The interface.
        number: u8,
        /// Its alternate setting.
        alternate: u8,
    },
    /// An endpoint was halted, or its halt and its data toggle were cleared.
    Halt(EndpointAddress, bool),
    /// Remote wakeup was allowed or forbidden.
    RemoteWakeup(bool),
}

/// Endpoint 0 of a device: answers every standard request of chapter 9 that descriptors and
/// device state can answer, and hands the others on (USB 2.0, 9.4; USB 3.2, 9.4).
///
/// Answers are cut to `wLength`. What is malformed or names what does not exist is stalled.
///
/// ```
/// use usb_descriptors::{SetupPacket, Speed};
/// use usb_transfer::{Control, ControlEndpoint, DeviceDescriptors, Transfer, TransferIds};
/// # let device = [18, 1, 0, 2, 0, 0, 0, 64, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// let mut control = ControlEndpoint::new(DeviceDescriptors::new(Speed::High, device));
/// let setup = SetupPacket::from_bytes([0x80, 6, 0, 1, 0, 0, 8, 0]); // 8 bytes of it
/// let transfer = Transfer::control_in(TransferIds::default().mint(), setup);
/// let Control::Done(completion) = control.submit(transfer) else { panic!() };
/// assert_eq!(completion.actual.len(), 8);
/// ```
#[derive(Clone, Debug)]
pub struct ControlEndpoint {
    device: DeviceDescriptors,
    languages: Bytes,
    endpoints: EndpointMap,
    /// Alternate settings other than 0, by interface.
    alternates: Vec<(u8, u8)>,
    /// By `EndpointAddress::index`.
    halted: u32,
    /// Bits of the device's GET_STATUS, self power excluded.
    features: u8,
}

const REMOTE_WAKEUP: u8 = 1 << 1;
const U1_ENABLED: u8 = 1 << 2;
const U2_ENABLED: u8 = 1 << 3;

impl ControlEndpoint {
    /// The control endpoint of an unconfigured device.
    #[must_use]
    pub fn new(device: DeviceDescriptors) -> Self {
        let given = device.strings.iter().find(|string| string.index == 0);
        let languages = match given {
            Some(string) => string.descriptor.clone(),
            // 126 languages at most are said; no device has as many.
            None => build::languages(device.languages().into_iter().take(126))
                .unwrap_or_default()
                .into(),
        };
        Self {
            device,
            languages,
            endpoints: EndpointMap::default(),
            alternates: Vec::new(),
            halted: 0,
            features: 0,
        }
    }

    /// The descriptors it answers from.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        &self.device
    }

    /// The endpoints that exist now.
    #[must_use]
    pub const fn endpoints(&self) -> &EndpointMap {
        &self.endpoints
    }

    /// The current configuration's value; 0 for none.
    #[must_use]
    pub const fn configuration(&self) -> u8 {
        self.endpoints.configuration()
    }

    /// The current alternate setting of an interface of the current configuration.
    #[must_use]
    pub fn alternate_setting(&self, interface: u8) -> Option<u8> {
        self.device
            .configuration(self.configuration())?
            .interfaces()
            .any(|setting| setting.number() == interface)
            .then(|| {
                self.alternates
                    .iter()
                    .find(|(number, _)| *number == interface)
            })
            .map(|found| found.map_or(0, |(_, alternate)| *alternate))
    }

    /// Whether an endpoint is halted.
    #[must_use]
    pub fn is_halted(&self, endpoint: EndpointAddress) -> bool {
        self.halted & bit(endpoint) != 0
    }

    /// Halts an endpoint, or ends its halt, by the function's own decision.
    pub fn set_halted(&mut self, endpoint: EndpointAddress, halted: bool) {
        if halted {
            self.halted |= bit(endpoint);
        } else {
            self.halted &= !bit(endpoint);
        }
    }

    /// The bus was reset: back to the unconfigured state.
    pub fn reset(&mut self) {
        self.configure(0);
        self.features = 0;
    }

    /// Takes a control transfer. One of another kind is stalled.
    pub fn submit(&mut self, transfer: Transfer) -> Control {
        let Kind::Control(setup) = transfer.kind else {
            return Control::Done(transfer.stall());
        };
        if setup.request_type.kind() != RequestKind::Standard {
            return Control::Request(transfer);
        }
        match self.standard(setup) {
            Answer::Data(data) => Control::Done(answer(transfer, setup, data)),
            Answer::Done => Control::Done(transfer.complete_out()),
            Answer::Changed(change) => Control::Changed(change, transfer.complete_out()),
            Answer::Request => Control::Request(transfer),
            Answer::Stall => Control::Done(transfer.stall()),
        }
    }

    /// USB 2.0, table 9-3, by `bmRequestType` and `bRequest`.
    fn standard(&mut self, setup: SetupPacket) -> Answer {
        match (setup.request_type, setup.request) {
            (RequestType::DEVICE_IN, request::GET_DESCRIPTOR) => self.descriptor(setup),
            (RequestType::DEVICE_IN, request::GET_CONFIGURATION) => byte(self.configuration()),
            (RequestType::DEVICE_OUT, request::SET_CONFIGURATION) => self.set_configuration(setup),
            // The host controller's part; a device that is asked all the same has an address.
            (RequestType::DEVICE_OUT, request::SET_ADDRESS) => Answer::Done,
            (RequestType::INTERFACE_IN, request::GET_INTERFACE) => self
                .alternate_setting(setup.interface())
                .map_or(Answer::Stall, byte),
            (RequestType::INTERFACE_OUT, request::SET_INTERFACE) => self.set_interface(setup),
            (
                RequestType::DEVICE_IN | RequestType::INTERFACE_IN | RequestType::ENDPOINT_IN,
                request::GET_STATUS,
            ) => self.status(setup),
            (
                RequestType::DEVICE_OUT | RequestType::INTERFACE_OUT | RequestType::ENDPOINT_OUT,
                request::SET_FEATURE | request::CLEAR_FEATURE,
            ) => self.feature(setup, setup.request == request::SET_FEATURE),
            (RequestType::DEVICE_OUT, request::SET_SEL | request::SET_ISOCH_DELAY)
                if self.device.speed.is_super() =>
            {
                Answer::Done
            }
            (RequestType::DEVICE_OUT, request::SET_DESCRIPTOR) => Answer::Stall,
            // Report descriptors, synch frames: the function's, if anyone's.
            _ if setup.request_type.recipient() != Recipient::Device => Answer::Request,
            _ => Answer::Stall,
        }
    }

    fn descriptor(&self, setup: SetupPacket) -> Answer {
        let (descriptor_type, index) = setup.descriptor();
        let at = usize::from(index);
        let found = match descriptor_type {
            DescriptorType::DEVICE => Some(&self.device.device),
            DescriptorType::CONFIGURATION => self.device.configurations.get(at),
            DescriptorType::OTHER_SPEED_CONFIGURATION => {
                self.device.other_speed_configurations.get(at)
            }
            DescriptorType::DEVICE_QUALIFIER => self.device.qualifier.as_ref(),
            DescriptorType::BOS => self.device.bos.as_ref(),
            DescriptorType::STRING if index == 0 => {
                Some(&self.languages).filter(|_| !self.device.strings.is_empty())
            }
            DescriptorType::STRING => {
                let language = LanguageId(setup.index);
                let entries = &self.device.strings;
                entries
                    .iter()
                    .find(|entry| {
                        entry.index == index
                            && (entry.language == language || entry.language == LanguageId::NONE)
                    })
                    .map(|entry| &entry.descriptor)
            }
            _ => return Answer::Request,
        };
        found.map_or(Answer::Stall, |bytes| Answer::Data(bytes.clone()))
    }

    fn set_configuration(&mut self, setup: SetupPacket) -> Answer {
        let [value, high] = setup.value.to_le_bytes();
        let exists = value == 0 || self.device.configuration(value).is_some();
        if high != 0 || setup.length != 0 || !exists {
            return Answer::Stall;
        }
        self.configure(value);
        Answer::Changed(Change::Configuration(value))
    }

    fn configure(&mut self, value: u8) {
        self.endpoints.configure(&self.device, value);
        self.alternates.clear();
        self.halted = 0;
    }

    fn set_interface(&mut self, setup: SetupPacket) -> Answer {
        let ([number, number_high], [alternate, alternate_high]) =
            (setup.index.to_le_bytes(), setup.value.to_le_bytes());
        let exists = self
            .device
            .configuration(self.configuration())
            .is_some_and(|configuration| configuration.interface(number, alternate).is_some());
        if number_high != 0 || alternate_high != 0 || setup.length != 0 || !exists {
            return Answer::Stall;
        }
        self.forget_halts(number);
        self.endpoints
            .set_interface(&self.device, number, alternate);
        self.forget_halts(number);
        self.alternates
            .retain(|(interface, _)| *interface != number);
        if alternate != 0 {
            self.alternates.push((number, alternate));
        }
        Answer::Changed(Change::Interface { number, alternate })
    }

    fn forget_halts(&mut self, interface: u8) {
        let endpoints = self
            .endpoints
            .iter()
            .filter(|each| each.interface == interface);
        let bits = endpoints.fold(0, |bits, endpoint| bits | bit(endpoint.address));
        self.halted &= !bits;
    }

    fn status(&self, setup: SetupPacket) -> Answer {
        if setup.value != 0 {
            return Answer::Stall;
        }
        match setup.request_type.recipient() {
            Recipient::Device if setup.index == 0 => {
                byte_pair(self.features | u8::from(self.is_self_powered()))
            }
            Recipient::Interface if self.alternate_setting(setup.interface()).is_some() => {
                byte_pair(0)
            }
            Recipient::Endpoint if self.exists(setup.endpoint()) => {
                byte_pair(u8::from(self.is_halted(setup.endpoint())))
            }
            _ => Answer::Stall,
        }
    }

    fn feature(&mut self, setup: SetupPacket, set: bool) -> Answer {
        if setup.length != 0 {
            return Answer::Stall;
        }
        let superspeed = self.device.speed.is_super();
        match (setup.request_type.recipient(), setup.value) {
            (Recipient::Device, feature::DEVICE_REMOTE_WAKEUP) if self.can_wake() => {
                self.set_device_feature(REMOTE_WAKEUP, set);
                Answer::Changed(Change::RemoteWakeup(set))
            }
            (Recipient::Device, feature::U1_ENABLE) if superspeed => {
                self.set_device_feature(U1_ENABLED, set)
            }
            (Recipient::Device, feature::U2_ENABLE) if superspeed => {
                self.set_device_feature(U2_ENABLED, set)
            }
            (Recipient::Interface, feature::FUNCTION_SUSPEND)
                if superspeed && self.alternate_setting(setup.interface()).is_some() =>
            {
                Answer::Done
            }
            (Recipient::Endpoint, feature::ENDPOINT_HALT) => {
                let endpoint = setup.endpoint();
                if endpoint.is_control() {
                    // Its halt ends with the next setup packet anyway (USB 2.0, 9.4.5).
                    Answer::Done
                } else if self.exists(endpoint) {
                    self.set_halted(endpoint, set);
                    Answer::Changed(Change::Halt(endpoint, set))
                } else {
                    Answer::Stall
                }
            }
            _ => Answer::Stall,
        }
    }

    fn set_device_feature(&mut self, bit: u8, set: bool) -> Answer {
        if set {
            self.features |= bit;
        } else {
            self.features &= !bit;
        }
        Answer::Done
    }

    fn exists(&self, endpoint: EndpointAddress) -> bool {
        endpoint.is_control() || self.endpoints.get(endpoint).is_some()
    }

    /// In the current configuration, or the first if there is none yet.
    fn is_self_powered(&self) -> bool {
        self.device
            .configuration(self.configuration())
            .or_else(|| self.device.configurations().next())
            .is_some_and(|configuration| configuration.attributes().self_powered())
    }

    fn can_wake(&self) -> bool {
        let configuration = self.device.configuration(self.configuration());
        configuration.is_some_and(|configuration| configuration.attributes().remote_wakeup())
    }
}

enum Answer {
    Data(Bytes),
    Done,
    Changed(Change),
    Request,
    Stall,
}

const fn bit(endpoint: EndpointAddress) -> u32 {
    1 << endpoint.index()
}

/// Completes with the first `wLength` bytes, or fewer if the host's buffer is smaller.
fn answer(transfer: Transfer, setup: SetupPacket, data: Bytes) -> Completion {
    match transfer.payload {
        Payload::In { length } => {
            let room = usize::from(setup.length).min(usize::try_from(length).unwrap_or(usize::MAX));
            let mut data = data;
            data.truncate(room);
            transfer.complete_in(data)
        }
        // Without a data stage there is nothing to send.
        Payload::Out(_) => transfer.complete_out(),
    }
}

/// Every byte followed by a zero, so that one- and two-byte answers are references to memory
/// that is always there.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
static BYTES: [u8; 512] = {
    let mut table = [0; 512];
    let mut value: u8 = 0;
    loop {
        table[value as usize * 2] = value;
        if value == 255 {
            break table;
        }
        value += 1;
    }
};

fn byte(value: u8) -> Answer {
    Answer::Data(byte_pair_bytes(value).slice(..1))
}

/// A 16-bit status, of which only the low byte is in use.
fn byte_pair(low: u8) -> Answer {
    Answer::Data(byte_pair_bytes(low))
}

fn byte_pair_bytes(low: u8) -> Bytes {
    let at = usize::from(low).saturating_mul(2);
    Bytes::from_static(BYTES.get(at..at.saturating_add(2)).unwrap_or(&[0, 0]))
}

#[cfg(test)]
mod tests;
