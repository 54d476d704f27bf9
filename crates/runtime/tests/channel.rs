//! Queues between threads of programs.
mod rig;

use std::io;

use heptad_runtime::Clock;
use heptad_runtime::stack::time::Duration;
use rig::{delay, pair};

const CLOCKS: [Clock; 2] = [Clock::Virtual, Clock::Real];

#[test]
fn items_come_out_in_order_and_a_full_queue_waits_for_room() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(1));
        let (sender, receiver) = pair.network.channel(2);
        let sending = pair.network.spawn("sender", move || {
            (0..10).try_for_each(|number| sender.send(number))
        });
        let receiving = pair.network.spawn("receiver", move || {
            let mut got = Vec::new();
            loop {
                match receiver.recv() {
                    Ok(number) => got.push(number),
                    Err(error) => return (got, error.kind()),
                }
            }
        });
        sending.join().expect("no panic").expect("sent");
        let expected = ((0..10).collect(), io::ErrorKind::UnexpectedEof);
        assert_eq!(receiving.join().expect("no panic"), expected);
    }
}

#[test]
fn nobody_to_receive_is_a_broken_pipe() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(1));
        let (sender, receiver) = pair.network.channel(1);
        sender.send(1).expect("room for one");
        let sending = pair.network.spawn("sender", move || sender.send(2));
        drop(receiver);
        let error = sending
            .join()
            .expect("no panic")
            .expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn waiting_for_an_item_lets_virtual_time_move() {
    let pair = pair(Clock::Virtual, delay(1));
    let (sender, receiver) = pair.network.channel(1);
    let network = pair.network.clone();
    let sending = pair.network.spawn("sender", move || {
        network.sleep(Duration::from_secs(60));
        sender.send("good morning").expect("sent");
        network.sleep(Duration::from_secs(60));
    });
    let early = receiver
        .recv_timeout(Duration::from_secs(59))
        .expect_err("too early");
    assert_eq!(early.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(receiver.recv().expect("an item"), "good morning");
    assert_eq!(pair.network.now().as_millis(), 60_000);
    assert_eq!(
        receiver.recv().expect_err("the sender went").kind(),
        io::ErrorKind::UnexpectedEof
    );
    sending.join().expect("no panic");
}

#[test]
fn the_end_of_the_run_wakes_who_waits_for_an_item() {
    let pair = pair(Clock::Real, delay(1));
    let (_sender, receiver) = pair.network.channel::<u8>(1);
    let receiving = pair.network.spawn("receiver", move || receiver.recv());
    pair.network.stop();
    let error = receiving.join().expect("no panic").expect_err("stopped");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[test]
fn nobody_left_to_send_in_virtual_time_is_told_by_name() {
    let pair = pair(Clock::Virtual, delay(1));
    let (_sender, receiver) = pair.network.channel::<u8>(1);
    let receiving = pair.network.spawn("reader", move || receiver.recv());
    let error = receiving
        .join()
        .expect("no panic")
        .expect_err("nothing is left");
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(
        error
            .to_string()
            .contains("reader waits in recv from a channel"),
        "{error}"
    );
}
