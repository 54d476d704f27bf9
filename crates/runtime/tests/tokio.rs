//! Sockets for tasks, in real and in virtual time.
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use heptad_runtime::lab::{Cable, EventHash, Lab};
use heptad_runtime::tokio::{TcpListener, TcpStream, UdpSocket};
use heptad_runtime::{Clock, Network, Node, run_is_over};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

const MS: Duration = Duration::from_millis(1);

fn lab(cable: Cable) -> Lab {
    let lab = Lab::builder()
        .seed(7)
        .event_hash(true)
        .host("a", "10.0.0.1/24")
        .host("b", "10.0.0.2/24")
        .link("a", "b", cable);
    lab.build().expect("a lab")
}
fn nodes(network: &Network) -> (Node, Node) {
    let node = |name| network.node(name).expect("a host");
    (node("a"), node("b"))
}

/// What was written until the end comes back, whoever reads when.
async fn echo(listener: TcpListener) -> io::Result<u64> {
    let (mut stream, _) = listener.accept().await?;
    let (mut read, mut write) = stream.split();
    let bytes = tokio::io::copy(&mut read, &mut write).await?;
    write.shutdown().await?;
    Ok(bytes)
}

async fn echo_of(network: &Network, data: Vec<u8>) -> io::Result<Vec<u8>> {
    let (a, b) = nodes(network);
    let listener = TcpListener::bind(&b, "0.0.0.0:7").await?;
    let server = tokio::spawn(echo(listener));
    let (mut read, mut write) = TcpStream::connect(&a, "b:7").await?.into_split();
    let sent = data.len() as u64;
    let writer = tokio::spawn(async move {
        write.write_all(&data).await?;
        write.shutdown().await
    });
    let mut back = Vec::new();
    read.read_to_end(&mut back).await?;
    writer.await.expect("no panic")?;
    assert_eq!(server.await.expect("no panic")?, sent);
    Ok(back)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 % 251) as u8).collect()
}

#[test]
fn an_echo_comes_back_whole_by_either_clock() {
    for (clock, cable) in [
        (Clock::Real, Cable::new().delay("1ms")),
        (Clock::Virtual, Cable::new().delay("20ms").loss("5%")),
    ] {
        let network = match clock {
            Clock::Real => Network::real_time(lab(cable)),
            Clock::Virtual => Network::virtual_time(lab(cable)),
        };
        let data = pattern(300_000);
        let back = network.block_on(echo_of(&network, data.clone()));
        assert!(
            back.expect("a runtime").expect("an echo") == data,
            "{clock:?}"
        );
    }
}

#[test]
fn a_runtime_with_many_threads_serves_many_tasks_in_real_time() {
    let network = Network::real_time(lab(Cable::new()));
    let (a, b) = nodes(&network);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(&b, "0.0.0.0:7").await.expect("bound");
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let clients = (0..50u8).map(|n| {
            let a = a.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&a, "b:7").await?;
                let data = vec![n; 20_000];
                stream.write_all(&data).await?;
                let mut back = vec![0; data.len()];
                stream.read_exact(&mut back).await?;
                Ok::<_, io::Error>(back == data)
            })
        });
        for client in clients.collect::<Vec<_>>() {
            assert!(client.await.expect("no panic").expect("an echo"));
        }
    });
}

#[test]
fn virtual_time_is_exact_to_the_nanosecond() {
    let network = Network::virtual_time(lab(Cable::new().delay("1234567ns")));
    let (a, b) = nodes(&network);
    let arrived = network.block_on(async {
        let receiver = UdpSocket::bind(&b, "b:9").await?;
        let sender = UdpSocket::bind(&a, "a:0").await?;
        sender.send_to(b"first", "b:9").await?; // ARP goes before it, and comes back
        receiver.recv_from(&mut [0; 9]).await?;
        sleep(Duration::from_millis(50)).await;
        let start = Instant::now();
        sender.send_to(b"second", "b:9").await?;
        receiver.recv_from(&mut [0; 9]).await?;
        Ok::<_, io::Error>(start.elapsed())
    });
    let arrived = arrived.expect("a runtime").expect("datagrams");
    assert_eq!(arrived, Duration::from_nanos(1_234_567));
}

