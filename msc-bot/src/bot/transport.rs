//! The host's side of the transport: one command at a time, with its recovery.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use usb_descriptors::{ClassCode, Direction, EndpointAddress, SetupPacket, TransferType};
use usb_transfer::{
    Actual, Completion, DeviceDescriptors, HostEvent, Segments, Status, Transfer, TransferId,
    TransferIds,
};

use super::request;
use super::wrapper::{CommandStatus, CommandWrapper, StatusWrapper};
use crate::Sense;
use crate::arena::Arena;
use crate::host::{self, DataPhase, End, Event, Place};

/// How often a status is asked for again before the transport is reset: after a stall, and after
/// a read that a stall of the data called off (BOT 1.0, figure 2, has one).
const STATUS_READS: u8 = 3;

/// Where the function is in the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pipes {
    pub(crate) place: Place,
    bulk_in: EndpointAddress,
    bulk_out: EndpointAddress,
    /// The status may be asked for while the data is still to come.
    queues_status: bool,
}

// Quirk: QEMU 7.2's usb-storage forgets a status transfer that it finds queued when it has given
// the last of the data (hw/usb/dev-storage.c, vendor 46f4h, product 0001h), and no driver that it
// was made for queues one; test: a_disk_of_qemu_is_asked_for_its_status_at_last.
const QEMU_STORAGE: (u16, u16) = (0x46f4, 0x0001);

impl Pipes {
    /// The first interface that is Bulk-Only in its first setting.
    pub(crate) fn find(device: &DeviceDescriptors) -> Option<Self> {
        let product = device
            .device()
            .map(|found| (found.vendor_id(), found.product_id()));
        let queues_status = product != Ok(QEMU_STORAGE);
        device.configurations().find_map(|configuration| {
            let mut interfaces = configuration.interfaces().filter(|interface| {
                interface.class() == ClassCode::MASS_STORAGE_BULK_ONLY
                    && interface.alternate_setting() == 0
            });
            interfaces.find_map(|interface| {
                let bulk = |direction| {
                    interface.endpoints().find_map(|endpoint| {
                        let found = endpoint.transfer_type() == TransferType::Bulk
                            && endpoint.address().direction() == direction;
                        found.then_some(endpoint.address())
                    })
                };
                Some(Self {
                    place: Place {
                        configuration: configuration.value(),
                        interface: interface.number(),
                        alternate: 0,
                    },
                    bulk_in: bulk(Direction::In)?,
                    bulk_out: bulk(Direction::Out)?,
                    queues_status,
                })
            })
        })
    }
}

#[derive(Debug)]
pub(crate) struct Transport {
    pipes: Pipes,
    ids: TransferIds,
    events: VecDeque<HostEvent>,
    /// Transfers at the device.
    out: Vec<TransferId>,
    tag: u32,
    arena: Arena,
    stage: Stage,
    /// Of the command that is under way.
    key: u64,
    asks_sense: bool,
    event: Option<Event>,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Control(TransferId),
    Command(Exchange),
    /// Ends the halt of an endpoint, then goes on.
    Clearing(TransferId, Exchange),
    /// Reset recovery (BOT 1.0, 5.3.4): what is asked now, and what is left.
    Recovering(TransferId, Recovery),
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Recovery {
    Reset,
    ClearIn,
    ClearOut,
}

#[derive(Debug)]
struct Exchange {
    expected: u32,
    direction: Direction,
    tag: u32,
    wrapper: Part,
    data: Part,
    status: Part,
    /// Of the expected bytes, those that the data transfer moved.
    moved: u32,
    received: Segments,
    answer: Option<StatusWrapper>,
    status_reads: u8,
}

/// One of the three transfers of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// Not there, or to be asked for again.
    Absent,
    Pending(TransferId),
    Moved,
    Stalled,
    Failed,
}

impl Part {
    fn is(self, id: TransferId) -> bool {
        self == Self::Pending(id)
    }

    const fn is_pending(self) -> bool {
        matches!(self, Self::Pending(_))
    }

    const fn of(status: Status) -> Self {
        match status {
            Status::COMPLETED => Self::Moved,
            Status::STALL => Self::Stalled,
            Status::CANCELLED => Self::Absent,
            _ => Self::Failed,
        }
    }
}

