//! One connected socket: the bytes side of any [`Wire`].

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use bytes::{Buf, BytesMut};
use rustix::event::PollFlags;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{self, AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, sockopt};
use thiserror::Error;
use usb_transfer::{Step, TxQueue, Wants, Wire};

use crate::buffer::read_into;

/// A connected stream socket (Unix, TCP or vsock) and the bytes received from it, for one
/// [`Wire`] at a time: first a handshake, then the session that it became.
///
/// In steady state a request costs two system calls: one `recv` of whatever is there, in
/// [`sleep`](crate::Sleeper::sleep), and one vectored `sendmsg` of all that is queued, in
/// [`turn`](Self::turn).
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use examples::{Sleeper, Stream, run};
/// use usb_descriptors::Speed;
/// use usbip_proto::{DeviceId, Limits, server::Session};
/// # use std::collections::VecDeque;
/// # use usb_transfer::*;
/// # #[derive(Default)]
/// # struct Brick(VecDeque<FunctionEvent>);
/// # impl Function for Brick {
/// #     fn submit(&mut self, transfer: Transfer) {
/// #         self.0.push_back(FunctionEvent::Complete(transfer.stall()));
/// #     }
/// #     fn cancel(&mut self, _id: TransferId) {}
/// #     fn reset(&mut self) {}
/// #     fn poll(&mut self) -> Option<FunctionEvent> { self.0.pop_front() }
/// # }
/// let (ours, theirs) = UnixStream::pair()?;
/// drop(theirs); // a client that leaves at once
/// let mut session = Session::new(DeviceId::new(1, 2), Speed::High, Limits::default());
/// run(&mut Stream::new(ours)?, &Sleeper::new(), &mut session, &mut Brick::default())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    socket: OwnedFd,
    rx: BytesMut,
    /// What the wire wanted last.
    wants: Wants,
    /// The socket took less than it was given, and `poll` has not yet said that it takes more.
    full: bool,
    /// Bytes received and sent.
    moved: u64,
    end: End,
    failure: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    NotYet,
    /// Nothing more will come, and the wire does not know.
    Reached,
    Told,
}

/// How a [`Stream`] ended, if not at the end of its bytes.
#[derive(Debug, Error)]
pub enum StreamError<E> {
    /// The peer broke the protocol.
    #[error(transparent)]
    Protocol(E),
    /// The system refused to receive or to send.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
}

/// What each end of a pair has under way at most, in bytes, if the system lets it: the longest
/// request of Linux, so that it goes over in one piece.
const BUFFER: usize = 1 << 20;

/// So many pieces go out by one system call.
const PIECES: usize = 64;
/// One reply is fewer, mostly one or two.
const FEW_PIECES: usize = 4;

impl Stream {
    /// Takes a connected stream socket and sets it up: blocking, for waiting is by receiving;
    /// and TCP without delay, for small messages follow each other.
    ///
    /// # Errors
    /// It is no socket.
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = socket.into();
        rustix::io::ioctl_fionbio(&socket, false)?;
        if matches!(
            sockopt::socket_domain(&socket)?,
            AddressFamily::INET | AddressFamily::INET6
        ) {
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        Ok(Self {
            socket,
            rx: BytesMut::new(),
            wants: Wants {
                read: None,
                write: false,
            },
            full: false,
            moved: 0,
            end: End::NotYet,
            failure: None,
        })
    }

