//! Options of sockets by the names that scripts have for them.
use core::time::Duration;

use heptad_stack::l4_transport::tcp::{Congestion, OrphanWait};
use heptad_stack::stack::SocketOption;

use super::script::Value;
use super::words;

fn name(value: &Value) -> &str {
    match value {
        Value::Word(word) => word,
        _ => "a number",
    }
}
/// SO_ERROR, which is taken rather than asked.
pub(super) fn is_error(level: &Value, option: &Value) -> bool {
    name(level) == "SOL_SOCKET" && name(option) == "SO_ERROR"
}

/// What setsockopt sets; `None`: nothing that a script could see. `Err`: it is not known.
pub(super) fn given(
    level: &Value,
    option: &Value,
    value: &Value,
) -> Result<Option<SocketOption>, String> {
    let unseen = ["SO_ZEROCOPY", "SO_PRIORITY", "SO_MARK"];
    if name(level) == "SOL_SOCKET" && unseen.contains(&name(option)) {
        return Ok(None);
    }
    if name(option) == "TCP_CONGESTION" {
        return congestion(value).map(Some);
    }
    if name(option) == "SO_LINGER" {
        return linger(value).map(Some);
    }
    let number =
        number(value).ok_or_else(|| format!("the value of {} is not known here", name(option)))?;
    filled(asked(level, option)?, number).map(Some)
}
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::List(one) => words::int(one.first()?),
        other => words::int(other),
    }
}
fn linger(value: &Value) -> Result<SocketOption, String> {
    let value = match value {
        Value::List(one) => one.first(),
        other => Some(other),
    };
    let field = |field| {
        value
            .and_then(|value| value.field(field))
            .and_then(words::int)
    };
    match (field("onoff"), field("linger")) {
        (Some(0), Some(_)) => Ok(SocketOption::Linger(None)),
        (Some(_), Some(time)) => {
            let time = Duration::from_secs(u64::try_from(time).unwrap_or(0));
            Ok(SocketOption::Linger(Some(time)))
        }
        _ => Err("SO_LINGER wants onoff and linger".into()),
    }
}
fn congestion(value: &Value) -> Result<SocketOption, String> {
    let text = match value {
        Value::List(one) => one.first(),
        other => Some(other),
    };
    let name = match text {
        Some(Value::Text(text)) => String::from_utf8_lossy(text),
        _ => return Err("TCP_CONGESTION wants a name".into()),
    };
    let which = Congestion::named(&name);
    which
        .map(SocketOption::Congestion)
        .ok_or_else(|| format!("the congestion control {name} is not known here"))
}

/// Which option is meant. `Err`: it is not known.
pub(super) fn asked(level: &Value, option: &Value) -> Result<SocketOption, String> {
    use SocketOption as O;
    let zero = Duration::ZERO;
    Ok(match (name(level), name(option)) {
        ("SOL_SOCKET", "SO_REUSEADDR") => O::ReuseAddress(false),
        ("SOL_SOCKET", "SO_REUSEPORT") => O::ReusePort(false),
        ("SOL_SOCKET", "SO_BROADCAST") => O::Broadcast(false),
        ("SOL_SOCKET", "SO_KEEPALIVE") => O::KeepAlive(false),
        ("SOL_SOCKET", "SO_OOBINLINE") => O::OobInline(false),
        ("SOL_SOCKET", "SO_LINGER") => O::Linger(None),
        ("SOL_SOCKET", "SO_RCVBUF") => O::ReceiveBuffer(0),
        ("SOL_SOCKET", "SO_SNDBUF") => O::SendBuffer(0),
        ("SOL_SOCKET", "SO_MAX_PACING_RATE") => O::MaxPacingRate(0),
        ("SOL_IP" | "IPPROTO_IP", "IP_TTL") => O::Ttl(0),
        ("SOL_IP" | "IPPROTO_IP", "IP_TOS") => O::Tos(0),
        ("SOL_IP" | "IPPROTO_IP", "IP_RECVERR") | ("SOL_IPV6" | "IPPROTO_IPV6", "IPV6_RECVERR") => {
            O::RecvErr(false)
        }
        ("SOL_IPV6" | "IPPROTO_IPV6", "IPV6_UNICAST_HOPS") => O::Hops(0),
        ("SOL_IPV6" | "IPPROTO_IPV6", "IPV6_TCLASS") => O::TrafficClass(0),
        ("SOL_IPV6" | "IPPROTO_IPV6", "IPV6_V6ONLY") => O::V6Only(false),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_NODELAY") => O::NoDelay(false),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_CORK") => O::Cork(false),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_QUICKACK") => O::QuickAck(false),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_KEEPIDLE") => O::KeepIdle(zero),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_KEEPINTVL") => O::KeepInterval(zero),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_KEEPCNT") => O::KeepCount(0),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_USER_TIMEOUT") => O::UserTimeout(zero),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_SYNCNT") => O::SynCount(0),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_LINGER2") => O::OrphanWait(OrphanWait::No),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_DEFER_ACCEPT") => O::DeferAccept(zero),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_FASTOPEN") => O::FastOpen(0),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_FASTOPEN_CONNECT") => O::FastOpenConnect(false),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_MAXSEG") => O::MaxSegment(0),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_WINDOW_CLAMP") => O::WindowClamp(0),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_NOTSENT_LOWAT") => O::NotSentLowat(0),
        ("SOL_TCP" | "IPPROTO_TCP", "TCP_CONGESTION") => O::Congestion(Congestion::default()),
        (level, option) => return Err(format!("the option {level}, {option} is not known here")),
    })
}

