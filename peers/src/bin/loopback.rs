//! USB/IP over loopback with a device that takes no time: this workspace's server, crates.io's
//! `usbip` 0.9.0, and the least that can be done with the same bytes, asked by the same client in
//! turn. Prints medians, and ratios to compare machines by.
//!
//! `loopback [ROUNDS [MILLISECONDS [in|out [DEPTH [BYTES]]]]]`: so many rounds of so long each, 5 of
//! 200; all rows, or those of a direction, depth and size.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use peers::{BULK_IN, BULK_OUT, Echo, OUR_BUS_ID, THEIR_BUS_ID, bare, crates_io, ours};

const SIZES: [usize; 6] = [0, 512, 4 << 10, 16 << 10, 64 << 10, 1 << 20];
const DEPTHS: [usize; 2] = [1, 32];
const HEADER: usize = 48;

/// A client that keeps so many requests of a kind under way.
struct Client {
    socket: TcpStream,
    /// As many as are under way at once, one after the other.
    requests: Vec<u8>,
    /// Bytes of one.
    request: usize,
    reply: usize,
    depth: usize,
    seqnum: u32,
    buffer: Vec<u8>,
}

impl Client {
    /// `bus_id`: of the device to import; `None` at a server that knows none.
    fn new(
        address: SocketAddr,
        bus_id: Option<&str>,
        is_in: bool,
        size: usize,
        depth: usize,
    ) -> Self {
        let mut socket = TcpStream::connect(address).expect("a server");
        socket.set_nodelay(true).expect("TCP");
        let device = bus_id.map_or([0; 8], |bus_id| import(&mut socket, bus_id));
        let endpoint = if is_in { BULK_IN } else { BULK_OUT }.number();
        let mut request = Vec::new();
        for word in [
            1,
            0,
            0,
            u32::from(is_in),
            u32::from(endpoint),
            0,
            size as u32,
            0,
            0,
            0,
            0,
            0,
        ] {
            request.extend_from_slice(&word.to_be_bytes());
        }
        request[8..10].copy_from_slice(&device[2..4]);
        request[10..12].copy_from_slice(&device[6..8]);
        request.resize(HEADER + if is_in { 0 } else { size }, 0x5a);
        let reply = HEADER + if is_in { size } else { 0 };
        Self {
            socket,
            requests: request.repeat(depth),
            request: request.len(),
            reply,
            depth,
            seqnum: 0,
            buffer: vec![0; 256 << 10],
        }
    }

    fn ask(&mut self, count: usize) {
        let requests = &mut self.requests[..count * self.request];
        for request in requests.chunks_exact_mut(self.request) {
            self.seqnum = self.seqnum.wrapping_add(1);
            request[4..8].copy_from_slice(&self.seqnum.to_be_bytes());
        }
        self.socket
            .write_all(requests)
            .expect("a server that reads");
    }

    /// Seconds for each request, measured for about so long.
    fn time(&mut self, duration: Duration) -> f64 {
        let start = Instant::now();
        let (mut asked, mut answered, mut read) = (self.depth, 0, 0);
        self.ask(self.depth);
        while answered < asked {
            let count = self.socket.read(&mut self.buffer).expect("an answer");
            assert!(count > 0, "the server has left");
            read += count;
            let new = read / self.reply;
            read %= self.reply;
            answered += new;
            if new > 0 && start.elapsed() < duration {
                self.ask(new);
                asked += new;
            }
        }
        start.elapsed().as_secs_f64() / answered as f64
    }
}

/// Bus and device number of what was imported.
fn import(socket: &mut TcpStream, bus_id: &str) -> [u8; 8] {
    let mut request = vec![1, 0x11, 0x80, 3, 0, 0, 0, 0];
    request.extend_from_slice(bus_id.as_bytes());
    request.resize(40, 0);
    socket.write_all(&request).expect("a server that reads");
    let mut reply = [0; 320];
    socket.read_exact(&mut reply).expect("a device");
    assert_eq!(reply[..8], [1, 0x11, 0, 3, 0, 0, 0, 0], "granted");
    reply[8 + 288..8 + 296].try_into().expect("8 bytes")
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| {
        let argument = arguments.get(at);
        argument.map(|each| each.parse::<u64>().expect("a number"))
    };
    let rounds = number(0).unwrap_or(5) as usize;
    let duration = Duration::from_millis(number(1).unwrap_or(200));
    let wanted = |at: usize, value: usize| number(at).is_none_or(|only| only == value as u64);
    println!(
        "{:<4} {:>5} {:>8} {:>12} {:>12} {:>12} {:>11} {:>10}",
        "", "depth", "bytes", "ours/s", "bare/s", "usbip/s", "ours:bare", "ours:usbip"
    );
    for (name, is_in) in [("in", true), ("out", false)] {
        if arguments.get(2).is_some_and(|only| only != name) {
            continue;
        }
        for depth in DEPTHS.into_iter().filter(|depth| wanted(3, *depth)) {
            for size in SIZES.into_iter().filter(|size| wanted(4, *size)) {
                let (request, reply) = if is_in { (0, size) } else { (size, 0) };
                let our = ours(Echo::null());
                let their = crates_io(false);
                let least = bare(HEADER + request, HEADER + reply);
                let mut clients = [
                    Client::new(our, Some(OUR_BUS_ID), is_in, size, depth),
                    Client::new(least, None, is_in, size, depth),
                    Client::new(their, Some(THEIR_BUS_ID), is_in, size, depth),
                ];
                let mut times = [const { Vec::new() }; 3];
                for round in 0..=rounds {
                    for (client, times) in clients.iter_mut().zip(&mut times) {
                        let time = client.time(duration);
                        // The first warms up.
                        if round > 0 {
                            times.push(time);
                        }
                    }
                }
                let [our, least, their] = times.map(median);
                println!(
                    "{name:<4} {depth:>5} {size:>8} {:>12.0} {:>12.0} {:>12.0} {:>11.2} {:>10.2}",
                    1.0 / our,
                    1.0 / least,
                    1.0 / their,
                    our / least,
                    their / our,
                );
            }
        }
    }
    println!(
        "ours:bare is a ratio of times, at most what a server costs; ours:usbip of requests per second."
    );
}