    /// A stream and the other end of it, to be handed to the kernel.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (near, far) = UnixStream::pair()?;
        for end in [&near, &far] {
            if sockopt::set_socket_send_buffer_size_force(end, BUFFER).is_err() {
                sockopt::set_socket_send_buffer_size(end, BUFFER)?;
            }
        }
        Ok((Self::new(near)?, far.into()))
    }

    /// Turns the wire until it has something to tell (`true`: exchange, then turn again) or needs
    /// the peer. Before that, what it queued is handed to the socket.
    pub fn turn(&mut self, wire: &mut (impl Wire + ?Sized)) -> bool {
        loop {
            if self.end == End::Reached {
                self.end = End::Told;
                wire.end();
                return true;
            }
            let wants = match wire.receive(&mut self.rx) {
                Ok(Step::Ready) => return true,
                Ok(Step::Io(wants)) => wants,
                Err(_) if self.end == End::NotYet => {
                    self.end = End::Reached;
                    continue;
                }
                Err(_) => Wants {
                    read: None,
                    write: !wire.tx().is_empty(),
                },
            };
            self.flush(wire.tx());
            let write = !wire.tx().is_empty();
            let read = wants.read.filter(|_| self.end == End::NotYet);
            self.wants = Wants { read, write };
            // A wire that stopped reading because its queue was full may go on.
            let drained = wants.read.is_none() && wants.write && !write;
            if self.end != End::Reached && !(drained && self.end == End::NotYet) {
                return false;
            }
        }
    }

    /// Whether the wire wanted neither to read nor to write any more.
    #[must_use]
    pub const fn finished(&self) -> bool {
        self.wants.is_finished()
    }

    /// How it ended, once it is [`finished`](Self::finished); the wire must be the one that was
    /// turned last.
    ///
    /// # Errors
    /// The socket's error, or else the wire's. A peer that is gone is an end, not an error.
    pub fn result<W: Wire + ?Sized>(&mut self, wire: &mut W) -> Result<(), StreamError<W::Error>> {
        if let Some(error) = self.failure.take() {
            return Err(StreamError::Io(error));
        }
        // Errors of a wire are sticky.
        wire.receive(&mut self.rx)
            .map(|_| ())
            .map_err(StreamError::Protocol)
    }

    /// The socket, and what was received and not read by any wire.
    #[must_use]
    pub fn into_parts(self) -> (OwnedFd, BytesMut) {
        (self.socket, self.rx)
    }

    /// Hands the socket as much of the queue as it takes.
    fn flush(&mut self, tx: &mut TxQueue) {
        while !tx.is_empty() && !self.full {
            let mut few = [IoSlice::new(&[]); FEW_PIECES];
            let count = tx.chunks_vectored(&mut few);
            let sent = if count < FEW_PIECES {
                self.send(&few[..count])
            } else {
                let mut many = [IoSlice::new(&[]); PIECES];
                let count = tx.chunks_vectored(&mut many);
                self.send(&many[..count])
            };
            match sent {
                Ok(count) => {
                    self.moved = self.moved.wrapping_add(count as u64);
                    tx.advance(count);
                }
                Err(error) => {
                    tx.clear();
                    self.lost(error);
                }
            }
        }
    }

    /// Sends as much of the pieces as the socket takes now.
    fn send(&mut self, pieces: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = retry_on_intr(|| match pieces {
            [piece] => net::send(&self.socket, piece, flags),
            _ => net::sendmsg(
                &self.socket,
                pieces,
                &mut SendAncillaryBuffer::default(),
                flags,
            ),
        });
        match sent {
            Ok(count) => {
                self.full = count < pieces.iter().map(|piece| piece.len()).sum();
                Ok(count)
            }
            Err(Errno::AGAIN) => {
                self.full = true;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Receives what is there; waits for it, if `flags` allow.
    pub(crate) fn receive(&mut self, flags: RecvFlags) {
        let Some(missing) = self.wants.read else {
            return;
        };
        // A wire has reserved room; but a `recv` of no bytes would look like the end.
        if self.rx.capacity() == self.rx.len() {
            self.rx.reserve(missing.get());
        }
        let socket = &self.socket;
        let received = read_into(&mut self.rx, usize::MAX, |spare| {
            net::recv(socket, spare, flags).map(|((filled, _), _)| filled)
        });
        match received {
            Ok(0) => self.ended(),
            Ok(count) => self.moved = self.moved.wrapping_add(count as u64),
            Err(Errno::AGAIN) => {}
            Err(error) => self.lost(error),
        }
    }

    /// Bytes that were received and sent: another number, if anything was.
    pub(crate) const fn moved(&self) -> u64 {
        self.moved
    }

    /// What is to be waited for.
    pub(crate) fn interest(&self) -> PollFlags {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, self.wants.read.is_some());
        interest.set(PollFlags::OUT, self.wants.write);
        interest
    }

    /// Something that was waited for is there, or the peer is gone.
    pub(crate) fn is_ready(&mut self, ready: PollFlags) {
        if ready.is_empty() {
            return;
        }
        // Also after an error or a hang-up: the next call tells which.
        self.full &= !ready.intersects(PollFlags::OUT | PollFlags::ERR | PollFlags::HUP);
        if ready != PollFlags::OUT {
            self.receive(RecvFlags::DONTWAIT);
        }
    }

    fn ended(&mut self) {
        self.wants.read = None;
        if self.end == End::NotYet {
            self.end = End::Reached;
        }
    }

    fn lost(&mut self, error: Errno) {
        // A peer that leaves without reading or sending all that was under way, as the kernel
        // does when a port is detached, is gone like any other.
        if !matches!(error, Errno::PIPE | Errno::CONNRESET) {
            self.failure.get_or_insert(error.into());
        }
        self.ended();
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
