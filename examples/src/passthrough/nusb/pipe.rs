//! An endpoint by `nusb`, on which one transfer of many can be cancelled.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use nusb::MaybeFuture;
use nusb::transfer::{self, Buffer, Bulk, In, Interrupt, Out, TransferError};
use usb_descriptors::{Direction, TransferType};
use usb_transfer::{Actual, Completion, Endpoint, Payload, Segments, Status, Transfer, TransferId};

use crate::passthrough::pool::{Loan, Pool, Reused};
use crate::passthrough::share::has_room;

/// An endpoint that is in use.
pub(super) struct Pipe {
    end: End,
    interface: u8,
    pool: Pool<Buffer>,
    /// Those that `nusb` has, in order, then those that wait for the end of a cancel or for memory.
    jobs: VecDeque<Job>,
    /// How many were given to `nusb`.
    submitted: usize,
    /// Bytes of these.
    bytes: usize,
    /// How many of these it gave back to be started again.
    stopped: usize,
    /// All were cancelled, for the sake of some: nothing is submitted until they are back.
    is_draining: bool,
}

/// The types of `nusb`, by type and direction.
enum End {
    BulkIn(nusb::Endpoint<Bulk, In>),
    BulkOut(nusb::Endpoint<Bulk, Out>),
    InterruptIn(nusb::Endpoint<Interrupt, In>),
    InterruptOut(nusb::Endpoint<Interrupt, Out>),
}

/// Calls the same of whichever it is.
macro_rules! each_end {
    ($end:expr, $pipe:ident => $call:expr) => {
        match $end {
            End::BulkIn($pipe) => $call,
            End::BulkOut($pipe) => $call,
            End::InterruptIn($pipe) => $call,
            End::InterruptOut($pipe) => $call,
        }
    };
}

/// A transfer on its way.
#[derive(Debug)]
struct Job {
    id: TransferId,
    is_cancelled: bool,
    /// Buffers that `nusb` has of it.
    outstanding: u8,
    /// Their bytes.
    bytes: usize,
    /// Of the first of these, if it is one of the pool's.
    loan: Option<Loan<Buffer>>,
    /// It ended early, for another's sake or its own.
    is_stopped: bool,
    failure: Option<Status>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    In {
        /// What has come.
        data: Segments,
        /// Bytes still wanted.
        left: usize,
    },
    Out {
        /// Bytes taken.
        taken: u32,
        /// What was not taken.
        rest: Bytes,
        /// An empty packet follows, or is all.
        owes_empty: bool,
    },
}

/// What a buffer that came back means for its transfer.
enum Outcome {
    /// Another buffer of it is under way.
    Goes,
    /// It is to be started again, where it was stopped.
    Stopped,
    Ended(Status),
}

impl Pipe {
    /// `None`: the interface does not have it now, or nothing can be moved there by `nusb`: it is
    /// of a type that it does not know, or of packets without bytes.
    pub(super) fn open(
        interface: &nusb::Interface,
        endpoint: &Endpoint,
        pool: Pool<Buffer>,
    ) -> Option<Self> {
        let end = open_end(interface, endpoint).filter(|end| packet_size(end) > 0)?;
        Some(Self {
            end,
            interface: endpoint.interface,
            pool,
            jobs: VecDeque::new(),
            submitted: 0,
            bytes: 0,
            stopped: 0,
            is_draining: false,
        })
    }

    /// The number of its interface.
    pub(super) const fn interface(&self) -> u8 {
        self.interface
    }

    /// Bytes that `nusb` has.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// All that is left when the device has gone: the kernel may have forgotten it.
    pub(super) fn into_left(self) -> impl Iterator<Item = Completion> {
        let jobs = self.jobs.into_iter();
        jobs.map(|job| job.complete(Status::DISCONNECTED))
    }

    /// Nothing is under way.
    pub(super) fn clear_halt(&mut self) -> Result<(), nusb::Error> {
        each_end!(&mut self.end, end => end.clear_halt().wait())
    }

    /// A transfer that [`has_room`] alone; `others` are the bytes that `nusb` has of other
    /// endpoints.
    pub(super) fn submit(&mut self, transfer: Transfer, others: usize) {
        let packet = packet_size(&self.end);
        let can_end_empty = matches!(self.end, End::BulkOut(_)) && transfer.flags.zero_packet;
        let work = match transfer.payload {
            Payload::In { length } => Work::In {
                data: Segments::new(),
                left: length as usize,
            },
            Payload::Out(rest) => Work::Out {
                taken: 0,
                owes_empty: rest.is_empty() || can_end_empty && rest.len() % packet == 0,
                rest,
            },
        };
        self.jobs.push_back(Job {
            id: transfer.id,
            is_cancelled: false,
            outstanding: 0,
            bytes: 0,
            loan: None,
            is_stopped: false,
            failure: None,
            work,
        });
        if !self.is_draining {
            self.start_jobs(others);
        }
    }

