//! Resets, configurations and halts in every phase of a command.

use nusb::transfer::Recipient;

use super::requests::{max_lun, max_lun_otherwise};
use super::{Check, check, expect, expect_data};
use crate::bot::{Bot, End, Outcome, Phase, read_10, write_10};

/// Either half of how a command is left.
type Step = fn(&mut Bot) -> Outcome;

const PHASES: [(&str, Step); 10] = [
    ("with nothing under way", |_| Ok(())),
    ("while a status is asked for", |bot| {
        bot.ask(bot.packet);
        Ok(())
    }),
    ("before data from the disk", |bot| begin_read(bot, 0)),
    ("amid data from the disk", |bot| begin_read(bot, 1)),
    ("before the status of a read", |bot| begin_read(bot, 4)),
    ("before data to the disk", |bot| begin_write(bot, 0)),
    ("within a block to the disk", |bot| {
        begin_write(bot, 0)?;
        // None of it may reach the disk.
        let part = bot.packet.min(bot.block / 2);
        expect(bot.write(&vec![0xee; part]), End::Done, "part of a block")
    }),
    ("amid data to the disk", |bot| begin_write(bot, 1)),
    ("before the status of a write", |bot| begin_write(bot, 4)),
    ("before the status of no data", |bot| {
        let wrapper = bot.wrapper(&super::TEST_UNIT_READY, Phase::None);
        bot.send(&wrapper)
    }),
];

/// After each of which a wrapper is due.
const WAYS_OUT: [(&str, Step); 4] = [
    ("Reset Recovery", Bot::recover),
    ("a reset alone", |bot| {
        bot.drain();
        bot.class_reset()
    }),
    ("SET_CONFIGURATION", |bot| {
        bot.standard_out(Recipient::Device, 9, 1)?;
        bot.drain();
        Ok(())
    }),
    ("SET_INTERFACE", |bot| {
        bot.standard_out(Recipient::Interface, 11, 0)?;
        bot.drain();
        Ok(())
    }),
];

pub fn all() -> Vec<Check> {
    let mut all = Vec::new();
    for (phase, enter) in PHASES {
        for (way, leave) in WAYS_OUT {
            all.push(check(format!("{way} {phase}"), move |bot| {
                enter(bot)?;
                leave(bot)
            }));
        }
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
        check("CLEAR_HALT in every phase of a read", |bot| {
            read_amid(bot, clear_both)
        }),
        check("CLEAR_HALT in every phase of a write", |bot| {
            write_amid(bot, clear_both)
        }),
        check("requests in every phase of a read", |bot| {
            read_amid(bot, requests)
        }),
        check("requests in every phase of a write", |bot| {
            write_amid(bot, requests)
        }),
    ]);
    all
}

/// A read of four blocks, of which some are taken.
fn begin_read(bot: &mut Bot, taken: usize) -> Outcome {
    let wrapper = bot.wrapper(&read_10(1, 4), Phase::In(4 * bot.block as u32));
    bot.send(&wrapper)?;
    for block in 0..taken {
        let came = bot.read(bot.block);
        expect(came.end, End::Done, "data from the disk")?;
        expect_data(&came.data, &bot.held(block, 1))?;
    }
    Ok(())
}

/// A write of four blocks, of which some are given.
fn begin_write(bot: &mut Bot, given: usize) -> Outcome {
    let data = bot.held(0, 4);
    let wrapper = bot.wrapper(&write_10(1, 4), Phase::Out(&data));
    bot.send(&wrapper)?;
    for block in data.chunks(bot.block).take(given) {
        expect(bot.write(block), End::Done, "data to the disk")?;
    }
    Ok(())
}

fn read_amid(bot: &mut Bot, step: Step) -> Outcome {
    step(bot)?;
    begin_read(bot, 0)?;
    for block in 0..4 {
        step(bot)?;
        let came = bot.read(bot.block);
        expect_data(&came.data, &bot.held(block, 1))?;
    }
    step(bot)?;
    expect(bot.csw()?.status, 0, "status")
}

fn write_amid(bot: &mut Bot, step: Step) -> Outcome {
    begin_write(bot, 0)?;
    for block in bot.held(0, 4).chunks(bot.block) {
        step(bot)?;
        expect(bot.write(block), End::Done, "data to the disk")?;
    }
    step(bot)?;
    expect(bot.csw()?.status, 0, "status")
}

fn clear_both(bot: &mut Bot) -> Outcome {
    bot.clear_halt_in()?;
    bot.clear_halt_out()
}

/// Good ones and a bad one: none is about the command.
fn requests(bot: &mut Bot) -> Outcome {
    expect(bot.is_halted()?, false, "halted")?;
    max_lun(bot)?;
    max_lun_otherwise(bot)
}
