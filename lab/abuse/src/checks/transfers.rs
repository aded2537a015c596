//! Transfers in an order, in pieces and in a direction that no driver has.

use super::{Check, check, expect, expect_data};
use crate::bot::{Bot, End, KNOWN, Outcome, Phase, read_10, status_of, write_10};

pub fn all() -> Vec<Check> {
    vec![
        check("a wrapper behind a wrapper", wrapper_behind_wrapper),
        check("data to the disk where the disk has data", wrong_way_out),
        check("data from the disk where the host has data", wrong_way_in),
        check("more data than announced", more_than_announced),
        check(
            "data and status asked for in pieces, before the command",
            asked_early,
        ),
        check("data given in pieces, with the command", given_early),
        check("what is asked for and cancelled takes nothing", cancelled),
    ]
}

/// The second waits, or is not valid as it comes when none is due.
fn wrapper_behind_wrapper(bot: &mut Bot) -> Outcome {
    let phase = Phase::In(bot.block as u32);
    let (first, second) = (
        bot.wrapper(&read_10(1, 1), phase),
        bot.wrapper(&read_10(2, 1), phase),
    );
    bot.send(&first)?;
    bot.give(&second);
    for (block, wrapper) in [first, second].into_iter().enumerate() {
        let came = bot.read(bot.block);
        if came.end == End::Stall {
            return bot.recover();
        }
        expect_data(&came.data, &bot.held(block, 1))?;
        let csw = bot.csw()?;
        expect(&csw.tag.to_le_bytes()[..], &wrapper[4..8], "tag")?;
    }
    expect(bot.drain().0, End::Done, "the second wrapper")
}

fn wrong_way_out(bot: &mut Bot) -> Outcome {
    let wrapper = bot.wrapper(&read_10(1, 4), Phase::In(4 * bot.block as u32));
    bot.send(&wrapper)?;
    bot.give(&vec![0xee; bot.block]);
    bot.read(bot.block);
    bot.recover()
}

fn wrong_way_in(bot: &mut Bot) -> Outcome {
    let data = bot.held(0, 4);
    let wrapper = bot.wrapper(&write_10(1, 4), Phase::Out(&data));
    bot.send(&wrapper)?;
    bot.ask(bot.packet);
    bot.write(&data[..bot.block]);
    bot.recover()
}

/// What follows the data is no wrapper (BOT 1.0, 6.2.1).
fn more_than_announced(bot: &mut Bot) -> Outcome {
    let data = bot.held(0, 1);
    let wrapper = bot.wrapper(&write_10(1, 1), Phase::Out(&data));
    bot.send(&wrapper)?;
    expect(bot.write(&data), End::Done, "the data")?;
    bot.give(&vec![0xee; bot.packet]);
    let mut came = bot.read_packet();
    // The status may have been first.
    if status_of(&came).is_ok() {
        came = bot.read_packet();
    }
    expect(came.end, End::Stall, "IN")?;
    bot.recover()
}

/// All at once: they are served in the order they were asked.
fn asked_early(bot: &mut Bot) -> Outcome {
    let data = bot.held(0, usize::from(KNOWN));
    let pieces = data.chunks(bot.packet);
    for _ in 0..=pieces.len() {
        bot.ask(bot.packet);
    }
    let wrapper = bot.wrapper(&read_10(1, KNOWN), Phase::In(data.len() as u32));
    bot.send(&wrapper)?;
    for piece in pieces {
        let came = bot.next();
        expect_data(&came.data, piece)?;
    }
    let csw = status_of(&bot.next())?;
    expect(&csw.tag.to_le_bytes()[..], &wrapper[4..8], "tag")
}

/// Likewise.
fn given_early(bot: &mut Bot) -> Outcome {
    let data = bot.held(0, usize::from(KNOWN));
    let wrapper = bot.wrapper(&write_10(1, KNOWN), Phase::Out(&data));
    bot.ask(bot.packet);
    bot.give(&wrapper);
    for piece in data.chunks(bot.packet) {
        bot.give(piece);
    }
    let csw = status_of(&bot.next())?;
    expect(&csw.tag.to_le_bytes()[..], &wrapper[4..8], "tag")?;
    expect((csw.status, csw.residue), (0, 0), "status and residue")?;
    expect(bot.drain().0, End::Done, "the last piece")
}

fn cancelled(bot: &mut Bot) -> Outcome {
    for _ in 0..3 {
        bot.ask(bot.packet);
        expect(bot.drain().1.end, End::Nothing, "before the command")?;
        let answer = bot.command(&read_10(1, 1), Phase::In(bot.block as u32))?;
        expect_data(&answer.data, &bot.held(0, 1))?;
    }
    Ok(())
}