    /// Gives `nusb` what it does not have, as far as there is memory. `false`: nothing.
    fn start_jobs(&mut self, others: usize) -> bool {
        let before = self.submitted;
        for job in self.jobs.iter_mut().skip(before) {
            if !has_room(job.wanted(), self.bytes, others) {
                break;
            }
            job.start(&mut self.end, &self.pool);
            self.bytes += job.bytes;
            self.submitted += 1;
        }
        self.submitted > before
    }

    pub(super) fn cancel(&mut self, id: TransferId, done: &mut Vec<Completion>) {
        let Some(index) = self.jobs.iter().position(|job| job.id == id) else {
            return;
        };
        // Those in front were stopped, those behind were not started.
        if index < self.stopped || index >= self.submitted {
            if index < self.stopped {
                self.stopped -= 1;
                self.submitted -= 1;
            }
            let job = self.jobs.remove(index);
            done.extend(job.map(|job| job.complete(Status::CANCELLED)));
            return;
        }
        if let Some(job) = self.jobs.get_mut(index) {
            job.is_cancelled = true;
        }
        if !self.is_draining {
            self.is_draining = true;
            each_end!(&mut self.end, end => end.cancel_all());
        }
    }

    /// Takes what has come back, and starts what waited for that.
    pub(super) fn collect(
        &mut self,
        context: &mut Context<'_>,
        others: usize,
        done: &mut Vec<Completion>,
    ) {
        loop {
            while each_end!(&self.end, end => end.pending()) > 0 {
                let polled = each_end!(&mut self.end, end => end.poll_next_complete(context));
                match polled {
                    Poll::Ready(completed) => self.take(completed, done),
                    Poll::Pending if self.is_draining => return,
                    Poll::Pending => break,
                }
            }
            if self.is_draining {
                self.is_draining = false;
                self.submitted = 0;
                self.stopped = 0;
            }
            // What was started is looked at, so that the waker is used for it.
            if !self.start_jobs(others) {
                return;
            }
        }
    }

    fn take(&mut self, completed: transfer::Completion, done: &mut Vec<Completion>) {
        let packet = packet_size(&self.end);
        let Some(job) = self.jobs.get_mut(self.stopped) else {
            return;
        };
        let outcome = job.take(completed, self.is_draining, packet);
        if !matches!(outcome, Outcome::Goes) {
            self.bytes -= job.bytes;
        }
        match outcome {
            Outcome::Goes => {}
            Outcome::Stopped => self.stopped += 1,
            Outcome::Ended(status) => {
                self.submitted -= 1;
                let job = self.jobs.remove(self.stopped);
                done.extend(job.map(|job| job.complete(status)));
            }
        }
    }
}

impl Job {
    /// Bytes that are still to be moved.
    fn wanted(&self) -> usize {
        match &self.work {
            Work::In { left, .. } => *left,
            Work::Out { rest, .. } => rest.len(),
        }
    }

    fn start(&mut self, end: &mut End, pool: &Pool<Buffer>) {
        self.is_stopped = false;
        self.outstanding = 1;
        self.bytes = self.wanted();
        match &mut self.work {
            Work::In { left, .. } => {
                let packet = packet_size(end);
                let whole = left.next_multiple_of(packet).max(packet);
                let mut buffer = lent(&mut self.loan, end, pool, whole);
                buffer.set_requested_len(whole);
                each_end!(end, end => end.submit(buffer));
            }
            Work::Out {
                rest, owes_empty, ..
            } => {
                let mut buffer = lent(&mut self.loan, end, pool, rest.len());
                buffer.extend_from_slice(rest);
                each_end!(end, end => end.submit(buffer));
                if *owes_empty && !rest.is_empty() {
                    self.outstanding = 2;
                    each_end!(end, end => end.submit(Buffer::new(0)));
                }
            }
        }
    }

