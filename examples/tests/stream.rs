//! The loop on a real socket: cut input, slow peers, peers that leave, functions that wake it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests of sockets and threads"
)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use examples::{FrameClock, Sleeper, Stream, StreamError, run};
use proptest::prelude::*;
use rustix::net::sockopt;
use usb_descriptors::Speed;
use usb_transfer::{Frame, Function, FunctionEvent, Payload, Status, Transfer, TransferId};
use usbip_proto::server::Session;
use usbip_proto::{DeviceId, Limits, ProtocolError};

const IN: u32 = 1;
const OUT: u32 = 0;

/// A CMD_SUBMIT to endpoint 1.
fn request(seqnum: u32, direction: u32, length: u32) -> Vec<u8> {
    let words = [
        1,
        seqnum,
        0x0001_0002,
        direction,
        1,
        0,
        length,
        0,
        0,
        0,
        0,
        0,
    ];
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    if direction == OUT {
        bytes.extend((0..length).map(|at| pattern(seqnum, at)));
    }
    bytes
}

fn pattern(seqnum: u32, at: u32) -> u8 {
    (seqnum.wrapping_mul(31) ^ at ^ at >> 8).to_le_bytes()[0]
}

/// The reply's seqnum and data.
fn reply(peer: &mut impl Read, direction: u32) -> Option<(u32, Vec<u8>)> {
    let mut header = [0; 48];
    peer.read_exact(&mut header).ok()?;
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(20)), (3, 0), "a good RET_SUBMIT");
    let mut data = vec![
        0;
        if direction == IN {
            word(24) as usize
        } else {
            0
        }
    ];
    peer.read_exact(&mut data).ok()?;
    Some((word(4), data))
}

fn session() -> Session {
    Session::new(DeviceId::new(1, 2), Speed::High, Limits::default())
}

/// Answers IN with the pattern of its number and checks OUT against it.
#[derive(Default)]
struct Patterns {
    seqnum: u32,
    events: VecDeque<FunctionEvent>,
    resets: u32,
}

impl Function for Patterns {
    fn submit(&mut self, transfer: Transfer) {
        self.seqnum += 1;
        let seqnum = self.seqnum;
        let done = match &transfer.payload {
            Payload::In { length } => {
                let data: Vec<u8> = (0..*length).map(|at| pattern(seqnum, at)).collect();
                transfer.complete_in(data)
            }
            Payload::Out(data) => {
                assert!(
                    (0..)
                        .zip(data)
                        .all(|(at, byte)| *byte == pattern(seqnum, at))
                );
                transfer.complete_out()
            }
        };
        self.events.push_back(FunctionEvent::Complete(done));
    }
    fn cancel(&mut self, _id: TransferId) {}
    fn reset(&mut self) {
        self.resets += 1;
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        self.events.pop_front()
    }
}

/// A loop that runs in a thread; the function comes back with the result.
type Served<F> = thread::JoinHandle<(Result<(), StreamError<ProtocolError>>, F)>;

fn serve<F: Function + Send + 'static>(
    stream: Stream,
    sleeper: Sleeper,
    mut function: F,
) -> Served<F> {
    thread::spawn(move || {
        let mut stream = stream;
        let result = run(&mut stream, &sleeper, &mut session(), &mut function);
        (result, function)
    })
}

