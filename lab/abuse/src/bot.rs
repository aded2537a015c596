//! The host: wrappers, transfers and requests, each as the checks want them.

use std::time::Duration;

use nusb::transfer::{
    Buffer, Bulk, Completion, ControlIn, ControlOut, ControlType, In, Out, Recipient, TransferError,
};
use nusb::{Device, Endpoint, Interface, MaybeFuture};

/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Blocks from 1 on whose content is known.
pub const KNOWN: u16 = 8;
const READ_CAPACITY: [u8; 10] = [0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub type Outcome<T = ()> = Result<T, String>;

/// How a transfer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Done,
    Stall,
    /// It was cancelled after a while.
    Nothing,
    Error(TransferError),
}

/// What an IN transfer brought, and how it ended.
#[derive(Debug)]
pub struct Came {
    pub data: Vec<u8>,
    pub end: End,
}

/// A command status wrapper of the right length and signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Csw {
    pub tag: u32,
    pub residue: u32,
    pub status: u8,
}

/// What a whole command brought.
#[derive(Debug)]
pub struct Answer {
    pub data: Vec<u8>,
    pub status: u8,
    pub residue: u32,
}

/// Where the data of a command goes.
#[derive(Clone, Copy, Debug)]
pub enum Phase<'a> {
    None,
    In(u32),
    Out(&'a [u8]),
}

impl Phase<'_> {
    pub fn length(self) -> u32 {
        match self {
            Phase::None => 0,
            Phase::In(length) => length,
            Phase::Out(data) => data.len() as u32,
        }
    }
}

/// The interface, while no driver has it.
pub struct Claimed {
    pub interface: Interface,
    input: Endpoint<Bulk, In>,
    output: Endpoint<Bulk, Out>,
}

impl Claimed {
    fn new(device: &Device) -> Self {
        let claimed = device.detach_and_claim_interface(0).wait();
        let interface = claimed.expect("interface 0");
        let setting = interface.descriptor().expect("a setting");
        let endpoints = setting.endpoints().map(|endpoint| endpoint.address());
        let addresses: Vec<u8> = endpoints.collect();
        let address = |direction| {
            let mut found = addresses
                .iter()
                .filter(|address| **address & 0x80 == direction);
            *found.next().expect("an endpoint of each direction")
        };
        let input: Endpoint<Bulk, In> = interface.endpoint(address(0x80)).expect("bulk IN");
        let output = interface.endpoint(address(0)).expect("bulk OUT");
        Self {
            interface,
            input,
            output,
        }
    }
}

pub struct Bot {
    device: Device,
    /// Only a reset of the port takes it, to claim it anew.
    claimed: Option<Claimed>,
    pub serial: String,
    /// Of the bulk endpoints.
    pub packet: usize,
    /// The disk's blocks: the bytes of one, and the last.
    pub block: usize,
    pub last: u32,
    /// What the disk holds from its block 1 on.
    pub known: Vec<u8>,
    tag: u32,
}

impl Bot {
    pub fn open(bus_id: &str) -> Self {
        let mut devices = nusb::list_devices().wait().expect("a list of devices");
        let info = devices
            .find(|info| {
                info.sysfs_path()
                    .file_name()
                    .is_some_and(|name| name == bus_id)
            })
            .expect("a device of this bus id");
        let device = info.open().wait().expect("open");
        let serial = info.serial_number().unwrap_or_default().into();
        let claimed = Claimed::new(&device);
        let packet = claimed.input.max_packet_size();
        let mut bot = Self {
            claimed: Some(claimed),
            device,
            serial,
            packet,
            block: 0,
            last: 0,
            known: Vec::new(),
            tag: 0,
        };
        bot.ready().expect("a disk that is ready");
        let capacity = bot.command(&READ_CAPACITY, Phase::In(8));
        let capacity = capacity.expect("a capacity").data;
        let word = |at: usize| u32::from_be_bytes(capacity[at..at + 4].try_into().expect("four"));
        (bot.last, bot.block) = (word(0), word(4) as usize);
        let length = usize::from(KNOWN) * bot.block;
        let read = bot.command(&read_10(1, KNOWN), Phase::In(length as u32));
        bot.known = read.expect("a read").data;
        assert_eq!(bot.known.len(), length);
        bot
    }

