//! The system calls of usbfs, and the memory that the kernel writes into: all of the adapter's
//! `unsafe`. The numbers and layouts are those of `include/uapi/linux/usbdevice_fs.h`.

#![expect(
    unsafe_code,
    reason = "usbfs is reached by ioctl, with pointers that the kernel keeps"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_void};
use std::fmt;
use std::fs;
use std::io;
use std::mem;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::slice;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::ioctl::{
    Getter, IntegerSetter, Ioctl, IoctlOutput, NoArg, Opcode, Setter, Updater, ioctl, opcode,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::host_api::ClaimError;
use super::pool::{Loan, Reused};

const GROUP: u8 = b'U';
const SET_INTERFACE: Opcode = opcode::read::<[u32; 2]>(GROUP, 4);
const SET_CONFIGURATION: Opcode = opcode::read::<u32>(GROUP, 5);
const GET_DRIVER: Opcode = opcode::write::<DriverName>(GROUP, 8);
const SUBMIT_URB: Opcode = opcode::read::<Header>(GROUP, 10);
const DISCARD_URB: Opcode = opcode::none(GROUP, 11);
const REAP_URB_WITHOUT_DELAY: Opcode = opcode::write::<*mut c_void>(GROUP, 13);
const RELEASE_INTERFACE: Opcode = opcode::read::<u32>(GROUP, 16);
const DRIVER_REQUEST: Opcode = opcode::read_write::<DriverRequest>(GROUP, 18);
const RESET: Opcode = opcode::none(GROUP, 20);
const CLEAR_HALT: Opcode = opcode::read::<u32>(GROUP, 21);
const CONNECT: Opcode = opcode::none(GROUP, 23);
const ALLOC_STREAMS: Opcode = opcode::read::<[u32; 2]>(GROUP, 28);
const DISCONNECT_CLAIM: Opcode = opcode::read::<DisconnectClaim>(GROUP, 27);

/// `USBDEVFS_MAXDRIVERNAME` and the zero after it.
const DRIVER_NAME: usize = 256;
/// `USBDEVFS_DISCONNECT_CLAIM_EXCEPT_DRIVER`.
const EXCEPT_DRIVER: u32 = 2;
/// What holds an interface that a process has claimed.
const USBFS: &[u8] = b"usbfs";

/// The most packets of one URB (`proc_do_submiturb`).
pub(super) const MOST_PACKETS: usize = 128;

#[repr(C)]
struct DriverName {
    interface: u32,
    name: [u8; DRIVER_NAME],
}

#[repr(C)]
struct DriverRequest {
    interface: i32,
    code: i32,
    data: *mut c_void,
}

#[repr(C)]
struct DisconnectClaim {
    interface: u32,
    flags: u32,
    driver: [u8; DRIVER_NAME],
}

/// The most endpoints of one interface: all that there can be.
const MOST_ENDPOINTS: usize = 30;

/// `struct usbdevfs_streams`. Its code counts no endpoints.
#[repr(C)]
struct StreamsRequest {
    each: u32,
    count: u32,
    endpoints: [u8; MOST_ENDPOINTS],
}

// SAFETY: the code is that of the struct, which the kernel only reads; what it returns is a number.
unsafe impl Ioctl for StreamsRequest {
    type Output = u32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        ALLOC_STREAMS
    }

    fn as_ptr(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast()
    }

    unsafe fn output_from_ptr(returned: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        u32::try_from(returned).map_err(|_| Errno::INVAL)
    }
}

/// `struct usbdevfs_urb` without its packets.
#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    kind: u8,
    endpoint: u8,
    status: i32,
    flags: u32,
    buffer: *mut c_void,
    buffer_length: i32,
    actual_length: i32,
    start_frame: i32,
    /// Or the stream of a bulk endpoint.
    packets: u32,
    error_count: i32,
    signal: u32,
    context: *mut c_void,
}

/// `struct usbdevfs_iso_packet_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packet {
    pub(super) length: u32,
    pub(super) actual: u32,
    pub(super) status: i32,
}

/// `struct usbdevfs_urb`.
#[repr(C)]
struct Urb {
    header: Header,
    packets: [Packet; MOST_PACKETS],
}

/// How an URB moves data (`USBDEVFS_URB_TYPE_…`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum UrbKind {
    Isochronous = 0,
    Interrupt = 1,
    Control = 2,
    Bulk = 3,
}

/// `USBDEVFS_URB_…`.
pub(super) mod flag {
    pub(crate) const SHORT_NOT_OK: u32 = 0x01;
    pub(crate) const ISO_ASAP: u32 = 0x02;
    pub(crate) const ZERO_PACKET: u32 = 0x40;
}