    /// Takes a buffer back. Cancelled without a wish to stop it has failed.
    fn take(
        &mut self,
        completed: transfer::Completion,
        is_draining: bool,
        packet: usize,
    ) -> Outcome {
        self.outstanding -= 1;
        let actual = completed.actual_len;
        let was_stopped = is_draining && completed.status == Err(TransferError::Cancelled);
        if let (Err(error), false) = (completed.status, was_stopped) {
            self.failure.get_or_insert(status_of_transfer(error));
        }
        match &mut self.work {
            Work::In { data, left } => {
                let mut bytes = match self.loan.take() {
                    Some(loan) => loan.into_bytes(completed.buffer),
                    None => Bytes::from(completed.buffer.into_vec()),
                };
                bytes.truncate(actual);
                if bytes.len() > *left {
                    // More than was asked for: the rest of a packet has nowhere to go.
                    self.failure.get_or_insert(Status::OVERFLOW);
                    bytes.truncate(*left);
                }
                *left -= bytes.len();
                let is_short = actual % packet != 0;
                data.push(bytes);
                // Nothing is left also where nothing was asked for.
                let has_all = *left == 0 && !data.is_empty();
                self.is_stopped = was_stopped && !is_short && !has_all;
            }
            Work::Out {
                taken,
                rest,
                owes_empty,
            } => {
                *taken += u32::try_from(actual).unwrap_or(u32::MAX);
                if completed.buffer.is_empty() {
                    *owes_empty &= was_stopped;
                }
                rest.advance(actual.min(rest.len()));
                // The first that comes back is the first that was sent.
                if let Some(loan) = self.loan.take() {
                    loan.give_back(completed.buffer);
                }
                self.is_stopped = was_stopped && (!rest.is_empty() || *owes_empty);
            }
        }
        match self.failure {
            _ if self.outstanding > 0 => Outcome::Goes,
            Some(status) => Outcome::Ended(status),
            None if !self.is_stopped => Outcome::Ended(Status::COMPLETED),
            None if self.is_cancelled => Outcome::Ended(Status::CANCELLED),
            None => Outcome::Stopped,
        }
    }

    fn complete(self, status: Status) -> Completion {
        let actual = match self.work {
            Work::In { data, .. } => Actual::In(data),
            Work::Out { taken, .. } => Actual::Out(taken),
        };
        Completion::new(self.id, status, actual)
    }
}

/// An empty buffer for so many bytes, which `loan` is for if it is the pool's.
fn lent(loan: &mut Option<Loan<Buffer>>, end: &End, pool: &Pool<Buffer>, length: usize) -> Buffer {
    let make = |capacity| {
        let buffer = each_end!(end, end => end.allocate(capacity));
        buffer.is_zero_copy().then_some(buffer)
    };
    let Some((mut buffer, its)) = pool.take(length, make) else {
        return Buffer::new(length);
    };
    *loan = Some(its);
    buffer.clear();
    buffer
}

impl Reused for Buffer {
    fn capacity(&self) -> usize {
        Self::capacity(self)
    }
}

fn packet_size(end: &End) -> usize {
    each_end!(end, end => end.max_packet_size())
}

fn open_end(interface: &nusb::Interface, endpoint: &Endpoint) -> Option<End> {
    let address = endpoint.address.to_byte();
    match (endpoint.transfer_type, endpoint.address.direction()) {
        (TransferType::Bulk, Direction::In) => interface.endpoint(address).ok().map(End::BulkIn),
        (TransferType::Bulk, Direction::Out) => interface.endpoint(address).ok().map(End::BulkOut),
        (TransferType::Interrupt, Direction::In) => {
            interface.endpoint(address).ok().map(End::InterruptIn)
        }
        (TransferType::Interrupt, Direction::Out) => {
            interface.endpoint(address).ok().map(End::InterruptOut)
        }
        (TransferType::Control | TransferType::Isochronous, _) => None,
    }
}

pub(super) fn status_of_transfer(error: TransferError) -> Status {
    match error {
        // Nobody asked for it: it took too long.
        TransferError::Cancelled => Status::TIMED_OUT,
        TransferError::Stall => Status::STALL,
        TransferError::Disconnected => Status::DISCONNECTED,
        TransferError::Fault => Status::PROTOCOL,
        TransferError::InvalidArgument => Status::INVALID,
        TransferError::Unknown(errno) => status_of_errno(errno),
    }
}

