//! What a script says about the host and about itself: lines that begin with `--`, and commands in backquotes.
use core::net::IpAddr;
use core::time::Duration;

use heptad_stack::l4_transport::tcp::{
    Config, Congestion, Ecn, FastOpenModes, MtuProbing, SynCookies,
};

use crate::solo::SoloConfig;

/// How the host is made and how exactly the script is meant.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host.
    pub host: SoloConfig,
    /// The peer's address.
    pub remote: IpAddr,
    /// Of the sockets, where the script says `...`: AF_INET6 also where the packets are IPv4's.
    pub v6_sockets: bool,
    /// Of `bind(…)` where the script says `...`.
    pub bind_port: u16,
    /// Of `connect`, likewise.
    pub connect_port: u16,
    /// How early or late something may be.
    pub tolerance: Duration,
    /// The same as a share of the time since the event before, in percent.
    pub tolerance_percent: u32,
    /// Of the clock of timestamps, if the script means its values.
    pub tick: Option<Duration>,
    /// Each packet is to be the script's, not a part of it.
    pub strict_segments: bool,
}

/// First of the ports that peers speak from.
pub const PEER_PORTS: u16 = 40_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: SoloConfig {
                tcp: Config::default(),
                local: IpAddr::from([192, 168, 0, 1]),
                prefix_len: 16,
                mtu: 1500,
                super_segments: true,
            },
            remote: IpAddr::from([192, 0, 2, 1]),
            v6_sockets: false,
            bind_port: 8080,
            connect_port: 8080,
            tolerance: Duration::from_millis(4),
            tolerance_percent: 0,
            tick: None,
            strict_segments: false,
        }
    }
}

impl Settings {
    /// A line in front of the script. `Err`: what is wrong with it.
    pub fn option(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        let number = || {
            let value = value.ok_or_else(|| format!("--{name} wants a value"))?;
            value
                .parse::<u64>()
                .map_err(|_| format!("--{name}: `{value}` is no number"))
        };
        match name {
            "ip_version" => self.version(value.unwrap_or(""))?,
            "tolerance_usecs" => self.tolerance = Duration::from_micros(number()?),
            "tolerance_percent" => self.tolerance_percent = small(name, number()?)?,
            "tcp_ts_tick_usecs" => {
                self.tick = Some(Duration::from_micros(number()?)).filter(|tick| !tick.is_zero());
            }
            "bind_port" => self.bind_port = small(name, number()?)?,
            "connect_port" => self.connect_port = small(name, number()?)?,
            "mtu" => self.host.mtu = small(name, number()?)?,
            "local_ip" => self.host.local = address(name, value)?,
            "remote_ip" => self.remote = address(name, value)?,
            "strict_segments" => self.strict_segments = true,
            // How a peer's packet came to the host, how the program keeps its buffers, and what is printed: nothing changes here.
            "mss" | "send_omit_free" | "non_fatal" | "verbose" | "speed" | "gateway_ip"
            | "netmask_ip" | "tcp_ts_ecr_scaled" => {}
            _ => return Err(format!("the option --{name} is not known here")),
        }
        Ok(())
    }
    fn version(&mut self, version: &str) -> Result<(), String> {
        let (local, prefix_len, remote) = match version {
            "ipv4" => return Ok(()),
            "ipv4-mapped-ipv6" => {
                self.v6_sockets = true;
                return Ok(());
            }
            "ipv6" => ("fd3d:a0b:17d6::1", 64, "fd3d:fa7b:d17d::1"),
            _ => return Err(format!("`{version}` is no version of IP")),
        };
        self.v6_sockets = true;
        self.host.local = address("local_ip", Some(local))?;
        self.remote = address("remote_ip", Some(remote))?;
        self.host.prefix_len = prefix_len;
        Ok(())
    }

