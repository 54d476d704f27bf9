//! UDP through the blocking sockets, as programs use `std::net`; the middle one of three hosts has two ports.
mod rig;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use heptad_runtime::lab::{Cable, Lab};
use heptad_runtime::stack::Instant;
use heptad_runtime::stack::time::Duration;
use heptad_runtime::{Clock, Network, NetworkOptions, Node, UdpSocket};
use rig::{Pair, delay, pair};

const CLOCKS: [Clock; 2] = [Clock::Virtual, Clock::Real];
/// Linux's numbers (asm-generic/errno.h).
const EDESTADDRREQ: Option<i32> = Some(89);
const EMSGSIZE: Option<i32> = Some(90);
const EADDRINUSE: Option<i32> = Some(98);

/// `left` (10.0.1.2) and `right` (10.0.2.2), each on a cable of its own to `middle` (10.0.1.1 and 10.0.2.1).
struct Middle {
    left: Node,
    middle: Node,
    right: Node,
}
fn middle(clock: Clock) -> Middle {
    let lab = Lab::builder()
        .host("left", "10.0.1.2/24")
        .gateway("left", "10.0.1.1")
        .host("middle", "10.0.1.1/24")
        .address("middle", "eth1", "10.0.2.1/24")
        .host("right", "10.0.2.2/24")
        .gateway("right", "10.0.2.1")
        .link("left:eth0", "middle:eth0", Cable::new().delay("1ms"))
        .link("middle:eth1", "right:eth0", Cable::new().delay("1ms"))
        .build()
        .expect("three hosts are a lab");
    let sinks = Vec::new();
    let network = Network::start(lab, NetworkOptions { clock, sinks });
    let node = |name| network.node(name).expect("a node of the three");
    Middle {
        left: node("left"),
        middle: node("middle"),
        right: node("right"),
    }
}

fn bound(node: &Node, local: &str) -> UdpSocket {
    UdpSocket::bind(node, local).expect("bind")
}
fn local(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("bound")
}
fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
/// The next datagram as text, and its sender.
fn heard(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buf = [0; 64];
    let (taken, from) = socket.recv_from(&mut buf).expect("a datagram");
    (String::from_utf8_lossy(&buf[..taken]).into(), from)
}
/// Asks a closed port, in virtual time until its refusal is there.
fn ask_nobody(pair: &Pair, socket: &UdpSocket) {
    socket.send_to(b"anyone?", "b:9").expect("sent");
    pair.network.sleep(Duration::from_millis(200));
}

#[test]
fn unconnected_sockets_tell_who_sent_and_answer_there() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let server = bound(&pair.b, "0.0.0.0:53");
        let serving = pair.network.spawn("server", move || {
            for _ in 0..2 {
                let (text, from) = heard(&server);
                let answer = format!("{text} {from}");
                server.send_to(answer.as_bytes(), from).expect("answered");
            }
        });
        for text in ["안녕", "hello"] {
            let client = bound(&pair.a, "0.0.0.0:0");
            assert_eq!(client.send_to(text.as_bytes(), "b:53").unwrap(), text.len());
            let port = local(&client).port();
            let answer = format!("{text} 10.0.0.1:{port}");
            assert_eq!(heard(&client), (answer, addr("10.0.0.2:53")));
            let unconnected = client.peer_addr().expect_err("no peer");
            assert_eq!(unconnected.kind(), io::ErrorKind::NotConnected);
        }
        serving.join().expect("no panic");
    }
}

#[test]
fn connected_sockets_send_and_receive_without_an_address() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let (client, server) = (bound(&pair.a, "0.0.0.0:5000"), bound(&pair.b, "b:53"));
        let error = client.send(b"x").expect_err("no peer yet");
        assert_eq!(error.raw_os_error(), EDESTADDRREQ);
        client.connect("b:53").expect("a peer");
        server.connect("10.0.0.1:5000").expect("a peer");
        assert_eq!(local(&client), addr("10.0.0.1:5000"));
        assert_eq!(client.peer_addr().expect("a peer"), addr("10.0.0.2:53"));
        assert_eq!(client.send(b"question").expect("sent"), 8);
        let mut buf = [0; 16];
        assert_eq!(server.recv(&mut buf).expect("the question"), 8);
        assert_eq!(&buf[..8], b"question");
        assert_eq!(server.send(b"answer").expect("sent"), 6);
        assert_eq!(heard(&client), ("answer".into(), addr("10.0.0.2:53")));
    }
}

