//! Commands that every disk has, may have, or lacks.

use super::{Check, TEST_UNIT_READY, check, expect, expect_data};
use crate::bot::{Bot, Outcome, Phase, read_10, write_10};

const OUT_OF_RANGE: (u8, u8, u8) = (5, 0x21, 0);

pub fn all() -> Vec<Check> {
    vec![
        check("commands that every disk has", required),
        check("commands that a disk may have", optional),
        check("a command that the disk lacks ends its data phase", lacking),
        check("reads and writes beyond the end", beyond),
    ]
}

fn phase(length: u32) -> Phase<'static> {
    if length == 0 {
        Phase::None
    } else {
        Phase::In(length)
    }
}

fn required(bot: &mut Bot) -> Outcome {
    // The last number: what the disk has not.
    let commands: [(&str, &[u8], u32, Option<u32>); 7] = [
        ("TEST UNIT READY", &TEST_UNIT_READY, 0, Some(0)),
        ("REQUEST SENSE", &[0x03, 0, 0, 0, 18, 0], 18, Some(0)),
        ("INQUIRY", &[0x12, 0, 0, 0, 36, 0], 36, Some(0)),
        ("MODE SENSE (6)", &[0x1a, 0, 0x3f, 0, 192, 0], 192, None),
        (
            "READ CAPACITY (10)",
            &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            8,
            Some(0),
        ),
        (
            "READ FORMAT CAPACITIES",
            &[0x23, 0, 0, 0, 0, 0, 0, 0, 252, 0],
            252,
            None,
        ),
        (
            "VERIFY (10)",
            &[0x2f, 0, 0, 0, 0, 1, 0, 0, 1, 0],
            0,
            Some(0),
        ),
    ];
    for (name, command, length, residue) in commands {
        let answer = bot.command(command, phase(length))?;
        expect(answer.status, 0, name)?;
        expect(
            answer.residue,
            residue.unwrap_or(answer.residue),
            &format!("residue of {name}"),
        )?;
        if name == "INQUIRY" {
            // Response data format 2, and at least 36 bytes of it (SPC-4, 6.4.2).
            expect(answer.data[3] & 0x0f, 2, "response data format")?;
            expect(answer.data[4] >= 31, true, "additional length")?;
        }
    }
    let held = bot.held(0, 2);
    let answer = bot.command(&write_10(1, 2), Phase::Out(&held))?;
    expect((answer.status, answer.residue), (0, 0), "WRITE (10)")?;
    let answer = bot.command(&read_10(1, 2), Phase::In(held.len() as u32))?;
    expect((answer.status, answer.residue), (0, 0), "READ (10)")?;
    expect_data(&answer.data, &held)
}

/// Each passes, or fails as one that the disk lacks, or of which it lacks a field.
fn optional(bot: &mut Bot) -> Outcome {
    let held = bot.held(0, 1);
    let block = held.len() as u32;
    let plain: [(&str, &[u8], u32); 8] = [
        ("SEND DIAGNOSTIC", &[0x1d, 4, 0, 0, 0, 0], 0),
        ("START STOP UNIT", &[0x1b, 0, 0, 0, 1, 0], 0),
        ("PREVENT ALLOW MEDIUM REMOVAL", &[0x1e, 0, 0, 0, 0, 0], 0),
        (
            "SYNCHRONIZE CACHE (10)",
            &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            0,
        ),
        ("MODE SELECT (6)", &[0x15, 0x10, 0, 0, 0, 0], 0),
        (
            "MODE SENSE (10)",
            &[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 192, 0],
            192,
        ),
        (
            "READ CAPACITY (16)",
            &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0],
            32,
        ),
        ("REPORT LUNS", &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], 16),
    ];
    for (name, command, length) in plain {
        has_or_lacks(bot, name, command, phase(length))?;
    }
    let reads: [(&str, &[u8]); 3] = [
        ("READ (6)", &[0x08, 0, 0, 1, 1, 0]),
        ("READ (12)", &[0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
        (
            "READ (16)",
            &[0x88, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        ),
    ];
    for (name, command) in reads {
        if let Some(data) = has_or_lacks(bot, name, command, Phase::In(block))? {
            expect_data(&data, &held)?;
        }
    }
    let writes: [(&str, &[u8]); 4] = [
        ("WRITE (6)", &[0x0a, 0, 0, 1, 1, 0]),
        ("WRITE (12)", &[0xaa, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]),
        (
            "WRITE (16)",
            &[0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0],
        ),
        ("WRITE AND VERIFY (10)", &[0x2e, 0, 0, 0, 0, 1, 0, 0, 1, 0]),
    ];
    for (name, command) in writes {
        has_or_lacks(bot, name, command, Phase::Out(&held))?;
    }
    Ok(())
}

/// What came, where the disk has the command.
fn has_or_lacks(
    bot: &mut Bot,
    name: &str,
    command: &[u8],
    phase: Phase<'_>,
) -> Outcome<Option<Vec<u8>>> {
    let why = |why| format!("{name}: {why}");
    let answer = bot.command(command, phase).map_err(why)?;
    if answer.status == 0 {
        return Ok(Some(answer.data));
    }
    expect((answer.status, answer.residue), (1, phase.length()), name)?;
    match bot.sense()? {
        (5, 0x20 | 0x24, 0) => Ok(None),
        other => Err(format!("{name}: sense {other:x?}")),
    }
}

/// ATA PASS-THROUGH, with data either way.
fn lacking(bot: &mut Bot) -> Outcome {
    let command = [0xa1, 8, 0x2e, 0, 1, 0, 0, 0, 0, 0xec, 0, 0];
    let length = bot.block as u32;
    for phase in [Phase::In(length), Phase::Out(&vec![0xee; bot.block])] {
        let answer = bot.command(&command, phase)?;
        let found = (answer.status, answer.residue);
        expect(found, (1, length), "status and residue")?;
        expect(bot.sense()?, (5, 0x20, 0), "sense")?;
    }
    Ok(())
}

/// Of which no block is written.
fn beyond(bot: &mut Bot) -> Outcome {
    let length = bot.block as u32;
    for lba in [bot.last + 1, u32::MAX] {
        for (command, phase) in [
            (read_10(lba, 1), Phase::In(length)),
            (write_10(lba, 1), Phase::Out(&vec![0xee; bot.block])),
        ] {
            let answer = bot.command(&command, phase)?;
            let found = (answer.status, answer.residue);
            expect(found, (1, length), &format!("block {lba}"))?;
            expect(bot.sense()?, OUT_OF_RANGE, "sense")?;
        }
    }
    let last = bot.command(&read_10(bot.last, 1), Phase::In(length))?.data;
    let data = vec![0xee; 2 * bot.block];
    let answer = bot.command(&write_10(bot.last, 2), Phase::Out(&data))?;
    expect(answer.status, 1, "across the end")?;
    expect(bot.sense()?, OUT_OF_RANGE, "sense")?;
    let answer = bot.command(&read_10(bot.last, 1), Phase::In(length))?;
    expect_data(&answer.data, &last)
}
