//! The pipes of a device, as a host finds them.

use usb_descriptors::class::ClassDescriptor;
use usb_descriptors::{
    ClassCode, Configuration, Direction, EndpointAddress, Interface, TransferType,
};
use usb_transfer::DeviceDescriptors;

use super::MAX_TASKS;
use crate::host::Place;

/// Where the function is in the device, and its pipes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pipes {
    pub(crate) place: Place,
    pub(super) command: EndpointAddress,
    pub(super) status: EndpointAddress,
    pub(super) data_in: EndpointAddress,
    pub(super) data_out: EndpointAddress,
    /// How many streams status and data have; none below SuperSpeed.
    streams: Option<u16>,
}

impl Pipes {
    /// The first interface, in any of its settings, with the four pipes (UAS r04, 5.3.3.2), and at
    /// SuperSpeed with streams.
    pub(crate) fn find(device: &DeviceDescriptors) -> Option<Self> {
        let has_streams = device.speed.is_super();
        device.configurations().find_map(|configuration| {
            let mut interfaces = configuration.interfaces();
            interfaces.find_map(|interface| Self::of(&configuration, &interface, has_streams))
        })
    }

    fn of(
        configuration: &Configuration<'_>,
        interface: &Interface<'_>,
        has_streams: bool,
    ) -> Option<Self> {
        if interface.class() != ClassCode::MASS_STORAGE_UAS {
            return None;
        }
        let mut streams = u32::MAX;
        let mut pipe = |id, direction| {
            let endpoint = interface.endpoints().find(|endpoint| {
                endpoint.class_descriptors().any(|each| {
                    matches!(each, ClassDescriptor::PipeUsage(usage) if usage.pipe_id() == id)
                })
            })?;
            if id != 1 {
                let companion = endpoint.companion();
                let count = companion.map_or(0, |companion| companion.max_streams());
                streams = streams.min(count);
            }
            let is_right = endpoint.transfer_type() == TransferType::Bulk
                && endpoint.address().direction() == direction;
            is_right.then_some(endpoint.address())
        };
        // Pipe usage descriptors (UAS r04, table 5).
        let command = pipe(1, Direction::Out)?;
        let status = pipe(2, Direction::In)?;
        let data_in = pipe(3, Direction::In)?;
        let data_out = pipe(4, Direction::Out)?;
        let streams = u16::try_from(streams).unwrap_or(u16::MAX);
        // One is for task management.
        if has_streams && streams < 2 {
            return None;
        }
        Some(Self {
            place: Place {
                configuration: configuration.value(),
                interface: interface.number(),
                alternate: interface.alternate_setting(),
            },
            command,
            status,
            data_in,
            data_out,
            streams: has_streams.then_some(streams),
        })
    }

    pub(crate) const fn has_streams(&self) -> bool {
        self.streams.is_some()
    }

    /// Commands at a time; their tags are 1 and up. The next one is for task management.
    pub(super) fn tags(&self) -> usize {
        let streams = self.streams.map_or(usize::MAX, usize::from);
        streams.saturating_sub(1).min(MAX_TASKS)
    }

    pub(super) const fn data(&self, direction: Direction) -> EndpointAddress {
        match direction {
            Direction::In => self.data_in,
            Direction::Out => self.data_out,
        }
    }
}