impl Exchange {
    // Quirk: devices that leave the data phase out have the status taken for short data (Linux,
    // drivers/usb/storage/transport.c, "skipped data phase"); test:
    // a_status_in_place_of_the_data_is_taken_as_status.
    fn find_status_in_data(&mut self) {
        let is_short = self.data == Part::Moved && self.moved < self.expected;
        if is_short && self.received.len() == StatusWrapper::LENGTH {
            let found = StatusWrapper::parse(&self.received.to_bytes());
            self.answer = found.filter(|answer| answer.tag == self.tag);
            if self.answer.is_some() {
                self.received = Segments::new();
                self.moved = 0;
            }
        }
    }
}

impl Transport {
    pub(crate) fn new(pipes: Pipes) -> Self {
        Self {
            pipes,
            ids: TransferIds::default(),
            events: VecDeque::new(),
            out: Vec::new(),
            tag: 0,
            arena: Arena::new(),
            stage: Stage::Idle,
            key: 0,
            asks_sense: false,
            event: None,
        }
    }

    /// Sends a command. Wrapper, data and (but for a quirk) status are asked for together; the
    /// device takes and gives them one after the other.
    fn send(&mut self, command: &[u8], data: DataPhase) {
        self.tag = self.tag.wrapping_add(1);
        let mut block = [0; 16];
        for (to, from) in block.iter_mut().zip(command) {
            *to = *from;
        }
        let (direction, expected) = data.extent();
        let wrapper = CommandWrapper {
            tag: self.tag,
            data_length: expected,
            direction,
            lun: 0,
            command_length: u8::try_from(command.len()).unwrap_or(16),
            command: block,
        };
        let wrapper = self.arena.store(&wrapper.to_bytes());
        let Pipes {
            bulk_in, bulk_out, ..
        } = self.pipes;
        let wrapper = Transfer::data_out(self.ids.mint(), bulk_out, wrapper);
        let wrapper = self.submit(wrapper);
        let data = match data {
            DataPhase::In(length) if length > 0 => {
                let transfer = Transfer::data_in(self.ids.mint(), bulk_in, length);
                self.submit(transfer)
            }
            DataPhase::Out(data) if !data.is_empty() => {
                let transfer = Transfer::data_out(self.ids.mint(), bulk_out, data);
                self.submit(transfer)
            }
            _ => Part::Absent,
        };
        let mut exchange = Exchange {
            expected,
            direction,
            tag: self.tag,
            wrapper,
            data,
            status: Part::Absent,
            moved: 0,
            received: Segments::new(),
            answer: None,
            status_reads: 0,
        };
        if self.pipes.queues_status {
            self.read_status(&mut exchange);
        }
        self.stage = Stage::Command(exchange);
    }

    fn submit(&mut self, transfer: Transfer) -> Part {
        let id = transfer.id;
        self.events.push_back(HostEvent::Submit(transfer));
        Part::Pending(id)
    }

    fn ask(&mut self, setup: SetupPacket) -> TransferId {
        let transfer = Transfer::control_in(self.ids.mint(), setup);
        let id = transfer.id;
        self.events.push_back(HostEvent::Submit(transfer));
        id
    }

    fn read_status(&mut self, exchange: &mut Exchange) {
        let length = u32::try_from(StatusWrapper::LENGTH).unwrap_or(0);
        let transfer = Transfer::data_in(self.ids.mint(), self.pipes.bulk_in, length);
        exchange.status = self.submit(transfer);
        exchange.status_reads = exchange.status_reads.saturating_add(1);
    }

    /// Calls a transfer off: before it is sent, or by a cancel.
    fn withdraw(&mut self, part: &mut Part) {
        let Part::Pending(id) = *part else { return };
        if self.out.contains(&id) {
            self.events.push_back(HostEvent::Cancel(id));
        } else {
            self.events
                .retain(|event| !matches!(event, HostEvent::Submit(each) if each.id == id));
            *part = Part::Absent;
        }
    }