    pub fn claimed(&mut self) -> &mut Claimed {
        self.claimed.as_mut().expect("a claimed interface")
    }

    /// The class, subclass and protocol of the device, not of its interface.
    pub fn device_class(&self) -> (u8, u8, u8) {
        let device = self.device.device_descriptor();
        (device.class(), device.subclass(), device.protocol())
    }

    /// What the disk holds in some of its known blocks, of which the first is 0.
    pub fn held(&self, from: usize, blocks: usize) -> Vec<u8> {
        self.known[from * self.block..][..blocks * self.block].to_vec()
    }

    /// The next wrapper, with a tag of its own.
    pub fn wrapper(&mut self, command: &[u8], phase: Phase<'_>) -> Vec<u8> {
        self.tag = self.tag.wrapping_add(1);
        let flags = if matches!(phase, Phase::Out(_)) {
            0
        } else {
            0x80
        };
        let mut bytes = b"USBC".to_vec();
        bytes.extend(self.tag.to_le_bytes());
        bytes.extend(phase.length().to_le_bytes());
        bytes.extend([flags, 0, command.len() as u8]);
        bytes.extend(command);
        bytes.resize(31, 0);
        bytes
    }

    /// Sends bytes to the bulk OUT endpoint.
    pub fn write(&mut self, bytes: &[u8]) -> End {
        self.give(bytes);
        let ended = self.claimed().output.wait_next_complete(PATIENCE);
        ended.map_or_else(|| self.drain().0, |completion| end(&completion))
    }

    /// The same without waiting.
    pub fn give(&mut self, bytes: &[u8]) {
        self.claimed().output.submit(bytes.to_vec().into());
    }

    /// Asks the bulk IN endpoint for bytes, in whole packets.
    pub fn read(&mut self, length: usize) -> Came {
        self.ask(length);
        self.next()
    }

    /// One packet.
    pub fn read_packet(&mut self) -> Came {
        self.read(self.packet)
    }

    /// The same without waiting.
    pub fn ask(&mut self, length: usize) {
        let buffer = Buffer::new(length.next_multiple_of(self.packet));
        self.claimed().input.submit(buffer);
    }

    /// How the oldest IN transfer ended.
    pub fn next(&mut self) -> Came {
        let ended = self.claimed().input.wait_next_complete(PATIENCE);
        ended.map_or_else(|| self.drain().1, came)
    }

    /// Cancels what is pending: how the last of either endpoint ended, or that nothing came.
    pub fn drain(&mut self) -> (End, Came) {
        let data = Vec::new();
        let mut ends = (
            End::Nothing,
            Came {
                data,
                end: End::Nothing,
            },
        );
        let Claimed { input, output, .. } = self.claimed();
        output.cancel_all();
        while output.pending() > 0 {
            let ended = output.wait_next_complete(PATIENCE);
            ends.0 = end(&ended.expect("a cancelled transfer ends"));
        }
        input.cancel_all();
        while input.pending() > 0 {
            let ended = input.wait_next_complete(PATIENCE);
            ends.1 = came(ended.expect("a cancelled transfer ends"));
        }
        ends
    }

    /// Sends a wrapper that the disk must take.
    pub fn send(&mut self, wrapper: &[u8]) -> Outcome {
        match self.write(wrapper) {
            End::Done => Ok(()),
            end => Err(format!("a wrapper: {end:?}")),
        }
    }

    /// The status wrapper, for which a halt is cleared once.
    pub fn csw(&mut self) -> Outcome<Csw> {
        let mut came = self.read_packet();
        if came.end == End::Stall {
            self.clear_halt_in()?;
            came = self.read_packet();
        }
        status_of(&came)
    }

