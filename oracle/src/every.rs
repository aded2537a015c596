//! Packets of every type, with any values.

use bytes::Bytes;
use usb_descriptors::{Bcd, ClassCode, Direction, EndpointAddress, RequestType, SetupPacket};
use usbredir_proto::codec::{
    DeviceConnect, EndpointEntry, EndpointInfo, EndpointTypeCode, InterfaceEntry, Packet, Role,
    SpeedCode, StatusCode,
};
use usbredir_proto::filter::{Rule, Rules};

use crate::both::MOST_TRANSFER;

/// Values that look random and come again with the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Values(pub u64);

impl Values {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn short(&mut self) -> u16 {
        self.next() as u16
    }

    fn word(&mut self) -> u32 {
        self.next() as u32
    }

    /// Less than `end`.
    fn below(&mut self, end: u32) -> u32 {
        self.word() % end
    }

    fn status(&mut self) -> StatusCode {
        StatusCode(self.byte())
    }

    fn class(&mut self) -> ClassCode {
        ClassCode::new(self.byte(), self.byte(), self.byte())
    }

    fn endpoint(&mut self, direction: Direction) -> EndpointAddress {
        EndpointAddress::from_byte(self.byte()).with_direction(direction)
    }

    fn any_endpoint(&mut self) -> EndpointAddress {
        EndpointAddress::from_byte(self.byte())
    }

    fn data(&mut self) -> Bytes {
        (0..self.below(600)).map(|_| self.byte()).collect()
    }

    /// An id for headers of either width, as often as not.
    pub fn id(&mut self) -> u64 {
        let id = self.next();
        if self.byte() & 1 == 0 { id } else { id >> 32 }
    }

    fn device(&mut self) -> Packet {
        Packet::DeviceConnect(DeviceConnect {
            speed: SpeedCode(self.byte()),
            class: self.class(),
            vendor_id: self.short(),
            product_id: self.short(),
            release: Some(Bcd(self.short())),
        })
    }

    fn interfaces(&mut self) -> Packet {
        let rows = (0..self.below(33)).map(|_| InterfaceEntry {
            number: self.byte(),
            class: self.class(),
        });
        Packet::InterfaceInfo(rows.collect())
    }

    fn endpoints(&mut self) -> Packet {
        let mut info = EndpointInfo::default();
        for address in (0..16).flat_map(|number| [number, number | 0x80]) {
            let entry = EndpointEntry {
                transfer_type: EndpointTypeCode(self.byte()),
                interval: self.byte(),
                interface: self.byte(),
                max_packet_size: self.short(),
                max_streams: self.word(),
            };
            info.set(EndpointAddress::from_byte(address), entry);
        }
        Packet::EndpointInfo(info)
    }

    fn rules(&mut self) -> Packet {
        let rules: Vec<Rule> = (0..=self.below(4))
            .map(|_| Rule {
                class: (self.byte() & 1 == 0).then(|| self.byte()),
                vendor_id: (self.byte() & 1 == 0).then(|| self.short()),
                product_id: (self.byte() & 1 == 0).then(|| self.short()),
                release: (self.byte() & 1 == 0).then(|| self.short()),
                allow: self.byte() & 1 == 0,
            })
            .collect();
        let rules: Rules = rules.into_iter().collect();
        Packet::FilterFilter(rules.to_string().into())
    }

    fn setup(&mut self, length: u16) -> SetupPacket {
        SetupPacket {
            request_type: RequestType(self.byte()),
            request: self.byte(),
            value: self.short(),
            index: self.short(),
            length,
        }
    }
}

