//! Transfers, completions and setup packets, drawn from choices. The first choice is the plain
//! one, so that an input whose choices have run out goes on sensibly.

use bytes::Bytes;
use testkit::Decisions;
use usb_descriptors::{DescriptorType, EndpointAddress, LanguageId, SetupPacket};
use usb_transfer::{
    Actual, Completion, Flags, IsoPacket, Kind, Payload, Segments, Status, StreamId, Transfer,
    TransferId,
};

pub(crate) fn word(decisions: &mut Decisions<'_>) -> u32 {
    u32::from_be_bytes([
        decisions.byte(),
        decisions.byte(),
        decisions.byte(),
        decisions.byte(),
    ])
}

fn half(decisions: &mut Decisions<'_>) -> u16 {
    u16::from_be_bytes([decisions.byte(), decisions.byte()])
}

/// True about once in `count` times, and never without choices.
pub(crate) fn rarely(decisions: &mut Decisions<'_>, count: usize) -> bool {
    decisions.below(count) == count - 1
}

/// A length up to `limit`: often a usual one, now and then one more than allowed.
pub(crate) fn length(decisions: &mut Decisions<'_>, limit: u32) -> u32 {
    match decisions.below(8) {
        0 => 64.min(limit),
        1 => 0,
        2 => 13.min(limit),
        3 => 512.min(limit),
        4 => limit,
        5 if rarely(decisions, 32) => limit + 1,
        _ => decisions.below(limit as usize + 1) as u32,
    }
}

/// A status: a usual one, or any number.
pub(crate) fn status(decisions: &mut Decisions<'_>) -> Status {
    let usual = [
        Status::COMPLETED,
        Status::CANCELLED,
        Status::STALL,
        Status::OVERFLOW,
        Status::SHORT,
        Status::DISCONNECTED,
        Status::NOT_TRANSFERRED,
    ];
    usual
        .get(decisions.below(usual.len() + 1))
        .copied()
        .unwrap_or_else(|| Status::from_errno(word(decisions) as i32))
}

/// A request of chapter 9, of the mass storage class, or eight bytes of anything.
pub(crate) fn setup(decisions: &mut Decisions<'_>) -> SetupPacket {
    let kinds = [
        DescriptorType::DEVICE,
        DescriptorType::CONFIGURATION,
        DescriptorType::STRING,
        DescriptorType::DEVICE_QUALIFIER,
        DescriptorType::OTHER_SPEED_CONFIGURATION,
        DescriptorType::BOS,
        DescriptorType(0x22), // HID report
    ];
    match decisions.below(10) {
        0 => {
            let kind = kinds[decisions.below(kinds.len())];
            let index = decisions.byte() % 4;
            let language = LanguageId([0, 0x0409, 0x0407][decisions.below(3)]);
            SetupPacket::get_descriptor(kind, index, language, half(decisions))
        }
        1 => SetupPacket::set_configuration(decisions.byte() % 4),
        2 => SetupPacket::set_interface(decisions.byte() % 4, decisions.byte() % 4),
        3 => SetupPacket::clear_halt(EndpointAddress::from_byte(decisions.byte())),
        // GET_STATUS of an endpoint, GET_CONFIGURATION, GET_INTERFACE.
        4 => SetupPacket::from_bytes([0x82, 0, 0, 0, decisions.byte(), 0, 2, 0]),
        5 => SetupPacket::from_bytes([0x80, 8, 0, 0, 0, 0, 1, 0]),
        6 => SetupPacket::from_bytes([0x81, 10, 0, 0, decisions.byte() % 4, 0, 1, 0]),
        // SET_FEATURE(PORT_RESET) to a port, SET_ADDRESS, Bulk-Only Reset, GET_MAX_LUN.
        7 => SetupPacket::from_bytes([0x23, 3, 4, 0, 0, 0, 0, 0]),
        8 => SetupPacket::from_bytes(
            [
                [0x00, 5, 9, 0, 0, 0, 0, 0],
                [0x21, 0xff, 0, 0, 0, 0, 0, 0],
                [0xa1, 0xfe, 0, 0, 0, 0, 1, 0],
            ][decisions.below(3)],
        ),
        _ => {
            let mut bytes = [0; 8];
            let taken = decisions.take(8);
            bytes[..taken.len()].copy_from_slice(taken);
            SetupPacket::from_bytes(bytes)
        }
    }
}

/// Where isochronous packets lie: side by side, or anywhere.
pub(crate) fn packets(decisions: &mut Decisions<'_>, count: usize, length: u32) -> Vec<(u32, u32)> {
    let each = length / count.max(1) as u32;
    if !rarely(decisions, 8) {
        return (0..count as u32).map(|at| (at * each, each)).collect();
    }
    let mut anywhere = || {
        let at = decisions.below(length as usize + 1) as u32;
        let bytes = match decisions.below(4) {
            0 => length - at,
            1 => word(decisions),
            _ => decisions.below((length - at) as usize + 1) as u32,
        };
        (at, bytes)
    };
    (0..count).map(|_| anywhere()).collect()
}

