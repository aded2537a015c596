//! Rules of endpoints and their companions.

use super::{At, Linter, rules};
use crate::{Configuration, DescriptorType, Direction, Endpoint, Interface, Speed, TransferType};

impl Linter<'_, '_> {
    pub(super) fn endpoints(&mut self, configuration: &Configuration<'_>, bytes: &[u8]) {
        // By address, the interface that described it first.
        let mut owners = [None; 32];
        for interface in configuration.interfaces() {
            let mut in_setting = 0u32;
            for endpoint in interface.endpoints() {
                let at = At::of(endpoint.own_bytes(), bytes);
                self.address(&interface, &endpoint, &mut owners, &mut in_setting, at);
                self.packet_size(&interface, &endpoint, at);
                self.interval(&endpoint, at);
                self.attributes(&endpoint, at);
                self.companions(&endpoint, bytes, at);
            }
            self.feedback(configuration, &interface, bytes);
        }
    }

    fn address(
        &mut self,
        interface: &Interface<'_>,
        endpoint: &Endpoint<'_>,
        owners: &mut [Option<u8>; 32],
        in_setting: &mut u32,
        at: At,
    ) {
        let raw = endpoint.own_bytes().get(2).copied().unwrap_or(0);
        if raw & 0x70 != 0 {
            let found = Some(u32::from(raw));
            self.find_values(&rules::ENDPOINT_ADDRESS, at, found, None);
        }
        let address = endpoint.address();
        if address.is_control() {
            self.find(&rules::ENDPOINT_ZERO, at);
            return;
        }
        // A control endpoint takes its number in both directions.
        let both = [
            address,
            address.with_direction(match address.direction() {
                Direction::In => Direction::Out,
                Direction::Out => Direction::In,
            }),
        ];
        let count = if endpoint.transfer_type() == TransferType::Control {
            2
        } else {
            1
        };
        let mut is_duplicate = false;
        for address in both.into_iter().take(count) {
            let bit = 1u32.wrapping_shl(u32::from(address.index()));
            is_duplicate |= *in_setting & bit != 0;
            *in_setting |= bit;
            if let Some(owner) = owners.get_mut(usize::from(address.index())) {
                let first = *owner.get_or_insert(interface.number());
                is_duplicate |= first != interface.number();
            }
        }
        if is_duplicate {
            let found = Some(u32::from(address.to_byte()));
            self.find_values(&rules::ENDPOINT_DUPLICATE, at, found, None);
        }
    }

    fn packet_size(&mut self, interface: &Interface<'_>, endpoint: &Endpoint<'_>, at: At) {
        use TransferType::{Bulk, Control, Interrupt, Isochronous};
        let kind = endpoint.transfer_type();
        let size = endpoint.max_packet_size();
        let Some(limit) = self.speed.max_packet_size(kind) else {
            self.find(&rules::ENDPOINT_TYPE, at);
            return;
        };
        let is_legal = match (self.speed, kind) {
            (Speed::Low, Control) => size == 8,
            (Speed::Full, Control | Bulk) => matches!(size, 8 | 16 | 32 | 64),
            (_, Control | Bulk) => size == limit,
            (_, Interrupt | Isochronous) => size <= limit,
        };
        if !is_legal {
            let (found, expected) = (Some(u32::from(size)), Some(u32::from(limit)));
            self.find_values(&rules::PACKET_SIZE, at, found, expected);
        }
        let is_first = interface.alternate_setting() == 0;
        if size == 0 && kind.is_periodic() && !(kind == Isochronous && is_first) {
            self.find(&rules::PACKET_SIZE_ZERO, at);
        }
        if size != 0 && kind == Isochronous && is_first {
            let found = Some(u32::from(size));
            self.find_values(&rules::BANDWIDTH_IN_SETTING_0, at, found, Some(0));
        }
        let transactions = endpoint.transactions_per_microframe();
        let has_more = self.speed == Speed::High && kind.is_periodic();
        if transactions > if has_more { 3 } else { 1 } {
            let found = Some(u32::from(transactions));
            self.find_values(&rules::HIGH_BANDWIDTH, at, found, None);
        }
    }

    fn interval(&mut self, endpoint: &Endpoint<'_>, at: At) {
        let raw = endpoint.raw_interval();
        let is_legal = match (endpoint.transfer_type(), self.speed) {
            (TransferType::Control | TransferType::Bulk, _) => true,
            (TransferType::Interrupt, Speed::Low) => raw >= 10,
            (TransferType::Interrupt, Speed::Full) => raw != 0,
            _ => (1..=16).contains(&raw),
        };
        if !is_legal {
            self.find_values(&rules::INTERVAL, at, Some(u32::from(raw)), None);
        }
    }

