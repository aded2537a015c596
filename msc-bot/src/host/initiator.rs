//! The host's side of a disk.

use alloc::boxed::Box;

use bytes::Bytes;
use usb_descriptors::SetupPacket;
use usb_transfer::{Completion, DeviceDescriptors, Frontend, HostEvent, Segments, Status};

use super::queue::{Queue, Shape, Tries, Work};
use super::unit::inquiry;
use super::{DataPhase, End, Event, NoMassStorage, Place, ScsiError, Ticket, Transport, Unit};
use crate::{bot, uas};

/// The most that one command moves, in bytes: what Linux asks of a disk at high speed, so that
/// every disk is used to it. By Bulk-Only Transport 240 sectors
/// (`drivers/usb/storage/scsiglue.c`), by UAS 1024 (`SCSI_DEFAULT_MAX_SECTORS`).
const MAX_BOT_COMMAND: u32 = 240 * 512;
const MAX_UAS_COMMAND: u32 = 1024 * 512;

/// The largest block of a disk that is taken, in bytes.
const MAX_BLOCK: u32 = 64 * 1024;

/// The most units that a device is asked about.
const MAX_UNITS: u8 = 16;

/// Uses a USB disk: a [`Frontend`] for the first unit of any device for USB Attached SCSI or
/// Bulk-Only Transport.
///
/// It configures the device and gets to know the unit by itself. Requests may be made at once, and
/// their results come in the same order; each sees what those before it have written. Long ones
/// are split into commands of at most 512 KiB, by Bulk-Only Transport 120 KiB.
///
/// By **UAS** up to 32 commands are under way at once. Where there are no streams, the data of
/// reads is asked for before the device says whose is next, as long as they are of one length; a
/// device that stalls that is asked afterwards. By **Bulk-Only Transport**, which knows one command
/// at a time (BOT 1.0, 3.4), wrapper, data and status of it are submitted together.
///
/// Stalls are cleared, what has failed halfway is aborted, broken transport is reset, and what
/// failed for a reason that may be gone is tried again, as long as the unit has something new to
/// tell, else three times.
///
/// It ends by [`close`](Self::close) or when the device fails; then every request has its result.
///
/// The example at [`BotDevice`](crate::BotDevice) shows one at work.
#[derive(Debug)]
pub struct Initiator {
    transport: Box<dyn Transport>,
    place: Place,
    is_uas: bool,
    phase: Phase,
    /// A request of a phase before the last is under way.
    is_waiting: bool,
    tries: Tries,
    units: u8,
    inquiry: Option<Unit>,
    unit: Option<Unit>,
    queue: Queue,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Configure,
    /// Chooses the alternate setting of UAS.
    Setting,
    MaxLun,
    Inquiry,
    TestUnitReady,
    /// Where there is no request for the highest number.
    ReportLuns,
    ReadCapacity10,
    ReadCapacity16,
    Jobs,
    Over(ScsiError),
}

impl Initiator {
    /// Will use the device that is so described: by UAS where it offers that and needs no streams
    /// for it, as at high speed, else by Bulk-Only Transport.
    ///
    /// # Errors
    /// [`NoMassStorage`] where it is no disk of these kinds.
    pub fn new(device: &DeviceDescriptors) -> Result<Self, NoMassStorage> {
        let uas = uas::Pipes::find(device).filter(|pipes| !pipes.has_streams());
        uas.map_or_else(
            || Self::bulk_only(device),
            |pipes| Ok(Self::with_uas(pipes)),
        )
    }

    /// The same where the function carries the streams of a transfer, as the devices of this crate
    /// and usbredir do, and USB/IP does not: UAS at SuperSpeed too.
    ///
    /// ```
    /// use msc_bot::{BlockSize, BotOptions, Initiator, LogicalUnit, UasDevice, UnitOptions};
    /// use usb_descriptors::Speed;
    /// let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, 64));
    /// let disk = UasDevice::new(BotOptions::new(Speed::Super), [unit])?;
    /// assert!(Initiator::with_streams(disk.descriptors())?.is_uas());
    /// assert!(!Initiator::new(disk.descriptors())?.is_uas());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`NoMassStorage`] where it is no disk of these kinds.
    pub fn with_streams(device: &DeviceDescriptors) -> Result<Self, NoMassStorage> {
        uas::Pipes::find(device).map_or_else(
            || Self::bulk_only(device),
            |pipes| Ok(Self::with_uas(pipes)),
        )
    }

