//! What keyboard, mouse and tablet share: reports, and the requests of the class.

use alloc::collections::VecDeque;

use usb_descriptors::build::{BuildError, Endpoint, Interface};
use usb_descriptors::{ClassCode, EndpointAddress, RequestType, SetupPacket, Speed, request};
use usb_transfer::{
    Change, DeviceDescriptors, Frame, FunctionEvent, Payload, Transfer, TransferId,
};

use crate::device::{Device, Taken};
use crate::{DeviceError, DeviceOptions};

/// The interface, and its endpoint.
const INTERFACE: u8 = 0;
const REPORTS: EndpointAddress = EndpointAddress::from_byte(0x81);

/// How often the host asks for reports, in 125 µs: every 4 ms, at low speed every 10 ms, which is
/// the least there (USB 2.0, 5.7.4).
const fn interval(speed: Speed) -> u32 {
    match speed {
        Speed::Low => 80,
        _ => 32,
    }
}

/// `bInterfaceClass` (HID 1.11, 4.1).
const HID: u8 = 3;

/// Requests and descriptor types (HID 1.11, 7.1 and 7.2).
mod hid {
    pub(super) const GET_REPORT: u8 = 1;
    pub(super) const GET_IDLE: u8 = 2;
    pub(super) const GET_PROTOCOL: u8 = 3;
    pub(super) const SET_REPORT: u8 = 9;
    pub(super) const SET_IDLE: u8 = 10;
    pub(super) const SET_PROTOCOL: u8 = 11;

    pub(super) const HID: u8 = 0x21;
    pub(super) const REPORT: u8 = 0x22;

    /// Report types, the high byte of `wValue`; the report id, the low byte, is 0.
    pub(super) const INPUT: u16 = 0x0100;
    pub(super) const OUTPUT: u16 = 0x0200;

    /// Protocols (HID 1.11, 7.2.5).
    pub(super) const BOOT: u8 = 0;
    pub(super) const REPORT_PROTOCOL: u8 = 1;
}

/// Of an idle rate's unit, 4 ms, in 125 µs.
const IDLE_UNIT: u64 = 32;

/// For how long a host has asked for reports when it is ready for them, in 125 µs: a second. Linux
/// throws away what comes in the 50 ms after a device is opened (`usbhid_open` of
/// drivers/hid/usbhid/hid-core.c), which last longer on a slow machine.
const LOOK: u64 = 8000;

/// An input report; shorter ones are filled up with zeros.
pub(crate) type Report = [u8; 8];

/// What makes one device of this class another than the next.
#[derive(Debug)]
pub(crate) struct Model {
    /// Its name.
    pub(crate) product: &'static str,
    /// `bInterfaceProtocol` of a device that firmware knows without its report descriptor.
    pub(crate) boot: Option<u8>,
    pub(crate) report_descriptor: &'static [u8],
    /// Bytes of an input report, and of one in the boot protocol.
    pub(crate) length: u8,
    pub(crate) boot_length: u8,
    /// The idle rate after configuration, in 4 ms (HID 1.11, 7.2.4).
    pub(crate) idle: u8,
    /// Whether there is an output report, of one byte.
    pub(crate) has_output: bool,
    /// What is state and not motion, which is not told again.
    pub(crate) state: Report,
}

/// A device of the class.
#[derive(Debug)]
pub(crate) struct Hid {
    device: Device,
    model: &'static Model,
    /// In 125 µs.
    interval: u32,
    /// Still to be told, in order.
    reports: VecDeque<Waiting>,
    /// What was told last, without its motion.
    told: Report,
    /// When; `None` before it is known.
    told_at: Option<Frame>,
    /// Nothing was told yet, so that the next report need not wait for its turn.
    fresh: bool,
    /// In 4 ms; 0 for indefinite.
    idle: u8,
    protocol: u8,
    output: u8,
    output_changed: bool,
    configured: bool,
    look: Look,
    now: Frame,
}

/// A report that is still to be told.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    report: Report,
    /// It tells of motion alone, and may tell of more.
    is_motion: bool,
}

/// How long a host has had a look at the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// It has not asked for reports.
    Idle,
    /// It has, at a time that the next frame tells.
    Asked,
    /// It is ready at this frame.
    Until(Frame),
    /// It is, of which the user was told or not.
    Ready { told: bool },
}

