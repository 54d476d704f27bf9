//! What both SYNs settle (RFC 3168 6.1.1; RFC 9768 3.1).
use heptad_wire::tcp::Flags;

use super::super::Config;
use super::super::segment::Segment;
use super::{Codepoint, Feedback};

/// The three bits, most significant first, as RFC 9768's ACE field reads them.
const ACE: [Flags; 3] = [Flags::AE, Flags::CWR, Flags::ECE];
/// Beyond so many SYNs, or SYN,ACKs, something on the way is taken to drop those that speak of ECN.
const TRIES: u8 = 2;

/// What the SYNs told beside the way of feedback that both agreed on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Greeting {
    /// How the peer's latest SYN or SYN,ACK arrived.
    pub theirs: Codepoint,
    /// How ours did, as a SYN,ACK says.
    pub ours: Option<Codepoint>,
    /// A SYN or SYN,ACK without one of the flags came or left at a server.
    pub plain: bool,
}

/// The ACE field of a segment.
pub fn ace(seg: &Segment) -> u8 {
    ACE.iter()
        .fold(0, |ace, flag| ace << 1 | u8::from(seg.has(*flag)))
}
/// Control bits that say `ace` in that field.
pub fn flags(ace: u8) -> Flags {
    let set = ACE.iter().rev().enumerate();
    let set = set.filter(|(bit, _)| ace >> bit & 1 != 0);
    set.fold(Flags::default(), |all, (_, flag)| all | *flag)
}
/// RFC 9768 3.2.2.1, table 3: how a SYN or SYN,ACK arrived.
pub fn ace_of(codepoint: Codepoint) -> u8 {
    match codepoint {
        Codepoint::NotEct => 0b010,
        Codepoint::Ect1 => 0b011,
        Codepoint::Ect0 => 0b100,
        Codepoint::Ce => 0b110,
    }
}
/// The same read. What nobody says yet is taken for the harmless answer (3.1.3).
pub fn codepoint_of(ace: u8) -> Codepoint {
    match ace {
        0b011 => Codepoint::Ect1,
        0b100 => Codepoint::Ect0,
        0b110 => Codepoint::Ce,
        _ => Codepoint::NotEct,
    }
}

/// What our SYN says beside SYN; `retries`: how often it was not answered.
//= rfc3168#6.1.1
//# before a TCP connection can use ECN, Host A sends an ECN-setup SYN packet
//= rfc9768#3.1.4.1
//# it SHOULD attempt to negotiate the use of AccECN at least one more time by continuing to set all three TCP ECN flags (AE,CWR,ECE) = (1,1,1) on the first retransmitted SYN
pub fn ask(config: &Config, retries: u8) -> Flags {
    let asked = match config.ecn.asks() {
        // Who did not answer may have been hidden by something that drops such SYNs (RFC 3168 6.1.1.1).
        Feedback::Classic if retries == 0 => 0b011,
        Feedback::Accurate if retries < TRIES => 0b111,
        _ => 0,
    };
    Flags::SYN | flags(asked)
}
/// What our SYN,ACK says beside both, when it leaves for the `retries`-th time after the first.
pub fn answer(feedback: Feedback, greeting: &Greeting, retries: u8) -> Flags {
    flags(match feedback {
        Feedback::Classic => 0b001,
        Feedback::Accurate if retries < TRIES => ace_of(greeting.theirs),
        Feedback::None | Feedback::Accurate => 0,
    })
}

/// What the peer's SYN or SYN,ACK and we agree on; `retries`: of our SYN.
pub fn agree(config: &Config, seg: &Segment, retries: u8) -> Feedback {
    if seg.has(Flags::ACK) {
        return answered(config.ecn.asks(), ace(seg), retries);
    }
    match (config.ecn.allows(), ace(seg)) {
        (Feedback::None, _) | (_, 0) => Feedback::None,
        //= rfc9768#3.1.3
        //# the Server MUST negotiate the use of AccECN as if the three flags had been set to (1,1,1)
        (Feedback::Accurate, asked) if asked != 0b011 => Feedback::Accurate,
        //= rfc3168#6.1.1
        //# A host MUST NOT set ECT on SYN or SYN-ACK packets.
        // What comes so was mangled, and marks are not to be trusted on such a path (as Linux).
        (_, 0b011 | 0b111) if seg.codepoint == Codepoint::NotEct => Feedback::Classic,
        _ => Feedback::None,
    }
}
/// Of a SYN,ACK (RFC 9768 3.1.2, table 2).
fn answered(asked: Feedback, ace: u8, retries: u8) -> Feedback {
    match (asked, ace) {
        (Feedback::Classic, _) if retries == 0 && ace & 0b011 == 0b001 => Feedback::Classic,
        (Feedback::None | Feedback::Classic, _) => Feedback::None,
        // Said nothing, or gave back what we said.
        (Feedback::Accurate, 0b000 | 0b111) => Feedback::None,
        (Feedback::Accurate, 0b001) => Feedback::Classic,
        (Feedback::Accurate, _) => Feedback::Accurate,
    }
}
/// The same where nothing but a cookie is left of the SYN: `classic`, whether it says that one bit was agreed on. Nobody who
/// counts ends a handshake with 0 or 1 (RFC 9768 5.1).
pub fn of_cookie(config: &Config, seg: &Segment, classic: bool) -> Feedback {
    match classic {
        true => Feedback::Classic,
        false if config.ecn.allows() == Feedback::Accurate && ace(seg) > 1 => Feedback::Accurate,
        false => Feedback::None,
    }
}
/// What a SYN or SYN,ACK of the peer tells beside that.
pub fn found(feedback: Feedback, seg: &Segment) -> Greeting {
    let answered = seg.has(Flags::ACK) && feedback == Feedback::Accurate;
    Greeting {
        theirs: seg.codepoint,
        ours: answered.then(|| codepoint_of(ace(seg))),
        plain: false,
    }
}

