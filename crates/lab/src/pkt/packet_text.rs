//! A packet of a script: `[ect0] P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 5 ecr 4>`, `udp (8)`, `icmp unreachable frag_needed mtu 1200 [1:1461(1460)]`.
use heptad_stack::wire::tcp::Flags;

use super::PktError;
use super::script::{
    Carried, FlagSpec, IcmpSpec, IpSpec, OptionSpec, PacketSpec, Quoted, TcpSpec, TosSpec,
};
use super::text::{Text, is_word};

/// What the peer sends.
pub(super) fn inbound(text: &mut Text<'_>) -> Result<PacketSpec, PktError> {
    text.expect("<")?;
    let packet = packet(text)?;
    match &packet.carries {
        Carried::Tcp(tcp) if tcp.options.is_none() => {
            Err(text.mistake("`<...>` leaves open what is to be sent"))
        }
        _ if packet.ip.tos == TosSpec::Capable => {
            Err(text.mistake("[ect01] leaves open what is to be sent"))
        }
        _ => Ok(packet),
    }
}
/// What we are to send.
pub(super) fn outbound(text: &mut Text<'_>) -> Result<PacketSpec, PktError> {
    text.expect(">")?;
    packet(text)
}

fn packet(text: &mut Text<'_>) -> Result<PacketSpec, PktError> {
    let ip = ip(text)?;
    if text.eat_word("icmp")? {
        let carries = Carried::Icmp(icmp(text)?);
        return Ok(PacketSpec {
            ip,
            ports: None,
            carries,
        });
    }
    let is_udp = text.eat_word("udp")?;
    for word in ["ipv4", "ipv6", "gre", "mpls"] {
        if text.eat_word(word)? {
            return Err(text.mistake(format!("packets inside of {word} are not known here")));
        }
    }
    let ports = ports(text)?;
    let carries = match is_udp {
        true => {
            text.expect("(")?;
            let len = text.integer()?;
            text.expect(")")?;
            Carried::Udp(len)
        }
        false => Carried::Tcp(segment(text)?),
    };
    Ok(PacketSpec { ip, ports, carries })
}

/// `[ect0]`, `[tos 0x10]`, `[ttl 5]`, `[ce, flowlabel 0x1]`; round brackets are as good.
fn ip(text: &mut Text<'_>) -> Result<IpSpec, PktError> {
    let mut ip = IpSpec::default();
    let close = match (text.eat("[")?, text.eat("(")?) {
        (true, _) => "]",
        (_, true) => ")",
        _ => return Ok(ip),
    };
    loop {
        match text.word()? {
            Some("noecn") => ip.tos = TosSpec::Ecn(0),
            Some("ect1") => ip.tos = TosSpec::Ecn(1),
            Some("ect0") => ip.tos = TosSpec::Ecn(2),
            Some("ce") => ip.tos = TosSpec::Ecn(3),
            Some("ect01") => ip.tos = TosSpec::Capable,
            Some("tos") => ip.tos = TosSpec::Whole(text.integer()?),
            Some("ttl") => ip.ttl = Some(text.integer()?),
            Some("flowlabel") => ip.flow_label = Some(text.integer()?),
            _ => return Err(text.expected("ect0, ect1, ect01, ce, noecn, tos, ttl or flowlabel")),
        }
        if text.eat(close)? {
            return Ok(ip);
        }
        text.expect(",")?;
    }
}

/// `40000 > 8080`.
fn ports(text: &mut Text<'_>) -> Result<Option<(u16, u16)>, PktError> {
    text.skip()?;
    if !text.peek().is_some_and(|c| c.is_ascii_digit()) {
        return Ok(None);
    }
    let source = text.integer()?;
    text.expect(">")?;
    Ok(Some((source, text.integer()?)))
}

fn segment(text: &mut Text<'_>) -> Result<TcpSpec, PktError> {
    let flags = flags(text)?;
    let (seq, len) = sequence(text)?;
    let mut segment = TcpSpec {
        flags,
        seq,
        len,
        ack: 0,
        window: None,
        urgent: 0,
        options: Some(Vec::new()),
    };
    if text.eat_word("ack")? {
        segment.ack = text.integer()?;
    }
    if text.eat_word("win")? {
        segment.window = Some(text.integer()?);
    }
    if text.eat_word("urg")? {
        segment.urgent = text.integer()?;
    }
    // A `<` behind a line's end begins the options as well, but never the next event: that has a time first.
    if text.eat("<")? {
        segment.options = options(text)?;
    }
    Ok(segment)
}

/// `S.`, `SEWA`, `P.5` (a number is the ACE field of RFC 9768), `-` for none.
fn flags(text: &mut Text<'_>) -> Result<FlagSpec, PktError> {
    text.skip()?;
    let word = text.take_while(|c| is_word(c) || c == '.' || c == '-');
    if word == "-" {
        return Ok(FlagSpec::default());
    }
    let mut flags = FlagSpec::default();
    for c in word.chars() {
        flags.bits |= match c {
            'F' => Flags::FIN.0,
            'S' => Flags::SYN.0,
            'R' => Flags::RST.0,
            'P' => Flags::PSH.0,
            '.' => Flags::ACK.0,
            'U' => Flags::URG.0,
            'E' => Flags::ECE.0,
            'W' | 'C' => Flags::CWR.0,
            'A' => Flags::AE.0,
            '0'..='7' => {
                flags.is_ace = true;
                (c as u16 - '0' as u16) << 6
            }
            _ => return Err(text.mistake(format!("`{word}` has the unknown flag `{c}`"))),
        };
    }
    match word {
        "" => Err(text.expected("the flags of a segment")),
        _ => Ok(flags),
    }
}

