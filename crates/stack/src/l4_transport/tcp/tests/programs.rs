//! Programs that do anything at any time, on a wire that does the same: nothing panics, nothing is left behind, what is read
//! is a prefix of what was sent.
use alloc::vec::Vec;

use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

use super::pair::{Faults, Pair, pattern};
use super::*;

#[derive(Clone, Copy, Debug)]
enum Verb {
    Send(u16),
    SendBytes(u16),
    Recv(u16),
    ShutdownWrite,
    ShutdownRead,
    Close,
    Abort,
    Options {
        cork: bool,
        nodelay: bool,
        keepalive: bool,
        buffer: u16,
    },
    Wait(u16),
    Silence(bool),
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        8 => any::<u16>().prop_map(Verb::Send),
        2 => any::<u16>().prop_map(Verb::SendBytes),
        8 => any::<u16>().prop_map(Verb::Recv),
        1 => proptest::strategy::Just(Verb::ShutdownWrite),
        1 => proptest::strategy::Just(Verb::ShutdownRead),
        1 => proptest::strategy::Just(Verb::Close),
        1 => proptest::strategy::Just(Verb::Abort),
        2 => (any::<[bool; 3]>(), any::<u16>()).prop_map(|([cork, nodelay, keepalive], buffer)| Verb::Options { cork, nodelay, keepalive, buffer }),
        8 => (0u16..2000).prop_map(Verb::Wait),
        1 => any::<bool>().prop_map(Verb::Silence),
    ]
}

struct Side {
    id: Option<ConnId>,
    sent: usize,
    got: Vec<u8>,
}

fn act(host: &mut Host, side: &mut Side, verb: Verb, data: &[u8]) {
    let Some(id) = side.id else {
        return;
    };
    match verb {
        Verb::Send(n) => {
            let end = (side.sent + usize::from(n)).min(data.len());
            if let Ok(n) = host.with(|t, cx| t.send(id, &data[side.sent..end], cx)) {
                side.sent += n;
            }
        }
        Verb::SendBytes(n) => {
            let end = (side.sent + usize::from(n)).min(data.len());
            let bytes = Bytes::copy_from_slice(&data[side.sent..end]);
            if host.with(|t, cx| t.send_bytes(id, bytes, cx)).is_ok() {
                side.sent = end;
            }
        }
        Verb::Recv(n) => {
            if let Ok(bytes) = host.with(|t, cx| t.recv_bytes(id, usize::from(n), cx)) {
                side.got.extend_from_slice(&bytes);
            }
        }
        Verb::ShutdownWrite => drop(host.with(|t, cx| t.shutdown_write(id, cx))),
        Verb::ShutdownRead => drop(host.with(|t, cx| t.shutdown_read(id, cx))),
        Verb::Close | Verb::Abort => {
            side.id = None;
            host.with(|t, cx| match verb {
                Verb::Close => t.close(id, cx),
                _ => t.abort(id, cx),
            });
        }
        Verb::Options {
            cork,
            nodelay,
            keepalive,
            buffer,
        } => {
            let mut options = *host.tcp.options(id).unwrap();
            options.cork = cork;
            options.nodelay = nodelay;
            options.keepalive = keepalive;
            options.keepidle = ms(500);
            options.keepintvl = ms(100);
            options.rcvbuf = u32::from(buffer);
            options.sndbuf = u32::from(buffer);
            host.with(|t, cx| t.set_options(id, options, cx));
        }
        Verb::Wait(_) | Verb::Silence(_) => {}
    }
    while host.tcp.poll_ready().is_some() {}
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, ..Default::default() })]
    #[test]
    fn anything_goes(
        seed in any::<u8>(),
        loss in 0u64..300,
        verbs in proptest::collection::vec((any::<bool>(), verb()), 1..80),
    ) {
        let faults = Faults { loss, duplicate: 30, reorder: 100, delay: ms(5) };
        let config = Config { retries2: 6, syn_retries: 6, synack_retries: 6, memory: 200_000, ..Config::default() };
        let mut pair = Pair::new(config, faults, seed);
        let listener = pair.b.listen(80, 4, Options::default());
        let mut a = Side { id: Some(pair.a.connect(5000, at(B, 80), Options::default())), sent: 0, got: Vec::new() };
        let mut b = Side { id: None, sent: 0, got: Vec::new() };
        let data = (pattern(500_000, 1), pattern(500_000, 2));
        for (at_a, verb) in verbs {
            if b.id.is_none() && b.sent == 0 {
                b.id = pair.b.tcp.accept(listener, Owner(2)).ok().map(|(id, _)| id);
            }
            match verb {
                Verb::Wait(n) => pair.run(ms(u64::from(n))),
                Verb::Silence(silent) => pair.faults.loss = if silent { 1000 } else { loss },
                _ if at_a => act(&mut pair.a, &mut a, verb, &data.0),
                _ => act(&mut pair.b, &mut b, verb, &data.1),
            }
            pair.drain();
        }
        for (host, side) in [(&mut pair.a, &mut a), (&mut pair.b, &mut b)] {
            act(host, side, Verb::Close, &[]);
        }
        pair.b.with(|t, cx| t.close_listener(listener, cx));
        pair.run(Duration::from_secs(2000));
        prop_assert!(data.0.starts_with(&b.got), "B read what A did not send");
        prop_assert!(data.1.starts_with(&a.got), "A read what B did not send");
        for host in [&pair.a, &pair.b] {
            prop_assert!(host.tcp.all().is_empty(), "{:?}", host.tcp.all());
            prop_assert!(host.tcp.conns.is_empty());
            prop_assert!(host.tcp.memory == 0);
            prop_assert!(host.tcp.poll_at().is_none());
            prop_assert!(!host.tcp.wants_transmit(PORT));
        }
    }
}
