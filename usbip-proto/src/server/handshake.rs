//! Before a session: a client asks for the list of devices, or for a device.

use core::num::NonZeroUsize;

use bytes::BytesMut;
use usb_descriptors::Speed;
use usb_transfer::{Step, TxQueue, Wants, Wire};

use super::Session;
use crate::wire::op::{self, Common, Device};
use crate::wire::skip;
use crate::{BusId, DeviceRecord, Limits, OpStatus, ProtocolError};

/// The server's end of a connection until a device is imported.
///
/// Each request is answered, and its answer written, before the next is taken. The embedder may
/// take its time: meanwhile the handshake reads on, so that the end of the stream is noticed, but
/// a client that sends more than 4 KiB without waiting for its answer is given up.
///
/// ```
/// use bytes::{Buf, BytesMut};
/// use usb_transfer::{Step, Wire};
/// use usbip_proto::server::{Handshake, HandshakeEvent};
/// use usbip_proto::{Limits, OpStatus};
///
/// let mut handshake = Handshake::new(Limits::default());
/// let mut rx = BytesMut::from(&[1, 0x11, 0x80, 3, 0, 0, 0, 0][..]);
/// rx.extend_from_slice(b"1-1");
/// rx.extend_from_slice(&[0; 29]);
/// assert_eq!(handshake.receive(&mut rx)?, Step::Ready);
/// let Some(HandshakeEvent::Import(request)) = handshake.poll() else { panic!() };
/// assert_eq!(request.bus_id().as_str(), "1-1");
/// handshake.reject(request, OpStatus::NO_DEVICE);
/// assert_eq!(handshake.tx().chunk(), [1, 0x11, 0, 3, 0, 0, 0, 4]);
/// # Ok::<(), usbip_proto::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Handshake {
    limits: Limits,
    tx: TxQueue,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Ready for a request.
    Idle,
    /// A request came and was not polled yet.
    Asked(HandshakeEvent),
    /// A request is out at the embedder.
    Answering,
    Over(Option<ProtocolError>),
}

/// What a client asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeEvent {
    /// The devices it may import: [`Handshake::list`].
    List(ListRequest),
    /// A device: [`Handshake::accept`] or [`Handshake::reject`].
    Import(ImportRequest),
}

/// A client waits for the list of devices. Only a [`Handshake`] makes it.
#[derive(Debug)]
#[must_use = "the client waits for an answer"]
pub struct ListRequest {
    _private: (),
}

/// A client waits for a device. Only a [`Handshake`] makes it.
#[derive(Debug)]
#[must_use = "the client waits for an answer"]
pub struct ImportRequest {
    bus_id: BusId,
}

impl ImportRequest {
    /// The device's name.
    #[must_use]
    pub const fn bus_id(&self) -> BusId {
        self.bus_id
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "an answer consumes its request"
)]
impl Handshake {
    /// What a client may send before it has its answer: about a hundred requests.
    const MAX_UNANSWERED: usize = 4 << 10;