/// A transfer as an embedder may submit it, sensible or not.
pub(crate) fn transfer(decisions: &mut Decisions<'_>, id: TransferId, limit: u32) -> Transfer {
    let (length, is_in) = (length(decisions, limit), decisions.byte() % 2 == 0);
    let endpoint = EndpointAddress::from_byte(decisions.byte());
    let payload = if is_in {
        Payload::In { length }
    } else {
        Payload::Out(Bytes::from(vec![id.to_u64() as u8; length as usize]))
    };
    let kind = match decisions.below(4) {
        0 => Kind::Data { stream: None },
        1 => {
            let mut setup = setup(decisions);
            if !rarely(decisions, 8) {
                // As its payload has it.
                setup.length = length as u16;
                let direction = payload.direction().bit_7();
                setup.request_type.0 = setup.request_type.0 & 0x7f | direction;
            }
            Kind::Control(setup)
        }
        2 => {
            let count = decisions.below(10);
            let packets = packets(decisions, count, length).into_iter();
            Kind::Isochronous(
                packets
                    .map(|(at, bytes)| IsoPacket::new(at, bytes))
                    .collect(),
            )
        }
        _ => Kind::Data {
            stream: decisions
                .byte()
                .try_into()
                .ok()
                .map(|id: std::num::NonZeroU8| StreamId(id.into())),
        },
    };
    let flags = decisions.byte();
    let flags = Flags {
        short_not_ok: flags & 1 != 0,
        zero_packet: flags & 2 != 0,
        iso_asap: flags & 4 != 0,
    };
    Transfer::new(id, endpoint, kind, payload)
        .with_flags(flags)
        .with_interval(u32::from(decisions.byte()))
}

/// `length` times the byte that stands for a transfer, in some pieces.
pub(crate) fn data(decisions: &mut Decisions<'_>, id: TransferId, length: usize) -> Segments {
    let mut data = Segments::new();
    let cut = match decisions.below(4) {
        0..=2 => length,
        _ => decisions.below(length + 1),
    };
    for piece in [cut, length - cut] {
        data.push(Bytes::from(vec![id.to_u64() as u8; piece]));
    }
    data
}

/// How a device may complete a transfer, whether it keeps its contract or not. Data is the byte
/// that stands for the transfer.
pub(crate) fn completion(decisions: &mut Decisions<'_>, transfer: &Transfer) -> Completion {
    let (id, transfer) = (transfer.id, transfer.clone());
    let asked = transfer.payload.len();
    let direction = transfer.payload.direction();
    match decisions.below(10) {
        0..=2 => match (&transfer.kind, &transfer.payload) {
            (Kind::Isochronous(packets), payload) => {
                let packets: Vec<_> = packets
                    .iter()
                    .map(|packet| IsoPacket {
                        actual: packet.length,
                        ..*packet
                    })
                    .collect();
                let moved = packets.iter().map(|packet| packet.actual as usize).sum();
                let data = match payload {
                    Payload::In { .. } => data(decisions, id, moved),
                    Payload::Out(_) => Segments::new(),
                };
                transfer.complete_packets(packets, data)
            }
            (_, Payload::In { .. }) => transfer.complete_in(data(decisions, id, asked)),
            (_, Payload::Out(_)) => transfer.complete_out(),
        },
        // Short, long, or with an error.
        3 => Completion::new(id, Status::COMPLETED, {
            let moved = decisions.below(asked + 1);
            Actual::In(data(decisions, id, moved))
        }),
        4 => Completion::new(id, status(decisions), {
            let moved = asked + decisions.below(600);
            Actual::In(data(decisions, id, moved))
        }),
        5 => Completion::new(id, status(decisions), Actual::Out(word(decisions))),
        6 => transfer.fail(status(decisions)),
        7 => transfer.fail(Status::CANCELLED),
        8 => Completion::failed(id, direction, Status::CANCELLED),
        // Packets that have nothing to do with those that were asked for.
        _ => {
            let count = decisions.below(12);
            let mut packet = || IsoPacket {
                offset: u32::from(half(decisions)),
                length: u32::from(half(decisions)),
                actual: match decisions.below(4) {
                    0 => word(decisions),
                    _ => decisions.below(200) as u32,
                },
                status: status(decisions),
            };
            let packets = (0..count).map(|_| packet()).collect();
            let moved = decisions.below(asked + 200);
            let data = data(decisions, id, moved);
            Completion::new(id, status(decisions), Actual::In(data)).with_packets(packets)
        }
    }
}
