//! A serial port.

use alloc::collections::VecDeque;
use core::mem;

use bytes::Bytes;
use thiserror::Error;
use usb_descriptors::build::{BuildError, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress, RequestType, SetupPacket};
use usb_transfer::{
    Change, DeviceDescriptors, Function, FunctionEvent, Payload, Segments, Transfer, TransferId,
};

use super::line::{ControlLines, LineCoding, SerialState};
use crate::device::{Device, Taken};
use crate::{DeviceError, DeviceOptions};

/// The interface of the line, which requests are for, and that of the bytes.
const COMMUNICATION: u8 = 0;
const DATA: u8 = 1;

const BYTES_IN: EndpointAddress = EndpointAddress::from_byte(0x81);
const BYTES_OUT: EndpointAddress = EndpointAddress::from_byte(0x02);
const NOTIFICATIONS: EndpointAddress = EndpointAddress::from_byte(0x83);

/// How often the host asks for notifications, in 125 µs: every 32 ms.
const INTERVAL: u32 = 256;
/// Room for the one notification there is.
const NOTIFICATION: u16 = 16;

/// Communications, abstract control model, no protocol: a modem's `AT` commands would be protocol
/// 1 and make modem programs send some (CDC 1.2, tables 12 to 17).
const ABSTRACT_CONTROL: ClassCode = ClassCode::new(2, 2, 0);
const DATA_CLASS: ClassCode = ClassCode::new(10, 0, 0);

/// Breaks that wait to be told.
const MOST_BREAKS: usize = 8;

/// Requests (PSTN 1.2, table 13).
mod request {
    pub(super) const SET_LINE_CODING: u8 = 0x20;
    pub(super) const GET_LINE_CODING: u8 = 0x21;
    pub(super) const SET_CONTROL_LINE_STATE: u8 = 0x22;
    pub(super) const SEND_BREAK: u8 = 0x23;
}

/// A serial port of the abstract control model (CDC-ACM), `ttyACM` to Linux.
///
/// What the host sends comes as [`SerialEvent::Received`], uncopied, and its transfer is complete
/// when that is taken: to take nothing is the back-pressure. What [`send`](Self::send) is given
/// goes to the host as it asks, uncopied too. There is no line, so nothing takes time and nothing
/// is ever lost.
///
/// ```
/// use bytes::Bytes;
/// use usb_descriptors::{EndpointAddress, SetupPacket, Speed};
/// use usb_functions::{DeviceOptions, Serial, SerialEvent};
/// use usb_transfer::{Function, Transfer, TransferIds};
///
/// let mut serial = Serial::new(DeviceOptions::new(Speed::High))?;
/// let mut ids = TransferIds::default();
/// serial.submit(Transfer::control_in(ids.mint(), SetupPacket::set_configuration(1)));
/// let out = EndpointAddress::from_byte(0x02);
/// serial.submit(Transfer::data_out(ids.mint(), out, Bytes::from_static(b"hello")));
/// while let Some(event) = serial.poll_event() {
///     if let SerialEvent::Received(bytes) = event {
///         serial.send(bytes)?; // an echo, as `Serial::loopback` has it
///     }
/// }
/// serial.submit(Transfer::data_in(ids.mint(), EndpointAddress::from_byte(0x81), 512));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Serial {
    device: Device,
    loopback: bool,
    /// For the host.
    sending: VecDeque<Bytes>,
    unsent: usize,
    /// A host has configured it.
    is_configured: bool,
    coding: LineCoding,
    lines: ControlLines,
    state: SerialState,
    /// The host has not been told the state.
    state_changed: bool,
    new_coding: Option<LineCoding>,
    new_lines: Option<ControlLines>,
    /// Not told yet, in order.
    breaks: VecDeque<u16>,
}

/// What a serial port has to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SerialEvent {
    /// The host has sent this.
    Received(Bytes),
    /// The host wants another line coding; of several, the last is told.
    LineCoding(LineCoding),
    /// The host has set its control lines; of several settings, the last is told.
    ControlLines(ControlLines),
    /// The host has sent a break of so many milliseconds; 0xffff begins one that lasts until 0
    /// (PSTN 1.2, 6.3.13). Each is told, in order; of more than eight that wait, the last
    /// takes the place of the one before, so that it is known whether one goes on.
    Break(u16),
}

