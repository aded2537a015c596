//! The least a server can do: so many bytes in, so many bytes out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// Answers each `request` bytes with `reply` bytes of nothing, all that came by one read with one
/// write. One connection.
pub fn bare(request: usize, reply: usize) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        socket.set_nodelay(true).expect("TCP");
        let mut buffer = vec![0; request.max(256 << 10)];
        let replies = vec![0; (buffer.len() / request + 1) * reply];
        let mut waiting = 0;
        while let Ok(read @ 1..) = socket.read(&mut buffer) {
            waiting += read;
            let count = waiting / request;
            waiting %= request;
            if count > 0 && socket.write_all(&replies[..count * reply]).is_err() {
                break;
            }
        }
    });
    address
}
