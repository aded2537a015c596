//! The transfers that are out at the function.

use alloc::collections::VecDeque;

use usb_descriptors::{EndpointAddress, SetupPacket};
use usb_transfer::TransferId;

/// What a transfer was made for, and what its reply says again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    SetConfiguration {
        value: u8,
    },
    GetConfiguration,
    SetAltSetting {
        interface: u8,
        alternate: u8,
    },
    GetAltSetting {
        interface: u8,
    },
    Control {
        endpoint: EndpointAddress,
        setup: SetupPacket,
    },
    Bulk {
        endpoint: EndpointAddress,
        stream: u32,
        length: u32,
    },
    Interrupt {
        endpoint: EndpointAddress,
        length: u16,
    },
    /// A standing transfer of a stream, by the stream's serial number.
    Stream {
        serial: u64,
        length: u32,
    },
}

impl Origin {
    /// Bytes that it carries or asks for.
    pub(super) fn bytes(self) -> u64 {
        match self {
            Self::Control { setup, .. } => setup.length.into(),
            Self::Bulk { length, .. } | Self::Stream { length, .. } => length.into(),
            Self::Interrupt { length, .. } => length.into(),
            _ => 0,
        }
    }

    /// Whether a cancel names it.
    const fn is_data_packet(self) -> bool {
        matches!(
            self,
            Self::Control { .. } | Self::Bulk { .. } | Self::Interrupt { .. }
        )
    }
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: TransferId,
    /// The id that the guest gave it. Guests use one again as soon as they have its reply.
    pub(super) guest_id: u64,
    pub(super) origin: Origin,
    pub(super) is_cancelled: bool,
}

/// In order of submission, which is the order of ids; mostly they leave in that order too.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    requests: VecDeque<Request>,
    bytes: u64,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Bytes that all of them carry or ask for.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, id: TransferId, guest_id: u64, origin: Origin) {
        self.bytes = self.bytes.saturating_add(origin.bytes());
        self.requests.push_back(Request {
            id,
            guest_id,
            origin,
            is_cancelled: false,
        });
    }

    pub(super) fn remove(&mut self, id: TransferId) -> Option<Request> {
        let found = self
            .requests
            .binary_search_by_key(&id, |request| request.id);
        let request = self.requests.remove(found.ok()?)?;
        self.bytes = self.bytes.saturating_sub(request.origin.bytes());
        Some(request)
    }

    /// The request that a cancel names, and which was not named before.
    pub(super) fn find_to_cancel(&mut self, guest_id: u64) -> Option<&mut Request> {
        self.requests.iter_mut().find(|request| {
            request.guest_id == guest_id && request.origin.is_data_packet() && !request.is_cancelled
        })
    }

    /// The standing transfers of a stream.
    pub(super) fn of_stream(&self, serial: u64) -> impl Iterator<Item = TransferId> {
        let requests = self.requests.iter();
        let standing = requests.filter(
            move |request| matches!(request.origin, Origin::Stream { serial: of, .. } if of == serial),
        );
        standing.map(|request| request.id)
    }
}
