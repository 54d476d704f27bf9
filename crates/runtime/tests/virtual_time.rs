//! Threads in virtual time: who runs when, how time moves, what happens when nothing is left to happen.
mod rig;

use std::io;
use std::sync::{Arc, Mutex};

use heptad_runtime::lab::Outcome;
use heptad_runtime::stack::Instant;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{Clock, UdpSocket, run_is_over};
use rig::{delay, pair};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_hour_of_sleep_takes_no_time() {
    let pair = pair(Clock::Virtual, delay(10));
    let before = std::time::Instant::now();
    let network = pair.network.clone();
    let sleeper = pair.network.spawn("sleeper", move || network.sleep(HOUR));
    sleeper.join().expect("no panic");
    assert_eq!(pair.network.now(), Instant::ZERO + HOUR);
    pair.network.sleep(HOUR);
    assert_eq!(pair.network.now(), Instant::ZERO + HOUR + HOUR);
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[test]
fn sleepers_wake_in_order_of_time_and_then_of_spawning() {
    let pair = pair(Clock::Virtual, delay(10));
    let woken = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = [30, 10, 20, 10]
        .into_iter()
        .enumerate()
        .map(|(number, millis)| {
            let (network, woken) = (pair.network.clone(), woken.clone());
            pair.network.spawn(&format!("t{number}"), move || {
                network.sleep(Duration::from_millis(millis));
                woken
                    .lock()
                    .expect("unpoisoned")
                    .push((number, network.now().as_millis()));
            })
        })
        .collect();
    assert!(
        woken.lock().expect("unpoisoned").is_empty(),
        "none ran before we wait"
    );
    for thread in threads {
        thread.join().expect("no panic");
    }
    let expected = [(1, 10), (3, 10), (2, 20), (0, 30)];
    assert_eq!(*woken.lock().expect("unpoisoned"), expected);
}

#[test]
fn a_datagram_takes_as_long_as_the_cable_and_its_question_for_the_address() {
    let pair = pair(Clock::Virtual, delay(10));
    let receiver = UdpSocket::bind(&pair.b, "10.0.0.2:9").expect("bind");
    let network = pair.network.clone();
    let server = pair.network.spawn("server", move || {
        let mut buf = [0; 16];
        let (taken, from) = receiver.recv_from(&mut buf).expect("a datagram");
        receiver.send_to(&buf[..taken], from).expect("sent back");
        network.now().as_millis()
    });
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    sender.send_to(b"hello", "b:9").expect("sent");
    let mut buf = [0; 16];
    assert_eq!(sender.recv(&mut buf).expect("the answer"), 5);
    assert_eq!(&buf[..5], b"hello");
    assert_eq!(
        pair.network.now().as_millis(),
        40,
        "ARP there and back, then the datagram there and back"
    );
    assert_eq!(server.join().expect("no panic"), 30);
}

#[test]
fn a_read_timeout_is_lab_time() {
    let pair = pair(Clock::Virtual, delay(10));
    let socket = UdpSocket::bind(&pair.a, "a:9").expect("bind");
    socket.set_read_timeout(Some(HOUR)).expect("a timeout");
    let error = socket.recv(&mut [0; 1]).expect_err("nothing comes");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(pair.network.now(), Instant::ZERO + HOUR);
    let zero = socket.set_read_timeout(Some(Duration::ZERO));
    assert_eq!(
        zero.expect_err("as in std").kind(),
        io::ErrorKind::InvalidInput
    );
}

#[test]
fn when_nothing_is_left_to_happen_the_error_names_who_waits() {
    let pair = pair(Clock::Virtual, delay(10));
    let socket = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let server = pair
        .network
        .spawn("server", move || socket.recv(&mut [0; 1]));
    let error = server.join().expect("no panic").expect_err("nothing comes");
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(run_is_over(&error));
    assert!(
        error.to_string().starts_with("nothing is left to happen: "),
        "{error}"
    );
    assert!(
        error.to_string().contains("server waits in recv"),
        "{error}"
    );
}

#[test]
fn run_until_leaves_those_who_wait_in_peace() {
    let pair = pair(Clock::Virtual, delay(10));
    let socket = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let server = pair
        .network
        .spawn("server", move || socket.recv(&mut [0; 8]));
    let noon = Instant::ZERO + 12 * HOUR;
    assert_eq!(pair.network.run_until(noon), Outcome::Idle);
    assert_eq!(pair.network.now(), noon);
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    sender.send_to(b"late", "b:9").expect("sent");
    assert_eq!(
        pair.network.run_until(noon + Duration::from_millis(15)),
        Outcome::Reached
    );
    assert!(!server.is_finished());
    assert_eq!(server.join().expect("no panic").expect("a datagram"), 4);
}

#[test]
fn polling_a_nonblocking_socket_lets_time_move() {
    let pair = pair(Clock::Virtual, delay(1));
    let receiver = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    receiver.set_nonblocking(true).expect("nonblocking");
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    sender.send_to(b"x", "b:9").expect("sent");
    let mut polls = 0;
    while let Err(error) = receiver.recv(&mut [0; 1]) {
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        polls += 1;
        assert!(polls < 10_000, "time does not move");
    }
    assert_eq!(pair.network.now().as_millis(), 3);
}

#[test]
fn threads_that_wait_for_each_other_end_with_the_sentence() {
    let pair = pair(Clock::Virtual, delay(1));
    let network = pair.network.clone();
    let slot = Arc::new(Mutex::new(None::<heptad_runtime::JoinHandle<()>>));
    let inner = slot.clone();
    let first = pair.network.spawn("first", move || {
        let second = inner
            .lock()
            .expect("unpoisoned")
            .take()
            .expect("spawned before we run");
        second
            .join()
            .map_err(|error| error.downcast_ref::<String>().cloned())
    });
    let second = network.spawn("second", move || {
        let error = first.join().expect_err("a circle");
        assert!(
            error
                .downcast_ref::<String>()
                .is_some_and(|text| text.contains("first waits for the end of second"))
        );
    });
    *slot.lock().expect("unpoisoned") = Some(second);
    assert_eq!(network.run_until(Instant::MAX), Outcome::Idle);
    assert!(slot.lock().expect("unpoisoned").is_none(), "both wait");
    network.stop();
}

#[test]
fn stopping_ends_those_who_wait_and_all_later_verbs() {
    let pair = pair(Clock::Virtual, delay(1));
    let socket = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let again = socket.try_clone().expect("clone");
    let server = pair
        .network
        .spawn("server", move || socket.recv(&mut [0; 1]));
    pair.network
        .run_until(Instant::ZERO + Duration::from_secs(1));
    let summary = pair.network.stop();
    assert_eq!(summary.ended, Instant::ZERO + Duration::from_secs(1));
    let error = server.join().expect("no panic").expect_err("stopped");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let later = again.recv(&mut [0; 1]).expect_err("stopped");
    assert!(run_is_over(&later));
    assert_eq!(pair.network.stop().event_hash, summary.event_hash);
}

#[test]
fn a_thread_from_nowhere_may_not_wait_while_others_run() {
    let pair = pair(Clock::Virtual, delay(1));
    let socket = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    let network = pair.network.clone();
    let spawned = pair.network.spawn("spawned", move || {
        let foreign = std::thread::spawn(move || socket.recv(&mut [0; 1]));
        let answer = foreign.join().expect("no panic");
        network.sleep(HOUR);
        answer
    });
    let error = spawned.join().expect("no panic").expect_err("foreign");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn a_panic_passes_the_baton_on() {
    let pair = pair(Clock::Virtual, delay(1));
    let network = pair.network.clone();
    let broken = pair.network.spawn("broken", move || {
        network.sleep(HOUR);
        panic!("as this test wants it");
    });
    let network = pair.network.clone();
    let healthy = pair
        .network
        .spawn("healthy", move || network.sleep(2 * HOUR));
    assert!(broken.join().is_err());
    healthy.join().expect("no panic");
    assert_eq!(pair.network.now(), Instant::ZERO + 2 * HOUR);
}
