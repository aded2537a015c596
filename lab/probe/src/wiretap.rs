//! A USB/IP connection that is listened to on its way, by a reader of its own: what the server says to
//! each request, and to each unlink of one.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program has threads and sockets"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;

use examples::Address;

/// Of each message of a session; words are big-endian.
const HEADER: usize = 48;
/// `OP_REQ_IMPORT`.
const IMPORT: [usize; 1] = [40];
/// `OP_REP_IMPORT`: a refusal ends before the device.
const IMPORTED: [usize; 2] = [8, 312];
/// A packet's offset, length, actual length and status.
const PACKET: usize = 16;
/// `-ECONNRESET`: the request has ended for this.
const UNLINKED: i32 = -104;

/// Listens to one connection.
#[derive(Clone, Default)]
pub(crate) struct Wiretap(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    /// The requests that are not answered.
    out: BTreeSet<u32>,
    in_: BTreeSet<u32>,
    /// What is to be unlinked, by the number of the unlink.
    unlinks: BTreeMap<u32, u32>,
    /// How many were.
    unlinked: usize,
    /// How many were answered before.
    late: usize,
}

impl Wiretap {
    /// Connects to a server.
    pub(crate) fn connect(&self, address: &Address) -> io::Result<OwnedFd> {
        let (near, client) = UnixStream::pair()?;
        let server = TcpStream::from(address.connect()?);
        server.set_nodelay(true)?;
        let (from_client, to_server) = (near.try_clone()?, server.try_clone()?);
        let tap = self.clone();
        thread::spawn(move || {
            // Either may leave at any time.
            let _ = pass_on(&from_client, &to_server, &IMPORT, |message| {
                tap.heard(|heard| heard.request(message))
            });
            to_server.shutdown(Shutdown::Write)
        });
        let tap = self.clone();
        thread::spawn(move || {
            let _ = pass_on(&server, &near, &IMPORTED, |message| {
                tap.heard(|heard| heard.reply(message))
            });
            near.shutdown(Shutdown::Both)
        });
        Ok(client.into())
    }

    fn heard<T>(&self, hear: impl FnOnce(&mut Heard) -> T) -> T {
        hear(&mut self.0.lock().expect("the server keeps to the protocol"))
    }

    /// How many requests were unlinked, and how many unlinks came too late.
    pub(crate) fn unlinks(&self) -> (usize, usize) {
        self.heard(|heard| {
            assert_eq!(heard.unlinks.len(), 0, "unlinks without an answer");
            (heard.unlinked, heard.late)
        })
    }
}

/// Passes on the parts of the import, then messages: `hear` says how many bytes follow a header.
fn pass_on(
    mut from: impl Read,
    mut to: impl Write,
    import: &[usize],
    hear: impl Fn(&[u8]) -> usize,
) -> io::Result<()> {
    for &length in import {
        let mut part = vec![0; length];
        from.read_exact(&mut part)?;
        to.write_all(&part)?;
    }
    loop {
        let mut message = vec![0; HEADER];
        from.read_exact(&mut message)?;
        message.resize(HEADER + hear(&message), 0);
        from.read_exact(&mut message[HEADER..])?;
        to.write_all(&message)?;
    }
}

fn word(message: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(message[at..at + 4].try_into().expect("four bytes"))
}

/// Bytes of the packets' descriptors; −1 packets are none, too.
fn packets(message: &[u8]) -> usize {
    let count = word(message, 32).cast_signed();
    usize::try_from(count).map_or(0, |count| count * PACKET)
}

impl Heard {
    fn request(&mut self, message: &[u8]) -> usize {
        let (command, seqnum, is_in) = (word(message, 0), word(message, 4), word(message, 12) == 1);
        match command {
            1 if is_in => {
                self.in_.insert(seqnum);
                packets(message)
            }
            1 => {
                self.out.insert(seqnum);
                word(message, 24) as usize + packets(message)
            }
            2 => {
                self.unlinks.insert(seqnum, word(message, 20));
                0
            }
            other => panic!("our client's command {other}"),
        }
    }

    fn reply(&mut self, message: &[u8]) -> usize {
        let (command, seqnum) = (word(message, 0), word(message, 4));
        let status = word(message, 20).cast_signed();
        match command {
            3 if self.in_.remove(&seqnum) => word(message, 24) as usize + packets(message),
            3 if self.out.remove(&seqnum) => packets(message),
            3 => panic!("{seqnum} has its answer already, now {status}"),
            4 => {
                let target = self.unlinks.remove(&seqnum).expect("it was asked for");
                let waits = self.in_.remove(&target) || self.out.remove(&target);
                match (status, waits) {
                    (UNLINKED, true) => self.unlinked += 1,
                    (0, false) => self.late += 1,
                    _ => panic!("{status} for the unlink of {target}, unanswered: {waits}"),
                }
                0
            }
            other => panic!("the server's command {other}"),
        }
    }
}