#[test]
fn a_connected_socket_hears_its_peer_only_and_speaks_to_anybody() {
    let pair = pair(Clock::Virtual, delay(2));
    let client = bound(&pair.a, "0.0.0.0:5000");
    let (friend, stranger) = (bound(&pair.b, "b:1"), bound(&pair.b, "b:2"));
    stranger.send_to(b"early", "a:5000").expect("sent");
    pair.network.sleep(Duration::from_millis(100));
    client.connect("b:1").expect("a peer");
    stranger.send_to(b"late", "a:5000").expect("sent");
    friend.send_to(b"friend", "a:5000").expect("sent");
    let early = ("early".into(), local(&stranger));
    assert_eq!(
        heard(&client),
        early,
        "it was there before there was a peer"
    );
    assert_eq!(heard(&client), ("friend".into(), local(&friend)));
    client.send_to(b"aside", "b:2").expect("sent");
    assert_eq!(heard(&stranger), ("aside".into(), addr("10.0.0.1:5000")));
}

#[test]
fn a_host_with_two_ports_answers_from_the_side_that_asked() {
    for clock in CLOCKS {
        let Middle {
            left,
            middle,
            right,
        } = middle(clock);
        let server = bound(&middle, "0.0.0.0:53");
        for (node, us, asked) in [
            (&left, "10.0.1.2", "10.0.1.1:53"),
            (&right, "10.0.2.2", "10.0.2.1:53"),
        ] {
            let client = bound(node, "0.0.0.0:0");
            client.connect(addr(asked)).expect("a peer");
            client.send(b"who?").expect("sent");
            let (text, from) = heard(&server);
            assert_eq!(
                (text.as_str(), from.ip().to_string().as_str()),
                ("who?", us)
            );
            server.send_to(b"me", from).expect("answered");
            let answer = heard(&client);
            assert_eq!(answer, ("me".into(), addr(asked)));
        }
    }
}

#[test]
fn sockets_on_each_address_of_a_port_number_keep_their_own_traffic() {
    let Middle {
        left,
        middle,
        right,
    } = middle(Clock::Virtual);
    let near_left = bound(&middle, "10.0.1.1:53");
    let near_right = bound(&middle, "10.0.2.1:53");
    let taken = UdpSocket::bind(&middle, "10.0.1.1:53").expect_err("it is in use");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    let (at_left, at_right) = (bound(&left, "left:7"), bound(&right, "right:7"));
    at_left.send_to(b"l", "10.0.1.1:53").expect("sent");
    at_right.send_to(b"r", "10.0.2.1:53").expect("sent");
    assert_eq!(heard(&near_left), ("l".into(), addr("10.0.1.2:7")));
    assert_eq!(heard(&near_right), ("r".into(), addr("10.0.2.2:7")));
    near_left.send_to(b"across", "right:7").expect("sent");
    let across = ("across".into(), addr("10.0.1.1:53"));
    assert_eq!(heard(&at_right), across, "the address that bind chose");
    let foreign = UdpSocket::bind(&left, "10.0.2.1:53").expect_err("not ours");
    assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
}

#[test]
fn the_first_connect_chooses_the_source_and_it_stays() {
    let Middle {
        left,
        middle,
        right,
    } = middle(Clock::Virtual);
    let (at_left, at_right) = (bound(&left, "left:7"), bound(&right, "right:7"));
    let socket = bound(&middle, "0.0.0.0:5000");
    socket.send_to(b"1", "right:7").expect("sent");
    assert_eq!(heard(&at_right), ("1".into(), addr("10.0.2.1:5000")));
    socket.connect("left:7").expect("a peer");
    assert_eq!(local(&socket), addr("10.0.1.1:5000"));
    socket.send(b"2").expect("sent");
    assert_eq!(heard(&at_left), ("2".into(), addr("10.0.1.1:5000")));
    socket.send_to(b"3", "right:7").expect("sent");
    assert_eq!(heard(&at_right), ("3".into(), addr("10.0.1.1:5000")));
    socket.connect("right:7").expect("another peer");
    assert_eq!(local(&socket), addr("10.0.1.1:5000"));
    socket.send(b"4").expect("sent");
    assert_eq!(heard(&at_right), ("4".into(), addr("10.0.1.1:5000")));
}