    /// Will use it by Bulk-Only Transport, whatever else it offers.
    ///
    /// # Errors
    /// [`NoMassStorage`] where it has no interface for that.
    pub fn bulk_only(device: &DeviceDescriptors) -> Result<Self, NoMassStorage> {
        let pipes = bot::Pipes::find(device).ok_or(NoMassStorage)?;
        let transport = Box::new(bot::Transport::new(pipes));
        Ok(Self::by(transport, pipes.place, false))
    }

    fn with_uas(pipes: uas::Pipes) -> Self {
        Self::by(Box::new(uas::Transport::new(pipes)), pipes.place, true)
    }

    fn by(transport: Box<dyn Transport>, place: Place, is_uas: bool) -> Self {
        Self {
            transport,
            place,
            is_uas,
            phase: Phase::Configure,
            is_waiting: false,
            tries: Tries::default(),
            units: 1,
            inquiry: None,
            unit: None,
            queue: Queue::default(),
        }
    }

    /// Whether the device is used by USB Attached SCSI.
    #[must_use]
    pub const fn is_uas(&self) -> bool {
        self.is_uas
    }

    /// The disk, once it is known.
    #[must_use]
    pub const fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// Why nothing more can be asked, if that is so.
    #[must_use]
    pub const fn error(&self) -> Option<ScsiError> {
        match self.phase {
            Phase::Over(error) => Some(error),
            _ => None,
        }
    }

    /// Reads so many blocks.
    pub fn read(&mut self, lba: u64, blocks: u32) -> Ticket {
        self.request(lba, blocks, Work::Read)
    }

    /// Writes whole blocks. They are durable when a later [`flush`](Self::flush) is done. After an
    /// error any of them may be written.
    pub fn write(&mut self, lba: u64, data: Bytes) -> Ticket {
        self.request(lba, 0, Work::Write(data))
    }

    /// Makes all that was written before durable. A disk that does not know how has no cache.
    pub fn flush(&mut self) -> Ticket {
        self.request(0, 0, Work::Flush)
    }

    /// The result of the oldest request, once it is done: its data, if it was a read.
    pub fn result(&mut self) -> Option<(Ticket, Result<Segments, ScsiError>)> {
        self.queue.result()
    }

    /// Ends the use of the device: what is not done fails.
    pub fn close(&mut self) {
        self.transport.close(Status::SHUTDOWN);
        self.follow();
    }

    fn request(&mut self, lba: u64, blocks: u32, work: Work) -> Ticket {
        let error = self.error();
        self.queue.request(lba, u64::from(blocks), work, error)
    }

    /// Takes what the transport has to tell.
    fn follow(&mut self) {
        while let Some(event) = self.transport.event() {
            match event {
                Event::Dead(status) => self.end(ScsiError::Device(status)),
                Event::Ended(key, end) if self.phase == Phase::Jobs => self.queue.end(key, end),
                Event::Ended(_, end) => {
                    self.is_waiting = false;
                    self.take(end);
                }
                Event::Answer(result) => {
                    self.is_waiting = false;
                    self.answer(result);
                }
            }
        }
    }

    /// Takes what became of a control request.
    fn answer(&mut self, result: Result<Segments, Status>) {
        match (self.phase, result) {
            (Phase::Configure, Ok(_)) if self.is_uas => self.phase = Phase::Setting,
            (Phase::Configure, Ok(_)) => self.phase = Phase::MaxLun,
            (Phase::MaxLun, Ok(data)) => {
                let answer = data.to_bytes();
                let last = answer.first().copied().unwrap_or(0);
                self.units = last.saturating_add(1).min(MAX_UNITS);
                self.phase = Phase::Inquiry;
            }
            // A device of one unit need not know the request (BOT 1.0, 3.2).
            (Phase::MaxLun, Err(_)) | (Phase::Setting, Ok(_)) => self.phase = Phase::Inquiry,
            (_, Err(status)) => self.transport.close(status),
            (_, Ok(_)) => {}
        }
    }

    /// Takes what became of a command by which the unit is got to know.
    fn take(&mut self, end: End) {
        if self.tries.again(&end) {
            return;
        }
        self.tries = Tries::default();
        let error = match end {
            End::Passed { data, .. } => return self.pass(&data.to_bytes()),
            End::Failed(Some(sense)) => ScsiError::Sense(sense),
            End::Failed(None) | End::Busy => ScsiError::NoReason,
            End::Broken => ScsiError::Transport,
        };
        match (self.phase, error) {
            // One unit does as well.
            (Phase::ReportLuns, ScsiError::Sense(_) | ScsiError::NoReason) => {
                self.phase = Phase::ReadCapacity10;
            }
            _ => self.give_up(error),
        }
    }

