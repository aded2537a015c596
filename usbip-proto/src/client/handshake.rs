//! Before a session: asking a server for its list of devices, or for a device.

use core::num::NonZeroUsize;

use bytes::BytesMut;
use usb_descriptors::{ClassCode, Speed};
use usb_transfer::{Step, TxQueue, Wants, Wire};

use super::Session;
use crate::wire::op::{self, Common, Device};
use crate::wire::skip;
use crate::{BusId, DeviceRecord, Limits, OpStatus, ProtocolError};

/// The client's end of a connection until a device is imported.
///
/// A list is never kept as a whole, here or in the buffer: each device is an event of its own as soon
/// as its bytes are there, checked against [`Limits::max_devices`] and [`Limits::max_interfaces`];
/// then comes [`HandshakeEvent::EndOfList`]. [`devices`](Self::devices) iterates over them.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_transfer::{Step, Wire};
/// use usbip_proto::client::{Handshake, HandshakeEvent};
/// use usbip_proto::{Limits, OpStatus};
///
/// let mut handshake = Handshake::import("1-1".parse()?, Limits::default());
/// assert_eq!(handshake.tx().remaining(), 40); // to be written
/// let mut rx = BytesMut::from(&[1, 0x11, 0, 3, 0, 0, 0, 2][..]);
/// assert_eq!(handshake.receive(&mut rx)?, Step::Ready);
/// assert!(matches!(handshake.poll(), Some(HandshakeEvent::Refused(OpStatus::BUSY))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Handshake {
    limits: Limits,
    tx: TxQueue,
    state: State,
    event: Option<HandshakeEvent>,
    /// The stream has ended.
    ended: bool,
}

#[derive(Debug)]
enum State {
    /// Waits for the reply to a list.
    Listing,
    /// So many devices are still to come.
    Devices(u32),
    /// So many interfaces of a device are still to come, then devices.
    Interfaces(DeviceRecord, u8, u32),
    /// Waits for the reply to an import.
    Importing(BusId),
    /// Granted; becomes a session.
    Imported(DeviceRecord),
    Over(Option<ProtocolError>),
}

/// What a server answered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandshakeEvent {
    /// One device of the list.
    Device(DeviceRecord),
    /// The list is complete.
    EndOfList,
    /// The device is granted: [`Handshake::into_session`].
    Imported(DeviceRecord),
    /// The list or the device is refused.
    Refused(OpStatus),
}

impl Handshake {
    /// Asks for the list of devices.
    #[must_use]
    pub fn list(limits: Limits) -> Self {
        let mut tx = TxQueue::new();
        Common::new(op::REQ_DEVLIST, OpStatus::OK).put(&mut tx);
        Self {
            limits,
            tx,
            state: State::Listing,
            event: None,
            ended: false,
        }
    }

    /// Asks for a device.
    #[must_use]
    pub fn import(bus_id: BusId, limits: Limits) -> Self {
        let mut tx = TxQueue::new();
        Common::new(op::REQ_IMPORT, OpStatus::OK).put(&mut tx);
        tx.put_slice(&bus_id.to_field());
        Self {
            limits,
            tx,
            state: State::Importing(bus_id),
            event: None,
            ended: false,
        }
    }

    /// What the server answered, once for each [`Step::Ready`].
    pub fn poll(&mut self) -> Option<HandshakeEvent> {
        self.event.take()
    }

    /// The devices of the list that are in `rx`. The iterator ends behind the last that is whole, so
    /// it may be asked for again when more was received; what else the server said is left to be
    /// [polled](Self::poll), the end of the list too. Over a list that breaks the protocol it ends
    /// with the error, and one that is asked for later gives the same again, as
    /// [`receive`](Wire::receive) does.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use usbip_proto::Limits;
    /// use usbip_proto::client::{Handshake, HandshakeEvent};
    ///
    /// let mut handshake = Handshake::list(Limits::default());
    /// let mut rx = BytesMut::from(&[1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0][..]); // of none
    /// for device in handshake.devices(&mut rx) {
    ///     println!("{}", device?.bus_id());
    /// }
    /// assert_eq!(handshake.poll(), Some(HandshakeEvent::EndOfList));
    /// # Ok::<(), usbip_proto::ProtocolError>(())
    /// ```
    pub const fn devices<'a>(&'a mut self, rx: &'a mut BytesMut) -> Devices<'a> {
        Devices {
            handshake: self,
            rx,
            has_failed: false,
        }
    }