impl Hid {
    /// Reports that may wait for a host that does not ask.
    pub(crate) const MOST_WAITING: usize = 1 << 14;

    pub(crate) fn new(options: DeviceOptions, model: &'static Model) -> Result<Self, DeviceError> {
        let interval = interval(options.bus_speed());
        let interfaces = [interface(model, interval)?];
        let descriptors =
            options.descriptors(model.product, ClassCode::PER_INTERFACE, interfaces)?;
        Ok(Self {
            device: Device::new(descriptors, [REPORTS]),
            model,
            interval,
            reports: VecDeque::new(),
            told: Report::default(),
            told_at: None,
            fresh: true,
            idle: model.idle,
            protocol: hid::REPORT_PROTOCOL,
            output: 0,
            output_changed: false,
            configured: false,
            look: Look::Idle,
            now: Frame::ZERO,
        })
    }

    pub(crate) const fn descriptors(&self) -> &DeviceDescriptors {
        self.device.descriptors()
    }

    /// Reports that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.reports.len()
    }

    /// Reports that may be added; none once the device has left.
    pub(crate) fn room(&self) -> usize {
        if self.is_attached() {
            Self::MOST_WAITING.saturating_sub(self.reports.len())
        } else {
            0
        }
    }

    pub(crate) const fn is_attached(&self) -> bool {
        self.device.is_attached()
    }

    pub(crate) const fn is_configured(&self) -> bool {
        self.device.is_configured()
    }

    /// Whether the host has asked for reports for as long as it may look at the device.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(self.look, Look::Ready { .. })
    }

    /// Whether the host has become ready since this was asked last.
    pub(crate) fn take_ready(&mut self) -> bool {
        let is_news = self.look == Look::Ready { told: false };
        if is_news {
            self.look = Look::Ready { told: true };
        }
        is_news
    }

    /// The report that will be told last, where it tells of motion, for more to be added to.
    pub(crate) fn last_motion(&mut self) -> Option<&mut Report> {
        let last = self.reports.back_mut().filter(|last| last.is_motion);
        last.map(|last| &mut last.report)
    }

    /// What the host knows once all is told.
    pub(crate) fn state(&self) -> Report {
        let last = self.reports.back();
        last.map_or(self.told, |last| self.still(last.report))
    }

    /// Adds a report of what is. Where too many wait, the last is replaced: the host misses what
    /// was between, but not how it is now.
    pub(crate) fn push(&mut self, report: Report) {
        if self.is_attached() {
            if self.room() == 0 {
                self.reports.pop_back();
            }
            self.add(report, false);
        }
    }

    /// Adds a report of motion alone, unless too many wait.
    pub(crate) fn push_motion(&mut self, report: Report) {
        if self.room() > 0 {
            self.add(report, true);
        }
    }

    fn add(&mut self, report: Report, is_motion: bool) {
        self.reports.push_back(Waiting { report, is_motion });
        self.serve();
    }

    /// The output report, if the host has set it since it was asked for last.
    pub(crate) fn take_output(&mut self) -> Option<u8> {
        core::mem::take(&mut self.output_changed).then_some(self.output)
    }

    pub(crate) const fn output(&self) -> u8 {
        self.output
    }

    fn still(&self, mut report: Report) -> Report {
        for (byte, state) in report.iter_mut().zip(self.model.state) {
            *byte &= state;
        }
        report
    }

    fn length(&self) -> usize {
        usize::from(match self.protocol {
            hid::BOOT => self.model.boot_length,
            _ => self.model.length,
        })
    }

    /// The next report has its turn an interval after the last, as on a bus, so that a host's
    /// queues are not flooded.
    fn next_turn(&self) -> Option<Frame> {
        let told_at = self.told_at?;
        Some(Frame(told_at.0.saturating_add(u64::from(self.interval))))
    }

    /// When the last report is told again though nothing has changed.
    fn next_repetition(&self) -> Option<Frame> {
        let idle = u64::from(self.idle).saturating_mul(IDLE_UNIT);
        let told_at = self.told_at.filter(|_| idle > 0)?;
        Some(Frame(told_at.0.saturating_add(idle)))
    }

    fn serve(&mut self) {
        if self.device.front(REPORTS).is_none() {
            return;
        }
        let due = |frame: Option<Frame>| frame.is_some_and(|frame| frame <= self.now);
        let report = if self.reports.is_empty() {
            Some(self.told).filter(|_| due(self.next_repetition()))
        } else if self.fresh || due(self.next_turn()) {
            self.reports.pop_front().map(|next| next.report)
        } else {
            None
        };
        let Some(report) = report else {
            return;
        };
        self.told = self.still(report);
        self.told_at = None;
        self.fresh = false;
        let length = self.length();
        if let Some(transfer) = self.device.take(REPORTS) {
            let report = report.get(..length).unwrap_or(&report);
            self.device.complete_in(&transfer, report);
        }
    }

    /// `true`: what the user did so far is no longer there.
    pub(crate) fn submit(&mut self, transfer: Transfer) -> bool {
        match self.device.submit(transfer) {
            Taken::Changed(Change::Configuration(value)) => return self.restart(value != 0),
            Taken::Done | Taken::Changed(_) => {}
            Taken::Queued => {
                if self.look == Look::Idle {
                    self.look = Look::Asked;
                }
                self.serve();
            }
            Taken::Request(transfer, setup) => self.request(transfer, setup),
        }
        false
    }

    pub(crate) fn cancel(&mut self, id: TransferId) {
        self.device.cancel(id);
        self.serve();
    }

    /// As [`submit`](Self::submit).
    pub(crate) fn reset(&mut self) -> bool {
        self.device.reset();
        self.restart(false)
    }

    /// As [`submit`](Self::submit).
    pub(crate) fn detach(&mut self) -> bool {
        self.device.detach();
        self.restart(false)
    }

    pub(crate) fn poll(&mut self) -> Option<FunctionEvent> {
        self.device.poll()
    }

    pub(crate) fn start_of_frame(&mut self, now: Frame) {
        self.now = now;
        self.told_at.get_or_insert(now);
        match self.look {
            Look::Asked => self.look = Look::Until(Frame(now.0.saturating_add(LOOK))),
            Look::Until(frame) if frame <= now => {
                self.look = Look::Ready { told: false };
            }
            _ => {}
        }
        self.serve();
    }

    pub(crate) fn next_frame(&self) -> Option<Frame> {
        let ready = match self.look {
            Look::Asked => Some(Frame(1)),
            Look::Until(frame) => Some(frame),
            Look::Idle | Look::Ready { .. } => None,
        };
        ready.into_iter().chain(self.next_report()).min()
    }

    /// When there may be something to tell the host.
    fn next_report(&self) -> Option<Frame> {
        self.device.front(REPORTS)?;
        if self.told_at.is_none() && (!self.fresh || self.idle > 0) {
            // In the past: it is to be told what time it is.
            return Some(Frame(1));
        }
        if self.reports.is_empty() {
            self.next_repetition()
        } else {
            self.next_turn()
        }
    }

    /// A host that had the device has left it or starts anew. What was done before any host had it
    /// is kept.
    fn restart(&mut self, configured: bool) -> bool {
        let lost = self.configured;
        if lost {
            self.reports.clear();
        }
        self.told = Report::default();
        self.told_at = None;
        self.fresh = true;
        self.idle = self.model.idle;
        self.protocol = hid::REPORT_PROTOCOL;
        self.output_changed |= self.output != 0;
        self.output = 0;
        self.configured = configured;
        self.look = Look::Idle;
        lost
    }

    /// Requests with other parameters than the specification's are stalled.
    fn request(&mut self, transfer: Transfer, setup: SetupPacket) {
        if !self.device.is_for_interface(setup, INTERFACE) {
            return self.device.complete(transfer.stall());
        }
        let [low, high] = setup.value.to_le_bytes();
        let has_boot = self.model.boot.is_some();
        match (setup.request_type, setup.request) {
            (RequestType::INTERFACE_IN, request::GET_DESCRIPTOR) => match (high, low) {
                (hid::REPORT, 0) => self.device.answer(transfer, self.model.report_descriptor),
                (hid::HID, 0) => self.device.answer(transfer, &hid_descriptor(self.model)),
                _ => self.device.complete(transfer.stall()),
            },
            (RequestType::CLASS_INTERFACE_IN, hid::GET_REPORT) => match setup.value {
                hid::INPUT => {
                    let (report, length) = (self.state(), self.length());
                    let report = report.get(..length).unwrap_or(&report);
                    self.device.answer(transfer, report);
                }
                hid::OUTPUT if self.model.has_output => {
                    let output = self.output;
                    self.device.answer(transfer, &[output]);
                }
                _ => self.device.complete(transfer.stall()),
            },
            (RequestType::CLASS_INTERFACE_OUT, hid::SET_REPORT)
                if self.model.has_output && setup.value == hid::OUTPUT =>
            {
                match &transfer.payload {
                    Payload::Out(data) if data.len() == 1 => {
                        self.output = data.first().copied().unwrap_or(0);
                        self.output_changed = true;
                        self.device.complete(transfer.complete_out());
                    }
                    _ => self.device.complete(transfer.stall()),
                }
            }
            (RequestType::CLASS_INTERFACE_IN, hid::GET_IDLE) if setup.value == 0 => {
                let idle = self.idle;
                self.device.answer(transfer, &[idle]);
            }
            (RequestType::CLASS_INTERFACE_OUT, hid::SET_IDLE) if (low, setup.length) == (0, 0) => {
                self.idle = high;
                self.device.complete(transfer.complete_out());
            }
            (RequestType::CLASS_INTERFACE_IN, hid::GET_PROTOCOL)
                if has_boot && setup.value == 0 =>
            {
                let protocol = self.protocol;
                self.device.answer(transfer, &[protocol]);
            }
            (RequestType::CLASS_INTERFACE_OUT, hid::SET_PROTOCOL)
                if has_boot && (high, setup.length) == (0, 0) && low <= hid::REPORT_PROTOCOL =>
            {
                self.protocol = low;
                self.device.complete(transfer.complete_out());
            }
            _ => self.device.complete(transfer.stall()),
        }
    }
}

