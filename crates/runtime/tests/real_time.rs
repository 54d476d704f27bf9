//! The wall's clock: the driver, blocked threads, wakers, the end of a run.
mod rig;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::task::{Wake, Waker};
use std::time::Instant as WallInstant;

use heptad_runtime::stack::time::Duration;
use heptad_runtime::stack::{Family, Ready, SocketKind};
use heptad_runtime::{Clock, UdpSocket};
use rig::{delay, pair};

#[test]
fn a_datagram_takes_the_time_of_the_cable() {
    let pair = pair(Clock::Real, delay(10));
    let receiver = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    let before = WallInstant::now();
    sender.send_to(b"hello", "b:9").expect("sent");
    let mut buf = [0; 16];
    let (taken, from) = receiver.recv_from(&mut buf).expect("a datagram");
    assert_eq!(&buf[..taken], b"hello");
    assert_eq!(from.ip(), sender.local_addr().expect("bound").ip());
    let took = before.elapsed();
    assert!(
        took >= Duration::from_millis(30),
        "ARP there and back, then the datagram: {took:?}"
    );
}

#[test]
fn a_read_timeout_is_over_in_time_and_the_socket_goes_on() {
    let pair = pair(Clock::Real, delay(1));
    let receiver = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let timeout = Duration::from_millis(30);
    receiver.set_read_timeout(Some(timeout)).expect("a timeout");
    let before = WallInstant::now();
    let error = receiver.recv(&mut [0; 1]).expect_err("nothing comes");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!(before.elapsed() >= timeout);
    receiver.set_read_timeout(None).expect("no timeout");
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    sender.send_to(b"x", "b:9").expect("sent");
    assert_eq!(receiver.recv(&mut [0; 1]).expect("a datagram"), 1);
}

#[test]
fn a_thread_that_waits_is_woken_by_the_driver_alone() {
    let pair = pair(Clock::Real, delay(20));
    let receiver = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let waiting = pair
        .network
        .spawn("server", move || receiver.recv(&mut [0; 8]));
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    sender.send_to(b"ping", "b:9").expect("sent");
    let taken = waiting.join().expect("no panic");
    assert_eq!(taken.expect("a datagram"), 4);
    assert!(pair.network.stop().worst_lag < Duration::from_secs(5));
}

#[test]
fn stopping_wakes_those_who_wait_and_those_who_sleep() {
    let pair = pair(Clock::Real, delay(1));
    let receiver = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let waiting = pair
        .network
        .spawn("server", move || receiver.recv(&mut [0; 8]));
    let network = pair.network.clone();
    let sleeping = pair
        .network
        .spawn("sleeper", move || network.sleep(Duration::from_secs(3600)));
    pair.network.stop();
    sleeping.join().expect("no panic");
    let error = waiting.join().expect("no panic").expect_err("stopped");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[test]
fn a_nonblocking_socket_answers_at_once() {
    let pair = pair(Clock::Real, delay(1));
    let receiver = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    receiver.set_nonblocking(true).expect("nonblocking");
    let error = receiver.recv(&mut [0; 1]).expect_err("nothing is there");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

struct Bell {
    rung: AtomicU32,
    tell: mpsc::Sender<()>,
}
impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::SeqCst);
        let _ = self.tell.send(());
    }
}

#[test]
fn a_waker_is_woken_once_a_registration_and_at_once_when_due() {
    let pair = pair(Clock::Real, delay(1));
    let machine = pair.b.machine();
    let address = "10.0.0.2:9".parse().expect("an address");
    let socket = pair.network.with(machine, |stack, cx| {
        let socket = stack.socket(Family::V4, SocketKind::Datagram);
        let socket = socket.expect("a socket");
        stack.bind(socket, address, cx).expect("bound");
        socket
    });
    let (tell, told) = mpsc::channel();
    let bell = Arc::new(Bell {
        rung: AtomicU32::new(0),
        tell,
    });
    let waker = Waker::from(bell.clone());
    pair.network
        .register(machine, socket, Ready::READABLE, &waker);
    pair.network
        .register(machine, socket, Ready::READABLE, &waker);
    assert_eq!(bell.rung.load(Ordering::SeqCst), 0);
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    for _ in 0..2 {
        sender.send_to(b"x", "b:9").expect("sent");
    }
    told.recv_timeout(Duration::from_secs(10))
        .expect("the bell rings");
    let mut buf = [0; 1];
    while pair
        .network
        .with(machine, |stack, cx| stack.recv(socket, &mut buf, cx))
        .is_err()
    {
        std::thread::yield_now();
    }
    sender.send_to(b"y", "b:9").expect("sent");
    while !pair.network.with(machine, |stack, _| {
        stack.ready(socket).contains(Ready::READABLE)
    }) {
        std::thread::yield_now();
    }
    assert_eq!(bell.rung.load(Ordering::SeqCst), 1, "not registered again");
    pair.network
        .register(machine, socket, Ready::READABLE, &waker);
    assert_eq!(bell.rung.load(Ordering::SeqCst), 2, "it is readable");
    while pair
        .network
        .with(machine, |stack, cx| stack.recv(socket, &mut buf, cx))
        .is_ok()
    {}
    pair.network
        .register(machine, socket, Ready::READABLE, &waker);
    pair.network.stop();
    assert_eq!(
        bell.rung.load(Ordering::SeqCst),
        3,
        "the end wakes everybody"
    );
}
