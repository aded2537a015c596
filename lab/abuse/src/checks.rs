//! The checks, in the order of the USB-IF's list: descriptors, class requests, wrappers, cases,
//! then what is beyond it.

use nusb::transfer::{Recipient, TransferError};

use crate::bot::{BLOCK, Bot, End, Outcome, Phase, read_10, status_of, write_10};

pub struct Check {
    pub name: String,
    pub run: Box<dyn Fn(&mut Bot) -> Outcome>,
}

fn check(name: impl Into<String>, run: impl Fn(&mut Bot) -> Outcome + 'static) -> Check {
    Check {
        name: name.into(),
        run: Box::new(run),
    }
}

const READY: [u8; 6] = [0; 6];
const GET_MAX_LUN: u8 = 0xfe;
const RESET: u8 = 0xff;

pub fn all() -> Vec<Check> {
    let mut all = vec![
        check("interface and endpoints", interface),
        check("a serial number of twelve digits", serial),
        check("Get Max LUN", max_lun),
        check("Get Max LUN with other parameters", max_lun_otherwise),
        check("reset with other parameters", reset_otherwise),
        check("GET_STATUS tells of a halt", |bot| {
            bot.write(&[0; 31]);
            expect(bot.is_halted()?, true, "halted")?;
            bot.recover()?;
            expect(bot.is_halted()?, false, "halted after Reset Recovery")
        }),
    ];
    all.extend(invalid_wrappers());
    all.extend([
        check("a wrapper for a unit that is none", |bot| {
            means_nothing(bot, |wrapper| wrapper[13] = 15)
        }),
        check("a command of length 0", |bot| {
            means_nothing(bot, |wrapper| wrapper[14] = 0)
        }),
        check("a command of length 17", |bot| {
            means_nothing(bot, |wrapper| wrapper[14] = 17)
        }),
        check(
            "what is behind the command does not count",
            behind_the_command,
        ),
        check(
            "a command length of 12 for shorter commands",
            padded_command,
        ),
    ]);
    all.extend(cases());
    all.extend([
        check("commands that every disk has", required),
        check("a command that the disk lacks ends its data phase", lacking),
    ]);
    for phase in PHASES {
        all.push(check(format!("Reset Recovery {}", phase.0), move |bot| {
            phase.1(bot)?;
            bot.recover()
        }));
        all.push(check(
            format!("SET_CONFIGURATION {}", phase.0),
            move |bot| {
                phase.1(bot)?;
                bot.standard_out(Recipient::Device, 9, 1)?;
                bot.drain();
                Ok(())
            },
        ));
        all.push(check(format!("SET_INTERFACE {}", phase.0), move |bot| {
            phase.1(bot)?;
            bot.standard_out(Recipient::Interface, 11, 0)?;
            bot.drain();
            Ok(())
        }));
    }
    all.extend([
        check("SET_CONFIGURATION frees a disk that stalls", |bot| {
            bot.write(&[0; 31]);
            bot.standard_out(Recipient::Device, 9, 1)
        }),
        check("a reset of the port frees a disk that stalls", |bot| {
            bot.write(&[0; 31]);
            bot.reset_port()
        }),
        check("CLEAR_HALT in every phase of a read", clear_halt_reading),
        check("CLEAR_HALT in every phase of a write", clear_halt_writing),
        check("a wrapper behind a wrapper", wrapper_behind_wrapper),
        check("data to the disk where the disk has data", wrong_way_out),
        check("data from the disk where the host has data", wrong_way_in),
        check(
            "data and status asked for in pieces, before the command",
            asked_early,
        ),
        check("tags that repeat", tags),
    ]);
    all
}

fn expect<T: PartialEq + std::fmt::Debug>(found: T, expected: T, what: &str) -> Outcome {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, not {expected:?}"))
    }
}

/// Mass storage, SCSI transparent, Bulk-Only.
fn interface(bot: &mut Bot) -> Outcome {
    let setting = bot.claimed().interface.descriptor();
    let setting = setting.ok_or("no setting")?;
    let class = (setting.class(), setting.subclass(), setting.protocol());
    expect(class, (8, 6, 0x50), "class, subclass and protocol")?;
    expect(setting.num_endpoints(), 2, "endpoints")
}

/// BOT 1.0, 4.1.1.
fn serial(bot: &mut Bot) -> Outcome {
    let digits = bot.serial.bytes().filter(u8::is_ascii_hexdigit).count();
    if digits < 12 || digits < bot.serial.len() {
        return Err(format!("it is {:?}", bot.serial));
    }
    Ok(())
}