#[test]
fn looking_at_a_datagram_leaves_it_there() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let (client, server) = (bound(&pair.a, "a:7"), bound(&pair.b, "b:53"));
        client.send_to(b"first", "b:53").expect("sent");
        client.send_to(b"second", "b:53").expect("sent");
        let mut buf = [0; 3];
        for _ in 0..2 {
            assert_eq!(server.peek(&mut buf).expect("a datagram"), 3);
            let seen = server.peek_from(&mut buf).expect("a datagram");
            assert_eq!((seen, &buf), ((3, addr("10.0.0.1:7")), b"fir"));
        }
        assert_eq!(server.recv(&mut buf).expect("a datagram"), 3);
        assert_eq!(heard(&server).0, "second", "the rest of the first is lost");
    }
}

#[test]
fn lengths_from_nothing_to_the_greatest_arrive_whole() {
    let pair = pair(Clock::Virtual, delay(2));
    let (client, server) = (bound(&pair.a, "a:7"), bound(&pair.b, "b:53"));
    client.connect("b:53").expect("a peer");
    let mut buf = vec![0; 70_000];
    for len in [0, 1, 1_472, 1_473, 65_507] {
        let data: Vec<u8> = (0..len).map(|n| n as u8).collect();
        assert_eq!(client.send(&data).expect("sent"), len);
        let (taken, from) = server.recv_from(&mut buf).expect("a datagram");
        assert!(buf[..taken] == data, "{len} bytes came as {taken}");
        assert_eq!(from, addr("10.0.0.1:7"));
    }
    let longer = client.send(&buf[..65_508]).expect_err("too long");
    assert_eq!(longer.raw_os_error(), EMSGSIZE);
}

#[test]
fn every_verb_that_receives_keeps_to_the_timeout() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(1));
        let timeout = Duration::from_millis(30);
        let socket = bound(&pair.a, "a:7");
        assert_eq!(socket.read_timeout().expect("none"), None);
        socket.set_read_timeout(Some(timeout)).expect("a timeout");
        let clone = socket.try_clone().expect("clone");
        assert_eq!(clone.read_timeout().expect("shared"), Some(timeout));
        let verbs: [(&str, &mut dyn FnMut() -> io::Result<usize>); 4] = [
            ("recv", &mut || socket.recv(&mut [0; 8])),
            ("recv_from", &mut || Ok(clone.recv_from(&mut [0; 8])?.0)),
            ("peek", &mut || socket.peek(&mut [0; 8])),
            ("peek_from", &mut || Ok(clone.peek_from(&mut [0; 8])?.0)),
        ];
        for (name, verb) in verbs {
            let before = pair.network.now();
            let error = verb().expect_err("nothing comes");
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{name}");
            let took = pair.network.now().since(before);
            assert!(took >= timeout, "{name} took {took:?}");
            if clock == Clock::Virtual {
                assert_eq!(took, timeout, "{name}");
            }
        }
    }
}

#[test]
fn a_datagram_just_before_the_timeout_is_in_time() {
    let pair = pair(Clock::Virtual, delay(10));
    let (client, server) = (bound(&pair.a, "a:7"), bound(&pair.b, "b:53"));
    // The question for the address there and back, then the datagram: 30 ms.
    for (millis, is_heard) in [(29, false), (1, true)] {
        if !is_heard {
            client.send_to(b"x", "b:53").expect("sent");
        }
        let timeout = Duration::from_millis(millis);
        server.set_read_timeout(Some(timeout)).expect("a timeout");
        assert_eq!(server.recv(&mut [0; 8]).is_ok(), is_heard, "{millis} ms");
    }
    assert_eq!(
        pair.network.now(),
        Instant::ZERO + Duration::from_millis(30)
    );
}