/// What `role` may send, whatever the capabilities: each type once, and those that go either way
/// with data once with and once without.
#[must_use]
pub fn every(role: Role, values: &mut Values) -> Vec<Packet> {
    let v = values;
    let mut list = data(role, v);
    list.push(v.rules());
    match role {
        Role::Host => list.extend([
            v.device(),
            Packet::DeviceDisconnect,
            v.interfaces(),
            v.endpoints(),
            Packet::ConfigurationStatus {
                status: v.status(),
                value: v.byte(),
            },
            Packet::AltSettingStatus {
                status: v.status(),
                interface: v.byte(),
                alternate: v.byte(),
            },
            Packet::IsoStreamStatus {
                status: v.status(),
                endpoint: v.any_endpoint(),
            },
            Packet::InterruptReceivingStatus {
                status: v.status(),
                endpoint: v.endpoint(Direction::In),
            },
            Packet::BulkStreamsStatus {
                endpoints: v.word(),
                count: v.word(),
                status: v.status(),
            },
            Packet::BulkReceivingStatus {
                stream: v.word(),
                endpoint: v.endpoint(Direction::In),
                status: v.status(),
            },
        ]),
        Role::Guest => list.extend([
            Packet::Reset,
            Packet::SetConfiguration { value: v.byte() },
            Packet::GetConfiguration,
            Packet::SetAltSetting {
                interface: v.byte(),
                alternate: v.byte(),
            },
            Packet::GetAltSetting {
                interface: v.byte(),
            },
            Packet::StartIsoStream {
                endpoint: v.any_endpoint(),
                packets_per_transfer: v.byte(),
                transfers: v.byte(),
            },
            Packet::StopIsoStream {
                endpoint: v.any_endpoint(),
            },
            Packet::StartInterruptReceiving {
                endpoint: v.endpoint(Direction::In),
            },
            Packet::StopInterruptReceiving {
                endpoint: v.endpoint(Direction::In),
            },
            Packet::AllocBulkStreams {
                endpoints: v.word(),
                count: v.word(),
            },
            Packet::FreeBulkStreams {
                endpoints: v.word(),
            },
            Packet::CancelDataPacket,
            Packet::FilterReject,
            Packet::DeviceDisconnectAck,
            Packet::StartBulkReceiving {
                stream: v.word(),
                bytes_per_transfer: v.below(MOST_TRANSFER + 1),
                endpoint: v.endpoint(Direction::In),
                transfers: v.byte(),
            },
            Packet::StopBulkReceiving {
                stream: v.word(),
                endpoint: v.endpoint(Direction::In),
            },
        ]),
    }
    list
}

/// Types 100 to 104.
fn data(role: Role, v: &mut Values) -> Vec<Packet> {
    let (with, without) = match role {
        Role::Host => (Direction::In, Direction::Out),
        Role::Guest => (Direction::Out, Direction::In),
    };
    let [control, bulk, iso, interrupt] = [v.data(), v.data(), v.data(), v.data()];
    let mut list = vec![
        Packet::Control {
            endpoint: v.endpoint(with),
            setup: v.setup(control.len() as u16),
            status: v.status(),
            data: control.into(),
        },
        Packet::Control {
            endpoint: v.endpoint(without),
            setup: {
                let length = v.short();
                v.setup(length)
            },
            status: v.status(),
            data: Bytes::new().into(),
        },
        Packet::Bulk {
            endpoint: v.endpoint(with),
            status: v.status(),
            stream: v.word(),
            length: bulk.len() as u32,
            data: bulk.into(),
        },
        Packet::Iso {
            endpoint: v.endpoint(with),
            status: v.status(),
            length: iso.len() as u16,
            data: iso.into(),
        },
        Packet::Interrupt {
            endpoint: v.endpoint(with),
            status: v.status(),
            length: interrupt.len() as u16,
            data: interrupt.into(),
        },
    ];
    // Lengths of 16 bits, and of more.
    for length in [v.short().into(), v.below(MOST_TRANSFER + 1)] {
        list.push(Packet::Bulk {
            endpoint: v.endpoint(without),
            status: v.status(),
            stream: v.word(),
            length,
            data: Bytes::new().into(),
        });
    }
    if role == Role::Host {
        list.push(Packet::Interrupt {
            endpoint: v.endpoint(Direction::Out),
            status: v.status(),
            length: v.short(),
            data: Bytes::new().into(),
        });
        let data = v.data();
        list.push(Packet::BufferedBulk {
            stream: v.word(),
            endpoint: v.endpoint(Direction::In),
            status: v.status(),
            length: data.len() as u32,
            data: data.into(),
        });
    }
    list
}
