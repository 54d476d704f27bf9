//! The bytes of netlink (RFC 3549 2.3; netlink(7), rtnetlink(7)): messages and attributes, each beginning at a multiple of
//! four, all in the machine's byte order but for addresses and ports.
//!
//! ```text
//!   0        4      6       8          12       16
//!   | length | type | flags | sequence | port   | fixed part | attribute | attribute | …
//!                                                             | length 2 | type 2 | value | padding |
//! ```

/// Bytes of a `struct nlmsghdr`.
pub const HEADER: usize = 16;
/// Bytes of a `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// What messages and attributes begin at a multiple of.
const ALIGN: usize = 4;
/// Bytes of the longest datagram of a dump: programs have at least a page for it, as the kernel leaves room in one.
const LONGEST: usize = 3776;

/// `NLMSG_ERROR` and `NLMSG_DONE`.
pub const ERROR: u16 = 2;
pub const DONE: u16 = 3;
/// The first type that a protocol may give a meaning to.
pub const FIRST_TYPE: u16 = 16;

pub const REQUEST: u16 = 0x1;
pub const MULTI: u16 = 0x2;
pub const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: either of its bits.
pub const DUMP: u16 = 0x300;
/// Of an acknowledgement: it does not have the whole request in it.
const CAPPED: u16 = 0x100;

/// What comes before each message, but for its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub port: u32,
}

/// A message of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub header: Header,
    /// What follows the header.
    pub body: &'a [u8],
    /// All of it.
    whole: &'a [u8],
}

/// The messages of a datagram, as far as they are whole: what comes after is ignored, as Linux does.
pub fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(word(rest, 0)?).ok()?;
        let whole = rest.get(..length)?;
        let message = Message {
            header: Header {
                kind: short(whole, 4)?,
                flags: short(whole, 6)?,
                sequence: word(whole, 8)?,
                port: word(whole, 12)?,
            },
            body: whole.get(HEADER..)?,
            whole,
        };
        rest = rest.get(length.next_multiple_of(ALIGN)..).unwrap_or(&[]);
        Some(message)
    })
}

/// The value of the first attribute of this type. What is no attribute ends the search.
pub fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(short(rest, 0)?);
        // The upper two bits tell how to read the value.
        let kind = short(rest, 2)? & 0x3fff;
        let value = rest.get(ATTRIBUTE..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(ALIGN)..)?;
    }
}

/// Two bytes at an offset.
pub fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let found = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_ne_bytes(*found))
}

/// Four bytes at an offset.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let found = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*found))
}

/// A message on its way, without its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    kind: u16,
    body: Vec<u8>,
}

impl Reply {
    /// A message of this type with this fixed part.
    pub fn new(kind: u16, fixed: &[&[u8]]) -> Self {
        let mut body = fixed.concat();
        body.resize(body.len().next_multiple_of(ALIGN), 0);
        Self { kind, body }
    }

    /// With an attribute. One that is too long for its own length field is left out.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let Ok(length) = u16::try_from(ATTRIBUTE + value.len()) else {
            return self;
        };
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.body.extend_from_slice(value);
        self.body.resize(self.body.len().next_multiple_of(ALIGN), 0);
        self
    }

    /// With an attribute of four bytes.
    pub fn with_word(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    /// With an attribute that is a text, a zero byte behind it.
    pub fn with_text(self, kind: u16, text: &str) -> Self {
        self.with(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// With an attribute, if there is one.
    pub fn with_some(self, kind: u16, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.with(kind, value),
            None => self,
        }
    }

    /// What follows the header: the value of an attribute, where attributes are nested.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The whole message, where we are who asks.
    pub fn as_request(&self, flags: u16) -> Vec<u8> {
        self.encode(Header::default(), flags)
    }

    fn encode(&self, asked: Header, flags: u16) -> Vec<u8> {
        encode(
            Header {
                kind: self.kind,
                flags,
                ..asked
            },
            &self.body,
        )
    }
}

fn encode(header: Header, body: &[u8]) -> Vec<u8> {
    let Header {
        kind,
        flags,
        sequence,
        port,
    } = header;
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&port.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
    bytes
}

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One message.
    One(Reply),
    /// Any number of them, and their end.
    Dump(Vec<Reply>),
    /// The end of a dump that failed before it began.
    NoDump(i32),
    /// Only whether it went well.
    Done,
}

/// The datagrams that answer a request of the socket with this port. `capped`: it wants no request back in an error.
pub fn datagrams(
    request: &Message<'_>,
    port: u32,
    answer: Result<Answer, i32>,
    capped: bool,
) -> Vec<Vec<u8>> {
    let asked = Header {
        port,
        ..request.header
    };
    let acknowledged = request.header.flags & ACK != 0;
    match answer {
        Ok(Answer::Dump(replies)) => dump(&replies, asked, 0),
        Ok(Answer::NoDump(errno)) => dump(&[], asked, errno),
        Ok(Answer::One(reply)) => {
            let ok = acknowledged.then(|| outcome(request, asked, 0, capped));
            [reply.encode(asked, 0)].into_iter().chain(ok).collect()
        }
        Ok(Answer::Done) if !acknowledged => Vec::new(),
        Ok(Answer::Done) => vec![outcome(request, asked, 0, capped)],
        Err(errno) => vec![outcome(request, asked, errno, capped)],
    }
}

