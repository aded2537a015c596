//! Isochronous transfers both ways at once, with a sound card that records what it plays: each packet
//! is looked at, and all sound must come back.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use examples::{Address, Host, HostError, Stream, patiently};
use usb_descriptors::{Direction, SetupPacket, TransferType};
use usb_transfer::{
    Completion, DeviceDescriptors, Flags, IsoPacket, Kind, Payload, Status, Transfer, TransferId,
};
use usbip_proto::client::Session;
use usbip_proto::{BusId, Limits};

use crate::tape::{FRAME, MILLISECOND, Tape};
use crate::wiretap::Wiretap;
use crate::{ASK, Found, Probe, User, find};

/// Each way, so many packets are under way at least,
const PACKETS_AHEAD: usize = 500;
/// and so many transfers.
const TRANSFERS_AHEAD: usize = 4;
/// The most that USB/IP has in one transfer (`USBIP_MAX_ISO_PACKETS` of Linux).
const MOST_PACKETS: usize = 1024;
/// Where the card had a silence in what is lost, that is not known from a loss: it is tried again.
const ATTEMPTS: usize = 4;

/// How transfers are made.
#[derive(Clone, Copy)]
struct Shape {
    /// Packets of each transfer, in turn.
    counts: &'static [usize],
    /// Bytes of each packet of a transfer, in turn.
    lengths: &'static [u32],
    /// Bytes between packets.
    gap: u32,
}

impl Shape {
    const fn new(counts: &'static [usize], lengths: &'static [u32]) -> Self {
        Self {
            counts,
            lengths,
            gap: 0,
        }
    }

    /// To be played: a millisecond in each packet.
    const fn play(counts: &'static [usize]) -> Self {
        Self::new(counts, &[192])
    }

    /// To be recorded: with more room than a millisecond needs, so that nothing lies where it was
    /// asked for.
    const fn record(counts: &'static [usize]) -> Self {
        Self::new(counts, &[200])
    }

    const fn with_gap(self, gap: u32) -> Self {
        Self { gap, ..self }
    }
}

struct Case {
    name: &'static str,
    play: Shape,
    record: Shape,
    /// How many are played.
    transfers: usize,
}

/// The card keeps so much sound when it is late, however slow the machine is with so many transfers.
const SHORT: Case = same("1 packet", &[1], 240);

const fn same(name: &'static str, counts: &'static [usize], transfers: usize) -> Case {
    Case {
        name,
        play: Shape::play(counts),
        record: Shape::record(counts),
        transfers,
    }
}

const CASES: [Case; 8] = [
    same("1024 packets", &[MOST_PACKETS], 6),
    same("300 packets", &[300], 8),
    same("129 packets", &[129], 12),
    same("128 packets", &[128], 12),
    SHORT,
    Case {
        name: "all of these",
        play: Shape::play(&[1024, 1, 300, 129, 128]),
        record: Shape::record(&[128, 1, 129, 1024, 300]),
        transfers: 10,
    },
    Case {
        name: "packets of 192, 188, 196 and 0 bytes",
        play: Shape::new(&[300, 129], &[192, 188, 196, 0]),
        record: Shape::new(&[129, 300], &[192, 188, 196, 0]),
        transfers: 10,
    },
    Case {
        name: "packets with gaps between them",
        play: Shape::play(&[300]).with_gap(64),
        record: Shape::record(&[300]).with_gap(56),
        transfers: 8,
    },
];

/// Plays and records in transfers of each shape.
pub(crate) fn play(address: &Address, bus_id: BusId) {
    let mut card = Card::open(address, bus_id, Limits::default());
    for case in &CASES {
        card.run(case);
    }
}

/// Cancels transfers that wait and such that are under way: each ends for that, on the wire too.
pub(crate) fn unlink(address: &Address, bus_id: BusId) {
    let tap = Wiretap::default();
    let mut card = Card::over(|| tap.connect(address), bus_id, Limits::default());
    card.unlink_waiting();
    card.unlink_played();
    let lost = (0..ATTEMPTS).find_map(|_| card.unlink_recorded());
    let lost = lost.expect("whole URBs are lost");
    println!("unlinked while it was recorded: {lost} of 8 URBs are lost, the others whole");
    let (unlinked, late) = tap.unlinks();
    assert_eq!((unlinked, late), (card.unlinked, card.late));
    println!(
        "on the wire: {unlinked} unlinks answered with -ECONNRESET and nothing else, {late} too late, with 0 behind the transfer"
    );
}