fn interface(model: &Model, interval: u32) -> Result<Interface, BuildError> {
    // Subclass 1 is the boot interface (HID 1.11, 4.2 and 4.3).
    let class = match model.boot {
        Some(protocol) => ClassCode::new(HID, 1, protocol),
        None => ClassCode::new(HID, 0, 0),
    };
    let interface = Interface::new(INTERFACE, class).descriptor(&hid_descriptor(model))?;
    Ok(interface.endpoint(Endpoint::interrupt(REPORTS, 8, interval)))
}

/// HID 1.11, 6.2.1; country code 0.
fn hid_descriptor(model: &Model) -> [u8; 9] {
    let length = u16::try_from(model.report_descriptor.len()).unwrap_or(u16::MAX);
    let [length0, length1] = length.to_le_bytes();
    [9, hid::HID, 0x11, 0x01, 0, 1, hid::REPORT, length0, length1]
}

/// Every [`Hid`] is a function in the same way.
macro_rules! function {
    ($device:ty) => {
        impl $device {
            /// The descriptors it answers with.
            #[must_use]
            pub const fn descriptors(&self) -> &usb_transfer::DeviceDescriptors {
                self.hid.descriptors()
            }

            /// Reports that the host has not been told yet.
            #[must_use]
            pub fn waiting(&self) -> usize {
                self.hid.waiting()
            }

            /// Whether a host has configured it.
            #[must_use]
            pub const fn is_configured(&self) -> bool {
                self.hid.is_configured()
            }

            /// Whether the host that has configured it has been asking for reports for a second.
            /// What it is told before that may be lost: Linux throws away what comes just after a
            /// device was opened.
            #[must_use]
            pub fn is_ready(&self) -> bool {
                self.hid.is_ready()
            }

            /// Takes the device away from the host: what it asked is answered with
            /// [`Status::DISCONNECTED`](usb_transfer::Status::DISCONNECTED), from now on too.
            pub fn detach(&mut self) {
                if self.hid.detach() {
                    self.forget();
                }
            }
        }

        impl usb_transfer::Function for $device {
            fn submit(&mut self, transfer: usb_transfer::Transfer) {
                if self.hid.submit(transfer) {
                    self.forget();
                }
            }

            fn cancel(&mut self, id: usb_transfer::TransferId) {
                self.hid.cancel(id);
            }

            fn reset(&mut self) {
                if self.hid.reset() {
                    self.forget();
                }
            }

            fn poll(&mut self) -> Option<usb_transfer::FunctionEvent> {
                self.hid.poll()
            }

            fn start_of_frame(&mut self, now: usb_transfer::Frame) {
                self.hid.start_of_frame(now);
            }

            fn next_frame(&self) -> Option<usb_transfer::Frame> {
                self.hid.next_frame()
            }
        }
    };
}
pub(crate) use function;