/// What an URB sends or fills.
#[derive(Debug)]
pub(super) enum Buffer {
    /// Is sent.
    Out(Bytes),
    /// Is filled, from its start up to its length.
    In(Vec<u8>),
    /// Is filled, from its start up to a length, by the device itself.
    Mapped(Mapped, usize, Loan<Mapped>),
}

impl Buffer {
    fn len(&self) -> usize {
        match self {
            Self::Out(data) => data.len(),
            Self::In(data) => data.len(),
            Self::Mapped(memory, length, _) => memory.length.min(*length),
        }
    }

    fn pointer(&mut self) -> *mut c_void {
        match self {
            // The kernel only reads it.
            Self::Out(data) => data.as_ptr().cast_mut().cast(),
            Self::In(data) => data.as_mut_ptr().cast(),
            Self::Mapped(memory, ..) => memory.start.as_ptr(),
        }
    }
}

/// Memory of the kernel's for a device to write into, which the process sees, too: what came needs
/// no copy. It outlives its node.
#[derive(Debug)]
pub(super) struct Mapped {
    start: NonNull<c_void>,
    length: usize,
}

// SAFETY: it owns its memory, which is only read by `deref`.
unsafe impl Send for Mapped {}
// SAFETY: likewise.
unsafe impl Sync for Mapped {}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so long is the mapping, which the kernel has filled with zeros. As long as a device
        // may write to it, it is in `under_way`, where nobody can get at it.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), self.length) }
    }
}

impl Reused for Mapped {
    fn capacity(&self) -> usize {
        self.length
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: it is this one's mapping, and no reference to it is left. Should an URB still be
        // under way, as one of a node that is dropped, then the kernel keeps the memory itself.
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// An URB to be submitted.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) kind: UrbKind,
    pub(super) endpoint: u8,
    pub(super) flags: u32,
    /// Of a control URB: the setup packet before the data.
    pub(super) buffer: Buffer,
    /// Lengths of isochronous packets, [`MOST_PACKETS`] at most.
    pub(super) packets: &'a [u32],
    /// Of a bulk endpoint that has streams; 0 for none.
    pub(super) stream: u16,
}

/// An URB that has come back.
#[derive(Debug)]
pub(super) struct Reaped<T> {
    pub(super) tag: T,
    pub(super) status: i32,
    /// Bytes; a control URB's setup packet is not counted.
    pub(super) actual: usize,
    pub(super) buffer: Buffer,
    pub(super) packets: Vec<Packet>,
}

/// An open device node: what changes the device's state.
#[derive(Debug)]
pub(super) struct Control {
    fd: OwnedFd,
}

/// A device node that was opened here, with the URBs that are under way in it: who else could reap
/// them would have the kernel write into what this one holds.
pub(super) struct Node<T> {
    control: Control,
    /// By the address of what the kernel knows them by.
    under_way: BTreeMap<usize, UnderWay<T>>,
    /// To be used again.
    free: Vec<Block>,
}

struct UnderWay<T> {
    tag: T,
    block: Block,
    buffer: Buffer,
    packets: usize,
}

/// Memory for one URB at an address that stays. The kernel writes into it while an URB is reaped.
struct Block(NonNull<Urb>);

// SAFETY: it owns what it points to, and nothing else does.
unsafe impl Send for Block {}

impl Block {
    fn new() -> Self {
        let urb = Urb {
            header: Header {
                kind: 0,
                endpoint: 0,
                status: 0,
                flags: 0,
                buffer: ptr::null_mut(),
                buffer_length: 0,
                actual_length: 0,
                start_frame: 0,
                packets: 0,
                error_count: 0,
                signal: 0,
                context: ptr::null_mut(),
            },
            packets: [Packet::default(); MOST_PACKETS],
        };
        Self(NonNull::from(Box::leak(Box::new(urb))))
    }