    fn take(&mut self, exchange: &mut Exchange, completion: Completion) {
        let Completion {
            id, status, actual, ..
        } = completion;
        if exchange.wrapper.is(id) {
            exchange.wrapper = Part::of(status);
            if actual.len() != CommandWrapper::LENGTH {
                exchange.wrapper = Part::Failed;
            }
            if exchange.wrapper != Part::Moved {
                self.withdraw(&mut exchange.data);
                self.withdraw(&mut exchange.status);
            }
        } else if exchange.data.is(id) {
            exchange.data = Part::of(status);
            let moved = match (exchange.direction, actual) {
                (Direction::In, Actual::In(data)) => {
                    exchange.received = data;
                    u32::try_from(exchange.received.len()).unwrap_or(u32::MAX)
                }
                (Direction::Out, Actual::Out(taken)) => taken,
                _ => 0,
            };
            exchange.moved = moved.min(exchange.expected);
            exchange.find_status_in_data();
            if exchange.data != Part::Moved || exchange.answer.is_some() {
                // The status came, or comes only when the halt is cleared, and some stacks have
                // stalled this transfer too: ask again then.
                self.withdraw(&mut exchange.status);
            }
        } else if exchange.status.is(id) && exchange.answer.is_some() {
            // It was called off.
            exchange.status = match Part::of(status) {
                Part::Moved => Part::Absent,
                other => other,
            };
        } else if exchange.status.is(id) {
            exchange.status = Part::of(status);
            match (exchange.status, actual) {
                // Quirk: devices that end data of whole packets with a packet of no bytes (Linux,
                // drivers/usb/storage/transport.c, "0-length CSW"); test:
                // an_empty_packet_before_the_status_is_passed_over.
                (Part::Moved, Actual::In(data)) if data.is_empty() => {
                    exchange.status = Part::Absent;
                }
                (Part::Moved, Actual::In(data)) => {
                    exchange.answer = StatusWrapper::parse(&data.to_bytes());
                    // Nothing is moved behind it.
                    self.withdraw(&mut exchange.data);
                }
                _ => {}
            }
        }
    }

    /// Decides what comes next, once nothing of the command is at the device (BOT 1.0, figure 2).
    fn judge(&mut self, mut exchange: Exchange) {
        let Exchange {
            wrapper,
            data,
            status,
            ..
        } = exchange;
        if wrapper.is_pending() || data.is_pending() || status.is_pending() {
            self.stage = Stage::Command(exchange);
            return;
        }
        let data_is_lost = data == Part::Failed || (data == Part::Absent && exchange.expected > 0);
        if wrapper != Part::Moved || data_is_lost || status == Part::Failed {
            return self.recover();
        }
        if data == Part::Stalled {
            exchange.data = Part::Moved;
            let endpoint = match exchange.direction {
                Direction::In => self.pipes.bulk_in,
                Direction::Out => self.pipes.bulk_out,
            };
            let id = self.ask(SetupPacket::clear_halt(endpoint));
            self.stage = Stage::Clearing(id, exchange);
        } else if status == Part::Moved || (status == Part::Absent && exchange.answer.is_some()) {
            self.conclude(exchange);
        } else if exchange.status_reads >= STATUS_READS {
            self.recover();
        } else if status == Part::Stalled {
            exchange.status = Part::Absent;
            let id = self.ask(SetupPacket::clear_halt(self.pipes.bulk_in));
            self.stage = Stage::Clearing(id, exchange);
        } else {
            self.read_status(&mut exchange);
            self.stage = Stage::Command(exchange);
        }
    }

    /// All three were moved: the status decides, if it is valid and meaningful (BOT 1.0, 6.3).
    fn conclude(&mut self, exchange: Exchange) {
        let answer = exchange
            .answer
            .filter(|answer| answer.tag == exchange.tag && answer.residue <= exchange.expected);
        let Some(answer) = answer else {
            return self.recover();
        };
        let Exchange {
            expected, moved, ..
        } = exchange;
        let mut data = exchange.received;
        match answer.status {
            CommandStatus::PhaseError => self.recover(),
            CommandStatus::Failed if self.asks_sense => self.end(End::Failed(None)),
            CommandStatus::Failed => {
                // REQUEST SENSE (SPC-4, 6.39), fixed format.
                self.asks_sense = true;
                self.send(&[0x03, 0, 0, 0, 18, 0], DataPhase::In(18));
            }
            CommandStatus::Passed => {
                // Of what was moved, the rest may be padding, or not processed (BOT 1.0, 5.2).
                let relevant = moved.min(expected.saturating_sub(answer.residue));
                data.truncate(usize::try_from(relevant).unwrap_or(usize::MAX));
                let missing = expected.saturating_sub(relevant);
                self.end(if self.asks_sense {
                    End::Failed(Sense::parse(&data.to_bytes()))
                } else {
                    End::Passed { data, missing }
                });
            }
        }
    }