/// Asks for more packets than there may be: where this end knows better, and where it does not.
pub(crate) fn limit(address: &Address, bus_id: BusId) {
    const TOO_MANY: Shape = Shape::play(&[MOST_PACKETS + 1]);
    let mut card = Card::open(address, bus_id, Limits::default());
    card.select();
    for direction in [Direction::Out, Direction::In] {
        let id = card.submit(direction, TOO_MANY);
        let completion = card.completion();
        assert_eq!((completion.id, completion.status), (id, Status::INVALID));
        card.way(direction).under_way.clear();
    }
    card.run(&SHORT);
    drop(card);
    for direction in [Direction::Out, Direction::In] {
        let mut limits = Limits::default();
        limits.max_iso_packets *= 2;
        let mut card = Card::open(address, bus_id, limits);
        card.select();
        card.probe.user.expects_end = true;
        card.submit(direction, TOO_MANY);
        let completion = card.completion();
        assert_eq!(completion.status, Status::DISCONNECTED);
    }
    Card::open(address, bus_id, Limits::default()).run(&SHORT);
    println!(
        "1025 packets: refused before they are sent, and where they are sent the session ends"
    );
}

/// A transfer that is under way.
struct Asked {
    id: TransferId,
    packets: Vec<IsoPacket>,
    is_cancelled: bool,
}

/// One direction.
struct Way {
    found: Found,
    submitted: usize,
    completed: usize,
    under_way: VecDeque<Asked>,
}

impl Way {
    fn new(device: &DeviceDescriptors, direction: Direction) -> Self {
        Self {
            found: find(device, TransferType::Isochronous, direction),
            submitted: 0,
            completed: 0,
            under_way: VecDeque::new(),
        }
    }

    fn is_ahead(&self) -> bool {
        let packets: usize = self.under_way.iter().map(|each| each.packets.len()).sum();
        self.under_way.len() >= TRANSFERS_AHEAD && packets >= PACKETS_AHEAD
    }
}

struct Card {
    probe: Probe<Session>,
    play: Way,
    record: Way,
    tape: Tape,
    /// Transfers that ended because they were cancelled,
    unlinked: usize,
    /// and such that were complete before.
    late: usize,
}

impl Card {
    fn open(address: &Address, bus_id: BusId, limits: Limits) -> Self {
        Self::over(|| address.connect(), bus_id, limits)
    }