    const fn pointer(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    fn address(&self) -> usize {
        self.pointer().addr()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it came from a box, and the kernel writes into it during a reap only, which
        // nobody calls who does not hold it.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Control {
    /// That of a node that is open, such as `/dev/bus/usb/001/002`.
    pub(super) const fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Takes an interface, from a driver of the kernel too, but from no other process.
    ///
    /// # Errors
    /// Another process has it, or the kernel refuses.
    pub(super) fn claim(&self, interface: u8) -> Result<(), ClaimError> {
        self.disconnect_and_claim(interface)
            .map_err(|error| match error {
                Errno::BUSY => {
                    let holder = match self.driver(interface).as_deref() {
                        Some("usbfs") => format!(
                            "another program (driver usbfs), which \"fuser {}\" finds: end it first",
                            self.node()
                        ),
                        // It came while the one before it went.
                        Some(driver) => format!(
                            "the driver {driver}, which /sys/bus/usb/drivers/{driver}/unbind ends"
                        ),
                        None => "somebody whom the system does not name".into(),
                    };
                    ClaimError::Busy { interface, holder }
                }
                error => ClaimError::Refused {
                    interface,
                    reason: io::Error::from(error).to_string(),
                },
            })
    }

    /// Its path, for people.
    fn node(&self) -> String {
        let link = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let path = fs::read_link(&link).unwrap_or_else(|_| PathBuf::from(link));
        path.display().to_string()
    }

    fn disconnect_and_claim(&self, interface: u8) -> Result<(), Errno> {
        let claim = DisconnectClaim {
            interface: interface.into(),
            flags: EXCEPT_DRIVER,
            driver: driver_name(USBFS),
        };
        // SAFETY: the code's argument is this struct, and is only read.
        unsafe { ioctl(&self.fd, Setter::<DISCONNECT_CLAIM, _>::new(claim)) }
    }

    /// Lets go of an interface. It has no driver then.
    pub(super) fn release(&self, interface: u8) -> Result<(), Errno> {
        // SAFETY: the code's argument is a number, and is only read.
        unsafe {
            ioctl(
                &self.fd,
                Setter::<RELEASE_INTERFACE, u32>::new(interface.into()),
            )
        }
    }

    /// Lets the kernel's drivers have an interface again.
    pub(super) fn connect_driver(&self, interface: u8) -> Result<(), Errno> {
        let request = DriverRequest {
            interface: interface.into(),
            // As the kernel counts its codes, below 2^31 here.
            code: i32::try_from(CONNECT).unwrap_or(0),
            data: ptr::null_mut(),
        };
        // SAFETY: the code's argument is this struct; CONNECT does not look at its data.
        unsafe { ioctl(&self.fd, Setter::<DRIVER_REQUEST, _>::new(request)) }
    }

    /// The driver that has an interface; "usbfs" is a process.
    fn driver(&self, interface: u8) -> Option<String> {
        let mut name = DriverName {
            interface: interface.into(),
            name: [0; DRIVER_NAME],
        };
        // SAFETY: the code's argument is this struct, which the kernel fills.
        unsafe { ioctl(&self.fd, Updater::<GET_DRIVER, _>::new(&mut name)) }.ok()?;
        let name = CStr::from_bytes_until_nul(&name.name).ok()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// Selects a configuration; `None` for none.
    pub(super) fn set_configuration(&self, value: Option<u8>) -> Result<(), Errno> {
        let value = value.map_or(u32::MAX, u32::from);
        // SAFETY: the code's argument is a number, and is only read.
        unsafe { ioctl(&self.fd, Setter::<SET_CONFIGURATION, u32>::new(value)) }
    }

    pub(super) fn set_interface(&self, interface: u8, alternate: u8) -> Result<(), Errno> {
        let setting = [u32::from(interface), u32::from(alternate)];
        // SAFETY: the code's argument is a struct of these two numbers, and is only read.
        unsafe { ioctl(&self.fd, Setter::<SET_INTERFACE, [u32; 2]>::new(setting)) }
    }

    /// Has the host controller give bulk endpoints of one interface streams, and ends what is under
    /// way at the interface. They go when it is released or another setting of it is selected.
    ///
    /// How many there are is told: no more than were asked for.
    ///
    /// # Errors
    /// An endpoint, the bus or the controller has none.
    pub(super) fn allocate_streams(&self, endpoints: &[u8], streams: u32) -> Result<u32, Errno> {
        let mut request = StreamsRequest {
            each: streams,
            count: 0,
            endpoints: [0; MOST_ENDPOINTS],
        };
        for (slot, &endpoint) in request.endpoints.iter_mut().zip(endpoints) {
            *slot = endpoint;
            request.count += 1;
        }
        // SAFETY: the code's argument is this struct, with as many endpoints as it says at least, and
        // is only read.
        unsafe { ioctl(&self.fd, request) }
    }

    pub(super) fn clear_halt(&self, endpoint: u8) -> Result<(), Errno> {
        // SAFETY: the code's argument is a number, and is only read.
        unsafe { ioctl(&self.fd, Setter::<CLEAR_HALT, u32>::new(endpoint.into())) }
    }

    /// Resets the port. Claims are lost, the kernel's drivers come back.
    pub(super) fn reset(&self) -> Result<(), Errno> {
        // SAFETY: the code has no argument.
        unsafe { ioctl(&self.fd, NoArg::<RESET>::new()) }
    }
}

impl<T> Node<T> {
    /// Opens one, such as `/dev/bus/usb/001/002`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            control: Control::new(fd),
            under_way: BTreeMap::new(),
            free: Vec::new(),
        })
    }

    /// What changes the device's state.
    pub(super) const fn control(&self) -> &Control {
        &self.control
    }

