//! A real device as a function.

mod authorization;
mod change;
mod commands;
mod host_api;
mod kernel;
pub(crate) mod machine;
mod nusb;
mod options;
mod physical;
mod plugged;
mod policy;
mod pool;
mod read_only;
mod share;
#[cfg(test)]
mod tests;
mod uevents;
mod usbfs;
mod uses;

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use usb_descriptors::{
    Configuration, EndpointAddress, Recipient, RequestKind, RequestType, SetupPacket, TransferType,
};
use usb_transfer::{
    Completion, DeviceDescriptors, EndpointMap, Function, FunctionEvent, Kind, Status, Transfer,
    TransferId,
};

use crate::signal::Hold;
use change::{Change, ChangeKind, Failure, Stops, answer_to};

pub use host_api::{ClaimError, HostApi};
pub use nusb::Nusb;
pub use options::{Named, PhysicalOptions, PhysicalOptionsError, Way};
pub use physical::{Physical, PhysicalError, Taken};
pub use plugged::{FindError, PluggedDevice, PluggedInterface, Selector, SelectorError};
pub use policy::{Policy, PolicyError, Requests};
pub use read_only::{Disks, DisksError, ReadOnly};
pub(crate) use uevents::Uevents;
pub use usbfs::Usbfs;

/// A real device, used by a host that is far away.
///
/// Transfers go to the device as they are. What changes the state that the operating system keeps
/// of it – configuration, alternate settings, halts, a reset – is asked of the system instead:
/// first what it stops is cancelled and has come back, and what is submitted meanwhile waits.
///
/// From [`claim`](Self::claim) on, all interfaces of the current configuration are its own;
/// [`give_back`](Self::give_back), or dropping it, lets the system's drivers have them again, in the
/// configuration in which they had them.
///
/// After a reset the device has its configuration and its alternate settings again, as with the
/// kernel's `usbip-host`: to a host that configures it anew (USB 2.0, 9.1.1.5) that makes no
/// difference, and who resets it for a fresh start only finds it as it was. A device that does not
/// come back from a reset, or whose interfaces cannot be had again after a change, is told as gone.
#[derive(Debug)]
pub struct Passthrough<H: HostApi> {
    host: H,
    descriptors: DeviceDescriptors,
    policy: Policy,
    endpoints: EndpointMap,
    /// The configuration in which the system's drivers had the device.
    found: u8,
    /// From when it was taken from them until it is given back.
    hold: Option<Hold>,
    /// The interfaces that are claimed.
    claimed: Vec<u8>,
    /// The alternate settings that are not 0, by interface.
    alternates: BTreeMap<u8, u8>,
    /// How many streams the endpoints of an interface have been given.
    streaming: BTreeMap<u8, u32>,
    /// With the endpoint they go to; control transfers go to 0.
    under_way: BTreeMap<TransferId, EndpointAddress>,
    /// What is to be done as soon as what it stops has come back.
    change: Option<Change>,
    /// What was submitted since then.
    held: VecDeque<Transfer>,
    events: VecDeque<FunctionEvent>,
    is_gone: bool,
}

impl<H: HostApi> Passthrough<H> {
    /// A device with these descriptors and, now, this configuration.
    #[must_use]
    pub fn new(host: H, descriptors: DeviceDescriptors, configuration: u8, policy: Policy) -> Self {
        let mut endpoints = EndpointMap::default();
        endpoints.configure(&descriptors, configuration);
        Self {
            host,
            descriptors,
            policy,
            endpoints,
            found: configuration,
            hold: None,
            claimed: Vec::new(),
            alternates: BTreeMap::new(),
            streaming: BTreeMap::new(),
            under_way: BTreeMap::new(),
            change: None,
            held: VecDeque::new(),
            events: VecDeque::new(),
            is_gone: false,
        }
    }

