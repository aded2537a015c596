//! `libusbredirparser` by its C interface, as either end of a conversation.
//!
//! The declarations follow Debian's `usbredirparser.h` of version 0.13.

mod both;
mod every;
mod fields;
pub mod filter;
mod send;

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

pub use both::{ACKNOWLEDGES, Both};
pub use every::{Values, every};

/// `struct usbredirparser`: the private pointer and the callbacks, in the order of the header.
#[repr(C)]
struct Parser {
    private: *mut c_void,
    callbacks: [*const c_void; 40],
}

#[link(name = "usbredirparser")]
unsafe extern "C" {
    fn usbredirparser_create() -> *mut Parser;
    fn usbredirparser_init(
        parser: *mut Parser,
        version: *const c_char,
        caps: *mut u32,
        caps_len: c_int,
        flags: c_int,
    );
    fn usbredirparser_destroy(parser: *mut Parser);
    fn usbredirparser_do_read(parser: *mut Parser) -> c_int;
    fn usbredirparser_do_write(parser: *mut Parser) -> c_int;
    fn usbredirparser_free_packet_data(parser: *mut Parser, data: *mut u8);
}

/// A packet as the library gave it to a callback: type, id, the fixed part with all that any
/// capability adds, data, and rules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub packet_type: u32,
    pub id: u64,
    pub fixed: Vec<u8>,
    pub data: Vec<u8>,
    pub rules: Vec<filter::Rule>,
}

struct State {
    parser: *mut Parser,
    input: Vec<u8>,
    /// So many bytes of `input` were read.
    taken: usize,
    output: Vec<u8>,
    /// Whether what is written is kept, or only counted.
    keeps_output: bool,
    written: usize,
    seen: Vec<Seen>,
    /// Whether packets are kept, or only counted.
    keeps: bool,
    count: u64,
}

/// One end.
pub struct Oracle {
    state: Box<State>,
}

/// The library could not make sense of a packet, and will skip it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// Bytes of the fixed part in memory.
const fn fixed_length(packet_type: u32) -> usize {
    match packet_type {
        0 => 64,
        1 | 25 | 100 | 101 | 104 => 10,
        4 => 132,
        5 => 288,
        6 | 10 | 13 | 15 | 16 => 1,
        8 | 9 | 14 | 17 => 2,
        11 | 12 => 3,
        19 | 102 | 103 => 4,
        26 => 5,
        27 => 6,
        18 => 8,
        20 => 9,
        _ => 0,
    }
}

impl State {
    fn see(&mut self, packet_type: u32, id: u64, fixed: *const u8, data: *mut u8, length: c_int) {
        self.count += 1;
        if self.keeps {
            let copy = |from: *const u8, length: usize| {
                if from.is_null() {
                    return Vec::new();
                }
                // SAFETY: the library vouches for header and data during the callback.
                unsafe { std::slice::from_raw_parts(from, length) }.to_vec()
            };
            self.seen.push(Seen {
                packet_type,
                id,
                fixed: copy(fixed, fixed_length(packet_type)),
                data: copy(data, usize::try_from(length).unwrap_or(0)),
                rules: Vec::new(),
            });
        }
        if !data.is_null() {
            // SAFETY: the library gave the data to the callback, which gives it back.
            unsafe { usbredirparser_free_packet_data(self.parser, data) };
        }
    }
}

/// # Safety
/// `private` is the `State` of the parser that calls.
unsafe fn state<'a>(private: *mut c_void) -> &'a mut State {
    // SAFETY: as the caller promises; nothing else uses it during a callback.
    unsafe { &mut *private.cast::<State>() }
}

extern "C" fn log(_: *mut c_void, _: c_int, _: *const c_char) {}

extern "C" fn read(private: *mut c_void, into: *mut u8, count: c_int) -> c_int {
    // SAFETY: the library passes its private pointer, and a buffer of `count` bytes.
    let (state, into) = unsafe {
        let count = usize::try_from(count).unwrap_or(0);
        (state(private), std::slice::from_raw_parts_mut(into, count))
    };
    let rest = &state.input[state.taken..];
    let count = into.len().min(rest.len());
    into[..count].copy_from_slice(&rest[..count]);
    state.taken += count;
    if state.taken == state.input.len() {
        state.input.clear();
        state.taken = 0;
    }
    count as c_int
}

extern "C" fn write(private: *mut c_void, from: *mut u8, count: c_int) -> c_int {
    // SAFETY: as in `read`.
    let (state, from) = unsafe {
        let length = usize::try_from(count).unwrap_or(0);
        (state(private), std::slice::from_raw_parts(from, length))
    };
    state.written += from.len();
    if state.keeps_output {
        state.output.extend_from_slice(from);
    }
    count
}

extern "C" fn plain<const TYPE: u32>(private: *mut c_void) {
    // SAFETY: the library passes its private pointer.
    unsafe { state(private) }.see(TYPE, 0, ptr::null(), ptr::null_mut(), 0);
}