/// Why bytes were not sent.
///
/// ```
/// use bytes::Bytes;
/// use usb_descriptors::Speed;
/// use usb_functions::{DeviceOptions, SendError, Serial};
/// let mut serial = Serial::new(DeviceOptions::new(Speed::High))?;
/// serial.send(Bytes::from(vec![0; Serial::MOST_UNSENT])).unwrap();
/// let error = serial.send(Bytes::from_static(b"more")).unwrap_err();
/// assert_eq!(error, SendError::Full { unsent: Serial::MOST_UNSENT });
/// # Ok::<(), usb_functions::DeviceError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too much was sent that the host has not asked for.
    #[error("{unsent} bytes wait for the host, up to {} may", Serial::MOST_UNSENT)]
    Full {
        /// Bytes that wait.
        unsent: usize,
    },
    /// The port was taken away.
    #[error("the serial port was taken away from its host")]
    Detached,
}

impl Serial {
    /// Bytes that may wait for the host before [`send`](Self::send) refuses more.
    pub const MOST_UNSENT: usize = 64 << 10;

    /// A port without carrier.
    ///
    /// # Errors
    /// [`DeviceError`] where there can be no such device.
    pub fn new(options: DeviceOptions) -> Result<Self, DeviceError> {
        let options = options.above_low_speed()?;
        // Communications, of the device as a whole (CDC 1.2, 4.1).
        let class = ClassCode::new(2, 0, 0);
        let descriptors = options.descriptors("USB Serial", class, interfaces()?)?;
        Ok(Self {
            device: Device::new(descriptors, [BYTES_IN, BYTES_OUT, NOTIFICATIONS]),
            loopback: false,
            sending: VecDeque::new(),
            unsent: 0,
            is_configured: false,
            coding: LineCoding::default(),
            lines: ControlLines::default(),
            state: SerialState::default(),
            state_changed: false,
            new_coding: None,
            new_lines: None,
            breaks: VecDeque::new(),
        })
    }

