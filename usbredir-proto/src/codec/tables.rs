//! What a side says of itself, and a host of its device: hellos and tables.

use alloc::string::String;

use usb_descriptors::{Bcd, ClassCode};
use usb_transfer::TxQueue;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromZeros, IntoBytes};

use crate::codec::decode::Reader;
use crate::codec::encode::Writer;
use crate::codec::{
    DeviceConnect, EndpointInfo, EndpointTypeCode, Hello, InterfaceEntry, Packet, SpeedCode,
};
use crate::wire::layout;
use crate::{Capabilities, MisuseError, ProtocolError};

impl Reader<'_> {
    pub(super) fn hello(self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (hello, words) = self.read::<layout::Hello>(bytes)?;
        let text = hello.version.split(|byte| *byte == 0).next();
        let first = words.first_chunk::<4>();
        Ok(Packet::Hello(Hello {
            version: String::from_utf8_lossy(text.unwrap_or_default()).into_owned(),
            capabilities: first.map_or(Capabilities::NONE, |word| {
                Capabilities::from_bits(u32::from_le_bytes(*word))
            }),
        }))
    }

    pub(super) fn device_connect(self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (body, rest) = self.read::<layout::DeviceConnect>(bytes)?;
        let release = if rest.is_empty() {
            None
        } else {
            Some(Bcd(self
                .read::<layout::DeviceVersion>(rest)?
                .0
                .release
                .get()))
        };
        Ok(Packet::DeviceConnect(DeviceConnect {
            speed: SpeedCode(body.speed),
            class: ClassCode::new(body.class, body.subclass, body.protocol),
            vendor_id: body.vendor.get(),
            product_id: body.product.get(),
            release,
        }))
    }

    pub(super) fn interface_info(self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (body, _) = self.read::<layout::InterfaceInfo>(bytes)?;
        let found = body.count.get();
        let count = usize::try_from(found).unwrap_or(usize::MAX);
        if count > layout::ROWS {
            return Err(ProtocolError::Interfaces { found });
        }
        let classes = body.class.iter().zip(&body.subclass).zip(&body.protocol);
        let rows = body.number.iter().zip(classes).take(count);
        let rows = rows.map(|(number, ((class, subclass), protocol))| InterfaceEntry {
            number: *number,
            class: ClassCode::new(*class, *subclass, *protocol),
        });
        Ok(Packet::InterfaceInfo(rows.collect()))
    }

    pub(super) fn endpoint_info(self, bytes: &[u8]) -> Result<Packet, ProtocolError> {
        let (body, rest) = self.read::<layout::EndpointInfo>(bytes)?;
        let mut info = EndpointInfo::default();
        let columns = body
            .transfer_type
            .iter()
            .zip(&body.interval)
            .zip(&body.interface);
        for (entry, ((transfer_type, interval), interface)) in info.iter_mut().zip(columns) {
            entry.transfer_type = EndpointTypeCode(*transfer_type);
            entry.interval = *interval;
            entry.interface = *interface;
        }
        if !rest.is_empty() {
            let (sizes, rest) = self.read::<layout::EndpointSizes>(rest)?;
            for (entry, size) in info.iter_mut().zip(&sizes.max_packet_size) {
                entry.max_packet_size = size.get();
            }
            if !rest.is_empty() {
                let (streams, _) = self.read::<layout::EndpointStreams>(rest)?;
                for (entry, most) in info.iter_mut().zip(&streams.max_streams) {
                    entry.max_streams = most.get();
                }
            }
        }
        Ok(Packet::EndpointInfo(info))
    }
}

impl Writer<'_> {
    pub(super) fn hello(self, hello: &Hello, tx: &mut TxQueue) -> Result<(), MisuseError> {
        let mut body = layout::Hello { version: [0; 64] };
        let room = body.version.len().saturating_sub(1);
        let text = hello.version.as_bytes();
        let place = body.version.get_mut(..text.len());
        match place.filter(|place| place.len() <= room) {
            Some(place) => place.copy_from_slice(text),
            None => return Err(self.misfit("version")),
        }
        let words = hello.capabilities.bits().to_le_bytes();
        self.put(body, words.len(), tx);
        tx.put_slice(&words);
        Ok(())
    }

    pub(super) fn device_connect(self, device: &DeviceConnect, tx: &mut TxQueue) {
        let body = layout::DeviceConnect {
            speed: device.speed.0,
            class: device.class.class,
            subclass: device.class.subclass,
            protocol: device.class.protocol,
            vendor: device.vendor_id.into(),
            product: device.product_id.into(),
        };
        if self.codec.has(Capabilities::CONNECT_DEVICE_VERSION) {
            let release = device.release.map_or(0, |release| release.0).into();
            let version = layout::DeviceVersion { release };
            self.put(body, size_of_val(&version), tx);
            tx.put_slice(version.as_bytes());
        } else {
            self.put(body, 0, tx);
        }
    }

    pub(super) fn interface_info(
        self,
        interfaces: &[InterfaceEntry],
        tx: &mut TxQueue,
    ) -> Result<(), MisuseError> {
        if interfaces.len() > layout::ROWS {
            return Err(self.misfit("interfaces"));
        }
        let mut body = layout::InterfaceInfo::new_zeroed();
        body.count = U32::new(u32::try_from(interfaces.len()).unwrap_or(0));
        let classes = body.class.iter_mut().zip(&mut body.subclass);
        let classes = classes.zip(&mut body.protocol);
        let rows = body.number.iter_mut().zip(classes);
        for ((number, ((class, subclass), protocol)), entry) in rows.zip(interfaces) {
            *number = entry.number;
            *class = entry.class.class;
            *subclass = entry.class.subclass;
            *protocol = entry.class.protocol;
        }
        self.put(body, 0, tx);
        Ok(())
    }

    pub(super) fn endpoint_info(self, endpoints: &EndpointInfo, tx: &mut TxQueue) {
        let mut body = layout::EndpointInfo::new_zeroed();
        let columns = body.transfer_type.iter_mut().zip(&mut body.interval);
        let columns = columns.zip(&mut body.interface);
        for (((transfer_type, interval), interface), entry) in columns.zip(endpoints.iter()) {
            *transfer_type = entry.transfer_type.0;
            *interval = entry.interval;
            *interface = entry.interface;
        }
        let mut sizes = layout::EndpointSizes::new_zeroed();
        for (size, entry) in sizes.max_packet_size.iter_mut().zip(endpoints.iter()) {
            *size = U16::new(entry.max_packet_size);
        }
        let mut streams = layout::EndpointStreams::new_zeroed();
        for (most, entry) in streams.max_streams.iter_mut().zip(endpoints.iter()) {
            *most = U32::new(entry.max_streams);
        }
        let part = |capability, bytes| {
            if self.codec.has(capability) {
                bytes
            } else {
                &[][..]
            }
        };
        let sizes = part(Capabilities::ENDPOINT_MAX_PACKET_SIZE, sizes.as_bytes());
        let streams = part(Capabilities::BULK_STREAMS, streams.as_bytes());
        self.put(body, sizes.len().saturating_add(streams.len()), tx);
        tx.put_slice(sizes);
        tx.put_slice(streams);
    }
}