/// The same with nothing to wait for but this end of a pair.
fn serve_here<F: Function + Send + 'static>(ours: UnixStream, function: F) -> Served<F> {
    serve(Stream::new(ours).unwrap(), Sleeper::new(), function)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_and_any_buffer_give_the_same(
        requests in prop::collection::vec((0..2u32, 0..400_000u32), 1..12),
        cuts in prop::collection::vec(1..100_000usize, 1..20),
        buffer in prop_oneof![Just(None), (1..60_000usize).prop_map(Some)],
    ) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        if let Some(size) = buffer {
            sockopt::set_socket_send_buffer_size(&ours, size).unwrap();
            sockopt::set_socket_send_buffer_size(&theirs, size).unwrap();
        }
        let server = serve_here(ours, Patterns::default());
        let input: Vec<u8> = (1..)
            .zip(&requests)
            .flat_map(|(seqnum, (direction, length))| request(seqnum, *direction, *length))
            .collect();
        let mut writer = theirs.try_clone().unwrap();
        let writer = thread::spawn(move || {
            let (mut rest, mut cuts) = (&input[..], cuts.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                writer.write_all(piece).unwrap();
                rest = after;
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut reader = theirs;
        for (seqnum, (direction, length)) in (1..).zip(&requests) {
            let (found, data) = reply(&mut reader, *direction).unwrap();
            prop_assert_eq!(found, seqnum);
            let expected = if *direction == IN { *length } else { 0 };
            prop_assert_eq!(data.len(), expected as usize);
            prop_assert!((0..).zip(&data).all(|(at, byte)| *byte == pattern(seqnum, at)));
        }
        prop_assert!(reply(&mut reader, IN).is_none(), "nothing else");
        writer.join().unwrap();
        let (result, function) = server.join().unwrap();
        prop_assert!(result.is_ok());
        prop_assert_eq!(function.resets, 1, "the frontend's last event");
    }
}

#[test]
fn the_end_may_come_anywhere() {
    let input = [request(1, OUT, 40), request(2, IN, 10), request(3, OUT, 1)].concat();
    for cut in 0..=input.len() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = serve_here(ours, Patterns::default());
        theirs.write_all(&input[..cut]).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let mut replies = Vec::new();
        theirs.read_to_end(&mut replies).unwrap();
        let (result, function) = server.join().unwrap();
        assert!(result.is_ok(), "{cut}: {result:?}");
        assert_eq!(function.resets, 1);
        let whole = [88, 136, 185].into_iter().filter(|end| cut >= *end).count();
        assert_eq!(replies.len(), [0, 48, 106, 154][whole], "{cut}");
    }
}

#[test]
fn a_peer_that_leaves_its_replies_unread_is_just_gone() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = serve_here(ours, Patterns::default());
    for seqnum in 1..20 {
        theirs.write_all(&request(seqnum, IN, 100_000)).unwrap();
    }
    reply(&mut theirs, IN).unwrap();
    drop(theirs);
    let (result, function) = server.join().unwrap();
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(function.resets, 1);
}

#[test]
fn what_breaks_the_protocol_ends_it_after_what_was_due() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = serve_here(ours, Patterns::default());
    theirs
        .write_all(&[request(1, IN, 300_000), vec![0xff; 48]].concat())
        .unwrap();
    assert_eq!(reply(&mut theirs, IN).unwrap().1.len(), 300_000);
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "closed");
    let (result, function) = server.join().unwrap();
    assert!(matches!(
        result,
        Err(StreamError::Protocol(ProtocolError::Command { .. }))
    ));
    assert_eq!(function.resets, 1);
}

#[test]
fn tcp_serves_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    // A stream makes it blocking: its waiting is receiving.
    ours.set_nonblocking(true).unwrap();
    let stream = Stream::new(ours).unwrap();
    assert!(sockopt::tcp_nodelay(&stream).unwrap());
    let server = serve(stream, Sleeper::new(), Patterns::default());
    for seqnum in 1..50 {
        theirs.write_all(&request(seqnum, IN, 5000)).unwrap();
        assert_eq!(reply(&mut theirs, IN).unwrap().0, seqnum);
    }
    drop(theirs);
    assert!(server.join().unwrap().0.is_ok());
}

#[test]
fn what_is_no_socket_is_refused() {
    assert!(Stream::new(std::fs::File::open("/dev/null").unwrap()).is_err());
}

/// Hands each transfer to another thread and gets it back from there.
struct Elsewhere {
    to: Sender<Transfer>,
    from: Receiver<Transfer>,
}