#[test]
fn timers_of_tokio_and_packets_come_in_the_order_of_their_times() {
    let network = Network::virtual_time(lab(Cable::new().delay("2500us")));
    let (a, b) = nodes(&network);
    let order = network.block_on(async {
        let receiver = Arc::new(UdpSocket::bind(&b, "b:9").await?);
        let sender = UdpSocket::bind(&a, "a:0").await?;
        sender.send_to(b"arp", "b:9").await?;
        receiver.recv_from(&mut [0; 9]).await?;
        sleep(20 * MS).await;
        // From here, aligned to a millisecond or not: 2.5 ms lie between 2 and 3.
        let start = Instant::now();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for after in [1, 2, 3, 4] {
            let tell = tell.clone();
            tokio::spawn(async move {
                sleep(after * MS).await;
                tell.send((format!("timer {after}"), start.elapsed()))
            });
        }
        sender.send_to(b"packet", "b:9").await?;
        tokio::spawn(async move {
            receiver.recv_from(&mut [0; 9]).await.expect("a datagram");
            tell.send(("packet".to_owned(), start.elapsed()))
        });
        let mut order = Vec::new();
        while let Some((what, when)) = told.recv().await {
            order.push((what, when));
        }
        Ok::<_, io::Error>(order)
    });
    let order = order.expect("a runtime").expect("datagrams");
    let names: Vec<&str> = order.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(
        names,
        ["timer 1", "timer 2", "packet", "timer 3", "timer 4"],
        "{order:?}"
    );
    assert_eq!(order[2].1, Duration::from_micros(2_500));
}

#[test]
fn a_timeout_of_a_minute_is_over_at_once_and_the_network_knows_the_time() {
    let network = Network::virtual_time(lab(Cable::new().delay("1ms")));
    let (a, b) = nodes(&network);
    let wall = std::time::Instant::now();
    let ended = network.block_on(async {
        let _deaf = TcpListener::bind(&b, "0.0.0.0:7").await?;
        let mut stream = TcpStream::connect(&a, "b:7").await?;
        let start = Instant::now();
        let answer = timeout(Duration::from_secs(60), stream.read(&mut [0; 9])).await;
        assert!(answer.is_err(), "nobody answers");
        stream.write_all(b"still here").await?;
        Ok::<_, io::Error>(start.elapsed())
    });
    let ended = ended.expect("a runtime").expect("a connection");
    assert!(
        ended >= Duration::from_secs(60) && ended < Duration::from_secs(61),
        "{ended:?}"
    );
    assert!(network.now().as_millis() >= 60_000);
    assert!(
        wall.elapsed() < Duration::from_secs(30),
        "virtual time waited for the wall"
    );
}

#[test]
fn when_nothing_is_left_to_happen_block_on_says_so() {
    let network = Network::virtual_time(lab(Cable::new()));
    let (_, b) = nodes(&network);
    let error = network.block_on(async {
        let listener = TcpListener::bind(&b, "0.0.0.0:7").await.expect("bound");
        listener.accept().await.map(|_| ())
    });
    let error = error.expect_err("nobody connects");
    assert_eq!(error.kind(), io::ErrorKind::Deadlock);
    assert!(run_is_over(&error), "{error}");
}

#[test]
fn a_stopped_network_ends_what_waits() {
    let network = Network::real_time(lab(Cable::new()));
    let (_, b) = nodes(&network);
    let ended = network.block_on(async {
        let listener = TcpListener::bind(&b, "0.0.0.0:7").await.expect("bound");
        let waiting = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
        tokio::task::yield_now().await;
        network.stop();
        waiting.await.expect("no panic")
    });
    let error = ended.expect("a runtime").expect_err("it was stopped");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

fn transfer(seed: u64) -> (EventHash, Vec<u8>) {
    let lab = Lab::builder()
        .seed(seed)
        .event_hash(true)
        .host("a", "10.0.0.1/24")
        .host("b", "10.0.0.2/24")
        .link("a", "b", Cable::new().delay("5ms").jitter("1ms").loss("3%"));
    let network = Network::virtual_time(lab.build().expect("a lab"));
    let back = network.block_on(echo_of(&network, pattern(100_000)));
    let back = back.expect("a runtime").expect("an echo");
    (network.stop().event_hash.expect("a hash"), back)
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    assert_eq!(transfer(1), transfer(1));
    assert_ne!(transfer(1).0, transfer(2).0);
}

/// A runtime that we did not build: packets are seen at the next full millisecond.
#[tokio::test(start_paused = true)]
async fn under_a_paused_clock_of_tokio_time_is_right_to_a_millisecond() {
    let network = Network::virtual_time(lab(Cable::new().delay("20300us")));
    let (a, b) = nodes(&network);
    let receiver = UdpSocket::bind(&b, "b:9").await.expect("bound");
    let sender = UdpSocket::bind(&a, "a:0").await.expect("bound");
    sender.send_to(b"arp", "b:9").await.expect("sent");
    receiver.recv_from(&mut [0; 9]).await.expect("received");
    let start = Instant::now();
    sender.send_to(b"packet", "b:9").await.expect("sent");
    receiver.recv_from(&mut [0; 9]).await.expect("received");
    let took = start.elapsed();
    assert!(
        took >= Duration::from_micros(20_300) && took <= 22 * MS,
        "{took:?}"
    );
    let data = pattern(50_000);
    assert!(echo_of(&network, data.clone()).await.expect("an echo") == data);
    let nobody = timeout(Duration::from_secs(3_600), receiver.recv_from(&mut [0; 9])).await;
    assert!(nobody.is_err());
}

#[test]
fn a_dropped_future_loses_nothing() {
    let network = Network::virtual_time(lab(Cable::new().delay("10ms")));
    let (a, b) = nodes(&network);
    let (heard, from): (Vec<u8>, SocketAddr) = network
        .block_on(async {
            let receiver = UdpSocket::bind(&b, "b:9").await?;
            let sender = UdpSocket::bind(&a, "a:5000").await?;
            let early = timeout(5 * MS, receiver.recv_from(&mut [0; 9])).await;
            assert!(early.is_err(), "nothing was sent");
            sender.send_to(b"later", "b:9").await?;
            let early = timeout(5 * MS, receiver.recv_from(&mut [0; 9])).await;
            assert!(early.is_err(), "it is still on its way");
            let mut buf = [0; 9];
            let (len, from) = receiver.recv_from(&mut buf).await?;
            Ok::<_, io::Error>((buf[..len].to_vec(), from))
        })
        .expect("a runtime")
        .expect("a datagram");
    assert_eq!(
        (heard.as_slice(), from.to_string().as_str()),
        (&b"later"[..], "10.0.0.1:5000")
    );
}

#[test]
fn tasks_that_share_a_socket_get_a_datagram_each() {
    let network = Network::virtual_time(lab(Cable::new().delay("1ms")));
    let (a, b) = nodes(&network);
    let heard = network.block_on(async {
        let receiver = Arc::new(UdpSocket::bind(&b, "b:9").await?);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let receiver = receiver.clone();
                tokio::spawn(async move {
                    let mut buf = [0; 9];
                    receiver.recv_from(&mut buf).await.map(|_| buf[0])
                })
            })
            .collect();
        let sender = UdpSocket::bind(&a, "a:0").await?;
        sender.connect("b:9").await?;
        for n in [1, 2, 3] {
            sender.send(&[n]).await?;
        }
        let mut heard = Vec::new();
        for task in tasks {
            heard.push(task.await.expect("no panic")?);
        }
        heard.sort_unstable();
        Ok::<_, io::Error>(heard)
    });
    assert_eq!(heard.expect("a runtime").expect("datagrams"), [1, 2, 3]);
}

