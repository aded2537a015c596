//! Writes inputs for the fuzz target `differential` to start from, into the folder that is named:
//! a boot from either side, and a packet of each type in each layout that capabilities make.

use std::path::Path;

use oracle::{Both, Values, every};
use usbredir_proto::codec::Role;

const HELLO: usize = 80;
const BOOT_GUEST: &[u8] = include_bytes!("../../../usbredir-proto/tests/data/xhci.g2h.bin");
const BOOT_HOST: &[u8] = include_bytes!("../../../usbredir-proto/tests/data/xhci.h2g.bin");

/// None; each that changes a layout, with what it needs; all but streams; all.
const CAPABILITIES: [u8; 8] = [0, 0x02, 0x10, 0x11, 0x20, 0x40, 0xfe, 0xff];

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("a folder");
    std::fs::create_dir_all(&folder)?;
    let write = |name: &str, receiver: u8, capabilities: u8, stream: &[u8]| {
        let input = [&[receiver, capabilities, capabilities], stream].concat();
        std::fs::write(Path::new(&folder).join(name), input)
    };
    write("boot-guest", 0, 0xff, &BOOT_GUEST[HELLO..])?;
    write("boot-host", 1, 0xff, &BOOT_HOST[HELLO..])?;
    for (role, name, receiver) in [(Role::Host, "host", 1), (Role::Guest, "guest", 0)] {
        for capabilities in CAPABILITIES {
            let mut writer = Both::new(role, capabilities.into(), capabilities.into());
            let list = every(role, &mut Values(capabilities.into()));
            // What needs a capability is left out without it.
            let written = list.iter().filter_map(|packet| writer.write(1, packet));
            let stream = written.collect::<Vec<_>>().concat();
            write(
                &format!("{name}-{capabilities:02x}"),
                receiver,
                capabilities,
                &stream,
            )?;
        }
    }
    Ok(())
}