#[test]
fn a_closed_port_refuses_a_connected_socket_and_not_another() {
    let pair = pair(Clock::Virtual, delay(1));
    let socket = bound(&pair.a, "a:7");
    ask_nobody(&pair, &socket);
    let quiet = socket.take_error().expect("a socket");
    assert!(quiet.is_none(), "an unconnected socket is not told");
    socket.connect("b:9").expect("a peer");
    ask_nobody(&pair, &socket);
    let refused = socket.recv(&mut [0; 1]).expect_err("refused");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    ask_nobody(&pair, &socket);
    let refused = socket.send(b"again").expect_err("refused");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    ask_nobody(&pair, &socket);
    let pending = socket.take_error().expect("a socket").expect("an error");
    assert_eq!(pending.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_refusal_wakes_one_who_waits_for_an_answer() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(5));
        let socket = bound(&pair.a, "a:7");
        socket.connect("b:9").expect("a peer");
        socket.send(b"anyone?").expect("sent");
        let refused = socket.recv(&mut [0; 1]).expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn two_threads_share_a_socket_and_no_datagram_is_missed() {
    for clock in CLOCKS {
        let pair = pair(clock, delay(1));
        let server = bound(&pair.b, "b:53");
        let readers: Vec<_> = ["one", "two"]
            .into_iter()
            .map(|name| {
                let socket = server.try_clone().expect("clone");
                pair.network.spawn(name, move || {
                    let texts = std::iter::from_fn(|| Some(heard(&socket).0));
                    texts.take_while(|text| text != "end").collect()
                })
            })
            .collect();
        let client = bound(&pair.a, "a:7");
        client.connect("b:53").expect("a peer");
        let sent: Vec<String> = (10..60).map(|number| number.to_string()).collect();
        for text in sent.iter().map(String::as_str).chain(["end", "end"]) {
            client.send(text.as_bytes()).expect("sent");
        }
        let joined = readers.into_iter().map(|reader| reader.join());
        let lists: Vec<Vec<String>> = joined.collect::<Result<_, _>>().expect("no panic");
        let mut all = lists.concat();
        all.sort();
        assert_eq!(all, sent);
    }
}

#[test]
fn the_address_is_free_again_when_the_last_clone_is_gone() {
    let pair = pair(Clock::Virtual, delay(1));
    let socket = bound(&pair.b, "b:53");
    let clone = socket.try_clone().expect("clone");
    drop(socket);
    let taken = UdpSocket::bind(&pair.b, "b:53").expect_err("a clone has it");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    drop(clone);
    bound(&pair.b, "b:53");
}

#[test]
fn members_of_a_group_hear_it_and_others_do_not() {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    for clock in CLOCKS {
        let pair = pair(clock, delay(2));
        let (sender, member) = (bound(&pair.a, "a:5000"), bound(&pair.b, "0.0.0.0:9"));
        sender.set_multicast_if_v4(&a).expect("a port of a");
        sender.set_multicast_ttl_v4(3).expect("a TTL");
        assert_eq!(sender.multicast_ttl_v4().expect("a TTL"), 3);
        member.join_multicast_v4(&group, &b).expect("joined");
        let again = member.join_multicast_v4(&group, &b).expect_err("joined");
        assert_eq!(again.raw_os_error(), EADDRINUSE);
        sender.send_to(b"all", "239.1.2.3:9").expect("sent");
        assert_eq!(heard(&member), ("all".into(), addr("10.0.0.1:5000")));

        // By source: only a's, then nobody's.
        member.leave_multicast_v4(&group, &b).expect("left");
        let stranger = Ipv4Addr::new(10, 0, 0, 77);
        member.join_ssm_v4(&stranger, &group, &b).expect("joined");
        sender.send_to(b"not for it", "239.1.2.3:9").expect("sent");
        sender.send_to(b"plain", "10.0.0.2:9").expect("sent");
        assert_eq!(heard(&member).0, "plain");
        member.join_ssm_v4(&a, &group, &b).expect("joined");
        sender.send_to(b"for it", "239.1.2.3:9").expect("sent");
        assert_eq!(heard(&member).0, "for it");
        member.leave_ssm_v4(&a, &group, &b).expect("left");
        sender.send_to(b"nor this", "239.1.2.3:9").expect("sent");
        sender.send_to(b"the end", "10.0.0.2:9").expect("sent");
        assert_eq!(heard(&member).0, "the end");
    }
}

#[test]
fn what_a_socket_says_to_a_group_of_its_own_comes_back_if_it_wants_that() {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let own = Ipv4Addr::new(10, 0, 0, 1);
    let pair = pair(Clock::Virtual, delay(2));
    let socket = bound(&pair.a, "0.0.0.0:9");
    socket.set_multicast_if_v4(&own).expect("a port of a");
    socket.join_multicast_v4(&group, &own).expect("joined");
    assert!(socket.multicast_loop_v4().expect("an option"));
    socket.send_to(b"heard", "239.1.2.3:9").expect("sent");
    assert_eq!(heard(&socket).0, "heard");
    socket.set_multicast_loop_v4(false).expect("an option");
    socket.send_to(b"not heard", "239.1.2.3:9").expect("sent");
    socket.send_to(b"the end", "10.0.0.1:9").expect("sent");
    assert_eq!(heard(&socket).0, "the end");
}