impl Elsewhere {
    fn new(waker: Waker) -> Self {
        let (to, work) = channel::<Transfer>();
        let (done, from) = channel();
        thread::spawn(move || {
            for transfer in work {
                thread::sleep(Duration::from_millis(1));
                let _ = done.send(transfer);
                waker.wake_by_ref();
            }
        });
        Self { to, from }
    }
}

impl Function for Elsewhere {
    fn submit(&mut self, transfer: Transfer) {
        self.to.send(transfer).unwrap();
    }
    fn cancel(&mut self, _id: TransferId) {}
    fn reset(&mut self) {}
    fn poll(&mut self) -> Option<FunctionEvent> {
        let done = self.from.try_recv().ok()?.complete_in(vec![1, 2, 3]);
        Some(FunctionEvent::Complete(done))
    }
}

#[test]
fn a_function_that_finishes_by_itself_wakes_the_loop() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut sleeper = Sleeper::new();
    let function = Elsewhere::new(sleeper.waker().unwrap());
    let server = serve(Stream::new(ours).unwrap(), sleeper, function);
    for seqnum in 1..30 {
        theirs.write_all(&request(seqnum, IN, 3)).unwrap();
        theirs.write_all(&request(seqnum + 100, IN, 3)).unwrap();
        assert_eq!(reply(&mut theirs, IN).unwrap(), (seqnum, vec![1, 2, 3]));
        assert_eq!(
            reply(&mut theirs, IN).unwrap(),
            (seqnum + 100, vec![1, 2, 3])
        );
    }
    // What is still elsewhere when the peer leaves comes back before the end.
    theirs.write_all(&request(1, IN, 3)).unwrap();
    drop(theirs);
    assert!(server.join().unwrap().0.is_ok());
}

/// Completes one transfer each millisecond.
struct Paced {
    clock: FrameClock,
    waiting: VecDeque<Transfer>,
    due: Frame,
    now: Frame,
}

impl Function for Paced {
    fn submit(&mut self, transfer: Transfer) {
        if self.waiting.is_empty() {
            self.due = Frame(self.clock.now().0 + 8);
        }
        self.waiting.push_back(transfer);
    }
    fn cancel(&mut self, _id: TransferId) {}
    fn reset(&mut self) {
        self.due = Frame::ZERO;
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        if self.due > self.now {
            return None;
        }
        let transfer = self.waiting.pop_front()?;
        let at = self.due.0.to_be_bytes().to_vec();
        self.due.0 += 8;
        Some(FunctionEvent::Complete(transfer.complete_in(at)))
    }
    fn start_of_frame(&mut self, now: Frame) {
        self.now = now;
    }
    fn next_frame(&self) -> Option<Frame> {
        (!self.waiting.is_empty()).then_some(self.due)
    }
}

#[test]
fn a_function_with_a_pace_is_called_when_it_is_due() {
    let clock = FrameClock::start();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let waiting = VecDeque::new();
    let function = Paced {
        clock,
        waiting,
        due: Frame::ZERO,
        now: Frame::ZERO,
    };
    let server = serve(
        Stream::new(ours).unwrap(),
        Sleeper::with_clock(clock),
        function,
    );
    for seqnum in 1..=20 {
        theirs.write_all(&request(seqnum, IN, 8)).unwrap();
    }
    let mut frames = Vec::new();
    for seqnum in 1..=20 {
        let (found, at) = reply(&mut theirs, IN).unwrap();
        let due = u64::from_be_bytes(at.try_into().unwrap());
        assert_eq!(found, seqnum);
        assert!(clock.now() >= Frame(due), "not before its time");
        frames.push(due);
    }
    assert!(frames.windows(2).all(|pair| pair[1] - pair[0] >= 8));
    drop(theirs);
    assert!(server.join().unwrap().0.is_ok());
}

/// Answers at once, and has work to do when the answer has left.
struct Worker {
    done: Option<FunctionEvent>,
    work: Work,
    peer: Receiver<()>,
}

