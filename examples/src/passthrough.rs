//! A real device as a function.

mod commands;
mod host_api;
mod kernel;
pub(crate) mod machine;
mod nusb;
mod physical;
mod plugged;
mod policy;
mod pool;
mod read_only;
#[cfg(test)]
mod tests;
mod uevents;
mod usbfs;
mod uses;

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use usb_descriptors::{
    Direction, EndpointAddress, Recipient, RequestKind, SetupPacket, feature, request,
};
use usb_transfer::{
    DeviceDescriptors, EndpointMap, Function, FunctionEvent, Kind, Status, Transfer, TransferId,
};

pub use host_api::{ClaimError, HostApi};
pub use nusb::Nusb;
pub use physical::{Physical, PhysicalError, PhysicalOptions, PhysicalOptionsError, Taken, Way};
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
/// [`give_back`](Self::give_back), or dropping it, lets the system's drivers have them again.
#[derive(Debug)]
pub struct Passthrough<H: HostApi> {
    host: H,
    descriptors: DeviceDescriptors,
    policy: Policy,
    endpoints: EndpointMap,
    /// The interfaces that are claimed.
    claimed: Vec<u8>,
    /// The interfaces whose endpoints have been given streams.
    streaming: Vec<u8>,
    /// With the endpoint they go to; control transfers go to 0.
    under_way: BTreeMap<TransferId, EndpointAddress>,
    /// What is to be done as soon as what it stops has come back.
    change: Option<Change>,
    /// What was submitted since then.
    held: VecDeque<Held>,
    events: VecDeque<FunctionEvent>,
    is_gone: bool,
    /// What tells so, when all else was told.
    detached: Option<FunctionEvent>,
}

#[derive(Debug)]
enum Held {
    Transfer(Transfer),
    Reset,
}

/// A change of state that waits.
#[derive(Debug)]
struct Change {
    kind: ChangeKind,
    /// What asked for it, and what became of it.
    transfer: Option<Transfer>,
    /// What it stops.
    stops: Stops,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChangeKind {
    Configuration(u8),
    Interface { number: u8, alternate: u8 },
    ClearHalt(EndpointAddress),
    Reset,
}

/// Which transfers end before a change.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stops {
    All,
    /// All but control transfers.
    AllData,
    Endpoints(Vec<EndpointAddress>),
}