    /// A port whose lines are joined: it sends what it receives, and while the host is ready, so is
    /// the port. It has no [`SerialEvent::Received`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn loopback(options: DeviceOptions) -> Result<Self, DeviceError> {
        let mut serial = Self::new(options)?;
        serial.loopback = true;
        Ok(serial)
    }

    /// The descriptors it answers with.
    #[must_use]
    pub const fn descriptors(&self) -> &DeviceDescriptors {
        self.device.descriptors()
    }

    /// The line coding that the host has set last.
    #[must_use]
    pub const fn line_coding(&self) -> LineCoding {
        self.coding
    }

    /// The control lines that the host has set last.
    #[must_use]
    pub const fn control_lines(&self) -> ControlLines {
        self.lines
    }

    /// Whether a host has configured it; that a program there has it open,
    /// [`ControlLines`] say.
    #[must_use]
    pub const fn is_configured(&self) -> bool {
        self.device.is_configured()
    }

    /// Bytes that wait for the host.
    #[must_use]
    pub const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Whether the host has sent something that was not taken.
    #[must_use]
    pub fn has_received(&self) -> bool {
        !self.loopback && self.device.front(BYTES_OUT).is_some()
    }

    /// Sends bytes to the host.
    ///
    /// # Errors
    /// [`SendError`] while [`MOST_UNSENT`](Self::MOST_UNSENT) bytes wait, and once the port has
    /// left; nothing is sent then.
    pub fn send(&mut self, bytes: Bytes) -> Result<(), SendError> {
        if !self.device.is_attached() {
            return Err(SendError::Detached);
        }
        if self.unsent >= Self::MOST_UNSENT {
            let unsent = self.unsent;
            return Err(SendError::Full { unsent });
        }
        self.push(bytes);
        self.serve();
        Ok(())
    }

    /// Tells the host of the line. What is to be told once is told with what was not told yet.
    pub fn set_state(&mut self, state: SerialState) {
        if self.state != state {
            self.state = state.with_untold(self.state);
            self.state_changed = true;
            self.serve();
        }
    }

    /// What there is to tell; `None` for now. Settings come before bytes.
    pub fn poll_event(&mut self) -> Option<SerialEvent> {
        if let Some(coding) = self.new_coding.take() {
            return Some(SerialEvent::LineCoding(coding));
        }
        if let Some(lines) = self.new_lines.take() {
            return Some(SerialEvent::ControlLines(lines));
        }
        if let Some(milliseconds) = self.breaks.pop_front() {
            return Some(SerialEvent::Break(milliseconds));
        }
        if self.loopback {
            return None;
        }
        self.receive().map(SerialEvent::Received)
    }

    /// Takes the device away from the host: what it asked is answered with
    /// [`Status::DISCONNECTED`](usb_transfer::Status::DISCONNECTED), from now on too.
    pub fn detach(&mut self) {
        self.device.detach();
        self.restart(false);
    }

    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.unsent = self.unsent.saturating_add(bytes.len());
            self.sending.push_back(bytes);
        }
    }

    /// The next bytes of the host, none of them empty. Transfers that carry nothing are complete
    /// at once.
    fn receive(&mut self) -> Option<Bytes> {
        while let Some(transfer) = self.device.take(BYTES_OUT) {
            let bytes = match &transfer.payload {
                Payload::Out(bytes) => bytes.clone(),
                Payload::In { .. } => Bytes::new(),
            };
            self.device.complete(transfer.complete_out());
            if !bytes.is_empty() {
                return Some(bytes);
            }
        }
        None
    }

    /// Does all that can be done.
    fn serve(&mut self) {
        self.serve_bytes();
        while self.loopback && self.unsent < Self::MOST_UNSENT {
            let Some(bytes) = self.receive() else {
                break;
            };
            self.push(bytes);
            self.serve_bytes();
        }
        if self.state_changed {
            if let Some(transfer) = self.device.take(NOTIFICATIONS) {
                self.state_changed = false;
                let notification = notification(self.state);
                self.state = self.state.lasting();
                self.device.complete_in(&transfer, &notification);
            }
        }
    }

    fn serve_bytes(&mut self) {
        while self.unsent > 0 {
            let Some(transfer) = self.device.take(BYTES_IN) else {
                break;
            };
            let data = self.sent(transfer.payload.len());
            self.unsent = self.unsent.saturating_sub(data.len());
            self.device.complete(transfer.complete_in(data));
        }
    }

    /// The next bytes for the host, up to `room`.
    fn sent(&mut self, mut room: usize) -> Segments {
        let mut data = Segments::new();
        while room > 0 {
            let Some(next) = self.sending.front_mut() else {
                break;
            };
            let piece = next.split_to(room.min(next.len()));
            if next.is_empty() {
                self.sending.pop_front();
            }
            room = room.saturating_sub(piece.len());
            data.push(piece);
        }
        data
    }

    /// A host that had the port has left it or starts anew. What was sent before any host had it is
    /// kept for the first.
    fn restart(&mut self, is_configured: bool) {
        if mem::replace(&mut self.is_configured, is_configured) {
            self.sending.clear();
            self.unsent = 0;
            // What was to be told once was for that host, and its break was its own.
            self.state = self.state.lasting();
            self.breaks.clear();
        }
        self.set_coding(LineCoding::default());
        self.set_lines(ControlLines::default());
        self.state_changed = self.state != SerialState::default();
    }

    fn set_coding(&mut self, coding: LineCoding) {
        if self.coding != coding {
            self.coding = coding;
            self.new_coding = Some(coding);
        }
    }

    fn set_lines(&mut self, lines: ControlLines) {
        if self.lines != lines {
            self.lines = lines;
            self.new_lines = Some(lines);
        }
        if self.loopback {
            self.set_state(SerialState {
                carrier: lines.terminal_ready,
                ready: lines.terminal_ready,
                ..SerialState::default()
            });
        }
    }

    fn request(&mut self, transfer: Transfer, setup: SetupPacket) {
        if !self.device.is_for_interface(setup, COMMUNICATION) {
            return self.device.complete(transfer.stall());
        }
        match (setup.request_type, setup.request, setup.length) {
            (RequestType::CLASS_INTERFACE_OUT, request::SET_LINE_CODING, _) => {
                let coding = match &transfer.payload {
                    Payload::Out(bytes) => LineCoding::from_bytes(bytes),
                    Payload::In { .. } => None,
                };
                let Some(coding) = coding else {
                    return self.device.complete(transfer.stall());
                };
                self.set_coding(coding);
                self.device.complete(transfer.complete_out());
            }
            (RequestType::CLASS_INTERFACE_IN, request::GET_LINE_CODING, _) => {
                let coding = self.coding.to_bytes();
                self.device.answer(transfer, &coding);
            }
            (RequestType::CLASS_INTERFACE_OUT, request::SET_CONTROL_LINE_STATE, 0) => {
                self.device.complete(transfer.complete_out());
                self.set_lines(ControlLines::from_value(setup.value));
            }
            (RequestType::CLASS_INTERFACE_OUT, request::SEND_BREAK, 0) => {
                if self.breaks.len() >= MOST_BREAKS {
                    self.breaks.pop_back();
                }
                self.breaks.push_back(setup.value);
                self.device.complete(transfer.complete_out());
            }
            _ => self.device.complete(transfer.stall()),
        }
    }
}