    fn attributes(&mut self, endpoint: &Endpoint<'_>, at: At) {
        let attributes = endpoint.attributes();
        let meaningful = match endpoint.transfer_type() {
            TransferType::Isochronous => 0x3f,
            // Bits 5..4 tell a notification (USB 3.2, table 9-26).
            TransferType::Interrupt if self.speed.is_super() => 0x33,
            _ => 0x03,
        };
        if attributes & !meaningful != 0 {
            let found = Some(u32::from(attributes));
            self.find_values(&rules::ENDPOINT_ATTRIBUTES, at, found, None);
        }
    }

    fn companions(&mut self, endpoint: &Endpoint<'_>, bytes: &[u8], at: At) {
        let kind = Some(DescriptorType::SUPERSPEED_COMPANION);
        let behind = || endpoint.descriptors().skip(1);
        for (place, item) in behind().enumerate() {
            if place > 0 && item.descriptor_type() == kind {
                let at = At::of(item.bytes(), bytes);
                self.find(&rules::COMPANION_MISPLACED, at);
            }
        }
        if !self.speed.is_super() {
            return;
        }
        let Some(companion) = endpoint.companion() else {
            if !behind().any(|item| item.descriptor_type() == kind) {
                self.find(&rules::COMPANION_MISSING, at);
            }
            return;
        };
        let transfer_type = endpoint.transfer_type();
        let burst = u32::from(companion.packets_per_burst()).saturating_sub(1);
        let limit = if transfer_type == TransferType::Control {
            0
        } else {
            15
        };
        if burst > limit {
            self.find_values(&rules::COMPANION_BURST, at, Some(burst), Some(limit));
        }
        let attributes = u32::from(companion.attributes());
        let is_announced =
            transfer_type == TransferType::Isochronous && companion.attributes() & 0x80 != 0;
        let mut packets = burst.min(15).saturating_add(1);
        match transfer_type {
            TransferType::Bulk if attributes & 0x1f > 16 => {
                let found = Some(attributes & 0x1f);
                self.find_values(&rules::COMPANION_STREAMS, at, found, Some(16));
            }
            TransferType::Isochronous if !is_announced => {
                if attributes & 3 > 2 {
                    self.find_values(&rules::COMPANION_MULT, at, Some(attributes & 3), Some(2));
                }
                packets = packets.saturating_mul((attributes & 3).min(2).saturating_add(1));
            }
            TransferType::Control | TransferType::Interrupt if attributes != 0 => {
                self.find_values(&rules::COMPANION_MULT, at, Some(attributes), Some(0));
            }
            _ => {}
        }
        let carried = packets.saturating_mul(u32::from(endpoint.max_packet_size()));
        let stated = u32::from(companion.bytes_per_interval());
        if transfer_type.is_periodic() && !is_announced && stated > carried {
            self.find_values(&rules::COMPANION_BYTES, at, Some(stated), Some(carried));
        }
        if transfer_type == TransferType::Interrupt && stated == 0 && carried > 0 {
            self.find_values(&rules::COMPANION_BYTES_ZERO, at, Some(0), Some(carried));
        }
        if is_announced != endpoint.plus_companion().is_some() {
            self.find(&rules::PLUS_COMPANION, at);
        }
    }

    /// Asynchronous sinks tell their rate, by an endpoint of their own or by the data that they
    /// send back.
    fn feedback(
        &mut self,
        configuration: &Configuration<'_>,
        interface: &Interface<'_>,
        bytes: &[u8],
    ) {
        let is_isochronous =
            |endpoint: &Endpoint<'_>| endpoint.transfer_type() == TransferType::Isochronous;
        for endpoint in interface.endpoints().filter(is_isochronous) {
            let is_asynchronous = endpoint.attributes() >> 2 & 3 == 1;
            if endpoint.address().direction() == Direction::In || !is_asynchronous {
                continue;
            }
            let feeds_back = |other: &Endpoint<'_>| {
                let is_in = other.address().direction() == Direction::In;
                is_in && matches!(other.attributes() >> 4 & 3, 1 | 2)
            };
            // In audio class 1 the endpoint names it.
            let named = endpoint.own_bytes().get(8).copied().unwrap_or(0);
            let mut own = interface.endpoints().filter(is_isochronous);
            let has_own = own.any(|other| {
                feeds_back(&other) || (named != 0 && other.address().to_byte() == named)
            });
            let mut all = configuration.interfaces().flat_map(|each| each.endpoints());
            let implicit = |other: &Endpoint<'_>| {
                is_isochronous(other) && feeds_back(other) && other.attributes() >> 4 & 3 == 2
            };
            if !has_own && !all.any(|other| implicit(&other)) {
                let at = At::of(endpoint.own_bytes(), bytes);
                self.find(&rules::FEEDBACK_MISSING, at);
            }
        }
    }
}
