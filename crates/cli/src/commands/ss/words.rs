//! ss's words for what -i, -m, -o, -e and -p add.
use crate::args::Ss;
use crate::control::sockets::{Inside, SsTimer};

/// The last column: who has it, what it waits for, its numbers.
pub fn process(ss: &Ss, socket: &Inside) -> String {
    let mut words = Vec::new();
    if ss.processes
        && let Some(pid) = socket.pid
    {
        let program = socket.program.as_deref().unwrap_or("");
        words.push(format!("users:((\"{program}\",pid={pid}))"));
    }
    if ss.options
        && let Some(timer) = &socket.timer
    {
        words.push(self::timer(timer));
    }
    if ss.extended {
        let ino = socket.ino.unwrap_or(0);
        words.push(format!("ino:{ino} sk:{ino:x}"));
        if socket.state != "TIME-WAIT" {
            words.push("<->".into());
        }
    }
    words.iter().map(|word| format!(" {word}")).collect()
}

fn timer(
    SsTimer {
        kind,
        millis,
        times,
    }: &SsTimer,
) -> String {
    let (minutes, seconds) = (millis / 60_000, millis % 60_000 / 1000);
    let mut left = String::new();
    if minutes > 0 {
        left += &format!("{minutes}min");
    }
    if minutes < 9 {
        left += &match (seconds, millis % 1000) {
            (0, _) if minutes > 0 => String::new(),
            (0, millis) => format!("{millis}ms"),
            (s @ 1..=9, millis @ 1..) if minutes == 0 => format!("{s}.{millis:03}ms"),
            (s, _) => format!("{s}sec"),
        };
    }
    format!("timer:({kind},{left},{times})")
}

/// The line below a socket.
pub fn inside(ss: &Ss, socket: &Inside) -> String {
    let mut words = Vec::new();
    if ss.memory {
        let names = ["r", "rb", "t", "tb", "f", "w", "o", "bl", "d"];
        let fields = names.iter().zip(socket.skmem);
        let fields: Vec<String> = fields.map(|(name, n)| format!("{name}{n}")).collect();
        words.push(format!("skmem:({})", fields.join(",")));
    }
    if ss.info && socket.netid == "tcp" {
        let info = Tcp { socket };
        info.agreed(ss, &mut words);
        info.path(&mut words);
        info.counts(&mut words);
        info.rates(&mut words);
        info.flight(&mut words);
        info.receiver(&mut words);
    }
    words.join(" ")
}

struct Tcp<'s> {
    socket: &'s Inside,
}