pub(super) fn status_of_errno(errno: u32) -> Status {
    Status::from_errno(i32::try_from(errno).map_or(i32::MIN, |errno| -errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 4;

    fn job(work: Work) -> Job {
        Job {
            id: TransferId::from_u64(1),
            is_cancelled: false,
            outstanding: 1,
            bytes: 0,
            loan: None,
            is_stopped: false,
            failure: None,
            work,
        }
    }

    fn wanting(left: usize) -> Job {
        job(Work::In {
            data: Segments::new(),
            left,
        })
    }

    fn came(data: &[u8], status: Result<(), TransferError>) -> transfer::Completion {
        transfer::Completion {
            buffer: data.to_vec().into(),
            actual_len: data.len(),
            status,
        }
    }

    fn taken(
        data: &[u8],
        actual_len: usize,
        status: Result<(), TransferError>,
    ) -> transfer::Completion {
        transfer::Completion {
            buffer: data.to_vec().into(),
            actual_len,
            status,
        }
    }

    const STOPPED: Result<(), TransferError> = Err(TransferError::Cancelled);

    fn ended(outcome: &Outcome) -> Status {
        match outcome {
            Outcome::Ended(status) => *status,
            Outcome::Goes => panic!("goes on"),
            Outcome::Stopped => panic!("is stopped"),
        }
    }

    #[test]
    fn what_came_before_another_was_cancelled_is_kept() {
        let mut job = wanting(10);
        assert!(matches!(
            job.take(came(b"abcd", STOPPED), true, PACKET),
            Outcome::Stopped
        ));
        let Work::In { left, .. } = &job.work else {
            panic!()
        };
        assert_eq!(*left, 6);
        job.outstanding = 1;
        assert_eq!(
            ended(&job.take(came(b"efghij", Ok(())), true, PACKET)),
            Status::COMPLETED
        );
        let completion = job.complete(Status::COMPLETED);
        assert_eq!(
            completion.actual,
            Actual::In(Bytes::from_static(b"abcdefghij").into())
        );
    }

    #[test]
    fn a_short_packet_ends_a_transfer_that_was_being_stopped() {
        let mut job = wanting(10);
        assert_eq!(
            ended(&job.take(came(b"abc", STOPPED), true, PACKET)),
            Status::COMPLETED
        );
        let mut job = wanting(4);
        assert_eq!(
            ended(&job.take(came(b"abcd", STOPPED), true, PACKET)),
            Status::COMPLETED
        );
    }

    #[test]
    fn the_one_that_was_meant_ends_as_cancelled_with_what_it_had() {
        let mut job = wanting(10);
        job.is_cancelled = true;
        assert_eq!(
            ended(&job.take(came(b"abcd", STOPPED), true, PACKET)),
            Status::CANCELLED
        );
        assert_eq!(job.complete(Status::CANCELLED).actual.len(), 4);
    }

    #[test]
    fn more_than_was_asked_for_is_an_overflow() {
        let mut job = wanting(3);
        assert_eq!(
            ended(&job.take(came(b"abcd", Ok(())), true, PACKET)),
            Status::OVERFLOW
        );
        assert_eq!(job.complete(Status::OVERFLOW).actual.len(), 3);
    }

    #[test]
    fn what_was_not_taken_is_sent_again_and_the_empty_packet_once() {
        let mut job = job(Work::Out {
            taken: 0,
            rest: Bytes::from_static(b"abcdefgh"),
            owes_empty: true,
        });
        job.outstanding = 2;
        assert!(matches!(
            job.take(taken(b"abcdefgh", 4, STOPPED), true, PACKET),
            Outcome::Goes
        ));
        assert!(matches!(
            job.take(taken(b"", 0, STOPPED), true, PACKET),
            Outcome::Stopped
        ));
        let Work::Out {
            rest, owes_empty, ..
        } = &job.work
        else {
            panic!()
        };
        assert_eq!((rest.as_ref(), *owes_empty), (b"efgh".as_slice(), true));
        // Started again: the rest went through, the empty packet did not.
        job.outstanding = 2;
        assert!(matches!(
            job.take(taken(b"efgh", 4, Ok(())), true, PACKET),
            Outcome::Goes
        ));
        assert!(matches!(
            job.take(taken(b"", 0, STOPPED), true, PACKET),
            Outcome::Stopped
        ));
        job.outstanding = 1;
        assert_eq!(
            ended(&job.take(taken(b"", 0, Ok(())), true, PACKET)),
            Status::COMPLETED
        );
        assert_eq!(job.complete(Status::COMPLETED).actual, Actual::Out(8));
    }

    #[test]
    fn a_transfer_of_no_bytes_that_was_stopped_is_still_to_be_done() {
        let empty = || Work::Out {
            taken: 0,
            rest: Bytes::new(),
            owes_empty: true,
        };
        for (work, came) in [
            (empty(), taken(b"", 0, STOPPED)),
            (wanting(0).work, came(b"", STOPPED)),
        ] {
            let mut job = job(work);
            assert!(matches!(job.take(came, true, PACKET), Outcome::Stopped));
        }
        let mut cancelled = job(empty());
        cancelled.is_cancelled = true;
        let outcome = cancelled.take(taken(b"", 0, STOPPED), true, PACKET);
        assert_eq!(ended(&outcome), Status::CANCELLED);
        let mut sent = job(empty());
        let outcome = sent.take(taken(b"", 0, Ok(())), true, PACKET);
        assert_eq!(ended(&outcome), Status::COMPLETED);
    }

    #[test]
    fn what_nobody_stopped_has_failed() {
        let mut job = wanting(10);
        assert_eq!(
            ended(&job.take(came(b"", STOPPED), false, PACKET)),
            Status::TIMED_OUT
        );
    }

    #[test]
    fn statuses_survive() {
        assert_eq!(status_of_transfer(TransferError::Stall), Status::STALL);
        assert_eq!(
            status_of_transfer(TransferError::Unknown(75)),
            Status::OVERFLOW
        );
        assert_eq!(
            status_of_transfer(TransferError::Cancelled),
            Status::TIMED_OUT
        );
    }
}
