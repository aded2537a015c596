//! The server of crates.io's `usbip` 0.9.0, as its documentation says.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use usb_descriptors::EndpointAddress;
use usbip::{
    EndpointAttributes, SetupPacket, UsbDevice, UsbEndpoint, UsbInterface, UsbInterfaceHandler,
    UsbIpServer,
};

use crate::{BULK_IN, BULK_OUT};

/// As [`Echo`](crate::Echo); with nothing to give back, it is an error.
#[derive(Debug)]
struct Handler {
    written: Option<VecDeque<Vec<u8>>>,
}

impl UsbInterfaceHandler for Handler {
    fn get_class_specific_descriptor(&self) -> Vec<u8> {
        Vec::new()
    }

    fn handle_urb(
        &mut self,
        _interface: &UsbInterface,
        endpoint: UsbEndpoint,
        length: u32,
        _setup: SetupPacket,
        data: &[u8],
    ) -> io::Result<Vec<u8>> {
        let address = EndpointAddress::from_byte(endpoint.address);
        match (&mut self.written, address) {
            (None, BULK_IN) => Ok(vec![0; length as usize]),
            (None, _) => Ok(Vec::new()),
            (Some(written), BULK_IN) => {
                let data = written.pop_front();
                data.ok_or_else(|| io::Error::other("nothing was written"))
            }
            (Some(written), _) => {
                written.push_back(data.to_vec());
                Ok(Vec::new())
            }
        }
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

/// Serves a device that echoes, or a null device, to any number of clients.
pub fn crates_io(echoes: bool) -> SocketAddr {
    let handler: Box<dyn UsbInterfaceHandler + Send> = Box::new(Handler {
        written: echoes.then(VecDeque::new),
    });
    let endpoint = |address: EndpointAddress| UsbEndpoint {
        address: address.to_byte(),
        attributes: EndpointAttributes::Bulk as u8,
        max_packet_size: 512,
        interval: 0,
    };
    let endpoints = vec![endpoint(BULK_IN), endpoint(BULK_OUT)];
    let device = UsbDevice::new(0).with_interface(
        0xff,
        0,
        0,
        Some("peer"),
        endpoints,
        Arc::new(Mutex::new(handler)),
    );
    let server = Arc::new(UsbIpServer::new_simulated(vec![device]));
    // It binds by itself.
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let address = free.expect("a port");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build();
        runtime
            .expect("a runtime")
            .block_on(usbip::server(address, server));
    });
    while TcpStream::connect(address).is_err() {
        thread::sleep(Duration::from_millis(5));
    }
    address
}