/// As many to a datagram as fit, then the end of all.
fn dump(replies: &[Reply], asked: Header, errno: i32) -> Vec<Vec<u8>> {
    let end = Reply {
        kind: DONE,
        body: (-errno).to_ne_bytes().to_vec(),
    };
    let mut datagrams = Vec::new();
    let mut open = Vec::new();
    for reply in replies.iter().chain([&end]) {
        let next = reply.encode(asked, MULTI);
        if !open.is_empty() && open.len() + next.len() > LONGEST {
            datagrams.push(std::mem::take(&mut open));
        }
        open.extend(next);
    }
    datagrams.push(open);
    datagrams
}

/// `NLMSG_ERROR`: an errno, 0 for none, and the request that it is about.
fn outcome(request: &Message<'_>, asked: Header, errno: i32, capped: bool) -> Vec<u8> {
    let header_only = errno == 0 || capped;
    let quoted = match header_only {
        true => request.whole.get(..HEADER).unwrap_or(request.whole),
        false => request.whole,
    };
    let header = Header {
        kind: ERROR,
        flags: if header_only { CAPPED } else { 0 },
        ..asked
    };
    let mut body = [&(-errno).to_ne_bytes(), quoted].concat();
    body.resize(body.len().next_multiple_of(ALIGN), 0);
    encode(header, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let header = Header {
            kind,
            flags: flags | REQUEST,
            sequence: 7,
            port: 0,
        };
        encode(header, body)
    }

    #[test]
    fn messages_are_read_as_far_as_they_are_whole() {
        let first = request(18, DUMP, &[17, 0, 0, 0]);
        let both = [first.clone(), request(22, ACK, &[2])].concat();
        let read: Vec<_> = messages(&both)
            .map(|m| (m.header.kind, m.header.flags, m.body))
            .collect();
        let second = (22, ACK | REQUEST, &[2][..]);
        assert_eq!(read, [(18, DUMP | REQUEST, &[17, 0, 0, 0][..]), second]);
        // How many messages are in a part of it, or with another length in the first.
        for (cut, found) in [(0, 0), (15, 0), (19, 0), (20, 1), (36, 1), (37, 2)] {
            assert_eq!(messages(&both[..cut]).count(), found, "{cut}");
        }
        for length in [0_u32, 3, 15, 21, u32::MAX] {
            let mut bytes = first.clone();
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).count(), 0, "{length}");
        }
    }

    #[test]
    fn attributes_are_found_and_those_that_cannot_be_end_the_search() {
        let reply = Reply::new(16, &[&[1, 2]])
            .with_text(3, "lo")
            .with_word(4, 1500)
            .with(0x8005, &[9; 5]);
        let body = &reply.body;
        assert_eq!(body[..4], [1, 2, 0, 0]);
        assert_eq!(attribute(&body[4..], 3), Some(&b"lo\0"[..]));
        assert_eq!(attribute(&body[4..], 4), Some(&1500_u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&body[4..], 5), Some(&[9; 5][..]));
        assert_eq!(attribute(&body[4..], 6), None);
        assert_eq!(attribute(&[], 3), None);
        for length in [0_u8, 3, 200] {
            let mut bytes = body[4..].to_vec();
            bytes[0] = length;
            assert_eq!(attribute(&bytes, 4), None, "{length}");
        }
    }

    #[test]
    fn a_dump_fits_into_pages_and_ends_with_done() {
        let bytes = request(18, DUMP, &[0; 4]);
        let asked = messages(&bytes).next().unwrap();
        let many = vec![Reply::new(16, &[&[0; 984]]); 7];
        let parts = datagrams(&asked, 4711, Ok(Answer::Dump(many)), false);
        let kinds: Vec<Vec<_>> = parts
            .iter()
            .map(|part| messages(part).map(|m| m.header).collect())
            .collect();
        let header = |kind| Header {
            kind,
            flags: MULTI,
            sequence: 7,
            port: 4711,
        };
        let [row, end] = [header(16), header(DONE)];
        assert_eq!(kinds, [vec![row; 3], vec![row; 3], vec![row, end]]);
        let nothing = datagrams(&asked, 1, Ok(Answer::Dump(Vec::new())), false);
        assert_eq!(nothing.len(), 1);
        assert_eq!(nothing[0].len(), 20);
    }

    #[test]
    fn errors_quote_the_request_and_acknowledgements_its_header() {
        let plain = request(16, 0, &[5; 8]);
        let confirmed = request(16, ACK, &[5; 8]);
        let one = || Ok(Answer::One(Reply::new(16, &[&[0; 16]])));
        // Lengths of what is answered.
        let table = [
            (&plain, Ok(Answer::Done), false, vec![]),
            (&confirmed, Ok(Answer::Done), false, vec![36]),
            (&plain, Err(libc::EPERM), false, vec![44]),
            (&plain, Err(libc::EPERM), true, vec![36]),
            (&confirmed, Err(libc::EPERM), false, vec![44]),
            (&plain, one(), false, vec![32]),
            (&confirmed, one(), false, vec![32, 36]),
        ];
        for (bytes, answer, capped, lengths) in table {
            let asked = messages(bytes).next().unwrap();
            let said = datagrams(&asked, 1, answer.clone(), capped);
            let got: Vec<usize> = said.iter().map(Vec::len).collect();
            assert_eq!(got, lengths, "{answer:?} {capped}");
        }
        let asked = messages(&plain).next().unwrap();
        let refused = &datagrams(&asked, 1, Err(libc::EPERM), false)[0];
        assert_eq!(word(refused, 16), Some((-libc::EPERM).cast_unsigned()));
        assert_eq!(refused[20..], plain);
    }
}