impl Stops {
    fn has(&self, endpoint: EndpointAddress) -> bool {
        match self {
            Self::All => true,
            Self::AllData => endpoint.number() != 0,
            Self::Endpoints(endpoints) => endpoints.contains(&endpoint),
        }
    }
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
            claimed: Vec::new(),
            streaming: Vec::new(),
            under_way: BTreeMap::new(),
            change: None,
            held: VecDeque::new(),
            events: VecDeque::new(),
            is_gone: false,
            detached: None,
        }
    }

    /// Its descriptors.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        &self.descriptors
    }

    /// Whether the device was unplugged.
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
        let configuration = self
            .descriptors
            .configuration(self.endpoints.configuration());
        let numbers = configuration.into_iter().flat_map(|configuration| {
            let settings = configuration.interfaces();
            settings
                .filter(|setting| setting.alternate_setting() == 0)
                .map(|setting| setting.number())
                .collect::<Vec<_>>()
        });
        for number in numbers.collect::<Vec<_>>() {
            if self.claimed.contains(&number) {
                continue;
            }
            if let Err(error) = self.host.claim(number) {
                self.give_back();
                return Err(error);
            }
            self.claimed.push(number);
        }
        Ok(())
    }

    /// Lets the system's drivers have the interfaces. What was under way is cancelled.
    pub fn give_back(&mut self) {
        self.cancel_those(&Stops::All);
        for interface in self.release() {
            self.host.connect_driver(interface);
        }
    }

    fn cancel_those(&mut self, stops: &Stops) {
        for (&id, &endpoint) in &self.under_way {
            if stops.has(endpoint) {
                self.host.cancel(id);
            }
        }
    }

    fn release(&mut self) -> Vec<u8> {
        self.streaming.clear();
        let claimed = mem::take(&mut self.claimed);
        for &interface in &claimed {
            self.host.release(interface);
        }
        claimed
    }

    fn start(&mut self, transfer: Transfer) {
        let setup = match &transfer.kind {
            Kind::Control(setup) => *setup,
            Kind::Data { .. } | Kind::Isochronous(_) => return self.start_data(transfer),
        };
        if transfer.endpoint.number() != 0 {
            return self.start_data(transfer);
        }
        if !self.policy.allows(setup) {
            return self.fail(transfer, Status::STALL);
        }
        if let Some(kind) = change_of(setup) {
            if let ChangeKind::Configuration(value) = kind {
                if !self.policy.lets_configure() {
                    return self.keep_configuration(value, transfer);
                }
            }
            return self.begin(kind, Some(transfer));
        }
        if !is_expressible(setup) {
            return self.fail(transfer, Status::STALL);
        }
        let control = EndpointAddress::CONTROL_OUT;
        self.under_way.insert(transfer.id, control);
        self.host.submit(transfer, None);
    }

    /// Answers a wish for a configuration without a change of it.
    fn keep_configuration(&mut self, value: u8, transfer: Transfer) {
        if value == self.endpoints.configuration() {
            let completion = transfer.complete_out();
            self.events.push_back(FunctionEvent::Complete(completion));
        } else {
            self.fail(transfer, Status::STALL);
        }
    }

    fn start_data(&mut self, transfer: Transfer) {
        let Some(endpoint) = self.endpoints.get(transfer.endpoint) else {
            return self.fail(transfer, Status::STALL);
        };
        if matches!(transfer.kind, Kind::Data { stream: Some(_) })
            && !self.streaming.contains(&endpoint.interface)
        {
            let interface = endpoint.interface;
            if let Err(status) = self.allocate_streams(interface) {
                return self.fail(transfer, status);
            }
            self.streaming.push(interface);
            return self.start_data(transfer);
        }
        self.under_way.insert(transfer.id, endpoint.address);
        self.host.submit(transfer, Some(endpoint));
    }

    /// At once for all endpoints of an interface: a second time would end what the first had begun.
    fn allocate_streams(&mut self, interface: u8) -> Result<(), Status> {
        let all = self.endpoints.iter();
        let able: Vec<_> = all
            .filter(|endpoint| endpoint.interface == interface && endpoint.max_streams > 0)
            .collect();
        let streams = able.iter().map(|endpoint| endpoint.max_streams).min();
        let addresses: Vec<_> = able.iter().map(|endpoint| endpoint.address).collect();
        let streams = streams.ok_or(Status::INVALID)?;
        self.host.allocate_streams(&addresses, streams)
    }

    fn fail(&mut self, transfer: Transfer, status: Status) {
        let completion = transfer.fail(status);
        self.events.push_back(FunctionEvent::Complete(completion));
    }

    /// Stops what a change stops; it is made when that has come back.
    fn begin(&mut self, kind: ChangeKind, transfer: Option<Transfer>) {
        let stops = match kind {
            ChangeKind::Reset => Stops::All,
            ChangeKind::Configuration(_) => Stops::AllData,
            ChangeKind::Interface { number, .. } => {
                let endpoints = self.endpoints.iter();
                let own = endpoints.filter(|endpoint| endpoint.interface == number);
                Stops::Endpoints(own.map(|endpoint| endpoint.address).collect())
            }
            // Endpoint 0 has no halt that lasts.
            ChangeKind::ClearHalt(endpoint) if endpoint.number() == 0 => {
                Stops::Endpoints(Vec::new())
            }
            ChangeKind::ClearHalt(endpoint) => Stops::Endpoints(vec![endpoint]),
        };
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
        while let Some(change) = self.change.take_if(|change| {
            let mut endpoints = self.under_way.values();
            let has_turn = change.transfer.is_some();
            !endpoints
                .any(|&endpoint| change.stops.has(endpoint) || has_turn && endpoint.number() == 0)
        }) {
            let made = self.make(change.kind);
            if let Some(transfer) = change.transfer {
                let completion = match made {
                    Ok(()) => transfer.complete_out(),
                    Err(status) => transfer.fail(answer_to_a_change(status)),
                };
                self.events.push_back(FunctionEvent::Complete(completion));
            }
            while self.change.is_none() {
                match self.held.pop_front() {
                    Some(Held::Transfer(transfer)) => self.start(transfer),
                    Some(Held::Reset) => self.begin(ChangeKind::Reset, None),
                    None => return,
                }
            }
        }
    }

    fn make(&mut self, change: ChangeKind) -> Result<(), Status> {
        match change {
            ChangeKind::Configuration(value) => {
                // Nobody may have an interface meanwhile.
                self.release();
                let set = self.host.set_configuration(value);
                if set.is_ok() {
                    self.endpoints.configure(&self.descriptors, value);
                }
                let claimed = self.claim().map_err(|_| Status::PROTOCOL);
                set.and(claimed)
            }
            ChangeKind::Interface { number, alternate } => {
                self.streaming.retain(|&streaming| streaming != number);
                self.host.set_interface(number, alternate)?;
                self.endpoints
                    .set_interface(&self.descriptors, number, alternate);
                Ok(())
            }
            ChangeKind::ClearHalt(endpoint) if endpoint.number() == 0 => Ok(()),
            ChangeKind::ClearHalt(endpoint) => {
                let endpoint = self.endpoints.get(endpoint).ok_or(Status::STALL)?;
                self.host.clear_halt(endpoint)
            }
            ChangeKind::Reset => {
                // Else the system would bring its drivers back.
                self.release();
                let reset = self.host.reset();
                let configuration = self.endpoints.configuration();
                self.endpoints.configure(&self.descriptors, configuration);
                let claimed = self.claim().map_err(|_| Status::PROTOCOL);
                reset.and(claimed)
            }
        }
    }
}

