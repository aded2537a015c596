//! A usbredir host on the crates of this workspace, and what its guest says.

use bytes::{Buf, Bytes, BytesMut};
use usb_descriptors::EndpointAddress;
use usb_transfer::{DeviceDescriptors, Frontend, Function, TxQueue};
use usbredir_proto::codec::{Codec, Packet, Role, StatusCode};
use usbredir_proto::{Capabilities, Host, Limits, Options};

use crate::session::{bring, serve};
use crate::{Disk, Server, Urb};

/// One end of a connection whose sides can do everything and have greeted each other.
pub fn greeted(role: Role) -> Codec {
    let mut codec = Codec::new(role, Capabilities::ALL, Limits::default());
    let mut hello = BytesMut::from(&hello(role.peer())[..]);
    let _ = codec.decode(&mut hello).expect("a hello");
    codec
}

fn hello(role: Role) -> Bytes {
    let codec = Codec::new(role, Capabilities::ALL, Limits::default());
    written(&codec, Packet::Hello(codec.hello("benches")))
}

fn written(codec: &Codec, packet: Packet) -> Bytes {
    let mut tx = TxQueue::new();
    codec.encode(1, packet, &mut tx).expect("it fits");
    tx.copy_to_bytes(tx.remaining())
}

/// A bulk packet of a guest: to the device with these bytes, from it for so many.
pub fn bulk(payload: &Bytes, is_in: bool) -> Packet {
    let (endpoint, data) = if is_in {
        (0x81, Bytes::new())
    } else {
        (0x02, payload.clone())
    };
    Packet::Bulk {
        endpoint: EndpointAddress::from_byte(endpoint),
        status: StatusCode::SUCCESS,
        stream: 0,
        length: payload.len() as u32,
        data: data.into(),
    }
}

impl Urb {
    /// A bulk transfer as a usbredir guest asks for it.
    pub fn redirected(payload: &Bytes, is_in: bool) -> Self {
        let message = written(&greeted(Role::Guest), bulk(payload, is_in)).to_vec();
        Self {
            message,
            transfers: 1,
        }
    }

    /// As [`disk_read`](Self::disk_read), of a usbredir guest.
    pub fn redirected_disk_read(store: &Bytes, length: usize) -> Self {
        // Behind the header of its URB.
        let wrapper = Bytes::copy_from_slice(&Self::disk_read(length).message[48..48 + 31]);
        let parts = [
            Self::redirected(&wrapper, false),
            Self::redirected(&store.slice(..length), true),
            Self::redirected(&store.slice(..13), true),
        ];
        Self {
            transfers: parts.len(),
            message: parts.into_iter().flat_map(|part| part.message).collect(),
        }
    }
}

/// A host and the device behind it.
#[derive(Debug)]
pub struct Redirecting<F> {
    host: Host,
    rx: BytesMut,
    device: F,
}

impl<F: Function> Redirecting<F> {
    /// A host whose guest has configured the device.
    pub fn new(device: F, descriptors: DeviceDescriptors) -> Self {
        let mut host = Host::new(Options::default());
        host.attach(descriptors).expect("descriptors");
        let mut redirecting = Self {
            host,
            rx: BytesMut::from(&hello(Role::Guest)[..]),
            device,
        };
        redirecting.serve();
        let configure = Packet::SetConfiguration { value: 1 };
        let message = written(&greeted(Role::Guest), configure);
        redirecting.rx.extend_from_slice(&message);
        redirecting.serve();
        redirecting
    }
}

impl Redirecting<Disk> {
    /// A host of a disk.
    pub fn disk(disk: Disk) -> Self {
        let descriptors = disk.descriptors();
        Self::new(disk, descriptors)
    }
}

impl<F: Function> Server for Redirecting<F> {
    fn bring(&mut self, urb: &Urb, count: usize) {
        bring(&mut self.rx, urb, count);
    }

    fn serve(&mut self) {
        serve(&mut self.host, &mut self.rx, &mut self.device);
        assert_eq!(self.host.pending(), 0, "the device takes no time");
    }
}