    /// Its descriptors.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        &self.descriptors
    }

    /// Whether the device is gone: unplugged, or lost.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Whether transfers or changes are under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.under_way.is_empty() || self.change.is_some() || !self.held.is_empty()
    }

    /// Takes all interfaces of the current configuration from the drivers that have them.
    ///
    /// # Errors
    /// One of them cannot be had; then none was taken.
    pub fn claim(&mut self) -> Result<(), ClaimError> {
        self.hold.get_or_insert_with(Hold::new);
        self.claim_interfaces().inspect_err(|_| self.give_back())
    }

    fn claim_interfaces(&mut self) -> Result<(), ClaimError> {
        for number in self.interfaces() {
            if !self.claimed.contains(&number) {
                self.host.claim(number)?;
                self.claimed.push(number);
            }
        }
        Ok(())
    }

    /// The current configuration, if there is one.
    fn configuration(&self) -> Option<Configuration<'_>> {
        let value = self.endpoints.configuration();
        self.descriptors.configuration(value).filter(|_| value != 0)
    }

    /// The numbers of its interfaces.
    fn interfaces(&self) -> Vec<u8> {
        let configuration = self.configuration();
        let settings = configuration.iter().flat_map(Configuration::interfaces);
        let first = settings.filter(|setting| setting.alternate_setting() == 0);
        first.map(|setting| setting.number()).collect()
    }

    /// Lets the system's drivers have the device, as it was. What was under way is cancelled.
    pub fn give_back(&mut self) {
        let Some(_until_it_is_back) = self.hold.take() else {
            return;
        };
        self.cancel_those(&Stops::All);
        self.release();
        if self.endpoints.configuration() != self.found {
            // It fails for a device that has gone.
            let _ = self.host.set_configuration(self.found);
            self.configure(self.found);
        }
        for interface in self.interfaces() {
            self.host.connect_driver(interface);
        }
    }

    /// Notes that the device has this configuration, with all alternate settings 0.
    fn configure(&mut self, value: u8) {
        self.endpoints.configure(&self.descriptors, value);
        self.alternates.clear();
    }

    fn cancel_those(&mut self, stops: &Stops) {
        // From the last: with each that ends, the one behind it has its turn, and what is left of a
        // message must not be followed by the next.
        for (&id, &endpoint) in self.under_way.iter().rev() {
            if stops.has(endpoint) {
                self.host.cancel(id);
            }
        }
    }

    fn release(&mut self) {
        self.streaming.clear();
        for interface in mem::take(&mut self.claimed) {
            self.host.release(interface);
        }
    }

    /// Tells that the device has gone, when all that is left was told so.
    fn leave(&mut self) {
        self.is_gone = true;
        let under_way = mem::take(&mut self.under_way);
        let left = under_way.into_iter().map(|(id, endpoint)| {
            Completion::failed(id, endpoint.direction(), Status::DISCONNECTED)
        });
        let change = self.change.take().and_then(|change| change.transfer);
        let waiting = change.into_iter().chain(mem::take(&mut self.held));
        let waiting = waiting.map(|transfer| transfer.fail(Status::DISCONNECTED));
        let all = left.chain(waiting).map(FunctionEvent::Complete);
        self.events.extend(all);
        self.events.push_back(FunctionEvent::Detached);
    }

    fn start(&mut self, transfer: Transfer) {
        let setup = match &transfer.kind {
            Kind::Control(setup) if transfer.endpoint.number() == 0 => *setup,
            _ => return self.start_data(transfer),
        };
        if !self.policy.allows(setup) || !is_expressible(setup) || !self.has_addressee(setup) {
            return self.fail(transfer, Status::STALL);
        }
        if let Some(kind) = ChangeKind::asked_by(setup) {
            return match kind {
                ChangeKind::Configuration(value) if !self.policy.lets_configure() => {
                    self.keep_configuration(value, transfer);
                }
                ChangeKind::Interface { number, alternate }
                    if !self.has_setting(number, alternate) =>
                {
                    self.fail(transfer, Status::STALL);
                }
                _ => self.begin(kind, Some(transfer)),
            };
        }
        self.under_way.insert(transfer.id, transfer.endpoint);
        self.host.submit(transfer, None);
    }

    /// Whether a setting is there: the system notes in its log who asks for others.
    fn has_setting(&self, number: u8, alternate: u8) -> bool {
        let configuration = self.configuration();
        configuration.is_some_and(|found| found.interface(number, alternate).is_some())
    }

    /// Whether the interface or endpoint of a request is there. The system would not let it through,
    /// and note each in its log; of a vendor's requests it does not know what they name.
    fn has_addressee(&self, setup: SetupPacket) -> bool {
        if setup.request_type.kind() == RequestKind::Vendor {
            return true;
        }
        match setup.request_type.recipient() {
            Recipient::Interface => {
                self.claimed.contains(&setup.interface()) || self.asks_printer(setup)
            }
            Recipient::Endpoint if setup.endpoint().number() != 0 => {
                let configuration = self.configuration();
                let mut settings = configuration.iter().flat_map(Configuration::interfaces);
                settings.any(|setting| {
                    let mut endpoints = setting.endpoints();
                    endpoints.any(|endpoint| endpoint.address() == setup.endpoint())
                })
            }
            _ => true,
        }
    }

    /// GET_DEVICE_ID has the interface in the other byte (Device Class Definition for Printing
    /// Devices 1.1, 4.2.1).
    fn asks_printer(&self, setup: SetupPacket) -> bool {
        const GET_DEVICE_ID: u8 = 0;
        const PRINTER: u8 = 0x07;
        let [alternate, number] = setup.index.to_le_bytes();
        let configuration = self.configuration();
        let setting = configuration.and_then(|found| found.interface(number, alternate));
        setup.effective_type() == RequestType::CLASS_INTERFACE_IN
            && setup.request == GET_DEVICE_ID
            && setting.is_some_and(|setting| setting.class().class == PRINTER)
    }

    /// Meets a wish for a configuration without a change of it.
    fn keep_configuration(&mut self, value: u8, transfer: Transfer) {
        if value == self.endpoints.configuration() {
            self.begin(ChangeKind::FirstSettings, Some(transfer));
        } else {
            self.fail(transfer, Status::STALL);
        }
    }

    fn start_data(&mut self, transfer: Transfer) {
        let Some(endpoint) = self.endpoints.get(transfer.endpoint) else {
            return self.fail(transfer, Status::STALL);
        };
        // What was looked at as one kind must not be sent as another. Control transfers to other
        // endpoints than 0 no policy knows.
        let is_its_kind = match transfer.kind {
            Kind::Control(_) => false,
            Kind::Data { .. } => matches!(
                endpoint.transfer_type,
                TransferType::Bulk | TransferType::Interrupt
            ),
            Kind::Isochronous(_) => endpoint.transfer_type == TransferType::Isochronous,
        };
        if !is_its_kind {
            return self.fail(transfer, Status::INVALID);
        }
        if let Kind::Data {
            stream: Some(stream),
        } = transfer.kind
        {
            let interface = endpoint.interface;
            let granted = match self.streaming.get(&interface) {
                _ if endpoint.max_streams == 0 => Err(Status::INVALID),
                Some(&granted) => Ok(granted),
                None => self.allocate_streams(interface),
            };
            // The system notes in its log who uses others.
            let granted = granted.and_then(|granted| {
                let is_there = u32::from(stream.0.get()) <= granted;
                is_there.then_some(()).ok_or(Status::INVALID)
            });
            if let Err(status) = granted {
                return self.fail(transfer, status);
            }
        }
        let endpoint = self.endpoints.get(transfer.endpoint);
        self.under_way.insert(transfer.id, transfer.endpoint);
        self.host.submit(transfer, endpoint);
    }

    /// At once for all endpoints of an interface: a second time would end what the first had begun.
    fn allocate_streams(&mut self, interface: u8) -> Result<u32, Status> {
        let all = self.endpoints.iter();
        let able: Vec<_> = all
            .filter(|endpoint| endpoint.interface == interface && endpoint.max_streams > 0)
            .collect();
        let streams = able.iter().map(|endpoint| endpoint.max_streams).min();
        let addresses: Vec<_> = able.iter().map(|endpoint| endpoint.address).collect();
        let streams = streams.ok_or(Status::INVALID)?;
        let granted = self.host.allocate_streams(&addresses, streams)?;
        self.streaming.insert(interface, granted);
        Ok(granted)
    }

    fn fail(&mut self, transfer: Transfer, status: Status) {
        let completion = transfer.fail(status);
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    /// Stops what a change stops; it is made when that has come back.
    fn begin(&mut self, kind: ChangeKind, transfer: Option<Transfer>) {
        let stops = kind.stops(&self.endpoints);
        self.cancel_those(&stops);
        self.change = Some(Change {
            kind,
            transfer,
            stops,
        });
    }

    /// Makes the change that waits, if what it stops has come back, and starts what waited for it.
    /// One that came as a control transfer has its turn after those before it.
    fn advance(&mut self) {
        loop {
            let change = self.change.take_if(|change| {
                let has_turn = change.transfer.is_some();
                let stops = |&endpoint: &EndpointAddress| {
                    change.stops.has(endpoint) || has_turn && endpoint.number() == 0
                };
                !self.under_way.values().any(stops)
            });
            if let Some(change) = change {
                let made = self.make(change.kind);
                if matches!(made, Err(Failure::Lost)) {
                    self.change = Some(change);
                    self.give_back();
                    return self.leave();
                }
                if let Some(transfer) = change.transfer {
                    let completion = match made {
                        Err(Failure::Refused(status)) => transfer.fail(answer_to(status)),
                        _ => transfer.complete_out(),
                    };
                    self.events.push_back(FunctionEvent::Complete(completion));
                }
            }
            if self.change.is_some() {
                return;
            }
            let Some(transfer) = self.held.pop_front() else {
                return;
            };
            self.start(transfer);
        }
    }

    fn make(&mut self, change: ChangeKind) -> Result<(), Failure> {
        match change {
            ChangeKind::Configuration(value) => {
                // Nobody may have an interface meanwhile.
                self.release();
                let set = self.host.set_configuration(value);
                if set.is_ok() {
                    self.configure(value);
                }
                if self.claim_interfaces().is_err() {
                    // One that could not be set may have left the device in none.
                    self.configure(0);
                    return Err(Failure::Lost);
                }
                set?;
                Ok(())
            }
            ChangeKind::FirstSettings => {
                // Of all interfaces: that ends halts, too (USB 2.0, 9.4.5).
                for number in self.interfaces() {
                    self.set_interface(number, 0)?;
                }
                Ok(())
            }
            ChangeKind::Interface { number, alternate } => {
                self.set_interface(number, alternate)?;
                Ok(())
            }
            ChangeKind::ClearHalt(endpoint) if endpoint.number() == 0 => Ok(()),
            ChangeKind::ClearHalt(endpoint) => {
                let endpoint = self.endpoints.get(endpoint).ok_or(Status::STALL)?;
                self.host.clear_halt(endpoint)?;
                Ok(())
            }
            ChangeKind::Reset => {
                // Else the system would bring its drivers back.
                self.release();
                self.host.reset().map_err(|_| Failure::Lost)?;
                let alternates = mem::take(&mut self.alternates);
                self.configure(self.endpoints.configuration());
                self.claim_interfaces().map_err(|_| Failure::Lost)?;
                for (number, alternate) in alternates {
                    // One that is refused now stays at 0.
                    let _ = self.set_interface(number, alternate);
                }
                Ok(())
            }
        }
    }

    fn set_interface(&mut self, number: u8, alternate: u8) -> Result<(), Status> {
        self.streaming.remove(&number);
        self.host.set_interface(number, alternate)?;
        self.endpoints
            .set_interface(&self.descriptors, number, alternate);
        if alternate == 0 {
            self.alternates.remove(&number);
        } else {
            self.alternates.insert(number, alternate);
        }
        Ok(())
    }
}

