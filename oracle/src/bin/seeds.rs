//! Writes inputs for the fuzz target `differential` to start from, into the folder that is named:
//! a boot from either side, and one packet of each kind with and without all capabilities.

use std::path::Path;

use bytes::Bytes;
use oracle::{Both, drain};
use usb_descriptors::{EndpointAddress, SetupPacket};
use usb_transfer::TxQueue;
use usbredir_proto::codec::{EndpointInfo, Packet, Role, StatusCode};

const HELLO: usize = 80;
const BOOT_GUEST: &[u8] = include_bytes!("../../../usbredir-proto/tests/data/xhci.g2h.bin");
const BOOT_HOST: &[u8] = include_bytes!("../../../usbredir-proto/tests/data/xhci.h2g.bin");

fn packets(role: Role) -> Vec<Packet> {
    let (endpoint, data) = match role {
        Role::Host => (
            EndpointAddress::from_byte(0x81),
            Bytes::from_static(b"data"),
        ),
        Role::Guest => (
            EndpointAddress::from_byte(0x01),
            Bytes::from_static(b"data"),
        ),
    };
    let status = StatusCode::SUCCESS;
    let mut setup = SetupPacket::set_configuration(1);
    setup.length = 4;
    let data = || data.clone().into();
    let mut list = vec![
        Packet::Control {
            endpoint,
            setup,
            status,
            data: data(),
        },
        Packet::Bulk {
            endpoint,
            status,
            stream: 0,
            length: 4,
            data: data(),
        },
        Packet::Iso {
            endpoint,
            status,
            length: 4,
            data: data(),
        },
        Packet::Interrupt {
            endpoint,
            status,
            length: 4,
            data: data(),
        },
    ];
    let endpoint = EndpointAddress::from_byte(0x81);
    match role {
        Role::Host => list.extend([
            Packet::InterfaceInfo(Vec::new()),
            Packet::EndpointInfo(EndpointInfo::default()),
            Packet::ConfigurationStatus { status, value: 1 },
            Packet::AltSettingStatus {
                status,
                interface: 0,
                alternate: 1,
            },
            Packet::IsoStreamStatus { status, endpoint },
            Packet::InterruptReceivingStatus { status, endpoint },
            Packet::BulkStreamsStatus {
                endpoints: 1 << 17,
                count: 1,
                status,
            },
            Packet::BulkReceivingStatus {
                stream: 0,
                endpoint,
                status,
            },
            Packet::BufferedBulk {
                stream: 0,
                endpoint,
                status,
                length: 4,
                data: data(),
            },
            Packet::DeviceDisconnect,
        ]),
        Role::Guest => list.extend([
            Packet::Reset,
            Packet::SetConfiguration { value: 1 },
            Packet::GetConfiguration,
            Packet::SetAltSetting {
                interface: 0,
                alternate: 1,
            },
            Packet::GetAltSetting { interface: 0 },
            Packet::StartIsoStream {
                endpoint,
                packets_per_transfer: 8,
                transfers: 4,
            },
            Packet::StopIsoStream { endpoint },
            Packet::StartInterruptReceiving { endpoint },
            Packet::StopInterruptReceiving { endpoint },
            Packet::AllocBulkStreams {
                endpoints: 1 << 17,
                count: 1,
            },
            Packet::FreeBulkStreams { endpoints: 1 << 17 },
            Packet::CancelDataPacket,
            Packet::FilterReject,
            Packet::FilterFilter(Bytes::from_static(b"-1,-1,-1,-1,1")),
            Packet::DeviceDisconnectAck,
            Packet::StartBulkReceiving {
                stream: 0,
                bytes_per_transfer: 512,
                endpoint,
                transfers: 5,
            },
            Packet::StopBulkReceiving {
                stream: 0,
                endpoint,
            },
        ]),
    }
    list
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("a folder");
    std::fs::create_dir_all(&folder)?;
    let write = |name: &str, receiver: u8, capabilities: u8, stream: &[u8]| {
        let input = [&[receiver, capabilities, capabilities], stream].concat();
        std::fs::write(Path::new(&folder).join(name), input)
    };
    write("boot-guest", 0, 0xff, &BOOT_GUEST[HELLO..])?;
    write("boot-host", 1, 0xff, &BOOT_HOST[HELLO..])?;
    for (role, name, receiver) in [(Role::Host, "host", 1), (Role::Guest, "guest", 0)] {
        for capabilities in [0, 0xff] {
            let writer = Both::new(role, capabilities, capabilities).ours;
            let mut tx = TxQueue::new();
            for packet in packets(role) {
                // What needs a capability is left out without it.
                let _ = writer.encode(1, packet, &mut tx);
            }
            let stream = drain(&mut tx);
            write(
                &format!("{name}-{capabilities:02x}"),
                receiver,
                capabilities as u8,
                &stream,
            )?;
        }
    }
    Ok(())
}