/// The option with a value. `Err`: the value is of another kind.
fn filled(option: SocketOption, number: i64) -> Result<SocketOption, String> {
    use SocketOption as O;
    let on = number != 0;
    let small = || u32::try_from(number).map_err(|_| format!("{number} is out of range"));
    let byte = || u8::try_from(number).map_err(|_| format!("{number} is out of range"));
    Ok(match option {
        O::ReuseAddress(_) => O::ReuseAddress(on),
        O::ReusePort(_) => O::ReusePort(on),
        O::Broadcast(_) => O::Broadcast(on),
        O::KeepAlive(_) => O::KeepAlive(on),
        O::OobInline(_) => O::OobInline(on),
        O::ReceiveBuffer(_) => O::ReceiveBuffer(small()?),
        O::SendBuffer(_) => O::SendBuffer(small()?),
        O::MaxPacingRate(_) => O::MaxPacingRate(rate(number)),
        O::Ttl(_) => O::Ttl(byte()?),
        O::Tos(_) => O::Tos(byte()?),
        O::RecvErr(_) => O::RecvErr(on),
        O::Hops(_) => O::Hops(byte()?),
        O::TrafficClass(_) => O::TrafficClass(byte()?),
        O::V6Only(_) => O::V6Only(on),
        O::NoDelay(_) => O::NoDelay(on),
        O::Cork(_) => O::Cork(on),
        O::QuickAck(_) => O::QuickAck(on),
        O::KeepIdle(_) => O::KeepIdle(Duration::from_secs(small()?.into())),
        O::KeepInterval(_) => O::KeepInterval(Duration::from_secs(small()?.into())),
        O::KeepCount(_) => O::KeepCount(small()?),
        O::SynCount(_) => O::SynCount(small()?),
        O::OrphanWait(_) => O::OrphanWait(match u64::try_from(number) {
            Ok(seconds) => OrphanWait::For(Duration::from_secs(seconds)),
            Err(_) => OrphanWait::No,
        }),
        O::DeferAccept(_) => {
            O::DeferAccept(Duration::from_secs(u64::try_from(number).unwrap_or(0)))
        }
        O::FastOpen(_) => O::FastOpen(small()?),
        O::FastOpenConnect(_) => O::FastOpenConnect(on),
        O::WindowClamp(_) => O::WindowClamp(small()?),
        O::NotSentLowat(_) => O::NotSentLowat(small()?),
        O::UserTimeout(_) => O::UserTimeout(Duration::from_millis(small()?.into())),
        O::MaxSegment(_) => {
            O::MaxSegment(u16::try_from(number).map_err(|_| format!("{number} is out of range"))?)
        }
        _ => return Err("that option has no number for a value".into()),
    })
}

/// As Linux: what fills four bytes, or is below zero, is no bound.
fn rate(number: i64) -> u64 {
    let rate = u64::try_from(number).ok();
    rate.filter(|rate| *rate != u64::from(u32::MAX))
        .unwrap_or(u64::MAX)
}

/// Whether getsockopt gave what the script expects.
pub(super) fn compare(is: SocketOption, expected: &Value) -> Result<(), String> {
    if matches!(expected, Value::Ellipsis) {
        return Ok(());
    }
    let wanted = match is {
        SocketOption::Congestion(_) => congestion(expected)?,
        SocketOption::Linger(_) => linger(expected)?,
        other => {
            let number = number(expected).ok_or("what getsockopt is to give is not known here")?;
            filled(other, number)?
        }
    };
    match wanted == is {
        true => Ok(()),
        false => Err(format!(
            "getsockopt was to give {wanted:?}, and gave {is:?}"
        )),
    }
}
