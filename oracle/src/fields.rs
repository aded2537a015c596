//! The fields of a packet as the library has them: by the tables of usb-redirection-protocol 0.7,
//! each structure with all that any capability adds. The layouts of `usbredir-proto` are not used.

use usb_descriptors::{ClassCode, Direction, EndpointAddress};
use usbredir_proto::codec::{EndpointInfo, InterfaceEntry, Packet, StatusCode};

/// Interfaces and endpoints that the tables have room for.
const ROWS: usize = 32;

/// Fields in their order, little-endian and without padding.
#[derive(Default)]
struct Fields(Vec<u8>);

impl Fields {
    fn byte(mut self, field: u8) -> Self {
        self.0.push(field);
        self
    }

    fn status(self, field: StatusCode) -> Self {
        self.byte(field.0)
    }

    fn endpoint(self, field: EndpointAddress) -> Self {
        self.byte(field.to_byte())
    }

    fn short(mut self, field: u16) -> Self {
        self.0.extend(field.to_le_bytes());
        self
    }

    fn word(mut self, field: u32) -> Self {
        self.0.extend(field.to_le_bytes());
        self
    }

    fn class(self, class: ClassCode) -> Self {
        self.byte(class.class)
            .byte(class.subclass)
            .byte(class.protocol)
    }

    /// One field of each interface; of those that there are not, 0.
    fn column(mut self, rows: &[InterfaceEntry], field: impl Fn(&InterfaceEntry) -> u8) -> Self {
        let end = self.0.len() + ROWS;
        self.0.extend(rows.iter().map(field));
        self.0.resize(end, 0);
        self
    }
}

/// A packet's structure. Bits that an address does not have are 0 in it, and so is what the
/// capabilities of both sides have no place for.
#[must_use]
pub fn fields(packet: &Packet) -> Vec<u8> {
    let fields = Fields::default();
    let fields = match packet {
        Packet::DeviceDisconnect
        | Packet::Reset
        | Packet::GetConfiguration
        | Packet::CancelDataPacket
        | Packet::FilterReject
        | Packet::DeviceDisconnectAck
        // Neither is compared by its fields.
        | Packet::Hello(_)
        | Packet::FilterFilter(_) => fields,
        Packet::DeviceConnect(device) => fields
            .byte(device.speed.0)
            .class(device.class)
            .short(device.vendor_id)
            .short(device.product_id)
            .short(device.release.map_or(0, |release| release.0)),
        Packet::InterfaceInfo(rows) => fields
            .word(rows.len() as u32)
            .column(rows, |row| row.number)
            .column(rows, |row| row.class.class)
            .column(rows, |row| row.class.subclass)
            .column(rows, |row| row.class.protocol),
        Packet::EndpointInfo(info) => endpoints(fields, info),
        Packet::SetConfiguration { value } => fields.byte(*value),
        Packet::ConfigurationStatus { status, value } => fields.status(*status).byte(*value),
        Packet::SetAltSetting {
            interface,
            alternate,
        } => fields.byte(*interface).byte(*alternate),
        Packet::GetAltSetting { interface } => fields.byte(*interface),
        Packet::AltSettingStatus {
            status,
            interface,
            alternate,
        } => fields.status(*status).byte(*interface).byte(*alternate),
        Packet::StartIsoStream {
            endpoint,
            packets_per_transfer,
            transfers,
        } => fields
            .endpoint(*endpoint)
            .byte(*packets_per_transfer)
            .byte(*transfers),
        Packet::StopIsoStream { endpoint }
        | Packet::StartInterruptReceiving { endpoint }
        | Packet::StopInterruptReceiving { endpoint } => fields.endpoint(*endpoint),
        Packet::IsoStreamStatus { status, endpoint }
        | Packet::InterruptReceivingStatus { status, endpoint } => {
            fields.status(*status).endpoint(*endpoint)
        }
        Packet::AllocBulkStreams { endpoints, count } => fields.word(*endpoints).word(*count),
        Packet::FreeBulkStreams { endpoints } => fields.word(*endpoints),
        Packet::BulkStreamsStatus {
            endpoints,
            count,
            status,
        } => fields.word(*endpoints).word(*count).status(*status),
        Packet::StartBulkReceiving {
            stream,
            bytes_per_transfer,
            endpoint,
            transfers,
        } => fields
            .word(*stream)
            .word(*bytes_per_transfer)
            .endpoint(*endpoint)
            .byte(*transfers),
        Packet::StopBulkReceiving { stream, endpoint } => fields.word(*stream).endpoint(*endpoint),
        Packet::BulkReceivingStatus {
            stream,
            endpoint,
            status,
        } => fields.word(*stream).endpoint(*endpoint).status(*status),
        Packet::Control {
            endpoint,
            setup,
            status,
            data: _,
        } => fields
            .endpoint(*endpoint)
            .byte(setup.request)
            .byte(setup.request_type.0)
            .status(*status)
            .short(setup.value)
            .short(setup.index)
            .short(setup.length),
        Packet::Bulk {
            endpoint,
            status,
            stream,
            length,
            data: _,
        } => fields
            .endpoint(*endpoint)
            .status(*status)
            .short(*length as u16)
            .word(*stream)
            .short((*length >> 16) as u16),
        Packet::Iso {
            endpoint,
            status,
            length,
            data: _,
        }
        | Packet::Interrupt {
            endpoint,
            status,
            length,
            data: _,
        } => fields.endpoint(*endpoint).status(*status).short(*length),
        Packet::BufferedBulk {
            stream,
            endpoint,
            status,
            length,
            data: _,
        } => fields
            .word(*stream)
            .word(*length)
            .endpoint(*endpoint)
            .status(*status),
    };
    fields.0
}

/// Bits 0 to 3 of an entry's place are the endpoint's number, and bit 4 its direction.
fn endpoints(mut fields: Fields, info: &EndpointInfo) -> Fields {
    let entry = |place: usize| {
        let direction = if place < 16 {
            Direction::Out
        } else {
            Direction::In
        };
        info.get(EndpointAddress::from_byte(place as u8 & 0x0f).with_direction(direction))
    };
    for place in 0..ROWS {
        fields = fields.byte(entry(place).transfer_type.0);
    }
    for place in 0..ROWS {
        fields = fields.byte(entry(place).interval);
    }
    for place in 0..ROWS {
        fields = fields.byte(entry(place).interface);
    }
    for place in 0..ROWS {
        fields = fields.short(entry(place).max_packet_size);
    }
    for place in 0..ROWS {
        fields = fields.word(entry(place).max_streams);
    }
    fields
}

/// Where a structure has the address of an endpoint.
#[must_use]
pub(crate) const fn endpoint_at(packet_type: u32) -> Option<usize> {
    match packet_type {
        12 | 13 | 15 | 16 | 100..=103 => Some(0),
        14 | 17 => Some(1),
        26 | 27 => Some(4),
        25 | 104 => Some(8),
        _ => None,
    }
}

/// How much of a structure is on the wire, with what both sides can do.
#[must_use]
pub(crate) const fn wire_length(packet_type: u32, both: u32) -> usize {
    match packet_type {
        1 if both & 0x02 == 0 => 8,
        5 if both & 0x10 == 0 => 96,
        5 if both & 0x01 == 0 => 160,
        101 if both & 0x40 == 0 => 8,
        other => crate::fixed_length(other),
    }
}