/// `1:1001(1000)`.
fn sequence(text: &mut Text<'_>) -> Result<(u32, u32), PktError> {
    let seq: u32 = text.integer()?;
    text.expect(":")?;
    let end: u32 = text.integer()?;
    text.expect("(")?;
    let len: u32 = text.integer()?;
    text.expect(")")?;
    match seq.wrapping_add(len) == end {
        true => Ok((seq, len)),
        false => Err(text.mistake(format!("{len} bytes do not lead from {seq} to {end}"))),
    }
}

/// Up to `>`; `None` for `<...>`.
fn options(text: &mut Text<'_>) -> Result<Option<Vec<OptionSpec>>, PktError> {
    if text.eat("...")? {
        text.expect(">")?;
        return Ok(None);
    }
    let mut all = Vec::new();
    loop {
        all.push(option(text)?);
        if text.eat(">")? {
            return Ok(Some(all));
        }
        text.expect(",")?;
    }
}
fn option(text: &mut Text<'_>) -> Result<OptionSpec, PktError> {
    Ok(match text.word()? {
        Some("nop") => OptionSpec::Nop,
        Some("eol") => OptionSpec::End,
        Some("mss") => OptionSpec::Mss(text.integer()?),
        Some("wscale") => OptionSpec::WindowScale(text.integer()?),
        Some("sackOK") => OptionSpec::SackOk,
        Some("sack") => OptionSpec::Sack(blocks(text)?),
        Some("TS") => {
            text.expect("val")?;
            let value = text.integer()?;
            text.expect("ecr")?;
            let echo = text.integer()?;
            OptionSpec::Timestamps { value, echo }
        }
        Some("FO") => OptionSpec::FastOpen(cookie(text)?),
        Some("ECN") => counters(text)?,
        Some("FOEXP") => OptionSpec::FastOpenExperimental(cookie(text)?),
        Some(other) => return Err(text.mistake(format!("the option `{other}` is not known here"))),
        None => return Err(text.expected("an option of TCP")),
    })
}
/// `1:1001 2001:3001`.
fn blocks(text: &mut Text<'_>) -> Result<Vec<(u32, u32)>, PktError> {
    let mut blocks = Vec::new();
    loop {
        text.skip()?;
        if !text.peek().is_some_and(|c| c.is_ascii_digit()) {
            return Ok(blocks);
        }
        let left = text.integer()?;
        text.expect(":")?;
        blocks.push((left, text.integer()?));
    }
}
/// `e0b 1 ceb 0 e1b 1`, or `e1b` first, as many as there are.
fn counters(text: &mut Text<'_>) -> Result<OptionSpec, PktError> {
    let ect1_first = text.eat_word("e1b")?;
    let order = match ect1_first {
        true => ["e1b", "ceb", "e0b"],
        false => ["e0b", "ceb", "e1b"],
    };
    let mut fields = Vec::new();
    for name in order {
        if !(name == "e1b" && ect1_first || text.eat_word(name)?) {
            break;
        }
        fields.push(text.integer()?);
    }
    Ok(OptionSpec::Counters { ect1_first, fields })
}
/// Hexadecimal digits, or nothing: a question for one.
fn cookie(text: &mut Text<'_>) -> Result<Vec<u8>, PktError> {
    text.skip()?;
    let digits = text.take_while(is_word);
    let pairs = digits.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| {
        let pair = core::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let cookie: Option<Vec<u8>> = bytes.collect();
    cookie.ok_or_else(|| text.mistake(format!("`{digits}` is no cookie")))
}

fn icmp(text: &mut Text<'_>) -> Result<IcmpSpec, PktError> {
    let Some(kind) = text.word()? else {
        return Err(text.expected("a type of ICMP"));
    };
    let mut icmp = IcmpSpec {
        kind: kind.into(),
        code: None,
        mtu: None,
        id: 0,
        quoted: Quoted::Tcp(0, 0),
    };
    loop {
        if text.eat("[")? {
            icmp.quoted = quoted(text)?;
            text.expect("]")?;
            return Ok(icmp);
        }
        match text.word()? {
            Some("mtu") => icmp.mtu = Some(text.integer()?),
            Some("id") => icmp.id = text.integer()?,
            Some(code) if icmp.code.is_none() => icmp.code = Some(code.into()),
            Some(other) => return Err(text.mistake(format!("`{other}` says nothing of ICMP"))),
            None => return Ok(icmp),
        }
    }
}
fn quoted(text: &mut Text<'_>) -> Result<Quoted, PktError> {
    let bytes = |text: &mut Text<'_>| {
        text.expect("(")?;
        let bytes = text.integer()?;
        text.expect(")")?;
        Ok(bytes)
    };
    if text.eat_word("udp")? {
        return Ok(Quoted::Udp(bytes(text)?));
    }
    if text.eat_word("raw")? {
        return Ok(Quoted::Raw(bytes(text)?));
    }
    let (seq, len) = sequence(text)?;
    Ok(Quoted::Tcp(seq, len))
}
