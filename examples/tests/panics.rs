//! What a panic costs a server, and whom.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::pedantic,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use examples::simulated::{Looks, keyboard};
use examples::{
    Address, Host, ImportError, Listener, Local, LocalDevice, Network, Offered, Server, Sleeper,
    Stop, Stream, import, list, typed_strokes,
};
use usb_descriptors::Speed;
use usb_functions::{DeviceOptions, Keyboard};
use usb_transfer::{Function, FunctionEvent, Transfer, TransferId};
use usbip_proto::{BusId, Limits, OpStatus};

/// What has become of a device.
#[derive(Clone, Default)]
struct Fate {
    is_closed: Arc<AtomicBool>,
    is_dropped: Arc<AtomicBool>,
}

fn is_set(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}

/// A device that panics as soon as it is asked for anything.
struct Fragile(Fate);

impl Function for Fragile {
    fn submit(&mut self, _: Transfer) {
        panic!("this test wants it so");
    }

    fn cancel(&mut self, _: TransferId) {}

    fn reset(&mut self) {}

    fn poll(&mut self) -> Option<FunctionEvent> {
        None
    }
}

impl Local for Fragile {
    fn close(&mut self) -> io::Result<()> {
        self.0.is_closed.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.is_dropped.store(true, Ordering::Release);
    }
}

fn fragile(fate: &Fate) -> Offered {
    let keyboard = Keyboard::new(DeviceOptions::new(Speed::High)).unwrap();
    let descriptors = keyboard.descriptors().clone();
    let device = LocalDevice::new(descriptors, Fragile(fate.clone()), Sleeper::new());
    Offered::local("fragile".into(), device)
}

fn sound() -> Offered {
    keyboard(typed_strokes("a").unwrap(), &Looks::default()).unwrap()
}

fn bus_id(text: &str) -> BusId {
    text.parse().unwrap()
}

fn listener() -> (Listener, Address) {
    let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.address().unwrap();
    (listener, address)
}

fn connect(address: &Address) -> Stream {
    Stream::new(address.connect().unwrap()).unwrap()
}

#[test]
fn a_session_that_panics_costs_its_device_and_nobody_elses() {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&said);
    let server = Server::new(move |text| log.lock().unwrap().push(text.to_owned())).unwrap();
    let fate = Fate::default();
    server.offer(fragile(&fate), 1).unwrap();
    server.offer(sound(), 2).unwrap();
    let (listener, address) = listener();
    let serving = server.clone();
    let serving = thread::spawn(move || serving.listen(&listener, &[]));

    let mut other = Host::open(&address, bus_id("1-2")).unwrap();
    let mut unlucky = Host::open(&address, bus_id("1-1")).unwrap();
    assert!(unlucky.enumerate().is_err());
    assert!(is_set(&fate.is_dropped), "its client hears of it before");
    assert_eq!(other.enumerate().unwrap().configurations.len(), 1);
    let refused = import(&mut connect(&address), bus_id("1-1"), Limits::default()).map(|_| ());
    let is_refused = matches!(refused, Err(ImportError::Refused(OpStatus::DEVICE_ERROR)));
    assert!(is_refused, "{refused:?}");
    // Somebody else may have the other one, too.
    drop(other);
    let mut next = Host::open(&address, bus_id("1-2")).unwrap();
    next.enumerate().unwrap();
    let listed = list(&mut connect(&address), Limits::default()).unwrap();
    let listed: Vec<_> = listed.iter().map(|record| record.bus_id()).collect();
    assert_eq!(listed, [bus_id("1-1")], "as usbipd lists what has failed");

    let ended = server.end().unwrap_err();
    assert_eq!(ended.to_string(), "1-1: its session has panicked");
    serving.join().unwrap().unwrap();
    let said = said.lock().unwrap();
    let broken = "1-1: its session has panicked; it is refused from now on";
    let times = said.iter().filter(|line| *line == broken).count();
    assert_eq!(times, 1, "{said:?}");
}

/// The program ends with that thread, and with it all others.
#[test]
fn a_panic_of_the_thread_that_lets_clients_in_has_all_devices_closed_first() {
    let who = "not allowed";
    let server = Server::new(move |text| assert!(!text.contains(who), "this test wants it so"));
    let server = server.unwrap();
    let fate = Fate::default();
    server.offer(sound(), 1).unwrap();
    server.offer(fragile(&fate), 2).unwrap();
    // One has a device in another thread, that of `dial`.
    let (dialled, place) = listener();
    let dialling = server.clone();
    let dialling = thread::spawn(move || dialling.dial(&place));
    let stop = Stop::new().unwrap();
    let (socket, _) = dialled.accept(&stop).unwrap().unwrap();
    let user = Stream::new(socket).unwrap();
    let mut user = Host::import(user, bus_id("1-1"), Limits::default()).unwrap();
    user.enumerate().unwrap();

    let (listener, address) = listener();
    let serving = server.clone();
    let nobody: Network = "10.0.0.0/8".parse().unwrap();
    let serving = thread::spawn(move || {
        let ended = serving.listen(&listener, &[nobody]);
        ended.map(|()| "not by a panic")
    });
    let _unwelcome = connect(&address);
    assert!(serving.join().is_err());
    assert!(is_set(&fate.is_closed));
    assert!(server.withdraw(bus_id("1-1")), "somebody has it still");
    assert!(user.enumerate().is_err());
    dialling.join().unwrap();
}