impl Greeting {
    /// A server's SYN,ACK leaves for the `retries`-th time after the first.
    pub fn note_answer(&mut self, retries: u8) {
        self.plain |= retries >= TRIES;
    }
    /// A server heard the peer's SYN once more. `false`: it asks for another way than before, and nobody could know which one
    /// is meant.
    //= rfc9768#3.1.5
    //# MUST reset the connection with a RST packet, if it receives a 'Classic' ECN-setup SYN with (AE,CWR,ECE) = (0,1,1) and a SYN requesting AccECN feedback during the same handshake
    pub fn hear_again(&mut self, config: &Config, feedback: Feedback, seg: &Segment) -> bool {
        let asks = ace(seg);
        self.theirs = seg.codepoint;
        self.plain |= asks == 0;
        let other = match feedback {
            Feedback::Accurate => asks == 0b011,
            Feedback::Classic => config.ecn.allows() == Feedback::Accurate && asks == 0b111,
            Feedback::None => false,
        };
        !other
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ecn;
    use super::*;

    fn syn(ace: u8, ack: bool, codepoint: Codepoint) -> Segment {
        let ack = if ack { Flags::ACK } else { Flags::default() };
        Segment {
            codepoint,
            flags: Flags::SYN | ack | flags(ace),
            ..Segment::default()
        }
    }
    fn config(ecn: Ecn) -> Config {
        Config {
            ecn,
            ..Config::default()
        }
    }

    #[test]
    fn a_syn_ack_settles_what_table_2_says() {
        use Feedback::{Accurate, Classic, None};
        let rows = [
            (0b010, Accurate, Some(Codepoint::NotEct)),
            (0b011, Accurate, Some(Codepoint::Ect1)),
            (0b100, Accurate, Some(Codepoint::Ect0)),
            (0b110, Accurate, Some(Codepoint::Ce)),
            // reserved: as if the SYN had arrived unchanged
            (0b101, Accurate, Some(Codepoint::NotEct)),
            (0b001, Classic, Option::None),
            (0b000, None, Option::None),
            // reflected
            (0b111, None, Option::None),
        ];
        for (ace, feedback, ours) in rows {
            let seg = syn(ace, true, Codepoint::NotEct);
            let agreed = agree(&config(Ecn::Accurate), &seg, 0);
            assert_eq!(agreed, feedback, "{ace:03b}");
            assert_eq!(found(agreed, &seg).ours, ours, "{ace:03b}");
            let before = agree(&config(Ecn::Always), &seg, 0);
            let classic = ace & 0b011 == 0b001;
            assert_eq!(before == Classic, classic, "{ace:03b}");
            assert_eq!(agree(&config(Ecn::WhenAsked), &seg, 0), None);
        }
    }

    #[test]
    fn a_listener_agrees_to_no_more_than_it_allows() {
        use Feedback::{Accurate, Classic, None};
        let rows = [
            (0b000, [None, None, None]),
            (0b011, [None, Classic, Classic]),
            (0b111, [None, Classic, Accurate]),
            // nobody says that yet
            (0b100, [None, None, Accurate]),
        ];
        for (ace, agreed) in rows {
            let seg = syn(ace, false, Codepoint::NotEct);
            let all = [Ecn::Never, Ecn::WhenAsked, Ecn::AccurateWhenAsked];
            let is = all.map(|ecn| agree(&config(ecn), &seg, 0));
            assert_eq!(is, agreed, "{ace:03b}");
        }
        let mangled = syn(0b111, false, Codepoint::Ce);
        assert_eq!(agree(&config(Ecn::Accurate), &mangled, 0), Accurate);
        assert_eq!(agree(&config(Ecn::Always), &mangled, 0), None);
    }

    #[test]
    fn an_answer_says_how_the_syn_arrived_until_it_was_lost_twice() {
        let all = [
            Codepoint::NotEct,
            Codepoint::Ect1,
            Codepoint::Ect0,
            Codepoint::Ce,
        ];
        for theirs in all {
            let greeting = Greeting {
                theirs,
                ..Greeting::default()
            };
            let said = answer(Feedback::Accurate, &greeting, 1);
            let seg = Segment {
                flags: said,
                ..Segment::default()
            };
            assert_eq!(codepoint_of(ace(&seg)), theirs);
            let third = answer(Feedback::Accurate, &greeting, 2);
            assert_eq!(third, Flags::default());
        }
    }

    #[test]
    fn who_asks_for_two_ways_gets_neither() {
        let accurate = config(Ecn::Accurate);
        let again = |feedback, ace| {
            let mut greeting = Greeting::default();
            let seg = syn(ace, false, Codepoint::NotEct);
            (
                greeting.hear_again(&accurate, feedback, &seg),
                greeting.plain,
            )
        };
        assert_eq!(again(Feedback::Accurate, 0b111), (true, false));
        assert_eq!(again(Feedback::Accurate, 0b000), (true, true));
        assert!(!again(Feedback::Accurate, 0b011).0);
        assert!(!again(Feedback::Classic, 0b111).0);
        assert!(again(Feedback::Classic, 0b011).0);
    }
}
