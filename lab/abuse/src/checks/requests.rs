//! Descriptors and the requests of the class.

use nusb::descriptors::TransferType;
use nusb::transfer::{Direction, TransferError};

use super::{Check, check, expect};
use crate::bot::{Bot, Outcome, Phase};

const GET_MAX_LUN: u8 = 0xfe;
const RESET: u8 = 0xff;

pub fn all() -> Vec<Check> {
    vec![
        check("interface and endpoints", interface),
        check("a serial number of twelve digits", serial),
        check("Get Max LUN", |bot| max_lun(bot).map(drop)),
        check("Get Max LUN with other parameters", max_lun_otherwise),
        check("reset with other parameters", reset_otherwise),
        check("each unit answers", units),
        check("GET_STATUS tells of a halt", |bot| {
            bot.write(&[0; 31]);
            expect(bot.is_halted()?, true, "halted")?;
            bot.recover()?;
            expect(bot.is_halted()?, false, "halted after Reset Recovery")
        }),
        check("a reset alone leaves a halt", |bot| {
            bot.write(&[0; 31]);
            bot.class_reset()?;
            expect(bot.is_halted()?, true, "halted")?;
            bot.clear_halt_in()?;
            bot.clear_halt_out()
        }),
    ]
}

/// Mass storage, SCSI transparent, Bulk-Only, which the interface says and not the device (BOT 1.0,
/// 4.1 and 4.3); one bulk endpoint each way (4.4).
fn interface(bot: &mut Bot) -> Outcome {
    expect(bot.device_class(), (0, 0, 0), "the device's class")?;
    let setting = bot.claimed().interface.descriptor();
    let setting = setting.ok_or("no setting")?;
    let class = (setting.class(), setting.subclass(), setting.protocol());
    expect(class, (8, 6, 0x50), "class, subclass and protocol")?;
    let mut endpoints: Vec<_> = setting
        .endpoints()
        .map(|endpoint| {
            let is_in = endpoint.direction() == Direction::In;
            let is_bulk = endpoint.transfer_type() == TransferType::Bulk;
            (is_in, is_bulk, endpoint.max_packet_size())
        })
        .collect();
    endpoints.sort_unstable();
    let expected = [(false, true, bot.packet), (true, true, bot.packet)];
    expect(endpoints.as_slice(), &expected[..], "endpoints")
}

/// BOT 1.0, 4.1.1: of these digits and no others.
fn serial(bot: &mut Bot) -> Outcome {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    if bot.serial.len() < 12 || !bot.serial.bytes().all(is_digit) {
        return Err(format!("it is {:?}", bot.serial));
    }
    Ok(())
}

pub fn max_lun(bot: &mut Bot) -> Outcome<u8> {
    match bot.class_in(GET_MAX_LUN, 0, 0, 1).as_deref() {
        Ok([highest @ 0..=15]) => Ok(*highest),
        // Of one unit (BOT 1.0, 3.2).
        Err(TransferError::Stall) => Ok(0),
        other => Err(format!("{other:?}")),
    }
}

pub fn max_lun_otherwise(bot: &mut Bot) -> Outcome {
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

fn units(bot: &mut Bot) -> Outcome {
    for number in 0..=max_lun(bot)? {
        let phase = Phase::In(36);
        let mut wrapper = bot.wrapper(&[0x12, 0, 0, 0, 36, 0], phase);
        wrapper[13] = number;
        let answer = bot.command_of(&wrapper, phase)?;
        expect((answer.status, answer.data.len()), (0, 36), "INQUIRY")?;
        // The qualifier of a unit that is there (SPC-4, table 143).
        expect(answer.data[0] >> 5, 0, &format!("unit {number}"))?;
    }
    Ok(())
}