    /// A whole command as a patient host does it.
    pub fn command(&mut self, command: &[u8], phase: Phase<'_>) -> Outcome<Answer> {
        let wrapper = self.wrapper(command, phase);
        self.command_of(&wrapper, phase)
    }

    /// The same with a wrapper that was made before.
    pub fn command_of(&mut self, wrapper: &[u8], phase: Phase<'_>) -> Outcome<Answer> {
        self.send(wrapper)?;
        let data = self.data(phase)?;
        let csw = self.csw()?;
        let tag = u32::from_le_bytes(wrapper[4..8].try_into().expect("four bytes"));
        if csw.tag != tag {
            return Err(format!("the status is of tag {:#x}, not {tag:#x}", csw.tag));
        }
        if csw.residue > phase.length() {
            return Err(format!(
                "a residue of {} of {}",
                csw.residue,
                phase.length()
            ));
        }
        if csw.status > 2 {
            return Err(format!("status {}", csw.status));
        }
        Ok(Answer {
            data,
            status: csw.status,
            residue: csw.residue,
        })
    }

    /// The data phase: what came. A halt at its end is cleared.
    fn data(&mut self, phase: Phase<'_>) -> Outcome<Vec<u8>> {
        match phase {
            Phase::None => Ok(Vec::new()),
            Phase::Out(bytes) => match self.write(bytes) {
                End::Done => Ok(Vec::new()),
                End::Stall => self.clear_halt_out().map(|()| Vec::new()),
                end => Err(format!("data to the disk: {end:?}")),
            },
            Phase::In(length) => {
                let mut came = self.read(length as usize);
                if came.data.len() > length as usize {
                    return Err(format!("{} bytes of {length}", came.data.len()));
                }
                if came.end == End::Done && (came.data.len() as u32) < length {
                    // What is short ends with a stall.
                    came.end = self.read_packet().end;
                    if came.end == End::Done {
                        return Err(format!(
                            "{} bytes of {length}, and no stall",
                            came.data.len()
                        ));
                    }
                }
                match came.end {
                    End::Done => Ok(came.data),
                    End::Stall => self.clear_halt_in().map(|()| came.data),
                    end => Err(format!("data from the disk: {end:?}")),
                }
            }
        }
    }

    /// Key, code and qualifier of the sense.
    pub fn sense(&mut self) -> Outcome<(u8, u8, u8)> {
        let answer = self.command(&[0x03, 0, 0, 0, 18, 0], Phase::In(18))?;
        match answer.data.as_slice() {
            [_, _, key, rest @ ..] if rest.len() >= 11 => Ok((key & 0x0f, rest[9], rest[10])),
            _ => Err("no sense".into()),
        }
    }

    /// Takes what the disk has to tell, such as of a reset.
    fn ready(&mut self) -> Outcome {
        for _ in 0..5 {
            if self.command(&[0; 6], Phase::None)?.status == 0 {
                return Ok(());
            }
            self.sense()?;
        }
        Err("the disk is not ready".into())
    }

    /// The disk does what it should, and holds what it held.
    pub fn works(&mut self) -> Outcome {
        self.ready()?;
        let length = self.known.len() as u32;
        let answer = self.command(&read_10(1, KNOWN), Phase::In(length))?;
        if (answer.status, answer.residue) != (0, 0) {
            return Err(format!(
                "afterwards a read ends with status {}",
                answer.status
            ));
        }
        if answer.data != self.known {
            return Err("afterwards the disk holds something else".into());
        }
        Ok(())
    }

    pub fn class_in(
        &mut self,
        request: u8,
        value: u16,
        index: u16,
        length: u16,
    ) -> Result<Vec<u8>, TransferError> {
        let request = ControlIn {
            control_type: ControlType::Class,
            recipient: Recipient::Interface,
            request,
            value,
            index,
            length,
        };
        self.claimed()
            .interface
            .control_in(request, PATIENCE)
            .wait()
    }