extern "C" fn header<const TYPE: u32>(private: *mut c_void, fixed: *const u8) {
    // SAFETY: the library passes its private pointer.
    unsafe { state(private) }.see(TYPE, 0, fixed, ptr::null_mut(), 0);
}

extern "C" fn request<const TYPE: u32>(private: *mut c_void, id: u64) {
    // SAFETY: the library passes its private pointer.
    unsafe { state(private) }.see(TYPE, id, ptr::null(), ptr::null_mut(), 0);
}

extern "C" fn named<const TYPE: u32>(private: *mut c_void, id: u64, fixed: *const u8) {
    // SAFETY: the library passes its private pointer.
    unsafe { state(private) }.see(TYPE, id, fixed, ptr::null_mut(), 0);
}

extern "C" fn data<const TYPE: u32>(
    private: *mut c_void,
    id: u64,
    fixed: *const u8,
    data: *mut u8,
    length: c_int,
) {
    // SAFETY: the library passes its private pointer.
    unsafe { state(private) }.see(TYPE, id, fixed, data, length);
}

extern "C" fn rules(private: *mut c_void, rules: *mut filter::Rule, count: c_int) {
    // SAFETY: the library passes its private pointer, and gives so many rules to the callback.
    unsafe {
        let state = state(private);
        state.see(23, 0, ptr::null(), ptr::null_mut(), 0);
        if let Some(seen) = state.seen.last_mut().filter(|_| !rules.is_null()) {
            let count = usize::try_from(count).unwrap_or(0);
            seen.rules = std::slice::from_raw_parts(rules, count).to_vec();
        }
        filter::usbredirfilter_free(rules.cast());
    }
}

macro_rules! callbacks {
    ($table:ident: $($at:literal $shape:ident $code:literal,)*) => {
        $($table[$at] = $shape::<$code> as *const c_void;)*
    };
}

impl Oracle {
    /// An end that can do `capabilities`. Its hello is in the first [`output`](Self::output).
    #[must_use]
    pub fn new(is_host: bool, capabilities: u32) -> Self {
        // SAFETY: the library's own way of making one.
        let parser = unsafe { usbredirparser_create() };
        let mut state = Box::new(State {
            parser,
            input: Vec::new(),
            taken: 0,
            output: Vec::new(),
            keeps_output: true,
            written: 0,
            seen: Vec::new(),
            keeps: true,
            count: 0,
        });
        let mut table = [ptr::null(); 40];
        table[0] = log as *const c_void;
        table[1] = read as *const c_void;
        table[2] = write as *const c_void;
        callbacks!(table:
            3 header 1, 4 plain 2, 5 plain 3, 6 header 4, 7 header 5, 8 named 6, 9 request 7,
            10 named 8, 11 named 9, 12 named 10, 13 named 11, 14 named 12, 15 named 13,
            16 named 14, 17 named 15, 18 named 16, 19 named 17, 20 named 18, 21 named 19,
            22 named 20, 23 request 21, 24 data 100, 25 data 101, 26 data 102, 27 data 103,
            32 header 0, 33 plain 22, 35 plain 24, 36 named 25, 37 named 26, 38 named 27,
            39 data 104,
        );
        table[34] = rules as *const c_void;
        let mut words = [capabilities];
        // SAFETY: the parser is fresh; the state lives in its box as long as the parser.
        unsafe {
            (*parser).private = (&raw mut *state).cast();
            (*parser).callbacks = table;
            let flags = c_int::from(is_host);
            usbredirparser_init(parser, c"oracle".as_ptr(), words.as_mut_ptr(), 1, flags);
        }
        Self { state }
    }

    /// Keeps no packets and no output any more, but counts them.
    pub fn count_only(&mut self) {
        self.state.keeps = false;
        self.state.keeps_output = false;
    }

    /// Packets that were given to callbacks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.state.count
    }

    /// Lets a socket bring bytes.
    pub fn bring(&mut self, bytes: &[u8]) {
        self.state.input.extend(bytes);
    }

    /// Parses what was brought.
    ///
    /// # Errors
    /// A packet was refused; what comes behind it is not yet read.
    pub fn read(&mut self) -> Result<(), Refused> {
        // SAFETY: the parser is alive.
        match unsafe { usbredirparser_do_read(self.state.parser) } {
            -2 => Err(Refused),
            _ => Ok(()),
        }
    }

    /// What was seen since the last time.
    pub fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.state.seen)
    }

    /// Lets a socket take all that is queued.
    pub fn output(&mut self) -> Vec<u8> {
        // SAFETY: the parser is alive.
        unsafe { usbredirparser_do_write(self.state.parser) };
        std::mem::take(&mut self.state.output)
    }

    /// As [`output`](Self::output), and tells only how many bytes have been written in all.
    pub fn discard(&mut self) -> usize {
        // SAFETY: the parser is alive.
        unsafe { usbredirparser_do_write(self.state.parser) };
        self.state.output.clear();
        self.state.written
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // SAFETY: it is used no more.
        unsafe { usbredirparser_destroy(self.state.parser) };
    }
}