    fn pass(&mut self, data: &[u8]) {
        match self.phase {
            Phase::Inquiry => match inquiry(data, self.units) {
                Some(unit) => {
                    self.inquiry = Some(unit);
                    self.phase = Phase::TestUnitReady;
                }
                None => self.give_up(ScsiError::Answer),
            },
            Phase::TestUnitReady if self.is_uas => self.phase = Phase::ReportLuns,
            Phase::TestUnitReady => self.phase = Phase::ReadCapacity10,
            Phase::ReportLuns => {
                // Eight bytes for each unit behind eight (SPC-4, table 280).
                let length = data
                    .first_chunk()
                    .map_or(0, |length| u32::from_be_bytes(*length));
                let units = u8::try_from(length / 8).unwrap_or(MAX_UNITS);
                if let Some(unit) = &mut self.inquiry {
                    unit.units = units.clamp(1, MAX_UNITS);
                }
                self.phase = Phase::ReadCapacity10;
            }
            Phase::ReadCapacity10 => match *data {
                // The disk is larger than this answer can say.
                [0xff, 0xff, 0xff, 0xff, _, _, _, _] => self.phase = Phase::ReadCapacity16,
                [l0, l1, l2, l3, s0, s1, s2, s3] => {
                    let last = u32::from_be_bytes([l0, l1, l2, l3]);
                    let size = u32::from_be_bytes([s0, s1, s2, s3]);
                    self.know(u64::from(last), size);
                }
                _ => self.give_up(ScsiError::Answer),
            },
            Phase::ReadCapacity16 => {
                let last = data.first_chunk().map(|last| u64::from_be_bytes(*last));
                let size = data.get(8..).and_then(<[u8]>::first_chunk);
                match (last, size.map(|size| u32::from_be_bytes(*size))) {
                    (Some(last), Some(size)) => self.know(last, size),
                    _ => self.give_up(ScsiError::Answer),
                }
            }
            _ => {}
        }
    }

    fn know(&mut self, last: u64, block_size: u32) {
        let (Some(unit), 1..=MAX_BLOCK) = (self.inquiry.take(), block_size) else {
            return self.give_up(ScsiError::Answer);
        };
        self.unit = Some(Unit {
            blocks: last.saturating_add(1),
            block_size,
            ..unit
        });
        self.phase = Phase::Jobs;
    }

    /// The disk cannot be used.
    fn give_up(&mut self, error: ScsiError) {
        self.end(error);
        self.transport.close(Status::SHUTDOWN);
    }

    fn end(&mut self, error: ScsiError) {
        if self.error().is_none() {
            self.phase = Phase::Over(error);
            self.queue.fail(error);
        }
    }

    /// Sends what comes next, if there is something.
    fn start(&mut self) {
        if self.phase == Phase::Jobs {
            let block_size = self.unit.as_ref().map_or(1, |unit| unit.block_size);
            let most = if self.is_uas {
                MAX_UAS_COMMAND
            } else {
                MAX_BOT_COMMAND
            };
            let limit = most.checked_div(block_size).unwrap_or(1).max(1);
            let shape = Shape { block_size, limit };
            return self.queue.start(shape, &mut *self.transport);
        }
        if self.is_waiting || !self.transport.may_start(&DataPhase::None) {
            return;
        }
        let Place {
            configuration,
            interface,
            alternate,
        } = self.place;
        self.is_waiting = true;
        match self.phase {
            Phase::Configure => self
                .transport
                .control(SetupPacket::set_configuration(configuration)),
            Phase::Setting => {
                self.transport
                    .control(SetupPacket::set_interface(interface, alternate));
            }
            Phase::MaxLun => self.transport.control(bot::get_max_lun(interface)),
            Phase::Inquiry => self.command(&[0x12, 0, 0, 0, 36, 0], 36),
            Phase::TestUnitReady => self.command(&[0; 6], 0),
            Phase::ReportLuns => {
                self.command(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 136, 0, 0], 136);
            }
            Phase::ReadCapacity10 => self.command(&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8),
            Phase::ReadCapacity16 => {
                let read = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
                self.command(&read, 32);
            }
            Phase::Jobs | Phase::Over(_) => self.is_waiting = false,
        }
    }

    fn command(&mut self, command: &[u8], length: u32) {
        let data = if length == 0 {
            DataPhase::None
        } else {
            DataPhase::In(length)
        };
        self.transport.command(0, command, data);
    }
}

impl Frontend for Initiator {
    fn poll(&mut self) -> Option<HostEvent> {
        self.follow();
        self.start();
        self.transport.poll()
    }

    fn complete(&mut self, completion: Completion) {
        self.transport.complete(completion);
        self.follow();
    }

    fn detach(&mut self) {
        self.transport.close(Status::DISCONNECTED);
        self.follow();
    }

    fn pending(&self) -> usize {
        self.transport.pending()
    }
}