    /// Commands in backquotes, one on a line. `Err`: what is not known.
    pub fn commands(&mut self, text: &str) -> Result<(), String> {
        let joined = text.replace("\\\n", " ");
        let lines = joined.split(['\n', ';']).flat_map(|line| line.split("&&"));
        for line in lines {
            self.command(&words(line))?;
        }
        Ok(())
    }
    fn command(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            [] => Ok(()),
            [program, rest @ ..] => match program.rsplit('/').next().unwrap_or(program) {
                "defaults.sh" => {
                    self.defaults();
                    Ok(())
                }
                "set_sysctls.py" => rest.iter().try_for_each(|word| self.sysctl(word)),
                "sysctl" => {
                    let names = rest.iter().filter(|word| !word.starts_with('-'));
                    names.into_iter().try_for_each(|word| self.sysctl(word))
                }
                "ethtool" => self.ethtool(rest),
                // Puts the machine's settings back, of which there are none.
                name if name.starts_with("sysctl_restore") => Ok(()),
                // Forgets what was learnt from connections before, of which there were none.
                "ip" if rest
                    .first()
                    .is_some_and(|word| word.starts_with("tcp_metrics")) =>
                {
                    Ok(())
                }
                "sleep" | "true" | "sync" => Ok(()),
                _ => Err(format!(
                    "the command `{}` is not known here",
                    words.join(" ")
                )),
            },
        }
    }
    /// What a script of the usual kind rests on.
    pub fn defaults(&mut self) {
        let config = &mut self.host.tcp;
        config.timestamps = true;
        config.sack = true;
        config.window_scaling = true;
        config.slow_start_after_idle = false;
        config.mtu_probing = MtuProbing::Off;
        config.syn_retries = 5;
        config.rmem = (540_000, 15_728_640);
        config.wmem = (262_144, 4_194_304);
        config.congestion = Congestion::Cubic;
    }
    fn ethtool(&mut self, words: &[&str]) -> Result<(), String> {
        let [_, _, features @ ..] = words else {
            return Err("ethtool wants -K, a device and features".into());
        };
        for pair in features.chunks(2) {
            match pair {
                ["tso" | "gso", on] => self.host.super_segments &= *on == "on",
                ["gro" | "lro" | "tx" | "rx" | "sg", _] => {}
                other => return Err(format!("ethtool: `{}` is not known here", other.join(" "))),
            }
        }
        Ok(())
    }
    /// `net.ipv4.name=value` or `/proc/sys/net/ipv4/name=value`.
    pub fn sysctl(&mut self, word: &str) -> Result<(), String> {
        let (path, value) = word
            .split_once('=')
            .ok_or_else(|| format!("`{word}` sets nothing"))?;
        let value = value.trim_matches(['"', '\'']);
        let name = path.rsplit(['.', '/']).next().unwrap_or(path);
        let number = || {
            value
                .parse::<u32>()
                .map_err(|_| format!("{name}: `{value}` is no number"))
        };
        let config = &mut self.host.tcp;
        match name {
            "tcp_timestamps" => config.timestamps = number()? != 0,
            "tcp_sack" => config.sack = number()? != 0,
            "tcp_window_scaling" => config.window_scaling = number()? != 0,
            "tcp_slow_start_after_idle" => config.slow_start_after_idle = number()? != 0,
            "tcp_frto" => config.frto = number()? != 0,
            "tcp_syn_retries" => config.syn_retries = number()?,
            "tcp_mtu_probing" => {
                config.mtu_probing = match number()? {
                    0 => MtuProbing::Off,
                    1 => MtuProbing::BlackHoles,
                    _ => MtuProbing::Always,
                }
            }
            "tcp_base_mss" => config.base_mss = u16::try_from(number()?).unwrap_or(u16::MAX),
            "tcp_moderate_rcvbuf" => config.moderate_rcvbuf = number()? != 0,
            "tcp_notsent_lowat" => config.notsent_lowat = number()?,
            "tcp_min_tso_segs" => config.least_burst = u8::try_from(number()?).unwrap_or(u8::MAX),
            "tcp_synack_retries" => config.synack_retries = number()?,
            "tcp_retries2" => config.retries2 = number()?,
            "tcp_max_orphans" => config.max_orphans = number()? as usize,
            "tcp_fastopen" => config.fast_open = FastOpenModes::of(bits(name, value)?),
            "tcp_fastopen_key" => config.fast_open_key = Some(fast_open_key(value)?),
            // Nothing is learnt from connections that went silent.
            "tcp_fastopen_blackhole_timeout_sec" => {}
            "tcp_ecn" => config.ecn = ecn(number()?)?,
            "tcp_syncookies" => config.syn_cookies = syn_cookies(number()?)?,
            "somaxconn" => config.somaxconn = number()?,
            "tcp_fin_timeout" => config.fin_timeout = Duration::from_secs(number()?.into()),
            "tcp_rmem" => config.rmem = sizes(name, value)?,
            "tcp_wmem" => config.wmem = sizes(name, value)?,
            "tcp_congestion_control" => config.congestion = congestion(value)?,
            _ => as_it_is(name, value)?,
        }
        Ok(())
    }
}