    fn over(connect: impl Fn() -> io::Result<OwnedFd>, bus_id: BusId, limits: Limits) -> Self {
        let import = || {
            let stream = Stream::new(connect()?)?;
            Host::import(stream, bus_id, limits.clone())
        };
        let mut host = patiently(import, HostError::is_busy).expect("a device");
        let device = host.enumerate().expect("descriptors");
        let user = User::default();
        let mut probe = Probe { host, user };
        probe.control(SetupPacket::set_configuration(1));
        Self {
            probe,
            play: Way::new(&device, Direction::Out),
            record: Way::new(&device, Direction::In),
            tape: Tape::default(),
            unlinked: 0,
            late: 0,
        }
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Out => &mut self.play,
            Direction::In => &mut self.record,
        }
    }

    /// Begins anew.
    fn select(&mut self) {
        for way in [&mut self.play, &mut self.record] {
            let Found {
                interface, setting, ..
            } = way.found;
            for setting in [0, setting] {
                let setup = SetupPacket::set_interface(interface, setting);
                self.probe.control(setup);
            }
            (way.submitted, way.completed) = (0, 0);
        }
        self.tape = Tape::default();
    }

    /// Submits the next transfer of a shape.
    fn submit(&mut self, direction: Direction, shape: Shape) -> TransferId {
        let way = self.way(direction);
        let count = shape.counts[way.submitted % shape.counts.len()];
        way.submitted += 1;
        let (endpoint, interval) = (way.found.endpoint, way.found.interval);
        let lengths = shape.lengths.iter().cycle().take(count);
        let mut end = 0;
        let packets: Vec<_> = lengths
            .map(|&length| {
                let packet = IsoPacket::new(end, length);
                end += length + shape.gap;
                packet
            })
            .collect();
        let payload = match direction {
            Direction::Out => Payload::Out(self.tape.play(&packets, end)),
            Direction::In => Payload::In { length: end },
        };
        let id = self.probe.user.ids.mint();
        let kind = Kind::Isochronous(packets.clone());
        let flags = Flags {
            iso_asap: true,
            ..Flags::default()
        };
        let transfer = Transfer::new(id, endpoint, kind, payload);
        let transfer = transfer.with_interval(interval).with_flags(flags);
        self.probe.user.submit(transfer);
        self.way(direction).under_way.push_back(Asked {
            id,
            packets,
            is_cancelled: false,
        });
        id
    }

    /// Submits as much as is to be under way.
    fn fill(&mut self, direction: Direction, shape: Shape) {
        while !self.way(direction).is_ahead() {
            self.submit(direction, shape);
        }
    }

    fn completion(&mut self) -> Completion {
        let next = |user: &mut User| user.done.pop_front();
        let completion = self.probe.host.drive(&mut self.probe.user, next);
        completion.expect("a completion")
    }

    /// Waits for a transfer, which is the next of its direction unless it was cancelled, and is what
    /// was asked for.
    fn settle(&mut self) {
        let completion = self.completion();
        let is_it = |each: &Asked| each.id == completion.id;
        let (direction, at) = [Direction::Out, Direction::In]
            .into_iter()
            .find_map(|way| Some((way, self.way(way).under_way.iter().position(is_it)?)))
            .expect("it was asked for");
        let way = self.way(direction);
        let asked = way.under_way.remove(at).expect("it is there");
        way.completed += 1;
        if asked.is_cancelled {
            if completion.status == Status::CANCELLED {
                self.unlinked += 1;
                return;
            }
            self.late += 1;
        }
        assert_eq!(
            completion.status,
            Status::COMPLETED,
            "{direction:?} {:?}",
            asked.id
        );
        let mut before = self.way(direction).under_way.iter().take(at);
        let late = before.find(|each| !each.is_cancelled).map(|each| each.id);
        assert_eq!(late, None, "{direction:?}: {:?} came before it", asked.id);
        self.judge(direction, &asked, &completion);
    }

    fn judge(&mut self, direction: Direction, asked: &Asked, completion: &Completion) {
        let wanted = asked.packets.iter().map(|packet| IsoPacket {
            actual: match direction {
                Direction::Out => packet.length,
                Direction::In => packet.length.min(MILLISECOND * FRAME as u32),
            },
            ..*packet
        });
        let wanted: Vec<_> = wanted.collect();
        let differs = wanted.iter().zip(&completion.packets);
        let differs = differs
            .enumerate()
            .find(|(_, (wanted, found))| wanted != found);
        assert_eq!(differs, None, "{direction:?}, of {}", wanted.len());
        assert_eq!(completion.packets.len(), wanted.len());
        let sum: u32 = wanted.iter().map(|packet| packet.actual).sum();
        assert_eq!(completion.actual.len(), sum as usize);
        if direction == Direction::In {
            for (packet, data) in completion.packets_in() {
                assert_eq!(data.len(), packet.actual as usize);
                self.tape.hear(&data);
            }
        }
    }

    /// Plays so many transfers, and records until all has come back.
    fn run(&mut self, case: &Case) {
        self.select();
        while self.play.completed < case.transfers || !self.tape.is_whole() {
            self.fill(Direction::In, case.record);
            while self.play.submitted < case.transfers && !self.play.is_ahead() {
                self.submit(Direction::Out, case.play);
            }
            self.settle();
        }
        let Case { name, .. } = case;
        let (played, recorded) = (self.play.completed, self.record.completed);
        let Tape { heard, gaps, .. } = self.tape;
        println!(
            "{name}: {played} transfers played, {recorded} recorded, {heard} frames whole, {gaps} of silence between"
        );
        self.finish();
    }

    fn cancel(&mut self, direction: Direction, at: usize) {
        let asked = self.way(direction).under_way.get_mut(at).expect("it waits");
        asked.is_cancelled = true;
        let id = asked.id;
        self.probe.user.cancel(id);
    }

    /// Cancels what is under way.
    fn finish(&mut self) {
        self.probe.cancel_all();
        for way in [&mut self.play, &mut self.record] {
            way.under_way.clear();
        }
        let done = std::mem::take(&mut self.probe.user.done);
        let ends = [Status::COMPLETED, Status::CANCELLED];
        assert!(done.iter().all(|each| ends.contains(&each.status)));
        self.probe.control(ASK);
    }

    /// Records until all that was played has come back, and lets the rest run out.
    fn hear_out(&mut self, record: Shape) {
        while !self.play.under_way.is_empty() || !self.tape.is_whole() {
            self.fill(Direction::In, record);
            self.settle();
        }
        while !self.record.under_way.is_empty() {
            self.settle();
        }
    }

    /// Of several that are under way one each way that has not begun: the others know nothing of it.
    fn unlink_waiting(&mut self) {
        const PLAY: Shape = Shape::play(&[300]);
        const RECORD: Shape = Shape::record(&[300]);
        self.select();
        for _ in 0..6 {
            self.submit(Direction::In, RECORD);
            let first = self.tape.played + 1;
            self.submit(Direction::Out, PLAY);
            if self.play.submitted == 4 {
                self.tape.cut = Some(first..self.tape.played + 1);
            }
        }
        while self.play.completed == 0 {
            self.settle();
        }
        assert_eq!(self.play.under_way.len(), 5, "one of six is complete");
        // The fourth, and the last but one.
        self.cancel(Direction::Out, 2);
        self.cancel(Direction::In, self.record.under_way.len() - 2);
        self.submit(Direction::Out, PLAY);
        self.submit(Direction::Out, PLAY);
        self.hear_out(RECORD);
        assert_eq!((self.tape.kept, self.tape.lost), (Some(0), None));
        let (played, recorded) = (self.play.completed, self.record.completed);
        println!(
            "unlinked where they waited: one of {played} played and one of {recorded} recorded, 300 packets each; the others whole and in order"
        );
    }

    /// One that is half played: what was played of it are whole URBs of usbfs, without a hole, and
    /// the next is played from its start.
    fn unlink_played(&mut self) {
        const RECORD: Shape = Shape::record(&[10]);
        self.select();
        self.fill(Direction::In, RECORD);
        self.submit(Direction::Out, Shape::play(&[MOST_PACKETS]));
        self.tape.cut = Some(1..self.tape.played + 1);
        for _ in 0..3 {
            self.submit(Direction::Out, Shape::play(&[300]));
        }
        while self.tape.heard < 200 * MILLISECOND {
            self.fill(Direction::In, RECORD);
            self.settle();
        }
        self.cancel(Direction::Out, 0);
        self.hear_out(RECORD);
        let kept = self.tape.kept.expect("the end of it was not played");
        assert!(
            kept >= 2,
            "200 packets were heard, {kept} URBs of 128 were kept"
        );
        println!("unlinked while it was played: {kept} of 8 URBs were, the next transfers whole");
    }

    /// One that is half recorded: what was recorded of it is lost, and nothing else. How many URBs of
    /// it were lost, if they were whole, and it was not complete before. All is submitted before:
    /// the card then has a silence only where the machine is late.
    fn unlink_recorded(&mut self) -> Option<u32> {
        const PLAY: Shape = Shape::play(&[64]);
        const RECORD: Shape = Shape::record(&[MOST_PACKETS]);
        self.select();
        self.fill(Direction::In, RECORD);
        for _ in 0..48 {
            self.submit(Direction::Out, PLAY);
        }
        while self.record.completed < 1 || self.tape.heard == 0 {
            self.fill(Direction::In, RECORD);
            self.settle();
        }
        let until = self.play.completed + 4;
        while self.play.completed < until {
            self.settle();
        }
        self.tape.loses = true;
        self.cancel(Direction::In, 0);
        self.hear_out(RECORD);
        let lost = self.tape.lost_pieces()?;
        assert!((1..8).contains(&lost), "{lost} of 8 URBs were lost");
        Some(lost)
    }
}