#[derive(PartialEq, Eq, Debug)]
enum Work {
    None,
    AfterTheAnswer,
    Now,
    Done,
}

impl Function for Worker {
    fn submit(&mut self, transfer: Transfer) {
        self.done = Some(FunctionEvent::Complete(transfer.complete_out()));
        self.work = Work::AfterTheAnswer;
    }
    fn cancel(&mut self, _id: TransferId) {}
    fn reset(&mut self) {}
    fn poll(&mut self) -> Option<FunctionEvent> {
        if self.done.is_some() {
            return self.done.take();
        }
        match self.work {
            Work::AfterTheAnswer => self.work = Work::Now,
            Work::Now => {
                self.peer.recv_timeout(Duration::from_secs(10)).unwrap();
                self.work = Work::Done;
            }
            Work::None | Work::Done => {}
        }
        None
    }
    fn next_frame(&self) -> Option<Frame> {
        (self.work == Work::Now).then_some(Frame::ZERO)
    }
}

#[test]
fn an_answer_leaves_before_the_work_that_follows_it() {
    let (peer_has_it, peer) = channel();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let function = Worker {
        done: None,
        work: Work::None,
        peer,
    };
    let server = serve_here(ours, function);
    theirs.write_all(&request(1, OUT, 31)).unwrap();
    assert!(reply(&mut theirs, OUT).is_some());
    peer_has_it.send(()).unwrap();
    drop(theirs);
    let (result, function) = server.join().unwrap();
    assert!(result.is_ok());
    assert_eq!(function.work, Work::Done);
}

/// Works for as long as nobody calls it off, and says so by `Frame::ZERO`.
#[derive(Default)]
struct Tireless {
    is_busy: bool,
    told: Option<Frame>,
    resets: u32,
    rounds: u32,
}

impl Function for Tireless {
    fn submit(&mut self, _transfer: Transfer) {
        self.is_busy = true;
    }
    fn cancel(&mut self, _id: TransferId) {}
    fn reset(&mut self) {
        self.is_busy = false;
        self.resets += 1;
    }
    fn poll(&mut self) -> Option<FunctionEvent> {
        if self.is_busy {
            self.rounds += 1;
            assert!(self.rounds < 10_000_000, "the peer has left long ago");
        }
        None
    }
    fn start_of_frame(&mut self, now: Frame) {
        self.told = Some(now);
    }
    fn next_frame(&self) -> Option<Frame> {
        self.is_busy.then_some(Frame::ZERO)
    }
}

#[test]
fn a_function_at_work_hears_of_the_peer_and_of_the_time() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut stream = Stream::new(ours).unwrap();
    theirs.write_all(&request(1, OUT, 31)).unwrap();
    drop(theirs);
    let mut function = Tireless::default();
    let result = run(&mut stream, &Sleeper::new(), &mut session(), &mut function);
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(function.resets, 1);
    assert!(function.told.is_some());
}

#[test]
fn a_device_that_leaves_ends_the_connection_for_the_peer() {
    struct Gone(bool, VecDeque<FunctionEvent>);
    impl Function for Gone {
        fn submit(&mut self, transfer: Transfer) {
            let gone = transfer.fail(Status::DISCONNECTED);
            self.1.push_back(FunctionEvent::Complete(gone));
            if !std::mem::replace(&mut self.0, true) {
                self.1.push_back(FunctionEvent::Detached);
            }
        }
        fn cancel(&mut self, _id: TransferId) {}
        fn reset(&mut self) {}
        fn poll(&mut self) -> Option<FunctionEvent> {
            self.1.pop_front()
        }
    }
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = serve_here(ours, Gone(false, VecDeque::new()));
    theirs.write_all(&request(1, IN, 5)).unwrap();
    let mut rest = Vec::new();
    theirs.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 48);
    assert!(server.join().unwrap().0.is_ok());
}