#[test]
fn a_task_hears_the_group_that_its_socket_has_joined() {
    let lab = Lab::builder()
        .host("a", "10.0.0.1/24")
        .gateway("a", "10.0.0.2")
        .host("b", "10.0.0.2/24")
        .link("a", "b", Cable::new().delay("1ms"));
    let network = Network::virtual_time(lab.build().expect("a lab"));
    let (a, b) = nodes(&network);
    let outcome = network.block_on(async {
        let (own, group) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(239, 1, 2, 3));
        let member = UdpSocket::bind(&b, "0.0.0.0:9").await?;
        member.join_multicast_v4(group, own)?;
        let sender = UdpSocket::bind(&a, "a:0").await?;
        let mut buf = [0; 9];
        sender.send_to(b"joined", "239.1.2.3:9").await?;
        let (joined, _) = member.recv_from(&mut buf).await?;
        member.leave_multicast_v4(group, own)?;
        let twice = member.leave_multicast_v4(group, own);
        sender.send_to(b"left", "239.1.2.3:9").await?;
        sender.send_to(b"to b", "10.0.0.2:9").await?;
        let (plain, _) = member.recv_from(&mut buf).await?;
        let twice = twice.expect_err("left already").raw_os_error();
        Ok::<_, io::Error>((joined, buf[..plain].to_vec(), twice))
    });
    const EADDRNOTAVAIL: Option<i32> = Some(99);
    let outcome = outcome.expect("a runtime").expect("datagrams");
    assert_eq!(outcome, (6, b"to b".to_vec(), EADDRNOTAVAIL));
}

#[test]
fn a_refused_connection_and_an_end_are_told() {
    let network = Network::virtual_time(lab(Cable::new().delay("1ms")));
    let (a, b) = nodes(&network);
    let outcome = network.block_on(async {
        let refused = TcpStream::connect(&a, "b:7")
            .await
            .expect_err("nobody listens");
        let listener = TcpListener::bind(&b, "0.0.0.0:7").await?;
        let stream = TcpStream::connect(&a, "b:7").await?;
        let (mut accepted, peer) = listener.accept().await?;
        assert_eq!(peer, stream.local_addr()?);
        let (read, write) = stream.into_split();
        drop(write);
        let end = accepted.read(&mut [0; 9]).await?;
        accepted.write_all(b"bye").await?;
        drop(read);
        Ok::<_, io::Error>((refused.kind(), end))
    });
    let outcome = outcome.expect("a runtime").expect("sockets");
    assert_eq!(outcome, (io::ErrorKind::ConnectionRefused, 0));
}
