//! The thirteen cases of host and disk on a data phase.

use super::{Check, TEST_UNIT_READY, check, expect, expect_data};
use crate::bot::{Bot, End, Outcome, Phase, read_10, write_10};

pub fn all() -> Vec<Check> {
    use Data::{In, No, Out};
    let (read_1, read_2) = (&read_10(1, 1), &read_10(1, 2));
    let (write_1, write_2) = (&write_10(1, 1), &write_10(1, 2));
    let case = |number, command: &[u8], data, statuses, residue| Case {
        number,
        command: command.into(),
        data,
        statuses,
        residue,
    };
    // BOT 1.0, table 6.1. Phase errors of 2, 3 and 13 may be plain failures, as the USB-IF's own
    // test has it.
    let cases = [
        case(1, &TEST_UNIT_READY, No, &[0], Some(0)),
        case(2, read_1, No, &[1, 2], None),
        case(3, write_1, No, &[1, 2], None),
        case(4, &TEST_UNIT_READY, In(1), &[0], Some(1)),
        case(5, read_1, In(2), &[0], Some(1)),
        case(6, read_1, In(1), &[0], Some(0)),
        case(7, read_2, In(1), &[2], None),
        case(8, write_1, In(1), &[2], None),
        case(9, &TEST_UNIT_READY, Out(0, 1), &[0], Some(1)),
        case(10, read_1, Out(0, 1), &[2], None),
        case(11, write_1, Out(1, 1), &[0], Some(1)),
        case(12, write_1, Out(1, 0), &[0], Some(0)),
        case(13, write_2, Out(1, 0), &[1, 2], None),
    ];
    let mut all: Vec<Check> = cases
        .into_iter()
        .map(|case| check(format!("case {}", case.number), move |bot| case.run(bot)))
        .collect();
    all.extend([
        check("cases 4 and 5 with any length", any_length_in),
        check("cases 9 and 11 with any length", any_length_out),
        check("data that look like a wrapper", looks_like_a_wrapper),
        check("a read that allows for 4 GiB", endless_in),
        check("a write that announces 4 GiB", endless_out),
    ]);
    all
}

/// The data phase of a case, as the host means it, in blocks.
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
    /// In blocks, where it has a meaning.
    residue: Option<usize>,
}

impl Case {
    fn run(&self, bot: &mut Bot) -> Outcome {
        let mut bytes;
        let phase = match self.data {
            Data::No => Phase::None,
            Data::In(blocks) => Phase::In((blocks * bot.block) as u32),
            Data::Out(may, must_not) => {
                bytes = bot.held(0, may);
                bytes.resize((may + must_not) * bot.block, 0xee);
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
        if let Some(blocks) = self.residue {
            expect(answer.residue as usize, blocks * bot.block, "residue")?;
        }
        if matches!(self.number, 5 | 6) {
            let data = answer.data.get(..bot.block).unwrap_or(&answer.data);
            expect_data(data, &bot.held(0, 1))?;
        }
        if answer.status == 2 {
            bot.recover()
        } else {
            Ok(())
        }
    }
}

/// Around the length of what the disk has, of a status, of a wrapper, of packets.
fn any_length_in(bot: &mut Bot) -> Outcome {
    let inquiry = [0x12, 0, 0, 0, 36, 0];
    let expected = bot.command(&inquiry, Phase::In(36))?.data;
    let packet = bot.packet as u32;
    for length in [37, 49, 63, 65, packet - 1, packet, packet + 1, 2 * packet] {
        let answer = bot.command(&inquiry, Phase::In(length))?;
        let found = (answer.status, answer.residue);
        expect(
            found,
            (0, length - 36),
            &format!("INQUIRY in {length} bytes"),
        )?;
        expect_data(answer.data.get(..36).unwrap_or(&answer.data), &expected)?;
        let answer = bot.command(&TEST_UNIT_READY, Phase::In(length))?;
        let found = (answer.status, answer.residue);
        expect(found, (0, length), &format!("none in {length} bytes"))?;
    }
    Ok(())
}

fn any_length_out(bot: &mut Bot) -> Outcome {
    let packet = bot.packet;
    for length in [1, 13, 30, 32, packet - 1, packet, packet + 1, 2 * packet] {
        let answer = bot.command(&TEST_UNIT_READY, Phase::Out(&vec![0xee; length]))?;
        let found = (answer.status, answer.residue as usize);
        expect(found, (0, length), &format!("none of {length} bytes"))?;
        let mut data = bot.held(0, 1);
        data.resize(bot.block + length, 0xee);
        let answer = bot.command(&write_10(1, 1), Phase::Out(&data))?;
        let found = (answer.status, answer.residue as usize);
        expect(found, (0, length), &format!("a block and {length} bytes"))?;
    }
    Ok(())
}

/// What comes in a data phase is data.
fn looks_like_a_wrapper(bot: &mut Bot) -> Outcome {
    let wrapper = bot.wrapper(&read_10(1, 1), Phase::In(bot.block as u32));
    let answer = bot.command(&TEST_UNIT_READY, Phase::Out(&wrapper))?;
    expect(
        (answer.status, answer.residue),
        (0, 31),
        "status and residue",
    )
}

fn announce_4_gib(wrapper: &mut [u8]) {
    wrapper[8..12].fill(0xff);
}

fn endless_in(bot: &mut Bot) -> Outcome {
    let mut wrapper = bot.wrapper(&read_10(1, 1), Phase::In(bot.block as u32));
    announce_4_gib(&mut wrapper);
    bot.send(&wrapper)?;
    let came = bot.read(bot.block);
    expect_data(&came.data, &bot.held(0, 1))?;
    // Padding, or a stall.
    let end = bot.read(bot.block).end;
    if !matches!(end, End::Done | End::Stall) {
        return Err(format!("what is behind the data: {end:?}"));
    }
    bot.recover()
}

fn endless_out(bot: &mut Bot) -> Outcome {
    let held = bot.held(0, 1);
    let mut wrapper = bot.wrapper(&write_10(1, 1), Phase::Out(&held));
    announce_4_gib(&mut wrapper);
    bot.send(&wrapper)?;
    expect(bot.write(&held), End::Done, "the data")?;
    // Swallowed, or a stall.
    let end = bot.write(&vec![0xee; bot.block]);
    if !matches!(end, End::Done | End::Stall) {
        return Err(format!("what is behind the data: {end:?}"));
    }
    bot.recover()
}