    /// Memory for a [`Buffer::Mapped`]; a length of whole pages.
    ///
    /// # Errors
    /// The kernel has none, is older than 4.6, or lets all programs together have no more.
    pub(super) fn map(&self, length: usize) -> Result<Mapped, Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping takes nobody's memory away.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                length,
                protection,
                MapFlags::SHARED,
                &self.control.fd,
                0,
            )
        }?;
        let start = NonNull::new(start).ok_or(Errno::NOMEM)?;
        Ok(Mapped { start, length })
    }

    /// Starts an URB. The number names it until it is reaped.
    ///
    /// # Errors
    /// The kernel's reason.
    pub(super) fn submit(&mut self, request: Request<'_>, tag: T) -> Result<usize, Errno> {
        let mut buffer = request.buffer;
        let length = i32::try_from(buffer.len()).map_err(|_| Errno::INVAL)?;
        let block = self.free.pop().unwrap_or_else(Block::new);
        let count = request.packets.len().min(MOST_PACKETS);
        let header = Header {
            kind: request.kind as u8,
            endpoint: request.endpoint,
            status: 0,
            flags: request.flags,
            buffer: buffer.pointer(),
            buffer_length: length,
            actual_length: 0,
            start_frame: 0,
            packets: match request.kind {
                UrbKind::Bulk => request.stream.into(),
                _ => u32::try_from(count).unwrap_or(0),
            },
            error_count: 0,
            signal: 0,
            context: ptr::null_mut(),
        };
        // SAFETY: nobody else has the block, the kernel does not know it yet.
        let urb = unsafe { &mut *block.0.as_ptr() };
        urb.header = header;
        for (slot, &length) in urb.packets.iter_mut().zip(request.packets) {
            *slot = Packet {
                length,
                ..Packet::default()
            };
        }
        // SAFETY: the pointer is to an URB with as many packets as it says, whose buffer has the
        // length it says. Both stay where they are until the URB was reaped, or for ever untouched
        // if it is not: they are dropped with the node only, and the kernel writes in `reap` only,
        // or to memory of its own.
        let submitted = unsafe {
            ioctl(
                &self.control.fd,
                IntegerSetter::<SUBMIT_URB>::new_pointer(block.pointer()),
            )
        };
        if let Err(error) = submitted {
            self.free.push(block);
            return Err(error);
        }
        let address = block.address();
        let under_way = UnderWay {
            tag,
            block,
            buffer,
            packets: count,
        };
        self.under_way.insert(address, under_way);
        Ok(address)
    }

    /// Ends an URB early. It is to be reaped all the same. A number that is no URB's is ignored.
    pub(super) fn discard(&self, number: usize) {
        if let Some(urb) = self.under_way.get(&number) {
            let pointer = urb.block.pointer();
            // SAFETY: the kernel looks the pointer up among those it was given, no more. It fails
            // for an URB that has ended meanwhile.
            let _ = unsafe {
                ioctl(
                    &self.control.fd,
                    IntegerSetter::<DISCARD_URB>::new_pointer(pointer),
                )
            };
        }
    }

    /// An URB that has ended.
    ///
    /// # Errors
    /// [`Errno::NODEV`]: the device is gone. URBs that were not reaped until then may never be.
    pub(super) fn reap(&mut self) -> Result<Option<Reaped<T>>, Errno> {
        // SAFETY: the code's argument is a place for a pointer. The URB of that pointer and its
        // buffer are written to; both are alive, since `under_way` holds all that were submitted.
        let reaped = unsafe {
            ioctl(
                &self.control.fd,
                Getter::<REAP_URB_WITHOUT_DELAY, *mut c_void>::new(),
            )
        };
        let pointer = match reaped {
            Ok(pointer) => pointer,
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The kernel gives back what it was given.
        let Some(urb) = self.under_way.remove(&pointer.addr()) else {
            return Ok(None);
        };
        // SAFETY: the kernel has filled it and knows it no longer.
        let done = unsafe { &*urb.block.0.as_ptr() };
        let reaped = Reaped {
            tag: urb.tag,
            status: done.header.status,
            actual: usize::try_from(done.header.actual_length).unwrap_or(0),
            buffer: urb.buffer,
            packets: done.packets.iter().take(urb.packets).copied().collect(),
        };
        self.free.push(urb.block);
        Ok(Some(reaped))
    }

    /// How many are not reaped.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

impl<T> AsFd for Node<T> {
    /// Can be written to when there is something to reap.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.fd.as_fd()
    }
}

impl<T> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("fd", &self.control.fd)
            .field("under_way", &self.under_way.len())
            .finish_non_exhaustive()
    }
}

fn driver_name(name: &[u8]) -> [u8; DRIVER_NAME] {
    let mut field = [0; DRIVER_NAME];
    field
        .iter_mut()
        .zip(name)
        .for_each(|(to, from)| *to = *from);
    field
}

const _: () = {
    assert!(size_of::<Packet>() == 12);
    assert!(mem::offset_of!(Urb, packets) == size_of::<Header>());
};
