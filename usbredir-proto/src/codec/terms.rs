//! What may be sent over a connection, and how long it is: known once the peer has said hello, and
//! then looked up once for each packet.

use crate::codec::{PacketType, Role};
use crate::{Capabilities, Limits};

/// Words of capabilities that a hello may have: the protocol defines eight bits.
const MOST_WORDS: u32 = 1024;

/// What holds for packets of one type.
#[derive(Clone, Copy, Default, Debug)]
struct Term {
    /// Bytes behind the header that each has.
    fixed: u16,
    /// This side may send it now.
    is_sent: bool,
    /// The peer may.
    is_received: bool,
    /// Bytes behind those that there may be.
    more: u32,
}

/// What holds for packets of each type, by number.
#[derive(Debug)]
pub(super) struct Terms([Term; 105]);

impl Terms {
    /// Of a side that knows what both can do, or not yet.
    pub(super) fn new(role: Role, both: Option<Capabilities>, limits: &Limits) -> Self {
        let mut terms = [Term::default(); 105];
        for (term, packet) in terms.iter_mut().zip((0..).map(PacketType)) {
            let is_hello = packet == PacketType::HELLO;
            let is_known = both.is_some_and(|both| both.contains(packet.needs()));
            *term = Term {
                fixed: fixed_length(packet, both.unwrap_or(Capabilities::NONE)),
                is_sent: (is_hello || is_known) && packet.is_sent_by(role),
                is_received: (is_hello || is_known) && packet.is_sent_by(role.peer()),
                more: most_data(packet, limits),
            };
        }
        Self(terms)
    }

    fn of(&self, packet: PacketType) -> Option<&Term> {
        self.0.get(packet.0 as usize)
    }

    /// Of so many bytes that have come, how many are of the fixed part, and how many more there are;
    /// `None` where the packet may not come now, or not so long.
    #[inline(always)]
    pub(super) fn received(&self, packet: PacketType, length: u32) -> Option<(u32, u32)> {
        let term = self.of(packet).filter(|term| term.is_received)?;
        let fixed = term.fixed.into();
        let more = length.checked_sub(fixed)?;
        (more <= term.more).then_some((fixed, more))
    }

    /// Between which lengths a packet must be that may come now.
    pub(super) fn lengths(&self, packet: PacketType) -> Option<(u32, u32)> {
        let term = self.of(packet).filter(|term| term.is_received)?;
        let least = term.fixed.into();
        Some((least, term.more.saturating_add(least)))
    }

    /// Whether this side may send it now.
    #[inline(always)]
    pub(super) fn is_sent(&self, packet: PacketType) -> bool {
        self.of(packet).is_some_and(|term| term.is_sent)
    }
}

/// Bytes of the part that each packet of a type has.
fn fixed_length(packet: PacketType, both: Capabilities) -> u16 {
    let has = |capability, bytes| if both.contains(capability) { bytes } else { 0 };
    match packet {
        PacketType::HELLO => 64,
        PacketType::DEVICE_CONNECT => 8 | has(Capabilities::CONNECT_DEVICE_VERSION, 2),
        PacketType::INTERFACE_INFO => 132,
        PacketType::EP_INFO => {
            let sizes = has(Capabilities::ENDPOINT_MAX_PACKET_SIZE, 64);
            let streams = has(Capabilities::BULK_STREAMS, 128);
            96u16.saturating_add(sizes).saturating_add(streams)
        }
        PacketType::SET_CONFIGURATION
        | PacketType::GET_ALT_SETTING
        | PacketType::STOP_ISO_STREAM
        | PacketType::START_INTERRUPT_RECEIVING
        | PacketType::STOP_INTERRUPT_RECEIVING
        // Its NUL.
        | PacketType::FILTER_FILTER => 1,
        PacketType::CONFIGURATION_STATUS
        | PacketType::SET_ALT_SETTING
        | PacketType::ISO_STREAM_STATUS
        | PacketType::INTERRUPT_RECEIVING_STATUS => 2,
        PacketType::ALT_SETTING_STATUS | PacketType::START_ISO_STREAM => 3,
        PacketType::FREE_BULK_STREAMS | PacketType::ISO_PACKET | PacketType::INTERRUPT_PACKET => 4,
        PacketType::STOP_BULK_RECEIVING => 5,
        PacketType::BULK_RECEIVING_STATUS => 6,
        PacketType::ALLOC_BULK_STREAMS => 8,
        PacketType::BULK_STREAMS_STATUS => 9,
        PacketType::START_BULK_RECEIVING
        | PacketType::CONTROL_PACKET
        | PacketType::BUFFERED_BULK_PACKET => 10,
        PacketType::BULK_PACKET => 8 | has(Capabilities::BULK_LENGTH_32_BITS, 2),
        _ => 0,
    }
}

/// Bytes that may follow.
const fn most_data(packet: PacketType, limits: &Limits) -> u32 {
    match packet {
        PacketType::HELLO => MOST_WORDS.saturating_mul(4),
        PacketType::FILTER_FILTER => limits.max_filter,
        PacketType::CONTROL_PACKET | PacketType::ISO_PACKET | PacketType::INTERRUPT_PACKET => {
            0xffff
        }
        PacketType::BULK_PACKET | PacketType::BUFFERED_BULK_PACKET => limits.max_transfer,
        _ => 0,
    }
}