impl<H: HostApi> Function for Passthrough<H> {
    fn submit(&mut self, transfer: Transfer) {
        if self.is_gone {
            self.fail(transfer, Status::DISCONNECTED);
        } else if self.change.is_some() || !self.held.is_empty() {
            self.held.push_back(transfer);
        } else {
            self.start(transfer);
        }
    }

    fn cancel(&mut self, id: TransferId) {
        if self.under_way.contains_key(&id) {
            return self.host.cancel(id);
        }
        let is_it = |transfer: &Transfer| transfer.id == id;
        let change = self
            .change
            .take_if(|change| change.transfer.as_ref().is_some_and(is_it));
        let held = self.held.iter().position(is_it);
        let waiting = change.and_then(|change| change.transfer);
        let waiting = waiting.or_else(|| self.held.remove(held?));
        if let Some(transfer) = waiting {
            self.fail(transfer, Status::CANCELLED);
        }
    }

    fn reset(&mut self) {
        if self.is_gone {
            return;
        }
        let change = self.change.take().and_then(|change| change.transfer);
        for transfer in change.into_iter().chain(mem::take(&mut self.held)) {
            self.fail(transfer, Status::CANCELLED);
        }
        self.begin(ChangeKind::Reset, None);
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        loop {
            if self.events.is_empty() && !self.is_gone {
                self.advance();
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.is_gone {
                return None;
            }
            match self.host.poll()? {
                FunctionEvent::Complete(completion) => {
                    self.under_way.remove(&completion.id);
                    self.events.push_back(FunctionEvent::Complete(completion));
                }
                _ => self.leave(),
            }
        }
    }
}

impl<H: HostApi> Drop for Passthrough<H> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Whether the operating system lets a request through: types and recipients that USB reserves
/// are not.
fn is_expressible(setup: SetupPacket) -> bool {
    setup.request_type.kind() != RequestKind::Reserved
        && matches!(
            setup.request_type.recipient(),
            Recipient::Device | Recipient::Interface | Recipient::Endpoint | Recipient::Other
        )
}