    pub fn class_out(
        &mut self,
        request: u8,
        value: u16,
        index: u16,
        data: &[u8],
    ) -> Result<(), TransferError> {
        let request = ControlOut {
            control_type: ControlType::Class,
            recipient: Recipient::Interface,
            request,
            value,
            index,
            data,
        };
        self.claimed()
            .interface
            .control_out(request, PATIENCE)
            .wait()
    }

    /// SET_CONFIGURATION or SET_INTERFACE, past the kernel's own idea of them.
    pub fn standard_out(&mut self, recipient: Recipient, request: u8, value: u16) -> Outcome {
        let request = ControlOut {
            control_type: ControlType::Standard,
            recipient,
            request,
            value,
            index: 0,
            data: &[],
        };
        let done = self
            .claimed()
            .interface
            .control_out(request, PATIENCE)
            .wait();
        done.map_err(|error| format!("a standard request: {error}"))
    }

    /// What GET_STATUS says of the bulk IN endpoint.
    pub fn is_halted(&mut self) -> Outcome<bool> {
        let request = ControlIn {
            control_type: ControlType::Standard,
            recipient: Recipient::Endpoint,
            request: 0,
            value: 0,
            index: self.claimed().input.endpoint_address().into(),
            length: 2,
        };
        let status = self
            .claimed()
            .interface
            .control_in(request, PATIENCE)
            .wait();
        status
            .map(|status| status == [1, 0])
            .map_err(|error| format!("GET_STATUS: {error}"))
    }

    /// Bulk-Only Mass Storage Reset.
    pub fn class_reset(&mut self) -> Outcome {
        self.class_out(0xff, 0, 0, &[])
            .map_err(|error| format!("the reset: {error}"))
    }

    pub fn clear_halt_in(&mut self) -> Outcome {
        let cleared = self.claimed().input.clear_halt().wait();
        cleared.map_err(|error| format!("clearing the halt of IN: {error}"))
    }

    pub fn clear_halt_out(&mut self) -> Outcome {
        let cleared = self.claimed().output.clear_halt().wait();
        cleared.map_err(|error| format!("clearing the halt of OUT: {error}"))
    }

    /// Reset Recovery.
    pub fn recover(&mut self) -> Outcome {
        self.drain();
        self.class_reset()?;
        self.clear_halt_in()?;
        self.clear_halt_out()
    }

    /// The kernel gives the interface back to its driver, from which it is taken again.
    pub fn reset_port(&mut self) -> Outcome {
        self.drain();
        self.claimed = None;
        let reset = self.device.reset().wait();
        self.claimed = Some(Claimed::new(&self.device));
        reset.map_err(|error| error.to_string())
    }
}

fn came(completion: Completion) -> Came {
    Came {
        end: end(&completion),
        data: completion.buffer[..completion.actual_len].to_vec(),
    }
}

fn end(completion: &Completion) -> End {
    match completion.status {
        Ok(()) => End::Done,
        Err(TransferError::Stall) => End::Stall,
        Err(TransferError::Cancelled) => End::Nothing,
        Err(error) => End::Error(error),
    }
}

/// What came, if it is a status.
pub fn status_of(came: &Came) -> Outcome<Csw> {
    let bytes = &came.data;
    if came.end != End::Done || bytes.len() != 13 || !bytes.starts_with(b"USBS") {
        return Err(format!("no status: {:?}, {} bytes", came.end, bytes.len()));
    }
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    Ok(Csw {
        tag: word(4),
        residue: word(8),
        status: bytes[12],
    })
}

pub fn read_10(lba: u32, blocks: u16) -> [u8; 10] {
    blocks_10(0x28, lba, blocks)
}

pub fn write_10(lba: u32, blocks: u16) -> [u8; 10] {
    blocks_10(0x2a, lba, blocks)
}

fn blocks_10(opcode: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let mut command = [opcode, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    command[2..6].copy_from_slice(&lba.to_be_bytes());
    command[7..9].copy_from_slice(&blocks.to_be_bytes());
    command
}
