//! Changes of a device's state, which the operating system makes when what they stop has ended.

use usb_descriptors::{EndpointAddress, RequestType, SetupPacket, feature, request};
use usb_transfer::{EndpointMap, Status, Transfer};

/// A change of state that waits.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    /// What asked for it, and what became of it.
    pub(super) transfer: Option<Transfer>,
    /// What it stops.
    pub(super) stops: Stops,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChangeKind {
    Configuration(u8),
    /// All alternate settings are 0 and no endpoint is halted, as a configuration leaves them.
    FirstSettings,
    Interface {
        number: u8,
        alternate: u8,
    },
    ClearHalt(EndpointAddress),
    Reset,
}

/// Which transfers end before a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stops {
    All,
    /// All but control transfers.
    AllData,
    Endpoints(Vec<EndpointAddress>),
}

/// Why a change was not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The system or the device refused, and all is as it was.
    Refused(Status),
    /// The device is not to be had any more, though it may be there.
    Lost,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl Stops {
    pub(super) fn has(&self, endpoint: EndpointAddress) -> bool {
        match self {
            Self::All => true,
            Self::AllData => endpoint.number() != 0,
            Self::Endpoints(endpoints) => endpoints.contains(&endpoint),
        }
    }
}

impl ChangeKind {
    /// The change that a request asks for, if it is one that the operating system must hear of.
    pub(super) fn asked_by(setup: SetupPacket) -> Option<Self> {
        let low = setup.value.to_le_bytes()[0];
        match (setup.effective_type(), setup.request) {
            (RequestType::DEVICE_OUT, request::SET_CONFIGURATION) => Some(Self::Configuration(low)),
            (RequestType::INTERFACE_OUT, request::SET_INTERFACE) => Some(Self::Interface {
                number: setup.interface(),
                alternate: low,
            }),
            (RequestType::ENDPOINT_OUT, request::CLEAR_FEATURE)
                if setup.value == feature::ENDPOINT_HALT =>
            {
                Some(Self::ClearHalt(setup.endpoint()))
            }
            _ => None,
        }
    }

    /// What is to end before it.
    pub(super) fn stops(self, endpoints: &EndpointMap) -> Stops {
        match self {
            Self::Reset => Stops::All,
            Self::Configuration(_) | Self::FirstSettings => Stops::AllData,
            Self::Interface { number, .. } => {
                let endpoints = endpoints.iter();
                let own = endpoints.filter(|endpoint| endpoint.interface == number);
                Stops::Endpoints(own.map(|endpoint| endpoint.address).collect())
            }
            // Endpoint 0 has no halt that lasts.
            Self::ClearHalt(endpoint) if endpoint.number() == 0 => Stops::Endpoints(Vec::new()),
            Self::ClearHalt(endpoint) => Stops::Endpoints(vec![endpoint]),
        }
    }
}

/// What the system says of a request that the device has not, or does not like, is a stall to who
/// asked.
pub(super) fn answer_to(status: Status) -> Status {
    match status {
        Status::DISCONNECTED | Status::SHUTDOWN | Status::TIMED_OUT => status,
        _ => Status::STALL,
    }
}
