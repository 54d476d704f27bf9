//! Any verbs in any order, on any sockets, over any cable: nothing panics, and when all is closed nothing is left.
use std::time::Duration;

use heptad_stack::stack::SocketOption;
use heptad_stack::{Shutdown, SocketId, SocketKind};
use proptest::prelude::*;

use crate::rig::over_both_families;
use crate::rig::*;

over_both_families! {}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Stream,
    Datagram,
    Bind { port: u8, any: bool },
    Listen(u8),
    Connect { port: u8, own: bool },
    Disconnect,
    Accept,
    Unaccept,
    Send(u16),
    SendTo { port: u8, len: u16 },
    Recv(u16),
    RecvBytes(u16),
    Shutdown(u8),
    Close,
    Reuse(bool),
    Linger,
    TakeError,
    Wait(u16),
    Faults(u8),
}

/// Mostly where the servers are.
fn port() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(1u8), 1 => 0u8..4]
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        2 => Just(Verb::Stream),
        1 => Just(Verb::Datagram),
        4 => (0u8..4, any::<bool>()).prop_map(|(port, any)| Verb::Bind { port, any }),
        3 => (0u8..4).prop_map(Verb::Listen),
        9 => (port(), any::<bool>()).prop_map(|(port, own)| Verb::Connect { port, own }),
        1 => Just(Verb::Disconnect),
        4 => Just(Verb::Accept),
        1 => Just(Verb::Unaccept),
        6 => (0u16..5_000).prop_map(Verb::Send),
        3 => (port(), 0u16..5_000).prop_map(|(port, len)| Verb::SendTo { port, len }),
        6 => (0u16..5_000).prop_map(Verb::Recv),
        2 => (0u16..5_000).prop_map(Verb::RecvBytes),
        2 => (0u8..3).prop_map(Verb::Shutdown),
        2 => Just(Verb::Close),
        1 => any::<bool>().prop_map(Verb::Reuse),
        1 => Just(Verb::Linger),
        1 => Just(Verb::TakeError),
        9 => (0u16..3_000).prop_map(Verb::Wait),
        1 => any::<u8>().prop_map(Verb::Faults),
    ]
}

/// What a program holds at a host.
struct Held {
    sockets: Vec<SocketId>,
    /// The last accepted one and its listener.
    accepted: Option<(SocketId, SocketId)>,
}

impl Held {
    /// A server, a client and a datagram socket to begin with, so that most stories become one.
    fn new(world: &mut World, host: usize) -> Self {
        let sockets = vec![
            world.listener(host, 80),
            world.stream(host),
            world.datagram(host),
        ];
        Self {
            sockets,
            accepted: None,
        }
    }
}

fn address(host: usize, port: u8) -> String {
    let port = if port == 0 { 0 } else { 79 + u16::from(port) };
    format!("10.0.0.{}:{port}", host + 1)
}

/// Errors are answers too; what matters is that the hosts stay whole.
fn act(world: &mut World, host: usize, held: &mut Held, which: usize, verb: Verb) {
    let Some(s) = held.sockets.get(which % held.sockets.len().max(1)).copied() else {
        held.sockets.push(world.stream(host));
        return;
    };
    world.with(host, |stack, cx| {
        let mut out = [0; 5_000];
        match verb {
            Verb::Stream | Verb::Datagram if held.sockets.len() < 12 => {
                let kind = if matches!(verb, Verb::Stream) {
                    SocketKind::Stream
                } else {
                    SocketKind::Datagram
                };
                held.sockets
                    .push(stack.socket(ip("0.0.0.0"), kind).unwrap());
            }
            Verb::Bind { port, any } => {
                let mut local = addr(&address(host, port));
                if any {
                    local.set_ip(ip("0.0.0.0"));
                }
                let _ = stack.bind(s, local, cx);
            }
            Verb::Listen(backlog) => drop(stack.listen(s, backlog.into(), cx)),
            Verb::Connect { port, own } => {
                let to = if own { host } else { 1 - host };
                let _ = stack.connect(s, addr(&address(to, port)), cx);
            }
            Verb::Disconnect => drop(stack.disconnect(s, cx)),
            Verb::Accept => {
                if let Ok((new, _)) = stack.accept(s, cx) {
                    held.sockets.push(new);
                    held.accepted = Some((s, new));
                }
            }
            Verb::Unaccept => {
                if let Some((listener, new)) = held.accepted.take()
                    && held.sockets.contains(&new)
                {
                    stack.unaccept(listener, new, cx);
                    held.sockets.retain(|s| *s != new);
                }
            }
            Verb::Send(len) => drop(stack.send(s, &out[..len.into()], cx)),
            Verb::SendTo { port, len } => {
                let to = addr(&address(1 - host, port));
                let _ = stack.send_to(s, &out[..len.into()], to, cx);
            }
            Verb::Recv(len) => drop(stack.recv(s, &mut out[..len.into()], cx)),
            Verb::RecvBytes(len) => drop(stack.recv_bytes(s, len.into(), cx)),
            Verb::Shutdown(how) => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][usize::from(how)];
                let _ = stack.shutdown(s, how, cx);
            }
            Verb::Close => {
                stack.close(s, cx);
                held.sockets.retain(|other| *other != s);
            }
            Verb::Reuse(on) => drop(stack.set(s, SocketOption::ReuseAddress(on), cx)),
            Verb::Linger => drop(stack.set(s, SocketOption::Linger(Some(Duration::ZERO)), cx)),
            Verb::TakeError => drop(stack.take_error(s)),
            _ => {}
        }
        let _ = (stack.rows(), stack.ready(s), stack.tcp_status(s));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_verbs_leave_two_whole_hosts(
        steps in proptest::collection::vec((0usize..2, 0usize..12, verb()), 1..150)
    ) {
        let mut world = World::pair();
        let mut held = [ALICE, BOB].map(|host| Held::new(&mut world, host));
        for (host, which, verb) in steps {
            match verb {
                Verb::Wait(ms) => world.run_for(u32::from(ms) * MS),
                Verb::Faults(n) => world.impair(Faults {
                    loss: u64::from(n) * 2,
                    duplicate: 100,
                    corrupt: 20,
                    late: 100,
                }),
                _ => act(&mut world, host, &mut held[host], which, verb),
            }
            for (host, held) in held.iter().enumerate() {
                let ready = std::iter::from_fn(|| world.hosts[host].stack.poll_ready());
                let told: Vec<_> = ready.take(1_000).map(|(s, _)| s).collect();
                prop_assert!(told.len() < 1_000, "readiness without end");
                prop_assert!(told.iter().all(|s| held.sockets.contains(s)), "a stranger is ready");
            }
        }
        for (host, held) in held.iter().enumerate() {
            for s in &held.sockets {
                world.close(host, *s);
            }
        }
        // The longest that an orphan lives: retries while the cable is bad, then TIME-WAIT.
        world.impair(Faults::default());
        world.run_for(3_600_000 * MS);
        for host in [ALICE, BOB] {
            prop_assert_eq!(world.hosts[host].stack.rows(), vec![]);
            for port in 1..4 {
                let (s, d) = (world.stream(host), world.datagram(host));
                prop_assert_eq!(world.bind(host, s, &address(host, port)), Ok(()));
                prop_assert_eq!(world.bind(host, d, &address(host, port)), Ok(()));
            }
        }
    }
}