impl Function for Serial {
    fn submit(&mut self, transfer: Transfer) {
        match self.device.submit(transfer) {
            Taken::Changed(Change::Configuration(value)) => self.restart(value != 0),
            Taken::Done | Taken::Changed(_) => {}
            Taken::Queued => self.serve(),
            Taken::Request(transfer, setup) => self.request(transfer, setup),
        }
    }

    fn cancel(&mut self, id: TransferId) {
        self.device.cancel(id);
    }

    fn reset(&mut self) {
        self.device.reset();
        self.restart(false);
    }

    fn poll(&mut self) -> Option<FunctionEvent> {
        self.device.poll()
    }
}

/// SERIAL_STATE (PSTN 1.2, table 30): class, interface, to the host; two bytes for the interface.
fn notification(state: SerialState) -> [u8; 10] {
    const SERIAL_STATE: u8 = 0x20;
    let to_host = RequestType::CLASS_INTERFACE_IN.0;
    [
        to_host,
        SERIAL_STATE,
        0,
        0,
        COMMUNICATION,
        0,
        2,
        0,
        state.bits(),
        0,
    ]
}

fn interfaces() -> Result<[Interface; 2], BuildError> {
    /// A descriptor of the class for an interface (CDC 1.2, table 24), and its subtypes (tables 13
    /// and 26).
    const CLASS: u8 = 0x24;
    const HEADER: u8 = 0x00;
    const CALL_MANAGEMENT: u8 = 0x01;
    const ABSTRACT_CONTROL_MANAGEMENT: u8 = 0x02;
    const UNION: u8 = 0x06;
    #[rustfmt::skip]
    const FUNCTIONAL: &[u8] = &[
        5, CLASS, HEADER, 0x10, 0x01, // release 1.10, as everybody says
        5, CLASS, CALL_MANAGEMENT, 0x00, DATA, // none
        // Line coding, control lines and serial state; breaks.
        4, CLASS, ABSTRACT_CONTROL_MANAGEMENT, 0x06,
        5, CLASS, UNION, COMMUNICATION, DATA,
    ];
    let line = Interface::new(COMMUNICATION, ABSTRACT_CONTROL)
        .descriptor(FUNCTIONAL)?
        .endpoint(Endpoint::interrupt(NOTIFICATIONS, NOTIFICATION, INTERVAL));
    let bytes = Interface::new(DATA, DATA_CLASS)
        .endpoint(Endpoint::bulk(BYTES_IN))
        .endpoint(Endpoint::bulk(BYTES_OUT));
    Ok([line, bytes])
}
