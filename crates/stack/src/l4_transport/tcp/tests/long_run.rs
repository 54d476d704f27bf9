//! Thousands of connections, opened, used and closed at random over a bad wire: what must always hold is looked at after each
//! event, and nothing may be left at the end.
use alloc::vec::Vec;

use super::pair::{Faults, Pair};
use super::*;
use crate::l4_transport::tcp::recovery::Phase;
use crate::l4_transport::tcp::tcb::Tcb;

const CONNECTIONS: u16 = 10_000;
const AT_ONCE: usize = 40;
/// Most bytes that a program sends.
const MOST: u64 = 12_000;

/// A program at one end of a connection.
struct Program {
    at_a: bool,
    id: ConnId,
    to_send: usize,
    /// It resets the connection in the end instead of closing it.
    aborts: bool,
    /// It reads until the peer's end before it closes.
    patient: bool,
    half_closed: bool,
    /// How often it may still act: a peer whose only RST was lost is waited for in vain.
    turns: u32,
}

impl Program {
    fn new(at_a: bool, id: ConnId, chance: &mut Rng) -> Self {
        Self {
            at_a,
            id,
            to_send: chance.below(MOST) as usize,
            aborts: chance.below(10) == 0,
            patient: chance.below(2) == 0,
            half_closed: false,
            turns: 10_000,
        }
    }
    /// Does something or nothing; `false` when it is gone.
    fn act(&mut self, host: &mut Host, chance: &mut Rng) -> bool {
        let id = self.id;
        self.turns -= 1;
        if self.turns == 0 {
            return self.leave(host);
        }
        let mut buffer = [0; 3000];
        match chance.below(6) {
            0 | 1 if self.to_send > 0 => {
                let text = &buffer[..self.to_send.min(buffer.len())];
                match host.with(|tcp, cx| tcp.send(id, text, cx)) {
                    Ok(sent) => self.to_send -= sent,
                    Err(SocketError::WouldBlock) => {}
                    Err(_) => return self.leave(host),
                }
                true
            }
            2 | 3 => match host.with(|tcp, cx| tcp.recv(id, &mut buffer, false, cx)) {
                Ok(0) if self.to_send == 0 => self.leave(host),
                Ok(_) | Err(SocketError::WouldBlock) => true,
                Err(_) => self.leave(host),
            },
            4 if self.to_send == 0 && !self.half_closed && self.patient => {
                self.half_closed = true;
                let done = host.with(|tcp, cx| tcp.shutdown_write(id, cx));
                done.is_ok() || self.leave(host)
            }
            5 if self.to_send == 0 && !self.patient => self.leave(host),
            _ => true,
        }
    }
    fn leave(&self, host: &mut Host) -> bool {
        let (id, aborts) = (self.id, self.aborts);
        host.with(|tcp, cx| match aborts {
            true => tcp.abort(id, cx),
            false => tcp.close(id, cx),
        });
        false
    }
}

/// What must hold for a host whenever nothing is being done.
fn check(host: &Host) {
    let mut charged = 0;
    for (_, conn) in &host.tcp.conns {
        if let Conn::Open(tcb) = conn {
            check_connection(tcb);
            charged += tcb.charged as usize;
        }
    }
    assert_eq!(host.tcp.memory, charged, "the account is the sum of all");
}
fn check_connection(tcb: &Tcb) {
    if !tcb.ep.state.is_synchronised() {
        return;
    }
    let (snd, flight) = (&tcb.snd, &tcb.flight);
    let story = || {
        alloc::format!(
            "{:?} {snd:?} {flight:?} {:?} {:?} {:?}",
            tcb.ep.state,
            tcb.window,
            tcb.recovery,
            tcb.timers
        )
    };
    assert!(snd.nxt.at_or_after(snd.una), "{}", story());
    assert_eq!(flight.outstanding(), snd.nxt.since(snd.una), "{}", story());
    let records: u32 = flight.iter().map(|record| record.len).sum();
    assert_eq!(records, flight.outstanding(), "{}", story());
    // While it is reduced it may be the little that is under way.
    let is_reduced = tcb.recovery.phase == Phase::Fast;
    assert!(
        is_reduced || tcb.window.cwnd >= tcb.window.mss,
        "{}",
        story()
    );
    assert!(tcb.window.ssthresh >= 2 * tcb.window.mss, "{}", story());
    let timers = &tcb.timers;
    let waits_for_ack = timers.rto.is_some() || timers.probe_timeout.is_some();
    assert_eq!(
        waits_for_ack,
        !flight.is_empty(),
        "a timer while and only while something is out: {}",
        story()
    );
    let is_shut = snd.wnd == 0 && flight.is_empty() && tcb.unsent() > 0;
    assert!(
        !is_shut || timers.persist.is_some(),
        "a shut window is probed: {}",
        story()
    );
}

#[test]
fn ten_thousand_connections_come_and_go_and_nothing_is_left() {
    let faults = Faults {
        loss: 30,
        duplicate: 10,
        reorder: 50,
        delay: ms(10),
    };
    let mut pair = Pair::new(Config::default(), faults, 7);
    let mut chance = Rng::from_seed([9; 32]);
    let listener = pair.b.listen(80, 64, Options::default());
    let mut programs: Vec<Program> = Vec::new();
    let (mut opened, mut accepted, mut events) = (0, 0, 0u64);
    while opened < CONNECTIONS || !programs.is_empty() {
        if opened < CONNECTIONS && programs.len() < AT_ONCE {
            let id = pair.a.connect(1024 + opened, at(B, 80), Options::default());
            programs.push(Program::new(true, id, &mut chance));
            opened += 1;
        }
        while let Ok((id, _)) = pair.b.tcp.accept(listener, Owner(2)) {
            programs.push(Program::new(false, id, &mut chance));
            accepted += 1;
        }
        programs.retain_mut(|program| {
            let host = match program.at_a {
                true => &mut pair.a,
                false => &mut pair.b,
            };
            chance.below(4) > 0 || program.act(host, &mut chance)
        });
        pair.step(pair.now + Duration::from_millis(20));
        check(&pair.a);
        check(&pair.b);
        events += 1;
        assert!(events < 2_000_000, "{} never end", programs.len());
    }
    // The last FINs, TIME-WAIT, and those whose peer is gone.
    pair.run(Duration::from_secs(1200));
    pair.b.with(|tcp, cx| tcp.close_listener(listener, cx));
    for host in [&pair.a, &pair.b] {
        let tcp = &host.tcp;
        assert_eq!(tcp.all(), [], "no connection is left");
        assert_eq!(
            (tcp.conns.len(), tcp.openings.len(), tcp.time_waits.len()),
            (0, 0, 0)
        );
        assert_eq!((tcp.memory, tcp.poll_at()), (0, None));
    }
    let again = pair.a.count(Counter::TcpRetransSegs);
    assert!(accepted > CONNECTIONS / 10 * 9, "{accepted} were accepted");
    assert!(again > 1000, "the wire is bad: {again} were sent again");
}