    /// The start of a connection; `limits` are those of the session to come.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            tx: TxQueue::new(),
            state: State::Idle,
        }
    }

    /// What the client asks for, once for each [`Step::Ready`].
    pub fn poll(&mut self) -> Option<HandshakeEvent> {
        if !matches!(self.state, State::Asked(_)) {
            return None;
        }
        match core::mem::replace(&mut self.state, State::Answering) {
            State::Asked(event) => Some(event),
            _ => None,
        }
    }

    /// Answers with a list; `usbipd` leaves out devices that are in use.
    pub fn list<'a>(
        &mut self,
        request: ListRequest,
        devices: impl IntoIterator<Item = &'a DeviceRecord, IntoIter: Clone>,
    ) {
        let ListRequest { _private: () } = request;
        let devices = devices.into_iter();
        let count = u32::try_from(devices.clone().count()).unwrap_or(u32::MAX);
        Common::new(op::REP_DEVLIST, OpStatus::OK).put(&mut self.tx);
        self.tx.put_slice(&count.to_be_bytes());
        for record in devices {
            Device::new(record)
                .with_interfaces(record.interfaces.len())
                .put(&mut self.tx);
            record
                .interfaces
                .iter()
                .for_each(|class| self.tx.put_slice(&op::interface(*class)));
        }
        self.answered();
    }

    /// Grants the device: the session starts. A device of a speed that has no code runs at high
    /// speed.
    #[must_use]
    pub fn accept(mut self, request: ImportRequest, device: &DeviceRecord) -> Session {
        // The client checks that its own bus id comes back.
        let mut reply = device.clone();
        reply.bus_id = request.bus_id;
        Common::new(op::REP_IMPORT, OpStatus::OK).put(&mut self.tx);
        Device::new(&reply).put(&mut self.tx);
        let speed = device.speed.speed().unwrap_or(Speed::High);
        let mut session = Session::with_tx(device.device_id, speed, self.limits, self.tx);
        if matches!(self.state, State::Over(_)) {
            session.end();
        }
        session
    }

    /// Refuses the device. [`OpStatus::OK`] would promise one, and is sent as
    /// [`OpStatus::ERROR`].
    pub fn reject(&mut self, request: ImportRequest, status: OpStatus) {
        let ImportRequest { bus_id: _ } = request;
        let status = if status == OpStatus::OK {
            OpStatus::ERROR
        } else {
            status
        };
        Common::new(op::REP_IMPORT, status).put(&mut self.tx);
        self.answered();
    }

    fn answered(&mut self) {
        if matches!(self.state, State::Answering) {
            self.state = State::Idle;
        }
    }

    /// Reads while a request is out at the embedder. A client says nothing more until it is
    /// answered; what it says all the same is kept, up to a limit.
    fn answering(&self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        let (found, limit) = (rx.len(), Self::MAX_UNANSWERED);
        if found > limit {
            return Err(ProtocolError::Impatient { found, limit });
        }
        rx.reserve(1);
        let write = !self.tx.is_empty();
        Ok(Step::Io(Wants {
            read: Some(NonZeroUsize::MIN),
            write,
        }))
    }

    fn request(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        if !self.tx.is_empty() {
            // A client that asks and never reads gets no second answer to keep.
            return Ok(Step::Io(Wants {
                read: None,
                write: true,
            }));
        }
        let expected = "0x8003 (import) or 0x8005 (list)";
        let total = match Common::parse(rx)?.map(Common::code) {
            None | Some(op::REQ_DEVLIST) => Common::LENGTH,
            Some(op::REQ_IMPORT) => Common::LENGTH.saturating_add(size_of::<[u8; 32]>()),
            Some(found) => return Err(ProtocolError::Operation { found, expected }),
        };
        if let Some(missing) = NonZeroUsize::new(total.saturating_sub(rx.len())) {
            rx.reserve(missing.get());
            return Ok(Step::Io(Wants {
                read: Some(missing),
                write: false,
            }));
        }
        let field = rx
            .get(Common::LENGTH..total)
            .and_then(|field| <[u8; 32]>::try_from(field).ok());
        let event = match field {
            None => HandshakeEvent::List(ListRequest { _private: () }),
            Some(found) => {
                let bus_id = BusId::from_field(&found).ok_or(ProtocolError::BusId { found })?;
                HandshakeEvent::Import(ImportRequest { bus_id })
            }
        };
        skip(rx, total);
        self.state = State::Asked(event);
        Ok(Step::Ready)
    }
}

impl Wire for Handshake {
    type Error = ProtocolError;

    fn receive(&mut self, rx: &mut BytesMut) -> Result<Step, ProtocolError> {
        let write = !self.tx.is_empty();
        match &self.state {
            State::Asked(_) => Ok(Step::Ready),
            State::Over(Some(error)) => Err(error.clone()),
            State::Over(None) => Ok(Step::Io(Wants { read: None, write })),
            State::Answering => self.answering(rx),
            State::Idle => self.request(rx),
        }
        .inspect_err(|error| self.state = State::Over(Some(error.clone())))
    }

    fn tx(&mut self) -> &mut TxQueue {
        &mut self.tx
    }

    fn end(&mut self) {
        if !matches!(self.state, State::Over(_)) {
            self.state = State::Over(None);
        }
    }
}