impl<H: HostApi> Function for Passthrough<H> {
    fn submit(&mut self, transfer: Transfer) {
        if self.is_gone {
            self.fail(transfer, Status::DISCONNECTED);
        } else if self.change.is_some() {
            self.held.push_back(Held::Transfer(transfer));
        } else {
            self.start(transfer);
        }
    }

    fn cancel(&mut self, id: TransferId) {
        if self.under_way.contains_key(&id) {
            self.host.cancel(id);
        }
        let is_wanted = |held: &Held| matches!(held, Held::Transfer(waits) if waits.id == id);
        let held = self.held.iter().position(is_wanted);
        if let Some(Held::Transfer(transfer)) = held.and_then(|index| self.held.remove(index)) {
            self.fail(transfer, Status::CANCELLED);
        }
    }

    fn reset(&mut self) {
        if self.is_gone {
            return;
        }
        for held in mem::take(&mut self.held) {
            if let Held::Transfer(transfer) = held {
                self.fail(transfer, Status::CANCELLED);
            }
        }
        if self.change.is_some() {
            self.cancel_those(&Stops::All);
            self.held.push_back(Held::Reset);
        } else {
            self.begin(ChangeKind::Reset, None);
        }
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.under_way.is_empty() && self.detached.is_some() {
                return self.detached.take();
            }
            self.advance();
            if !self.events.is_empty() {
                continue;
            }
            match self.host.poll()? {
                FunctionEvent::Complete(completion) => {
                    self.under_way.remove(&completion.id);
                    self.events.push_back(FunctionEvent::Complete(completion));
                }
                event => {
                    self.is_gone = true;
                    let waiting = self.change.take().and_then(|change| change.transfer);
                    let held =
                        mem::take(&mut self.held)
                            .into_iter()
                            .filter_map(|held| match held {
                                Held::Transfer(transfer) => Some(transfer),
                                Held::Reset => None,
                            });
                    for transfer in waiting.into_iter().chain(held) {
                        let completion = transfer.fail(Status::DISCONNECTED);
                        self.events.push_back(FunctionEvent::Complete(completion));
                    }
                    self.detached = Some(event);
                }
            }
        }
    }
}

impl<H: HostApi> Drop for Passthrough<H> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The requests that the operating system must hear of.
fn change_of(setup: SetupPacket) -> Option<ChangeKind> {
    if setup.request_type.kind() != RequestKind::Standard
        || setup.request_type.direction() != Direction::Out
    {
        return None;
    }
    let low = setup.value.to_le_bytes()[0];
    match (setup.request_type.recipient(), setup.request) {
        (Recipient::Device, request::SET_CONFIGURATION) => Some(ChangeKind::Configuration(low)),
        (Recipient::Interface, request::SET_INTERFACE) => Some(ChangeKind::Interface {
            number: setup.interface(),
            alternate: low,
        }),
        (Recipient::Endpoint, request::CLEAR_FEATURE) if setup.value == feature::ENDPOINT_HALT => {
            Some(ChangeKind::ClearHalt(setup.endpoint()))
        }
        _ => None,
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

/// What the system says of a request that the device has not, or does not like, is a stall to who
/// asked.
fn answer_to_a_change(status: Status) -> Status {
    match status {
        Status::DISCONNECTED | Status::SHUTDOWN | Status::TIMED_OUT => status,
        _ => Status::STALL,
    }
}