/// Settings of Linux that have one value here: what they say is what is done. How many segments leave at once and in what
/// pieces does not change what scripts see.
fn as_it_is(name: &str, value: &str) -> Result<(), String> {
    let fixed: &[&str] = match name {
        "tcp_dsack" | "tcp_recovery" | "tcp_no_metrics_save" => &["1"],
        "tcp_early_retrans" => &["3", "4"],
        "tcp_shrink_window" => &["0"],
        "tcp_min_tso_segs"
        | "tcp_tso_win_divisor"
        | "tcp_limit_output_bytes"
        | "default_qdisc"
        | "tcp_pacing_ss_ratio"
        | "tcp_pacing_ca_ratio" => return Ok(()),
        _ => return Err(format!("the setting {name} is not known here")),
    };
    match fixed.contains(&value) {
        true => Ok(()),
        false => Err(format!("{name} is always {} here, not {value}", fixed[0])),
    }
}
fn congestion(name: &str) -> Result<Congestion, String> {
    Congestion::named(name)
        .ok_or_else(|| format!("the congestion control {name} is not known here"))
}
/// A number, decimal or after 0x.
fn bits(name: &str, value: &str) -> Result<u32, String> {
    let bits = match value.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => value.parse(),
    };
    bits.map_err(|_| format!("{name}: `{value}` is no number"))
}
/// Four words, as Linux writes its key.
fn fast_open_key(value: &str) -> Result<(u64, u64), String> {
    let words = value.split('-').map(|word| {
        u64::from_str_radix(word, 16)
            .ok()
            .filter(|word| word >> 32 == 0)
    });
    match words.collect::<Option<Vec<u64>>>().as_deref() {
        Some(&[a, b, c, d]) => Ok((a | b << 32, c | d << 32)),
        _ => Err(format!("tcp_fastopen_key wants four words, not `{value}`")),
    }
}
fn ecn(number: u32) -> Result<Ecn, String> {
    Ecn::numbered(number).ok_or_else(|| format!("tcp_ecn is 0 to 5, not {number}"))
}
fn syn_cookies(number: u32) -> Result<SynCookies, String> {
    match number {
        0 => Ok(SynCookies::Never),
        1 => Ok(SynCookies::WhenFull),
        2 => Ok(SynCookies::Always),
        _ => Err(format!("tcp_syncookies is 0, 1 or 2, not {number}")),
    }
}
/// Three sizes, of which the first is never needed here.
fn sizes(name: &str, value: &str) -> Result<(u32, u32), String> {
    let sizes: Result<Vec<u32>, _> = value.split_whitespace().map(str::parse).collect();
    match sizes.as_deref() {
        Ok(&[_, initial, most]) => Ok((initial, most)),
        _ => Err(format!("{name} wants three sizes, not `{value}`")),
    }
}
/// As a shell cuts a line: blanks between quotes do not count.
fn words(line: &str) -> Vec<&str> {
    let mut quoted = false;
    let cuts = line.split(|c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    });
    cuts.filter(|word| !word.is_empty()).collect()
}
fn small<T: TryFrom<u64>>(name: &str, number: u64) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("--{name}: {number} is out of range"))
}
fn address(name: &str, value: Option<&str>) -> Result<IpAddr, String> {
    let value = value.unwrap_or("");
    value
        .parse()
        .map_err(|_| format!("--{name}: `{value}` is no address"))
}
