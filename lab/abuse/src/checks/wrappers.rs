//! Wrappers that are not valid, that mean nothing, and that mean all the same.

use super::{Check, TEST_UNIT_READY, check, expect, expect_data};
use crate::bot::{Bot, End, Outcome, Phase, read_10, status_of};

/// What is done to a good wrapper, by a host whose packets are of this size.
type Mutation = fn(&mut Vec<u8>, usize);

pub fn all() -> Vec<Check> {
    let invalid_ones: [(&str, Mutation); 7] = [
        ("no bytes", |wrapper, _| wrapper.clear()),
        ("30 bytes", |wrapper, _| wrapper.truncate(30)),
        ("32 bytes", |wrapper, _| wrapper.push(0)),
        ("another signature", |wrapper, _| wrapper[0] = b'X'),
        ("a status's signature", |wrapper, _| wrapper[3] = b'S'),
        ("two wrappers' bytes", |wrapper, _| {
            wrapper.extend_from_within(..);
        }),
        ("a packet's bytes", |wrapper, packet| {
            wrapper.resize(packet, 0);
        }),
    ];
    let meaningless: [(&str, Mutation); 3] = [
        ("a wrapper for a unit that is none", |wrapper, _| {
            wrapper[13] = 15;
        }),
        ("a command of length 0", |wrapper, _| wrapper[14] = 0),
        ("a command of length 17", |wrapper, _| wrapper[14] = 17),
    ];
    let reserved: [(&str, Mutation); 3] = [
        ("its flags", |wrapper, _| wrapper[12] |= 0x7f),
        ("its unit", |wrapper, _| wrapper[13] |= 0xf0),
        ("its command's length", |wrapper, _| wrapper[14] |= 0xe0),
    ];
    let mut all = Vec::new();
    for (name, mutate) in invalid_ones {
        all.push(check(format!("a wrapper of {name}"), move |bot| {
            invalid(bot, mutate)
        }));
    }
    for (name, mutate) in meaningless {
        all.push(check(name, move |bot| {
            expect(is_done(bot, mutate)?, false, "it passes")
        }));
    }
    for (name, mutate) in reserved {
        all.push(check(
            format!("a wrapper with reserved bits in {name}"),
            move |bot| is_done(bot, mutate).map(drop),
        ));
    }
    all.extend([
        check("the direction of no data", direction_of_none),
        check(
            "what is behind the command does not count",
            behind_the_command,
        ),
        check(
            "a command length of 12 for shorter commands",
            padded_command,
        ),
        check("tags that repeat", tags),
    ]);
    all
}

/// BOT 1.0, 6.6.1: only Reset Recovery frees a disk that got such a wrapper.
fn invalid(bot: &mut Bot, mutate: Mutation) -> Outcome {
    let good = bot.wrapper(&TEST_UNIT_READY, Phase::None);
    let mut bad = good.clone();
    mutate(&mut bad, bot.packet);
    bot.write(&bad);
    for round in ["at first", "after CLEAR_HALT"] {
        let end = bot.read_packet().end;
        expect(end, End::Stall, &format!("IN {round}"))?;
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

/// Whether a read passes whose wrapper is valid, and not meaningful (BOT 1.0, 6.2.2), to which the
/// answer is left open. If it does, it reads.
fn is_done(bot: &mut Bot, mutate: Mutation) -> Outcome<bool> {
    let mut wrapper = bot.wrapper(&read_10(1, 1), Phase::In(bot.block as u32));
    mutate(&mut wrapper, bot.packet);
    if bot.write(&wrapper) == End::Done {
        let mut came = bot.read(bot.block);
        let mut data = Vec::new();
        if came.data.len() != 13 {
            if came.end == End::Stall {
                bot.clear_halt_in()?;
            }
            data = came.data;
            came = bot.read_packet();
        }
        match status_of(&came) {
            Ok(csw) if csw.status == 0 => {
                expect_data(&data, &bot.held(0, 1))?;
                return Ok(true);
            }
            Ok(csw) if csw.status == 1 => return Ok(false),
            Err(why) if came.end != End::Stall => return Err(why),
            _ => {}
        }
    }
    bot.recover().map(|()| false)
}

/// BOT 1.0, table 5.1: the device shall ignore it.
fn direction_of_none(bot: &mut Bot) -> Outcome {
    for flags in [0, 0x80] {
        let mut wrapper = bot.wrapper(&TEST_UNIT_READY, Phase::None);
        wrapper[12] = flags;
        let answer = bot.command_of(&wrapper, Phase::None)?;
        expect(answer.status, 0, &format!("flags {flags:#x}"))?;
    }
    Ok(())
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
    let answer = bot.command(&sense, Phase::In(18))?;
    expect(answer.status, 0, "REQUEST SENSE")?;
    let mut read = read_10(1, 1).to_vec();
    read.resize(12, 0);
    let answer = bot.command(&read, Phase::In(bot.block as u32))?;
    expect(answer.status, 0, "READ (10)")?;
    expect_data(&answer.data, &bot.held(0, 1))
}

fn tags(bot: &mut Bot) -> Outcome {
    for tag in [999_u32, 999, 999, 0, 0, u32::MAX, 0x4342_5355, 0x5342_5355] {
        let phase = Phase::In(bot.block as u32);
        let mut wrapper = bot.wrapper(&read_10(1, 1), phase);
        wrapper[4..8].copy_from_slice(&tag.to_le_bytes());
        let answer = bot.command_of(&wrapper, phase)?;
        expect_data(&answer.data, &bot.held(0, 1))?;
    }
    Ok(())
}