fn max_lun(bot: &mut Bot) -> Outcome {
    match bot.class_in(GET_MAX_LUN, 0, 0, 1).as_deref() {
        Ok([0..=15]) | Err(TransferError::Stall) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn max_lun_otherwise(bot: &mut Bot) -> Outcome {
    for (value, index, length) in [(1, 0, 1), (0, 0x100, 1), (0, 0, 0), (0, 0, 2)] {
        let found = bot.class_in(GET_MAX_LUN, value, index, length);
        let what = format!("wValue {value}, wIndex {index:#x}, wLength {length}");
        expect(found, Err(TransferError::Stall), &what)?;
    }
    Ok(())
}

fn reset_otherwise(bot: &mut Bot) -> Outcome {
    for (value, index, data) in [(1, 0, &[][..]), (0, 0x100, &[]), (0, 0, &[0])] {
        let found = bot.class_out(RESET, value, index, data);
        let what = format!("wValue {value}, wIndex {index:#x}, wLength {}", data.len());
        expect(found, Err(TransferError::Stall), &what)?;
    }
    let found = bot.class_in(RESET, 0, 0, 1);
    expect(found, Err(TransferError::Stall), "from the device")
}

/// What is done to a good wrapper.
type Mutation = fn(&mut Vec<u8>);

fn invalid_wrappers() -> impl Iterator<Item = Check> {
    let mutations: [(&str, Mutation); 5] = [
        ("30 bytes", |wrapper| wrapper.truncate(30)),
        ("32 bytes", |wrapper| wrapper.push(0)),
        ("another signature", |wrapper| wrapper[0] = b'X'),
        ("a status's signature", |wrapper| wrapper[3] = b'S'),
        ("512 bytes", |wrapper| wrapper.resize(BLOCK, 0)),
    ];
    mutations.into_iter().map(|(name, mutate)| {
        check(format!("a wrapper of {name}"), move |bot| {
            invalid(bot, mutate)
        })
    })
}

/// BOT 1.0, 6.6.1: only Reset Recovery frees a disk that got such a wrapper.
fn invalid(bot: &mut Bot, mutate: Mutation) -> Outcome {
    let good = bot.wrapper(&READY, Phase::None);
    let mut bad = good.clone();
    mutate(&mut bad);
    bot.write(&bad);
    for round in ["at first", "after CLEAR_HALT"] {
        expect(bot.read(BLOCK).end, End::Stall, &format!("IN {round}"))?;
        // Stalled, or taken and dropped.
        let end = bot.write(&good);
        if !matches!(end, End::Stall | End::Done) {
            return Err(format!("OUT {round}: {end:?}"));
        }
        bot.clear_halt_in()?;
        bot.clear_halt_out()?;
    }
    bot.recover()
}

/// Valid, and not meaningful (BOT 1.0, 6.2.2): the answer is left open, but that it passes.
fn means_nothing(bot: &mut Bot, mutate: Mutation) -> Outcome {
    let mut wrapper = bot.wrapper(&read_10(1, 1), Phase::In(BLOCK as u32));
    mutate(&mut wrapper);
    if bot.write(&wrapper) == End::Done {
        let mut came = bot.read(BLOCK);
        if came.end == End::Stall {
            bot.clear_halt_in()?;
        }
        if came.data.len() != 13 {
            came = bot.read(BLOCK);
        }
        match status_of(&came) {
            Ok(csw) if csw.status == 0 => return Err("it passes".into()),
            Ok(csw) if csw.status == 1 => return Ok(()),
            Err(why) if came.end != End::Stall => return Err(why),
            _ => {}
        }
    }
    bot.recover()
}

fn behind_the_command(bot: &mut Bot) -> Outcome {
    for filling in [0xff, 0x55, 0xaa] {
        let phase = Phase::In(36);
        let mut wrapper = bot.wrapper(&[0x12, 0, 0, 0, 36, 0], phase);
        wrapper[21..].fill(filling);
        let answer = bot.command_of(&wrapper, phase)?;
        expect((answer.status, answer.data.len()), (0, 36), "INQUIRY")?;
    }
    Ok(())
}

fn padded_command(bot: &mut Bot) -> Outcome {
    let sense = [0x03, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0];
    expect(
        bot.command(&sense, Phase::In(18))?.status,
        0,
        "REQUEST SENSE",
    )?;
    let mut read = read_10(1, 1).to_vec();
    read.resize(12, 0);
    let answer = bot.command(&read, Phase::In(BLOCK as u32))?;
    expect(answer.status, 0, "READ (10)")?;
    expect(answer.data == bot.known[..BLOCK], true, "the same data")
}

/// The data phase of a case, as the host means it.
#[derive(Clone, Copy)]
enum Data {
    No,
    In(usize),
    /// What the disk may write, and what it must not.
    Out(usize, usize),
}

struct Case {
    number: u8,
    command: Vec<u8>,
    data: Data,
    statuses: &'static [u8],
    /// Where it has a meaning.
    residue: Option<usize>,
}

/// BOT 1.0, table 6.1. Phase errors of 2, 3 and 13 may be plain failures, as the USB-IF's own test
/// has it.
fn cases() -> impl Iterator<Item = Check> {
    use Data::{In, No, Out};
    const TWO: usize = 2 * BLOCK;
    let (read_1, read_2) = (&read_10(1, 1), &read_10(1, 2));
    let (write_1, write_2) = (&write_10(1, 1), &write_10(1, 2));
    let case = |number, command: &[u8], data, statuses, residue| Case {
        number,
        command: command.into(),
        data,
        statuses,
        residue,
    };
    let cases = [
        case(1, &READY, No, &[0], Some(0)),
        case(2, read_1, No, &[1, 2], None),
        case(3, write_1, No, &[1, 2], None),
        case(4, &READY, In(BLOCK), &[0], Some(BLOCK)),
        case(5, read_1, In(TWO), &[0], Some(BLOCK)),
        case(6, read_1, In(BLOCK), &[0], Some(0)),
        case(7, read_2, In(BLOCK), &[2], None),
        case(8, write_1, In(BLOCK), &[2], None),
        case(9, &READY, Out(0, BLOCK), &[0], Some(BLOCK)),
        case(10, read_1, Out(0, BLOCK), &[2], None),
        case(11, write_1, Out(BLOCK, BLOCK), &[0], Some(BLOCK)),
        case(12, write_1, Out(BLOCK, 0), &[0], Some(0)),
        case(13, write_2, Out(BLOCK, 0), &[1, 2], None),
    ];
    cases
        .into_iter()
        .map(|case| check(format!("case {}", case.number), move |bot| case.run(bot)))
}

impl Case {
    fn run(&self, bot: &mut Bot) -> Outcome {
        let mut bytes = Vec::new();
        let phase = match self.data {
            Data::No => Phase::None,
            Data::In(length) => Phase::In(length as u32),
            Data::Out(may, must_not) => {
                bytes.extend_from_slice(&bot.known[..may]);
                bytes.resize(may + must_not, 0xee);
                Phase::Out(&bytes)
            }
        };
        let answer = bot.command(&self.command, phase)?;
        if !self.statuses.contains(&answer.status) {
            return Err(format!(
                "status {}, not one of {:?}",
                answer.status, self.statuses
            ));
        }
        if let Some(residue) = self.residue {
            expect(answer.residue as usize, residue, "residue")?;
        }
        if matches!(self.number, 5 | 6) {
            let data = answer.data.get(..BLOCK);
            expect(data == Some(&bot.known[..BLOCK]), true, "the disk's data")?;
        }
        if answer.status == 2 {
            bot.recover()
        } else {
            Ok(())
        }
    }
}

fn required(bot: &mut Bot) -> Outcome {
    let commands: [(&str, &[u8], u32); 7] = [
        ("TEST UNIT READY", &READY, 0),
        ("REQUEST SENSE", &[0x03, 0, 0, 0, 18, 0], 18),
        ("INQUIRY", &[0x12, 0, 0, 0, 36, 0], 36),
        ("MODE SENSE (6)", &[0x1a, 0, 0x3f, 0, 192, 0], 192),
        ("READ CAPACITY (10)", &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8),
        (
            "READ FORMAT CAPACITIES",
            &[0x23, 0, 0, 0, 0, 0, 0, 0, 252, 0],
            252,
        ),
        ("VERIFY (10)", &[0x2f, 0, 0, 0, 0, 1, 0, 0, 1, 0], 0),
    ];
    for (name, command, length) in commands {
        let phase = if length == 0 {
            Phase::None
        } else {
            Phase::In(length)
        };
        expect(bot.command(command, phase)?.status, 0, name)?;
    }
    Ok(())
}

/// ATA PASS-THROUGH, with data either way.
fn lacking(bot: &mut Bot) -> Outcome {
    let command = [0xa1, 8, 0x2e, 0, 1, 0, 0, 0, 0, 0xec, 0, 0];
    for phase in [Phase::In(BLOCK as u32), Phase::Out(&[0xee; BLOCK])] {
        let answer = bot.command(&command, phase)?;
        expect(
            (answer.status, answer.residue),
            (1, BLOCK as u32),
            "status and residue",
        )?;
        expect(bot.sense()?, (5, 0x20, 0), "sense")?;
    }
    Ok(())
}

/// How a command is left.
type Entered = (&'static str, fn(&mut Bot) -> Outcome);

const PHASES: [Entered; 7] = [
    ("while a status is asked for", |bot| {
        bot.ask(BLOCK);
        Ok(())
    }),
    ("before data from the disk", |bot| begin_read(bot, 0)),
    ("amid data from the disk", |bot| begin_read(bot, 1)),
    ("before the status of a read", |bot| begin_read(bot, 4)),
    ("before data to the disk", |bot| begin_write(bot, 0)),
    ("amid data to the disk", |bot| begin_write(bot, 1)),
    ("before the status of a write", |bot| begin_write(bot, 4)),
];

/// A read of four blocks, of which some are taken.
fn begin_read(bot: &mut Bot, taken: usize) -> Outcome {
    let wrapper = bot.wrapper(&read_10(1, 4), Phase::In(4 * BLOCK as u32));
    bot.send(&wrapper)?;
    for block in 0..taken {
        let came = bot.read(BLOCK);
        expect(came.end, End::Done, "data from the disk")?;
        let expected = &bot.known[block * BLOCK..][..BLOCK];
        expect(came.data == expected, true, "the disk's data")?;
    }
    Ok(())
}

/// A write of four blocks, of which some are given.
fn begin_write(bot: &mut Bot, given: usize) -> Outcome {
    let data = bot.known[..4 * BLOCK].to_vec();
    let wrapper = bot.wrapper(&write_10(1, 4), Phase::Out(&data));
    bot.send(&wrapper)?;
    for block in data.chunks(BLOCK).take(given) {
        expect(bot.write(block), End::Done, "data to the disk")?;
    }
    Ok(())
}

fn clear_both(bot: &mut Bot) -> Outcome {
    bot.clear_halt_in()?;
    bot.clear_halt_out()
}

fn clear_halt_reading(bot: &mut Bot) -> Outcome {
    clear_both(bot)?;
    begin_read(bot, 0)?;
    for block in 0..4 {
        clear_both(bot)?;
        let came = bot.read(BLOCK);
        let expected = &bot.known[block * BLOCK..][..BLOCK];
        expect(came.data == expected, true, "the disk's data")?;
    }
    clear_both(bot)?;
    expect(bot.csw()?.status, 0, "status")
}

fn clear_halt_writing(bot: &mut Bot) -> Outcome {
    begin_write(bot, 0)?;
    let data = bot.known[..4 * BLOCK].to_vec();
    for block in data.chunks(BLOCK) {
        clear_both(bot)?;
        expect(bot.write(block), End::Done, "data to the disk")?;
    }
    clear_both(bot)?;
    expect(bot.csw()?.status, 0, "status")
}

/// The second waits, or is not valid as it comes when none is due.
fn wrapper_behind_wrapper(bot: &mut Bot) -> Outcome {
    let phase = Phase::In(BLOCK as u32);
    let (first, second) = (
        bot.wrapper(&read_10(1, 1), phase),
        bot.wrapper(&read_10(2, 1), phase),
    );
    bot.send(&first)?;
    bot.give(&second);
    for (block, wrapper) in [first, second].into_iter().enumerate() {
        let came = bot.read(BLOCK);
        if came.end == End::Stall {
            return bot.recover();
        }
        let expected = &bot.known[block * BLOCK..][..BLOCK];
        expect(came.data == expected, true, "the disk's data")?;
        let csw = bot.csw()?;
        expect(&csw.tag.to_le_bytes()[..], &wrapper[4..8], "tag")?;
    }
    expect(bot.drain().0, End::Done, "the second wrapper")
}

fn wrong_way_out(bot: &mut Bot) -> Outcome {
    begin_read(bot, 0)?;
    bot.give(&[0xee; BLOCK]);
    bot.read(BLOCK);
    bot.recover()
}

fn wrong_way_in(bot: &mut Bot) -> Outcome {
    begin_write(bot, 0)?;
    bot.ask(BLOCK);
    let data = bot.known[..BLOCK].to_vec();
    bot.write(&data);
    bot.recover()
}

/// All at once: they are served in the order they were asked.
fn asked_early(bot: &mut Bot) -> Outcome {
    for _ in 0..9 {
        bot.ask(BLOCK);
    }
    let wrapper = bot.wrapper(&read_10(1, 8), Phase::In(8 * BLOCK as u32));
    bot.send(&wrapper)?;
    for block in 0..8 {
        let came = bot.next();
        let expected = &bot.known[block * BLOCK..][..BLOCK];
        expect(came.data == expected, true, "the disk's data")?;
    }
    let csw = status_of(&bot.next())?;
    expect(&csw.tag.to_le_bytes()[..], &wrapper[4..8], "tag")
}

fn tags(bot: &mut Bot) -> Outcome {
    for tag in [999_u32, 999, 999, 0, 0, u32::MAX, 0x4342_5355, 0x5342_5355] {
        let phase = Phase::In(BLOCK as u32);
        let mut wrapper = bot.wrapper(&read_10(1, 1), phase);
        wrapper[4..8].copy_from_slice(&tag.to_le_bytes());
        let answer = bot.command_of(&wrapper, phase)?;
        expect(answer.data == bot.known[..BLOCK], true, "the disk's data")?;
    }
    Ok(())
}
