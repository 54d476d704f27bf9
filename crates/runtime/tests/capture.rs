//! What is seen: captures and the event hash repeat from a seed, and looking changes nothing.
mod rig;

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::Path;

use heptad_runtime::lab::capture::CaptureHead;
use heptad_runtime::lab::topology::{Impairments, Loss};
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{CaptureFile, Clock, Summary, TcpListener, TcpStream, UdpSocket};
use rig::{Pair, delay, lab, pair, start};

fn head() -> CaptureHead {
    CaptureHead {
        lab: "pair".into(),
        seed: 42,
        lab_sha256: String::new(),
        epoch_nanos: 0,
    }
}

/// Three clients of a datagram server and one of a stream server, over a cable that loses, doubles and delays.
fn run(capture: Option<&Path>) -> Summary {
    let cable = Impairments {
        jitter: Duration::from_millis(3),
        loss: Loss::Random(0.1),
        duplicate: 0.1,
        ..delay(10)
    };
    let lab = lab(cable, capture.is_some());
    let mut sinks: Vec<Box<dyn heptad_runtime::FrameSink>> = Vec::new();
    if let Some(path) = capture {
        sinks.push(Box::new(
            CaptureFile::create(path, &head(), &lab).expect("a file"),
        ));
    }
    let pair = start(Clock::Virtual, lab, sinks);
    let socket = UdpSocket::bind(&pair.b, "b:9").expect("bind");
    pair.network.spawn("server", move || {
        let mut buf = [0; 100];
        while let Ok((taken, from)) = socket.recv_from(&mut buf) {
            let _ = socket.send_to(&buf[..taken], from);
        }
    });
    let clients: Vec<_> = (0..3)
        .map(|number| {
            let node = pair.a.clone();
            pair.network.spawn(&format!("client {number}"), move || {
                let socket = UdpSocket::bind(&node, "a:0").expect("bind");
                let timeout = Duration::from_millis(35 + number);
                socket.set_read_timeout(Some(timeout)).expect("a timeout");
                for round in 0..20u8 {
                    socket.send_to(&[round; 50], "b:9").expect("sent");
                    let _ = socket.recv(&mut [0; 100]);
                }
            })
        })
        .collect();
    echo_a_stream(&pair);
    for client in clients {
        client.join().expect("no panic");
    }
    pair.network.stop()
}

/// 100 kB there and back.
fn echo_a_stream(pair: &Pair) {
    let listener = TcpListener::bind(&pair.b, "b:7").expect("bind");
    pair.network.spawn("stream server", move || {
        let (stream, _) = listener.accept().expect("a client");
        io::copy(&mut &stream, &mut &stream).expect("echoed");
    });
    let mut stream = TcpStream::connect(&pair.a, "b:7").expect("connect");
    let mut reader = stream.try_clone().expect("clone");
    let reading = pair.network.spawn("reader", move || {
        let mut back = Vec::new();
        reader.read_to_end(&mut back).expect("echoed");
        back
    });
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    stream.write_all(&bytes).expect("sent");
    stream.shutdown(Shutdown::Write).expect("half-closed");
    assert!(
        reading.join().expect("no panic") == bytes,
        "other bytes came back"
    );
}

#[test]
fn the_same_threads_give_the_same_hash_and_the_same_capture_and_looking_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (
        folder.path().join("deep/one.pcapng"),
        folder.path().join("two.pcapng"),
    );
    let first = run(Some(&one));
    let second = run(Some(&two));
    let unseen = run(None);
    assert!(first.event_hash.is_some());
    assert_eq!(first.event_hash, second.event_hash);
    assert_eq!(first.event_hash, unseen.event_hash);
    assert_eq!((first.ended, first.sink_error), (unseen.ended, None));
    let bytes = fs::read(one).expect("the capture");
    assert!(bytes.len() > 10_000, "{} bytes", bytes.len());
    assert!(
        bytes == fs::read(two).expect("the capture"),
        "captures differ"
    );
}

#[test]
fn a_capture_that_cannot_be_written_says_which() {
    let lab = lab(delay(1), true);
    let path = Path::new("/proc/heptad/x.pcapng");
    let error = CaptureFile::create(path, &head(), &lab)
        .map(|_| ())
        .expect_err("not there");
    assert!(error.to_string().contains("/proc/heptad"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let error = CaptureFile::create(folder.path(), &head(), &lab)
        .map(|_| ())
        .expect_err("a folder");
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    assert!(
        error
            .to_string()
            .contains(&folder.path().display().to_string()),
        "{error}"
    );
}

#[test]
fn a_pause_brings_the_frames_to_the_file_while_the_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("live.pcapng");
    let lab = lab(delay(1), true);
    let capture = CaptureFile::create(&path, &head(), &lab).expect("a file");
    let pair = start(Clock::Real, lab, vec![Box::new(capture)]);
    let sender = UdpSocket::bind(&pair.a, "a:0").expect("bind");
    sender.send_to(b"look at me", "b:9").expect("sent");
    let patience = std::time::Instant::now();
    let shows = |bytes: Vec<u8>| bytes.windows(10).any(|part| part == b"look at me");
    while !shows(fs::read(&path).expect("the capture")) {
        assert!(
            patience.elapsed() < Duration::from_secs(30),
            "nothing was flushed"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    pair.network.stop();
}

#[test]
fn a_full_disk_is_told_at_the_end_and_the_run_goes_on() {
    if !Path::new("/dev/full").exists() {
        eprintln!("skipped: no /dev/full on this system");
        return;
    }
    let summary = run(Some(Path::new("/dev/full")));
    let error = summary.sink_error.expect("no room on this device");
    assert!(error.contains("/dev/full"), "{error}");
    assert_eq!(summary.event_hash, run(None).event_hash);
}

/// One transfer in virtual time; with a watcher from its middle on, what that one saw.
fn watched(watch: bool) -> (String, usize) {
    let pair = pair(Clock::Virtual, delay(5));
    let listener = TcpListener::bind(&pair.b, "b:9").expect("bound");
    let server = pair.network.spawn("server", move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        std::io::copy(&mut stream, &mut std::io::sink()).expect("bytes")
    });
    let mut stream = TcpStream::connect(&pair.a, "b:9").expect("connected");
    stream.write_all(&[1; 100_000]).expect("sent");
    let watch = watch.then(|| pair.network.watch_frames());
    stream.write_all(&[2; 100_000]).expect("sent");
    drop(stream);
    assert_eq!(server.join().expect("no panic"), 200_000);
    let seen = watch.map_or(0, |watch| {
        let frames = watch.next(Duration::ZERO).expect("it runs");
        assert!(frames.windows(2).all(|two| two[0].at <= two[1].at));
        assert_eq!(watch.missed(), 0);
        frames.len()
    });
    (
        pair.network.stop().event_hash.expect("a hash").to_string(),
        seen,
    )
}

#[test]
fn who_looks_for_a_while_sees_frames_and_changes_nothing() {
    let (alone, _) = watched(false);
    let (hash, seen) = watched(true);
    assert_eq!(hash, alone);
    assert!(seen > 100, "{seen} frames");
}

#[test]
fn who_looks_at_a_run_that_is_over_is_told() {
    let pair = pair(Clock::Real, delay(0));
    let watch = pair.network.watch_frames();
    pair.network.stop();
    assert!(watch.next(Duration::from_secs(60)).is_none());
    let late = pair.network.watch_frames();
    assert!(late.next(Duration::from_secs(60)).is_none());
}