impl Tcp<'_> {
    fn get(&self, name: &str) -> u64 {
        self.socket.tcp_info.get(name).copied().unwrap_or(0)
    }
    /// `name:value`, where it is not zero.
    fn some(&self, words: &mut Vec<String>, names: &[(&str, &str)]) {
        for (word, field) in names {
            match self.get(field) {
                0 => {}
                n => words.push(format!("{word}:{n}")),
            }
        }
    }
    fn agreed(&self, ss: &Ss, words: &mut Vec<String>) {
        let options = self.get("options");
        if ss.options || ss.extended {
            for (bit, word) in [(1, "ts"), (2, "sack"), (8, "ecn"), (16, "ecnseen")] {
                if options & bit > 0 {
                    words.push(word.into());
                }
            }
            if self.get("ecn_mode") == 2 {
                words.push("accecn".into());
            }
        }
        words.extend(self.socket.congestion.clone());
        if options & 4 > 0 {
            let (send, receive) = (self.get("snd_wscale"), self.get("rcv_wscale"));
            words.push(format!("wscale:{send},{receive}"));
        }
    }
    /// Times of the path in milliseconds, and sizes.
    fn path(&self, words: &mut Vec<String>) {
        let time = |word: &str, field: &str| match self.get(field) {
            0 => None,
            micros => Some(format!("{word}:{}", millis(micros))),
        };
        words.extend(time("rto", "rto"));
        self.some(words, &[("backoff", "backoff")]);
        if self.get("rtt") > 0 {
            let (rtt, var) = (millis(self.get("rtt")), millis(self.get("rttvar")));
            words.push(format!("rtt:{rtt}/{var}"));
        }
        words.extend(time("ato", "ato"));
        let sizes = [
            ("mss", "snd_mss"),
            ("pmtu", "pmtu"),
            ("rcvmss", "rcv_mss"),
            ("advmss", "advmss"),
            ("cwnd", "snd_cwnd"),
        ];
        self.some(words, &sizes);
        if self.get("snd_ssthresh") < 0xffff {
            self.some(words, &[("ssthresh", "snd_ssthresh")]);
        }
    }
    fn counts(&self, words: &mut Vec<String>) {
        let names = [
            "bytes_sent",
            "bytes_retrans",
            "bytes_acked",
            "bytes_received",
            "segs_out",
            "segs_in",
            "data_segs_out",
            "data_segs_in",
        ];
        self.some(words, &names.map(|name| (name, name)));
    }
    fn rates(&self, words: &mut Vec<String>) {
        let bits = |word: &str, bytes: u64| format!("{word} {}bps", bytes.saturating_mul(8));
        let (window, rtt) = (self.get("snd_cwnd") * self.get("snd_mss"), self.get("rtt"));
        if window > 0 && rtt > 0 {
            words.push(format!("send {}bps", window * 8_000_000 / rtt));
        }
        let ago = [
            ("lastsnd", "last_data_sent"),
            ("lastrcv", "last_data_recv"),
            ("lastack", "last_ack_recv"),
        ];
        self.some(words, &ago);
        match self.get("pacing_rate") {
            0 | u64::MAX => {}
            rate => words.push(bits("pacing_rate", rate)),
        }
        match self.get("delivery_rate") {
            0 => {}
            rate => words.push(bits("delivery_rate", rate)),
        }
        self.some(
            words,
            &[("delivered", "delivered"), ("delivered_ce", "delivered_ce")],
        );
        if self.get("delivery_rate_app_limited") > 0 {
            words.push("app_limited".into());
        }
        self.limits(words);
    }
    /// Where the time went.
    fn limits(&self, words: &mut Vec<String>) {
        let busy = self.get("busy_time");
        if busy < 1000 {
            return;
        }
        words.push(format!("busy:{}ms", busy / 1000));
        for name in ["rwnd_limited", "sndbuf_limited"] {
            let time = self.get(name);
            if time > 0 {
                let percent = 100.0 * time as f64 / busy as f64;
                words.push(format!("{name}:{}ms({percent:.1}%)", time / 1000));
            }
        }
    }
    fn flight(&self, words: &mut Vec<String>) {
        let listens = self.socket.state == "LISTEN";
        if !listens {
            self.some(words, &[("unacked", "unacked")]);
        }
        let (now, ever) = (self.get("retrans"), self.get("total_retrans"));
        if now + ever > 0 {
            words.push(format!("retrans:{now}/{ever}"));
        }
        self.some(words, &[("lost", "lost")]);
        if !listens {
            self.some(words, &[("sacked", "sacked")]);
        }
        self.some(words, &[("dsack_dups", "dsack_dups")]);
        if self.get("reordering") != 3 {
            self.some(words, &[("reordering", "reordering")]);
        }
        self.some(words, &[("reord_seen", "reord_seen")]);
    }
    fn receiver(&self, words: &mut Vec<String>) {
        let times = |word: &str, field: &str| match self.get(field) {
            0 => None,
            micros => Some(format!("{word}:{}", millis(micros))),
        };
        words.extend(times("rcv_rtt", "rcv_rtt"));
        let names = [
            ("rcv_space", "rcv_space"),
            ("rcv_ssthresh", "rcv_ssthresh"),
            ("notsent", "notsent_bytes"),
        ];
        self.some(words, &names);
        words.extend(times("minrtt", "min_rtt"));
        let names = [
            ("rcv_ooopack", "rcv_ooopack"),
            ("snd_wnd", "snd_wnd"),
            ("rcv_wnd", "rcv_wnd"),
        ];
        self.some(words, &names);
    }
}

/// Microseconds as milliseconds with six digits that count, as `%g` writes them.
fn millis(micros: u64) -> String {
    let (whole, rest) = (micros / 1000, micros % 1000);
    let places = 6_usize.saturating_sub(whole.to_string().len()).min(3);
    let text = format!("{whole}.{rest:03}");
    let text = &text[..text.len() - 3 + places];
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_short() {
        let rows = [
            (43, "0.043"),
            (204_000, "204"),
            (500, "0.5"),
            (1_250_250, "1250.25"),
            (100_000, "100"),
        ];
        for (micros, expected) in rows {
            assert_eq!(millis(micros), expected);
        }
    }

    #[test]
    fn timers_are_told_as_ss_does() {
        let rows = [
            ("on", 200, "timer:(on,200ms,1)"),
            ("timewait", 59_900, "timer:(timewait,59sec,1)"),
            ("keepalive", 7_199_000, "timer:(keepalive,119min,1)"),
            ("keepalive", 119_000, "timer:(keepalive,1min59sec,1)"),
            ("persist", 1_500, "timer:(persist,1.500ms,1)"),
        ];
        for (kind, millis, expected) in rows {
            let (kind, times) = (kind.into(), 1);
            assert_eq!(
                timer(&SsTimer {
                    kind,
                    millis,
                    times
                }),
                expected
            );
        }
    }
}
