//! Links the library crates into a library without `std`. A crate that pulls it in brings a second
//! panic handler, and this does not compile.
#![no_std]

use usb_descriptors::build::constant;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// How much was written.
struct Count(usize);

impl core::fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0 = self.0.wrapping_add(text.len());
        Ok(())
    }
}

/// Made when it is compiled.
const DESCRIBED: constant::Configuration<'static> =
    constant::Configuration::new(1).interfaces(&[constant::Interface::new(
        0,
        usb_descriptors::ClassCode::new(0xff, 0, 0),
    )]);
static BYTES: &[u8] = usb_descriptors::configuration!(DESCRIBED, usb_descriptors::Speed::High);

/// Reads, checks and shows descriptors, and builds some, without an allocator.
#[unsafe(no_mangle)]
pub extern "C" fn probe_descriptors(first: u8) -> usize {
    let mut device = [first; 64];
    for (to, from) in device.iter_mut().zip(BYTES) {
        *to = *from;
    }
    let configuration = usb_descriptors::Configuration::parse(&device);
    let interfaces = configuration.map_or(0, |configuration| configuration.interfaces().count());
    let bytes = usb_descriptors::DeviceBytes::from_run(&device);
    let mut shown = Count(interfaces);
    let speed = usb_descriptors::Speed::High;
    usb_descriptors::lint::lint(bytes, speed, &mut |finding| {
        let _ = core::fmt::Write::write_fmt(&mut shown, format_args!("{finding}"));
    });
    let listing = usb_descriptors::DeviceListing::new(bytes, speed);
    let _ = core::fmt::Write::write_fmt(&mut shown, format_args!("{listing}"));
    shown.0
}

#[cfg(feature = "alloc")]
mod with_alloc {
    extern crate alloc;

    use alloc::vec::Vec;
    use core::alloc::{GlobalAlloc, Layout};

    use msc_bot::{BlockSize, BotDevice, BotOptions, LogicalUnit, UnitOptions};
    use usb_descriptors::Speed;
    use usb_functions::{AudioLoopback, DeviceOptions, Keyboard, Serial};
    use usb_transfer::{Enumerator, Step, Wire, exchange};
    use usbip_proto::{DeviceId, Limits, client, server, vhci};

    /// Has no memory: this is to be linked, not run.
    struct Nothing;

    // SAFETY: a null pointer says that there is no memory, and nothing comes back to be freed.
    unsafe impl GlobalAlloc for Nothing {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[global_allocator]
    static ALLOCATOR: Nothing = Nothing;

    /// Enumerates a device of each class.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_functions(speed: bool) -> usize {
        let options = DeviceOptions::new(if speed { Speed::High } else { Speed::Full });
        let mut host = Enumerator::new(Speed::High);
        if let Ok(mut keyboard) = Keyboard::new(options.clone()) {
            exchange(&mut host, &mut keyboard);
        }
        if let Ok(mut serial) = Serial::loopback(options.clone()) {
            exchange(&mut host, &mut serial);
        }
        if let Ok(mut audio) = AudioLoopback::new(options) {
            exchange(&mut host, &mut audio);
        }
        host.result()
            .and_then(Result::ok)
            .map_or(0, |found| found.configurations.len())
    }

    /// Joins a piece of every crate.
    #[unsafe(no_mangle)]
    pub extern "C" fn probe_stack(blocks: u64) -> usize {
        let unit = LogicalUnit::new(UnitOptions::new(BlockSize::BYTES_512, blocks));
        let Ok(mut disk) = BotDevice::new(BotOptions::new(Speed::High), [unit]) else {
            return 0;
        };
        let mut host = Enumerator::new(Speed::High);
        exchange(&mut host, &mut disk);
        let found = host.result().and_then(Result::ok);
        let mut rx = Default::default();
        let id = DeviceId::new(1, 2);
        let mut session = server::Session::new(id, Speed::High, Limits::default());
        while let Ok(Step::Ready) = session.receive(&mut rx) {
            exchange(&mut session, &mut disk);
        }
        let mut remote = client::Session::new(id, Speed::High, Limits::default());
        remote.end();
        let mut redirected = usbredir_proto::Host::new(usbredir_proto::Options::default());
        exchange(&mut redirected, &mut remote);
        let mut guest = usbredir_proto::Guest::new(usbredir_proto::Options::default());
        exchange(&mut redirected, &mut guest);
        let ports = vhci::Ports::parse("").unwrap_or_default();
        let strings = found.map_or(Vec::new(), |found| found.languages());
        ports.iter().count() + strings.len()
    }
}