    fn end(&mut self, end: End) {
        self.asks_sense = false;
        self.event = Some(Event::Ended(self.key, end));
    }

    fn recover(&mut self) {
        let id = self.ask(SetupPacket {
            request_type: request::TYPE_OUT,
            request: request::RESET,
            value: 0,
            index: u16::from(self.pipes.place.interface),
            length: 0,
        });
        self.stage = Stage::Recovering(id, Recovery::Reset);
    }

    fn recovered(&mut self, step: Recovery, status: Status) {
        if !status.is_completed() {
            return host::Transport::close(self, status);
        }
        let (endpoint, next) = match step {
            Recovery::Reset => (self.pipes.bulk_in, Recovery::ClearIn),
            Recovery::ClearIn => (self.pipes.bulk_out, Recovery::ClearOut),
            Recovery::ClearOut => {
                return self.end(End::Broken);
            }
        };
        let id = self.ask(SetupPacket::clear_halt(endpoint));
        self.stage = Stage::Recovering(id, next);
    }
}

impl host::Transport for Transport {
    fn may_start(&self, _data: &DataPhase) -> bool {
        matches!(self.stage, Stage::Idle) && self.event.is_none()
    }

    fn control(&mut self, setup: SetupPacket) {
        let id = self.ask(setup);
        self.stage = Stage::Control(id);
    }

    fn command(&mut self, key: u64, command: &[u8], data: DataPhase) {
        self.key = key;
        self.send(command, data);
    }

    fn event(&mut self) -> Option<Event> {
        self.event.take()
    }

    fn poll(&mut self) -> Option<HostEvent> {
        let event = self.events.pop_front();
        if let Some(HostEvent::Submit(transfer)) = &event {
            self.out.push(transfer.id);
        }
        event
    }

    fn pending(&self) -> usize {
        self.out.len()
    }

    /// Gives all up; nothing is asked of the device any more but a reset, which is the last event.
    fn close(&mut self, status: Status) {
        if !matches!(self.stage, Stage::Dead) {
            self.events.clear();
            self.events.push_back(HostEvent::Reset);
            self.stage = Stage::Dead;
            self.event = Some(Event::Dead(status));
        }
    }

    fn complete(&mut self, completion: Completion) {
        let Some(at) = self.out.iter().position(|id| *id == completion.id) else {
            return;
        };
        self.out.swap_remove(at);
        let status = completion.status;
        if matches!(status, Status::DISCONNECTED | Status::SHUTDOWN) {
            return host::Transport::close(self, status);
        }
        match mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Control(id) if id == completion.id => {
                self.event = Some(Event::Answer(match (status, completion.actual) {
                    (Status::COMPLETED, Actual::In(data)) => Ok(data),
                    (Status::COMPLETED, Actual::Out(_)) => Ok(Segments::new()),
                    (status, _) => Err(status),
                }));
            }
            Stage::Command(mut exchange) => {
                self.take(&mut exchange, completion);
                self.judge(exchange);
            }
            Stage::Clearing(id, exchange) if id == completion.id => {
                if status.is_completed() {
                    self.judge(exchange);
                } else {
                    self.recover();
                }
            }
            Stage::Recovering(id, step) if id == completion.id => self.recovered(step, status),
            // Of something given up.
            other => self.stage = other,
        }
    }
}

/// The request for the highest unit number (BOT 1.0, table 3.2).
pub(crate) const fn get_max_lun(interface: u8) -> SetupPacket {
    SetupPacket {
        request_type: request::TYPE_IN,
        request: request::GET_MAX_LUN,
        value: 0,
        index: interface as u16,
        length: 1,
    }
}