    /// The session of the imported device; the handshake itself where none was imported.
    ///
    /// # Errors
    /// No device was imported (yet).
    #[expect(
        clippy::result_large_err,
        reason = "the error is the untouched handshake"
    )]
    pub fn into_session(self) -> Result<Session, Self> {
        match self.state {
            State::Imported(record) => {
                let speed = record.speed.speed().unwrap_or(Speed::High);
                let mut session = Session::with_tx(record.device_id, speed, self.limits, self.tx);
                if self.ended {
                    session.end();
                }
                Ok(session)
            }
            state => Err(Self { state, ..self }),
        }
    }

    /// Takes one part of a reply: a header, a device, an interface. `None`: it is not all there,
    /// and so many bytes are missing.
    fn part(&mut self, rx: &mut BytesMut) -> Result<Option<NonZeroUsize>, ProtocolError> {
        let total = match &self.state {
            State::Listing => Common::LENGTH.saturating_add(size_of::<u32>()),
            State::Devices(_) => Device::LENGTH,
            State::Interfaces(..) => op::INTERFACE_LENGTH,
            State::Importing(_) => Common::LENGTH.saturating_add(Device::LENGTH),
            State::Imported(_) | State::Over(_) => return Ok(None),
        };
        // A refusal has no body.
        if let State::Listing | State::Importing(_) = &self.state {
            if let Some(status) = self.refusal(rx)? {
                skip(rx, Common::LENGTH);
                self.state = State::Over(None);
                self.event = Some(HandshakeEvent::Refused(status));
                return Ok(None);
            }
        }
        if let Some(missing) = NonZeroUsize::new(total.saturating_sub(rx.len())) {
            rx.reserve(missing.get());
            return Ok(Some(missing));
        }
        let body = rx.get(..total).unwrap_or(&[]);
        match core::mem::replace(&mut self.state, State::Over(None)) {
            State::Listing => {
                let count = body
                    .last_chunk()
                    .map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let limit = self.limits.max_devices;
                if count > limit {
                    return Err(ProtocolError::DeviceCount {
                        found: count,
                        limit,
                    });
                }
                self.expect_devices(count);
            }
            State::Devices(left) => {
                if let Some(record) = Device::parse(body)? {
                    let (count, limit) = (record.interface_count, self.limits.max_interfaces);
                    if count > limit {
                        return Err(ProtocolError::InterfaceCount {
                            bus_id: record.bus_id,
                            found: count,
                            limit,
                        });
                    }
                    self.interfaces(record, count, left);
                }
            }
            State::Interfaces(mut record, left, devices) => {
                if let [class, subclass, protocol, _] = *body {
                    record
                        .interfaces
                        .push(ClassCode::new(class, subclass, protocol));
                }
                self.interfaces(record, left.saturating_sub(1), devices);
            }
            State::Importing(bus_id) => {
                let device = body.get(Common::LENGTH..).unwrap_or(&[]);
                if let Some(record) = Device::parse(device)? {
                    let (found, expected) = (record.bus_id, bus_id);
                    if found != expected {
                        return Err(ProtocolError::OtherBusId { found, expected });
                    }
                    self.state = State::Imported(record.clone());
                    self.event = Some(HandshakeEvent::Imported(record));
                }
            }
            state @ (State::Imported(_) | State::Over(_)) => self.state = state,
        }
        skip(rx, total);
        Ok(None)
    }

    /// The status of a reply that is none but it; checks the header.
    fn refusal(&self, rx: &[u8]) -> Result<Option<OpStatus>, ProtocolError> {
        let Some(common) = Common::parse(rx)? else {
            return Ok(None);
        };
        let (code, expected) = match self.state {
            State::Listing => (op::REP_DEVLIST, "0x0005 (the list)"),
            _ => (op::REP_IMPORT, "0x0003 (the imported device)"),
        };
        if common.code() != code {
            return Err(ProtocolError::Operation {
                found: common.code(),
                expected,
            });
        }
        Ok(Some(common.status()).filter(|status| *status != OpStatus::OK))
    }

    fn expect_devices(&mut self, left: u32) {
        if left == 0 {
            self.event = Some(HandshakeEvent::EndOfList);
        } else {
            self.state = State::Devices(left);
        }
    }

    fn interfaces(&mut self, record: DeviceRecord, left: u8, devices: u32) {
        if left > 0 {
            self.state = State::Interfaces(record, left, devices);
            return;
        }
        self.event = Some(HandshakeEvent::Device(record));
        // The end of the list is reported on its own, after the last device.
        self.state = State::Devices(devices.saturating_sub(1));
    }
}

/// What [`Handshake::devices`] iterates over.
#[derive(Debug)]
pub struct Devices<'a> {
    handshake: &'a mut Handshake,
    rx: &'a mut BytesMut,
    has_failed: bool,
}

impl Iterator for Devices<'_> {
    type Item = Result<DeviceRecord, ProtocolError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed {
            return None;
        }
        if let Err(error) = self.handshake.receive(self.rx) {
            self.has_failed = true;
            return Some(Err(error));
        }
        match self.handshake.event.take() {
            Some(HandshakeEvent::Device(device)) => Some(Ok(device)),
            other => {
                self.handshake.event = other;
                None
            }
        }
    }
}

impl core::iter::FusedIterator for Devices<'_> {}

impl Wire for Handshake {
    type Error = ProtocolError;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        loop {
            if self.event.is_some() {
                return Ok(Step::Ready);
            }
            let idle = Wants {
                read: None,
                write: !self.tx.is_empty(),
            };
            match &self.state {
                State::Over(Some(error)) => return Err(error.clone()),
                State::Over(None) | State::Imported(_) => return Ok(Step::Io(idle)),
                State::Devices(0) => {
                    self.state = State::Over(None);
                    self.event = Some(HandshakeEvent::EndOfList);
                    continue;
                }
                _ => {}
            }
            match self.part(rx) {
                Ok(None) => {}
                Ok(missing) => {
                    return Ok(Step::Io(Wants {
                        read: missing,
                        ..idle
                    }));
                }
                Err(error) => {
                    self.state = State::Over(Some(error.clone()));
                    return Err(error);
                }
            }
        }
    }

    fn tx(&mut self) -> &mut TxQueue {
        &mut self.tx
    }

    fn end(&mut self) {
        self.ended = true;
        if !matches!(self.state, State::Over(_) | State::Imported(_)) {
            self.state = State::Over(None);
        }
    }
}
